"""Windows that slide over images: what convolution and pooling have in common."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.layers.layer import Shape

Pair: TypeAlias = tuple[int, int]

Size: TypeAlias = int | Sequence[int]
"""Of height and width: one number for both, or two."""

Padding: TypeAlias = Literal["SAME", "VALID"] | int | Sequence[Sequence[int]]
"""Rows and columns of padding around an image.

"VALID" is none. "SAME" is as much as makes the output ⌈size / stride⌉ large, evenly on both sides,
the odd one at the end. A number is that many on each side; else [[top, bottom], [left, right]].
"""


class Window(NamedTuple):
    """A window and the way it moves over an image, both axes of which are alike.

    Position o of the output sees the positions s·o + d·i - p of the input, i from 0 to k - 1:
    window k, stride s, dilation d, padding p before the image.
    """

    size: Pair
    stride: Pair
    dilation: Pair
    padding: Literal["SAME", "VALID"] | tuple[Pair, Pair]

    @property
    def extent(self) -> Pair:
        """Rows and columns from the first to the last one that the window sees: (k - 1) d + 1."""
        (kh, kw), (dh, dw) = self.size, self.dilation
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1

    def pads(self, image: Shape) -> tuple[Pair, Pair]:
        """((top, bottom), (left, right)) for an image of (height, width, ...)."""
        if not isinstance(self.padding, str):
            return self.padding
        found = []
        for size, extent, stride in zip(image[:2], self.extent, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            found.append((total // 2, total - total // 2) if self.padding == "SAME" else (0, 0))
        return found[0], found[1]

    def out(self, image: Shape) -> Pair:
        """How many positions the window has in an image of (height, width, ...)."""
        found = [
            (size + sum(pads) - extent) // stride + 1
            for size, pads, extent, stride in zip(
                image[:2], self.pads(image), self.extent, self.stride, strict=True
            )
        ]
        return found[0], found[1]

    def checked_out(self, name: str, in_shape: Shape) -> Pair:
        """The same, for a layer's ``init``.

        Raises:
            ValueError: if the input is not an image, or the window larger than it.
        """
        if len(in_shape) != 3:
            raise ValueError(f"{name} needs images, (height, width, channels), got {in_shape}")
        out = self.out(in_shape)
        if min(out) < 1:
            raise ValueError(
                f"{name}: the window covers {self.extent[0]} × {self.extent[1]}, more than the "
                f"input of shape {in_shape} and its padding"
            )
        return out

    def views(self, x: Array, out: Pair) -> list[Array]:
        """What each place of the window sees, k_h k_w arrays (batch, *out, channels).

        Args:
            x: padded images, (batch, height, width, channels).
            out: the number of positions.
        """
        return [
            lax.slice(
                x,
                (0, i, j, 0),
                (
                    len(x),
                    i + (out[0] - 1) * self.stride[0] + 1,
                    j + (out[1] - 1) * self.stride[1] + 1,
                    x.shape[3],
                ),
                (1, *self.stride, 1),
            )
            for i, j in self._places()
        ]

    def unview(self, views: Iterable[Array], image: Shape) -> Array:
        """The adjoint of padding and ``views``: each number is added to where it was seen.

        Args:
            views: k_h k_w arrays (batch, *out, channels).
            image: (height, width, ...) without padding.

        Returns:
            (batch, height, width, channels).
        """
        (top, _), (left, _) = self.pads(image)
        total: Array | None = None
        for (i, j), view in zip(self._places(), views, strict=True):
            before = (i - top, j - left)
            margins = [
                (start, size - start - (count - 1) * stride - 1, stride - 1)
                for start, size, count, stride in zip(
                    before, image[:2], view.shape[1:3], self.stride, strict=True
                )
            ]
            spread = lax.pad(view, jnp.zeros((), view.dtype), [(0, 0, 0), *margins, (0, 0, 0)])
            total = spread if total is None else total + spread
        assert total is not None
        return total

    def _places(self) -> list[Pair]:
        (kh, kw), (dh, dw) = self.size, self.dilation
        return [(i * dh, j * dw) for i in range(kh) for j in range(kw)]


def make_window(
    name: str, size: Size, stride: Size, padding: Padding, dilation: Size = 1
) -> Window:
    """Validates a layer's arguments.

    Raises:
        ValueError: if one makes no sense; the message begins with ``name``.
    """
    return Window(
        _pair(name, "window", size),
        _pair(name, "stride", stride),
        _pair(name, "dilation", dilation),
        _padding(name, padding),
    )


def pad(x: Array, pads: tuple[Pair, Pair], value: float = 0.0) -> Array:
    """Returns images (batch, height, width, channels) with a margin of one value, if any."""
    if pads == ((0, 0), (0, 0)):
        return x
    margins = [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)]
    return lax.pad(x, jnp.asarray(value, x.dtype), margins)


def _pair(name: str, what: str, value: Size) -> Pair:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name}: {what} must be one or two numbers of at least 1, got {value}")
    return pair[0], pair[1]


def _padding(name: str, padding: Padding) -> Literal["SAME", "VALID"] | tuple[Pair, Pair]:
    if padding == "SAME" or padding == "VALID":
        return padding
    message = (
        f'{name}: padding must be "SAME", "VALID", a number of at least 0, or '
        f"[[top, bottom], [left, right]], got {padding!r}"
    )
    if isinstance(padding, str):
        raise ValueError(message)
    if isinstance(padding, int):
        padding = ((padding, padding), (padding, padding))
    pairs = [tuple(side) for side in padding]
    if [len(side) for side in pairs] != [2, 2] or min(map(min, pairs)) < 0:
        raise ValueError(message)
    (top, bottom), (left, right) = pairs
    return (top, bottom), (left, right)
