"""Whether a network is right as often as it is sure."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter, StrMethodFormatter

from jaxnn.metrics import Calibration
from jaxnn.plots.style import FAINT, INK, NEGATIVE, POSITIVE, QUIET, figure, headline, quiet

_GAP: dict[str, Any] = {"linewidth": 5, "alpha": 0.35}


def reliability_diagram(calibration: Calibration, *, heading: str = "") -> Figure:
    """Draws accuracy over confidence, and how many predictions there are of each confidence.

    On the diagonal a network is right as often as it is sure: below, it is too sure of itself,
    above, not sure enough. The upright lines are 95 % intervals (Wilson's): where few predictions
    have a confidence, their accuracy says little.

    Args:
        calibration: see ``jaxnn.metrics.calibration``.
        heading: a text over all.
    """
    bins = len(calibration.examples)
    some = calibration.examples > 0
    confidence, accuracy, count = (values[some] for values in calibration[1:])
    low, high = _wilson(accuracy, count)
    picture = figure(width=5.0, height=6.3)
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    upper.plot((0, 1), (0, 1), color=FAINT, linewidth=1.2, zorder=1)
    upper.vlines(confidence, low, high, color=QUIET, linewidth=1)
    colors = np.where(accuracy < confidence, POSITIVE, NEGATIVE)
    upper.vlines(confidence, accuracy, confidence, color=colors, **_GAP)
    upper.scatter(confidence, accuracy, color=INK, s=18, zorder=3, clip_on=False)
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    upper.yaxis.set_major_locator(MultipleLocator(0.2))
    upper.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))

    edges = np.arange(bins) / bins
    lower.bar(edges[some], count, 1 / bins, align="edge", color="#b3bcc5", edgecolor="white")
    lower.set(xlabel="confidence: the probability of the prediction", ylabel="predictions")
    lower.set_yscale("log")
    lower.set_ylim(0.5, None)
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.xaxis.set_major_locator(MultipleLocator(0.2))
    lower.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    for axes in (upper, lower):
        quiet(axes)
    key = [
        Line2D([], [], color=INK, marker="o", markersize=4, linestyle="", label="accuracy"),
        Line2D([], [], color=QUIET, linewidth=1, label="its 95 % interval"),
        Line2D([], [], color=POSITIVE, label="too sure: right less often than it says", **_GAP),
        Line2D([], [], color=NEGATIVE, label="not sure enough: right more often", **_GAP),
    ]
    picture.legend(
        handles=key, loc="outside lower left", ncols=2, frameon=False, fontsize=8, labelcolor=QUIET
    )
    error = f"expected calibration error {100 * calibration.error:.2f} %"
    headline(picture, f"{heading}\n{error}")
    return picture


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 95 % interval of a probability, from the share of so many trials that succeeded.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    z = 1.96
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return center - half, center + half
