"""Runs side by side: what there is, how their configs differ, and results over seeds."""

import datetime
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnn.config import Config, differences, load_config
from jaxnn.data.info import DatasetInfo, changes
from jaxnn.errors import JaxnnError, RunError
from jaxnn.observe import read_metrics
from jaxnn.runs.data import read_data
from jaxnn.runs.directory import CONFIG, METRICS, read_summary
from jaxnn.tasks import Task, classification


class Record(NamedTuple):
    """What a run directory tells without loading data or parameters.

    Attributes:
        path: the directory.
        started: when the run was started, in local time; None if the config cannot be read.
        config: None if it cannot be read.
        metrics: the reports; what comes after a damaged line is left out.
        summary: the contents of ``summary.json``; None if training has not ended.
        data: what is known of its data; None if that was not kept or cannot be read.
        problem: a sentence on what is unfinished or damaged; else "".
    """

    path: Path
    started: datetime.datetime | None
    config: Config | None
    metrics: list[dict[str, Any]]
    summary: dict[str, Any] | None
    data: DatasetInfo | None
    problem: str

    @property
    def task(self) -> Task:
        """What its targets are; classes, where that is not known."""
        return classification if self.data is None else self.data.dataset.task

    def result(self, *keys: str) -> float:
        """Returns the number under the first of the keys that has one; NaN if there is none.

        It is that of the summary, or else of the last report that has it.
        """
        for values in (self.summary or {}, *reversed(self.metrics)):
            for key in keys:
                if isinstance(values.get(key), int | float):
                    return float(values[key])
        return math.nan


def read_record(path: str | Path) -> Record:
    """Reads what there is of a run; what is unfinished or damaged is said in ``problem``.

    Raises:
        RunError: if there is no such directory.
    """
    path = Path(path)
    if not path.exists():
        raise RunError(f"{path}: there is no such run directory")
    config, started, summary, problem = None, None, None, ""
    try:
        config = load_config(path / CONFIG)
        started = datetime.datetime.fromtimestamp((path / CONFIG).stat().st_mtime)
    except JaxnnError as error:
        there = (path / CONFIG).is_file()
        problem = f"damaged: {error}" if there else f"no run directory: it has no {CONFIG}"
    metrics: list[dict[str, Any]] = []
    damaged = ""
    if (path / METRICS).exists():
        metrics, damaged = read_metrics(path / METRICS)
        damaged = damaged and f"damaged: {damaged}"
    if config is not None:
        try:
            summary = read_summary(path)
            problem = damaged
        except FileNotFoundError:
            epoch = metrics[-1]["epoch"] if metrics else 0
            problem = damaged or f"unfinished: epoch {epoch:.3g} of {config.training.epochs}"
        except RunError as error:
            summary, problem = None, f"damaged: {error}"
    try:
        kept = read_data(path)
    except RunError as error:
        kept, problem = None, problem or str(error)
    return Record(path, started, config, metrics, summary, kept and kept.info, problem)


def list_runs(folder: str | Path = "runs") -> list[Record]:
    """Returns the runs right below a folder, the oldest first; those without a config before."""
    try:
        paths = [path for path in Path(folder).iterdir() if path.is_dir()]
    except OSError:
        return []
    earliest = datetime.datetime.min
    records = [read_record(path) for path in sorted(paths)]
    return sorted(records, key=lambda record: record.started or earliest)


def group_by_config(records: Sequence[Record]) -> list[list[Record]]:
    """Groups runs whose configs are equal but for seed and name; in the order of the first ones."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.config is not None:
            values = record.config.model_dump() | {"seed": None, "name": None}
            groups.setdefault(json.dumps(values), []).append(record)
    return list(groups.values())


def data_changes(records: Sequence[Record]) -> list[str]:
    """Returns what differs between the data of runs whose configs name the same, a line each.

    Of runs that have kept nothing of their data, this cannot be said.
    """
    first: dict[str, Record] = {}
    found = []
    for record in records:
        if record.config is not None and record.data is not None:
            one = first.setdefault(json.dumps(record.config.data.plain()), record)
            assert one.data is not None
            if changed := changes(one.data, record.data):
                found.append(f"  {one.path} then, {record.path} now:")
                found += [f"    {line}" for line in changed]
    return found


def config_differences(configs: Sequence[Config]) -> dict[str, list[Any]]:
    """Returns what differs between configs, but for seed and name; see ``differences``."""
    same = {"seed": 0, "name": "experiment"}
    return differences([config.model_copy(update=same) for config in configs])


class Spread(NamedTuple):
    """A quantity over several runs.

    Attributes:
        mean: NaN if there is no value.
        deviation: the sample standard deviation, with n - 1; NaN if there are not two.
        number: n, how many values there are.
    """

    mean: float
    deviation: float
    number: int


def spread(values: Sequence[float]) -> Spread:
    """Returns mean and standard deviation of those values that are finite."""
    finite = [value for value in values if math.isfinite(value)]
    return Spread(
        float(np.mean(finite)) if finite else math.nan,
        float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan,
        len(finite),
    )
