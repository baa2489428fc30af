"""What a layer that sees an image, or a row of a table, looks for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxnn.plots.sheet import columns_for, sheet
from jaxnn.plots.style import (
    INK,
    QUIET,
    SIGNED,
    figure,
    headline,
    quiet,
    shortened,
    signed_bar,
    signed_scale,
)


def weight_images(
    weight: np.ndarray, shape: tuple[int, int, int], *, most: int = 128, heading: str = "Weights"
) -> Figure:
    """Draws the weights of a layer's units as images: orange where light excites a unit.

    All share one scale, so that a unit that looks pale has small weights. It covers 99.5 % of the
    weights; the few beyond have the full colour. A unit that sees colours has an image for each
    channel.

    Args:
        weight: (height · width · channels, units).
        shape: (height, width, channels) of the image, or the part of one, that a unit sees.
        most: how many images to draw, one for each channel of each unit; where there are more
            units, those of the largest norm are chosen.
        heading: a text over all.
    """
    height, width, channels = shape
    units = weight.shape[1]
    chosen = np.sort(np.argsort(-np.linalg.norm(weight, axis=0), kind="stable")[: most // channels])
    tall = weight[:, chosen].T.reshape(-1, height, width, channels)
    images = tall.transpose(0, 3, 1, 2).reshape(-1, height, width)

    scale = signed_scale(weight, 0.995)
    columns = channels * columns_for((len(chosen), height, channels * width))
    count = (
        f"{units} units"
        if units == len(chosen)
        else f"the {len(chosen)} strongest of {units} units"
    )
    each = "an image" if channels == 1 else "three images, for red, green and blue,"
    picture, axes, drawn = sheet(
        images,
        columns,
        group=channels,
        margin=0.7,
        heading=f"{heading}, {each} for each unit ({count})",
        how={"cmap": SIGNED, "norm": scale},
    )
    signed_bar(axes, drawn, "weight", exceeded=bool(np.abs(weight).max() > scale.vmax))
    if channels == 3:
        for k, image in enumerate(axes.images[:columns]):
            left, right, _, top = image.get_extent()
            middle: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7}
            axes.text((left + right) / 2, top - 0.03, "RGB"[k % 3], color=QUIET, **middle)
    return picture


def weight_table(
    weight: np.ndarray, features: Sequence[str] = (), *, most: int = 48, heading: str = "Weights"
) -> Figure:
    """Draws the weights of a layer that sees a table: a row for each column of it, by its name.

    Args:
        weight: (columns, units).
        features: the name of each column; by default they are numbered, from 0.
        most: how many columns, and units, to draw at most: those of the largest norm.
        heading: a text over all.
    """
    rows, units = (
        np.sort(np.argsort(-np.linalg.norm(weight, axis=axis), kind="stable")[:most])
        for axis in (1, 0)
    )
    names = [shortened(features[k] if features else str(k), 24) for k in rows]
    told = [
        f"the {len(kept)} strongest of {count} {what}" if len(kept) < count else f"{count} {what}"
        for kept, count, what in zip((rows, units), weight.shape, ("inputs", "units"), strict=True)
    ]
    picture = figure(height=0.22 * len(rows) + 1.2)
    axes = picture.subplots()
    scale = signed_scale(weight, 0.995)
    shown = weight[np.ix_(rows, units)]
    drawn = axes.imshow(shown, cmap=SIGNED, norm=scale, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.set(xlabel="unit", xticks=[])
    quiet(axes)
    axes.grid(False)
    axes.tick_params(length=0, labelcolor=INK)
    signed_bar(axes, drawn, "weight", exceeded=bool(np.abs(weight).max() > scale.vmax))
    headline(picture, f"{heading}: {' and '.join(told)}")
    return picture
