"""WebAssembly's binary format: modules of functions, written as bytes.

A small assembler: an ``Expression`` is the code that leaves one value on the stack, together with
the type of that value; Python's operators put expressions together, and a ``Function`` collects
statements. Vectors of 128 bits have the type of their lanes, ``"f32x4"``, ``"i32x4"`` or
``"f64x2"``; masks are ``"i32x4"``, all bits set where something is true.

Source: https://webassembly.github.io/spec/core/binary/.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

PAGE = 65536
"""Bytes of a page, the unit of memory."""

_TYPES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C}
_VECTOR = 0x7B


def _numbered(first: int, prefix: str, names: str) -> dict[str, int]:
    """Returns opcodes that follow each other; ``-`` stands for one that is left out."""
    listed = enumerate(names.split(), first)
    return {f"{prefix}.{name}": number for number, name in listed if name != "-"}


_INTEGER_TESTS = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
_TESTS = {*_INTEGER_TESTS.split(), "lt", "gt", "le", "ge"}
_SCALAR = {
    "i32.eqz": 0x45,
    **_numbered(0x46, "i32", _INTEGER_TESTS),
    **_numbered(0x51, "i64", _INTEGER_TESTS),
    **_numbered(0x5B, "f32", "eq ne lt gt le ge"),
    **_numbered(0x61, "f64", "eq ne lt gt le ge"),
    **_numbered(0x6A, "i32", "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u"),
    **_numbered(0x7C, "i64", "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u"),
    **_numbered(0x8B, "f32", "abs neg - - - - - add sub mul div min max copysign"),
    **_numbered(0x99, "f64", "abs neg - - - - - add sub mul div min max"),
    **_numbered(0xAC, "i64", "extend_i32_s extend_i32_u"),
    "f32.demote_f64": 0xB6,
    "f64.convert_i64_s": 0xB9,
    "f64.promote_f32": 0xBB,
}
_SIMD = {
    "v128.const": 0x0C,
    "i8x16.shuffle": 0x0D,
    "i32x4.splat": 0x11,
    "i64x2.splat": 0x12,
    "f32x4.splat": 0x13,
    "f64x2.splat": 0x14,
    "i32x4.extract_lane": 0x1B,
    "i32x4.replace_lane": 0x1C,
    "f32x4.extract_lane": 0x1F,
    "f32x4.replace_lane": 0x20,
    "f64x2.replace_lane": 0x22,
    **_numbered(0x37, "i32x4", _INTEGER_TESTS),
    **_numbered(0x41, "f32x4", "eq ne lt gt le ge"),
    **_numbered(0x47, "f64x2", "eq ne lt gt le ge"),
    **_numbered(0x4D, "v128", "not and andnot or xor bitselect any_true"),
    "f32x4.demote_f64x2_zero": 0x5E,
    "f64x2.promote_low_f32x4": 0x5F,
    "i8x16.narrow_i16x8_u": 0x66,
    **_numbered(0x67, "f32x4", "ceil floor trunc nearest"),
    "i16x8.narrow_i32x4_u": 0x86,
    "i16x8.extend_low_i8x16_u": 0x89,
    "f64x2.nearest": 0x94,
    "i32x4.abs": 0xA0,
    "i32x4.neg": 0xA1,
    "i32x4.extend_low_i16x8_u": 0xA9,
    **_numbered(0xAB, "i32x4", "shl shr_s shr_u add"),
    "i32x4.sub": 0xB1,
    **_numbered(0xB5, "i32x4", "mul min_s min_u max_s max_u"),
    **_numbered(0xC7, "i64x2", "extend_low_i32x4_s"),
    **_numbered(0xCB, "i64x2", "shl shr_s shr_u add"),
    "i64x2.sub": 0xD1,
    **_numbered(0xE0, "f32x4", "abs neg - sqrt add sub mul div min max pmin pmax"),
    **_numbered(0xEC, "f64x2", "abs neg - sqrt add sub mul div min max pmin pmax"),
    "i32x4.trunc_sat_f32x4_s": 0xF8,
    "i32x4.trunc_sat_f32x4_u": 0xF9,
    "f32x4.convert_i32x4_s": 0xFA,
    "f32x4.convert_i32x4_u": 0xFB,
    "i32x4.trunc_sat_f64x2_s_zero": 0xFC,
    "f64x2.convert_low_i32x4_s": 0xFE,
    "f32x4.relaxed_madd": 0x105,
}
_LOADS = {
    "i32": 0x28,
    "i64": 0x29,
    "f32": 0x2A,
    "u8": 0x2D,
    "u16": 0x2F,
}
_STORES = {"i32": 0x36, "f32": 0x38, "u8": 0x3A, "u16": 0x3B}


def unsigned(number: int) -> bytes:
    """Returns a whole number of at least 0 in LEB128."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number: int) -> bytes:
    """Returns a whole number in signed LEB128."""
    out = bytearray()
    while not -0x40 <= number < 0x40:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


