"""Whitening: an image's first convolution, which is not learnt but taken from the data."""

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.collectives import batch_mean
from jaxnn.layers.convolution import convolve, input_gradient
from jaxnn.layers.layer import Layer, Shape
from jaxnn.layers.windows import Window, make_window


@remembered
def whiten(size: int = 2, *, eps: float = 5e-4, bias: bool = True) -> Layer:
    """Returns a convolution with the filters that whiten the data's patches, and their negatives.

    y = [P, -P] + b with P = x ⋆ W, whose channels have mean square 1 and are uncorrelated. Of a
    patch p, a row of k = size² channels numbers, let E[pᵀp] = V diag(λ) Vᵀ; then W = V diag(λ +
    ε)^(-1/2), the largest eigenvalue first. ``state`` is ``{"weight": [W, -W], "fitted": …}``, the
    weight (size, size, channels, 2 k). It is computed of the first batch that is trained with, and
    stays; before that, W is the unit matrix. ``params`` is ``{"bias": (2 k,)}``, zero to begin
    with.

    Input (batch, height, width, channels), with mean 0; output (batch, height - size + 1, width -
    size + 1, 2 k).

    Source: Coates & Ng 2012, "Learning Feature Representations with K-means"; with negatives, and
    as a first layer, Jordan 2024, https://arxiv.org/abs/2404.00498.

    Args:
        size: of a patch, height and width.
        eps: ε, above 0: what there is hardly any of is not enlarged at will.
        bias: whether there is a b.

    Raises:
        ValueError: if ``eps`` is not positive; from ``init``, if the input is no image or smaller
            than a patch.
    """
    if not eps > 0:
        raise ValueError(f"whiten: eps must be above 0, got {eps}")
    window = make_window("whiten", size, 1, "VALID")

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        out = window.checked_out("whiten", in_shape)
        count = size * size * in_shape[2]
        weight = _with_negatives(jnp.eye(count, dtype=jnp.result_type(float)), window)
        params = {"bias": jnp.zeros(2 * count)} if bias else {}
        return params, {"weight": weight, "fitted": jnp.zeros((), jnp.int32)}, (*out, 2 * count)

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        weight = state["weight"]
        if train:
            weight = lax.cond(
                state["fitted"] > 0, lambda: weight, lambda: _filters(x, window, eps, weight.dtype)
            )
            state = {"weight": weight, "fitted": jnp.ones_like(state["fitted"])}
        weight = weight.astype(x.dtype)
        y = convolve(x, weight, window)
        if bias:
            y = y + params["bias"]
        # An array of no examples remembers the shape, and as an array passes any transform.
        return y, state, (x[:0], weight)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """dx as in ``conv2d``, and dbᵤ = Σₙₒ dyₙₒᵤ, (2 k,).

        W is a constant, in the first batch too, of which it is computed.
        """
        empty, weight = residuals
        dx = input_gradient(dy, weight, (len(dy), *empty.shape[1:]), window)
        return dx, {"bias": dy.sum((0, 1, 2))} if bias else {}

    return Layer(init, forward, backward, "whiten")


def _filters(x: Array, window: Window, eps: float, dtype: jnp.dtype) -> Array:
    """The weight, from the patches of images; over all devices."""
    views = window.views(x.astype(dtype), window.out(x.shape[1:]))
    patches = jnp.concatenate(views, -1).reshape(-1, len(views) * x.shape[3])
    moments = batch_mean(patches.T @ patches / len(patches))
    eigenvalues, vectors = jnp.linalg.eigh(moments)
    # Rounding may make the smallest a little less than zero.
    scaled = vectors / jnp.sqrt(jnp.maximum(eigenvalues, 0) + eps)
    return _with_negatives(scaled[:, ::-1], window)


def _with_negatives(filters: Array, window: Window) -> Array:
    """[W, -W] as a convolution's weight, from W (k, k)."""
    return jnp.concatenate([filters, -filters], 1).reshape(*window.size, -1, 2 * len(filters))
