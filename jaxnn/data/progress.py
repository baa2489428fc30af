"""Show what takes a while, on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from jaxnn.errors import printable


@contextmanager
def progress(
    line: str, name: str, total: int | None, *, unit: Literal["bytes", "files"]
) -> Iterator[Callable[[int], None]]:
    """Shows how far something has come: a bar on a terminal, else one line, at its start.

    Args:
        line: the line.
        name: what stands beside the bar.
        total: how many there are of the unit; None if that is not known.
        unit: what is counted.

    Yields:
        A function to be called with the number of those that are done since the last call.
    """
    if not sys.stderr.isatty():
        print(printable(line), file=sys.stderr)
        yield lambda count: None
        return

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(printable(name), total=total)
        yield lambda count: bar.advance(task, count)
