"""A run as one web page that needs nothing else: to keep, to send, to print."""

import base64
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from jaxnn.data import Dataset
from jaxnn.network import summary as network_table
from jaxnn.runs.picture import Picture
from jaxnn.runs.run import Run
from jaxnn.tasks import METRICS, Task, classification, regression, written

_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def report_page(run: Run, pictures: Sequence[tuple[Picture, bytes]]) -> str:
    """Writes a run up as HTML: what was run, what came out, and how to do it again.

    The page is complete in itself: pictures are in it as data, and it tells the browser to load
    nothing from anywhere. Names of classes, the config and all else are shown as text.

    Args:
        run: a finished run.
        pictures: pictures of it, each with its PNG file.
    """
    figures = {
        section: "\n".join(_figure(*pair) for pair in pictures if pair[0].section == section)
        or "<p>There are no pictures of it.</p>"
        for section in ("training", "learned", "errors")
    }
    return _PAGE.substitute(
        figures,
        name=escape(run.config.name),
        tiles=_tiles(run),
        what=_table(_what(run)),
        network=escape(network_table(run.network, run.dataset.in_shape)),
        results=_results(run),
        course=escape(_course(run.summary, run.known.dataset.task)),
        health=_health(run.summary.get("warnings"), run.config.training.statistics_steps > 0),
        origin=escape(_origin(run.summary)),
        config=escape(run.config.to_yaml()),
    )


def _tiles(run: Run) -> str:
    """Returns the few figures to read first."""
    summary, metrics = run.summary, run.known.dataset.task.metrics
    split = next((s for s in ("test", "validation") if f"{s}_{metrics[0]}" in summary), "train")
    figures = [
        *(
            (_metric(name, summary.get(f"{split}_{name}")), f"{_SPLITS[split]} {METRICS[name][0]}")
            for name in metrics
        ),
        (_number(summary.get("parameters"), ","), "parameters"),
        (_number(summary.get("epochs"), ".4g"), "epochs"),
        (_seconds(summary.get("train_seconds")), "of training"),
    ]
    return "".join(f"<li><b>{escape(a)}</b> {escape(b)}</li>" for a, b in figures)


def _what(run: Run) -> Iterable[tuple[str, str]]:
    config, dataset = run.config, run.dataset
    names = dataset.classes or dataset.targets
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    shape = " × ".join(map(str, dataset.in_shape)) or "a number"
    counts = ((len(getattr(dataset, key).targets), split) for key, split in _SPLITS.items())
    return [
        ("Data", f"{dataset.name}: {', '.join(f'{n:,} {split}' for n, split in counts)} examples"),
        ("An example", f"{shape}, {dataset.train.inputs.dtype}"),
        (_asked_for(dataset), listed),
        ("Loss", config.loss.name),
        ("Optimizer", config.optimizer.name),
        (
            "Training",
            f"{config.training.epochs:,} epochs in batches of {config.training.batch_size:,}, "
            f"computed in {config.training.precision}, seed {config.seed}",
        ),
    ]


def _results(run: Run) -> str:
    rows = []
    task = run.known.dataset.task
    for key, split in _SPLITS.items():
        values = [run.summary.get(f"{key}_{what}") for what in (*task.metrics, "loss")]
        if all(value is None for value in values):
            continue
        count = len(getattr(run.dataset, key).targets)
        cells = [_metric(*pair) for pair in zip((*task.metrics, "loss"), values, strict=True)]
        if task is classification:
            right = values[0]
            wrong = "–" if right is None else f"{round((1 - right) * count):,} of {count:,}"
            cells.insert(1, wrong)
        rows.append([split, *cells])
    heads = [METRICS[name][0] for name in (*task.metrics, "loss")]
    if task is classification:
        heads.insert(1, "wrong")
    return _table(rows, ["split", *heads])


def _course(summary: Mapping[str, Any], task: Task) -> str:
    """Says how long training took, and when it was best."""
    text = (
        f"{_number(summary.get('steps'), ',')} steps took "
        f"{_seconds(summary.get('train_seconds'))}, and compilation "
        f"{_seconds(summary.get('compile_seconds'))}: "
        f"{_number(summary.get('examples_per_second'), ',.0f')} examples a second."
    )
    best = summary.get("best")
    if best:
        name = task.best or "loss"
        text += (
            f" Validation {METRICS[name][0]} was best after {_number(best['epoch'], '.4g')} "
            f"epochs, with {_metric(name, best[name])}."
        )
    if summary.get("stopped_early"):
        text += " Training was stopped early, and the network is the one of that moment."
    return text


