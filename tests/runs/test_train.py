"""Runs that are killed, stopped, damaged and changed: none loses anything, all end the same."""

import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxnn.config import build, load_config, parse_config
from jaxnn.data import digits
from jaxnn.errors import ConfigError, RunError
from jaxnn.runs import StoppedError, initial_state, load_run, resume, train
from jaxnn.runs.train import _check_info
from jaxnn.training import Report, checkpoint, load_checkpoint

TRAIN = Path(__file__).parents[2] / "experiments" / "train.py"
VALUES: dict[str, Any] = {
    "name": "small",
    "data": "digits",
    "augmentation": [{"shift": 1}],
    "model": ["flatten", {"dense": 16}, "relu", {"dropout": 0.1}, {"dense": 10}],
    "optimizer": {"adam": {"learning_rate": {"cosine": 0.01}}},
    "training": {
        "epochs": 6,
        "batch_size": 50,
        "chunk_steps": 7,
        "checkpoint_seconds": 0,
        "statistics_steps": 7,
    },
}
EPOCHS = 6
STEPS = EPOCHS * 25


def write_config(path: Path) -> Path:
    path.write_text(json.dumps(VALUES))  # JSON is YAML
    return path


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def expected_steps(epochs: int = EPOCHS) -> list[int]:
    """Chunks end at multiples of 7 within an epoch of 25 steps, and with the epoch."""
    return [25 * epoch + end for epoch in range(epochs) for end in (7, 14, 21, 25)]


def interrupt(step: int) -> Callable[[Report], None]:
    """A consumer that is Ctrl-C at a step."""

    def consume(report: Report) -> None:
        if report.step >= step:
            signal.raise_signal(signal.SIGINT)

    return consume


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is never interrupted."""
    return train(parse_config(VALUES), tmp_path_factory.mktemp("runs") / "whole").path


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was asked to stop within its fifth epoch."""
    path = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.raises(StoppedError, match=r"stopped at step 107 of 150(.|\n)*--resume "):
        train(parse_config(VALUES), path, [interrupt(101)])
    assert not (path / "summary.json").exists()
    return path


def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def assert_same_end(run: Path, whole: Path) -> None:
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    arrays = "checkpoints/step-00000150.safetensors"
    assert (run / arrays).read_bytes() == (whole / arrays).read_bytes()
    assert steps(run) == steps(whole) == expected_steps()
    ours, theirs = (json.loads((path / "summary.json").read_text()) for path in (run, whole))
    for key in ("test_accuracy", "test_loss", "steps", "best"):
        assert ours[key] == theirs[key]


LONG_EPOCHS = 30
LONG = VALUES | {"training": VALUES["training"] | {"epochs": LONG_EPOCHS}}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(parse_config(LONG), tmp_path_factory.mktemp("runs") / "long").path


def kill_at_random_moments(folder: Path, long: Path, kills: int, seed: int) -> None:
    """Kills runs, each a few times and each time a little further on, and lets them end."""
    randomness = random.Random(seed)
    command = [sys.executable, "-W", "error", str(TRAIN)]
    config = folder / "long.yaml"
    config.write_text(json.dumps(LONG))
    landed = runs = 0
    while landed < kills:
        runs += 1
        run = folder / f"run-{runs}"
        start = [str(config), "--run-dir", str(run)]
        for share in sorted(randomness.uniform(0, 0.9) for _ in range(min(5, kills - landed))):
            process = subprocess.Popen([*command, *start], stdout=subprocess.DEVNULL)
            lines, metrics = int(share * len(expected_steps(LONG_EPOCHS))), run / "metrics.jsonl"
            while process.poll() is None and not (
                metrics.exists() and metrics.read_bytes().count(b"\n") >= lines
            ):
                time.sleep(0.001)
            time.sleep(randomness.uniform(0, 0.01))
            process.kill()
            status = process.wait()
            assert status in (-signal.SIGKILL, 0)
            landed += status != 0
            start = ["--resume", str(run)]
            if (run / "summary.json").exists():
                break
        if not (run / "summary.json").exists():
            subprocess.run([*command, *start], check=True, stdout=subprocess.DEVNULL, timeout=300)
        assert (run / "model.safetensors").read_bytes() == (long / "model.safetensors").read_bytes()
        assert steps(run) == expected_steps(LONG_EPOCHS)


