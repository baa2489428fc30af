"""Optimizers, written out by hand, in optax's calling convention.

An optimizer is a pair of functions::

    state = optimizer.init(params)
    updates, state = optimizer.update(gradients, state, params)
    params = apply_updates(params, updates)

so one from optax can be used in its place. Every pytree has the structure of ``params``. The
pieces (``scale_by_adam``, ``add_decayed_weights``, …) are optimizers too, and ``chain`` composes
them: each turns the updates of the one before into its own.

Hyper-parameters are leaves of the state, in a dictionary of that name: ``set_hyperparameters`` changes them while training runs,
and ``jax.vmap`` maps over them, without compiling anew.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.layers.layer import Tree
from jaxnn.schedules import Schedule

KeyPath: TypeAlias = tuple[Any, ...]

Mask: TypeAlias = Callable[[Tree], Tree]
"""``params -> pytree of bools``: True where something is to be done."""


class Optimizer(NamedTuple):
    """A pair of pure functions.

    Attributes:
        init: ``params -> state``.
        update: ``(gradients, state, params) -> (updates, state)``; updates are to be *added* to
            the parameters.
    """

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """Adds the updates to the parameters, in the parameters' types."""
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)


def chain(*optimizers: Optimizer) -> Optimizer:
    """Applies optimizers one after the other; the state is a tuple of theirs."""

    def init(params: Tree) -> Tree:
        return tuple(optimizer.init(params) for optimizer in optimizers)

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        states = []
        for optimizer, s in zip(optimizers, state, strict=True):
            gradients, s = optimizer.update(gradients, s, params)
            states.append(s)
        return gradients, tuple(states)

    return Optimizer(init, update)


def weights_only(params: Tree) -> Tree:
    """The mask that is True for entries called "weight" and False for biases, scales and all else.

    Weight decay is meant for weights: pulling a bias or a scale to zero does not simplify a
    network (Goodfellow et al. 2016, "Deep Learning", section 7.1).
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: bool(path) and getattr(path[-1], "key", None) == "weight", params
    )


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


def adam(
    learning_rate: float | Schedule, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam: steps scaled by running averages of the gradient and of its square.

    Source: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980.

    Args:
        learning_rate: a number or a schedule.
        b1: decay of the average of the gradient, in [0, 1).
        b2: decay of the average of its square, in [0, 1).
        eps: added to the root of the latter, above 0.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(scale_by_adam(b1, b2, eps), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: float | Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
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
        weight_decay: λ.
        mask: which parameters decay.

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(weight_decay, mask=mask),
        scale_by_learning_rate(learning_rate),
    )


def trace(decay: float, *, nesterov: bool = False) -> Optimizer:
    """Momentum: v ← μ v + g, handed on as v, or as g + μ v with Nesterov's."""
    _check_decay("momentum", decay)

    def init(params: Tree) -> Tree:
        return _state({"momentum": decay}, trace=jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        mu = state["hyperparameters"]["momentum"]

        def decayed(v: Array, g: Array) -> Array:
            return mu.astype(g.dtype) * v + g

        v = jax.tree.map(decayed, state["trace"], gradients)
        updates = jax.tree.map(decayed, v, gradients) if nesterov else v
        return updates, state | {"trace": v}

    return Optimizer(init, update)


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Adam's step before the learning rate, m̂ / (√v̂ + ε).

    m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g² start at zero, so that after t steps they are
    too small by the factors 1 - β₁ᵗ and 1 - β₂ᵗ; m̂ and v̂ divide by these.
    """
    _check_decay("b1", b1)
    _check_decay("b2", b2)
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")

    def init(params: Tree) -> Tree:
        return _state(
            {"b1": b1, "b2": b2, "eps": eps},
            step=jnp.zeros((), jnp.int32),
            m=jax.tree.map(jnp.zeros_like, params),
            v=jax.tree.map(jnp.zeros_like, params),
        )

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        b1, b2, eps = (state["hyperparameters"][name] for name in ("b1", "b2", "eps"))
        step = state["step"] + 1
        m = jax.tree.map(lambda m, g: _average(b1, m, g), state["m"], gradients)
        v = jax.tree.map(lambda v, g: _average(b2, v, g * g), state["v"], gradients)
        m_correction, v_correction = 1 / (1 - b1**step), 1 / (1 - b2**step)

        def scaled(m: Array, v: Array) -> Array:
            root = jnp.sqrt(v * v_correction.astype(v.dtype)) + eps.astype(v.dtype)
            return m * m_correction.astype(m.dtype) / root

        updates = jax.tree.map(scaled, m, v)
        return updates, state | {"step": step, "m": m, "v": v}

    return Optimizer(init, update)


def add_decayed_weights(weight_decay: float, *, mask: Mask = weights_only) -> Optimizer:
    """Adds λ θ to the updates of the parameters that the mask selects."""
    if weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")

    def init(params: Tree) -> Tree:
        return _state({"weight_decay": weight_decay})

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        decay = state["hyperparameters"]["weight_decay"]

        def decayed(g: Array, p: Array, selected: bool) -> Array:
            return g + decay.astype(g.dtype) * p if selected else g

        return jax.tree.map(decayed, gradients, params, mask(params)), state

    return Optimizer(init, update)


def clip_by_global_norm(max_norm: float) -> Optimizer:
    """Scales all gradients by one factor so that their joint Euclidean norm is at most ``max_norm``.

    Source: Pascanu et al. 2013, https://proceedings.mlr.press/v28/pascanu13.html.

    Raises:
        ValueError: if ``max_norm`` is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_by_global_norm: max_norm must be above 0, got {max_norm}")

    def init(params: Tree) -> Tree:
        return _state({"max_norm": max_norm})

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        max_norm = state["hyperparameters"]["max_norm"]
        # Not max_norm / norm: that is a division by zero where all gradients are zero.
        factor = max_norm / jnp.maximum(global_norm(gradients), max_norm)
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), gradients), state

    return Optimizer(init, update)


