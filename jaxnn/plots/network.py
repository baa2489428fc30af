"""A network while it thinks: its neurons, what each does for an example, and the edges between."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxnn.arrays import Tree
from jaxnn.layers import Layer
from jaxnn.network import Trace
from jaxnn.plots.contact_sheet import as_color
from jaxnn.plots.style import (
    BACKGROUND,
    FAINT,
    INK,
    NEGATIVE,
    POSITIVE,
    QUIET,
    SIGNED,
    TRACK,
    WIDTH,
    bare,
    figure,
    shortened,
    signed_scale,
    title,
    wrapped,
)

_HEIGHT = 6.4
"""Of a column at most, in the units of the drawing."""

_IMAGE_HEIGHT = 3.6

_MOST_NEURONS = 40
"""Of a layer that are drawn, on top of one another: the strongest."""

_MOST_MAPS, _MAPS_HIGH, _LARGEST_MAP = 24, 8, 1.4
"""Feature maps of a layer that are drawn, how many of them on top of one another, and the largest
side of one."""

_GAP, _NARROW_GAP = 2.2, 0.8
"""Between two columns: room for the edges, if there are any."""

_BAR, _FIGURES, _LETTER, _LINE, _MARGIN = 1.2, 0.66, 0.09, 0.13, 0.06
"""Inches: the length of a bar of 100 % and of the figures beside it, the width of a letter, the
height of a line, what is free around all."""

_LEAST_SIZE, _MOST_SIZE = 0.45, 0.9
"""Inches a unit of the drawing: deep networks make wider figures, flat ones have wider gaps."""

_LONGEST_NAME = 20
"""Letters of a class's name that are written out; twice as many where there is room for a line."""

PASSING = ("flatten", "reshape", "dropout", "identity")
"""Layers that pass on what they are given; when a trained network is used, that is."""

_SMALL: dict[str, Any] = {"fontsize": 7.5}


class Column(NamedTuple):
    """The neurons of one layer.

    Attributes:
        name: what stands under them.
        values: what each does for the example: (units,), or (height, width, channels), feature
            maps, of which the strongest are drawn.
        weight: (units of the column before, units), or None if there are no edges to draw.
    """

    name: str
    values: np.ndarray
    weight: np.ndarray | None = None


def columns(network: Layer, params: Tree, trace: Trace, example: int = 0) -> list[Column]:
    """Returns what ``network_drawing`` draws: the inputs, and a column for each layer with weights.

    What follows one (an activation function, normalization, pooling) belongs to its column, whose
    values are those after it. Only dense layers have edges.

    Args:
        network: any layer; a ``serial``, to be of interest.
        params: its parameters.
        trace: what it did, from ``jaxnn.trace``.
        example: which of the batch.
    """
    outputs = {layer.path: np.asarray(layer.output) for layer in trace.layers}
    result = [Column("input", np.ravel(trace.layers[0].input[example]))]
    for path, layer, own in plain(network, params):
        values = outputs[path][example]
        if layer.name in PASSING:
            continue
        *others, last = result
        shape, maps = values.shape, values.ndim == 3
        values = values if maps else values.ravel()
        if layer.name == "dense" and len(shape) == 1:
            weight = np.asarray(own["weight"])
            result.append(Column(f"{layer.name} {values.size}", values, weight))
        elif others and joins(layer, own) and (maps or last.values.size == values.size):
            result[-1] = Column(f"{last.name}, {layer.name}", values, last.weight)
        else:
            name = layer.name if joins(layer, own) else f"{layer.name} {shape[-1]}"
            result.append(Column(name, values))
    return result


def joins(layer: Layer, params: Tree) -> bool:
    """Returns whether a layer belongs to the one before it: it has neither weights nor layers."""
    return not layer.layers and all(leaf.ndim < 2 for leaf in jax.tree.leaves(params))


def plain(
    layer: Layer, params: Tree, path: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], Layer, Tree]]:
    """Yields the layers that follow one another, with their parameters; looks into a ``serial``."""
    if layer.name != "serial":
        yield path, layer, params
        return
    for i, (child, own) in enumerate(zip(layer.layers, params, strict=True)):
        yield from plain(child, own, (*path, i))


