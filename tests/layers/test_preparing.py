"""What wraps a network from the outside: before, in_precision and the standardize between."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn import describe, fit, loss_and_gradients, map_layers, sgd, trace, walk
from jaxnn.arrays import named_leaves
from jaxnn.data import Dataset, Split
from jaxnn.data.augmentation import shift
from jaxnn.layers import (
    Layer,
    batch_norm,
    before,
    conv2d,
    dense,
    dropout,
    flatten,
    in_precision,
    relu,
    rematerialize,
    serial,
    standardize,
    tanh,
)
from jaxnn.losses import softmax_cross_entropy
from jaxnn.training import prepared

SHAPE, CLASSES = (4, 4, 2), 3
MEAN, DEVIATION = np.array([100, 130], np.float32), np.array([50, 70], np.float32)
RANDOM = np.random.default_rng(0)
STORED = RANDOM.integers(0, 256, (5, *SHAPE), np.uint8)
TARGETS = RANDOM.integers(0, CLASSES, 5, np.int32)
PREPARED = ((STORED - MEAN) / DEVIATION).astype(np.float32)
KEY = jax.random.key(1)

NETWORKS: dict[str, Layer] = {
    "a plain layer": serial(flatten(), dense(CLASSES)).layers[1],
    "serial": serial(flatten(), dense(6), tanh(), dense(CLASSES)),
    "rematerialize": rematerialize(serial(flatten(), dense(6), dropout(0.5), dense(CLASSES))),
    "batch_norm and dropout": serial(
        *(conv2d(3), batch_norm(), relu(), flatten(), dropout(0.5), dense(CLASSES)),
    ),
}


def examples(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored inputs, targets, prepared inputs; a plain dense layer takes the last axis alone."""
    if name == "a plain layer":
        return STORED[:, 0, 0], TARGETS, PREPARED[:, 0, 0]
    return STORED, TARGETS, PREPARED


def initialized(network: Layer, shape: tuple[int, ...]) -> tuple[Any, Any]:
    params, state, _ = network.init(jax.random.key(0), shape)
    return params, state


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            *(np.asarray(x, np.float64) for x in (a, b)), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_before_computes_what_the_layer_makes_of_the_change(name: str) -> None:
    network = NETWORKS[name]
    stored, targets, plain = examples(name)
    params, state = initialized(network, plain.shape[1:])
    wrapped = before(network, standardize(MEAN, DEVIATION))
    assert_same(initialized(wrapped, stored.shape[1:]), (params, state))

    def run(network: Layer, inputs: np.ndarray) -> Any:
        arguments = (network, softmax_cross_entropy, params, state, jnp.asarray(inputs), targets)
        return jax.jit(lambda: loss_and_gradients(*arguments, key=KEY))()

    assert_same(run(wrapped, stored), run(network, plain))


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_else_of_a_network_changes(name: str) -> None:
    network = NETWORKS[name]
    shape = examples(name)[0].shape[1:]
    wrapped = before(in_precision(network, "bfloat16"), standardize(MEAN, DEVIATION))
    assert [(path, x.name) for path, x in walk(wrapped)] == [
        (path, x.name) for path, x in walk(network)
    ]
    assert describe(wrapped, shape) == describe(network, shape)
    assert (wrapped.draws, wrapped.prepares) == (network.draws, True)
    assert not network.prepares


@pytest.mark.parametrize("name", NETWORKS)
def test_trace_shows_what_the_first_layer_is_given(name: str) -> None:
    network = NETWORKS[name]
    stored, targets, plain = examples(name)
    params, state = initialized(network, plain.shape[1:])
    wrapped = before(network, standardize(MEAN, DEVIATION))

    def traced(network: Layer, inputs: np.ndarray) -> Any:
        arguments = (network, softmax_cross_entropy, params, state, jnp.asarray(inputs), targets)
        return jax.jit(lambda: trace(*arguments, train=True, key=KEY))()

    found, expected = traced(wrapped, stored), traced(network, plain)
    assert_same(found.layers, expected.layers)
    np.testing.assert_allclose(found.layers[0].input, plain, rtol=1e-6)
    assert found.d_inputs is None
    assert expected.d_inputs is not None


