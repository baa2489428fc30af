"""Reports as JSON lines: one object each, at once, and strict JSON."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jaxnn.errors import RunError
from jaxnn.observe import metrics, read_metrics, to_json
from jaxnn.observe.metrics import cut
from jaxnn.training import Evaluation, Report


def report(step: int, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "step": step,
        "steps": 30,
        "epoch": step / 10,
        "loss": 0.5,
        "metrics": {"accuracy": 0.25},
        "examples_per_second": 1000.0,
        "train_seconds": 2.0,
        "compile_seconds": 1.0,
    }
    missing = {key: None for key in Report._fields if key not in Report._field_defaults}
    return Report(**missing | values | changes)


def strict(text: str) -> Any:
    """JSON as the standard has it: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_each_report_is_a_line_that_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with metrics(path) as write:
        for number in (1, 2, 3):
            write(report(number))
            assert len(path.read_text().splitlines()) == number
    lines = [strict(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[0] == {
        "step": 1,
        "steps": 30,
        "epoch": 0.1,
        "loss": 0.5,
        "accuracy": 0.25,
        "examples_per_second": 1000.0,
        "train_seconds": 2.0,
        "compile_seconds": 1.0,
    }


def test_validation_is_flat(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with metrics(path) as write:
        write(report(10, validation=Evaluation(0.125, 200, {"accuracy": 0.75})))
    line = strict(path.read_text())
    found = {key: value for key, value in line.items() if key.startswith("validation")}
    assert found == {
        "validation_loss": 0.125,
        "validation_accuracy": 0.75,
        "validation_examples": 200,
    }


def test_what_is_there_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for number in (1, 2):
        with metrics(path) as write:
            write(report(number))
    assert [strict(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_number_that_json_does_not_have_is_null(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with metrics(path) as write:
        write(
            report(1, loss=float("nan"), validation=Evaluation(float("inf"), 5, {"accuracy": 0.1}))
        )
    line = strict(path.read_text())
    assert line["loss"] is None
    assert line["validation_loss"] is None
    assert line["accuracy"] == 0.25


def test_to_json() -> None:
    values = {"a": float("-inf"), "b": 1, "c": None, "d": "NaN", "e": True}
    assert strict(to_json(values)) == {"a": None, "b": 1, "c": None, "d": "NaN", "e": True}
    assert to_json({"a": 1}, indent=2) == '{\n  "a": 1\n}'


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "metrics.jsonl"
    with pytest.raises(RunError, match=f"{path}: cannot be written: No such"), metrics(path):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_an_error_with_the_name_of_the_file() -> None:
    path = Path("/dev/full")
    with pytest.raises(RunError, match="/dev/full: cannot be written: No space left"):  # noqa: SIM117
        with metrics(path) as write:
            write(report(1))


def test_a_mistake_of_another_consumer_is_not_taken_for_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), metrics(tmp_path / "metrics.jsonl"):
        raise BrokenPipeError


# --- Reading back


LINE = (
    '{"step": 3, "epoch": 1, "loss": 2, "accuracy": 0, "examples_per_second": 9, '
    '"train_seconds": 1}\n'
)
VALID = ', "validation_loss": null, "validation_accuracy": 0.5, "validation_examples": 9}'


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with metrics(path) as write:
        write(report(1, validation=Evaluation(0.125, 200, {"accuracy": 0.75})))
        write(report(2))
    reports, problem = read_metrics(path)
    assert problem == ""
    assert reports == [strict(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("content", "read", "problem"),
    [
        ("", 0, ""),
        (LINE[:20], 0, ""),  # an unfinished last line is left out
        (LINE + LINE[:-1], 1, ""),
        ("[]\n", 0, "line 1 is no report"),
        (LINE + "\n" + LINE, 1, "line 2 is no report"),
        (LINE + "\0" * 40 + "\n" + LINE, 1, "line 2 is no report"),
        (LINE + "[" * 100_000 + "\n" + LINE, 1, "line 2 is no report"),
        (LINE + LINE.replace('"step": 3', '"step": null'), 1, "line 2 is no report"),
        (LINE + LINE.replace('"step": 3', '"step": "4"'), 1, "line 2 is no report"),
        (LINE + LINE.replace('"step": 3', '"step": -1'), 1, "line 2 is no report"),
        (LINE + LINE.replace('"step": 3', '"step": 1e99'), 1, "line 2 is no report"),
        (LINE.replace("}", ', "train_seconds": 1e999}'), 0, "line 1 is no report"),
        (LINE.replace("}", ', "train_seconds": 1' + "0" * 400 + "}"), 0, "line 1 is no report"),
        (LINE.replace("}", ', "train_seconds": []}'), 0, "line 1 is no report"),
        (LINE.replace("}", ', "warnings": [1]}'), 0, "line 1 is no report"),
        (LINE + '{"step": 3, "epoch": 1}\n' + LINE, 1, "line 2 is no report"),
        *(
            (LINE + LINE.replace(f'"{key}": ', f'"{key}": null, "no {key}": '), 1, "line 2 is no")
            for key in ("epoch", "loss", "accuracy", "examples_per_second", "train_seconds")
        ),
        (LINE.replace(', "train_seconds": 1', ""), 0, "line 1 is no report"),
        (LINE.replace("}", VALID.replace("0.5", "null")), 0, "line 1 is no report"),
        (LINE.replace("}", VALID.replace("9}", "0}")), 0, "line 1 is no report"),
        (LINE.replace("}", ', "statistics": 3}'), 0, "line 1 is no report"),
        (LINE.replace("}", ', "statistics": {"0": {}}}'), 0, "line 1 is no report"),
        ("nonsense\n" + LINE, 0, "line 1 is no report"),
        (None, 0, "cannot read the metrics"),
    ],
)
def test_reports_are_read_up_to_a_damaged_line_which_is_named(
    content: str | None, read: int, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_text(content)
    reports, found = read_metrics(path)
    assert reports == read * [json.loads(LINE)]
    assert found.startswith(f"{path}: {problem}" if problem else "")
    assert bool(found) == bool(problem)


def test_a_validation_loss_may_be_none_that_was_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(LINE.replace("}", VALID))
    (report,), problem = read_metrics(path)
    assert report["validation_loss"] is None
    assert problem == ""


def test_reports_after_a_step_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [LINE.replace("3", str(step)) for step in (2, 4, 6)]
    path.write_text("".join(lines) + "nonsense\n")
    cut(path, 5)
    assert path.read_text() == "".join(lines[:2])
    path.write_text(lines[0] + "nonsense\n" + lines[2])
    before = path.read_bytes()
    with pytest.raises(RunError, match=f"{path}: line 2 is no report; to go on without it"):
        cut(path, 6)
    assert path.read_bytes() == before
