"""Consumers of the reports that ``fit`` yields: each is a function called with every report."""

from jaxnn.observe.console import console
from jaxnn.observe.health import Chance, chance, health
from jaxnn.observe.metrics import metrics, read_metrics, to_json
from jaxnn.observe.tensorboard import check_tensorboard, tensorboard

__all__ = [
    "Chance",
    "chance",
    "check_tensorboard",
    "console",
    "health",
    "metrics",
    "read_metrics",
    "tensorboard",
    "to_json",
]
