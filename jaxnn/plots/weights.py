"""What a layer that sees an image looks for."""

import numpy as np
from matplotlib.figure import Figure

from jaxnn.plots.sheet import columns_for, sheet
from jaxnn.plots.style import SIGNED, signed_bar, signed_scale, title


def weight_images(
    weight: np.ndarray, shape: tuple[int, int, int], *, most: int = 128, heading: str = "Weights"
) -> Figure:
    """Draws the weights of a layer's units as images: orange where light excites a unit.

    All share one scale, so that a unit that looks pale has small weights. It covers 99.5 % of the
    weights; the few beyond have the full colour. Channels of colour images stand side by side.

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
    images = tall.transpose(0, 1, 3, 2).reshape(-1, height, channels * width)

    scale = signed_scale(weight, 0.995)
    columns = columns_for(images.shape)
    picture, axes, drawn = sheet(images, columns, margin=0.7, how={"cmap": SIGNED, "norm": scale})
    signed_bar(axes, drawn, "weight", exceeded=bool(np.abs(weight).max() > scale.vmax))
    count = (
        f"{units} units"
        if units == len(chosen)
        else f"the {len(chosen)} strongest of {units} units"
    )
    colors = "" if channels == 1 else "; red, green and blue side by side"
    title(axes, f"{heading}, an image for each unit ({count}{colors})")
    return picture
