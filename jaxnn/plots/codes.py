"""The plane of an autoencoder's codes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxnn.plots.contact_sheet import as_color
from jaxnn.plots.representations import clouds_of, draw_classes, name_clouds
from jaxnn.plots.style import INK, figure, headline, quiet, title


def code_plane(
    codes: np.ndarray,
    targets: np.ndarray,
    classes: Sequence[str],
    x: np.ndarray,
    y: np.ndarray,
    decoded: np.ndarray | None = None,
    *,
    limits: tuple[float, float] = (0, 255),
    heading: str = "",
) -> Figure:
    """Draws codes of two numbers as points, and beside them what codes all over their plane become.

    Args:
        codes: (n, 2).
        targets: (n,): the class of each example, which it was not told of.
        classes: the name of each class; () if there are none.
        x: (nx,): first numbers of codes, rising.
        y: (ny,): second numbers.
        decoded: (ny, nx, height, width, 1 or 3): the images that these become, if any.
        limits: the values of an image that are drawn black and white.
        heading: a text over all.
    """
    picture = figure(height=4.5)
    left, *others = picture.subplots(1, 1 if decoded is None else 2, squeeze=False)[0]
    across, up = ((places[1] - places[0]) / 2 for places in (x, y))
    extent = (x[0] - across, x[-1] + across, y[0] - up, y[-1] + up)
    present = [k for k in range(len(classes)) if (targets == k).any()]
    if classes:
        draw_classes(left, codes, targets, present)
    else:
        left.plot(*codes.T, "o", color=INK, markersize=3, alpha=0.5)
        quiet(left)
    title(left, "Codes of examples")
    for axes in others:
        assert decoded is not None
        rows, columns, height, width = decoded.shape[:4]
        # The second number of a code points upward, and rows of images go down.
        mosaic = decoded[::-1].swapaxes(1, 2).reshape(rows * height, columns * width, -1)
        drawn = as_color(mosaic, limits)
        axes.imshow(
            drawn[..., 0] if drawn.shape[-1] == 1 else drawn,
            extent=extent, aspect="auto", cmap="gray", vmin=0, vmax=1,
        )  # fmt: skip
        quiet(axes)
        axes.grid(False)
        title(axes, "What becomes of codes")
    for axes in (left, *others):
        axes.set_box_aspect(1)
        axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="code 0", ylabel="code 1")
    headline(picture, heading)
    if classes:
        name_clouds(picture, {left: clouds_of(codes, targets, classes, present)})
    return picture