def network_drawing(
    columns: Sequence[Column],
    outputs: np.ndarray,
    classes: Sequence[str],
    *,
    target: int | Collection[int] | None = None,
    figures: Sequence[str] = (),
    image: np.ndarray | None = None,
    limits: tuple[float, float] = (0, 255),
    contributions: bool = True,
    most_edges: int = 400,
    heading: str = "",
) -> Figure:
    """Draws a network as neurons and edges, with what it does for one example.

    A neuron, or a pixel of a feature map, has the colour of its value's sign, the stronger the
    larger its magnitude among those of its column. Of many neurons or maps the strongest are drawn.
    An edge has the colour and strength of the weight times the value that it carries, its part in
    what the neuron at its end adds up; relative to the strongest of its gap.

    Args:
        columns: the inputs first, the last layer last; see ``columns``.
        outputs: (classes,), between 0 and 1: probabilities, or what stands for them; or numbers.
        classes: the name of each class, or of each number; without any, none is listed.
        target: the class that is right, if that is known; or of several at once, those that are.
        figures: what is written beside each name, in place of its probability.
        image: (height, width, 1 or 3), the example as it is stored, which takes the place of the
            first column's neurons; each of its values is one of theirs, in this order.
        limits: the values of the image that are drawn black and white.
        contributions: False: an edge shows its weight alone.
        most_edges: how many to draw in each gap between columns; the strongest.
        heading: a text over all.
    """
    places = _places(columns, image)
    longest = max(len(line) for n in (1, 2) for line in "\n".join(_short(classes, n)).split("\n"))
    name_inches = 0.35 + _LETTER * longest
    list_inches = 0.2 + name_inches + _BAR + _FIGURES if classes else 0.5
    room = WIDTH - 2 * _MARGIN - list_inches
    if len(places) > 1 and (spare := room / _MOST_SIZE - places[-1].x[1]) > 0:
        places = _places(columns, image, spare / (len(places) - 1))
    right = places[-1].x[1]
    tall = max(place.height for place in places)
    size = max(room / right, _LEAST_SIZE)  # inches that a unit of the drawing takes
    list_width = list_inches / size
    # What is written under the drawing: the names, a line each for the key and its explanation.
    notes = [_notes(column, place) for column, place in zip(columns, places, strict=True)]
    below = (_LINE * (1 + max(map(len, notes))) + 0.4) / size
    width, height = size * (right + list_width), size * (tall + below)
    heading = wrapped(heading, width)
    above = 0.17 * (heading.count("\n") + 1) + 0.11
    picture = figure(width + 2 * _MARGIN, height + 2 * _MARGIN + above)
    # Everything has its place: there is nothing left to lay out.
    picture.set_layout_engine("none")
    inches = picture.get_size_inches()
    axes = picture.add_axes(
        (_MARGIN / inches[0], _MARGIN / inches[1], width / inches[0], height / inches[1])
    )
    bare(axes)
    title(axes, heading)
    axes.set(xlim=(0, right + list_width), ylim=(-tall / 2 - below, tall / 2))

    for i, (column, place) in enumerate(zip(columns, places, strict=True)):
        if i and column.weight is not None:
            before, start = columns[i - 1].values.ravel(), places[i - 1]
            strengths = column.weight * before[:, None] if contributions else column.weight
            drawn = _draw_edges(axes, strengths, start.points, place.points, most_edges)
            text = f"{drawn:,} of\n{strengths.size:,}"
            _note(axes, (start.x[1] + place.x[0]) / 2, tall, text, QUIET)
        if not i and image is not None:
            _draw_image(axes, image, limits, place)
        elif column.values.ndim == 3:
            _draw_maps(axes, column.values, place)
        else:
            _draw_neurons(axes, column.values, place, size)
        _note(axes, sum(place.x) / 2, tall, "\n".join(notes[i]), INK)
    if classes:
        if target is None or isinstance(target, int):
            named, ticked = [int(np.argmax(outputs))], [target]
        else:
            named, ticked = np.flatnonzero(outputs > 0.5).tolist(), list(target)
        looks = [(k in named or bool(figures), k in ticked) for k in range(len(classes))]
        _draw_outputs(axes, outputs, classes, looks, figures, places[-1], tall, size, name_inches)
    _draw_key(axes, contributions, size, classes=bool(classes) and not figures)
    return picture


class _Place(NamedTuple):
    """Where a column stands.

    Each neuron's centre (units, 2), NaN where it is not drawn; the neurons' diameter; the x of the
    column's two ends, and its height; which feature maps it has.
    """

    points: np.ndarray
    diameter: float
    x: tuple[float, float]
    height: float
    maps: np.ndarray | None = None


def _places(
    columns: Sequence[Column], image: np.ndarray | None, spare: float = 0.0
) -> list[_Place]:
    places: list[_Place] = []
    x = 0.0
    for i, column in enumerate(columns):
        if column.values.ndim == 3:
            place = _place_maps(column.values, x)
        else:
            place = _place_neurons(column.values, x, None if i else image)
        places.append(place)
        edges = i + 1 < len(columns) and columns[i + 1].weight is not None
        x = place.x[1] + (_GAP if edges else _NARROW_GAP) + spare
    return places


