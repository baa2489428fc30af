"""Runs: carrying an experiment out, its run directory, and what is read from it.

What needs matplotlib lies in ``jaxnn.runs.pictures`` and ``jaxnn.runs.report``.
"""

from jaxnn.runs.comparison import (
    Record,
    Spread,
    config_differences,
    data_changes,
    group_by_config,
    list_runs,
    read_record,
    spread,
)
from jaxnn.runs.directory import (
    CHECKPOINTS,
    CONFIG,
    DATA,
    METRICS,
    MODEL,
    SUMMARY,
    check_free,
    git_commit,
    new_directory,
    own_place,
    owned,
    read_config,
)
from jaxnn.runs.run import Run, evaluate, load_model, load_run, save_model
from jaxnn.runs.saved import save_run
from jaxnn.runs.stop import StoppedError, stop_requests
from jaxnn.runs.train import Consumer, finish, fit_experiment, initial_state, resume, train

__all__ = [
    "CHECKPOINTS",
    "CONFIG",
    "DATA",
    "METRICS",
    "MODEL",
    "SUMMARY",
    "Consumer",
    "Record",
    "Run",
    "Spread",
    "StoppedError",
    "check_free",
    "config_differences",
    "data_changes",
    "evaluate",
    "finish",
    "fit_experiment",
    "git_commit",
    "group_by_config",
    "initial_state",
    "list_runs",
    "load_model",
    "load_run",
    "new_directory",
    "own_place",
    "owned",
    "read_config",
    "read_record",
    "resume",
    "save_model",
    "save_run",
    "spread",
    "stop_requests",
    "train",
]