@pytest.mark.parametrize("name", NETWORKS)
def test_in_precision_casts_what_goes_in_and_gradients_back(name: str) -> None:
    network = NETWORKS[name]
    plain = examples(name)[2]
    params, state = initialized(network, plain.shape[1:])
    types = set()

    def noted(path: tuple[int, ...], layer: Layer) -> Layer:
        def forward(params: Any, state: Any, x: jax.Array, **options: Any) -> Any:
            types.update({x.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))})
            return layer.forward(params, state, x, **options)

        return layer._replace(forward=forward)

    low = map_layers(noted, in_precision(network, "bfloat16"))
    key = KEY if network.draws else None
    outputs, new_state, residuals = low.forward(
        params, state, jnp.asarray(plain), train=True, key=key
    )
    assert types == {jnp.dtype("bfloat16")}
    assert outputs.dtype == jnp.bfloat16
    assert_same(jax.tree.map(jnp.zeros_like, new_state), jax.tree.map(jnp.zeros_like, state))
    dx, gradients = low.backward(params, residuals, jnp.ones_like(outputs))
    assert dx.dtype == jnp.float32
    assert {k: v.dtype for k, v in named_leaves(gradients).items()} == {
        k: v.dtype for k, v in named_leaves(params).items()
    }
    # By hand: everything cast, and the network's own passes.
    half = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), params)
    x = jnp.asarray(plain, "bfloat16")
    y, _, kept = network.forward(half, state, x, train=True, key=key)
    np.testing.assert_array_equal(outputs, y)
    assert_same(
        gradients,
        jax.tree.map(
            lambda leaf: leaf.astype("float32"), network.backward(half, kept, jnp.ones_like(y))[1]
        ),
    )


def test_in_precision_keeps_each_parameter_s_own_type() -> None:
    network = in_precision(serial(dense(4), dense(3)), "bfloat16")
    params, state = initialized(network, (2,))
    params = ({k: v.astype("float16") for k, v in params[0].items()}, params[1])
    x = jnp.ones((2, 2))
    outputs, _, residuals = network.forward(params, state, x)
    _, gradients = network.backward(params, residuals, jnp.ones_like(outputs))
    assert [leaf.dtype for leaf in jax.tree.leaves(gradients)] == [
        leaf.dtype for leaf in jax.tree.leaves(params)
    ]


def test_a_trace_in_a_precision_has_its_activations_and_the_parameters_gradients() -> None:
    network = in_precision(NETWORKS["serial"], "bfloat16")
    params, state = initialized(network, SHAPE)
    arguments = (softmax_cross_entropy, params, state, jnp.asarray(PREPARED), TARGETS)
    found = jax.jit(lambda: trace(network, *arguments))()
    _, gradients, _, _ = jax.jit(lambda: loss_and_gradients(network, *arguments, train=False))()
    assert {layer.output.dtype for layer in found.layers} == {jnp.dtype("bfloat16")}
    assert_same(found.layers[0].gradients, gradients)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("stored", [np.uint8, np.int32, np.float32])
def test_standardize_gives_the_type_of_the_process(x64: bool, stored: Any) -> None:
    with jax.enable_x64(x64):
        wide = jnp.result_type(float)
        layer = standardize(MEAN, DEVIATION)
        x = jnp.asarray(STORED.astype(stored))
        y, _, residuals = layer.forward((), (), x)
        assert y.dtype == wide
        np.testing.assert_allclose(y, (STORED - MEAN) / DEVIATION, rtol=1e-6)
        dx, _ = layer.backward((), residuals, jnp.ones_like(y))
        assert (dx is None) == (stored is not np.float32)


def test_standardize_is_derived_right() -> None:
    assert_derivatives(standardize([1.0, 2.0], [0.5, 4.0]), (3, 2))
    assert_derivatives(standardize(2.0, 0.5), (5,), batch=1)
    assert_derivatives(before(dense(3), standardize(2.0, 0.5)), (4,))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: standardize(0.0, 0.0), "deviations above 0"),
        (lambda: standardize(np.nan), "finite"),
        (lambda: standardize([1.0, 2.0]).init(KEY, (3,)), "2 numbers do not fit"),
        (lambda: before(dense(2), serial(relu())), "plain layer"),
        (lambda: before(dense(2), dropout(0.5)), "draws nothing"),
        (lambda: before(dense(2), dense(2)).init(KEY, (3,)), "has parameters"),
        (lambda: in_precision(dense(2), "int32"), "floating-point"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        make()


@pytest.mark.long
def test_fit_prepares_as_the_data_say_unless_the_network_does() -> None:
    split = Split(STORED, TARGETS)
    none = Split(STORED[:0], TARGETS[:0])
    dataset = Dataset("some", split, none, none, ("a", "b", "c"), MEAN, DEVIATION)
    network = NETWORKS["serial"]
    trained = [
        list(
            fit(
                *(variant, softmax_cross_entropy, sgd(0.1), dataset),
                **{"batch_size": 2, "epochs": 2, "augment": shift(1)},
            )
        )[-1].train_state.params
        for variant in (
            network,
            before(network, standardize(MEAN, DEVIATION)),
            before(network, standardize(MEAN, 2 * DEVIATION)),
        )
    ]
    assert_same(trained[1], trained[0])
    assert not np.allclose(trained[2][1]["weight"], trained[0][1]["weight"])
    assert prepared(prepared(network, dataset), dataset).inner is network
