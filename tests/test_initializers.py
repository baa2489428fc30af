import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.initializers import (
    constant,
    dirac,
    fans,
    glorot,
    he,
    lecun,
    nielsen,
    nielsen_large,
    normal,
    orthogonal,
    zeros,
)

KEY = jax.random.key(0)
SHAPE = (3, 5, 40, 70)  # a convolution's: fan-in 600, fan-out 1050; 42,000 numbers

# Standard deviation, and kurtosis E[x⁴]/σ⁴: 3 of a normal, 9/5 of a uniform distribution.
MOMENTS = {
    "normal": (normal, 0.01, 3),
    "normal(0.5)": (functools.partial(normal, stddev=0.5), 0.5, 3),
    "he": (he, (2 / 600) ** 0.5, 3),
    "lecun": (lecun, (1 / 600) ** 0.5, 3),
    "glorot": (glorot, (2 / 1650) ** 0.5, 9 / 5),
    "nielsen_large": (nielsen_large, 1, 3),
    "nielsen": (nielsen, (1 / 600) ** 0.5, 3),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    initializer, stddev, kurtosis = MOMENTS[name]
    x = np.asarray(initializer(KEY, SHAPE), np.float64)
    assert x.shape == SHAPE
    # Five standard errors of each.
    assert abs(x.mean()) < 5 * stddev / x.size**0.5
    assert x.std() == pytest.approx(stddev, rel=5 / (2 * x.size) ** 0.5)
    assert np.mean(x**4) / x.std() ** 4 == pytest.approx(kurtosis, abs=5 * (24 / x.size) ** 0.5)


def test_a_key_determines_the_draw():
    draws = [np.asarray(he(key, (5, 7))) for key in (KEY, KEY, jax.random.key(1))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_glorot_stays_within_its_limits():
    x = np.asarray(glorot(KEY, (40, 70)))
    limit = (6 / 110) ** 0.5
    assert 0.99 * limit < np.abs(x).max() <= limit * (1 + 1e-6)


def test_constants():
    np.testing.assert_array_equal(zeros(KEY, (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(constant(KEY, (2, 3), value=1), np.ones((2, 3)))
    assert zeros(KEY, ()).dtype == constant(KEY, (), value=1).dtype == jnp.float32


@pytest.mark.parametrize("shape", [(7, 7), (20, 6), (6, 20), (3, 2, 4, 5), (1, 3)])
def test_orthogonal(shape):
    matrix = np.asarray(orthogonal(KEY, shape)).reshape(-1, shape[-1])
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-5)
    twice = functools.partial(orthogonal, scale=2.0)(KEY, shape)
    np.testing.assert_allclose(np.asarray(twice).reshape(matrix.shape), 2 * matrix, rtol=1e-6)


def test_orthogonal_matrices_are_uniformly_distributed():
    """Without the correction of signs, the first entry of Q would never be positive."""
    draw = jax.jit(jax.vmap(functools.partial(orthogonal, shape=(2, 2))))
    entries = np.asarray(draw(jax.random.split(KEY, 2000)))[:, 0, 0]
    assert abs(entries.mean()) < 5 * 0.5**0.5 / 2000**0.5
    assert entries.std() == pytest.approx(0.5**0.5, rel=0.05)


def test_nielsen_draws_biases_from_the_standard_normal():
    np.testing.assert_array_equal(nielsen(KEY, (50,)), jax.random.normal(KEY, (50,)))


def test_fans():
    assert fans((4, 7)) == (4, 7)
    assert fans((3, 5, 4, 7)) == (60, 105)
    with pytest.raises(ValueError, match=r"two or more axes, got \(3,\)"):
        fans((3,))


@pytest.mark.parametrize("initializer", [he, glorot, lecun, orthogonal])
def test_biases_have_no_fans(initializer):
    with pytest.raises(ValueError, match="two or more axes"):
        initializer(KEY, (3,))


def test_float64_where_it_is_enabled():
    with jax.enable_x64(True):
        for initializer in (zeros, normal, he, glorot, orthogonal):
            assert initializer(jax.random.key(0), (2, 3)).dtype == jnp.float64
        assert constant(KEY, (2,), value=1).dtype == jnp.float64


@pytest.mark.parametrize("shape", [(3, 3, 4, 10), (2, 3, 5, 3), (4, 4)])
def test_dirac_hands_inputs_on_and_draws_the_rest(shape):
    *field, inputs, outputs = shape
    count = min(inputs, outputs)
    w = np.asarray(dirac(KEY, shape))
    x = np.random.default_rng(0).standard_normal(shape[:-1])
    y = np.tensordot(x, w, len(shape) - 1)  # of one patch
    middle = x[tuple(size // 2 for size in field)]
    np.testing.assert_allclose(y[:count], middle[:count], rtol=1e-6)
    drawn = w[..., count:]
    if drawn.size:
        limit = np.prod(shape[:-1]) ** -0.5
        assert 0.9 * limit < np.abs(drawn).max() <= limit
        assert drawn.std() == pytest.approx(limit / 3**0.5, rel=0.15)
