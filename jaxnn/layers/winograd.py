"""The three products of a 3 × 3 convolution by Winograd's minimal filtering.

F(m, 3): m outputs of a convolution with three weights, y = Aᵀ [(G w) ⊙ (Bᵀ x)], take m + 2 products
instead of 3 m; over channels and examples, these are products of matrices. Along the height only
(strips of rows), half the multiplications of the direct algorithm are left, in matrices that are as
large as they have to be to be fast. Along both axes (tiles) it is a quarter, in more, narrower
products and with larger transforms, which pays where there are many channels.

Source and notation: Lavin & Gray 2016, https://arxiv.org/abs/1509.09308.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.layers.blocks import images, map_blocks, sum_blocks
from jaxnn.layers.layer import Shape
from jaxnn.layers.windows import Pair, Window, pad


def suits(weight_shape: Shape, x_shape: Shape, window: Window) -> bool:
    """Whether the kernel is 3 × 3, moves by one, and sees all of some channels."""
    plain = window.size == (3, 3) and window.stride == window.dilation == (1, 1)
    return plain and weight_shape[2] == x_shape[3] >= 8


def _matrices(points: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns Bᵀ, G and A of F(m, 3), from the m + 1 points where polynomials are evaluated.

    The last rows are those of infinity.
    """
    others = [np.delete(points, i) for i in range(len(points))]
    m = len(points) - 1
    b = [np.append(np.poly(other)[::-1], 0) for other in others]
    g = [p ** np.arange(3) / np.prod(p - other) for p, other in zip(points, others, strict=True)]
    a = [p ** np.arange(m) for p in points]
    return (
        np.stack([*b, np.poly(points)[::-1]]),
        np.stack([*g, np.eye(3)[-1]]),
        np.stack([*a, np.eye(m)[-1]]),
    )


# Along the height.

_ROWS = 4
_B, _G, _A = _matrices((0.0, 1.0, -1.0, 2.0, -2.0))


def forward_strips(x: Array, weight: Array, window: Window) -> Array:
    """Y = Aᵀ [(G W) (Bᵀ X)] for strips of four rows, from six rows each."""
    (rows, width), channels, units = window.out(x.shape[1:]), x.shape[3], weight.shape[3]
    kernels = jnp.einsum("ti,ijcu->tjcu", jnp.asarray(_G, weight.dtype), weight)

    def product(x: Array) -> Array:
        transformed, strips = _transformed_strips(x, window)
        # The column j of the kernel meets the image's columns from j on. The three are laid side by
        # side where that is the smaller matrix: in X, or in the product.
        if channels < units:
            z = _three_columns(transformed, width) @ kernels.reshape(6, 3 * channels, units)
            columns = list(z.reshape(6, len(x), strips, width, units))
        else:
            z = transformed.reshape(6, -1, channels) @ kernels.swapaxes(1, 2).reshape(
                6, channels, 3 * units
            )
            z = z.reshape(6, len(x), strips, -1, 3, units)
            columns = [
                z[t, :, :, :width, 0] + z[t, :, :, 1 : 1 + width, 1] + z[t, :, :, 2 : 2 + width, 2]
                for t in range(6)
            ]
        y = _combinations(_A.T, columns, 2)
        return y.reshape(len(x), -1, width, units)[:, :rows]

    return map_blocks(product, (x,), images((rows, width)))


def input_gradient_strips(dy: Array, weight: Array, x_shape: Shape, window: Window) -> Array:
    """Returns the forward product, of dy and the turned kernel."""
    return forward_strips(*_turned(dy, weight, x_shape, window))


