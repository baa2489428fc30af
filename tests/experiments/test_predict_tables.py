"""predict.py with tables: predictions beside the rows, columns by name, and what is refused."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import run_script

from jaxnn import dense, fit, mean_squared_error, save_run, sgd
from jaxnn.config import parse_config
from jaxnn.data import csv as load_csv
from jaxnn.runs import Run, load_run, train


def make_houses(path: Path) -> Path:
    """A table of numbers, categories and missing values, and targets of all kinds."""
    random = np.random.default_rng(0)
    lines = ["age,colour,id,price,size,garden,pool"]
    for i in range(80):
        age, colour = random.uniform(0, 50), random.choice(["red", "green", "blue"])
        price = 100.5 + 3 * age + (20 if colour == "red" else 0)
        size = ("small", "large")[int(age > 25)]
        shown = "" if i % 10 == 3 else f"{age:.3f}"
        lines.append(f"{shown},{colour},{i},{price:.2f},{size},{i % 2},{int(age > 40)}")
    path.write_text("\n".join(lines) + "\n")
    return path


TARGETS: dict[str, Any] = {
    "price": ("price", "mean_squared_error", 1),
    "size": ("size", "softmax_cross_entropy", 2),
    "both": (["garden", "pool"], "sigmoid_binary_cross_entropy", 2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table, and a run for each kind of target."""
    folder = tmp_path_factory.mktemp("houses")
    path = make_houses(folder / "houses.csv")
    every = ["age", "colour", "id", "price", "size", "garden", "pool"]
    for name, (target, loss, outputs) in TARGETS.items():
        ignore = [
            c for c in every[2:] if c not in ([target] if isinstance(target, str) else target)
        ]
        data = {"path": str(path), "target": target, "ignore": ignore, "missing": "mean"}
        values = {
            "data": {"csv": data},
            "model": [{"dense": outputs}],
            "loss": loss,
            "optimizer": {"adam": 0.1},
            "training": {"epochs": 3, "batch_size": 10, "statistics_steps": 0},
        }
        train(parse_config(values), folder / name)
    return folder


@pytest.fixture
def price(folder: Path) -> Run:
    return load_run(folder / "price")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", TARGETS)
