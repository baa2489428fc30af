"""Drawings in a page without a server: they become what they become in Python."""

import base64
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from playwright.sync_api import Browser, Route

from jaxnn.data.preparation import PREPARATIONS, as_digits, crop_and_resize
from jaxnn.web.assets import PAGE

pytestmark = pytest.mark.browser

SITE = "http://blog.example/"
WAYS = [
    *((f, (8, 8, 1) if f is as_digits else (28, 28, 1)) for f in PREPARATIONS.values()),
    (None, (20, 30, 3)),
    (None, (32, 32, 1)),
]


def drawing(i: int) -> np.ndarray:
    """Strokes, anti-aliased, and now and then a dot: (height, width, 1) uint8."""
    random = np.random.default_rng(i)
    height, width = ((280, 280), (160, 240), (90, 70))[i % 3]
    image = PIL.Image.new("L", (2 * width, 2 * height))
    pen = PIL.ImageDraw.Draw(image)
    thick = int(random.integers(4, 40))
    for _ in range(random.integers(1, 4)):
        points = random.uniform(0.05, 0.95, (random.integers(2, 7), 2)) * image.size
        pen.line([tuple(point) for point in points], 255, thick, joint="curve")
    if i % 4 == 0:
        x, y = random.uniform(0.1, 0.9, 2) * image.size
        pen.ellipse((x, y, x + thick / 3, y + thick / 3), 255)
    return np.asarray(image.resize((width, height)))[..., None]


def serve(route: Route) -> None:
    if route.request.url == SITE:
        route.fulfill(body="<!doctype html>", content_type="text/html")
    else:
        script = PAGE / route.request.url.removeprefix(SITE)
        route.fulfill(body=script.read_bytes(), content_type="text/javascript")


@pytest.mark.parametrize(("way", "shape"), WAYS)
def test_a_hundred_drawings_are_prepared_as_in_python(
    way: Callable[[np.ndarray], np.ndarray] | None, shape: tuple[int, ...], browser: Browser
) -> None:
    drawings = [drawing(i) for i in range(100)]
    page = browser.new_page()
    page.route("**/*", serve)
    page.goto(SITE)
    found = page.evaluate(
        """async ([drawings, dataset]) => {
          const { prepare } = await import("./export/preparation.js");
          return drawings.map(([height, width, text]) => {
            const ink = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            return Array.from(prepare({ width, height, ink }, dataset).data);
          });
        }""",
        [
            [[*d.shape[:2], base64.b64encode(d.tobytes()).decode()] for d in drawings],
            {"shape": shape, "preparation": way and way.__name__},
        ],
    )
    page.close()
    expected = np.stack([way(d) if way else crop_and_resize(d, shape) for d in drawings])
    apart = np.abs(np.reshape(found, expected.shape) - expected.astype(int))
    assert apart.max() <= 2
    assert apart.mean() < 0.05
