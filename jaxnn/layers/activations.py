"""Activation functions: any floating-point input, an output of the same shape and type.

All but the last two are y = f(x) for each element by itself, so that their backward is
dx = dy · f′(x), written with what ``forward`` has computed: with y where possible, since the next
layer keeps y anyway. Softmax and its logarithm join the elements of the last axis.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.layers.layer import Layer, Shape, stateless


def _activation(
    name: str,
    forward: Callable[[Array], tuple[Array, Tree]],
    backward: Callable[[Tree, Array], Array],
    axes: int = 0,
) -> Layer:
    """Makes a layer without parameters of ``x -> (y, residuals)`` and ``(residuals, dy) -> dx``.

    Its input needs at least ``axes`` axes.
    """

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        if len(in_shape) < axes:
            raise ValueError(f"{name} needs an input with at least one axis, got a single number")
        return (), in_shape

    return stateless(
        init,
        lambda params, x: forward(x),
        lambda params, residuals, dy: (backward(residuals, dy), ()),
        name,
    )


@remembered
def identity() -> Layer:
    """Returns y = x: the plain branch of ``parallel``."""

    def backward(residuals: Tree, dy: Array) -> Array:
        """dx = dy."""
        return dy

    return _activation("identity", lambda x: (x, ()), backward)


@remembered
def relu() -> Layer:
    """Returns the rectified linear unit, y = max(x, 0) (Nair & Hinton 2010)."""

    def forward(x: Array) -> tuple[Array, Tree]:
        y = jnp.maximum(x, 0)
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy where x > 0, else 0; y > 0 exactly where x > 0. At the kink, f′(0) = 0."""
        return jnp.where(y > 0, dy, 0)

    return _activation("relu", forward, backward)


@remembered
def sigmoid() -> Layer:
    """Returns the logistic function, y = 1 / (1 + e⁻ˣ)."""

    def forward(x: Array) -> tuple[Array, Tree]:
        y = logistic(x)
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy · y (1 - y), since f′(x) = e⁻ˣ / (1 + e⁻ˣ)² = y (1 - y)."""
        return dy * y * (1 - y)

    return _activation("sigmoid", forward, backward)


@remembered
def tanh() -> Layer:
    """Returns the hyperbolic tangent, y = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""

    def forward(x: Array) -> tuple[Array, Tree]:
        y = jnp.tanh(x)
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy · (1 - y²), since f′(x) = 1 - tanh²(x)."""
        return dy * (1 - y * y)

    return _activation("tanh", forward, backward)


@remembered
def leaky_relu(negative_slope: float = 0.01) -> Layer:
    """Returns y = x where x > 0, else α x, so that no unit stops learning.

    Source: Maas et al. 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models".

    Args:
        negative_slope: α, not negative.

    Raises:
        ValueError: if ``negative_slope`` is negative.
    """
    if not negative_slope >= 0:
        raise ValueError(f"leaky_relu: negative_slope must not be negative, got {negative_slope}")

    def forward(x: Array) -> tuple[Array, Tree]:
        y = jnp.where(x > 0, x, negative_slope * x)
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy where x > 0, else α dy; y > 0 exactly where x > 0. At the kink, f′(0) = α."""
        return jnp.where(y > 0, dy, negative_slope * dy)

    return _activation("leaky_relu", forward, backward)


@remembered
def elu(alpha: float = 1.0) -> Layer:
    """Returns the exponential linear unit, y = x where x > 0, else α (eˣ - 1).

    Source: Clevert et al. 2016, https://arxiv.org/abs/1511.07289.

    Args:
        alpha: α, not negative; -α is the lower limit of y.

    Raises:
        ValueError: if ``alpha`` is negative.
    """
    if not alpha >= 0:
        raise ValueError(f"elu: alpha must not be negative, got {alpha}")

    def forward(x: Array) -> tuple[Array, Tree]:
        # The minimum keeps the branch that is not taken from overflowing.
        y = jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy where x > 0, else dy · (y + α), since there f′(x) = α eˣ = y + α."""
        return jnp.where(y > 0, dy, dy * (y + alpha))

    return _activation("elu", forward, backward)


@remembered
def softplus() -> Layer:
    """Returns a smooth relu, y = log(1 + eˣ) (Dugas et al. 2001)."""

    def forward(x: Array) -> tuple[Array, Tree]:
        y = jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy · (1 - e⁻ʸ), since f′(x) = eˣ / (1 + eˣ) = 1 - 1 / (1 + eˣ) and 1 + eˣ = eʸ."""
        return dy * -jnp.expm1(-y)

    return _activation("softplus", forward, backward)


