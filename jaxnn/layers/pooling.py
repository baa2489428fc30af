"""Pooling: each window of an image becomes one number a channel."""

import jax.numpy as jnp
from jax import Array

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.layers.layer import Layer, Shape, stateless
from jaxnn.layers.windows import Padding, Size, Window, make_window, pad


@remembered
def max_pool(size: Size = 2, *, stride: Size | None = None, padding: Padding = "VALID") -> Layer:
    """Returns the largest number of each window, in each channel.

    Input (batch, height, width, channels), output (batch, out_height, out_width, channels).
    Padding never wins.

    Args:
        size: of the window: one number, or height and width.
        stride: from one window to the next; by default ``size``, so that none overlap.
        padding: "SAME", "VALID", a number, or [[top, bottom], [left, right]].

    Raises:
        ValueError: if an argument makes no sense; from ``init``, if the input is no image or
            smaller than the window.
    """
    window = _pool_window("max_pool", size, stride, padding)

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        image = x.shape[1:]
        padded = pad(x, window.pads(image), -jnp.inf)
        largest, *others = window.views(padded, window.out(image))
        place = jnp.zeros(largest.shape, jnp.uint8 if len(others) < 256 else jnp.int32)
        for i, other in enumerate(others, 1):
            place = jnp.where(other > largest, jnp.asarray(i, place.dtype), place)
            largest = jnp.maximum(largest, other)  # which, unlike the comparison, lets NaN through
        # An array of no examples remembers the shape, and as an array passes any transform.
        return largest, (place, x[:0])

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradient of yₒ = maxᵢ x[s o + i]: all of it goes to the place of the largest.

        With i*(o) the first place where window o has its maximum, ∂yₒ/∂x[n] = [n = s o + i*(o)],
        so that dx[n] = Σₒ dyₒ [n = s o + i*(o)]. Only that place, a byte, is kept.
        """
        place, empty = residuals
        image = empty.shape[1:]
        if window.stride == window.size and window.pads(image) == ((0, 0), (0, 0)):
            # No element is in two windows: seen as (batch, out_h, k_h, out_w, k_w, channels), dx is
            # elementwise, and fuses with what comes before it.
            (kh, kw), (oh, ow) = window.size, window.out(image)
            places = jnp.arange(kh * kw, dtype=place.dtype).reshape(1, 1, kh, 1, kw, 1)
            here = place[:, :, None, :, None] == places
            dx = jnp.where(here, dy[:, :, None, :, None], 0).reshape(-1, oh * kh, ow * kw, image[2])
            return pad(dx, ((0, image[0] - oh * kh), (0, image[1] - ow * kw))), ()
        count = window.size[0] * window.size[1]
        return window.unview([jnp.where(place == i, dy, 0) for i in range(count)], image), ()

    return stateless(_init("max_pool", window), forward, backward, "max_pool")


@remembered
def avg_pool(size: Size = 2, *, stride: Size | None = None, padding: Padding = "VALID") -> Layer:
    """Returns the mean of each window, in each channel; padding does not count.

    Input (batch, height, width, channels), output (batch, out_height, out_width, channels).

    Args:
        size: of the window: one number, or height and width.
        stride: from one window to the next; by default ``size``, so that none overlap.
        padding: "SAME", "VALID", a number, or [[top, bottom], [left, right]].

    Raises:
        ValueError: if an argument makes no sense; from ``init``, if the input is no image or
            smaller than the window.
    """
    window = _pool_window("avg_pool", size, stride, padding)

    def counts(image: Shape) -> Array:
        """How many elements of the image each window sees, (1, out_height, out_width, 1)."""
        ones = pad(jnp.ones((1, *image[:2], 1)), window.pads(image))
        return sum(window.views(ones, window.out(image)), jnp.zeros(()))

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        image = x.shape[1:]
        views = window.views(pad(x, window.pads(image)), window.out(image))
        total = sum(views[1:], views[0])
        # An array of no examples remembers the shape, and as an array passes any transform.
        return total / counts(image).astype(x.dtype), x[:0]

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradient of yₒ = Σᵢ x[s o + i] / cₒ, where window o sees cₒ elements of the image.

        ∂yₒ/∂x[n] = 1/cₒ if window o sees n, so that dx[n] = Σ dyₒ / cₒ over the windows that do.
        """
        image = residuals.shape[1:]
        share = dy / counts(image).astype(dy.dtype)
        return window.unview([share] * (window.size[0] * window.size[1]), image), ()

    return stateless(_init("avg_pool", window), forward, backward, "avg_pool")


@remembered
def global_avg_pool() -> Layer:
    """Returns the mean of each channel over the whole image, (batch, channels).

    Source: Lin et al. 2014, https://arxiv.org/abs/1312.4400.

    Raises:
        ValueError: from ``init``, if the input is no image.
    """

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        if len(in_shape) != 3:
            raise ValueError(
                f"global_avg_pool needs images, (height, width, channels), got {in_shape}"
            )
        return (), in_shape[2:]

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        return x.mean((1, 2)), x[:0]

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """dx = dy / (height · width) at each position, since y = Σ x / (height · width)."""
        height, width, _ = residuals.shape[1:]
        share = (dy / (height * width))[:, None, None]
        return jnp.broadcast_to(share, (len(dy), *residuals.shape[1:])), ()

    return stateless(init, forward, backward, "global_avg_pool")


def _pool_window(name: str, size: Size, stride: Size | None, padding: Padding) -> Window:
    window = make_window(name, size, size if stride is None else stride, padding)
    if not isinstance(window.padding, str) and any(
        max(pads) >= size for pads, size in zip(window.padding, window.size, strict=True)
    ):
        raise ValueError(f"{name}: padding {padding} leaves windows of {size} that see nothing")
    return window


def _init(name: str, window: Window):  # type: ignore[no-untyped-def]
    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        return (), (*window.checked_out(name, in_shape), in_shape[2])

    return init
