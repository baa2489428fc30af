"""Progress in the terminal."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from jaxnn.tasks import METRICS, written
from jaxnn.training import Report

_PLAIN_SECONDS = 10.0


@contextmanager
def console(epochs: int) -> Iterator[Callable[[Report], None]]:
    """Gives the consumer that shows progress: a live line, with a line left for each epoch.

    Nothing is shown before the first report, so that a download can show its own progress.
    Where the output is not a terminal there are plain lines instead: one for each epoch (but not
    more than a few each second), and one each ten seconds within long ones. Warnings are shown
    at once.
    """
    output = Console(highlight=False)
    best = _Best()
    if not output.is_terminal:
        yield _plain(output, epochs, best)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=10),
        TaskProgressColumn(),
        TextColumn("{task.fields[curve]}", style="dim"),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=output)
    task = progress.add_task("", total=None, figures="", curve="")
    losses: list[float] = []

    def consume(report: Report) -> None:
        losses.append(report.loss)
        best.see(report)
        progress.update(
            task,
            description=f"epoch {math.ceil(report.epoch)}/{epochs}",
            total=report.steps,
            completed=report.step,
            figures=f"loss {report.loss:.4f}  {_headline(report)}  "
            f"{report.examples_per_second:,.0f} examples/s",
            curve=sparkline(losses),
        )
        progress.start()
        if report.epoch.is_integer():
            progress.print(_line(report, epochs, best))
        for warning in report.warnings:
            progress.print(f"warning: {warning}", style="yellow", markup=False)

    try:
        yield consume
    finally:
        progress.stop()


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """Returns a small curve in characters: means of equal parts of the values, ▁ to █.

    The scale is logarithmic where all are positive, as losses are.
    """
    parts = np.array_split(np.asarray(values, float), min(width, len(values)) or 1)
    means = np.array([part.mean() for part in parts if part.size])
    if not means.size or not np.isfinite(means).all():
        return ""
    if means.min() > 0:
        means = np.log(means)
    span = means.max() - means.min()
    levels = (means - means.min()) / span if span > 0 else np.zeros(len(means))
    return "".join("▁▂▃▄▅▆▇█"[int(level * 7.999)] for level in levels)


def _headline(report: Report) -> str:
    name = report.task.headline
    value = written(name, report.metrics[name])
    return value if name == "accuracy" else f"{METRICS[name][0]} {value}"


class _Best:
    """The best result on the validation split so far, as the task ranks them, and its epoch."""

    def __init__(self) -> None:
        self.rank: tuple[float, ...] = (-math.inf,)
        self.told, self.epoch = "", 0.0

    def see(self, report: Report) -> None:
        if report.validation is None:
            return
        loss, _, metrics = report.validation
        if (rank := report.task.rank(loss, metrics)) > self.rank:
            self.rank, self.epoch = rank, report.epoch
            best = report.task.best
            self.told = f"loss {loss:.4f}" if best is None else written(best, metrics[best])


def _plain(output: Console, epochs: int, best: _Best) -> Callable[[Report], None]:
    shown = time.monotonic()
    first: tuple[float, int] | None = None

    def consume(report: Report) -> None:
        nonlocal shown, first
        best.see(report)
        now = time.monotonic()
        first = first or (now, report.step)  # not from the start: that is compilation
        last = report.step == report.steps
        at_epoch = report.epoch.is_integer() and now - shown > 0.25
        if at_epoch or last or now - shown > _PLAIN_SECONDS:
            shown = now
            line = _line(report, epochs, best)
            if not last and report.step > first[1]:
                rate = (now - first[0]) / (report.step - first[1])
                line += f"  {rate * (report.steps - report.step):.0f} s left"
            output.print(line, soft_wrap=True)
        for warning in report.warnings:
            output.print(f"warning: {warning}", soft_wrap=True, markup=False)

    return consume


def _line(report: Report, epochs: int, best: _Best) -> str:
    line = f"epoch {report.epoch:.4g}/{epochs}  step {report.step}  {_figures(report)}"
    if report.validation is not None:
        loss, _, metrics = report.validation
        line += f"  validation loss {loss:.4f} {report.task.told(metrics)}"
        if report.epoch > best.epoch:
            line += f" (best {best.told}, epoch {best.epoch:.4g})"
    return line


def _figures(report: Report) -> str:
    return (
        f"loss {report.loss:.4f}  {report.task.told(report.metrics)}  "
        f"{report.examples_per_second:,.0f} examples/s"
    )
