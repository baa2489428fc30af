import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import assert_close
from stepping import GRADIENTS, PARAMS, STEPS, run

from jaxnn.arrays import named_leaves
from jaxnn.optimizers import (
    accumulate,
    adam,
    apply_updates,
    averaged_params,
    chain,
    exponential_moving_average,
    hyperparameters,
    partition,
    sgd,
)
from jaxnn.optimizers.optimizer import with_hyperparameters_of


def test_accumulated_parts_equal_the_whole():
    """Four parts of a batch, one after another, make the step of the whole batch."""
    part = adam(0.1)
    parts, _ = run(accumulate(part, STEPS))
    mean = jax.tree.map(lambda g: g.mean(0, keepdims=True), GRADIENTS)
    whole, _ = run(part, gradients=mean)
    for step in range(STEPS - 1):
        assert_close(jax.tree.map(lambda p, s=step: p[s], parts), PARAMS, 0)
    last, one = (jax.tree.map(lambda p: p[-1], history) for history in (parts, whole))
    assert_close(last, one, 1e-6)


def test_average_of_the_weights_equals_optax_and_changes_no_step():
    optimizer = chain(sgd(0.1), exponential_moving_average(0.7))
    history, state = run(optimizer)
    plain, _ = run(sgd(0.1))
    assert_close(history, plain, 0)
    ema = optax.ema(0.7, debias=True)
    ema_state = ema.init(PARAMS)
    for step in range(STEPS):
        params = jax.tree.map(lambda leaf, step=step: leaf[step], history)
        expected, ema_state = ema.update(params, ema_state)
    assert_close(averaged_params(state), expected, 1e-5)


def test_average_of_the_weights_is_found_in_any_state():
    average = exponential_moving_average(0.9)
    one_step = jax.tree.map(lambda g: g[:1], GRADIENTS)
    history, state = run(accumulate(chain(adam(0.1), chain(average)), 1), gradients=one_step)
    # After one step it is the weights themselves, and not what they began as.
    after = jax.tree.map(lambda leaf: leaf[0], history)
    assert_close(averaged_params(state), after, 1e-6)
    for optimizer, found in ((adam(0.1), 0), (chain(average, average), 2)):
        with pytest.raises(ValueError, match=f"found {found}"):
            averaged_params(optimizer.init(PARAMS))


def test_average_of_bfloat16_weights_is_kept_in_float32():
    params = {"weight": jnp.ones(3, jnp.bfloat16)}
    step = {"weight": jnp.full((100, 3), -1e-2, jnp.bfloat16)}
    history, state = run(chain(sgd(1.0), exponential_moving_average(0.999)), params, step)
    average = averaged_params(state)["weight"]
    assert average.dtype == jnp.float32
    expected = np.asarray(history["weight"], np.float64).mean(0)  # nearly equal weights
    np.testing.assert_allclose(average, expected, rtol=0.02)


def test_a_donated_state_holds_no_array_twice():
    optimizer = chain(sgd(0.1, momentum=0.9), exponential_moving_average(0.9))
    params = jax.tree.map(jnp.asarray, PARAMS)
    gradients = jax.tree.map(jnp.ones_like, params)

    def step(carry):
        params, state = carry
        updates, state = optimizer.update(gradients, state, params)
        return apply_updates(params, updates), state

    jax.jit(step, donate_argnums=0)((params, optimizer.init(params)))


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("weights", {"filters.weight", "dense.weight"}),
        ("matrices", {"filters.weight", "dense.weight", "dense.table"}),
        ("filters", {"filters.weight"}),
    ],
)
def test_partition_knows_masks_by_name(name: str, chosen: set[str]) -> None:
    params = {
        "filters": {"weight": jnp.ones((3, 3, 1, 2)), "bias": jnp.ones(2)},
        "dense": {"weight": jnp.ones((2, 4)), "table": jnp.ones((3, 2)), "bias": jnp.ones(4)},
    }
    optimizer = partition(name, sgd(1.0), sgd(0.0))  # type: ignore[arg-type]
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    moved = {key for key, update in named_leaves(updates).items() if np.any(update)}
    assert moved == chosen


def test_partition_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="mask must be one of weights, matrices, filters, got 'x'"):
        partition("x", sgd(1.0), sgd(1.0))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="partition: others is no Optimizer but a float"):
        partition("weights", sgd(1.0), 0.1)  # type: ignore[arg-type]


def test_of_hyperparameters_of_one_name_the_first_is_told_and_each_is_taken_to_its_place() -> None:
    params = {"weight": jnp.ones(2), "bias": jnp.ones(2)}
    old, new = (
        partition("weights", sgd(rate, momentum=0.5), sgd(10 * rate, momentum=0.8)).init(params)
        for rate in (1.0, 2.0)
    )
    assert hyperparameters(old)["learning_rate"] == 1
    old[0][0]["trace"]["weight"] += 3
    taken = with_hyperparameters_of(old, new)
    found = {key: float(leaf.max()) for key, leaf in named_leaves(taken).items()}
    rates = {value for key, value in found.items() if key.endswith("learning_rate")}
    momenta = {value for key, value in found.items() if key.endswith("momentum")}
    assert (rates, momenta) == ({2, 20}, {np.float32(0.5), np.float32(0.8)})
    assert found["0.0.trace.weight"] == 3
