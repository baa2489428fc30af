"""What goes along an axis, element after element: cumulative sums, the largest's place, sorting."""

import math
from collections.abc import Sequence

from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import Expression, Function, call, choose, const, load, op
from jaxnn.program.wasm.memory import SIZES, View
from jaxnn.program.wasm.product import move, nest


def _split(view: View, axis: int) -> tuple[int, int, int]:
    """Returns how many elements there are before, along and after an axis."""
    return (
        math.prod(view.shape[:axis]),
        view.shape[axis],
        math.prod(view.shape[axis + 1 :]),
    )


def _load(dtype: str, address: Expression, offset: int = 0) -> Expression:
    type = {"float32": "f32", "uint16": "u16"}.get(dtype, "i32" if SIZES[dtype] == 4 else "u8")
    return load(type, address, offset)


def _before(dtype: str, a: Expression, b: Expression) -> Expression:
    """Returns whether a comes before b in ascending order, NaN last."""
    if dtype == "float32":
        nan_last = op("f32.ne", b, b) & op("f32.eq", a, a)
        return op("f32.lt", a, b) | nan_last
    return op("i32.lt_s" if dtype == "int32" else "i32.lt_u", a, b)


def _store(f: Function, dtype: str, address: Expression, x: Expression) -> None:
    f.store(address, x, type={1: "u8", 2: "u16"}.get(SIZES[dtype]))


def write_argmax(library: Library, x: View, output: View, axis: int, least: bool) -> Function:
    """Writes the function that finds the largest, or the least, along an axis."""
    f = library.module.function()
    before, count, after = _split(x, axis)
    size, index = SIZES[x.dtype], SIZES[output.dtype]
    to, start = f.let(const("i32", output.address)), f.let(const("i32", x.address))
    name = "lt" if least else "gt"
    lines = [
        (before, {start: count * after * size, to: after * index}),
        (after, {start: size, to: index}),
    ]
    with nest(f, lines, 1):
        best, place = f.let(_load(x.dtype, start)), f.let(const("i32", 0))
        at, i = f.let(start), f.let(const("i32", 0))
        with f.repeat(count):
            y = f.let(_load(x.dtype, at))
            if x.dtype == "float32":  # the first NaN stays
                better = op(f"f32.{name}", y, best) | op("f32.ne", y, y)
                better = better & op("f32.eq", best, best)
            else:
                better = op(f"i32.{name}{'_s' if x.dtype == 'int32' else '_u'}", y, best)
            with f.when(better):
                best.set(y)
                place.set(i)
            move({at: after * size, i: 1}, 1)
        _store(f, output.dtype, to, place)
    return f


def write_cumulative(
    library: Library, x: View, output: View, kind: str, axis: int, reverse: bool
) -> Function:
    """Writes the function of partial sums, products, largest or smallest ones along an axis."""
    f = library.module.function()
    before, count, after = _split(x, axis)
    size = SIZES[x.dtype]
    first = x.address + (count - 1) * after * size * reverse
    to = f.let(const("i32", first - x.address + output.address))
    start = f.let(const("i32", first))
    step = -after * size if reverse else after * size

    def combined(a: Expression, b: Expression) -> Expression:
        if kind in ("cumsum", "cumprod"):
            return op(f"{a.type}.{'add' if kind == 'cumsum' else 'mul'}", a, b)
        if x.dtype == "float32":
            return op(f"f32.{kind[3:]}", a, b)
        larger = op(f"i32.gt{'_s' if x.dtype == 'int32' else '_u'}", a, b)
        return choose(larger, *((a, b) if kind == "cummax" else (b, a)))

    lines = {start: size, to: size}
    with nest(f, [(before, {v: n * count * after for v, n in lines.items()}), (after, lines)], 1):
        total, at, put = f.let(_load(x.dtype, start)), f.let(start), f.let(to)
        _store(f, x.dtype, put, total)
        if count > 1:
            with f.repeat(count - 1):
                move({at: step, put: step}, 1)
                total.set(combined(total, _load(x.dtype, at)))
                _store(f, x.dtype, put, total)
    return f


def write_sort(
    library: Library,
    inputs: Sequence[View],
    outputs: Sequence[View],
    scratch: View,
    axis: int,
    keys: int,
) -> Function:
    """Writes the function that sorts lines by merging ever longer runs of their indices.

    ``scratch`` has room for the indices of a line twice, int32.
    """
    f = library.module.function()
    before, count, after = _split(inputs[0], axis)
    less = _write_less(library, inputs[:keys], after)
    line = f.let(const("i32", 0))  # the place of a line's first element
    source, to, width = (f.local("i32") for _ in range(3))
    end, low, i, middle, j, high, k = (f.local("i32") for _ in range(7))
    end.set(count)

    def smaller(a: Expression, b: Expression) -> Expression:
        return choose(op("i32.lt_u", a, b), a, b)

    def at(base: Expression, place: Expression) -> Expression:
        return base + place * 4

    with nest(f, [(before, {line: count * after}), (after, {line: 1})], 1):
        source.set(scratch.address)
        to.set(scratch.address + 4 * count)
        k.set(0)
        with f.repeat(count):
            f.store(at(source, k), k)
            k.set(k + 1)
        width.set(1)
        with f.during(lambda: op("i32.lt_u", width, end)):
            low.set(0)
            with f.during(lambda: op("i32.lt_u", low, end)):
                i.set(low)
                middle.set(smaller(low + width, end))
                j.set(middle)
                high.set(smaller(low + width * 2, end))
                k.set(low)
                with f.during(lambda: op("i32.lt_u", k, high)):
                    second = f.let(op("i32.eq", i, middle))
                    with f.when(op("i32.lt_u", j, high) & op("i32.ne", i, middle)):
                        pair = (load("i32", at(source, x)) for x in (j, i))
                        second.set(Expression(call(less, line, *pair), "i32"))
                    chosen = f.let(choose(second, j, i))
                    f.store(at(to, k), load("i32", at(source, chosen)))
                    j.set(j + second)
                    i.set(i + (const("i32", 1) - second))
                    k.set(k + 1)
                low.set(high)
            low.set(source)
            source.set(to)
            to.set(low)
            width.set(width * 2)
        k.set(0)
        with f.repeat(count):
            place = f.let(line + load("i32", at(source, k)) * after)
            put = f.let(line + k * after)
            for x, y in zip(inputs, outputs, strict=True):
                size = SIZES[x.dtype]
                _store(f, x.dtype, put * size + y.address, _load(x.dtype, place * size, x.address))
            k.set(k + 1)
    return f


def _write_less(library: Library, keys: Sequence[View], after: int) -> Function:
    """Writes the function ``(line, i, j)``: whether a line's element i comes before j."""
    f = library.module.function(["i32"] * 3, ["i32"])
    line, i, j = f.parameters
    result = const("i32", 0)
    for key in reversed(keys):
        size = SIZES[key.dtype]
        a, b = (
            f.let(_load(key.dtype, (line + place * after) * size, key.address)) for place in (i, j)
        )
        later = op("i32.eqz", _before(key.dtype, b, a))
        result = f.let(_before(key.dtype, a, b) | (later & result))
    f.returns(result)
    return f
