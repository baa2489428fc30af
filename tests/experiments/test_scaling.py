"""scaling.py: the model's formulas by hand, and what the script prints, writes and draws."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import EXPERIMENTS, run_script

from jaxnn.layers import conv2d, dense, flatten, relu, serial
from jaxnn.optimizers import sgd


@pytest.fixture(autouse=True)
def scripts_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python has it for a script: its folder is where modules are found."""
    monkeypatch.syspath_prepend(EXPERIMENTS)


def test_a_step_is_what_its_network_computes() -> None:
    from cost_model.model import step_of

    step = step_of(serial(dense(5), relu(), dense(3)), (4,), 2, sgd(0.1, momentum=0.9))
    # Forward twice, two gradients of weights, one of an input: the network's own is not needed.
    assert sorted(step.products) == sorted([2 * 2 * 4 * 5] * 2 + [2 * 2 * 5 * 3] * 3)
    assert step.flops == 340
    assert step.numbers == 2 * (5 + 5 + 3)
    assert step.parameters == 25 + 18
    assert step.layer_parameters == [25, 18]
    assert step.times(3) == step_of(
        serial(dense(5), relu(), dense(3)), (4,), 6, sgd(0.1, momentum=0.9)
    )
    images = step_of(serial(conv2d(2), flatten(), dense(3)), (6, 6, 1), 1, sgd(0.1))
    assert images.layer_parameters == [9 * 2 + 2, 36 * 2 * 3 + 3]


def test_the_time_of_a_step_is_its_products_its_memory_and_their_beginnings() -> None:
    from cost_model.model import Device, LocalLinks, Step, local_seconds

    device = Device({100.0: 10.0, 10_000.0: 30.0}, {26.0: 500.0, 2600.0: 1500.0}, 0.5)
    step = Step([100, 1000, 10**6], 50, 5, [5])
    assert step.size == 4 * 50 + 3 * 4 * 5 == 260
    moved = 4 * 3 * 50 + 4 * 6 * 5
    seconds = 100 / 10 + 1000 / 20 + 10**6 / 30 + 3 * 0.5 + moved / 1000
    assert device.seconds(step) == pytest.approx(seconds)
    assert local_seconds(step, 1, device, None, 1) == pytest.approx(seconds)
    links = LocalLinks(2.0, 8.0)
    # Three messages, each twice around a ring of two; 20 bytes, half of them a turn.
    assert local_seconds(step, 3, device, links, 2) == pytest.approx(
        seconds + 3 * 2 * 2.0 + 2 * 10 / 8
    )
    assert links.all_reduce(20, 4) == pytest.approx(6 * (2.0 + 5 / 8))


def test_clusters_reduce_by_ring_or_tree_and_gather_by_ring() -> None:
    from cost_model.model import Cluster

    cluster = Cluster(8, 100.0, 5.0, 1.0, (0.1, 0.3), (0.01, 0.05), 0.5)
    assert cluster.all_reduce(10**6, 1) == cluster.gather(10**6, 1) == 0
    size = 10**6
    assert cluster.gather(size, 8) == pytest.approx(1 + 7 * 0.1 + 7 / 8 * size / 100)
    assert cluster.all_reduce(size, 8) == pytest.approx(1 + 2 * (7 * 0.1 + 7 / 8 * size / 100))
    # Of 16, one link in eight is between nodes; a node has eight cards, 40 bytes a second.
    assert cluster.gather(size, 16) == pytest.approx(1 + 14 * 0.1 + 0.3 + 15 / 16 * size / 40)
    tree = 1 + 2 * (7 * 0.01 + math.log2(128) * 0.05) + 2 * 8 / (0.5 * 40)
    assert cluster.all_reduce(8, 1024) == pytest.approx(tree)
    assert cluster.all_reduce_of_parts(size, 1) == 0
    assert cluster.all_reduce_of_parts(size, 2) == pytest.approx(1 + 2 * (0.3 + size / 2 / 5))


