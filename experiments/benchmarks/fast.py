"""Fast training of one network on MNIST."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.conv import kernels, leaves
from benchmarks.measuring import Row, check_same, compared, needing
from jaxnn.config import build, load_config
from jaxnn.training import (
    Examples,
    TrainState,
    epoch_batches,
    init_train_state,
    make_chunk,
    make_evaluate,
)


def measure(pairs: int) -> Iterator[Row]:
    """The training of configs/mnist_99_fast.yaml and the same in PyTorch, a seed a pair.

    The row has the test accuracies, too.
    """
    with needing("bench"):
        from peers import pytorch_fast

    path = Path(__file__).parents[2] / "configs" / "mnist_99_fast.yaml"
    config, dataset, network, loss, optimizer = build(load_config(path))
    batch_size = config.training.batch_size
    muon = config.optimizer.arguments
    schedule = muon["learning_rate"].build("")
    steps = len(dataset.train.targets) // batch_size
    run_peer = pytorch_fast.eager(
        pytorch_fast.Recipe(
            *dataset.train,
            dataset.test.inputs,
            float(dataset.mean),
            float(dataset.deviation),
            np.array(schedule(jnp.arange(steps))),
            muon["momentum"],
            muon["steps"],
            config.loss.arguments["label_smoothing"],
        )
    )

    chunk = make_chunk(network, loss, optimizer)
    evaluate = make_evaluate(network, loss)
    examples = Examples(*map(jnp.asarray, dataset.train))

    def start(seed: int) -> tuple[TrainState, jax.Array]:
        batches = epoch_batches(seed, 0, len(dataset.train.targets), batch_size)
        return init_train_state(network, optimizer, dataset.in_shape, seed), jnp.asarray(batches)

    def run_ours(seed: int, steps: int) -> tuple[float, TrainState]:
        state, batches = jax.block_until_ready(start(seed))
        started = time.perf_counter()
        state, totals = chunk(state, examples, batches, 0, steps)
        float(totals.loss)
        return time.perf_counter() - started, state

    # A few steps show that it is the same training; later, rounding leads them apart.
    few = 5
    state, batches = start(0)
    weights = leaves(network, state)
    after = leaves(network, run_ours(0, few)[1])
    after_peer = run_peer(weights, np.array(batches[:few]))[1]
    check_same("fast: PyTorch", *map(kernels, (weights, after, after_peer)))

    times, accuracies = [], []
    for seed in range(pairs):
        seconds, state = run_ours(seed, steps)
        found = evaluate(state.params, state.state, dataset.test).accuracy
        state, batches = start(seed)
        peer_seconds, _, classes = run_peer(leaves(network, state), np.array(batches))
        times.append((seconds, peer_seconds))
        accuracies.append((found, float((classes == dataset.test.targets).mean())))
    ours_accuracies, peer_accuracies = zip(*accuracies, strict=True)
    case = ", peer ".join(
        f"{statistics.mean(found):.2%} ({min(found):.2%}–{max(found):.2%})"
        for found in (ours_accuracies, peer_accuracies)
    )
    more = {"ours_accuracies": ours_accuracies, "peer_accuracies": peer_accuracies}
    yield compared("fast", case, "PyTorch, channels last", times) | more
