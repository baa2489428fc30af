"""A run keeps what its answers depend on; it knows its data, and other data from them."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from running import run_script

from jaxnn.config import parse_config
from jaxnn.data import digits
from jaxnn.errors import DataError, RunError
from jaxnn.runs import load_run, resume, train
from jaxnn.web.storage import open_source

REST: dict[str, Any] = {
    "optimizer": {"adam": 0.05},
    "training": {"epochs": 2, "batch_size": 10, "statistics_steps": 0},
}
RANDOM = np.random.default_rng(0)
ROWS = [
    f"{1_700_000_000 + 10 * k},{RANDOM.normal():.3f},{('healthy', 'ill')[k >= 30]}"
    for k in RANDOM.permutation(60).tolist()
]
ASKED = np.array([[1_700_000_000.0, 0.1], [1_700_000_555.0, -0.2]])
HEADER = "when,size,class"


class Place(NamedTuple):
    """A run and its table, which lies in another folder."""

    run: Path
    table: Path
    answers: np.ndarray


def write_table(path: Path, rows: list[str], header: str = HEADER) -> None:
    path.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("trained")
    data = folder / "data"
    data.mkdir()
    write_table(data / "table.csv", ROWS)
    config = {"data": {"csv": {"path": "table.csv", "target": "class"}}, "model": [{"dense": 2}]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        run = train(parse_config(config | REST), folder / "run")
    return Place(run.path, data / "table.csv", run.predict(ASKED))


@pytest.fixture
def place(trained: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of the run, and the table, which may be changed."""
    yield trained._replace(run=shutil.copytree(trained.run, tmp_path / "run"))
    write_table(trained.table, ROWS)


def reordered(rows: list[str]) -> list[str]:
    return [",".join([size, when, name]) for when, size, name in (row.split(",") for row in rows)]


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "rows added": (
        lambda path: write_table(path, [*ROWS, *20 * ["1700000300,3.5,ill"]]),
        "train: 42 examples then, now 56",
    ),
    "rows removed": (lambda path: write_table(path, ROWS[:-10]), "train: 42 examples then, now 35"),
    "a class renamed": (
        lambda path: write_table(path, [row.replace("ill", "sick") for row in ROWS]),
        "classes: 'ill' gone, 'sick' new",
    ),
    "columns reordered": (
        lambda path: write_table(path, reordered(ROWS), "size,when,class"),
        "columns: in another order, now 'size', 'when'",
    ),
    "one value altered": (
        lambda path: write_table(path, [ROWS[0].replace(",-0.", ",-0.1"), *ROWS[1:]]),
        r"(train|validation|test): \d+ examples as then, of other contents \(fingerprint \w{8}",
    ),
}


# --- Without data


def test_without_its_data_and_elsewhere_a_run_answers_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, picture = digits(), tmp_path / "picture.png"
    np.savez(tmp_path / "images.npz", x=data.train.inputs[:200], y=data.train.targets[:200])
    Image.fromarray(16 * data.test.inputs[0, ..., 0]).save(picture)
    config = {"data": {"npz": str(tmp_path / "images.npz")}, "model": ["flatten", {"dense": 10}]}
    run = train(parse_config(config | REST), tmp_path / "run").path
    asked = data.test.inputs[:9]
    command = (picture, "--json", "--show", tmp_path / "seen.png")
    before = load_run(run).predict(asked)
    said = run_script(capsys, "predict", run, *command)
    shown = (tmp_path / "seen.png").read_bytes()

    (tmp_path / "images.npz").unlink()
    (tmp_path / "other").mkdir()
    moved = Path(shutil.move(run, tmp_path / "other" / "moved"))
    monkeypatch.chdir(tmp_path / "other")
    np.testing.assert_array_equal(load_run(moved).predict(asked), before)
    assert run_script(capsys, "predict", moved, *command) == said
    assert (tmp_path / "seen.png").read_bytes() == shown
    assert said.status == 0
    assert said.err == ""

    for script, *arguments in (["evaluate"], ["visualize"], ["train", "--resume"]):
        outcome = run_script(capsys, script, *arguments, moved)
        assert outcome.status == 2
        assert f"error: {tmp_path / 'images.npz'}: " in outcome.err
        assert f"These are the data of {moved}. Without them the run still predicts" in outcome.err


