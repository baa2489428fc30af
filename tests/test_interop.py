"""Layers and the convolution inside other people's JAX code, under any transformation."""

import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec
from oracles import assert_close

from jaxnn.interop import conv_general_dilated, differentiable
from jaxnn.layers import (
    Layer,
    batch_norm,
    before,
    conv2d,
    dense,
    dropout,
    flatten,
    in_precision,
    relu,
    rematerialize,
    serial,
    standardize,
    tanh,
)

NETWORK = serial(conv2d(2, bias=False), batch_norm(), relu(), flatten(), dropout(0.5), dense(3))
IMAGE = (3, 4, 2)
KEY = jax.random.key(3)
NHWC, CWNH = ("NHWC", "HWIO", "NHWC"), ("CWNH", "OIWH", "HWCN")


def made(layer: Layer, in_shape=IMAGE, batch=4):
    """Parameters and state (positive: there are variances), an input, a cotangent of the output."""
    random = np.random.default_rng(0)
    params, state = jax.eval_shape(lambda: layer.init(jax.random.key(0), in_shape)[:2])
    params = jax.tree.map(lambda p: jnp.asarray(random.standard_normal(p.shape), p.dtype), params)
    state = jax.tree.map(lambda s: jnp.asarray(random.uniform(1, 2, s.shape), s.dtype), state)
    x = jnp.asarray(random.standard_normal((batch, *in_shape)))
    y = jax.eval_shape(lambda: layer.forward(params, state, x)[0])
    return params, state, x, jnp.asarray(random.standard_normal(y.shape))


@pytest.mark.parametrize(
    ("layer", "train"),
    [(NETWORK, True), (NETWORK, False), (rematerialize(serial(conv2d(2), tanh())), False)],
    ids=["in training", "not in training", "rematerialized"],
)
def test_gradients_are_those_of_forward(layer, train):
    """In float64, against JAX's own derivative of forward and against central differences."""
    with jax.enable_x64(True):
        params, state, x, dy = made(layer)
        f = differentiable(layer, train=train)

        def ours(params, x):
            return f(params, x, state=state, key=KEY)

        def plain(params, x):
            return layer.forward(params, state, x, train=train, key=KEY)[:2]

        @jax.jit
        def both(params, x):
            found, pullback, new = jax.vjp(ours, params, x, has_aux=True)
            expected, plain_pullback, plain_new = jax.vjp(plain, params, x, has_aux=True)
            return (found, new, pullback(dy)), (expected, plain_new, plain_pullback(dy))

        found, expected = both(params, x)
        assert_close(found, expected, 1e-10)
        outputs = jax.jit(ours)
        assert_close(outputs(params, x), found[:2], 1e-12)
        direction = jax.tree.map(np.cos, (params, x))

        def along(h):
            moved = jax.tree.map(lambda a, v: a + h * v, (params, x), direction)
            return np.vdot(outputs(*moved)[0], dy)

        slope = sum(jax.tree.leaves(jax.tree.map(np.vdot, found[2], direction)))
        difference = (along(1e-6) - along(-1e-6)) / 2e-6
        assert slope == pytest.approx(difference, rel=1e-6)


def test_a_layer_without_state_is_a_function_of_params_and_input():
    layer = serial(dense(4), relu(), flatten(), dense(3))
    params, state, x, _ = made(layer)
    expected, _, _ = layer.forward(params, state, x)
    f = differentiable(layer)
    np.testing.assert_array_equal(f(params, x), expected)
    np.testing.assert_array_equal(f(params, np.asarray(x)), expected)
    y, new_state = f(params, x, state=state)
    np.testing.assert_array_equal(y, expected)
    assert new_state == state
    # No draws outside training, and there with a key alone.
    draws = serial(layer, dropout(0.5))
    both = ((params, ()), x)
    np.testing.assert_array_equal(differentiable(draws)(*both), expected)
    y = differentiable(draws, train=True)(*both, key=KEY)
    np.testing.assert_array_equal(y, draws.forward(both[0], (state, ()), x, train=True, key=KEY)[0])


