"""What happens to single elements: one emitter a kind, from vectors of four to a vector of four.

In registers, numbers of every type fill 32 bits: unsigned ones of 8 and 16 bits with zeros above,
a bool as a mask, all bits set where it is true.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxnn.program.wasm.encoding import (
    Expression,
    Function,
    Local,
    Module,
    call,
    choose,
    const,
    lane,
    op,
    shuffle,
    splat,
    where,
)
from jaxnn.program.wasm.memory import SIZES
from jaxnn.program.wasm.transcendental import TABLE, TRANSCENDENTAL, write_transcendental


class Library:
    """The functions of a module that others call, each written when it is first wanted.

    Attributes:
        module: the module.
        relaxed: whether a product and a sum may be rounded as one.
        table: where in memory ``TABLE`` lies.
    """

    def __init__(self, module: Module, relaxed: bool, table: int) -> None:
        self.module = module
        self.relaxed = relaxed
        self.table = table
        module.data(table, TABLE)
        self._written: dict[object, Function] = {}

    def get(self, key: object, write: Callable[[], Function]) -> Function:
        """Returns the function of this key, written now or before."""
        if key not in self._written:
            self._written[key] = write()
        return self._written[key]

    def transcendental(self, kind: str) -> Function:
        """Returns a function of one or two vectors."""
        return self.get(kind, lambda: write_transcendental(self.module, kind, self.table))


@dataclass(frozen=True)
class Types:
    """The types of an operation: of its last input, and of its output."""

    input: str
    output: str

    @property
    def is_float(self) -> bool:
        """Whether the inputs are floats."""
        return self.input == "float32"

    @property
    def lanes(self) -> str:
        """The vector's type that holds the inputs."""
        return register(self.input)

    @property
    def sign(self) -> str:
        """How instructions tell whether integers are signed."""
        return "" if self.is_float else "_s" if self.input == "int32" else "_u"


Emitter = Callable[[Library, Function, Types, Sequence[Local]], Expression]


def register(dtype: str) -> str:
    """Returns the type of a vector that holds numbers of this type."""
    return "f32x4" if dtype == "float32" else "i32x4"


def number(dtype: str, value: float) -> Expression:
    """Returns a number of a type in every lane."""
    if dtype == "bool":
        return const("i32x4", -1 if value else 0)
    return const(register(dtype), value)


def emit(
    library: Library, f: Function, kind: str, types: Types, inputs: Sequence[Local]
) -> Expression:
    """Returns the result of an operation of four elements; "copy" repeats its input."""
    if kind == "copy":
        return inputs[0]
    return EMITTERS[kind](library, f, types, inputs)


def wrapped(x: Expression, dtype: str) -> Expression:
    """Returns an integer without the bits that its type has no room for."""
    size = SIZES[dtype]
    return x if size == 4 or dtype == "bool" else x & (256**size - 1)


