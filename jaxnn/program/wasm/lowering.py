"""From the operations of a program to steps: one rule a kind."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxnn.errors import ProgramError
from jaxnn.program.program import Operation, Program, Value
from jaxnn.program.wasm.elementwise import EMITTERS, REDUCTIONS, Library, Types, neutral
from jaxnn.program.wasm.encoding import Function, const
from jaxnn.program.wasm.loops import Number
from jaxnn.program.wasm.memory import SIZES, Storage, View, contiguous, new_view
from jaxnn.program.wasm.schedule import Array, Element, Same, Schedule

Rule = Callable[..., "Array | Sequence[Array]"]
"""Takes the lowering, an operation and its inputs; returns its output or outputs."""

_WIDENED = ("bfloat16", "float16")


class Lowering:
    """Turns a program into steps.

    Attributes:
        rules: what to do with each kind of operation.
        constants: where known arrays lie, which grows as more are met; by their bytes.
        schedule: the steps.
    """

    def __init__(self, rules: Mapping[str, Rule], constants: dict[bytes, Storage]) -> None:
        self.rules = rules
        self.constants = constants
        self.schedule = Schedule()
        self._values: dict[int, Array] = {}

    def lower(self, program: Program, inputs: Sequence[Array]) -> list[Array]:
        """Adds the steps of a program; returns its outputs."""
        for value, x in zip(program.inputs, inputs, strict=True):
            self._values[value.id] = x
        for id, array in program.constants.items():
            self._values[id] = self._constant(array)
        for operation in program.operations:
            outputs = self._outputs(operation)
            self._values.update(
                {value.id: x for value, x in zip(operation.outputs, outputs, strict=True)}
            )
        return [self._values[value.id] for value in program.outputs]

    def _outputs(self, operation: Operation) -> Sequence[Array]:
        if operation.kind not in self.rules:
            raise _error(operation, "")
        _check(operation)
        if not operation.programs and all(value.size == 0 for value in operation.outputs):
            return [_empty(value) for value in operation.outputs]
        inputs = [self._values[value.id] for value in operation.inputs]
        result = self.rules[operation.kind](self, operation, *inputs)
        return [result] if isinstance(result, View | Element | Same) else result

    def finish(self, program: Program, inputs: Sequence[Array], targets: Sequence[View]) -> None:
        """Adds the steps of a program whose outputs go to places that it may read."""
        outputs = zip(self.lower(program, inputs), targets, strict=True)
        self.schedule.finish([(x, target) for x, target in outputs if target.size])

    def within(self) -> "Lowering":
        """Returns the lowering of a program within the program."""
        return Lowering(self.rules, self.constants)

    def _constant(self, array: np.ndarray[Any, Any]) -> Array:
        dtype = in_module(array.dtype.name)
        array = np.ascontiguousarray(array, dtype).reshape(array.shape)
        if array.size == 1:
            return Same(Number(dtype, array.item()), array.shape)
        content = array.tobytes()
        storage = self.constants.setdefault(content, Storage(len(content)))
        return View(storage, dtype, array.shape, contiguous(array.shape))


def in_module(dtype: str) -> str:
    """Returns the type that a module computes in for a type of a program."""
    return "float32" if dtype in _WIDENED else dtype


def _check(operation: Operation) -> None:
    values = (*operation.inputs, *operation.outputs)
    for value in values:
        if in_module(value.dtype) not in SIZES:
            raise _error(operation, f"of type {value.dtype}", "compute in float32 or int32")
    if operation.kind == "bitcast" and any(value.dtype in _WIDENED for value in values):
        raise _error(operation, "of floats of 16 bits")
    small = SIZES[in_module(values[0].dtype)] < 4
    if operation.kind == "put" and operation.attributes["how"] == "add" and small:
        raise _error(operation, f"that adds {values[0].dtype}", "add float32 or int32")
    floats = all(in_module(value.dtype) == "float32" for value in operation.inputs)
    if operation.kind in ("dot", "convolution") and not floats:
        raise _error(operation, f"of {operation.inputs[0].dtype}", "convert to float32 first")


def _error(operation: Operation, what: str, advice: str = "") -> ProgramError:
    called = f"{operation.kind} {what}".strip()
    told = f"; {advice}" if advice else ""
    return ProgramError(f"WebAssembly: {called} is not covered ({operation.source}){told}")


def _empty(value: Value) -> View:
    return View(Storage(0, address=0), in_module(value.dtype), value.shape, contiguous(value.shape))


def _types(operation: Operation) -> Types:
    values = (*operation.inputs[-1:], operation.output)
    return Types(in_module(values[0].dtype), in_module(values[-1].dtype))


# Elements.


def _elementwise(lowering: Lowering, operation: Operation, *inputs: Array) -> Array:
    return lowering.schedule.elementwise(operation.kind, inputs, _types(operation))


def _iota(lowering: Lowering, operation: Operation) -> Array:
    output = operation.output
    dtype = in_module(output.dtype)
    return lowering.schedule.iota(output.shape, operation.attributes["axis"], dtype)


def _reduction(lowering: Lowering, operation: Operation, x: Array) -> Array:
    kind, output = operation.kind, operation.output
    dtype = in_module(output.dtype)
    if not math.prod(x.shape):
        return Same(Number(dtype, neutral(kind, dtype)), output.shape)
    return lowering.schedule.reduce(kind, x, operation.attributes["axes"], dtype)


# The same elements in other places: other views.


def _broadcast(lowering: Lowering, operation: Operation, x: Array) -> Array:
    shape = operation.output.shape
    if isinstance(x, Same):
        return Same(x.number, shape)
    view = lowering.schedule.in_memory(x)
    return view.broadcast(operation.attributes["dimensions"], shape)


def _reshape(lowering: Lowering, operation: Operation, x: Array) -> Array:
    return _reshaped(lowering.schedule, x, operation.output.shape)


def _reshaped(schedule: Schedule, x: Array, shape: tuple[int, ...]) -> Array:
    if isinstance(x, Same):
        return Same(x.number, shape)
    view = schedule.in_memory(x)
    reshaped = view.reshape(shape) or schedule.contiguous(view).reshape(shape)
    assert reshaped is not None
    return reshaped


def _transpose(lowering: Lowering, operation: Operation, x: Array) -> Array:
    if isinstance(x, Same):
        return Same(x.number, operation.output.shape)
    return lowering.schedule.in_memory(x).transpose(operation.attributes["permutation"])


def _slice(lowering: Lowering, operation: Operation, x: Array) -> Array:
    shape = operation.output.shape
    if isinstance(x, Same):
        return Same(x.number, shape)
    starts, strides = operation.attributes["starts"], operation.attributes["strides"]
    return lowering.schedule.in_memory(x).slice(starts, shape, strides)


def _reverse(lowering: Lowering, operation: Operation, x: Array) -> Array:
    if isinstance(x, Same):
        return x
    return lowering.schedule.in_memory(x).reverse(operation.attributes["axes"])


def _concatenate(lowering: Lowering, operation: Operation, *inputs: Array) -> Array:
    axis, output = operation.attributes["axis"], operation.output
    whole = new_view(in_module(output.dtype), output.shape)
    start = 0
    for x in inputs:
        starts = [start if i == axis else 0 for i in range(len(x.shape))]
        if math.prod(x.shape):
            part = whole.slice(starts, x.shape, [1] * len(x.shape))
            lowering.schedule.copy(x, part)
        start += x.shape[axis]
    return whole


def _pad(lowering: Lowering, operation: Operation, x: Array, filler: Array) -> Array:
    names = ("low", "high", "interior")
    return padded(lowering.schedule, x, filler, *(operation.attributes[name] for name in names))


def padded(
    schedule: Schedule,
    x: Array,
    filler: Array,
    low: Sequence[int],
    high: Sequence[int],
    interior: Sequence[int],
) -> View:
    """Returns an array with elements around and between its own, in the same order in memory."""
    axes = list(zip(x.shape, low, high, interior, strict=True))
    spread = [n + max(n - 1, 0) * gap for n, _, _, gap in axes]
    shape = tuple(n + a + b for n, (_, a, b, _) in zip(spread, axes, strict=True))
    # Of each axis, which elements are not cut off, and where the first of them goes.
    starts = [max(0, -(a // (gap + 1))) for _, a, _, gap in axes]
    places = [a + start * (gap + 1) for start, (_, a, _, gap) in zip(starts, axes, strict=True)]
    counts = [
        min(n - start, max(0, -(-(size - place) // (gap + 1))))
        for (n, _, _, gap), start, place, size in zip(axes, starts, places, shape, strict=True)
    ]
    here = min(counts, default=1) > 0
    if here and counts != list(x.shape):
        x = schedule.in_memory(x).slice(starts, counts, [1] * len(counts))
        if tuple(counts) == shape:
            return x
    order = list(range(len(shape)))
    if isinstance(x, View):
        order.sort(key=lambda axis: -abs(x.strides[axis]))
    whole = new_view(x.dtype, shape, order)
    if not here or tuple(counts) != shape:
        _fill(schedule, filler, whole)
    if here:
        steps = [gap + 1 for gap in interior]
        schedule.copy(x, whole.slice(places, counts, steps))
    return whole


def _fill(schedule: Schedule, filler: Array, whole: View) -> None:
    if isinstance(filler, Same) and filler.number.value == 0 and not _is_minus_zero(filler):
        schedule.step(lambda library: _write_zeros(library, whole), writes=[whole])
        return
    if isinstance(filler, Same):
        schedule.copy(Same(filler.number, whole.shape), whole)
    else:
        schedule.copy(schedule.in_memory(filler).broadcast((), whole.shape), whole)


def _is_minus_zero(x: Same) -> bool:
    return math.copysign(1, x.number.value) < 0


def _write_zeros(library: Library, whole: View) -> Function:
    f = library.module.function()
    zero, size = const("i32", 0), const("i32", whole.storage.bytes)
    f.fill(const("i32", whole.storage.place), zero, size)
    return f


VIEWS: Mapping[str, Rule] = {
    "broadcast": _broadcast,
    "concatenate": _concatenate,
    "iota": _iota,
    "pad": _pad,
    "reshape": _reshape,
    "reverse": _reverse,
    "slice": _slice,
    "transpose": _transpose,
    **dict.fromkeys(EMITTERS, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
}
"""The kinds that are views of what is there, or happen in loops over elements."""
