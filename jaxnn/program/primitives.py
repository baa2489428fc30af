"""JAX's primitives in the vocabulary of programs, but for those that hold programs themselves.

A rule takes the builder, an equation and the values that it reads, and returns those that it
makes. Shapes are of physical arrays: a key is uint32, (2,).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.program.builder import Builder
from jaxnn.program.indexing import gather, parts, scatter
from jaxnn.program.program import Value
from jaxnn.program.types import NotCovered, Rule, output_type

# Element by element.


def _elementwise(kind: str) -> Rule:
    def rule(b: Builder, eqn: Any, *inputs: Value) -> Value:
        return b.elementwise(kind, *inputs)

    return rule


def _convert(b: Builder, eqn: Any, x: Value) -> Value:
    return b.convert(x, output_type(eqn)[1])


def _bitcast(b: Builder, eqn: Any, x: Value) -> Value:
    shape, dtype = output_type(eqn)
    wide, narrow = np.dtype(x.dtype).itemsize, np.dtype(dtype).itemsize
    if wide < narrow:
        raise NotCovered(f"to a wider type ({x.dtype} to {dtype})")
    if wide > narrow:  # the parts along one more axis, the low bits first
        x = b.elementwise("bitcast", x, dtype=f"uint{8 * wide}")
        x = b.broadcast(x, shape, range(len(x.shape)))
        places = b.iota(shape, x.dtype, len(shape) - 1)
        bits = b.elementwise("mul", places, b.constant(8 * narrow, x.dtype))
        x = b.elementwise("shift_right_logical", x, bits)
        x = b.convert(x, f"uint{8 * narrow}")
    return b.elementwise("bitcast", x, dtype=dtype)


def _in_order(kind: str) -> Rule:
    """Comparisons by a total order, which for integers is the usual one."""

    def rule(b: Builder, eqn: Any, x: Value, y: Value) -> Value:
        if np.dtype(x.dtype).kind not in "iub":
            raise NotCovered(f"of {x.dtype}")
        return b.elementwise(kind, x, y)

    return rule


def _largest(kind: str, of_bool: str) -> Rule:
    def rule(b: Builder, eqn: Any, x: Value, y: Value) -> Value:
        return b.elementwise(of_bool if x.dtype == "bool" else kind, x, y)

    return rule


def _mul(b: Builder, eqn: Any, x: Value, y: Value) -> Value:
    return b.convert(b.elementwise("mul", x, y), output_type(eqn)[1])


def _power(b: Builder, eqn: Any, x: Value, y: Value) -> Value:
    return b.elementwise("pow", x, b.convert(y, x.dtype))


def _integer_power(b: Builder, eqn: Any, x: Value) -> Value:
    exponent = eqn.params["y"]
    result, square = b.constant(1, x.dtype), x
    for bit in bin(abs(exponent))[:1:-1]:
        if bit == "1":
            result = b.elementwise("mul", result, square)
        square = b.elementwise("mul", square, square)
    if exponent < 0:
        result = b.elementwise("div", b.constant(1, x.dtype), result)
    return b.broadcast(result, x.shape, ()) if result.shape != x.shape else result


def _round(b: Builder, eqn: Any, x: Value) -> Value:
    if int(eqn.params["rounding_method"]) != 1:
        raise NotCovered("of halves away from zero")
    return b.elementwise("round", x)


def _clamp(b: Builder, eqn: Any, low: Value, x: Value, high: Value) -> Value:
    return b.elementwise("min", b.elementwise("max", x, low), high)


def _select(b: Builder, eqn: Any, which: Value, *cases: Value) -> Value:
    if which.dtype == "bool":
        return b.elementwise("select", which, cases[-1], cases[0])
    result = cases[-1]
    for i, case in reversed(list(enumerate(cases[:-1]))):
        first = b.elementwise("le", which, b.constant(i, which.dtype))
        result = b.elementwise("select", first, case, result)
    return result


def _same(b: Builder, eqn: Any, *inputs: Value) -> Sequence[Value]:
    return inputs


# Other places.


def _broadcast(b: Builder, eqn: Any, x: Value) -> Value:
    return b.broadcast(x, output_type(eqn)[0], eqn.params["broadcast_dimensions"])


def _reshape(b: Builder, eqn: Any, x: Value) -> Value:
    dimensions = eqn.params.get("dimensions")
    return b.reshape(b.transpose(x, dimensions) if dimensions else x, output_type(eqn)[0])


def _transpose(b: Builder, eqn: Any, x: Value) -> Value:
    return b.transpose(x, eqn.params["permutation"])


def _slice(b: Builder, eqn: Any, x: Value) -> Value:
    p = eqn.params
    return b.slice(x, p["start_indices"], p["limit_indices"], p["strides"])


def _pad(b: Builder, eqn: Any, x: Value, filler: Value) -> Value:
    return b.pad(x, filler, *zip(*eqn.params["padding_config"], strict=True)) if x.shape else x


def _concatenate(b: Builder, eqn: Any, *inputs: Value) -> Value:
    return b.concatenate(inputs, eqn.params["dimension"])


def _stack(b: Builder, eqn: Any, *inputs: Value) -> Value:
    axis, shape = eqn.params["axis"], list(inputs[0].shape)
    shape.insert(axis, 1)
    return b.concatenate([b.reshape(x, shape) for x in inputs], axis)


def _split(b: Builder, eqn: Any, x: Value) -> list[Value]:
    return parts(b, x, eqn.params["axis"], eqn.params["sizes"])


def _unstack(b: Builder, eqn: Any, x: Value) -> list[Value]:
    axis = eqn.params["axis"]
    shape = [n for i, n in enumerate(x.shape) if i != axis]
    return [b.reshape(part, shape) for part in parts(b, x, axis, [1] * x.shape[axis])]


def _tile(b: Builder, eqn: Any, x: Value) -> Value:
    pairs = zip(eqn.params["reps"], x.shape, strict=True)
    apart = b.broadcast(x, [n for pair in pairs for n in pair], range(1, 2 * len(x.shape), 2))
    return b.reshape(apart, output_type(eqn)[0])


def _iota(b: Builder, eqn: Any) -> Value:
    return b.iota(*output_type(eqn), eqn.params["dimension"])


def _reverse(b: Builder, eqn: Any, x: Value) -> Value:
    return b.reverse(x, eqn.params["dimensions"])


# By an index.


def _index(b: Builder, x: Value) -> Value:
    return x if x.dtype == "uint32" else b.convert(x, "int32")


def _dynamic_slice(b: Builder, eqn: Any, x: Value, *starts: Value) -> Value:
    shape = output_type(eqn)[0]
    known = b.all_known(starts)
    if known is not None:
        ends = [n - size for n, size in zip(x.shape, shape, strict=True)]
        inside = [min(max(int(i), 0), end) for i, end in zip(known, ends, strict=True)]
        limits = [i + size for i, size in zip(inside, shape, strict=True)]
        return b.slice(x, inside, limits)
    if shape == x.shape:
        return x
    return b.write("dynamic_slice", [x, *(_index(b, i) for i in starts)], shape, x.dtype)


def _dynamic_update_slice(b: Builder, eqn: Any, x: Value, part: Value, *starts: Value) -> Value:
    if part.shape == x.shape:
        return part
    inputs = [x, part, *(_index(b, i) for i in starts)]
    return b.write("dynamic_update_slice", inputs, x.shape, x.dtype)


# Over and along axes.


def _reduction(kind: str) -> Rule:
    def rule(b: Builder, eqn: Any, x: Value) -> Value:
        of_bool = {"reduce_max": "reduce_or", "reduce_min": "reduce_and"}
        return b.reduce(
            of_bool.get(kind, kind) if x.dtype == "bool" else kind, x, eqn.params["axes"]
        )

    return rule


def _arg(kind: str) -> Rule:
    def rule(b: Builder, eqn: Any, x: Value) -> Value:
        (axis,) = eqn.params["axes"]
        return b.write(kind, [x], *output_type(eqn), axis=int(axis))

    return rule


def _cumulative(kind: str) -> Rule:
    def rule(b: Builder, eqn: Any, x: Value) -> Value:
        axis, reverse = int(eqn.params["axis"]), bool(eqn.params["reverse"])
        return b.write(kind, [x], x.shape, x.dtype, axis=axis, reverse=reverse)

    return rule


def _sort(b: Builder, eqn: Any, *inputs: Value) -> Sequence[Value]:
    axis, keys = int(eqn.params["dimension"]), int(eqn.params["num_keys"])
    types = [(x.shape, x.dtype) for x in inputs]
    return b.write_all("sort", inputs, types, axis=axis, keys=keys)


# Products.


def _dot(b: Builder, eqn: Any, x: Value, y: Value) -> Value:
    contracting, batching = eqn.params["dimension_numbers"]
    shape, dtype = output_type(eqn)
    if x.dtype != y.dtype:
        x, y = b.convert(x, dtype), b.convert(y, dtype)
    # The order of the contracted axes is free: the one they have in the first array.
    order = np.argsort(contracting[0])
    a, rows, transpose_a = _matrix(b, x, batching[0], [contracting[0][i] for i in order])
    c, columns, transpose_b = _matrix(b, y, batching[1], [contracting[1][i] for i in order])
    product = b.dot(a, c, dtype, transpose_a=transpose_a, transpose_b=not transpose_b)
    assert math.prod(shape) == math.prod([*product.shape[:-2], *rows, *columns])
    return b.reshape(product, shape)


def _matrix(
    b: Builder, x: Value, batching: Sequence[int], contracted: Sequence[int]
) -> tuple[Value, list[int], bool]:
    """Returns an array as (batch, free, contracted), the free lengths, and whether turned round."""
    free = [i for i in range(len(x.shape)) if i not in batching and i not in contracted]
    lengths = [[x.shape[i] for i in axes] for axes in (batching, free, contracted)]
    batch, rows, columns = map(math.prod, lengths)
    turned = [*batching, *contracted, *free]
    transposed = turned == list(range(len(x.shape))) and bool(free) and bool(contracted)
    x = x if transposed else b.transpose(x, [*batching, *free, *contracted])
    sizes = [columns, rows] if transposed else [rows, columns]
    return b.reshape(x, [batch, *sizes] if batching else sizes), lengths[1], transposed


def _convolution(b: Builder, eqn: Any, x: Value, kernel: Value) -> Value:
    p = eqn.params
    numbers, groups = p["dimension_numbers"], int(p["feature_group_count"])
    batch, channels, *spatial = numbers.lhs_spec
    x = b.transpose(x, [batch, *spatial, channels])
    units, channels, *spatial = numbers.rhs_spec
    kernel = b.transpose(kernel, [*spatial, channels, units])
    if (batches := int(p["batch_group_count"])) > 1:
        # Each group of units sees its own part of the batch: put the parts' channels side by side.
        n, *inner = x.shape
        apart = b.reshape(x, [batches, n // batches, *inner])
        last = len(inner)
        apart = b.transpose(apart, [*range(1, last + 1), 0, last + 1])
        x, groups = b.reshape(apart, [n // batches, *inner[:-1], batches * inner[-1]]), batches
    shape, dtype = output_type(eqn)
    units_last = [numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1]]
    if x.dtype != kernel.dtype:
        x, kernel = b.convert(x, dtype), b.convert(kernel, dtype)
    result = b.write(
        "convolution",
        [x, kernel],
        [shape[i] for i in units_last],
        dtype,
        strides=tuple(map(int, p["window_strides"])),
        padding=tuple((int(low), int(high)) for low, high in p["padding"]),
        dilation=tuple(map(int, p["lhs_dilation"])),
        kernel_dilation=tuple(map(int, p["rhs_dilation"])),
        groups=groups,
    )
    return b.transpose(result, np.argsort(units_last).tolist())


# Random numbers.


def _drawing(rule: Rule) -> Rule:
    def checked(b: Builder, eqn: Any, *inputs: Value) -> Value:
        config: Any = jax.config  # which does not declare its options
        if not config.jax_threefry_partitionable:
            raise NotCovered("with jax_threefry_partitionable off")
        return rule(b, eqn, *inputs)

    return checked


def _fold_in(b: Builder, eqn: Any, keys: Value, numbers: Value) -> Value:
    shape, dtype = output_type(eqn)
    rank = len(shape) - 1
    keys = b.broadcast(keys, shape, range(rank + 1 - len(keys.shape), rank + 1))
    numbers = b.convert(numbers, "uint32")
    numbers = b.broadcast(numbers, shape[:-1], range(rank - len(numbers.shape), rank))
    return b.write("fold_in", [keys, numbers], shape, dtype)


def _random_bits(b: Builder, eqn: Any, keys: Value) -> Value:
    if eqn.params["bit_width"] > 32:
        raise NotCovered("of 64 bits")
    return b.write("random_bits", [keys], *output_type(eqn))


def _key_split(b: Builder, eqn: Any, keys: Value) -> Value:
    return b.write("split", [keys], *output_type(eqn))


RULES: dict[str, Rule] = {
    **{
        name: _elementwise(name)
        for name in (
            *("abs", "add", "and", "atan2", "ceil", "cos", "div", "eq", "erf", "erf_inv", "erfc"),
            *("exp", "exp2", "expm1", "floor", "ge", "gt", "is_finite", "le", "log", "log1p"),
            *("logistic", "lt", "ne", "neg", "not", "or", "rem", "rsqrt", "shift_left"),
            *("shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sqrt", "sub"),
            *("tan", "tanh", "xor"),
        )
    },
    **{
        name: _reduction(name)
        for name in (
            *("reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum"),
            "reduce_xor",
        )
    },
    **{name: _cumulative(name) for name in ("cummax", "cummin", "cumprod", "cumsum")},
    "add_any": _elementwise("add"),
    "argmax": _arg("argmax"),
    "argmin": _arg("argmin"),
    "bitcast_convert_type": _bitcast,
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "copy": _same,
    "copy_p": _same,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "expand_dims": _reshape,
    "gather": gather,
    "integer_pow": _integer_power,
    "iota": _iota,
    "le_to": _in_order("le"),
    "lt_to": _in_order("lt"),
    "max": _largest("max", "or"),
    "min": _largest("min", "and"),
    "mul": _mul,
    "name": _same,
    "optimization_barrier": _same,
    "pad": _pad,
    "pow": _power,
    "random_bits": _drawing(_random_bits),
    "random_fold_in": _drawing(_fold_in),
    "random_split": _drawing(_key_split),
    "random_unwrap": _same,
    "random_wrap": _same,
    "reshape": _reshape,
    "rev": _reverse,
    "round": _round,
    "scatter": scatter("set"),
    "scatter-add": scatter("add"),
    "select_n": _select,
    "slice": _slice,
    "sort": _sort,
    "split": _split,
    "square": lambda b, eqn, x: b.elementwise("mul", x, x),
    "squeeze": _reshape,
    "stack": _stack,
    "stop_gradient": _same,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
}
"""The rule of each primitive, by its name."""

OF_KEYS = {
    *("copy", "copy_p", "optimization_barrier", "random_bits", "random_fold_in", "random_split"),
    *("random_unwrap", "random_wrap"),
}
"""Those of them that know what a key is; the others move keys about as they move any array."""
