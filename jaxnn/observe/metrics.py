"""Reports as JSON lines."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxnn.errors import writing
from jaxnn.files import write_whole
from jaxnn.training import LayerStatistics, Report


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
    """A report as plain values: validation as ``validation_loss`` and so on, and, where there are
    any, ``statistics``, an object for each layer, and ``warnings``, a list of sentences."""
    values = report._asdict()
    for key in ("train_state", "validation", "statistics", "warnings"):
        del values[key]
    if report.validation is not None:
        values |= {f"validation_{k}": v for k, v in report.validation._asdict().items()}
    if report.statistics is not None:
        values["statistics"] = {layer.label: _numbers(layer) for layer in report.statistics}
    if report.warnings:
        values["warnings"] = list(report.warnings)
    return values


def cut(path: Path, step: int) -> None:
    """Removes all reports after a step, and a line that was not finished.

    Raises:
        OSError: if the file cannot be read or written.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = []
    for line in lines:
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    with write_whole(path) as file:
        file.write("".join(kept).encode())


def _numbers(layer: LayerStatistics) -> dict[str, float]:
    values = asdict(layer)
    return {key: value for key, value in values.items() if isinstance(value, float)}


def to_json(values: Any, indent: int | None = None) -> str:
    """Plain values as JSON, with null for numbers that JSON does not have: NaN, infinities."""
    return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
