import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, assert_derivatives

from jaxnn.layers import batch_norm, group_norm, layer_norm, rms_norm


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


@pytest.mark.parametrize("make", [batch_norm, group_norm, layer_norm, rms_norm])
def test_refuses_what_does_not_fit(make):
    with pytest.raises(ValueError, match="at least one axis"):
        make().init(jax.random.key(0), ())
    with pytest.raises(ValueError, match="eps must be above 0"):
        make(eps=0.0)


@pytest.mark.parametrize(
    "layer",
    [
        batch_norm(),
        batch_norm(eps=0.5, scale=False),
        batch_norm(bias=False),
        batch_norm(scale=False, bias=False),
    ],
)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("batch", "shape"), [(4, (3,)), (2, (3, 1, 5))])
def test_derivatives_of_batch_norm(layer, batch, shape, train):
    assert_derivatives(layer, shape, batch=batch, train=train)


@pytest.mark.parametrize(
    "layer",
    [group_norm(2), group_norm(1, eps=0.5, scale=False), group_norm(4, bias=False)],
)
@pytest.mark.parametrize(("batch", "shape"), [(1, (3, 4)), (2, (3, 2, 8))])
def test_derivatives_of_group_norm(layer, batch, shape):
    assert_derivatives(layer, shape, batch=batch)


def test_batch_norm_centres_and_scales_each_channel():
    x = np.random.default_rng(0).normal(5, 3, (50, 10, 10, 4)).astype(np.float32)
    layer = batch_norm(momentum=0.75)
    params, state, _ = layer.init(jax.random.key(0), x.shape[1:])
    forward = jax.jit(layer.forward, static_argnames="train")
    y, new, _ = forward(params, state, x, train=True)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(new["mean"], 0.25 * x.mean((0, 1, 2)), rtol=1e-5)
    variance = 0.75 + 0.25 * x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(new["variance"], variance, rtol=1e-5)
    y, same, _ = forward(params, new, x)
    np.testing.assert_allclose(y, (x - new["mean"]) / np.sqrt(variance + 1e-5), rtol=1e-4)
    np.testing.assert_array_equal(same["mean"], new["mean"])


def test_batch_norm_over_devices_is_that_of_the_whole_batch():
    random = np.random.default_rng(0)
    x, dy = (random.standard_normal((6, 3, 2), np.float32) for _ in range(2))

    def run(layer, x, dy):
        params, state, _ = layer.init(jax.random.key(0), (3, 2))
        y, new, residuals = layer.forward(params, state, x, train=True)
        return y, new, *layer.backward(params, residuals, dy)

    y, state, dx, gradients = run(batch_norm(), x, dy)
    parts = [a.reshape(3, 2, 3, 2) for a in (x, dy)]
    mapped = jax.vmap(lambda *a: run(batch_norm(axis_name="data"), *a), axis_name="data")(*parts)
    y3, state3, dx3, gradients3 = mapped
    assert_close((y3.reshape(x.shape), dx3.reshape(x.shape)), (y, dx), 1e-5)
    for device in range(3):
        assert_close(jax.tree.map(lambda a, d=device: a[d], state3), state, 1e-5)
    assert_close(jax.tree.map(lambda g: g.sum(0), gradients3), gradients, 1e-5)


def test_batch_norm_of_a_single_number_a_channel():
    params, state, _ = batch_norm().init(jax.random.key(0), (2,))
    y, new, _ = batch_norm().forward(params, state, jnp.array([[3.0, -1]]), train=True)
    np.testing.assert_array_equal(y, [[0, 0]])
    np.testing.assert_allclose(new["variance"], [0.9, 0.9], rtol=1e-6)


def test_group_norm_of_one_group_and_of_single_channels():
    x = np.random.default_rng(0).normal(5, 3, (2, 6, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(apply(group_norm(1), x).mean((1, 2, 3)), 0, atol=1e-5)
    y = apply(group_norm(4), x)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), 1, rtol=1e-5)


def test_refuses_momentum_and_groups_that_make_no_sense():
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1"):
        batch_norm(momentum=1.0)
    with pytest.raises(ValueError, match="groups must be at least 1"):
        group_norm(0)
    with pytest.raises(ValueError, match="4 groups do not divide 6 channels"):
        group_norm(4).init(jax.random.key(0), (2, 2, 6))
