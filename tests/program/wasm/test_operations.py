"""Every kind of operation, run by wasmtime, against the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from webassembly import Machine

from jaxnn.program import KINDS, make_program
from jaxnn.program.numpy import run
from jaxnn.program.wasm import compile_module
from jaxnn.program.wasm.control import CONTROL
from jaxnn.program.wasm.lowering import VIEWS
from jaxnn.program.wasm.rules import STEPS


def _normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _integers(low, high, dtype=np.int32, seed=1):
    return np.random.default_rng(seed).integers(low, high, (5, 7), dtype=dtype)


def assert_same(function, *arrays, tolerance=2e-6, relaxed=False):
    """Compares a function's module with the reference; returns the module."""
    program = make_program(function, *arrays)
    given = [np.asarray(x) for x in jax.tree.leaves(arrays)]
    module = compile_module({"main": program}, relaxed=relaxed)
    found = Machine(module).run("main", *given)
    for expected, x in zip(run(program, *given), found, strict=True):
        if x.dtype == np.float32:
            expected = expected.astype(np.float32)
            size = np.abs(expected[np.isfinite(expected)]).max(initial=0)
            np.testing.assert_allclose(x, expected, rtol=tolerance, atol=tolerance * size)
        else:
            np.testing.assert_array_equal(x, expected, strict=True)
    return module


def test_every_kind_is_covered():
    assert set(KINDS) == {*VIEWS, *STEPS, *CONTROL}


X, Y = _normal(5, 7), _normal(5, 7, seed=2)
INTEGERS, SMALL, WORDS, BYTES = (
    _integers(-100, 100),
    _integers(-4, 5),
    _integers(0, 2**32, np.uint32),
    _integers(0, 256, np.uint8),
)
BITS = X > 0
Z = _normal(3, 4, 5, 6)
ROWS = np.array([3, 1, 4, 0, 2, -1, 7], np.int32)
EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, 3e9, -3e9, 300.0], np.float32)


ELEMENTS = {
    "one float": lambda: assert_same(
        lambda x: tuple(
            f(x)
            for f in (
                *(jnp.abs, jnp.ceil, jnp.cos, jnp.exp, jnp.exp2, jnp.expm1, jnp.floor, jnp.round),
                *(jnp.sign, jnp.sin, jnp.tan, jnp.tanh, jnp.negative, lax.erf, lax.erfc),
                *(lax.logistic, lax.is_finite, lax.erf_inv, lambda x: jnp.log(jnp.abs(x))),
                *(lambda x: jnp.log1p(jnp.abs(x)), lambda x: jnp.sqrt(jnp.abs(x))),
                lambda x: lax.rsqrt(jnp.abs(x)),
            )
        ),
        np.concatenate([X.ravel(), EDGES]),
    ),
    "two floats": lambda: assert_same(
        lambda x, y: tuple(
            f(x, y)
            for f in (
                *(lax.add, lax.sub, lax.mul, lax.div, lax.max, lax.min, lax.rem, lax.atan2),
                *(lax.eq, lax.ne, lax.lt, lax.le, lax.gt, lax.ge, lax.pow),
            )
        ),
        np.concatenate([X.ravel(), np.repeat(EDGES, 10)]),
        np.concatenate([Y.ravel(), np.tile(EDGES, 10)]),
    ),
    **{
        f"two of {a.dtype}": lambda a=a, b=b: assert_same(
            lambda x, y: (
                *(f(x, y) for f in (lax.add, lax.sub, lax.mul, lax.div, lax.rem, lax.max)),
                *(f(x, y) for f in (lax.min, lax.eq, lax.ne, lax.lt, lax.le, lax.gt, lax.ge)),
                *(f(x, y) for f in (lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor)),
                *(f(x, y) for f in (lax.shift_left, lax.shift_right_logical)),
                *(lax.shift_right_arithmetic(x, y), -x, ~x, lax.sign(x), abs(x)),
            ),
            a,
            b,
        )
        for a, b in (
            (INTEGERS, SMALL),
            (np.full((2, 3), -(2**31), np.int32), np.array([[-1, 0, 40], [31, 1, -40]], np.int32)),
            (WORDS, _integers(0, 40, np.uint32)),
            (BYTES, _integers(0, 12, np.uint8)),
            (_integers(0, 2**16, np.uint16), _integers(0, 20, np.uint16)),
        )
    },
    "bools": lambda: assert_same(
        lambda a, b: (a & b, a | b, a ^ b, ~a, a == b, a != b, jnp.where(a, b, ~b)), BITS, Y > 0
    ),
    "to another type": lambda: assert_same(
        lambda x, i, u, b, bits, edges: (
            *(x.astype(t) for t in (jnp.int32, bool)),
            *(i.astype(t) for t in (jnp.float32, jnp.uint32, jnp.uint8, jnp.uint16, bool)),
            *(u.astype(t) for t in (jnp.float32, jnp.int32, jnp.uint8, bool)),
            *(b.astype(t) for t in (jnp.float32, jnp.int32, jnp.uint32, jnp.uint16, bool)),
            *(bits.astype(t) for t in (jnp.float32, jnp.int32, jnp.uint8)),
            *(edges.astype(t) for t in (jnp.int32, jnp.uint32, jnp.uint8, bool)),
            lax.bitcast_convert_type(x, jnp.uint32) ^ 3,
            lax.bitcast_convert_type(u, jnp.float32),
        ),
        *(X, INTEGERS, WORDS, BYTES, BITS, EDGES),
    ),
    "zeros of both signs": lambda: assert_same(
        lambda x: 1 / jnp.where(x > 0, x, -0.0),
        np.concatenate([X.ravel(), EDGES]),
    ),
    "select": lambda: assert_same(lambda x, y: jnp.where(x > y, x, 2 * y), X, Y),
    "repeated": lambda: assert_same(
        lambda x, row, column: (x + row, x * column[:, None], row[:5] - column, x + 1),
        *(X, _normal(7), _normal(5)),
    ),
    "one scalar": lambda: assert_same(lambda x, y: (x * y, x + 1, y > 2), np.float32(3), X),
}

