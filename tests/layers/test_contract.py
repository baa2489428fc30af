"""The contract that every layer keeps, and every network, since a network is a layer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close

import jaxnn.layers
import jaxnn.network
from jaxnn.layers import (
    average_views,
    avg_pool,
    batch_norm,
    before,
    conv2d,
    dense,
    dropout,
    elu,
    flatten,
    gelu,
    global_avg_pool,
    group_norm,
    identity,
    in_precision,
    layer_norm,
    leaky_relu,
    log_softmax,
    max_pool,
    parallel,
    relu,
    rematerialize,
    reshape,
    rms_norm,
    serial,
    sharded,
    shortcut,
    sigmoid,
    silu,
    softmax,
    softplus,
    standardize,
    tanh,
    whiten,
)

BLOCK = serial(dense(5), tanh())

LAYERS = {
    layer.name: layer
    for layer in [
        avg_pool(),
        batch_norm(),
        conv2d(3),
        dense(3),
        dropout(0.3),
        elu(),
        flatten(),
        gelu(),
        global_avg_pool(),
        group_norm(1),
        identity(),
        layer_norm(),
        leaky_relu(),
        log_softmax(),
        max_pool(),
        relu(),
        reshape((5, 1, 2)),
        rms_norm(),
        sigmoid(),
        silu(),
        softmax(),
        softplus(),
        standardize(0.5, 2.0),
        tanh(),
        whiten(),
        BLOCK,
        shortcut(BLOCK),
        parallel(BLOCK, relu(), how="concatenate"),
        rematerialize(serial(dense(5), dropout(0.5)))._replace(name="rematerialize"),
        sharded(serial(dense(5), dropout(0.5)))._replace(name="sharded"),
        average_views(serial(flatten(), dense(3)))._replace(name="average_views"),
        before(BLOCK, tanh())._replace(name="before"),
        in_precision(BLOCK, jnp.float32)._replace(name="in_precision"),
    ]
}
WIDE = {"in_precision", "standardize"}  # these give float32, whatever the input's type
IMAGES = {"average_views", "avg_pool", "conv2d", "global_avg_pool", "max_pool", "whiten"}


def in_shape(name):
    return (4, 6, 8) if name in IMAGES else (2, 5)


def test_no_public_layer_is_left_out():
    assert set(LAYERS) == set(jaxnn.layers.__all__) - {"Layer", "stateless"}


RANDOM = np.random.default_rng(0)
BATCH = 3


@functools.cache
def case(name):
    """A layer, its parameters and state, inputs, the shape of its output, gradients for it."""
    layer = LAYERS[name]
    params, state, out_shape = layer.init(jax.random.key(0), in_shape(name))
    x = RANDOM.standard_normal((BATCH, *in_shape(name)), np.float32)
    dy = RANDOM.standard_normal((BATCH, *out_shape), np.float32)
    return layer, params, state, x, out_shape, dy


def describe(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def run(layer, state, train):
    def forward_and_backward(params, x, dy):
        key = jax.random.key(3)
        y, new_state, residuals = layer.forward(params, state, x, train=train, key=key)
        return y, new_state, *layer.backward(params, residuals, dy)

    return forward_and_backward


@functools.cache
def result(name):
    """What a layer computes in training, in one program."""
    layer, params, state, x, _, dy = case(name)
    return jax.jit(run(layer, state, train=True))(params, x, dy)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_shapes_and_types(name, train, dtype):
    layer, params, state, x, out_shape, dy = case(name)
    params, x, dy = jax.tree.map(lambda a: a.astype(dtype), (params, x, dy))
    y, new_state, dx, dparams = jax.eval_shape(run(layer, state, train), params, x, dy)
    assert describe(y) == ((BATCH, *out_shape), jnp.float32 if name in WIDE else dtype)
    assert describe(dx) == (x.shape, dtype)
    assert describe(dparams) == describe(params)
    assert describe(new_state) == describe(state)


@pytest.mark.parametrize("name", LAYERS)
def test_can_be_mapped(name):
    layer, params, state, x, _, dy = case(name)
    arguments = (params, x, dy)
    # The layer's own arguments come second, after others that are to make no difference to them.
    stacked = jax.tree.map(lambda leaf: np.stack([1 - leaf, leaf]), arguments)
    both = jax.jit(jax.vmap(run(layer, state, train=True)))(*stacked)
    second = jax.tree.map(lambda leaf: np.asarray(leaf)[1], both)
    assert_close(second, result(name), 1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_work_as_separate_programs(name):
    layer, params, state, x, _, dy = case(name)
    forward = jax.jit(functools.partial(layer.forward, train=True))
    _, _, residuals = forward(params, state, x, key=jax.random.key(3))
    separate = jax.jit(layer.backward)(params, residuals, dy)
    assert_close(separate, result(name)[2:], 1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_examples_do_not_see_each_other(name):
    layer, params, state, x, _, _ = case(name)
    forward = jax.jit(lambda x: layer.forward(params, state, x)[0])
    others = np.concatenate([5 * x[1:2], x[1:2], -x[1:2]])
    np.testing.assert_allclose(forward(others)[1], forward(x)[1], rtol=1e-5, atol=1e-7)
