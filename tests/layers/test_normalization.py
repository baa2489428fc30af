import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import layer_norm, rms_norm


@pytest.mark.parametrize(
    "layer",
    [
        layer_norm(),
        layer_norm(eps=0.5),
        layer_norm(scale=False),
        layer_norm(bias=False),
        rms_norm(),
        rms_norm(eps=0.5, scale=False),
    ],
)
@pytest.mark.parametrize(("batch", "shape"), [(1, (2,)), (2, (3, 1, 5))])
def test_derivatives(layer, batch, shape):
    # Of two features, all that centring and scaling leave is a sign: their slope is that of eps.
    if layer.name == "layer_norm" and shape == (2,):
        layer = layer_norm(eps=0.5)
    assert_derivatives(layer, shape, batch=batch)


def apply(layer, x, params=None):
    if params is None:
        params, _, out_shape = layer.init(jax.random.key(0), x.shape[1:])
        assert out_shape == x.shape[1:]
    return np.asarray(jax.jit(layer.forward)(params, (), x)[0], np.float64)


def test_layer_norm_centres_and_scales_each_row():
    x = np.random.default_rng(0).normal(5, 3, (4, 2, 1000)).astype(np.float32)
    y = apply(layer_norm(), x)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, rtol=1e-5)
    params = {"scale": jnp.full(1000, 2.0), "bias": jnp.full(1000, -1.0)}
    np.testing.assert_allclose(apply(layer_norm(), x, params), 2 * y - 1, atol=1e-5)


def test_rms_norm_scales_each_row_without_centring():
    x = np.random.default_rng(0).normal(5, 3, (4, 1000)).astype(np.float32)
    y = apply(rms_norm(), x)
    np.testing.assert_allclose(np.mean(y**2, -1), 1, rtol=1e-5)
    np.testing.assert_allclose(y / y[:, :1], x / x[:, :1], rtol=1e-5)


def test_one_feature():
    # There is nothing to centre a single feature by: the output is the bias, and no gradient flows.
    params, _, _ = layer_norm().init(jax.random.key(0), (1,))
    x = jnp.array([[3.0], [-2.0]])
    y, _, residuals = layer_norm().forward(params, (), x)
    dx, gradients = layer_norm().backward(params, residuals, x)
    np.testing.assert_array_equal(y, [[0], [0]])
    np.testing.assert_array_equal(dx, [[0], [0]])
    np.testing.assert_array_equal(gradients["bias"], [1])
    assert_derivatives(rms_norm(eps=0.5), (1,), batch=2)


def test_statistics_in_bfloat16_are_as_accurate_as_its_numbers():
    x = np.random.default_rng(0).normal(300, 1, (3, 4096)).astype(jnp.bfloat16)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / exact.std(-1, keepdims=True)
    y = apply(layer_norm(scale=False, bias=False), x)
    np.testing.assert_allclose(y, exact, atol=0.02, rtol=0.01)


@pytest.mark.parametrize("make", [layer_norm, rms_norm])
def test_refuses_what_does_not_fit(make):
    with pytest.raises(ValueError, match="at least one axis"):
        make().init(jax.random.key(0), ())
    with pytest.raises(ValueError, match="eps must be above 0"):
        make(eps=0.0)