def _place_neurons(values: np.ndarray, x: float, image: np.ndarray | None) -> _Place:
    points = np.full((values.size, 2), np.nan)
    if image is not None:
        rows, across, each = image.shape
        pitch = _IMAGE_HEIGHT / rows
        shown = np.arange(values.size)
        number = shown // each
        row, place = number // across, number % across
    else:
        shown = np.sort(np.argsort(-np.abs(values), kind="stable")[:_MOST_NEURONS])
        rows, across = len(shown), 1
        pitch = min(_HEIGHT / rows, 0.5)
        row, place = np.arange(rows), np.zeros(rows)
    points[shown] = np.stack([x + (place + 0.5) * pitch, ((rows - 1) / 2 - row) * pitch], 1)
    return _Place(points, 0.8 * pitch, (x, x + across * pitch), rows * pitch)


def _place_maps(values: np.ndarray, x: float) -> _Place:
    height, width, channels = values.shape
    strength = np.square(values.astype(np.float64)).sum((0, 1))
    maps = np.sort(np.argsort(-strength, kind="stable")[:_MOST_MAPS])
    across = math.ceil(len(maps) / _MAPS_HIGH)
    rows = math.ceil(len(maps) / across)
    side = min(_HEIGHT / rows, _LARGEST_MAP)
    pixel = 0.9 * side / max(height, width)
    points = np.full((height, width, channels, 2), np.nan)
    row, column = np.arange(len(maps)) % rows, np.arange(len(maps)) // rows
    points[:, :, maps, 0] = x + column * side + (np.arange(width)[:, None] + 0.5) * pixel
    top = rows * side / 2 - 0.05 * side
    points[:, :, maps, 1] = top - row * side - (np.arange(height)[:, None, None] + 0.5) * pixel
    return _Place(points.reshape(-1, 2), pixel, (x, x + across * side), rows * side, maps)


def _notes(column: Column, place: _Place) -> list[str]:
    """Returns the lines under a column."""
    lines = column.name.split(", ")
    if place.maps is not None:
        height, width, channels = column.values.shape
        lines.append(f"{height} × {width}")
        if len(place.maps) < channels:
            lines.append(f"{len(place.maps)} of {channels} maps")
    elif (shown := int(np.isfinite(place.points[:, 0]).sum())) < len(place.points):
        lines.append(f"{shown} of {len(place.points)}")
    return lines


def _draw_edges(
    axes: Axes, strengths: np.ndarray, start: np.ndarray, end: np.ndarray, most: int
) -> int:
    """Draws the strongest of the edges, (units before, units); returns how many that are."""
    there = np.isfinite(start[:, :1]) & np.isfinite(end[:, 0])
    flat = np.where(there, strengths, 0).ravel()
    # The weakest first, so that the strong ones lie on top.
    chosen = np.argsort(np.abs(flat), kind="stable")[-most:]
    chosen = chosen[there.ravel()[chosen]]
    sources, sinks = np.divmod(chosen, strengths.shape[1])
    scale = signed_scale(flat)
    lines = LineCollection(
        list(np.stack([start[sources], end[sinks]], 1)),
        array=flat[chosen],
        cmap=SIGNED,
        norm=scale,
        linewidths=0.2 + 1.3 * np.abs(flat[chosen]) / (scale.vmax or 1),
        zorder=1,
    )
    axes.add_collection(lines, autolim=False)
    return len(chosen)


def _draw_image(axes: Axes, image: np.ndarray, limits: tuple[float, float], place: _Place) -> None:
    axes.imshow(
        as_color(image[..., 0] if image.shape[-1] == 1 else image, limits),
        extent=(*place.x, -_IMAGE_HEIGHT / 2, _IMAGE_HEIGHT / 2),
        interpolation="nearest",
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        zorder=2,
    )


def _draw_maps(axes: Axes, values: np.ndarray, place: _Place) -> None:
    height, width, channels = values.shape
    assert place.maps is not None
    corners = place.points.reshape(height, width, channels, 2)
    half = place.diameter / 2
    look: dict[str, Any] = {"cmap": SIGNED, "norm": signed_scale(values), "zorder": 2}
    # Edges end at the block of maps, and do not show through the gaps.
    low, high = -place.height / 2, place.height / 2
    extent = (place.x[0], low, place.x[1] - place.x[0], high - low)
    axes.add_patch(Rectangle(extent[:2], *extent[2:], facecolor=BACKGROUND, zorder=1.5))
    for k in place.maps:
        (left, top), (right, bottom) = corners[0, 0, k], corners[-1, -1, k]
        left, right, bottom, top = left - half, right + half, bottom - half, top + half
        extent = (left, right, bottom, top)
        axes.imshow(values[..., k], extent=extent, interpolation="nearest", aspect="auto", **look)
        frame = Rectangle((left, bottom), right - left, top - bottom, zorder=2)
        frame.set(edgecolor=FAINT, facecolor="none", linewidth=0.5)
        axes.add_patch(frame)


