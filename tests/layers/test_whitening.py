"""Whitening: what becomes of patches, when it is computed, and that it stays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, assert_derivatives

from jaxnn import softmax_cross_entropy
from jaxnn.layers import dense, flatten, serial, whiten
from jaxnn.layers.layer import Layer, Shape
from jaxnn.optimizers import sgd
from jaxnn.training import fit


def images(batch: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Images whose neighbouring pixels and channels are alike, as in photographs."""
    noise = np.random.default_rng(seed).standard_normal((batch, *shape))
    return np.float32(noise.cumsum(1).cumsum(2) + noise[..., :1])


def fitted(layer: Layer) -> Layer:
    """The layer as it is once it has seen a batch."""

    def init(key: jax.Array, in_shape: Shape) -> tuple:
        params, state, shape = layer.init(key, in_shape)
        _, state, _ = layer.forward(params, state, images(4, *in_shape), train=True)
        return params, state, shape

    return layer._replace(init=init)


@pytest.mark.parametrize(
    ("layer", "shape", "train"),
    [(whiten(), (3, 5, 2), True), (whiten(3, bias=False), (4, 3, 1), False)],
)
def test_derivatives(layer: Layer, shape: Shape, train: bool) -> None:
    assert_derivatives(fitted(layer), shape, train=train)


def test_patches_become_uncorrelated_and_of_mean_square_one() -> None:
    x, layer = images(50, 9, 8, 3), whiten(eps=1e-6)
    params, state, out_shape = layer.init(jax.random.key(0), x.shape[1:])
    assert out_shape == (8, 7, 24)
    y, state, _ = jax.jit(lambda x: layer.forward(params, state, x, train=True))(x)
    np.testing.assert_allclose(y[..., 12:], -y[..., :12], atol=1e-5)
    rows = np.asarray(y[..., :12], np.float64).reshape(-1, 12)
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(12), atol=2e-3)
    # Filters are orthogonal, those of what varies most come first, and its size is the inverse.
    w = np.asarray(state["weight"], np.float64).reshape(12, 24)[:, :12]
    norms = np.linalg.norm(w, axis=0)
    np.testing.assert_allclose((w / norms).T @ (w / norms), np.eye(12), atol=1e-4)
    assert np.all(np.diff(norms) > 0)


def test_what_hardly_varies_is_not_enlarged() -> None:
    x, layer = np.ones((3, 4, 4, 1), np.float32), whiten(eps=0.25)
    params, state, _ = layer.init(jax.random.key(0), x.shape[1:])
    _, state, _ = layer.forward(params, state, x, train=True)
    # The only patch is (1, 1, 1, 1): an eigenvalue 4, and three of 0.
    norms = np.linalg.norm(np.asarray(state["weight"]).reshape(4, 8)[:, :4], axis=0)
    np.testing.assert_allclose(norms, [4.25**-0.5, 2, 2, 2], rtol=1e-3)


def test_the_first_batch_of_training_decides_and_no_other() -> None:
    layer, first, other = whiten(), images(6, 5, 5, 1), images(6, 5, 5, 1, seed=1)
    params, start, _ = layer.init(jax.random.key(0), (5, 5, 1))
    forward = jax.jit(layer.forward, static_argnames="train")
    y, same, _ = forward(params, start, other)
    assert_close(same, start, 0)
    # Until then, it hands on patches as they are: the pixel itself, those beside it, negatives.
    np.testing.assert_array_equal(y[..., 0], other[:, :-1, :-1, 0])
    np.testing.assert_array_equal(y[..., 5], -other[:, :-1, 1:, 0])
    _, once, _ = forward(params, start, first, train=True)
    _, twice, _ = forward(params, once, other, train=True)
    assert_close(twice, once, 0)
    assert not np.allclose(once["weight"], start["weight"])
    y, kept, _ = forward(params, once, other)
    assert_close(kept, once, 0)
    np.testing.assert_allclose(y, forward(params, once, other, train=True)[0], rtol=1e-6)


def test_training_goes_on_with_what_a_checkpoint_holds() -> None:
    network = serial(whiten(), flatten(), dense(2))
    data = (images(20, 4, 4, 1), np.arange(20) % 2)
    parts = (network, softmax_cross_entropy, sgd(0.1), data)
    reports = list(fit(*parts, batch_size=5, epochs=2, chunk_steps=2))
    resumed = list(fit(*parts, batch_size=5, epochs=2, start=reports[1].train_state))
    assert_close(resumed[-1].train_state.state, reports[0].train_state.state, 0)
    assert_close(resumed[-1].train_state.params, reports[-1].train_state.params, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: whiten(eps=0), "whiten: eps must be above 0, got 0"),
        (lambda: whiten(0), "whiten: window must be one or two numbers of at least 1"),
        (lambda: whiten(5).init(jax.random.key(0), (4, 4, 1)), "the window covers 5 × 5"),
        (lambda: whiten().init(jax.random.key(0), (4,)), "whiten needs images"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_moments_are_precise_in_low_precision() -> None:
    x = images(20, 6, 6, 1)
    layer = whiten()
    params, state, _ = layer.init(jax.random.key(0), (6, 6, 1))
    _, low, _ = layer.forward(params, state, jnp.bfloat16(x), train=True)
    _, high, _ = layer.forward(params, state, np.float32(jnp.bfloat16(x)), train=True)
    assert_close(low, high, 1e-6)
