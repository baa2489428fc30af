"""The loss around a trained network, seen along two random directions."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxnn.arrays import Tree, count
from jaxnn.layers import Layer
from jaxnn.losses import Loss
from jaxnn.network import describe

_AT_A_TIME, _OUTPUTS_AT_A_TIME = 1 << 22, 1 << 25
"""Parameters of all the networks that are computed side by side, about, and numbers that their
largest layer puts out: more are not faster."""


class Plane(NamedTuple):
    """The loss on a plane through parameters θ.

    Attributes:
        steps: (resolution,) float64, from -radius to radius; the one in the middle is 0.
        losses: (resolution, resolution), float32 at least: ``losses[i, j]`` is the loss at
            θ + steps[j] d₁ + steps[i] d₂.
    """

    steps: np.ndarray
    losses: np.ndarray

    @property
    def center(self) -> float:
        """The loss at θ."""
        middle = len(self.steps) // 2
        return float(self.losses[middle, middle])


def filter_normalized_direction(key: Array, params: Tree) -> Tree:
    """A random direction in which every filter moves in proportion to its own size.

    A normal direction would compare networks badly: scaling a layer's weights up and the next
    one's down changes not what a network computes, but how far a step of length 1 takes it. So of a
    direction d, each filter dₖ, the weights that lead to one unit or one channel, is given the
    norm of the filter θₖ it is for: dₖ ← dₖ ‖θₖ‖ / ‖dₖ‖. Biases, and the scales and shifts of
    normalization layers, stay where they are: arrays with less than two axes get zeros.

    Source: Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", section 4,
    https://arxiv.org/abs/1712.09913.

    Args:
        key: what the direction follows from.
        params: a network's parameters; the last axis of weights, (in, out) or HWIO, is the units'.

    Returns:
        A pytree like ``params``.
    """
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, max(len(leaves), 1))

    def direction(key: Array, weight: Array) -> Array:
        if weight.ndim < 2:
            return jnp.zeros_like(weight)
        d = jax.random.normal(key, weight.shape, jnp.promote_types(weight.dtype, jnp.float32))
        rest = tuple(range(weight.ndim - 1))
        of_d, of_weight = (
            jnp.sqrt(jnp.sum(jnp.square(x.astype(d.dtype)), rest)) for x in (d, weight)
        )
        return (d * (of_weight / of_d)).astype(weight.dtype)

    return jax.tree.unflatten(
        structure, [direction(k, leaf) for k, leaf in zip(keys, leaves, strict=False)]
    )


def loss_plane(
    network: Layer,
    loss: Loss,
    params: Tree,
    state: Tree,
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    seed: int = 0,
    radius: float = 1.0,
    resolution: int = 25,
) -> Plane:
    """The loss of resolution² networks on the plane of two filter-normalized directions.

    The networks are in inference mode, as when they are evaluated, and one program computes many of
    them side by side.

    Args:
        network: any layer.
        loss: a loss.
        params: the network's parameters, the centre of the plane.
        state: the network's state.
        inputs: (batch, *in_shape), as the network takes them. All are computed at once; some
            hundred show the shape of the surface.
        targets: what ``loss`` takes, (batch, ...).
        seed: what the two directions follow from.
        radius: how far to go from the centre, above 0; at 1 a filter is as far from where it was as
            it was from 0.
        resolution: how many points along each direction; odd, so that the centre is among them.

    Raises:
        ValueError: if the resolution is even or below 3, or the radius is not positive.
    """
    if resolution < 3 or resolution % 2 == 0:
        raise ValueError(f"loss_plane: resolution must be odd and at least 3, got {resolution}")
    if not radius > 0:
        raise ValueError(f"loss_plane: radius must be above 0, got {radius}")
    first, second = (
        filter_normalized_direction(key, params) for key in jax.random.split(jax.random.key(seed))
    )

    @jax.jit
    def losses(
        params: Tree, first: Tree, second: Tree, state: Tree, x: Array, targets: Array, where: Array
    ) -> Array:
        def at(point: Array) -> Array:
            moved = jax.tree.map(
                lambda p, d, e: p + point[0].astype(p.dtype) * d + point[1].astype(p.dtype) * e,
                params,
                first,
                second,
            )
            outputs, _, _ = network.forward(moved, state, x)
            return loss(outputs, targets, None)[0]

        return jax.vmap(at)(where)

    steps = radius * np.linspace(-1, 1, resolution)
    # Within a row, it is the step along the first direction that varies.
    points = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    rows = describe(network, jnp.shape(inputs)[1:])
    outputs = jnp.shape(inputs)[0] * max(math.prod(row.out_shape) for row in rows)
    most = min(_AT_A_TIME // max(count(params), 1), _OUTPUTS_AT_A_TIME // max(outputs, 1))
    size = int(np.clip(most, 2, resolution))
    padded = np.concatenate([points, np.zeros((-len(points) % size, 2))])
    arguments = jax.device_put((params, first, second, state, inputs, targets))
    chunks = [losses(*arguments, where) for where in padded.reshape(-1, size, 2)]
    values = np.concatenate(jax.device_get(chunks))[: len(points)]
    return Plane(steps, values.reshape(resolution, resolution))