@pytest.mark.long
def test_killed_within_an_epoch_it_ends_with_the_same_bits(tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-W", "error", str(TRAIN), str(write_config(tmp_path / "it.yaml"))]
    process = subprocess.Popen([*command, "--run-dir", str(run)], stdout=subprocess.DEVNULL)
    metrics = run / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    resume(run)
    assert_same_end(run, whole)


@pytest.mark.long
def test_killed_at_five_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, long: Path
) -> None:
    kill_at_random_moments(tmp_path, long, kills=5, seed=0)


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, long: Path
) -> None:
    kill_at_random_moments(tmp_path, long, kills=50, seed=1)


@pytest.mark.parametrize(
    "overrides", [[], pytest.param(["training.stream=true"], marks=pytest.mark.long)]
)
def test_stopped_within_an_epoch_it_goes_on_to_the_same_end(
    tmp_path: Path, stopped: Path, whole: Path, overrides: list[str]
) -> None:
    run = copy(stopped, tmp_path)
    reports: list[Report] = []
    resume(run, overrides, consumers=[reports.append])
    assert reports[0].step == 114
    assert_same_end(run, whole)
    before = json.loads((stopped / "metrics.jsonl").read_text().splitlines()[-1])
    assert reports[0].train_seconds > before["train_seconds"]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_script_with_a_saved_run_and_says_how_to_go_on(
    tmp_path: Path, whole: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-W", "error", str(TRAIN)]
    config = str(write_config(tmp_path / "small.yaml"))
    process = subprocess.Popen(
        [*command, config, "--run-dir", str(run)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (run / "metrics.jsonl").exists():
        time.sleep(0.005)
    process.send_signal(number)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 128 + number, message
    assert "Traceback" not in message
    assert f"python experiments/train.py --resume {run}" in message
    resume(run)
    assert_same_end(run, whole)


@pytest.mark.long
def test_metrics_after_the_checkpoint_are_cut_off_first(
    tmp_path: Path, stopped: Path, whole: Path
) -> None:
    run = copy(stopped, tmp_path)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 114, "loss": 0.5}\n{"step": 121, "lo')
    resume(run)
    assert_same_end(run, whole)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(
    tmp_path: Path, stopped: Path, whole: Path, suffix: str
) -> None:
    run = copy(stopped, tmp_path)
    newest = run / "checkpoints" / f"step-00000107{suffix}"
    newest.write_bytes(newest.read_bytes()[:-9])
    told: list[str] = []
    resume(run, tell=told.append)
    (sentence,) = told
    assert "step-00000107 is damaged" in sentence
    assert "using that of step 100" in sentence
    assert_same_end(run, whole)


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"best": {"step": 1}},
        {"train_seconds": "long"},
        {"train_seconds": 10**400},
        {"warnings": [1]},
        {"warnings": None},
        {"stopped_early": None},
    ],
)
def test_a_checkpoint_that_says_nonsense_is_passed_over(
    tmp_path: Path, stopped: Path, info: dict[str, Any]
) -> None:
    folder = copy(stopped, tmp_path) / "checkpoints"
    path = folder / "step-00000107.json"
    record = json.loads(path.read_text())["record"]
    record["info"] = {**record["info"], **info} if info else {}
    path.write_text(checkpoint._signed(record))
    found = load_checkpoint(
        folder, lambda: initial_state(build(parse_config(VALUES))), check=_check_info
    )
    assert int(found.train_state.step) == 100
    (problem,) = found.problems
    assert "step-00000107 is damaged" in problem


