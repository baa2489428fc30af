"""What a network takes for what."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from jaxnn.plots.style import (
    BACKGROUND,
    FAINT,
    INK,
    POSITIVE,
    QUIET,
    figure,
    headline,
    shortened,
)

_MOST_NUMBERED = 24
"""With more classes, the numbers in the cells would be too small to read."""

_LONGEST_LINE = 22
"""Letters of a class's name; longer ones have several lines, if there is room."""

_FEW = 5
"""Mistakes of a kind, in one class, that are no accident any more."""

_RIGHT = LinearSegmentedColormap.from_list("right", [BACKGROUND, "#b3bcc5"])
_WRONG = LinearSegmentedColormap.from_list("wrong", [BACKGROUND, POSITIVE])


def confusion_picture(
    confusion: np.ndarray, classes: Sequence[str], *, heading: str = ""
) -> Figure:
    """Draws a confusion matrix: a row for each class, a column for each predicted one.

    The strength of a color is relative to the class's examples: grey for those that are right, up
    to all of them; orange for mistakes, up to the most frequent one, but never are fewer than five
    the full colour. In the cells stand how many examples there are; at the right the recall of each
    class, at the bottom the precision.

    Args:
        confusion: (classes, classes) integers; see ``jaxnn.metrics.confusion_matrix``.
        classes: the name of each class.
        heading: a text over all.
    """
    count = len(classes)
    numbered = count <= _MOST_NUMBERED
    cell = min(0.56, max(6.0 / count, 0.04))
    step = 1 if numbered else int(np.ceil(count / 40))
    size: float = 9 if numbered else 7
    line = 0.017 * size
    lines = max(int(0.9 * cell * step / line), 1)
    names = [shortened(name, _LONGEST_LINE, lines) for name in classes[::step]]
    longest = max(len(part) for name in names for part in name.split("\n"))
    side, margin = cell * count, 0.0083 * size * longest
    turned = longest > 3 and margin > cell * step
    # At the left the names and "class", or "precision %"; at the right "recall %".
    above = margin if turned else line
    picture = figure(width=side + max(margin, 0.75) + 1.1, height=side + above + 1.2)
    axes = picture.subplots()

    support = np.maximum(confusion.sum(1, keepdims=True), 1)
    share = confusion / support
    mistakes = np.where(np.eye(count, dtype=bool), 0, share)
    colors = _WRONG(np.sqrt(mistakes / np.maximum(mistakes.max(), _FEW / support)) * 0.9)
    diagonal = np.arange(count)
    colors[diagonal, diagonal] = _RIGHT(share[diagonal, diagonal])
    axes.imshow(colors, interpolation="nearest")
    _lines(axes, count)

    if numbered:
        digits = len(f"{confusion.max():,}")
        size = min(size, 100 * cell / max(digits, 4))  # points; a digit is 0.6 of them wide
        for i, j in np.argwhere(confusion):
            number = f"{confusion[i, j]:,}"
            axes.text(j, i, number, ha="center", va="center", fontsize=size, color=INK)
        _margins(axes, confusion, size)

    ticks = np.arange(0, count, step)
    axes.set_xticks(ticks, names, rotation=90 if turned else 0, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    axes.tick_params(length=0, labelsize=9 if numbered else 7, labelcolor=INK)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("predicted", color=QUIET, fontsize=9, labelpad=10)
    axes.set_ylabel("class", color=QUIET, fontsize=9, labelpad=10)
    headline(picture, heading)
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
