"""Products: sums over common axes of two arrays, blocked in registers.

One form serves matrices and convolutions. Every axis of a product has a stride in the arrays that
it belongs to, so that a transposed matrix, or the patches of an image, are read where they lie::

    c[row, column] = Σ_term a[row + term] b[term + column]

A panel of a few columns of ``b`` is copied into a piece of memory that stays in the cache, term
after term; then blocks of a few rows run over all terms, with their part of ``c`` in registers.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from jaxnn.program.wasm.encoding import (
    Expression,
    Function,
    Local,
    Module,
    const,
    load,
    load_lane,
    load_splat,
    load_zero,
    op,
    shuffle,
)

# Found by trying, in Chromium and wasmtime: see `experiments/benchmarks/` for the speeds.
_ROWS = 4
_VECTORS = 2
_TERMS = 512  # of a panel of b, 32 bytes each
_UNROLLED = 32
_UNROLL = 4


class Axis(NamedTuple):
    """An axis of a product.

    Attributes:
        length: the number of its places.
        a, b, c: from one of its places to the next, elements of each array; 0 where the array
            does not have the axis.
    """

    length: int
    a: int = 0
    b: int = 0
    c: int = 0


class Product(NamedTuple):
    """What is to be computed; all of float32.

    Attributes:
        rows: axes of a and c, the outermost first.
        terms: axes of a and b, which are summed over.
        columns: the axis of b and c; c's elements lie next to each other.
        batch: axes of all three.
    """

    rows: tuple[Axis, ...]
    terms: tuple[Axis, ...]
    columns: Axis
    batch: tuple[Axis, ...] = ()

    @property
    def operations(self) -> int:
        """Additions and multiplications."""
        axes = (*self.rows, *self.terms, self.columns, *self.batch)
        return 2 * math.prod(axis.length for axis in axes)

    @property
    def scratch(self) -> int:
        """Bytes of memory that it works in."""
        return 4 * 4 * _VECTORS * (_TERMS + _UNROLL)


def merged(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Returns the axes with neighbours made one where possible, those of length 1 left out."""
    found: list[Axis] = []
    for axis in axes:
        if axis.length == 1:
            continue
        if found and all(
            outer == axis.length * inner
            for outer, inner in zip(found[-1][1:], axis[1:], strict=True)
        ):
            axis = Axis(found.pop().length * axis.length, *axis[1:])
        found.append(axis)
    return tuple(found) or (Axis(1),)


def write_product(module: Module, product: Product, relaxed: bool) -> Function:
    """Writes the function ``(a, b, c, scratch)`` of a product; it takes the arrays' addresses."""
    function = module.function(["i32"] * 4)
    a, b, c, scratch = function.parameters
    rows, terms = merged(product.rows), merged(product.terms)
    outer, chunk, blocks = _blocks(terms)
    accumulate = bool(outer) or chunk.length > 1 or len(blocks) > 1
    parts = [
        _write_block(module, Product(rows, block, product.columns), accumulate, relaxed)
        for block in blocks
    ]
    with nest(function, [(x.length, {a: x.a, b: x.b, c: x.c}) for x in merged(product.batch)]):
        if accumulate:
            _fill(function, c, rows, product.columns)
        with nest(function, [(x.length, {a: x.a, b: x.b}) for x in outer]):
            with nest(function, [(chunk.length, {a: chunk.a, b: chunk.b})]):
                function.call(parts[0], a, b, c, scratch)
            for part in parts[1:]:
                done = 4 * chunk.length
                function.call(part, a + done * chunk.a, b + done * chunk.b, c, scratch)
    return function


@contextmanager
def nest(
    function: Function, loops: Sequence[tuple[int, dict[Local, int]]], size: int = 4
) -> Iterator[None]:
    """Loops within each other; in each, addresses move on by some elements a turn.

    After the loops, the addresses are what they were before.

    Args:
        function: where they are written.
        loops: of each, the number of turns and the variables that move.
        size: bytes of an element.
    """
    if not loops:
        yield
        return
    (count, steps), *inner = loops
    with function.repeat(count):
        with nest(function, inner, size):
            yield
        if count > 1:
            move(steps, size)
    if count > 1:
        move(steps, -count * size)


def move(steps: dict[Local, int], count: int) -> None:
    """Every address on by its step, so many times."""
    for address, step in steps.items():
        if step * count:
            address.set(address + step * count)


def _move(steps: dict[Local, int], count: int) -> None:
    move(steps, 4 * count)