@remembered
def silu() -> Layer:
    """Returns the sigmoid linear unit or swish, y = x σ(x) with the logistic function σ.

    Source: Elfwing et al. 2017, https://arxiv.org/abs/1702.03118.
    """

    def forward(x: Array) -> tuple[Array, Tree]:
        s = logistic(x)
        y = x * s
        return y, (y, s)

    def backward(residuals: Tree, dy: Array) -> Array:
        """dx = dy · (s + y (1 - s)) with s = σ(x), since f′ = σ + x σ′ and σ′ = σ (1 - σ)."""
        y, s = residuals
        return dy * (s + y * (1 - s))

    return _activation("silu", forward, backward)


@remembered
def gelu(*, approximate: bool = False) -> Layer:
    """Returns the Gaussian error linear unit, y = x Φ(x), Φ the standard normal distribution.

    Source: Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415.

    Args:
        approximate: whether to put ½ (1 + tanh(√(2/π) (x + 0.044715 x³))) in the place of Φ, as
            GPT-2 does; it differs by less than 5e-4.
    """
    if approximate:
        return _gelu_tanh()

    def distribution(x: Array) -> Array:
        return 0.5 * lax.erfc(-math.sqrt(0.5) * x)

    def forward(x: Array) -> tuple[Array, Tree]:
        return x * distribution(x), x

    def backward(x: Tree, dy: Array) -> Array:
        """dx = dy · (Φ(x) + x φ(x)) with the density Φ′ = φ, φ(x) = e^(-x²/2) / √(2π)."""
        density = jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return dy * (distribution(x) + x * density)

    return _activation("gelu", forward, backward)


def _gelu_tanh() -> Layer:
    a, b = math.sqrt(2 / math.pi), 0.044715  # u = a (x + b x³)

    def forward(x: Array) -> tuple[Array, Tree]:
        t = jnp.tanh(a * (x + b * x * x * x))
        return 0.5 * x * (1 + t), (x, t)

    def backward(residuals: Tree, dy: Array) -> Array:
        """dx = dy · (½ (1 + t) + ½ x (1 - t²) u′), t = tanh(u) and u′ = √(2/π) (1 + 3 b x²)."""
        x, t = residuals
        slope = a * (1 + 3 * b * x * x)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)

    return _activation("gelu", forward, backward)


@remembered
def softmax() -> Layer:
    """Returns probabilities over the last axis, pₖ = exp(xₖ) / Σⱼ exp(xⱼ), in float32 at least.

    To train a classifier, leave it out and give its input to ``softmax_cross_entropy``, which
    computes loss and gradient of both together, accurately.

    Input (batch, ..., classes).

    Raises:
        ValueError: from ``init``, if the input has no axis of classes.
    """

    def forward(x: Array) -> tuple[Array, Tree]:
        exponentials = jnp.exp(_shifted(x))
        p = (exponentials / exponentials.sum(-1, keepdims=True)).astype(x.dtype)
        return p, p

    def backward(p: Tree, dy: Array) -> Array:
        """dx = p (dy - ⟨dy, p⟩) for each row: dxⱼ = Σₖ dyₖ ∂pₖ/∂xⱼ with ∂pₖ/∂xⱼ = pₖ (δₖⱼ - pⱼ)."""
        return p * (dy - jnp.sum(dy * p, -1, keepdims=True))

    return _activation("softmax", forward, backward, axes=1)


@remembered
def log_softmax() -> Layer:
    """Returns logarithms of probabilities over the last axis, yₖ = xₖ - log Σⱼ exp(xⱼ).

    Input (batch, ..., classes); computed in float32 at least.

    Raises:
        ValueError: from ``init``, if the input has no axis of classes.
    """

    def forward(x: Array) -> tuple[Array, Tree]:
        shifted = _shifted(x)
        y = (shifted - jnp.log(jnp.sum(jnp.exp(shifted), -1, keepdims=True))).astype(x.dtype)
        return y, y

    def backward(y: Tree, dy: Array) -> Array:
        """dx = dy - p Σₖ dyₖ for each row, with p = exp(y), since ∂yₖ/∂xⱼ = δₖⱼ - pⱼ."""
        return dy - jnp.exp(y) * dy.sum(-1, keepdims=True)

    return _activation("log_softmax", forward, backward, axes=1)


def _shifted(x: Array) -> Array:
    """Returns x less the largest of its last axis: no softmax changes, and none overflows."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return x - x.max(-1, keepdims=True)


def logistic(x: Array) -> Array:
    """Returns 1 / (1 + e⁻ˣ) by way of tanh, which neither overflows nor loses digits."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5
