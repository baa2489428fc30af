"""The same training on one, two and four devices: a script, for a process that has four.

It prints, for each case that it is told, how far the results are apart: 1 is what they may be.
"""

import functools
import json
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.data import Dataset, augmentation, from_arrays
from jaxnn.layers import (
    Layer,
    batch_norm,
    conv2d,
    dense,
    dropout,
    flatten,
    relu,
    rematerialize,
    serial,
    sharded,
    tanh,
)
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import (
    Optimizer,
    accumulate,
    adam,
    adamw,
    chain,
    clip_by_global_norm,
    exponential_moving_average,
    muon,
    sgd,
)
from jaxnn.training import fit, init_train_state, make_chunk, make_evaluate, make_mesh
from jaxnn.training.devices import check_mesh, put
from jaxnn.training.step import Examples, put_state

MESHES = {"1x1": (1, 1), "2x1": (2, 1), "4x1": (4, 1), "2x2": (2, 2), "1x4": (1, 4)}
Wrap = Callable[[Layer], Layer]


def dense_network(wrap: Wrap) -> Layer:
    body = (wrap(dense(16)), relu(), dropout(0.3), wrap(rematerialize(dense(12))), tanh())
    return serial(flatten(), *body, wrap(dense(3)))


def conv_network(wrap: Wrap) -> Layer:
    first = wrap(serial(conv2d(8, bias=False), batch_norm(), relu()))
    second = (wrap(conv2d(4, bias=False)), batch_norm(), relu())
    return serial(first, *second, flatten(), dropout(0.2), wrap(dense(3)))


NETWORKS = {"dense": dense_network, "conv": conv_network}
OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "muon": lambda: chain(
        clip_by_global_norm(0.5), muon(0.02, steps=2), exponential_moving_average(0.9)
    ),
    "accumulate": lambda: accumulate(chain(clip_by_global_norm(0.5), adamw(0.01)), 3),
    "sgd": lambda: sgd(0.05, momentum=0.9),
}


@functools.cache
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (67, 5, 5, 2)).astype(np.uint8)
    return from_arrays(images, rng.integers(0, 3, 67), validation=11, test=0)


def trained(
    network: str, optimizer: str, mesh: str, steps: int, mix: bool = True
) -> list[np.ndarray]:
    """Everything that training ends with and has reported, on so many devices."""
    parts = make_mesh(*MESHES[mesh])
    wrap: Wrap = sharded if MESHES[mesh][1] > 1 else lambda layer: layer
    augment = augmentation.compose(
        [augmentation.flip(), *([augmentation.mixup(0.4, classes=3)] if mix else [])]
    )
    reports = fit(
        NETWORKS[network](wrap),
        softmax_cross_entropy,
        OPTIMIZERS[optimizer](),
        dataset(),
        batch_size=8,
        epochs=-(-steps // 7),
        augment=augment,
        mesh=parts,
        stream=mesh == "2x1",
    )
    numbers: list[float] = []
    for report in reports:
        numbers += [report.loss, report.accuracy, report.validation.loss]  # type: ignore[union-attr]
        numbers.append(report.validation.accuracy)  # type: ignore[union-attr]
    state = report.train_state._replace(key=jax.random.key_data(report.train_state.key))
    leaves = jax.tree.leaves(jax.device_get(state))
    return [np.array(numbers), *(np.asarray(leaf, np.float64) for leaf in leaves)]


@functools.cache
def on_one(network: str, optimizer: str, steps: int, mix: bool) -> list[np.ndarray]:
    return trained(network, optimizer, "1x1", steps, mix)


def far_apart(
    tolerance: float, network: str, optimizer: str, mesh: str, steps: int, mix: bool
) -> float:
    found = trained(network, optimizer, mesh, steps, mix)
    expected = on_one(network, optimizer, steps, mix)
    pairs = zip(found, expected, strict=True)
    return max(float(np.max(np.abs(a - b))) for a, b in pairs) / tolerance


def equal(network: str, optimizer: str, mesh: str) -> Callable[[], float]:
    """100 steps in float64."""

    def case() -> float:
        jax.config.update("jax_enable_x64", True)
        return far_apart(1e-9, network, optimizer, mesh, 100, mix=True)

    return case


def equal_in_float32(network: str, mesh: str) -> Callable[[], float]:
    def case() -> float:
        jax.config.update("jax_enable_x64", False)
        return far_apart(1e-5, network, "sgd", mesh, 10, mix=False)

    return case


def memory() -> float:
    """A deep network over 4 devices: what each keeps, and what it needs while it computes."""
    jax.config.update("jax_enable_x64", False)
    width, layers = 512, 8
    weight_bytes = 4 * width * width
    mesh = make_mesh(1, 4)
    assert mesh is not None
    bodies = [layer for _ in range(layers) for layer in (sharded(dense(width)), relu())]
    network, optimizer = serial(*bodies, dense(4)), adam(1e-3)
    state = init_train_state(network, optimizer, (width,), 0, mesh)
    shard = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state[1:4]))
    whole = sum(x.nbytes for x in jax.tree.leaves(state[1:4]))
    chunk = make_chunk(network, softmax_cross_entropy, optimizer, mesh=mesh)
    examples = put(Examples(np.zeros((8, width), np.float32), np.zeros(8, np.int32)), mesh)
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


CASES: dict[str, Callable[[], float]] = {
    "conv muon on 2x2": equal("conv", "muon", "2x2"),
    "memory": memory,
    "whole checkpoint": whole_checkpoint,
    "last partial batch": last_partial_batch,
    "refused": refused,
}
SLOW_CASES = {
    **{
        f"{network} {optimizer} on {mesh}": equal(network, optimizer, mesh)
        for network in NETWORKS
        for optimizer in OPTIMIZERS
        for mesh in MESHES
        if mesh != "1x1"
    },
    **{
        f"{network} in float32 on {mesh}": equal_in_float32(network, mesh)
        for network in NETWORKS
        for mesh in ("4x1", "2x2")
    },
}

if __name__ == "__main__":
    cases = CASES | SLOW_CASES
    print(json.dumps({name: cases[name]() for name in sys.argv[1:]}))
