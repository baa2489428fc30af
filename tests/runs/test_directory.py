"""A run directory has one owner: runs started together, twice or anew lose and mix nothing."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jaxnn.config import parse_config
from jaxnn.errors import RunError
from jaxnn.runs import load_run, new_directory, owned, read_record, resume, train
from jaxnn.training import Report

TRAIN = Path(__file__).parents[2] / "experiments" / "train.py"
COMMAND = [sys.executable, "-W", "error", str(TRAIN)]
VALUES: dict[str, Any] = {
    "name": "small",
    "data": "digits",
    "model": ["flatten", {"dense": 16}, "relu", {"dense": 10}],
    "optimizer": {"adam": {"learning_rate": {"cosine": 0.01}}},
    "training": {"epochs": 3, "batch_size": 50, "chunk_steps": 7, "statistics_steps": 0},
}
STEPS = [25 * epoch + end for epoch in range(3) for end in (7, 14, 21, 25)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is alone and undisturbed."""
    return train(parse_config(VALUES), tmp_path_factory.mktemp("runs") / "whole").path


def assert_whole(run: Path, whole: Path) -> None:
    """A run has all its files, none of another, and the bits of the undisturbed one."""
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == STEPS
    checkpoints = [sorted(p.name for p in (r / "checkpoints").iterdir()) for r in (run, whole)]
    assert checkpoints[0] == checkpoints[1]


