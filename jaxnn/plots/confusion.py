"""What a network takes for what."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from jaxnn.plots.style import BACKGROUND, FAINT, INK, POSITIVE, QUIET, figure, title

_MOST_NUMBERED = 24
"""With more classes, the numbers in the cells would be too small to read."""

_RIGHT = LinearSegmentedColormap.from_list("right", [BACKGROUND, "#b3bcc5"])
_WRONG = LinearSegmentedColormap.from_list("wrong", [BACKGROUND, POSITIVE])


def confusion_picture(
    confusion: np.ndarray, classes: Sequence[str], *, heading: str = ""
) -> Figure:
    """Draws a confusion matrix: a row for each class, a column for each predicted one.

    The strength of a color is relative to the class's examples: grey for those that are right, up
    to all of them; orange for mistakes, up to the most frequent one. In the cells stand how many
    examples there are; at the right the recall of each class, at the bottom the precision.

    Args:
        confusion: (classes, classes) integers; see ``jaxnn.metrics.confusion_matrix``.
        classes: the name of each class.
        heading: a text over all.
    """
    count = len(classes)
    numbered = count <= _MOST_NUMBERED
    longest = max(map(len, classes))
    cell = min(0.56, max(6.0 / count, 0.04))
    side, margin = cell * count, 0.075 * longest
    picture = figure(width=side + margin + 1.4, height=side + 0.5 * margin + 1.4)
    axes = picture.subplots()

    support = confusion.sum(1, keepdims=True)
    share = confusion / np.maximum(support, 1)
    mistakes = np.where(np.eye(count, dtype=bool), 0, share)
    worst = mistakes.max() or 1
    colors = _WRONG(np.sqrt(mistakes / worst) * 0.9)
    diagonal = np.arange(count)
    colors[diagonal, diagonal] = _RIGHT(share[diagonal, diagonal])
    axes.imshow(colors, interpolation="nearest")
    _lines(axes, count)

    if numbered:
        digits = len(f"{confusion.max():,}")
        size = min(9.0, 100 * cell / max(digits, 4))  # points; a digit is 0.6 of them wide
        for i, j in np.argwhere(confusion):
            number = f"{confusion[i, j]:,}"
            axes.text(j, i, number, ha="center", va="center", fontsize=size, color=INK)
        _margins(axes, confusion, size)

    step = 1 if numbered else int(np.ceil(count / 40))
    ticks = np.arange(0, count, step)
    names = classes[::step]
    turned = longest > 3 and longest * 0.075 > cell * step
    axes.set_xticks(ticks, names, rotation=90 if turned else 0, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    axes.tick_params(length=0, labelsize=9 if numbered else 7, labelcolor=INK)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("predicted", color=QUIET, fontsize=9)
    axes.set_ylabel("class", color=QUIET, fontsize=9)
    title(axes, heading)
    return picture


def _lines(axes: Axes, count: int) -> None:
    axes.spines[:].set_color(FAINT)
    if count <= 2 * _MOST_NUMBERED:
        between = np.arange(count - 1) + 0.5
        axes.hlines(between, -0.5, count - 0.5, color=FAINT, linewidth=0.4)
        axes.vlines(between, -0.5, count - 0.5, color=FAINT, linewidth=0.4)


def _margins(axes: Axes, confusion: np.ndarray, size: float) -> None:
    """Writes recall at the right and precision at the bottom."""
    count = len(confusion)
    right = confusion.diagonal()
    look: dict[str, Any] = {"fontsize": size, "color": QUIET, "clip_on": False}
    for k, (total, hits) in enumerate(zip(confusion.sum(1), right, strict=True)):
        axes.text(count - 0.35, k, _percent(hits, total), va="center", **look)
    for k, (total, hits) in enumerate(zip(confusion.sum(0), right, strict=True)):
        axes.text(k, count - 0.35, _percent(hits, total), ha="center", va="top", **look)
    axes.text(count - 0.35, -0.7, "recall\n%", va="bottom", **look)
    axes.text(-0.65, count - 0.35, "precision %", ha="right", va="top", **look)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"
