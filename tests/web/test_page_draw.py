"""Draw in a browser: pen, eraser, keys and touch, and ten digits taken for what they are."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from lab_pages import DIGITS, needs_mnist, pixels, until
from playwright.sync_api import Page, Route, expect

from jaxnn.data import digits, prepare

pytestmark = pytest.mark.browser

Lab = Callable[..., str]
Visit = Callable[..., Page]
Stroke = Sequence[tuple[float, float]]

CONFIGS = Path(__file__).parents[2] / "configs"
EPOCHS = 3  # of the 30 that the config has: enough for drawings as plain as these


def arc(x: float, y: float, across: float, down: float, start: float, end: float) -> Stroke:
    """A part of an ellipse about a middle; angles in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 14))
    return [(x + across * np.cos(a), y + down * np.sin(a)) for a in angles]


STROKES: dict[int, list[Stroke]] = {  # on a sheet of 280 × 280
    0: [arc(140, 140, 55, 85, -90, 270)],
    1: [[(150, 50), (140, 230)]],
    2: [[*arc(140, 100, 50, 45, 180, 380), (90, 225), (200, 222)]],
    3: [[*arc(135, 95, 45, 42, 200, 450), *arc(135, 185, 52, 48, -90, 150)]],
    4: [[(110, 50), (85, 150), (200, 145)], [(180, 60), (165, 235)]],
    5: [[(110, 60), (100, 130), *arc(135, 175, 52, 50, -120, 140)], [(110, 60), (195, 55)]],
    6: [[(165, 45), (115, 110), (95, 180), *arc(140, 180, 45, 45, 180, 540)]],
    7: [[(80, 65), (200, 62), (130, 235)]],
    8: [[*arc(140, 95, 38, 40, 90, -270), *arc(140, 185, 48, 48, -90, 270)]],
    9: [[*arc(135, 100, 45, 45, 0, -360), (175, 160), (160, 235)]],
}


def draw(page: Page, strokes: Sequence[Stroke]) -> None:
    sheet = page.locator(".sheet")
    box = sheet.bounding_box()
    assert box
    scale = box["width"] / 280
    for points in strokes:
        for i, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
            if i == 0:
                page.mouse.down()
        page.mouse.up()


def settled(page: Page) -> None:
    """Waits until the network has answered for what is drawn now."""
    expect(page.locator(".prepared")).to_have_attribute("data-value", re.compile(r"\d"))
    last = None

    def same() -> bool:
        nonlocal last
        before, last = last, page.locator(".prepared").get_attribute("data-value")
        given = page.evaluate("Array.from(jaxnn.example?.pixels?.data ?? []).join(' ')")
        answered = page.evaluate("!jaxnn.trace.header.example")
        page.wait_for_timeout(150)
        return before == last == given and answered

    until(page, same)


def drawn_pixels(page: Page) -> np.ndarray:
    text = page.locator(".prepared").get_attribute("data-value")
    assert text
    return np.array(text.split(), np.uint8)


def chances(page: Page) -> list[float]:
    rows = page.locator(".chances li").all()
    return [float(row.get_attribute("data-value") or "nan") for row in rows]


def test_drawing_is_prepared_and_looked_at(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "draw")
    expect(page.locator(".invitation")).to_be_visible()
    draw(page, STROKES[3])
    settled(page)
    expect(page.locator(".invitation")).to_be_hidden()
    # What the network is given is what predict.py would give it.
    ink = pixels(page.locator(".sheet"))[..., :1]
    np.testing.assert_array_equal(drawn_pixels(page), prepare(ink, digits()).reshape(-1))
    # The shown probabilities are those of the network view, which shows the drawing.
    shown = page.evaluate("Array.from(jaxnn.trace.arrays.probabilities.data)")
    assert chances(page) == shown
    assert sum(chances(page)) == pytest.approx(1, abs=1e-5)
    expect(page.locator(".drawn")).to_be_visible()
    expect(page.locator(".verdict")).not_to_contain_text("is ")

    # With a class that is meant, the gradients are those of that class.
    page.get_by_label("It is meant as").select_option("8")
    until(page, lambda: page.evaluate("jaxnn.trace.header.target") == 8)
    expect(page.locator(".verdict")).to_contain_text("is 8")
    last = page.evaluate("jaxnn.lab.layers.length") - 1
    gradient = page.evaluate(f"Array.from(jaxnn.trace.arrays['{last}.d_output'].data)")
    wanted = np.array(chances(page)) - np.eye(10)[8]  # softmax and cross-entropy
    np.testing.assert_allclose(gradient, wanted, atol=1e-6)


