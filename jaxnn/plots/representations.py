"""What a network makes of examples: how the classes come apart, layer by layer."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from jaxnn.arrays import Tree
from jaxnn.layers import Layer
from jaxnn.network import Trace, label
from jaxnn.plots.network import PASSING, joins, plain
from jaxnn.plots.style import BACKGROUND, INK, WIDTH, figure, quiet, title

_COLORS = (
    "#332288", "#e08e0b", "#44aa99", "#882255", "#2f97c9",
    "#117733", "#cc6677", "#999933", "#555555", "#aa4499",
)  # fmt: skip
"""Mostly Tol's "muted", which the color-blind tell apart; https://sronpersonalpages.nl/~pault/."""

_LETTERS = 32
"""Of a title, on a third of the width."""

_MARKERS = "os^Dv<P>X*"

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
    heading: str = "",
) -> Figure:
    """Draws what layers make of examples, each in its two principal components.

    Each class has a colour and a marker of its own, and its name stands at its median.

    Args:
        representations: by the layer's name, (n, ...), n at least 1.
        targets: (n,): the class of each example.
        classes: the name of each class.
        heading: a text over all.
    """
    count = len(representations)
    across = count if count < 4 else 2 if count == 4 else 3
    down = math.ceil(count / across)
    picture = figure(height=(0.92 * WIDTH / max(across, 2)) * down + 0.3)
    grid = picture.subplots(down, across, squeeze=False)
    for axes, (name, values) in zip(grid.flat, representations.items(), strict=False):
        _draw(axes, principal_components(values), targets, classes)
        text = f"{name}: {math.prod(values.shape[1:]):,} values"
        title(axes, textwrap.fill(text, _LETTERS * 3 // max(across, 2)))
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    if heading:
        picture.suptitle(heading, x=0.01, ha="left", fontsize=10, color=INK, parse_math=False)
    return picture


def _draw(axes: Axes, projection: Projection, targets: np.ndarray, classes: Sequence[str]) -> None:
    points, explained = projection
    present = [k for k in range(len(classes)) if (targets == k).any()]
    for k in present:
        look: dict[str, Any] = {"color": _COLORS[k % 10], "marker": _MARKERS[(k + k // 10) % 10]}
        x, y = points[targets == k].T
        axes.scatter(x, y, label=classes[k], **look, **_POINT)
    for k in present:
        x, y = np.median(points[targets == k], axis=0)
        name = axes.text(
            x,
            y,
            classes[k],
            color=0.55 * np.array(to_rgb(_COLORS[k % 10])),  # darker: to be read in grey too
            fontsize=12 if len(classes[k]) < 3 else 9,
            fontweight="bold",
            ha="center",
            va="center",
            parse_math=False,
        )
        name.set_path_effects([withStroke(linewidth=3, foreground=BACKGROUND)])
    quiet(axes)
    axes.tick_params(labelsize=7)
    axes.set_xlabel(f"component 1: {100 * explained[0]:.0f} % of the variance")
    axes.set_ylabel(f"component 2: {100 * explained[1]:.0f} %")
