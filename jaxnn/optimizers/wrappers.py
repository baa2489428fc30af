"""Optimizers made of others: for some of the parameters, of several batches, averaged."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.optimizers.optimizer import (
    Mask,
    Optimizer,
    apply_updates,
    check_decay,
    check_is_optimizer,
    filters_only,
    make_state,
    matrices_only,
    precise,
    weights_only,
)

Which = Literal["weights", "matrices", "filters"]

_MASKS: dict[str, Mask] = {
    "weights": weights_only,
    "matrices": matrices_only,
    "filters": filters_only,
}


@remembered
def partition(mask: Mask | Which, selected: Optimizer, others: Optimizer) -> Optimizer:
    """One optimizer for the parameters that the mask selects, and another for the rest.

    The state is a pair of theirs; each sees trees with None in the place of what is the other's.

    Args:
        mask: a mask, or the name of one: "weights" (``weights_only``: what is called so),
            "matrices" (``matrices_only``: of two or more axes) or "filters" (``filters_only``: of
            three or more).
        selected: any optimizer.
        others: any optimizer.

    Raises:
        ValueError: if there is no mask of that name.
        TypeError: if one of the optimizers is none.
    """
    if isinstance(mask, str):
        if mask not in _MASKS:
            raise ValueError(f"partition: mask must be one of {', '.join(_MASKS)}, got {mask!r}")
        mask = _MASKS[mask]
    check_is_optimizer("partition: selected", selected)
    check_is_optimizer("partition: others", others)

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


@remembered
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
    traced_once = jax.jit(optimizer.update)  # for its shapes and for itself, however deep it lies

    def init(params: Tree) -> Tree:
        return {
            "step": jnp.zeros((), jnp.int32),
            "mean": jax.tree.map(lambda p: jnp.zeros(p.shape, precise(p)), params),
            "optimizer": optimizer.init(params),
        }

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        count = state["step"] + 1
        mean = jax.tree.map(
            lambda mean, g: mean + (g.astype(mean.dtype) - mean) / count, state["mean"], gradients
        )

        def complete() -> tuple[Tree, Tree, Tree]:
            whole = jax.tree.map(lambda mean, g: mean.astype(g.dtype), mean, gradients)
            updates, inner = traced_once(whole, state["optimizer"], params)
            return updates, inner, jax.tree.map(jnp.zeros_like, mean)

        def wait() -> tuple[Tree, Tree, Tree]:
            like = jax.eval_shape(complete)[0]
            updates = jax.tree.map(lambda u: jnp.zeros(u.shape, u.dtype), like)
            return updates, state["optimizer"], mean

        updates, inner, mean = lax.cond(count == steps, complete, wait)
        return updates, {"step": count % steps, "mean": mean, "optimizer": inner}

    return Optimizer(init, update)


@remembered
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
    check_decay("decay", decay)

    def init(params: Tree) -> Tree:
        # Copies, as a state that is donated must not hold the same array twice.
        average = jax.tree.map(lambda p: jnp.array(p, precise(p)), params)
        return make_state({"average_decay": decay}, step=jnp.zeros((), jnp.int32), average=average)

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
