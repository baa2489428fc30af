"""The reference: runs any program with NumPy, as exactly as is easy.

It says what each kind of operation means, where the words of ``KINDS`` leave a doubt; other back
ends are compared with it. It is not fast.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes  # noqa: F401 (gives NumPy the type bfloat16)
import numpy as np
from scipy import special

from jaxnn.program.program import Operation, Program

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


def run(program: Program, *inputs: Any) -> list[Array]:
    """Returns a program's outputs for inputs in the order, and of the shapes and types, it names.

    Raises:
        ValueError: if they are not.
    """
    arrays = [np.asarray(x) for x in inputs]
    found = [(x.shape, x.dtype.name) for x in arrays]
    if found != [(x.shape, x.dtype) for x in program.inputs]:
        raise ValueError(
            f"a program with inputs {', '.join(map(str, program.inputs))} was given {found}"
        )
    with np.errstate(all="ignore"):
        return _run(program, *arrays)


def evaluate(operation: Operation, *inputs: Array) -> list[Array]:
    """Returns what one operation makes of its inputs."""
    with np.errstate(all="ignore"):
        outputs = FUNCTIONS[operation.kind](operation, *inputs)
    several = outputs if isinstance(outputs, list) else [outputs]
    pairs = zip(several, operation.outputs, strict=True)
    arrays = [np.asarray(x, np.dtype(value.dtype)) for x, value in pairs]
    assert [x.shape for x in arrays] == [x.shape for x in operation.outputs], operation
    return arrays


def _run(program: Program, *inputs: Array) -> list[Array]:
    known = dict(program.constants)
    known.update({value.id: x for value, x in zip(program.inputs, inputs, strict=True)})
    for operation in program.operations:
        outputs = evaluate(operation, *(known[x.id] for x in operation.inputs))
        known.update({value.id: x for value, x in zip(operation.outputs, outputs, strict=True)})
    return [known[value.id] for value in program.outputs]


def _is_float(x: Array) -> bool:
    return x.dtype.kind == "f" or x.dtype.name == "bfloat16"


def _wide(x: Array) -> Array:
    """Types of 16 bits as float32, in which sums and products are carried."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and _is_float(x) else x


# Element by element.


def _elements(function: Function) -> Function:
    return lambda operation, *inputs: function(*inputs)


def _real(function: Function) -> Function:
    """A function of real numbers, computed in float64 and rounded once."""

    def rounded(operation: Operation, *inputs: Array) -> Array:
        return function(*(x.astype(np.float64) for x in inputs)).astype(inputs[0].dtype)

    return rounded


def _convert(operation: Operation, x: Array) -> Array:
    dtype = np.dtype(operation.output.dtype)
    if _is_float(x) and dtype.kind in "iu":
        wide = np.trunc(x.astype(np.float64))
        info = np.iinfo(dtype)
        converted = np.where(np.abs(wide) < 2.0**53, wide, 0).clip(info.min, info.max)
        converted = np.where(wide >= info.max, info.max, converted.astype(dtype))
        return np.where(wide <= info.min, info.min, converted).astype(dtype)
    return x.astype(dtype)


def _divide(a: Array, b: Array) -> Array:
    if _is_float(a):
        return a / b
    quotient, remainder = np.divmod(a, np.where(b == 0, 1, b))
    toward_zero = quotient + ((remainder != 0) & ((a < 0) != (b < 0)))
    return np.where(b == 0, -1, toward_zero).astype(a.dtype)


def _remainder(a: Array, b: Array) -> Array:
    if _is_float(a):
        return np.fmod(a, b)
    return np.where(b == 0, a, np.fmod(a, np.where(b == 0, 1, b)))


def _shift(function: Function, *, signed: bool) -> Function:
    def shift(operation: Operation, a: Array, b: Array) -> Array:
        width = a.dtype.itemsize
        words = a.view(f"{'i' if signed else 'u'}{width}")
        whole = b.view(f"u{width}") >= 8 * width
        shifted = function(words, np.where(whole, 0, b).astype(words.dtype))
        return np.where(whole, -(words < 0).astype(words.dtype), shifted).view(a.dtype)

    return shift


