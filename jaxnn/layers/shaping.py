"""Layers that only change the shape of an example."""

import math
from collections.abc import Sequence

from jax import Array

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.layers.layer import Layer, Shape, stateless


@remembered
def reshape(shape: Sequence[int]) -> Layer:
    """Returns a layer that gives each example another shape, its elements in row-major order.

    Args:
        shape: of an example, without the batch axis; one axis may be -1, to be worked out.

    Raises:
        ValueError: if an axis is neither positive nor the only -1; from ``init``, if the input has
            a number of elements that does not fit.
    """
    shape = tuple(shape)
    if shape.count(-1) > 1 or any(size < 1 and size != -1 for size in shape):
        raise ValueError(f"reshape: sizes must be positive, but for a single -1; got {shape}")

    def resolved(in_shape: Shape) -> Shape:
        size, known = math.prod(in_shape), math.prod(axis for axis in shape if axis != -1)
        if size % known if -1 in shape else size != known:
            raise ValueError(f"reshape: an input of shape {in_shape} does not fit {shape}")
        return tuple(size // known if axis == -1 else axis for axis in shape)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        return (), resolved(in_shape)

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        # An array of no examples remembers the shape, and as an array passes through any transform.
        return x.reshape(len(x), *resolved(x.shape[1:])), x[:0]

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """dx is dy in the shape of x: each element of y *is* one of x."""
        return dy.reshape(len(dy), *residuals.shape[1:]), ()

    return stateless(init, forward, backward, "reshape")


@remembered
def flatten() -> Layer:
    """Returns a layer that lays each example out as one vector, (batch, features), row-major."""
    return reshape((-1,))._replace(name="flatten")
