import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, assert_derivatives, relative_error

from jaxnn.arrays import cast, count
from jaxnn.layers import (
    dense,
    dropout,
    flatten,
    identity,
    in_precision,
    layer_norm,
    parallel,
    relu,
    rematerialize,
    serial,
    shortcut,
    stateless,
    tanh,
)
from jaxnn.losses import quadratic, softmax_cross_entropy
from jaxnn.network import describe, loss_and_gradients, map_layers, summary, trace, walk

KEY = jax.random.key(0)
CONCATENATE = functools.partial(parallel, how="concatenate")

# Weights of one shape, (5, 5), as much of the time goes into compiling what draws them.
BLOCK = serial(dense(5), tanh(), dense(5))

NETWORKS = {
    "serial of none": serial(),
    "serial": BLOCK,
    "nested": serial(dense(5), serial(tanh(), dense(5)), tanh()),
    "shortcut": shortcut(BLOCK),
    "sum": parallel(dense(5), BLOCK),
    "concatenation": CONCATENATE(dense(5), identity(), BLOCK),
    "parallel of one": CONCATENATE(dense(5)),
    "rematerialize": rematerialize(BLOCK),
    "all": serial(
        parallel(dense(5), tanh()),
        shortcut(rematerialize(serial(dense(5), dropout(0.5), dense(5)))),
        CONCATENATE(rematerialize(tanh()), dense(5)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives(name):
    assert_derivatives(NETWORKS[name], (5,), batch=2, train=True)


@pytest.mark.parametrize("name", ["shortcut", "concatenation"])
def test_derivatives_with_leading_axes(name):
    assert_derivatives(NETWORKS[name], (2, 1, 5), batch=1)


TARGETS = np.array([0, 2, 1, 0])
INPUTS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@functools.cache
def initialized(network):
    params, state, _ = network.init(KEY, (5,))
    return params, state


def forward(layer, x, **options):
    params, state, _ = layer.init(KEY, x.shape[1:])
    return np.asarray(layer.forward(params, state, x, **options)[0])


def test_combinators_compute_what_they_say():
    double, square = (
        stateless(
            lambda key, in_shape: ((), in_shape),
            lambda params, x, f=f: (f(x), ()),
            lambda params, residuals, dy: (dy, ()),
            "f",
        )
        for f in (lambda x: 2 * x, lambda x: x**2)
    )
    x = jnp.array([[1.0, 2.0, 5.0]])
    np.testing.assert_array_equal(forward(serial(double, square), x), [[4, 16, 100]])
    np.testing.assert_array_equal(forward(serial(square, double), x), [[2, 8, 50]])
    np.testing.assert_array_equal(forward(shortcut(square), x), [[2, 6, 30]])
    np.testing.assert_array_equal(forward(parallel(double, square), x), [[3, 8, 35]])
    np.testing.assert_array_equal(
        forward(CONCATENATE(double, identity(), square), x), [[2, 4, 10, 1, 2, 5, 1, 4, 25]]
    )
    np.testing.assert_array_equal(forward(rematerialize(square), x), [[1, 4, 25]])
    np.testing.assert_array_equal(forward(serial(), x), x)


@pytest.mark.parametrize("combine", [serial, parallel])
def test_each_layer_is_drawn_with_a_key_of_its_own(combine):
    params, _, _ = combine(dense(3), dense(3)).init(KEY, (3,))
    assert not np.array_equal(params[0]["weight"], params[1]["weight"])
    ones = jnp.ones((2, 100))
    both = combine(dropout(0.5), dropout(0.5))
    y = forward(both, ones, train=True, key=KEY)
    values = {0, 4} if combine is serial else {0, 2, 4}
    assert set(np.unique(y)) == values  # twice the same mask would give 0 and 4 in a sum
    assert abs((y == 0).mean() - (0.75 if combine is serial else 0.25)) < 0.1


def test_the_draws_of_an_example_follow_from_its_key():
    network = serial(dropout(0.5), parallel(dropout(0.5), shortcut(dropout(0.5))))
    keys = jax.random.split(KEY, 4)
    x = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)
    y = forward(network, x, train=True, key=keys)
    order = np.array([2, 0])
    np.testing.assert_array_equal(forward(network, x[order], train=True, key=keys[order]), y[order])


def test_layers_that_draw_nothing_need_no_key():
    assert not NETWORKS["nested"].draws
    assert NETWORKS["all"].draws

    def output(network):
        params, state = initialized(network)
        return jax.eval_shape(lambda x: network.forward(params, state, x, train=True)[0], INPUTS)

    assert output(NETWORKS["nested"]).shape == (4, 5)
    with pytest.raises(ValueError, match="needs a key"):
        output(NETWORKS["all"])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            serial(dense(4), relu(), dense(3), shortcut(dense(2))),
            r"layer 3 \(shortcut\): shortcut: dense turns shape \(3,\) into \(2,\).* "
            r"\[its input has shape \(3,\), from layer 2 \(dense\)\]",
        ),
        (
            serial(serial(flatten(), parallel(dense(2), relu()))),
            r"layer 0 \(serial\): layer 1 \(parallel\): .*dense \(2,\), relu \(5,\)",
        ),
        (parallel(relu(), shortcut(dense(2))), r"branch 1 \(shortcut\)"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(network, message):
    for check in (network.init, lambda key, in_shape: describe(network, in_shape)):
        with pytest.raises(ValueError, match=message):
            check(KEY, (5,))


def test_concatenation_needs_equal_leading_axes():
    network = CONCATENATE(dense(2), flatten())
    assert network.init(KEY, (3,))[2] == (5,)
    with pytest.raises(ValueError, match=r"dense \(4, 2\), flatten \(12,\)"):
        network.init(KEY, (4, 3))
    with pytest.raises(ValueError, match="concatenate"):
        CONCATENATE(relu(), relu()).init(KEY, ())


def test_parallel_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="at least one layer"):
        parallel()
    with pytest.raises(ValueError, match='"sum" or "concatenate", got \'product\''):
        parallel(relu(), how="product")


def test_integer_inputs_have_no_gradient():
    table = stateless(
        lambda key, in_shape: ({"weight": jnp.ones((5, 2))}, (*in_shape, 2)),
        lambda params, x: (params["weight"][x], x),
        lambda params, x, dy: (None, {"weight": jnp.zeros((5, 2)).at[x].add(dy)}),
        "embedding",
    )
    x = np.array([[0, 1, 4], [4, 4, 2]])
    for network in (serial(table, dense(3)), parallel(table, table), rematerialize(table)):
        params, state, _ = network.init(KEY, (3,))
        y, _, residuals = network.forward(params, state, x)
        assert network.backward(params, residuals, y)[0] is None
        assert_derivatives(network, (3,), inputs=x)


# What follows walks over networks.

DEEP = NETWORKS["all"]
PATHS = {
    (): "serial",
    (0,): "parallel",
    (0, 0): "dense",
    (0, 1): "tanh",
    (1,): "shortcut",
    (1, 0): "serial",
    (1, 0, 0): "dense",
    (1, 0, 1): "dropout",
    (1, 0, 2): "dense",
    (2,): "parallel",
    (2, 0): "tanh",
    (2, 1): "dense",
}


def follow(tree, path):
    return functools.reduce(lambda node, i: node[i], path, tree)


def test_walk_visits_parents_first():
    assert [(path, layer.name) for path, layer in walk(DEEP)] == list(PATHS.items())


def test_a_path_leads_to_a_layers_parameters():
    params, _, _ = DEEP.init(KEY, (5,))
    for path, layer in walk(DEEP):
        if layer.name == "dense":
            assert follow(params, path).keys() == {"weight", "bias"}
        elif not layer.layers:
            assert follow(params, path) == ()


@pytest.mark.parametrize("name", NETWORKS)
def test_map_layers_rebuilds_a_network(name):
    network = NETWORKS[name]
    seen = []

    def note(path, layer):
        seen.append((path, layer.name))
        return layer

    again = map_layers(note, network)
    assert sorted(seen) == sorted((path, layer.name) for path, layer in walk(network))
    assert [(path, layer.name) for path, layer in walk(again)] == [
        (path, layer.name) for path, layer in walk(network)
    ]
    params, state = initialized(network)

    def program(network):
        def run(x):
            y, _, residuals = network.forward(params, state, x, train=True, key=KEY)
            return network.backward(params, residuals, y)

        return str(jax.make_jaxpr(run)(INPUTS))

    assert program(again) == program(network)


def test_map_layers_replaces_layers():
    def without_dropout(path, layer):
        return identity() if layer.name == "dropout" else layer

    network = map_layers(without_dropout, DEEP)
    assert {layer.name for _, layer in walk(network)} == set(PATHS.values()) - {"dropout"} | {
        "identity"
    }
    assert not network.draws


def test_describe_and_summary():
    rows = describe(DEEP, (5,))
    assert {row.path: row.name for row in rows} == PATHS
    params, _, out_shape = DEEP.init(KEY, (5,))
    for row in rows:
        assert row.parameters == count(follow(params, row.path))
    assert rows[0].out_shape == out_shape == (10,)
    by_path = {row.path: row for row in rows}
    assert (by_path[(2,)].in_shape, by_path[(2,)].out_shape) == ((5,), (10,))

    lines = summary(serial(flatten(), dense(30), relu(), dense(10)), (28, 28)).splitlines()
    assert [line.split() for line in lines] == [
        ["layer", "output", "shape", "parameters"],
        ["input", "28", "×", "28"],
        ["0", "flatten", "784"],
        ["1", "dense", "30", "23,550"],
        ["2", "relu", "30"],
        ["3", "dense", "10", "310"],
        ["total", "23,860"],
    ]
    assert "dense" in summary(dense(3), (2,))


# The loss through a network.


@pytest.mark.parametrize("train", [True, False])
def test_loss_and_gradients_equal_autodiff(train):
    weights = np.array([1.0, 0.0, 2.0, 0.5])
    with jax.enable_x64(True):
        params, state, _ = DEEP.init(KEY, (5,))

        @jax.jit
        def both(params):
            options = {"weights": weights, "train": train, "key": KEY}

            def value(params):
                return loss_and_gradients(
                    DEEP, softmax_cross_entropy, params, state, INPUTS, TARGETS, **options
                )[0]

            by_hand = loss_and_gradients(
                DEEP, softmax_cross_entropy, params, state, INPUTS, TARGETS, **options
            )
            return by_hand[1], jax.grad(value)(params)

        assert_close(*both(params), 1e-10)


def test_loss_and_gradients_returns_outputs_and_value():
    network = NETWORKS["nested"]
    params, state = initialized(network)
    value, _, new_state, outputs = loss_and_gradients(
        network, quadratic, params, state, INPUTS, TARGETS
    )
    expected = np.mean(np.sum((np.asarray(outputs) - np.eye(5)[TARGETS]) ** 2, -1)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert outputs.shape == (4, 5)
    assert new_state == state


def test_computing_in_bfloat16_keeps_the_types_of_gradients():
    network = serial(dense(5), layer_norm(), tanh(), dense(5))
    params, state = initialized(network)

    def run(network):
        def step(params):
            return loss_and_gradients(
                network, softmax_cross_entropy, params, state, INPUTS, TARGETS
            )

        return jax.jit(step)(params)

    value, gradients, _, outputs = run(in_precision(network, jnp.bfloat16))
    exact_value, exact, _, _ = run(network)
    assert (value.dtype, outputs.dtype) == (jnp.float32, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}
    assert float(value) == pytest.approx(float(exact_value), rel=0.02)
    # Close, but not equal: it was indeed bfloat16 that computed.
    assert 1e-4 < relative_error(gradients, exact) < 0.05


def test_cast_leaves_other_types_alone():
    tree = {"a": jnp.ones(2), "b": jnp.arange(3), "c": jax.random.key(0), "d": jnp.array([True])}
    low = cast(tree, jnp.bfloat16)
    assert low["a"].dtype == jnp.bfloat16
    assert [low[name].dtype for name in "bcd"] == [tree[name].dtype for name in "bcd"]


# trace


@functools.cache
def traced():
    params, state = initialized(DEEP)

    @jax.jit
    def run(params, inputs, key):
        return trace(
            DEEP, softmax_cross_entropy, params, state, inputs, TARGETS, train=True, key=key
        )

    return run, run(params, INPUTS, KEY)


def test_trace_visits_all_layers_in_order():
    _, result = traced()
    assert {layer.path: layer.name for layer in result.layers} == PATHS
    assert [layer.path for layer in result.layers] == list(PATHS)


def test_trace_agrees_with_loss_and_gradients():
    params, state = initialized(DEEP)
    _, result = traced()
    value, gradients, _, outputs = jax.jit(
        lambda params: loss_and_gradients(
            DEEP, softmax_cross_entropy, params, state, INPUTS, TARGETS, key=KEY
        )
    )(params)
    assert float(result.loss) == pytest.approx(float(value), rel=1e-6)
    np.testing.assert_allclose(result.layers[0].output, outputs, rtol=1e-6)
    for layer in result.layers:
        assert_close(layer.gradients, follow(gradients, layer.path), 1e-5)


def test_trace_gives_what_goes_into_a_layer_and_comes_out_backwards():
    """In a serial, one layer's output is the next one's input; branches share theirs."""
    network = serial(dense(5), parallel(tanh(), shortcut(dense(5))), dense(3))
    params, state, _ = network.init(KEY, (5,))
    result = trace(network, softmax_cross_entropy, params, state, INPUTS, TARGETS)
    at = {layer.path: layer for layer in result.layers}
    np.testing.assert_array_equal(at[()].input, INPUTS)
    np.testing.assert_array_equal(at[()].d_input, result.d_inputs)
    for before, after in [((0,), (1,)), ((1,), (2,))]:
        np.testing.assert_array_equal(at[after].input, at[before].output)
        np.testing.assert_array_equal(at[after].d_input, at[before].d_output)
    for branch in [(1, 0), (1, 1), (1, 1, 0)]:
        np.testing.assert_array_equal(at[branch].input, at[(0,)].output)
    shared = at[(1, 0)].d_input + at[(1, 1)].d_input
    np.testing.assert_allclose(shared, at[(0,)].d_output, rtol=1e-6)
    around = at[(1, 1)].d_output + at[(1, 1, 0)].d_input
    np.testing.assert_allclose(around, at[(1, 1)].d_input, rtol=1e-6)


@pytest.mark.long
def test_trace_gives_the_gradient_of_every_output():
    """Central differences: whatever is added to a layer's output changes the loss by d_output."""
    with jax.enable_x64(True):
        params, state, _ = DEEP.init(KEY, (5,))
        inputs = INPUTS.astype(np.float64)

        def loss(network, inputs):
            outputs, _, _ = network.forward(params, state, inputs, train=True, key=KEY)
            return softmax_cross_entropy(outputs, TARGETS)[0]

        result = jax.jit(
            lambda x: trace(
                DEEP, softmax_cross_entropy, params, state, x, TARGETS, train=True, key=KEY
            )
        )(inputs)
        random = np.random.default_rng(0)
        directions = {layer.path: random.normal(size=layer.output.shape) for layer in result.layers}

        @jax.jit
        def slopes(h):
            def nudged(where):
                def nudge(path, layer):
                    def forward(params, state, x, **options):
                        y, state, residuals = layer.forward(params, state, x, **options)
                        return y + h * directions[path], state, residuals

                    return layer._replace(forward=forward) if path == where else layer

                return loss(map_layers(nudge, DEEP), inputs)

            return {path: nudged(path) for path in directions}

        h = 1e-5
        ahead, behind = slopes(h), slopes(-h)
        for layer in result.layers:
            numeric = (ahead[layer.path] - behind[layer.path]) / (2 * h)
            analytic = np.vdot(directions[layer.path], layer.d_output)
            assert float(numeric) == pytest.approx(analytic, rel=1e-6, abs=1e-10), layer.path

        d_inputs = jax.jit(jax.grad(lambda x: loss(DEEP, x)))(inputs)
        assert_close(result.d_inputs, d_inputs, 1e-10)


def test_trace_can_be_mapped():
    params, _ = initialized(DEEP)
    run, first = traced()
    inputs, keys = np.stack([INPUTS, -INPUTS]), jnp.stack([KEY, jax.random.key(1)])
    result = jax.jit(jax.vmap(run, in_axes=(None, 0, 0)))(params, inputs, keys)
    assert [layer.path for layer in result.layers] == list(PATHS)
    assert_close(jax.tree.map(lambda leaf: leaf[0], result), first, 1e-5)


# rematerialize


def test_rematerialize_lowers_memory_and_changes_nothing_else():
    batch, width = 512, 64
    x = np.random.default_rng(0).normal(size=(batch, width)).astype(np.float32)
    targets = np.arange(batch) % width
    blocks = [
        shortcut(serial(dense(width), tanh(), last, dense(width), tanh(), dense(width), tanh()))
        for last in (identity(), dropout(0.1), identity(), identity())
    ]
    plain, rematerialized = serial(*blocks), serial(*map(rematerialize, blocks))
    params, state, _ = plain.init(KEY, (width,))
    assert jax.tree.structure(params) == jax.tree.structure(
        jax.eval_shape(lambda: rematerialized.init(KEY, (width,))[0])
    )

    def compiled(network):
        def step(params, x, key):
            return loss_and_gradients(
                network, softmax_cross_entropy, params, state, x, targets, key=key
            )[:2]

        return jax.jit(step).lower(params, x, KEY).compile()

    programs = compiled(plain), compiled(rematerialized)
    memory = [program.memory_analysis().temp_size_in_bytes for program in programs]
    assert memory[1] < 0.6 * memory[0]
    results = [program(params, x, KEY) for program in programs]
    assert_close(results[1], results[0], 1e-6)


def test_rematerialize_keeps_only_the_input():
    network = NETWORKS["rematerialize"]
    params, state = initialized(network)
    residuals = network.forward(params, state, INPUTS)[2]
    arrays = jax.tree.leaves(residuals)
    assert [array is INPUTS for array in arrays] == [True]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((dense(3), relu), r"serial: argument 1 is no Layer .*did you mean relu\(\)\?"),
        (([dense(3)],), "serial: argument 0 is no Layer but a list; give layers one by one"),
    ],
)
def test_what_is_no_layer_is_refused_with_a_hint(layers: tuple[object, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        serial(*layers)