PLACES = {
    "iota": lambda: assert_same(
        lambda x: (x + jnp.arange(7), x - jnp.arange(5)[:, None], jnp.arange(35).reshape(5, 7)), X
    ),
    "transpose, slice, reverse": lambda: assert_same(
        lambda z: (z.transpose(2, 0, 3, 1) + 1, z[1:, ::2, 3:0:-1] * 2, z[::-1, :, ::-1]), Z
    ),
    "reshape": lambda: assert_same(
        lambda x: (x.T.reshape(7, 5) + 1, 2 * x.reshape(35), x[:, :4].reshape(2, 10)), X
    ),
    "of bytes": lambda: assert_same(
        lambda b: (b.T, b[:, ::-1], jnp.concatenate([b, b[:2]]), b.sum(1, dtype=jnp.uint8)),
        BYTES,
    ),
    "pad": lambda: assert_same(
        lambda z, x, y: (
            lax.pad(z, jnp.float32(0), [(1, 2, 0), (0, 0, 1), (-1, 3, 2), (-1, -2, 0)]),
            lax.pad(x * 2, jnp.float32(-jnp.inf), [(1, 2, 0), (0, 0, 0)]),
            lax.pad(x, y, [(-3, 2, 1), (2, -3, 2)]),
            lax.pad(x, y, [(-1, 0, 0), (0, -2, 0)]),
            lax.pad(x, y, [(-9, 11, 0), (-9, 11, 0)]),
            lax.pad(x > 0, False, [(1, 0, 0), (0, 2, 0)]),
        ),
        *(Z, X, np.float32(3)),
    ),
    "concatenate": lambda: assert_same(
        lambda x, y: (jnp.concatenate([x, y * 2, x], 1), jnp.stack([x, y], -1)),
        *(X, Y),
    ),
    "take": lambda: assert_same(
        lambda x, i: (
            x[i],
            x[:, i],
            x[::-1][i],
            x[::-1, 0][i],
            jnp.take_along_axis(x, i[:5, None] % 7, 1),
            i[x.argmax(0)],
        ),
        *(X, ROWS),
    ),
    "put": lambda: assert_same(
        lambda x, i, y: (x.at[i].set(y), x.at[i].add(y), jnp.zeros(9).at[i].add(1.0)),
        *(X, ROWS, _normal(7, 7)),
    ),
    "dynamic": lambda: assert_same(
        lambda x, i: (
            lax.dynamic_slice(x, (i, i + 1), (2, 3)),
            lax.dynamic_slice(x, (i + 9, i - 9), (2, 7)),
            lax.dynamic_update_slice(x, x[:2, :3] * 2, (i, 1)),
            x[-i],
        ),
        *(X, np.int32(2)),
    ),
    "sort": lambda: assert_same(
        lambda x, j, z: (
            *(jnp.sort(x, 0), jnp.argsort(x, 1), jnp.sort(j, 1, descending=True)),
            *lax.sort((j, x, x + 1), dimension=1, num_keys=2),
            jnp.sort(z.ravel()),
        ),
        *(np.where(X > 1, np.nan, X), SMALL, Z),
    ),
    "nothing": lambda: assert_same(
        lambda x: (x[:0] + 1, x[:0].sum(0), x[:0].max(1), jnp.concatenate([x[:0], x])), X
    ),
}

