"""Steps whose size adapts to each parameter's past gradients."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.optimizers.momentum import trace
from jaxnn.optimizers.optimizer import (
    Mask,
    Optimizer,
    add_decayed_weights,
    average,
    chain,
    check_decay,
    check_positive,
    corrected,
    make_state,
    scale_by_learning_rate,
    weights_only,
)
from jaxnn.schedules import Schedule


@remembered
def adam(
    learning_rate: float | Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    nesterov: bool = False,
) -> Optimizer:
    """Adam: steps scaled by running averages of the gradient and of its square.

    Source: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980.

    Args:
        learning_rate: a number or a schedule.
        b1: decay of the average of the gradient, in [0, 1).
        b2: decay of the average of its square, in [0, 1).
        eps: added to the root of the latter, above 0.
        nesterov: whether to look ahead as Nesterov does; see ``scale_by_adam``.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        scale_by_adam(b1, b2, eps, nesterov=nesterov), scale_by_learning_rate(learning_rate)
    )


@remembered
def adamw(
    learning_rate: float | Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    nesterov: bool = False,
    weight_decay: float = 0.01,
    mask: Mask = weights_only,
) -> Optimizer:
    """Adam with decoupled weight decay: θ ← θ - η (adam's step + λ θ).

    Source: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101.

    Args:
        learning_rate: η, a number or a schedule.
        b1: decay of the average of the gradient, in [0, 1).
        b2: decay of the average of its square, in [0, 1).
        eps: added to the root of the latter, above 0.
        nesterov: whether to look ahead as Nesterov does; see ``scale_by_adam``.
        weight_decay: λ.
        mask: which parameters decay.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        scale_by_adam(b1, b2, eps, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask=mask),
        scale_by_learning_rate(learning_rate),
    )


@remembered
def adagrad(
    learning_rate: float | Schedule,
    *,
    initial_accumulator_value: float = 0.1,
    eps: float = 1e-7,
) -> Optimizer:
    """Adagrad: steps scaled by the root of the sum of all squared gradients, s.

    s ← s + g²; θ ← θ - η g / √(s + ε).

    Source: Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html.

    Args:
        learning_rate: η, a number or a schedule.
        initial_accumulator_value: s to begin with, not negative.
        eps: ε, above 0.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate)
    )


@remembered
def rmsprop(
    learning_rate: float | Schedule,
    *,
    decay: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> Optimizer:
    """RMSProp: steps scaled by the root of a running average of the squared gradient, v.

    v ← ρ v + (1 - ρ) g²; θ ← θ - η g / √(v + ε), or with momentum, u ← μ u + η g / √(v + ε) and
    θ ← θ - u. (optax's default form. PyTorch's adds ε to the root of v, and multiplies u by η.)

    Source: Hinton 2012, "Neural Networks for Machine Learning", lecture 6e.

    Args:
        learning_rate: η, a number or a schedule.
        decay: ρ, in [0, 1).
        eps: ε, above 0.
        momentum: μ, in [0, 1). At 0 no u is kept.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        scale_by_rms(decay, eps),
        scale_by_learning_rate(learning_rate),
        *([trace(momentum)] if momentum else []),
    )


@remembered
def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, nesterov: bool = False
) -> Optimizer:
    """Adam's step before the learning rate, m̂ / (√v̂ + ε).

    m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g² start at zero, so that after t steps they are
    too small by the factors 1 - β₁ᵗ and 1 - β₂ᵗ; m̂ and v̂ divide by these. With Nesterov's look
    ahead (Dozat 2016), m̂ = β₁ m / (1 - β₁ᵗ⁺¹) + (1 - β₁) g / (1 - β₁ᵗ).
    """
    check_decay("b1", b1)
    check_decay("b2", b2)
    check_positive("eps", eps)

    def init(params: Tree) -> Tree:
        return make_state(
            {"b1": b1, "b2": b2, "eps": eps},
            step=jnp.zeros((), jnp.int32),
            m=jax.tree.map(jnp.zeros_like, params),
            v=jax.tree.map(jnp.zeros_like, params),
        )

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        b1, b2, eps = (state["hyperparameters"][name] for name in ("b1", "b2", "eps"))
        step = state["step"] + 1
        m = jax.tree.map(lambda m, g: average(b1, m, g), state["m"], gradients)
        v = jax.tree.map(lambda v, g: average(b2, v, g * g), state["v"], gradients)
        m_hat = corrected(b1, step, m, gradients, nesterov)
        v_correction = 1 / (1 - b2**step)

        def scaled(m_hat: Array, v: Array) -> Array:
            root = jnp.sqrt(v * v_correction.astype(v.dtype)) + eps.astype(v.dtype)
            return m_hat / root

        updates = jax.tree.map(scaled, m_hat, v)
        return updates, state | {"step": step, "m": m, "v": v}

    return Optimizer(init, update)


@remembered
def scale_by_rss(initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> Optimizer:
    """Adagrad's step before the learning rate, g / √(s + ε), where s ← s + g² sums all squares."""
    if initial_accumulator_value < 0:
        raise ValueError(
            f"initial_accumulator_value must not be negative, got {initial_accumulator_value}"
        )
    check_positive("eps", eps)

    def init(params: Tree) -> Tree:
        def full(p: Array) -> Array:
            return jnp.full_like(p, initial_accumulator_value)

        return make_state({"eps": eps}, sum=jax.tree.map(full, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        eps = state["hyperparameters"]["eps"]
        total = jax.tree.map(lambda s, g: s + g * g, state["sum"], gradients)
        updates = jax.tree.map(
            lambda g, s: g * lax.rsqrt(s + eps.astype(s.dtype)), gradients, total
        )
        return updates, state | {"sum": total}

    return Optimizer(init, update)


@remembered
def scale_by_rms(decay: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """RMSProp's step before the learning rate, g / √(v + ε), where v ← ρ v + (1 - ρ) g²."""
    check_decay("decay", decay)
    check_positive("eps", eps)

    def init(params: Tree) -> Tree:
        return make_state({"decay": decay, "eps": eps}, v=jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        decay, eps = (state["hyperparameters"][name] for name in ("decay", "eps"))
        v = jax.tree.map(lambda v, g: average(decay, v, g * g), state["v"], gradients)
        updates = jax.tree.map(lambda g, v: g * lax.rsqrt(v + eps.astype(v.dtype)), gradients, v)
        return updates, state | {"v": v}

    return Optimizer(init, update)
