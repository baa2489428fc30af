"""Contact sheets and weights: every image is there, unaltered, where it belongs."""

import numpy as np
import pytest

from jaxnn.plots import COLUMNS, contact_sheet, weight_images
from jaxnn.plots.sheet import columns_for


def test_a_sheet_shows_each_image_with_its_captions() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (COLUMNS + 3, 8, 8, 1), dtype=np.uint8)
    captions = [(f"class {i % 2}", f"{i}") for i in range(len(images))]
    picture = contact_sheet(images, captions, limits=(0, 16), heading="digits $5")
    picture.draw_without_rendering()
    (axes,) = picture.axes
    assert axes.get_title("left") == "digits $5"
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


def test_long_captions_take_two_lines_and_are_cut() -> None:
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
    assert "5 units" in picture.axes[0].get_title("left")


def test_of_many_units_the_strongest_are_drawn_in_their_order() -> None:
    weight = np.ones((4, 10)) * np.arange(10)
    picture = weight_images(weight, (2, 2, 1), most=3)
    values = [float(np.max(drawn.get_array())) for drawn in picture.axes[0].images]
    assert values == [7, 8, 9]
    assert "3 strongest of 10" in picture.axes[0].get_title("left")


def test_channels_stand_side_by_side() -> None:
    weight = np.random.default_rng(0).normal(size=(2 * 2 * 3, 4))
    axes = weight_images(weight, (2, 2, 3), heading="Kernels").axes[0]
    (image, *_) = axes.images
    title = "Kernels, an image for each unit (4 units; red, green and blue side by side)"
    assert axes.get_title("left") == title
    unit = weight[:, 0].reshape(2, 2, 3)
    expected = np.concatenate([unit[..., c] for c in range(3)], axis=1)
    np.testing.assert_array_equal(image.get_array(), expected)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (16, 8), (64, 16), (128, 16)])
def test_rows_are_full_where_they_can_be(count: int, columns: int) -> None:
    assert columns_for((count, 8, 8)) == columns


def test_a_network_of_zeros_can_be_drawn() -> None:
    weight_images(np.zeros((4, 2)), (2, 2, 1)).draw_without_rendering()
