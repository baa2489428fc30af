"""The reports of a training in the lab: put together, judged, recorded and thinned out."""

import time
from collections.abc import Sequence
from typing import Any

from jaxnn.data import Dataset
from jaxnn.losses import Loss
from jaxnn.observe import chance, health, to_json
from jaxnn.observe.metrics import record
from jaxnn.training import Report

REPORT_SECONDS = 0.1
"""The least time between two reports; the chunks between are put together."""
LONGEST = 4000
"""Reports kept; beyond that, they are thinned out."""


class History:
    """The reports of a training.

    Args:
        records: those so far, as in ``metrics.jsonl``.
        flops: floating-point operations an example of a step.
        dataset: what is trained on.
        loss: by what it is judged.

    Attributes:
        records: all that were published, as in ``metrics.jsonl``.
    """

    def __init__(
        self, records: list[dict[str, Any]], flops: float, dataset: Dataset, loss: Loss
    ) -> None:
        self.records = records
        self._flops = flops
        self._metrics = dataset.task.metrics
        self._health = health(records, chance(dataset, loss))
        self._unpublished: list[tuple[int, Report]] = []
        self._published_at = 0.0

    def add(self, steps: int, report: Report) -> None:
        """Takes the report of a chunk of so many steps."""
        self._unpublished.append((steps, report))

    @property
    def due(self) -> bool:
        """Whether it is time to publish."""
        return time.monotonic() - self._published_at >= REPORT_SECONDS

    def publish(self) -> dict[str, Any] | None:
        """Records what was added since the last time as one report; returns it for clients."""
        if not self._unpublished:
            return None
        report = _together(self._unpublished)
        self._unpublished.clear()
        self._published_at = time.monotonic()
        row = record(report._replace(warnings=self._health(report)))
        self.records.append(row)
        if len(self.records) > LONGEST:
            self.records = thinned(self.records, LONGEST // 2)
        return self._wire(row)

    def message(self) -> str:
        """Returns the message with all reports; from any thread."""
        records = list(self.records)
        return to_json({"type": "history", "reports": [self._wire(row) for row in records]})

    def _wire(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns a line of ``metrics.jsonl`` as clients get it."""
        validation = None
        if "validation_loss" in row:
            named = ("loss", *self._metrics)
            validation = {key: row[f"validation_{key}"] for key in named}
        keys = ("step", "epoch", "loss", *self._metrics, "examples_per_second", "train_seconds")
        return {
            "type": "report",
            **{key: row[key] for key in keys},
            "gflops": row["examples_per_second"] * self._flops / 1e9,
            "validation": validation,
            "warnings": row.get("warnings", []),
        }


def _together(parts: Sequence[tuple[int, Report]]) -> Report:
    """Returns the reports of successive chunks as one; each comes with its number of steps."""
    steps = sum(taken for taken, _ in parts)
    last = parts[-1][1]

    def latest(key: str) -> Any:
        found = [getattr(report, key) for _, report in parts if getattr(report, key) is not None]
        return found[-1] if found else None

    return last._replace(
        loss=sum(taken * report.loss for taken, report in parts) / steps,
        metrics={
            key: sum(taken * report.metrics[key] for taken, report in parts) / steps
            for key in last.metrics
        },
        examples_per_second=steps
        / sum(taken / report.examples_per_second for taken, report in parts),
        validation=latest("validation"),
        statistics=latest("statistics"),
        start_loss=latest("start_loss"),
    )


def thinned(records: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Returns about so many records, evenly over the steps, and all that have warnings."""
    apart = (records[-1]["step"] - records[0]["step"]) / number
    kept = records[:1]
    for row in records[1:]:
        if row["step"] - kept[-1]["step"] >= apart or "warnings" in row:
            kept.append(row)
    return kept
