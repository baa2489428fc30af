"""How training went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jaxnn.plots.style import INK, WIDTH, figure, letters_in, quiet, shortened, title
from jaxnn.tasks import METRICS, written

_TRAIN = "#9aa4ae"
_UPWARD = ("accuracy", "macro_f1", "r2")
"""Metrics of which 1 is the best."""

_ACCURACIES = (1, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0)


def training_curves(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws the loss and the task's metrics over the epochs, on the training and validation split.

    The loss and errors have a logarithmic axis. That of an accuracy, and of the like, is stretched
    towards 100 %, where the differences are that matter: what has 4 % errors is half as far from
    the top as what has 16 %.

    Args:
        metrics: at least one report, with the keys of ``metrics.jsonl``: ``epoch``, ``loss`` and
            those of a task, such as ``accuracy`` (between 0 and 1), and where the validation split
            was evaluated ``validation_loss``, ``validation_accuracy``. None, for what is not
            finite, leaves a gap in the curve.
    """
    picture = figure(height=3.0)
    keys = ("loss", *drawn_metrics(metrics))
    grid = picture.subplots(1, len(keys))
    epochs = metrics[-1]["epoch"]
    for axes, key in zip(grid, keys, strict=True):
        _draw(axes, metrics, "", key)
        _draw(axes, metrics, "validation_", key)
        quiet(axes)
        axes.set(xlabel="epoch", xlim=(0, epochs))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10), integer=epochs > 3))
        if axes.lines:
            corner = "lower right" if key in _UPWARD else "upper right"
            axes.legend(loc=corner, frameon=False, fontsize=9, labelcolor="linecolor")
        _scale(axes, key, METRICS[key][0], len(keys) == 2)
    return picture


def drawn_metrics(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns which of the metrics in reports are drawn beside the loss; the last is a run's first.

    The mean absolute error is not: it says what the root mean squared error does.
    """
    there = {key for report in metrics for key in report}
    return tuple(name for name in ("accuracy", "macro_f1", "rmse", "r2") if name in there)


def _scale(axes: Axes, key: str, label: str, roomy: bool = False) -> None:
    """Labels an axis, and scales it as its metric asks."""
    if key not in _UPWARD:
        axes.set_ylabel(label)
        _logarithmic(axes)
        return
    percent = METRICS[key][1].endswith("%")
    towards = f" towards {'100 %' if percent else '1'}" if roomy else ""
    axes.set_ylabel(f"{label}, stretched{towards}")
    _stretch(axes, percent)


def _draw(axes: Axes, metrics: Sequence[Mapping[str, Any]], prefix: str, key: str) -> None:
    name = prefix + key
    points = np.array([(m["epoch"], m[name]) for m in metrics if name in m], float).reshape(-1, 2)
    if not np.isfinite(points).all(-1).any():
        return
    last = points[-1, 1]
    figures = written(key, last).replace("%", " %")
    split, color, width = ("validation", INK, 1.6) if prefix else ("train", _TRAIN, 1.0)
    axes.plot(
        *points.T,
        label=f"{split} {figures}",
        color=color,
        linewidth=width,
        marker="o" if len(points) < 50 else None,
        markersize=3,
        clip_on=key == "r2",  # which may lie far below the axes at first
    )


def _least(line: Line2D) -> float:
    return float(np.nanmin(np.asarray(line.get_ydata(), float)))


def _logarithmic(axes: Axes) -> None:
    """Scales an axis of losses by their logarithm, if they have one."""
    if axes.lines and all(_least(line) > 0 for line in axes.lines):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _stretch(axes: Axes, percent: bool = True) -> None:
    """Scales an axis of accuracies, or of R², by the square root of what is missing to 1."""

    def forward(accuracy: Any) -> Any:
        return -np.sqrt(np.maximum(1 - np.asarray(accuracy), 0))

    def inverse(position: Any) -> Any:
        return 1 - np.square(position)

    lowest = min((_least(line) for line in axes.lines), default=0)
    span = min(1.05 * math.sqrt(1 - lowest), 1) or 0.1
    ticks: list[float] = []
    for accuracy in _ACCURACIES:
        if not ticks or forward(ticks[-1]) - forward(accuracy) > 0.07 * span:
            ticks.append(accuracy)
    axes.set_yscale("function", functions=(forward, inverse))
    axes.set_ylim(inverse(span), 1)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{100 * v:.3g} %" if percent else f"{v:g}")
    )


_COLORS = ("#1f2328", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""For curves of which none is more than another: Okabe and Ito's, told apart by the color-blind."""

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))


