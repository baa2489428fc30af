import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import assert_close, relative_error
from stepping import COSINE, PARAMS

from jaxnn import optimizers
from jaxnn.layers import dense, relu, serial, tanh
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import (
    accumulate,
    adam,
    adamw,
    add_decayed_weights,
    apply_updates,
    chain,
    clip_by_global_norm,
    exponential_moving_average,
    global_norm,
    hyperparameters,
    lion,
    muon,
    rmsprop,
    scale_by_learning_rate,
    set_hyperparameters,
    sgd,
    weights_only,
)
from jaxnn.training.step import Examples, TrainState, init_train_state, make_step

EVERY = {
    "sgd": sgd(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": adam(0.1),
    "adamw": adamw(COSINE[0]),
    "adagrad": optimizers.adagrad(0.1),
    "rmsprop": rmsprop(0.1, momentum=0.5),
    "lion": lion(0.1),
    "muon": muon(0.1, weight_decay=0.1),
    "chain": accumulate(
        chain(clip_by_global_norm(1.0), adam(0.1), exponential_moving_average()), 2
    ),
}
NAMES = {
    "sgd": {"learning_rate", "momentum", "weight_decay"},
    "adam": {"learning_rate", "b1", "b2", "eps"},
    "adamw": {"learning_rate", "b1", "b2", "eps", "weight_decay"},
    "adagrad": {"learning_rate", "eps"},
    "rmsprop": {"learning_rate", "decay", "eps", "momentum"},
    "lion": {"learning_rate", "b1", "b2", "weight_decay"},
    "muon": {"learning_rate", "momentum", "b1", "b2", "eps", "weight_decay"},
    "chain": {"max_norm", "learning_rate", "b1", "b2", "eps", "average_decay"},
}


@pytest.mark.parametrize("name", EVERY)
def test_hyperparameters_are_leaves_that_can_be_set(name):
    state = EVERY[name].init(PARAMS)
    assert set(hyperparameters(state)) == NAMES[name]
    changed = set_hyperparameters(state, **dict.fromkeys(NAMES[name], 0.25))
    assert {float(value) for value in hyperparameters(changed).values()} == {0.25}
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    with pytest.raises(ValueError, match="no hyper-parameter lerning_rate; there are"):
        set_hyperparameters(state, lerning_rate=0.1)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_types_are_kept(name, dtype):
    """State and parameters keep shapes and types, weak types included, from step to step."""
    params = jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS)
    optimizer = EVERY[name]
    state = optimizer.init(params)

    def step(params, state):
        updates, state = optimizer.update(params, state, params)
        return updates, apply_updates(params, updates), state

    updates, new_params, new_state = jax.eval_shape(step, params, state)
    describe = functools.partial(
        jax.tree.map, lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type)
    )
    assert describe(updates) == describe(new_params) == describe(params)
    assert describe(new_state) == describe(state)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon", "chain"])
def test_setting_hyperparameters_does_not_recompile(name):
    optimizer = EVERY[name]
    step = jax.jit(optimizer.update)
    params = PARAMS[0]
    state = optimizer.init(params)
    for value in (0.5, 1, np.float32(0.1), jnp.float32(0.2)):
        _, state = step(params, state, params)
        state = set_hyperparameters(state, learning_rate=value)
    assert step._cache_size() == 1


def test_a_set_learning_rate_is_used():
    state = sgd(0.1).init(PARAMS)
    state = set_hyperparameters(state, learning_rate=2.0)
    updates, _ = sgd(0.1).update(PARAMS, state, PARAMS)
    assert_close(updates, jax.tree.map(lambda p: -2 * p, PARAMS), 1e-7)


def test_the_state_shows_the_learning_rate_of_a_schedule():
    optimizer = sgd(COSINE[0])
    state = optimizer.init(PARAMS)
    for step in range(4):
        _, state = optimizer.update(PARAMS, state, PARAMS)
        shown = hyperparameters(state)["learning_rate"]
        assert float(shown) == pytest.approx(float(COSINE[0](step)), rel=1e-6)


def network_and_batch():
    random = np.random.default_rng(0)
    inputs = random.standard_normal((12, 5), np.float32)
    batch = Examples(inputs, random.integers(0, 3, 12))
    return serial(dense(5), tanh(), dense(5), relu()), batch


