"""That the number of devices changes nothing; the cases run in a process that has four."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from device_cases import CASES, LONG_CASES
from device_trainings import ALONE, ARRANGEMENTS, TRAININGS, Arrangement

from jaxnn.layers import dense, relu, serial, sharded
from jaxnn.losses import mean_squared_error
from jaxnn.optimizers import sgd
from jaxnn.training import fit, make_mesh

TESTS = Path(__file__).parents[1]
SECONDS = 1800


def started(script: str, devices: int, *arguments: object) -> "subprocess.Popen[str]":
    """A process of so many devices; it compiles quickly, what the program computes is the same."""
    flags = [f"--xla_force_host_platform_device_count={devices}"]
    flags.append("--xla_backend_optimization_level=0")
    if jax.__version__.startswith("0.10."):
        flags.append("--xla_cpu_use_fusion_emitters=false")
    return subprocess.Popen(
        [sys.executable, TESTS / script, *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": " ".join(flags)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_by(processes: Sequence["subprocess.Popen[str]"]) -> list[str]:
    """What processes have printed, once all have ended well."""
    try:
        said = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, said, strict=True):
        assert not process.returncode, errors
    return [output for output, _ in said]


def carried_out(*names: str) -> dict[str, float]:
    """What the cases have found, each in the units of its own tolerance."""
    (printed,) = said_by([started("device_cases.py", 4, *names)])
    found: dict[str, float] = json.loads(printed)
    assert set(found) == set(names)
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return carried_out(*CASES)


@pytest.mark.parametrize("case", CASES)
def test_devices_change_nothing_but_rounding(found: dict[str, float], case: str) -> None:
    assert found[case] <= 1


@pytest.mark.long
def test_neither_do_they_in_longer_cases() -> None:
    assert {case: ratio for case, ratio in carried_out(*LONG_CASES).items() if not ratio <= 1} == {}


def ends(folder: Path, arrangement: Arrangement, names: Sequence[str]) -> list[list[np.ndarray]]:
    """What trainings come to on an arrangement of devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    which = ",".join(map(str, arrangement))
    processes = [
        started("device_trainings.py", arrangement.devices, folder, which, i, address, *names)
        for i in range(arrangement.processes)
    ]
    said_by(processes)
    files = [np.load(folder / f"{which} {name}.npz") for name in names]
    return [[file[f"arr_{i}"] for i in range(len(file.files))] for file in files]


def assert_alike(folder: Path, arrangements: Sequence[Arrangement], names: Sequence[str]) -> None:
    """Asserts that trainings come to the same on all arrangements as on one device.

    Prints how far they are apart.
    """
    alone = ends(folder, ALONE, names)
    too_far = []
    for arrangement in arrangements:
        for name, found, expected in zip(
            names, ends(folder, arrangement, names), alone, strict=True
        ):
            pairs = zip(found, expected, strict=True)
            apart = max(float(np.max(np.abs(a - b))) for a, b in pairs)
            print(f"{name}, {arrangement}: {apart:.1e}", flush=True)
            if not apart <= TRAININGS[name].tolerance:
                too_far.append((name, arrangement, apart))
    assert not too_far


@pytest.mark.long
def test_trainings_come_to_the_same_on_several_devices(tmp_path: Path) -> None:
    """One of those below: two processes that share parameters, with everything in float64."""
    assert_alike(tmp_path, [Arrangement(2, 1, 1, 2)], ["conv in float64"])


@pytest.mark.slow
def test_trainings_come_to_the_same_on_any_devices(tmp_path: Path) -> None:
    assert_alike(tmp_path, ARRANGEMENTS, list(TRAININGS))


def test_sharded_is_the_layer_itself_on_one_device() -> None:
    plain = serial(dense(4), relu(), dense(2))
    divided = serial(sharded(dense(4)), relu(), sharded(dense(2)))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    ends = [
        list(fit(net, mean_squared_error, sgd(0.1), (x, x[:, :2]), batch_size=4, epochs=2))[-1]
        for net in (plain, divided)
    ]
    jax.tree.map(np.testing.assert_array_equal, *(end.train_state.params for end in ends))


def test_sharded_refuses_to_be_nested() -> None:
    with pytest.raises(ValueError, match="dense is sharded already, or"):
        sharded(sharded(dense(4)))
    with pytest.raises(ValueError, match="serial is sharded already, or a layer within"):
        sharded(serial(relu(), serial(sharded(dense(4)))))


def test_a_single_device_needs_no_mesh_and_more_are_not_made_up() -> None:
    assert make_mesh() is None
    with pytest.raises(ValueError, match=r"2 × 3 devices \(data × parameters\) are wanted, and"):
        make_mesh(2, 3)
