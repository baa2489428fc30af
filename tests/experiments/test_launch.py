"""Several processes on this machine, and what happens when one of them dies."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from jaxnn.data import csv
from jaxnn.data.info import dataset_info

ROOT = Path(__file__).parents[2]
LAUNCH, TRAIN = ROOT / "experiments" / "launch.py", ROOT / "experiments" / "train.py"
CONFIG = """
data: digits
model: [flatten, {dense: 16}, relu, {dense: 10}]
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
training: {epochs: 3, batch_size: 48, statistics_steps: 0, checkpoint_seconds: 0, chunk_steps: 10}
"""
FOREVER = "training.epochs=100000"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


def start(*command: str | Path, folder: Path | None = None) -> "subprocess.Popen[str]":
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    words = [sys.executable, *map(str, command)]
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=folder)


def launch(*arguments: str | Path) -> None:
    process = start(LAUNCH, *arguments)
    _, errors = process.communicate(timeout=300)
    assert not process.returncode, errors


def number_of(launcher: "subprocess.Popen[str]", number: int) -> int:
    """The id of a launcher's process of this number."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    return next(
        int(child)
        for child in children
        if Path(f"/proc/{child}/cmdline").read_text().split("\0")[-2] == str(number)
    )


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 120
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")


@linux
def test_a_dead_process_is_named_and_the_others_end(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    launcher = start(LAUNCH, "-n", "2", config, FOREVER, "--run-dir", run)
    wait_for(run / "config.yaml", launcher)  # by now they have found each other
    others = [number_of(launcher, i) for i in (0, 1)]
    os.kill(others[1], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=30)
    assert "process 1 of 2 was ended by SIGKILL; all others end" in errors
    assert launcher.returncode == 1
    assert not any(Path(f"/proc/{other}").exists() for other in others)


def arrays(run: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load((run / "model.safetensors").read_bytes())


def test_cores_are_divided_where_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(LAUNCH.parent)
    from launch import divided_cores, on_cores

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert divided_cores(1) == [{3, 5, 7}]
    assert divided_cores(2) == [{3, 7}, {5}]
    assert divided_cores(4) == []
    bound = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, to: bound.append(to), raising=False)
    with on_cores({5}):
        assert bound == [{5}]
    assert bound == [{5}, {3, 5, 7}]


@pytest.mark.slow
def test_processes_end_where_one_does(config: Path, tmp_path: Path) -> None:
    precise = "training.precision=float64"
    for n in (1, 2, 4):
        launch("-n", str(n), config, precise, "--run-dir", tmp_path / str(n))
    one = arrays(tmp_path / "1")
    for n in ("2", "4"):
        found = arrays(tmp_path / n)
        for name, array in one.items():
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-9)
    summaries = [json.loads((tmp_path / n / "summary.json").read_text()) for n in ("1", "4")]
    assert summaries[0]["test_accuracy"] == summaries[1]["test_accuracy"]


@pytest.mark.long
@linux
def test_a_run_is_restarted_after_a_death(config: Path, tmp_path: Path) -> None:
    longer = (config, "training.epochs=6")
    launch("-n", "2", *longer, "--run-dir", tmp_path / "undisturbed")
    run = tmp_path / "run"
    launcher = start(LAUNCH, "-n", "2", "--restarts", "1", *longer, "--run-dir", run)
    wait_for(run / "metrics.jsonl", launcher)
    os.kill(number_of(launcher, 1), signal.SIGKILL)
    output, errors = launcher.communicate(timeout=300)
    assert not launcher.returncode, errors
    assert "process 1 of 2 was ended by SIGKILL; all others end" in errors
    assert f"going on from the last checkpoint of {run}; restarts left: 0" in output
    for name, array in arrays(tmp_path / "undisturbed").items():
        np.testing.assert_array_equal(arrays(run)[name], array)


