"""The rules for gathering and scattering, of which programs know rows alone."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.lax import GatherScatterMode

from jaxnn.program.builder import Builder
from jaxnn.program.program import Value
from jaxnn.program.types import Rule, output_type


def parts(b: Builder, x: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Slices of these sizes, one after the other along an axis."""
    parts, start = [], 0
    for size in sizes:
        starts, limits = [0] * len(x.shape), list(x.shape)
        starts[axis], limits[axis] = start, start + size
        parts.append(b.slice(x, starts, limits))
        start += size
    return parts


class _Rows:
    """An array whose windows are addressed by computed indices, as rows of a matrix.

    The axes along which a window moves come first and are one axis, the index; the others are a
    row.

    Args:
        b: the builder.
        shape: the array's shape.
        starts: (*batch, axes), where windows start, along ``indexed`` axes.
        indexed: the axes that ``starts`` speaks of.
        batching: axes that belong to the batch's axes ``starts_batching``, one each.
        starts_batching: see above.
        sizes: the window's size along each axis.

    Attributes:
        moving: the axes along which a window moves.
        resting: the others.
        windows: (axes, sizes) of those along which the window is longer than an element.
        indices: int32, (*batch, *windows), the rows; those out of range moved inside.
        inside: bool like ``indices``, whether the whole window lay in the array.
    """

    def __init__(
        self,
        b: Builder,
        shape: Sequence[int],
        starts: Value,
        indexed: Sequence[int],
        batching: Sequence[int],
        starts_batching: Sequence[int],
        sizes: Sequence[int],
    ) -> None:
        self.batch = starts.shape[:-1]
        if starts.dtype == "uint32":  # what is too large for int32 stays large
            starts = b.elementwise("min", starts, b.constant(2**31 - 1, "uint32"))
        columns = parts(b, b.convert(starts, "int32"), len(self.batch), [1] * len(indexed))
        positions = {
            axis: b.reshape(column, self.batch)
            for axis, column in zip(indexed, columns, strict=True)
        }
        zero = b.constant(0, "int32")
        inside = b.constant(True, "bool")
        for axis, position in positions.items():
            last = b.constant(shape[axis] - sizes[axis], "int32")
            within = b.elementwise(
                "and", b.elementwise("ge", position, zero), b.elementwise("le", position, last)
            )
            inside = b.elementwise("and", inside, within)
            positions[axis] = b.elementwise("min", b.elementwise("max", position, zero), last)
        for axis, batch_axis in zip(batching, starts_batching, strict=True):
            positions[axis] = b.iota(self.batch, "int32", batch_axis)
        self.moving = [axis for axis, n in enumerate(shape) if axis in batching or sizes[axis] < n]
        self.resting = [axis for axis in range(len(shape)) if axis not in self.moving]
        self.window_axes = [axis for axis in self.moving if sizes[axis] > 1]
        whole = (*self.batch, *(sizes[axis] for axis in self.window_axes))
        dimensions = range(len(self.batch))
        indices = zero
        for axis in self.moving:
            position = positions.get(axis, zero)
            position = b.broadcast(position, whole, dimensions[: len(position.shape)])
            if axis in self.window_axes:
                at = len(self.batch) + self.window_axes.index(axis)
                position = b.elementwise("add", position, b.iota(whole, "int32", at))
            indices = b.elementwise("mul", indices, b.constant(shape[axis], "int32"))
            indices = b.elementwise("add", indices, position)
        self.indices = b.broadcast(indices, whole, ()) if indices.shape != whole else indices
        if inside.shape != self.batch:
            inside = b.broadcast(inside, self.batch, ())
        self.inside = b.broadcast(inside, whole, dimensions)
        self.count = math.prod(shape[axis] for axis in self.moving)
        self.row = [shape[axis] for axis in self.resting]
        self.order = [*self.moving, *self.resting]

    def of(self, b: Builder, x: Value) -> Value:
        """Returns the array as rows."""
        return b.reshape(b.transpose(x, self.order), [self.count, *self.row])

    def back(self, b: Builder, rows: Value, shape: Sequence[int]) -> Value:
        """Returns rows as the array that they are of."""
        apart = b.reshape(rows, [shape[axis] for axis in self.order])
        return b.transpose(apart, np.argsort(self.order).tolist())


