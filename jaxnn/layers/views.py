"""Several views of an image, of whose outputs a network's answer is the mean."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.layers.layer import Layer, Shape, check_is_layer


@remembered
def average_views(layer: Layer, *, mirror: bool = True, shift: int = 1) -> Layer:
    """Returns the same layer, but not in training its output is a mean over views of an image.

    y = Σᵥ wᵥ f(xᵥ): the image as it is has half the weight; moved by ``shift`` pixels, up and to
    the left or down and to the right, a quarter each, and what was outside is reflected. Of each,
    half is that of its mirror image. In training, y = f(x).

    Input (batch, height, width, channels), integers too. Everything else stays as it is:
    parameters, state, name, and what a walk finds.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks"; with these views and weights, Jordan 2024, https://arxiv.org/abs/2404.00498.

    Args:
        layer: any layer that takes images.
        mirror: whether there are mirror images.
        shift: in pixels; 0: images are not moved.

    Raises:
        TypeError: if it is no layer.
        ValueError: if ``shift`` is negative; from ``init``, if the input is no image, or not
            larger than ``shift``.
    """
    check_is_layer("average_views: argument 0", layer)
    if shift < 0:
        raise ValueError(f"average_views: shift must not be negative, got {shift}")

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        if len(in_shape) != 3 or min(in_shape[:2]) <= shift:
            raise ValueError(
                f"average_views needs images, (height, width, channels), of more than {shift} "
                f"pixels to a side, got {in_shape}"
            )
        return layer.init(key, in_shape)

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        if train:
            y, state, residuals = layer.forward(params, state, x, train=True, key=key)
            return y, state, (residuals, None)

        def of_view(view: tuple[Array, Array, Array]) -> Array:
            weight, rows, columns = view
            y, _, _ = layer.forward(params, state, x[:, rows][:, :, columns], key=key)
            return weight.astype(y.dtype) * y

        y = lax.map(of_view, _views(x.shape[1:], mirror, shift)).sum(0)
        return y, state, (None, (state, x, key))

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """Gradients of y = Σᵥ wᵥ f(xᵥ): dx = Σᵥ wᵥ Vᵀ (∂f/∂xᵥ)ᵀ dy.

        xᵥ = V x takes each of its pixels from one of x; Vᵀ adds it there again. Residuals of f are
        computed anew.
        """
        in_training, otherwise = residuals
        if otherwise is None:
            return layer.backward(params, in_training, dy)
        state, x, key = otherwise

        def of_view(view: tuple[Array, Array, Array]) -> tuple[Array | None, Tree]:
            weight, rows, columns = view
            seen = x[:, rows][:, :, columns]
            _, _, residuals = layer.forward(params, state, seen, key=key)
            dx, gradients = layer.backward(params, residuals, weight.astype(dy.dtype) * dy)
            if dx is not None:
                places = (slice(None), rows[:, None], columns[None])
                dx = jnp.zeros_like(dx).at[places].add(dx)
            return dx, gradients

        of_views = lax.map(of_view, _views(x.shape[1:], mirror, shift))
        summed: tuple[Array | None, Tree] = jax.tree.map(lambda part: part.sum(0), of_views)
        return summed

    return layer._replace(
        init=init,
        forward=forward,
        backward=backward,
        combine=None,
        inner=layer,
        wrap=functools.partial(average_views, mirror=mirror, shift=shift),
    )


def count_views(mirror: bool, shift: int) -> int:
    """Returns how many views there are of an image; see ``average_views``."""
    return (2 if mirror else 1) * (3 if shift else 1)


def _views(image: Shape, mirror: bool, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (views,), and from which row and column each pixel comes: (views, height), …."""

    def moved(size: int, by: int) -> np.ndarray:
        places = np.abs(np.arange(size) + by)
        return size - 1 - np.abs(size - 1 - places)

    moves = [(0.5, 0), (0.25, -shift), (0.25, shift)] if shift else [(1.0, 0)]
    found = []
    for weight, by in moves:
        rows, columns = (moved(size, by) for size in image[:2])
        if mirror:
            found += [(weight / 2, rows, columns), (weight / 2, rows, columns[::-1])]
        else:
            found.append((weight, rows, columns))
    weights, rows, columns = (np.stack(part) for part in zip(*found, strict=True))
    return weights, rows, columns
