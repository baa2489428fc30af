"""Loss and accuracy over a whole split."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.arrays import Tree
from jaxnn.data import Split
from jaxnn.layers import Layer
from jaxnn.losses import Loss, check_targets
from jaxnn.training.feed import ahead
from jaxnn.training.step import is_correct, output_shape


class Evaluation(NamedTuple):
    """How a network does on a split.

    Attributes:
        loss: the mean loss of an example.
        accuracy: the fraction classified correctly.
        examples: how many there were.
    """

    loss: float
    accuracy: float
    examples: int


Evaluate = Callable[[Tree, Tree, Split], Evaluation]
Sums = Callable[[Tree, Tree, Array, Array, Array], tuple[Array, Array]]


def make_sums(network: Layer, loss: Loss) -> Sums:
    """Makes ``(params, state, inputs, targets, weights) -> (loss, correct)``: sums over a batch."""

    def evaluate_batch(
        params: Tree, state: Tree, inputs: Array, targets: Array, weights: Array
    ) -> tuple[Array, Array]:
        outputs, _, _ = network.forward(params, state, inputs)
        value, _ = loss(outputs, targets, weights)
        correct = is_correct(outputs, targets)
        correct = jnp.mean(correct.reshape(len(correct), -1), -1)
        return value * weights.sum(), jnp.sum(correct * weights)

    return evaluate_batch


def make_evaluate(network: Layer, loss: Loss, batch_size: int = 1000) -> Evaluate:
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
    """
    evaluate_batch = jax.jit(make_sums(network, loss))

    def evaluate(params: Tree, state: Tree, split: Split) -> Evaluation:
        count = len(split.targets)
        if not count:
            raise ValueError("there is nothing to evaluate: the split is empty")
        size = min(batch_size, count)

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for start in range(0, count, size):
                rows = np.arange(start, start + size)
                weights = (rows < count).astype(np.float32)
                rows = np.minimum(rows, count - 1)
                yield split.inputs[rows], split.targets[rows], weights

        sums = [jax.device_get(evaluate_batch(params, state, *batch)) for batch in ahead(batches())]
        total_loss, correct = np.sum(np.array(sums, np.float64), axis=0)
        if np.isnan(total_loss):  # inside the program, targets that are not to be had show as this
            check_targets(loss, split.targets, output_shape(network, params, state, split))
        return Evaluation(float(total_loss / count), float(correct / count), count)

    return evaluate
