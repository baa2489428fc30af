"""Browse in a browser: each image at its place, and whatever one can press, point at or type."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from lab_pages import DIGITS, MNIST, needs_mnist, pixels, predictions, table, until
from playwright.sync_api import Locator, Page, Route, expect

from jaxnn.data import Dataset, digits, mnist

pytestmark = pytest.mark.browser

Lab = Callable[..., str]
Visit = Callable[..., Page]


class Grid(NamedTuple):
    """Where images stand on the canvas, in CSS pixels; gap is in pixels of an image."""

    columns: int
    gap: float
    scale: float
    left: float
    top: float

    def corner(self, place: int, shape: tuple[int, ...]) -> tuple[float, float]:
        row, column = divmod(place, self.columns)
        height, width = shape[0] + self.gap, shape[1] + self.gap
        return self.left + column * width * self.scale, self.top + row * height * self.scale

    def middle(self, place: int, shape: tuple[int, ...]) -> tuple[float, float]:
        left, top = self.corner(place, shape)
        return left + shape[1] * self.scale / 2, top + shape[0] * self.scale / 2


class All(NamedTuple):
    """All examples of a data set as the page counts them: train, validation, test."""

    inputs: np.ndarray
    targets: np.ndarray
    names: list[str]

    @classmethod
    def of(cls, dataset: Dataset) -> "All":
        splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
        return cls(
            np.concatenate([split.inputs for split in splits.values()]),
            np.concatenate([split.targets for split in splits.values()]),
            [f"{name} {i:,}" for name, split in splits.items() for i in range(len(split.targets))],
        )


def the_canvas(page: Page) -> Locator:
    return page.locator(".browse-stage > canvas")


def grid(page: Page) -> Grid:
    """The grid, once all images are there and nothing moves any more."""
    canvas = the_canvas(page)
    expect(page.locator(".browse-count")).not_to_contain_text(re.compile("loading|looks"))

    def settled() -> str | None:
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return canvas.get_attribute("data-grid")

    return Grid(**json.loads(until(page, settled)))


def shown(page: Page, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """What stands at the first places, (count, *shape): from the middle of each of their pixels."""
    where, picture = grid(page), pixels(the_canvas(page))
    images = np.empty((count, *shape), np.uint8)
    for place in range(count):
        left, top = where.corner(place, shape)
        x = np.round(left) + (np.arange(shape[1]) + 0.5) * where.scale
        y = np.round(top) + (np.arange(shape[0]) + 0.5) * where.scale
        images[place] = picture[y.astype(int)[:, None], x.astype(int), : shape[2]]
    return images


def grey(images: np.ndarray, largest: int) -> np.ndarray:
    return np.round(images * (255 / largest)).astype(np.uint8)


def press(page: Page, *keys: str) -> None:
    the_canvas(page).focus()
    for key in keys:
        page.keyboard.press(key)


def at(page: Page, place: int, shape: tuple[int, ...]) -> tuple[float, float]:
    """Where on the page an image has its middle."""
    box = the_canvas(page).bounding_box()
    assert box
    x, y = grid(page).middle(place, shape)
    return box["x"] + x, box["y"] + y


def test_every_digit_stands_at_its_place(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "browse")
    expect(page.locator(".browse-count")).to_have_text("1,797 images")
    everything = All.of(digits())
    assert np.array_equal(shown(page, 1797, (8, 8, 1)), grey(everything.inputs, 16))


def chosen(
    all_: All, found: dict[str, np.ndarray], split: np.ndarray, choice: dict[str, Any]
) -> np.ndarray:
    """The same choice in NumPy: numbers of examples, in order."""
    keep = split.copy()
    if "class" in choice:
        keep &= all_.targets == choice["class"]
    if "predicted" in choice:
        keep &= found["predicted"] == choice["predicted"]
    if "outcome" in choice:
        keep &= (found["predicted"] == all_.targets) == (choice["outcome"] == "right")
    numbers = np.flatnonzero(keep)
    sort = choice.get("sort", "index")
    keys = {"index": np.arange(len(keep)), "class": all_.targets, **found}[sort][numbers]
    if choice.get("descending"):
        keys = -keys.astype(np.float64)
    return numbers[np.lexsort((numbers, keys))]


CHOICES: list[dict[str, Any]] = [
    {"split": "validation"},
    {"class": 3},
    {"class": 3, "split": "train", "sort": "loss", "descending": True},
    {"predicted": 7, "sort": "confidence"},
    {"outcome": "wrong", "sort": "confidence", "descending": True},
    {"outcome": "right", "class": 0, "split": "test", "sort": "loss"},
    {"sort": "class"},
    {"sort": "class", "descending": True},
    {"sort": "index", "descending": True, "split": "test"},
    {"class": 4, "predicted": 9, "sort": "confidence", "descending": True},
]


def choose(page: Page, choice: dict[str, Any]) -> None:
    page.get_by_role("button", name="Reset", exact=True).last.click()
    for name, label in {
        "split": "Split",
        "class": "Class",
        "predicted": "Predicted",
        "outcome": "Result",
        "sort": "Sort by",
    }.items():
        if name in choice:
            box = page.get_by_role("combobox", name=label, exact=True)
            box.and_(page.locator(".browse-controls select")).select_option(str(choice[name]))
    if choice.get("descending"):
        page.get_by_role("button", name="Ascending").click()


def test_filters_and_sorting_are_those_of_numpy(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS)
    page = visit(address, "browse")
    everything = All.of(digits())
    of_splits = [predictions(address, name)[1] for name in ("train", "validation", "test")]
    found = {key: np.concatenate([s[key] for s in of_splits]) for key in of_splits[0]}
    names = np.array([name.split()[0] for name in everything.names])
    assert 0 < (found["predicted"] == 7).sum() < 1797
    for choice in CHOICES:
        choose(page, choice)
        split = names == choice["split"] if "split" in choice else np.ones(1797, bool)
        numbers = chosen(everything, found, split, choice)
        text = f"{len(numbers):,} of 1,797 images" if len(numbers) < 1797 else "1,797 images"
        if len(numbers) == 0:
            expect(page.get_by_text("No image matches")).to_be_visible()
            continue
        expect(page.locator(".browse-count")).to_have_text(text)
        pictures = shown(page, len(numbers), (8, 8, 1))
        assert np.array_equal(pictures, grey(everything.inputs[numbers], 16)), choice


def test_no_match_is_said(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS)
    page = visit(address, "browse")
    _, found = predictions(address, "test")
    targets = digits().test.targets
    pair = next(
        (i, j)
        for i in range(10)
        for j in range(10)
        if not ((targets == i) & (found["predicted"] == j)).any()
    )
    choose(page, {"split": "test", "class": pair[0], "predicted": pair[1]})
    expect(page.get_by_text("No image matches these filters.")).to_be_visible()
    expect(page.locator(".browse-count")).to_have_text("0 of 1,797 images")
    press(page, "ArrowRight", "Enter", "+")  # nothing to do, and nothing breaks
    choose(page, {})
    expect(page.get_by_text("No image matches these filters.")).to_be_hidden()


def test_the_pointer_is_told_what_it_points_at(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS)
    page = visit(address, "browse")
    step, found = predictions(address, "test")
    everything, test = All.of(digits()), digits().test
    classes = digits().classes
    told = page.locator(".browse-text")
    for index in (0, 123, 299):
        number = len(everything.targets) - 300 + index
        page.mouse.move(*at(page, number, (8, 8)))
        expect(told.locator("b")).to_have_text(classes[test.targets[index]])
        expect(told).to_contain_text(f"test {index}")
        predicted, confidence = found["predicted"][index], found["confidence"][index]
        wrong = predicted != test.targets[index]
        said = f"{'taken for' if wrong else 'predicted'} {classes[predicted]}, {confidence:.1%}"
        expect(told).to_contain_text(said.replace("%", " %"))
        loss = told.locator("span").last.inner_text().removeprefix("loss ")
        assert float(loss) == pytest.approx(found["loss"][index], rel=5e-3)
        preview = pixels(page.locator(".browse-preview"))[..., :1]
        assert np.array_equal(preview, (test.inputs[index] * (255 / 16)).round().astype(np.uint8))
    page.mouse.move(3, 3)
    expect(page.locator(".browse-card")).to_be_hidden()
    assert step == 0


def test_a_click_and_enter_show_the_image_in_the_network(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "browse")
    page.mouse.click(*at(page, 1297 + 5, (8, 8)))
    expect(page.locator("#view-network")).to_be_visible()
    example = {"split": "validation", "index": 5}
    until(page, lambda: page.evaluate("jaxnn.trace?.header.example") == example)
    page.goto(page.url.replace("#network", "#browse"))
    choose(page, {"split": "test"})
    press(page, "Home", "ArrowRight", "ArrowRight", "Enter")
    expect(page.locator("#view-network")).to_be_visible()
    until(
        page, lambda: page.evaluate("jaxnn.trace.header.example") == {"split": "test", "index": 2}
    )


def test_the_keyboard_reaches_every_image(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "browse")
    everything = All.of(digits())
    where = grid(page)
    told = page.locator(".browse-text")

    def points_at(number: int) -> None:
        expect(told).to_contain_text(everything.names[number])
        expect(told.locator("b")).to_have_text(str(everything.targets[number]))

    press(page, "End")
    points_at(1796)
    press(page, "ArrowRight")  # there is no further one
    points_at(1796)
    press(page, "Home")
    points_at(0)
    press(page, "ArrowRight", "ArrowRight", "ArrowDown")
    points_at(where.columns + 2)
    press(page, "ArrowUp", "ArrowLeft")
    points_at(1)
    press(page, "+", "+", "+", "+", "End")
    points_at(1796)
    closer = grid(page)
    assert closer.scale > 4 * where.scale
    x, y = closer.middle(1796, (8, 8))
    size = the_canvas(page).bounding_box()
    assert size
    assert 0 < x < size["width"]  # the view has followed
    assert 0 < y < size["height"]
    press(page, "PageUp")
    points_at(1796 - closer.columns * int(size["height"] / ((8 + closer.gap) * closer.scale)))
    press(page, "-")
    assert grid(page).scale == pytest.approx(closer.scale / 1.6)
    press(page, "0")
    assert grid(page) == where
    press(page, "Escape")
    expect(page.locator(".browse-card")).to_be_hidden()


def test_wheel_buttons_and_dragging_move_the_view(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "browse")
    everything = All.of(digits())
    start = grid(page)
    box = the_canvas(page).bounding_box()
    assert box
    x, y = (round(v) for v in at(page, 700, (8, 8)))
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    until(page, lambda: grid(page).scale > 3 * start.scale)
    zoomed = grid(page)
    assert zoomed.scale == pytest.approx(start.scale * np.exp(1.2))
    # What was under the pointer still is.
    under = [
        ((x - box["x"] - g.left) / g.scale, (y - box["y"] - g.top) / g.scale)
        for g in (start, zoomed)
    ]
    assert np.allclose(*under, atol=0.05)
    after = at(page, 700, (8, 8))
    images = pixels(the_canvas(page))
    left, top = zoomed.corner(700, (8, 8))
    xs = (np.round(left) + (np.arange(8) + 0.5) * zoomed.scale).astype(int)
    ys = (np.round(top) + (np.arange(8) + 0.5) * zoomed.scale).astype(int)
    assert np.array_equal(images[ys[:, None], xs, :1], grey(everything.inputs[700], 16))

    page.mouse.down()
    page.mouse.move(x - 30, y - 20, steps=3)
    page.mouse.move(x - 90, y + 40, steps=3)
    page.mouse.up()
    until(page, lambda: not np.allclose(at(page, 700, (8, 8)), after, atol=1))
    assert np.allclose(at(page, 700, (8, 8)), (after[0] - 90, after[1] + 40), atol=0.5)
    expect(page.locator("#view-browse")).to_be_visible()  # a drag is no click

    page.get_by_role("button", name="Zoom out").click()
    assert grid(page).scale == pytest.approx(zoomed.scale / 1.6)
    page.get_by_role("button", name="Zoom in").click()
    assert grid(page).scale == pytest.approx(zoomed.scale)
    page.get_by_role("button", name="Fit").click()
    assert grid(page) == start
    for _ in range(12):
        page.get_by_role("button", name="Zoom out").click()
    assert grid(page) == start  # further out there is nothing to see


def test_fingers_pinch_and_tap(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "browse", width=380, height=800, touch=True)
    where = grid(page)
    box = the_canvas(page).bounding_box()
    assert box
    devices = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    x, y = box["x"] + 190, box["y"] + 200
    touch("touchStart", (x - 20, y), (x + 20, y))
    for half in (30, 45, 60, 80):
        touch("touchMove", (x - half, y), (x + half, y))
    touch("touchEnd")
    until(page, lambda: grid(page).scale > 2 * where.scale)
    assert grid(page).scale == pytest.approx(4 * where.scale, rel=0.05)
    expect(page.locator("#view-browse")).to_be_visible()  # fingers that pinch do not tap

    where = grid(page)
    column, row = (
        int((side / 2 - edge) / ((8 + where.gap) * where.scale))
        for side, edge in ((box["width"], where.left), (box["height"], where.top))
    )
    place = row * where.columns + column
    x, y = at(page, place, (8, 8))
    page.touchscreen.tap(x, y)
    everything = All.of(digits())
    expect(page.locator(".browse-text")).to_contain_text(everything.names[place])
    expect(page.locator("#view-browse")).to_be_visible()
    page.touchscreen.tap(x, y)
    expect(page.locator("#view-network")).to_be_visible()
    until(
        page,
        lambda: page.evaluate("jaxnn.example") == {"split": "train", "index": place},
    )


def test_predictions_follow_training(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS, "seed=1")
    page = visit(address, "browse")
    choose(page, {"outcome": "right"})
    grid(page)
    before = page.locator(".browse-count").inner_text()
    until(page, lambda: page.evaluate("jaxnn.client.send({type: 'step'})"))
    until(page, lambda: predictions(address, "train")[0] == 1)

    def right() -> int:
        found = [
            predictions(address, name)[1]["predicted"] for name in ("train", "validation", "test")
        ]
        return int((np.concatenate(found) == All.of(digits()).targets).sum())

    expect(page.locator(".browse-count")).to_have_text(f"{right():,} of 1,797 images")
    assert before != page.locator(".browse-count").inner_text()


def test_mnist_seventy_thousand_at_once(lab: Lab, visit: Visit) -> None:
    needs_mnist()
    address = lab(MNIST)
    page = visit(address, "browse")
    expect(page.locator(".browse-count")).to_have_text("70,000 images")
    everything = All.of(mnist(validation=5000))
    where, picture = grid(page), pixels(the_canvas(page))[..., 0].astype(float)
    # So small that an image is some four pixels wide: it is as bright as what is stored.
    means = everything.inputs.reshape(70000, -1).mean(1)
    seen = np.empty(70000)
    for number in range(70000):
        left, top = where.corner(number, (28, 28))
        right, bottom = where.corner(number + where.columns + 1, (28, 28))
        if right < left:  # the last of its row
            right = left + (28 + where.gap) * where.scale
        rows, columns = slice(round(top), round(bottom)), slice(round(left), round(right))
        seen[number] = picture[rows, columns].mean()
    assert np.corrcoef(seen, means)[0, 1] > 0.9
    assert seen.mean() == pytest.approx(means.mean(), rel=0.1)

    # And large: what stands around the last image, pixel by pixel.
    press(page, "End", *"+" * 9)
    where, picture = grid(page), pixels(the_canvas(page))
    assert where.scale > 2
    for number in (69999, 69998, 69998 - where.columns):
        left, top = where.corner(number, (28, 28))
        x = (round(left) + (np.arange(28) + 0.5) * where.scale).astype(int)
        y = (round(top) + (np.arange(28) + 0.5) * where.scale).astype(int)
        assert x.min() >= 0
        assert y.min() >= 0
        assert np.array_equal(picture[y[:, None], x, 0], everything.inputs[number, ..., 0])
    expect(page.locator(".browse-text")).to_contain_text("test 9,999")

    choose(page, {"split": "test", "outcome": "wrong", "sort": "loss", "descending": True})
    _, found = predictions(address, "test")
    wrong = np.flatnonzero(found["predicted"] != everything.targets[60000:])
    expect(page.locator(".browse-count")).to_have_text(f"{len(wrong):,} of 70,000 images")
    press(page, "Home")
    worst = wrong[np.argmax(found["loss"][wrong])]
    expect(page.locator(".browse-text")).to_contain_text(f"test {worst:,}")


@pytest.fixture(scope="module")
def colored(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A config of images in color, wider than high, and these images in the page's order."""
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (90, 6, 9, 3), dtype=np.uint8)
    targets = random.integers(0, 3, 90)
    path = tmp_path_factory.mktemp("data") / "colored.npz"
    parts = {"train": slice(50), "validation": slice(50, 70), "test": slice(70, 90)}
    arrays = {f"x_{name}": inputs[part] for name, part in parts.items()}
    arrays |= {f"y_{name}": targets[part] for name, part in parts.items()}
    np.savez(path, **arrays)
    config = f"""\
data: {{npz: {{path: {json.dumps(str(path))}, classes: [bird, cat & dog, <i>ship</i>]}}}}
model: [flatten, dense: 3]
optimizer: {{sgd: 0.1}}
training: {{epochs: 1, batch_size: 10}}
"""
    return config, inputs


