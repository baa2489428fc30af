"""evaluate.py: its figures are scikit-learn's on the same predictions, in the terminal and JSON."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image
from running import run_script

from jaxnn.config import parse_config
from jaxnn.runs import Run, load_run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = {
        "data": "digits",
        "model": ["flatten", {"dense": 16}, "relu", {"dense": 10}],
        "optimizer": {"adam": 0.01},
        "training": {"epochs": 2, "batch_size": 20, "statistics_steps": 0},
    }
    path = tmp_path_factory.mktemp("runs") / "run"
    train(parse_config(values), path)
    return load_run(path)


@pytest.mark.parametrize("split", ["test", pytest.param("validation", marks=pytest.mark.long)])
def test_the_report_agrees_with_scikit_learn(
    run: Run, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_script(capsys, "evaluate", run.path, "--split", split, "--top", 2)
    assert (outcome.status, outcome.err) == (0, "")
    report = json.loads((run.path / f"evaluation-{split}.json").read_text())
    examples = getattr(run.dataset, split)
    targets, probabilities = examples.targets, run.predict(examples.inputs)
    guesses = probabilities.argmax(1)

    assert report["split"] == split
    assert report["examples"] == len(targets)
    assert report["loss"] == pytest.approx(sklearn.metrics.log_loss(targets, probabilities), 1e-4)
    assert report["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(targets, guesses))
    assert report["top_accuracy"] == pytest.approx(
        {str(k): sklearn.metrics.top_k_accuracy_score(targets, probabilities, k=k) for k in (1, 2)}
    )
    assert report["balanced_accuracy"] == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(targets, guesses)
    )
    assert report["macro_f1"] == pytest.approx(
        sklearn.metrics.f1_score(targets, guesses, average="macro")
    )
    confusion = sklearn.metrics.confusion_matrix(targets, guesses)
    np.testing.assert_array_equal(report["confusion"], confusion)
    scores = sklearn.metrics.precision_recall_fscore_support(targets, guesses)
    for key, values in zip(("precision", "recall", "f1", "support"), scores, strict=True):
        assert [row[key] for row in report["classes"]] == pytest.approx(list(values))

    lines = outcome.out.splitlines()
    assert lines[0] == (
        f"{split}: accuracy {report['accuracy']:.2%}, loss {report['loss']:.4f} "
        f"({len(targets)} examples)"
    )
    assert f"top-2 {report['top_accuracy']['2']:.2%}" in lines[1]
    seven = next(line for line in lines if line.startswith("7 "))
    assert seven.split()[-1] == str(report["classes"][7]["support"])
    assert f"{report['classes'][7]['recall']:.2%}" in seven
    first = report["mistakes"][0]
    row = rf"{first['example']} +{first['prediction']} +{first['probability']:.2%} +"
    assert re.search(row + first["target"], outcome.out)
    for name in ("confusion", "reliability", "mistakes"):
        path = run.path / "plots" / f"{name}-{split}.png"
        assert str(path) in outcome.out
        with Image.open(path) as picture:
            assert picture.format == "PNG"


def test_mistakes_end_in_one_message_and_status_2(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        ([tmp_path / "nowhere"], "not a finished run"),
        ([run.path, "--top", "0"], "--top must be at least 1"),
        ([run.path, "--split", "tset"], "invalid choice: 'tset'"),
        ([], "the following arguments are required: run"),
    ):
        outcome = run_script(capsys, "evaluate", *arguments)
        assert outcome.status == 2
        assert message in outcome.err
        assert "Traceback" not in outcome.err


def test_an_empty_split_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text(
        "a,b,kind\n" + "".join(f"{i},{i % 2},{'xy'[i % 2]}\n" for i in range(40))
    )
    values = {
        "data": {"csv": {"path": str(tmp_path / "table.csv"), "target": "kind", "validation": 0}},
        "model": [{"dense": 2}],
        "optimizer": {"sgd": 0.1},
        "training": {"epochs": 1, "batch_size": 4, "statistics_steps": 0},
    }
    train(parse_config(values), tmp_path / "run")
    outcome = run_script(capsys, "evaluate", tmp_path / "run", "--split", "validation")
    assert outcome.status == 2
    assert "the validation split is empty" in outcome.err
    outcome = run_script(capsys, "evaluate", tmp_path / "run")  # a table: no picture of mistakes
    assert (outcome.status, outcome.err) == (0, "")
    assert not (tmp_path / "run" / "plots" / "mistakes-test.png").exists()


@pytest.mark.long
def test_names_of_classes_steer_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("b", "\x1b[2J")
    rows = "".join(f"{i % 7},{names[i % 2]}\n" for i in range(40))
    (tmp_path / "table.csv").write_text(f"x,y\n{rows}")
    data = {"csv": {"path": str(tmp_path / "table.csv"), "target": "y"}}
    training = {"epochs": 1, "batch_size": 4}
    values = {"data": data, "model": [{"dense": 2}], "optimizer": {"sgd": 0.1}}
    train(parse_config(values | {"training": training}), tmp_path / "run")
    outcome = run_script(capsys, "evaluate", tmp_path / "run")
    assert outcome.out.count("\\x1b[2J") > 1
    assert "\x1b" not in outcome.out
