import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import (
    elu,
    gelu,
    identity,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)

ELEMENTWISE = {
    "elu": elu,
    "elu(0.3)": functools.partial(elu, 0.3),
    "gelu": gelu,
    "gelu(approximate)": functools.partial(gelu, approximate=True),
    "identity": identity,
    "leaky_relu": leaky_relu,
    "leaky_relu(0)": functools.partial(leaky_relu, 0.0),
    "relu": relu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softplus": softplus,
    "tanh": tanh,
}
ROWWISE = {"softmax": softmax, "log_softmax": log_softmax}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(("batch", "shape"), [(1, ()), (2, (3, 1, 5))])
def test_derivatives(name, batch, shape):
    assert_derivatives(ELEMENTWISE[name](), shape, batch=batch)


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize(("batch", "shape"), [(1, (2,)), (2, (3, 1, 5))])
def test_derivatives_of_rows(name, batch, shape):
    assert_derivatives(ROWWISE[name](), shape, batch=batch)


@pytest.mark.parametrize("name", ROWWISE)
def test_rows_of_one_class_are_constant(name):
    x = jnp.array([[-3.0], [4.0]])
    y, _, residuals = ROWWISE[name]().forward((), (), x)
    np.testing.assert_array_equal(y, jnp.full((2, 1), 1.0 if name == "softmax" else 0.0))
    np.testing.assert_array_equal(ROWWISE[name]().backward((), residuals, x)[0], jnp.zeros((2, 1)))


def test_relu_passes_no_gradient_at_or_below_zero():
    x = jnp.array([[-2.0, -0.0, 0.0, 0.5, 3.0]])
    y, _, residuals = relu().forward((), (), x)
    np.testing.assert_array_equal(y, [[0, 0, 0, 0.5, 3]])
    dx, _ = relu().backward((), residuals, jnp.full_like(x, 5))
    np.testing.assert_array_equal(dx, [[0, 0, 0, 5, 5]])


# Far out, every function is a straight line: what it and its slope tend to at x = ∓1e4.
LIMITS = {
    "elu": (-1, 0, 1e4, 1),
    "gelu": (0, 0, 1e4, 1),
    "gelu(approximate)": (0, 0, 1e4, 1),
    "leaky_relu": (-100, 0.01, 1e4, 1),
    "sigmoid": (0, 0, 1, 0),
    "silu": (0, 0, 1e4, 1),
    "softplus": (0, 0, 1e4, 1),
    "tanh": (-1, 0, 1, 0),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("far", [1e4, 1e2])
def test_no_overflow_far_out(name, far):
    layer = ELEMENTWISE[name]()
    x = jnp.array([[-far, far]])
    y, _, residuals = layer.forward((), (), x)
    dx, _ = layer.backward((), residuals, jnp.ones_like(x))
    low, low_slope, high, high_slope = LIMITS[name]
    shrink = far / 1e4
    expected = [[low * (shrink if low_slope else 1), high * (shrink if high_slope else 1)]]
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(dx, [[low_slope, high_slope]], rtol=1e-6, atol=1e-7)


def test_probabilities_of_large_numbers():
    x = jnp.array([[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]])
    p = softmax().forward((), (), x)[0]
    np.testing.assert_allclose(p, [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    log_p = log_softmax().forward((), (), x)[0]
    log_2 = np.log(2)
    np.testing.assert_allclose(log_p, [[-log_2, -log_2, -2e4 - log_2], [-np.log(3)] * 3], rtol=1e-6)


@pytest.mark.parametrize("name", ROWWISE)
def test_rows_need_an_axis(name):
    with pytest.raises(ValueError, match=f"{name} needs an input with at least one axis"):
        ROWWISE[name]().init(jax.random.key(0), ())


@pytest.mark.parametrize("make", [leaky_relu, elu])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_refuses_negative_slopes(make, value):
    with pytest.raises(ValueError, match="must not be negative"):
        make(value)
