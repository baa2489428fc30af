"""The lab of a network that puts out numbers, or several labels, in a browser."""

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from lab_pages import predictions
from playwright.sync_api import Page, expect

from jaxnn.data import csv

pytestmark = pytest.mark.browser

Lab = Callable[..., str]
Visit = Callable[..., Page]

ROWS = "".join(
    f"{i % 7},{i % 5},{1e4 * (i % 7) + 500.5 * (i % 3)},{int(i % 7 > 3)},{int(i % 5 > 1)}\n"
    for i in range(80)
)


def config(folder: Path, target: str, ignore: str, outputs: int, loss: str) -> str:
    path = folder / "houses.csv"
    path.write_text("size,rooms,price,big,many\n" + ROWS)
    return f"""\
data: {{csv: {{path: {path}, target: {target}, ignore: {ignore}}}}}
model: [dense: {outputs}]
loss: {loss}
optimizer: {{adam: 0.01}}
training: {{epochs: 3, batch_size: 10}}
"""


def test_numbers(lab: Lab, visit: Visit, tmp_path: Path) -> None:
    """The answer and what is true, the largest errors, and curves, in the units of the data."""
    address = lab(config(tmp_path, "price", "[big, many]", 1, "mean_squared_error"))
    page = visit(address)
    row = page.locator(".outputs li")
    expect(row).to_have_count(1)
    expect(row.locator(".class-name")).to_have_text("price")
    dataset = csv(tmp_path / "houses.csv", target="price", ignore=["big", "many"])
    true = dataset.target_values(dataset.test.targets)[:, 0]
    _, found = predictions(address, "test")
    assert float(row.get_attribute("data-value") or "nan") == pytest.approx(
        found["answers"][0, 0], rel=1e-4
    )
    expect(row).to_contain_text("true")
    expect(page.locator("nav a:visible")).to_have_text(["Network", "Errors"])
    for title in ("Loss", "RMSE", "MAE", "1 − R²"):
        expect(page.locator("figcaption:visible", has_text=title).first).to_be_visible()
    assert page.evaluate("() => jaxnn.lab.dataset.features") == ["size", "rooms"]

    page.goto(f"{address}/#errors")
    rows = page.locator(".errors tbody tr")
    expect(rows).to_have_count(16)
    order = np.argsort(-found["loss"], kind="stable")
    shown = rows.evaluate_all("all => all.map(row => Number(row.dataset.index))")
    assert shown == order.tolist()
    cells = rows.nth(0).locator("td").evaluate_all("all => all.map(cell => cell.dataset.value)")
    assert float(cells[0]) == pytest.approx(found["answers"][order[0], 0], rel=1e-4)
    assert float(cells[1]) == pytest.approx(true[order[0]], rel=1e-4)
    rows.nth(0).locator("button").click()
    expect(page.locator(".verdict")).to_contain_text("price: predicted")
    assert page.evaluate("() => jaxnn.example.index") == order[0]

    page.locator("[data-command=epoch]").click()
    page.wait_for_function("() => jaxnn.reports.length && jaxnn.reports.at(-1).validation")
    assert page.evaluate("() => jaxnn.reports.at(-1).validation.rmse") > 100


def test_labels(lab: Lab, visit: Visit, tmp_path: Path) -> None:
    address = lab(config(tmp_path, "[big, many]", "[price]", 2, "sigmoid_binary_cross_entropy"))
    page = visit(address)
    targets = np.frombuffer(httpx.get(f"{address}/api/data/test/targets").content, "<f4")
    _, found = predictions(address, "test")
    for k, row in enumerate(page.locator(".outputs li").all()):
        expect(row.locator(".class-name")).to_have_text(("big", "many")[k])
        marked = (row.get_attribute("class") or "").split()
        assert ("true" in marked) == (targets.reshape(-1, 2)[0, k] > 0)
        assert ("predicted" in marked) == (found["answers"][0, k] > 0.5)
    expect(page.locator(".verdict")).to_contain_text("taken for")
    page.goto(f"{address}/#errors")
    expect(page.locator(".errors tbody tr")).to_have_count(16)
    expect(page.locator(".errors thead")).to_contain_text("many")
