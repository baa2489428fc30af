"""The fully connected layer."""

import jax
import jax.numpy as jnp
from jax import Array, lax

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
        weight = params["weight"]
        rows = x.reshape(-1, weight.shape[0]), dy.reshape(-1, weight.shape[1])
        gradients = {"weight": _weight_gradient(*rows)}
        if bias:
            gradients["bias"] = rows[1].sum(0)
        return dy @ weight.T, gradients

    return stateless(init, forward, backward, "dense")


def _weight_gradient(x: Array, dy: Array) -> Array:
    """Returns xᵀ dy.

    On a CPU, XLA gathers the columns of a tall x slowly. Laid out as rows before, one core takes
    1.3 to 1.9 times less time for 512 to 2,048 rows and 256 to 1,024 columns, two take as long or
    up to 1.3 times less; of 128 rows, or with 128 columns of dy, it does not pay.
    """
    if len(x) < 512 or dy.shape[1] < 256:
        return jnp.tensordot(x, dy, (0, 0))
    laid_out = lax.platform_dependent(
        x, cpu=lambda x: lax.optimization_barrier(x.T), default=jnp.transpose
    )
    return laid_out @ dy