ALONG = {
    **{
        f"over {axes}": lambda axes=axes: assert_same(
            lambda z: ((z * z).sum(axes), z.max(axes), (z + 2).min(axes)), Z
        )
        for axes in ((), (0,), (1,), (2,), (3,), (0, 1), (1, 3), (0, 1, 2), (0, 3), (0, 1, 2, 3))
    },
    "other reductions": lambda: assert_same(
        lambda x, i, b: (
            *(x.prod(1), (x > 0).any(0), (x > 0).all(1), (x > -9).all(), i.sum(0), i.max()),
            *(b.max(1), b.min(), i.prod(1), lax.reduce_xor(b, (0,)), lax.reduce_or(i, (1,))),
            lax.reduce_and(b, (0, 1)),
        ),
        *(X, INTEGERS, BYTES),
    ),
    "with NaN": lambda: assert_same(
        lambda x: (x.max(0), x.min(1), x.argmax(0), x.argmin(1)), np.where(X > 1, np.nan, X)
    ),
    "the largest's place": lambda: assert_same(
        lambda x, i, b: (x.argmax(0), x.argmin(1), i.argmax(1), i.argmin(0), b.argmax(1)),
        *(X, INTEGERS, BYTES),
    ),
    "cumulative": lambda: assert_same(
        lambda x, j: tuple(
            f(y, axis, reverse=bool(axis))
            for f in (lax.cumsum, lax.cumprod, lax.cummax, lax.cummin)
            for y in (x, j)
            for axis in (0, 1)
        ),
        *(X, SMALL),
    ),
    "a softmax": lambda: assert_same(
        lambda x: jnp.exp(x - x.max(1, keepdims=True)) / jnp.exp(x).sum(1, keepdims=True), X
    ),
}


def _convolution(stride, padding, dilation, spread, groups, numbers=("NHWC", "HWIO", "NHWC")):
    return lambda x, kernel: lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        lhs_dilation=(dilation, dilation),
        rhs_dilation=(spread, spread),
        dimension_numbers=numbers,
        feature_group_count=groups,
    )


_WEIGHTS = ("CHWN", "IHWO", "HWNC")
IMAGES, KERNEL = _normal(2, 8, 9, 6), _normal(3, 3, 6, 10)
PRODUCTS = {
    "matrices": lambda: assert_same(
        lambda a, b: (a @ b, (b.T @ a.T).T, a[::-1] @ b[:, ::-1], a[0] @ b, a @ b[:, 0], a @ a.T),
        *(_normal(9, 33), _normal(33, 21)),
    ),
    "batches": lambda: assert_same(
        lambda a, b: (jnp.einsum("bij,bkj->bik", a, b), jnp.einsum("bij,bkj->kib", a, b)),
        *(_normal(3, 9, 33), _normal(3, 21, 33)),
    ),
    **{
        f"convolution {name}": lambda function=function, x=x, kernel=kernel: assert_same(
            function, x, kernel
        )
        for name, function, x, kernel in (
            ("padded", _convolution(1, "SAME", 1, 1, 1), IMAGES, KERNEL),
            ("with strides", _convolution(2, "VALID", 1, 1, 1), IMAGES, KERNEL),
            ("dilated", _convolution(1, ((2, 1), (1, 3)), 2, 2, 1), IMAGES, KERNEL),
            ("cut off", _convolution(1, ((-1, 1), (1, -1)), 1, 1, 1), IMAGES, KERNEL),
            (
                "of a kernel the other way",
                lambda x, k: _convolution(1, "SAME", 1, 1, 1)(x, k[::-1, :, :, ::-1]),
                *(IMAGES, KERNEL),
            ),
            ("in groups", _convolution(1, "SAME", 1, 1, 2), IMAGES, KERNEL[:, :, :3]),
            ("by channel", _convolution(1, "SAME", 1, 1, 6), IMAGES, _normal(3, 3, 1, 12)),
            (
                "of one channel",
                _convolution(1, "SAME", 1, 1, 1),
                IMAGES[..., :1],
                _normal(5, 5, 1, 6),
            ),
            (
                "of weights",
                _convolution(1, ((1, 1), (1, 1)), 1, 2, 1, _WEIGHTS),
                *(IMAGES, _normal(2, 4, 4, 5)),
            ),
        )
    },
    "16-bit floats": lambda: assert_same(
        lambda a, b: (a.astype(jnp.bfloat16) @ b.astype(jnp.bfloat16)).astype(jnp.float32),
        *(_normal(9, 33), _normal(33, 21)),
        tolerance=2e-2,
    ),
    "relaxed": lambda: assert_same(
        lambda a, b: a @ b, _normal(9, 33), _normal(33, 21), relaxed=True
    ),
}

