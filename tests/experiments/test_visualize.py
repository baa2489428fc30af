"""visualize.py: the pictures of a run and its report, and what it answers to mistakes."""

import base64
import html
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from running import run_script

from jaxnn.plots import save, style
from jaxnn.runs import load_run
from jaxnn.runs.pictures import run_pictures

CONFIG = """\
data: digits
model: [flatten, dense: 12, sigmoid, dense: 10]
optimizer: {sgd: 0.1}
training: {epochs: 2, batch_size: 100, statistics_steps: 3, chunk_steps: 3}
"""
HEADINGS = [
    "What was run",
    "Results",
    "How training went",
    "What it learned",
    "Where it errs",
    "How to reproduce it",
]
VOID = {"meta", "img", "br", "link", "input"}


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer dots: they take time, and what is to be seen is tested with the pictures."""
    monkeypatch.setattr(style, "_DOTS_PER_INCH", 80)


class Page(HTMLParser):
    """A page as a browser sees it: its elements, its text, and that they are nested well."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] != "style":
            self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]


def check_self_contained(text: str) -> Page:
    page = Page(text)
    known = {"html", "head", "meta", "title", "style", "body", "header", "main", "h1", "h2", "p"}
    known |= {"ul", "li", "b", "div", "table", "tr", "th", "td", "pre", "code"}
    known |= {"figure", "figcaption", "img"}
    assert {tag for tag, _ in page.elements} <= known  # none that runs or loads something
    allowed = {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "tabindex"}
    allowed |= {"src", "width", "height", "style", "alt"}
    for _, attributes in page.elements:
        assert set(attributes) <= allowed
    for image in page.images():
        kind, _, data = (image["src"] or "").partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            assert picture.size[0] // 2 == int(image["width"] or 0)
        assert image["alt"]
        assert image["style"] == f"max-width: {image['width']}px"  # a narrow page has all of it
    without_data = re.sub(r"base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|//|url\(|@import", without_data)
    assert "default-src 'none'" in text
    assert page.headings == HEADINGS
    return page


def trained(capsys: pytest.CaptureFixture[str], folder: Path, config: str, *more: str) -> Path:
    (folder / "config.yaml").write_text(config)
    run = folder / "run"
    outcome = run_script(capsys, "train", folder / "config.yaml", *more, "--run-dir", run)
    assert outcome.status == 0, outcome.err
    return run


def test_it_writes_pictures_and_a_page_that_needs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(capsys, tmp_path, CONFIG)
    outcome = run_script(capsys, "visualize", run, "--example", 299, 0, "--edges", "weight")
    assert (outcome.status, outcome.err) == (0, "")
    names = ["curves", "gradients", "activations", "network-test-299", "network-test-0", "weights"]
    names += ["representations-test", "surface"]
    names += ["confusion-test", "reliability-test", "mistakes-test"]
    paths = [run / "plots" / f"{name}.png" for name in names]
    told = outcome.out.splitlines()
    assert [line.strip() for line in told if line.startswith(" ")] == list(map(str, paths))
    assert told[0] == "drawing training curves"
    assert told[-1] == f"written up in {run / 'report.html'}"
    assert sorted(paths) == sorted((run / "plots").iterdir())
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"

    text = (run / "report.html").read_text(encoding="utf-8")
    page = check_self_contained(text)
    pictures = [base64.b64decode((image["src"] or "").partition(",")[2]) for image in page.images()]
    assert pictures == [path.read_bytes() for path in paths]
    summary = load_run(run).summary
    for split in ("train", "validation", "test"):
        assert f"{100 * summary[f'{split}_accuracy']:.2f} %" in page.text
        assert f"{summary[f'{split}_loss']:.4f}" in page.text
    assert "No warnings: gradients neither vanished nor exploded" in page.text
    assert "8 × 8 × 1, uint8" in page.text
    assert (run / "config.yaml").read_text() in page.text

    for example in (300, -1):
        outcome = run_script(capsys, "visualize", run, f"--example={example}")
        assert (outcome.status, len(outcome.err.splitlines())) == (2, 1)
        there = "its examples are 0 to 299"
        assert f"there is no example {example} in the test split: {there}" in outcome.err

    shutil.rmtree(run / "plots")
    (run / "plots").touch()
    outcome = run_script(capsys, "visualize", run)
    assert (outcome.status, len(outcome.err.splitlines())) == (2, 1)
    assert "curves.png: cannot be written" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: run"),
        (["nowhere"], "not a finished run"),
        (["nowhere", "--example", "x"], "invalid int value"),
    ],
)
def test_mistakes_end_in_one_message_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_script(capsys, "visualize", *arguments)
    assert outcome.status == 2
    assert message in outcome.err


@pytest.mark.long
def test_a_deep_network_is_drawn_too_and_its_warnings_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = "dense: 8, sigmoid, " * 8
    model = f"model=[flatten, {layers}dense: 10]"
    run = trained(capsys, tmp_path, CONFIG, model)
    outcome = run_script(capsys, "visualize", run, "--split", "validation")
    assert (outcome.status, outcome.err) == (0, "")
    warnings = load_run(run).summary["warnings"]
    assert any("vanish" in sentence for sentence in warnings)
    page = check_self_contained((run / "report.html").read_text(encoding="utf-8"))
    for sentence in warnings:
        assert sentence in page.text
    assert "No warnings" not in page.text
    assert (run / "plots" / "confusion-validation.png").exists()


@pytest.mark.long
def test_tables_and_names_that_look_like_html(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "<script>alert('$x$ & y')</script>"
    rows = "".join(f"{i % 7},{i % 5},{('a', name)[i % 7 > 3]}\n" for i in range(80))
    (tmp_path / "table.csv").write_text("x,y,kind\n" + rows)
    data = f"data={{csv: {{path: {tmp_path / 'table.csv'}, target: kind}}}}"
    model = "model=[dense: 4, tanh, dense: 2]"
    more = ("training.batch_size=10", "training.statistics_steps=0")
    path = trained(capsys, tmp_path, CONFIG, data, model, *more)
    pictures = list(run_pictures(load_run(path), split="validation"))
    names = {picture.name.removesuffix("-validation") for picture in pictures}
    expected = {"curves", "network-validation-0", "weights", "representations", "surface"}
    # No image: mistakes cannot be shown; no statistics, no flow.
    assert names == expected | {"confusion", "reliability", "plane", "units-1"}

    outcome = run_script(capsys, "visualize", path, "--split", "validation")
    assert (outcome.status, outcome.err) == (0, "")
    for picture in pictures:  # the same, drawn anew
        save(picture.figure, tmp_path / "again.png")
        drawn = (path / "plots" / f"{picture.name}.png").read_bytes()
        assert (tmp_path / "again.png").read_bytes() == drawn
    text = (path / "report.html").read_text(encoding="utf-8")
    page = check_self_contained(text)
    assert "what went on inside the layers was not watched" in page.text
    assert name in page.text
    assert html.escape(name) in text
    assert name not in text
