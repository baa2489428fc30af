"""What is wrong with the texts of a picture: cut off, or written over one another."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

_SLACK = 0.5
"""Points by which a box, which has room for any letter, may be too large."""


def flaws(picture: Figure) -> list[str]:
    """Draws a picture; returns a sentence for each text that is cut, or that meets another one."""
    texts = _drawn(picture)
    boxes = [_corners(text) for text in texts]
    slack = _SLACK * picture.dpi / 72
    found = []
    for text, box in zip(texts, boxes, strict=True):
        (left, bottom), (right, top) = box.min(0) + slack, box.max(0) - slack
        frames = [picture.bbox]
        if text.get_clip_on() and text.get_clip_box() is not None:
            frames.append(text.get_clip_box())
        if any(left < f.x0 or bottom < f.y0 or right > f.x1 or top > f.y1 for f in frames):
            found.append(f"cut: {text.get_text()!r}")
    for (one, a), (other, b) in combinations(zip(texts, boxes, strict=True), 2):
        if _overlap(a, b, slack):
            found.append(f"overlap: {one.get_text()!r}, {other.get_text()!r}")
    return found


def _drawn(picture: Figure) -> list[Text]:
    """Returns the texts that are drawn: of ticks, for one, not those beyond the axes."""
    texts: dict[int, Text] = {}
    draw = Text.draw

    def drawing(text: Text, renderer: object) -> None:
        draw(text, renderer)  # type: ignore[arg-type]
        if text.get_visible() and text.get_text().strip():
            texts[id(text)] = text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", drawing)
        picture.draw_without_rendering()
    return list(texts.values())


def _corners(text: Text) -> np.ndarray:
    """Returns the corners of a text's box, which is turned as the text is, (4, 2) pixels."""
    around = Text.get_window_extent(text)  # of an annotation, without its arrow
    center = np.array([around.x0 + around.x1, around.y0 + around.y1]) / 2
    angle = np.deg2rad(text.get_rotation())
    text.set_rotation(0)
    straight = Text.get_window_extent(text)
    text.set_rotation(np.rad2deg(angle))
    half = np.array([straight.width, straight.height]) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return center + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ turn


def _overlap(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    """Returns whether two rectangles share more than a border, by the axes along their sides."""
    for box in (a, b):
        for side in (box[1] - box[0], box[2] - box[1]):
            axis = side / max(float(np.hypot(*side)), 1e-9)
            p, q = a @ axis, b @ axis
            if p.max() - slack <= q.min() + slack or q.max() - slack <= p.min() + slack:
                return False
    return True
