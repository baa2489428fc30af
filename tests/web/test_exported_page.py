"""The page without a server: it opens from disk and below any path, thinks and trains by itself."""

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from lab_pages import DIGITS, until
from playwright.sync_api import Frame, Page, expect

from jaxnn.config import Experiment, build, parse_config
from jaxnn.config.yaml import parse_yaml
from jaxnn.prediction import look, verdicts
from jaxnn.runs.export import carry, export_module
from jaxnn.training import TrainState, init_train_state
from jaxnn.web.export import export_page

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]

MOST = {"train": 400, "validation": 120, "test": 150}
STEPS = 8  # an epoch


class Exported(NamedTuple):
    """A network and its page: as a file, and as a folder on a server, somewhere below its root."""

    experiment: Experiment
    start: TrainState
    file: str
    folder: str


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[str]:
    """The address of a plain server of the root's files."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=root))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(scope="module")
def exported(root: Path, server: str) -> Exported:
    experiment = build(parse_config(parse_yaml(DIGITS, "config")))
    start = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 5)
    module = export_module(experiment, start.params, start.state, MOST)
    file, folder = root / "page.html", root / "blog" / "2026" / "digits"
    for path in (file, folder):
        export_page(path, experiment, start.params, module)
    address = f"{server}/{folder.relative_to(root)}"
    return Exported(experiment, start, file.as_uri(), address)


def ready(page: Page | Frame) -> None:
    """Waits until the network has said what it takes the first example for."""
    expect(page.locator(".verdict")).to_contain_text("taken for")


def told(page: Page | Frame, what: str) -> Any:
    """What the page knows, as state.js has it."""
    return page.evaluate(f"jaxnn.{what}")


def rests(page: Page, step: int) -> None:
    """Waits until training has come to a step, and rests there."""
    until(page, lambda: page.evaluate(f"jaxnn.status?.step === {step} && !jaxnn.status.running"))


def press(page: Page, name: str) -> None:
    page.locator("#panel-train .commands").get_by_role("button", name=name).click()


def test_it_opens_from_disk_and_thinks_as_python_does(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    experiment, start, _, _ = exported
    carried = carry(experiment, MOST)
    first = carried.splits["test"]["first"]
    parts = experiment.network, experiment.loss, start.params, start.state
    examples = carried.inputs[first:], carried.targets[first:]
    expected = verdicts(*parts, *examples)
    found = page.evaluate(
        """async () => {
          const { arrays } = await jaxnn.client.predictions("test");
          return ["predicted", "confidence", "loss"].map((name) => Array.from(arrays[name].data));
        }"""
    )
    assert len(found[0]) == MOST["test"]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    target = examples[1][:1]
    traced = look(*parts, examples[0][:1], target)
    expect(page.locator(".verdict")).to_contain_text(f"is {target[0]}, taken for {expected[0][0]}")
    names = set(page.evaluate("Object.keys(jaxnn.trace.arrays)"))
    parameters = {f"{i}.{name}" for i in (1, 3) for name in ("weight", "bias")}
    assert names == (traced.keys() - {"target"}) | parameters
    for name in names & traced.keys():
        array = page.evaluate(
            "name => [Array.from(jaxnn.trace.arrays[name].data), jaxnn.trace.arrays[name].shape]",
            name,
        )
        shape = traced[name].shape
        assert array[1] == list(shape)
        np.testing.assert_allclose(
            np.reshape(array[0], shape), traced[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_it_trains(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    verdict = told(page, "trace.arrays.probabilities.data[0]")
    press(page, "Step")
    rests(page, 1)
    until(page, lambda: told(page, "trace.arrays.probabilities.data[0]") != verdict)
    press(page, "Epoch")
    rests(page, STEPS)
    first = told(page, "reports.at(-1)")
    assert first["validation"]["accuracy"] <= 1
    press(page, "Start")
    rests(page, 3 * STEPS)  # the epochs of the config
    press(page, "Start")  # without end
    until(page, lambda: told(page, "status.step") > 20 * STEPS)
    press(page, "Pause")
    until(page, lambda: not told(page, "status.running"))
    last = told(page, "reports.findLast(({ validation }) => validation)")
    assert last["loss"] < 0.5 * first["loss"]
    assert last["validation"]["accuracy"] > 0.8
    assert last["examples_per_second"] > 0
    shown = page.locator("[data-name=step]").get_attribute("data-value")
    assert shown == str(told(page, "status.step"))


def test_it_starts_anew(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)

    def anew(press_it: Callable[[], None]) -> list[float]:
        """Begins with fresh weights, takes two steps, and returns what they lead to."""
        press_it()
        if told(page, "status.step"):
            page.get_by_role("button", name="Start anew").click()
        rests(page, 0)
        press(page, "Step")
        rests(page, 1)
        press(page, "Step")
        rests(page, 2)
        looked = "async () => (await jaxnn.client.trace(jaxnn.example)).arrays.probabilities.data"
        return page.evaluate(f"async () => Array.from(await ({looked})())")

    def seeded(seed: int) -> None:
        page.get_by_label("Seed").fill(str(seed))
        page.get_by_role("button", name="Apply").click()

    first = anew(lambda: press(page, "Reset"))
    assert anew(lambda: press(page, "Reset")) == first
    assert anew(lambda: seeded(7)) != first
    assert anew(lambda: seeded(0)) == first
    expect(page.locator(".architecture select")).to_have_count(1)  # what else there is needs Python


def test_batches_of_three_sizes_can_be_trained_with(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    own = exported.experiment.config.training.batch_size
    sizes = sorted({1, own, min(8 * own, MOST["train"])})
    chosen = page.get_by_label("Batch size")
    assert chosen.locator("option").all_inner_texts() == list(map(str, sizes))
    for size in sizes:
        chosen.select_option(str(size))
        if page.get_by_role("button", name="Apply").is_enabled():
            page.get_by_role("button", name="Apply").click()
        rests(page, 0)
        assert told(page, "status.batch_size") == size
        press(page, "Epoch")
        rests(page, MOST["train"] // size)
        assert told(page, "reports.at(-1).epoch") == 1
        press(page, "Reset")
        page.get_by_role("button", name="Start anew").click()
        rests(page, 0)
    page.evaluate("jaxnn.client.send({ type: 'configure', batch_size: 7 })")
    until(page, lambda: "must be one of those" in (told(page, "failure?.message") or ""))


def test_it_is_served_below_any_path(exported: Exported, visit: Visit) -> None:
    page = visit(exported.folder)
    ready(page)
    press(page, "Epoch")
    rests(page, STEPS)
    assert told(page, "reports.length") > 0


def test_another_page_says_what_it_shows(
    exported: Exported, root: Path, server: str, visit: Visit
) -> None:
    asked = "?view=draw&example=train:12&theme=dark"
    (root / "blog.html").write_text(
        '<!doctype html><link rel="icon" href="data:,">'
        f'<iframe src="{exported.folder}/{asked}" width="1200" height="800"></iframe>'
    )
    page = visit(f"{server}/blog.html", within=server)
    until(page, lambda: len(page.frames) == 2)
    frame = page.frames[1]
    ready(frame)
    assert told(frame, "view") == "draw"
    assert told(frame, "example") == {"split": "train", "index": 12}
    assert told(frame, "theme") == "dark"
    # What is not there is not asked for.
    address = f"{exported.folder}/?view=nothing&example=train:400&theme=pink"
    frame.goto(address)
    ready(frame)
    assert told(frame, "view") == "network"
    assert told(frame, "example") == {"split": "test", "index": 0}
    assert told(frame, "theme") == "light"
