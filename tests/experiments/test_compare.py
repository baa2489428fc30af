"""compare.py: lists, differences, results over seeds and curves."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from running import Outcome, run_script

from jaxnn.config import parse_config
from jaxnn.data import digits
from jaxnn.data.info import dataset_info
from jaxnn.runs.data import Kept, write_data

MODELS = {"narrow": {"dense": 16}, "wide": {"dense": 64}}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose runs/ has two configs with three seeds, and trouble."""
    monkeypatch.chdir(tmp_path)
    for name, layer in MODELS.items():
        for seed in range(3):
            write_run(Path("runs") / f"{name}-{seed}", layer, seed, ended=True)
    write_run(Path("runs") / "stopped", {"dense": 32}, 0, ended=False)
    Path("runs/empty").mkdir()
    return tmp_path


def write_run(path: Path, layer: object, seed: int, *, ended: bool) -> None:
    path.mkdir(parents=True)
    values = {
        "name": path.name.split("-")[0],
        "data": "digits",
        "model": ["flatten", layer, "relu", {"dense": 10}],
        "optimizer": {"sgd": 0.1},
        "training": {"epochs": 3, "batch_size": 20},
        "seed": seed,
    }
    (path / "config.yaml").write_text(parse_config(values).to_yaml())
    info = dataset_info(digits())
    write_data(path, Kept(info, info, "digits"))
    reports = [
        {"step": int(epoch), "epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5}
        | {"train_seconds": 1.0, "examples_per_second": 10.0}
        | {"validation_loss": 1 / (epoch + seed), "validation_accuracy": 0.9 + epoch / 100}
        | {"validation_examples": 100}
        for epoch in (1.0, 2.0)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in reports))
    if ended:
        wide = "wide" in path.name
        summary = {"test_accuracy": 0.9 + wide / 20 + seed / 100, "test_loss": 0.2}
        summary |= {"epochs": 3, "train_seconds": 2.0 + seed}
        (path / "summary.json").write_text(json.dumps(summary))


def compare(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    return run_script(capsys, "compare", *arguments)


def test_without_arguments_all_runs_are_listed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = compare(capsys)
    assert (outcome.status, outcome.err) == (0, "")
    head, *rows = outcome.out.splitlines()
    assert re.split(r"\s\s+", head.strip()) == [
        "run",
        "started",
        "test accuracy",
        "test loss",
        "epochs",
        "seconds",
    ]
    assert len(rows) == 8
    assert any(re.match(r"wide-2 .* 97\.00 % +0\.2000 +3 +4\.0 *$", row) for row in rows)
    assert any(re.match(r"stopped .* – .* unfinished: epoch 2 of 3 *$", row) for row in rows)
    assert any(re.match(r"empty .* no run directory: it has no config.yaml *$", r) for r in rows)


def test_no_runs_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = compare(capsys)
    assert outcome == (0, "no runs below runs/; experiments/train.py makes one\n", "")


def test_results_over_seeds_differences_and_curves(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = compare(capsys, *sorted(Path("runs").iterdir()))
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[:2] == [
        "runs/empty: no run directory: it has no config.yaml",
        "runs/stopped: unfinished: epoch 2 of 3",
    ]
    mean = r"3 runs +{} ± 1\.00 % +0\.2000 +92\.00 % +3 +3\.0 ± 1\.0 *$"
    assert any(re.match("A  " + mean.format(r"91\.00"), line) for line in lines)
    assert any(re.match("C  " + mean.format(r"96\.00"), line) for line in lines)
    assert any(re.match(r"B +stopped +0 +– +– +92\.00 % +2 +1\.0 *$", line) for line in lines)
    assert any(re.match(r" +wide-1 +1 +96\.00 % +0\.2000", line) for line in lines)
    start = lines.index("model.1.dense.units")
    assert lines[start + 1 : start + 4] == ["  A: 16", "  B: 32", "  C: 64"]
    assert not any("seed:" in line or line == "name" for line in lines)
    assert lines[-1] == "curves: compare.png"
    with Image.open("compare.png") as picture:
        assert picture.format == "PNG"


def test_one_config_and_another_file(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = compare(
        capsys, "runs/wide-0", "runs/wide-1", "runs/wide-0", "--output", "a/b.png", "--x", "seconds"
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "A  2 runs" in outcome.out
    assert "the configs differ only in seed and name" in outcome.out
    assert (runs / "a" / "b.png").is_file()
    assert not (runs / "compare.png").exists()


def test_mistakes_end_in_one_message_and_status_2(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (["runs/wide-0", "runs/nowhere"], "runs/nowhere: there is no such run directory"),
        (["runs/empty"], "there is nothing to compare"),
        (["runs/wide-0", "--output", "runs/wide-0/config.yaml/x.png"], "cannot be written"),
    ):
        outcome = compare(capsys, *arguments)
        assert outcome.status == 2
        assert message in outcome.err
        assert "Traceback" not in outcome.err
