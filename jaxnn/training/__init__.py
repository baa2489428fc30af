"""Training: a step, a chunk of steps in one compiled program, an iterator over chunks."""

from jaxnn.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from jaxnn.training.devices import make_mesh
from jaxnn.training.diagnosis import Diagnosis, DivergedError, diagnose
from jaxnn.training.evaluate import Evaluation, make_evaluate
from jaxnn.training.feed import epoch_batches, steps_per_epoch
from jaxnn.training.fit import Change, Report, fit
from jaxnn.training.learning_rate import RisingRate, Suggestion, rising_rate, suggest_rate
from jaxnn.training.statistics import INACTIVE, LayerStatistics, Statistics, make_statistics
from jaxnn.training.step import (
    Examples,
    Totals,
    TrainState,
    init_train_state,
    make_chunk,
    make_step,
    prepared,
)

__all__ = [
    "INACTIVE",
    "Change",
    "Checkpoint",
    "Diagnosis",
    "DivergedError",
    "Evaluation",
    "Examples",
    "LayerStatistics",
    "Report",
    "RisingRate",
    "Statistics",
    "Suggestion",
    "Totals",
    "TrainState",
    "diagnose",
    "epoch_batches",
    "fit",
    "init_train_state",
    "load_checkpoint",
    "make_chunk",
    "make_evaluate",
    "make_mesh",
    "make_statistics",
    "make_step",
    "prepared",
    "prune_checkpoints",
    "rising_rate",
    "save_checkpoint",
    "steps_per_epoch",
    "suggest_rate",
]
