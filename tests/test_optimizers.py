import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import assert_close, relative_error

from jaxnn import optimizers, schedules
from jaxnn.layers import dense, relu, tanh
from jaxnn.losses import softmax_cross_entropy
from jaxnn.network import serial
from jaxnn.optimizers import (
    accumulate,
    adam,
    adamw,
    add_decayed_weights,
    apply_updates,
    averaged_params,
    chain,
    clip_by_global_norm,
    exponential_moving_average,
    global_norm,
    hyperparameters,
    lion,
    muon,
    partition,
    rmsprop,
    scale_by_learning_rate,
    scale_by_muon,
    set_hyperparameters,
    sgd,
    weights_only,
)
from jaxnn.training.step import Examples, TrainState, init_train_state, make_step

STEPS = 6


def trees(seed, count=1):
    """Parameters of a small network with biases, a scale and an odd one out, times ``count``."""
    random = np.random.default_rng(seed)
    shapes = [
        {"weight": (5, 3), "bias": (3,)},
        (),
        {"scale": (3,)},
        {"weight": (2, 2, 1, 3)},
    ]
    draw = lambda shape: random.standard_normal((count, *shape), np.float32)  # noqa: E731
    return jax.tree.map(draw, shapes, is_leaf=lambda node: type(node) is tuple and node != ())


PARAMS = jax.tree.map(lambda leaf: leaf[0], trees(0))
GRADIENTS = trees(1, STEPS)
# Some exact zeros, as relu units give, and steps of very different size.
GRADIENTS = jax.tree.map(
    lambda g: (
        g
        * (np.abs(g) > 0.3)
        * (10.0 ** np.arange(-2, STEPS - 2)).reshape(-1, *(1,) * (g.ndim - 1)).astype(np.float32)
    ),
    GRADIENTS,
)


def run(optimizer, params=PARAMS, gradients=GRADIENTS):
    """The parameters after each of several steps, and the last state."""

    def step(carry, gradients):
        params, state = carry
        updates, state = optimizer.update(gradients, state, params)
        params = apply_updates(params, updates)
        return (params, state), params

    @jax.jit
    def steps(params, state, gradients):
        (_, state), history = jax.lax.scan(step, (params, state), gradients)
        return history, state

    return steps(params, optimizer.init(params), gradients)


COSINE = (
    schedules.warmup_cosine(0.1, 5, warmup=2),
    optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 5),
)
# As optax is told which axes make the rows of a matrix, and which the columns.
MATRICES = [
    {"weight": optax.contrib.MuonDimensionNumbers(0, 1), "bias": None},
    (),
    {"scale": None},
    {"weight": optax.contrib.MuonDimensionNumbers((0, 1, 2), 3)},
]

PAIRS = {
    "sgd": (sgd(0.1), optax.sgd(0.1)),
    "sgd momentum": (sgd(0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
    "sgd nesterov": (
        sgd(0.1, momentum=0.9, nesterov=True),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "sgd weight decay": (
        sgd(0.1, momentum=0.9, weight_decay=0.1),
        optax.chain(optax.add_decayed_weights(0.1, weights_only), optax.sgd(0.1, momentum=0.9)),
    ),
    "sgd schedule": (sgd(COSINE[0]), optax.sgd(COSINE[1])),
    "adam": (adam(0.01), optax.adam(0.01)),
    "adam options": (
        adam(0.01, b1=0.5, b2=0.7, eps=0.1),
        optax.adam(0.01, b1=0.5, b2=0.7, eps=0.1),
    ),
    "adam nesterov": (adam(0.01, nesterov=True), optax.adam(0.01, nesterov=True)),
    "adamw": (
        adamw(COSINE[0], weight_decay=0.1),
        optax.adamw(COSINE[1], weight_decay=0.1, mask=weights_only),
    ),
    "adamw everywhere": (
        adamw(0.01, weight_decay=0.1, mask=lambda params: jax.tree.map(lambda p: True, params)),
        optax.adamw(0.01, weight_decay=0.1),
    ),
    "adagrad": (optimizers.adagrad(0.1), optax.adagrad(0.1)),
    "adagrad from zero": (
        optimizers.adagrad(0.1, initial_accumulator_value=0.0),
        optax.adagrad(0.1, initial_accumulator_value=0.0),
    ),
    "rmsprop": (rmsprop(0.01), optax.rmsprop(0.01)),
    "rmsprop momentum": (
        rmsprop(COSINE[0], decay=0.8, eps=0.01, momentum=0.7),
        optax.rmsprop(COSINE[1], decay=0.8, eps=0.01, momentum=0.7),
    ),
    "lion": (
        lion(0.01, weight_decay=0.1),
        optax.lion(0.01, weight_decay=0.1, mask=weights_only),
    ),
    "lion options": (
        lion(0.01, b1=0.8, b2=0.9),
        optax.lion(0.01, b1=0.8, b2=0.9, mask=weights_only),
    ),
    "muon": (muon(0.01), optax.contrib.muon(0.01, muon_weight_dimension_numbers=MATRICES)),
    "muon options": (
        muon(COSINE[0], momentum=0.8, nesterov=False, steps=3, b1=0.8, b2=0.9, eps=1e-6),
        optax.contrib.muon(
            COSINE[1],
            beta=0.8,
            nesterov=False,
            ns_steps=3,
            adam_b1=0.8,
            adam_b2=0.9,
            eps=1e-6,
            muon_weight_dimension_numbers=MATRICES,
        ),
    ),
    "clipping": (
        chain(clip_by_global_norm(1.0), sgd(0.1, momentum=0.9)),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
    ),
    "partition": (
        partition(weights_only, sgd(0.1, momentum=0.9), adam(0.03)),
        optax.partition(
            {True: optax.sgd(0.1, momentum=0.9), False: optax.adam(0.03)}, weights_only
        ),
    ),
    "accumulation": (
        accumulate(chain(clip_by_global_norm(1.0), adam(COSINE[0])), 2),
        optax.MultiSteps(
            optax.chain(optax.clip_by_global_norm(1.0), optax.adam(COSINE[1])), 2
        ).gradient_transformation(),
    ),
    "accumulation of optax": (
        accumulate(optax.adam(0.1), 4),
        optax.MultiSteps(optax.adam(0.1), 4).gradient_transformation(),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_optax_step_for_step(name):
    ours, theirs = (run(optimizer)[0] for optimizer in PAIRS[name])
    moved = jax.tree.map(lambda leaf, start: np.asarray(leaf) - start, ours, PARAMS)
    expected = jax.tree.map(lambda leaf, start: np.asarray(leaf) - start, theirs, PARAMS)
    assert all(np.any(leaf[-1] != 0) for leaf in jax.tree.leaves(moved))
    for step in range(STEPS):
        at = lambda tree, step=step: jax.tree.map(lambda leaf: np.asarray(leaf)[step], tree)  # noqa: E731
        assert_close(at(ours), at(theirs), 1e-6)
    # What was added up over the steps, too, which is much less than the parameters.
    assert_close(moved, expected, 2e-5)


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


# Hyper-parameters.

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
