"""A block of images at a time, so that what is computed from them stays in a CPU's cache."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

# How many positions of the output are in a block: enough for the matrix products to be fast, few
# enough for the matrices to stay in the cache.
_POSITIONS = 8192


def images(out: tuple[int, int]) -> int:
    """Returns how many images a block has if nothing else is known, from the output's size."""
    return max(1, _POSITIONS // (out[0] * out[1]))


def map_blocks(function: Callable[..., Array], arrays: tuple[Array, ...], most: int) -> Array:
    """Returns the function of all images, applied to a block of them at a time.

    Args:
        function: of arrays whose first axis is that of the images; its value's is, too.
        arrays: with as many images each.
        most: how many images a block has at most.
    """
    count = _count(len(arrays[0]), most)
    if count == 1:
        return function(*arrays)
    y = lax.map(lambda block: function(*block), _split(arrays, count))
    return y.reshape(-1, *y.shape[2:])


def sum_blocks(function: Callable[..., Array], arrays: tuple[Array, ...], most: int) -> Array:
    """Returns the sum of the function's values for each block."""
    count = _count(len(arrays[0]), most)
    if count == 1:
        return function(*arrays)
    blocks = _split(arrays, count)
    zero = jnp.zeros_like(jax.eval_shape(function, *(block[0] for block in blocks)))
    return lax.scan(lambda total, block: (total + function(*block), None), zero, blocks)[0]


def _count(batch: int, most: int) -> int:
    """Returns the number of blocks, of equal size."""
    return next(count for count in range(-(-batch // most), batch + 1) if batch % count == 0)


def _split(arrays: tuple[Array, ...], count: int) -> tuple[Array, ...]:
    return tuple(a.reshape(count, -1, *a.shape[1:]) for a in arrays)
