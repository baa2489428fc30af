"""Loss and metrics over a whole split."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxnn.arrays import Tree
from jaxnn.collectives import batch_sum
from jaxnn.data import Dataset, Split
from jaxnn.layers import Layer
from jaxnn.losses import Loss, check_targets, example_weights
from jaxnn.tasks import Sums, classification
from jaxnn.training.devices import IN_PARTS, WHOLE, param_specs, put, put_rows
from jaxnn.training.feed import ahead
from jaxnn.training.step import output_shape


class Evaluation(NamedTuple):
    """How a network does on a split.

    Attributes:
        loss: the mean loss of an example.
        examples: how many there were.
        metrics: those of the task, by name; see ``jaxnn.tasks``.
    """

    loss: float
    examples: int
    metrics: dict[str, float]

    @property
    def accuracy(self) -> float:
        """The fraction classified correctly; of several labels, of them all."""
        return accuracy(self.metrics)


def accuracy(metrics: dict[str, float]) -> float:
    """Returns the accuracy among metrics.

    Raises:
        AttributeError: if there is none.
    """
    if "accuracy" not in metrics:
        raise AttributeError(f"there is no accuracy: the metrics are {', '.join(metrics)}")
    return metrics["accuracy"]


Evaluate = Callable[[Tree, Tree, Split], Evaluation]
MakesSums = Callable[[Tree, Tree, Array, Array, Array], Sums]


def make_sums(network: Layer, loss: Loss, dataset: Dataset | None = None) -> MakesSums:
    """Makes ``(params, state, inputs, targets, weights) -> sums`` over a batch.

    These are ``loss``, those of the task, and ``weight`` where classes are weighted: of which the
    loss is then the mean. The arguments are those of ``make_evaluate``.
    """
    task = classification if dataset is None else dataset.task
    center = 0.0 if dataset is None else dataset.target_center
    class_weights = None if dataset is None else dataset.class_weights

    def evaluate_batch(
        params: Tree, state: Tree, inputs: Array, targets: Array, weights: Array
    ) -> Sums:
        outputs, _, _ = network.forward(params, state, inputs)
        counted = weights
        if class_weights is not None:
            counted = example_weights(class_weights, targets, weights)
        value, _ = loss(outputs, targets, counted)
        total = batch_sum(counted.sum())  # value is this part's share of the mean over all
        sums = {"loss": value * total, **task.sums(outputs, targets, weights, center)}
        return sums if counted is weights else {**sums, "weight": counted.sum()}

    return evaluate_batch


def make_evaluate(
    network: Layer,
    loss: Loss,
    batch_size: int = 1000,
    dataset: Dataset | None = None,
    mesh: Mesh | None = None,
) -> Evaluate:
    """Makes the function ``(params, state, split) -> Evaluation``.

    Every example counts once: the last batch is padded to the size of the others with examples of
    weight 0, so that all run the same program. No more of the split than two batches is in memory
    at once, if it is mapped from a file.

    ``evaluate`` raises ValueError if the split is empty, or the loss cannot judge the network's
    outputs by its targets.

    Args:
        network: any layer, run in inference mode; it is given the examples as they are (see
            ``before``).
        loss: a loss.
        batch_size: the number of examples computed at a time.
        dataset: whose split it will be, which says what the task is; by default it is
            classification.
        mesh: of the devices that they are divided over, as in ``fit``; None for one device.
    """
    sums_of_part = make_sums(network, loss, dataset)

    @jax.jit
    def evaluate_batch(params: Tree, state: Tree, *batch: Array) -> Sums:
        if mesh is None:
            return sums_of_part(params, state, *batch)
        return jax.shard_map(
            lambda *part: batch_sum(sums_of_part(*part)),
            mesh=mesh,
            in_specs=(param_specs(network, params, mesh), WHOLE, *[IN_PARTS] * 3),
            out_specs=WHOLE,
            check_vma=False,
        )(params, state, *batch)

    devices = mesh.size if mesh else 1
    task = classification if dataset is None else dataset.task
    unit = 1.0 if dataset is None else dataset.target_unit

    def evaluate(params: Tree, state: Tree, split: Split) -> Evaluation:
        count = len(split.targets)
        if not count:
            raise ValueError("there is nothing to evaluate: the split is empty")
        size = -(-min(batch_size, count) // devices) * devices

        def batches() -> Iterator[tuple[Any, Any, Any]]:
            for start in range(0, count, size):
                rows = np.arange(start, start + size)
                weights = (rows < count).astype(np.float32)
                rows = np.minimum(rows, count - 1)
                if mesh is None:
                    yield split.inputs[rows], split.targets[rows], weights
                else:
                    yield *put_rows(tuple(split), rows, mesh), put(weights, mesh, IN_PARTS)

        parts = [
            jax.device_get(evaluate_batch(params, state, *batch)) for batch in ahead(batches())
        ]
        sums = {key: sum(np.asarray(part[key], np.float64) for part in parts) for key in parts[0]}
        if np.isnan(sums["loss"]):  # targets that are not to be had show as this in the program
            check_targets(loss, split.targets, output_shape(network, params, state, split))
        value = float(sums["loss"] / sums.get("weight", count))
        return Evaluation(value, count, task.measure(sums, count, unit))

    return evaluate
