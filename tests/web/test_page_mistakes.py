"""Mistakes in a browser: the counts are NumPy's, and each leads to its examples."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lab_pages import (
    DIGITS,
    DIGITS_CONVOLUTION,
    MNIST,
    needs_mnist,
    pixels,
    predictions,
    table,
    until,
)
from playwright.sync_api import Locator, Page, expect

from jaxnn.data import Dataset, digits, mnist

pytestmark = pytest.mark.browser

Lab = Callable[..., str]
Visit = Callable[..., Page]


def digits_dataset() -> Dataset:
    return digits()


def mnist_dataset() -> Dataset:
    needs_mnist()
    return mnist(validation=5000)


def confusion(targets: np.ndarray, found: dict[str, np.ndarray]) -> np.ndarray:
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (targets, found["predicted"]), 1)
    return counts


def matrix(page: Page) -> np.ndarray:
    """The counts that stand in the table's cells."""
    counts = page.locator(".confusion tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('button')].map(b => b.textContent))"
    )
    return np.array([[int(text.replace(",", "") or 0) for text in row] for row in counts])


def cell(page: Page, row: int, column: int) -> Locator:
    return page.locator(f'.confusion button[data-class="{row}"][data-predicted="{column}"]')


def strip(page: Page) -> list[int]:
    """The examples that are shown, as numbers in the split."""
    buttons = page.locator(".mistakes-strip li button")
    return [int(i) for i in buttons.evaluate_all("all => all.map(b => b.dataset.index)")]


def train(page: Page, command: str) -> None:
    until(page, lambda: page.evaluate("type => jaxnn.client.send({type})", command))


def sorted_examples(
    targets: np.ndarray, found: dict[str, np.ndarray], row: int, column: int
) -> np.ndarray:
    numbers = np.flatnonzero((targets == row) & (found["predicted"] == column))
    return numbers[np.lexsort((numbers, -found["confidence"][numbers].astype(np.float64)))]


@pytest.mark.parametrize(
    ("config", "dataset"),
    [(DIGITS_CONVOLUTION, digits_dataset), (MNIST, mnist_dataset)],
    ids=["digits", "mnist"],
)
def test_the_counts_are_right(
    lab: Lab, visit: Visit, config: str, dataset: Callable[[], Dataset]
) -> None:
    data = dataset()
    address = lab(config)
    page = visit(address, "mistakes")
    for name in ("test", "validation", "train"):
        targets = getattr(data, name).targets
        page.locator(".mistakes").get_by_role("combobox", name="Split").select_option(name)
        _, found = predictions(address, name)
        expected = confusion(targets, found)
        until(page, lambda expected=expected: np.array_equal(matrix(page), expected))
        right, total = int(expected.trace()), len(targets)
        expect(page.locator(".mistakes-accuracy")).to_have_text(
            f"{right / total:.2%}".replace("%", " %")
            + f" right: {right:,} of {total:,}, {total - right:,} mistakes"
        )
        margins = page.locator(".confusion tbody td.margin").all_inner_texts()
        recall = expected.diagonal() / expected.sum(1)
        assert margins == [f"{100 * r:.1f}" for r in recall]
        margins = page.locator(".confusion tfoot td.margin").all_inner_texts()
        guessed = expected.sum(0)
        assert margins == [
            f"{100 * n / whole:.1f}" if whole else "–"
            for n, whole in zip(expected.diagonal(), guessed, strict=True)
        ]
        wrong = np.where(np.eye(10, dtype=bool), 0, expected)
        listed = page.locator(".mistakes-pairs .n").all_inner_texts()
        assert [int(n.replace(",", "")) for n in listed] == sorted(wrong[wrong > 0])[::-1][:10]
        for button in page.locator(".mistakes-pairs button").all():
            pair = [
                int(button.get_attribute(f"data-{key}") or -1) for key in ("class", "predicted")
            ]
            assert button.locator(".pair").inner_text() == f"{pair[0]} → {pair[1]}"
            assert int(button.locator(".n").inner_text().replace(",", "")) == expected[*pair]


def colors(locator: Locator) -> tuple[int, ...]:
    """The background's red, green and blue in 255ths, whichever way the browser writes it."""
    text = locator.evaluate("element => getComputedStyle(element).backgroundColor")
    values = [float(value) for value in re.findall(r"\d*\.?\d+(?:e-?\d+)?", text)][:3]
    return tuple(round(255 * v) if text.startswith("color(") else int(v) for v in values)


@pytest.mark.parametrize("dark", [False, True])
def test_strength_is_relative_to_the_class(lab: Lab, visit: Visit, dark: bool) -> None:
    page = visit(lab(DIGITS), "mistakes", dark=dark)
    expect(page.locator(".confusion")).to_be_visible()
    counts = matrix(page)
    share = counts / counts.sum(1, keepdims=True)
    wrong = np.where(np.eye(10, dtype=bool), 0, share)
    worst = np.unravel_index(wrong.argmax(), wrong.shape)
    ground = np.array([13, 17, 23] if dark else [255, 255, 255])
    orange = np.array([0xE6, 0x61, 0x00])
    for row, column in [worst, *np.argwhere(wrong)[:5]]:
        strength = 0.9 * np.sqrt(wrong[row, column] / wrong.max())
        found = colors(cell(page, int(row), int(column)))
        assert np.allclose(found, ground + strength * (orange - ground), atol=2)
    k = int(share.diagonal().argmax())  # what is right is grey
    assert np.ptp(colors(cell(page, k, k))) < 30