CONTROLLED = {
    "while": lambda: assert_same(
        lambda x: lax.while_loop(
            lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 1.5 + c[2], c[1]), (0, x, 0 * x)
        ),
        X,
    ),
    "exchange": lambda: assert_same(
        lambda x, y: lax.fori_loop(0, 3, lambda i, c: (c[1], c[0]), (x, y)), X, Y
    ),
    "scan": lambda: assert_same(
        lambda x, y: (
            lax.scan(lambda c, row: (c @ y + row, (c * 2, row)), x[0] * 0, x),
            lax.scan(lambda c, row: (c + row, c * row), x[0] * 0, x, reverse=True),
            lax.map(lambda row: lax.fori_loop(0, 3, lambda i, c: c * row[i], row), x),
        ),
        *(X, _normal(7, 7)),
    ),
    "branches": lambda: assert_same(
        lambda i, x: tuple(
            lax.switch(k, [lambda x: x + 1, lambda x: x * 2, lambda x: x], x)
            for k in (i - 3, i, i + 1, i + 7)
        ),
        *(np.int32(1), X),
    ),
}


def _with_key(function):
    def of_bits(bits):
        return function(jax.random.wrap_key_data(bits))

    return lambda: assert_same(of_bits, np.array([7, 2**31 + 5], np.uint32), tolerance=1e-6)


RANDOM = {
    "bits": _with_key(
        lambda key: (
            jax.random.bits(key, (3, 5)),
            jax.random.bits(key, (13,), jnp.uint8),
            jax.random.bits(key, (6,), jnp.uint16),
            jax.random.randint(key, (20,), 0, 10),
        )
    ),
    "keys": _with_key(
        lambda key: (
            jax.random.key_data(jax.random.split(key, 3)),
            jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(5))),
            jax.vmap(lambda k: jax.random.bernoulli(k, 0.3, (7,)))(jax.random.split(key, 4)),
        )
    ),
    "numbers": _with_key(
        lambda key: (
            jax.random.uniform(key, (30,)),
            jax.random.normal(key, (30,)),
            jax.random.permutation(key, 100),
        )
    ),
}

CASES = {
    f"{family}: {name}": case
    for family, cases in (
        ("elements", ELEMENTS),
        ("places", PLACES),
        ("along", ALONG),
        ("products", PRODUCTS),
        ("control", CONTROLLED),
        ("random", RANDOM),
    )
    for name, case in cases.items()
}


@pytest.mark.parametrize("case", CASES)
def test_operations(case):
    CASES[case]()


def test_long_sums_lose_nothing():
    x = np.random.default_rng(0).uniform(0, 1, (2, 30000, 3)).astype(np.float32)
    infinite = x.copy()
    infinite[0, 7, 1] = np.inf
    axes = ((0, 1), 1, None, (0, 2))
    program = make_program(lambda x: [x.sum(axis) for axis in axes], x)
    machine = Machine(compile_module({"main": program}))
    for axis, found in zip(axes, machine.run("main", x), strict=True):
        np.testing.assert_allclose(found, x.sum(axis, np.float64), rtol=2e-7)
    for found in machine.run("main", infinite)[:3]:
        assert np.isinf(found).sum() == 1
        assert not np.isnan(found).any()