def contents(folder: Path) -> dict[Path, bytes]:
    """The files of a run, but for those that say who its owner is."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if path.name not in (".lock", ".owner")}


# --- The owner


def test_a_second_writer_is_refused_with_the_first_ones_process_and_machine(
    whole: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "summary.json").unlink()
    before = contents(run)
    message = rf"{run}: process {os.getpid()} on \S+ is writing there"
    with owned(run):
        with pytest.raises(RunError, match=message):
            resume(run)
        with pytest.raises(RunError, match=message), owned(run):
            pass
        (run / "summary.json").write_text("{}")
        assert load_run(run).config.name == "small"  # readers need no lock
        assert read_record(run).problem == ""
        (run / "summary.json").unlink()
    assert contents(run) == before
    resume(run)
    assert_whole(run, whole)


def test_two_trainings_in_one_directory_do_not_mix(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def another(report: Report) -> None:
        """Starts another training in the directory while the first goes on."""
        if report.step == STEPS[0]:
            with pytest.raises(RunError, match="exists and is not an empty directory"):
                train(parse_config(VALUES), run)
            with pytest.raises(RunError, match="is writing there"):
                resume(run)

    train(parse_config(VALUES), run, [another])
    assert_whole(run, whole)
    with pytest.raises(RunError, match="exists and is not an empty directory"):
        train(parse_config(VALUES), run)
    assert_whole(run, whole)


def test_a_directory_that_is_not_empty_any_more_when_it_is_owned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mkdir = tmp_path / "run", Path.mkdir

    def late(path: Path, *arguments: Any, **options: Any) -> None:
        mkdir(path, *arguments, **options)
        (path / "config.yaml").write_text("another's")

    monkeypatch.setattr(Path, "mkdir", late)
    with (
        pytest.raises(RunError, match="exists and is not an empty directory"),
        new_directory(parse_config(VALUES), run),
    ):
        pass
    assert (run / "config.yaml").read_text() == "another's"


OWNER = """
import os, subprocess, sys, time
from pathlib import Path
from jaxnn.runs import owned
with owned(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"]).pid
    fork = os.fork()
    if not fork:
        time.sleep(60)
        os._exit(0)
    print(child, fork, flush=True)
    time.sleep(60)
"""


@pytest.mark.long
def test_the_lock_goes_with_the_process_and_its_children_do_not_have_it(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", OWNER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as out:
        children = list(map(int, out.readline().split()))
        try:
            with pytest.raises(RunError, match=f"process {process.pid} on"), owned(tmp_path):
                pass
            process.kill()
            process.wait()
            with owned(tmp_path):
                assert str(os.getpid()) in (tmp_path / ".owner").read_text()
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with ExitStack() as first:
        first.enter_context(owned(tmp_path))
        with pytest.raises(RunError, match="is writing there, or was when it was killed"):
            ExitStack().enter_context(owned(tmp_path))
    with owned(tmp_path):
        pass  # it has ended, and is not in the way
    assert capsys.readouterr().err.count(f"{tmp_path}: this file system has no locks") == 3


# --- Making a directory


def test_default_names_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        made = [stack.enter_context(new_directory(parse_config(VALUES))) for _ in range(12)]
    assert len(set(made)) == 12
    for path in made:
        assert re.fullmatch(r"runs/small-\d{8}-\d{6}(-\d+)?", path.as_posix())


def test_a_directory_that_cannot_be_used_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(config: Any) -> None:
        raise AssertionError("not reached")

    monkeypatch.setattr(sys.modules["jaxnn.runs.train"], "build", build)
    file = tmp_path / "file"
    file.write_text("something")
    for path, message in (
        (file, "exists and is not an empty directory"),
        (tmp_path, "exists and is not an empty directory"),
        (file / "below" / "it", f"{file} is not a directory you can write to"),
        (tmp_path / ("long" * 100), "File name too long"),
    ):
        with pytest.raises(RunError, match=f"{path}: .*{message}"):
            train(parse_config(VALUES), path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    with pytest.raises(RunError, match="runs is not a directory you can write to"):
        train(parse_config(VALUES))


def test_a_directory_that_turns_out_not_to_be_writable_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(RunError, match="run: cannot be written: Permission denied"):
        train(parse_config(VALUES), tmp_path / "run")


# --- Killed before the first checkpoint


def test_killed_before_its_config_was_written_the_same_command_starts_it(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in (".lock", ".owner", ".config.yaml.0123456789abcdef.part"):
        (run / name).touch()
    with pytest.raises(RunError, match=r"there is no config\.yaml; a run that was killed before"):
        resume(run)
    train(parse_config(VALUES), run)
    (run / ".config.yaml.0123456789abcdef.part").unlink()
    assert_whole(run, whole)


def test_killed_before_its_first_checkpoint_it_begins_at_step_0(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(whole / "config.yaml", run)
    # Arrays without their JSON are no checkpoint, nor is what has no name yet.
    for name in ("step-00000000.safetensors", ".step-00000000.json.0123456789abcdef.part"):
        (run / "checkpoints" / name).write_text("half")
    told: list[str] = []
    with pytest.raises(RunError, match=r"training\.batch_size: 50 in the run, now 25"):
        resume(run, ["training.batch_size=25"])
    resume(run, tell=told.append)
    assert told == [f"{run}: there is no checkpoint yet; training begins with step 0"]
    assert_whole(run, whole)


def test_a_run_that_has_lost_its_checkpoints_is_not_begun_anew(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    for name in ("summary.json", "model.safetensors", "metrics.jsonl"):
        before = contents(run)
        with pytest.raises(RunError, match="no checkpoint to resume from: there is none"):
            resume(run)
        assert contents(run) == before
        (run / name).unlink()


# --- The scripts


@contextmanager
def started(*arguments: object, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def together(folder: Path, number: int, *arguments: object) -> list[tuple[int, str, str]]:
    """Status, output and errors of so many trainings that are started at once."""
    with ExitStack() as stack:
        processes = [stack.enter_context(started(*arguments, folder=folder)) for _ in range(number)]
        outcomes = [process.communicate(timeout=300) for process in processes]
        return [(p.returncode, *out) for p, out in zip(processes, outcomes, strict=True)]


def check_together(folder: Path, number: int, whole: Path) -> None:
    """Starts trainings together: under default names, in one directory, resumed and anew."""
    folder.mkdir()
    config = folder / "small.yaml"
    config.write_text(json.dumps(VALUES))
    for status, out, err in (outcomes := together(folder, number, config)):
        assert status == 0, (out, err)
    runs = {re.findall(r"run directory: (\S+)", out)[0] for _, out, _ in outcomes}
    assert {f"runs/{path.name}" for path in (folder / "runs").iterdir()} == runs
    assert len(runs) == number
    for run in runs:
        assert_whole(folder / run, whole)

    one = folder / "one"
    outcomes = together(folder, number, config, "--run-dir", one)
    assert sorted(status for status, _, _ in outcomes) == [0] + (number - 1) * [2]
    for status, _, err in outcomes:
        if status:
            assert re.search("is writing there|exists and is not an empty directory", err), err
    assert_whole(one, whole)

    for name in ("summary.json", "model.safetensors"):
        (one / name).unlink()
    for path in (one / "checkpoints").iterdir():
        path.unlink()
    (one / "metrics.jsonl").unlink()
    outcomes = together(folder, number, "--resume", one)
    assert sorted(status for status, _, _ in outcomes) == [0] + (number - 1) * [2]
    for status, _, err in outcomes:
        if status:
            assert re.search("is writing there|training has ended", err), err
    assert_whole(one, whole)
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "times"), [(2, 67), (3, 7)])
def test_many_that_are_started_together_neither_lose_nor_mix(
    whole: Path, tmp_path: Path, number: int, times: int
) -> None:
    """Three times as many pairs and triples as ``times``: three kinds of each."""
    for i in range(times):
        check_together(tmp_path / str(i), number, whole)


def kill_before_the_first_report(folder: Path, whole: Path, kills: int, seed: int) -> None:
    """Kills trainings, a few times each, between their first act and their first report."""
    randomness = random.Random(seed)
    config = folder / "small.yaml"
    config.write_text(json.dumps(VALUES))
    compiled, landed, runs = 1.0, 0, 0
    while landed < kills:
        runs += 1
        run = folder / f"run-{runs}"
        for _ in range(5):
            begun = (run / "config.yaml").exists()
            arguments = ("--resume", run) if begun else (config, "--run-dir", run)
            with started(*arguments, folder=folder) as process:
                owner, metrics = run / ".owner", run / "metrics.jsonl"
                while process.poll() is None and not (
                    owner.exists() and f"process {process.pid} on" in owner.read_text()
                ):
                    time.sleep(0.001)
                entered = time.monotonic()
                ends = entered + randomness.uniform(0, compiled)
                while process.poll() is None and time.monotonic() < ends:
                    if metrics.exists() and metrics.stat().st_size:
                        compiled = 0.9 * compiled + 0.1 * (time.monotonic() - entered)
                        break
                    time.sleep(0.001)
                process.kill()
                assert process.wait() in (-signal.SIGKILL, 0)
                landed += process.returncode != 0
        begun = (run / "config.yaml").exists()
        arguments = ("--resume", run) if begun else (config, "--run-dir", run)
        if not (run / "summary.json").exists():
            with started(*arguments, folder=folder) as process:
                out, err = process.communicate(timeout=300)
            assert process.returncode == 0, (out, err)
        for partial in run.rglob(".*.part"):
            partial.unlink()
        assert_whole(run, whole)


@pytest.mark.slow
def test_killed_fifty_times_before_the_first_report_it_ends_with_the_same_bits(
    whole: Path, tmp_path: Path
) -> None:
    kill_before_the_first_report(tmp_path, whole, kills=50, seed=1)