def test_a_cell_opens_its_examples(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS)
    page = visit(address, "mistakes")
    _, found = predictions(address, "test")
    test = digits().test
    counts = confusion(test.targets, found)
    wrong = np.where(np.eye(10, dtype=bool), 0, counts)
    row, column = (int(k) for k in np.unravel_index(wrong.argmax(), wrong.shape))
    expected = sorted_examples(test.targets, found, row, column)
    cell(page, row, column).click()
    expect(page.locator(".mistakes-strip h2")).to_have_text(
        f"{row} taken for {column}: {len(expected)}"
    )
    assert strip(page) == list(expected[:24])
    first = page.locator(".mistakes-strip li").first
    expect(first).to_contain_text(f"{found['confidence'][expected[0]]:.1%}".replace("%", " %"))
    picture = np.round(test.inputs[expected[0], ..., 0] * (255 / 16)).astype(np.uint8)
    until(page, lambda: np.array_equal(pixels(first.locator("canvas"))[..., 0], picture))

    page.get_by_role("button", name="Open in Browse").click()
    expect(page.locator(".browse-count")).to_have_text(f"{len(expected)} of 1,797 images")
    canvas = page.locator(".browse-stage > canvas")
    canvas.focus()
    for key, number in [("Home", expected[0]), ("End", expected[-1])]:
        page.keyboard.press(key)
        expect(page.locator(".browse-text")).to_contain_text(f"test {number}")

    page.evaluate("location.hash = 'mistakes'")
    page.locator(".mistakes-strip li button").nth(1).click()
    expect(page.locator("#view-network")).to_be_visible()
    example = {"split": "test", "index": int(expected[1])}
    until(page, lambda: page.evaluate("jaxnn.trace.header.example") == example)


def test_the_list_opens_examples_too(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS)
    page = visit(address, "mistakes")
    _, found = predictions(address, "test")
    button = page.locator(".mistakes-pairs button").nth(2)
    row, column = (int(button.get_attribute(f"data-{k}") or -1) for k in ("class", "predicted"))
    button.click()
    assert strip(page) == list(sorted_examples(digits().test.targets, found, row, column)[:24])
    expect(cell(page, row, column)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".confusion [aria-pressed]")).to_have_count(1)


def test_the_keyboard_walks_the_matrix(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "mistakes")
    expect(page.locator(".confusion")).to_be_visible()
    expect(page.locator('.confusion button[tabindex="0"]')).to_have_count(1)
    page.get_by_role("button", name="Predict again").focus()
    page.keyboard.press("Tab")
    expect(cell(page, 0, 0)).to_be_focused()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    expect(cell(page, 0, 1)).to_be_focused()
    expect(cell(page, 0, 1)).to_have_accessible_name(re.compile(r"0 predicted as 1: \d+"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator(".mistakes-strip h2")).to_contain_text("0, rightly predicted")
    expect(cell(page, 0, 0)).to_be_focused()


def test_it_follows_training(lab: Lab, visit: Visit) -> None:
    address = lab(DIGITS, "seed=1", "training.epochs=20000")
    page = visit(address, "mistakes")
    expect(page.locator(".mistakes-said")).to_have_text("predictions of step 0")
    targets = digits().test.targets
    cell(page, 3, 3).click()

    def is_right() -> bool:
        step, found = predictions(address, "test")
        expected = confusion(targets, found)
        said = page.locator(".mistakes-said").inner_text()
        return said == f"predictions of step {step:,}" and np.array_equal(matrix(page), expected)

    before = matrix(page)
    train(page, "epoch")
    until(page, lambda: predictions(address, "test")[0] == 25 and is_right())
    assert not np.array_equal(matrix(page), before)
    _, found = predictions(address, "test")
    assert strip(page) == list(sorted_examples(targets, found, 3, 3)[:24])

    page.evaluate("location.hash = 'network'")  # what happens meanwhile is seen on coming back
    train(page, "step")
    until(page, lambda: predictions(address, "test")[0] == 26)
    page.evaluate("location.hash = 'mistakes'")
    until(page, is_right)

    train(page, "start")
    until(page, lambda: page.evaluate("jaxnn.status.running"))
    page.get_by_role("button", name="Predict again").click()
    train(page, "pause")
    until(page, lambda: not page.evaluate("jaxnn.status.running"))
    until(page, is_right)
    train(page, "reset")
    until(page, lambda: np.array_equal(matrix(page), before))


def test_a_narrow_page_holds_the_matrix(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), "mistakes", width=380, height=800)
    expect(page.locator(".confusion")).to_be_visible()
    page.locator(".mistakes-pairs button").first.click()
    expect(page.locator(".mistakes-strip li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 380
    box = page.locator(".confusion").bounding_box()
    assert box
    assert box["x"] + box["width"] <= 380


def test_examples_that_are_no_images(lab: Lab, visit: Visit, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'low' if a < b else 'high'}" for a, b in random.random((80, 2))]
    page = visit(lab(table(tmp_path, rows)), "mistakes")
    expect(page.locator(".confusion")).to_be_visible()
    counts = matrix(page)
    assert counts.sum() == 16
    row, column = (int(k) for k in np.unravel_index(counts.argmax(), counts.shape))
    cell(page, row, column).click()
    expect(page.locator(".mistakes-strip li")).to_have_count(int(counts.max()))
    expect(page.locator(".mistakes-strip canvas")).to_have_count(0)
    expect(page.get_by_role("button", name="Open in Browse")).to_have_count(0)
    # Nor can one be drawn.
    expect(page.locator("nav a[href='#draw']")).to_be_hidden()
    page.evaluate("location.hash = 'draw'")
    expect(page.locator("#view-network")).to_be_visible()
    expect(page.locator("#panel-draw")).to_be_hidden()
