"""What reaches each layer while a network trains: gradients from behind, activations from ahead."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from jaxnn.plots.network import PASSING
from jaxnn.plots.style import (
    AMOUNT,
    FAINT,
    INK,
    POSITIVE,
    QUIET,
    figure,
    quiet,
    round_parts,
    spaced,
    title,
)
from jaxnn.training import INACTIVE

USUAL_RATIO = 1e-3
"""Of the norms of an update and of the weights it changes: where training mostly goes well.

Source: the usual rule of thumb, as in the notes of Stanford's CS231n, "Neural Networks Part 3",
https://cs231n.github.io/neural-networks-3/#ratio.
"""

_MOST_NAMES = 10
"""More would hide how the lines are ordered."""

_NAME_HEIGHT = 0.05
"""Of the axes' height."""

_MOST_STRIPS = 32

_TICK_HEIGHT = 0.12
"""Inches: of a tick's label."""

_SMALL: dict[str, Any] = {"fontsize": 7.5, "parse_math": False}


class _Series(NamedTuple):
    """The layers' statistics over time.

    These are the epochs (reports,), where the run ended, and for each layer, by its label, an array
    (reports,) for each quantity; NaN for what was not finite.
    """

    epochs: np.ndarray
    end: float
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
    epochs, end, layers = _series(metrics)
    trained = {name: values for name, values in layers.items() if "weight_norm" in values}
    colors = AMOUNT(np.linspace(0.45, 1, max(len(trained), 1)))
    marked = len(epochs) < 50 and len(trained) < 8
    picture = figure(height=3.6)
    picture.set_layout_engine("constrained", wspace=0.06)
    left, right = picture.subplots(1, 2)
    for axes, key in ((left, "d_output_norm"), (right, "update_ratio")):
        lines = [
            axes.plot(
                epochs,
                values[key],
                label=name,
                color=color,
                linewidth=1.4 if len(trained) < 8 else 1.0,
                marker="o" if marked else None,
                markersize=2.5,
                clip_on=False,
            )[0]
            for color, (name, values) in zip(colors, trained.items(), strict=False)
        ]
        named = [lines[i] for i in spaced(len(lines), _MOST_NAMES)]
        if axes is right:
            usual = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
            named += axes.plot((0, end), 2 * (USUAL_RATIO,), label="usual: 0.001", **usual)
        quiet(axes)
        _epochs(axes, end)
        _logarithmic(axes)
        _name_ends(axes, named)
    left.set_ylabel("norm of ∂loss/∂output")
    title(left, "The gradient at each layer's output")
    right.set_ylabel("norm of update / norm of weights")
    title(right, "How much a step changes each layer")
    return picture


