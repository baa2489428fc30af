"""The page of a run whose data are gone: Network and Draw work, Browse and Mistakes say why not."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from jaxnn.config import parse_config
from jaxnn.data import digits
from jaxnn.runs import train

pytestmark = pytest.mark.browser


def test_what_needs_no_data_works_and_the_rest_says_what_is_missing(
    lab: Callable[..., str], visit: Callable[..., Page], tmp_path: Path
) -> None:
    data, path = digits(), tmp_path / "some.npz"
    np.savez(path, x=data.train.inputs[:200], y=data.train.targets[:200])
    config = {
        "data": {"npz": str(path)},
        "model": ["flatten", {"dense": 10}],
        "optimizer": {"adam": 0.01},
        "training": {"epochs": 1, "batch_size": 20, "statistics_steps": 0},
    }
    run = train(parse_config(config), tmp_path / "run").path
    path.unlink()
    page = visit(lab(run))
    expect(page.locator(".examples")).to_contain_text(
        "The data are missing; this is a black image."
    )
    page.wait_for_function("() => window.jaxnn.trace")
    expect(page.locator("#panel-train")).to_have_count(0)
    for view in ("browse", "mistakes"):
        page.goto(f"{page.url.partition('#')[0]}#{view}")
        expect(page.locator(f"#view-{view}")).to_contain_text(f"{path}: ")
        expect(page.locator(f"#view-{view}")).to_contain_text(f"These are the data of {run}")
    page.goto(f"{page.url.partition('#')[0]}#draw")
    page.locator(".sheet").hover(position={"x": 60, "y": 60})
    page.mouse.down()
    page.locator(".sheet").hover(position={"x": 100, "y": 150})
    page.mouse.up()
    expect(page.locator(".examples .drawn")).to_be_visible()
    expect(page.locator(".prepared")).to_have_attribute("data-value", re.compile("[1-9]"))
    expect(page.locator(".chances")).not_to_contain_text("–")
