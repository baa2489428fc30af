"""The page without a server: it opens from disk and below any path, thinks and trains by itself."""

import functools
import re
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from lab_pages import DIGITS, needs_mnist, pixels, until
from playwright.sync_api import ElementHandle, Frame, Page, expect

from jaxnn.config import Experiment, build, load_config, parse_config
from jaxnn.config.yaml import parse_yaml
from jaxnn.data.preparation import as_digits
from jaxnn.prediction import look, verdicts
from jaxnn.runs.export import carry, export_module
from jaxnn.training import TrainState, init_train_state
from jaxnn.web.export import export_page

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]

CONFIGS = Path(__file__).parents[2] / "configs"
CONVOLUTION = """\
data: digits
model: [conv2d: 4, batch_norm, relu, max_pool: 2, flatten, dense: 10]
loss: mean_squared_error
optimizer: {sgd: {learning_rate: {cosine: 0.05}, momentum: 0.9}}
training: {epochs: 3, batch_size: 50}
"""
MOST = {"train": 400, "validation": 120, "test": 150}
STEPS = 8  # an epoch


class Exported(NamedTuple):
    """A network and its page: as a file, and as a folder on a server, somewhere below its root."""

    experiment: Experiment
    start: TrainState
    file: str
    folder: str
    folder_path: Path


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


def export(config: str, *paths: Path) -> tuple[Experiment, TrainState]:
    """Writes a page of an untrained network."""
    experiment = build(parse_config(parse_yaml(config, "config")))
    start = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 5)
    module = export_module(experiment, start.params, start.state, MOST)
    for path in paths:
        export_page(path, experiment, start.params, module)
    return experiment, start


@pytest.fixture(scope="module")
def exported(root: Path, server: str) -> Exported:
    file, folder = root / "page.html", root / "blog" / "2026" / "digits"
    address = f"{server}/{folder.relative_to(root)}"
    return Exported(*export(DIGITS, file, folder), file.as_uri(), address, folder)


@pytest.fixture(scope="module")
def convolution(root: Path) -> str:
    path = root / "convolution.html"
    export(CONVOLUTION, path)
    return path.as_uri()


def ready(page: Page | Frame) -> None:
    """Waits until it is known what the network takes the first example for."""
    until(page, lambda: page.evaluate("Boolean(window.jaxnn?.trace && jaxnn.status)"))


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
    experiment, start, *_ = exported
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


def test_a_folder_opened_from_disk_says_what_it_needs(
    exported: Exported, visit: Visit, problems: list[str]
) -> None:
    page = visit(f"{exported.folder_path.as_uri()}/index.html", within="file://")
    expect(page.locator("#notice")).to_contain_text("put the folder onto a web server")
    assert problems  # of the browser, about what it does not load
    problems.clear()


def test_a_damaged_page_says_so(exported: Exported, root: Path, visit: Visit) -> None:
    damaged = root / "damaged.html"
    text = (root / "page.html").read_text()
    place = text.index("application/octet-stream") + 5000
    damaged.write_text(text[:place] + "AAAA" + text[place + 4 :])
    page = visit(damaged.as_uri())
    expect(page.locator("#notice")).to_contain_text("is damaged: load it again")


# --- What is asked for while it trains, and what cannot be


