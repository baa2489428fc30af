"""The fully connected layer."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.initializers import Initializer, he, zeros
from jaxnn.layers.layer import Layer, Shape, stateless


@remembered
def dense(
    units: int,
    *,
    bias: bool = True,
    weight_init: Initializer = he,
    bias_init: Initializer = zeros,
) -> Layer:
    """Returns a fully connected layer, y = x W + b, over the last axis of x.

    ``params`` is ``{"weight": (features, units), "bias": (units,)}``; input
    (batch, ..., features), output (batch, ..., units).

    Args:
        units: the number of outputs, at least 1.
        bias: whether there is a b.
        weight_init: draws W.
        bias_init: draws b.

    Raises:
        ValueError: if ``units`` is not positive; from ``init``, if the input has no feature axis.
    """
    if units < 1:
        raise ValueError(f"dense: units must be at least 1, got {units}")

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        if not in_shape:
            raise ValueError("dense needs an input with at least one axis, got a single number")
        weight_key, bias_key = jax.random.split(key)
        params = {"weight": weight_init(weight_key, (in_shape[-1], units))}
        if bias:
            params["bias"] = bias_init(bias_key, (units,))
        return params, (*in_shape[:-1], units)

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        y = x @ params["weight"]
        if bias:
            y = y + params["bias"]
        return y, x

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradients of y = x W + b.

        With yₙⱼ = Σᵢ xₙᵢ Wᵢⱼ + bⱼ, where n runs over the batch (and any further leading axes)::

            dx = dy Wᵀ      (n, in)    since ∂yₙⱼ/∂xₙᵢ = Wᵢⱼ
            dW = xᵀ dy      (in, out)  since ∂yₙⱼ/∂Wᵢⱼ = xₙᵢ, summed over n
            db = Σₙ dyₙ     (out,)     since ∂yₙⱼ/∂bⱼ = 1
        """
        x = residuals
        rows = tuple(range(dy.ndim - 1))
        gradients = {"weight": jnp.tensordot(x, dy, (rows, rows))}
        if bias:
            gradients["bias"] = dy.sum(rows)
        return dy @ params["weight"].T, gradients

    return stateless(init, forward, backward, "dense")
