import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.initializers import normal
from jaxnn.layers import dense


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("batch", "shape", "units"), [(1, (1,), 1), (3, (5,), 2), (2, (3, 1, 4), 7)]
)
def test_derivatives(batch, shape, units, bias):
    assert_derivatives(dense(units, bias=bias), shape, batch=batch)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_gradients_of_many_rows(shape):
    # Of so many rows and units, inputs are laid out anew for the gradient of the weight.
    layer, keys = dense(256), jax.random.split(jax.random.key(0), 3)
    params, state, out_shape = layer.init(keys[0], shape)
    x = jax.random.normal(keys[1], (517, *shape))
    dy = jax.random.normal(keys[2], (517, *out_shape))
    _, pullback = jax.vjp(lambda params, x: layer.forward(params, state, x)[0], params, x)
    dx, gradients = jax.jit(layer.backward)(params, x, dy)
    expected, expected_dx = pullback(dy)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-4, atol=1e-4)
    for name, gradient in expected.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-4, atol=1e-3)


def test_computes_the_affine_map():
    params = {"weight": jnp.array([[1.0, 2, 3], [4, 5, 6]]), "bias": jnp.array([10.0, 20, 30])}
    y, _, _ = dense(3).forward(params, (), jnp.array([[1.0, 0], [0, 2]]))
    np.testing.assert_array_equal(y, [[11, 22, 33], [18, 30, 42]])


def test_parameters_come_from_the_initializers():
    layer = dense(300, weight_init=functools.partial(normal, stddev=0.5), bias_init=normal)
    params, state, out_shape = layer.init(jax.random.key(0), (5, 200))
    assert out_shape == (5, 300)
    assert state == ()
    assert params["weight"].shape == (200, 300)
    assert params["bias"].shape == (300,)
    assert params["weight"].std() == pytest.approx(0.5, rel=0.02)
    assert params["bias"].std() == pytest.approx(0.01, rel=0.2)


def test_weights_and_biases_are_drawn_independently():
    layer = dense(300, weight_init=normal, bias_init=normal)
    params, _, _ = layer.init(jax.random.key(0), (1,))
    assert not np.array_equal(params["weight"][0], params["bias"])


def test_without_bias_there_is_none():
    params, _, _ = dense(3, bias=False).init(jax.random.key(0), (2,))
    assert list(params) == ["weight"]


@pytest.mark.parametrize("units", [0, -3])
def test_refuses_units_that_are_not_positive(units):
    with pytest.raises(ValueError, match=f"units must be at least 1, got {units}"):
        dense(units)


def test_refuses_an_input_without_axes():
    with pytest.raises(ValueError, match="at least one axis"):
        dense(3).init(jax.random.key(0), ())
