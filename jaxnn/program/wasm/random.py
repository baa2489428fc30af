"""Random bits: Threefry-2x32 with 20 rounds, the same bits as JAX's.

Source: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405.
"""

from collections.abc import Sequence

from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import (
    Expression,
    Function,
    Local,
    const,
    load_splat,
    op,
    shuffle,
    splat,
    vector,
)
from jaxnn.program.wasm.memory import SIZES, View
from jaxnn.program.wasm.product import nest

_WIDTH = 4  # vectors that are drawn at once
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def write_fold_in(library: Library, keys: View, numbers: View, output: View) -> Function:
    """Writes the function that makes a key of each key and number; all are contiguous."""
    f = library.module.function()
    key, count, to = (f.let(const("i32", x.address)) for x in (keys, numbers, output))
    with nest(f, [(numbers.size, {key: 2, count: 1, to: 2})]):
        words = [load_splat("i32x4", key, 4 * i) for i in range(2)]
        _store_pair(library, f, to, words, const("i32x4", 0), load_splat("i32x4", count))
    return f


def write_split(library: Library, keys: View, output: View) -> Function:
    """Writes the function that makes so many keys of each key; both are contiguous."""
    f = library.module.function()
    count = keys.size // 2
    key, to = (f.let(const("i32", x.address)) for x in (keys, output))
    place = f.local("i32")
    with nest(f, [(count, {key: 2})]):
        place.set(0)
        with f.repeat(output.size // keys.size):
            words = [load_splat("i32x4", key, 4 * i) for i in range(2)]
            _store_pair(library, f, to, words, const("i32x4", 0), splat(place, "i32x4"))
            place.set(place + 1)
            to.set(to + 8)
    return f


def write_random_bits(library: Library, keys: View, output: View) -> Function:
    """Writes the function that draws bits for each key; all are contiguous."""
    f = library.module.function()
    count, size = keys.size // 2, SIZES[output.dtype]
    draw = library.get("bits", lambda: _write_bits(library))
    key, to = f.let(const("i32", keys.address)), f.let(const("i32", output.address))
    places = f.local("i32x4")

    def turn(length: int) -> None:
        words = [load_splat("i32x4", key, 4 * i) for i in range(2)]
        for n, bits in enumerate(f.call_for(draw, *words, places)):
            lanes = min(4, length - 4 * n)
            if lanes == 4 and size == 4:
                f.store(to, bits, 16 * n)
            else:
                for i in range(lanes):
                    f.store_lane(to, bits, i * 4 // size, size * (4 * n + i), 8 * size)
        places.set(places + 4 * _WIDTH)
        to.set(to + length * size)

    with nest(f, [(count, {key: 2})]):
        places.set(vector(b"".join(i.to_bytes(4, "little") for i in range(4)), "i32x4"))
        whole, rest = divmod(output.size // count, 4 * _WIDTH)
        if whole:
            with f.repeat(whole):
                turn(4 * _WIDTH)
        if rest:
            turn(rest)
    return f


def _store_pair(
    library: Library,
    f: Function,
    to: Expression,
    words: Sequence[Expression],
    high: Expression,
    low: Expression,
) -> None:
    threefry = library.get("threefry", lambda: _write_threefry(library))
    a, b = f.call_for(threefry, *words, high, low)
    f.store_lane(to, shuffle(a, b, (0, 4, 0, 4)), 0, 0, 64)


def _write_threefry(library: Library) -> Function:
    """Writes the function from two words of keys and two of counts to two random words."""
    f = library.module.function(["i32x4"] * 4, ["i32x4"] * 2)
    *key, a, b = f.parameters
    _mix(f, key, [(a, b)])
    f.returns(a, b)
    return f


def _write_bits(library: Library) -> Function:
    """Writes the function from two words of a key and four places to the bits of sixteen."""
    f = library.module.function(["i32x4"] * 3, ["i32x4"] * _WIDTH)
    *key, places = f.parameters
    pairs = [(f.local("i32x4"), f.let(places + 4 * n)) for n in range(_WIDTH)]
    _mix(f, key, pairs)
    f.returns(*(a ^ b for a, b in pairs))
    return f


def _mix(f: Function, key: Sequence[Expression], pairs: Sequence[tuple[Local, Local]]) -> None:
    """Turns pairs of words that count into random ones; several wait less for each other."""
    words = [*key, f.let(key[0] ^ key[1] ^ 0x1BD11BDA)]
    for a, b in pairs:
        a.set(a + words[0])
        b.set(b + words[1])
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            for a, b in pairs:
                a.set(a + b)
                turned = op("i32x4.shl", b, rotation) | op("i32x4.shr_u", b, 32 - rotation)
                b.set(a ^ turned)
        for a, b in pairs:
            a.set(a + words[(block + 1) % 3])
            b.set(b + words[(block + 2) % 3] + (block + 1))
