"""Normalization: of each example by its own statistics, or of each channel by those of a batch."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.arrays import Tree, standardized
from jaxnn.calls import remembered
from jaxnn.collectives import batch_mean, batch_parts
from jaxnn.layers.layer import Layer, Shape, stateless


@remembered
def standardize(
    mean: float | Sequence[float] | np.ndarray = 0.0,
    deviation: float | Sequence[float] | np.ndarray = 1.0,
) -> Layer:
    """Returns standardization by given numbers, y = (x - μ) / σ, of integers too.

    No parameters: μ and σ are those of a data set. Input (batch, ..., features) of any numeric
    type, output the same shape, in float64 where JAX's 64-bit mode is on, else in float32. How a
    network is made to take examples as they are stored: ``before(network, standardize(...))``.

    Args:
        mean: μ, a number or one for each feature of the last axis.
        deviation: σ, likewise; above 0.

    Raises:
        ValueError: if a number is not finite or a deviation is not positive; from ``init``, if
            there is another number of features.
    """
    mu, sigma = np.asarray(mean), np.asarray(deviation)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all() and (sigma > 0).all()):
        raise ValueError(
            f"standardize: expected finite numbers and deviations above 0, got {mean}, {deviation}"
        )
    features = np.broadcast_shapes(mu.shape, sigma.shape)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        if features not in ((), (1,)) and features != in_shape[-1:]:
            raise ValueError(f"standardize: {features[-1]} numbers do not fit shape {in_shape}")
        return (), in_shape

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        return standardized(x, mu, sigma, jnp.result_type(float)), x[:0]

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """dx = dy / σ, of the type of x; None where that is of integers."""
        if not jnp.issubdtype(residuals.dtype, jnp.floating):
            return None, ()
        return (dy / sigma.astype(dy.dtype)).astype(residuals.dtype), ()

    return stateless(init, forward, backward, "standardize")


@remembered
def layer_norm(*, eps: float = 1e-5, scale: bool = True, bias: bool = True) -> Layer:
    """Returns layer normalization over the last axis, y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε).

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


@remembered
def rms_norm(*, eps: float = 1e-6, scale: bool = True) -> Layer:
    """Returns root-mean-square normalization over the last axis, y = γ x / √(mean(x²) + ε).

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


@remembered
def group_norm(
    groups: int = 32, *, eps: float = 1e-5, scale: bool = True, bias: bool = True
) -> Layer:
    """Returns group normalization, y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε).

    μ and σ² are the mean and the (biased) variance of a group of channels of an example, over all
    positions; computed in float32 at least. ``params`` is ``{"scale": γ, "bias": β}``,
    (channels,) each, one and zero to begin with; input (batch, ..., channels), output the same.

    Source: Wu & He 2018, https://arxiv.org/abs/1803.08494.

    Args:
        groups: how many groups of neighbouring channels there are; 1 takes all together, as many
            as channels ("instance normalization") each by itself.
        eps: ε, above 0.
        scale: whether there is a γ.
        bias: whether there is a β.

    Raises:
        ValueError: if ``groups`` or ``eps`` is not positive; from ``init``, if the input has no
            channels or a number of them that ``groups`` does not divide.
    """
    if groups < 1:
        raise ValueError(f"group_norm: groups must be at least 1, got {groups}")
    _check_eps("group_norm", eps)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        params = _affine_params("group_norm", in_shape, scale, bias)
        if in_shape[-1] % groups:
            raise ValueError(f"group_norm: {groups} groups do not divide {in_shape[-1]} channels")
        return params, in_shape

    def split(x: Array) -> Array:
        """(batch, positions, groups, channels / groups), in float32 at least."""
        x = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        z = split(x)
        z = z - z.mean((1, 3), keepdims=True)
        r = 1 / jnp.sqrt(jnp.mean(z * z, (1, 3), keepdims=True) + eps)
        normalized = (z * r).reshape(x.shape).astype(x.dtype)
        y = normalized
        if scale:
            y = y * params["scale"]
        if bias:
            y = y + params["bias"]
        return y, (normalized, r)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradients of y = γ x̂ + β, x̂ = r (x - μ), r = (σ² + ε)^(-1/2).

        dβ and dγ are those of ``layer_norm``, and so is dx, with the means of each group::

            dβₖ = Σₙ dyₙₖ, dγₖ = Σₙ dyₙₖ x̂ₙₖ                    (channels,)
            dx̂ = dy γ, dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂))    (batch, ..., channels)

        since x̂ is the same function of the m numbers of a group as there of the features of a row.
        """
        normalized, r = residuals
        gradients = _affine_gradients(normalized, dy, scale, bias)
        d = split(dy * params["scale"] if scale else dy)
        z = split(normalized)
        dz = d - d.mean((1, 3), keepdims=True) - z * jnp.mean(d * z, (1, 3), keepdims=True)
        return (r * dz).reshape(dy.shape).astype(dy.dtype), gradients

    return stateless(init, forward, backward, "group_norm")