def weight_gradient_strips(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    """dW = Gᵀ [(Bᵀ X)ᵀ (A dY)], the adjoint of the forward product with respect to W."""
    (_, _, channels, units), (rows, width) = weight_shape, dy.shape[1:3]

    def product(x: Array, dy: Array) -> Array:
        transformed, strips = _transformed_strips(x, window)
        dy = pad(dy, ((0, strips * _ROWS - rows), (0, 0)))
        dz = _transformed(_A, dy, 1, strips, _ROWS)
        return jnp.einsum(
            "tpc,tpu->tcu", _three_columns(transformed, width), dz.reshape(6, -1, units)
        )

    d_kernels = sum_blocks(product, (x, dy), images((rows, width)))
    d_kernels = d_kernels.reshape(6, 3, channels, units)
    return jnp.einsum("ti,tjcu->ijcu", jnp.asarray(_G, x.dtype), d_kernels)


def _transformed_strips(x: Array, window: Window) -> tuple[Array, int]:
    """Bᵀ X, (6, batch, strips, padded width, channels), and the number of strips."""
    image = x.shape[1:]
    (top, bottom), sides = window.pads(image)
    rows = window.out(image)[0]
    strips = -(-rows // _ROWS)
    x = pad(x, ((top, bottom + strips * _ROWS - rows), sides))
    return _transformed(_B, x, 1, strips, _ROWS), strips


def _three_columns(transformed: Array, width: int) -> Array:
    """Returns what three neighbouring columns hold, (6, batch · strips · width, 3 channels)."""
    views = [transformed[..., j : j + width, :] for j in range(3)]
    return jnp.concatenate(views, -1).reshape(6, -1, 3 * transformed.shape[-1])


# Along both axes.
#
# The points' numerators and denominators are small: float32 loses little. With 256 channels the
# error of F(4 × 4) is 1.4e-6 in norm, with 0, ±1 and ±2 it is 2.8e-6, by the direct sum 3e-7.

_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)


class _Tiles(NamedTuple):
    """An output cut into m × m tiles, the last ones of which reach beyond it.

    Attributes:
        m: rows and columns of a tile.
        grid: how many tiles there are in height and width.
        pads: (top, bottom) and (left, right) around the input of them all.
        beyond: rows and columns that the tiles have more than the output.
        b: Bᵀ, as g and a of F(m, 3).
        g: G.
        a: A.
    """

    m: int
    grid: Pair
    pads: tuple[Pair, Pair]
    beyond: Pair
    b: np.ndarray
    g: np.ndarray
    a: np.ndarray

    def block(self, channels: int, units: int) -> int:
        """How many images there are in a block.

        Of transformed numbers, they have twice as many as the kernels: fewer, and the kernels come
        from memory too often; more, and the images no longer stay in the cache.
        """
        tiles = 2 * channels * units // (channels + units)
        return max(1, tiles // math.prod(self.grid))

    def transformed_kernels(self, weight: Array) -> Array:
        """G W Gᵀ, ((m + 2)², channels, units)."""
        kernels = jnp.asarray(self._kernels(), weight.dtype) @ weight.reshape(9, -1)
        return kernels.reshape(-1, *weight.shape[2:])

    def kernel_gradient(self, d_kernels: Array) -> Array:
        """Its adjoint, (3, 3, channels, units)."""
        gradient = jnp.asarray(self._kernels().T, d_kernels.dtype) @ d_kernels.reshape(
            (self.m + 2) ** 2, -1
        )
        return gradient.reshape(3, 3, *d_kernels.shape[1:])

    def transformed_inputs(self, x: Array) -> Array:
        """Bᵀ X B, ((m + 2)², batch · tiles, channels)."""
        return self._both(self.b, pad(x, self.pads))

    def transformed_outputs(self, dy: Array) -> Array:
        """A dY Aᵀ, ((m + 2)², batch · tiles, units)."""
        (down, right) = self.beyond
        return self._both(self.a, pad(dy, ((0, down), (0, right))))

    def outputs(self, z: Array) -> Array:
        """Aᵀ Z A, (batch, height, width, units)."""
        n, (down, across), m = self.m + 2, self.grid, self.m
        z = z.reshape(n, n, -1, down, across, z.shape[-1])
        lines = _combinations(self.a.T, list(z), 4).reshape(n, -1, down, across * m, z.shape[-1])
        y = _combinations(self.a.T, list(lines), 2)
        y = y.reshape(-1, down * m, across * m, z.shape[-1])
        return y[:, : down * m - self.beyond[0], : across * m - self.beyond[1]]

    def _both(self, matrix: np.ndarray, x: Array) -> Array:
        """Along the height, then along the width, whose axis comes to be the first."""
        lines = _transformed(matrix, x, 1, self.grid[0], self.m)
        tiles = _transformed(matrix, lines, 3, self.grid[1], self.m)
        return tiles.reshape(len(matrix) ** 2, -1, x.shape[-1])

    def _kernels(self) -> np.ndarray:
        return np.einsum("bj,ai->baij", self.g, self.g).reshape(-1, 9)


def _tiles(image: Shape, window: Window) -> _Tiles:
    """Returns the tiles of the output for images, the m of 3 and 4 with fewer multiplications."""
    out, ((top, bottom), (left, right)) = window.out(image), window.pads(image)

    def grid(m: int) -> Pair:
        return -(-out[0] // m), -(-out[1] // m)

    m = min((4, 3), key=lambda m: (m + 2) ** 2 * math.prod(grid(m)))
    down, across = (m * count - size for count, size in zip(grid(m), out, strict=True))
    pads = ((top, bottom + down), (left, right + across))
    return _Tiles(m, grid(m), pads, (down, across), *_matrices(_POINTS[: m + 1]))


def forward_tiles(x: Array, weight: Array, window: Window) -> Array:
    """Y = Aᵀ [(G W Gᵀ) (Bᵀ X B)] A for tiles of m × m, from (m + 2) × (m + 2) each."""
    tiles = _tiles(x.shape[1:], window)
    kernels = tiles.transformed_kernels(weight)

    def product(x: Array) -> Array:
        return tiles.outputs(tiles.transformed_inputs(x) @ kernels)

    return map_blocks(product, (x,), tiles.block(*weight.shape[2:]))


def input_gradient_tiles(dy: Array, weight: Array, x_shape: Shape, window: Window) -> Array:
    """Returns the forward product, of dy and the turned kernel."""
    return forward_tiles(*_turned(dy, weight, x_shape, window))


def weight_gradient_tiles(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    """dW = Gᵀ [(Bᵀ X B)ᵀ (A dY Aᵀ)] G, the adjoint of the forward product with respect to W."""
    tiles = _tiles(x.shape[1:], window)

    def product(x: Array, dy: Array) -> Array:
        return tiles.transformed_inputs(x).swapaxes(1, 2) @ tiles.transformed_outputs(dy)

    # One image a block would be added up too often: for 31 × 31 pixels, 24 to 64 channels, at 33
    # GFLOP/s in place of 56.
    block = max(2, tiles.block(*weight_shape[2:]))
    return tiles.kernel_gradient(sum_blocks(product, (x, dy), block))


# What both have in common.


def _turned(
    dy: Array, weight: Array, x_shape: Shape, window: Window
) -> tuple[Array, Array, Window]:
    """Returns what the forward product makes dx of: dy, the turned kernel, and its window."""
    (top, bottom), (left, right) = window.pads(x_shape[1:])
    around = window._replace(padding=((2 - top, 2 - bottom), (2 - left, 2 - right)))
    return dy, weight[::-1, ::-1].swapaxes(2, 3), around


def _transformed(matrix: np.ndarray, x: Array, axis: int, count: int, step: int) -> Array:
    """Returns the matrix times each piece of an axis, a new first axis and one of the pieces.

    The pieces begin ``step`` after each other and are as long as the matrix is wide.
    """
    lines = [
        lax.slice_in_dim(x, i, i + (count - 1) * step + 1, step, axis)
        for i in range(matrix.shape[1])
    ]
    return _combinations(matrix, lines, 0)


def _combinations(matrix: np.ndarray, arrays: list[Array], axis: int) -> Array:
    """Returns the matrix times the vector of the arrays, an axis of the result."""
    return jnp.stack([_combination(row, arrays) for row in matrix], axis)


def _combination(coefficients: np.ndarray, arrays: list[Array]) -> Array:
    """Σᵢ cᵢ aᵢ, written out: nothing for 0, no product for 1."""
    terms = [
        a if c == 1 else -a if c == -1 else float(c) * a
        for c, a in zip(coefficients, arrays, strict=True)
        if c
    ]
    return sum(terms[1:], terms[0])


Products: TypeAlias = tuple[Callable[..., Array], Callable[..., Array], Callable[..., Array]]

STRIPS: Products = forward_strips, input_gradient_strips, weight_gradient_strips
TILES: Products = forward_tiles, input_gradient_tiles, weight_gradient_tiles
