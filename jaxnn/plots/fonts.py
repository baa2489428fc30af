"""Fonts for names in any script: one that is installed and has the characters, or their codes.

Matplotlib's own font has no Chinese, Japanese or Korean characters, among others. It would draw a
box for each, and warn of each.
"""

import functools
import unicodedata

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, fontManager, get_font
from matplotlib.text import Text

from jaxnn.errors import warn

_FIRST = ("Noto Sans CJK", "Source Han Sans", "Noto Sans", "WenQuanYi", "PingFang", "Hiragino")
"""The beginnings of the names of fonts to be preferred."""

_BLANK = ("Last Resort", "Adobe Blank")
"""Fonts that have every character, but draw none of them."""


_MOST_SHOWN = 20

_said: set[str] = set()
"""The characters that the user knows to be lacking."""


def make_legible(picture: Figure) -> None:
    r"""Gives each text of a picture fonts that have its characters, as far as some are installed.

    Of others, codes such as ``\u732b`` take the place, which is said once on stderr.
    """
    lacking: set[str] = set()
    for axis in picture.findobj(Axis):
        labels = axis.get_ticklabels()
        if signs := set().union(*map(_add_fonts, labels)):
            named = [_coded(label.get_text(), signs) for label in labels]
            axis.set_ticks(axis.get_ticklocs(), labels=named)
            lacking |= signs
    for text in picture.findobj(Text):
        if signs := _add_fonts(text):
            text.set_text(_coded(text.get_text(), signs))
            lacking |= signs
    # No font has what has no form (Cf), and bytes that are not text (Cs).
    new = {sign for sign in lacking - _said if unicodedata.category(sign) not in ("Cf", "Cs")}
    if new:
        _said.update(new)
        shown = "".join(sorted(new)[:_MOST_SHOWN]) + "…" * (len(new) > _MOST_SHOWN)
        warn(
            f"no font is installed that has {shown}: codes stand for these characters in "
            "pictures. Install one that has them, such as Noto Sans CJK for Chinese, Japanese and "
            "Korean"
        )


def _add_fonts(text: Text) -> set[str]:
    """Adds fonts to a text's own; returns the characters that no font has."""
    own = _characters(findfont(text.get_fontproperties()))
    missing = {sign for sign in text.get_text() if ord(sign) not in own and not sign.isspace()}
    families = {sign: _family(sign) for sign in sorted(missing)}
    if added := dict.fromkeys(name for name in families.values() if name):
        text.set_fontfamily([*text.get_fontfamily(), *added])
    return {sign for sign, name in families.items() if name is None}


@functools.cache
def _family(sign: str) -> str | None:
    """Returns the installed family of fonts that is best for a character; None if none has it."""

    def rank(font: FontEntry) -> tuple[bool, bool, int, int, str]:
        upright = font.style == "normal" and font.weight in (400, "normal", "regular")
        preferred = [k for k, name in enumerate(_FIRST) if font.name.startswith(name)]
        size = len(_characters(font.fname))
        return upright, "Mono" not in font.name, -min(preferred, default=99), size, font.name

    able = [
        font
        for font in fontManager.ttflist
        if ord(sign) in _characters(font.fname) and not font.name.startswith(_BLANK)
    ]
    return max(able, key=rank).name if able else None


@functools.cache
def _characters(path: str) -> frozenset[int]:
    """Returns the characters that a font can draw; none if it cannot be used."""
    try:
        font = get_font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


def _coded(text: str, lacking: set[str]) -> str:
    """Returns a text with codes in the place of characters; what has no form is left out."""
    codes = {
        sign: "" if unicodedata.category(sign) == "Cf" else ascii(sign)[1:-1] for sign in lacking
    }
    return "".join(codes.get(sign, sign) for sign in text)