@remembered
def batch_norm(
    *,
    momentum: float = 0.9,
    eps: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    axis_name: str | None = None,
) -> Layer:
    """Returns batch normalization, y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε).

    In training, μ and σ² are the mean and the (biased) variance of a channel over the batch and all
    positions, computed in float32 at least, and ``state``, ``{"mean": …, "variance": …}`` of shape
    (channels,), zero and one to begin with, moves towards them: new = α old + (1 - α) batch, with
    the unbiased variance, σ² m / (m - 1) of m numbers. Otherwise, μ and σ² are the state.
    ``params`` is ``{"scale": γ, "bias": β}``, (channels,) each, one and zero to begin with; input
    (batch, ..., channels), output the same.

    Source: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167.

    Args:
        momentum: α, in [0, 1). (PyTorch's ``momentum`` is 1 - α.)
        eps: ε, above 0.
        scale: whether there is a γ.
        bias: whether there is a β.
        axis_name: of the mapped axis (of ``jax.shard_map`` or ``jax.vmap``) over whose devices the
            statistics are taken, so that they are those of the global batch, whose parts are equal;
            None for those of the batch at hand, or where ``fit`` has divided that over devices, of
            the whole of it.

    Raises:
        ValueError: if ``momentum`` or ``eps`` makes no sense; from ``init``, if the input has no
            channels.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"batch_norm: momentum must be in [0, 1), got {momentum}")
    _check_eps("batch_norm", eps)

    def mean(x: Array) -> Array:
        """Over all but the channels, and over all devices."""
        local = x.mean(tuple(range(x.ndim - 1)))
        return batch_mean(local) if axis_name is None else lax.pmean(local, axis_name)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params = _affine_params("batch_norm", in_shape, scale, bias)
        channels = in_shape[-1:]
        return params, {"mean": jnp.zeros(channels), "variance": jnp.ones(channels)}, in_shape

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if train:
            center = mean(wide)
            variance = mean(jnp.square(wide - center))
            parts = batch_parts() if axis_name is None else lax.axis_size(axis_name)
            count = math.prod(x.shape[:-1]) * parts
            new = {"mean": center, "variance": variance * (count / max(count - 1, 1))}
            new = {
                name: (momentum * old + (1 - momentum) * new[name]).astype(old.dtype)
                for name, old in state.items()
            }
        else:
            center, variance, new = state["mean"], state["variance"], state
        r = 1 / jnp.sqrt(variance + eps)
        gain = r * params["scale"] if scale else r
        y = (wide - center) * gain
        if bias:
            y = y + params["bias"]
        # The mode is kept as structure, which unlike a value is known when a program is traced.
        return y.astype(x.dtype), new, (x, center, r, () if train else None)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Gradients of y = γ x̂ + β, where x̂ = r (x - μ) and r = (σ² + ε)^(-1/2).

        With n over the m numbers of a channel, in the batch and at all positions::

            dβ  = Σₙ dyₙ           (channels,)
            dγ  = Σₙ dyₙ x̂ₙ        (channels,)
            dx̂  = γ dy             (batch, ..., channels)

        μ and σ² depend on every xₙ: ∂μ/∂xₙ = 1/m, ∂σ²/∂xₙ = 2 (xₙ - μ) / m, hence
        ∂r/∂xₙ = -½ r³ ∂σ²/∂xₙ = -r² x̂ₙ / m and ∂x̂ₗ/∂xₙ = r (δₗₙ - 1/m - x̂ₗ x̂ₙ / m). Summed over l::

            dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) = γ r (dy - mean(dy) - x̂ mean(dy x̂))

        in training, where the means are those over all devices, as μ and σ² are; dβ and dγ are
        this device's part, as those of all parameters. Otherwise μ, r are constants: dx = γ r dy.
        """
        x, center, r, mode = residuals
        normalized = (x - center) * r
        gradients = _affine_gradients(normalized.astype(dy.dtype), dy, scale, bias)
        wide = dy.astype(r.dtype)
        gain = r * params["scale"] if scale else r
        if mode is not None:
            wide = wide - mean(wide) - normalized * mean(wide * normalized)
        return (gain * wide).astype(dy.dtype), gradients

    return Layer(init, forward, backward, "batch_norm")


def _check_eps(name: str, eps: float) -> None:
    if not eps > 0:
        raise ValueError(f"{name}: eps must be above 0, got {eps}")


def _affine_params(name: str, in_shape: Shape, scale: bool, bias: bool) -> dict[str, Array]:
    if not in_shape:
        raise ValueError(f"{name} needs an input with at least one axis, got a single number")
    params = {}
    if scale:
        params["scale"] = jnp.ones(in_shape[-1])
    if bias:
        params["bias"] = jnp.zeros(in_shape[-1])
    return params


def _affine_gradients(normalized: Array, dy: Array, scale: bool, bias: bool) -> dict[str, Array]:
    rows = tuple(range(dy.ndim - 1))
    gradients = {}
    if scale:
        gradients["scale"] = jnp.sum(dy * normalized, rows)
    if bias:
        gradients["bias"] = dy.sum(rows)
    return gradients


def _norm(name: str, eps: float, scale: bool, bias: bool, *, centered: bool) -> Layer:
    _check_eps(name, eps)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        return _affine_params(name, in_shape, scale, bias), in_shape

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
        gradients = _affine_gradients(normalized, dy, scale, bias)
        d = (dy * params["scale"] if scale else dy).astype(r.dtype)
        dz = d - normalized * jnp.mean(d * normalized, -1, keepdims=True)
        if centered:
            dz = dz - d.mean(-1, keepdims=True)
        return (r * dz).astype(dy.dtype), gradients

    return stateless(init, forward, backward, name)
