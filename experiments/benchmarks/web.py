"""Training in a web page: the exported module in Chromium, beside jax-js."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from benchmarks.measuring import Row, check_same, compared, needing
from jaxnn.config import build, parse_config
from jaxnn.data import Dataset
from jaxnn.runs.export import ExportedModule, export_module
from jaxnn.training import init_train_state
from jaxnn.web.assets import PAGE
from jaxnn.web.export import export_page

JAX_JS = "@jax-js/jax@0.1.25"

PARAMETERS = ["params.1.weight", "params.1.bias", "params.3.weight", "params.3.bias"]

BATCH, BATCHES, STEPS = 64, 100, 200

FLOPS = 2 * BATCH * (2 * 784 * 128 + 3 * 128 * 10)
"""Floating-point operations of a step's products; the first layer's inputs need no gradient."""

_PEERS = Path(__file__).parents[1] / "peers"

_RUN = """
([worker, count, parameters]) => new Promise((resolve, reject) => {
  const one = (window.workers ??= {})[worker] ??= new Worker(worker, { type: "module" });
  one.onmessage = ({ data }) => resolve(data);
  one.onerror = ({ message }) => reject(new Error(message));
  one.postMessage({ count, parameters });
})
"""

_ANSWERS = """
async (count) => {
  const times = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    await jaxnn.client.trace({ split: "test", index: i });
    times.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 20));
  }
  return times;
}
"""


def measure(pairs: int) -> Iterator[Row]:
    """Training in a page without a server, in Chromium; the peer is jax-js, by its WebAssembly.

    First the page itself, opened from disk: what it says of its own speed, and how long it takes to
    answer meanwhile. Then its module and the peer, step by step, each in a worker of its own, in a
    page that may use several threads, as the peer does; the peer's batches are prepared beforehand.
    """
    with needing("test"):
        from peers.browser import chromium

    values = {
        "data": {"mnist": {"validation": 0}},
        "model": ["flatten", {"dense": 128}, "relu", {"dense": 10}],
        "optimizer": {"sgd": 0.1},
        "training": {"batch_size": BATCH, "epochs": 1000},
    }
    experiment = build(parse_config(values))
    start = init_train_state(experiment.network, experiment.optimizer, (28, 28, 1), seed=0)
    most = {"train": BATCH * BATCHES, "validation": 0, "test": 500}
    module = export_module(experiment, start.params, start.state, most)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "page.html"
        export_page(path, experiment, start.params, module)
        yield from _page(browser, path, max(3, pairs))
        peer = _installed(Path(folder))
        rows = np.random.default_rng(0).permutation(BATCH * BATCHES).astype(np.int32)
        page = browser.new_page()
        page.route("**/*", _answering(_files(module, experiment.dataset, rows), peer))
        page.goto("http://benchmark.localhost/")
        yield from _steps(page, module, pairs, bool(peer))


def _page(browser: Any, path: Path, seconds: int) -> Iterator[Row]:
    """The page while it trains."""
    page = browser.new_page(bypass_csp=True)  # which would forbid waiting for an expression
    page.goto(path.as_uri())
    page.wait_for_function("window.jaxnn?.status && jaxnn.trace")
    page.evaluate("jaxnn.client.send({ type: 'start' })")
    page.wait_for_timeout(1000)
    before = page.evaluate("jaxnn.reports.length")
    page.wait_for_timeout(1000 * seconds)
    reports = page.evaluate("jaxnn.reports")[before:]
    for case, name, unit in (
        ("training", "examples_per_second", "examples/s"),
        ("training", "gflops", "GFLOP/s"),
    ):
        yield _figure(f"784-128-10, page from disk, {case}", unit, [x[name] for x in reports])
    waits = page.evaluate(_ANSWERS, 50)
    yield _figure("784-128-10, an answer while it trains", "ms", waits)
    yield _figure("784-128-10, the longest of 50 answers", "ms", [max(waits)])
    page.close()


def _steps(page: Any, module: ExportedModule, pairs: int, peer: bool) -> Iterator[Row]:
    """Steps of the module, and of the peer."""

    def run(worker: str, count: int) -> tuple[float, list[np.ndarray]]:
        found = page.evaluate(_RUN, [worker, count, PARAMETERS])
        return found["seconds"], [np.asarray(x, np.float32) for x in found["parameters"]]

    ours = run("/web_ours.js", STEPS)[1]
    times = []
    if peer:  # which trains the same
        start = [module.arrays[name].ravel() for name in PARAMETERS]
        check_same("jax-js", start, ours, run("/web_jax_js.js", STEPS)[1])
    for _ in range(pairs):
        theirs = run("/web_jax_js.js", STEPS)[0] if peer else 1.0
        times.append((run("/web_ours.js", 5 * STEPS)[0] / 5, theirs))
    speeds = [FLOPS * STEPS / 1e9 / seconds for seconds, _ in times]
    yield _figure("784-128-10, steps in a worker", "GFLOP/s", speeds)
    yield _figure("784-128-10, steps in a worker, at best", "GFLOP/s", [max(speeds)])
    if peer:
        yield compared("web", f"784-128-10, {STEPS} steps of {BATCH}", "jax-js, WebAssembly", times)


def _figure(case: str, unit: str, values: list[float]) -> Row:
    return {
        "benchmark": "web",
        "case": case,
        "value": statistics.median(values),
        "unit": unit,
        "lowest": min(values),
        "highest": max(values),
    }


def _installed(folder: Path) -> Path | None:
    """Installs the peer there; returns where its scripts are, or None where that fails."""
    try:
        command = [
            "npm",
            "install",
            "--no-save",
            "--ignore-scripts",
            "--prefix",
            str(folder),
            JAX_JS,
        ]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[0]
        print(f"without {JAX_JS}, which npm could not install: {why}", file=sys.stderr)
        return None
    return folder / "node_modules" / "@jax-js" / "jax" / "dist"


def _files(module: ExportedModule, dataset: Dataset, rows: np.ndarray) -> dict[str, bytes]:
    """What the workers ask for."""
    inputs = (module.arrays["data.inputs"][rows] - dataset.mean) / dataset.deviation
    one_hot = np.eye(10, dtype=np.float32)[module.arrays["data.targets"][rows]]
    return {name: np.ascontiguousarray(x).tobytes() for name, x in module.arrays.items()} | {
        "plain": module.plain,
        "relaxed": module.relaxed,
        "description": json.dumps(module.description).encode(),
        "rows": rows.tobytes(),
        "batches": inputs.astype(np.float32).tobytes(),
        "one_hot": one_hot.tobytes(),
    }


def _answering(files: dict[str, bytes], peer: Path | None) -> Any:
    """Returns what answers the page's requests; it may then use threads that share memory."""
    headers = {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
    }

    def answer(route: Any) -> None:
        path = unquote(urlsplit(route.request.url).path)
        first, _, rest = path[1:].partition("/")
        if first == "files":
            route.fulfill(body=files[rest], headers=headers)
            return
        folder = peer if first == "jax-js" and peer else PAGE if first == "page" else _PEERS
        script = folder / (rest or first)
        found = script.is_file()
        route.fulfill(
            body=script.read_bytes() if found else b"<!doctype html>",
            content_type="text/javascript" if found else "text/html",
            headers=headers,
        )

    return answer
