"""What a program is: values, operations, and the vocabulary of the operations' kinds."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ELEMENTWISE = {
    # One array in, one of the same type out, unless said otherwise.
    "abs": "|x|",
    "ceil": "The least whole number that is not below x.",
    "cos": "cos x",
    "erf": "The error function.",
    "erf_inv": "Its inverse; ±inf at ±1, NaN beyond.",
    "erfc": "1 - erf(x), accurate where that is small.",
    "exp": "exp x",
    "exp2": "2 to the power x",
    "expm1": "exp(x) - 1, accurate near 0.",
    "floor": "The greatest whole number that is not above x.",
    "is_finite": "Whether x is neither infinite nor NaN; bool.",
    "log": "The natural logarithm; -inf at 0, NaN below.",
    "log1p": "log(1 + x), accurate near 0.",
    "logistic": "1 / (1 + exp(-x))",
    "neg": "-x",
    "not": "Every bit inverted; of bool, the other one.",
    "round": "The nearest whole number, of two the even one.",
    "rsqrt": "1 / sqrt(x)",
    "sign": "-1, 0 or 1; of -0 it is -0, of NaN NaN.",
    "sin": "sin x",
    "sqrt": "The square root; NaN below 0.",
    "tan": "tan x",
    "tanh": "tanh x",
    # To another type, the output's.
    "bitcast": "The same bits as another type of the same width.",
    "convert": (
        "The same number in another type. To integers, floats lose their fraction, what is out of "
        "range becomes the nearest that is in range, NaN 0; integers wrap. To bool: x != 0."
    ),
    # Two of one type.
    "add": "a + b",
    "and": "The bits that both have; of bool, whether both are true.",
    "atan2": "The angle of the point (b, a).",
    "div": "a / b; of integers, toward 0.",
    "max": "The larger one; NaN if either is.",
    "min": "The smaller one; NaN if either is.",
    "mul": "a * b",
    "or": "The bits that either has; of bool, whether either is true.",
    "pow": "a to the power b, as C's pow: NaN for negative a and b no whole number.",
    "rem": "What remains of a / b toward 0: it has the sign of a.",
    "shift_left": "a shifted by b bits; 0 where b is the width or more.",
    "shift_right_arithmetic": "The same to the right, copies of the sign coming in.",
    "shift_right_logical": "The same to the right, zeros coming in.",
    "sub": "a - b",
    "xor": "The bits that one of both has; of bool, whether they differ.",
    # Two of one type, bool out; false if either is NaN, but for ne.
    "eq": "a == b",
    "ge": "a >= b",
    "gt": "a > b",
    "le": "a <= b",
    "lt": "a < b",
    "ne": "a != b",
    # Three: bool, and two of one type.
    "select": "b where a is true, c elsewhere.",
}
"""Kinds that do the same with every element.

