"""Which learning rate to train with: what the loss does while the rate rises."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.data import Dataset
from jaxnn.data.augmentation import Augmentation
from jaxnn.layers import Layer
from jaxnn.losses import Loss, check_targets, check_task, weighted
from jaxnn.optimizers import Optimizer, hyperparameters, set_hyperparameters
from jaxnn.training.feed import epoch_batches, steps_per_epoch
from jaxnn.training.fit import as_dataset
from jaxnn.training.step import (
    Examples,
    TrainState,
    init_train_state,
    make_step,
    output_shape,
    prepared,
)

_WIDTH = 0.1
"""Decades of the rate: the deviation of the bell curve that losses are averaged with."""

_FALLEN = 0.95
"""A loss that never comes below this part of the first one has not fallen."""


class RisingRate(NamedTuple):
    """The loss of training in which every step has a larger learning rate than the one before.

    Attributes:
        rates: (steps,) float64, the same ratio from each to the next.
        losses: (seeds, steps) float64, that of the next batch after the step with this rate.
    """

    rates: np.ndarray
    losses: np.ndarray


class Suggestion(NamedTuple):
    """What the curve of a rising rate says.

    Attributes:
        rate: a learning rate to train with; None where the curve suggests none.
        reason: why, in a sentence or two.
        smoothed: (steps,) the mean over seeds, averaged over neighbouring rates.
        steepest: the rate at which the loss falls fastest; None where it does not fall.
        lowest: the rate at which it is lowest; None where it does not fall.
        diverged: the rate from which on it is above that of the untrained network, or None.
    """

    rate: float | None
    reason: str
    smoothed: np.ndarray
    steepest: float | None = None
    lowest: float | None = None
    diverged: float | None = None


def rising_rate(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    dataset: Dataset | tuple[Any, Any],
    *,
    batch_size: int,
    first: float = 1e-6,
    last: float = 10.0,
    steps: int = 350,
    seeds: Sequence[int] = (0,),
    augment: Augmentation | None = None,
) -> RisingRate:
    """Trains with a learning rate that rises exponentially, all steps in one compiled program.

    Source: Smith 2015, "Cyclical Learning Rates for Training Neural Networks", section 3.3,
    https://arxiv.org/abs/1506.01186; there, the rate rises linearly.

    Args:
        network: as in ``fit``, like the arguments up to ``batch_size``.
        loss: a loss.
        optimizer: one whose state has a ``learning_rate`` that no schedule sets.
        dataset: the examples.
        batch_size: examples a step.
        first: the rate of the first step, above 0.
        last: that of the last one.
        steps: how many to take, at least 10; they go through the training split as often as
            need be.
        seeds: for each, a network is trained anew.
        augment: applied to the batches.

    Raises:
        TypeError: if ``dataset`` is no data set.
        ValueError: if a number is out of its range, the optimizer has no learning rate, a schedule
            sets it, or the loss is one for another task or cannot judge the outputs by the targets.
    """
    dataset = as_dataset(dataset)
    if not 0 < first < last:
        raise ValueError(f"first and last must be rising, above 0, got {first:g} and {last:g}")
    if steps < 10:
        raise ValueError(f"steps must be at least 10, got {steps}")
    if not seeds:
        raise ValueError("seeds must have at least one")
    per_epoch = steps_per_epoch(dataset, batch_size)
    epochs = -(-(steps + 1) // per_epoch)
    rates = np.geomspace(first, last, steps)
    network = prepared(network, dataset)
    check_task(loss, dataset.task, dataset.asked_for)
    counted = weighted(loss, dataset.class_weights)
    step = make_step(
        *(network, counted, optimizer, augment),
        *(dataset.task, dataset.target_center, per_epoch),
    )

    @jax.jit
    def losses(
        train_state: TrainState, examples: Examples, batches: Array, rates: Array
    ) -> tuple[Array, Array]:
        def body(train_state: TrainState, now: tuple[Array, Array]) -> tuple[TrainState, Any]:
            rows, rate = now
            optimizer_state = set_hyperparameters(train_state.optimizer_state, learning_rate=rate)
            train_state = train_state._replace(optimizer_state=optimizer_state)
            train_state, totals = step(train_state, jax.tree.map(lambda x: x[rows], examples))
            used = train_state.optimizer_state
            kept = _equal(used, set_hyperparameters(used, learning_rate=rate))
            return train_state, (totals.loss, kept)

        return lax.scan(body, train_state, (batches, rates))[1]

    found = []
    for seed in seeds:
        train_state = init_train_state(network, optimizer, dataset.in_shape, seed)
        there = hyperparameters(train_state.optimizer_state)
        if "learning_rate" not in there:
            raise ValueError(
                "the optimizer has no learning_rate among the hyper-parameters in its state, which "
                f"are: {', '.join(there) or 'none'}"
            )
        shape = output_shape(network, train_state.params, train_state.state, dataset.train)
        check_targets(loss, dataset.train.targets, shape)
        order = np.concatenate(
            [
                epoch_batches(seed, epoch, len(dataset.train.targets), batch_size)
                for epoch in range(epochs)
            ]
        )[: steps + 1]
        # Only what is seen goes to the device, in the order in which it is stored.
        rows, places = np.unique(order, return_inverse=True)
        examples = Examples(*(jnp.asarray(part[rows]) for part in dataset.train))
        batches = jnp.asarray(places.reshape(order.shape), jnp.int32)
        # One step more than rates: its loss is that after the last of them.
        given = jnp.asarray(np.append(rates, last), float)
        values, kept = jax.device_get(losses(train_state, examples, batches, given))
        if not kept.all():
            raise ValueError(
                "the optimizer's learning rate follows a schedule, which overwrites the rising "
                "one: give it a number, of any size"
            )
        found.append(values[1:].astype(np.float64))
    return RisingRate(rates, np.array(found))


def _equal(one: Tree, other: Tree) -> Array:
    """Whether two trees are; what is the same array in both need not be compared."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return jnp.array([a == b for a, b in pairs if a is not b]).all()


