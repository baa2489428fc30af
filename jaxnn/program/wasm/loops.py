"""One loop over arrays of a common shape, in which any number of operations happen.

Numbers go from memory through registers to memory, four at a time along the last axis; views of
arrays, transposed, repeated or spread, are read and written where they lie. Reductions collect
their sums on the way.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxnn.program.wasm.elementwise import (
    REDUCTIONS,
    Library,
    Types,
    across,
    combined,
    emit,
    identity,
    number,
    register,
)
from jaxnn.program.wasm.encoding import (
    Expression,
    Function,
    Local,
    const,
    load,
    load_lane,
    load_splat,
    load_zero,
    op,
    splat,
    vector,
    where,
)
from jaxnn.program.wasm.memory import SIZES, View
from jaxnn.program.wasm.product import store_lanes


@dataclass(frozen=True, eq=False)
class Number:
    """A number that is known, the same for every element; 0 and -0, which are equal, are two."""

    dtype: str
    value: float


@dataclass(eq=False)
class Item:
    """One operation of a loop.

    Attributes:
        kind: of ``EMITTERS`` or ``REDUCTIONS``; or "iota".
        types: of its last input and its output.
        inputs: earlier items of the loop, views of the loop's shape, numbers.
        stores: where its results go, views of the loop's shape.
        target: of a reduction: where its result goes, a view of the loop's shape that repeats
            along the axes that vanish; all of a storage.
        lost: of a long sum: a place, like the target, for what its additions lose by rounding and
            the next ones make good (Kahan 1965). Many small terms are not lost in a large sum.
        steps: of an iota: by how much it grows along each axis.
    """

    kind: str
    types: Types
    inputs: "Sequence[Item | View | Number]"
    stores: list[View] = field(default_factory=list)
    target: View | None = None
    lost: View | None = None
    steps: tuple[int, ...] = ()


class _Pointer:
    """How places of memory are found that move alike.

    Attributes:
        steps: of each axis, bytes from one place to the next.
        local: the variable; None if nothing moves.
        start: what it begins with.
    """

    def __init__(self, f: Function, steps: Sequence[int], start: int) -> None:
        self.steps = steps
        self.start = start
        self.local = f.let(const("i32", start)) if any(steps) else None

    def move(self, axis: int, count: int) -> None:
        """On along an axis."""
        if self.local is not None and self.steps[axis] * count:
            self.local.set(self.local + self.steps[axis] * count)

    def at(self, address: int, bytes: int = 0) -> tuple[Expression, int]:
        """Returns the address and the offset for an array that begins at an address."""
        where = self.local if self.local is not None else const("i32", 0)
        offset = address - self.start + bytes
        return (where, offset) if offset >= 0 else (where + offset, 0)


class _Writer:
    """Writes one loop."""

    def __init__(self, library: Library, shape: Sequence[int], items: Sequence[Item]) -> None:
        self._library = library
        self.f = library.module.function()
        self.items = items
        loads = {x: None for item in items for x in item.inputs if isinstance(x, View)}
        self.loads = list(loads)
        stores = [view for item in items for view in item.stores]
        self.reductions = [item for item in items if item.kind in REDUCTIONS]
        targets = [item.target for item in self.reductions if item.target is not None]
        strides = {view.strides for view in (*self.loads, *stores, *targets)}
        strides |= {item.steps for item in items if item.kind == "iota"}
        groups = _joined_axes(shape, strides)
        self.counts = [math.prod(shape[axis] for axis in group) for group in groups]
        self.steps = {s: tuple(s[group[-1]] if group else 0 for group in groups) for s in strides}
        self.last = len(groups) - 1
        self.rounded = (
            not self.last
            and not self.reductions
            and all(view.is_whole for view in stores)
            and all(self.inner(view) in (0, 1) for view in self.loads)
            and self.counts[0] >= 4
        )
        self.pointers: dict[tuple[object, ...], _Pointer] = {}
        self.known: dict[object, Local] = {}
        self.sums: dict[Item, tuple[Local, Local | None]] = {}
        self.bases: dict[Item, Local] = {}

    def inner(self, view: View) -> int:
        """Returns the elements from one place to the next along the last axis."""
        return self.steps[view.strides][-1]

    def first_axis(self, item: Item) -> int:
        """Returns from which axis on a reduction only reduces; the number of axes if none."""
        assert item.target is not None
        steps, axis = self.steps[item.target.strides], self.last + 1
        while axis and (steps[axis - 1] == 0 or self.counts[axis - 1] == 1):
            axis -= 1
        return axis

    def is_split(self, item: Item) -> bool:
        """Returns whether a reduction comes back to the same place of its target."""
        assert item.target is not None
        steps, first = self.steps[item.target.strides], self.first_axis(item)
        return first > self.last or any(
            not step and n > 1 for step, n in zip(steps[:first], self.counts, strict=False)
        )

    def pointer(self, view: View) -> _Pointer:
        """Returns the pointer of a view."""
        steps = tuple(SIZES[view.dtype] * n for n in self.steps[view.strides])
        start = view.address if any(n < 0 for n in steps) else 0
        key = (steps, start)
        if key not in self.pointers:
            self.pointers[key] = _Pointer(self.f, steps, start)
        return self.pointers[key]

    def write(self) -> Function:
        """Writes the function, without parameters."""
        f = self.f
        for item in self.items:
            for x in item.inputs:
                if isinstance(x, Number):
                    if x not in self.known:
                        self.known[x] = f.let(number(x.dtype, x.value))
                elif isinstance(x, View):
                    self.pointer(x)
                    if not any(self.steps[x.strides]) and x not in self.known:
                        self.known[x] = f.let(self.loaded(x, 4))
            for view in item.stores:
                self.pointer(view)
            if item.kind == "iota":
                steps = self.steps[item.steps]
                self.bases[item] = f.let(const("i32", 0))
                lanes = [(steps[-1] * i) & 0xFFFFFFFF for i in range(4)]
                bytes_ = b"".join(n.to_bytes(4, "little") for n in lanes)
                self.known[item] = f.let(vector(bytes_, "i32x4"))
            if item.target is not None:
                self.pointer(item.target)
                self.known[item] = f.let(identity(item.kind, item.types.output))
                if self.is_split(item):
                    for view in filter(None, (item.target, item.lost)):
                        self.fill(view, self.known[item])
        self.axis(0)
        return f

    def fill(self, view: View, x: Local) -> None:
        """One number in all of a storage."""
        place = self.f.let(const("i32", view.storage.place))
        size = SIZES[view.dtype]
        with self.f.repeat(-(-view.storage.bytes // (4 * size))):
            _store(self.f, (place, 0), x, view.dtype, 1, 4)
            place.set(place + 4 * size)

    def axis(self, axis: int) -> None:
        """The loop over an axis, and those within."""
        f, count = self.f, self.counts[axis]
        begun = [item for item in self.reductions if self.first_axis(item) == axis]
        for item in begun:
            lost = f.let(self.known[item]) if item.lost else None
            self.sums[item] = f.let(self.known[item]), lost
        moved = count
        if axis < self.last:
            with f.repeat(count):
                self.axis(axis + 1)
                self.move(axis, 1)
        else:
            whole, rest = divmod(count, 4)
            if self.rounded and rest:
                whole, rest = whole + 1, 0
            if whole:
                with f.repeat(whole):
                    self.body(4)
                    self.move(axis, 4)
            if rest:
                self.body(rest)
            moved = 4 * whole
        if axis:
            self.move(axis, -moved)
        for item in begun:
            self.finish(item)

    def move(self, axis: int, count: int) -> None:
        """All pointers on along an axis."""
        for pointer in self.pointers.values():
            pointer.move(axis, count)
        for item, base in self.bases.items():
            step = self.steps[item.steps][axis] * count
            if step:
                base.set(base + step)

    def body(self, lanes: int) -> None:
        """All items once, for the first ``lanes`` of four elements."""
        f, done = self.f, dict(self.known)
        for view in self.loads:
            if view not in done:
                done[view] = f.let(self.loaded(view, lanes))
        for item in self.items:
            if item.kind == "iota":
                count = f.let(splat(self.bases[item], "i32x4") + self.known[item])
                types = Types("int32", item.types.output)
                done[item] = f.let(emit(self._library, f, "convert", types, [count]))
                continue
            inputs = [done[x] for x in item.inputs]
            if item.target is not None:
                self.collect(item, inputs[0], lanes)
            else:
                done[item] = f.let(emit(self._library, f, item.kind, item.types, inputs))
        for item in self.items:
            for view in item.stores:
                self.stored(view, done[item], lanes)

    def collect(self, item: Item, x: Local, lanes: int) -> None:
        """Adds to a reduction."""
        if item not in self.sums:
            self.collect_in_memory(item, x, lanes)
            return
        if lanes < 4:
            mask = vector(b"\xff" * 4 * lanes + bytes(4 * (4 - lanes)), "i32x4")
            x = self.f.let(where(mask, x, self.known[item]))
        total, lost = self.sums[item]
        self.combine(item, total, lost, x)

    def collect_in_memory(self, item: Item, x: Local, lanes: int) -> None:
        """Adds to what a reduction has in its target."""
        assert item.target is not None
        total = self.f.let(self.loaded(item.target, lanes))
        lost = self.f.let(self.loaded(item.lost, lanes)) if item.lost else None
        self.combine(item, total, lost, x)
        self.stored(item.target, total, lanes)
        if item.lost and lost:
            self.stored(item.lost, lost, lanes)

    def combine(self, item: Item, total: Local, lost: Local | None, x: Local) -> None:
        """Adds a vector to a total; what is lost is kept, unless the total is infinite or NaN."""
        f = self.f
        if lost is None:
            total.set(combined(self._library, f, item.kind, item.types.output, total, x))
            return
        term = f.let(x - lost)
        new = f.let(total + term)
        finite = op("f32x4.lt", op("f32x4.abs", new), math.inf)
        lost.set((new - total - term) & finite)
        total.set(new)

    def finish(self, item: Item) -> None:
        """Writes what a reduction has collected."""
        assert item.target is not None
        total, _ = self.sums.pop(item)
        total = across(self._library, self.f, item.kind, item.types.output, total)
        if self.is_split(item):
            self.collect_in_memory(item, total, 1)
        else:
            self.stored(item.target, total, 1)

    def loaded(self, view: View, lanes: int) -> Expression:
        """Returns elements of a view; what is in the other lanes is arbitrary."""
        pointer, step, size = self.pointer(view), self.inner(view), SIZES[view.dtype]
        type = register(view.dtype)
        address, offset = pointer.at(view.address)
        if size == 4:
            if step == 1:
                return load(type, address, offset)
            if step == 0:
                return load_splat(type, address, offset)
            x = load_zero(type, address, offset)
            for i in range(1, lanes):
                x = load_lane(x, i, *pointer.at(view.address, 4 * step * i))
            return x
        small = "u8" if size == 1 else "u16"
        if step == 1:
            x = load_zero(type, address, offset, 32 * size)
            if size == 1:
                x = op("i16x8.extend_low_i8x16_u", x)
            x = op("i32x4.extend_low_i16x8_u", x)
        else:
            x = splat(load(small, address, offset), type)
            for i in range(1, lanes if step else 1):
                value = load(small, *pointer.at(view.address, size * step * i))
                x = op("i32x4.replace_lane", x, value, immediate=bytes([i]))
        return op("i32x4.ne", x, 0) if view.dtype == "bool" else x

    def stored(self, view: View, x: Expression, lanes: int) -> None:
        """Writes the first lanes to a view."""
        pointer = self.pointer(view)
        step = self.inner(view)
        places = [pointer.at(view.address, SIZES[view.dtype] * step * i) for i in range(lanes)]
        _store(self.f, places[0], x, view.dtype, step, lanes, places)


def write_loop(library: Library, shape: Sequence[int], items: Sequence[Item]) -> Function:
    """Writes the function of a loop over a shape, without parameters."""
    return _Writer(library, shape, items).write()


def _store(
    f: Function,
    place: tuple[Expression, int],
    x: Expression,
    dtype: str,
    step: int,
    lanes: int,
    places: Sequence[tuple[Expression, int]] = (),
) -> None:
    """Writes the first lanes of a register as elements of a type."""
    size = SIZES[dtype]
    address, offset = place
    if size == 4:
        if step == 1:
            store_lanes(f, address, x, lanes, offset)
            return
    elif step == 1 and lanes == 4:
        if dtype == "bool":
            x = x & 1
        x = f.let(x)
        x = op("i16x8.narrow_i32x4_u", x, x)
        if size == 1:
            x = f.let(x)
            x = op("i8x16.narrow_i16x8_u", x, x)
        f.store_lane(address, x, 0, offset, 32 * size)
        return
    elif dtype == "bool":
        x = f.let(x & 1)
    for i in range(lanes):
        address, offset = places[i]
        f.store_lane(address, x, i * 4 // size, offset, 8 * size)


def _joined_axes(shape: Sequence[int], strides: "set[tuple[int, ...]]") -> list[list[int]]:
    """Returns axes in groups that can be one, as all arrays go on from one to the next."""
    groups: list[list[int]] = []
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        outer = groups[-1][-1] if groups else None
        if outer is not None and all(s[outer] == s[axis] * n for s in strides):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups or [[]]
