"""Many small images of one size on one sheet, each with a caption if wanted."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from jaxnn.plots.style import (
    FAINT,
    INK,
    QUIET,
    WIDTH,
    bare,
    figure,
    headline,
    letters_in,
    shortened,
    wrapped,
)

_GAP, _NEAR = 0.1, 0.08
"""Between two images, and between two that belong together, in heights of one."""

_LARGEST = 2.0
"""Inches: the height of an image, at most; the width of a single one."""

_SIZE, _LINE = 7, 0.14
"""Of a caption: its letters in points, the height of a line in inches."""


def sheet(
    images: np.ndarray,
    columns: int,
    captions: Sequence[tuple[str, str]] = (),
    *,
    group: int = 1,
    margin: float = 0.0,
    heading: str = "",
    how: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Figure, Axes, AxesImage]:
    """Draws images in rows, a thin frame around each, as high as it takes.

    Args:
        images: (n, height, width), or (n, height, width, 3) uint8 or in [0, 1].
        columns: how many in a row; the last row may have fewer.
        captions: two short texts to stand under each image, or none; the first may have two lines.
        group: so many that follow one another belong together, and stand so.
        margin: inches to leave at the right.
        heading: a text over all.
        how: the color map and the scale, as ``imshow`` takes them.

    Returns:
        The figure, its axes and one of the pictures in it, whose scale is that of all.
    """
    count, height, width = images.shape[:3]
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    across = width / height
    gap = _GAP if group == 1 else 3 * _GAP
    pitch = group * (across + _NEAR) - _NEAR + gap
    right = columns // group * pitch - gap
    size = min((WIDTH - margin) / right, _LARGEST / max(across, 1))  # of an image, in inches
    letters = letters_in(size * across, _SIZE)
    texts = [(_caption(first, letters), shortened(second, letters)) for first, second in captions]
    beside = all(len(first) + len(second) < letters for first, second in texts)
    lines = max((first.count("\n") + 2 - beside for first, _ in texts), default=0)
    below = lines * _LINE / size
    down = rows * (1 + _GAP + below) - _GAP
    over = 0.17 * (wrapped(heading, size * right + margin).count("\n") + 1)
    picture = figure(size * right + margin, size * down + over + 0.2)
    axes = picture.subplots()
    for k, image in enumerate(images):
        number, part = divmod(k % columns, group)
        x, y = number * pitch + part * (across + _NEAR), k // columns * (1 + _GAP + below)
        drawn = axes.imshow(image, extent=(x, x + across, y + 1, y), interpolation="nearest", **how)
        frame = Rectangle((x, y), across, 1, edgecolor=FAINT, facecolor="none", linewidth=0.6)
        frame.set_clip_on(False)
        axes.add_patch(frame)
        if texts:
            first, second = texts[k]
            look: dict[str, Any] = {"va": "top", "fontsize": _SIZE, "parse_math": False}
            axes.text(x, y + 1.03, first, color=INK, **look)
            if beside:
                axes.text(x + across, y + 1.03, second, color=QUIET, ha="right", **look)
            else:
                under = (first.count("\n") + 1) * _LINE / size
                axes.text(x, y + 1.03 + under, second, color=QUIET, **look)
    axes.set(xlim=(0, right), ylim=(down, 0))
    bare(axes)
    headline(picture, heading)
    return picture, axes, drawn


def columns_for(shape: tuple[int, ...], proportion: float = 2.0) -> int:
    """Returns how many images to put in a row: the sheet is wide, and its last row full.

    Args:
        shape: (images, height, width, ...).
        proportion: about how many times as wide as high the sheet becomes; at most twice that.
    """
    count, height, width = shape[:3]
    ideal = math.sqrt(proportion * count * height / width)
    choices = range(max(1, math.floor(0.9 * ideal)), math.ceil(1.5 * ideal) + 1)
    return min(min(choices, key=lambda n: (-count % n, abs(n - ideal))), count)


def _caption(text: str, letters: int) -> str:
    """Returns a text in one line if it fits, or with two for each of its own."""
    line = text.replace("\n", " ")
    if len(line) <= letters:
        return line
    return "\n".join(shortened(part, letters, 2) for part in text.split("\n"))
