"""Runs whose targets are numbers, or several labels at once: all that a run does, it does of these.

Predicted numbers are in the units of the data; how good they are is what scikit-learn says.
"""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from running import run_script
from safetensors.numpy import load_file

from jaxnn import dense, losses, mean_squared_error, relu, save_run, serial, sgd
from jaxnn.config import parse_config
from jaxnn.data import from_arrays
from jaxnn.errors import ConfigError, DataError, RunError
from jaxnn.runs import Run, StoppedError, load_run, resume, train
from jaxnn.runs.export import export_module
from jaxnn.runs.report import report_page
from jaxnn.training import Report, fit

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([1, 50], [2, 10], (120, 2))
PRICES = 2000 + 30 * X[:, 0] ** 2 - 5 * X[:, 1] + RANDOM.normal(0, 3, 120)
AREAS = 0.01 * X[:, 1] + RANDOM.normal(0, 0.02, 120)
TABLE = {"a": X[:, 0], "b": X[:, 1], "price": PRICES, "area": AREAS}
TABLE |= {"dear": (PRICES > 1850).astype(int), "large": (AREAS > 0.5).astype(int)}
TARGETS = {"regression": ["price", "area"], "multilabel": ["dear", "large"]}
LOSSES = {"regression": "huber", "multilabel": "sigmoid_binary_cross_entropy"}
METRICS = {"regression": ("rmse", "mae", "r2"), "multilabel": ("accuracy", "macro_f1")}
TASKS = list(TARGETS)