def _blocks(
    terms: tuple[Axis, ...],
) -> tuple[tuple[Axis, ...], Axis, list[tuple[Axis, ...]]]:
    """Returns the terms as loops: over outer axes, over chunks of the next, and what is in a chunk.

    Where the chunks leave a rest, a second block follows after the last one.
    """
    size, place = 1, len(terms)
    while place and size * terms[place - 1].length <= _TERMS:
        place -= 1
        size *= terms[place].length
    if not place:
        return (), Axis(1), [terms]
    outer, axis, inner = terms[: place - 1], terms[place - 1], terms[place:]
    count = -(-axis.length // max(1, _TERMS // size))
    length = -(-axis.length // count)
    whole, rest = divmod(axis.length, length)
    blocks = [(axis._replace(length=n), *inner) for n in (length, rest) if n]
    return outer, Axis(whole, length * axis.a, length * axis.b), blocks


def _fill(function: Function, c: Local, rows: tuple[Axis, ...], columns: Axis) -> None:
    """Zeros in all of c."""
    *outer, inner = merged([*(Axis(x.length, c=x.c) for x in rows), Axis(columns.length, c=1)])
    if columns.length == 1:
        outer, inner = [*outer, inner], Axis(1)
    with nest(function, [(x.length, {c: x.c}) for x in outer]):
        function.fill(c, const("i32", 0), const("i32", 4 * inner.length))


class _Tile(NamedTuple):
    """A part of c that lies in registers while all terms of a block are added to it.

    Attributes:
        terms: the block's.
        row: the axis whose neighbouring places are the rows.
        rows: how many.
        vectors: of four columns each.
        columns: how many of them count; the others are not written.
        packed: whether b is a packed panel.
        accumulate: whether c holds a sum already.
        relaxed: whether products and sums may be rounded as one.
    """

    terms: tuple[Axis, ...]
    row: Axis
    rows: int
    vectors: int
    columns: int
    packed: bool
    accumulate: bool
    relaxed: bool


def _write_block(module: Module, product: Product, accumulate: bool, relaxed: bool) -> Function:
    """Writes the function of one block of terms; it adds to c, or overwrites it."""
    function = module.function(["i32"] * 4)
    a, b, c, scratch = function.parameters
    (*outer, row), columns = product.rows, product.columns
    many_rows = math.prod(axis.length for axis in product.rows) >= 2 * _ROWS
    packed = many_rows or columns.b != 1 or any(axis.b < 0 for axis in product.terms)
    rows = min(_ROWS, row.length)
    vectors = _VECTORS if packed else max(_VECTORS, _ROWS * _VECTORS // rows)
    width = 4 * vectors
    whole, rest = divmod(columns.length, width)
    for count, used in ((whole, width), (1, rest)):
        if not count or not used:
            continue
        if used <= width - 4:
            vectors = -(-used // 4)
        with nest(function, [(count, {b: width * columns.b, c: width})]):
            if packed:
                _pack(function, product.terms, b, scratch, columns.b, used, vectors)
            panel = scratch if packed else b
            tile = _Tile(product.terms, row, rows, vectors, used, packed, accumulate, relaxed)
            many, few = divmod(row.length, rows)
            with nest(function, [(x.length, {a: x.a, c: x.c}) for x in outer]):
                with nest(function, [(many, {a: rows * row.a, c: rows * row.c})]):
                    _write_tile(function, tile, a, panel, c)
                if few:
                    rest_a, rest_c = a + 4 * many * rows * row.a, c + 4 * many * rows * row.c
                    _write_tile(function, tile._replace(rows=few), rest_a, panel, rest_c)
        _move({b: width * columns.b, c: width}, count)  # the rest begins where they ended
    return function


def _write_tile(
    function: Function, tile: _Tile, a: Expression, b: Expression, c: Expression
) -> None:
    a, b, c = function.let(a), function.let(b), function.let(c)
    places = [(i, j) for i in range(tile.rows) for j in range(tile.vectors)]
    sums = {}
    for i, j in places:
        sums[i, j] = function.local("f32x4")
        if tile.accumulate:
            sums[i, j].set(load("f32x4", c, 4 * (i * tile.row.c + 4 * j)))
        else:
            sums[i, j].set(0)

    def add_term(offset_a: int, offset_b: int) -> None:
        vectors = [
            function.let(load("f32x4", b, 4 * (offset_b + 4 * j))) for j in range(tile.vectors)
        ]
        for i in range(tile.rows):
            number = function.let(load_splat("f32x4", a, 4 * (offset_a + i * tile.row.a)))
            for j, vector in enumerate(vectors):
                total = sums[i, j]
                if tile.relaxed:
                    total.set(op("f32x4.relaxed_madd", number, vector, total))
                else:
                    total.set(total + number * vector)

    width = 4 * tile.vectors
    if math.prod(axis.length for axis in tile.terms) <= _UNROLLED:
        for n, (offset_a, offset_b) in enumerate(_offsets(tile.terms)):
            add_term(offset_a, n * width if tile.packed else offset_b)
    else:
        *outer, inner = tile.terms
        step_b = width if tile.packed else inner.b
        unroll = inner.length if inner.length <= 2 * _UNROLL else _UNROLL
        many, few = divmod(inner.length, unroll)
        with nest(
            function, [(x.length, {a: x.a} if tile.packed else {a: x.a, b: x.b}) for x in outer]
        ):
            with function.repeat(many):
                for u in range(unroll):
                    add_term(u * inner.a, u * step_b)
                _move({a: inner.a, b: step_b}, unroll)
            for u in range(few):
                add_term(u * inner.a, u * step_b)
            if outer:
                _move({b: step_b}, few)
                _move({a: inner.a}, -many * unroll)
                if not tile.packed:
                    _move({b: step_b}, -inner.length)
    for i, j in places:
        used = min(4, tile.columns - 4 * j)
        store_lanes(function, c, sums[i, j], used, 4 * (i * tile.row.c + 4 * j))


def _offsets(axes: Sequence[Axis]) -> Iterator[tuple[int, int]]:
    """Yields the places in a and b of every term."""
    if not axes:
        yield 0, 0
        return
    for i in range(axes[0].length):
        for a, b in _offsets(axes[1:]):
            yield i * axes[0].a + a, i * axes[0].b + b


def store_lanes(
    function: Function, address: Expression, x: Expression, count: int, offset: int = 0
) -> None:
    """Writes the first lanes of 32 bits of a vector, up to four of them, to memory."""
    if count == 4:
        function.store(address, x, offset)
        return
    if count >= 2:
        function.store_lane(address, x, 0, offset, 64)
    if count % 2:
        function.store_lane(address, x, count - 1, offset + 4 * (count - 1))


def _pack(
    function: Function,
    terms: tuple[Axis, ...],
    b: Expression,
    scratch: Expression,
    column: int,
    used: int,
    vectors: int,
) -> None:
    """Copies columns of b into scratch, term after term; what is not used there is arbitrary."""
    b, to = function.let(b), function.let(scratch)
    *outer, inner = terms
    width = 4 * vectors
    with nest(function, [(x.length, {b: x.b}) for x in outer]):
        many, few = divmod(inner.length, 4)
        quads = many and inner.b == 1 and column != 1
        if quads:
            with function.repeat(many):
                _pack_quad(function, b, to, column, used, vectors)
                _move({b: 1, to: width}, 4)
        count = few if quads else inner.length
        if count:
            with function.repeat(count):
                for j in range(vectors):
                    function.store(to, _columns(b, column, 4 * j, used), 16 * j)
                _move({b: inner.b, to: width}, 1)
        if outer:
            _move({b: inner.b}, -inner.length)


def _columns(b: Expression, step: int, first: int, used: int) -> Expression:
    """Returns four columns of one term."""
    if step == 1:
        return load("f32x4", b, 4 * first)
    x = load_zero("f32x4", b, 4 * first * step)
    for i in range(1, min(4, used - first)):
        x = load_lane(x, i, b, 4 * (first + i) * step)
    return x


def _pack_quad(
    function: Function, b: Expression, to: Expression, step: int, used: int, vectors: int
) -> None:
    """Columns of four terms that lie next to each other in b: blocks of 4 × 4 are transposed."""
    for j in range(vectors):
        columns = [
            function.let(load("f32x4", b, 4 * min(4 * j + i, used - 1) * step)) for i in range(4)
        ]
        for n, x in enumerate(transposed(function, columns)):
            function.store(to, x, 16 * (n * vectors + j))


def transposed(function: Function, rows: Sequence[Expression]) -> list[Expression]:
    """Returns the columns of four rows of four numbers."""
    low = [function.let(shuffle(rows[i], rows[i + 1], (0, 4, 1, 5))) for i in (0, 2)]
    high = [function.let(shuffle(rows[i], rows[i + 1], (2, 6, 3, 7))) for i in (0, 2)]
    return [
        shuffle(pair[0], pair[1], lanes)
        for pair in (low, high)
        for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))
    ]
