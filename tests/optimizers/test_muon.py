import jax
import numpy as np
import optax
import pytest
from oracles import assert_close
from stepping import GRADIENTS, PARAMS, run

from jaxnn.optimizers import muon, scale_by_muon


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
