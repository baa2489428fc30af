"""The map of the loss shows the plane's numbers."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from jaxnn.landscape import Plane
from jaxnn.plots import loss_map

STEPS = np.linspace(-1, 1, 11)
BOWL = 0.1 + np.square(STEPS)[:, None] + 3 * np.square(STEPS - 0.2)


def test_the_map_and_the_sections_are_the_losses() -> None:
    picture = loss_map(Plane(STEPS, BOWL), heading="a $ x $")
    picture.draw_without_rendering()
    left, right, _ = picture.axes
    (mesh,) = (c for c in left.collections if isinstance(c, QuadMesh))
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), BOWL.shape), BOWL)
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, -1], [1, -1])  # columns go along the first direction
    first, second, center = right.lines
    np.testing.assert_array_equal(first.get_ydata(), BOWL[5])
    np.testing.assert_array_equal(second.get_ydata(), BOWL[:, 5])
    np.testing.assert_array_equal(center.get_xydata(), [[0, BOWL[5, 5]]])
    assert left.get_xlabel().startswith("step along direction 1")
    assert picture.get_suptitle() == "a $ x $"
    (legend,) = picture.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["direction 1", "direction 2", f"the trained network: {BOWL[5, 5]:.4f}"]


def test_contours_have_round_labels() -> None:
    left, _, bar = loss_map(Plane(STEPS, BOWL)).axes
    assert bar.get_title() == "loss"
    (lines,) = (c for c in left.collections if isinstance(c, ContourSet))
    assert len(lines.levels) >= 4
    assert all(f"{level:.1g}" == f"{level:g}" or level % 0.5 == 0 for level in lines.levels)
    assert lines.levels.min() > BOWL.min()
    assert lines.levels.max() < BOWL.max()


@pytest.mark.parametrize(
    "losses",
    [
        np.full((11, 11), 2.3),
        np.zeros((11, 11)),
        BOWL - 2,
        np.where(BOWL > 1, np.inf, BOWL),
        np.where(BOWL > 1, np.nan, BOWL),
        np.full((11, 11), np.nan),
        BOWL * 1e-12,
        np.exp(30 * BOWL),
        2.3 + 1e-6 * BOWL,
    ],
    ids=["flat", "zeros", "negative", "infinite", "nan", "nothing", "tiny", "steep", "nearly flat"],
)
def test_what_is_unusual_is_drawn_without_a_warning(losses: np.ndarray) -> None:
    loss_map(Plane(STEPS, losses)).draw_without_rendering()