def test_vmap_maps_examples_keys_and_parameters():
    layer = serial(dense(2), tanh())
    params, state, x, _ = made(layer)
    three = jax.tree.map(lambda p: jnp.stack([p, 2 * p, -p]), params)

    def gradients(f):
        def loss(params, x):
            return jnp.square(f(params, x[None])).sum()

        def of_all(params, x):
            return jax.vmap(loss, (None, 0))(params, x).sum()

        return (
            jax.vmap(jax.grad(loss, (0, 1)), (None, 0))(params, x),
            jax.grad(of_all, (0, 1))(params, x),
            jax.vmap(jax.grad(loss), (0, None))(three, x[0]),
        )

    found, expected = jax.jit(
        lambda: (
            gradients(differentiable(layer)),
            gradients(lambda params, x: layer.forward(params, state, x)[0]),
        )
    )()
    assert_close(found, expected, 1e-5)

    f, keys = differentiable(dropout(0.5), train=True), jax.random.split(KEY, 4)
    masks = jax.vmap(jax.grad(lambda x, key: f((), x, key=key).sum()))(x, keys)
    for x_i, key, mask in zip(x, keys, masks, strict=True):
        np.testing.assert_allclose(f((), x_i, key=key), x_i * mask, rtol=1e-6)


def test_statistics_over_a_mapped_axis():
    params, state, x, dy = made(batch_norm())
    f = differentiable(batch_norm(axis_name="parts"), train=True)
    whole = differentiable(batch_norm(), train=True)

    def gradients(f):
        def loss(params, x, dy):
            return jnp.vdot(f(params, x, state=state)[0], dy)

        return jax.grad(loss, (0, 1))

    halves = (x.reshape(2, -1, *IMAGE), dy.reshape(2, -1, *IMAGE))
    d_params, dx = jax.vmap(gradients(f), (None, 0, 0), axis_name="parts")(params, *halves)
    expected = gradients(whole)(params, x, dy)
    found = jax.tree.map(lambda d: d.sum(0), d_params), dx.reshape(x.shape)
    assert_close(found, expected, 1e-5)


def test_trains_in_scan_with_its_state_and_under_checkpoint():
    layer = serial(dense(3), batch_norm(), dropout(0.5))
    params, state, x, _ = made(layer, (2,))
    f = differentiable(layer, train=True)

    def steps(f):
        def step(carry, key):
            def loss(params, state):
                y, state = f(params, x, state=state, key=key)
                return jnp.square(y).mean(), state

            params, state = carry
            gradients, state = jax.grad(loss, has_aux=True)(params, state)
            return (jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), state), None

        return lambda: lax.scan(step, (params, state), jax.random.split(KEY, 3))[0]

    def plain(params, x, *, state, key):
        return layer.forward(params, state, x, train=True, key=key)[:2]

    expected = jax.jit(steps(plain))()
    assert_close(jax.jit(steps(f))(), expected, 1e-4)
    assert_close(jax.jit(steps(jax.checkpoint(f)))(), expected, 1e-4)


def test_devices_add_up_the_gradients_of_what_they_have_in_common():
    params, _, x, _ = made(dense(3))
    f = differentiable(dense(3))
    kernel = jnp.ones((2, 2, 3, 3))

    def gradients(params, kernel, x):
        def loss(params, kernel):
            y = conv_general_dilated(f(params, x), kernel, (1, 1), "SAME", dimension_numbers=NHWC)
            return jnp.square(y).sum()

        return jax.grad(loss, (0, 1))(params, kernel)

    mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
    data, everywhere = PartitionSpec("data"), PartitionSpec()
    mapped = jax.shard_map(
        gradients, mesh=mesh, in_specs=(everywhere, everywhere, data), out_specs=everywhere
    )
    found = jax.jit(mapped)(params, kernel, x)
    assert_close(found, gradients(params, kernel, x), 1e-5)


def test_constants_and_integers_have_no_gradient():
    network = serial(dense(3), batch_norm(), dropout(0.5))
    layer = before(network, standardize(3.0, 2.0))
    params, state, _, dy = made(network)
    x = jnp.arange(4 * math.prod(IMAGE), dtype=jnp.uint8).reshape(4, *IMAGE)
    f = differentiable(layer, train=True)

    def whole(params, x, state, key):
        return f(params, x, state=state, key=key)

    (_, new), pullback = jax.vjp(whole, params, x, state, KEY)
    gradients, dx, d_state, d_key = pullback((dy, jax.tree.map(jnp.ones_like, new)))
    assert dx.dtype == d_key.dtype == jax.dtypes.float0
    assert dx.shape == x.shape
    assert jax.tree.all(jax.tree.map(lambda d: not d.any(), d_state))
    _, _, residuals = layer.forward(params, state, x, train=True, key=KEY)
    assert_close(gradients, layer.backward(params, residuals, dy)[1], 1e-5)