# Other places.


def _broadcast(operation: Operation, x: Array) -> Array:
    dimensions, output = operation.attributes["dimensions"], operation.output
    shape = [1] * len(output.shape)
    for axis, dimension in enumerate(dimensions):
        shape[dimension] = x.shape[axis]
    return np.broadcast_to(x.reshape(shape), output.shape)


def _iota(operation: Operation) -> Array:
    axis, shape = operation.attributes["axis"], operation.output.shape
    column = [-1 if i == axis else 1 for i in range(len(shape))]
    positions = np.arange(shape[axis]).astype(operation.output.dtype)
    return np.broadcast_to(positions.reshape(column), shape)


def _pad(operation: Operation, x: Array, filler: Array) -> Array:
    attributes = operation.attributes
    return _padded(x, filler, attributes["low"], attributes["high"], attributes["interior"])


def _padded(
    x: Array, filler: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int]
) -> Array:
    spread = [n + max(n - 1, 0) * gap for n, gap in zip(x.shape, interior, strict=True)]
    starts, ends = ([max(n, 0) for n in side] for side in (low, high))
    whole = np.full(np.add(np.add(starts, spread), ends), filler, x.dtype)
    sides = zip(starts, spread, interior, strict=True)
    whole[tuple(slice(start, start + n, gap + 1) for start, n, gap in sides)] = x
    cut = zip(low, high, whole.shape, strict=True)
    return whole[tuple(slice(max(-a, 0), n - max(-b, 0)) for a, b, n in cut)]


def _slice(operation: Operation, x: Array) -> Array:
    bounds = (operation.attributes[k] for k in ("starts", "limits", "strides"))
    return x[tuple(itertools.starmap(slice, zip(*bounds, strict=True)))]


def _window(x: Array, sizes: Sequence[int], starts: Sequence[Array]) -> tuple[slice, ...]:
    """The part of an array of these sizes that begins here, moved inside."""
    inside = (
        min(max(int(start), 0), n - size)
        for start, n, size in zip(starts, x.shape, sizes, strict=True)
    )
    return tuple(slice(start, start + size) for start, size in zip(inside, sizes, strict=True))


def _dynamic_slice(operation: Operation, x: Array, *starts: Array) -> Array:
    return x[_window(x, operation.output.shape, starts)]


def _dynamic_update_slice(operation: Operation, x: Array, part: Array, *starts: Array) -> Array:
    result = x.copy()
    result[_window(x, part.shape, starts)] = part
    return result


def _put(operation: Operation, x: Array, indices: Array, rows: Array) -> Array:
    result = _wide(x).copy()
    for index, row in zip(indices, rows, strict=True):
        if index < len(x):
            result[index] = row if operation.attributes["how"] == "set" else result[index] + row
    return result


# Over and along axes.


def _reduce(function: Function, **options: Any) -> Function:
    def reduced(operation: Operation, x: Array) -> Array:
        return function(_wide(x), axis=operation.attributes["axes"], **options)

    return reduced


def _largest(function: Function, *, sign: int) -> Function:
    """The largest over axes (sign 1), or the smallest (-1); also of no elements."""

    def reduced(operation: Operation, x: Array) -> Array:
        if _is_float(x):
            least: Any = -sign * np.inf
        else:
            info = np.iinfo(x.dtype)
            least = info.min if sign > 0 else info.max
        axes = operation.attributes["axes"]
        return function(x, axis=axes, initial=np.asarray(least, x.dtype))

    return reduced


def _cumulative(function: Any) -> Function:
    def cumulated(operation: Operation, x: Array) -> Array:
        axis, reverse = operation.attributes["axis"], operation.attributes["reverse"]
        ordered = np.flip(x, axis) if reverse else x
        result = function.accumulate(_wide(ordered), axis=axis, dtype=_wide(x).dtype)
        return np.flip(result, axis) if reverse else result

    return cumulated


def _sort(operation: Operation, *arrays: Array) -> list[Array]:
    axis, keys = operation.attributes["axis"], operation.attributes["keys"]
    order = np.lexsort([_wide(x) for x in arrays[:keys][::-1]], axis=axis)
    return [np.take_along_axis(x, order, axis) for x in arrays]


