"""Pictures of the plane, and of numbers, show what they are given."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxnn.data import Dataset, Split
from jaxnn.plots import (
    decision_map,
    evaluation_pictures,
    learned_curves,
    surface_maps,
    training_curves,
    unit_maps,
)
from jaxnn.plots.style import CLASS_COLORS, SIGNED
from jaxnn.tasks import multilabel, regression

X, Y = np.linspace(-2, 2, 9), np.linspace(0, 1, 5)
POINTS = np.array([[-1.5, 0.1], [1.5, 0.2], [1.5, 0.9]])


def test_places_have_the_colour_of_their_class_and_mistakes_a_ring() -> None:
    """Left of 0 one class, right of it the other, the surer the further away."""
    right = 1 / (1 + np.exp(-4 * np.broadcast_to(X, (5, 9))))
    picture = decision_map(
        X,
        Y,
        np.stack([1 - right, right], -1),
        POINTS,
        np.array([0, 1, 0]),
        np.array([0, 1, 1]),
        ("left $x", "right"),
        features=("a", "b"),
    )
    picture.draw_without_rendering()
    (axes,) = picture.axes
    (image,) = axes.images
    assert (image.origin, axes.get_xlabel(), axes.get_ylabel()) == ("lower", "a", "b")
    colors = np.asarray(image.get_array())
    for side, k in ((colors[:, 0], 0), (colors[:, -1], 1)):
        np.testing.assert_allclose(
            side, 0.5 * (1 + np.array([to_rgb(CLASS_COLORS[k])] * 5)), atol=1e-2
        )
    np.testing.assert_allclose(colors[:, 4], 1)  # undecided
    scatters = axes.collections
    marks = {
        tuple(place): np.ravel(drawn.get_linewidth())[0]
        for drawn in scatters
        for place in np.asarray(drawn.get_offsets())
        if drawn.get_offsets().size and len(drawn.get_facecolor())
    }
    assert [marks[tuple(point)] for point in POINTS] == [0.4, 0.4, 1.2]
    names = [text.get_text() for text in picture.legends[0].get_texts()]
    assert names == ["left $x", "right"]


def test_a_surface_and_its_examples_are_on_one_scale() -> None:
    values = (X + 10 * Y[:, None])[..., None]
    targets = np.array([[-3.0], [4.0], [9.0]])
    picture = surface_maps(X, Y, values, POINTS, targets, ("price",), features=("a", "b"))
    picture.draw_without_rendering()
    axes, _ = picture.axes
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), values[..., 0])
    points = axes.collections[-1]
    np.testing.assert_array_equal(points.get_array(), targets[:, 0])
    assert image.get_clim() == points.get_clim() == (-3, 9)
    assert axes.get_title(loc="left") == "price"


def test_probabilities_have_a_scale_of_their_own() -> None:
    picture = surface_maps(
        X, Y, np.full((5, 9, 2), 0.7), POINTS, np.eye(3)[:, :2], "ab", shares=True
    )
    for axes in picture.axes[:2]:
        assert axes.images[0].get_clim() == (0, 1)
        assert axes.images[0].get_cmap() is SIGNED


def test_a_curve_is_drawn_over_its_input() -> None:
    picture = learned_curves(
        X, X[:, None] ** 2, POINTS[:, 0], POINTS[:, :1] * 2, ["y"], feature="x"
    )
    points, line = picture.axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([X, X**2], 1))
    np.testing.assert_array_equal(
        points.get_xydata(), np.stack([POINTS[:, 0], POINTS[:, 0] * 2], 1)
    )


def test_units_are_drawn_with_the_second_input_upward() -> None:
    values = np.arange(24.0).reshape(3, 4, 2)
    picture = unit_maps(values, heading="layer")
    first, second = picture.axes[0].images
    np.testing.assert_array_equal(first.get_array(), values[::-1, :, 0])
    np.testing.assert_array_equal(second.get_array(), values[::-1, :, 1])
    assert picture.get_suptitle() == "layer (2 units)"


def dataset(stored: np.ndarray, **other: object) -> Dataset:
    split = Split(np.arange(2.0 * len(stored), dtype=np.float32).reshape(-1, 2), stored)
    return Dataset("some", split, split, split, (), np.float32(0), np.float32(1), **other)


def test_an_evaluation_of_numbers_is_in_the_units_of_the_data() -> None:
    true = np.array([[1.0], [2.0], [4.0], [3.0]])
    predicted = true + np.array([[0.5], [-2.0], [0.1], [0.0]])
    data = dataset(true.astype(np.float32), task=regression, features=("a", "b"), targets=("t",))
    pictures = evaluation_pictures(data, "test", predicted, mistakes=2)
    assert list(pictures) == ["predicted", "residuals", "worst"]
    (axes,) = pictures["predicted"].axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), np.hstack([true, predicted]))
    left, _ = pictures["residuals"].axes
    errors = np.hstack([predicted, predicted - true])
    np.testing.assert_allclose(left.collections[0].get_offsets(), errors, atol=1e-12)
    (axes,) = pictures["worst"].axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["1: a 2, b 3", "0: a 0, b 1"]  # the largest error first
    assert axes.get_xlabel() == "t"


def test_images_that_are_learnt_stand_beside_what_is_put_out() -> None:
    true = np.random.default_rng(0).uniform(size=(5, 3, 4, 1)).astype(np.float32)
    predicted = true.astype(float)
    predicted[3] += 0.5
    pictures = evaluation_pictures(dataset(true, task=regression), "test", predicted, mistakes=2)
    assert list(pictures) == ["reconstructions"]
    axes = pictures["reconstructions"].axes[0]
    first, second = axes.images[:2]
    np.testing.assert_allclose(first.get_array(), true[3, ..., 0])
    np.testing.assert_allclose(second.get_array(), predicted[3, ..., 0])
    texts = [text.get_text() for text in axes.texts]
    assert texts[:1] == ["example 3"]
    assert "RMSE 0.5" in texts


def test_labels_are_sorted_by_their_score() -> None:
    targets = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.float32)
    data = dataset(targets, task=multilabel)._replace(classes=("good", "bad"))
    probabilities = np.where(targets > 0, 0.9, 0.1)
    probabilities[:, 1] = [0.9, 0.1, 0.9, 0.9]
    (axes,) = evaluation_pictures(data, "test", probabilities)["labels"].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["bad (2)", "good (2)"]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.4, 1])


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (("rmse", "mae", "r2"), ["loss", "RMSE", "R², stretched"]),
        (("accuracy", "macro_f1"), ["loss", "accuracy, stretched", "macro F1, stretched"]),
    ],
)
def test_curves_are_those_of_the_task(names: tuple[str, ...], drawn: list[str]) -> None:
    reports = [{"epoch": e, "loss": 1.0, **dict.fromkeys(names, 0.5)} for e in (1, 2)]
    assert [axes.get_ylabel() for axes in training_curves(reports).axes] == drawn
