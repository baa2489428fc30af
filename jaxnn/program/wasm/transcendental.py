"""Transcendental functions of float32, within 1.5 ulp (4 are promised).

Each is computed in float64, two numbers at a time, with a relative error below 1e-8 (erf⁻¹: 9e-8),
and rounded once. Float64 has room for every intermediate result: nothing overflows, denormals are
numbers like others, and no second word has to be carried. Where an argument is not in the domain
the result is NaN; signs of zeros and infinities follow C's functions.
"""

import math
from collections.abc import Callable, Sequence

from jaxnn.program.wasm.encoding import (
    Expression,
    Function,
    Local,
    Module,
    choose,
    const,
    lane,
    load,
    op,
    shuffle,
    where,
)

Pair = Callable[..., Expression]


def _polynomial(f: Function, x: Expression, coefficients: Sequence[float]) -> Expression:
    """Returns Σ cᵢ xⁱ, in pairs that do not wait for each other (Estrin's scheme)."""
    terms = [const(x.type, c) for c in coefficients]
    power = f.let(x)
    while len(terms) > 1:
        pairs = zip(terms[::2], [*terms[1::2], None], strict=False)
        terms = [f.let(low if high is None else low + high * power) for low, high in pairs]
        power = f.let(power * power)
    return terms[0]


def _clamped(x: Expression, low: float, high: float) -> Expression:
    """Returns x in a range; NaN stays."""
    return op("f64x2.pmin", op("f64x2.pmax", x, low), high)


def _absolute(x: Expression) -> Expression:
    return op(f"{x.type}.abs", x)


def _below(x: Expression, bound: float) -> Expression:
    return op(f"{x.type}.lt", x, bound)


_EXP = [1 / math.factorial(n) for n in range(11)]


def _exp(f: Function, x: Expression) -> Expression:
    """Returns exp x = 2ⁿ exp r with |r| ≤ log(2) / 2; what float32 has no room for stays beyond."""
    x = f.let(_clamped(x, -150, 130))
    magic = 1.5 * 2**52  # added, it leaves a whole number in the low bits
    n = f.let(x * (1 / math.log(2)) + magic)
    high = 0.6931471803691238  # the first 33 bits of log 2: its products with n are exact
    low = 1.9082149292705877e-10
    m = f.let(n - magic)
    r = f.let(x - m * high - m * low)
    power = op("i64x2.shl", n.view("i64x2"), 52)
    return op("i64x2.add", _polynomial(f, r, _EXP).view("i64x2"), power).view("f64x2")


_ATANH = [2 / (2 * n + 1) for n in range(9)]


def _log(f: Function, x: Expression) -> Expression:
    """Returns log x = e log 2 + log m with √½ ≤ m < √2, log m = 2 atanh s, s = (m - 1) / (m + 1).

    x is positive and finite.
    """
    half = 0x3FE6A09E667F3BCD  # √½
    x = f.let(x)
    e = f.let(op("i64x2.shr_s", op("i64x2.sub", x.view("i64x2"), half), 52).view("i32x4"))
    m = f.let(op("i64x2.sub", x.view("i64x2"), op("i64x2.shl", e.view("i64x2"), 52)).view("f64x2"))
    s = f.let((m - 1.0) / (m + 1.0))
    exponent = op("f64x2.convert_low_i32x4_s", shuffle(e, e, (0, 2, 0, 2)))
    return f.let(exponent) * math.log(2) + s * _polynomial(f, s * s, _ATANH)


def _expm1(f: Function, x: Expression) -> Expression:
    x = f.let(x)
    near = x * (x * (x * (1 / 6) + 0.5) + 1.0)
    return where(_below(_absolute(x), 1e-4), near, _exp(f, x) - 1.0)


def _log1p(f: Function, x: Expression) -> Expression:
    x = f.let(x)
    near = x * (x * (x * (1 / 3) - 0.5) + 1.0)
    return where(_below(_absolute(x), 1e-4), near, _log(f, x + 1.0))


def _logistic(f: Function, x: Expression) -> Expression:
    return const("f64x2", 1) / (_exp(f, -x) + 1.0)


def _tanh(f: Function, x: Expression) -> Expression:
    """Returns (e²ˣ - 1) / (e²ˣ + 1)."""
    x = f.let(x)
    square = f.let(x * x)
    e = f.let(_exp(f, x + x))
    near = x * _polynomial(f, square, [1, -1 / 3, 2 / 15])
    return where(_below(square, 1e-6), near, (e - 1.0) / (e + 1.0))


