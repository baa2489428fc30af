"""Statistics: the right numbers, and no influence on training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.data import digits
from jaxnn.layers import (
    Layer,
    dense,
    dropout,
    flatten,
    in_precision,
    relu,
    serial,
    shortcut,
    sigmoid,
    tanh,
)
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.training import Examples, fit, init_train_state, make_statistics, make_step


def norm(*arrays: Any) -> float:
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(a, np.float64))) for a in arrays)))


def test_the_numbers_are_those_of_the_step() -> None:
    """Two layers worked out in NumPy, with autodiff's gradients."""
    network = serial(dense(6), relu(), dense(3))
    optimizer = sgd(0.1, momentum=0.9)
    state = init_train_state(network, optimizer, (4,), seed=0)
    x = jax.random.normal(jax.random.key(1), (8, 4))
    targets = jnp.arange(8) % 3
    first, hidden, last = make_statistics(network, softmax_cross_entropy, optimizer)(
        state, Examples(x, targets)
    )

    def loss(params: Any, y: Any = 0.0, z: Any = 0.0) -> Any:
        h = x @ params[0]["weight"] + params[0]["bias"] + y
        z = jnp.maximum(h, 0) @ params[2]["weight"] + params[2]["bias"] + z
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(8), targets])

    gradients = jax.grad(loss)(state.params)
    dy, dz = jax.grad(loss, (1, 2))(state.params, jnp.zeros((8, 6)), jnp.zeros((8, 3)))
    h = np.asarray(x @ state.params[0]["weight"])
    assert [row.label for row in (first, hidden, last)] == ["0 dense", "1 relu", "2 dense"]
    for row, i, dy_i in ((first, 0, dy), (last, 2, dz)):
        weights = norm(*jax.tree.leaves(state.params[i]))
        slope = norm(*jax.tree.leaves(gradients[i]))
        assert row.weight_norm == pytest.approx(weights, rel=1e-5)
        assert row.gradient_norm == pytest.approx(slope, rel=1e-5)
        assert row.update_norm == pytest.approx(0.1 * slope, rel=1e-5)  # momentum begins at zero
        assert row.update_ratio == pytest.approx(0.1 * slope / weights, rel=1e-5)
        assert row.d_output_norm == pytest.approx(norm(dy_i), rel=1e-5)
    assert first.activation_mean == pytest.approx(h.mean(), rel=1e-4, abs=1e-6)
    assert first.activation_deviation == pytest.approx(h.std(), rel=1e-5)
    assert hidden.inactive == pytest.approx((np.maximum(h, 0) == 0).all(0).mean())
    assert hidden.weight_norm is None
    assert first.inactive is None


@pytest.mark.parametrize(
    ("layer", "inputs", "inactive"),
    [
        (relu(), [[-1.0, 1.0, -1.0, -2.0], [-1.0, -1.0, -1.0, 3.0]], 0.5),
        (sigmoid(), [[9.0, -9.0, 0.0, 4.0], [9.0, 9.0, 0.0, 5.0]], 0.5),
        (tanh(), [[9.0, -9.0, 0.0, 1.0], [-9.0, -9.0, 0.0, 3.0]], 0.5),
    ],
)
def test_dead_and_saturated_units_are_counted(
    layer: Layer, inputs: list[list[float]], inactive: float
) -> None:
    optimizer = sgd(0.1)
    state = init_train_state(layer, optimizer, (4,), seed=0)
    examples = Examples(jnp.asarray(inputs), jnp.zeros(2, jnp.int32))
    (row,) = make_statistics(layer, softmax_cross_entropy, optimizer)(state, examples)
    assert row.inactive == pytest.approx(inactive)


def test_layers_within_combinators_have_their_place() -> None:
    network = serial(dense(4), shortcut(serial(relu(), dense(4))), dense(3))
    optimizer = sgd(0.1)
    state = init_train_state(network, optimizer, (5,), seed=0)
    examples = Examples(jnp.ones((2, 5)), jnp.zeros(2, jnp.int32))
    rows = make_statistics(network, softmax_cross_entropy, optimizer)(state, examples)
    labels = [row.label for row in rows]
    assert labels == ["0 dense", "1.0.0 relu", "1.0.1 dense", "2 dense"]
    inner = state.params[1][0][1]
    assert rows[2].weight_norm == pytest.approx(norm(*jax.tree.leaves(inner)), rel=1e-5)


def test_bfloat16_gives_norms_in_full_precision() -> None:
    network, optimizer = serial(dense(300)), sgd(0.1)
    state = init_train_state(network, optimizer, (300,), seed=0)
    examples = Examples(jnp.ones((2, 300)), jnp.zeros(2, jnp.int32))
    low = in_precision(network, "bfloat16")
    (row,) = make_statistics(low, softmax_cross_entropy, optimizer)(state, examples)
    assert row.weight_norm == pytest.approx(norm(*jax.tree.leaves(state.params)), rel=1e-5)


def test_watching_changes_no_bit_and_comes_when_due() -> None:
    network = serial(flatten(), dense(16), relu(), dropout(0.3), dense(10))

    def run(statistics_steps: int) -> tuple[list[int], bytes]:
        reports = list(
            fit(
                network,
                softmax_cross_entropy,
                sgd(0.1, momentum=0.9),
                digits(),
                batch_size=100,
                epochs=3,
                chunk_steps=5,
                statistics_steps=statistics_steps,
            )
        )
        leaves = jax.tree.leaves(reports[-1].train_state.params)
        steps = [report.step for report in reports if report.statistics is not None]
        return steps, b"".join(np.asarray(leaf).tobytes() for leaf in leaves)

    watched, unwatched = run(10), run(0)
    assert watched[1] == unwatched[1]
    assert unwatched[0] == []
    # Epochs have 12 steps, and chunks end at 5, 10, 12, 17, 22, 24, 29, 34, 36.
    assert watched[0] == [10, 22, 34]


def test_the_step_that_is_watched_is_not_taken() -> None:
    network, optimizer = serial(dense(3)), sgd(0.5)
    state = init_train_state(network, optimizer, (4,), seed=0)
    examples = Examples(jnp.ones((2, 4)), jnp.zeros(2, jnp.int32))
    (row,) = make_statistics(network, softmax_cross_entropy, optimizer)(state, examples)
    after, _ = make_step(network, softmax_cross_entropy, optimizer)(state, examples)
    moved = [
        a - b for a, b in zip(*map(jax.tree.leaves, (after.params, state.params)), strict=True)
    ]
    assert row.update_norm == pytest.approx(norm(*moved), rel=1e-4)