@pytest.mark.slow
@linux
def test_a_run_goes_on_wherever_a_process_was_killed(config: Path, tmp_path: Path) -> None:
    longer = (config, "training.precision=float64", "training.epochs=6")
    launch("-n", "4", *longer, "--run-dir", tmp_path / "undisturbed")
    undisturbed = arrays(tmp_path / "undisturbed")
    steps = json.loads((tmp_path / "undisturbed" / "summary.json").read_text())["steps"]
    rng = random.Random(0)
    for i, (before, after) in enumerate([(4, 4), (4, 2), (2, 4), (4, 4), (4, 2)] * 5):
        run, moment = tmp_path / f"killed-{i}", rng.uniform(0, 0.9) * steps
        victim = rng.randrange(before)
        launcher = start(LAUNCH, "-n", str(before), *longer, "--run-dir", run)
        wait_for(run / "config.yaml", launcher)
        while reached(run) < moment and launcher.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(number_of(launcher, victim), signal.SIGKILL)
        began = time.monotonic()
        _, errors = launcher.communicate(timeout=30)
        seconds = time.monotonic() - began
        print(f"{before} → {after}, step {moment:.0f}: {seconds:.1f} s after process {victim}")
        assert f"process {victim} of {before} was ended by SIGKILL" in errors
        assert not (run / "summary.json").exists()
        launch("-n", str(after), "--resume", run)
        found = arrays(run)
        for name, array in undisturbed.items():
            if (before, after) == (4, 4):
                np.testing.assert_array_equal(found[name], array)
            else:
                np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-9)


def reached(run: Path) -> int:
    """The step that a run has reported last."""
    lines = (
        (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    )
    return int(json.loads(lines[-1])["step"]) if lines else 0


def write_csv(folder: Path, changed: int | None = None) -> Path:
    """Writes a table; in that of another process, a row may be another one."""
    folder.mkdir(exist_ok=True)
    rows = [f"{9 if i == changed else i % 7},{i % 5},{'ab'[i % 2]}" for i in range(100)]
    (folder / "table.csv").write_text("\n".join(["x,y,kind", *rows, ""]))
    return folder


def row_of(split: str, folder: Path) -> int:
    """A row of a table that is in this split."""

    def fingerprints(folder: Path) -> dict[str, object]:
        return dict(dataset_info(csv(folder / "table.csv", target="kind")).splits)

    before = fingerprints(write_csv(folder))
    for row in range(100):
        after = fingerprints(write_csv(folder, row))
        if [name for name in before if before[name] != after[name]] == [split]:
            return row
    raise AssertionError(split)


def train_both(
    first: tuple[Path, tuple[str | Path, ...]], second: tuple[Path, tuple[str | Path, ...]]
) -> list[tuple[int, str]]:
    """Trains with two processes, each with its folder and arguments; how they end, and why."""
    from training.test_processes import free_port

    where = ("--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process")
    both = [
        start(TRAIN, *arguments, "--run-dir", folder / str(i), *where, str(i), folder=folder)
        for i, (folder, arguments) in enumerate((first, second))
    ]
    errors = [one.communicate(timeout=90)[1] for one in both]
    return [(one.returncode, said) for one, said in zip(both, errors, strict=True)]


@pytest.mark.long
@pytest.mark.parametrize(("change", "split"), [("seed=1", None), ("seed=0", "test")])
def test_processes_that_do_not_fit_together(tmp_path: Path, change: str, split: str | None) -> None:
    config = tmp_path / "table.yaml"
    config.write_text(
        "data: {csv: {path: table.csv, target: kind}}\n"
        "model: [{dense: 2}]\noptimizer: {sgd: {learning_rate: 0.1}}\n"
        "training: {epochs: 1, batch_size: 10}\n"
    )
    row = row_of(split, tmp_path) if split else None
    first = write_csv(tmp_path / "a"), (config, "seed=0")
    second = write_csv(tmp_path / "b", row), (config, change)
    what = "data" if split else "config"
    for status, errors in train_both(first, second):
        assert f"the {what} of process 1 is not that of process 0" in errors
        assert status == 2


@pytest.mark.long
def test_what_ends_one_process_is_said_by_the_other(config: Path, tmp_path: Path) -> None:
    (other,) = train_both((tmp_path, (config,)), (tmp_path, (tmp_path / "none.yaml",)))[:1]
    status, errors = other
    assert "error: process 1 on " in errors.splitlines()[-1]
    assert "none.yaml" in errors.splitlines()[-1]
    assert "so process 0 ends, too" in errors.splitlines()[-1]
    assert status == 3