def compared_curves(
    groups: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    kinds: Mapping[str, tuple[str, str]] | None = None,
    *,
    x: Literal["epochs", "seconds"] = "epochs",
) -> Figure:
    """Draws loss and accuracy of several runs, each group in a color and a dash of its own.

    In the place of the accuracy, other tasks have a metric of theirs.

    Shown is the validation split, or if none of the runs has one, the training split. Of a group
    of several runs there is the mean as a strong line, over the epochs that all have reached, and
    each run as a faint one. Only what can be compared has an axis in common: each data set has a
    row, and in it each loss a place, and the accuracy.

    Args:
        groups: by name, the runs of a group, such as one experiment with several seeds; each as
            ``training_curves`` takes it. At least one.
        kinds: by the same names, the data set and the loss; by default they are the same for all.
        x: over what they are drawn: epochs, or the seconds of training, without compilation, of
            which a long time is told in minutes. A mean over runs is at their mean time, too.
    """
    kinds = kinds or dict.fromkeys(groups, ("", "loss"))
    runs = [run for group in groups.values() for run in group]
    validated = any("validation_loss" in report for run in runs for report in run)
    split, prefix = ("validation", "validation_") if validated else ("training", "")
    along = "epoch" if x == "epochs" else "train_seconds"
    in_minutes = x == "seconds" and max(run[-1][along] for run in runs) > 600
    unit = 60 if in_minutes else 1
    label_x = "epoch" if x == "epochs" else f"{'minutes' if in_minutes else 'seconds'} of training"
    losses: dict[str, list[str]] = {}  # of each data set
    for data, loss_name in kinds.values():
        known = losses.setdefault(data, [])
        known += [loss_name] * (loss_name not in known)
    across = max(map(len, losses.values())) + 1
    picture = figure(height=3.0 * len(losses) + 0.2 + 0.22 * len(groups))
    grid = picture.subplots(len(losses), across, squeeze=False)
    rows = dict(zip(losses, grid, strict=True))
    metrics = {}  # of each data set, the one that is drawn
    for data in losses:
        own = [run for name, group in groups.items() if kinds[name][0] == data for run in group]
        metrics[data] = drawn_metrics([report for run in own for report in run])[-1]
    labels = []
    for number, (name, group) in enumerate(groups.items()):
        style = {
            "color": _COLORS[number % len(_COLORS)],
            "linestyle": _DASHES[number % len(_DASHES)],
        }
        data, loss_name = kinds[name]
        row = rows[data]
        loss, value = (
            _draw_group(axes, [_points(run, prefix + key, along, unit) for run in group], style)
            for axes, key in (
                (row[losses[data].index(loss_name)], "loss"),
                (row[-1], metrics[data]),
            )
        )
        if math.isnan(loss + value):
            label = f"{name}: no number on the {split} split"
        else:
            figures = written(metrics[data], value).replace("%", " %")
            label = f"{name}: loss {loss:.4f}, {METRICS[metrics[data]][0]} {figures}"
            label += f", mean of {len(group)}" if len(group) > 1 else ""
        labels.append(Line2D([], [], linewidth=1.6, label=label, **style))
    for data, row in rows.items():
        own = [run for name, group in groups.items() if kinds[name][0] == data for run in group]
        end = max(run[-1][along] for run in own) / unit
        for axes in row:
            quiet(axes)
            axes.set(xlabel=label_x, xlim=(0, end))
            axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10), integer=end > 3))
        for axes, loss_name in zip(row, losses[data], strict=False):
            axes.set_ylabel(f"{split} {loss_name if across > 2 else 'loss'}".replace("_", " "))
            _logarithmic(axes)
        for axes in row[len(losses[data]) : -1]:
            axes.set_visible(False)
        _scale(row[-1], metrics[data], f"{split} {METRICS[metrics[data]][0]}")
        if len(rows) > 1:
            title(row[0], shortened(data, letters_in(WIDTH / across, 10)))
    legend = picture.legend(
        handles=labels, loc="outside lower left", frameon=False, fontsize=9, handlelength=2.6
    )
    for text in legend.get_texts():
        text.set(
            text=shortened(text.get_text(), letters_in(WIDTH - 0.7, 9)), color=INK, parse_math=False
        )
    return picture


def _points(
    metrics: Sequence[Mapping[str, Any]], name: str, along: str, unit: float
) -> dict[float, tuple[float, float]]:
    """By epoch, where a report is drawn: its ``along`` in units, and its value, None being NaN."""
    return {
        report["epoch"]: (report[along] / unit, math.nan if report[name] is None else report[name])
        for report in metrics
        if name in report
    }


def _draw_group(
    axes: Axes, runs: Sequence[Mapping[float, tuple[float, float]]], style: Mapping[str, Any]
) -> float:
    """Draws runs and their mean; returns the last of it, NaN if there is none."""
    common = sorted(set.intersection(*map(set, runs)))
    mean = np.mean([[run[epoch] for epoch in common] for run in runs], axis=0).reshape(-1, 2)
    some = np.isfinite(mean[:, 1])
    if not some.any():
        return math.nan
    if len(runs) > 1:
        for run in runs:
            axes.plot(*np.array([*run.values()]).T, color=style["color"], linewidth=0.8, alpha=0.35)
    axes.plot(*mean.T, linewidth=1.6, **style)
    return float(mean[some, 1][-1])
