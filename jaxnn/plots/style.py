"""The one visual language of every picture: what colours mean, and how axes look.

Positive is orange, negative is blue, zero is the background, and strength lies between; all else is
grey. The pair is told apart with every common kind of colour blindness and, by its lightness, in
print without colour; either has a contrast of 3 : 1 or more on a white and on a nearly black page.
"""

import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from jaxnn.errors import writing
from jaxnn.files import write_whole
from jaxnn.plots.fonts import make_legible

POSITIVE, NEGATIVE, BACKGROUND = "#e66100", "#2166ac", "#ffffff"

INK, QUIET, FAINT, TRACK = "#1f2328", "#59636e", "#d0d7de", "#eceff2"
"""Greys: what is read first; what is read if wanted; lines that only guide; a bar's empty part."""

SIGNED = LinearSegmentedColormap.from_list("signed", [NEGATIVE, BACKGROUND, POSITIVE])
"""From the most negative value to the most positive one, to be used with ``signed_scale``."""

AMOUNT = LinearSegmentedColormap.from_list(
    "amount", ["#f6f5ee", "#cfdcbc", "#86b797", "#43867e", "#1e4e5c", "#10222f"]
)
"""For what has an order but no sign, from little to much: the more, the darker, in grey too."""

CLASS_COLORS = (
    "#332288", "#e08e0b", "#44aa99", "#882255", "#2f97c9",
    "#117733", "#cc6677", "#999933", "#555555", "#aa4499",
)  # fmt: skip
"""Mostly Tol's "muted", which the color-blind tell apart; https://sronpersonalpages.nl/~pault/."""

_MARKERS = "os^Dv<P>X*"

WIDTH = 8.0
"""Inches: the width of a figure, at which its text is readable on a page as wide as a README."""

_LETTER = 0.0083
"""Inches: the width of a letter of one point, on average."""

_DOTS_PER_INCH = 200


def signed_scale(values: np.ndarray, covered: float = 1.0) -> Normalize:
    """Returns the scale that gives zero the background, and the largest magnitude full colour.

    Args:
        values: any shape, of any sign; what is not finite does not count.
        covered: the fraction of values within the scale. With less than 1, rare large values do
            not make all others pale: they get full colour too.
    """
    magnitudes = np.abs(values[np.isfinite(values)])
    limit = float(np.quantile(magnitudes, covered)) if magnitudes.size else 0.0
    limit = limit or float(magnitudes.max(initial=0)) or 1.0
    return Normalize(-limit, limit, clip=True)


class _Legible(Figure):
    def draw(self, renderer: RendererBase) -> None:
        make_legible(self)
        super().draw(renderer)


def class_marker(k: int) -> str:
    """Returns what stands for an example of class k; beside ``CLASS_COLORS[k % 10]``."""
    return _MARKERS[(k + k // 10) % 10]


def figure(width: float = WIDTH, height: float = 3.0) -> Figure:
    """Returns an empty figure of a size in inches, which no global state knows of."""
    empty = _Legible((width, height), facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def quiet(axes: Axes) -> None:
    """Makes the frame, the ticks and the grid of axes recede behind what they hold."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", color=FAINT, labelcolor=QUIET, labelsize=9)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.label.set(color=QUIET, fontsize=9)
    axes.yaxis.label.set(color=QUIET, fontsize=9)


def bare(axes: Axes) -> None:
    """Removes frame and ticks: for pictures, whose axes are no quantities."""
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])


def signed_bar(axes: Axes, drawn: ScalarMappable, label: str, *, exceeded: bool) -> None:
    """Adds, right of axes, the key to a signed scale; pointed where values lie beyond it."""
    bar = axes.figure.colorbar(
        drawn, ax=axes, aspect=40, pad=0.02, extend="both" if exceeded else "neither", label=label
    )
    bar.outline.set_visible(False)
    quiet(bar.ax)
    bar.ax.grid(False)


def title(axes: Axes, text: str) -> None:
    """Puts a title over axes, at the left; nothing in it is taken for mathematics."""
    axes.set_title(text, loc="left", fontsize=10, color=INK, parse_math=False)


def headline(picture: Figure, text: str) -> None:
    """Puts a heading over all of a figure, at the left, in as many lines as it takes."""
    lines = wrapped(text, picture.get_figwidth())
    picture.suptitle(lines, x=0.01, ha="left", fontsize=10, color=INK, parse_math=False)


def wrapped(text: str, inches: float) -> str:
    """Returns a heading with a line's end wherever a figure of a width has no more room."""
    letters = letters_in(0.98 * inches - 0.1, 10)
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


def letters_in(inches: float, size: float) -> int:
    """Returns how many letters, of a size in points, fit into a line; at least one."""
    return max(int(inches / (_LETTER * size)), 1)


def shortened(text: str, letters: int, lines: int = 1) -> str:
    """Returns a text in so many lines of so many letters at most, "…" for what is left out."""
    found = textwrap.wrap(text, letters)
    if len(found) > lines:
        rest = " ".join(found[lines - 1 :])
        found[lines - 1 :] = [rest[: max(letters - 1, 1)].rstrip() + "…"]
    return "\n".join(found)


def round_parts(low: float, high: float) -> tuple[float, ...]:
    """Returns the parts of each decade to show between two numbers: fewer for more decades."""
    decades = math.log10(high / low)
    return (1, 1.5, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 3 else (1,)


def logarithmic_ticks(axis: Axis) -> None:
    """Gives a logarithmic axis of losses round ticks at equal ratios."""
    low, high = axis.get_view_interval()
    if high / low < 1e4:
        axis.set_major_locator(LogLocator(subs=round_parts(low, high)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def spaced(count: int, most: int) -> list[int]:
    """Returns which of so many to show: all, or some, the first and the last, evenly spaced."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def save(picture: Figure, path: str | Path) -> None:
    """Writes a figure as PNG, whole or not at all.

    Raises:
        RunError: if the file cannot be written.
    """
    path = Path(path)
    with writing(path), write_whole(path) as file:
        picture.savefig(file, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
