"""Contact sheets and weights: every image is there, unaltered, where it belongs."""

import numpy as np
import pytest

from jaxnn.plots import COLUMNS, contact_sheet, weight_images, weight_table
from jaxnn.plots.sheet import columns_for


def test_a_sheet_shows_each_image_with_its_captions() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (COLUMNS + 3, 8, 8, 1), dtype=np.uint8)
    captions = [(f"class {i % 2}", f"{i}") for i in range(len(images))]
    picture = contact_sheet(images, captions, limits=(0, 16), heading="digits $5")
    picture.draw_without_rendering()
    (axes,) = picture.axes
    assert picture.get_suptitle() == "digits $5"
    assert [t.get_text() for t in axes.texts] == [text for pair in captions for text in pair]
    assert len(axes.images) == len(images)
    for drawn, image in zip(axes.images, images, strict=True):
        np.testing.assert_array_equal(drawn.get_array(), image[..., 0])
        assert drawn.get_clim() == (0, 16)
    # Rows of COLUMNS, from the top: the first of the second row is under the first of all.
    first, second, below = (axes.images[k].get_extent() for k in (0, 1, COLUMNS))
    assert second[0] > first[1]
    assert second[2:] == first[2:]
    assert below[:2] == first[:2]
    assert below[3] > first[2]


def test_colour_images_keep_their_colours() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    picture = contact_sheet(images, [("a", "0"), ("b", "1")])
    picture.draw_without_rendering()
    for drawn, image in zip(picture.axes[0].images, images, strict=True):
        np.testing.assert_allclose(np.asarray(drawn.get_array()) * 255, image, atol=1e-4)


def test_long_captions_take_more_lines_and_are_cut() -> None:
    images = np.zeros((COLUMNS, 8, 8, 1), np.uint8)
    picture = contact_sheet(images, [("a very long name of a class", "12345")] * COLUMNS)
    first, second = picture.axes[0].texts[:2]
    assert first.get_text().startswith("a very")
    assert first.get_text().endswith("…")
    assert second.get_position()[1] > first.get_position()[1]


@pytest.mark.parametrize("shape", [(0, 8, 8, 1), (3, 8, 8), (3, 8, 8, 2), (3, 4)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected images"):
        contact_sheet(np.zeros(shape), [("", "")] * shape[0])


def test_weights_are_the_units_columns_on_one_scale() -> None:
    weight = np.random.default_rng(0).normal(size=(3 * 4, 5)).astype(np.float32)
    weight[0, 0] = 100
    picture = weight_images(weight, (3, 4, 1))
    picture.draw_without_rendering()
    images = picture.axes[0].images
    assert len(images) == 5
    for unit, drawn in enumerate(images):
        np.testing.assert_array_equal(drawn.get_array(), weight[:, unit].reshape(3, 4))
    (limits,) = {drawn.get_clim() for drawn in images}
    assert limits[0] == -limits[1]
    assert "5 units" in picture.get_suptitle()


def test_of_many_units_the_strongest_are_drawn_in_their_order() -> None:
    weight = np.ones((4, 10)) * np.arange(10)
    picture = weight_images(weight, (2, 2, 1), most=3)
    values = [float(np.max(drawn.get_array())) for drawn in picture.axes[0].images]
    assert values == [7, 8, 9]
    assert "3 strongest of 10" in picture.get_suptitle()


def test_channels_stand_side_by_side_apart_and_are_named() -> None:
    weight = np.random.default_rng(0).normal(size=(2 * 2 * 3, 4))
    picture = weight_images(weight, (2, 2, 3), heading="Kernels")
    assert picture.get_suptitle().startswith("Kernels, three images, for red, green and blue")
    axes = picture.axes[0]
    unit = weight[:, 0].reshape(2, 2, 3)
    for channel, (image, text) in enumerate(zip(axes.images, axes.texts, strict=False)):
        if channel < 3:
            np.testing.assert_array_equal(image.get_array(), unit[..., channel])
            left, right, _, _ = image.get_extent()
            assert (text.get_text(), text.get_position()[0]) == (
                "RGB"[channel],
                (left + right) / 2,
            )
    first, second, third, other = (image.get_extent() for image in axes.images[:4])
    assert 0 < second[0] - first[1] == pytest.approx(third[0] - second[1])
    assert other[0] - third[1] > 2 * (second[0] - first[1])


def test_the_weights_of_a_table_have_its_names() -> None:
    weight = np.random.default_rng(0).normal(size=(60, 5)) * np.arange(60)[:, None]
    picture = weight_table(weight, [f"column $ {k} $" for k in range(60)], most=10)
    picture.draw_without_rendering()
    axes = picture.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), weight[shown := rows(weight)])
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"column $ {k} $" for k in shown]
    assert picture.get_suptitle() == "Weights: the 10 strongest of 60 inputs and 5 units"


def rows(weight: np.ndarray) -> np.ndarray:
    return np.sort(np.argsort(np.linalg.norm(weight, axis=1))[-10:])


def test_a_single_image_fills_its_sheet() -> None:
    picture = contact_sheet(np.zeros((1, 8, 8, 1), np.uint8), [("a", "1 %")])
    picture.draw_without_rendering()
    assert picture.axes[0].get_window_extent().width > 0.9 * picture.bbox.width


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (16, 8), (64, 16), (128, 16)])
def test_rows_are_full_where_they_can_be(count: int, columns: int) -> None:
    assert columns_for((count, 8, 8)) == columns


def test_a_network_of_zeros_can_be_drawn() -> None:
    weight_images(np.zeros((4, 2)), (2, 2, 1)).draw_without_rendering()
