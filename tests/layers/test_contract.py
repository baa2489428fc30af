"""The contract that every layer keeps, and every network, since a network is a layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import relative_error

import jaxnn.layers
import jaxnn.network
from jaxnn.layers import dense, dropout, flatten, relu, sigmoid, tanh
from jaxnn.network import serial

LAYERS = {
    "dense": (dense(3), (2, 5)),
    "dropout": (dropout(0.3), (2, 5)),
    "flatten": (flatten(), (2, 5)),
    "relu": (relu(), (2, 5)),
    "serial": (serial(dense(4), relu(), dropout(0.5), dense(2)), (2, 5)),
    "sigmoid": (sigmoid(), (2, 5)),
    "tanh": (tanh(), (2, 5)),
}


def test_no_public_layer_is_left_out():
    not_layers = {"Layer", "stateless"}
    combinators = {
        name
        for name, value in vars(jaxnn.network).items()
        if getattr(value, "__module__", "") == "jaxnn.network"
        and getattr(value, "__annotations__", {}).get("return") is jaxnn.layers.Layer
        and not name.startswith("_")
    } - {"map_layers"}
    assert set(LAYERS) == set(jaxnn.layers.__all__) - not_layers | combinators


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", LAYERS)
def test_contract(name, dtype, train):
    layer, in_shape = LAYERS[name]
    params, state, out_shape = layer.init(jax.random.key(0), in_shape)
    params = jax.tree.map(lambda p: p.astype(dtype), params)
    networks, batch = 2, 3
    x = jax.random.normal(jax.random.key(1), (networks, batch, *in_shape), dtype)
    dy = jax.random.normal(jax.random.key(2), (networks, batch, *out_shape), dtype)
    keys = jax.random.split(jax.random.key(3), networks)

    def run(x, dy, key):
        y, new_state, residuals = layer.forward(params, state, x, train=train, key=key)
        return y, new_state, layer.backward(params, residuals, dy)

    y, new_state, (dx, dparams) = jax.jit(run)(x[0], dy[0], keys[0])
    assert (y.shape, y.dtype) == ((batch, *out_shape), dtype)
    assert (dx.shape, dx.dtype) == ((batch, *in_shape), dtype)
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert describe(dparams) == describe(params)
    assert describe(new_state) == describe(state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, dx, dparams)))

    mapped = jax.jit(jax.vmap(run))(x, dy, keys)
    first = jax.tree.map(lambda leaf: leaf[0], mapped)
    tolerance = 1e-6 if dtype == jnp.float32 else 1e-2
    assert relative_error(first, (y, new_state, (dx, dparams))) <= tolerance


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_work_as_separate_programs(name):
    layer, in_shape = LAYERS[name]
    params, state, out_shape = layer.init(jax.random.key(0), in_shape)
    x = jax.random.normal(jax.random.key(1), (3, *in_shape))
    dy = jax.random.normal(jax.random.key(2), (3, *out_shape))

    def forward(params, x):
        return layer.forward(params, state, x, train=True, key=jax.random.key(3))

    _, _, residuals = jax.jit(forward)(params, x)
    separate = jax.jit(layer.backward)(params, residuals, dy)
    together = jax.jit(lambda: layer.backward(params, forward(params, x)[2], dy))()
    assert relative_error(separate, together) <= 1e-6


def test_examples_do_not_see_each_other():
    for name, (layer, in_shape) in LAYERS.items():
        params, state, _ = layer.init(jax.random.key(0), in_shape)
        x = jax.random.normal(jax.random.key(1), (3, *in_shape))
        forward = jax.jit(lambda x, f=layer.forward, p=params, s=state: f(p, s, x)[0])
        np.testing.assert_allclose(forward(x)[1:2], forward(x[1:2]), rtol=1e-5, err_msg=name)