def test_sharding_passes_three_times_the_bytes_on() -> None:
    from cost_model.model import Cluster, Device, Step, replicated_seconds, sharded_seconds

    free = Cluster(8, 100.0, 5.0, 0.0, (0.0, 0.0), (math.inf, math.inf), 0.5)
    step = Step([10], 0, 1000, [600, 400])
    device = Device({1.0: 1.0}, {1.0: 1000.0}, 0.0)
    replicated = replicated_seconds(step, device, free, 8) - device.seconds(step)
    saved = 7 / 8 * 4 * 6 * 1000 / 1000  # each device updates its part alone
    sharded = sharded_seconds(step, device, free, 8, 8) - device.seconds(step) + saved
    assert sharded / replicated == pytest.approx(3 / 2)
    nodes = sharded_seconds(step, device, free, 16, 8) - sharded_seconds(step, device, free, 8, 8)
    assert nodes == pytest.approx(2 * (4 * 1000 / 8) / 2 / 5)


def test_small_arrays_are_one_message() -> None:
    from cost_model import local

    assert local._messages(local.network((4, 4, 4)), (4,)) == 1
    assert local._messages(local.network((784, 1024, 1024, 10)), (784,)) == 3


def test_a_process_that_fails_is_said() -> None:
    from cost_model.workers import _answer

    from jaxnn.errors import JaxnnError

    class Failed:
        def recv(self) -> tuple[bool, str]:
            return True, "Traceback: no such thing"

    class Dead:
        def recv(self) -> None:
            raise EOFError

    with pytest.raises(JaxnnError, match="has failed:\nTraceback: no such thing"):
        _answer(Failed())
    with pytest.raises(JaxnnError, match="has died"):
        _answer(Dead())


@pytest.mark.long
def test_gpus_are_told_written_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    from cost_model import cluster

    paths = tmp_path / "scaling.json", tmp_path / "scaling.png"
    outcome = run_script(capsys, "scaling", "--gpus-only", "--json", paths[0], "--plot", paths[1])
    assert (outcome.status, outcome.err) == (0, "")
    assert "nothing of it was measured" in outcome.out
    found = json.loads(paths[0].read_text())
    rows = {(row["name"], row["kept"], row["devices"]): row for row in found["gpus"]}
    for load in cluster.WORKLOADS:
        alone = rows[load.name, "replicated", 1]
        assert alone["own_efficiency"] == alone["batch_efficiency"] == 1
        many = [rows[load.name, "replicated", n] for n in cluster.DEVICES]
        for what in ("own_efficiency", "batch_efficiency"):
            assert np.all(np.diff([row[what] for row in many]) < 0)
        assert rows[load.name, "sharded", 64]["gigabytes"] < alone["gigabytes"]
    (large,) = {row["name"] for row in found["gpus"] if row["gigabytes"] > 80}
    assert f"{large:<22}replicated" in outcome.out
    assert found["local"] == []
    with Image.open(paths[1]) as picture:
        assert picture.width == 1600


def test_cases_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("784", "784-10", "784-10:3", "784:2", "784-x:2", "0-10:2"):
        outcome = run_script(capsys, "scaling", "--cases", wrong)
        assert outcome.status == 2
        assert f"{wrong!r}: expected units and an even batch" in outcome.err
    assert run_script(capsys, "scaling", "--repeats", 0).status == 2


@pytest.mark.slow
def test_this_machine_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cost_model import local

    monkeypatch.setattr(local, "SQUARES", (8, 16))
    path = tmp_path / "scaling.json"
    few = ("--seconds", "0.01", "--repeats", "1")
    outcome = run_script(capsys, "scaling", "--cases", "6-5-4:8", *few, "--json", path)
    assert outcome.status == 0, outcome.err
    found = json.loads(path.read_text())
    layouts = ["1 process, 1 core", "1 process, 2 cores", "2 processes, 1 core each"]
    assert [row["layout"] for row in found["local"]] == layouts
    assert all(row["predicted"] > 0 < row["measured"] for row in found["local"])
    assert [constants["links"] is None for constants in found["constants"]] == [True, True, False]
    assert outcome.out.count("6-5-4, 8 ") == 3
