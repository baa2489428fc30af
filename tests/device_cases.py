"""What training on several devices has to keep to: a script, for a process that has four.

It prints, for each case that it is told, how far the results are apart: 1 is what they may be.
"""

import contextlib
import functools
import io
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from device_trainings import NETWORKS, dataset, everything

from jaxnn.config import build, load_config
from jaxnn.config.build import chosen_mesh
from jaxnn.data import Split
from jaxnn.layers import dense, relu, serial, sharded
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import Optimizer, adam, chain, clip_by_global_norm, muon, sgd
from jaxnn.training import (
    DivergedError,
    Report,
    epoch_batches,
    fit,
    init_train_state,
    load_checkpoint,
    make_chunk,
    make_evaluate,
    make_mesh,
    save_checkpoint,
)
from jaxnn.training.devices import check_mesh, put, put_rows
from jaxnn.training.feed import streamed
from jaxnn.training.step import Examples, put_state

CONFIGS = Path(__file__).parents[1] / "configs"


def memory() -> float:
    """A deep network over 4 devices: what each keeps, and what it needs while it computes."""
    jax.config.update("jax_enable_x64", False)
    width, layers = 512, 4
    weight_bytes = 4 * width * width
    mesh = make_mesh(1, 4)
    assert mesh is not None
    bodies = [layer for _ in range(layers) for layer in (sharded(dense(width)), relu())]
    network, optimizer = serial(*bodies, dense(4)), adam(1e-3)
    state = init_train_state(network, optimizer, (width,), 0, mesh)
    shard = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state[1:4]))
    whole = sum(x.nbytes for x in jax.tree.leaves(state[1:4]))
    chunk = make_chunk(network, softmax_cross_entropy, optimizer, mesh=mesh)
    split = Split(np.zeros((16, width), np.float32), np.zeros(16, np.int32))
    examples = Examples(*put_rows(tuple(split), np.arange(16), mesh))
    batches = put(np.zeros((2, 8), np.int32), mesh)
    compiled = chunk.lower(state, examples, batches, 0, 1).compile()  # type: ignore[attr-defined]
    temporary = compiled.memory_analysis().temp_size_in_bytes
    # Besides each device's part of the gradients: one layer's weight, gathered, and its gradient,
    # which is whole before it is scattered.
    gathered = temporary / weight_bytes - layers / 4
    return max(shard / whole / 0.3, gathered / 2.1)


def whole_checkpoint() -> float:
    """What is divided comes back whole, and lies where it was."""
    jax.config.update("jax_enable_x64", False)
    mesh = make_mesh(2, 2)
    network, optimizer = NETWORKS["conv"](sharded), adam(1e-3)
    one = init_train_state(network, optimizer, (5, 5, 2), 3)
    made = init_train_state(network, optimizer, (5, 5, 2), 3, mesh)
    placed = put_state(network, optimizer, one, mesh)
    pairs = [(a, b) for a, b in zip(jax.tree.leaves(made), jax.tree.leaves(placed), strict=True)]
    assert all(a.sharding == b.sharding for a, b in pairs)
    divided = sum(not a.is_fully_replicated for a, _ in pairs)
    # Two kernels, a scale and a bias, a weight, and of each what Adam keeps; not a bias of three.
    assert divided == 3 * 5, divided
    differences = [
        np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
        for a, b in zip(jax.tree.leaves(made[1:4]), jax.tree.leaves(one[1:4]), strict=True)
    ]
    return float(max(differences)) / 1e-6


def last_partial_batch() -> float:
    """Evaluation counts each example once, on however many devices."""
    jax.config.update("jax_enable_x64", False)
    network, split = NETWORKS["dense"](sharded), dataset().train
    state = init_train_state(network, sgd(0.1), (5, 5, 2), 0)
    results = [
        make_evaluate(network, softmax_cross_entropy, 20, mesh=make_mesh(*parts))(
            state.params, state.state, split
        )
        for parts in ((1, 1), (4, 1), (1, 4))
    ]
    assert len({result.accuracy for result in results}) == 1
    return float(np.ptp([result.loss for result in results])) / 1e-5


def refused() -> float:
    """What cannot be divided, or may not know that it is, is refused."""
    mesh = make_mesh(2, 2)
    assert mesh is not None
    network, loss = serial(sharded(dense(4))), softmax_cross_entropy
    own = Optimizer(*sgd(0.1))

    def mine(
        outputs: jax.Array, targets: jax.Array, weights: object
    ) -> tuple[jax.Array, jax.Array]:
        return jnp.mean(outputs), jnp.ones_like(outputs) / outputs.size

    for arguments, message in (
        ((network, loss, sgd(0.1), 6), "batch_size 6 cannot be divided over 4 devices"),
        ((network, mine, sgd(0.1), 8), "the loss has to be one of jaxnn.losses"),
        ((network, loss, own, 8), "with sharded layers the optimizer"),
        ((network, loss, chain(clip_by_global_norm(1.0), own), 8), "with sharded layers the opt"),
    ):
        try:
            check_mesh(mesh, *arguments)
        except ValueError as error:
            found = str(error)
        else:
            found = "nothing"
        assert message in found, found
    check_mesh(mesh, network, functools.partial(loss, label_smoothing=0.1), muon(0.1), 8)
    check_mesh(mesh, serial(dense(4)), loss, own, 8)
    return 0.0