_ERF = [2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(9)]
# exp(x²) erfc(x) for 0.5 ≤ x ≤ 10.2 as a polynomial in (x - 2.5) / (x + 2.5): its interpolation at
# Chebyshev's points, relative error 2.5e-11.
_ERFCX = (
    *(0.2108063640615, -0.3717367339271, 0.2517131931453, -0.1250330539501, 0.03992254105192),
    *(-0.003993668682115, -0.002642381817133, 0.0008756250648757, 0.0002283922765393),
    *(-0.0001276029430733, -3.383357561967e-05, 1.589523389177e-05, 6.121599508991e-06),
)


def _erf_small(f: Function, x: Expression, square: Expression) -> Expression:
    return x * _polynomial(f, square, _ERF)


def _erfc_large(f: Function, size: Expression, square: Expression) -> Expression:
    """Returns erfc |x| for |x| ≥ 0.5."""
    size = f.let(op("f64x2.min", size, 10.2))
    t = f.let((size - 2.5) / (size + 2.5))
    return _exp(f, -square) * _polynomial(f, t, _ERFCX)


def _erf(f: Function, x: Expression) -> Expression:
    x = f.let(x)
    size, square = f.let(_absolute(x)), f.let(x * x)
    large = const("f64x2", 1) - _erfc_large(f, size, square)
    return where(_below(size, 0.5), _erf_small(f, x, square), _signed(large, x))


def _erfc(f: Function, x: Expression) -> Expression:
    x = f.let(x)
    size, square = f.let(_absolute(x)), f.let(x * x)
    right = f.let(_erfc_large(f, size, square))
    large = where(_below(x, 0), const("f64x2", 2) - right, right)
    return where(_below(size, 0.5), const("f64x2", 1) - _erf_small(f, x, square), large)


# erf⁻¹(x) / x as polynomials in w - 2.5, for w = -log(1 - x²) < 5, and in √w - 3 beyond: like
# Giles 2012, https://people.maths.ox.ac.uk/gilesm/files/gems_erfinv.pdf; interpolated at
# Chebyshev's points, relative errors 4e-9 and 9e-8 (a ulp is 6e-8 to 1.2e-7).
_ERF_INV = (
    *(1.501409351728, 0.2466402893894, -0.004177324921935, -0.001252748416456),
    *(0.0002182639231471, -4.959743495378e-06, -3.426175953017e-06, 4.654287305503e-07),
    *(1.648717705905e-08, -8.73983097896e-09, 4.351147174835e-10),
)
_ERF_INV_TAIL = (
    *(2.832976965277, 1.001674563312, 0.009436885531867, -0.007629023726802),
    *(0.005753746104751, -0.003651084600133, 0.001314594552546, 7.957617523376e-05),
    -0.0001723788574616,
)


def _erf_inv(f: Function, x: Expression) -> Expression:
    x = f.let(x)
    rest = op("f64x2.max", const("f64x2", 1) - x * x, 1e-9)
    w = f.let(-_log(f, rest))
    tail = f.let(op("f64x2.sqrt", w) - 3.0)
    middle = _polynomial(f, w - 2.5, _ERF_INV)
    return x * where(_below(w, 5), middle, _polynomial(f, tail, _ERF_INV_TAIL))


def _pow(f: Function, a: Expression, b: Expression) -> Expression:
    """Returns exp(b log |a|)."""
    size = f.let(_absolute(a))
    log = where(_below(size, math.inf), _log(f, size), size)
    log = where(op("f64x2.eq", size, 0.0), -math.inf, log)
    return _exp(f, b * log)


_ATAN = [(-1) ** n / (2 * n + 1) for n in range(15)]


def _atan2(f: Function, y: Expression, x: Expression) -> Expression:
    """Returns the angle by atan t = π/4 + atan((t - 1) / (t + 1)), so that |t| ≤ tan(π / 8)."""
    y, x = f.let(y), f.let(x)
    height, width = f.let(_absolute(y)), f.let(_absolute(x))
    small, large = f.let(op("f64x2.min", height, width)), f.let(op("f64x2.max", height, width))
    same = where(op("f64x2.eq", large, 0.0), 0.0, const("f64x2", 1))
    t = f.let(where(op("f64x2.eq", small, large), same, small / large))
    steep = f.let(op("f64x2.gt", t, math.sqrt(2) - 1))
    t = f.let(where(steep, (t - 1.0) / (t + 1.0), t))
    angle = t * _polynomial(f, t * t, _ATAN) + where(steep, math.pi / 4, const("f64x2", 0))
    angle = f.let(angle)
    angle = f.let(where(op("f64x2.gt", height, width), const("f64x2", math.pi / 2) - angle, angle))
    left = op("i64x2.shr_s", x.view("i64x2"), 63)
    return _signed(f.let(where(left, const("f64x2", math.pi) - angle, angle)), y)


