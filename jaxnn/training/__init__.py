"""Training: a step, a chunk of steps in one compiled program, an iterator over chunks."""

from jaxnn.training.evaluate import Evaluation, make_evaluate
from jaxnn.training.fit import Report, epoch_batches, fit, steps_per_epoch
from jaxnn.training.step import (
    Examples,
    Totals,
    TrainState,
    init_train_state,
    make_chunk,
    make_step,
)

__all__ = [
    "Evaluation",
    "Examples",
    "Report",
    "Totals",
    "TrainState",
    "epoch_batches",
    "fit",
    "init_train_state",
    "make_chunk",
    "make_evaluate",
    "make_step",
    "steps_per_epoch",
]