def most_devices() -> float:
    """Where nothing is said, as many devices are used as the batch can be divided over."""
    for parameters, batch_size, size in ((1, 8, 4), (1, 6, 3), (1, 7, 1), (2, 8, 4), (2, 6, 2)):
        mesh = make_mesh(parameters=parameters, batch_size=batch_size)
        assert (1 if mesh is None else mesh.size) == size, (parameters, batch_size, mesh)
    explicit = make_mesh(4, batch_size=6)
    assert explicit is not None
    assert explicit.size == 4
    for override, said in (
        ("devices.data=all", "training uses 2 of 4 devices, as a batch of 62 cannot be divided"),
        ("devices.data=2", ""),
    ):
        config = load_config(CONFIGS / "digits_mlp.yaml", ["training.batch_size=62", override])
        with contextlib.redirect_stderr(io.StringIO()) as error:
            mesh = chosen_mesh(build(config))
        assert mesh is not None
        assert mesh.size == 2
        assert said in error.getvalue()
        assert bool(said) == bool(error.getvalue())
    return 0.0


def own_examples() -> float:
    """Each device holds what it sees of each batch, in the order in which that is stored."""
    mesh, split, steps = make_mesh(2, 2), dataset().train, 7
    assert mesh is not None
    order = np.concatenate([epoch_batches(3, epoch, 56, 8) for epoch in range(2)])
    for window in streamed(split, 3, 8, 2, 2 * steps, 3, mesh):
        batches = np.asarray(window.batches)
        inputs = [shard.data for shard in window.examples.inputs.addressable_shards]
        assert all(len(part) == len(batches) * 2 for part in inputs)
        for step in range(window.first, window.end):
            rows = batches[step - window.first].reshape(4, 2)
            for i, part in enumerate(inputs):
                own = rows[i] - i * len(part)
                seen = split.inputs[order[step].reshape(4, 2)[i]]
                np.testing.assert_array_equal(np.asarray(part)[own], seen)
    return 0.0


def dense_reports(
    data: int, parameters: int, *, split: Split | None = None, **changes: Any
) -> list[Report]:
    network = NETWORKS["dense"](sharded)
    given = dataset() if split is None else dataset()._replace(train=split)
    options = {"batch_size": 8, "epochs": 3, "mesh": make_mesh(data, parameters), **changes}
    return list(fit(network, softmax_cross_entropy, everything(), given, **options))


def other_devices() -> float:
    """A run goes on from a checkpoint on other devices: sharded, replicated, sharded."""
    jax.config.update("jax_enable_x64", True)
    (*_, whole) = dense_reports(1, 1)
    start, network = None, NETWORKS["dense"](sharded)
    with tempfile.TemporaryDirectory() as folder:
        for epochs, (data, parameters) in enumerate(((2, 2), (4, 1), (1, 4)), 1):
            end = dense_reports(data, parameters, epochs=epochs, start=start)[-1].train_state
            save_checkpoint(Path(folder), end, {})
            start = load_checkpoint(
                Path(folder), lambda: init_train_state(network, everything(), (5, 5, 2), 0)
            ).train_state
    assert start is not None
    pairs = zip(jax.tree.leaves(start[1:4]), jax.tree.leaves(whole.train_state[1:4]), strict=True)
    return max(float(np.max(np.abs(a - b))) for a, b in pairs) / 1e-9


def statistics() -> float:
    """Statistics are those of the whole batch and of whole parameters."""
    jax.config.update("jax_enable_x64", True)
    options: dict[str, Any] = {"epochs": 1, "chunk_steps": 4, "statistics_steps": 4}
    found, expected = (dense_reports(*mesh, **options) for mesh in ((2, 2), (1, 1)))
    apart = [0.0]
    for one, other in itertools.chain.from_iterable(
        zip(a.statistics or (), b.statistics or (), strict=True)
        for a, b in zip(found, expected, strict=True)
    ):
        for name, number in vars(other).items():
            if isinstance(number, float):
                apart.append(abs(getattr(one, name) - number) / (abs(number) + 1e-6))
            else:
                assert getattr(one, name) == number
    assert len(apart) > 7
    return max(apart) / 1e-6


def diagnosis() -> float:
    """What is not finite is found on several devices as on one."""
    jax.config.update("jax_enable_x64", False)
    inputs = np.array(dataset().train.inputs, np.float32)
    inputs[5] = np.inf
    found = []
    for mesh in ((1, 1), (2, 2)):
        try:
            dense_reports(*mesh, split=Split(inputs, dataset().train.targets))
        except DivergedError as error:
            found.append(str(error))
    assert len(found) == 2
    assert found[0] == found[1]
    assert "the inputs is not finite" in found[0], found[0]
    return 0.0


CASES: dict[str, Callable[[], float]] = {
    "memory": memory,
    "whole checkpoint": whole_checkpoint,
    "last partial batch": last_partial_batch,
    "refused": refused,
    "most devices": most_devices,
    "own examples": own_examples,
}
LONG_CASES: dict[str, Callable[[], float]] = {
    "other devices": other_devices,
    "statistics": statistics,
    "diagnosis": diagnosis,
}

if __name__ == "__main__":
    cases = CASES | LONG_CASES
    print(json.dumps({name: cases[name]() for name in sys.argv[1:]}))