@pytest.mark.parametrize("types", [("bfloat16", "bfloat16"), ("float32", "bfloat16")])
def test_gradients_have_the_types_of_their_arrays(types):
    layer = serial(dense(4, bias=False), batch_norm(), in_precision(dense(2), jnp.bfloat16))
    params, state, x, _ = made(layer)
    params = jax.tree.map(lambda p: p.astype(types[0]), params)
    x = x.astype(types[1])
    f = differentiable(layer, train=True)

    def loss(params, x):
        return f(params, x, state=state)[0].astype(jnp.float32).sum()

    gradients, dx = jax.eval_shape(jax.grad(loss, (0, 1)), params, x)
    assert jax.tree.all(jax.tree.map(lambda g: g.dtype == types[0], gradients))
    assert dx.dtype == types[1]


def test_keys_of_the_old_kind_and_one_for_each_example():
    layer, x = dropout(0.5), jnp.ones((4, 50))
    f = differentiable(layer, train=True)
    expected = f((), x, key=jax.random.key(7))
    np.testing.assert_array_equal(f((), x, key=jax.random.PRNGKey(7)), expected)
    keys = jax.random.split(jax.random.key(7), 4)
    np.testing.assert_array_equal(
        f((), x, key=keys), layer.forward((), (), x, train=True, key=keys)[0]
    )


def test_second_derivatives_but_no_forward_mode():
    layer = serial(dense(3), tanh(), dense(1))
    params, state, x, _ = made(layer, (2,))
    f = differentiable(layer)

    def penalty(f):
        slope = jax.grad(lambda x, params: f(params, x).sum())
        return jax.grad(lambda params: jnp.square(slope(x, params)).sum())(params)

    assert_close(penalty(f), penalty(lambda params, x: layer.forward(params, state, x)[0]), 1e-5)
    with pytest.raises(TypeError, match=r"can't apply forward-mode autodiff \(jvp\)"):
        jax.jvp(lambda x: f(params, x), (x,), (x,))


def test_what_is_missing_is_named():
    params, state, x, _ = made(NETWORK)
    with pytest.raises(ValueError, match=r"serial keeps a state: call f\(params, x, state=state\)"):
        differentiable(NETWORK)(params, x)
    with pytest.raises(ValueError, match=r"serial draws random numbers: call .* key=key"):
        differentiable(NETWORK, train=True)(params, x, state=state)
    with pytest.raises(ValueError, match="conv2d needs images"):
        differentiable(conv2d(3))(params[0], x[0])
    broken = dense(3)._replace(backward=lambda params, residuals, dy: (None, params))
    with pytest.raises(ValueError, match="dense: backward gives no dx, but x is of float32"):
        jax.grad(lambda x: differentiable(broken)(params[5], x).sum())(jnp.ones((2, 24)))


# Shapes of images, NHWC, and of a kernel, HWIO; the order of axes that they are given; arguments.
CONVOLUTIONS = {
    "3x3": ((2, 6, 5, 8), (3, 3, 8, 4), NHWC, {"padding": "SAME"}),
    "one example": ((1, 5, 7, 3), (3, 2, 3, 4), None, {"padding": "VALID"}),
    "strides": ((3, 7, 9, 5), (3, 3, 5, 2), CWNH, {"padding": "SAME", "window_strides": (2, 3)}),
    "one more before": ((2, 6, 6, 2), (2, 2, 2, 3), NHWC, {"padding": "SAME_LOWER"}),
    "uneven padding": ((2, 4, 5, 9), (3, 3, 9, 2), CWNH, {"padding": [(3, 0), (1, 4)]}),
    "dilation": ((2, 8, 9, 2), (3, 2, 2, 3), None, {"padding": "SAME", "rhs_dilation": (2, 3)}),
    "groups": ((2, 5, 4, 4), (3, 3, 2, 6), None, {"padding": "same", "feature_group_count": 2}),
    "1x1": ((3, 4, 4, 3), (1, 1, 3, 5), CWNH, {"padding": [(0, 0), (0, 0)]}),
}


def convolving(convolve, arguments, order=NHWC):
    def call(lhs, rhs):
        strides = arguments.get("window_strides", (1, 1))
        others = {name: value for name, value in arguments.items() if name != "window_strides"}
        return convolve(lhs, rhs, strides, dimension_numbers=order, **others)

    return call


def arranged(x, kernel, order):
    """NHWC and HWIO arrays in another order."""
    lhs, rhs, _ = order or ("NCHW", "OIHW", "NCHW")
    return x.transpose(*map("NHWC".index, lhs)), kernel.transpose(*map("HWIO".index, rhs))


def random_pair(x_shape, kernel_shape, dtype=np.float32):
    random = np.random.default_rng(0)
    return (jnp.asarray(random.standard_normal(shape), dtype) for shape in (x_shape, kernel_shape))


