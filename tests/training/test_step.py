"""Steps and chunks of steps: against NumPy, each other, and the same in other portions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import (
    Layer,
    before,
    dense,
    dropout,
    in_precision,
    relu,
    serial,
    standardize,
    stateless,
)
from jaxnn.losses import mean_squared_error, softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.tasks import is_correct
from jaxnn.training import Examples, init_train_state, make_chunk, make_step
from jaxnn.training.step import augmented, example_keys


def some_examples(count: int, features: int = 5, classes: int = 3) -> Examples:
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (count, features), np.uint8)
    return Examples(jnp.asarray(inputs), jnp.asarray(random.integers(0, classes, count)))


def halved(layer: Layer) -> Layer:
    return before(layer, standardize(100, 50))


def assert_identical(found: Any, expected: Any) -> None:
    """Two pytrees are equal to the last bit."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_step_is_what_numpy_computes() -> None:
    """x W + b, mean squared error to one-hot rows, momentum: two steps, written out."""
    network, optimizer = halved(dense(3)), sgd(0.1, momentum=0.9)
    train_state = init_train_state(network, optimizer, (5,), 0)
    step = jax.jit(make_step(network, mean_squared_error, optimizer))
    batch = some_examples(8)
    x = (np.asarray(batch.inputs, np.float64) - 100) / 50
    t = np.eye(3)[np.asarray(batch.targets)]
    w = np.asarray(train_state.params["weight"], np.float64)
    b = np.asarray(train_state.params["bias"], np.float64)
    dw, db = np.zeros_like(w), np.zeros_like(b)
    for number in range(2):
        train_state, totals = step(train_state, batch)
        y = x @ w + b
        dy = 2 * (y - t) / y.size
        dw, db = 0.9 * dw + x.T @ dy, 0.9 * db + dy.sum(0)
        w, b = w - 0.1 * dw, b - 0.1 * db
        assert train_state.step == number + 1
        assert totals.loss == pytest.approx(np.mean((y - t) ** 2), rel=1e-5)
        assert totals.sums["correct"] == np.sum(y.argmax(-1) == np.asarray(batch.targets))
        np.testing.assert_allclose(train_state.params["weight"], w, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(train_state.params["bias"], b, rtol=1e-5, atol=1e-6)


def test_the_first_state_follows_from_the_seed() -> None:
    network, optimizer = serial(dense(4), dense(2)), sgd(0.1, momentum=0.9)
    first, again, other = (init_train_state(network, optimizer, (5,), s) for s in (3, 3, 4))
    assert_identical(first, again)
    assert first.step == 0
    for a, b in zip(first.params, other.params, strict=True):
        assert not np.array_equal(a["weight"], b["weight"])
    assert not np.array_equal(*(jax.random.key_data(s.key) for s in (first, other)))


def test_a_layer_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"layer 1 \(dense\)"):
        init_train_state(serial(relu(), dense(3)), sgd(0.1), (), 0)