def test_it_answers_while_it_trains(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    press(page, "Start")
    rests(page, 3 * STEPS)
    press(page, "Start")
    steps = page.evaluate(
        """async () => {
          const steps = [];
          for (let i = 0; i < 30; i++) {
            const { header } = await jaxnn.client.trace({ split: "train", index: i });
            steps.push(header.step);
          }
          return steps;
        }"""
    )
    assert told(page, "status.running")
    assert steps == sorted(steps)
    assert len(set(steps)) > 5  # it went on between the answers
    before = told(page, "trace.header.step")
    until(page, lambda: told(page, "trace.header.step") > before)  # the picture follows
    predicted = "async () => (await jaxnn.client.predictions('test')).header.step"
    assert page.evaluate(predicted) >= steps[-1]
    press(page, "Pause")
    until(page, lambda: not told(page, "status.running"))
    step = told(page, "status.step")
    page.wait_for_timeout(100)
    assert told(page, "status.step") == step


ASKED = """async () => {
  const { client } = jaxnn;
  const [side, fine] = [280, new Uint8Array(64).fill(16)];
  const sheet = (fill) => new Uint8Array(side * side).fill(fill);
  const line = sheet(0).map((_, i) => (Math.abs((i % side) - 140) < 9 && i > 50 * side ? 255 : 0));
  const example = (split, index) => () => client.trace({ split, index });
  const pixels = (data, target = null) => () =>
    client.trace({ pixels: { data, shape: [8, 8, 1] }, target });
  const drawing = (width, height, ink) => () => client.prepare({ width, height, ink });
  const many = (value) => new Array(64).fill(value);
  const asked = [
    ...[null, "test", {}, [], { pixels: null }].map((one) => () => client.trace(one)),
    ...[-1, 150, 1e9, 2 ** 53, 0.5, NaN, Infinity, "0", null, undefined, {}]
      .map((index) => example("test", index)),
    ...["nothing", "", null, undefined, 7, "__proto__", "toString"]
      .map((split) => example(split, 0)),
    ...[null, undefined, [], fine.slice(1), new Uint8Array(1e6), { length: 64 },
      ...["7", NaN, 1e30, -1, 0.5, 256].map(many), new Float32Array(64).fill(NaN)]
      .map((data) => pixels(data)),
    ...[-1, 10, 0.5, NaN, "3", {}].map((target) => pixels(fine, target)),
    ...["nothing", null, undefined, {}, "toString"]
      .map((split) => () => client.predictions(split)),
    ...[[0, 0], [-1, -1], [NaN, NaN], [1e9, 1e9], [side * side, 1], [0.5, 2 * side * side]]
      .map(([width, height]) => drawing(width, height, sheet(9))),
    ...[undefined, sheet(0), sheet(255), line.slice(1), Array.from(line)]
      .map((ink) => drawing(side, side, ink)),
    () => client.inputs("nothing", 0, 1),
    () => client.targets(undefined),
  ];
  const said = [];
  for (const question of asked) {
    const error = await question().then((answer) => new Error("it was answered"), (e) => e);
    said.push(`${error.constructor.name}: ${error.message} (${question})`);
  }
  // What may be asked for is answered, with numbers.
  const prepared = await drawing(side, side, line)();
  for (const question of [pixels(fine), pixels(Array.from(fine), 3), pixels(prepared.data)]) {
    const { arrays } = await question();
    for (const { data } of Object.values(arrays)) {
      if (!data.every(Number.isFinite)) said.push("a number that is none");
    }
  }
  return said;
}"""


def test_whatever_it_is_asked_it_stays_alive(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    for said in page.evaluate(ASKED):
        assert re.match("Problem: (?!The network could not answer)", said), said
    press(page, "Step")
    rests(page, 1)
    assert told(page, "notice") is None


RATES = ("NaN", "-1", "0", "Infinity", "1e7", "1e-60", "'1'", "null", "{}")
SEEDS = ("-1", "0.5", "2 ** 32", "NaN", "'1'", "null")
COMMANDS = [
    *(f"{{type: 'set', learning_rate: {rate}}}" for rate in RATES),
    *(f"{{type: 'configure', seed: {seed}}}" for seed in SEEDS),
    "{type: 'configure', batch_size: 7, seed: 0}",
    "{type: 'configure', seed: 0, optimizer: {sgd: 1}}",
    "{type: 'watch', example: {split: 'test', index: 150}}",
    "{type: 'watch', example: 7}",
    "{type: 'evaluate'}",
    "{}",
]


def test_commands_that_cannot_be_carried_out_are_answered(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    for command in COMMANDS:
        page.evaluate(f"jaxnn.failure = null; jaxnn.client.send({command})")
        message = until(page, lambda: told(page, "failure?.message"))
        assert "could not answer" not in message, command
        expect(page.locator("#panel-train > .error")).to_have_text(message)
    assert told(page, "status.step") == 0
    press(page, "Epoch")
    rests(page, STEPS)


def test_a_loss_that_is_no_number_is_undone(convolution: str, visit: Visit) -> None:
    page = visit(convolution)
    ready(page)
    expect(page.get_by_text("follows a schedule (cosine)")).to_be_visible()
    press(page, "Epoch")
    rests(page, STEPS)
    rate = told(page, "status.learning_rate")
    box = page.locator("#learning-rate")
    box.fill("1000000")
    box.press("Enter")
    press(page, "Start")
    message = until(page, lambda: told(page, "failure?.message"))
    found = re.fullmatch(
        r"The loss was (?:NaN|Infinity) at step \d+, with the learning rate 1000000\. Training "
        r"pauses, and the network is again as it was at step (\d+)\. A smaller .*",
        message,
    )
    assert found
    rests(page, int(found[1]))
    expect(page.locator("#panel-train > .error")).to_have_text(message)
    assert all(report["step"] <= int(found[1]) for report in told(page, "reports"))
    traced = "async () => (await jaxnn.client.trace(jaxnn.example)).arrays.probabilities.data"
    chances = page.evaluate(f"async () => Array.from(await ({traced})())")
    assert np.isfinite(chances).all()
    box.fill(str(rate))
    box.press("Enter")
    press(page, "Epoch")
    until(
        page, lambda: told(page, "status.step") > int(found[1]) and not told(page, "status.running")
    )
    assert told(page, "reports.at(-1)")["loss"] < 5


# --- What it shows


CONTROLS = r"""
(Start|Pause) training; One step: one batch; To the end of the epoch; Fresh weights; Learning rate
Learning rate, on a logarithmic scale; linear; log; log-log; Batch size.*; Seed; Apply; Undo
Previous example; Split.*; Index of the example; Next example; Any example; What edges show
Forward; Backward; Previous step \(←\); Step \d: .*; Next step \(→\); Leave the steps.*
Class.*; Predicted.*; Result.*; Sort by.*; (As|Des)cending. press .*; Zoom out; Zoom in
All images \(0\); No filter, as stored; Predict again; \d predicted as \d: \d+; \d → \d.*
Pen; Eraser; Clear; It is meant as.*; (Previous|Next) neurons
"""


def test_every_control_can_be_used(exported: Exported, visit: Visit) -> None:
    """Those in any view are the ones above, and none of them does harm here."""
    page = visit(exported.file)
    ready(page)
    known = re.split("; |\n", CONTROLS.strip())
    used = set()
    for view in ("network", "browse", "mistakes", "draw"):
        page.get_by_role("link", name=view.capitalize()).click()
        until(page, lambda view=view: told(page, "view") == view)
        page.wait_for_timeout(300)
        cells = 0
        for control in page.locator("main :is(button, select, input):visible").element_handles():
            kind, name = control.evaluate(
                """e => [e.type,
                  e.ariaLabel || e.labels?.[0]?.textContent || e.title || e.textContent]"""
            )
            found = [one for one in known if re.fullmatch(one, name)]
            assert len(found) == 1, (view, name)
            used.update(found)
            cells += "predicted as" in name
            if cells > 3 and "predicted as" in name:
                continue
            use(control, kind)
            if page.locator("dialog[open]").count():
                page.get_by_role("button", name="Start anew").click()
            if told(page, "status.running"):
                press(page, "Pause")
            assert told(page, "notice") is None, (view, name)
            assert told(page, "failure") is None, (view, name)
    assert used == set(known)


def use(control: ElementHandle, kind: str) -> None:
    """Does what a control of that kind is for, unless it is gone or disabled by now."""
    if not control.evaluate("e => e.isConnected && e.checkVisibility() && !e.disabled"):
        return
    if kind == "select-one":
        control.evaluate(
            """e => {
              const last = e.options[e.options.length - 1].value;
              for (const value of [last, e.value]) {
                e.value = value;
                e.dispatchEvent(new Event("change", { bubbles: true }));
              }
            }"""
        )
    elif kind == "number":
        control.fill("1")
        control.press("Enter")
    elif kind == "range":
        control.press("ArrowLeft")
    else:
        control.evaluate("e => e.click()")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("view", ["network", "browse", "mistakes", "draw"])
def test_a_narrow_page_holds_it_all(
    view: str, dark: bool, exported: Exported, visit: Visit
) -> None:
    page = visit(exported.file, view, width=380, height=780, dark=dark)
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 380

    def extent(name: str) -> tuple[float, float]:
        box = page.locator(f"#{name}").bounding_box()
        assert box
        return box["y"], box["y"] + box["height"]

    seen, caption, train = map(
        extent, (f"{'panel' if view == 'draw' else 'view'}-{view}", "panel-caption", "panel-train")
    )
    assert seen[1] <= caption[0]  # the sentence stands under the picture
    assert caption[1] <= train[0]
    colors = page.evaluate(
        """["color", "backgroundColor"].map(name => getComputedStyle(document.body)[name])"""
    )
    ink, ground = (sum(map(int, re.findall(r"\d+", color))) / 765 for color in colors)
    assert (ink > 0.8 and ground < 0.2) if dark else (ink < 0.2 and ground > 0.8)


def test_it_says_what_is_seen(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file)
    ready(page)
    panel = page.locator("#panel-caption")
    predicted, target = (told(page, f"trace.header.{key}") for key in ("predicted", "target"))
    expect(panel).to_contain_text(f"takes the image at the left for “{predicted}”")
    right = "and that is right" if predicted == target else f"it is “{target}”"
    expect(panel).to_contain_text(right)
    carried = "400 of 1,297 training, 120 of 200 validation and 150 of 300 test examples"
    expect(panel).to_contain_text(carried)
    expect(panel).to_contain_text("an optimizer that begins anew")
    words = {"Browse": "never learns from", "Mistakes": "off the diagonal", "Draw": "Draw “0”"}
    for view, said in words.items():
        page.get_by_role("link", name=view).click()
        expect(panel).to_contain_text(said)
    press(page, "Start")
    rests(page, 3 * STEPS)
    press(page, "Start")
    expect(panel).to_contain_text("It is learning: it looks at 50 images at a time")


def test_a_drawing_is_taken_for_something(exported: Exported, visit: Visit) -> None:
    page = visit(exported.file, "draw")
    ready(page)
    sheet = page.locator(".sheet")
    sheet.focus()
    for key in ("Space", *["ArrowDown"] * 10):
        sheet.press(key)
    expected = as_digits(pixels(sheet)[..., :1]).astype(int)

    def given() -> bool:
        text = page.locator(".prepared").get_attribute("data-value") or ""
        given = np.array(text.split() or [99] * 64, int).reshape(8, 8, 1)
        return bool(np.abs(given - expected).max() <= 2)

    until(page, given)
    until(page, lambda: told(page, "trace.header.example") is None)
    page.get_by_role("link", name="Network").click()
    expect(page.locator("#panel-caption")).to_contain_text("takes your drawing for")


def test_three_blue_one_brown_learns_in_the_page(tmp_path: Path, visit: Visit) -> None:
    """From fresh weights, by 8,000 training examples, to more than 90 % of 1,000 test examples."""
    needs_mnist()
    experiment = build(load_config(CONFIGS / "three_blue_one_brown.yaml"))
    start = init_train_state(experiment.network, experiment.optimizer, (28, 28, 1), 1)
    most = {"train": 8000, "validation": 1000, "test": 1000}
    module = export_module(experiment, start.params, start.state, most)
    export_page(tmp_path / "page.html", experiment, start.params, module)
    page = visit((tmp_path / "page.html").as_uri())
    ready(page)
    press(page, "Reset")
    right = """async () => {
      const { arrays } = await jaxnn.client.predictions("test");
      const targets = await jaxnn.client.targets("test");
      return arrays.predicted.data.filter((k, i) => k === targets[i]).length;
    }"""
    assert page.evaluate(right) < 500
    press(page, "Start")
    until(page, lambda: page.evaluate(right) > 900, seconds=240)
