"""Several views of an image: which, with which weights, and only where nothing is trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, assert_derivatives

from jaxnn.layers import average_views, before, dense, dropout, flatten, serial, standardize
from jaxnn.layers.views import count_views
from jaxnn.network import walk

NETWORK = serial(flatten(), dense(3))


@pytest.mark.parametrize(("mirror", "shift"), [(True, 1), (False, 2), (True, 0)])
@pytest.mark.parametrize("train", [True, False])
def test_derivatives(mirror: bool, shift: int, train: bool) -> None:
    layer = average_views(NETWORK, mirror=mirror, shift=shift)
    assert_derivatives(layer, (3, 4, 2), train=train)


@pytest.mark.parametrize(("mirror", "shift"), [(True, 1), (True, 2), (False, 1), (True, 0)])
def test_views_are_numpys_with_the_weights_of_the_paper(mirror: bool, shift: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    network = before(NETWORK, standardize(100.0, 50.0))
    params, state, _ = network.init(jax.random.key(0), x.shape[1:])

    def plain(x: np.ndarray) -> np.ndarray:
        y = np.asarray(network.forward(params, state, x)[0], np.float64)
        return (y + plain_only(x[:, :, ::-1])) / 2 if mirror else y

    def plain_only(x: np.ndarray) -> np.ndarray:
        return np.asarray(network.forward(params, state, x)[0], np.float64)

    expected = plain(x)
    if shift:
        padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)), "reflect")
        one = padded[:, : -2 * shift, : -2 * shift]
        other = padded[:, 2 * shift :, 2 * shift :]
        expected = expected / 2 + plain(one) / 4 + plain(other) / 4
    layer = average_views(network, mirror=mirror, shift=shift)
    y, _, _ = jax.jit(layer.forward)(params, state, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_training_sees_one_view_and_the_rest_is_the_layers_own() -> None:
    network = serial(flatten(), dropout(0.5))
    layer = average_views(network)
    assert [path for path, _ in walk(layer)] == [path for path, _ in walk(network)]
    assert layer.draws
    x, key = jnp.ones((2, 3, 3, 1)), jax.random.key(1)
    params, state, _ = layer.init(key, (3, 3, 1))
    found = layer.forward(params, state, x, train=True, key=key)[0]
    assert_close(found, network.forward(params, state, x, train=True, key=key)[0], 0)


def test_how_many_there_are() -> None:
    assert [count_views(*case) for case in ((True, 1), (False, 1), (True, 0), (False, 0))] == [
        *(6, 3, 2, 1)
    ]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="shift must not be negative, got -1"):
        average_views(NETWORK, shift=-1)
    for shape in ((4,), (1, 4, 2)):
        with pytest.raises(ValueError, match=r"needs images, .* of more than 1 pixels to a side"):
            average_views(NETWORK).init(jax.random.key(0), shape)
    with pytest.raises(TypeError, match="average_views: argument 0 is no Layer"):
        average_views("network")  # type: ignore[arg-type]
