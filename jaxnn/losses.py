"""Losses: functions ``(outputs, targets, weights=None) -> (value, d_outputs)``.

``outputs`` is (batch, ..., classes); targets are class numbers, (batch, ...) integers, or arrays
of the shape of ``outputs``: one-hot rows, probabilities, or, where the loss allows it, any
numbers. ``value`` is a scalar, the weighted mean over all but the last axis,
L = Σₙ wₙ lₙ / Σₙ wₙ, with wₙ = 1 where ``weights`` is None; a weight of 0 leaves an example out.
``d_outputs`` is ∂L/∂outputs, of the shape and type of ``outputs``.

Values are computed in float32 at least.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxnn.layers.layer import Tree

Loss = Callable[[Array, Array, Array | None], tuple[Array, Array]]


def softmax_cross_entropy(
    outputs: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Cross-entropy of softmax(outputs), in nats.

    With logits z and target probabilities t (one-hot for class numbers), l = -Σₖ tₖ log pₖ with
    p = softmax(z), computed as log pₖ = (zₖ - m) - log Σⱼ exp(zⱼ - m) with m = maxⱼ zⱼ, so that
    no exponential overflows and the logarithm's argument is at least 1.

    Derivation: ∂(log pₖ)/∂zⱼ = δₖⱼ - pⱼ, so ∂l/∂zⱼ = pⱼ Σₖ tₖ - tⱼ, which is pⱼ - tⱼ where t sums
    to 1; then the mean's factor wₙ / Σw.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", section 4.3.4.

    Args:
        outputs: logits, (batch, ..., classes), floating point.
        targets: class numbers (batch, ...), or probabilities of the shape of ``outputs``.
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
    """
    z, t = _prepare(outputs, targets)
    shifted = z - z.max(-1, keepdims=True)
    exponentials = jnp.exp(shifted)
    total = exponentials.sum(-1, keepdims=True)
    losses = -jnp.sum(t * (shifted - jnp.log(total)), -1)
    gradients = exponentials / total * t.sum(-1, keepdims=True) - t
    return _mean(losses, gradients, weights, outputs)


def mean_squared_error(
    outputs: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """The mean over examples and outputs of (y - t)².

    Derivation: l = (1/K) Σₖ (yₖ - tₖ)² over the K outputs of an example, so
    ∂l/∂yₖ = 2 (yₖ - tₖ) / K; then the mean's factor wₙ / Σw.

    Args:
        outputs: (batch, ..., K), floating point.
        targets: numbers of the shape of ``outputs``, or class numbers (batch, ...), taken as
            one-hot rows.
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
    """
    y, t = _prepare(outputs, targets)
    error = y - t
    return _mean(jnp.mean(error**2, -1), 2 / outputs.shape[-1] * error, weights, outputs)


def _prepare(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Outputs in float32 at least, and targets of the same shape and type, one-hot if need be."""
    y = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    if targets.shape == outputs.shape:
        return y, targets.astype(y.dtype)
    if targets.shape == outputs.shape[:-1] and jnp.issubdtype(targets.dtype, jnp.integer):
        return y, (targets[..., None] == jnp.arange(outputs.shape[-1])).astype(y.dtype)
    raise ValueError(
        f"targets of shape {targets.shape} ({targets.dtype}) do not fit outputs of shape "
        f"{outputs.shape}: expected integers of shape {outputs.shape[:-1]} or numbers of shape "
        f"{outputs.shape}"
    )


def _mean(
    losses: Array, gradients: Array, weights: Array | None, outputs: Array
) -> tuple[Array, Array]:
    """The weighted mean of losses (batch, ...), and its gradient from those of each loss."""
    if weights is None:
        factor: Tree = 1 / losses.size
    else:
        w = weights.astype(losses.dtype).reshape(
            weights.shape + (1,) * (losses.ndim - weights.ndim)
        )
        w = jnp.broadcast_to(w, losses.shape)
        factor = w / w.sum()
    d_outputs = gradients * (factor if weights is None else factor[..., None])
    return jnp.sum(losses * factor), d_outputs.astype(outputs.dtype)
