"""Programs as steps: which operations share a loop, what has to lie in memory, and in which order.

Elementwise operations and reductions join the loop that makes what they read, where nothing in
between has to wait for that loop; broadcasts, transposes, slices and the like are no steps at all
but other views of the same memory.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from jaxnn.program.wasm.elementwise import Library, Types
from jaxnn.program.wasm.encoding import Function, const
from jaxnn.program.wasm.loops import Item, Number, write_loop
from jaxnn.program.wasm.memory import SIZES, Storage, View, new_view

_LONG = 64  # terms from which on a sum keeps what it loses by rounding


@dataclass(eq=False)
class Step:
    """Something that happens at one moment, between memory and memory.

    Attributes:
        writer: writes its function.
        after: the steps that come before it.
        reads, writes: the storages that it does.
        inner: the steps within it, in their order.

    What is a set here is the keys of a dictionary, whose order is always the same: so are then a
    module's bytes, and where in its memory arrays lie.
    """

    writer: Callable[[Library], Function] | None = None
    after: "dict[Step, None]" = field(default_factory=dict)
    reads: dict[Storage, None] = field(default_factory=dict)
    writes: dict[Storage, None] = field(default_factory=dict)
    inner: "list[Step]" = field(default_factory=list)

    def write(self, library: Library) -> Function:
        """Writes its function, without parameters, once all storages have an address."""
        assert self.writer is not None
        return self.writer(library)

    def waits_for(self, other: "Step") -> bool:
        """Returns whether another step has to come before this one."""
        seen: set[Step] = set()
        waiting = [self]
        while waiting:
            step = waiting.pop()
            if step is other:
                return True
            if step not in seen:
                seen.add(step)
                waiting += step.after
        return False


@dataclass(eq=False)
class Loop(Step):
    """A step that is one loop.

    Attributes:
        shape: what it loops over.
        items: what happens.
    """

    shape: tuple[int, ...] = ()
    items: list[Item] = field(default_factory=list)

    def write(self, library: Library) -> Function:
        """Writes the function of the loop."""
        return write_loop(library, self.shape, self.items)


@dataclass(eq=False)
class Element:
    """An array of which a loop makes one element after the other.

    Attributes:
        loop: the loop.
        item: the operation.
        dtype: its type.
        shape: its shape, that of the loop.
        view: where it lies in memory, if it does.
    """

    loop: Loop
    item: Item
    dtype: str
    shape: tuple[int, ...]
    view: View | None = None

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Same:
    """An array all of whose elements are one known number."""

    number: Number
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Its type."""
        return self.number.dtype

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


Array = View | Element | Same
"""A value of a program, wherever it is."""


