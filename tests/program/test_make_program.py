"""What becomes of operations one by one; each is compared with what JAX makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from programs import Case, assert_same, normal

from jaxnn.errors import ProgramError
from jaxnn.program import KINDS, make_program, run
from jaxnn.program.numpy import FUNCTIONS
from jaxnn.program.program import ELEMENTWISE

X = normal(3, 4)
WHOLE = np.array([-7, -1, 0, 2, 9, 2**31 - 1, -(2**31)], np.int32)
DIVISORS = np.array([2, -3, 0, 5, -4, -1, -1], np.int32)
EDGES = np.array([0.0, -0.0, 0.5, -1.5, 2.5, -2.6, 1e20, np.inf, -np.inf, np.nan], np.float32)
KEYS = jax.random.split(jax.random.key(0), 6).reshape(2, 3)


def same(function, *arguments, tolerance=1e-6):
    return assert_same(Case(function, arguments), tolerance, [run])


def kinds(function, *arguments):
    return dict(make_program(function, *arguments).kinds())


def test_every_kind_has_its_function():
    assert set(FUNCTIONS) == set(KINDS)


def test_whole_numbers():
    same(
        lambda a, b: (
            lax.div(a, b),
            lax.rem(a, b),
            a * b,
            lax.sign(a),
            abs(a),
            ~a,
            a & b,
            a ^ b,
            a**3,
            lax.clamp(-3, a, 3),
            jnp.sum(a),
            jnp.cumprod(b),
        ),
        WHOLE,
        DIVISORS,
    )


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.uint8])
def test_shifts_by_any_number_of_bits(dtype):
    bits = np.array([0, 1, 7, 8, 31, 32, 200], dtype)
    same(
        lambda a, b: (
            lax.shift_left(a, b),
            lax.shift_right_logical(a, b),
            lax.shift_right_arithmetic(a, b),
        ),
        WHOLE.astype(dtype),
        bits,
    )


def test_conversions():
    program = same(
        lambda x, n: (
            x.astype(bool),
            n.astype(jnp.uint8),
            n.astype(jnp.float32),
            n.astype(jnp.bfloat16),
            lax.bitcast_convert_type(x, jnp.int32),
            lax.bitcast_convert_type(n, jnp.uint8),
        ),
        EDGES,
        WHOLE,
    )
    assert program.kinds()["convert"] == 5


def test_floats_become_the_nearest_whole_number_in_range():
    program = make_program(lambda x: (x.astype(jnp.int32), x.astype(jnp.uint8)), EDGES)
    signed, unsigned = run(program, EDGES)
    low, high = -(2**31), 2**31 - 1
    np.testing.assert_array_equal(signed, [0, 0, 0, -1, 2, -2, high, high, low, 0])
    np.testing.assert_array_equal(unsigned, [0, 0, 0, 0, 2, 0, 255, 255, 0, 0])


def test_functions_of_real_numbers_at_their_edges():
    functions = (
        *(jnp.abs, jnp.ceil, jnp.cos, jnp.exp, jnp.exp2, jnp.expm1, jnp.floor, jnp.isfinite),
        *(jnp.log, jnp.log1p, lax.logistic, jnp.round, lax.rsqrt, jnp.sign, jnp.sin, jnp.sqrt),
        *(jnp.tan, jnp.tanh, lax.erf, lax.erfc, lax.erf_inv),
    )
    x = np.concatenate([EDGES[np.float32(1e20) != EDGES], normal(9) / 2])
    for function in functions:
        same(function, x)


def test_two_real_numbers_at_their_edges():
    a, b = (x.reshape(-1) for x in np.meshgrid(EDGES, EDGES))
    functions = (jnp.maximum, jnp.minimum, lax.rem, lax.pow, jnp.arctan2, jnp.equal, jnp.less)
    same(lambda a, b: [function(a, b) for function in functions], a, b)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 2)])
def test_orthogonal_matrices(shape):
    same(jnp.linalg.qr, normal(*shape))
    # Of rank 1, where Q is not determined.
    flat = np.ones(shape, np.float32)
    program = make_program(jnp.linalg.qr, flat)
    assert not any("decompositions" in operation.source for operation in program.walk())
    q, r = run(program, flat)
    np.testing.assert_allclose(q @ r, flat, atol=1e-6)
    products = q.swapaxes(-1, -2) @ q
    np.testing.assert_allclose(products - np.eye(q.shape[-1]), np.zeros_like(products), atol=1e-6)


def test_a_variant_that_is_not_covered_is_named():
    with pytest.raises(ProgramError, match=r"^qr with full_matrices cannot"):
        make_program(lambda x: jnp.linalg.qr(x, mode="complete"), X)
    with pytest.raises(ProgramError, match=r"^round of halves away from zero cannot"):
        make_program(lax.round, X)


def test_what_is_bool():
    a, b = np.array([True, True, False]), np.array([True, False, False])
    same(
        lambda a, b: (
            a & b,
            a ^ b,
            ~a,
            jnp.maximum(a, b),
            jnp.max(a),
            jnp.all(b),
            lax.select_n(b.astype(jnp.int32) + a, a, b, ~a),
        ),
        a,
        b,
    )


def test_moving_elements():
    same(
        lambda x: (
            lax.pad(x, 7.0, [(1, -1, 2), (-2, 3, 0)]),
            lax.rev(x, [1]),
            x[::-1, 1::2],
            jnp.roll(x, 1, 0),
            jnp.tile(x, (2, 1)),
            jnp.stack([x, x + 1], 1),
            jnp.split(x, [1, 3], 1),
            jnp.moveaxis(x.reshape(3, 2, 2), 0, 1),
            lax.broadcasted_iota(jnp.int32, (2, 3), 0) + x.shape[0],
        ),
        X,
    )


@pytest.mark.parametrize("mode", ["clip", "fill", "promise_in_bounds"])
def test_gathering(mode):
    rows = np.array([2, 0, 1] if mode == "promise_in_bounds" else [2, -9, 7], np.int32)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(0,), collapsed_slice_dims=(0,), start_index_map=(1, 0)
    )
    same(
        lambda x, i: (
            x.at[i].get(mode=mode),
            x.at[i, i].get(mode=mode),
            x.at[1, i].get(mode=mode),
            x.at[i.astype(jnp.uint32)].get(mode=mode),
            jax.vmap(lambda row, j: row.at[j].get(mode=mode))(x, i),
            jnp.take_along_axis(x, i[:, None], 1, mode=mode),
            # Windows of 1 x 2 that begin at (column, row), along the first axis of the output.
            lax.gather(x, jnp.stack([i, i], 1) % 3, numbers, (1, 2), mode=mode),
        ),
        X,
        rows,
    )


@pytest.mark.parametrize("mode", ["clip", "drop"])
def test_scattering(mode):
    same(
        lambda x, i, y: (
            x.at[i].add(y, mode=mode),
            x.at[i, i].add(y[:, 0], mode=mode),
            x.at[:, i].add(y.T[:3, :], mode=mode),
            x.at[1].set(y[0]),
            jax.vmap(lambda row, j, v: row.at[j].set(v, mode=mode))(x, i, y[:, 1]),
        ),
        X,
        np.array([2, 7, 2], np.int32),
        normal(3, 4, seed=1),
    )


def test_slices_that_begin_where_a_number_says():
    program = same(
        lambda x, part, i: (
            lax.dynamic_slice(x, (i, 1), (2, 2)),
            lax.dynamic_update_slice(x, part, (i, i)),
            lax.dynamic_index_in_dim(x, i),
            lax.dynamic_slice(x, (9, -1), (2, 2)),
        ),
        X,
        normal(2, 2),
        np.int32(2),
    )
    assert program.kinds()["slice"] == 1  # where it begins is known


def test_reductions_and_what_goes_along_an_axis():
    ties = np.array([[1, 3, 3, np.nan], [0, 0, -0.0, -1], [2, 2, 1, 2]], np.float32)
    same(
        lambda x: (
            x.sum(),
            x.max(1),
            x.min((0, 1)),
            x.prod(0),
            x.argmax(1),
            x.argmin(0),
            jnp.cumsum(x, 1),
            lax.cumsum(x, 0, reverse=True),
            lax.cummax(x, 1),
            lax.cummin(x, 1, reverse=True),
            lax.reduce_xor(x.astype(jnp.int32) * 0 + 5, [0]),
            jnp.max(x[:, :0], axis=1, initial=-jnp.inf),
        ),
        ties,
    )


def test_sorting_by_several_keys_keeps_the_order_of_equals():
    a = np.array([2, 1, 2, 1, np.nan, -0.0, 0.0, 1], np.float32)
    b = np.array([1, 1, 0, 1, 0, 2, 1, 0], np.int32)
    same(lambda a, b, c: lax.sort((a, b, c), num_keys=2), a, b, np.arange(8))
    same(lambda x: (jnp.sort(x, axis=0), jnp.argsort(x, axis=1)), X)


@pytest.mark.parametrize(
    ("a", "b", "equation"),
    [
        ((3, 4), (4, 5), "ij,jk->ik"),
        ((4, 3), (5, 4), "ji,kj->ki"),
        ((2, 3, 4), (4,), "bij,j->bi"),
        ((2, 3, 4), (2, 4, 5), "bij,bjk->bik"),
        ((3, 2, 4), (5, 4, 2), "ibj,kjb->bik"),
        ((2, 3, 4), (4, 3, 5), "bij,jik->bk"),
        ((3,), (4,), "i,j->ij"),
        ((3, 4), (3, 4), "ij,ij->"),
    ],
)
def test_products(a, b, equation):
    def product(a, b):
        return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)

    def products(a, b):
        return product(a, b), product(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16))

    same(products, normal(*a), normal(*b, seed=1))


def test_a_transposed_matrix_is_not_moved():
    assert kinds(lambda a, b: a.T @ b.T, X, normal(5, 3)) == {"dot": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"window_strides": (2, 1), "padding": [(0, 1), (2, -1)]},
        {"window_strides": (1, 1), "padding": [(1, 0), (0, 1)], "lhs_dilation": (2, 1)},
        {"window_strides": (1, 2), "padding": "VALID", "rhs_dilation": (1, 2)},
        {"window_strides": (1, 1), "padding": "VALID", "feature_group_count": 2},
        {"window_strides": (1, 1), "padding": "VALID", "batch_group_count": 2},
    ],
)
@pytest.mark.parametrize("layout", [("NHWC", "HWIO", "NHWC"), ("CHWN", "OIHW", "HWNC")])
def test_convolutions(options, layout):
    groups = options.get("feature_group_count", 1)
    sizes = {"N": 2, "H": 6, "W": 5, "C": 4, "I": 4 // groups, "O": 6}
    x = normal(*(sizes[axis] for axis in layout[0]))
    kernel = normal(*({**sizes, "H": 3, "W": 2}[axis] for axis in layout[1]), seed=1)
    same(
        lambda x, kernel: lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options),
        x,
        kernel,
    )


def test_convolutions_of_one_spatial_axis():
    layout = ("NWC", "WIO", "NWC")
    same(lambda x, k: lax.conv_general_dilated(x, k, (1,), "SAME", dimension_numbers=layout),
         normal(2, 7, 3), normal(3, 3, 2, seed=1))  # fmt: skip


def test_random_numbers():
    same(
        lambda keys, seed: (
            jax.vmap(jax.vmap(lambda key: jax.random.bits(key, (5,), "uint8")))(keys),
            jax.random.bits(keys[0, 0], (), "uint32"),
            jax.random.bits(keys[0, 1], (3, 3), "uint16"),
            jax.vmap(lambda key: jax.random.split(key, (2, 2)))(keys[0]),
            jax.random.fold_in(keys[1, 2], seed),
            jax.random.normal(keys[1, 0], (4,)),
            jax.random.permutation(keys[1, 1], 11),
            jax.random.key(seed),
            jax.vmap(jax.random.key)(jnp.stack([seed, -seed])),
        ),
        KEYS,
        np.int32(-5),
        tolerance=1e-5,
    )


def test_keys_are_moved_like_other_arrays():
    same(
        lambda keys, i: (
            keys[::-1, 1:],
            keys.T,
            keys.reshape(3, 2)[i],
            jnp.stack([keys, keys], 1),
            jnp.concatenate([keys, keys], 1),
            lax.dynamic_index_in_dim(keys, i),
            jnp.broadcast_to(keys[0, 0], (2, 3)),
            jnp.where(i > 0, keys[0], keys[1]),
            jnp.squeeze(keys[:1], 0),
            jax.random.key_data(keys) + 1,
        ),
        KEYS,
        np.int32(1),
    )


def test_other_generators_are_refused():
    with pytest.raises(ProgramError, match="Threefry"):
        make_program(jax.random.uniform, jax.random.key(0, impl="rbg"))
    with pytest.raises(ProgramError, match="Threefry"):
        make_program(lambda: jax.random.uniform(jax.random.key(0, impl="rbg")))
    with (
        jax.threefry_partitionable(False),
        pytest.raises(ProgramError, match="jax_threefry_partitionable off"),
    ):
        make_program(jax.random.uniform, jax.random.key(0))


def test_loops():
    def function(x, n, key):
        def body(i, carry):
            total, bound, key = carry
            return total + jnp.sin(x[i] * bound), bound, key

        total, bound, key = lax.fori_loop(0, n, body, (jnp.zeros(4), jnp.max(x), key))
        last, seen = lax.scan(lambda c, row: (c * 0.5 + row, c), total, x, reverse=True)
        counted = lax.while_loop(lambda c: c[0] < 40, lambda c: (c[0] * 3, c[1] + 1), (n, 0))
        return total, bound, key, last, seen, counted

    program = same(function, X, np.int32(2), jax.random.key(1))
    loops = {x.kind: x for x in program.operations if x.programs}
    assert set(loops) == {"scan", "while"}
    # What a loop hands on unchanged is not carried, and not copied out: here x, bound and the key.
    first = next(x for x in program.operations if x.kind == "while")
    assert (first.attributes["constants"], len(first.outputs)) == (3, 2)
    for operation in loops.values():
        for inner in operation.programs:
            constants = operation.attributes["constants"]
            of_inner = [(x.shape, x.dtype) for x in inner.inputs[:constants]]
            assert of_inner == [(x.shape, x.dtype) for x in operation.inputs[:constants]]


def test_branches():
    def function(x, i):
        branches = [lambda x: x, lambda x: x * X, lambda x: jnp.full((3, 4), 7.0)]
        return lax.switch(i, branches, x), lax.cond(i > 1, jnp.sin, jnp.cos, x)

    for i in (-1, 1, 9):
        program = same(function, X, np.int32(i))
    assert program.kinds()["cond"] == 2
    assert kinds(lambda x: lax.cond(True, jnp.sin, jnp.cos, x), X) == {"sin": 1}


def test_of_what_depends_on_the_platform_the_default_is_taken():
    def function(x):
        return lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos)

    assert kinds(function, X) == {"cos": 1}
    with pytest.raises(ProgramError, match="platform_index without a default"):
        make_program(lambda x: lax.platform_dependent(x, cpu=jnp.sin, cuda=jnp.cos), X)


def test_calls_are_inlined():
    @jax.custom_jvp
    def own(x):
        return jnp.tanh(x)

    @jax.custom_vjp
    def other(x):
        return own(x) + 1

    own.defjvps(lambda dx, y, x: dx)
    other.defvjp(lambda x: (other(x), None), lambda _, dy: (dy,))

    def function(x):
        return jax.checkpoint(jax.jit(lambda x: other(jax.named_call(jnp.exp)(x))))(x)

    assert kinds(function, X) == {"add": 1, "exp": 1, "tanh": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.astype(jnp.float32).reshape(3, 4).T.T[::1] * 1 - 0.0,
        lambda x: lax.optimization_barrier(x.reshape(2, 6)).reshape(3, 4) / 1,
        lambda x: jnp.where(jnp.sum(jnp.ones(9)) > 8, lax.neg(lax.neg(x)), jnp.sin(x)),
        lambda x: jnp.maximum(x, -jnp.inf).astype(jnp.float32),
        lambda x: lax.pad(jnp.concatenate([x, x[:0]]), 0.0, [(0, 0, 0)] * 2),
        lambda x: lax.rev(jnp.squeeze(x[None], 0), []) ** 1 + -0.0,
    ],
)
def test_what_does_nothing_is_left_out(function):
    assert kinds(function, X) == {}


def test_what_would_change_a_bit_is_not_left_out():
    assert kinds(lambda x: x + 0.0, X) == {"add": 1}  # -0 + 0 is 0
    assert kinds(lambda x: x * 0, X) == {"mul": 1}  # NaN
    assert kinds(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), X) == {"convert": 2}
    # Whole numbers are cut off, floats moved into range.
    whole = np.array([300], np.int16)
    same(lambda n: n.astype(jnp.int32).astype(jnp.uint8), whole)
    (found,) = run(make_program(lambda n: n.astype(jnp.float32).astype(jnp.uint8), whole), whole)
    assert found == 255


def test_what_is_repeated_is_done_once():
    assert kinds(lambda x, y: (jnp.sin(x + y), jnp.sin(y + x), x - y, y - x), X, X) == {
        "add": 1,
        "sin": 1,
        "sub": 2,
    }


def test_what_is_known_is_computed():
    assert kinds(lambda x: x * jnp.exp(jnp.arange(4.0)) + jnp.zeros((3, 4)).sum(), X) == {
        "add": 1,
        "broadcast": 1,
        "mul": 1,
    }
    program = make_program(lambda x: x + jnp.full((3, 4), 2.0) * jnp.ones((3, 1)), X)
    assert program.kinds() == {"add": 1}
    assert [x.tolist() for x in program.constants.values()] == [2.0]


def test_what_is_large_is_not_stored_because_it_is_known():
    program = same(lambda x: x + jnp.arange(1000.0) / 3, normal(1000))
    assert sum(x.size for x in program.constants.values()) < 10


def test_an_elementwise_operation_reads_arrays_of_its_shape_or_scalars():
    column = normal(3, 1)
    program = same(lambda x, c: (x * c + c[0], (c - c[0]) * x, c + c), X, column)
    for operation in program.operations:
        if operation.kind in ELEMENTWISE:
            assert {x.shape for x in operation.inputs} <= {(), operation.output.shape}


def test_an_operation_says_which_layer_it_comes_from():
    def function(x):
        with jax.named_scope("3 dense"):
            return jax.jit(lambda x: jnp.linalg.inv(x) if x.ndim == 2 else jnp.where(x > 0, x, 1))(
                x
            )

    program = make_program(jax.jit(function), np.float32([1]))
    place = r"test_an_operation_says_which_layer_it_comes_from.function"
    assert all(
        x.source.startswith(place) and x.source.endswith(", 3 dense") for x in program.walk()
    )
    with pytest.raises(ProgramError, match=rf"^lu .* from {place}.*\(test_.*\.py:\d+\), 3 dense$"):
        make_program(function, np.eye(2, dtype=np.float32))


def test_inputs_of_other_shapes_and_types_are_refused():
    program = make_program(jnp.sin, X)
    for wrong in ([X.astype(np.float64)], [X[:2]], [], [X, X]):
        with pytest.raises(ValueError, match=r"float32\[3,4\]"):
            run(program, *wrong)


def test_names_follow_the_arguments_of_the_function():
    def function(x, *others, scale=2.0, **more):
        return {"sum": x["a"] + others[0] * scale, "rest": [others[1]]}

    program = make_program(function, {"a": X}, X, X)
    assert program.input_names == ("x.a", "others.0", "others.1")
    assert program.output_names == ("rest.0", "sum")
    assert program.outputs[0] == program.inputs[2]
    assert make_program(lambda: jnp.zeros(3)).output_names == ("output",)


def test_a_program_can_be_read():
    text = str(make_program(lambda x, n: lax.fori_loop(0, n, lambda i, x: x @ x, x), np.eye(2), 3))
    lines = text.splitlines()
    assert lines[0].startswith("inputs x %0:float32[2,2], n %1:int32[]")
    assert any(line.startswith("    ") and " = dot " in line for line in lines)
    assert lines[-1].startswith("outputs output %")
