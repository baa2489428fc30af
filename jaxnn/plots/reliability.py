"""Whether a network is right as often as it is sure."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter, StrMethodFormatter

from jaxnn.metrics import Calibration
from jaxnn.plots.style import FAINT, INK, NEGATIVE, POSITIVE, QUIET, figure, quiet, title


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
    picture = figure(width=5.0, height=5.6)
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    upper.plot((0, 1), (0, 1), color=FAINT, linewidth=1.2, zorder=1)
    upper.text(0.03, 0.94, "not sure enough", color=NEGATIVE, fontsize=9)
    upper.text(0.97, 0.03, "too sure", color=POSITIVE, fontsize=9, ha="right")
    upper.vlines(confidence, low, high, color=QUIET, linewidth=1)
    colors = np.where(accuracy < confidence, POSITIVE, NEGATIVE)
    upper.vlines(confidence, accuracy, confidence, color=colors, linewidth=5, alpha=0.35)
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
    error = f"expected calibration error {100 * calibration.error:.2f} %"
    upper.set_title(error, loc="right", fontsize=9, color=QUIET)
    title(upper, heading)
    return picture


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 95 % interval of a probability, from the share of so many trials that succeeded.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    z = 1.96
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return center - half, center + half
