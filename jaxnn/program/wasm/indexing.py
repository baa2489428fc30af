"""Elements by an index that is computed. None is ever taken from, or put, outside of its array."""

from collections.abc import Sequence

from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import Expression, Function, choose, const, load, op
from jaxnn.program.wasm.memory import SIZES, View
from jaxnn.program.wasm.product import move, nest, store_lanes


def write_take(library: Library, x: View, indices: View, output: View) -> Function:
    """Writes the function that takes rows of x; an index out of range is the last row's.

    All are contiguous, but that x's rows may lie apart.
    """
    f = library.module.function()
    size, step = SIZES[x.dtype], x.strides[0]
    row = x.size // x.shape[0]
    index, to = f.let(const("i32", indices.address)), f.let(const("i32", output.address))
    with f.repeat(indices.size):
        i = f.let(load("i32", index))
        i.set(choose(op("i32.lt_u", i, x.shape[0]), i, const("i32", x.shape[0] - 1)))
        _copy(f, to, i * (step * size), x.address, row * size)
        move({index: 4, to: row * size}, 1)
    return f


def write_put(library: Library, x: View, indices: View, rows: View, how: str) -> Function:
    """Writes the function that sets rows of x, or adds to them; all are contiguous.

    A row whose index is out of range goes nowhere.
    """
    f = library.module.function()
    size = SIZES[x.dtype]
    row = x.size // x.shape[0]
    index, source = f.let(const("i32", indices.address)), f.let(const("i32", rows.address))
    with f.repeat(indices.size):
        i = f.let(load("i32", index))
        with f.when(op("i32.lt_u", i, x.shape[0])):
            to = f.let(i * (row * size) + x.address)
            if how == "set":
                _copy(f, to, source, 0, row * size)
            else:
                _add(f, to, source, row, "f32x4" if x.dtype == "float32" else "i32x4")
        move({index: 4, source: row * size}, 1)
    return f


def _copy(f: Function, to: Expression, source: Expression, offset: int, bytes: int) -> None:
    if bytes == 4:
        f.store(to, load("i32", source, offset))
    else:
        f.copy(to, source + offset, const("i32", bytes))


def _add(f: Function, to: Expression, source: Expression, count: int, type: str) -> None:
    a, b = f.let(to), f.let(source)
    whole, rest = divmod(count, 4)
    if whole:
        with f.repeat(whole):
            f.store(a, load(type, a) + load(type, b))
            move({a: 16, b: 16}, 1)
    if rest:
        store_lanes(f, a, load(type, a) + load(type, b), rest)


def write_dynamic(
    library: Library, whole: View, part: View, starts: Sequence[View], *, update: bool
) -> Function:
    """Writes the function that copies a part of ``whole`` to ``part``, or in an update back.

    The part begins at the starts, moved inside. Both arrays are contiguous.
    """
    f = library.module.function()
    size = SIZES[whole.dtype]
    there, here = f.let(const("i32", whole.address)), f.let(const("i32", part.address))
    for start, n, m, stride in zip(starts, whole.shape, part.shape, whole.strides, strict=True):
        sign = "_s" if start.dtype == "int32" else "_u"
        i = f.let(load("i32", const("i32", start.address)))
        if sign == "_s":
            i.set(choose(op("i32.lt_s", i, 0), const("i32", 0), i))
        i.set(choose(op("i32.gt_u", i, n - m), const("i32", n - m), i))
        there.set(there + i * (stride * size))
    inner = 1  # axes at the end that are copied in one piece
    axes = list(zip(part.shape, whole.shape, whole.strides, part.strides, strict=True))
    while axes:
        n, all_, _, _ = axes.pop()
        inner *= n
        if n != all_:
            break
    with nest(f, [(n, {there: a, here: b}) for n, _, a, b in axes], size):
        to, source = (there, here) if update else (here, there)
        _copy(f, to, source, 0, inner * size)
    return f