def _listed(items: Sequence[bytes]) -> bytes:
    return unsigned(len(items)) + b"".join(items)


def _type(type: str) -> bytes:
    return bytes([_TYPES.get(type, _VECTOR)])


class Expression:
    """Code that leaves one value on the stack.

    Attributes:
        code: its bytes.
        type: "i32", "i64", "f32", "f64", or that of a vector's lanes.
    """

    __slots__ = ("code", "type")

    def __init__(self, code: bytes, type: str) -> None:
        self.code = code
        self.type = type

    def view(self, type: str) -> "Expression":
        """Returns the same vector, its lanes taken as of another type."""
        return Expression(self.code, type)

    def _with(self, name: str, other: "Expression | float") -> "Expression":
        return op(f"{self.type}.{name}", self, other)

    def __add__(self, other: "Expression | float") -> "Expression":
        return self if isinstance(other, int) and other == 0 else self._with("add", other)

    def __sub__(self, other: "Expression | float") -> "Expression":
        return self._with("sub", other)

    def __mul__(self, other: "Expression | float") -> "Expression":
        return self._with("mul", other)

    def __truediv__(self, other: "Expression | float") -> "Expression":
        return self._with("div", other)

    def __and__(self, other: "Expression | int") -> "Expression":
        return self._bits("and", other)

    def __or__(self, other: "Expression | int") -> "Expression":
        return self._bits("or", other)

    def __xor__(self, other: "Expression | int") -> "Expression":
        return self._bits("xor", other)

    def __neg__(self) -> "Expression":
        return op(f"{self.type}.neg", self)

    def _bits(self, name: str, other: "Expression | int") -> "Expression":
        if "x" not in self.type:
            return self._with(name, other)
        other = other if isinstance(other, Expression) else const("i32x4", other)
        return Expression(op(f"v128.{name}", self, other).code, self.type)


def op(name: str, *arguments: "Expression | float", immediate: bytes = b"") -> Expression:
    """Returns what an instruction, by its name in the text format, makes of its arguments.

    Numbers become constants of the first argument's type; a shift's distance, of i32.
    """
    first = arguments[0]
    assert isinstance(first, Expression)
    kind, _, action = name.partition(".")
    other = "i32" if action in ("shl", "shr_s", "shr_u") and "x" in kind else first.type
    code = b"".join((x if isinstance(x, Expression) else const(other, x)).code for x in arguments)
    if action in _TESTS:
        kind = {"f32x4": "i32x4", "i32x4": "i32x4", "f64x2": "i64x2"}.get(kind, "i32")
    elif action == "any_true":
        kind = "i32"
    elif action == "extract_lane":
        kind = kind[:3]
    elif kind == "v128":
        kind = first.type
    return Expression(code + _opcode(name) + immediate, kind)


def _opcode(name: str) -> bytes:
    if name in _SCALAR:
        return bytes([_SCALAR[name]])
    return b"\xfd" + unsigned(_SIMD[name])


