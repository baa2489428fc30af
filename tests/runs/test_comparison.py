"""Runs side by side, those that are unfinished or damaged among them."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from jaxnn.config import Config, parse_config
from jaxnn.errors import RunError
from jaxnn.runs import config_differences, group_by_config, list_runs, read_record, spread

VALUES = {
    "data": "digits",
    "model": ["flatten", {"dense": 16}, "relu", {"dense": 10}],
    "optimizer": {"sgd": {"learning_rate": 0.1, "momentum": 0.9}},
    "training": {"epochs": 3, "batch_size": 20},
}


def config(**changes: object) -> Config:
    return parse_config(VALUES | changes)


def write_run(path: Path, values: Config, accuracy: float | None = 0.9, reports: int = 3) -> Path:
    """A run directory as training leaves it; without accuracy it has not ended."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(values.to_yaml())
    lines = [
        {
            "step": i,
            "epoch": i + 1.0,
            "loss": 1 / (i + 1),
            "accuracy": 0.5,
            "train_seconds": i + 1.5,
            "examples_per_second": 10.0,
        }
        | {"validation_loss": 0.5, "validation_accuracy": 0.8 + i / 100}
        | {"validation_examples": 100}
        for i in range(reports)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if accuracy is not None:
        summary = {"test_accuracy": accuracy, "test_loss": None, "epochs": 3, "train_seconds": 9.5}
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def test_a_run_that_has_ended(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run", config()))
    assert record.problem == ""
    assert record.config == config()
    assert record.started is not None
    assert len(record.metrics) == 3
    assert record.result("test_accuracy") == 0.9
    assert record.result("train_seconds") == 9.5
    assert record.result("validation_accuracy") == pytest.approx(0.82)
    assert record.result("epochs", "epoch") == 3
    assert math.isnan(record.result("test_loss"))


def test_a_run_that_has_not_ended(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "a", config(), None, reports=2))
    assert record.problem == "unfinished: epoch 2 of 3"
    assert record.summary is None
    assert math.isnan(record.result("test_accuracy"))
    assert record.result("epochs", "epoch") == 2
    assert record.result("train_seconds") == 2.5
    record = read_record(write_run(tmp_path / "b", config(), None, reports=0))
    assert record.problem == "unfinished: epoch 0 of 3"
    assert record.metrics == []
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2.5, "lo')  # being written
    assert read_record(tmp_path / "a").problem == "unfinished: epoch 2 of 3"


def test_damage_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", config())
    (path / "summary.json").write_text("{")
    record = read_record(path)
    assert record.problem.startswith(f"damaged: {path / 'summary.json'}: ")
    assert record.summary is None
    assert len(record.metrics) == 3

    (path / "summary.json").write_text("[]")
    assert "expected keys and values" in read_record(path).problem

    path = write_run(tmp_path / "metrics", config())
    text = (path / "metrics.jsonl").read_text()
    (path / "metrics.jsonl").write_text(text.replace('"epoch": 2.0', '"ep": 2.0'))
    record = read_record(path)
    assert record.problem == f"damaged: {path / 'metrics.jsonl'}: line 2 is no report"
    assert len(record.metrics) == 1
    assert record.result("test_accuracy") == 0.9

    path = write_run(tmp_path / "config", config())
    (path / "config.yaml").write_text("data: digit\n")
    record = read_record(path)
    assert record.problem.startswith("damaged: ")
    assert "did you mean 'digits'" in record.problem
    assert record.config is None

    (tmp_path / "empty").mkdir()
    assert read_record(tmp_path / "empty").problem == "no run directory: it has no config.yaml"
    with pytest.raises(RunError, match="nowhere: there is no such run directory"):
        read_record(tmp_path / "nowhere")


def test_the_list_is_in_the_order_of_time(tmp_path: Path) -> None:
    for age, name in ((30, "b"), (20, "a"), (10, "c")):
        path = write_run(tmp_path / name, config())
        os.utime(path / "config.yaml", (1e9 - age, 1e9 - age))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("")
    names = [record.path.name for record in list_runs(tmp_path)]
    assert names == ["empty", "b", "a", "c"]
    assert list_runs(tmp_path / "nowhere") == []


def test_runs_are_grouped_over_seeds(tmp_path: Path) -> None:
    configs = [
        config(seed=0),
        config(seed=0, optimizer={"adam": 0.1}),
        config(seed=1, name="again"),
        config(seed=2),
    ]
    records = [read_record(write_run(tmp_path / str(i), c)) for i, c in enumerate(configs)]
    (tmp_path / "empty").mkdir()
    records.insert(0, read_record(tmp_path / "empty"))
    groups = group_by_config(records)
    assert [[record.path.name for record in group] for group in groups] == [["0", "2", "3"], ["1"]]


def test_seed_and_name_are_no_differences() -> None:
    assert config_differences([]) == {}
    assert config_differences([config(), config(seed=1, name="other")]) == {}
    deeper = config(seed=1, training={"epochs": 4, "batch_size": 20})
    assert config_differences([config(), deeper]) == {"training.epochs": [3, 4]}


def test_spread_is_mean_and_sample_deviation() -> None:
    values = [1.0, 2.0, 4.0]
    assert spread(values) == pytest.approx((7 / 3, np.std(values, ddof=1), 3))
    assert spread([*values, math.nan]) == spread(values)
    assert spread([5.0])[::2] == (5.0, 1)
    assert math.isnan(spread([5.0]).deviation)
    assert math.isnan(spread([]).mean)
