"""What devices that share a batch tell each other, all of it written out here.

Training on several devices maps the whole step over a mesh of them (``jaxnn.training.devices``):
each has its part of the batch, and what is said of the batch as a whole (a loss, a gradient, the
mean of ``batch_norm``) is summed over all. Nobody has to be told: the axes of the mesh are known
while a program is traced. Where a batch is in one place, these functions do nothing.

The axis ``data`` divides the batch; ``parameters`` divides it further, and the arrays of
``sharded`` layers too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.arrays import Tree

DATA, PARAMETERS = "data", "parameters"

AXES = (DATA, PARAMETERS)
"""Over which a batch is divided, in this order."""


def batch_axes() -> tuple[str, ...]:
    """Returns the axes that the batch at hand is divided over; none where it is whole."""
    mapped = jax.sharding.get_abstract_mesh().manual_axes
    return tuple(name for name in AXES if name in mapped)


def batch_parts() -> int:
    """Returns the number of equal parts that the batch is divided into."""
    axes = batch_axes()
    return lax.axis_size(axes) if axes else 1


def batch_sum(tree: Tree) -> Tree:
    """Returns the sums of arrays over all parts of the batch."""
    axes = batch_axes()
    return lax.psum(tree, axes) if axes else tree


def batch_mean(x: Array) -> Array:
    """Returns the mean of an array over all parts of the batch."""
    axes = batch_axes()
    return lax.pmean(x, axes) if axes else x


def batch_positions(size: int) -> Array:
    """Returns the positions in the whole batch of this part's examples, (size,) int32."""
    axes = batch_axes()
    here = jnp.arange(size)
    return here + size * lax.axis_index(axes) if axes else here


def own_rows(rows: Array, count: int) -> Array:
    """Returns where examples are among those that lie here, given where they are among all.

    Args:
        rows: positions among the examples of all parts, each of as many.
        count: how many lie here.
    """
    axes = batch_axes()
    return rows - count * lax.axis_index(axes) if axes else rows


def examples_before(x: Array) -> Array:
    """Returns for each example the one before it in the whole batch; before the first is the last.

    Args:
        x: this part's examples, (batch, ...).
    """
    axes = batch_axes()
    if not axes:
        return jnp.roll(x, 1, axis=0)
    parts = lax.axis_size(axes)
    last = lax.ppermute(x[-1:], axes, [(i, (i + 1) % parts) for i in range(parts)])
    return jnp.concatenate([last, x[:-1]])


def division(shape: tuple[int, ...], parts: int) -> int | None:
    """Returns the axis along which an array is divided: the first that can be, None if none can."""
    divisible = (i for i, size in enumerate(shape) if size and size % parts == 0)
    return next(divisible, None) if parts > 1 else None


_NONE: Mapping[str, int] = MappingProxyType({})
_DIVIDED: ContextVar[Mapping[str, int]] = ContextVar("divided", default=_NONE)


@contextmanager
def divided_params(axes: Mapping[str, int]) -> Iterator[None]:
    """For as long as it lasts, trees like the parameters hold a part of some arrays.

    Args:
        axes: the axis that such an array is divided along, by its path in the tree (``keystr``).
    """
    token = _DIVIDED.set(axes)
    try:
        yield
    finally:
        _DIVIDED.reset(token)


def is_divided(path: tuple[object, ...]) -> bool:
    """Returns whether the array of this path is a part of one."""
    return jax.tree_util.keystr(path) in _DIVIDED.get()


def gradient_sum(gradients: Tree) -> Tree:
    """Returns the gradients of the whole batch, from those that each part of it contributes.

    Those of ``sharded`` layers are sums over the axis ``parameters`` already.
    """
    axes = batch_axes()
    if not axes:
        return gradients
    paths, structure = jax.tree_util.tree_flatten_with_path(gradients)
    divided = [g for path, g in paths if is_divided(path)]
    whole = [g for path, g in paths if not is_divided(path)]
    sums = iter(_sum_together(whole, axes)), iter(_sum_together(divided, (DATA,)))
    return jax.tree.unflatten(structure, [next(sums[is_divided(path)]) for path, _ in paths])


_SMALL = 2**16
"""Numbers: arrays of fewer are summed as one, since each message takes a while."""


def _sum_together(arrays: list[Array], axes: tuple[str, ...]) -> list[Array]:
    small = {i: x for i, x in enumerate(arrays) if x.size < _SMALL}
    if len({x.dtype for x in small.values()}) != 1:
        return lax.psum(arrays, axes)
    large = [x for i, x in enumerate(arrays) if i not in small]
    joined = jnp.concatenate([x.ravel() for x in small.values()])
    *sums, joined = lax.psum([*large, joined], axes)
    others, start = iter(sums), 0
    found = []
    for i, x in enumerate(arrays):
        if i not in small:
            found.append(next(others))
        else:
            found.append(joined[start : start + x.size].reshape(x.shape))
            start += x.size
    return found


def sum_over_parts(path: tuple[object, ...], x: Array) -> Array:
    """Returns what a sum over the array of this path is, from that over the part at hand."""
    return lax.psum(x, PARAMETERS) if is_divided(path) else x


def on_whole(function: Callable[[Array], Array], path: tuple[object, ...], x: Array) -> Array:
    """Returns the part at hand of a function of the whole array of this path, of the same shape."""
    axis = _DIVIDED.get().get(jax.tree_util.keystr(path))
    if axis is None:
        return function(x)
    whole = function(lax.all_gather(x, PARAMETERS, axis=axis, tiled=True))
    size = x.shape[axis]
    return lax.dynamic_slice_in_dim(whole, size * lax.axis_index(PARAMETERS), size, axis)