def test_images_in_color(lab: Lab, visit: Visit, colored: tuple[str, np.ndarray]) -> None:
    config, inputs = colored
    page = visit(lab(config), "browse")
    expect(page.locator(".browse-count")).to_have_text("90 images")
    low, high = int(inputs[:50].min()), int(inputs[:50].max())
    assert (low, high) == (0, 255)
    assert np.array_equal(shown(page, 90, (6, 9, 3)), inputs)
    choose(page, {"class": 2})
    page.mouse.move(*at(page, 0, (6, 9)))
    expect(page.locator(".browse-text b")).to_have_text("<i>ship</i>")


def test_images_of_any_size_shrink_evenly(
    lab: Lab, visit: Visit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Images whose left half is red and whose upper half is blue, seen far smaller than stored."""
    inputs = np.zeros((300, 50, 70, 3), np.uint8)
    inputs[:, :, :35, 0] = 200
    inputs[:, :25, :, 2] = 100
    inputs[:, 0, 0] = 255  # so that black and white are those of the data set
    path = tmp_path_factory.mktemp("data") / "large.npz"
    np.savez(path, x=inputs, y=np.arange(300) % 2)
    config = f"""\
data: {{npz: {{path: {json.dumps(str(path))}}}}}
model: [flatten, dense: 2]
optimizer: {{sgd: 0.1}}
training: {{epochs: 1, batch_size: 10}}
"""
    page = visit(lab(config), "browse", width=900, height=600)
    where, picture = grid(page), pixels(the_canvas(page))
    assert where.scale < 0.6
    for place in (0, 17, 150, 299):
        left, top = where.corner(place, (50, 70))
        for x, y, color in [
            (0.25, 0.25, (200, 0, 100)),
            (0.75, 0.25, (0, 0, 100)),
            (0.25, 0.75, (200, 0, 0)),
            (0.75, 0.75, (0, 0, 0)),
        ]:
            found = picture[int(top + 50 * y * where.scale), int(left + 70 * x * where.scale), :3]
            assert tuple(found) == color


def test_what_is_no_image_is_said(lab: Lab, visit: Visit, tmp_path: Path) -> None:
    rows = [f"{k % 7},{k % 5},{'ab'[k % 2]}" for k in range(60)]
    page = visit(lab(table(tmp_path, rows)), "browse")
    expect(page.locator(".browse-none")).to_contain_text("table has examples of 2 values")
    expect(page.locator(".browse-none")).to_contain_text("Browse shows images")


@pytest.mark.parametrize("dark", [False, True])
def test_the_ground_is_that_of_the_page(lab: Lab, visit: Visit, dark: bool) -> None:
    page = visit(lab(DIGITS), "browse", dark=dark)
    grid(page)

    def ground() -> str:
        corner = pixels(the_canvas(page))[0, 0, :3]
        return f"rgb({', '.join(map(str, corner))})"

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    before = background()
    assert ground() == before
    page.locator("#theme").click()
    until(page, lambda: ground() == background() != before)


def test_a_narrow_page_holds_it_all(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "browse", width=380, height=800)
    grid(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 380
    for control in page.locator(".browse-controls select, .browse-controls button").all():
        box = control.bounding_box()
        if box:
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 380
    page.set_viewport_size({"width": 900, "height": 700})
    everything = All.of(digits())
    until(page, lambda: the_canvas(page).evaluate("canvas => canvas.width") > 380)
    assert np.array_equal(shown(page, 1797, (8, 8, 1)), grey(everything.inputs, 16))


def test_a_server_that_fails_is_reported(lab: Lab, visit: Visit, problems: list[str]) -> None:
    page = visit(lab(DIGITS, "seed=2"), "network")

    def fails(route: Route) -> None:
        route.fulfill(status=503, json={"error": "the lab is busy: try again"})

    page.route("**/predictions", fails)
    page.evaluate("location.hash = 'browse'")
    expect(page.locator(".browse-count")).to_have_text("the lab is busy: try again")
    page.unroute("**/predictions")

    def tried_again() -> bool:
        choose(page, {"outcome": "right"})
        page.wait_for_timeout(200)
        return "of 1,797 images" in page.locator(".browse-count").inner_text()

    until(page, tried_again)
    assert len(problems) >= 1
    assert all("503" in problem for problem in problems)
    problems.clear()