class Schedule:
    """The steps of a program, or of a program within one.

    Attributes:
        steps: the steps, in the order in which they were added.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._loops: set[Step] = set()

    def elementwise(self, kind: str, inputs: Sequence[Array], types: Types) -> Array:
        """Adds an elementwise operation; some of its inputs may be scalars.

        Returns its result.
        """
        shape = max((x.shape for x in inputs), key=len)
        item = Item(kind, types, [])
        return self._joined(item, inputs, shape)

    def iota(self, shape: tuple[int, ...], axis: int, dtype: str) -> Array:
        """Returns positions along an axis."""
        steps = tuple(int(i == axis) for i in range(len(shape)))
        return self._joined(Item("iota", Types("int32", dtype), [], steps=steps), [], shape)

    def reduce(self, kind: str, x: Array, axes: Sequence[int], dtype: str) -> View:
        """Returns the result of a reduction over some axes."""
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        result = new_view(dtype, [x.shape[axis] for axis in kept])
        item = Item(kind, Types(dtype, dtype), [], target=result.broadcast(kept, x.shape))
        written = [result]
        if kind == "reduce_sum" and dtype == "float32" and x.size > _LONG * result.size:
            written.append(new_view(dtype, result.shape))
            item.lost = written[-1].broadcast(kept, x.shape)
        loop = self._joined(item, [x], x.shape).loop
        self._note(loop, writes=written)
        return result

    def copy(self, x: Array, target: View) -> None:
        """Writes an array to a view of its shape."""
        earlier = list(target.storage.writers)
        if isinstance(x, Element) and not any(
            step.waits_for(x.loop) for step in earlier if step is not x.loop
        ):
            element = x
        else:
            item = Item("copy", Types(x.dtype, x.dtype), [])
            element = self._joined(item, [x], target.shape, earlier)
        element.item.stores.append(target)
        self._note(element.loop, writes=[target])

    def in_memory(self, x: Array) -> View:
        """Returns the array as a view of memory, written there if it is not."""
        if isinstance(x, View):
            return x
        if isinstance(x, Element) and x.view is not None:
            return x.view
        view = new_view(x.dtype, x.shape)
        self.copy(x, view)
        if isinstance(x, Element):
            x.view = view
        return view

    def contiguous(self, x: Array) -> View:
        """Returns the same, its elements next to each other in order."""
        view = self.in_memory(x)
        if view.is_contiguous:
            return view
        copied = new_view(x.dtype, x.shape)
        self.copy(view, copied)
        return copied

    def step(
        self,
        write: Callable[[Library], Function],
        reads: Iterable[View] = (),
        writes: Iterable[View] = (),
        inner: Sequence[Step] = (),
    ) -> Step:
        """Adds a step that is no loop over elements."""
        step = Step(write, inner=list(inner))
        self.steps.append(step)
        self._note(step, reads, writes)
        return step

    def finish(self, outputs: Sequence[tuple[Array, View]]) -> None:
        """Writes arrays to places that steps read: after these, or at the end by way of a copy."""
        elements = []
        for x, target in outputs:
            if isinstance(x, Element):
                elements.append((x, target))
            elif x != target:  # else it is there
                copied = self._joined(Item("copy", Types(x.dtype, x.dtype), []), [x], x.shape)
                elements.append((copied, target))
        later = [(self.in_memory(x), y) for x, y in elements if not self._in_place(x, y)]
        for view, target in later:
            self.step(copying(view, target), [view], [target])

    def _in_place(self, x: Element, target: View) -> bool:
        """Lets a loop write to the place itself, if all that read it can come before."""
        loop, storage = x.loop, target.storage
        others = {step for step in (*storage.readers, *storage.writers) if step is not loop}
        here = [y for item in loop.items for y in item.inputs if isinstance(y, View)]
        if any(
            y.storage is storage and (y.strides, y.offset) != (target.strides, target.offset)
            for y in here
        ) or any(step.waits_for(loop) for step in others):
            return False
        if x.view is None or x.view.storage.alias is not None:
            x.item.stores.append(target)
        else:  # what has been written elsewhere is written here in its place
            x.view.storage.alias = storage
        self._note(loop, writes=[target])
        return True

    def order(self) -> list[Step]:
        """Returns the steps in an order in which they can run."""
        own, done = set(self.steps), set()
        found: list[Step] = []
        for first in self.steps:
            waiting = [first]
            while waiting:
                step = waiting[-1]
                missing = [x for x in step.after if x in own and x not in done]
                if missing:
                    waiting += missing
                    continue
                waiting.pop()
                if step not in done:
                    done.add(step)
                    found.append(step)
        return found

    def _note(self, step: Step, reads: Iterable[View] = (), writes: Iterable[View] = ()) -> None:
        """What a step reads and writes, and therefore waits for."""
        for view in reads:
            step.reads[view.storage] = None
            step.after.update((x, None) for x in view.storage.writers if x is not step)
            view.storage.readers.append(step)
        for view in writes:
            step.writes[view.storage] = None
            earlier = (*view.storage.writers, *view.storage.readers)
            step.after.update((x, None) for x in earlier if x is not step)
            view.storage.writers.append(step)

    def _joined(
        self,
        item: Item,
        inputs: Sequence[Array],
        shape: tuple[int, ...],
        after: Sequence[Step] = (),
    ) -> Element:
        """Adds an operation to a loop that can take it, or a new one; it waits for some steps."""
        loop = self._loop(inputs, shape, after)
        found: list[Item | View | Number] = []
        reads = []
        for x in inputs:
            if isinstance(x, Same):
                found.append(x.number)
            elif isinstance(x, Element) and x.loop is loop:
                found.append(x.item)
            else:
                view = self.in_memory(x)
                if view.shape != shape:
                    view = view.broadcast((), shape)
                found.append(view)
                reads.append(view)
        item.inputs = found
        loop.items.append(item)
        self._note(loop, reads)
        return Element(loop, item, item.types.output, shape)

    def _loop(self, inputs: Sequence[Array], shape: tuple[int, ...], after: Sequence[Step]) -> Loop:
        needed = set(after)
        candidates: list[Step] = []
        written: set[Step] = set()
        for x in inputs:
            if isinstance(x, Element):
                needed.add(x.loop)
                candidates.append(x.loop)
            elif isinstance(x, View):
                needed.update(x.storage.writers)
                written.update(x.storage.writers)
                candidates += x.storage.readers
        for loop in dict.fromkeys(reversed(candidates)):
            if (
                isinstance(loop, Loop)
                and loop.shape == shape
                and loop not in written
                and loop in self._loops
                and not any(step.waits_for(loop) for step in needed if step is not loop)
            ):
                return loop
        loop = Loop(shape=shape)
        self.steps.append(loop)
        self._loops.add(loop)
        return loop


def copying(view: View, target: View) -> Callable[[Library], Function]:
    """Returns what writes the function that copies an array in order."""

    def write(library: Library) -> Function:
        f = library.module.function()
        size = const("i32", view.size * SIZES[view.dtype])
        f.copy(const("i32", target.address), const("i32", view.address), size)
        return f

    return write
