"""What an optimizer is, and the pieces that many are chained of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.collectives import sum_over_parts
from jaxnn.errors import uncalled
from jaxnn.schedules import Schedule

Mask: TypeAlias = Callable[[Tree], Tree]
"""``params -> pytree of bools``: True where something is to be done."""

KeyPath: TypeAlias = tuple[Any, ...]


class _Optimizer(NamedTuple):
    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]


class Optimizer(_Optimizer):
    """A pair of pure functions.

    Attributes:
        init: ``params -> state``.
        update: ``(gradients, state, params) -> (updates, state)``; updates are to be *added* to
            the parameters.
    """


def check_is_optimizer(place: str, optimizer: object) -> None:
    """Raises TypeError unless something has the two functions; ``place`` begins the message."""
    if not callable(getattr(optimizer, "init", None)) or not hasattr(optimizer, "update"):
        kind, hint = type(optimizer).__name__, uncalled(optimizer)
        raise TypeError(f"{place} is no Optimizer but a {kind}{hint}")


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """Adds the updates to the parameters, in the parameters' types."""
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)


@remembered
def chain(*optimizers: Optimizer) -> Optimizer:
    """Applies optimizers one after the other; the state is a tuple of theirs.

    Raises:
        TypeError: if one of them is no optimizer.
    """
    for i, optimizer in enumerate(optimizers):
        check_is_optimizer(f"chain: argument {i}", optimizer)

    def init(params: Tree) -> Tree:
        return tuple(optimizer.init(params) for optimizer in optimizers)

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        states = []
        for optimizer, s in zip(optimizers, state, strict=True):
            gradients, s = optimizer.update(gradients, s, params)
            states.append(s)
        return gradients, tuple(states)

    return Optimizer(init, update)


@remembered
def scale_by_learning_rate(learning_rate: float | Schedule) -> Optimizer:
    """Multiplies by minus the learning rate. A schedule's latest value is kept in the state."""
    if not callable(learning_rate):
        # A traced one, as in vmap, has no value to look at.
        if not isinstance(learning_rate, Array) and not learning_rate >= 0:
            raise ValueError(f"learning_rate must not be negative, got {learning_rate}")

        def constant_init(params: Tree) -> Tree:
            return make_state({"learning_rate": learning_rate})

        def constant_update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
            return _scaled(gradients, state["hyperparameters"]["learning_rate"]), state

        return Optimizer(constant_init, constant_update)

    def init(params: Tree) -> Tree:
        step = jnp.zeros((), jnp.int32)
        return make_state({"learning_rate": learning_rate(step)}, step=step)

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        rate = {"learning_rate": learning_rate(state["step"])}
        state = make_state(rate, step=state["step"] + 1)
        return _scaled(gradients, state["hyperparameters"]["learning_rate"]), state

    return Optimizer(init, update)


def _scaled(gradients: Tree, learning_rate: Array) -> Tree:
    return jax.tree.map(lambda g: -learning_rate.astype(g.dtype) * g, gradients)


def weights_only(params: Tree) -> Tree:
    """The mask that is True for entries called "weight" and False for biases, scales and all else.

    Weight decay is meant for weights: pulling a bias or a scale to zero does not simplify a
    network (Goodfellow et al. 2016, "Deep Learning", section 7.1).
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: bool(path) and getattr(path[-1], "key", None) == "weight", params
    )


def matrices_only(params: Tree) -> Tree:
    """The mask that is True for parameters of two or more axes."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def filters_only(params: Tree) -> Tree:
    """The mask that is True for parameters of three or more axes, as those of convolutions have."""
    return jax.tree.map(lambda p: p.ndim >= 3, params)


@remembered
def add_decayed_weights(weight_decay: float, *, mask: Mask = weights_only) -> Optimizer:
    """Adds λ θ to the updates of the parameters that the mask selects."""
    if weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")

    def init(params: Tree) -> Tree:
        return make_state({"weight_decay": weight_decay})

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        decay = state["hyperparameters"]["weight_decay"]

        def decayed(g: Array, p: Array, selected: bool) -> Array:
            return g + decay.astype(g.dtype) * p if selected else g

        return jax.tree.map(decayed, gradients, params, mask(params)), state

    return Optimizer(init, update)


