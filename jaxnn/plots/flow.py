"""What reaches each layer while a network trains: gradients from behind, activations from ahead."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from jaxnn.plots.network import PASSING
from jaxnn.plots.style import AMOUNT, FAINT, INK, POSITIVE, QUIET, figure, quiet, spaced, title

USUAL_RATIO = 1e-3
"""Of the norms of an update and of the weights it changes: where training mostly goes well.

Source: the usual rule of thumb, as in the notes of Stanford's CS231n, "Neural Networks Part 3",
https://cs231n.github.io/neural-networks-3/#ratio.
"""

_MOST_LABELS = 20
"""More names would not fit beside the axes."""

_MOST_STRIPS = 32

_SMALL = {"fontsize": 7.5, "parse_math": False}


class _Series(NamedTuple):
    """The layers' statistics over time: epochs (reports,), and for each layer, by its label, an
    array (reports,) for each quantity; NaN for what was not finite."""

    epochs: np.ndarray
    layers: dict[str, dict[str, np.ndarray]]


def gradient_flow(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws, for each layer with parameters, how strong the gradient is that reaches it.

    Left, the norm of the loss's gradient with respect to the layer's output: lines that fan out
    downwards towards the first layers are gradients that vanish, upwards, that explode. Right, the
    norm of a step's update over that of the weights, with the usual 1e-3. Both axes are
    logarithmic; zeros leave a gap. The deeper a layer, the darker its line.

    Args:
        metrics: reports with the keys of ``metrics.jsonl``; those without ``statistics`` are left
            out. With at least one that has them.

    Raises:
        ValueError: if no report has statistics.
    """
    epochs, layers = _series(metrics)
    trained = {name: values for name, values in layers.items() if "weight_norm" in values}
    colors = AMOUNT(np.linspace(0.45, 1, max(len(trained), 1)))
    picture = figure(height=3.6)
    left, right = picture.subplots(1, 2)
    for axes, key in ((left, "d_output_norm"), (right, "update_ratio")):
        for color, (name, values) in zip(colors, trained.items(), strict=False):
            axes.plot(
                epochs,
                values[key],
                label=name,
                color=color,
                linewidth=1.4,
                marker="o" if len(epochs) < 50 else None,
                markersize=2.5,
            )
        quiet(axes)
        axes.set_yscale("log", nonpositive="mask")
        _epochs(axes, epochs)
    left.set_ylabel("norm of ∂loss/∂output")
    title(left, "The gradient at each layer's output")
    right.set_ylabel("norm of the update / norm of the weights")
    title(right, "How much a step changes each layer")
    right.axhline(USUAL_RATIO, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    right.text(
        0.02, USUAL_RATIO, "usual: 0.001", color=INK, fontsize=8, va="bottom",
        transform=right.get_yaxis_transform(),
    )  # fmt: skip
    for axes in (left, right):
        _decades(axes)
        _name_ends(axes)
    return picture


def activation_flow(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws, a strip for each layer, the mean and the deviation of its outputs over time.

    The band reaches from mean - deviation to mean + deviation, over batch and units. All hidden
    layers share a scale, so that a signal that dies out or explodes with depth is seen; the last
    layer, the network's output, has its own. The strips at the right show the fraction of inactive
    units: of a relu, those that are 0 for a whole batch, of a sigmoid or tanh, the outputs within
    1 % of their limits. An activation function shares the strip of the layer before it, and what is
    drawn is its output.

    Args:
        metrics: as for ``gradient_flow``.

    Raises:
        ValueError: if no report has statistics.
    """
    epochs, layers = _series(metrics)
    strips = _strips(layers)
    kept = spaced(len(strips), _MOST_STRIPS)
    shown = [strips[i] for i in kept]
    watched = any("inactive" in values for _, values in shown)
    each = min(max(6 / len(shown), 0.34), 0.9)  # inches
    picture = figure(height=each * len(shown) + 0.9)
    grid = picture.subplots(
        len(shown), 2 if watched else 1, squeeze=False, sharex=True, width_ratios=[3, 1][: 1 + watched]
    )
    hidden = _limits([values for _, values in shown[:-1]] or [shown[0][1]])
    for row, (name, values) in enumerate(shown):
        last = row == len(shown) - 1
        band, *inactive = grid[row]
        mean, deviation = values["activation_mean"], values["activation_deviation"]
        band.fill_between(
            epochs, mean - deviation, mean + deviation, color=AMOUNT(0.3), linewidth=0
        )
        band.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
        band.plot(epochs, mean, color=AMOUNT(0.95), linewidth=1.3)
        band.set_ylim(_limits([values]) if last else hidden)
        band.set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
        if np.isfinite(mean[-1] + deviation[-1]):
            text = f"{mean[-1]:.2g} ± {deviation[-1]:.2g}"
            band.text(1.01, 0.5, text, color=INK, va="center", transform=band.transAxes, **_SMALL)
        for axes in inactive:
            _draw_inactive(axes, epochs, values.get("inactive"))
        for axes in (band, *inactive):
            quiet(axes)
            axes.tick_params(labelsize=7, labelbottom=last)
            _epochs(axes, epochs)
            axes.set_xlabel("epoch" if last else "")
        band.yaxis.set_major_locator(MaxNLocator(2, steps=(1, 2, 5, 10)))
    title(grid[0][0], "Outputs of each layer: mean ± deviation")
    if watched:
        title(grid[0][1], "Inactive units")
    return picture


def _draw_inactive(axes: Axes, epochs: np.ndarray, share: np.ndarray | None) -> None:
    axes.set(ylim=(0, 1), yticks=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    if share is None:
        axes.text(
            0.5, 0.5, "has none", color=QUIET, ha="center", va="center", transform=axes.transAxes,
            **_SMALL,
        )  # fmt: skip
        return
    axes.fill_between(epochs, 0, share, color=POSITIVE, alpha=0.25, linewidth=0)
    axes.plot(epochs, share, color=POSITIVE, linewidth=1.3, clip_on=False)
    if np.isfinite(share[-1]):
        text = f"{100 * share[-1]:.1f} %"
        axes.text(1.03, 0.5, text, color=INK, va="center", transform=axes.transAxes, **_SMALL)


def _series(metrics: Sequence[Mapping[str, Any]]) -> _Series:
    reports = [report for report in metrics if report.get("statistics")]
    if not reports:
        raise ValueError("no report has statistics of the layers")
    layers = {
        name: {
            key: np.array([report["statistics"].get(name, {}).get(key) for report in reports], float)
            for key in values
        }
        for name, values in reports[0]["statistics"].items()
    }
    return _Series(np.array([report["epoch"] for report in reports], float), layers)


def _strips(
    layers: Mapping[str, Mapping[str, np.ndarray]],
) -> list[tuple[str, Mapping[str, np.ndarray]]]:
    """The layers that get a strip: an activation function takes the place of the one before."""
    strips: list[tuple[str, Mapping[str, np.ndarray]]] = []
    for name, values in layers.items():
        kind = name.split()[-1]
        if kind in PASSING:
            continue
        if strips and "weight_norm" not in values:
            before, _ = strips.pop()
            name = f"{before}, {kind}"
        strips.append((name, values))
    return strips or list(layers.items())


def _limits(layers: Sequence[Mapping[str, np.ndarray]]) -> tuple[float, float]:
    """Limits that all the bands of some layers fit into, and zero."""
    ends = [
        values["activation_mean"] + sign * values["activation_deviation"]
        for values in layers
        for sign in (-1, 1)
    ]
    finite = np.concatenate(ends)
    finite = finite[np.isfinite(finite)]
    low, high = min(finite.min(initial=0), 0), max(finite.max(initial=0), 0)
    room = 0.08 * (high - low) or 1.0
    return float(low - room), float(high + room)


def _epochs(axes: Axes, epochs: np.ndarray) -> None:
    axes.set(xlabel="epoch", xlim=(0, epochs[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10), integer=epochs[-1] > 3))


def _decades(axes: Axes) -> None:
    """Limits of a logarithmic axis that show a decade at least, so that it has ticks."""
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    values = np.concatenate(lines) if lines else np.empty(0)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if values.size else (1.0, 1.0)
    room = max(1.15, math.sqrt(10 / (high / low))) if high / low < 10 else 1.15
    axes.set_ylim(low / room, high * room)
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    if high / low > 1e3:
        axes.yaxis.set_minor_locator(NullLocator())


def _name_ends(axes: Axes) -> None:
    """Writes a line's name where it ends, or nearby where names would overlap."""
    place = axes.transScale + axes.transLimits  # from data to fractions of the axes
    ends = []
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    for i in spaced(len(lines), _MOST_LABELS):
        y = np.asarray(lines[i].get_ydata(), float)
        y = y[np.isfinite(y) & (y > 0)]
        if y.size:
            ends.append((float(place.transform((1, y[-1]))[1]), lines[i]))
    ends.sort(key=lambda end: end[0])
    heights = _apart([height for height, _ in ends], 1 / _MOST_LABELS)
    for (end, line), height in zip(ends, heights, strict=True):
        axes.annotate(
            str(line.get_label()),
            xy=(1, end),
            xytext=(1.06, height),
            xycoords="axes fraction",
            color=line.get_color(),
            va="center_baseline",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
            **_SMALL,
        )


def _apart(heights: Sequence[float], gap: float) -> np.ndarray:
    """Moves ascending heights apart by a gap, as little as possible, but within 0 to 1.

    By least squares, which is a monotone regression of ``heights[i] - i · gap``: neighbours that
    are too close become a block around their common mean.
    """
    blocks: list[tuple[float, int]] = []
    for i, height in enumerate(heights):
        total, count = height - i * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            before = blocks.pop()
            total, count = total + before[0], count + before[1]
        blocks.append((total, count))
    bases = np.repeat([t / n for t, n in blocks], [n for _, n in blocks])
    highest = max(1 - (len(heights) - 1) * gap, 0)
    return np.clip(bases, 0, highest) + gap * np.arange(len(heights))