# --- Changed data


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_changed_data_are_refused_with_what_differs(
    place: Place,
    change: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(place.table)
    (place.run / "evaluation-test.json").unlink(missing_ok=True)
    files = {path: path.read_bytes() for path in place.run.rglob("*") if path.is_file()}
    run = load_run(place.run)
    np.testing.assert_array_equal(run.predict(ASKED), place.answers)
    assert run.classes == ("healthy", "ill")
    for use in (
        lambda: run.dataset,
        lambda: resume(place.run, ["training.epochs=3"]),
        lambda: open_source(place.run),
    ):
        with pytest.raises(RunError, match=message):
            use()
    for script in ("evaluate", "visualize"):
        outcome = run_script(capsys, script, place.run)
        assert outcome.status == 2
        assert f"{place.run}: these are not the data that the run was trained on" in outcome.err
        assert "--allow-changes" in outcome.err
    names = {".lock", ".owner"}
    after = [path for path in place.run.rglob("*") if path.is_file() and path.name not in names]
    assert {path: path.read_bytes() for path in after} == {
        path: content for path, content in files.items() if path.name not in names
    }


def test_the_data_are_found_where_they_were_and_not_where_one_stands(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv", ROWS[:40])
    before = load_run(place.run).dataset
    assert len(before.train.targets) == 42
    place.table.unlink()
    with pytest.raises(RunError, match="train: 42 examples then, now 28"):
        _ = load_run(place.run).dataset
    write_table(tmp_path / "table.csv", ROWS)
    found = load_run(place.run).dataset
    np.testing.assert_array_equal(found.train.inputs, before.train.inputs)


@pytest.mark.long
def test_where_told_to_it_goes_on_with_its_own_names_and_numbers(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_run(place.run).dataset
    for name in ("columns reordered", "rows added"):
        CHANGES[name][0](place.table)
        found = load_run(place.run, allow_changes=True).dataset
        assert (found.classes, found.features) == (before.classes, before.features)
        for key in ("mean", "deviation", "centring"):
            np.testing.assert_array_equal(getattr(found, key), getattr(before, key))
        if name == "columns reordered":
            for split in ("train", "validation", "test"):
                for ours, theirs in zip(getattr(found, split), getattr(before, split), strict=True):
                    np.testing.assert_array_equal(ours, theirs)
    outcome = run_script(capsys, "evaluate", place.run, "--split", "train", "--allow-changes")
    assert outcome.status == 0
    assert "(56 examples)" in outcome.out
    assert open_source(place.run, allow_changes=True).experiment.dataset.classes == before.classes

    # A training that has gone on with other data keeps those, and its normalization.
    resume(place.run, ["training.epochs=3"], allow_changes=True)
    found = load_run(place.run).dataset
    assert len(found.train.targets) == 56
    np.testing.assert_array_equal(found.mean, before.mean)

    CHANGES["a class renamed"][0](place.table)
    with pytest.raises(DataError, match=r"learnt, 'healthy', 'ill', found 'sick'"):
        _ = load_run(place.run, allow_changes=True).dataset


@pytest.mark.long
def test_changed_data_that_a_run_has_gone_on_with_are_its_own(place: Place) -> None:
    before = load_run(place.run).dataset
    info = load_run(place.run).kept.info
    CHANGES["columns reordered"][0](place.table)
    resume(place.run, ["training.epochs=3"], allow_changes=True)
    run = load_run(place.run)
    assert run.kept.info[1:] == info[1:]  # the same examples, by the names of the run
    np.testing.assert_array_equal(run.dataset.train.inputs, before.train.inputs)
    assert not open_source(place.run).experiment.dataset.missing
    resume(place.run, ["training.epochs=4"])
    write_table(place.table, ROWS)
    with pytest.raises(RunError, match="columns: in another order, now 'when', 'size'"):
        _ = load_run(place.run).dataset


def test_data_are_found_where_they_were_though_another_argument_has_changed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv", ROWS[:40])
    resume(place.run, ["data.csv.validation=5", "training.epochs=3"], allow_changes=True)
    found = load_run(place.run).dataset
    assert [len(split.targets) for split in (found.train, found.validation)] == [43, 5]


@pytest.mark.long
def test_data_of_the_data_folder_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path / "data"))
    for name in ("cat", "dog"):
        (tmp_path / "data" / "animals" / name).mkdir(parents=True)
        for k in range(5):
            Image.new("RGB", (8, 8), (20 * k, 0, 9)).save(
                tmp_path / "data" / "animals" / name / f"{k}.png"
            )
    data = {"image_folder": {"path": "animals", "size": 8}}
    config = {"data": data, "model": ["flatten", {"dense": 2}]} | REST
    config["training"] = {"epochs": 2, "batch_size": 4}
    path = train(parse_config(config), tmp_path / "run").path
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_run(path).dataset.classes == ("cat", "dog")
    resume(path, ["training.epochs=3"])
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path / "moved"))
    (tmp_path / "data").rename(tmp_path / "moved")
    resume(path, ["training.epochs=4"])
    assert load_run(path).kept.source["image_folder"]["path"] == str(tmp_path / "moved/animals")


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 there")
def test_a_folder_s_name_need_not_be_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    write_table(folder / "table.csv", ROWS)
    monkeypatch.chdir(folder)
    config = {"data": {"csv": {"path": "table.csv", "target": "class"}}, "model": [{"dense": 2}]}
    run = train(parse_config(config | REST), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert len(load_run(run.path).dataset.train.targets) == 42


# --- Runs that were written before


def test_a_run_written_before_is_read_with_a_word(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.run / "data.json").unlink()
    monkeypatch.chdir(place.table.parent)
    capsys.readouterr()
    word = f"warning: {place.run}: it was written before runs kept"
    run = load_run(place.run)
    assert word in capsys.readouterr().err
    np.testing.assert_array_equal(run.predict(ASKED), place.answers)
    assert len(run.dataset.train.targets) == 42
    open_source(place.run)
    assert word in capsys.readouterr().err
    resume(place.run, ["training.epochs=3"])
    assert word in capsys.readouterr().err
    assert len(load_run(place.run).dataset.train.targets) == 42  # which it now keeps
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"classes": []}', b"\xff"])
def test_what_is_damaged_is_named(place: Place, content: bytes) -> None:
    (place.run / "data.json").write_bytes(content)
    with pytest.raises(RunError, match=r"data\.json: damaged: "):
        load_run(place.run)


# --- Comparing


@pytest.mark.long
def test_runs_of_changed_data_are_not_compared_unless_told_to(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(place.run, tmp_path / "other")
    output = ("--output", tmp_path / "compare.png")
    assert run_script(capsys, "compare", place.run, other, *output).status == 0
    values = json.loads((other / "data.json").read_text())
    values["splits"]["test"]["examples"] += 5
    (other / "data.json").write_text(json.dumps(values))
    refused = run_script(capsys, "compare", place.run, other, *output)
    difference = f"{place.run} then, {other} now:\n    test: 12 examples then, now 17"
    assert refused.status == 2
    assert difference in refused.err
    told = run_script(capsys, "compare", place.run, other, *output, "--allow-changes")
    assert told.status == 0
    assert difference in told.out
    (other / "data.json").unlink()
    unknown = run_script(capsys, "compare", place.run, other, *output)
    assert unknown.status == 0
    assert f"the same data is not known, for they have no data.json: {other}\n" in unknown.err


# --- What is kept