def test_a_whole_training_step_maps_over_learning_rates():
    """Eight networks trained at once, each at its own rate, equal eight trained one by one."""
    network, batch = network_and_batch()
    optimizer = sgd(0.1, momentum=0.9)
    step = make_step(network, softmax_cross_entropy, optimizer)
    state = init_train_state(network, optimizer, (5,), seed=0)
    rates = np.geomspace(1e-3, 1, 8).astype(np.float32)

    def train(state: TrainState, rate):
        optimizer_state = set_hyperparameters(state.optimizer_state, learning_rate=rate)
        state = state._replace(optimizer_state=optimizer_state)
        for _ in range(3):
            state, totals = step(state, batch)
        return state.params, state.optimizer_state, totals.loss

    together = jax.jit(jax.vmap(train, in_axes=(None, 0)))(state, rates)
    alone = jax.jit(train)
    for i, rate in enumerate(rates):
        one = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], together)
        assert_close(one, alone(state, rate), 1e-6)
    assert len(set(np.asarray(together[2]).tolist())) == 8


def test_an_optimizer_from_optax_drops_into_a_training_step():
    network, batch = network_and_batch()

    def train(optimizer):
        state = init_train_state(network, optimizer, (5,), seed=0)
        step = make_step(network, softmax_cross_entropy, optimizer)

        @jax.jit
        def steps(state):
            for _ in range(3):
                state, _ = step(state, batch)
            return state.params

        return state.params, steps(state)

    start, ours = train(adam(0.1))
    _, theirs = train(optax.adam(0.1))
    assert_close(ours, theirs, 1e-5)
    assert relative_error(start, ours) > 0.1


# The pieces.


def test_weights_only_selects_entries_called_weight():
    assert weights_only(PARAMS) == [
        {"weight": True, "bias": False},
        (),
        {"scale": False},
        {"weight": True},
    ]
    assert weights_only(jnp.ones(3)) is False


def test_global_norm():
    tree = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]]), "c": ()}
    assert float(global_norm(tree)) == pytest.approx(5)
    assert float(global_norm(())) == 0
    # In bfloat16 the sum of squares would stop at 256.
    assert float(global_norm(jnp.ones(10_000, jnp.bfloat16))) == pytest.approx(100)


def test_clipping_leaves_small_gradients_alone_and_survives_zero():
    optimizer = clip_by_global_norm(1.0)
    for gradients in ({"a": jnp.array([0.3, 0.4])}, {"a": jnp.zeros(2)}):
        updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
        np.testing.assert_array_equal(updates["a"], gradients["a"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sgd(-0.1), "learning_rate must not be negative"),
        (lambda: sgd(float("nan")), "learning_rate must not be negative"),
        (lambda: sgd(0.1, momentum=1.0), r"momentum must be in \[0, 1\)"),
        (lambda: sgd(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: sgd(0.1, weight_decay=-1.0), "weight_decay must not be negative"),
        (lambda: adam(0.1, b1=-0.1), "b1 must be in"),
        (lambda: adam(0.1, b2=1.0), "b2 must be in"),
        (lambda: adam(0.1, eps=0.0), "eps must be above 0"),
        (lambda: add_decayed_weights(-0.1), "weight_decay must not be negative"),
        (lambda: clip_by_global_norm(0.0), "max_norm must be above 0"),
        (lambda: scale_by_learning_rate(-1.0), "learning_rate must not be negative"),
        (lambda: optimizers.adagrad(0.1, initial_accumulator_value=-1.0), "initial_accumulator"),
        (lambda: rmsprop(0.1, decay=1.0), "decay must be in"),
        (lambda: lion(0.1, b2=2.0), "b2 must be in"),
        (lambda: muon(0.1, momentum=1.0), "momentum must be in"),
        (lambda: accumulate(adam(0.1), 0), "steps must be at least 1"),
        (lambda: exponential_moving_average(1.0), "decay must be in"),
    ],
)
def test_refuses_hyperparameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_learning_rate_can_be_traced() -> None:
    """``jax.vmap`` over a function that makes the optimizer, as one would write it."""

    def step(learning_rate: jax.Array) -> jax.Array:
        optimizer = sgd(learning_rate)
        updates, _ = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2))
        return updates

    rates = jnp.array([0.1, 0.5])
    np.testing.assert_allclose(jax.vmap(step)(rates), -rates[:, None] * np.ones(2), rtol=1e-6)


def test_an_optimizer_that_was_not_called_is_said() -> None:
    with pytest.raises(TypeError, match=r"chain: argument 1 is no Optimizer .* mean adam\(…\)\?"):
        optimizers.chain(optimizers.clip_by_global_norm(1.0), optimizers.adam)