def by_xla(compiled, *arguments):
    """Whether a program has a convolution of XLA's."""
    return "stablehlo.convolution" in compiled.lower(*arguments).as_text()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_is_that_of_lax_and_so_are_its_gradients(name):
    x_shape, kernel_shape, order, arguments = CONVOLUTIONS[name]
    with jax.enable_x64(True):
        pair = arranged(*random_pair(x_shape, kernel_shape, np.float64), order)
        found, expected = (
            jax.jit(functools.partial(result_and_gradients, convolving(f, arguments, order)))
            for f in (conv_general_dilated, lax.conv_general_dilated)
        )
        assert_close(found(*pair), expected(*pair), 1e-12)
        assert not by_xla(found, *pair)
        assert by_xla(expected, *pair)


def result_and_gradients(convolve, lhs, rhs):
    y, pullback = jax.vjp(convolve, lhs, rhs)
    return y, pullback(jnp.sin(y))


def test_derivatives_of_the_gradients_are_those_of_lax():
    x_shape, kernel_shape, order, arguments = CONVOLUTIONS["strides"]
    pair = arranged(*random_pair(x_shape, kernel_shape), order)

    def derivatives(convolve):
        def product(lhs, rhs):
            _, (d_lhs, d_rhs) = result_and_gradients(
                convolving(convolve, arguments, order), lhs, rhs
            )
            return jnp.square(d_lhs).mean() * jnp.square(d_rhs).mean()

        return jax.jit(jax.grad(product, (0, 1)))

    assert not by_xla(derivatives(conv_general_dilated), *pair)
    found, expected = (
        derivatives(f)(*pair) for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_convolution_in_each_type(dtype):
    x, kernel = random_pair((4, 6, 6, 8), (3, 3, 8, 8), dtype)
    arguments = {"padding": "SAME"}
    found, expected = (
        jax.vjp(convolving(f, arguments), x, kernel)
        for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    tolerance = 1e-6 if dtype == "float32" else 0.01
    assert found[0].dtype == expected[0].dtype == dtype
    assert_close(found[0], expected[0], tolerance)
    gradients = found[1](found[0]), expected[1](found[0])
    assert_close(*gradients, tolerance)
    assert [g.dtype for g in gradients[0]] == [dtype, dtype]


@pytest.mark.parametrize("axes", [(1, None), (None, 1), (0, 0)], ids=["images", "kernels", "both"])
def test_convolution_is_mapped(axes):
    random = np.random.default_rng(0)
    shapes = [[2, 4, 5, 3], [3, 3, 3, 4]]
    for shape, axis in zip(shapes, axes, strict=True):
        if axis is not None:
            shape.insert(axis, 3)
    pair = [random.standard_normal(shape, np.float32) for shape in shapes]

    def mapped(f):
        convolve = convolving(f, {"padding": "SAME"})

        def gradients_of_each(lhs, rhs):
            return jax.grad(lambda *a: jnp.square(convolve(*a)).sum(), (0, 1))(lhs, rhs)

        def gradients_of_all(lhs, rhs):
            return jax.grad(lambda *a: jnp.square(jax.vmap(convolve, axes)(*a)).sum(), (0, 1))(
                lhs, rhs
            )

        run = jax.jit(lambda *a: (jax.vmap(gradients_of_each, axes)(*a), gradients_of_all(*a)))
        assert by_xla(run, *pair) == (f is lax.conv_general_dilated)
        return run(*pair)

    assert_close(mapped(conv_general_dilated), mapped(lax.conv_general_dilated), 1e-5)


def test_mapped_images_are_one_batch():
    """As many matrix products for images mapped twice as for one batch: of all images together."""
    x, kernel = random_pair((6, 5, 5, 8), (3, 3, 8, 4))
    convolve = convolving(conv_general_dilated, {"padding": "SAME"})

    def mapped(x, kernel):
        twice = jax.vmap(jax.vmap(lambda x: convolve(x[None], kernel)))
        return twice(x.reshape(2, 3, *x.shape[1:]))

    def products(function):
        lowered = jax.jit(function).lower(x, kernel).as_text()
        return [line.split(" : ")[-1] for line in lowered.splitlines() if "dot_general" in line]

    assert products(mapped) == products(convolve)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "dtype", "arguments"),
    [
        ((2, 5, 5, 3), (3, 3, 3, 4), "float32", {"padding": [(-1, 0), (0, 0)]}),
        ((2, 5, 5, 3), (3, 3, 3, 4), "float32", {"padding": "SAME", "precision": "highest"}),
        (
            (2, 5, 5, 3),
            (3, 3, 3, 4),
            "bfloat16",
            {"padding": "SAME", "preferred_element_type": jnp.float32},
        ),
        ((2, 5, 5, 3), (3, 3, 3, 4), "int32", {"padding": "SAME"}),
        ((2, 5, 5, 3), (3, 3, 3, 4), "complex64", {"padding": "SAME"}),
        ((4, 5, 5, 3), (3, 3, 3, 4), "float32", {"padding": "SAME", "batch_group_count": 2}),
        (
            (2, 5, 5, 3),
            (3, 3, 3, 4),
            "float32",
            {"padding": [(1, 1), (1, 1)], "lhs_dilation": (2, 1)},
        ),
        ((1, 9, 9, 1), (8, 8, 1, 1), "float32", {"padding": "VALID"}),
        ((0, 5, 5, 3), (3, 3, 3, 4), "float32", {"padding": "SAME"}),
        ((2, 2, 2, 3), (3, 3, 3, 4), "float32", {"padding": "VALID"}),
    ],
    ids=lambda value: next(reversed(value), None) if isinstance(value, dict) else None,
)
def test_everything_else_is_lax_s_own(x_shape, kernel_shape, dtype, arguments):
    x, kernel = random_pair(x_shape, kernel_shape, dtype)
    found, expected = (
        convolving(f, arguments)(x, kernel)
        for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    program, theirs = (
        jax.make_jaxpr(convolving(f, arguments))(x, kernel)
        for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    assert str(program) == str(theirs)


def test_other_numbers_of_axes_are_lax_s_own():
    x, kernel = random_pair((2, 3, 9), (4, 3, 2))
    found = conv_general_dilated(x, kernel, (2,), "SAME")
    np.testing.assert_array_equal(found, lax.conv_general_dilated(x, kernel, (2,), "SAME"))


def test_other_platforms_have_lax_s_own_convolution_and_derivative():
    x, kernel = random_pair((2, 6, 5, 8), (3, 3, 8, 4))
    arguments = {"padding": "SAME"}

    def lines(f):
        def gradients(lhs, rhs):
            y, pullback = jax.vjp(convolving(f, arguments, None), lhs, rhs)
            return y, pullback(jnp.sin(y))

        lhs, rhs = arranged(x, kernel, None)
        exported = jax.export.export(jax.jit(gradients), platforms=["cuda"])(lhs, rhs)
        text = exported.mlir_module()
        assert "dot_general" not in text
        return sorted(
            line.split("dim_numbers")[1].split(" loc(")[0]
            for line in text.splitlines()
            if "stablehlo.convolution" in line
        )

    found = lines(conv_general_dilated)
    assert len(found) == 3
    assert found == lines(lax.conv_general_dilated)


def test_symbolic_shapes_are_lax_s_own():
    _, kernel = random_pair((1, 5, 5, 3), (3, 3, 3, 4))
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n, 5, 5, 3"), jnp.float32)
    convolve = convolving(conv_general_dilated, {"padding": "SAME"})
    exported = jax.export.export(jax.jit(lambda x: convolve(x, kernel)))(x)
    assert exported.call(jnp.ones((7, 5, 5, 3))).shape == (7, 5, 5, 4)


def test_arguments_and_errors_are_lax_s():
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    assert ours == theirs
    x, kernel = random_pair((2, 5, 5, 3), (3, 3, 2, 4))
    half = kernel.astype(jnp.bfloat16)
    for arrays, arguments in [
        ((x, kernel), {"padding": "SAME"}),
        ((x, half), {"padding": "SAME"}),
        ((x, kernel), {"padding": "WRONG"}),
        ((x, kernel), {"padding": [(1, 1)]}),
        ((x, kernel), {"padding": "SAME", "window_strides": (1, 1, 1)}),
        ((x[0], kernel), {"padding": "SAME"}),
    ]:
        errors = []
        for f in (conv_general_dilated, lax.conv_general_dilated):
            with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
                convolving(f, arguments)(*arrays)
            errors.append((caught.type, str(caught.value)))
        assert errors[0] == errors[1]


def test_convolution_has_no_forward_mode():
    x, kernel = random_pair((2, 5, 5, 3), (3, 3, 3, 4))
    convolve = convolving(conv_general_dilated, {"padding": "SAME"})
    with pytest.raises(TypeError, match=r"can't apply forward-mode autodiff \(jvp\)"):
        jax.jvp(convolve, (x, kernel), (x, kernel))
