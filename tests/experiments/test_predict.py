"""predict.py: digits as photographs might have them are recognized; what it says, and refuses."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from photographs import PHOTOGRAPHS
from PIL import Image
from running import run_script

from jaxnn.config import load_config, parse_config
from jaxnn.data import data_folder, prepare
from jaxnn.prediction import UNSURE
from jaxnn.runs import Run, load_run, train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "digits"
    changes = ["training.epochs=20", "training.statistics_steps=0"]
    train(load_config(ROOT / "configs" / "digits_mlp.yaml", changes), path)
    return load_run(path)


@pytest.fixture(scope="module")
def mnist_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if not (data_folder() / "mnist").is_dir():
        pytest.skip("no folder mnist in $JAXNN_DATA")
    values = {
        "data": "mnist",
        "model": ["flatten", {"dense": 128}, "relu", {"dense": 10}],
        "optimizer": {"adam": {"learning_rate": {"cosine": 0.003}}},
        "training": {"epochs": 3, "batch_size": 128, "statistics_steps": 0},
    }
    path = tmp_path_factory.mktemp("runs") / "mnist"
    train(parse_config(values), path)
    return load_run(path)


def photographed(run: Run, folder: Path, largest: int) -> tuple[list[Path], list[str]]:
    """Ten test examples, one of each class, each in a photograph of its own, and their classes."""
    inputs, targets = run.dataset.test
    paths = []
    for k, photograph in enumerate(PHOTOGRAPHS):
        ink = inputs[np.flatnonzero(targets == k)[0], ..., 0].astype(int) * 255 // largest
        suffix = "jpg" if "jpeg" in photograph.__name__ else "png"
        paths.append(folder / f"{k}-{photograph.__name__}.{suffix}")
        paths[-1].write_bytes(photograph(ink.astype(np.uint8)))
    return paths, [str(k) for k in range(10)]


@pytest.mark.parametrize(
    ("name", "largest"), [("digits", 16), pytest.param("mnist", 255, marks=pytest.mark.long)]
)
def test_ten_photographs_are_recognized(
    name: str,
    largest: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run: Run = request.getfixturevalue(f"{name}_run")
    paths, expected = photographed(run, tmp_path, largest)
    outcome = run_script(capsys, "predict", run.path, *paths, "--json", "--top", 2)
    assert (outcome.status, outcome.err) == (0, "")
    records = json.loads(outcome.out)
    assert [record["image"] for record in records] == list(map(str, paths))
    assert [record["predictions"][0]["class"] for record in records] == expected
    for record in records:
        first, second = (guess["probability"] for guess in record["predictions"])
        assert 1 >= first >= second >= 0
        assert record["unsure"] == (first < UNSURE)


def mixtures(run: Run) -> Iterator[np.ndarray]:
    """Two digits on top of one another."""
    for a, b in itertools.combinations(run.dataset.test.inputs[:10], 2):
        yield np.kron(np.maximum(a, b) * 15, np.ones((20, 20, 1), np.uint8))


def is_unsure(run: Run, image: np.ndarray) -> bool:
    return bool(run.predict(prepare(image, run.dataset)[None]).max() < UNSURE)


def test_a_table_with_bars_and_a_warning(
    digits_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, _ = photographed(digits_run, tmp_path, 16)
    mixed = next(m for m in mixtures(digits_run) if is_unsure(digits_run, m))
    Image.fromarray(mixed[..., 0]).save(tmp_path / "mixed.png")
    seen = tmp_path / "folder" / "seen.png"
    arguments = (paths[0], tmp_path / "mixed.png", "--top", 4, "--show", seen)
    outcome = run_script(capsys, "predict", digits_run.path, *arguments)
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == str(paths[0])
    name, share, bar = lines[1].split()
    assert name == "0"
    assert float(share[:-1]) > 90
    assert bar == "█" * len(bar[:-1]) + bar[-1]
    assert 27 <= len(bar) <= 30
    assert lines[5] == str(tmp_path / "mixed.png")
    assert lines[10:] == ["  unsure: no class has a probability of 80% or more"]
    with Image.open(seen) as picture:
        assert picture.format == "PNG"


def test_mistakes_end_in_one_message_and_status_2(
    digits_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "white.png")
    (tmp_path / "text.jpg").write_text("not an image")
    good, _ = photographed(digits_run, tmp_path, 16)
    for arguments, message in (
        ([digits_run.path], "the following arguments are required: FILE"),
        ([tmp_path / "nowhere", good[0]], "not a finished run"),
        ([digits_run.path, good[0], "--top", 0], "--top must be at least 1"),
        ([digits_run.path, "nowhere.png"], "nowhere.png: cannot read the image: No such file"),
        ([digits_run.path, tmp_path / "text.jpg"], "text.jpg: not an image that can be read"),
        ([digits_run.path, tmp_path / "white.png"], "white.png: nothing is drawn in the image"),
        ([digits_run.path, good[0], "--show", good[1] / "x.png"], "cannot be written"),
    ):
        outcome = run_script(capsys, "predict", *arguments)
        assert outcome.status == 2, arguments
        assert message in outcome.err
        assert "Traceback" not in outcome.err
