import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import dropout


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("batch", "shape"), [(1, (1,)), (3, (7,)), (2, (3, 1, 5))])
def test_derivatives(batch, shape, train):
    assert_derivatives(dropout(0.4), shape, batch=batch, train=train)


def apply(layer, x, **options):
    return layer.forward((), (), x, **options)[0]


def test_is_the_identity_outside_training_and_at_rate_zero():
    x = jnp.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(apply(dropout(0.5), x, key=jax.random.key(0)), x)
    np.testing.assert_array_equal(apply(dropout(0.0), x, train=True), x)


def test_keeps_the_right_share_and_the_expectation():
    x = jnp.ones((100, 1000))
    y = np.asarray(apply(dropout(0.3), x, train=True, key=jax.random.key(0)))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert y.mean() == pytest.approx(1, abs=0.007)


def test_gradient_flows_where_the_signal_did():
    x = jnp.ones((5, 40))
    y, _, residuals = dropout(0.5).forward((), (), x, train=True, key=jax.random.key(3))
    dx, dparams = dropout(0.5).backward((), residuals, jnp.ones_like(x))
    np.testing.assert_array_equal(dx, y)  # both are the mask, scaled
    assert dparams == ()


def test_the_mask_of_an_example_follows_from_its_key_alone():
    keys = jax.random.split(jax.random.key(0), 6)
    x = jax.random.normal(jax.random.key(1), (6, 50)) + 5
    y = apply(dropout(0.5), x, train=True, key=keys)
    assert len(np.unique(y == 0, axis=0)) == 6  # a mask of its own for each example
    order = jnp.array([4, 1, 5])
    alone = apply(dropout(0.5), x[order], train=True, key=keys[order])
    np.testing.assert_array_equal(alone, y[order])
    other = apply(dropout(0.5), 2 * x, train=True, key=keys)
    np.testing.assert_array_equal(other, 2 * y)


def test_one_key_gives_each_example_its_own_mask():
    x = jnp.ones((6, 50))
    key = jax.random.key(0)
    y = apply(dropout(0.5), x, train=True, key=key)
    assert len(np.unique(y, axis=0)) == 6
    np.testing.assert_array_equal(apply(dropout(0.5), x[:2], train=True, key=key), y[:2])
    assert not np.array_equal(apply(dropout(0.5), x, train=True, key=jax.random.key(1)), y)


def test_training_needs_a_key():
    with pytest.raises(ValueError, match="needs a key"):
        apply(dropout(0.5), jnp.ones((2, 3)), train=True)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_refuses_rates_outside_the_unit_interval(rate):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\)"):
        dropout(rate)
