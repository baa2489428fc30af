import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import dropout


@pytest.mark.parametrize(
    ("batch", "shape", "train"), [(1, (1,), True), (2, (3, 1, 5), True), (3, (7,), False)]
)
def test_derivatives(batch, shape, train):
    assert_derivatives(dropout(0.4), shape, batch=batch, train=train)


HALF = dropout(0.5)


@jax.jit
def half(x, key):
    return HALF.forward((), (), x, train=True, key=key)[0]


def test_is_the_identity_outside_training_and_at_rate_zero():
    x = jnp.arange(12.0).reshape(3, 4)
    assert HALF.forward((), (), x, key=jax.random.key(0))[0] is x
    assert dropout(0.0).forward((), (), x, train=True)[0] is x


def test_keeps_the_right_share_and_the_expectation():
    x = jnp.ones((100, 1000))
    y, _, _ = dropout(0.3).forward((), (), x, train=True, key=jax.random.key(0))
    y = np.asarray(y)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert y.mean() == pytest.approx(1, abs=0.007)


def test_gradient_flows_where_the_signal_did():
    x = np.ones((6, 50), np.float32)
    y, _, residuals = HALF.forward((), (), x, train=True, key=jax.random.key(3))
    dx, dparams = HALF.backward((), residuals, x)
    np.testing.assert_array_equal(dx, y)  # both are the mask, scaled
    assert dparams == ()


def test_the_mask_of_an_example_follows_from_its_key_alone():
    keys = jax.random.split(jax.random.key(0), 6)
    x = np.random.default_rng(0).normal(9, 1, (6, 50)).astype(np.float32)
    y = np.asarray(half(x, keys))
    assert len(np.unique(y == 0, axis=0)) == 6  # a mask of its own for each example
    order = np.array([4, 1, 5])
    np.testing.assert_array_equal(half(x[order], keys[order]), y[order])
    np.testing.assert_array_equal(half(2 * x, keys), 2 * y)


def test_one_key_gives_each_example_its_own_mask():
    x = np.ones((6, 50), np.float32)
    y = np.asarray(half(x, jax.random.key(0)))
    assert len(np.unique(y, axis=0)) == 6
    np.testing.assert_array_equal(half(x[:2], jax.random.key(0)), y[:2])
    assert not np.array_equal(half(x, jax.random.key(1)), y)


def test_training_needs_a_key():
    with pytest.raises(ValueError, match="needs a key"):
        HALF.forward((), (), jnp.ones((2, 3)), train=True)


def test_spatial_dropout_drops_whole_channels():
    layer = dropout(0.5, spatial=True)
    assert_derivatives(layer, (2, 3, 4), batch=2, train=True)
    x = jnp.ones((20, 3, 4, 50))
    y, _, _ = layer.forward((), (), x, train=True, key=jax.random.key(0))
    y = np.asarray(y)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert (y == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert len(np.unique(y[:, 0, 0], axis=0)) == 20


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_refuses_rates_outside_the_unit_interval(rate):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\)"):
        dropout(rate)
