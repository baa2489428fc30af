"""Training with several processes."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from launch import TRAIN, divided_cores, on_cores
from safetensors.numpy import load

from benchmarks.measuring import Row, compared
from jaxnn.errors import JaxnnError

LAUNCH = TRAIN.with_name("launch.py")


def measure(pairs: int) -> Iterator[Row]:
    """Two processes on a core each (ours, by launch.py) and one on both (the peer).

    Seconds are those of a step. What the all-reduce takes of it: the same two processes again, each
    by itself with half of the batch, need that much less for a step.
    """
    config = {
        "data": {"mnist": {"validation": 0}},
        "model": ["flatten", {"dense": 1024}, "relu", {"dense": 1024}, "relu", {"dense": 10}],
        "optimizer": {"sgd": {"learning_rate": 0.01, "momentum": 0.9}},
        "training": {"batch_size": 2048, "epochs": 2, "statistics_steps": 0},
    }
    yield from compare("784-1024-1024-10, batch 2,048", config, pairs)


def compare(case: str, config: Mapping[str, Any], pairs: int) -> Iterator[Row]:
    """Yields the row of two processes and one, and that of the all-reduce's share.

    Args:
        case: what it is called.
        config: with an even batch and an even number of epochs.
        pairs: how often each is trained.

    Raises:
        JaxnnError: if there are no two cores, a training fails, or the results differ.
    """
    cores = divided_cores(2)
    if not cores:
        raise JaxnnError("processes are given cores of their own, which needs Linux and two cores")
    training = config["training"]
    half = f"training.batch_size={training['batch_size'] // 2}"
    fewer = f"training.epochs={training['epochs'] // 2}"
    with tempfile.TemporaryDirectory(prefix="jaxnn-benchmark-") as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(json.dumps(config))

        def one(i: int) -> Path:
            return _trained(Path(folder) / f"one-{i}", [[TRAIN, path]])[0]

        def two(i: int) -> Path:
            return _trained(Path(folder) / f"two-{i}", [[LAUNCH, "-n", "2", path]])[0]

        def apart(i: int) -> float:
            commands: list[list[str | Path]] = [[TRAIN, path, half, fewer]] * 2
            runs = _trained(Path(folder) / f"apart-{i}", commands, cores)
            return max(map(_seconds, runs))

        first, second = one(-1), two(-1)  # warms up: the data are in the page cache
        for name, array in _arrays(first).items():
            if not np.allclose(array, _arrays(second)[name], rtol=0, atol=1e-3):
                raise JaxnnError(f"{case}: two processes train something else: {name} differs")
        times = [(_seconds(two(i)), _seconds(one(i)), apart(i)) for i in range(pairs)]
    yield compared("processes", case, "1 process, 2 cores", [(a, b) for a, b, _ in times])
    share = statistics.median(1 - apart / together for together, _, apart in times)
    yield {
        "benchmark": "processes",
        "case": f"{case}: all-reduce",
        "unit": "% of a step",
        "value": 100 * share,
    }


def _trained(
    folder: Path, commands: list[list[str | Path]], cores: list[set[int]] | None = None
) -> list[Path]:
    """Carries out commands at once, each on its cores; returns the run directories."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    runs = [folder.with_name(f"{folder.name}-{i}") for i in range(len(commands))]
    started = []
    for i, (command, run) in enumerate(zip(commands, runs, strict=True)):
        whole = [sys.executable, *map(str, command), "--run-dir", str(run)]
        with on_cores(cores[i]) if cores else nullcontext():
            pipe, merged = subprocess.PIPE, subprocess.STDOUT
            started.append(
                subprocess.Popen(whole, stdout=pipe, stderr=merged, text=True, env=environment)
            )
    said = [one.communicate()[0] for one in started]
    for one, text in zip(started, said, strict=True):
        if one.returncode:
            raise JaxnnError(f"a training has failed:\n{text}")
    return runs


def _seconds(run: Path) -> float:
    summary = json.loads((run / "summary.json").read_text())
    return summary["train_seconds"] / summary["steps"]


def _arrays(run: Path) -> dict[str, np.ndarray]:
    return load((run / "model.safetensors").read_bytes())