def _health(warnings: Sequence[str] | None, layers_watched: bool) -> str:
    if warnings is None:
        return "<p>This run's health was not watched.</p>"
    if not warnings:
        layers = (
            "gradients neither vanished nor exploded, no layer died or was saturated,"
            if layers_watched
            else "what went on inside the layers was not watched, but"
        )
        return (
            f'<p class="well">No warnings: {layers} the loss did not jump or stand still, and '
            "nothing was over-fitted by much.</p>"
        )
    return f'<ul class="warnings">{"".join(f"<li>{escape(w)}</li>" for w in warnings)}</ul>'


def _origin(summary: Mapping[str, Any]) -> str:
    commit = summary.get("git_commit") or "unknown"
    commit, _, dirty = commit.partition("-")
    changed = ", with changes that were not committed" if dirty else ""
    return (
        f"It was trained with jaxnn of commit {commit}{changed}, JAX "
        f"{summary.get('jax_version', '?')}, on {summary.get('device', '?')}."
    )


def _figure(picture: Picture, png: bytes) -> str:
    width, height = (n // 2 for n in struct.unpack(">II", png[16:24]))  # the header; sharp at half
    data = base64.b64encode(png).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><div><img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
        f'style="max-width: {width}px" alt="{caption}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    kind = ' class="figures"' if header else ""
    top = f"<tr>{head}</tr>" if header else ""
    return f'<div class="scroll"><table{kind}>{top}{body}</table></div>'


def _asked_for(dataset: Dataset) -> str:
    """Returns what heads the names of what the network is asked for."""
    if dataset.task is regression:
        return "Target" if len(dataset.targets) == 1 else f"{math.prod(dataset.out_shape)} targets"
    return dataset.asked_for


def _metric(name: str, value: float | None) -> str:
    return written(name, value).replace("%", " %")


def _number(value: float | None, how: str) -> str:
    return "–" if value is None else format(value, how)


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 100:
        return f"{value:.1f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$name</title>
<style>
:root {
  --page: #ffffff; --ink: #1f2328; --quiet: #59636e; --faint: #d0d7de; --raised: #f6f8fa;
  --warning: #b34700;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --ink: #e6edf3; --quiet: #9aa4ae; --faint: #30363d; --raised: #161b22;
    --warning: #ff9a4d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 54rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 {
  margin: 3rem 0 1rem; padding-top: 1rem; border-top: 1px solid var(--faint); font-size: 1.3rem;
}
.tiles { display: flex; flex-wrap: wrap; gap: 0.5rem 2.5rem; margin: 1.25rem 0 0; padding: 0; }
.tiles li { list-style: none; color: var(--quiet); font-size: 0.9rem; }
.tiles b { display: block; color: var(--ink); font-size: 1.5rem; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 0.25rem 1.5rem 0.25rem 0; text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: normal; white-space: nowrap; }
td { overflow-wrap: normal; }
.figures td, .figures th + th { text-align: right; white-space: nowrap; }
.figures tr + tr { border-top: 1px solid var(--faint); }
pre {
  padding: 0.9rem 1rem; overflow-x: auto; overflow-wrap: normal;
  background: var(--raised); border: 1px solid var(--faint); border-radius: 6px;
  font: 0.82rem/1.5 ui-monospace, monospace;
}
code { font: 0.9em ui-monospace, monospace; }
figure { margin: 2rem 0; }
figure div { background: #ffffff; border: 1px solid var(--faint); border-radius: 6px; }
img { display: block; margin: auto; width: 100%; height: auto; padding: 0.75rem; }
figcaption { margin-top: 0.5rem; color: var(--quiet); font-size: 0.9rem; }
.warnings { padding: 0.75rem 1rem 0.75rem 2rem; border-left: 4px solid var(--warning);
  background: var(--raised); }
.well { padding: 0.6rem 1rem; border-left: 4px solid var(--faint); background: var(--raised); }
@media (max-width: 30rem) {
  table { font-size: 0.9rem; }
  th, td { padding-right: 0.7rem; }
}
@media print { figure { break-inside: avoid; } }
</style>
</head>
<body>
<header>
<h1>$name</h1>
<ul class="tiles">$tiles</ul>
</header>
<main>
<h2>What was run</h2>
$what
<pre>$network</pre>
<h2>Results</h2>
$results
<h2>How training went</h2>
<p>$course</p>
$health
$training
<h2>What it learned</h2>
$learned
<h2>Where it errs</h2>
$errors
<h2>How to reproduce it</h2>
<p>$origin Save the following, the complete config, as <code>config.yaml</code>, and run</p>
<pre>python experiments/train.py config.yaml</pre>
<p>On the same kind of machine, with the same versions, it gives the same numbers to the last
bit.</p>
<pre>$config</pre>
</main>
</body>
</html>
""")
