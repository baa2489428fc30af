"""How training went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jaxnn.plots.style import INK, figure, quiet

_TRAIN = "#9aa4ae"
_ACCURACIES = (1, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0)


def training_curves(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws loss and accuracy over the epochs, on the training and the validation split.

    The loss has a logarithmic axis. That of the accuracy is stretched towards 100 %, where the
    differences are that matter: what has 4 % errors is half as far from the top as what has 16 %.

    Args:
        metrics: at least one report, with the keys of ``metrics.jsonl``: ``epoch``, ``loss`` and
            ``accuracy`` (between 0 and 1), and where the validation split was evaluated
            ``validation_loss`` and ``validation_accuracy``. None, for what is not finite, leaves
            a gap in the curve.
    """
    picture = figure(height=3.0)
    left, right = picture.subplots(1, 2)
    epochs = metrics[-1]["epoch"]
    for axes, key in ((left, "loss"), (right, "accuracy")):
        _draw(axes, metrics, "", key)
        _draw(axes, metrics, "validation_", key)
        quiet(axes)
        axes.set(xlabel="epoch", xlim=(0, epochs))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10), integer=epochs > 3))
        if axes.lines:
            corner = "upper right" if key == "loss" else "lower right"
            axes.legend(loc=corner, frameon=False, fontsize=9, labelcolor="linecolor")
    left.set_ylabel("loss")
    if left.lines and all(np.nanmin(line.get_ydata()) > 0 for line in left.lines):
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_minor_locator(NullLocator())
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.set_ylabel("accuracy, stretched towards 100 %")
    _stretch(right)
    return picture


def _draw(axes: Axes, metrics: Sequence[Mapping[str, Any]], prefix: str, key: str) -> None:
    name = prefix + key
    points = np.array([(m["epoch"], m[name]) for m in metrics if name in m], float).reshape(-1, 2)
    if not np.isfinite(points).all(-1).any():
        return
    last = points[-1, 1]
    figures = f"{last:.4f}" if key == "loss" else f"{100 * last:.2f} %"
    split, color, width = ("validation", INK, 1.6) if prefix else ("train", _TRAIN, 1.0)
    axes.plot(
        *points.T,
        label=f"{split} {figures}",
        color=color,
        linewidth=width,
        marker="o" if len(points) < 50 else None,
        markersize=3,
        clip_on=False,
    )


def _stretch(axes: Axes) -> None:
    """Scales an axis of accuracies by the square root of the errors."""

    def forward(accuracy: Any) -> Any:
        return -np.sqrt(np.maximum(1 - np.asarray(accuracy), 0))

    def inverse(position: Any) -> Any:
        return 1 - np.square(position)

    lowest = min((np.nanmin(line.get_ydata()) for line in axes.lines), default=0)
    span = min(1.05 * math.sqrt(1 - lowest), 1) or 0.1
    ticks: list[float] = []
    for accuracy in _ACCURACIES:
        if not ticks or forward(ticks[-1]) - forward(accuracy) > 0.07 * span:
            ticks.append(accuracy)
    axes.set_yscale("function", functions=(forward, inverse))
    axes.set_ylim(inverse(span), 1)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