def test_eraser_undo_clear(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "draw")

    def ink() -> int:
        return int((pixels(page.locator(".sheet"))[..., 0] > 127).sum())

    draw(page, STROKES[0])
    full = ink()
    page.get_by_text("Eraser", exact=True).click()
    draw(page, [[(140, 30), (140, 250)]])
    erased = ink()
    assert 0 < erased < full
    panel = page.locator("#panel-draw")
    panel.get_by_role("button", name="Undo").click()
    assert ink() == full
    panel.get_by_role("button", name="Clear").click()
    assert ink() == 0
    expect(page.locator(".invitation")).to_be_visible()
    until(page, lambda: np.isnan(chances(page)).all())
    panel.get_by_role("button", name="Undo").click()
    assert ink() == full


def test_what_is_cleared_does_not_come_back(lab: Lab, visit: Visit) -> None:
    """An answer that is under way when the sheet is cleared is dropped."""
    page = visit(lab(DIGITS), "draw")
    held: list[Route] = []
    page.route("**/api/prepare", lambda route: held.append(route))
    draw(page, [[(140, 40), (140, 200)]])
    until(page, lambda: held)
    page.locator("#panel-draw").get_by_role("button", name="Clear").click()
    with page.expect_response("**/api/prepare"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert np.isnan(chances(page)).all()
    assert page.locator(".prepared").get_attribute("data-value") is None
    assert page.evaluate("jaxnn.example.pixels === undefined")


def test_keyboard_draws(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "draw")
    page.locator(".sheet").focus()
    for key in (*["ArrowUp"] * 3, "Space", *["ArrowDown"] * 22, "Space", *["ArrowRight"] * 5):
        page.keyboard.press(key)
    settled(page)
    ink = pixels(page.locator(".sheet"))[..., 0] > 127
    rows, columns = np.nonzero(ink)
    assert np.ptp(rows) > 150
    assert np.ptp(columns) < 30  # lifted before it went to the right
    page.keyboard.press("Delete")
    expect(page.locator(".invitation")).to_be_visible()


def test_touch_draws(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "draw", width=380, height=780, touch=True)
    sheet = page.locator(".sheet")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + 30
    session.send(
        "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    )
    for i in range(1, 15):
        point = {"x": x, "y": y + 10 * i}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    settled(page)
    assert page.evaluate("window.scrollY") < 200  # the page did not scroll along
    assert max(chances(page)) > 0
    mark = page.locator(".drawn").bounding_box()
    assert mark
    assert mark["x"] + mark["width"] <= 380


def test_ten_digits_are_taken_for_what_they_are(lab: Lab, visit: Visit) -> None:
    needs_mnist()
    config = (CONFIGS / "mnist_mlp.yaml").read_text()
    page = visit(lab(config, f"training.epochs={EPOCHS}"), "draw")
    until(page, lambda: page.evaluate("jaxnn.status !== null"))
    page.locator(".commands").get_by_role("button", name="Start training").click()
    end = f"jaxnn.status.step >= {EPOCHS} * jaxnn.status.steps_per_epoch"
    until(page, lambda: page.evaluate(end), seconds=240)
    taken = {}
    for digit, strokes in STROKES.items():
        draw(page, strokes)
        settled(page)
        taken[digit] = int(np.argmax(chances(page)))
        page.locator("#panel-draw").get_by_role("button", name="Clear").click()
        until(page, lambda: np.isnan(chances(page)).all())
    right = sum(digit == found for digit, found in taken.items())
    assert right >= 9, taken
