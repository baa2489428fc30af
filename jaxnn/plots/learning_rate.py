"""The loss while the learning rate rises."""

import numpy as np
from matplotlib.figure import Figure

from jaxnn.plots.style import (
    INK,
    POSITIVE,
    QUIET,
    TRACK,
    figure,
    headline,
    logarithmic_ticks,
    quiet,
)
from jaxnn.training import RisingRate, Suggestion

_STRAY = 1.25
"""How far above the smoothed curve single losses are drawn."""


def rising_loss(found: RisingRate, suggestion: Suggestion, *, heading: str = "") -> Figure:
    """Draws the loss of each step over its learning rate, the smoothed curve, and what it suggests.

    Args:
        found: from ``jaxnn.training.rising_rate``.
        suggestion: from ``jaxnn.training.suggest_rate``.
        heading: a text over all.
    """
    picture = figure(height=3.8)
    axes = picture.subplots()
    rates, smoothed = found.rates, suggestion.smoothed
    count = len(found.losses)
    for i, losses in enumerate(found.losses):
        label = "each step" + (f", {count} seeds" if count > 1 else "")
        finite = np.where(np.isfinite(losses), losses, np.nan)
        axes.plot(rates, finite, ".", markersize=2.5, color=QUIET, alpha=0.5, label=label * (not i))
    axes.plot(rates, smoothed, color=INK, linewidth=1.8, label="averaged over rates nearby")
    for rate, marker, what in (
        (suggestion.steepest, "v", "falls fastest"),
        (suggestion.lowest, "D", "is lowest"),
    ):
        if rate is not None:
            value = np.interp(rate, rates, smoothed)
            label = f"{what}: {rate:.2g}"
            axes.plot(rate, value, marker, color=INK, markersize=6, label=label, linestyle="none")
    if suggestion.diverged is not None:
        label = f"above the untrained network: from {suggestion.diverged:.2g}"
        axes.axvspan(suggestion.diverged, rates[-1], color=TRACK, zorder=0, label=label)
    if suggestion.rate is not None:
        label = f"suggested: {suggestion.rate:.2g}"
        axes.axvline(suggestion.rate, color=POSITIVE, linewidth=2.2, label=label)
    quiet(axes)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="loss", xlim=(rates[0], rates[-1]))
    high = smoothed.max()
    low = max(found.losses[np.isfinite(found.losses)].min(), 0.7 * smoothed.min())
    axes.set_ylim(low / _STRAY, _STRAY * high)
    if low > 0:
        axes.set_yscale("log")
        logarithmic_ticks(axes.yaxis)
    picture.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9, labelcolor=QUIET)
    headline(picture, heading)
    return picture
