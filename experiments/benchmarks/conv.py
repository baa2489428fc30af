"""Training convolutional networks."""

import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from peers import convolutional, jax_grad, jax_grad_conv

from benchmarks.measuring import Row, check_same, compared, needing
from jaxnn.arrays import at_path
from jaxnn.layers import (
    Layer,
    batch_norm,
    conv2d,
    dense,
    flatten,
    gelu,
    max_pool,
    relu,
    serial,
)
from jaxnn.losses import softmax_cross_entropy
from jaxnn.models import bird_cnn, resnet20
from jaxnn.network import walk
from jaxnn.optimizers import sgd
from jaxnn.training import Examples, TrainState, init_train_state, make_chunk


def cifar_network() -> Layer:
    """Returns the network that airbench trains to 94 % on CIFAR-10; all its layers learn here.

    Source: Jordan 2024, https://arxiv.org/abs/2404.00498.
    """
    blocks = [
        layer
        for units in (64, 256, 256)
        for layer in (
            *(conv2d(units, bias=False), max_pool(), batch_norm(scale=False), gelu()),
            *(conv2d(units, bias=False), batch_norm(scale=False), gelu()),
        )
    ]
    return serial(
        *(conv2d(24, 2, padding="VALID"), gelu(), *blocks),
        *(max_pool(3), flatten(), dense(10)),
    )


NETWORKS: dict[str, tuple[Layer, tuple[int, int, int], tuple[convolutional.Spec, ...]]] = {
    "A, two convolutions": (
        serial(
            *(conv2d(32, padding="VALID"), relu(), conv2d(64, padding="VALID"), relu()),
            *(max_pool(), flatten(), dense(128), relu(), dense(10)),
        ),
        (28, 28, 1),
        (
            *(("conv", 32, "VALID"), ("relu",), ("conv", 64, "VALID"), ("relu",), ("pool", 2)),
            *(("flatten",), ("dense", 128), ("relu",), ("dense", 10)),
        ),
    ),
    "B, bird network": (
        bird_cnn(10),
        (32, 32, 3),
        (
            *(("conv", 32, "SAME"), ("relu",), ("pool", 2)),
            *(("conv", 64, "SAME"), ("relu",), ("pool", 2)),
            *(("conv", 128, "SAME"), ("relu",), ("pool", 2)),
            *(("flatten",), ("dense", 256), ("relu",), ("dropout", 0.5), ("dense", 10)),
        ),
    ),
    "C, resnet20": (
        resnet20(),
        (32, 32, 3),
        (
            *(("conv", 16, "SAME"), ("norm",), ("relu",)),
            *(("block", 16, 1), ("block", 16, 1), ("block", 16, 1)),
            *(("block", 32, 2), ("block", 32, 1), ("block", 32, 1)),
            *(("block", 64, 2), ("block", 64, 1), ("block", 64, 1)),
            *(("mean",), ("dense", 10)),
        ),
    ),
    "D, CIFAR network": (
        cifar_network(),
        (32, 32, 3),
        (
            *(("conv", 24, "VALID"), ("gelu",)),
            *(("conv", 64, "SAME"), ("pool", 2), ("norm",), ("gelu",)),
            *(("conv", 64, "SAME"), ("norm",), ("gelu",)),
            *(("conv", 256, "SAME"), ("pool", 2), ("norm",), ("gelu",)),
            *(("conv", 256, "SAME"), ("norm",), ("gelu",)),
            *(("conv", 256, "SAME"), ("pool", 2), ("norm",), ("gelu",)),
            *(("conv", 256, "SAME"), ("norm",), ("gelu",)),
            *(("pool", 3), ("flatten",), ("dense", 10)),
        ),
    ),
}
"""Each network, the shape of its input, and the same layers as a peer's problem names them."""


def measure(pairs: int) -> Iterator[Row]:
    """Training steps of convolutional networks, batch 128, float32; seconds are those of a step."""
    with needing("bench"):
        from peers import pytorch_conv

    peers: dict[str, Callable[[convolutional.Problem], convolutional.Run]] = {
        f"{jax_grad.NAME}, outside a loop": jax_grad_conv.one_program_a_step,
        "PyTorch, channels last": pytorch_conv.eager,
        f"{jax_grad.NAME}, in a loop": jax_grad_conv.one_program,
    }
    for case, (network, in_shape, layers) in NETWORKS.items():
        problem = make_problem(network, in_shape, layers)
        run_ours = ours(problem, network)
        _, expected = run_ours()
        for name, peer in peers.items():
            slow = peer is jax_grad_conv.one_program
            if slow and case == "D, CIFAR network":  # which would take minutes
                continue
            run_peer = peer(problem)
            _, found = run_peer()
            if ("dropout", 0.5) not in layers:  # each draws its own numbers
                check_same(f"{case}: {name}", *map(kernels, (problem.weights, expected, found)))
            times = [(run_ours()[0], run_peer()[0]) for _ in range(1 if slow else pairs)]
            times = [(a / problem.steps, b / problem.steps) for a, b in times]
            yield compared("conv", case, name, times)


def make_problem(
    network: Layer, in_shape: tuple[int, int, int], layers: tuple[convolutional.Spec, ...]
) -> convolutional.Problem:
    """Returns a few steps on noise, from the network's initial weights of seed 0."""
    random = np.random.default_rng(0)
    state = init_train_state(network, sgd(0.0), in_shape, seed=0)
    return convolutional.Problem(
        layers,
        random.standard_normal((128, *in_shape), np.float32),
        random.integers(0, 10, 128, np.int32),
        leaves(network, state),
        steps=5,
        learning_rate=1e-3,
        momentum=0.9,
    )


def leaves(network: Layer, state: TrainState) -> convolutional.Weights:
    """Returns copies of the parameters, layer by layer: the state may be donated later."""
    params = [at_path(state.params, path) for path, layer in walk(network) if not layer.layers]
    return [{name: np.array(value) for name, value in p.items()} for p in params if p]


def kernels(weights: convolutional.Weights) -> list[np.ndarray]:
    return [layer["weight"] for layer in weights if "weight" in layer]


def ours(problem: convolutional.Problem, network: Layer) -> convolutional.Run:
    """jaxnn: the chunk program that ``fit`` runs, over the problem's steps."""
    optimizer = sgd(problem.learning_rate, momentum=problem.momentum)
    chunk = make_chunk(network, softmax_cross_entropy, optimizer)
    examples = Examples(jnp.asarray(problem.images), jnp.asarray(problem.labels))
    batches = jnp.tile(jnp.arange(len(problem.labels)), (problem.steps, 1))

    def run() -> tuple[float, convolutional.Weights]:
        state = init_train_state(network, optimizer, problem.images.shape[1:], seed=0)
        jax.block_until_ready(state.params)
        started = time.perf_counter()
        state, totals = chunk(state, examples, batches, 0, problem.steps)
        float(totals.loss)
        return time.perf_counter() - started, leaves(network, state)

    return run
