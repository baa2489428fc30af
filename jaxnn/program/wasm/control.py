"""The rules of the kinds that hold programs: branches and loops.

Their steps are calls within one step of the program outside.
"""

from collections.abc import Iterable, Mapping, Sequence

from jaxnn.program.program import Operation
from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import Expression, Function, const, load, op
from jaxnn.program.wasm.lowering import Lowering, Rule, in_module
from jaxnn.program.wasm.memory import SIZES, View, new_view
from jaxnn.program.wasm.schedule import Array, Same, Step


class Calls:
    """Steps that are called one after the other, in the middle of a function."""

    def __init__(self, steps: Sequence[Step], library: Library) -> None:
        self._functions = [step.write(library) for step in steps]

    def write(self, f: Function) -> None:
        """Writes the calls."""
        for function in self._functions:
            f.call(function)


def _stays(lowering: Lowering, inputs: Iterable[Array]) -> list[Array]:
    """Returns arrays that a program within may read."""
    return [x if isinstance(x, Same) else lowering.schedule.in_memory(x) for x in inputs]


def _carries(lowering: Lowering, inputs: Iterable[Array]) -> list[View]:
    """Returns arrays of their own for what changes from turn to turn."""
    views = []
    for x in inputs:
        views.append(new_view(x.dtype, x.shape))
        if views[-1].size:
            lowering.schedule.copy(x, views[-1])
    return views


def _outside(inner: Sequence[Step], own: Iterable[View]) -> tuple[list[View], list[View]]:
    """Returns what steps within read and write, one view a storage, and some views besides."""
    reads = dict.fromkeys(storage for step in inner for storage in step.reads)
    written = {storage for step in inner for storage in step.writes}
    views = [View(x, "uint8", (0,), (1,)) for x in reads if x not in written]
    return [*views, *own], list(own)


def _cond(lowering: Lowering, operation: Operation, which: Array, *inputs: Array) -> list[View]:
    outputs = [new_view(in_module(value.dtype), value.shape) for value in operation.outputs]
    given = _stays(lowering, inputs)
    index = lowering.schedule.in_memory(which)
    branches = []
    for program in operation.attributes["branches"]:
        inner = lowering.within()
        for x, target in zip(inner.lower(program, given), outputs, strict=True):
            if target.size:
                inner.schedule.copy(x, target)
        branches.append(inner.schedule.order())

    def write(library: Library) -> Function:
        f = library.module.function()
        calls = [Calls(steps, library) for steps in branches]

        def choose(number: int) -> None:
            if number == len(calls) - 1:
                calls[number].write(f)
                return
            with f.when(op("i32.le_s", load("i32", const("i32", index.address)), number)):
                calls[number].write(f)
            with f.otherwise():
                choose(number + 1)

        choose(0)
        return f

    steps = [step for branch in branches for step in branch]
    reads, writes = _outside(steps, outputs)
    lowering.schedule.step(write, [index, *reads], writes, steps)
    return outputs


def _while(lowering: Lowering, operation: Operation, *inputs: Array) -> list[View]:
    count = operation.attributes["constants"]
    given = _stays(lowering, inputs[:count])
    carries = _carries(lowering, inputs[count:])
    test, body = lowering.within(), lowering.within()
    (result,) = test.lower(operation.attributes["condition"], [*given, *carries])
    going = test.schedule.in_memory(result)
    body.finish(operation.attributes["body"], [*given, *carries], carries)
    tests, turns = test.schedule.order(), body.schedule.order()

    def write(library: Library) -> Function:
        f = library.module.function()
        before, turn = Calls(tests, library), Calls(turns, library)

        def goes_on() -> Expression:
            before.write(f)
            return load("u8", const("i32", going.address))

        with f.during(goes_on):
            turn.write(f)
        return f

    steps = [*tests, *turns]
    lowering.schedule.step(write, *_outside(steps, [*carries, going]), steps)
    return carries


def _scan(lowering: Lowering, operation: Operation, *inputs: Array) -> list[View]:
    names = ("length", "reverse", "constants", "carries")
    length, reverse, count, changing = (operation.attributes[name] for name in names)
    given = _stays(lowering, inputs[:count])
    carries = _carries(lowering, inputs[count : count + changing])
    arrays = [lowering.schedule.contiguous(x) for x in inputs[count + changing :]]
    slices = [new_view(x.dtype, x.shape[1:]) for x in arrays]
    stacked = [
        new_view(in_module(value.dtype), value.shape) for value in operation.outputs[changing:]
    ]
    parts = [new_view(x.dtype, x.shape[1:]) for x in stacked]
    body = lowering.within()
    body.finish(operation.attributes["body"], [*given, *carries, *slices], [*carries, *parts])
    turns = body.schedule.order()

    def write(library: Library) -> Function:
        f = library.module.function()
        turn = Calls(turns, library)
        taken, put = (
            [_Place(f, whole, part, reverse) for whole, part in zip(*pairs, strict=True)]
            for pairs in ((arrays, slices), (stacked, parts))
        )
        with f.repeat(length):
            for place in taken:
                f.copy(place.part, place.whole, place.bytes)
            turn.write(f)
            for place in put:
                f.copy(place.whole, place.part, place.bytes)
            for place in (*taken, *put):
                place.advance()
        return f

    own = [*carries, *slices, *parts, *stacked]
    if length:
        lowering.schedule.step(write, *_outside(turns, [*own, *arrays]), turns)
    return [*carries, *stacked]


class _Place:
    """A slice of an array that a loop has come to, and where it is in the loop's turn."""

    def __init__(self, f: Function, whole: View, part: View, reverse: bool) -> None:
        size = part.size * SIZES[part.dtype]
        last = (whole.shape[0] - 1) * size
        self.whole = f.let(const("i32", whole.address + last * reverse))
        self.part = const("i32", part.address)
        self.bytes = const("i32", size)
        self._step = -size if reverse else size

    def advance(self) -> None:
        """On to the next slice."""
        self.whole.set(self.whole + self._step)


CONTROL: Mapping[str, Rule] = {"cond": _cond, "scan": _scan, "while": _while}
"""The kinds that hold programs."""
