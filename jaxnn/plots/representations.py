"""What a network makes of examples: how the classes come apart, layer by layer."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox, BboxBase

from jaxnn.arrays import Tree
from jaxnn.layers import Layer
from jaxnn.network import Trace, label
from jaxnn.plots.fonts import make_legible
from jaxnn.plots.network import PASSING, joins, plain
from jaxnn.plots.style import (
    AMOUNT,
    BACKGROUND,
    CLASS_COLORS,
    INK,
    QUIET,
    WIDTH,
    class_marker,
    figure,
    headline,
    letters_in,
    quiet,
    shortened,
    title,
)

_LETTERS = 26
"""Of a title, on a third of the width."""

_MOST_LISTED, _LONGEST_NAME = 40, 48
"""Classes in the key, and letters of a name there."""

_LONGEST_SHOWN = 12
"""Letters of a name that stands among the points; longer ones are in the key alone."""

_OFFSETS = [np.zeros(2)] + [
    distance * np.array([math.cos(angle), math.sin(angle)])
    for distance in range(10, 60, 5)
    for angle in np.arange(16) * math.pi / 8
]
"""Points from a cloud's middle where its name may stand, the nearest first."""

_NUMBERS = ListedColormap(AMOUNT(np.linspace(0.25, 1, 256)))
"""For points, of which the lowest are to be seen too."""

_POINT: dict[str, Any] = {"s": 9, "linewidth": 0, "alpha": 0.65}


def representations(network: Layer, params: Tree, trace: Trace) -> dict[str, Array]:
    """Returns what a network in inference mode makes of its inputs, layer by layer.

    A layer without weights, such as an activation function, belongs to the one before it.

    Args:
        network: any layer; a ``serial`` is looked into.
        params: its parameters.
        trace: what it did, from ``jaxnn.trace``.

    Returns:
        By name, "input" first and the network's output last: (batch, *out_shape).
    """
    outputs = {layer.path: layer.output for layer in trace.layers}
    found = {"input": trace.layers[0].input}
    for path, layer, own in plain(network, params):
        if layer.name in PASSING:
            continue
        name = label(path, layer.name)
        if len(found) > 1 and joins(layer, own):
            before, _ = found.popitem()
            name = f"{before}, {layer.name}"
        found[name] = outputs[path]
    return found


class Projection(NamedTuple):
    """Points as they look from where they are spread out most.

    Attributes:
        points: (n, 2): each point's coordinates along the first two principal components.
        explained: (2,): the part of the variance along each.
    """

    points: np.ndarray
    explained: np.ndarray


def principal_components(values: np.ndarray) -> Projection:
    """Projects points onto the two directions in which they vary most.

    With the points centred, X = U S Vᵀ, the directions are the first two rows of Vᵀ, the points'
    coordinates along them U S, and the variance along each is proportional to S². These are found
    as eigenvectors and eigenvalues of X Xᵀ = U S² Uᵀ or Xᵀ X = V S² Vᵀ, whichever is smaller. A
    direction's sign is chosen so that its component of the largest magnitude is positive. Where
    there are fewer directions than two, the coordinates along those missing are 0.

    Args:
        values: (n, ...), n at least 1: a point each, of any shape.
    """
    x = values.reshape(len(values), -1).astype(np.float64)
    x -= x.mean(0)
    few = x.shape[0] <= x.shape[1]
    squares, vectors = np.linalg.eigh(x @ x.T if few else x.T @ x)
    variances, first = squares[::-1].clip(0), vectors[:, ::-1][:, :2]
    along = first.T @ x if few else first.T  # the directions, of any length
    found = first * np.sqrt(variances[:2]) if few else x @ first
    points, explained = np.zeros((len(x), 2)), np.zeros(2)
    signs = np.sign(along[np.arange(len(along)), np.abs(along).argmax(1)])
    points[:, : len(along)] = found * signs
    explained[: len(along)] = variances[:2] / (variances.sum() or 1)
    return Projection(points, explained)


