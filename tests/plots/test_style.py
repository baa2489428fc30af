"""The visual language keeps what it promises."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from jaxnn.errors import RunError
from jaxnn.plots import style


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    c = np.array(to_rgb(color))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def lightness(color: str) -> float:
    """L* of CIELAB, of a colour that is not nearly black."""
    return 116 * luminance(color) ** (1 / 3) - 16


def contrast(a: str, b: str) -> float:
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", [style.BACKGROUND, "#0d1117"])
@pytest.mark.parametrize("color", [style.POSITIVE, style.NEGATIVE])
def test_both_signs_are_seen_on_light_and_dark_pages(color: str, page: str) -> None:
    assert contrast(color, page) >= 3


def test_the_signs_differ_in_grey() -> None:
    assert lightness(style.POSITIVE) - lightness(style.NEGATIVE) > 12


def test_texts_are_readable() -> None:
    assert contrast(style.INK, style.BACKGROUND) > 7
    assert contrast(style.QUIET, style.BACKGROUND) > 4.5


def test_zero_is_the_background_and_the_ends_are_the_signs() -> None:
    scale = style.signed_scale(np.array([-1.0, 4.0]))
    drawn = style.SIGNED(scale(np.array([-4.0, 0.0, 4.0])))[:, :3]
    colors = [to_rgb(c) for c in (style.NEGATIVE, style.BACKGROUND, style.POSITIVE)]
    np.testing.assert_allclose(drawn, colors, atol=0.01)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [np.nan, np.inf]])
def test_there_is_a_scale_for_any_values(values: list[float]) -> None:
    assert style.signed_scale(np.array(values)).vmax == 1


def test_a_scale_may_leave_out_rare_values() -> None:
    values = np.array([1.0] * 999 + [100.0])
    assert style.signed_scale(values, 0.99).vmax == pytest.approx(1)
    assert style.signed_scale(values).vmax == 100
    assert style.signed_scale(np.array([0.0] * 999 + [5.0]), 0.99).vmax == 5


def test_save_writes_a_png_of_the_figures_size(tmp_path: Path) -> None:
    path = tmp_path / "new" / "picture.png"
    style.save(style.figure(4, 2), path)
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 400))
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]


def test_save_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file/picture\.png: cannot be written"):
        style.save(style.figure(1, 1), tmp_path / "file" / "picture.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(RunError, match=r"folder\.png: cannot be written"):
        style.save(style.figure(1, 1), tmp_path / "folder.png")
    assert len(list(tmp_path.iterdir())) == 2
