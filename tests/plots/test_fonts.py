"""Names in any script are drawn by a font that has them, or else as codes, and it is said once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from jaxnn.plots import fonts, style
from jaxnn.plots.confusion import confusion_picture

CAT, DOG = "猫", "개"


@pytest.fixture(autouse=True)
def plain_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if none were installed but matplotlib's own."""
    own = [font for font in fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr(fonts, "_said", set())
    fonts._family.cache_clear()
    yield
    fonts._family.cache_clear()


def make_font(path: Path, name: str, signs: str) -> None:
    """A font that has a filled square for each sign."""
    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", *(f"sign{k}" for k in range(len(signs)))]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(sign): f"sign{k}" for k, sign in enumerate(signs)})
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    fontManager.addfont(path)


def labels(picture: Figure) -> list[str]:
    return [label.get_text() for label in picture.axes[0].get_yticklabels()]


def of_names(*names: str) -> Figure:
    return confusion_picture(np.eye(len(names), dtype=int) * 7, names, heading="")


def test_without_a_font_codes_are_drawn_and_it_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        picture = of_names(CAT, DOG, "cow", "caf\udce9")
        style.save(picture, tmp_path / "picture.png")  # any warning of matplotlib's is an error
        assert labels(picture) == ["\\u732b", "\\uac1c", "cow", "caf\\udce9"]
    error = capsys.readouterr().err
    assert error.startswith(f"warning: no font is installed that has {CAT}")
    assert "Install one that has them, such as Noto Sans CJK" in error
    assert error.count(CAT) == error.count(DOG) == 1


def test_a_font_that_has_the_characters_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two fonts, each with some of the names."""
    make_font(tmp_path / "one.ttf", "Signs of One", CAT)
    make_font(tmp_path / "two.ttf", "Signs of Two", DOG)
    picture = style.figure(2, 1)
    picture.text(0.1, 0.3, CAT + DOG, fontsize=30)
    style.save(picture, tmp_path / "picture.png")
    (text,) = picture.texts
    assert text.get_text() == CAT + DOG
    assert text.get_fontfamily()[-2:] == ["Signs of One", "Signs of Two"]
    with Image.open(tmp_path / "picture.png") as image:
        dark = np.asarray(image.convert("L")) < 128
    # Two squares of 27 points, at 200 dots an inch.
    assert dark.sum() == pytest.approx(2 * (27 / 72 * 200) ** 2, rel=0.1)
    assert capsys.readouterr().err == ""


def test_names_of_ticks_are_drawn_in_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_font(tmp_path / "cats.ttf", "Signs of Cats", CAT)
    picture = of_names(CAT, "dog")
    style.save(picture, tmp_path / "picture.png")
    assert labels(picture) == [CAT, "dog"]
    assert capsys.readouterr().err == ""


def test_signs_without_a_form_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = of_names("a\U000e0061b", "cd")
    style.save(picture, tmp_path / "picture.png")
    assert labels(picture) == ["ab", "cd"]
    assert capsys.readouterr().err == ""