def gather(b: Builder, eqn: Any, x: Value, starts: Value) -> Value:
    """The rule of ``gather``: rows taken from a table."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    shape, dtype = output_type(eqn)
    batching, starts_batching = numbers.operand_batching_dims, numbers.start_indices_batching_dims
    rows = _Rows(b, x.shape, starts, numbers.start_index_map, batching, starts_batching, sizes)
    taken_shape = [*rows.indices.shape, *rows.row]
    taken = b.write("take", [rows.of(b, x), rows.indices], taken_shape, dtype)
    if eqn.params["mode"] == GatherScatterMode.FILL_OR_DROP:
        filler = b.constant(_filler(eqn.params["fill_value"], dtype), dtype)
        inside = b.broadcast(rows.inside, taken_shape, range(len(rows.indices.shape)))
        taken = b.elementwise("select", inside, taken, filler)
    # From (*batch, *moving, *resting) to the array's own order, then to where the output has it.
    batch = len(rows.batch)
    inner = [*rows.window_axes, *rows.resting]
    taken = b.transpose(taken, [*range(batch), *(batch + i for i in np.argsort(inner))])
    gone = {*numbers.collapsed_slice_dims, *batching}
    window = [size for axis, size in enumerate(sizes) if axis not in gone]
    taken = b.reshape(taken, [*rows.batch, *window])
    offsets, others = list(numbers.offset_dims), iter(range(batch))
    places = [batch + offsets.index(i) if i in offsets else next(others) for i in range(len(shape))]
    return b.transpose(taken, places)


def _filler(given: Any, dtype: str) -> Any:
    """What JAX puts where an index is out of range."""
    if given is not None:
        return given
    if dtype == "bool":
        return True
    if dtype[0] not in "iu":
        return math.nan
    info = np.iinfo(dtype)
    return info.min if dtype[0] == "i" else info.max


def scatter(how: str) -> Rule:
    """The rule of a primitive that scatters rows into a table."""

    def rule(b: Builder, eqn: Any, x: Value, starts: Value, updates: Value) -> Value:
        numbers = eqn.params["dimension_numbers"]
        batching = numbers.operand_batching_dims
        gone = {*numbers.inserted_window_dims, *batching}
        window_dims = list(numbers.update_window_dims)
        lengths = iter(updates.shape[i] for i in window_dims)
        sizes = [1 if axis in gone else next(lengths) for axis in range(len(x.shape))]
        rows = _Rows(
            b,
            x.shape,
            starts,
            numbers.scatter_dims_to_operand_dims,
            batching,
            numbers.scatter_indices_batching_dims,
            sizes,
        )
        indices = rows.indices
        if eqn.params["mode"] != GatherScatterMode.CLIP:
            nowhere = b.constant(rows.count, "int32")
            indices = b.elementwise("select", rows.inside, indices, nowhere)
        # To (*batch, *moving, *resting), by way of the array's own order.
        batch = len(rows.batch)
        batch_dims = [i for i in range(len(updates.shape)) if i not in window_dims]
        updates = b.transpose(updates, [*batch_dims, *window_dims])
        inner = [*rows.window_axes, *rows.resting]
        updates = b.reshape(updates, [*rows.batch, *(sizes[axis] for axis in sorted(inner))])
        order = [batch + sorted(inner).index(axis) for axis in inner]
        updates = b.transpose(updates, [*range(batch), *order])
        count = math.prod(indices.shape)
        inputs = [
            rows.of(b, x),
            b.reshape(indices, [count]),
            b.reshape(updates, [count, *rows.row]),
        ]
        result = b.write("put", inputs, [rows.count, *rows.row], x.dtype, how=how)
        return rows.back(b, result, x.shape)

    return rule
