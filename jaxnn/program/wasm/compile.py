"""Programs as one WebAssembly module, its bytes written here: no other tool is needed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jaxnn.errors import ProgramError
from jaxnn.program.program import Program, Value
from jaxnn.program.wasm.control import CONTROL
from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import PAGE, Module
from jaxnn.program.wasm.lowering import VIEWS, Lowering, in_module
from jaxnn.program.wasm.memory import SLACK, Storage, View, new_view, plan, rounded
from jaxnn.program.wasm.rules import STEPS
from jaxnn.program.wasm.schedule import Array, Schedule, Step
from jaxnn.program.wasm.transcendental import TABLE

_TABLE = 64  # where in memory the functions' table lies; nothing is at 0


@dataclass(frozen=True)
class WasmModule:
    """A WebAssembly module and where in its memory arrays lie.

    Attributes:
        bytes: the module. It imports nothing, and exports ``memory``, whose size never changes,
            and a function without parameters for each entry.
        layout: what can be written as JSON. ``pages``: the size of the memory, of 65,536 bytes
            each; ``arrays``: those that stay; ``entries``: of each, its ``inputs`` and
            ``outputs``. An array is ``{name, dtype, shape, address}``, its elements next to each
            other from this byte on, the low byte first, a bool being a byte of 0 or 1. Inputs that
            do not stay are to be written before a call, outputs to be read after it, before the
            next call of any entry.
    """

    bytes: bytes
    layout: dict[str, Any]


def compile_module(
    programs: Mapping[str, Program], persistent: Collection[str] = (), *, relaxed: bool = False
) -> WasmModule:
    """Compiles programs to one module, an entry each.

    Numbers are float32, int32, uint32, uint16, uint8 and bool; what is bfloat16 or float16 in a
    program is float32 in the module. A module gives the same bits wherever it runs, unless it is
    relaxed. Whatever numbers it is given, it stays inside its memory and never traps.

    Args:
        programs: by the entries' names.
        persistent: the names of inputs and outputs that stay in memory from call to call, alike in
            all entries: an entry that returns one changes it. ``params`` means all names that
            begin with ``params.`` too. They are zero to begin with.
        relaxed: whether to use the instruction of relaxed SIMD that multiplies and adds at once,
            which is faster, is rounded once or twice as the machine likes, and is not understood
            everywhere.

    Raises:
        ProgramError: if an operation is not covered, or of a type that is not: the message names it
            and where it comes from; if an array that stays is not the same in two entries; or if
            more than 4 GiB of memory would be needed.
    """
    rules = {**VIEWS, **STEPS, **CONTROL}
    constants: dict[bytes, Storage] = {}
    staying: dict[str, View] = {}
    entries = {}
    for name, program in programs.items():
        lowering = Lowering(rules, constants)
        entries[name] = _Entry(program, lowering, persistent, staying)
    address = _TABLE + rounded(len(TABLE))
    module = Module()
    for content, storage in constants.items():
        storage.address = address
        module.data(address, content)
        address += rounded(len(content))
    for view in staying.values():
        view.storage.address = address
        address += rounded(view.storage.bytes)
    end = max((plan(entry.storages, address) for entry in entries.values()), default=address)
    module.pages = -(-(end + SLACK) // PAGE)
    if module.pages > 65536:
        raise ProgramError(f"WebAssembly: {end / 2**30:.1f} GiB of memory are needed, 4 there are")
    library = Library(module, relaxed, _TABLE)
    for name, entry in entries.items():
        functions = [step.write(library) for step in entry.steps]
        f = module.function(export=name)
        for function in functions:
            f.call(function)
    layout = {
        "pages": module.pages,
        "arrays": [_described(name, view) for name, view in staying.items()],
        "entries": {name: entry.layout() for name, entry in entries.items()},
    }
    return WasmModule(module.encode(), layout)


class _Entry:
    """A program as steps.

    Attributes:
        steps: in their order.
        storages: all that they use.
    """

    def __init__(
        self,
        program: Program,
        lowering: Lowering,
        persistent: Collection[str],
        staying: dict[str, View],
    ) -> None:
        self._program = program
        prefixes = tuple(f"{name}." for name in persistent)

        def place(name: str, value: Value) -> View | None:
            """Returns where an array that stays does."""
            if name not in persistent and not name.startswith(prefixes):
                return None
            dtype = in_module(value.dtype)
            view = staying.setdefault(name, new_view(dtype, value.shape))
            if (view.dtype, view.shape) != (dtype, value.shape):
                raise ProgramError(
                    f"WebAssembly: {name} stays in memory, but is {view.dtype}{list(view.shape)} "
                    f"in one entry and {dtype}{list(value.shape)} in another"
                )
            return view

        self._inputs = [
            place(name, value) or new_view(in_module(value.dtype), value.shape)
            for name, value in zip(program.input_names, program.inputs, strict=True)
        ]
        outputs = lowering.lower(program, self._inputs)
        schedule = lowering.schedule
        places = [
            place(name, value)
            for name, value in zip(program.output_names, program.outputs, strict=True)
        ]
        kept = {view.storage for view in staying.values()} | set(lowering.constants.values())
        self._outputs = [
            _output(schedule, x, kept) if view is None else view
            for x, view in zip(outputs, places, strict=True)
        ]
        schedule.finish(
            [(x, view) for x, view in zip(outputs, places, strict=True) if view and view.size]
        )
        self.steps = schedule.order()
        self.storages = self._lives()

    def _lives(self) -> list[Storage]:
        """Returns all storages, with the moments in which they are used."""
        found: dict[Storage, None] = {}
        for view in self._inputs:
            view.storage.use(-1)
            found[view.storage] = None
        moment = 0

        def live(steps: list[Step]) -> None:
            nonlocal moment
            for step in steps:
                used = dict.fromkeys((*step.reads, *step.writes))
                found.update(used)
                for storage in used:
                    storage.use(moment)
                if step.inner:
                    live(step.inner)
                    for storage in used:
                        storage.use(moment)
                moment += 1

        live(self.steps)
        for view in self._outputs:
            view.storage.use(moment)
            found[view.storage] = None
        return list(found)

    def layout(self) -> dict[str, Any]:
        """Returns what comes in and what goes out."""
        program = self._program
        return {
            "inputs": list(map(_described, program.input_names, self._inputs)),
            "outputs": list(map(_described, program.output_names, self._outputs)),
        }


def _output(schedule: Schedule, x: Array, kept: set[Storage]) -> View:
    """Returns an output as it lies in memory in order, where no later step changes it."""
    if isinstance(x, View) and x.storage in kept:
        copied = new_view(x.dtype, x.shape)
        if x.size:
            schedule.copy(x, copied)
        return copied
    return schedule.contiguous(x)


def _described(name: str, view: View) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": view.dtype,
        "shape": list(view.shape),
        "address": view.address,
    }
