"""Checkpoints: all that training needs to go on as if it had never stopped.

A checkpoint is two files, ``step-00001200.safetensors`` with every array of the ``TrainState`` and
``step-00001200.json`` with the rest. The second has checksums of both and is written last: a
checkpoint is there as a whole or not at all, and one that has been damaged is found out.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from jaxnn.arrays import Tree, named_leaves
from jaxnn.errors import RunError
from jaxnn.files import write_whole
from jaxnn.training.devices import fetched
from jaxnn.training.step import TrainState

_UNUSABLE = (
    *(OSError, ValueError, KeyError, TypeError, RecursionError),
    safetensors.SafetensorError,
)
"""What is raised by a checkpoint that is damaged, or signed but not whole."""


class Checkpoint(NamedTuple):
    """A checkpoint as read.

    Attributes:
        train_state: parameters, states, step and key.
        info: what ``save_checkpoint`` was given with it.
        problems: a sentence on each newer checkpoint that was damaged and passed over.
    """

    train_state: TrainState
    info: dict[str, Any]
    problems: tuple[str, ...]


def save_checkpoint(folder: Path, train_state: TrainState, info: dict[str, Any]) -> Path:
    """Writes a checkpoint of the state's step; one of the same step is replaced.

    Args:
        folder: where checkpoints lie; made if need be.
        train_state: what to save.
        info: anything that JSON can hold.

    Returns:
        The path of its JSON file.

    Raises:
        OSError: if it cannot be written; checkpoints that are there stay as they are.
    """
    step = int(train_state.step)
    saved = train_state._replace(key=jax.random.key_data(train_state.key))
    content = safetensors.numpy.save(fetched(named_leaves(saved)))
    record = {
        "format": 1,
        "step": step,
        "key_impl": str(jax.random.key_impl(train_state.key)),
        "sha256": hashlib.sha256(content).hexdigest(),
        "info": info,
    }
    path = folder / f"step-{step:08d}.json"
    with write_whole(path.with_suffix(".safetensors")) as file:
        file.write(content)
    with write_whole(path) as file:
        file.write(_signed(record).encode())
    return path


def load_checkpoint(
    folder: Path,
    make: Callable[[], TrainState],
    step: int | None = None,
    check: Callable[[Any], None] = lambda info: None,
) -> Checkpoint:
    """Reads the newest checkpoint of a folder that is not damaged, or that of a step.

    Args:
        folder: where checkpoints lie.
        make: makes the state of step 0; only its shapes are computed.
        step: which one to read; by default the newest.
        check: raises ValueError, KeyError or TypeError if what was saved with it is of no use.

    Raises:
        RunError: if there is no checkpoint, none that is whole, or one of another network.
    """
    problems = []
    pattern = "step-*.json" if step is None else f"step-{step:08d}.json"
    for path in sorted(folder.glob(pattern), reverse=True):
        try:
            record = _verified(path.read_text(encoding="utf-8"))
            content = path.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != record["sha256"]:
                raise ValueError("the checksum of its arrays is wrong")
            arrays = safetensors.numpy.load(content)
            impl, info = record["key_impl"], record["info"]
            jax.eval_shape(lambda impl=impl: jax.random.key(0, impl=impl))
            check(info)
        except _UNUSABLE as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            problems.append(f"{path.with_suffix('')} is damaged ({why})")
            continue
        like = jax.eval_shape(make)
        like = like._replace(key=jax.eval_shape(jax.random.key_data, like.key))
        check_arrays(arrays, named_leaves(like), str(path.with_suffix(".safetensors")))
        state: TrainState = fill(like, arrays)
        key = jax.random.wrap_key_data(state.key, impl=impl)
        return Checkpoint(state._replace(key=key), info, tuple(problems))
    found = "; ".join(problems) or "there is none"
    raise RunError(f"{folder}: no checkpoint to resume from: {found}")


def prune_checkpoints(folder: Path, keep: int, best: int | None) -> None:
    """Removes all checkpoints but the last ``keep`` and that of step ``best``.

    What a process has left that was killed while it wrote one goes too: nobody else writes here.
    """
    for partial in folder.glob(".step-*.part"):
        partial.unlink(missing_ok=True)
    paths = sorted(folder.glob("step-*.json"))
    for path in paths[: max(0, len(paths) - keep)]:
        if best is None or path.stem != f"step-{best:08d}":
            # In this order: arrays without their JSON are no checkpoint, and are not missed.
            path.unlink(missing_ok=True)
            path.with_suffix(".safetensors").unlink(missing_ok=True)


def check_arrays(
    arrays: dict[str, np.ndarray], expected: dict[str, jax.ShapeDtypeStruct], source: str
) -> None:
    """Raises RunError unless there are the expected arrays, of the same shapes and types.

    The message begins with ``source`` and names the first that differs.
    """
    for name in sorted(expected.keys() | arrays.keys()):
        found, needed = (
            f"{tree[name].dtype} of shape {tree[name].shape}" if name in tree else "none"
            for tree in (arrays, expected)
        )
        if found != needed:
            raise RunError(
                f"{source}: the arrays are not those of the config's network: expected for "
                f"{name!r} {needed}, found {found}"
            )


def fill(like: Tree, arrays: dict[str, np.ndarray], prefix: str = "") -> Tree:
    """A tree of the structure of ``like``, of arrays found by their names."""
    leaves = [jnp.asarray(arrays[name]) for name in named_leaves(like, prefix)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _signed(record: dict[str, Any]) -> str:
    text = json.dumps(record, indent=1)
    return json.dumps({"checksum": hashlib.sha256(text.encode()).hexdigest(), "record": record})


def _verified(text: str) -> dict[str, Any]:
    signed = json.loads(text)
    if not isinstance(signed, dict) or "record" not in signed:
        raise ValueError("its JSON file is not of a checkpoint")
    record: dict[str, Any] = signed["record"]
    if not isinstance(record, dict):
        raise ValueError("its JSON file is not of a checkpoint")
    if json.loads(_signed(record)) != signed:
        raise ValueError("the checksum of its JSON file is wrong")
    return record