def activation_flow(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws, a strip for each layer, the mean and the deviation of its outputs over time.

    The band reaches from mean - deviation to mean + deviation, over batch and units. All hidden
    layers share a scale, so that a signal that dies out or explodes with depth is seen; the last
    layer, the network's output, has its own. The strips at the right show the fraction of inactive
    units: of a relu, those that are 0 for a whole batch, of a sigmoid or tanh, those within 1 % of
    their limits; above the dotted line, at ``INACTIVE``, the layer is not well, for ``health`` too.
    An activation function shares the strip of the layer before it, and what is drawn is its output.

    Args:
        metrics: as for ``gradient_flow``.

    Raises:
        ValueError: if no report has statistics.
    """
    epochs, end, layers = _series(metrics)
    strips = _strips(layers)
    kept = spaced(len(strips), _MOST_STRIPS)
    shown = [strips[i] for i in kept]
    watched = any("inactive" in values for _, values in shown)
    each = min(max(5 / len(shown), 0.3), 0.9)  # inches
    picture = figure(height=each * len(shown) + 0.8)
    picture.set_layout_engine("constrained", h_pad=0.02, hspace=0)
    widths = [3, 1] if watched else [1]
    grid = picture.subplots(len(shown), len(widths), squeeze=False, width_ratios=widths)
    hidden = _limits([values for _, values in shown[:-1]] or [shown[0][1]])
    for row, (name, values) in enumerate(shown):
        last = row == len(shown) - 1
        band, *inactive = grid[row]
        _draw_band(band, epochs, values, _limits([values]) if last else hidden, each)
        band.set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
        for axes in inactive:
            _draw_inactive(axes, epochs, values.get("inactive"), each)
        for axes in (band, *inactive):
            quiet(axes)
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(labelsize=7, labelbottom=last, bottom=last)
            _epochs(axes, end)
            axes.set_xlabel("epoch" if last else "")
    title(grid[0][0], "Outputs of each layer: mean ± deviation")
    if watched:
        title(grid[0][1], "Inactive units")
    return picture


def _draw_band(
    axes: Axes,
    epochs: np.ndarray,
    values: Mapping[str, np.ndarray],
    limits: tuple[float, float],
    each: float,
) -> None:
    mean, deviation = values["activation_mean"], values["activation_deviation"]
    axes.fill_between(epochs, mean - deviation, mean + deviation, color=AMOUNT(0.3), linewidth=0)
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    axes.plot(epochs, mean, color=AMOUNT(0.95), linewidth=1.3)
    # Two ticks, zero and a round number: strips may be low.
    far = max(limits, key=abs)
    decade = 10.0 ** math.floor(math.log10(abs(far)))
    tick = math.copysign(max(m for m in (1, 2, 5) if m * decade <= abs(far)) * decade, far)
    apart = each * abs(tick) / (limits[1] - limits[0]) > 1.5 * _TICK_HEIGHT
    ticks = (0, tick) if apart else (tick,)
    axes.set(ylim=limits, yticks=ticks, yticklabels=[_figures(value) for value in ticks])
    _inside(axes, each)
    if np.isfinite(mean[-1] + deviation[-1]):
        _at_end(axes, f"{_figures(mean[-1])} ± {_figures(deviation[-1])}")


def _draw_inactive(axes: Axes, epochs: np.ndarray, share: np.ndarray | None, each: float) -> None:
    axes.set(ylim=(0, 1), yticks=[])
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    if share is None:
        middle: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, "does not apply", color=QUIET, **middle, **_SMALL)
        return
    axes.set(yticks=(0, 1), yticklabels=("0 %", "100 %"))
    _inside(axes, each)
    axes.axhline(INACTIVE, color=QUIET, linewidth=0.8, linestyle=":", zorder=1)
    axes.fill_between(epochs, 0, share, color=POSITIVE, alpha=0.25, linewidth=0)
    axes.plot(epochs, share, color=POSITIVE, linewidth=1.3, clip_on=False)
    if np.isfinite(share[-1]):
        _at_end(axes, f"{100 * share[-1]:.1f} %")


def _inside(axes: Axes, height: float) -> None:
    """Keeps the labels of the y axis, of a strip so many inches high, beside the strip.

    What reaches beyond would make a gap wider than the others.
    """
    low, high = axes.get_ylim()
    for label, tick in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True):
        place = height * (tick - low) / (high - low)
        half = 0.5 * _TICK_HEIGHT
        label.set_verticalalignment(
            "bottom" if place < half else "top" if height - place < half else "center"
        )


def _at_end(axes: Axes, text: str) -> None:
    """Writes a last value at the right of axes."""
    axes.annotate(
        text,
        xy=(1, 0.5),
        xycoords="axes fraction",
        xytext=(4, 0),
        textcoords="offset points",
        color=INK,
        va="center",
        annotation_clip=False,
        **_SMALL,
    )


def _figures(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _series(metrics: Sequence[Mapping[str, Any]]) -> _Series:
    reports = [report for report in metrics if report.get("statistics")]
    if not reports:
        raise ValueError("no report has statistics of the layers")
    layers = {
        name: {
            key: np.array(
                [report["statistics"].get(name, {}).get(key) for report in reports], float
            )
            for key in values
        }
        for name, values in reports[0]["statistics"].items()
    }
    epochs = np.array([report["epoch"] for report in reports], float)
    return _Series(epochs, float(metrics[-1]["epoch"]), layers)


def _strips(
    layers: Mapping[str, Mapping[str, np.ndarray]],
) -> list[tuple[str, Mapping[str, np.ndarray]]]:
    """Returns the layers that get a strip: an activation takes the place of the one before."""
    strips: list[tuple[str, Mapping[str, np.ndarray]]] = []
    for name, values in layers.items():
        kind = name.split()[-1]
        if kind in PASSING:
            continue
        if strips and "weight_norm" not in values:
            before, earlier = strips.pop()
            name = f"{before}, {kind}"
            if "inactive" in earlier:  # of a relu that pooling follows, for one
                values = {"inactive": earlier["inactive"], **values}
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


def _epochs(axes: Axes, end: float) -> None:
    axes.set(xlabel="epoch", xlim=(0, end))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10), integer=end > 3))


def _logarithmic(axes: Axes) -> None:
    """Makes an axis logarithmic, and half a decade long at least, so that it has ticks."""
    values = [float(y) for line in axes.lines for y in _positive(line)[:, 1]] or [1.0]
    low, high = min(values), max(values)
    room = max(1.15, math.sqrt(3 * low / high))
    axes.set_ylim(low / room, high * room)
    axes.set_yscale("log", nonpositive="mask")
    if high / low > 1e3:
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=round_parts(*axes.get_ylim())))
        scientific = LogFormatterSciNotation(labelOnlyBase=False)
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda y, i: f"{y:g}" if 1e-4 < y < 1e4 else scientific(y, i))
        )
        scientific.set_axis(axes.yaxis)
    axes.yaxis.set_minor_locator(NullLocator())


def _positive(line: Line2D) -> np.ndarray:
    """Returns the points of a line that a logarithmic axis shows, (n, 2)."""
    points = np.asarray(line.get_xydata())
    return points[np.isfinite(points[:, 1]) & (points[:, 1] > 0)]


def _name_ends(axes: Axes, lines: Sequence[Line2D]) -> None:
    """Writes a line's name where it ends, or nearby where names would overlap."""
    place = axes.transScale + axes.transLimits  # from data to fractions of the axes
    ends = [(place.transform(_positive(line)[-1]), line) for line in lines if len(_positive(line))]
    ends.sort(key=lambda end: end[0][1])
    heights = _apart([height for (_, height), _ in ends], _NAME_HEIGHT)
    for (end, line), height in zip(ends, heights, strict=True):
        leader: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            str(line.get_label()),
            xy=tuple(end),
            xytext=(1.06, height),
            xycoords="axes fraction",
            color=line.get_color(),
            va="center_baseline",
            annotation_clip=False,
            arrowprops=leader | {"color": line.get_color(), "relpos": (0, 0.5)},
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
