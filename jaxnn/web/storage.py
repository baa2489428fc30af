"""What a session starts from, a config or a run directory, and the run directory that it leaves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import Tree
from jaxnn.config import Config, Experiment, build, load_config
from jaxnn.errors import DataError, RunError, warn
from jaxnn.observe import read_metrics
from jaxnn.runs import (
    CHECKPOINTS,
    METRICS,
    MODEL,
    initial_state,
    load_model,
    read_config,
)
from jaxnn.runs.data import Kept, load_data, read_data, say_old, to_keep
from jaxnn.runs.directory import read_summary
from jaxnn.runs.saved import write_run
from jaxnn.training import TrainState, load_checkpoint, steps_per_epoch


class Opened(NamedTuple):
    """What a session starts from.

    Attributes:
        path: the config's file, or the run directory.
        config: the config as given: schedules that name no horizon have none.
        experiment: what it describes; the examples may be missing.
        train_state: where training stands.
        records: the reports so far, as in ``metrics.jsonl``.
        kept: what a run has kept of its data; None for a config.
    """

    path: Path
    config: Config
    experiment: Experiment
    train_state: TrainState
    records: list[dict[str, Any]]
    kept: Kept | None = None


def open_source(
    path: str | Path, overrides: Sequence[str] = (), *, allow_changes: bool = False
) -> Opened:
    """Reads a config, or a run directory with its parameters, and the data if they are there.

    The optimizer's state is that of the run's checkpoint, if there is one that belongs to the
    parameters and to the optimizer; else a fresh one. A run that was interrupted starts from its
    newest checkpoint.

    Args:
        path: the config's file, or the run directory.
        overrides: changes to the config.
        allow_changes: whether a run's data or model may have changed; see ``load_run``.

    Raises:
        ConfigError, DataError: as from ``load_config`` and ``build``.
        RunError: if a directory is no run, its arrays are not those of the config's network, or its
            data have changed.
    """
    path = Path(path)
    if not path.is_dir():
        config = load_config(path, overrides)
        experiment = build(config)
        return Opened(path, config, experiment, initial_state(experiment), [])
    config = read_config(path, overrides)
    experiment, kept = _with_data(path, config, allow_changes)
    try:
        found: TrainState | None = load_checkpoint(
            path / CHECKPOINTS, lambda: initial_state(experiment)
        ).train_state
    except RunError:
        if not (path / MODEL).is_file():
            raise
        found = None
    if (path / MODEL).is_file():
        params, state = load_model(path / MODEL, experiment, allow_changes=allow_changes)
        if found is None or not _equal((found.params, found.state), (params, state)):
            fresh = initial_state(experiment)
            step = jnp.asarray(_steps(path), jnp.int32)
            found = fresh._replace(step=step, params=params, state=state)
    assert found is not None
    reports, _ = read_metrics(path / METRICS)  # as far as they can be read
    reports = [report for report in reports if report["step"] <= int(found.step)]
    return Opened(path, config, experiment, found, reports, kept)


def _with_data(path: Path, config: Config, allow_changes: bool) -> tuple[Experiment, Kept]:
    """Returns a run's experiment, and what is known of its data, which may be missing."""
    kept = read_data(path)
    if kept is None:
        say_old(path)
        experiment = build(config)
        return experiment, to_keep(experiment)
    try:
        dataset, kept = load_data(path, config, kept, allow_changes=allow_changes)
    except DataError as error:
        warn(str(error))
        dataset = kept.info.dataset._replace(missing=str(error))
    return build(config, dataset), kept


def save_run(
    path: Path | None,
    experiment: Experiment,
    kept: Kept,
    train_state: TrainState,
    records: Sequence[dict[str, Any]],
    seconds: dict[str, float],
) -> Path:
    """Writes what was trained in the lab as ``write_run`` does; returns the directory.

    Its config has as many epochs as were begun, so that ``resume`` goes on from there.
    """
    config = experiment.config
    per_epoch = steps_per_epoch(experiment.dataset, config.training.batch_size)
    epochs = max(config.training.epochs, -(-int(train_state.step) // per_epoch))
    training = config.training.model_copy(update={"epochs": epochs})
    experiment = experiment._replace(config=config.model_copy(update={"training": training}))
    return write_run(path, experiment, kept, train_state, records, seconds, resumable=True).path


def _equal(a: Tree, b: Tree) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def _steps(path: Path) -> int:
    """Returns how many steps a run has taken, by its summary; 0 if that does not say it."""
    try:
        steps = read_summary(path).get("steps")
    except FileNotFoundError:
        return 0
    except RunError as error:
        warn(f"{error}; steps are counted from 0")
        return 0
    return steps if isinstance(steps, int) and 0 <= steps < 2**31 else 0
