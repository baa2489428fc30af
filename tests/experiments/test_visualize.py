"""visualize.py: the pictures of a run, and what it answers to mistakes."""

from pathlib import Path

import pytest
from PIL import Image
from running import run_script

from jaxnn.errors import RunError
from jaxnn.plots import read_metrics, run_pictures
from jaxnn.runs import load_run

CONFIG = """\
data: digits
model: [flatten, dense: 12, sigmoid, dense: 10]
optimizer: {sgd: 0.1}
training: {epochs: 2, batch_size: 100}
"""


def trained(capsys: pytest.CaptureFixture[str], folder: Path, config: str, *more: str) -> Path:
    (folder / "config.yaml").write_text(config)
    run = folder / "run"
    outcome = run_script(capsys, "train", folder / "config.yaml", *more, "--run-dir", run)
    assert outcome.status == 0, outcome.err
    return run


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    return trained(capsys, tmp_path, CONFIG)


def test_it_writes_three_pictures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_script(capsys, "visualize", run, "--example", 299, "--edges", "weight")
    assert (outcome.status, outcome.err) == (0, "")
    names = ("curves", "network", "weights")
    paths = [run / "plots" / f"{name}.png" for name in names]
    assert sorted(outcome.out.split()) == list(map(str, paths))
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"

    outcome = run_script(capsys, "visualize", run, "--example", 300)
    assert outcome.status == 2
    assert "there is no example 300 in the test split: its examples are 0 to 299" in outcome.err


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


def test_only_a_layer_that_sees_an_image_is_drawn_as_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{i % 7},{i % 5},{'ab'[i % 7 > 3]}\n" for i in range(80))
    (tmp_path / "table.csv").write_text("x,y,kind\n" + rows)
    data = f"data={{csv: {{path: {tmp_path / 'table.csv'}, target: kind}}}}"
    model = "model=[dense: 4, tanh, dense: 2]"
    path = trained(capsys, tmp_path, CONFIG, data, model, "training.batch_size=10")
    run = load_run(path)
    pictures = run_pictures(run, split="validation", example=0)
    assert set(pictures) == {"curves", "network"}
    for picture in pictures.values():
        picture.draw_without_rendering()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no report in it"),
        ('{"epoch": 1, "loss": 1', "no report in it"),
        ("[]\n", "line 1 is no report"),
        ('{"epoch": 1, "loss": 2, "accuracy": 0}\n{"epoch": 1}\n', "line 2 is no report"),
        ("nonsense\n", "line 1 is no report"),
    ],
)
def test_damaged_metrics_are_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    with pytest.raises(RunError, match=message):
        read_metrics(path)


def test_an_unfinished_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1, "loss": 2, "accuracy": 0}\n{"epoch": 2, "lo')
    assert read_metrics(path) == [{"epoch": 1, "loss": 2, "accuracy": 0}]
    with pytest.raises(RunError, match="cannot read the metrics"):
        read_metrics(tmp_path / "other.jsonl")
