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

from jaxnn.plots.style import FAINT, INK, QUIET, WIDTH, bare, figure

_GAP = 0.1
"""Between two images, in heights of one."""

_LINE, _LETTER = 0.14, 0.058
"""The height of a line and the width of a letter of a caption, in inches."""


def sheet(
    images: np.ndarray,
    columns: int,
    captions: Sequence[tuple[str, str]] = (),
    *,
    margin: float = 0.0,
    how: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Figure, Axes, AxesImage]:
    """Draws images in rows, a thin frame around each, as high as it takes.

    Args:
        images: (n, height, width), or (n, height, width, 3) uint8 or in [0, 1].
        columns: how many in a row; the last row may have fewer.
        captions: two short texts to stand under each image, or none.
        margin: inches to leave at the right.
        how: the color map and the scale, as ``imshow`` takes them.

    Returns:
        The figure, its axes and one of the pictures in it, whose scale is that of all.
    """
    count, height, width = images.shape[:3]
    rows = math.ceil(count / columns)
    across = width / height
    size = (WIDTH - margin) / (columns * (across + _GAP) - _GAP)  # of an image, in inches
    letters = int(size * across / _LETTER)
    longest = max((len(a) + len(b) + 1 for a, b in captions), default=0)
    lines = 0 if not captions else 1 if longest <= letters else 2
    below = lines * _LINE / size
    down = rows * (1 + _GAP + below) - _GAP
    picture = figure(height=size * down + 0.35)
    axes = picture.subplots()
    for k, image in enumerate(images):
        x, y = k % columns * (across + _GAP), k // columns * (1 + _GAP + below)
        drawn = axes.imshow(image, extent=(x, x + across, y + 1, y), interpolation="nearest", **how)
        frame = Rectangle((x, y), across, 1, edgecolor=FAINT, facecolor="none", linewidth=0.6)
        frame.set_clip_on(False)
        axes.add_patch(frame)
        if captions:
            first, second = (_shortened(text, letters) for text in captions[k])
            look: dict[str, Any] = {"va": "top", "fontsize": 7, "parse_math": False}
            axes.text(x, y + 1.03, first, color=INK, **look)
            if lines == 1:
                axes.text(x + across, y + 1.03, second, color=QUIET, ha="right", **look)
            else:
                axes.text(x, y + 1.03 + _LINE / size, second, color=QUIET, **look)
    axes.set(xlim=(0, columns * (across + _GAP) - _GAP), ylim=(down, 0))
    bare(axes)
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


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 1)] + "…"
