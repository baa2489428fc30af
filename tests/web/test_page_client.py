"""The page with another client than the lab's server: within another page, below any path."""

import json
import mimetypes
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from lab_pages import DIGITS, until
from playwright.sync_api import Browser, Frame, Route, expect

from jaxnn.web.assets import PAGE, stylesheet
from jaxnn.web.messages import unpack

pytestmark = pytest.mark.browser

SITE = "http://blog.example/2026/digits/"
CLIENT = """\
import { start } from "./page.js";

const { can, lab, trace } = %s;
for (const array of Object.values(trace.arrays)) array.data = Float32Array.from(array.data);
const { splits } = lab.dataset;
window.sent = [];
start({
  can,
  lab: async () => lab,
  inputs: async (split, start, count) => Uint8Array.from({ length: 64 * count }, (_, i) => i %% 17),
  targets: async (split) => Int32Array.from({ length: splits[split] }, (_, i) => i %% 10),
  predictions: async (split) => ({
    header: { step: 0 },
    arrays: {
      predicted: { data: Int32Array.from({ length: splits[split] }, (_, i) => i %% 5) },
      confidence: { data: new Float32Array(splits[split]).fill(0.75) },
      loss: { data: new Float32Array(splits[split]).fill(0.5) },
    },
  }),
  trace: async (example) => ({ ...trace, header: { ...trace.header, example } }),
  prepare: async () => ({ data: new Uint8Array(64).fill(9), shape: [8, 8, 1] }),
  send: (command) => window.sent.push(command) > 0,
  listen(told) {
    window.told = told;
    told.connected();
    told.status({ running: false, step: 0, epoch: 0, learning_rate: 0.25 });
  },
});
"""


@pytest.fixture(scope="module")
def known(lab: Callable[..., str]) -> dict[str, Any]:
    """What a client has to say: the lab's description and a trace."""
    address = lab(DIGITS)
    example = {"split": "test", "index": 0}
    packed = httpx.post(f"{address}/api/trace", json=example, timeout=60).content
    header, arrays = unpack(packed)
    plain = {name: {"data": a.ravel().tolist(), "shape": a.shape} for name, a in arrays.items()}
    description = httpx.get(f"{address}/api/lab").json()
    return {"lab": description, "trace": {"header": header, "arrays": plain}}


Open = Callable[..., Frame]


@pytest.fixture
def opened(browser: Browser, known: dict[str, Any]) -> Iterator[Open]:
    """Opens the page in a frame, with a client that can do what is said."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    problems: list[str] = []

    def open_page(**can: Any) -> Frame:
        script = CLIENT % json.dumps({"can": can, **known})

        def serve(route: Route) -> None:
            path = route.request.url.partition("#")[0].removeprefix(SITE)
            if route.request.url == "http://blog.example/":
                frame = f'<iframe src="{SITE}index.html" width="1400" height="880"></iframe>'
                route.fulfill(body=frame, content_type="text/html")
            elif path == "main.js":
                route.fulfill(body=script, content_type="text/javascript")
            elif path == "style.css":
                route.fulfill(body=stylesheet(), content_type="text/css")
            elif (file := PAGE / path).is_file():
                kind, _ = mimetypes.guess_type(file.name)
                route.fulfill(body=file.read_bytes(), content_type=kind)
            elif route.request.url == "http://blog.example/favicon.ico":
                route.fulfill(body="")
            else:
                problems.append(route.request.url)
                route.abort()

        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.route("**/*", serve)
        page.goto("http://blog.example/")
        frame = page.frames[1]
        expect(frame.locator(".verdict")).to_contain_text("taken for")
        return frame

    yield open_page
    context.close()
    assert not problems


def test_what_a_client_cannot_do_is_not_offered(opened: Open) -> None:
    page = opened(train=False, configure=[], prepare=False)
    expect(page.locator("nav a:visible")).to_have_text(["Network", "Browse", "Mistakes"])
    expect(page.locator("#panel-train, #panel-draw")).to_have_count(0)
    page.get_by_role("link", name="Browse").click()
    expect(page.locator(".browse-count")).to_have_text("1,797 images")
    page.get_by_role("link", name="Mistakes").click()
    expect(page.locator(".mistakes-accuracy")).to_contain_text("150 of 300")
    page.evaluate("location.hash = 'draw'")
    expect(page.locator("#view-network")).to_be_visible()


def test_what_a_client_can_do_is_told_to_it(opened: Open) -> None:
    page = opened(train=True, configure=["batch_size"], prepare=True)
    page.get_by_role("button", name="Start training").click()
    form = page.locator(".architecture form")
    expect(form.get_by_role("combobox")).to_have_count(0)
    form.get_by_label("Batch size").fill("7")
    form.get_by_role("button", name="Apply").click()
    sent = page.evaluate("window.sent")
    assert {"type": "start"} in sent
    assert {"type": "configure", "batch_size": 7} in sent

    # What it tells is shown; a snapshot is asked for after each one.
    report = {"step": 3, "epoch": 0.5, "loss": 0.1, "accuracy": 0.9, "examples_per_second": 4321}
    page.evaluate("report => told.report(report)", report | {"gflops": 1.5, "validation": None})
    expect(page.locator("[data-name=speed]")).to_have_text("4,320")
    asked = "sent.filter(({ type }) => type === 'ready').length"
    before = page.evaluate(asked)
    late = (
        "{...jaxnn.trace.header, example: {split: 'test', index: 250}, step: 2}"  # no more watched
    )
    page.evaluate(f"told.snapshot({{...jaxnn.trace, header: {late}}})")
    until(page.page, lambda: page.evaluate(asked) > before)
    assert page.evaluate("jaxnn.trace.header.step") == 0
    before = page.evaluate(asked)
    page.evaluate("told.snapshot({...jaxnn.trace, header: {...jaxnn.trace.header, step: 3}})")
    until(page.page, lambda: page.evaluate(f"jaxnn.trace.header.step === 3 && {asked}") > before)
    page.evaluate("told.error({message: 'it cannot be done'})")
    expect(form.locator(".error")).to_contain_text("it cannot be done")
    page.evaluate("told.lost({message: 'the worker has stopped'})")
    expect(page.get_by_text("the worker has stopped")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()


def test_a_drawing_comes_from_the_client(opened: Open) -> None:
    page = opened(train=False, configure=[], prepare=True)
    page.get_by_role("link", name="Draw").click()
    sheet = page.locator(".sheet")
    sheet.focus()
    for key in ("Space", "ArrowDown"):
        sheet.press(key)
    expect(page.locator(".prepared")).to_have_attribute("data-value", " ".join(["9"] * 64))
    drawn = "jaxnn.trace.header.example.pixels?.data.length"
    until(page.page, lambda: page.evaluate(drawn) == 64)