def test_other_values_are_refused_by_name_and_nothing_is_touched(
    tmp_path: Path, stopped: Path
) -> None:
    run = copy(stopped, tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError) as caught:
        resume(run, ["training.batch_size=25", "optimizer.adam.b1=0.8", "training.epochs=10"])
    message = str(caught.value)
    assert "training.batch_size: 50 in the run, now 25" in message
    assert "optimizer.adam.b1: 0.9 in the run, now 0.8" in message
    assert "epochs" not in message
    assert "--allow-changes" in message
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.long
def test_a_change_that_is_meant_is_made(tmp_path: Path, stopped: Path, whole: Path) -> None:
    run = copy(stopped, tmp_path)
    resume(run, ["optimizer.adam.b1=0.5"], allow_changes=True)
    arrays = load_file(run / "checkpoints" / "step-00000150.safetensors")
    assert arrays["optimizer_state.0.hyperparameters.b1"] == np.float32(0.5)
    assert load_run(run).experiment.config.optimizer.arguments["b1"] == 0.5
    ours, theirs = (path / "model.safetensors" for path in (run, whole))
    assert ours.read_bytes() != theirs.read_bytes()


def test_more_epochs_are_allowed_and_the_schedule_keeps_its_horizon(
    tmp_path: Path, whole: Path
) -> None:
    run = copy(whole, tmp_path)
    reports: list[Report] = []
    told: list[str] = []
    resume(run, ["training.epochs=8"], [reports.append], tell=told.append)
    assert len(told) == 1
    assert "goes on to step 200; the learning rate's schedule still ends at step 150" in told[0]
    assert reports[0].step == STEPS + 7
    assert steps(run) == expected_steps(8)
    config = load_config(run / "config.yaml")
    assert config.training.epochs == 8
    assert config.optimizer.arguments["learning_rate"].arguments["steps"] == STEPS
    # Beyond its horizon the schedule is at zero: nothing moves any more.
    ours, theirs = (path / "model.safetensors" for path in (run, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_run_that_has_ended_says_so(whole: Path) -> None:
    with pytest.raises(RunError, match=r"has ended at step 150; to go on, raise training\.epochs"):
        resume(whole)


def test_killed_after_its_last_step_a_run_is_finished(tmp_path: Path, whole: Path) -> None:
    run = copy(whole, tmp_path)
    for name in ("summary.json", "model.safetensors"):
        (run / name).unlink()
    assert resume(run).summary["steps"] == STEPS
    assert_same_end(run, whole)


def test_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        resume(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("what", ["metrics.jsonl", "checkpoints"])
def test_a_full_disk_stops_training_and_says_where_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, what: str
) -> None:
    run, real = tmp_path / "run", os.fsync
    full = False

    def fsync(file: int) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(file)

    def fill(report: Report) -> None:
        nonlocal full
        full = report.step > 100

    def broken(record: Any) -> str:
        if full:
            raise OSError(28, "No space left on device")
        return json.dumps(record)

    if what == "checkpoints":
        monkeypatch.setattr(os, "fsync", fsync)
    else:
        monkeypatch.setattr(sys.modules["jaxnn.observe.metrics"], "to_json", broken)
    with pytest.raises(RunError) as caught:
        train(parse_config(VALUES), run, [fill])
    message = str(caught.value)
    assert f"{what}: cannot be written: No space left on device" in message
    assert f"--resume {run}" in message
    saved = 100 if what == "checkpoints" else 107
    assert f"the checkpoint of step {saved} is there" in message
    full = False
    resume(run)
    assert_same_end(run, whole)


@pytest.mark.long
def test_a_run_directory_that_vanishes_stops_training_and_is_not_made_again(
    tmp_path: Path, whole: Path
) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"

    def move(report: Report) -> None:
        if report.step > 100 and not elsewhere.exists():
            run.rename(elsewhere)

    with pytest.raises(RunError, match=r"run: is no longer there\. Put it back") as caught:
        train(parse_config(VALUES), run, [move])
    assert f"go on with:\n  python experiments/train.py --resume {run}" in str(caught.value)
    assert not run.exists()
    elsewhere.rename(run)
    resume(run)
    assert_same_end(run, whole)


def test_patience_needs_a_validation_split(tmp_path: Path) -> None:
    inputs, targets = digits().train
    np.savez(tmp_path / "some.npz", x=inputs[:400], y=targets[:400])
    data = {"npz": {"path": str(tmp_path / "some.npz"), "validation": 0}}
    values = VALUES | {"data": data, "training": {"epochs": 1, "statistics_steps": 0}}
    patient = values | {"training": {"epochs": 1, "patience": 3}}
    with pytest.raises(ConfigError, match=r"patience: .*data\.npz\.validation"):
        train(parse_config(patient), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = train(parse_config(values), tmp_path / "run")
    with pytest.raises(ConfigError, match="patience"):
        resume(run.path, ["training.epochs=2", "training.patience=1"])


def test_without_the_extra_for_tensorboard_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboardX" else find(name)
    )
    before = steps(stopped)
    for begin in (
        lambda: train(parse_config(VALUES), tmp_path / "run", tensorboard=True),
        lambda: resume(stopped, tensorboard=True),
    ):
        with pytest.raises(RunError, match="needs tensorboardX: pip install") as caught:
            begin()
        assert "room" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert steps(stopped) == before


@pytest.mark.long
def test_a_resumed_run_s_health_is_judged_by_its_own_beginning(tmp_path: Path) -> None:
    """What has been learned stays so: its loss is compared with that of the untrained network."""
    values = VALUES | {"augmentation": [], "optimizer": {"adam": 0.01}}
    run = train(parse_config(values), tmp_path / "run")
    assert run.summary["warnings"] == []
    first = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])
    assert first["start_loss"] > 2
    again = resume(run.path, ["training.epochs=12"])
    assert again.summary["warnings"] == []