def write_table(folder: Path, **columns: Any) -> Path:
    table = TABLE | columns
    rows = [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    path = folder / "table.csv"
    path.write_text("\n".join([",".join(table), *rows]))
    return path


def config(folder: Path, task: str, **training: Any) -> Any:
    others = [name for name in TABLE if name not in ("a", "b", *TARGETS[task])]
    table = {"path": str(folder / "table.csv"), "target": TARGETS[task], "ignore": others}
    return parse_config(
        {
            "name": task,
            "data": {"csv": table},
            "model": [{"dense": 8}, "relu", {"dense": 2}],
            "loss": LOSSES[task],
            "optimizer": {"adam": 0.03},
            "training": {"epochs": 4, "batch_size": 14, "statistics_steps": 3} | training,
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, list[Report]]]:
    """A run of each task, and its reports."""
    folder, made = tmp_path_factory.mktemp("runs"), {}
    write_table(folder)
    for task in TASKS:
        reports: list[Report] = []
        run = train(config(folder, task), folder / task, [reports.append], tensorboard=True)
        made[task] = run, reports
    return made


@pytest.fixture(params=TASKS)
def case(
    request: pytest.FixtureRequest, runs: dict[str, tuple[Run, list[Report]]]
) -> tuple[Run, list[Report]]:
    return runs[request.param]


def rows(run: Run) -> list[dict[str, Any]]:
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_summary_and_the_reports_have_the_task_s_metrics(
    case: tuple[Run, list[Report]],
) -> None:
    run, reports = case
    names = METRICS[run.config.name]
    for split in ("train", "validation", "test"):
        assert {f"{split}_{name}" for name in (*names, "loss")} <= run.summary.keys()
    assert tuple(reports[-1].metrics) == names
    assert {*names, *(f"validation_{name}" for name in names)} <= rows(run)[-1].keys()
    assert run.summary["best"].keys() >= {"step", "epoch", "loss", *names}
    assert ("test_accuracy" in run.summary) == (run.config.name == "multilabel")


def test_the_run_is_its_own_witness(
    case: tuple[Run, list[Report]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it is asked for, and answers in the units of the data, without the data."""
    run, _ = case
    again = load_run(run.path)
    assert again.known.dataset.missing
    assert again.known.dataset.task.name == run.config.name
    names = again.known.dataset.targets or again.classes
    assert list(names) == TARGETS[run.config.name]
    found = again.predict(X)
    assert found.shape == (120, 2)
    if run.config.name == "multilabel":
        assert ((found > 0) & (found < 1)).all()
        return
    assert found.dtype == np.float64
    assert np.abs(found.mean(0) - [PRICES.mean(), AREAS.mean()]).max() < 100
    scale = again.known.dataset.target_scale
    assert scale is not None
    np.testing.assert_allclose(
        scale.restore(run.dataset.train.targets).mean(0), scale.offset, rtol=1e-6
    )


def test_metrics_are_those_of_scikit_learn(case: tuple[Run, list[Report]]) -> None:
    run, _ = case
    test = run.dataset.test
    found = run.predict(test.inputs, stored=True)
    if run.config.name == "regression":
        values = run.dataset.target_values(test.targets)
        assert np.abs(values[:, :1] - PRICES).min(1).max() < 1e-3  # each is one of the table's
        scores = {
            "rmse": sklearn.metrics.root_mean_squared_error(values, found),
            "mae": sklearn.metrics.mean_absolute_error(values, found),
            "r2": sklearn.metrics.r2_score(values, found),
        }
    else:
        labels = found > 0.5
        scores = {
            "accuracy": 1 - sklearn.metrics.hamming_loss(test.targets, labels),
            "macro_f1": sklearn.metrics.f1_score(test.targets, labels, average="macro"),
        }
    for name, score in scores.items():
        assert run.summary[f"test_{name}"] == pytest.approx(score, rel=1e-4)


@pytest.mark.long
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    case: tuple[Run, list[Report]], tmp_path: Path
) -> None:
    run, _ = case
    task = run.config.name

    def stop(report: Report) -> None:
        if report.step == 12:
            signal.raise_signal(signal.SIGINT)

    given = config(run.path.parent, task, chunk_steps=3, checkpoint_seconds=0)
    with pytest.raises(StoppedError):
        train(given, tmp_path / "run", [stop])
    resumed = resume(tmp_path / "run")
    whole, again = (load_file(r.path / "model.safetensors") for r in (run, resumed))
    for name, array in whole.items():
        np.testing.assert_array_equal(again[name], array)
    for name in METRICS[task]:
        assert resumed.summary[f"test_{name}"] == run.summary[f"test_{name}"]
    with pytest.raises(RunError, match="this would not be the same training"):
        resume(tmp_path / "run", ["loss=quadratic"])


@pytest.mark.parametrize("task", ["regression", pytest.param("multilabel", marks=pytest.mark.long)])
def test_the_lowest_validation_loss_is_the_best_and_patience_waits_for_it(
    task: str, tmp_path: Path
) -> None:
    write_table(tmp_path)
    values = config(tmp_path, task, epochs=30, patience=2).model_dump()
    run = train(parse_config(values | {"optimizer": {"adam": 0.3}}), tmp_path / "run")
    course = [row["validation_loss"] for row in rows(run) if "validation_loss" in row]
    best = run.summary["best"]
    assert run.summary["stopped_early"]
    assert best["loss"] == min(course) == run.summary["validation_loss"]
    assert len(course) == best["epoch"] + 2
    without = config(tmp_path, task, patience=2).model_dump()
    without["data"]["csv"]["validation"] = 0
    with pytest.raises(ConfigError, match="validation accuracy or loss, and there is no"):
        train(parse_config(without), tmp_path / "none")


def test_statistics_are_of_every_layer(case: tuple[Run, list[Report]]) -> None:
    observed = [row["statistics"] for row in rows(case[0]) if "statistics" in row]
    assert observed
    for layers in observed:
        assert list(layers) == ["0 dense", "1 relu", "2 dense"]
        assert layers["0 dense"]["weight_norm"] > 0
        assert layers["2 dense"]["gradient_norm"] > 0


def test_event_files_have_the_same_numbers(case: tuple[Run, list[Report]]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, reports = case
    events = EventAccumulator(str(run.path)).Reload()
    for name, value in reports[-1].metrics.items():
        assert events.Scalars(name)[-1].value == pytest.approx(value, rel=1e-6)
    name = METRICS[run.config.name][-1]
    found = events.Scalars(f"validation_{name}")[-1].value
    assert found == pytest.approx(run.summary[f"validation_{name}"], rel=1e-4)


def test_the_report_page_tells_its_metrics(case: tuple[Run, list[Report]]) -> None:
    run, _ = case
    page = report_page(run, [])
    told = {"regression": ["RMSE", "R²", "2 targets", "price, area", "Validation loss was best"]}
    told["multilabel"] = ["macro F1", "2 labels", "dear, large", "Validation loss was best"]
    for words in told[run.config.name]:
        assert words in page
    assert ">wrong<" not in page
    assert "nan" not in page


@pytest.mark.long
def test_scripts_evaluate_and_compare(
    runs: dict[str, tuple[Run, list[Report]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for task, (run, _) in runs.items():
        done = run_script(capsys, "evaluate", run.path)
        assert done.status == 0, done.err
        report = json.loads((run.path / "evaluation-test.json").read_text())
        parts = report["targets" if task == "regression" else "labels"]
        assert [part["name"] for part in parts] == TARGETS[task]
        for name in METRICS[task]:
            assert report[name] == pytest.approx(run.summary[f"test_{name}"], rel=1e-4)
            mean = np.mean([part["f1" if name == "macro_f1" else name] for part in parts])
            assert report[name] == pytest.approx(mean)
        assert f"loss {run.summary['test_loss']:.4f}" in done.out
    done = run_script(capsys, "compare", *(run.path for run, _ in runs.values()))
    assert done.status == 0, done.err
    assert f"R² {runs['regression'][0].summary['test_r2']:.4f}" in done.out
    assert "macro F1" in done.out


@pytest.mark.parametrize("task", TASKS)
def test_what_was_trained_with_fit_is_saved_with_its_targets(task: str, tmp_path: Path) -> None:
    y = np.stack([TABLE[name] for name in TARGETS[task]], 1)
    names = {"targets" if task == "regression" else "classes": TARGETS[task]}
    data: Any = from_arrays(X, y, **names)
    network = serial(dense(4), relu(), dense(2))
    loss = getattr(losses, LOSSES[task])
    *_, report = fit(network, loss, sgd(0.1), data, batch_size=20, epochs=1)
    assert data.task.name == task
    saved = save_run(tmp_path / "saved", network, report, data)
    again = load_run(tmp_path / "saved")
    assert again.known.dataset.task is data.task
    np.testing.assert_allclose(again.predict(X), saved.predict(X), rtol=1e-6)
    values = json.loads((tmp_path / "saved" / "summary.json").read_text())
    assert {f"test_{name}" for name in METRICS[task]} <= values.keys()
    assert list(again.dataset.targets or again.dataset.classes) == TARGETS[task]
    np.testing.assert_array_equal(again.dataset.test.targets, data.test.targets)


def test_numbers_as_they_are_without_a_scale(tmp_path: Path) -> None:
    data = from_arrays(X, PRICES, normalize="none", targets=["price"])
    network = dense(1)
    *_, report = fit(network, mean_squared_error, sgd(1e-6), data, batch_size=20, epochs=1)
    run = save_run(tmp_path / "saved", network, report, data)
    assert run.known.dataset.target_scale is None
    raw, _, _ = network.forward(run.params, (), data.test.inputs)
    np.testing.assert_allclose(run.predict(data.test.inputs), raw, rtol=1e-6)


# What is refused


def test_a_page_that_would_take_numbers_for_classes_is_not_exported(
    case: tuple[Run, list[Report]],
) -> None:
    run, _ = case
    most = {"train": 100, "validation": 10, "test": 10}
    with pytest.raises(RunError, match=f"a {run.config.name}, but an exported page"):
        export_module(run.experiment, run.params, run.state, most)


@pytest.mark.parametrize(
    ("column", "place", "changes", "message"),
    [
        ("price", 5, "many", "line 7, column 'price': expected a finite number, found 'many'"),
        ("price", 5, "inf", "line 7, column 'price': expected a finite number, found 'inf'"),
        ("price", 5, "", "column 'price': expected a finite number, found that it is missing"),
        ("price", None, 2.5, "target 'price': expected different numbers, found a single one"),
    ],
)
def test_targets_that_are_no_numbers(
    column: str, place: int | None, changes: Any, message: str, tmp_path: Path
) -> None:
    values = TABLE[column].astype(object)
    values[slice(None) if place is None else place] = changes
    write_table(tmp_path, **{column: values})
    with pytest.raises(DataError, match=message):
        train(config(tmp_path, "regression"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "loss", "ways_out"),
    [
        ("regression", "softmax_cross_entropy", "loss: mean_squared_error, or, .* classification"),
        ("regression", "hinge", "loss: mean_squared_error, or, .* task: classification"),
        ("multilabel", "softmax_cross_entropy", "loss: sigmoid_binary_.* task: classification"),
        ("multilabel", "quantile", "loss: sigmoid_binary_cross_entropy, or, .* task: regression"),
    ],
)
def test_a_loss_for_another_task_is_refused_with_both_ways_out(
    task: str, loss: str, ways_out: str, tmp_path: Path
) -> None:
    write_table(tmp_path)
    values = config(tmp_path, task).model_dump() | {"loss": loss}
    message = f"{loss} is a loss for .* task is {task}.*: use {ways_out}"
    with pytest.raises(ConfigError, match=message):
        train(parse_config(values), tmp_path / "run")


def test_a_network_with_another_number_of_outputs_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path)
    values = config(tmp_path, "regression").model_dump() | {"model": [{"dense": 3}]}
    with pytest.raises(ConfigError, match=r"table has 2 targets: \(2,\) is needed"):
        train(parse_config(values), tmp_path / "run")
