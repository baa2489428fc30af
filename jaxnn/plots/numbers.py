"""How well numbers are predicted, and several labels at once."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jaxnn.metrics import LabelScores
from jaxnn.plots.style import (
    FAINT,
    INK,
    NEGATIVE,
    POSITIVE,
    QUIET,
    WIDTH,
    figure,
    headline,
    letters_in,
    quiet,
    shortened,
    title,
)

_MOST_TARGETS = 6
"""That are drawn: the first."""

_MOST_BESIDE = 3
"""Of the worst examples, next to one another."""

_BINS = 31

_MOST_LABELS = 60


def predicted_against_true(
    predicted: np.ndarray, true: np.ndarray, names: Sequence[str], *, heading: str = ""
) -> Figure:
    """Draws predicted numbers over true ones, for each target: at best all lie on the diagonal.

    Args:
        predicted: (n, targets), in the units of the data; of more than six the first are drawn.
        true: of that shape.
        names: the name of each target.
        heading: a text over all.
    """
    count = min(len(names), _MOST_TARGETS)
    across = min(count, 3)
    down = math.ceil(count / across)
    side = min(WIDTH / across, 4.6)
    picture = figure(width=max(side * across, 4.6), height=side * down + 0.3)
    grid = picture.subplots(down, across, squeeze=False)
    for k, axes in enumerate(grid.flat[:count]):
        _scatter(axes, true[:, k], predicted[:, k])
        both = np.concatenate([true[:, k], predicted[:, k]])
        low, high = _ends(both[np.isfinite(both)])
        axes.plot((low, high), (low, high), color=FAINT, linewidth=1.2, zorder=1)
        axes.set_box_aspect(1)
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="true", ylabel="predicted")
        title(axes, shortened(names[k], letters_in(side - 0.7, 10)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5 - across, steps=(1, 2, 5, 10)))
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    headline(picture, heading)
    return picture


def residuals(
    predicted: np.ndarray, true: np.ndarray, names: Sequence[str], *, heading: str = ""
) -> Figure:
    """Draws errors, predicted less true: over what is predicted, and how many there are of each.

    Above zero too much is predicted. Where errors have a bend or a slope, or grow with what is
    predicted, there is something left to be learned.

    Args:
        predicted: (n, targets), in the units of the data; of more than six the first are drawn.
        true: of that shape.
        names: the name of each target.
        heading: a text over all.
    """
    count = min(len(names), _MOST_TARGETS)
    picture = figure(height=2.5 * count + 0.4)
    grid = picture.subplots(count, 2, squeeze=False, width_ratios=(3, 1), sharey="row")
    for k, (left, right) in enumerate(grid):
        error = predicted[:, k] - true[:, k]
        _scatter(left, predicted[:, k], error)
        left.axhline(0, color=QUIET, linewidth=0.9, zorder=1)
        left.set(xlabel="predicted", ylabel="error: predicted - true")
        title(left, shortened(names[k], letters_in(0.6 * WIDTH, 10)))
        finite = error[np.isfinite(error)]
        edges = np.linspace(*_ends(finite), _BINS)
        counts, _ = np.histogram(finite, edges)
        colors = [POSITIVE if middle > 0 else NEGATIVE for middle in edges[:-1] + edges[1:]]
        right.barh(edges[:-1], counts, np.diff(edges), align="edge", color=colors, alpha=0.75)
        right.set(xlabel="examples")
        quiet(right)
        right.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        left.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    headline(picture, heading)
    return picture


def worst_predictions(
    predicted: np.ndarray,
    true: np.ndarray,
    examples: Sequence[str],
    names: Sequence[str],
    *,
    heading: str = "",
) -> Figure:
    """Draws the true and the predicted numbers of examples, one under the other.

    Args:
        predicted: (n, targets), in the units of the data; of more than three the first are drawn.
        true: of that shape.
        examples: what each is.
        names: the name of each target.
        heading: a text over all.
    """
    rows = np.arange(len(true))
    count = min(len(names), _MOST_BESIDE)
    picture = figure(height=0.24 * len(rows) + 1.2)
    grid = picture.subplots(1, count, squeeze=False, sharey=True)[0]
    for k, axes in enumerate(grid):
        y, t = predicted[:, k], true[:, k]
        colors = np.where(y > t, POSITIVE, NEGATIVE)
        axes.hlines(rows, t, y, color=colors, linewidth=3, alpha=0.6)
        axes.plot(t, rows, "|", color=INK, markersize=9, markeredgewidth=2)
        axes.scatter(y, rows, s=26, color=colors, zorder=3)
        quiet(axes)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5 // count, steps=(1, 2, 5, 10)))
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=8)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        name = shortened(names[k], letters_in(0.6 * WIDTH / count, 9))
        axes.set_xlabel(name, parse_math=False)
    texts = [shortened(text, 48 if count == 1 else 32) for text in examples]
    grid[0].set_yticks(rows, texts, parse_math=False)
    key = [
        Line2D([], [], color=INK, marker="|", markeredgewidth=2, linestyle="", label="true"),
        Line2D([], [], color=POSITIVE, marker="o", linewidth=3, label="predicted too much"),
        Line2D([], [], color=NEGATIVE, marker="o", linewidth=3, label="predicted too little"),
    ]
    picture.legend(
        handles=key, loc="outside lower left", ncols=3, frameon=False, fontsize=8, labelcolor=QUIET
    )
    headline(picture, heading)
    return picture


def label_picture(scores: LabelScores, names: Sequence[str], *, heading: str = "") -> Figure:
    """Draws how each of several labels is recognized: a row each.

    Args:
        scores: see ``jaxnn.metrics.label_scores``.
        names: the name of each label; of more than sixty, those of the lowest F1 are drawn.
        heading: a text over all.
    """
    order = np.argsort(np.nan_to_num(scores.f1, nan=-1.0), kind="stable")[:_MOST_LABELS]
    rows = np.arange(len(order))
    picture = figure(height=0.26 * len(order) + 1.2)
    axes = picture.subplots()
    axes.barh(rows, scores.f1[order], 0.7, color="#b3bcc5", label="F1")
    for values, color, marker, what in (
        (scores.precision, POSITIVE, "D", "precision: of those said to have it, who do"),
        (scores.recall, NEGATIVE, "o", "recall: of those that have it, who are found"),
        (scores.accuracy, INK, "|", "accuracy: of all, who are rightly sorted"),
    ):
        axes.plot(
            values[order], rows, marker, color=color, markersize=6, markeredgewidth=1.5,
            label=what, clip_on=False,
        )  # fmt: skip
    quiet(axes)
    axes.grid(visible=False, axis="y")
    labels = [f"{shortened(names[k], 28)} ({scores.support[k]:,})" for k in order]
    axes.set_yticks(rows, labels, parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=8)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    picture.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=8, labelcolor=QUIET)
    headline(picture, heading)
    return picture


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draws points, the fainter the more there are."""
    alpha = float(np.clip(30 / math.sqrt(max(len(x), 1)) / 2, 0.12, 0.8))
    axes.scatter(x, y, s=12, color=INK, alpha=alpha, linewidth=0, rasterized=True)
    quiet(axes)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Returns ends with all values between them, and some room."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    room = 0.04 * (high - low) or abs(low) or 1.0
    return low - room, high + room