# Products.


def _dot(operation: Operation, a: Array, b: Array) -> Array:
    if operation.attributes["transpose_a"]:
        a = a.swapaxes(-1, -2)
    if operation.attributes["transpose_b"]:
        b = b.swapaxes(-1, -2)
    return np.matmul(_wide(a), _wide(b))


def _convolution(operation: Operation, x: Array, kernel: Array) -> Array:
    names = ("strides", "padding", "dilation", "kernel_dilation", "groups")
    strides, padding, dilation, kernel_dilation, groups = (operation.attributes[k] for k in names)
    output = operation.output
    low, high = ((0, *(pair[side] for pair in padding), 0) for side in (0, 1))
    padded = _padded(x, 0, low, high, (0, *(d - 1 for d in dilation), 0))
    result = np.zeros(output.shape, _wide(x).dtype)
    channels, units = x.shape[-1] // groups, output.shape[-1] // groups
    for position in np.ndindex(*kernel.shape[:-2]):
        corner = [i * d for i, d in zip(position, kernel_dilation, strict=True)]
        spans = [
            slice(start, start + (n - 1) * stride + 1, stride)
            for start, n, stride in zip(corner, output.shape[1:-1], strides, strict=True)
        ]
        seen = _wide(padded[(slice(None), *spans)])
        for group in range(groups):
            ins = slice(group * channels, (group + 1) * channels)
            outs = slice(group * units, (group + 1) * units)
            result[..., outs] += seen[..., ins] @ _wide(kernel[position][:, outs])
    return result


# Random numbers.


