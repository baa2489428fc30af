"""Checkpoints: everything comes back to the bit, and damage is found out."""

import hashlib
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxnn.errors import RunError
from jaxnn.layers import dense, dropout, relu, serial
from jaxnn.optimizers import adam
from jaxnn.schedules import cosine
from jaxnn.training import (
    TrainState,
    checkpoint,
    init_train_state,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


def state(seed: int = 0, step: int = 0, units: int = 3) -> TrainState:
    network = serial(dense(4), relu(), dropout(0.5), dense(units))
    made = init_train_state(network, adam(cosine(0.1, 10)), (5,), seed)
    return made._replace(step=made.step + step)


def same(a: TrainState, b: TrainState) -> bool:
    def numbers(state: TrainState) -> Any:
        return state._replace(key=jax.random.key_data(state.key))

    leaves = zip(jax.tree.leaves(numbers(a)), jax.tree.leaves(numbers(b)), strict=True)
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in leaves)


def test_a_checkpoint_brings_back_every_bit_and_the_key(tmp_path: Path) -> None:
    saved = state(seed=5, step=7)
    info = {"best": {"step": 3, "accuracy": 0.1 + 0.2}, "text": "é"}
    save_checkpoint(tmp_path, saved, info)
    found = load_checkpoint(tmp_path, state)
    assert same(found.train_state, saved)
    assert jax.tree.structure(found.train_state) == jax.tree.structure(saved)
    assert found.info == info
    assert found.problems == ()
    a, b = (jax.random.normal(x.key, (3,)) for x in (saved, found.train_state))
    assert np.array_equal(a, b)


def test_the_newest_is_read_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    for step in (900, 1000, 99):
        save_checkpoint(tmp_path, state(seed=step, step=step), {"at": step})
    assert load_checkpoint(tmp_path, state).info == {"at": 1000}
    assert load_checkpoint(tmp_path, state, step=99).info == {"at": 99}
    assert same(load_checkpoint(tmp_path, state, step=99).train_state, state(99, 99))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "first", "middle", "last"])
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_used(
    tmp_path: Path, suffix: str, damage: str
) -> None:
    save_checkpoint(tmp_path, state(1, 10), {"at": 10, "seconds": 1.25})
    save_checkpoint(tmp_path, state(2, 20), {"at": 20, "seconds": 2.25})
    path = tmp_path / f"step-00000020{suffix}"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage in ("truncated", "empty"):
        path.write_bytes(content[: len(content) // 2 if damage == "truncated" else 0])
    else:
        content[{"first": 0, "middle": len(content) // 2, "last": -1}[damage]] ^= 0b100
        path.write_bytes(content)
    found = load_checkpoint(tmp_path, state)
    assert found.info["at"] == 10
    assert same(found.train_state, state(1, 10))
    if (suffix, damage) == (".json", "missing"):
        assert found.problems == ()  # arrays alone are those of a checkpoint that was not finished
    else:
        (problem,) = found.problems
        assert "step-00000020 is damaged" in problem


def test_no_bit_of_the_json_file_can_change_unnoticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(0, 1), {"seconds": 12.5, "best": None})
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(RunError, match="damaged"):
            load_checkpoint(tmp_path, state)


RECORD = {"format": 1, "step": 20, "key_impl": "threefry2x32", "sha256": "", "info": {"at": 20}}


@pytest.mark.parametrize(
    "record",
    [
        [],
        None,
        {},
        *({k: v for k, v in RECORD.items() if k != key} for key in ("sha256", "key_impl", "info")),
        RECORD | {"key_impl": "dice"},
        RECORD | {"key_impl": 3},
        RECORD | {"info": {"at": "nowhere"}},
        RECORD | {"info": []},
        RECORD | {"sha256": None},
    ],
)
def test_one_that_is_signed_but_not_whole_is_passed_over(tmp_path: Path, record: Any) -> None:
    save_checkpoint(tmp_path, state(1, 10), {"at": 10})
    path = save_checkpoint(tmp_path, state(2, 20), {"at": 20})
    digest = hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    if isinstance(record, dict) and record.get("sha256") == "":
        record = record | {"sha256": digest}
    path.write_text(checkpoint._signed(record))

    def check(info: Any) -> None:
        if not isinstance(info["at"], int):
            raise ValueError("at: no number")

    found = load_checkpoint(tmp_path, state, check=check)
    assert found.info == {"at": 10}
    (problem,) = found.problems
    assert "step-00000020 is damaged" in problem


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"[1]", b"\xff\xff\xff\xff\0\0\0\0{}"])
def test_arrays_that_are_none_are_passed_over_though_signed(tmp_path: Path, content: bytes) -> None:
    save_checkpoint(tmp_path, state(1, 10), {"at": 10})
    path = save_checkpoint(tmp_path, state(2, 20), {"at": 20})
    path.with_suffix(".safetensors").write_bytes(content)
    path.write_text(checkpoint._signed(RECORD | {"sha256": hashlib.sha256(content).hexdigest()}))
    assert load_checkpoint(tmp_path, state).info == {"at": 10}


def test_one_that_is_nested_too_deeply_is_passed_over(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(1, 10), {"at": 10})
    path = save_checkpoint(tmp_path, state(2, 20), {"at": 20})
    for opening, closing in (("[", "]"), ('{"record":', "}")):
        path.write_text('{"checksum": "", "record": ' + opening * 10_000 + "1" + closing * 10_000)
        found = load_checkpoint(tmp_path, state)
        assert found.info == {"at": 10}


def test_without_a_whole_checkpoint_the_message_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint to resume from: there is none"):
        load_checkpoint(tmp_path / "nowhere", state)
    save_checkpoint(tmp_path, state(), {}).write_text("{}")
    with pytest.raises(RunError, match="step-00000000 is damaged"):
        load_checkpoint(tmp_path, state)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(units=3), {})
    with pytest.raises(
        RunError, match=r"not those of the config's network.*'params\.3\.bias'|m\.3"
    ):
        load_checkpoint(tmp_path, lambda: state(units=4))


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        save_checkpoint(tmp_path, state(step=step), {})
    prune_checkpoints(tmp_path, 2, best=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step-{step:08d}.{kind}" for step in (2, 4, 5) for kind in ("json", "safetensors")
    ]
    prune_checkpoints(tmp_path, 1, best=None)
    assert load_checkpoint(tmp_path, state).train_state.step == 5
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    save_checkpoint(tmp_path, state(1, 10), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if moment == "fsync" else Path, moment, full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, state(2, 20), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
