"""Two-dimensional convolution, its three products written for the platform they run on.

XLA's convolution is what a GPU wants (cuDNN). On a CPU it is slow, and inside a loop some ten times
slower still. There, a few images at a time, which stay in the cache, become matrix products: of
gathered patches, or for 3 × 3 kernels of Winograd's transformed ones, which take fewer
multiplications (Lavin & Gray 2016, https://arxiv.org/abs/1509.09308). Where there are few channels,
the sum is written out. ``experiments/benchmark.py conv`` measures whole training steps with them,
``products`` each by itself.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.initializers import Initializer, he, zeros
from jaxnn.layers import winograd
from jaxnn.layers.blocks import images, map_blocks, sum_blocks
from jaxnn.layers.layer import Layer, Shape, stateless
from jaxnn.layers.windows import Padding, Size, Window, make_window, pad


@remembered
def conv2d(
    units: int,
    size: Size = 3,
    stride: Size = 1,
    padding: Padding = "SAME",
    *,
    dilation: Size = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer = he,
    bias_init: Initializer = zeros,
) -> Layer:
    """Returns a convolution (without flipping the kernel, as is the custom) of images.

    ``params`` is ``{"weight": (k_h, k_w, channels / groups, units), "bias": (units,)}``; input
    (batch, height, width, channels), output (batch, out_height, out_width, units).

    Args:
        units: the number of output channels, at least 1, a multiple of ``groups``.
        size: of the kernel: one number, or height and width.
        stride: from one position of the kernel to the next.
        padding: of the image with zeros: "SAME" (the output is as large as the input, divided by
            the stride and rounded up), "VALID" (none), a number for each side, or
            [[top, bottom], [left, right]].
        dilation: from one element of the kernel to the next.
        groups: how many groups the channels fall into, each of which is convolved by itself; as
            many as there are channels make the convolution depthwise.
        bias: whether there is a b.
        weight_init: draws W.
        bias_init: draws b.

    Raises:
        ValueError: if an argument makes no sense; from ``init``, if the input is no image, is
            smaller than the kernel or has a number of channels that ``groups`` does not divide.
    """
    if units < 1 or groups < 1 or units % groups:
        raise ValueError(
            f"conv2d: units must be a positive multiple of groups, got {units} and {groups}"
        )
    window = make_window("conv2d", size, stride, padding, dilation)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        out = window.checked_out("conv2d", in_shape)
        if in_shape[2] % groups:
            raise ValueError(f"conv2d: {groups} groups do not divide {in_shape[2]} channels")
        weight_key, bias_key = jax.random.split(key)
        shape = (*window.size, in_shape[2] // groups, units)
        params = {"weight": weight_init(weight_key, shape)}
        if bias:
            params["bias"] = bias_init(bias_key, (units,))
        return params, (*out, units)

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        y = convolve(x, params["weight"], window)
        if bias:
            y = y + params["bias"]
        return y, x

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradients of y = x ⋆ W + b.

        With o a position of the output, i one of the kernel, s the stride, d the dilation and p
        the padding, c and u channels (of one group), n the example, and x zero outside the image::

            yₙₒᵤ = Σᵢ꜀ xₙ[s o + d i - p]꜀ Wᵢ꜀ᵤ + bᵤ

            dxₙₘ꜀ = Σᵤ Σₒᵢ dyₙₒᵤ Wᵢ꜀ᵤ [s o + d i - p = m]     (n, height, width, channels)
            dWᵢ꜀ᵤ = Σₙₒ xₙ[s o + d i - p]꜀ dyₙₒᵤ              (k_h, k_w, channels / groups, units)
            dbᵤ   = Σₙₒ dyₙₒᵤ                                  (units,)

        dx is again a convolution, of dy with s - 1 zeros between its elements and the kernel
        turned by 180°, in which input and output channels change places; dW is one of x with dy
        as the kernel, in which the examples are what is summed over.

        Source: Dumoulin & Visin 2016, https://arxiv.org/abs/1603.07285.
        """
        x, weight = residuals, params["weight"]
        gradients = {"weight": weight_gradient(x, dy, weight.shape, window)}
        if bias:
            gradients["bias"] = dy.sum((0, 1, 2))
        return input_gradient(dy, weight, x.shape, window), gradients

    return stateless(init, forward, backward, "conv2d")


# The three products, each by the algorithm that its platform and its shape call for.


def convolve(x: Array, weight: Array, window: Window) -> Array:
    """x ⋆ W, (batch, out_height, out_width, units)."""
    on_cpu, _, _ = _on_cpu(weight.shape, x.shape, window)
    return _choose(on_cpu, _forward_lax, window, x, weight)