def representation_maps(
    representations: Mapping[str, np.ndarray],
    targets: np.ndarray,
    classes: Sequence[str],
    *,
    features: Sequence[str] = (),
    number: str = "",
    heading: str = "",
) -> Figure:
    """Draws what layers make of examples, each in its two principal components.

    What has only two values is drawn as it is, along these. Each class has a colour and a marker of
    its own; its name stands at its median, or near it where names would hide one another, if there
    is room.

    Args:
        representations: by the layer's name, (n, ...), n at least 1.
        targets: (n,): the class of each example, or a number.
        classes: the name of each class; () for numbers, which a colour stands for.
        features: the name of each value of the first representation, the input, if they have any.
        number: what the numbers are.
        heading: a text over all.
    """
    count = len(representations)
    across = count if count < 4 else 2 if count == 4 else 3
    down = math.ceil(count / across)
    present = [k for k in range(len(classes)) if (targets == k).any()]
    listed = present[:_MOST_LISTED]
    names = [shortened(classes[k], _LONGEST_NAME) for k in listed]
    # A marker takes the room of some four letters.
    abreast = letters_in(WIDTH, 8) // (max(map(len, names), default=0) + 4) or 1
    key = 0.17 * math.ceil(len(listed) / abreast) + 0.3
    picture = figure(height=(0.92 * WIDTH / max(across, 2)) * down + 0.3 + key)
    grid = picture.subplots(down, across, squeeze=False)
    shown = list(zip(grid.flat, representations.items(), strict=False))
    clouds: dict[Axes, dict[str, tuple[np.ndarray, str]]] = {}
    for axes, (name, values) in shown:
        flat = values.reshape(len(values), -1)
        if flat.shape[1] == 2:
            points = flat
            own = features if values is shown[0][1][1] and len(features) == 2 else ()
            labels = [shortened(text, 24) for text in own or ("value 0", "value 1")]
        else:
            points, explained = principal_components(flat)
            labels = [f"PCA {i + 1}: {100 * explained[i]:.0f} % of variance" for i in range(2)]
        if classes:
            draw_classes(axes, points, targets, present)
        else:
            drawn = axes.scatter(*points.T, c=targets, cmap=_NUMBERS, **_POINT)
            quiet(axes)
            axes.tick_params(labelsize=7)
        clouds[axes] = clouds_of(points, targets, classes, present)
        axes.set_xlabel(labels[0], parse_math=False)
        axes.set_ylabel(labels[1], parse_math=False)
        text = f"{name}: {flat.shape[1]:,} values"
        title(axes, textwrap.fill(text, _LETTERS * 3 // max(across, 2)))
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    if not classes:
        bar = picture.colorbar(drawn, ax=list(grid.flat[:count]), aspect=50, pad=0.02)
        bar.set_label(shortened(number, 40), color=QUIET, fontsize=9, parse_math=False)
        bar.outline.set_visible(False)
        bar.set_alpha(1)
        quiet(bar.ax)
        bar.ax.grid(False)
    if len(present) > len(listed):
        names[-1] = f"… of {len(present)} classes"
    handles = [
        Line2D(
            [], [], color=CLASS_COLORS[k % 10], marker=class_marker(k), linestyle="", markersize=5
        )
        for k in listed
    ]
    legend = picture.legend(
        handles, ["…"] * len(names), loc="outside lower left", ncols=abreast, frameon=False,
        fontsize=8, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
    for entry, name in zip(legend.get_texts(), names, strict=True):
        entry.set(text=name, color=INK, parse_math=False)
    headline(picture, heading)
    name_clouds(picture, clouds)
    return picture


def clouds_of(
    points: np.ndarray, targets: np.ndarray, classes: Sequence[str], present: Sequence[int]
) -> dict[str, tuple[np.ndarray, str]]:
    """Returns where the points of classes are whose names are short, and their colours."""
    return {
        classes[k]: (np.median(points[targets == k], axis=0), CLASS_COLORS[k % 10])
        for k in present
        if len(classes[k]) <= _LONGEST_SHOWN
    }


def draw_classes(
    axes: Axes, points: np.ndarray, targets: np.ndarray, present: Sequence[int]
) -> None:
    """Draws examples as points, (n, 2), of the classes that are present."""
    for k in present:
        x, y = points[targets == k].T
        axes.scatter(x, y, color=CLASS_COLORS[k % 10], marker=class_marker(k), **_POINT)
    quiet(axes)
    axes.tick_params(labelsize=7)


def name_clouds(
    picture: Figure, clouds: Mapping[Axes, Mapping[str, tuple[np.ndarray, str]]]
) -> None:
    """Writes names where clouds of points are, in the axes of each; none over another one.

    Args:
        picture: the figure.
        clouds: for each of its axes, by name, where a cloud is (2,), and its colour.
    """
    written = [
        [_annotation(axes, name, *cloud) for name, cloud in named.items()]
        for axes, named in clouds.items()
    ]
    make_legible(picture)
    engine: Any = picture.get_layout_engine()
    canvas: Any = picture.canvas
    engine.execute(picture)  # now it is known how large the axes are
    for axes, texts in zip(clouds, written, strict=True):
        taken: list[Bbox] = []
        for text in texts:
            text.update_positions(canvas.get_renderer())
            at_place = Text.get_window_extent(text)
            for offset in _OFFSETS:
                box = at_place.translated(*(offset * picture.dpi / 72))
                if _within(box, axes.bbox) and not box.count_overlaps(taken):
                    taken.append(box)
                    text.set_position(tuple(offset))
                    assert text.arrow_patch is not None
                    text.arrow_patch.set_visible(bool(offset.any()))
                    break
            else:
                text.remove()


def _annotation(axes: Axes, name: str, place: np.ndarray, color: str) -> Annotation:
    text = axes.annotate(
        name,
        xy=tuple(place),
        xytext=(0, 0),
        textcoords="offset points",
        color=0.55 * np.array(to_rgb(color)),  # darker: to be read in grey too
        fontsize=12 if len(name) < 3 else 9,
        fontweight="bold",
        ha="center",
        va="center",
        arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": color},
        parse_math=False,
    )
    text.set_in_layout(False)
    text.set_path_effects([withStroke(linewidth=3, foreground=BACKGROUND)])
    return text


def _within(box: Bbox, frame: BboxBase) -> bool:
    return frame.x0 <= box.x0 and frame.y0 <= box.y0 and box.x1 <= frame.x1 and box.y1 <= frame.y1
