"""The model beside what was measured, and what it says of many GPUs."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from cost_model.cluster import DEVICES, Projection
from jaxnn.plots.style import CLASS_COLORS, FAINT, INK, QUIET, class_marker, figure, quiet, title

LINES = {"replicated": "-", "sharded in nodes": "--", "sharded": ":"}


def scaling_picture(rows: Sequence[Any], projections: Sequence[Projection]) -> Figure:
    """Draws measured over predicted seconds, and efficiency over the number of GPUs.

    Args:
        rows: of this machine: ``layout``, and ``predicted`` and ``measured`` seconds; or none.
        projections: of GPUs.
    """
    picture = figure(height=3.6)
    left, *right = picture.subplots(1, 3)
    _measured(left, rows)
    for axes, what, text in (
        (right[0], "own_efficiency", "Each GPU has the same batch"),
        (right[1], "batch_efficiency", "All GPUs share one batch"),
    ):
        names = list(dict.fromkeys(one.name for one in projections))
        for name in names:
            for kept, line in LINES.items():
                points = [p for p in projections if (p.name, p.kept) == (name, kept)]
                axes.plot(
                    [p.devices for p in points],
                    [getattr(p, what) for p in points],
                    line,
                    color=CLASS_COLORS[names.index(name)],
                    marker="o",
                    markersize=3,
                    label=f"{name}, {kept}" if axes is right[0] else "",
                )
        quiet(axes)
        title(axes, text)
        axes.set_xscale("log")
        axes.set(xlabel="GPUs", ylim=(0, 1.05), xticks=DEVICES)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
    right[0].set_ylabel("efficiency")
    picture.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=8, labelcolor=QUIET)
    return picture


def _measured(axes: Any, rows: Sequence[Any]) -> None:
    title(axes, "A step, on this machine")
    quiet(axes)
    if not rows:
        axes.text(0.5, 0.5, "not measured", ha="center", color=QUIET, transform=axes.transAxes)
        return
    times = [1e3 * row[what] for row in rows for what in ("predicted", "measured")]
    ends = [min(times) / 1.5, 1.5 * max(times)]
    axes.fill_between(ends, [0.8 * x for x in ends], [1.2 * x for x in ends], color=FAINT, lw=0)
    for k, layout in enumerate(dict.fromkeys(row["layout"] for row in rows)):
        own = [row for row in rows if row["layout"] == layout]
        axes.plot(
            [1e3 * row["predicted"] for row in own],
            [1e3 * row["measured"] for row in own],
            class_marker(k),
            color=INK,
            fillstyle="none",
            label=layout,
        )
    axes.set(xscale="log", yscale="log", xlabel="predicted, ms (± 20 %)", ylabel="measured, ms")
    axes.set(xlim=ends, ylim=ends)