def test_predictions_stand_beside_the_rows_they_were_made_for(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are what the run says of its own examples, wherever a column stands in the table."""
    rows = rows_of(folder / "houses.csv")
    order = ["pool", "colour", "price", "id", "age", "size", "garden"]
    with (tmp_path / "new.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, order)
        writer.writeheader()
        writer.writerows(rows)
    outcome = run_script(capsys, "predict", folder / name, tmp_path / "new.csv")
    assert (outcome.status, outcome.err) == (0, "")
    written = rows_of(tmp_path / "new-predicted.csv")
    assert [{key: row[key] for key in order} for row in written] == rows
    added = list(written[0])[len(order) :]

    run = load_run(folder / name)
    expected = run.predict(run.dataset.train.inputs, stored=True)
    found = np.array([[row[key] for key in added] for row in written])
    if name == "price":
        assert added == ["predicted price"]
        numbers = found.astype(float)
    elif name == "size":
        assert added == ["predicted", "probability"]
        numbers = found[:, 1:].astype(float)
        expected = expected.max(-1, keepdims=True)
        assert set(found[:, 0]) <= {"large", "small"}
    else:
        assert added == [
            *("predicted garden", "probability garden", "predicted pool", "probability pool")
        ]
        numbers = found[:, 1::2].astype(float)
        np.testing.assert_array_equal(found[:, ::2] == "1", numbers > 0.5)
    # The examples are in another order: each is one of the rows.
    distance = np.abs(numbers[:, None] - expected[None]).max(-1).min(0)
    np.testing.assert_allclose(distance, 0, atol=1e-3)
    assert f"new.csv: 80 rows, {', '.join(added)}: " in outcome.out


def test_what_training_did_not_have_is_said_and_predicted_for(
    folder: Path, tmp_path: Path, price: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.csv"
    path.write_text("colour;age\nred;10\npurple;10\npurple;\n;10\n")
    arguments = (price.path, path, "--delimiter", ";", "--output", tmp_path / "out.csv")
    outcome = run_script(capsys, "predict", *arguments)
    assert outcome.status == 0
    assert outcome.err.splitlines() == [
        f"warning: {path}: column 'colour': 1 missing value, where none was missing in training: "
        "taken for none of its categories",
        f"warning: {path}: column 'colour': no row of training has the category 'purple' in 2 "
        "rows: taken for none of those that are known",
    ]
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "colour;age;predicted price"
    found = [float(line.split(";")[2]) for line in lines[1:]]
    mean = price.known.dataset.columns[0].fill
    inputs = [[10, 0, 0, 0, 1], [10, 0, 0, 0, 0], [mean, 1, 0, 0, 0], [10, 0, 0, 0, 0]]
    assert price.known.dataset.features == (
        *("age", "age is missing", "colour=blue", "colour=green", "colour=red"),
    )
    np.testing.assert_allclose(found, price.predict(np.array(inputs, float))[:, 0], rtol=1e-6)


def test_nothing_is_overwritten_and_mistakes_end_in_one_message(
    folder: Path, tmp_path: Path, price: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def table(text: str) -> Path:
        path = tmp_path / "new.csv"
        path.write_text(text)
        return path

    (tmp_path / "there.csv").write_text("mine")
    for text, more, message in (
        (
            "Colour,weight\nred,1\n",
            [],
            "line 1: expected the 2 columns that the network was trained on, in any order; missing "
            "'age', 'colour' (is it 'Colour'?); found 'Colour', 'weight'. Rename or add them",
        ),
        ("age;colour\n1;red\n", [], "Rename or add them; is another delimiter needed?"),
        ("age,colour\n1\n", [], "line 2: expected 2 fields, one for each column, found 1"),
        ("age,age,colour\n1,2,red\n", [], "found 'age' for more than one column. Rename"),
        (
            "age,colour\nold,red\n",
            [],
            "line 2, column 'age': expected a finite number, found 'old'",
        ),
        ("age,colour\n1e40,red\n", [], "found 1e+40, for which float32 has no place"),
        ("age,colour\n1,red\n", ["--delimiter", "ab"], "delimiter must be a single character, not"),
        ("age,colour\n", [], "expected rows to predict for, found none below the header"),
        ("", [], "missing 'age', 'colour'; found nothing"),
        ("age,colour,predicted price\n1,red,2\n", [], "it has a column 'predicted price' already"),
        ("age,colour\n1,red\n", ["--top", 2], "has learnt rows of a table, for which there is no"),
        ("age,colour\n1,red\n", ["--output", tmp_path / "there.csv"], "is there already. Name"),
    ):
        outcome = run_script(capsys, "predict", price.path, table(text), *more)
        assert outcome.status == 2
        assert message in outcome.err
        assert "Traceback" not in outcome.err
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert not (tmp_path / "new-predicted.csv").exists()
    outcome = run_script(capsys, "predict", price.path, "-")
    assert (outcome.status, "not from the standard input" in outcome.err) == (2, True)


def test_a_missing_value_is_refused_where_it_was_in_training(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "few.csv"
    path.write_text("x,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20)))
    values = {
        "data": {"csv": {"path": str(path), "target": "kind"}},
        "model": [{"dense": 2}],
        "optimizer": {"sgd": 0.1},
        "training": {"epochs": 1, "batch_size": 10, "statistics_steps": 0},
    }
    train(parse_config(values), tmp_path / "run")
    (tmp_path / "new.csv").write_text("x\n1\n?\n")
    outcome = run_script(capsys, "predict", tmp_path / "run", tmp_path / "new.csv")
    assert outcome.status == 2
    assert "line 3, column 'x': expected a finite number, found that it is missing" in outcome.err
    assert load_csv(path, target="kind").columns == load_run(tmp_path / "run").dataset.columns


def test_numbers_and_labels_of_images_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.arange(30 * 16, dtype=np.uint8).reshape(30, 4, 4)
    np.savez(tmp_path / "bright.npz", x=images, y=images.mean((1, 2)), y_targets=["brightness"])
    values = {
        "data": {"npz": str(tmp_path / "bright.npz")},
        "model": ["flatten", {"dense": 1}],
        "loss": "mean_squared_error",
        "optimizer": {"sgd": 0.1},
        "training": {"epochs": 1, "batch_size": 10},
    }
    train(parse_config(values), tmp_path / "run")
    Image.fromarray(images[3]).save(tmp_path / "three.png")
    outcome = run_script(capsys, "predict", tmp_path / "run", tmp_path / "three.png")
    assert (outcome.status, outcome.err) == (0, "")
    path, answer = outcome.out.splitlines()
    assert path == str(tmp_path / "three.png")
    expected = load_run(tmp_path / "run").predict(images[3:4, ..., None])
    assert answer.split()[:2] == ["predicted", "brightness"]
    assert float(answer.split()[2]) == pytest.approx(expected.item())
    outcome = run_script(capsys, "predict", tmp_path / "run", tmp_path / "three.png", "--json")
    assert outcome.status == 2
    assert "--top, --json and --show are for classes" in outcome.err


def test_what_was_saved_from_python_reads_tables_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_csv(folder / "houses.csv", target="price", missing="mean", categories=["pool"])
    *_, report = fit(dense(1), mean_squared_error, sgd(0.1), data, batch_size=10, epochs=1)
    saved = save_run(tmp_path / "saved", dense(1), report, data)
    outcome = run_script(
        capsys, "predict", saved.path, folder / "houses.csv", "--output", tmp_path / "new.csv"
    )
    assert (outcome.status, outcome.err) == (0, "")
    found = sorted(float(row["predicted price"]) for row in rows_of(tmp_path / "new.csv"))
    splits = (data.train, data.validation, data.test)
    inputs = np.concatenate([split.inputs for split in splits])
    expected = np.sort(saved.predict(inputs, stored=True)[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