def _signed(size: Expression, sign: Expression) -> Expression:
    """Returns a number of at least 0 with another's sign."""
    mask = const("i64x2", 1 << 63)
    return size | op("v128.and", sign, mask)


# sin, cos and tan: x = q π/2 + r with |r| ≤ π/4.

_SIN = [(-1) ** n / math.factorial(2 * n + 1) for n in range(7)]
_COS = [(-1) ** n / math.factorial(2 * n) for n in range(8)]
_LARGE = 2.0**20
_BITS = 200  # of 2/π, enough for the largest float32


def _reduced(f: Function, x: Expression) -> tuple[Local, Local]:
    """Returns q, a whole number, and r; |x| < 2^20."""
    q = f.let(op("f64x2.nearest", x * (2 / math.pi)))
    high, low = 1.5707963267341256, 6.077100506506192e-11  # the first 33 bits of π/2, the others
    return q, f.let(x - q * high - q * low)


def _sin_cos(f: Function, q: Expression, r: Expression) -> tuple[Local, Local]:
    """Returns sin x and cos x."""
    square = f.let(r * r)
    sin, cos = f.let(r * _polynomial(f, square, _SIN)), f.let(_polynomial(f, square, _COS))
    whole = op("i32x4.trunc_sat_f64x2_s_zero", q)
    q = f.let(op("i64x2.extend_low_i32x4_s", whole))
    odd = f.let(op("i64x2.sub", const("i64x2", 0), op("v128.and", q, const("i64x2", 1))))

    def turned(x: Expression, quarter: Expression) -> Expression:
        return x ^ op("i64x2.shl", op("v128.and", quarter, const("i64x2", 2)), 62)

    next = op("i64x2.add", q, 1)
    return (
        f.let(turned(where(odd, cos, sin), q)),
        f.let(turned(where(odd, sin, cos), next)),
    )


def _sin(f: Function, q: Expression, r: Expression) -> Expression:
    return _sin_cos(f, q, r)[0]


def _cos(f: Function, q: Expression, r: Expression) -> Expression:
    return _sin_cos(f, q, r)[1]


def _tan(f: Function, q: Expression, r: Expression) -> Expression:
    sin, cos = _sin_cos(f, q, r)
    return sin / cos