def _draw_neurons(axes: Axes, values: np.ndarray, place: _Place, size: float) -> None:
    shown = np.isfinite(place.points[:, 0])
    diameters = np.full(shown.sum(), place.diameter)
    neurons = EllipseCollection(
        diameters,
        diameters,
        np.zeros(shown.sum()),
        units="xy",
        offsets=place.points[shown],
        transOffset=axes.transData,
        array=values[shown],
        cmap=SIGNED,
        norm=signed_scale(values),
        edgecolors=QUIET,
        linewidths=min(0.7, 4 * place.diameter * size),
        zorder=3,
    )
    axes.add_collection(neurons, autolim=False)


def _draw_outputs(
    axes: Axes,
    outputs: np.ndarray,
    classes: Sequence[str],
    looks: Sequence[tuple[bool, bool]],
    figures: Sequence[str],
    place: _Place,
    tall: float,
    size: float,
    name_inches: float,
) -> None:
    """Lists the classes and their outputs, beside their neurons unless they are too many.

    Of each, ``looks`` says whether it is bold, and whether it is ticked.
    """
    shown, heights = np.arange(len(classes)), place.points[:, 1]
    line = 0.17 / size
    pitch = place.diameter / 0.8
    if len(classes) != len(heights) or np.isnan(heights).any() or pitch < line:
        pitch = line * (2 if max(map(len, classes)) > _LONGEST_NAME else 1)
        shown = np.argsort(-outputs, kind="stable")[: int(tall / pitch)]
        heights = (len(shown) / 2 - np.arange(len(shown)) - 0.5) * pitch
    names = _short(classes, 2 if pitch * size > 0.3 else 1)
    name_at = place.x[1] + 0.2 / size
    bar_at = name_at + name_inches / size
    bar, thick = _BAR / size, 0.12 / size
    percent = outputs.min() >= 0 and outputs.max() <= 1
    for k, y in zip(shown.tolist(), heights, strict=True):
        bold, ticked = looks[k]
        ink, weight = (INK, "bold") if bold else (QUIET, "normal")
        look: dict[str, Any] = {
            "va": "center_baseline",
            "fontsize": 9,
            "color": ink,
            "weight": weight,
        }
        name = names[k] + (" ✓" if ticked else "")
        axes.text(name_at, y, name, parse_math=False, linespacing=1.05, **look)
        if figures:
            axes.text(bar_at, y, figures[k], **look)
            continue
        for length, color in ((1.0, TRACK), (float(np.clip(outputs[k], 0, 1)), ink)):
            axes.add_patch(Rectangle((bar_at, y - thick / 2), bar * length, thick, facecolor=color))
        share = f"{100 * outputs[k]:.1f} %" if percent else f"{outputs[k]:.2f}"
        axes.text(bar_at + bar + _FIGURES / size, y, share, ha="right", **look)


def _draw_key(axes: Axes, contributions: bool, size: float, *, classes: bool) -> None:
    """Says at the foot what the colours mean."""
    (_, right), (low, _) = axes.get_xlim(), axes.get_ylim()
    what = "weight × value that it carries" if contributions else "weight"
    text = (
        f"Neuron: its value, relative to the largest of its column.   Edge: {what}, the strongest "
        f"of each gap.{'   ✓ the right class.' * classes}"
    )
    axes.text(0, low, text, **_SMALL, va="bottom", color=QUIET)
    left, y = right - 1.4 / size, low + 0.25 / size
    axes.imshow(
        np.linspace(-1, 1, 101)[None],
        cmap=SIGNED,
        extent=(left, left + 0.8 / size, y, y + 0.1 / size),
        aspect="auto",
    )
    side = 0.08 / size
    axes.text(left - side, y, "negative", **_SMALL, color=NEGATIVE, ha="right")
    axes.text(left + 0.8 / size + side, y, "positive", **_SMALL, color=POSITIVE)


def _note(axes: Axes, x: float, tall: float, text: str, color: str) -> None:
    y = -tall / 2 - 0.1
    axes.text(x, y, text, **_SMALL, color=color, ha="center", va="top", parse_math=False)


def _short(names: Sequence[str], lines: int) -> list[str]:
    """Returns names that have room; without the words that all begin with, if they need it."""
    short = [shortened(name, _LONGEST_NAME, lines) for name in names]
    first, last = (
        min(names, default=""),
        max(names, default=""),
    )  # what these two begin with, all do
    alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    shared = first[:alike].rpartition(" ")[0]
    if shared and len(set(short)) < len(set(names)):
        rest = ["…" + name[len(shared) :] for name in names]
        short = [shortened(name, _LONGEST_NAME, lines) for name in rest]
    return short
