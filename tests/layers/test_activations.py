import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import relu, sigmoid, tanh

LAYERS = [relu, sigmoid, tanh]


@pytest.mark.parametrize("make", LAYERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("batch", "shape"), [(1, (1,)), (3, (7,)), (2, (3, 1, 5)), (4, ())])
def test_derivatives(make, batch, shape):
    assert_derivatives(make(), shape, batch=batch)


def test_relu_passes_no_gradient_at_or_below_zero():
    x = jnp.array([[-2.0, -0.0, 0.0, 0.5, 3.0]])
    y, _, residuals = relu().forward((), (), x)
    np.testing.assert_array_equal(y, [[0, 0, 0, 0.5, 3]])
    dx, _ = relu().backward((), residuals, jnp.full_like(x, 5))
    np.testing.assert_array_equal(dx, [[0, 0, 0, 5, 5]])


@pytest.mark.parametrize("make", [sigmoid, tanh], ids=lambda make: make.__name__)
def test_saturated_units_are_finite(make):
    x = jnp.array([[-1e4, -100.0, 100.0, 1e4]])
    y, _, residuals = make().forward((), (), x)
    dx, _ = make().backward((), residuals, jnp.ones_like(x))
    low = 0 if make is sigmoid else -1
    np.testing.assert_allclose(y, [[low, low, 1, 1]], atol=1e-7)
    np.testing.assert_allclose(dx, 0, atol=1e-7)
