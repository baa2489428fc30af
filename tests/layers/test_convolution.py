"""Every algorithm of the convolution's three products, not only those that this platform picks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec
from oracles import assert_close, assert_derivatives

from jaxnn.initializers import normal
from jaxnn.layers import blocks, conv2d, convolution, winograd
from jaxnn.layers.windows import make_window

# Height and width, channels, units, and the arguments of a window.
CASES = {
    "3x3 SAME": ((5, 6), 8, 3, {"size": 3}),
    "3x3 VALID": ((8, 5), 8, 2, {"size": 3, "padding": "VALID"}),
    "3x3 wide padding": ((3, 4), 9, 2, {"size": 3, "padding": ((3, 0), (1, 4))}),
    "3x3 one position": ((3, 3), 8, 1, {"size": 3, "padding": "VALID"}),
    "3x3 tiles of three and beyond": ((6, 11), 8, 9, {"size": 3}),
    "3x3 tiles of four": ((8, 4), 8, 8, {"size": 3}),
    "3x3 one row": ((1, 5), 8, 3, {"size": 3}),
    "3x3 many channels": ((3, 5), 32, 33, {"size": 3}),
    "few channels": ((5, 6), 3, 4, {"size": (3, 2), "padding": ((2, 0), (1, 1))}),
    "1x1": ((3, 4), 2, 5, {"size": 1}),
    "1x1 strided": ((5, 4), 2, 3, {"size": 1, "stride": 2}),
    "strided": ((7, 8), 2, 3, {"size": 3, "stride": 2}),
    "strided unevenly": ((7, 8), 2, 3, {"size": (2, 3), "stride": (3, 1), "padding": 1}),
    "stride beyond the window": ((8, 7), 3, 2, {"size": 2, "stride": 3, "padding": "VALID"}),
    "dilated": ((7, 6), 2, 3, {"size": (3, 2), "dilation": (2, 3), "padding": 2}),
    "dilated and strided": ((9, 8), 2, 2, {"size": 3, "dilation": 2, "stride": 2}),
    "padded beyond the window": ((2, 3), 2, 2, {"size": 2, "padding": ((3, 2), (0, 4))}),
    "grouped": ((4, 5), 4, 6, {"size": 3, "groups": 2}),
    "grouped, strided, dilated": (
        (8, 7),
        6,
        6,
        {"size": 2, "stride": 2, "dilation": 2, "groups": 3, "padding": 1},
    ),
    "depthwise": ((4, 5), 3, 3, {"size": 3, "groups": 3}),
    "depthwise with a multiplier": ((5, 4), 2, 6, {"size": 3, "groups": 2, "stride": 2}),
}
CASES = {name: ((*image, channels), *rest) for name, (image, channels, *rest) in CASES.items()}


# A case of each kind; the others, whose programs take as long to compile, are marked long.
ORDINARY = {
    *("3x3 SAME", "3x3 tiles of three and beyond", "few channels", "1x1 strided", "strided"),
    *("dilated", "grouped, strided, dilated", "depthwise"),
}
NAMES = [name if name in ORDINARY else pytest.param(name, marks=pytest.mark.long) for name in CASES]


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name):
    shape, units, arguments = CASES[name]
    assert_derivatives(conv2d(units, **arguments), shape, batch=2)


def test_derivatives_without_bias():
    assert_derivatives(conv2d(2, bias=False), (3, 4, 1), batch=2)


def products(x, dy, weight, window):
    """What each algorithm makes of the three products."""
    forward = (convolution._forward_lax, convolution._forward_patches)
    d_input = (convolution._input_gradient_lax, convolution._input_gradient_patches)
    d_weight = (convolution._weight_gradient_lax, convolution._weight_gradient_patches)
    if weight.shape[2] == x.shape[3]:
        forward += (convolution._forward_direct,)
        d_weight += (convolution._weight_gradient_direct,)
    if winograd.suits(weight.shape, x.shape, window):
        forward += (winograd.forward_strips, winograd.forward_tiles)
        d_input += (winograd.input_gradient_strips, winograd.input_gradient_tiles)
        d_weight += (winograd.weight_gradient_strips, winograd.weight_gradient_tiles)
    return (
        [f(x, weight, window) for f in forward],
        [f(dy, weight, x.shape, window) for f in d_input],
        [f(x, dy, weight.shape, window) for f in d_weight],
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_computes_the_products(name, monkeypatch):
    (height, width, channels), units, arguments = CASES[name]
    monkeypatch.setattr(blocks, "_POSITIONS", 2 * height * width)  # two images a block, or so
    groups = arguments.get("groups", 1)
    given = {"stride": 1, "padding": "SAME", "dilation": 1, **arguments}
    window = make_window("", *(given[key] for key in ("size", "stride", "padding", "dilation")))
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = random.standard_normal((6, height, width, channels))
        weight = random.standard_normal((*window.size, channels // groups, units))

        def oracle(x, weight):
            return lax.conv_general_dilated(
                x,
                weight,
                window.stride,
                given["padding"]
                if isinstance(given["padding"], str)
                else window.pads((height, width)),
                rhs_dilation=window.dilation,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=groups,
            )

        y, pullback = jax.vjp(oracle, x, weight)
        dy = random.standard_normal(y.shape)
        expected = (y, *pullback(dy))
        found = jax.jit(products, static_argnums=3)(x, dy, weight, window)
        filtered, direct = 2 * ("3x3" in name), groups == 1
        numbers = (2 + filtered + direct, 2 + filtered, 2 + filtered + direct)
        assert tuple(map(len, found)) == numbers
        for one, algorithms in zip(expected, found, strict=True):
            for product in algorithms:
                assert_close(product, one, 1e-10)


@pytest.mark.parametrize("batch", [1, 7])
def test_every_algorithm_takes_any_batch(batch, monkeypatch):
    monkeypatch.setattr(blocks, "_POSITIONS", 80)
    monkeypatch.setattr(winograd._Tiles, "block", lambda *_: 2)
    assert blocks._count(batch, 2) == batch  # seven images make no blocks of two
    window = make_window("", 3, 1, "SAME")
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = random.standard_normal((batch, 5, 7, 8))
        weight = random.standard_normal((3, 3, 8, 9))
        dy = random.standard_normal((batch, 5, 7, 9))
        for expected, *others in jax.jit(products, static_argnums=3)(x, dy, weight, window):
            assert len(others) >= 3
            for product in others:
                assert_close(product, expected, 1e-10)


@pytest.mark.long
def test_every_algorithm_is_accurate_in_float32():
    random = np.random.default_rng(0)
    x = random.standard_normal((6, 16, 16, 16))
    weight = random.standard_normal((3, 3, 16, 16))
    dy = random.standard_normal((6, 16, 16, 16))
    window = make_window("", 3, 1, "SAME")
    run = jax.jit(products, static_argnums=3)
    single = run(*(a.astype(np.float32) for a in (x, dy, weight)), window)
    with jax.enable_x64(True):
        exact = run(x, dy, weight, window)
    for algorithms, (expected, *_) in zip(single, exact, strict=True):
        for product in algorithms:
            assert_close(product, expected, 3e-6)


def test_bfloat16_is_summed_in_float32():
    layer = conv2d(32)
    random = np.random.default_rng(0)
    arguments = (
        jax.tree.map(
            lambda p: p.astype(jnp.bfloat16), layer.init(jax.random.key(0), (8, 8, 32))[0]
        ),
        random.standard_normal((3, 8, 8, 32)).astype(jnp.bfloat16),
        random.standard_normal((3, 8, 8, 32)).astype(jnp.bfloat16),
    )

    @jax.jit
    def run(params, x, dy):
        y, _, residuals = layer.forward(params, (), x)
        dx, gradients = layer.backward(params, residuals, dy)
        return y, dx, gradients["weight"]

    low = run(*arguments)
    assert all(a.dtype == jnp.bfloat16 for a in low)
    exact = run(*jax.tree.map(lambda a: a.astype(jnp.float32), arguments))
    assert_close(low, exact, 4e-3)  # one rounding, of 2⁻⁹ at most


@pytest.mark.parametrize(
    "batch", [1, *(pytest.param(batch, marks=pytest.mark.long) for batch in (5, 6))]
)
def test_blocks_change_nothing(batch, monkeypatch):
    layer = conv2d(3)
    params, _, _ = layer.init(jax.random.key(0), (5, 4, 8))
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, 5, 4, 8), np.float32)
    dy = random.standard_normal((batch, 5, 4, 3), np.float32)

    def run():
        y, _, residuals = layer.forward(params, (), x)
        return y, layer.backward(params, residuals, dy)

    whole = run()
    monkeypatch.setattr(blocks, "_POSITIONS", 40)
    assert blocks._count(batch, blocks.images((5, 4))) == {1: 1, 5: 5, 6: 3}[batch]
    assert_close(run(), whole, 1e-6)


@pytest.mark.parametrize("channels", [8, 32])
def test_devices_each_take_their_part_of_the_batch(channels):
    layer = conv2d(channels)
    params, _, _ = layer.init(jax.random.key(0), (40, 40, channels))
    x = np.random.default_rng(0).standard_normal((4, 40, 40, channels), np.float32)
    mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
    data, everywhere = PartitionSpec("data"), PartitionSpec()

    def gradients(params, x):
        y, _, residuals = layer.forward(params, (), x)
        dx, d_params = layer.backward(params, residuals, y)
        return dx, d_params

    def part(params, x):
        dx, d_params = gradients(params, x)
        return dx, jax.tree.map(lambda g: lax.psum(g, "data"), d_params)

    mapped = jax.shard_map(
        part, mesh=mesh, in_specs=(everywhere, data), out_specs=(data, everywhere)
    )
    assert_close(jax.jit(mapped)(params, x), jax.jit(gradients)(params, x), 1e-5)


def test_computes_the_correlation():
    layer = conv2d(1, (1, 2), padding="VALID")
    params = {"weight": jnp.array([1.0, 10]).reshape(1, 2, 1, 1), "bias": jnp.array([100.0])}
    y, _, _ = layer.forward(params, (), jnp.array([1.0, 2, 3]).reshape(1, 1, 3, 1))
    np.testing.assert_array_equal(y.reshape(-1), [121, 132])


def test_parameters_come_from_the_initializers():
    layer = conv2d(40, (3, 5), groups=2, bias_init=normal)
    params, state, out_shape = layer.init(jax.random.key(0), (6, 7, 30))
    assert out_shape == (6, 7, 40)
    assert state == ()
    assert params["weight"].shape == (3, 5, 15, 40)
    assert params["weight"].std() == pytest.approx((2 / (3 * 5 * 15)) ** 0.5, rel=0.03)
    assert params["bias"].std() == pytest.approx(0.01, rel=0.4)
    assert list(conv2d(1, bias=False).init(jax.random.key(0), (3, 3, 1))[0]) == ["weight"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units must be a positive multiple of groups, got 0 and 1"),
        ({"units": 3, "groups": 2}, "units must be a positive multiple of groups, got 3 and 2"),
        ({"units": 1, "groups": 0}, "units must be a positive multiple of groups, got 1 and 0"),
        ({"units": 1, "size": 0}, "window must be one or two numbers of at least 1, got 0"),
        ({"units": 1, "size": (3, 3, 3)}, "window must be one or two numbers"),
        ({"units": 1, "stride": (1, 0)}, "stride must be one or two numbers"),
        ({"units": 1, "dilation": 0}, "dilation must be one or two numbers"),
        ({"units": 1, "padding": "same"}, 'padding must be "SAME", "VALID"'),
        ({"units": 1, "padding": -1}, 'padding must be "SAME", "VALID"'),
        ({"units": 1, "padding": [[1, 2]]}, 'padding must be "SAME", "VALID"'),
        ({"units": 1, "padding": [[1, 2], [3]]}, 'padding must be "SAME", "VALID"'),
    ],
)
def test_refuses_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=f"conv2d: {message}"):
        conv2d(**arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5,), r"conv2d needs images, \(height, width, channels\), got \(5,\)"),
        ((5, 5), "needs images"),
        ((2, 5, 2), "the window covers 3 × 3, more than the input"),
        ((5, 5, 3), "2 groups do not divide 3 channels"),
    ],
)
def test_refuses_inputs_that_do_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        conv2d(2, 3, padding="VALID", groups=2).init(jax.random.key(0), shape)
