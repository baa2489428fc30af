"""The sentences on a run's health, in runs of train.py: none where all is well, else the cause."""

import json
import os
import re
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from running import EXPERIMENTS, run_script

from jaxnn.data import data_folder, decoding, digits, mnist

CONFIGS = EXPERIMENTS.parent / "configs"
DIGITS = CONFIGS / "digits_mlp.yaml"
CONSTANT = "optimizer={sgd: {learning_rate: 0.02, momentum: 0.9}}"
COSINE = "optimizer.sgd.learning_rate={cosine: {peak: 0.05, steps: 1600}}"  # 40 epochs

WELL: dict[str, list[str]] = {
    "digits": [],
    "bfloat16": ["training.precision=bfloat16"],
    "float64": ["training.precision=float64"],
    "tanh": ["model.2=tanh"],
    "sigmoid": ["model.2=sigmoid"],
    "deep": [
        "model=[flatten, {dense: 64}, relu, {dense: 64}, relu, {dense: 64}, relu, {dense: 10}]"
    ],
    "dropout": ["model=[flatten, {dense: 128}, relu, {dropout: 0.5}, {dense: 10}]"],
    "batch_norm": ["model=[flatten, {dense: 64}, batch_norm, relu, {dense: 10}]"],
    "adam": ["optimizer={adam: 0.003}"],
    "single examples": ["optimizer={sgd: 0.003}", "training.batch_size=1", "training.epochs=5"],
    "hinge": ["loss=hinge", "optimizer.sgd.learning_rate=0.1"],
    "quadratic": ["loss=quadratic", "optimizer.sgd.learning_rate=0.02"],
    "small parts": ["training.chunk_steps=3", "training.statistics_steps=7"],
}
SHIPPED = {  # epochs of those that have more; those with convolutions see a part of the data
    "birds": 2,
    "mnist_99_fast": 1,
    "mnist_cnn": 2,
    "mnist_mlp": 3,
    "nielsen_chapter1": 3,
    "nielsen_chapter3": 3,
    "plane_hill": 60,
    "plane_spiral": 60,
    "three_blue_one_brown": 3,
}
RESUMED = {  # the changes of the run, and of its resumption
    "in the middle of its schedule": ([COSINE, "training.epochs=20"], ["training.epochs=40"]),
    "having converged": ([CONSTANT, "training.epochs=40"], ["training.epochs=50"]),
}

RATE, DEAD = "the learning rate (50) is too high", "100% of the units of layer 2"
ILL: dict[str, tuple[list[str], str]] = {
    "rate × 1000": (["optimizer={sgd: 50}"], RATE),
    "rate × 1000, momentum": (["optimizer.sgd.learning_rate=50"], RATE),
    "rate × 1000, sigmoid": (["optimizer={sgd: 50}", "model.2=sigmoid"], RATE),
    "rate × 20": (["optimizer.sgd.learning_rate=1"], "the learning rate (1) is too high"),
    "rate / 10,000": (["optimizer={sgd: 5e-6}"], "the learning rate is too low"),
    "ten sigmoid layers": (
        [f"model=[flatten, {'{dense: 30}, sigmoid, ' * 10}{{dense: 10}}]"],
        "gradients vanish",
    ),
    "dead": (["model.1={dense: {units: 64, bias_init: {constant: {value: -100}}}}"], DEAD),
    "saturated": (
        ["model.1={dense: {units: 64, bias_init: {constant: {value: 30}}}}", "model.2=sigmoid"],
        f"{DEAD} sigmoid are saturated",
    ),
}


def warnings(run: Path) -> list[str]:
    return json.loads((run / "summary.json").read_text())["warnings"]


def train(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """The health sentences of a run, which are shown as well."""
    outcome = run_script(capsys, "train", *arguments)
    assert outcome.status == 0
    assert not outcome.err or re.fullmatch(r"Decoding [\d,]+ images of .*\n", outcome.err)
    found = warnings(Path(outcome.out.splitlines()[-1].removeprefix("run directory: ")))
    assert all(f"warning: {sentence}" in outcome.out for sentence in found)
    return found


def archive(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return f"data={{npz: {{path: {path}, validation: 0.2}}}}"


def photographs(path: Path) -> Path:
    """A twentieth of those that are there."""
    with ZipFile(data_folder() / "cifar10.zip") as source, ZipFile(path, "w") as some:
        for name in source.namelist()[::20]:
            some.writestr(name, source.read(name))
    return path


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decoding, "cache_folder", lambda: tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("name", WELL)
def test_a_run_that_is_well(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(capsys, DIGITS, *WELL[name]) == []


@pytest.mark.slow
@pytest.mark.skipif("JAXNN_DATA" not in os.environ, reason="needs MNIST and CIFAR-10")
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_well(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [f"training.epochs={SHIPPED[name]}"]
    if name == "birds":
        changes.append(f"data.image_folder.path={photographs(tmp_path / 'some.zip')}")
        changes.append("data.image_folder.validation=250")
    elif name in ("mnist_99_fast", "mnist_cnn"):
        inputs, targets = (array[:8000] for array in mnist().train)
        changes.append(archive(tmp_path / "some.npz", x=inputs, y=targets))
    assert train(capsys, CONFIGS / f"{name}.yaml", *changes) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_is_well(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, then = RESUMED[name]
    assert train(capsys, DIGITS, *first, "--run-dir", "run") == []
    assert train(capsys, "--resume", "run", *then) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ILL)
def test_a_run_that_is_ill(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    changes, sentence = ILL[name]
    found = train(capsys, DIGITS, *changes)
    assert found[0].startswith(sentence)
    assert len(found) == 1


@pytest.mark.slow
def test_shuffled_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, targets = digits().train
    shuffled = np.random.default_rng(0).permutation(targets)
    data = archive(tmp_path / "shuffled.npz", x=inputs, y=shuffled)
    (sentence,) = train(capsys, DIGITS, data)
    assert sentence.startswith("what is learned does not hold for the validation split")
    assert "Do the labels belong to their inputs" in sentence


@pytest.mark.slow
def test_over_fitting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, targets = (array[:400] for array in digits().train)
    random = np.random.default_rng(0)
    noisy = np.where(random.random(400) < 0.4, random.integers(0, 10, 400), targets)
    data = archive(tmp_path / "noisy.npz", x=inputs, y=noisy)
    (sentence,) = train(capsys, DIGITS, data, "optimizer={adam: 0.01}")
    assert sentence.startswith("over-fitting: since epoch")


def test_a_rate_far_too_high(capsys: pytest.CaptureFixture[str]) -> None:
    (sentence,) = train(capsys, DIGITS, "optimizer={sgd: 50}", "training.epochs=2")
    assert sentence.startswith(RATE)


@pytest.mark.long
def test_a_schedule_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    short = [COSINE.replace("1600", "120"), "training.epochs=3"]
    assert train(capsys, DIGITS, *short, "--run-dir", "run") == []
    (sentence,) = train(capsys, "--resume", "run", "training.epochs=5")
    assert sentence.startswith("hardly anything is learned any more: the learning rate has been")
    assert "its schedule has ended" in sentence


def test_a_number_of_the_data_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, targets = digits().train
    inputs = inputs.astype(np.float32)
    inputs[7, 3, 3] = np.nan
    outcome = run_script(
        capsys, "train", DIGITS, archive(tmp_path / "nan.npz", x=inputs, y=targets)
    )
    assert outcome.status == 2
    assert "expected finite numbers in 'x', found nan at [7, 3, 3, 0]" in outcome.err
    assert not (tmp_path / "runs").exists()
