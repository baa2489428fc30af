"""The loss around a trained network, as a map."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxnn.landscape import Plane
from jaxnn.plots.style import (
    AMOUNT,
    BACKGROUND,
    INK,
    POSITIVE,
    QUIET,
    figure,
    headline,
    logarithmic_ticks,
    quiet,
    round_parts,
    title,
)

_FEWEST_LINES = 4

_LABELLED = 0.8
"""The part of the map, around its centre, where labels of contours have room."""


def loss_map(plane: Plane, *, heading: str = "") -> Figure:
    """Draws the loss on a plane through a network's parameters: a map, and two sections.

    The map has contour lines and is the darker the larger the loss, on a logarithmic scale where
    all losses are positive. What is not finite stays white. The sections go through the centre,
    along either direction.

    Args:
        plane: from ``jaxnn.landscape.loss_plane``.
        heading: a text over all.
    """
    steps, losses = plane.steps, np.ma.masked_invalid(plane.losses)
    picture = figure(height=4.9)
    left, right = picture.subplots(1, 2, width_ratios=(1.5, 1))
    positive = bool(losses.count()) and float(losses.min()) > 0
    scale = (LogNorm if positive else Normalize)(*_ends(losses))
    drawn = left.pcolormesh(
        steps, steps, losses, shading="gouraud", cmap=AMOUNT, norm=scale, rasterized=True
    )
    levels = _levels(losses, positive)
    if levels:
        # Dark lines where the map is light, light ones where it is dark.
        colors = [INK if scale(level) < 0.55 else BACKGROUND for level in levels]
        lines = left.contour(steps, steps, losses, levels=levels, colors=colors, linewidths=0.8)
        _label(left, lines, float(steps[-1]))
    left.plot(0, 0, "+", color=POSITIVE, markersize=13, markeredgewidth=2.5)
    left.set_box_aspect(1)
    left.set(
        xlabel="step along direction 1, in norms of each filter",
        ylabel="step along direction 2",
    )
    quiet(left)
    left.grid(False)
    title(left, "Map")
    bar = picture.colorbar(drawn, ax=left, aspect=40, pad=0.03)
    bar.ax.set_title("loss", color=QUIET, fontsize=9)
    bar.outline.set_visible(False)
    bar.minorticks_off()
    quiet(bar.ax)
    bar.ax.grid(False)

    middle = len(steps) // 2
    for values, name, dashes in (
        (losses[middle], "direction 1", "-"),
        (losses[:, middle], "direction 2", (0, (4, 2))),
    ):
        right.plot(steps, values, color=INK, linestyle=dashes, linewidth=1.4, label=name)
    right.plot(
        0, plane.center, "+", color=POSITIVE, markersize=13, markeredgewidth=2.5, linestyle="none",
        label=f"the trained network: {plane.center:.4f}",
    )  # fmt: skip
    quiet(right)
    title(right, "Sections through the centre")
    right.set(xlabel="step", ylabel="loss", xlim=(steps[0], steps[-1]))
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    if positive:
        right.set_yscale("log")
        logarithmic_ticks(right.yaxis)
        logarithmic_ticks(bar.ax.yaxis)
    picture.legend(loc="outside lower right", ncols=3, frameon=False, fontsize=9, labelcolor=QUIET)
    headline(picture, heading)
    return picture


def _ends(losses: np.ma.MaskedArray) -> tuple[float, float]:
    """Returns the scale's ends: different, finite, whatever the losses are."""
    if not losses.count():
        return 0.0, 1.0
    low, high = float(losses.min()), float(losses.max())
    return low, high if high > low else low + (abs(low) or 1.0)


def _levels(losses: np.ma.MaskedArray, positive: bool) -> list[float]:
    """Returns round losses to draw contours at: at equal ratios, if enough lie between."""
    if not losses.count():
        return []
    low, high = float(losses.min()), float(losses.max())
    if low == high:
        return []
    levels: list[float] = []
    if positive:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        levels = [part * 10.0**decade for decade in decades for part in round_parts(low, high)]
        levels = [level for level in levels if low < level < high]
    if len(levels) < _FEWEST_LINES:
        ticks = MaxNLocator(8, steps=(1, 2, 5, 10)).tick_values(low, high)
        levels = [float(level) for level in ticks if low < level < high]
    return levels


def _label(axes: Axes, lines: ContourSet, end: float) -> None:
    """Writes each contour's value on it, where nothing is cut: away from edges and other labels."""
    taken = np.zeros((1, 2))  # the centre
    places = []
    for path in lines.get_paths():
        points = np.asarray(path.vertices)
        points = points[(np.abs(points) < _LABELLED * end).all(-1)]
        if len(points):
            free = np.linalg.norm(points[:, None] - taken, axis=-1).min(1)
            if free.max() > 0.25 * end:
                places.append(points[free.argmax()])
                taken = np.vstack([taken, places[-1]])
    axes.clabel(lines, manual=places, fmt=_figures, fontsize=8)


def _figures(value: float) -> str:
    return f"{value:,g}"
