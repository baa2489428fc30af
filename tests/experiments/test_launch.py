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


def start(*command: str | Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=pipe, stderr=pipe, text=True, env=environment
    )


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


@pytest.mark.slow
@linux
def test_a_run_goes_on_wherever_a_process_was_killed(config: Path, tmp_path: Path) -> None:
    longer = (config, "training.precision=float64", "training.epochs=40")
    launch("-n", "4", *longer, "--run-dir", tmp_path / "undisturbed")
    undisturbed = arrays(tmp_path / "undisturbed")
    rng = random.Random(0)
    for i in range(20):
        run = tmp_path / f"killed-{i}"
        launcher = start(LAUNCH, "-n", "4", *longer, "--run-dir", run)
        wait_for(run / "config.yaml", launcher)
        time.sleep(rng.uniform(0, 10))
        victim = rng.randrange(4)
        if launcher.poll() is None:
            os.kill(number_of(launcher, victim), signal.SIGKILL)
            _, errors = launcher.communicate(timeout=30)
            assert f"process {victim} of 4 was ended by SIGKILL" in errors
            launch("-n", ("4", "2")[i % 2], "--resume", run)
        found = arrays(run)
        for name, array in undisturbed.items():
            if i % 2 == 0:
                np.testing.assert_array_equal(found[name], array)
            else:
                np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        ("1", "seed=1", "the config of process 1 is not that of process 0"),
        ("0", "seed=0", "cannot be used here"),
    ],
)
def test_processes_that_do_not_fit_together(
    config: Path, tmp_path: Path, number: str, change: str, message: str
) -> None:
    from training.test_processes import free_port

    where = ("--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2")
    limit = ("--start-seconds", "20", "--run-dir")
    first = start(TRAIN, config, "seed=0", *where, "--process", "0", *limit, tmp_path / "a")
    time.sleep(5)
    second = start(TRAIN, config, change, *where, "--process", number, *limit, tmp_path / "b")
    _, errors = second.communicate(timeout=90)
    assert message in errors
    assert second.returncode
    first.communicate(timeout=90)
    assert first.returncode
