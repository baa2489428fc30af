"""Examples of a data set, as they are stored."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxnn.plots.sheet import sheet

COLUMNS = 12


def contact_sheet(
    images: np.ndarray,
    captions: Sequence[tuple[str, str]],
    *,
    columns: int = COLUMNS,
    group: int = 1,
    limits: tuple[float, float] = (0, 255),
    heading: str = "",
) -> Figure:
    """Draws images in rows, each with its captions underneath.

    Args:
        images: (n, height, width, channels), with 1 channel (grey) or 3 (red, green, blue).
        captions: n pairs of short texts: what the image shows, perhaps in two lines, and which one
            it is.
        columns: how many in a row, if there are so many.
        group: so many that follow one another belong together, and stand so.
        limits: the values that are drawn black (0 of a color) and white (all of it).
        heading: a text over all of them.

    Raises:
        ValueError: if there is no image, or the number of channels is another.
    """
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"expected images, (n, height, width, 1 or 3), and at least one, got {images.shape}"
        )
    if images.shape[-1] == 1:
        gray = {"cmap": "gray", "vmin": limits[0], "vmax": limits[1]}
        picture, _, _ = sheet(
            images[..., 0], columns, captions, group=group, heading=heading, how=gray
        )
    else:
        picture, _, _ = sheet(
            as_color(images, limits), columns, captions, group=group, heading=heading
        )
    return picture


def as_color(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Images of any values as those that matplotlib draws in color, float32 in [0, 1]."""
    low, high = limits
    return ((images.astype(np.float32) - low) / (high - low or 1)).clip(0, 1)