def suggest_rate(found: RisingRate) -> Suggestion:
    """Reads a learning rate off the loss under a rising one: a third of that of the lowest loss.

    There, steps are about to become too large; a third leaves a margin.
    """
    rates, losses = found.rates, found.losses.mean(0)
    untrained = float(np.median(losses[: max(len(losses) // 20, 3)]))
    # What has diverged must not swamp its neighbours: it is very high, and no more.
    high = 2 * untrained
    bounded = np.where(np.isfinite(losses), np.minimum(losses, high), high)
    decades = np.log10(rates)
    near = np.exp(-0.5 * np.square((decades[:, None] - decades) / _WIDTH))
    smoothed = near @ bounded / near.sum(1)
    at = int(np.argmin(smoothed))
    above = np.flatnonzero(smoothed[at:] > untrained)
    diverged = float(rates[at + above[0]]) if len(above) else None
    if not smoothed[at] < _FALLEN * untrained:
        reason = (
            f"at no rate from {rates[0]:.2g} to {rates[-1]:.2g} does the loss fall below that of "
            f"the untrained network, {untrained:.4g}, by {1 - _FALLEN:.0%}: more steps, or other "
            "rates, may tell"
        )
        return Suggestion(None, reason, smoothed, diverged=diverged)
    falls = np.gradient(smoothed, decades)[: at + 1]
    steepest, lowest = float(rates[np.argmin(falls)]), float(rates[at])
    rate = float(f"{lowest / 3:.2g}")
    reason = f"the loss falls fastest at {steepest:.2g}, and is lowest at {lowest:.2g}"
    if decades[-1] - decades[at] < _WIDTH:
        reason += f", where it is still falling; rates above {rates[-1]:.2g} may be as good"
    elif diverged is not None:
        reason += f"; from {diverged:.2g} on it is above that of the untrained network"
    reason += ". A third of the rate of the lowest leaves a margin"
    return Suggestion(rate, reason, smoothed, steepest, lowest, diverged)
