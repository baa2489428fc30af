"""Writes a program operation by operation, and leaves out what is not needed."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnn.program.numpy import Array, evaluate
from jaxnn.program.program import Operation, Program, Value

FOLDED = 64
"""The number of elements up to which what is known is computed at once, even where it grows."""

_COMMUTATIVE = {"add", "and", "eq", "max", "min", "mul", "ne", "or", "xor"}
_COMPARISONS = {"eq", "ge", "gt", "is_finite", "le", "lt", "ne"}
_INVERTIBLE = {"neg", "not"}
_LOOPS = {"cond", "scan", "while"}

# c such that x op c is x; 0 in place of -0 for integers.
_NEUTRAL = {
    "add": -0.0,
    "and": True,
    "div": 1.0,
    "max": -math.inf,
    "min": math.inf,
    "mul": 1.0,
    "or": False,
    "sub": 0.0,
}

Type = tuple[Sequence[int], str]
"""A shape and the name of a type."""


class Source(NamedTuple):
    """Where operations come from.

    Attributes:
        scopes: the names given by ``jax.named_scope``.
        place: the function, its file and line.
    """

    scopes: str = ""
    place: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.place, self.scopes) if part)


class Builder:
    """A program that is being written, value by value.

    Every operation is written once, computed at once if its inputs are known, and not written
    where it would do nothing. What is the same everywhere stays a scalar as long as it can.

    Args:
        outer: the builder of the program that this one will be within.

    Attributes:
        source: where the operations that follow come from.
    """

    def __init__(self, outer: "Builder | None" = None) -> None:
        self.source: Source = outer.source if outer else Source()
        self._numbers: Iterator[int] = outer._numbers if outer else itertools.count()
        self._operations: list[Operation] = []
        self._made_by: dict[int, Operation] = {}
        self._constants: dict[int, Array] = {}
        self._written: dict[Any, tuple[Value, ...]] = {}

    def program(
        self,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        input_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
    ) -> Program:
        """Returns the program; of all that was written, what its outputs need."""
        needed = self.needed(outputs)
        operations = [x for x in self._operations if needed.intersection(y.id for y in x.outputs)]
        constants = {id: array for id, array in self._constants.items() if id in needed}
        names = tuple(input_names), tuple(output_names)
        return Program(tuple(inputs), tuple(outputs), tuple(operations), constants, *names)

    def needed(self, outputs: Sequence[Value]) -> set[int]:
        """Returns the ids of all values that these are made of, themselves included."""
        needed = {x.id for x in outputs}
        for operation in reversed(self._operations):
            if needed.intersection(x.id for x in operation.outputs):
                needed.update(x.id for x in operation.inputs)
        return needed

    def value(self, shape: Sequence[int], dtype: str) -> Value:
        """Returns a new value, an input if no operation makes it."""
        return Value(next(self._numbers), tuple(int(n) for n in shape), dtype)

    def constant(self, x: Any, dtype: str | None = None) -> Value:
        """Returns a known array as a value."""
        array = np.asarray(x, None if dtype is None else np.dtype(dtype))
        if array.size > 1 and array.tobytes() == array.size * array.reshape(-1)[:1].tobytes():
            return self.broadcast(self.constant(array.reshape(-1)[0]), array.shape, ())
        key = ("constant", array.shape, array.dtype.name, array.tobytes())
        if key not in self._written:
            value = self.value(array.shape, array.dtype.name)
            self._constants[value.id] = array
            self._written[key] = (value,)
        return self._written[key][0]

    def adopt(self, outer: "Builder", value: Value) -> Value | None:
        """Returns a value of the program outside that is known, if small; None if it is not."""
        if value.id in outer._constants:
            return self.constant(outer._constants[value.id]) if value.size <= FOLDED else None
        made = outer._made_by.get(value.id)
        if made is None or made.kind not in ("broadcast", "iota"):
            return None
        inputs = [x for x in (self.adopt(outer, x) for x in made.inputs) if x is not None]
        if len(inputs) < len(made.inputs):
            return None
        return self.write(made.kind, inputs, value.shape, value.dtype, **made.attributes)

    def known(self, value: Value) -> Array | None:
        """Returns the array that a value always is, None if that depends on the inputs."""
        made = self._made_by.get(value.id)
        if made is None:
            return self._constants.get(value.id)
        if made.kind not in ("broadcast", "iota"):
            return None
        inputs = self.all_known(made.inputs)
        return None if inputs is None else evaluate(made, *inputs)[0]

    def all_known(self, values: Sequence[Value]) -> list[Array] | None:
        """Returns the arrays that some values always are, None if any depends on the inputs."""
        arrays = [array for x in values if (array := self.known(x)) is not None]
        return arrays if len(arrays) == len(values) else None

    def write(
        self,
        kind: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        dtype: str,
        **attributes: Any,
    ) -> Value:
        """Writes an operation with one output, as it stands. Returns the output."""
        return self.write_all(kind, inputs, [(shape, dtype)], **attributes)[0]

    def write_all(
        self, kind: str, inputs: Sequence[Value], types: Sequence[Type], **attributes: Any
    ) -> tuple[Value, ...]:
        """Writes an operation, as it stands. Returns its outputs."""
        if kind in _LOOPS:
            return self._append(kind, inputs, types, attributes)
        ids = [x.id for x in inputs]
        if kind in _COMMUTATIVE:
            ids.sort()
        shapes = tuple((tuple(shape), dtype) for shape, dtype in types)
        key = (kind, *ids, shapes, tuple(sorted(attributes.items())))
        if key not in self._written:
            self._written[key] = self._folded(kind, inputs, types, attributes) or self._append(
                kind, inputs, types, attributes
            )
        return self._written[key]

    def _append(
        self, kind: str, inputs: Sequence[Value], types: Sequence[Type], attributes: dict[str, Any]
    ) -> tuple[Value, ...]:
        outputs = tuple(self.value(*type) for type in types)
        operation = Operation(kind, tuple(inputs), outputs, attributes, str(self.source))
        self._operations.append(operation)
        self._made_by.update({x.id: operation for x in outputs})
        return outputs

    def _folded(
        self, kind: str, inputs: Sequence[Value], types: Sequence[Type], attributes: dict[str, Any]
    ) -> tuple[Value, ...] | None:
        if kind in ("broadcast", "iota"):
            return None
        arrays = self.all_known(inputs)
        held = sum(self._constants[x.id].size for x in inputs if x.id in self._constants)
        outputs = tuple(Value(-1, tuple(shape), dtype) for shape, dtype in types)
        if arrays is None or sum(x.size for x in outputs) > max(held, FOLDED):
            return None
        operation = Operation(kind, tuple(inputs), outputs, attributes, str(self.source))
        return tuple(self.constant(array) for array in evaluate(operation, *arrays))

    # One method a kind, where there is something to simplify.

    def scalar(self, x: Value) -> Value | None:
        """Returns what every element of ``x`` is, if that is one value; else None."""
        if x.size == 1:
            return self.reshape(x, ())
        made = self._made_by.get(x.id)
        alike = made is not None and made.kind == "broadcast" and made.inputs[0].shape == ()
        return made.inputs[0] if made is not None and alike else None

    def elementwise(self, kind: str, *inputs: Value, dtype: str | None = None) -> Value:
        """Writes an operation of ``ELEMENTWISE``; of its inputs, some may be scalars.

        Args:
            kind: which one.
            inputs: its inputs; where one has length 1 along an axis, it is repeated.
            dtype: the output's type; by default, that of the last input, or bool of a comparison.
        """
        shape = np.broadcast_shapes(*(x.shape for x in inputs))
        if dtype is None:
            dtype = "bool" if kind in _COMPARISONS else inputs[-1].dtype
        scalars = [self.scalar(x) for x in inputs]
        arguments = [x if s is None else s for x, s in zip(inputs, scalars, strict=True)]
        if shape and None not in scalars:
            return self.broadcast(self.elementwise(kind, *arguments, dtype=dtype), shape, ())
        arguments = [
            self.broadcast(x, shape, range(len(shape))) if x.shape else x for x in arguments
        ]
        same = self._unchanged(kind, arguments, dtype)
        if same is not None:
            return same if same.shape == shape else self.broadcast(same, shape, ())
        return self.write(kind, arguments, shape, dtype)

    def _unchanged(self, kind: str, inputs: Sequence[Value], dtype: str) -> Value | None:
        """The value that an operation would only repeat, if it does."""
        x = inputs[0]
        made = self._made_by.get(x.id)
        if kind == "select":
            predicate = self.known(x) if x.shape == () else None
            if predicate is not None or inputs[1] == inputs[2]:
                return inputs[1] if predicate is None or predicate else inputs[2]
        elif kind in ("convert", "bitcast"):
            if x.dtype == dtype:
                return x
            if made is not None and made.kind == "convert" == kind:
                original = made.inputs[0]
                if _passes(original.dtype, x.dtype, dtype):
                    return self.elementwise("convert", original, dtype=dtype)
        elif kind in _INVERTIBLE and made is not None and made.kind == kind:
            return made.inputs[0]
        elif kind in _NEUTRAL:
            if self._is_neutral(kind, inputs[1]):
                return x
            if kind in _COMMUTATIVE and self._is_neutral(kind, x):
                return inputs[1]
        return None

    def _is_neutral(self, kind: str, x: Value) -> bool:
        array, neutral = self._constants.get(x.id), _NEUTRAL[kind]
        if array is None or array.shape != () or array != neutral:
            return False
        if isinstance(neutral, bool) or array.dtype.kind in "iub":
            return isinstance(neutral, bool) == (x.dtype == "bool")
        return bool(np.signbit(array) == np.signbit(neutral))

    def convert(self, x: Value, dtype: str) -> Value:
        """Returns the same numbers in another type."""
        return self.elementwise("convert", x, dtype=dtype)

    def broadcast(self, x: Value, shape: Sequence[int], dimensions: Sequence[int]) -> Value:
        """Repeats an array; ``dimensions`` says where in the output each axis of the input is."""
        shape = tuple(shape)
        if x.size == math.prod(shape):
            return self.reshape(x, shape)  # also where nothing is to do
        kept = [i for i, n in enumerate(x.shape) if n != 1]
        x = self.reshape(x, [x.shape[i] for i in kept])
        dimensions = tuple(int(dimensions[i]) for i in kept)
        made = self._made_by.get(x.id)
        if made is not None and made.kind == "broadcast":
            inner = made.attributes["dimensions"]
            return self.broadcast(made.inputs[0], shape, [dimensions[i] for i in inner])
        return self.write("broadcast", [x], shape, x.dtype, dimensions=dimensions)

    def iota(self, shape: Sequence[int], dtype: str, axis: int) -> Value:
        """Returns an array of positions along an axis."""
        line = self.write("iota", [], [shape[axis]], dtype, axis=0)
        return self.broadcast(line, shape, [axis])

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Returns the same elements in another shape."""
        shape = tuple(int(n) for n in shape)
        if x.shape == shape:
            return x
        made = self._made_by.get(x.id)
        if made is not None and made.kind == "reshape":
            return self.reshape(made.inputs[0], shape)
        if x.size > 1 and (alike := self.scalar(x)) is not None:
            return self.broadcast(alike, shape, ())
        return self.write("reshape", [x], shape, x.dtype)

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        """Returns the same elements, axes permuted."""
        permutation = tuple(int(axis) for axis in permutation)
        shape = [x.shape[axis] for axis in permutation]
        long = [axis for axis in permutation if x.shape[axis] != 1]
        if long == sorted(long) or self.scalar(x) is not None:
            return self.reshape(x, shape)
        made = self._made_by.get(x.id)
        if made is not None and made.kind == "transpose":
            inner = made.attributes["permutation"]
            return self.transpose(made.inputs[0], [inner[axis] for axis in permutation])
        return self.write("transpose", [x], shape, x.dtype, permutation=permutation)

    def slice(
        self,
        x: Value,
        starts: Sequence[int],
        limits: Sequence[int],
        strides: Sequence[int] | None = None,
    ) -> Value:
        """Returns a part of an array."""
        bounds = [
            tuple(int(n) for n in numbers)
            for numbers in (starts, limits, strides or [1] * len(x.shape))
        ]
        shape = [max(0, -(-(b - a) // step)) for a, b, step in zip(*bounds, strict=True)]
        if tuple(shape) == x.shape:
            return x
        if (alike := self.scalar(x)) is not None:
            return self.broadcast(alike, shape, ())
        names = dict(zip(("starts", "limits", "strides"), bounds, strict=True))
        return self.write("slice", [x], shape, x.dtype, **names)

    def pad(
        self,
        x: Value,
        filler: Value,
        low: Sequence[int],
        high: Sequence[int],
        interior: Sequence[int],
    ) -> Value:
        """Returns an array with elements added around and between its own."""
        widths = [tuple(int(n) for n in numbers) for numbers in (low, high, interior)]
        shape = [
            a + n + max(n - 1, 0) * gap + b for n, a, b, gap in zip(x.shape, *widths, strict=True)
        ]
        gaps = (gap for n, gap in zip(x.shape, interior, strict=True) if n > 1)
        if not any((*low, *high, *gaps)):
            return x
        names = dict(zip(("low", "high", "interior"), widths, strict=True))
        return self.write("pad", [x, filler], shape, x.dtype, **names)

    def concatenate(self, arrays: Sequence[Value], axis: int) -> Value:
        """Returns arrays one after the other."""
        arrays = [x for x in arrays if x.shape[axis]] or list(arrays[:1])
        if len(arrays) == 1:
            return arrays[0]
        shape = list(arrays[0].shape)
        shape[axis] = sum(x.shape[axis] for x in arrays)
        return self.write("concatenate", arrays, shape, arrays[0].dtype, axis=int(axis))

    def reverse(self, x: Value, axes: Sequence[int]) -> Value:
        """Returns an array with the order along some axes turned round."""
        axes = tuple(sorted(int(axis) for axis in axes if x.shape[axis] > 1))
        if not axes or self.scalar(x) is not None:
            return x
        return self.write("reverse", [x], x.shape, x.dtype, axes=axes)

    def reduce(self, kind: str, x: Value, axes: Sequence[int]) -> Value:
        """Writes a reduction over some axes."""
        shape = [n for axis, n in enumerate(x.shape) if axis not in axes]
        axes = tuple(sorted(int(axis) for axis in axes))
        if x.size == math.prod(shape):
            return self.reshape(x, shape)
        return self.write(kind, [x], shape, x.dtype, axes=axes)

    def dot(self, a: Value, b: Value, dtype: str, *, transpose_a: bool, transpose_b: bool) -> Value:
        """Returns the product of two matrices, or of the matrices of two batches of them."""
        (a, transpose_a), (b, transpose_b) = (
            self._untransposed(x, turned) for x, turned in ((a, transpose_a), (b, transpose_b))
        )
        rows, columns = a.shape[-1 if transpose_a else -2], b.shape[-2 if transpose_b else -1]
        names = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        return self.write("dot", [a, b], (*a.shape[:-2], rows, columns), dtype, **names)

    def _untransposed(self, x: Value, transposed: bool) -> tuple[Value, bool]:
        made = self._made_by.get(x.id)
        if made is not None and made.kind == "transpose":
            batch = range(len(x.shape) - 2)
            if made.attributes["permutation"] == (*batch, len(batch) + 1, len(batch)):
                return made.inputs[0], not transposed
        return x, transposed


def _passes(first: str, between: str, last: str) -> bool:
    """Whether a number that becomes another type, then a third, might become that at once."""
    a, b, c = np.dtype(first), np.dtype(between), np.dtype(last)
    if a.itemsize >= b.itemsize or not np.can_cast(a, b, "safe"):
        return False
    # What does not fit is cut off where it comes from integers, and moved inside from floats.
    return not (a.kind in "iu" and b.kind not in "iu" and c.kind in "iu")
