"""Reports as JSON lines."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxnn.training import Report


@contextmanager
def metrics(path: Path) -> Iterator[Callable[[Report], None]]:
    """Opens a file and gives the consumer that appends one JSON object a report, a line each."""
    with path.open("a", encoding="utf-8") as file:

        def consume(report: Report) -> None:
            file.write(json.dumps(record(report)) + "\n")
            file.flush()

        yield consume


def record(report: Report) -> dict[str, Any]:
    """A report as JSON has it: numbers only, validation as ``validation_loss`` and so on."""
    values = report._asdict()
    del values["train_state"], values["validation"]
    if report.validation is not None:
        values |= {f"validation_{k}": v for k, v in report.validation._asdict().items()}
    return values