@remembered
def clip_by_global_norm(max_norm: float) -> Optimizer:
    """Scales all gradients by one factor, so that their joint norm is at most ``max_norm``.

    Source: Pascanu et al. 2013, https://proceedings.mlr.press/v28/pascanu13.html.

    Raises:
        ValueError: if ``max_norm`` is not positive.
    """
    check_positive("max_norm", max_norm)

    def init(params: Tree) -> Tree:
        return make_state({"max_norm": max_norm})

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        max_norm = state["hyperparameters"]["max_norm"]
        # Not max_norm / norm: that is a division by zero where all gradients are zero.
        factor = max_norm / jnp.maximum(global_norm(gradients), max_norm)
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), gradients), state

    return Optimizer(init, update)


def global_norm(tree: Tree) -> Array:
    """The Euclidean norm of all of a pytree's numbers together, in float32 at least."""
    squares = [
        sum_over_parts(path, _sum_of_squares(x.astype(precise(x)).reshape(-1)))
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    ]
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


def hyperparameters(state: Tree) -> dict[str, Array]:
    """The hyper-parameters in an optimizer's state, by name: floating-point scalars.

    Of several of one name, as ``partition`` may have them, it is the first.
    """
    found: dict[str, Array] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if _is_hyperparameter(path):
            found.setdefault(path[-1].key, leaf)
    return found


def set_hyperparameters(state: Tree, **values: float | Array) -> Tree:
    """An optimizer's state with other hyper-parameters, of the same types: nothing recompiles.

    A learning rate that follows a schedule is overwritten by the schedule at the next step. All of
    a name are set.

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


def with_hyperparameters_of(state: Tree, other: Tree) -> Tree:
    """An optimizer's state with the hyper-parameters, each in its place, of another like it."""
    return jax.tree_util.tree_map_with_path(
        lambda path, ours, theirs: theirs if _is_hyperparameter(path) else ours, state, other
    )


def _is_hyperparameter(path: KeyPath) -> bool:
    return len(path) > 1 and getattr(path[-2], "key", None) == "hyperparameters"


def make_state(hyperparameters: Mapping[str, float | Array], **rest: Tree) -> Tree:
    """An optimizer's state: the hyper-parameters in their dictionary, and all else beside it."""
    # A strong type: a weak one would change at the first update, and with it the program.
    dtype = jnp.result_type(float)
    leaves = {name: jnp.asarray(value, dtype) for name, value in hyperparameters.items()}
    return {"hyperparameters": leaves} | rest


def precise(x: Array) -> DTypeLike:
    """The type in which long sums of such numbers are kept: float32 at least."""
    return jnp.promote_types(x.dtype, jnp.float32)


def average(decay: Array, average: Array, value: Array) -> Array:
    """A running average after one value more, in the average's type."""
    decay = decay.astype(average.dtype)
    return decay * average + (1 - decay) * value


def corrected(decay: Array, step: Array, m: Tree, gradients: Tree, nesterov: bool) -> Tree:
    """A running average that began at zero, made up for it; or one step ahead, as Nesterov's is."""
    if not nesterov:
        correction = 1 / (1 - decay**step)
        return jax.tree.map(lambda m: m * correction.astype(m.dtype), m)
    of_m, of_g = decay / (1 - decay ** (step + 1)), (1 - decay) / (1 - decay**step)
    return jax.tree.map(
        lambda m, g: of_m.astype(m.dtype) * m + of_g.astype(g.dtype) * g, m, gradients
    )


def check_positive(name: str, value: float) -> None:
    """Raises ValueError unless the value is above 0."""
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")


def check_decay(name: str, value: float) -> None:
    """Raises ValueError unless the value is in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}")
