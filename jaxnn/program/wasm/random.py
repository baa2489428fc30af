"""Random bits: Threefry-2x32 with 20 rounds, the same bits as JAX's.

Source: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405.
"""

from collections.abc import Sequence

from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import (
    Expression,
    Function,
    const,
    load_splat,
    op,
    shuffle,
    splat,
    vector,
)
from jaxnn.program.wasm.memory import SIZES, View
from jaxnn.program.wasm.product import nest

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def write_fold_in(library: Library, keys: View, numbers: View, output: View) -> Function:
    """A key for each key and number, all of them contiguous."""
    f = library.module.function()
    key, count, to = (f.let(const("i32", x.address)) for x in (keys, numbers, output))
    with nest(f, [(numbers.size, {key: 2, count: 1, to: 2})]):
        words = [load_splat("i32x4", key, 4 * i) for i in range(2)]
        _store_pair(library, f, to, words, const("i32x4", 0), load_splat("i32x4", count))
    return f


def write_split(library: Library, keys: View, output: View) -> Function:
    """So many keys for each key, both contiguous."""
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
    """Bits for each key, all of them contiguous."""
    f = library.module.function()
    threefry = library.get("threefry", lambda: _write_threefry(library))
    count, size = keys.size // 2, SIZES[output.dtype]
    each = output.size // count
    key, to = f.let(const("i32", keys.address)), f.let(const("i32", output.address))
    places = f.local("i32x4")
    first = vector(b"".join(i.to_bytes(4, "little") for i in range(4)), "i32x4")

    def draw(lanes: int) -> None:
        words = [load_splat("i32x4", key, 4 * i) for i in range(2)]
        a, b = f.call_for(threefry, *words, const("i32x4", 0), places)
        bits = f.let(a.view("i32x4") ^ b.view("i32x4"))
        if size == 4 and lanes == 4:
            f.store(to, bits)
            return
        for i in range(lanes):
            f.store_lane(to, bits, i * 4 // size, size * i, 8 * size)

    with nest(f, [(count, {key: 2})]):
        places.set(first)
        whole, rest = divmod(each, 4)
        if whole:
            with f.repeat(whole):
                draw(4)
                places.set(places + 4)
                to.set(to + 4 * size)
        if rest:
            draw(rest)
            to.set(to + rest * size)
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
    """The function from the two words of keys and of counts to two random words, of four each."""
    f = library.module.function(["i32x4"] * 4, ["i32x4"] * 2)
    key_0, key_1, a, b = f.parameters
    words = [key_0, key_1, f.let(key_0 ^ key_1 ^ 0x1BD11BDA)]
    a.set(a + words[0])
    b.set(b + words[1])
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            a.set(a + b)
            turned = op("i32x4.shl", b, rotation) | op("i32x4.shr_u", b, 32 - rotation)
            b.set(a ^ turned)
        a.set(a + words[(block + 1) % 3])
        b.set(b + words[(block + 2) % 3] + (block + 1))
    f.returns(a, b)
    return f