def _threefry(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds: two random words for two words that count.

    Source: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405.

    Args:
        key: (..., 2) uint32, the rest like the counts or of length 1.
        high: (...) uint32.
        low: (...) uint32.
    """
    words = [key[..., 0], key[..., 1], key[..., 0] ^ key[..., 1] ^ np.uint32(0x1BD11BDA)]
    a, b = high + words[0], low + words[1]
    for block in range(5):
        for rotation in (13, 15, 26, 6) if block % 2 == 0 else (17, 29, 16, 24):
            a = a + b
            b = a ^ (b << np.uint32(rotation) | b >> np.uint32(32 - rotation))
        a = a + words[(block + 1) % 3]
        b = b + words[(block + 2) % 3] + np.uint32(block + 1)
    return a, b


def _fold_in(operation: Operation, keys: Array, numbers: Array) -> Array:
    return np.stack(_threefry(keys, np.zeros_like(numbers), numbers), -1)


def _counted(keys: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Random words for the positions in an array (*keys, *shape), counted anew for each key."""
    added = shape[keys.ndim - 1 :]
    counts = np.arange(np.prod(added, dtype=int), dtype=np.uint32).reshape(added)
    keys = keys.reshape(*keys.shape[:-1], *(1 for _ in added), 2)
    return _threefry(keys, np.zeros_like(counts), counts)


def _split(operation: Operation, keys: Array) -> Array:
    return np.stack(_counted(keys, operation.output.shape[:-1]), -1)


def _random_bits(operation: Operation, keys: Array) -> Array:
    a, b = _counted(keys, operation.output.shape)
    return (a ^ b).astype(operation.output.dtype)


# Programs within programs.


def _cond(operation: Operation, index: Array, *inputs: Array) -> list[Array]:
    branches = operation.attributes["branches"]
    return _run(branches[min(max(int(index), 0), len(branches) - 1)], *inputs)


def _while(operation: Operation, *inputs: Array) -> list[Array]:
    condition, body = operation.attributes["condition"], operation.attributes["body"]
    constants = inputs[: operation.attributes["constants"]]
    carries = list(inputs[len(constants) :])
    while _run(condition, *constants, *carries)[0]:
        carries = _run(body, *constants, *carries)
    return carries


def _scan(operation: Operation, *inputs: Array) -> list[Array]:
    names = ("body", "length", "reverse", "constants", "carries")
    body, length, reverse, constants, count = (operation.attributes[k] for k in names)
    carries, arrays = list(inputs[constants : constants + count]), inputs[constants + count :]
    collected = [np.zeros(x.shape, x.dtype) for x in operation.outputs[count:]]
    for i in reversed(range(length)) if reverse else range(length):
        outputs = _run(body, *inputs[:constants], *carries, *(x[i] for x in arrays))
        carries = outputs[:count]
        for whole, part in zip(collected, outputs[count:], strict=True):
            whole[i] = part
    return [*carries, *collected]


FUNCTIONS: dict[str, Function] = {
    "abs": _elements(np.abs),
    "add": _elements(np.add),
    "and": _elements(np.bitwise_and),
    "argmax": lambda operation, x: np.argmax(x, operation.attributes["axis"]),
    "argmin": lambda operation, x: np.argmin(x, operation.attributes["axis"]),
    "atan2": _real(np.arctan2),
    "bitcast": lambda operation, x: x.view(operation.output.dtype),
    "broadcast": _broadcast,
    "ceil": _elements(np.ceil),
    "concatenate": lambda operation, *xs: np.concatenate(xs, operation.attributes["axis"]),
    "cond": _cond,
    "convert": _convert,
    "convolution": _convolution,
    "cos": _real(np.cos),
    "cummax": _cumulative(np.maximum),
    "cummin": _cumulative(np.minimum),
    "cumprod": _cumulative(np.multiply),
    "cumsum": _cumulative(np.add),
    "div": _elements(_divide),
    "dot": _dot,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "eq": _elements(np.equal),
    "erf": _real(special.erf),
    "erf_inv": _real(special.erfinv),
    "erfc": _real(special.erfc),
    "exp": _real(np.exp),
    "exp2": _real(np.exp2),
    "expm1": _real(np.expm1),
    "floor": _elements(np.floor),
    "fold_in": _fold_in,
    "ge": _elements(np.greater_equal),
    "gt": _elements(np.greater),
    "iota": _iota,
    "is_finite": _elements(np.isfinite),
    "le": _elements(np.less_equal),
    "log": _real(np.log),
    "log1p": _real(np.log1p),
    "logistic": _real(special.expit),
    "lt": _elements(np.less),
    "max": _elements(np.maximum),
    "min": _elements(np.minimum),
    "mul": _elements(np.multiply),
    "ne": _elements(np.not_equal),
    "neg": _elements(np.negative),
    "not": _elements(np.invert),
    "or": _elements(np.bitwise_or),
    "pad": _pad,
    "pow": _real(np.power),
    "put": _put,
    "random_bits": _random_bits,
    "reduce_and": _reduce(np.bitwise_and.reduce),
    "reduce_max": _largest(np.max, sign=1),
    "reduce_min": _largest(np.min, sign=-1),
    "reduce_or": _reduce(np.bitwise_or.reduce),
    "reduce_prod": _reduce(np.prod),
    "reduce_sum": _reduce(np.sum),
    "reduce_xor": _reduce(np.bitwise_xor.reduce),
    "rem": _elements(_remainder),
    "reshape": lambda operation, x: x.reshape(operation.output.shape),
    "reverse": lambda operation, x: np.flip(x, operation.attributes["axes"]),
    "round": _elements(np.round),
    "rsqrt": _real(lambda x: 1 / np.sqrt(x)),
    "scan": _scan,
    "select": _elements(np.where),
    "shift_left": _shift(np.left_shift, signed=False),
    "shift_right_arithmetic": _shift(np.right_shift, signed=True),
    "shift_right_logical": _shift(np.right_shift, signed=False),
    "sign": _elements(lambda x: np.where(x == 0, x, np.sign(x))),
    "sin": _real(np.sin),
    "slice": _slice,
    "sort": _sort,
    "split": _split,
    "sqrt": _elements(np.sqrt),
    "sub": _elements(np.subtract),
    "take": lambda operation, x, indices: x[indices],
    "tan": _real(np.tan),
    "tanh": _real(np.tanh),
    "transpose": lambda operation, x: x.transpose(operation.attributes["permutation"]),
    "while": _while,
    "xor": _elements(np.bitwise_xor),
}
"""The function of each kind of operation: it takes the operation and its inputs."""
