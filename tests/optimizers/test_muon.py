import jax
import numpy as np
import optax
import pytest
from oracles import assert_close
from stepping import GRADIENTS, PARAMS, run

from jaxnn.optimizers import muon, normalize_weights, scale_by_muon


def test_muon_decays_the_weights_of_matrices_as_optax_does():
    params = {"weight": PARAMS[0]["weight"], "bias": PARAMS[0]["bias"]}
    gradients = {"weight": GRADIENTS[0]["weight"], "bias": GRADIENTS[0]["bias"]}
    ours, _ = run(muon(0.05, weight_decay=0.1), params, gradients)
    theirs, _ = run(optax.contrib.muon(0.05, weight_decay=0.1), params, gradients)
    assert_close(ours, theirs, 1e-6)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (9, 9), (3, 3, 2, 5)])
def test_muon_makes_singular_values_nearly_one(shape):
    optimizer = scale_by_muon()
    gradient = {"weight": np.random.default_rng(0).standard_normal(shape, np.float32)}
    updates, _ = jax.jit(optimizer.update)(gradient, optimizer.init(gradient), gradient)
    matrix = np.asarray(updates["weight"]).reshape(-1, shape[-1])
    rows, columns = matrix.shape
    values = np.linalg.svd(matrix, compute_uv=False) / np.sqrt(max(1, columns / rows))
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, vt = np.linalg.svd(gradient["weight"].reshape(matrix.shape), full_matrices=False)
    turned = u.T @ matrix @ vt.T  # U and V are left as they are, so this is diagonal
    np.testing.assert_allclose(turned, np.diag(np.diagonal(turned)), atol=1e-4)


def test_normalized_muon_steps_from_weights_of_one_norm():
    """As the paper's program does it: first the weight, then the step, no longer normalized."""
    random = np.random.default_rng(0)
    params = {"weight": random.standard_normal((3, 3, 2, 5), np.float32), "bias": np.ones(5)}
    gradients = {"weight": random.standard_normal((1, 3, 3, 2, 5), np.float32)}
    gradients["bias"] = np.ones((1, 5))
    plain, _ = run(muon(0.05), params, gradients)
    found, _ = run(muon(0.05, normalize=True), params, gradients)
    w = params["weight"]
    expected = w * np.sqrt(5) / np.linalg.norm(w) + (plain["weight"][0] - w)
    np.testing.assert_allclose(found["weight"][0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["bias"], plain["bias"])


def test_weights_that_are_zero_are_not_normalized():
    optimizer, params = normalize_weights(), {"weight": np.zeros((2, 3), np.float32)}
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_array_equal(updates["weight"], 0)
