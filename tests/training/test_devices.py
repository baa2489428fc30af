"""That the number of devices changes nothing; the cases run in a process that has four."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from device_cases import CASES, SLOW_CASES

from jaxnn.layers import dense, relu, serial, sharded
from jaxnn.losses import mean_squared_error
from jaxnn.optimizers import sgd
from jaxnn.training import fit, make_mesh

SCRIPT = Path(__file__).parents[1] / "device_cases.py"


def carried_out(*names: str) -> dict[str, float]:
    """What the cases have found, each in the units of its own tolerance."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, SCRIPT, *names],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    assert set(found) == set(names)
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return carried_out(*CASES)


@pytest.mark.parametrize("case", CASES)
def test_devices_change_nothing_but_rounding(found: dict[str, float], case: str) -> None:
    assert found[case] <= 1


@pytest.mark.slow
def test_neither_do_they_in_any_other_case() -> None:
    found = carried_out(*SLOW_CASES)
    assert {case: ratio for case, ratio in found.items() if not ratio <= 1} == {}


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