Their inputs have the output's shape or are scalars: a scalar is meant for every element.
"""

KINDS = {
    **ELEMENTWISE,
    # The same elements in another order or place. One array in, one of the same type out.
    "broadcast": (
        "dimensions: where in the output each axis of the input went, ascending; the input has no "
        "axis of length 1. It is repeated along every other axis."
    ),
    "concatenate": "axis: along which any number of arrays follow each other.",
    "iota": "axis: no inputs; every element is its own position along this axis.",
    "pad": (
        "low, high, interior: of each axis, how many elements come before, after, and between "
        "each two; each is the second input, a scalar. interior >= 0; low and high may be "
        "negative: elements are cut off."
    ),
    "reshape": "The elements in the same order in the output's shape.",
    "reverse": "axes: along which the order is turned round.",
    "slice": "starts, limits, strides: of each axis, start <= limit <= length, stride >= 1.",
    "transpose": "permutation: which axis of the input is each axis of the output.",
    # Elements by an index that is computed; int32 or uint32.
    "dynamic_slice": (
        "The part of the first input that has the output's shape and begins at the others: one "
        "scalar for each axis, each moved into the range where the part lies inside."
    ),
    "dynamic_update_slice": (
        "The first input with the second in its place, which begins at the others, as above."
    ),
    "take": (
        "Of x (n, *rest) and indices (*shape), x[indices], (*shape, *rest). Indices are in range."
    ),
    "put": (
        "how: 'set' or 'add'. Of x (n, *rest), indices (m,) and rows (m, *rest), x with row i "
        "set to, or added to, x[indices[i]], for i = 0, 1, ... Indices are in range, or n: "
        "that row goes nowhere."
    ),
    # Over axes, which vanish. Sums of float16 and bfloat16 are carried in float32.
    "argmax": "axis: where the largest is, the first of equals; NaN counts as largest.",
    "argmin": "axis: where the smallest is, the first of equals; NaN counts as smallest.",
    "reduce_and": "axes: and of all",
    "reduce_max": "axes: the largest one; NaN if any is; of none, -inf or the least integer.",
    "reduce_min": "axes: the smallest one; NaN if any is; of none, inf or the largest integer.",
    "reduce_or": "axes: or of all",
    "reduce_prod": "axes: the product",
    "reduce_sum": "axes: the sum",
    "reduce_xor": "axes: xor of all",
    # Along an axis, which stays.
    "cummax": "axis, reverse: the largest one up to here, from the end if reversed.",
    "cummin": "axis, reverse: the smallest one up to here.",
    "cumprod": "axis, reverse: the product up to here.",
    "cumsum": "axis, reverse: the sum up to here.",
    "sort": (
        "axis, keys: any number of arrays of one shape, reordered alike so that the first `keys` "
        "of them ascend in lexicographic order. Equals keep their order; -0 equals 0; NaN is "
        "last. As many outputs as inputs."
    ),
    # Products. Those of float16 and bfloat16 are summed in float32.
    "dot": (
        "transpose_a, transpose_b: a (m, k) times b (k, n), (m, n); a is (k, m), or b (n, k), if "
        "transposed. All three may have a batch axis before: (batch, m, k) and so on."
    ),
    "convolution": (
        "strides, padding, dilation, kernel_dilation, groups: x (batch, *spatial, channels), "
        "kernel (*spatial, channels / groups, units), not flipped; (batch, *spatial, units). "
        "First, dilation - 1 zeros come between each two elements of x along each spatial axis "
        "(and of the kernel, kernel_dilation - 1), then padding's (low, high) zeros around it; "
        "negative ones cut off. The output has every stride-th position. Each group of units "
        "sees its own group of channels."
    ),
    # Random numbers: Threefry-2x32 with 20 rounds, as JAX has it; a key is uint32, (*keys, 2).
    "fold_in": "Keys (*keys, 2) and numbers (*keys) uint32: a key for each, (*keys, 2).",
    "random_bits": "Of keys (*keys, 2), random bits (*keys, *shape); uint8, uint16 or uint32.",
    "split": "Keys (*keys, 2): more of them, (*keys, *shape, 2).",
    # Programs within programs; see `Operation`.
    "cond": (
        "branches: programs. The first input, an int32 scalar moved into range, says which of "
        "them runs with the other inputs; its outputs are the operation's."
    ),
    "scan": (
        "body: a program; length, reverse, constants, carries: whole numbers. Inputs are "
        "`constants` that stay, `carries`, and arrays (length, ...). Each turn the body takes "
        "the constants, the carries and a slice of each array (the last one first if reversed), "
        "and returns new carries and slices, which are put where those were taken from. Outputs "
        "are the last carries and arrays (length, ...) of these slices."
    ),
    "while": (
        "condition, body: programs; constants: a whole number. Inputs are `constants` that stay, "
        "and carries. While condition, which takes both, returns true (a bool scalar), body "
        "takes both and returns new carries. Outputs are the last carries."
    ),
}
"""Every kind of operation that a program may have: what it does, first its attributes if any."""


@dataclass(frozen=True)
class Value:
    """An array that a program works with.

    Attributes:
        id: its number, which no other value has, of the program or of a program within it.
        shape: its shape.
        dtype: the name of its type: "bool", "float32", "bfloat16", "int32", "uint8", ...
    """

    id: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"%{self.id}:{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Operation:
    """One step of a program.

    Attributes:
        kind: what it does, one of ``KINDS``.
        inputs: what it reads, all of it: a program among the attributes reads nothing else.
        outputs: what it makes; one value, but for sort, cond, scan and while.
        attributes: numbers, strings, tuples of these, and programs, by name; see ``KINDS``.
        source: where it comes from, for messages: scopes (``jax.named_scope``), function, file
            and line.
    """

    kind: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any]
    source: str

    @property
    def output(self) -> Value:
        """Its only output."""
        (output,) = self.outputs
        return output

    @property
    def programs(self) -> tuple["Program", ...]:
        """The programs within it."""
        values = self.attributes.values()
        several = (value if isinstance(value, tuple) else (value,) for value in values)
        return tuple(item for items in several for item in items if isinstance(item, Program))


@dataclass(frozen=True)
class Program:
    """A function as operations, each of which reads what came before it.

    Every value is an input, a constant, or the output of one operation. Keys of random numbers
    are uint32 arrays, (..., 2).

    Attributes:
        inputs: what it is given; all of the function's arrays, also those that nothing reads.
        outputs: what it returns; an input, a constant, or twice the same value may be among them.
        operations: in an order in which they can run.
        constants: the arrays that are known, by the id of their value. A program within another
            has its own.
        input_names: the inputs' paths, such as ``params.1.weight``; () of a program within another.
        output_names: those of the outputs.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operations: tuple[Operation, ...]
    constants: Mapping[int, np.ndarray]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()

    def walk(self) -> Iterator[Operation]:
        """All operations, those of the programs within included, after the one they are in."""
        for operation in self.operations:
            yield operation
            for program in operation.programs:
                yield from program.walk()

    def kinds(self) -> Counter[str]:
        """How many operations there are of each kind, those of the programs within included."""
        return Counter(operation.kind for operation in self.walk())

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"inputs {_listed(self.inputs, self.input_names)}"
        for id, array in self.constants.items():
            shown = array.item() if array.size == 1 else "..."
            yield f"%{id}:{array.dtype}[{','.join(map(str, array.shape))}] = {shown}"
        for operation in self.operations:
            attributes = {
                name: value
                for name, value in operation.attributes.items()
                if name not in ("body", "condition", "branches")
            }
            words = [operation.kind, *(f"%{x.id}" for x in operation.inputs)]
            words += [f"{name}={value}" for name, value in attributes.items()]
            yield f"{', '.join(map(str, operation.outputs))} = {' '.join(words)}"
            for program in operation.programs:
                yield from (f"    {line}" for line in program._lines())
        yield f"outputs {_listed(self.outputs, self.output_names)}"


def _listed(values: tuple[Value, ...], names: tuple[str, ...]) -> str:
    if not names:
        return ", ".join(map(str, values))
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