def _two_over_pi() -> bytes:
    """Returns 2/π times 2^200, the low byte first."""
    one = 1 << _BITS + 64

    def arctan_of_inverse(n: int) -> int:
        return sum((-1) ** i * one // ((2 * i + 1) * n ** (2 * i + 1)) for i in range(200))

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))  # Machin's formula
    return (2 * one * (1 << _BITS) // pi).to_bytes(_BITS // 8 + 7, "little")


def _write_reduce_large(module: Module, table: int) -> Function:
    """Writes the function from the bits of a finite x ≥ 1 to q and r.

    With x = m 2ᵉ, the product of m and the 96 bits of 2/π from 2^(1 - e) downwards is x · 2/π
    modulo 4 with 62 bits after the point (Payne & Hanek 1983). The bits are taken from a whole
    byte on: m is shifted accordingly.
    """
    f = module.function(["i32"], ["f64", "f64"])
    (bits,) = f.parameters
    exponent = f.let(op("i32.shr_u", bits, 23) - 150)
    skipped = f.let(const("i32", _BITS - 94) - exponent)
    shift = f.let((const("i32", 0) - skipped) & 7)
    whole = op("i32.shl", bits & 0x7FFFFF | const("i32", 0x800000), shift)
    m = f.let(op("i64.extend_i32_u", whole))
    place = f.let(op("i32.shr_u", skipped + shift, 3))
    low = op("i64.extend_i32_u", load("i32", place, table))
    product = f.let(m * load("i64", place, table + 4) + op("i64.shr_u", m * low, 32))
    q = f.let(op("i64.shr_s", product + (1 << 61), 62))
    r = op("f64.convert_i64_s", product - op("i64.shl", q, 62))
    f.returns(op("f64.convert_i64_s", q), r * (math.pi / 2 / 2**62))
    return f


_ONE: dict[str, Pair] = {
    "erf": _erf,
    "erf_inv": _erf_inv,
    "erfc": _erfc,
    "exp": _exp,
    "exp2": lambda f, x: _exp(f, x * math.log(2)),
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "logistic": _logistic,
    "tanh": _tanh,
}
_TWO: dict[str, Pair] = {"atan2": _atan2, "pow": _pow}
_PERIODIC: dict[str, Pair] = {"cos": _cos, "sin": _sin, "tan": _tan}

TRANSCENDENTAL = {**_ONE, **_TWO, **_PERIODIC}
"""The functions' kinds."""


def write_transcendental(module: Module, kind: str, table: int) -> Function:
    """Writes the function of a kind, from one or two vectors of float32 to one.

    Args:
        module: where it is written.
        kind: one of ``TRANSCENDENTAL``.
        table: where in memory ``TABLE`` lies.
    """
    large = _write_reduce_large(module, table) if kind in _PERIODIC else None
    f = module.function(["f32x4"] * (2 if kind in _TWO else 1), ["f32x4"])
    halves = []
    for high in (False, True):
        wide = [f.let(op("f64x2.promote_low_f32x4", _half(x, high))) for x in f.parameters]
        if kind in _PERIODIC:
            assert large is not None
            q, r = _reduced(f, wide[0])
            _reduce_large(f, large, f.parameters[0], 2 * high, q, r)
            y = _PERIODIC[kind](f, q, r)
        else:
            y = TRANSCENDENTAL[kind](f, *wide)
        halves.append(f.let(op("f32x4.demote_f64x2_zero", y)))
    result = f.let(shuffle(halves[0], halves[1], (0, 1, 4, 5)))
    f.returns(_at_edges(f, kind, f.parameters, result))
    return f


TABLE = _two_over_pi()
"""What the functions need in memory."""


def _half(x: Expression, high: bool) -> Expression:
    return shuffle(x, x, (2, 3, 2, 3)) if high else x


def _reduce_large(
    f: Function, large: Function, x: Expression, first: int, q: Local, r: Local
) -> None:
    """Mends q and r where x, two lanes from the first on, is large; NaN where it is not finite."""
    size = f.let(op("f32x4.abs", x))
    mask = op("f32x4.ge", size, _LARGE)
    with f.when(op("v128.any_true", mask)):
        for i in range(2):
            number = f.let(lane(size.view("i32x4"), first + i))
            with f.when(op("i32.ge_u", number, 0x49800000)):  # 2^20
                whole, rest = f.call_for(large, number)
                nan = const("f64", math.nan)
                rest.set(choose(op("i32.lt_u", number, 0x7F800000), rest, nan))
                negative = f.let(op("i32.lt_s", lane(x.view("i32x4"), first + i), 0))
                for variable, value in ((q, whole), (r, rest)):
                    signed = choose(negative, -value, value)
                    variable.set(op("f64x2.replace_lane", variable, signed, immediate=bytes([i])))


def _at_edges(f: Function, kind: str, inputs: Sequence[Local], y: Local) -> Expression:
    """Returns the result, where the general way to it does not lead."""
    x = inputs[0]
    if kind in ("log", "log1p"):
        lowest = 0.0 if kind == "log" else -1.0
        other = where(op("f32x4.eq", x, lowest), -math.inf, const("f32x4", math.nan))
        other = where(op("f32x4.eq", x, math.inf), x, other)
        inside = op("f32x4.gt", x, lowest) & op("f32x4.lt", x, math.inf)
        return where(inside, y, other)
    if kind == "erf_inv":
        size = f.let(op("f32x4.abs", x))
        edge = op("f32x4.eq", size, 1.0)
        beyond = where(edge, x * math.inf, const("f32x4", math.nan))
        return where(op("f32x4.lt", size, 1.0), y, beyond)
    if kind == "pow":
        return _pow_at_edges(f, inputs[0], inputs[1], y)
    if kind in ("sin", "tan"):
        return where(op("f32x4.eq", x, 0.0), x, y)
    return y


def _pow_at_edges(f: Function, a: Expression, b: Expression, y: Expression) -> Expression:
    half = f.let(b * 0.5)
    whole = f.let(op("f32x4.eq", op("f32x4.trunc", b), b))
    odd = f.let(op("f32x4.ne", op("f32x4.trunc", half), half) & whole)
    signs = f.let(a & const("i32x4", 1 << 31))
    y = f.let(y ^ op("v128.and", signs, odd))
    outside = op("f32x4.lt", a, 0.0) & op("f32x4.gt", a, -math.inf)
    outside = op("v128.andnot", outside, whole)
    y = f.let(where(outside, math.nan, y))
    one = op("f32x4.eq", b, 0.0) | op("f32x4.eq", a, 1.0)
    one = one | (op("f32x4.eq", a, -1.0) & op("f32x4.eq", op("f32x4.abs", b), math.inf))
    return where(one, 1.0, y)
