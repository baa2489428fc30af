"""Normalization of each example by its own statistics."""

import jax.numpy as jnp
from jax import Array

from jaxnn.layers.layer import Layer, Shape, Tree, stateless


def layer_norm(*, eps: float = 1e-5, scale: bool = True, bias: bool = True) -> Layer:
    """Layer normalization over the last axis, y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε).

    μ and σ² are the mean and the (biased) variance of the features of an example, at each
    position of any further axes; computed in float32 at least. ``params`` is
    ``{"scale": γ, "bias": β}``, (features,) each, one and zero to begin with; input
    (batch, ..., features), output the same.

    Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450.

    Args:
        eps: ε, above 0.
        scale: whether there is a γ.
        bias: whether there is a β.

    Raises:
        ValueError: if ``eps`` is not positive; from ``init``, if the input has no feature axis.
    """
    return _norm("layer_norm", eps, scale, bias, centered=True)


def rms_norm(*, eps: float = 1e-6, scale: bool = True) -> Layer:
    """Root-mean-square normalization over the last axis, y = γ x̂ with x̂ = x / √(mean(x²) + ε).

    Layer normalization without the centring; computed in float32 at least. ``params`` is
    ``{"scale": γ}``, (features,), one to begin with; input (batch, ..., features), output the
    same.

    Source: Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467.

    Args:
        eps: ε, above 0.
        scale: whether there is a γ.

    Raises:
        ValueError: if ``eps`` is not positive; from ``init``, if the input has no feature axis.
    """
    return _norm("rms_norm", eps, scale, bias=False, centered=False)


def _norm(name: str, eps: float, scale: bool, bias: bool, *, centered: bool) -> Layer:
    if not eps > 0:
        raise ValueError(f"{name}: eps must be above 0, got {eps}")

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        if not in_shape:
            raise ValueError(f"{name} needs an input with at least one axis, got a single number")
        params = {}
        if scale:
            params["scale"] = jnp.ones(in_shape[-1])
        if bias:
            params["bias"] = jnp.zeros(in_shape[-1])
        return params, in_shape

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        z = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if centered:
            z = z - z.mean(-1, keepdims=True)
        r = 1 / jnp.sqrt(jnp.mean(z * z, -1, keepdims=True) + eps)
        normalized = (z * r).astype(x.dtype)
        y = normalized
        if scale:
            y = y * params["scale"]
        if bias:
            y = y + params["bias"]
        return y, (normalized, r)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradients of y = γ x̂ + β, where x̂ = r z, r = (mean(z²) + ε)^(-1/2), z = x - μ.

        As for any affine map, with n over all but the features k::

            dβₖ = Σₙ dyₙₖ         (features,)
            dγₖ = Σₙ dyₙₖ x̂ₙₖ     (features,)
            dx̂  = dy γ            (n, features)

        Within one row of K features, ∂r/∂zⱼ = -½ r³ · 2 zⱼ / K = -r² x̂ⱼ / K, so that
        ∂x̂ₖ/∂zⱼ = r δₖⱼ + zₖ ∂r/∂zⱼ = r (δₖⱼ - x̂ₖ x̂ⱼ / K), and summed over k::

            dz = r (dx̂ - x̂ mean(dx̂ x̂))        (n, features)

        For ``rms_norm``, z = x and dx = dz. For ``layer_norm``, ∂zₖ/∂xⱼ = δₖⱼ - 1/K, so
        dx = dz - mean(dz); the mean of x̂ being zero, that is r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)).
        """
        normalized, r = residuals
        rows = tuple(range(dy.ndim - 1))
        gradients = {}
        if scale:
            gradients["scale"] = jnp.sum(dy * normalized, rows)
        if bias:
            gradients["bias"] = dy.sum(rows)
        d = (dy * params["scale"] if scale else dy).astype(r.dtype)
        dz = d - normalized * jnp.mean(d * normalized, -1, keepdims=True)
        if centered:
            dz = dz - d.mean(-1, keepdims=True)
        return (r * dz).astype(dy.dtype), gradients

    return stateless(init, forward, backward, name)
