"""What a network with two inputs makes of every point of their plane; with one, of a line."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jaxnn.plots.sheet import columns_for, sheet
from jaxnn.plots.style import (
    AMOUNT,
    BACKGROUND,
    CLASS_COLORS,
    INK,
    QUIET,
    SIGNED,
    WIDTH,
    class_marker,
    figure,
    headline,
    letters_in,
    quiet,
    shortened,
    signed_bar,
    signed_scale,
    title,
)

_FULL = 0.5
"""How strong the colour of a class is where it is certain; its points have all of it."""

_MOST_PANELS, _MOST_LISTED, _MOST_UNITS = 6, 20, 64

_MIDDLE, _LETTERS = 0.5, 40


def decision_map(
    x: np.ndarray,
    y: np.ndarray,
    probabilities: np.ndarray,
    points: np.ndarray,
    targets: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    *,
    features: Sequence[str] = (),
    heading: str = "",
) -> Figure:
    """Draws the plane in the colours of the classes, the paler the less sure, and examples on it.

    Where the colour of one class gives way to that of another, there is a line. Examples that are
    taken for another class than theirs have a ring.

    Args:
        x: (nx,): places along the first input, rising.
        y: (ny,): along the second.
        probabilities: (ny, nx, classes), there.
        points: (n, 2): the examples.
        targets: (n,): the class of each.
        predicted: (n,): the class that each is taken for.
        classes: the name of each class.
        features: the names of the inputs.
        heading: a text over all.
    """
    colors = np.array([to_rgb(color) for color in CLASS_COLORS])
    count = len(classes)
    # Between evenly likely classes there is none of either, as there is where all are.
    sure = (probabilities.max(-1) - 1 / count) / (1 - 1 / count) if count > 1 else 1.0
    strength = _FULL * np.asarray(sure)[..., None]
    blended = 1 - strength + strength * colors[probabilities.argmax(-1) % 10]
    picture = figure(width=0.8 * WIDTH, height=6.6)
    axes = picture.subplots()
    _image(axes, x, y, blended)
    for j in range(count):
        others = np.delete(probabilities, j, -1)
        ahead = probabilities[..., j] - others.max(-1, initial=-np.inf)
        if ahead.min() < 0 < ahead.max():
            axes.contour(x, y, ahead, levels=[0.0], colors=INK, linewidths=0.8)
    present = [j for j in range(count) if (targets == j).any()]
    for j in present:
        of_class = targets == j
        for some, edge, width in ((predicted == j, BACKGROUND, 0.4), (predicted != j, INK, 1.2)):
            across, up = points[of_class & some].T
            axes.scatter(
                across, up, s=20, color=CLASS_COLORS[j % 10], marker=class_marker(j),
                edgecolor=edge, linewidth=width,
            )  # fmt: skip
    _name_axes(axes, x, y, features)
    handles = [
        Line2D([], [], color=CLASS_COLORS[j % 10], marker=class_marker(j), linestyle="")
        for j in present[:_MOST_LISTED]
    ]
    names = [shortened(classes[j], 24) for j in present[:_MOST_LISTED]]
    if len(present) > len(names):
        names[-1] = f"… of {len(present)} classes"
    if handles:
        legend = picture.legend(
            handles, ["…"] * len(names), loc="outside lower left", frameon=False, fontsize=9,
            ncols=letters_in(0.8 * WIDTH, 9) // (max(map(len, names)) + 8) or 1,
        )  # fmt: skip
        for entry, name in zip(legend.get_texts(), names, strict=True):
            entry.set(text=name, color=INK, parse_math=False)
    headline(picture, heading)
    return picture


def surface_maps(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    points: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    *,
    shares: bool = False,
    features: Sequence[str] = (),
    heading: str = "",
) -> Figure:
    """Draws what a network computes over the plane, a map of each output, and examples on it.

    The examples have the colour of their true value: where they are hard to see, it is met.

    Args:
        x: (nx,): places along the first input, rising.
        y: (ny,): along the second.
        values: (ny, nx, outputs), there; of more than six the first are drawn.
        points: (n, 2): the examples.
        targets: (n, outputs): their true values.
        names: what each output is called.
        shares: whether they are probabilities: half is white then, and more than half orange.
        features: the names of the inputs.
        heading: a text over all.
    """
    picture, grid = _panels(values.shape[-1], 0.85)
    for k, axes in enumerate(grid):
        low, high = (0.0, 1.0) if shares else _ends(targets[:, k])
        scale, colors = Normalize(low, high), SIGNED if shares else AMOUNT
        drawn = _image(axes, x, y, values[..., k], cmap=colors, norm=scale)
        levels = [_MIDDLE] if shares else MaxNLocator(8).tick_values(low, high)
        levels = [v for v in levels if values[..., k].min() < v < values[..., k].max()]
        if levels:
            axes.contour(
                x, y, values[..., k], levels=levels, colors=QUIET, linewidths=0.6, linestyles="-"
            )
        axes.scatter(
            points[:, 0], points[:, 1], c=targets[:, k], cmap=colors, norm=scale,
            s=18, edgecolor=INK, linewidth=0.5,
        )  # fmt: skip
        _name_axes(axes, x, y, features)
        title(axes, shortened(names[k], _LETTERS if len(grid) == 1 else _LETTERS // 2))
        _bar(axes, drawn, values[..., k], share=shares)
    headline(picture, heading)
    return picture


def learned_curves(
    x: np.ndarray,
    values: np.ndarray,
    points: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    *,
    shares: bool = False,
    feature: str = "",
    heading: str = "",
) -> Figure:
    """Draws what a network with one input computes, a curve of each output, and examples.

    Args:
        x: (nx,): places along the input, rising.
        values: (nx, outputs), there; of more than six the first are drawn.
        points: (n,): the examples.
        targets: (n, outputs): their true values.
        names: what each output is called.
        shares: whether they are probabilities, and the true values 0 or 1.
        feature: the name of the input.
        heading: a text over all.
    """
    picture, grid = _panels(values.shape[-1], 0.55)
    for k, axes in enumerate(grid):
        axes.plot(points, targets[:, k], "o", color=QUIET, markersize=3, alpha=0.5, linewidth=0)
        axes.plot(x, values[:, k], color=INK, linewidth=1.8)
        quiet(axes)
        axes.set_xlim(x[0], x[-1])
        axes.set_xlabel(shortened(feature or "input", _LETTERS), parse_math=False)
        name = shortened(names[k], _LETTERS if len(grid) == 1 else _LETTERS // 2)
        if shares:
            title(axes, name)
            axes.set(ylabel="probability", ylim=(-0.05, 1.05))
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        else:
            axes.set_ylabel(name, parse_math=False)
    headline(picture, heading)
    return picture


def unit_maps(values: np.ndarray, *, heading: str = "") -> Figure:
    """Draws what each unit of a layer does over the plane: a small map of each, on one scale.

    Args:
        values: (ny, nx, units), rising along both inputs; of more than 64 the first are drawn.
        heading: a text over all.
    """
    images = np.moveaxis(values[::-1], -1, 0)
    shown = images[:_MOST_UNITS]
    scale = signed_scale(values, 0.995)
    of = f"the first {len(shown)} of {len(images)}" if len(shown) < len(images) else f"{len(shown)}"
    picture, axes, drawn = sheet(
        shown,
        columns_for(shown.shape),
        [(f"unit {k}", "") for k in range(len(shown))],
        margin=0.7,
        heading=f"{heading} ({of} unit{'s' * (len(images) > 1)})",
        how={"cmap": SIGNED, "norm": scale},
    )
    signed_bar(axes, drawn, "output", exceeded=bool(np.abs(values).max() > scale.vmax))
    return picture


def _panels(count: int, proportion: float) -> tuple[Figure, list[Axes]]:
    """Returns a figure with so many axes, of a height in parts of their width; six at most."""
    count = min(count, _MOST_PANELS)
    across = 1 if count == 1 else 2
    down = math.ceil(count / across)
    width = 0.8 * WIDTH if count == 1 else WIDTH
    picture = figure(width=width, height=down * (width / across * proportion) + 0.6)
    grid = picture.subplots(down, across, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return picture, list(grid.flat[:count])


def _image(axes: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, **how: Any) -> Any:
    """Draws values at places, each in the middle of its own cell."""
    across, up = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    extent = (x[0] - across, x[-1] + across, y[0] - up, y[-1] + up)
    return axes.imshow(values, extent=extent, origin="lower", aspect="auto", **how)


def _name_axes(axes: Axes, x: np.ndarray, y: np.ndarray, features: Sequence[str]) -> None:
    first, second = features or ("input 0", "input 1")
    quiet(axes)
    axes.grid(False)
    axes.set_box_aspect(1)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.set_xlabel(shortened(first, _LETTERS), parse_math=False)
    axes.set_ylabel(shortened(second, _LETTERS), parse_math=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + (abs(low) or 1.0)


def _bar(axes: Axes, drawn: ScalarMappable, values: np.ndarray, *, share: bool) -> None:
    below, above = values.min() < drawn.norm.vmin, values.max() > drawn.norm.vmax
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    bar = axes.figure.colorbar(drawn, ax=axes, aspect=30, pad=0.03, extend=extend)
    bar.outline.set_visible(False)
    quiet(bar.ax)
    bar.ax.grid(False)
    if share:
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
