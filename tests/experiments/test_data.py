"""Data as people have them, in the scripts: taken as they are meant, or refused with a word."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import EXPERIMENTS, run_script

from jaxnn.data import decoding, digits

CONFIGS = EXPERIMENTS.parent / "configs"


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decoding, "cache_folder", lambda: tmp_path / "cache")


# Folders of splits


def photographs(folder: str, counts: dict[str, int]) -> None:
    """Images of cats and dogs in a folder, each class in one of its own."""
    for name, count in counts.items():
        path = Path("pets", folder, name)
        path.mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (k, 0, 0)).save(path / f"{k}.png")


def describe(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What describe.py says of the data first, and what it warns of."""
    Path("pets.yaml").write_text(
        "data: {image_folder: {path: pets, size: 8}}\n"
        "model: [flatten, {dense: 2}]\noptimizer: {sgd: 0.1}\ntraining: {epochs: 1}\n"
    )
    outcome = run_script(capsys, "describe", "pets.yaml", "training.batch_size=5")
    return outcome.out.partition("\n")[0], outcome.err


@pytest.mark.parametrize(
    "splits",
    [
        ["train", "test"],
        ["training_set", "test_set"],
        ["Training", "Testing"],
        ["Train", "Test"],
        ["TRAIN", "TEST"],
        ["seg_train/seg_train", "seg_test/seg_test"],
        ["train", "testing"],
        ["train", "test", "valid"],
    ],
    ids=", ".join,
)
def test_splits_are_no_classes(splits: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"cat": 8, "dog": 12}, {"cat": 3, "dog": 1}, {"cat": 2, "dog": 1}
    for folder, counts in zip(splits, sizes, strict=False):
        photographs(folder, counts)
    photographs("seg_pred", {"": 5})
    said, warnings = describe(capsys)
    divided = "20 train, 3" if len(splits) == 3 else "18 train, 2"
    assert said == f"data: pets, {divided} validation, 4 test examples, 2 classes"
    assert "pets: not all of it is used:\n  seg_pred/: 5 images\n" in warnings


# Labels that the network has no output for

X, Y = digits().train.inputs[:60], np.arange(60) % 2
LABELS: dict[str, tuple[Any, str, str]] = {
    "1 and 2, two outputs": (Y + 1, "", r"(2,), but own has 3 classes: (3,) is needed"),
    "1 and 2, two classes": (Y + 1, "classes: [a, b], ", "expected one of 2 classes in 'y'"),
    "-1 and 1": (2 * Y - 1, "", "numbered from 0, found -1 at position 0"),
    "floats": (Y.astype(float), "", "if the targets can be that, task: classification"),
    "one-hot rows": (np.eye(2)[Y], "", "a loss for classification, and the task is regression"),
    "one too few": (Y[1:], "", "as many targets as inputs, found 59 in 'y' for 60 in 'x'"),
}


@pytest.mark.parametrize(("labels", "options", "message"), LABELS.values(), ids=LABELS.keys())
def test_labels_without_an_output_are_not_trained_on(
    labels: np.ndarray, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("own.npz", x=X, y=labels)
    data = f"data={{npz: {{path: own.npz, {options}validation: 0}}}}"
    model = "model=[flatten, {dense: 2}]"
    outcome = run_script(capsys, "train", CONFIGS / "digits_mlp.yaml", data, model)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert not Path("runs").exists()


# Names


@pytest.mark.long
def test_names_in_any_script_and_a_run_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    names = np.array(["\u732b", "caf\u00e9", "cafe\u0301", "\uac1c"])
    np.savez("own.npz", x=X, y=names[np.arange(60) % 4])
    arguments = ["data={npz: {path: own.npz}}", "model=[flatten, {dense: 3}]", "training.epochs=1"]
    run = ["--run-dir", "~/\u732b"]
    outcome = run_script(capsys, "train", CONFIGS / "digits_mlp.yaml", *arguments, *run)
    assert outcome.status == 0
    assert (tmp_path / "home" / "\u732b" / "summary.json").exists()