def test_a_chunk_takes_the_steps_it_is_told_to() -> None:
    network, optimizer = halved(serial(dense(4), relu(), dense(3))), sgd(0.1, momentum=0.9)
    examples = some_examples(20)
    batches = jnp.asarray(np.random.default_rng(1).permutation(20).reshape(5, 4), jnp.int32)
    chunk = make_chunk(network, softmax_cross_entropy, optimizer)
    step = jax.jit(make_step(network, softmax_cross_entropy, optimizer))
    train_state = init_train_state(network, optimizer, (5,), 0)

    expected, losses, correct = train_state, [], 0
    for rows in batches[1:4]:
        expected, totals = step(expected, jax.tree.map(lambda x, rows=rows: x[rows], examples))
        losses.append(float(totals.loss))
        correct += int(totals.sums["correct"])
    train_state, totals = chunk(train_state, examples, batches, 1, 3)
    assert train_state.step == 3
    assert float(totals.loss) == pytest.approx(sum(losses), rel=1e-6)
    assert totals.sums["correct"] == correct
    for a, b in zip(*map(jax.tree.leaves, (train_state.params, expected.params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_chunk_of_no_steps_changes_nothing() -> None:
    network, optimizer = halved(serial(dropout(0.5), dense(3))), sgd(0.1)
    chunk = make_chunk(network, softmax_cross_entropy, optimizer)
    train_state = init_train_state(network, optimizer, (5,), 0)
    batches = jnp.arange(20, dtype=jnp.int32).reshape(5, 4)
    after, totals = chunk(train_state, some_examples(20), batches, 2, 0)
    assert_identical(after, train_state)
    assert (float(totals.loss), int(totals.sums["correct"])) == (0, 0)


def test_the_state_given_to_a_chunk_stays_valid() -> None:
    network, optimizer = halved(dense(3)), sgd(0.1)
    chunk = make_chunk(network, softmax_cross_entropy, optimizer)
    before = init_train_state(network, optimizer, (5,), 0)
    arguments = (some_examples(8), jnp.zeros((1, 4), jnp.int32), 0, 1)
    after, _ = chunk(before, *arguments)
    assert not np.array_equal(before.params["weight"], after.params["weight"])
    assert_identical(chunk(before, *arguments)[0], after)


def test_what_a_layer_draws_follows_from_key_step_and_position_alone() -> None:
    """Not from the size of the batch, nor from the other examples: the same on many devices."""
    data = jax.random.key_data
    key = jax.random.key(0)
    few, many = (data(example_keys(key, 7, size)) for size in (3, 8))
    np.testing.assert_array_equal(few, many[:3])
    assert len(np.unique(many, axis=0)) == 8
    assert not np.any(np.all(data(example_keys(key, 8, 8)) == many, axis=-1))
    assert not np.any(np.all(data(example_keys(jax.random.key(1), 7, 8)) == many, axis=-1))


def test_augmentation_draws_by_key_step_and_position_and_not_what_layers_draw() -> None:
    def drawn(seed: int, step: int, size: int) -> np.ndarray:
        def draw(keys: Any, images: Any, targets: Any) -> Any:
            return jax.random.key_data(keys), targets

        batch = Examples(jnp.zeros((size, 4), jnp.uint8), jnp.zeros(size))
        return np.asarray(augmented(draw, jax.random.key(seed), step, batch).inputs)

    keys = drawn(0, 7, 8)
    np.testing.assert_array_equal(drawn(0, 7, 3), keys[:3])
    layers = jax.random.key_data(example_keys(jax.random.key(0), 7, 8))
    seen = np.concatenate([keys, drawn(0, 8, 8), drawn(1, 7, 8), layers])
    assert len(np.unique(seen, axis=0)) == 32


def test_dropout_draws_anew_at_every_step_and_for_every_example() -> None:
    seen = []

    def spy() -> Layer:
        def forward(params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), x, ordered=True)
            return x, None

        return stateless(
            lambda key, shape: ((), shape), forward, lambda params, r, dy: (dy, ()), "spy"
        )

    network, optimizer = serial(dropout(0.5), spy(), dense(3)), sgd(0.1)
    ones = Examples(jnp.ones((4, 64)), jnp.zeros(4, jnp.int32))
    chunk = make_chunk(network, softmax_cross_entropy, optimizer)
    batches = jnp.tile(jnp.arange(4, dtype=jnp.int32), (3, 1))
    chunk(init_train_state(network, optimizer, (64,), 0), ones, batches, 0, 3)
    jax.effects_barrier()
    masks = np.concatenate(seen)
    assert set(np.unique(masks)) == {0, 2}
    assert len(np.unique(masks, axis=0)) == 12


def test_the_type_to_compute_in_does_not_change_that_of_the_parameters() -> None:
    network, optimizer = halved(dense(3)), sgd(0.1)
    train_state = init_train_state(network, optimizer, (5,), 0)
    batch = some_examples(8)
    results = {
        dtype: jax.jit(make_step(variant, softmax_cross_entropy, optimizer))(train_state, batch)
        for dtype, variant in ((None, network), ("bfloat16", in_precision(network, "bfloat16")))
    }
    weights = {dtype: state.params["weight"] for dtype, (state, _) in results.items()}
    assert weights["bfloat16"].dtype == jnp.float32
    assert results["bfloat16"][1].loss.dtype == jnp.float32
    assert not np.array_equal(weights["bfloat16"], weights[None])
    np.testing.assert_allclose(weights["bfloat16"], weights[None], atol=0.02)


@pytest.mark.parametrize(
    ("outputs", "targets", "expected"),
    [
        ([[1.0, 3, 2], [5, 1, 1]], [1, 1], [True, False]),
        ([[1.0, 3, 2], [5, 1, 1]], [[0.0, 1, 0], [1, 0, 0]], [True, True]),
        ([[1.0, 3, 2], [5, 1, 1]], [[0.4, 0.6, 0], [0.1, 0.7, 0.2]], [True, False]),
        ([[[1.0, 3], [5, 1]]], [[1, 1]], [[True, False]]),
    ],
)
def test_an_example_is_correct_if_its_largest_output_is_the_target(
    outputs: Any, targets: Any, expected: Any
) -> None:
    assert is_correct(jnp.array(outputs), jnp.array(targets)).tolist() == expected
