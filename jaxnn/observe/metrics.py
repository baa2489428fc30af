"""Reports as JSON lines."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxnn.errors import RunError, writing
from jaxnn.files import write_whole
from jaxnn.tasks import TASKS
from jaxnn.training import LayerStatistics, Report

_RELIED_ON = ("epoch", "loss", "examples_per_second", "train_seconds")


@contextmanager
def metrics(path: Path) -> Iterator[Callable[[Report], None]]:
    """Opens a file and gives the consumer that appends one JSON object a report, a line each.

    Raises:
        RunError: if the file cannot be written; from the consumer too.
    """
    with writing(path):
        file = path.open("a", encoding="utf-8")

    def consume(report: Report) -> None:
        with writing(path):
            file.write(to_json(record(report)) + "\n")
            file.flush()

    try:
        yield consume
    finally:
        with writing(path):
            file.close()


def record(report: Report) -> dict[str, Any]:
    """Returns a report as plain values.

    Validation is there as ``validation_loss`` and so on, and, where there are any, ``statistics``,
    an object for each layer, and ``warnings``, a list of sentences.
    """
    values: dict[str, Any] = {}
    for key, value in report._asdict().items():
        if key == "metrics":
            values |= value
        elif key not in ("train_state", "validation", "statistics", "warnings", "arguments"):
            values[key] = value
    for key in ("learning_rate", "start_loss"):
        if values[key] is None:
            del values[key]
    if report.validation is not None:
        loss, examples, metrics = report.validation
        found = {"loss": loss, **metrics, "examples": examples}
        values |= {f"validation_{key}": value for key, value in found.items()}
    if report.statistics is not None:
        values["statistics"] = {layer.label: _numbers(layer) for layer in report.statistics}
    if report.warnings:
        values["warnings"] = list(report.warnings)
    return values


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Reads reports back, as ``record`` makes them.

    The last line may be unfinished: it is being written, or was when the run was stopped.

    Returns:
        The reports up to the first damaged line, and a sentence on that line; "" if there is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        return [], f"{path}: cannot read the metrics: {error}"
    reports: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break
        try:
            report = json.loads(line)
            if not _is_report(report):
                raise ValueError
        except (AttributeError, ValueError, TypeError, KeyError, RecursionError):
            return reports, f"{path}: line {number} is no report"
        reports.append(report)
    return reports, ""


def _is_report(report: Any) -> bool:
    """Returns whether a line has what others rely on; errors tell of what is missing, too.

    A number that is not one for others may be null, which NaN and infinity are written as.
    """
    numbers = [report[key] for key in _RELIED_ON]
    prefixes = [""]
    if "validation_loss" in report:
        numbers.append(report["validation_examples"])
        prefixes.append("validation_")
    for prefix in prefixes:
        known = [[prefix + name for name in task.metrics] for task in TASKS.values()]
        if not any(all(name in report for name in names) for names in known):
            raise KeyError
    numbers += [report[key] for key in ("accuracy", "validation_accuracy") if key in report]
    values = [v for key, v in report.items() if key not in ("statistics", "warnings")]
    for layer in report.get("statistics", {}).values():
        values += [layer["activation_mean"], layer["activation_deviation"], layer["d_output_norm"]]
        values += layer.values()
    texts = report.get("warnings", [])
    return (
        type(report["step"]) is int
        and 0 <= report["step"] < 2**31
        and isinstance(texts, list)
        and all(isinstance(text, str) for text in texts)
        and all(map(is_number, numbers))
        and report.get("validation_examples", 1) > 0
        and all(v is None or is_number(v) for v in values)
    )


def is_number(value: Any) -> bool:
    """Returns whether a value from JSON is a number that can be reckoned with."""
    return type(value) in (int, float) and abs(value) <= 1e300


def cut(path: Path, step: int) -> None:
    """Removes all reports after a step, and a line that was not finished.

    Raises:
        RunError: if the file is damaged before that step, or cannot be read or written.
    """
    if not path.exists():
        return
    reports, problem = read_metrics(path)
    if problem and max([report["step"] for report in reports], default=0) < step:
        raise RunError(f"{problem}; to go on without it and those after it, take them out")
    kept = sum(report["step"] <= step for report in reports)
    with writing(path):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        with write_whole(path) as file:
            file.write("".join(lines[:kept]).encode())


def _numbers(layer: LayerStatistics) -> dict[str, float]:
    values = asdict(layer)
    return {key: value for key, value in values.items() if isinstance(value, float)}


def to_json(values: Any, indent: int | None = None) -> str:
    """Returns plain values as JSON, with null for NaN and infinities, which JSON does not have."""
    return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