def const(type: str, number: float) -> Expression:
    """Returns a constant; the same number in every lane of a vector."""
    if type in ("i32", "i64"):
        bits = int(type[1:])
        number = (int(number) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
        return Expression(bytes([0x41 if type == "i32" else 0x42]) + signed(number), type)
    if type in ("f32", "f64"):
        packed = struct.pack("<f" if type == "f32" else "<d", number)
        return Expression(bytes([0x43 if type == "f32" else 0x44]) + packed, type)
    lane = {
        "f32x4": lambda: struct.pack("<f", number),
        "i32x4": lambda: struct.pack("<I", int(number) & 0xFFFFFFFF),
        "f64x2": lambda: struct.pack("<d", number),
        "i64x2": lambda: struct.pack("<Q", int(number) & 0xFFFFFFFFFFFFFFFF),
    }[type]()
    return vector(lane * (16 // len(lane)), type)


def vector(lanes: bytes, type: str) -> Expression:
    """Returns a constant vector from its 16 bytes."""
    return Expression(_opcode("v128.const") + lanes, type)


def splat(number: Expression, type: str) -> Expression:
    """Returns a vector with one number in every lane."""
    return op(f"{type}.splat", number)


def shuffle(a: Expression, b: Expression, lanes: Sequence[int]) -> Expression:
    """Returns four lanes of 32 bits out of the eight of two vectors."""
    places = bytes(4 * lane + byte for lane in lanes for byte in range(4))
    code = a.code + b.code + _opcode("i8x16.shuffle") + places
    return Expression(code, a.type)


def lane(x: Expression, i: int) -> Expression:
    """Returns one lane of a vector of 32-bit lanes."""
    return op(f"{x.type}.extract_lane", x, immediate=bytes([i]))


def where(mask: Expression, a: "Expression | float", b: "Expression | float") -> Expression:
    """Returns a in the lanes where the mask is set, b elsewhere."""
    type = next(x.type for x in (a, b) if isinstance(x, Expression))
    a, b = (x if isinstance(x, Expression) else const(type, x) for x in (a, b))
    return Expression(a.code + b.code + mask.code + _opcode("v128.bitselect"), type)


def choose(condition: Expression, a: Expression, b: Expression) -> Expression:
    """Returns a if the condition, an i32, is not zero, else b; both are computed."""
    return Expression(a.code + b.code + condition.code + b"\x1b", a.type)


def load(type: str, address: Expression, offset: int = 0) -> Expression:
    """Returns what lies in memory at an address and an offset that is known, of any alignment.

    Args:
        type: of the expression; or "u8" or "u16", which become an i32.
        address: i32.
        offset: bytes, at least 0.
    """
    place = b"\x00" + unsigned(offset)
    if type in _LOADS:
        result = "i32" if type[0] == "u" else type
        return Expression(address.code + bytes([_LOADS[type]]) + place, result)
    return Expression(address.code + b"\xfd\x00" + place, type)


def load_splat(type: str, address: Expression, offset: int = 0) -> Expression:
    """Returns a number from memory, of the size of a lane, in every lane."""
    opcode = b"\xfd\x09" if type[1:3] == "32" else b"\xfd\x0a"
    return Expression(address.code + opcode + b"\x00" + unsigned(offset), type)


def load_zero(type: str, address: Expression, offset: int = 0, bits: int = 32) -> Expression:
    """Returns 32 or 64 bits from memory in the first lanes, and zeros."""
    opcode = b"\xfd\x5c" if bits == 32 else b"\xfd\x5d"
    return Expression(address.code + opcode + b"\x00" + unsigned(offset), type)


def load_lane(x: Expression, lane: int, address: Expression, offset: int = 0) -> Expression:
    """Returns a vector with one lane of 32 bits taken from memory."""
    place = b"\x00" + unsigned(offset) + bytes([lane])
    return Expression(address.code + x.code + b"\xfd\x56" + place, x.type)


class Local(Expression):
    """A local variable of a function."""

    __slots__ = ("function", "index")

    def __init__(self, function: "Function", index: int, type: str) -> None:
        super().__init__(b"\x20" + unsigned(index), type)
        self.function = function
        self.index = index

    def set(self, value: "Expression | float") -> None:
        """Writes the statement that gives it a value."""
        if not isinstance(value, Expression):
            value = const(self.type, value)
        self.function.emit(value.code + b"\x21" + unsigned(self.index))

    def tee(self, value: Expression) -> Expression:
        """Returns the value, which the variable is given on the way."""
        return Expression(value.code + b"\x22" + unsigned(self.index), self.type)


class Function:
    """A function in the making.

    Attributes:
        index: its number in the module.
        parameters: local variables that the caller gives.
        results: the types of what it returns.
    """

    def __init__(self, index: int, parameters: Sequence[str], results: Sequence[str]) -> None:
        self.index = index
        self.results = tuple(results)
        self._body = bytearray()
        self._types: list[str] = []
        self.parameters = [self.local(type) for type in parameters]

    def local(self, type: str) -> Local:
        """Returns a new variable, zero until it is set."""
        self._types.append(type)
        return Local(self, len(self._types) - 1, type)

    def let(self, value: Expression) -> Local:
        """Returns a new variable that is given a value here."""
        variable = self.local(value.type)
        variable.set(value)
        return variable

    def emit(self, code: bytes) -> None:
        """Appends instructions that leave the stack as it was."""
        self._body += code

    def store(
        self, address: Expression, value: Expression, offset: int = 0, type: str | None = None
    ) -> None:
        """Writes a number or a vector to memory; ``type`` "u8" or "u16" only its low bits."""
        place = b"\x00" + unsigned(offset)
        code = _STORES.get(type or value.type)
        opcode = b"\xfd\x0b" if code is None else bytes([code])
        self.emit(address.code + value.code + opcode + place)

    def store_lane(
        self, address: Expression, value: Expression, lane: int, offset: int = 0, bits: int = 32
    ) -> None:
        """Writes one lane of 8, 16, 32 or 64 bits to memory."""
        opcode = {8: 0x58, 16: 0x59, 32: 0x5A, 64: 0x5B}[bits]
        place = b"\x00" + unsigned(offset) + bytes([lane])
        self.emit(address.code + value.code + b"\xfd" + bytes([opcode]) + place)

    def copy(self, to: Expression, source: Expression, count: Expression) -> None:
        """Copies bytes from one place of memory to another, which may overlap."""
        self.emit(to.code + source.code + count.code + b"\xfc\x0a\x00\x00")

    def fill(self, to: Expression, byte: Expression, count: Expression) -> None:
        """Fills memory with one byte."""
        self.emit(to.code + byte.code + count.code + b"\xfc\x0b\x00")

    @contextmanager
    def repeat(self, count: int) -> Iterator[None]:
        """Repeats what is written inside."""
        if count <= 1:
            assert count == 1, "nothing is to be written for no turns"
            yield
            return
        left = self.let(const("i32", count))
        self.emit(b"\x03\x40")
        yield
        self.emit(left.tee(left - 1).code + b"\x0d\x00\x0b")

    @contextmanager
    def during(self, condition: Callable[[], Expression]) -> Iterator[None]:
        """Repeats what is written inside while a condition, an i32, is not zero."""
        self.emit(b"\x02\x40\x03\x40")
        self.emit(op("i32.eqz", condition()).code + b"\x0d\x01")
        yield
        self.emit(b"\x0c\x00\x0b\x0b")

    @contextmanager
    def when(self, condition: Expression) -> Iterator[None]:
        """What is written inside happens if the condition is not zero."""
        self.emit(condition.code + b"\x04\x40")
        yield
        self.emit(b"\x0b")

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """Directly after ``when``: what is written inside happens if its condition is zero."""
        assert self._body[-1:] == b"\x0b"
        self._body[-1:] = b"\x05"
        yield
        self.emit(b"\x0b")

    def returns(self, *values: Expression) -> None:
        """Ends the function with its results."""
        self.emit(b"".join(value.code for value in values))

    def call(self, function: "Function", *arguments: Expression) -> None:
        """Calls a function that returns nothing."""
        assert not function.results
        self.emit(call(function, *arguments))

    def call_for(self, function: "Function", *arguments: Expression) -> list[Local]:
        """Calls a function for its results, each of which becomes a variable."""
        self.emit(call(function, *arguments))
        variables = [self.local(type) for type in function.results]
        for variable in reversed(variables):
            self.emit(b"\x21" + unsigned(variable.index))
        return variables

    def signature(self) -> bytes:
        """Returns its type, as the module lists it."""
        parameters = [_type(x.type) for x in self.parameters]
        return b"\x60" + _listed(parameters) + _listed([_type(type) for type in self.results])

    def encode(self) -> bytes:
        """Returns its code, as the module lists it."""
        own = self._types[len(self.parameters) :]
        runs: list[list[bytes]] = []
        for type in map(_type, own):
            if runs and runs[-1][0] == type:
                runs[-1].append(type)
            else:
                runs.append([type])
        declared = _listed([unsigned(len(run)) + run[0] for run in runs])
        code = declared + bytes(self._body) + b"\x0b"
        return unsigned(len(code)) + code


def call(function: Function, *arguments: Expression) -> bytes:
    """Returns the code that calls a function and leaves its results on the stack."""
    assert [_type(x.type) for x in arguments] == [_type(x.type) for x in function.parameters]
    return b"".join(x.code for x in arguments) + b"\x10" + unsigned(function.index)


class Module:
    """A module in the making: functions, and one memory, which it exports as ``memory``.

    Attributes:
        pages: the size of the memory, which never changes.
    """

    def __init__(self) -> None:
        self.pages = 1
        self._functions: list[Function] = []
        self._exports: dict[str, Function] = {}
        self._data: list[tuple[int, bytes]] = []

    def function(
        self, parameters: Sequence[str] = (), results: Sequence[str] = (), export: str | None = None
    ) -> Function:
        """Adds a function, exported under a name if one is given."""
        function = Function(len(self._functions), parameters, results)
        self._functions.append(function)
        if export is not None:
            self._exports[export] = function
        return function

    def data(self, address: int, content: bytes) -> None:
        """What the memory holds at an address to begin with."""
        self._data.append((address, content))

    def encode(self) -> bytes:
        """Returns the module's bytes."""
        signatures = list(dict.fromkeys(f.signature() for f in self._functions))
        numbers = [unsigned(signatures.index(f.signature())) for f in self._functions]
        exports = {"memory": b"\x02\x00"}
        exports |= {name: b"\x00" + unsigned(f.index) for name, f in self._exports.items()}
        named = [
            unsigned(len(name.encode())) + name.encode() + code for name, code in exports.items()
        ]
        data = [
            b"\x00" + const("i32", address).code + b"\x0b" + unsigned(len(content)) + content
            for address, content in self._data
        ]
        sections = {
            1: _listed(signatures),
            3: _listed(numbers),
            5: _listed([b"\x01" + unsigned(self.pages) * 2]),
            7: _listed(named),
            10: _listed([f.encode() for f in self._functions]),
            11: _listed(data),
        }
        return b"\x00asm\x01\x00\x00\x00" + b"".join(
            bytes([number]) + unsigned(len(content)) + content
            for number, content in sections.items()
        )
