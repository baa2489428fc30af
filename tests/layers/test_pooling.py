import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from oracles import assert_close, assert_derivatives

from jaxnn.layers import avg_pool, global_avg_pool, max_pool

# Height, width, channels, and the arguments.
CASES = {
    "2": ((4, 6, 3), {}),
    "2, a row left over": ((5, 6, 2), {}),
    "2 SAME": ((5, 4, 2), {"padding": "SAME"}),
    "uneven": ((6, 6, 1), {"size": (3, 2)}),
    "overlapping": ((5, 6, 2), {"size": 3, "stride": 1}),
    "overlapping, strided, SAME": ((6, 7, 2), {"size": 3, "stride": 2, "padding": "SAME"}),
    "overlapping, padded": ((5, 5, 2), {"size": 3, "stride": 2, "padding": 1}),
    "padded unevenly": ((5, 3, 2), {"size": (3, 2), "padding": ((2, 0), (0, 1))}),
    "gaps": ((7, 6, 2), {"size": 2, "stride": 3}),
    "everything": ((3, 4, 2), {"size": (3, 4)}),
}


@pytest.mark.parametrize("make", [max_pool, avg_pool])
@pytest.mark.parametrize("name", CASES)
def test_derivatives(name, make):
    shape, arguments = CASES[name]
    # Numbers far enough apart that a difference quotient does not change which one is largest.
    numbers = np.random.default_rng(0).permutation(2 * int(np.prod(shape))) / 10
    inputs = numbers.reshape(2, *shape)
    assert_derivatives(make(**arguments), shape, batch=2, inputs=inputs)


def test_derivatives_of_the_global_mean():
    assert_derivatives(global_avg_pool(), (3, 4, 2), batch=2)


@pytest.mark.parametrize("name", CASES)
def test_computes_what_xla_does(name):
    shape, arguments = CASES[name]
    x = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    size = arguments.get("size", 2)
    stride, padding = arguments.get("stride", size), arguments.get("padding", "VALID")
    window = (1, *np.broadcast_to(size, 2).tolist(), 1)
    strides = (1, *np.broadcast_to(stride, 2).tolist(), 1)
    if not isinstance(padding, str):
        padding = ((0, 0), *np.broadcast_to(padding, (2, 2)).tolist(), (0, 0))

    def reduced(x, start, operation):
        return lax.reduce_window(x, start, operation, window, strides, padding)

    largest = reduced(x, -jnp.inf, lax.max)
    mean = reduced(x, 0.0, lax.add) / reduced(jnp.ones_like(x), 0.0, lax.add)
    for make, expected in ((max_pool, largest), (avg_pool, mean)):
        layer = make(**arguments)
        y, _, _ = layer.forward((), (), x)
        assert layer.init(jax.random.key(0), shape) == ((), (), y.shape[1:])
        assert_close(y, expected, 1e-6)


@pytest.mark.parametrize("stride", [2, 1])
def test_the_first_of_equals_takes_the_gradient(stride):
    x = jnp.zeros((1, 3, 3, 1))
    _, _, residuals = max_pool(2, stride=stride).forward((), (), x)
    dy = jnp.ones((1, 2, 2, 1) if stride == 1 else (1, 1, 1, 1))
    dx, _ = max_pool(2, stride=stride).backward((), residuals, dy)
    expected = [[1, 1, 0], [1, 1, 0], [0, 0, 0]] if stride == 1 else [[1, 0, 0], [0] * 3, [0] * 3]
    np.testing.assert_array_equal(dx[0, :, :, 0], expected)


def test_nan_is_not_hidden():
    for place in range(4):
        x = jnp.arange(4.0).at[place].set(jnp.nan).reshape(1, 2, 2, 1)
        assert jnp.isnan(max_pool().forward((), (), x)[0]).all()


@pytest.mark.parametrize("make", [max_pool, avg_pool])
def test_refuses_what_does_not_fit(make):
    with pytest.raises(ValueError, match="needs images"):
        make().init(jax.random.key(0), (4, 4))
    with pytest.raises(ValueError, match="covers 2 × 2, more than the input"):
        make().init(jax.random.key(0), (4, 1, 3))
    with pytest.raises(ValueError, match="windows of 2 that see nothing"):
        make(padding=2)
    with pytest.raises(ValueError, match="window must be"):
        make(0)


def test_the_global_mean_needs_images():
    with pytest.raises(ValueError, match="needs images"):
        global_avg_pool().init(jax.random.key(0), (4, 4))
