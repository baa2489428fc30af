"""Steps along the gradient, or along a running average of it."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.optimizers.optimizer import (
    Mask,
    Optimizer,
    add_decayed_weights,
    average,
    chain,
    check_decay,
    make_state,
    scale_by_learning_rate,
    weights_only,
)
from jaxnn.schedules import Schedule


@remembered
def sgd(
    learning_rate: float | Schedule,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    mask: Mask = weights_only,
) -> Optimizer:
    """Stochastic gradient descent, with momentum if asked for.

    g ← g + λ θ; v ← μ v + g; θ ← θ - η v, or with Nesterov's θ ← θ - η (g + μ v).

    Source: Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html.

    Args:
        learning_rate: η, a number or a schedule.
        momentum: μ, in [0, 1). At 0 no v is kept.
        nesterov: whether to look ahead as Nesterov does.
        weight_decay: λ; added to the gradient, which makes it an L2 penalty of (λ/2) ‖θ‖².
        mask: which parameters decay.

    Raises:
        ValueError: if a hyper-parameter is out of its range, or ``nesterov`` without ``momentum``.
    """
    if nesterov and not momentum:
        raise ValueError("sgd: nesterov needs a momentum above 0")
    return chain(
        *([add_decayed_weights(weight_decay, mask=mask)] if weight_decay else []),
        *([trace(momentum, nesterov=nesterov)] if momentum else []),
        scale_by_learning_rate(learning_rate),
    )


@remembered
def lion(
    learning_rate: float | Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 1e-3,
    mask: Mask = weights_only,
) -> Optimizer:
    """Lion: every parameter moves by the learning rate, up or down.

    θ ← θ - η (sign(β₁ m + (1 - β₁) g) + λ θ); m ← β₂ m + (1 - β₂) g. Compared with Adam's, the
    learning rate is to be three to ten times smaller, and the weight decay larger by as much.

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675.

    Args:
        learning_rate: η, a number or a schedule.
        b1: β₁, in [0, 1).
        b2: β₂, in [0, 1).
        weight_decay: λ.
        mask: which parameters decay.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        scale_by_lion(b1, b2),
        add_decayed_weights(weight_decay, mask=mask),
        scale_by_learning_rate(learning_rate),
    )


@remembered
def trace(decay: float, *, nesterov: bool = False) -> Optimizer:
    """Momentum: v ← μ v + g, handed on as v, or as g + μ v with Nesterov's."""
    check_decay("momentum", decay)

    def init(params: Tree) -> Tree:
        return make_state({"momentum": decay}, trace=jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        mu = state["hyperparameters"]["momentum"]

        def decayed(v: Array, g: Array) -> Array:
            return mu.astype(g.dtype) * v + g

        v = jax.tree.map(decayed, state["trace"], gradients)
        updates = jax.tree.map(decayed, v, gradients) if nesterov else v
        return updates, state | {"trace": v}

    return Optimizer(init, update)


@remembered
def scale_by_lion(b1: float = 0.9, b2: float = 0.99) -> Optimizer:
    """Lion's step before the learning rate, sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g."""
    check_decay("b1", b1)
    check_decay("b2", b2)

    def init(params: Tree) -> Tree:
        return make_state({"b1": b1, "b2": b2}, m=jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        b1, b2 = (state["hyperparameters"][name] for name in ("b1", "b2"))
        updates = jax.tree.map(lambda m, g: jnp.sign(average(b1, m, g)), state["m"], gradients)
        m = jax.tree.map(lambda m, g: average(b2, m, g), state["m"], gradients)
        return updates, state | {"m": m}

    return Optimizer(init, update)