def scale_by_learning_rate(learning_rate: float | Schedule) -> Optimizer:
    """Multiplies by minus the learning rate. A schedule's latest value is kept in the state."""
    if not callable(learning_rate):
        if not learning_rate >= 0:
            raise ValueError(f"learning_rate must not be negative, got {learning_rate}")

        def constant_init(params: Tree) -> Tree:
            return _state({"learning_rate": learning_rate})

        def constant_update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
            return _scaled(gradients, state["hyperparameters"]["learning_rate"]), state

        return Optimizer(constant_init, constant_update)

    def init(params: Tree) -> Tree:
        step = jnp.zeros((), jnp.int32)
        return _state({"learning_rate": learning_rate(step)}, step=step)

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        rate = {"learning_rate": learning_rate(state["step"])}
        state = _state(rate, step=state["step"] + 1)
        return _scaled(gradients, state["hyperparameters"]["learning_rate"]), state

    return Optimizer(init, update)


def hyperparameters(state: Tree) -> dict[str, Array]:
    """The hyper-parameters in an optimizer's state, by name: floating-point scalars."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {path[-1].key: leaf for path, leaf in leaves if _is_hyperparameter(path)}


def set_hyperparameters(state: Tree, **values: float | Array) -> Tree:
    """An optimizer's state with other hyper-parameters, of the same types: nothing recompiles.

    A learning rate that follows a schedule is overwritten by the schedule at the next step.

    Raises:
        ValueError: if the optimizer has no hyper-parameter of a name.
    """
    present = hyperparameters(state)
    if unknown := sorted(set(values) - set(present)):
        raise ValueError(f"no hyper-parameter {', '.join(unknown)}; there are {', '.join(present)}")

    def replaced(path: KeyPath, leaf: Array) -> Array:
        if _is_hyperparameter(path) and path[-1].key in values:
            return jnp.asarray(values[path[-1].key], leaf.dtype)
        return leaf

    return jax.tree_util.tree_map_with_path(replaced, state)


def global_norm(tree: Tree) -> Array:
    """The Euclidean norm of all of a pytree's numbers together, in float32 at least."""
    squares = [
        jnp.sum(jnp.square(x.astype(jnp.promote_types(x.dtype, jnp.float32))))
        for x in jax.tree.leaves(tree)
    ]
    return jnp.sqrt(sum(squares, start=jnp.zeros(())))


def _scaled(gradients: Tree, learning_rate: Array) -> Tree:
    return jax.tree.map(lambda g: -learning_rate.astype(g.dtype) * g, gradients)


def _average(decay: Array, average: Array, value: Array) -> Array:
    decay = decay.astype(average.dtype)
    return decay * average + (1 - decay) * value


def _state(hyperparameters: dict[str, float | Array], **rest: Tree) -> Tree:
    # A strong type: a weak one would change at the first update, and with it the program.
    dtype = jnp.result_type(float)
    return {"hyperparameters": {k: jnp.asarray(v, dtype) for k, v in hyperparameters.items()}} | rest


def _is_hyperparameter(path: KeyPath) -> bool:
    return len(path) > 1 and getattr(path[-2], "key", None) == "hyperparameters"


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}")
