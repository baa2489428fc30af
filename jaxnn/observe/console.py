"""Progress in the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from jaxnn.training import Report

_PLAIN_SECONDS = 10.0


@contextmanager
def console(epochs: int) -> Iterator[Callable[[Report], None]]:
    """Gives the consumer that shows progress: a live line, with a line left for each epoch.

    Where the output is not a terminal there are plain lines instead: one for each epoch (but not
    more than a few each second), and one each ten seconds within long ones.
    """
    output = Console(highlight=False)
    if not output.is_terminal:
        yield _plain(output, epochs)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output) as progress:
        task = progress.add_task("compiling", total=None, figures="")

        def consume(report: Report) -> None:
            if report.validation is not None:
                progress.print(_line(report, epochs))
            progress.update(
                task,
                description=f"epoch {min(int(report.epoch) + 1, epochs)}/{epochs}",
                total=report.steps,
                completed=report.step,
                figures=_figures(report),
            )

        yield consume


def _plain(output: Console, epochs: int) -> Callable[[Report], None]:
    shown = 0.0
    first: tuple[float, int] | None = None

    def consume(report: Report) -> None:
        nonlocal shown, first
        now = time.monotonic()
        first = first or (now, report.step)  # not from the start: that is compilation
        last = report.step == report.steps
        at_epoch = report.epoch.is_integer() and now - shown > 0.25
        if at_epoch or last or now - shown > _PLAIN_SECONDS:
            shown = now
            line = _line(report, epochs)
            if not last and report.step > first[1]:
                rate = (now - first[0]) / (report.step - first[1])
                line += f"  {rate * (report.steps - report.step):.0f} s left"
            output.print(line, soft_wrap=True)

    return consume


def _line(report: Report, epochs: int) -> str:
    line = f"epoch {report.epoch:.4g}/{epochs}  step {report.step}  {_figures(report)}"
    if report.validation is not None:
        validation = report.validation
        line += f"  validation loss {validation.loss:.4f} accuracy {validation.accuracy:.2%}"
    return line


def _figures(report: Report) -> str:
    return (
        f"loss {report.loss:.4f}  accuracy {report.accuracy:.2%}  "
        f"{report.examples_per_second:,.0f} examples/s"
    )