def input_gradient(dy: Array, weight: Array, x_shape: Shape, window: Window) -> Array:
    """dx, of the shape of x."""
    _, product, _ = _on_cpu(weight.shape, x_shape, window)

    def on_cpu(dy: Array, weight: Array, window: Window) -> Array:
        return product(dy, weight, x_shape, window)

    def by_default(dy: Array, weight: Array, window: Window) -> Array:
        return _input_gradient_lax(dy, weight, x_shape, window)

    return _choose(on_cpu, by_default, window, dy, weight)


def weight_gradient(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    """dW, of the shape of W."""
    _, _, product = _on_cpu(weight_shape, x.shape, window)

    def on_cpu(x: Array, dy: Array, window: Window) -> Array:
        return product(x, dy, weight_shape, window)

    def by_default(x: Array, dy: Array, window: Window) -> Array:
        return _weight_gradient_lax(x, dy, weight_shape, window)

    return _choose(on_cpu, by_default, window, x, dy)


# From how many channels and units on Winograd's tiles beat its strips. Forward, dx and dW in
# GFLOP/s of one core (of its CPU time, batch 128, best of five, with 24 channels the median of
# eight; the machine was busy):
#
#                             strips            tiles          PyTorch
#   32 × 32,  16 →  16    39   30   32     22   16   26     60   50   57
#   31 × 31,  24 →  64    46   57   43     58   63   56     63   77   39
#   16 × 16,  32 →  64    65   78   51    109  127   94     77   79   54
#   15 × 15,  64 →  64    87   85   46    136  133  112     94   93   54
#    8 ×  8,  64 → 128    79   76   69    137  111  127     86   87   57
#    7 ×  7, 256 → 256    56   48   51    100  102   69     90   90   43
#    3 ×  3, 256 → 256    51   48   66    112  111  120     83   85   41
_MANY = 24


def _on_cpu(
    weight_shape: Shape, x_shape: Shape, window: Window
) -> tuple[Callable[..., Array], Callable[..., Array], Callable[..., Array]]:
    """Returns the algorithms of the three products."""
    if _suits_direct(weight_shape, x_shape):
        return _forward_direct, _input_gradient_patches, _weight_gradient_direct
    if winograd.suits(weight_shape, x_shape, window):
        return winograd.TILES if min(weight_shape[2:]) >= _MANY else winograd.STRIPS
    return _forward_patches, _input_gradient_patches, _weight_gradient_patches


def _choose(
    on_cpu: Callable[..., Array],
    by_default: Callable[..., Array],
    window: Window,
    *arrays: Array,
) -> Array:
    def widened(*arrays: Array) -> Array:
        wide = jnp.promote_types(arrays[0].dtype, jnp.float32)
        return on_cpu(*(a.astype(wide) for a in arrays), window).astype(arrays[0].dtype)

    return lax.platform_dependent(
        *arrays, cpu=widened, default=lambda *arrays: by_default(*arrays, window)
    )


# By XLA's convolution.

_IMAGES = ("NHWC", "HWIO", "NHWC")


def _forward_lax(x: Array, weight: Array, window: Window) -> Array:
    return lax.conv_general_dilated(
        x,
        weight,
        window.stride,
        window.pads(x.shape[1:]),
        rhs_dilation=window.dilation,
        dimension_numbers=_IMAGES,
        feature_group_count=x.shape[3] // weight.shape[2],
    )


def _input_gradient_lax(dy: Array, weight: Array, x_shape: Shape, window: Window) -> Array:
    kh, kw, channels, units = weight.shape
    groups = x_shape[3] // channels
    turned = weight[::-1, ::-1].reshape(kh, kw, channels, groups, units // groups)
    turned = turned.transpose(0, 1, 4, 3, 2).reshape(kh, kw, units // groups, groups * channels)
    pads = []
    for size, extent, stride, count, (before, _) in zip(
        x_shape[1:3],
        window.extent,
        window.stride,
        dy.shape[1:3],
        window.pads(x_shape[1:]),
        strict=True,
    ):
        pads.append((extent - 1 - before, size + before - (count - 1) * stride - 1))
    return lax.conv_general_dilated(
        dy,
        turned,
        (1, 1),
        pads,
        lhs_dilation=window.stride,
        rhs_dilation=window.dilation,
        dimension_numbers=_IMAGES,
        feature_group_count=groups,
    )


def _weight_gradient_lax(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    pads = []
    for size, extent, stride, count, (before, _) in zip(
        x.shape[1:3],
        window.extent,
        window.stride,
        dy.shape[1:3],
        window.pads(x.shape[1:]),
        strict=True,
    ):
        pads.append((before, (count - 1) * stride + extent - size - before))
    return lax.conv_general_dilated(
        x,
        dy,
        window.dilation,
        pads,
        rhs_dilation=window.stride,
        dimension_numbers=("CHWN", "IHWO", "HWNC"),
        batch_group_count=x.shape[3] // weight_shape[2],
    )


# By matrix products of patches, a block of images at a time.


def _forward_patches(x: Array, weight: Array, window: Window) -> Array:
    """y = P W: the patches' matrix P has a row for each position of the kernel in an image."""

    def product(x: Array, weight: Array) -> Array:
        y = _patches(x, window) @ weight.reshape(-1, weight.shape[3])
        return y.reshape(len(x), *out, -1)

    out = window.out(x.shape[1:])
    each = _each_group(product, x.shape[3] // weight.shape[2])
    return map_blocks(lambda x: each(x, weight), (x,), images(out))


def _input_gradient_patches(dy: Array, weight: Array, x_shape: Shape, window: Window) -> Array:
    """dP = dy Wᵀ, and each element of a patch is added to where it was taken from."""

    def product(dy: Array, weight: Array) -> Array:
        patches = dy.reshape(-1, dy.shape[3]) @ weight.reshape(-1, dy.shape[3]).T
        places = patches.reshape(*dy.shape[:3], math.prod(window.size), -1)
        return window.unview([places[:, :, :, i] for i in range(places.shape[3])], x_shape[1:])

    each = _each_group(product, x_shape[3] // weight.shape[2])
    return map_blocks(lambda dy: each(dy, weight), (dy,), images(window.out(x_shape[1:])))


def _weight_gradient_patches(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    """dW = Pᵀ dy, summed over the blocks."""

    def product(x: Array, dy: Array) -> Array:
        d_weight = _patches(x, window).T @ dy.reshape(-1, dy.shape[3])
        return d_weight.reshape(*weight_shape[:3], -1)

    each = _each_group(product, x.shape[3] // weight_shape[2])
    return sum_blocks(each, (x, dy), images(window.out(x.shape[1:])))


def _patches(x: Array, window: Window) -> Array:
    """(batch · out_height · out_width, k_h k_w channels)."""
    image = x.shape[1:]
    patches = jnp.concatenate(window.views(pad(x, window.pads(image)), window.out(image)), -1)
    return patches.reshape(-1, patches.shape[-1])


def _each_group(product: Callable[..., Array], groups: int) -> Callable[..., Array]:
    """Returns the same product in each group of the last axis (and of a weight's units)."""
    if groups == 1:
        return product

    def grouped(*arrays: Array) -> Array:
        parts = [a.reshape(*a.shape[:-1], groups, -1) for a in arrays]
        y = jax.vmap(product, in_axes=-2, out_axes=-2)(*parts)
        return y.reshape(*y.shape[:-2], -1)

    return grouped


# Directly, where there are few channels: in an image's first convolution.
#
# Short pieces of one to four numbers make patches slow to gather. The terms of y written out become
# one loop without any intermediate array, vectorized over the units: 3 to 14 times faster than by
# patches for 3 × 3 kernels, 3 to 4 times for 5 × 5 and 7 × 7.

_CHANNELS, _TERMS = 4, 150


def _suits_direct(weight_shape: Shape, x_shape: Shape) -> bool:
    few = weight_shape[2] <= _CHANNELS and math.prod(weight_shape[:3]) <= _TERMS
    return few and weight_shape[2] == x_shape[3]


def _forward_direct(x: Array, weight: Array, window: Window) -> Array:
    """y = Σᵢ꜀ xᵢ꜀ Wᵢ꜀, a sum for each row of the kernel: short chains of additions overlap."""
    image = x.shape[1:]
    weight = weight.reshape(-1, *weight.shape[2:])

    def product(x: Array) -> Array:
        views = window.views(pad(x, window.pads(image)), window.out(image))
        terms = [
            view[..., c : c + 1] * w[c]
            for view, w in zip(views, weight, strict=True)
            for c in range(x.shape[3])
        ]
        row = len(terms) // window.size[0]
        return _sum([_sum(terms[start : start + row]) for start in range(0, len(terms), row)])

    # In one piece, XLA would compute it again inside whatever uses it, such as a pool's gradient.
    return map_blocks(product, (x,), images(window.out(image)))


def _weight_gradient_direct(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    """dW = Pᵀ dy, where Pᵀ is what is laid out: its rows are whole images, one behind another."""

    def product(x: Array, dy: Array) -> Array:
        planes = x.transpose(3, 0, 1, 2).reshape(-1, *x.shape[1:3], 1)
        planes = pad(planes, window.pads(x.shape[1:]))
        patches = jnp.stack(window.views(planes, (dy.shape[1], dy.shape[2])))
        return patches.reshape(math.prod(weight_shape[:3]), -1) @ dy.reshape(-1, dy.shape[3])

    d_weight = sum_blocks(product, (x, dy), images(window.out(x.shape[1:])))
    return d_weight.reshape(weight_shape)


def _sum(arrays: list[Array]) -> Array:
    return sum(arrays[1:], arrays[0])
