"""The loss around a network: directions of the filters' own size, and losses that are the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import dense, layer_norm, relu, serial, softmax_cross_entropy
from jaxnn.arrays import Tree, at_path
from jaxnn.data import Split
from jaxnn.landscape import filter_normalized_direction, loss_plane
from jaxnn.layers import Layer, in_precision
from jaxnn.training import make_evaluate


@pytest.fixture(scope="module")
def problem() -> tuple[Layer, Tree, Tree, Split]:
    network = serial(dense(7), layer_norm(), relu(), dense(3))
    params, state, _ = network.init(jax.random.key(3), (5,))
    rng = np.random.default_rng(0)
    params[0]["bias"] = jnp.asarray(rng.normal(size=7))
    inputs = rng.normal(size=(40, 5)).astype(np.float32)
    return network, params, state, Split(inputs, rng.integers(3, size=40).astype(np.int32))


def test_each_filter_of_a_direction_has_the_norm_of_the_weights() -> None:
    rng = np.random.default_rng(1)
    params = {
        "conv": {"weight": jnp.asarray(rng.normal(size=(3, 3, 2, 6))), "bias": jnp.ones(6)},
        "dense": {"weight": jnp.asarray(rng.normal(size=(8, 4)) * np.arange(4))},
        "norm": {"scale": jnp.ones(4), "shift": jnp.array(2.0)},
    }
    direction = filter_normalized_direction(jax.random.key(0), params)
    assert jax.tree.structure(direction) == jax.tree.structure(params)
    for name in ("conv", "dense"):
        d, weight = (np.asarray(tree[name]["weight"]) for tree in (direction, params))
        assert d.dtype == weight.dtype
        for k in range(weight.shape[-1]):
            norm = np.linalg.norm(weight[..., k])
            np.testing.assert_allclose(np.linalg.norm(d[..., k]), norm, rtol=1e-5)
            alignment = (d[..., k] * weight[..., k]).sum()
            assert abs(alignment) < 0.99 * norm**2 or norm == 0
    still = [direction["conv"]["bias"], *direction["norm"].values()]
    assert all((leaf == 0).all() for leaf in still)


def test_directions_follow_from_the_key() -> None:
    params = (jnp.ones((4, 2)), jnp.ones((4, 2)))
    first, again, other = (
        filter_normalized_direction(jax.random.key(k), params) for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[0], first[1])


def test_the_centre_is_the_loss_of_evaluation(
    problem: tuple[Layer, Tree, Tree, Split],
) -> None:
    network, params, state, split = problem
    plane = loss_plane(network, softmax_cross_entropy, params, state, *split, resolution=5)
    expected = make_evaluate(network, softmax_cross_entropy)(params, state, split).loss
    assert plane.center == pytest.approx(expected, rel=1e-6)
    assert plane.losses[2, 2] == plane.center
    np.testing.assert_allclose(plane.steps, [-1, -0.5, 0, 0.5, 1])


@pytest.mark.parametrize("at_a_time", [1, 200, 10**9])
def test_every_point_is_the_loss_of_the_network_there(
    at_a_time: int, problem: tuple[Layer, Tree, Tree, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxnn.landscape._AT_A_TIME", at_a_time)
    network, params, state, split = problem
    arguments = (network, softmax_cross_entropy, params, state, *split)
    plane = loss_plane(*arguments, seed=4, radius=0.6, resolution=3)
    keys = jax.random.split(jax.random.key(4))
    first, second = (filter_normalized_direction(key, params) for key in keys)
    evaluate = make_evaluate(network, softmax_cross_entropy)
    for i, b in enumerate((-0.6, 0, 0.6)):
        for j, a in enumerate((-0.6, 0, 0.6)):
            moved = jax.tree.map(lambda p, d, e, a=a, b=b: p + a * d + b * e, params, first, second)
            expected = evaluate(moved, state, split).loss
            assert plane.losses[i, j] == pytest.approx(expected, rel=1e-5)


def test_a_plane_follows_from_its_seed(problem: tuple[Layer, Tree, Tree, Split]) -> None:
    network, params, state, split = problem
    first, again, other = (
        loss_plane(
            network, softmax_cross_entropy, params, state, *split, seed=seed, resolution=3
        ).losses
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert first[1, 1] == pytest.approx(other[1, 1])


def test_the_type_to_compute_in_is_heeded(problem: tuple[Layer, Tree, Tree, Split]) -> None:
    network, params, state, split = problem
    arguments = (softmax_cross_entropy, params, state, *split)
    full = loss_plane(network, *arguments, resolution=3)
    half = loss_plane(in_precision(network, "bfloat16"), *arguments, resolution=3)
    np.testing.assert_allclose(half.losses, full.losses, rtol=0.05)
    assert (half.losses != full.losses).any()
    assert half.losses.dtype == np.float32


def test_what_cannot_be_drawn_is_refused(problem: tuple[Layer, Tree, Tree, Split]) -> None:
    network, params, state, split = problem
    arguments = (network, softmax_cross_entropy, params, state, *split)
    for resolution in (1, 4, 0):
        with pytest.raises(ValueError, match=f"odd and at least 3, got {resolution}"):
            loss_plane(*arguments, resolution=resolution)
    with pytest.raises(ValueError, match="radius must be above 0, got 0"):
        loss_plane(*arguments, radius=0)
    assert at_path(params, (0,))["bias"].shape == (7,)  # nothing was donated or changed