def test_only_the_last_checkpoints_and_the_best_are_kept(whole: Path) -> None:
    best = json.loads((whole / "summary.json").read_text())["best"]["step"]
    kept = {int(path.stem[5:]) for path in (whole / "checkpoints").glob("*.json")}
    assert kept == {146, 150, best}


@pytest.mark.long
def test_a_validation_loss_that_is_not_finite_is_not_the_best(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {f"x_{name}": random.normal(0, 1e-3, (20, 3)) for name in ("train", "test")}
    arrays["x_validation"] = np.full((4, 3), 1e38)
    labels = {name.replace("x", "y"): np.arange(len(x)) % 2 for name, x in arrays.items()}
    np.savez(tmp_path / "large.npz", **arrays, **labels)
    data = {"npz": {"path": str(tmp_path / "large.npz"), "normalize": "standard"}}
    training = {"epochs": 2, "batch_size": 10, "statistics_steps": 0, "patience": 9}
    config = {"data": data, "model": [{"dense": 2}], "training": training}
    config |= {"optimizer": {"sgd": 0.1}}
    run = train(parse_config(config), tmp_path / "run")
    assert run.summary["best"] is None
    assert run.summary["validation_loss"] is None
    assert resume(run.path, ["training.epochs=3"]).summary["steps"] == 6
    assert load_run(run.path).summary["test_loss"] < 2


def test_training_stops_early_with_the_best_parameters(tmp_path: Path) -> None:
    """Without a learning rate no epoch is better than the first."""
    values = VALUES | {
        "optimizer": {"sgd": 0.0},
        "training": VALUES["training"] | {"patience": 3},
    }
    run = train(parse_config(values), tmp_path / "early")
    assert run.summary["stopped_early"] is True
    assert run.summary["steps"] == 4 * 25
    assert run.summary["best"]["epoch"] == 1
    with pytest.raises(RunError, match=r"stopped early at step 100.*training\.patience"):
        resume(run.path)


@pytest.mark.long
def test_the_best_parameters_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    """A learning rate that suddenly is far too high spoils what was learned."""
    rate = {"piecewise": {"values": [0.1, 50.0], "boundaries": [75]}}
    values = VALUES | {
        "augmentation": [],
        "optimizer": {"sgd": {"learning_rate": rate}},
        "training": VALUES["training"] | {"patience": 2},
    }
    run = train(parse_config(values), tmp_path / "spoiled")
    best = run.summary["best"]
    assert run.summary["stopped_early"]
    assert best["step"] <= 75 < run.summary["steps"]
    assert run.summary["validation_accuracy"] == best["accuracy"]
