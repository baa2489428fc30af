"""Optimizers, written out by hand, in optax's calling convention.

An optimizer is a pair of functions::

    state = optimizer.init(params)
    updates, state = optimizer.update(gradients, state, params)
    params = apply_updates(params, updates)

so one from optax can be used in its place. Every pytree has the structure of ``params``. The
pieces (``scale_by_adam``, ``add_decayed_weights``, …) are optimizers too, and ``chain`` composes
them: each turns the updates of the one before into its own.

Hyper-parameters are leaves of the state, in a dictionary of that name: ``set_hyperparameters``
changes them while training runs, and ``jax.vmap`` maps over them, without compiling anew.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

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


def matrices_only(params: Tree) -> Tree:
    """The mask that is True for parameters of two or more axes."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def muon(
    learning_rate: float | Schedule,
    *,
    momentum: float = 0.95,
    nesterov: bool = True,
    steps: int = 5,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    mask: Mask = weights_only,
    matrices: Mask = matrices_only,
) -> Optimizer:
    """Muon: momentum for matrices, orthogonalized, so that all directions are learnt equally fast.

    The step of a matrix W (in, out) with momentum U S Vᵀ is about η √max(1, out / in) U Vᵀ. All
    other parameters follow Adam at the same learning rate (as in optax; for one of their own,
    see ``partition`` and ``scale_by_muon``).

    Source: Jordan 2024, https://kellerjordan.github.io/posts/muon/.

    Args:
        learning_rate: η, a number or a schedule.
        momentum: decay of the average of the gradient, in [0, 1).
        nesterov: whether to look ahead as Nesterov does, in Adam too.
        steps: of the Newton-Schulz iteration that orthogonalizes.
        b1: see ``adam``.
        b2: see ``adam``.
        eps: added to denominators, in Adam too; above 0.
        weight_decay: decoupled, as in ``adamw``.
        mask: which parameters decay.
        matrices: which parameters are orthogonalized: by default, those of two or more axes. One of
            more than two, such as a convolution's (height, width, in, out), is seen as the matrix
            of its last axis against all the others. (optax takes those of two only.)

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        partition(
            matrices,
            scale_by_muon(momentum, nesterov=nesterov, steps=steps, eps=eps),
            scale_by_adam(b1, b2, eps, nesterov=nesterov),
        ),
        *([add_decayed_weights(weight_decay, mask=mask)] if weight_decay else []),
        scale_by_learning_rate(learning_rate),
    )


def partition(mask: Mask, selected: Optimizer, others: Optimizer) -> Optimizer:
    """One optimizer for the parameters that the mask selects, and another for the rest.

    The state is a pair of theirs; each sees trees with None in the place of what is the other's.
    """

    def split(tree: Tree, chosen: Tree) -> tuple[Tree, Tree]:
        return (
            jax.tree.map(lambda x, chosen: x if chosen else None, tree, chosen),
            jax.tree.map(lambda x, chosen: None if chosen else x, tree, chosen),
        )

    def init(params: Tree) -> Tree:
        ours, theirs = split(params, mask(params))
        return selected.init(ours), others.init(theirs)

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        chosen = mask(params)
        halves = zip(split(gradients, chosen), state, split(params, chosen), strict=True)
        (ours, our_state), (theirs, their_state) = (
            optimizer.update(*half)
            for optimizer, half in zip((selected, others), halves, strict=True)
        )
        updates = jax.tree.map(
            lambda chosen, one, other: one if chosen else other, chosen, ours, theirs
        )
        return updates, (our_state, their_state)

    return Optimizer(init, update)


def accumulate(optimizer: Optimizer, steps: int) -> Optimizer:
    """Updates once every ``steps`` steps, by the mean of their gradients: large batches in parts.

    In between, updates are zero, and the optimizer's state stands still: a schedule within counts
    updates, not steps. The mean is kept in float32 at least, beside the optimizer's own state.

    Args:
        optimizer: any, one from optax too.
        steps: how many gradients go into an update, at least 1.

    Raises:
        ValueError: if ``steps`` is not positive.
    """
    if steps < 1:
        raise ValueError(f"accumulate: steps must be at least 1, got {steps}")

    def init(params: Tree) -> Tree:
        return {
            "step": jnp.zeros((), jnp.int32),
            "mean": jax.tree.map(lambda p: jnp.zeros(p.shape, _precise(p)), params),
            "optimizer": optimizer.init(params),
        }

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        count = state["step"] + 1
        mean = jax.tree.map(
            lambda mean, g: mean + (g.astype(mean.dtype) - mean) / count, state["mean"], gradients
        )

        def complete() -> tuple[Tree, Tree, Tree]:
            whole = jax.tree.map(lambda mean, g: mean.astype(g.dtype), mean, gradients)
            updates, inner = optimizer.update(whole, state["optimizer"], params)
            return updates, inner, jax.tree.map(jnp.zeros_like, mean)

        def wait() -> tuple[Tree, Tree, Tree]:
            like = jax.eval_shape(complete)[0]
            updates = jax.tree.map(lambda u: jnp.zeros(u.shape, u.dtype), like)
            return updates, state["optimizer"], mean

        updates, inner, mean = lax.cond(count == steps, complete, wait)
        return updates, {"step": count % steps, "mean": mean, "optimizer": inner}

    return Optimizer(init, update)


def exponential_moving_average(decay: float = 0.999) -> Optimizer:
    """Keeps an average of the weights, which is often better than the weights themselves.

    It changes no update, and stands last in a chain, where it sees what becomes of the parameters::

        optimizer = chain(adam(1e-3), exponential_moving_average(0.999))
        ...
        average = averaged_params(optimizer_state)

    The average a of θ₁, θ₂, … has weights in proportion to dᵗ⁻ⁱ, i ≤ t, which sum to one: that is
    a ← a + (1 - d) / (1 - dᵗ) · (θₜ - a), with no trace of the initial parameters after the first
    step. It is kept in float32 at least.

    Source: Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".

    Args:
        decay: d, in [0, 1): the average reaches back over about 1 / (1 - d) steps. Among the
            hyper-parameters its name is ``average_decay``.

    Raises:
        ValueError: if ``decay`` is out of its range.
    """
    _check_decay("decay", decay)

    def init(params: Tree) -> Tree:
        # Copies, as a state that is donated must not hold the same array twice.
        average = jax.tree.map(lambda p: jnp.array(p, _precise(p)), params)
        return _state({"average_decay": decay}, step=jnp.zeros((), jnp.int32), average=average)

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        decay = state["hyperparameters"]["average_decay"]
        step = state["step"] + 1
        rate = (1 - decay) / (1 - decay**step)
        average = jax.tree.map(
            lambda a, p: a + rate.astype(a.dtype) * (p.astype(a.dtype) - a),
            state["average"],
            apply_updates(params, gradients),
        )
        return gradients, state | {"step": step, "average": average}

    return Optimizer(init, update)


def averaged_params(state: Tree) -> Tree:
    """The average that ``exponential_moving_average`` keeps, from anywhere in an optimizer's state.

    Returns:
        A pytree like the parameters, in float32 at least.

    Raises:
        ValueError: if there is none, or more than one.
    """

    def holds_average(node: Tree) -> bool:
        return isinstance(node, dict) and "average_decay" in node.get("hyperparameters", ())

    nodes = jax.tree.leaves(state, is_leaf=holds_average)
    found = [node["average"] for node in nodes if holds_average(node)]
    if len(found) != 1:
        raise ValueError(f"expected one average of the weights in the state, found {len(found)}")
    return found[0]


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


def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, nesterov: bool = False
) -> Optimizer:
    """Adam's step before the learning rate, m̂ / (√v̂ + ε).

    m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g² start at zero, so that after t steps they are
    too small by the factors 1 - β₁ᵗ and 1 - β₂ᵗ; m̂ and v̂ divide by these. With Nesterov's look
    ahead (Dozat 2016), m̂ = β₁ m / (1 - β₁ᵗ⁺¹) + (1 - β₁) g / (1 - β₁ᵗ).
    """
    _check_decay("b1", b1)
    _check_decay("b2", b2)
    _check_positive("eps", eps)

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
        m_hat = _corrected(b1, step, m, gradients, nesterov)
        v_correction = 1 / (1 - b2**step)

        def scaled(m_hat: Array, v: Array) -> Array:
            root = jnp.sqrt(v * v_correction.astype(v.dtype)) + eps.astype(v.dtype)
            return m_hat / root

        updates = jax.tree.map(scaled, m_hat, v)
        return updates, state | {"step": step, "m": m, "v": v}

    return Optimizer(init, update)


def scale_by_rss(initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> Optimizer:
    """Adagrad's step before the learning rate, g / √(s + ε), where s ← s + g² sums all squares."""
    if initial_accumulator_value < 0:
        raise ValueError(
            f"initial_accumulator_value must not be negative, got {initial_accumulator_value}"
        )
    _check_positive("eps", eps)

    def init(params: Tree) -> Tree:
        def full(p: Array) -> Array:
            return jnp.full_like(p, initial_accumulator_value)

        return _state({"eps": eps}, sum=jax.tree.map(full, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        eps = state["hyperparameters"]["eps"]
        total = jax.tree.map(lambda s, g: s + g * g, state["sum"], gradients)
        updates = jax.tree.map(
            lambda g, s: g * lax.rsqrt(s + eps.astype(s.dtype)), gradients, total
        )
        return updates, state | {"sum": total}

    return Optimizer(init, update)


def scale_by_rms(decay: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """RMSProp's step before the learning rate, g / √(v + ε), where v ← ρ v + (1 - ρ) g²."""
    _check_decay("decay", decay)
    _check_positive("eps", eps)

    def init(params: Tree) -> Tree:
        return _state({"decay": decay, "eps": eps}, v=jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        decay, eps = (state["hyperparameters"][name] for name in ("decay", "eps"))
        v = jax.tree.map(lambda v, g: _average(decay, v, g * g), state["v"], gradients)
        updates = jax.tree.map(lambda g, v: g * lax.rsqrt(v + eps.astype(v.dtype)), gradients, v)
        return updates, state | {"v": v}

    return Optimizer(init, update)


def scale_by_lion(b1: float = 0.9, b2: float = 0.99) -> Optimizer:
    """Lion's step before the learning rate, sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g."""
    _check_decay("b1", b1)
    _check_decay("b2", b2)

    def init(params: Tree) -> Tree:
        return _state({"b1": b1, "b2": b2}, m=jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        b1, b2 = (state["hyperparameters"][name] for name in ("b1", "b2"))
        updates = jax.tree.map(lambda m, g: jnp.sign(_average(b1, m, g)), state["m"], gradients)
        m = jax.tree.map(lambda m, g: _average(b2, m, g), state["m"], gradients)
        return updates, state | {"m": m}

    return Optimizer(init, update)


def scale_by_muon(
    momentum: float = 0.95, *, nesterov: bool = True, steps: int = 5, eps: float = 1e-8
) -> Optimizer:
    """Muon's step before the learning rate: the momentum with its singular values pushed to one.

    m ← μ m + (1 - μ) g, corrected for its start at zero as in ``scale_by_adam``, and seen as a
    matrix of fan-in rows and fan-out columns; the result is scaled by √max(1, fan-out / fan-in).
    """
    _check_decay("momentum", momentum)
    _check_positive("eps", eps)

    def init(params: Tree) -> Tree:
        return _state(
            {"momentum": momentum, "eps": eps},
            step=jnp.zeros((), jnp.int32),
            m=jax.tree.map(jnp.zeros_like, params),
        )

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        mu, eps = (state["hyperparameters"][name] for name in ("momentum", "eps"))
        step = state["step"] + 1
        m = jax.tree.map(lambda m, g: _average(mu, m, g), state["m"], gradients)

        def scaled(m_hat: Array) -> Array:
            matrix = m_hat.reshape(-1, m_hat.shape[-1])
            rows, columns = matrix.shape
            factor = math.sqrt(max(1, columns / rows))
            return factor * _orthogonalized(matrix, steps, eps).reshape(m_hat.shape)

        updates = jax.tree.map(scaled, _corrected(mu, step, m, gradients, nesterov))
        return updates, state | {"step": step, "m": m}

    return Optimizer(init, update)


def _orthogonalized(x: Array, steps: int, eps: Array) -> Array:
    """Approximates U Vᵀ of a matrix's singular value decomposition U S Vᵀ.

    Divided by its Frobenius norm, x has singular values in [0, 1]. A step of the Newton-Schulz
    iteration, x ← a x + (b A + c A²) x with A = x xᵀ, leaves U and V as they are and maps each
    singular value σ to a σ + b σ³ + c σ⁵; the coefficients lift small ones fast, to about 1 ± 0.3.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    transposed = x.shape[0] > x.shape[1]  # the smaller of x xᵀ and xᵀ x
    x = x.T if transposed else x
    x = x / (global_norm(x) + eps).astype(x.dtype)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if transposed else x


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
    """Scales all gradients by one factor, so that their joint norm is at most ``max_norm``.

    Source: Pascanu et al. 2013, https://proceedings.mlr.press/v28/pascanu13.html.

    Raises:
        ValueError: if ``max_norm`` is not positive.
    """
    _check_positive("max_norm", max_norm)

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
        # A traced one, as in vmap, has no value to look at.
        if not isinstance(learning_rate, Array) and not learning_rate >= 0:
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
    squares = [_sum_of_squares(x.astype(_precise(x)).reshape(-1)) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares, start=jnp.zeros(())))


_LANES = 1024


def _sum_of_squares(x: Array) -> Array:
    """Of a vector. XLA on a CPU adds number by number; many sums side by side are 3× faster."""

    def in_lanes(x: Array) -> Array:
        rows = x[: len(x) // _LANES * _LANES].reshape(-1, _LANES)
        zero = jnp.zeros(_LANES, x.dtype)
        sums = lax.fori_loop(0, len(rows), lambda i, sums: sums + jnp.square(rows[i]), zero)
        return jnp.sum(sums) + jnp.sum(jnp.square(x[rows.size :]))

    if len(x) < 2 * _LANES:
        return jnp.sum(jnp.square(x))
    return lax.platform_dependent(x, cpu=in_lanes, default=lambda x: jnp.sum(jnp.square(x)))


def _scaled(gradients: Tree, learning_rate: Array) -> Tree:
    return jax.tree.map(lambda g: -learning_rate.astype(g.dtype) * g, gradients)


def _corrected(decay: Array, step: Array, m: Tree, gradients: Tree, nesterov: bool) -> Tree:
    """A running average that began at zero, made up for it; or one step ahead, as Nesterov's is."""
    if not nesterov:
        correction = 1 / (1 - decay**step)
        return jax.tree.map(lambda m: m * correction.astype(m.dtype), m)
    of_m, of_g = decay / (1 - decay ** (step + 1)), (1 - decay) / (1 - decay**step)
    return jax.tree.map(
        lambda m, g: of_m.astype(m.dtype) * m + of_g.astype(g.dtype) * g, m, gradients
    )


def _average(decay: Array, average: Array, value: Array) -> Array:
    decay = decay.astype(average.dtype)
    return decay * average + (1 - decay) * value


def _state(hyperparameters: Mapping[str, float | Array], **rest: Tree) -> Tree:
    # A strong type: a weak one would change at the first update, and with it the program.
    dtype = jnp.result_type(float)
    leaves = {name: jnp.asarray(value, dtype) for name, value in hyperparameters.items()}
    return {"hyperparameters": leaves} | rest


def _is_hyperparameter(path: KeyPath) -> bool:
    return len(path) > 1 and getattr(path[-2], "key", None) == "hyperparameters"


def _precise(x: Array) -> DTypeLike:
    return jnp.promote_types(x.dtype, jnp.float32)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}")