def _instruction(form: str, *, wraps: bool = False) -> Emitter:
    """Returns the emitter of one instruction, of the inputs' type and sign where the form has them.

    Those that wrap may set bits that a narrow integer has no room for.
    """

    def emitter(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
        result = op(form.format(lanes=t.lanes, sign=t.sign), *x)
        return wrapped(result, t.input) if wraps else result

    return emitter


def _called(kind: str) -> Emitter:
    def emitter(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
        return Expression(call(library.transcendental(kind), *x), "f32x4")

    return emitter


def _abs(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    return x[0] if t.sign == "_u" else op(f"{t.lanes}.abs", x[0])


def _sign(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    (x0,) = x
    if t.is_float:
        return where(op("f32x4.gt", x0, 0.0), 1.0, where(op("f32x4.lt", x0, 0.0), -1.0, x0))
    low = const("i32x4", 0 if t.sign == "_u" else -1)
    return op("i32x4.min" + t.sign, op("i32x4.max" + t.sign, x0, low), 1)


def _is_finite(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    return op("f32x4.lt", op("f32x4.abs", x[0]), math.inf) if t.is_float else const("i32x4", -1)


def _rsqrt(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    return const("f32x4", 1) / op("f32x4.sqrt", x[0])


def _select(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    return where(*x)


def _bitcast(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    return x[0].view(register(t.output))


def _convert(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
    (x0,) = x
    if t.output == "bool":
        return op(f"{t.lanes}.ne", x0, 0)
    if t.output == "float32":
        if t.input == "bool":
            return const("f32x4", 1) & x0
        return x0 if t.is_float else op(f"f32x4.convert_i32x4{t.sign}", x0)
    if t.input == "bool":
        return x0 & 1
    if not t.is_float:
        return wrapped(x0, t.output)
    unsigned = op("i32x4.trunc_sat_f32x4_u", x0)
    if SIZES[t.output] == 4:
        return op("i32x4.trunc_sat_f32x4_s", x0) if t.output == "int32" else unsigned
    return op("i32x4.min_u", unsigned, 256 ** SIZES[t.output] - 1)


def _division(name: str) -> Emitter:
    """Returns an emitter that goes lane by lane: vectors of integers have no such instruction."""

    def emitter(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
        if t.is_float and name == "div":
            return op("f32x4.div", *x)
        key = (name, t.sign)
        write = _write_fmod if t.is_float else functools.partial(_write_division, key=key)
        function = library.get(key, lambda: write(library.module))
        lanes = [call(function, *(lane(v, i) for v in x)) for i in range(4)]
        return wrapped(_joined(t.lanes, lanes), t.output)

    return emitter


def _write_division(module: Module, key: tuple[str, str]) -> Function:
    """Writes the function of a quotient or a rest, which never traps.

    Of a division by 0 these are -1 and the first number.
    """
    name, sign = key
    f = module.function(["i32", "i32"], ["i32"])
    a, b = f.parameters
    result = f.let(a if name == "rem" else const("i32", 0) - a)  # of division by -1
    with f.when(op("i32.ne", b, -1) if key == ("div", "_s") else const("i32", 1)):
        result.set(a if name == "rem" else -1)
        with f.when(b):
            result.set(op(f"i32.{name}{sign}", a, b))
    f.returns(result)
    return f


def _joined(type: str, lanes: Sequence[bytes]) -> Expression:
    """Returns a vector from the code of its four lanes."""
    x = splat(Expression(lanes[0], type[:3]), type)
    for i, code in enumerate(lanes[1:], 1):
        replaced = op(f"{type}.replace_lane", x, Expression(code, type[:3]), immediate=bytes([i]))
        x = replaced
    return x


def _write_fmod(module: Module) -> Function:
    """Writes C's fmod: multiples 2ⁿ b, from the largest on, are taken away from |a|."""
    f = module.function(["f32", "f32"], ["f32"])
    a, b = f.parameters
    rest, least = (f.let(op("f64.promote_f32", op("f32.abs", x))) for x in (a, b))
    step = f.let(least)
    inside = op("f32.lt", op("f32.abs", a), math.inf) & op("f64.gt", least, 0.0)
    with f.when(inside):
        with f.during(lambda: op("f64.le", step, rest)):
            step.set(step + step)
        with f.during(lambda: op("f64.gt", step, least)):
            step.set(step * 0.5)
            with f.when(op("f64.ge", rest, step)):
                rest.set(rest - step)
        a.set(op("f32.copysign", op("f32.demote_f64", rest), a))
    with f.otherwise():
        a.set(math.nan)
    f.returns(choose(op("f32.eq", b, b), a, const("f32", math.nan)))
    return f


def _shift(name: str) -> Emitter:
    """Returns an emitter that shifts each lane by its own distance, which no instruction does."""

    def emitter(library: Library, f: Function, t: Types, x: Sequence[Local]) -> Expression:
        a, b = x
        width = 8 * SIZES[t.input]
        inside = op("i32x4.lt_u", b, width)
        if name == "shr_s":
            if width < 32:
                a = f.let(op("i32x4.shl", a, 32 - width))
                a = f.let(op("i32x4.shr_s", a, 32 - width))
            b = f.let(op("i32x4.min_u", b, width - 1))
            inside = const("i32x4", -1)
        lanes = [op(f"i32.{name}", lane(a, i), lane(b, i)).code for i in range(4)]
        return wrapped(where(inside, _joined("i32x4", lanes), 0), t.input)

    return emitter


EMITTERS: dict[str, Emitter] = {
    **{kind: _called(kind) for kind in TRANSCENDENTAL},
    **{
        kind: _instruction(f"{{lanes}}.{kind}", wraps=True)
        for kind in ("add", "ceil", "floor", "mul", "neg", "sqrt", "sub")
    },
    **{
        kind: _instruction(f"{{lanes}}.{kind}{{sign}}")
        for kind in ("ge", "gt", "le", "lt", "max", "min")
    },
    **{kind: _instruction(f"{{lanes}}.{kind}") for kind in ("eq", "ne")},
    **{kind: _instruction(f"v128.{kind}", wraps=True) for kind in ("and", "not", "or", "xor")},
    "abs": _abs,
    "bitcast": _bitcast,
    "convert": _convert,
    "div": _division("div"),
    "is_finite": _is_finite,
    "rem": _division("rem"),
    "round": _instruction("{lanes}.nearest", wraps=True),
    "rsqrt": _rsqrt,
    "select": _select,
    "shift_left": _shift("shl"),
    "shift_right_arithmetic": _shift("shr_s"),
    "shift_right_logical": _shift("shr_u"),
    "sign": _sign,
}
"""From the kind of an operation to what writes it."""


# Reductions: how two become one, and what changes nothing.

_REDUCTIONS: dict[str, tuple[str, float]] = {
    "reduce_and": ("and", -1),
    "reduce_max": ("max", -math.inf),
    "reduce_min": ("min", math.inf),
    "reduce_or": ("or", 0),
    "reduce_prod": ("mul", 1),
    "reduce_sum": ("add", 0),
    "reduce_xor": ("xor", 0),
}
REDUCTIONS = frozenset(_REDUCTIONS)
"""Their kinds."""


def combined(
    library: Library, f: Function, kind: str, dtype: str, a: Local, b: Expression
) -> Expression:
    """Returns two vectors of partial results as one."""
    name = _REDUCTIONS[kind][0]
    return emit(library, f, name, Types(dtype, dtype), [a, f.let(b)])


def neutral(kind: str, dtype: str) -> float:
    """Returns what changes nothing, as a number of a type."""
    value = _REDUCTIONS[kind][1]
    if dtype == "float32":
        return value
    if math.isinf(value):
        low, high = {"int32": (-(2**31), 2**31 - 1)}.get(dtype, (0, 256 ** SIZES[dtype] - 1))
        return low if value < 0 else high
    return int(value) & 256 ** SIZES[dtype] - 1


def identity(kind: str, dtype: str) -> Expression:
    """Returns the same, in every lane."""
    return number(dtype, neutral(kind, dtype))


def across(library: Library, f: Function, kind: str, dtype: str, x: Local) -> Local:
    """Returns the four lanes of a vector reduced: the result is in each of them."""
    for lanes in ((2, 3, 0, 1), (1, 0, 3, 2)):
        x = f.let(combined(library, f, kind, dtype, x, shuffle(x, x, lanes)))
    return x
