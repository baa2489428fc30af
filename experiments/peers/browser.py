"""The lab's page as somebody browses MNIST in it: Chromium without a GPU, a lab of its own.

All times are the browser's own: since the page was asked for, and between the frames it draws.
"""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from jaxnn.errors import JaxnnError

CONFIG = """\
data: {mnist: {validation: 0}}
model: [flatten, dense: 128, relu, dense: 10]
optimizer: {sgd: 0.1}
"""

_ARRIVING = """
window.arrived = {};
const look = () => {
  const loaded = Number(document.querySelector(".browse-stage > canvas")?.dataset.loaded ?? 0);
  const splits = Object.values(window.jaxnn?.lab?.dataset.splits ?? {});
  const all = splits.reduce((a, b) => a + b, 0);
  const seen = (what) => requestAnimationFrame(() => (arrived[what] ??= performance.now() / 1000));
  if (loaded && !arrived.first) seen("first");
  if (loaded && loaded === all) seen("all");
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""

_MOVING = """
async ({kind, seconds}) => {
  const canvas = document.querySelector(".browse-stage > canvas");
  const box = canvas.getBoundingClientRect();
  const frame = () => new Promise(requestAnimationFrame);
  const pointer = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, isPrimary: true, clientX: box.left + x, clientY: box.top + y, bubbles: true}));
  const wheel = (delta) => canvas.dispatchEvent(new WheelEvent("wheel", {
    deltaY: delta, clientX: box.left + box.width / 3, clientY: box.top + box.height / 3,
    cancelable: true}));
  canvas.setPointerCapture = () => {};
  const at = (t) => [box.width / 2 + 200 * Math.sin(5 * t), box.height / 2 + 150 * Math.sin(3 * t)];
  const began = await frame();
  const times = [began];
  if (kind === "pan") pointer("pointerdown", ...at(0));
  while (times.at(-1) < began + 1000 * seconds) {
    const t = (times.at(-1) - began) / 1000;
    if (kind === "pan") pointer("pointermove", ...at(t));
    else wheel(t < seconds / 2 ? -22 : 22);
    times.push(await frame());
  }
  if (kind === "pan") { pointer("pointermove", ...at(9)); pointer("pointerup", ...at(9)); }
  return times.slice(1).map((time, i) => time - times[i]);
}
"""

_CHOOSING = """
async ({name, value}) => {
  const frame = () => new Promise(requestAnimationFrame);
  const list = document.querySelector(`.browse-controls select[name=${name}]`);
  await frame();
  const began = performance.now();
  list.value = value;
  list.dispatchEvent(new Event("change"));
  await frame();
  await new Promise((done) => setTimeout(done));
  return (performance.now() - began) / 1000;
}
"""


@contextmanager
def _lab() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mnist.yaml").write_text(CONFIG)
        script = Path(__file__).parents[1] / "lab.py"
        process = subprocess.Popen(
            [sys.executable, "-u", str(script), "mnist.yaml", "--no-browser"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        try:
            address = re.search(r"http://\S+?(?=/? )", process.stdout.readline())
            if not address:
                raise JaxnnError("the lab did not start: see above")
            yield address[0]
        finally:
            process.terminate()
            process.wait()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Opens Chromium without a window."""
    path = shutil.which("chromium")
    if path is None:
        raise JaxnnError("the benchmark needs Chromium (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def figures(rounds: int) -> Iterator[dict[str, Any]]:
    """Opens the page so many times; each figure is the median, in seconds or frames a second."""
    found: dict[tuple[str, str], list[float]] = {}

    def note(case: str, unit: str, value: float) -> None:
        found.setdefault((case, unit), []).append(value)

    with _lab() as address, chromium() as browser:
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script(_ARRIVING)
            page.goto(f"{address}/#browse")
            while not page.evaluate("arrived.all"):
                page.wait_for_timeout(50)
            note("first images", "s", page.evaluate("arrived.first"))
            note("all images", "s", page.evaluate("arrived.all"))
            page.wait_for_timeout(3000)  # the network's predictions for them
            for case, choice in {
                "sorted by loss": {"name": "sort", "value": "loss"},
                "filtered by class": {"name": "class", "value": "7"},
                "all of them again": {"name": "class", "value": ""},
            }.items():
                note(case, "s", page.evaluate(_CHOOSING, choice))
            for case, kind, closer in (
                ("zoom, all to one and back", "zoom", 0),
                ("pan, 27,000 in view", "pan", 1),
                ("pan, 1,600 in view", "pan", 4),
            ):
                page.get_by_role("button", name="Fit", exact=True).click()
                for _ in range(closer):
                    page.get_by_role("button", name="Zoom in").click()
                page.wait_for_timeout(700)
                frames = page.evaluate(_MOVING, {"kind": kind, "seconds": 4})
                note(case, "frames/s", 1000 / statistics.mean(frames))
                note(case, "ms, 95 % of frames", sorted(frames)[int(0.95 * len(frames))])
            page.close()
    for (case, unit), values in found.items():
        yield {
            "benchmark": "browse",
            "case": case,
            "value": statistics.median(values),
            "unit": unit,
            "lowest": min(values),
            "highest": max(values),
        }
