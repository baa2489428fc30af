"""Times jaxnn beside its peers, each pair in one run: same network, same initial weights, same
order of the batches, same precision, compilation apart, both warmed up.

    python experiments/benchmark.py mlp --json mlp.json

A ratio is the peer's time over ours, the median over the pairs: above 1, jaxnn is faster.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from peers import convolutional, jax_grad, jax_grad_conv, numpy_book
from peers.problem import Epoch, Problem, Weights

from jaxnn import cli
from jaxnn.config import build, load_config, parse_config
from jaxnn.data import Dataset, Split, mnist, standardize
from jaxnn.errors import JaxnnError
from jaxnn.layers import (
    Layer,
    conv2d,
    dense,
    flatten,
    max_pool,
    relu,
    sigmoid,
)
from jaxnn.losses import quadratic, softmax_cross_entropy
from jaxnn.models import bird_cnn, resnet20
from jaxnn.network import at_path, serial, walk
from jaxnn.optimizers import sgd
from jaxnn.training import (
    Examples,
    TrainState,
    epoch_batches,
    fit,
    init_train_state,
    make_chunk,
    make_evaluate,
)

Peers = dict[str, Callable[[Problem], Epoch]]
Row = dict[str, Any]


def mlp(pairs: int) -> Iterator[Row]:
    """One epoch of MNIST (60,000 examples) with fully connected networks."""
    peers = {"matrix products alone": jax_grad.products, "jax.grad": jax_grad.autodiff, **_torch()}
    small = _problem((784, 128, 10), 64, "relu", "softmax_cross_entropy", 0.01, 0.9)
    yield from _compare("mlp", "784-128-10, batch 64", small, peers, pairs)
    del peers["PyTorch, compiled"]
    wide = _problem((784, 1024, 1024, 10), 128, "relu", "softmax_cross_entropy", 0.01, 0.9)
    yield from _compare("mlp", "784-1024-1024-10, batch 128", wide, peers, max(3, pairs // 3))
    book = _problem((784, 30, 10), 10, "sigmoid", "quadratic", 3.0, 0.0)
    peers = {
        "NumPy, per example": numpy_book.per_example,
        "PyTorch, eager": peers["PyTorch, eager"],
    }
    yield from _compare("mlp", "784-30-10, batch 10", book, peers, max(3, pairs // 3))


def observe(pairs: int) -> Iterator[Row]:
    """What it costs to look into the layers every 100 steps: ours with, the peer without."""
    network = serial(flatten(), dense(128), relu(), dense(10))
    dataset = mnist(validation=0)

    def seconds(statistics_steps: int) -> float:
        reports = fit(
            network,
            softmax_cross_entropy,
            sgd(0.01, momentum=0.9),
            dataset,
            batch_size=64,
            epochs=3,
            statistics_steps=statistics_steps,
        )
        times = {report.epoch: report.train_seconds for report in reports}
        return times[3.0] - times[1.0]  # the first epoch warms up

    times = [(seconds(100), seconds(0)) for _ in range(pairs)]
    yield _row("observe", "784-128-10, batch 64", "without statistics", times)


def lab(pairs: int) -> Iterator[Row]:
    """Training in the lab, with and without clients; the peer is ``fit``, the reports unread.

    Seconds are those of five epochs by the clock. Of the ten clients, which draw nothing, nine read
    what they are sent, and one never does.
    """
    from jaxnn.web.server import listen, serve
    from jaxnn.web.session import Session
    from jaxnn.web.storage import Opened

    epochs = 5
    dense_layers = ["flatten", {"dense": 128}, "relu", {"dense": 10}]
    values = {
        "data": {"mnist": {"validation": 0}},
        "model": dense_layers,
        "optimizer": {"sgd": {"learning_rate": 0.01, "momentum": 0.9}},
    }
    config = parse_config(values)
    experiment = build(config)
    training = experiment.config.training
    start = init_train_state(experiment.network, experiment.optimizer, (28, 28, 1), seed=0)
    session = Session(Opened(Path("benchmark"), config, experiment, start, []))
    reports = fit(
        *experiment[2:],
        experiment.dataset,
        batch_size=training.batch_size,
        epochs=10**4,
        chunk_steps=training.chunk_steps,
        statistics_steps=training.statistics_steps,
    )

    def without() -> float:
        started = time.perf_counter()
        first = next(reports).epoch
        while next(reports).epoch < round(first) + epochs:
            pass
        return time.perf_counter() - started

    def within() -> float:
        started = time.perf_counter()
        session.call(session.epoch, epochs).result()
        while session.running:
            time.sleep(0.002)
        return time.perf_counter() - started

    try:
        with serve(session, listen()) as address:
            for case, clients in (("nobody looks", 0), ("ten clients, one deaf", 10)):
                within(), without()  # warms up, and compiles
                times = []
                for _ in range(pairs):
                    with _connected(address, clients):
                        while session.clients < clients:
                            time.sleep(0.01)
                        ours = within()
                    times.append((ours, without()))
                yield _row("lab", case, "without the lab", times)
    finally:
        session.close()


@contextmanager
def _connected(address: str, clients: int) -> Iterator[None]:
    """Clients of the lab in a process of their own: they are connected, and do not draw."""
    if not clients:
        yield
        return
    script = Path(__file__).parent / "peers" / "lab_clients.py"
    command = [sys.executable, str(script), address, str(clients)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # all are there
            yield
        finally:
            process.kill()


def stream(pairs: int) -> Iterator[Row]:
    """An epoch of images in a file in the page cache: ours streams, the peer has all on the device.

    Fully connected networks take the least time for an image: none is harder to keep supplied.
    """
    random = np.random.default_rng(0)
    for count, shape, units, batch_size in (
        (60000, (28, 28, 1), 128, 64),
        (20000, (32, 32, 3), 256, 128),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "inputs.npy"
            np.save(path, random.integers(0, 256, (count, *shape), np.uint8))
            train = Split(np.load(path, mmap_mode="r"), random.integers(0, 10, count, np.int32))
            yield from _streamed(train, units, batch_size, pairs)


def _streamed(train: Split, units: int, batch_size: int, pairs: int) -> Iterator[Row]:
    none = Split(train.inputs[:0], train.targets[:0])
    half = np.array(127.5, np.float32)
    dataset = Dataset("noise", train, none, none, tuple("0123456789"), half, half)
    network = serial(flatten(), dense(units), relu(), dense(10))

    def seconds(stream: bool) -> float:
        optimizer = sgd(0.01, momentum=0.9)
        options: dict[str, Any] = {"batch_size": batch_size, "epochs": 5, "stream": stream}
        reports = fit(network, softmax_cross_entropy, optimizer, dataset, **options)
        times = {report.epoch: report.train_seconds for report in reports}
        return (
            times[4.0] - times[1.0]
        ) / 3  # the first epoch warms up, the last reads nothing ahead

    times = [(seconds(True), seconds(False)) for _ in range(pairs)]
    sizes = f"{math.prod(dataset.in_shape)}-{units}-10, batch {batch_size}"
    yield _row("stream", sizes, "all on the device", times)


CONVOLUTIONAL: dict[str, tuple[Layer, tuple[int, int, int], tuple[convolutional.Spec, ...]]] = {
    "A, two convolutions": (
        serial(
            *(conv2d(32, padding="VALID"), relu(), conv2d(64, padding="VALID"), relu()),
            *(max_pool(), flatten(), dense(128), relu(), dense(10)),
        ),
        (28, 28, 1),
        (
            *(("conv", 32, "VALID"), ("relu",), ("conv", 64, "VALID"), ("relu",), ("pool",)),
            *(("flatten",), ("dense", 128), ("relu",), ("dense", 10)),
        ),
    ),
    "B, bird network": (
        bird_cnn(10),
        (32, 32, 3),
        (
            *(("conv", 32, "SAME"), ("relu",), ("pool",)),
            *(("conv", 64, "SAME"), ("relu",), ("pool",)),
            *(("conv", 128, "SAME"), ("relu",), ("pool",)),
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
}


def conv(pairs: int) -> Iterator[Row]:
    """Training steps of convolutional networks, batch 128, float32; seconds are those of a step."""
    _torch()
    from peers import pytorch_conv

    peers: dict[str, Callable[[convolutional.Problem], convolutional.Run]] = {
        "jax.grad, outside a loop": jax_grad_conv.one_program_a_step,
        "PyTorch, channels last": pytorch_conv.eager,
        "jax.grad, in a loop": jax_grad_conv.one_program,
    }
    for case, (network, in_shape, layers) in CONVOLUTIONAL.items():
        problem = _convolutional_problem(network, in_shape, layers)
        run_ours = _ours_convolutional(problem, network)
        _, expected = run_ours()
        for name, peer in peers.items():
            run_peer = peer(problem)
            _, found = run_peer()
            if ("dropout", 0.5) not in layers:  # each draws its own numbers
                _check_same(
                    f"{case}: {name}",
                    *(
                        [(p["weight"], p["weight"]) for p in w if "weight" in p]
                        for w in (problem.weights, expected, found)
                    ),
                )
            slow = name == "jax.grad, in a loop"
            times = [(run_ours()[0], run_peer()[0]) for _ in range(1 if slow else pairs)]
            times = [(a / problem.steps, b / problem.steps) for a, b in times]
            yield _row("conv", case, name, times)


def products(pairs: int) -> Iterator[Row]:
    """The three products of the networks' convolutions, each alone and outside any loop."""
    _torch()
    from peers import pytorch_conv

    random = np.random.default_rng(0)
    for case, (size, channels, units, stride, padding) in CONVOLUTIONS.items():
        x = random.standard_normal((128, size, size, channels), np.float32)
        layer = conv2d(units, stride=stride, padding=padding, bias=False)
        params, _, out = layer.init(jax.random.key(0), x.shape[1:])
        dy = random.standard_normal((128, *out), np.float32)
        ours = _products(layer, params, x, dy)
        arguments = x, np.array(params["weight"]), dy, stride, padding
        peers = {
            "XLA's convolution": jax_grad_conv.products(*arguments),
            "PyTorch, channels last": pytorch_conv.products(*arguments),
        }
        for peer, theirs in peers.items():
            for product, run in theirs.items():
                np.testing.assert_allclose(ours[product](), run(), rtol=1e-3, atol=1e-2)
                times = [(_seconds(ours[product]), _seconds(run)) for _ in range(pairs)]
                yield _row("products", f"{case}: {product}", peer, times)


CONVOLUTIONS: dict[str, tuple[int, int, int, int, Literal["SAME", "VALID"] | int]] = {
    "A, 1 to 32": (28, 1, 32, 1, "VALID"),
    "A, 32 to 64": (26, 32, 64, 1, "VALID"),
    "B, 3 to 32": (32, 3, 32, 1, "SAME"),
    "B, 32 to 64": (16, 32, 64, 1, "SAME"),
    "B, 64 to 128": (8, 64, 128, 1, "SAME"),
    "C, 16 to 16": (32, 16, 16, 1, "SAME"),
    "C, 16 to 32, stride 2": (32, 16, 32, 2, 1),
    "C, 32 to 32": (16, 32, 32, 1, "SAME"),
    "C, 64 to 64": (8, 64, 64, 1, "SAME"),
}
"""Size of the image, channels, units, stride and padding; all kernels are 3 × 3."""


def _products(
    layer: Layer, params: Any, x: np.ndarray, dy: np.ndarray
) -> dict[str, Callable[[], Any]]:
    # Of what backward returns, a program computes only what it is asked for.
    @jax.jit
    def forward(x: jax.Array) -> jax.Array:
        return layer.forward(params, (), x)[0]

    @jax.jit
    def input_gradient(x: jax.Array, dy: jax.Array) -> Any:
        return layer.backward(params, layer.forward(params, (), x)[2], dy)[0]

    @jax.jit
    def weight_gradient(x: jax.Array, dy: jax.Array) -> Any:
        return layer.backward(params, layer.forward(params, (), x)[2], dy)[1]["weight"]

    images, gradient = jnp.asarray(x), jnp.asarray(dy)
    return {
        "forward": lambda: forward(images).block_until_ready(),
        "dx": lambda: input_gradient(images, gradient).block_until_ready(),
        "dW": lambda: weight_gradient(images, gradient).block_until_ready(),
    }


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    for _ in range(5):
        run()
    return (time.perf_counter() - started) / 5


def memory(pairs: int) -> Iterator[Row]:
    """The most memory that a process holds while it trains the networks, libraries and all."""
    _torch()
    for case in CONVOLUTIONAL:
        for who in ("jaxnn", "PyTorch, channels last"):
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                value = pool.submit(_peak_memory, case, who).result()
            yield {"benchmark": "memory", "case": f"{case}: {who}", "unit": "MiB", "value": value}


def _peak_memory(case: str, who: str) -> float:
    """In MiB, after a warm-up, so that compilation does not count; Linux only."""
    from peers import pytorch_conv

    network, in_shape, layers = CONVOLUTIONAL[case]
    problem = _convolutional_problem(network, in_shape, layers)
    run = _ours_convolutional(problem, network) if who == "jaxnn" else pytorch_conv.eager(problem)
    run()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    run()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _convolutional_problem(
    network: Layer, in_shape: tuple[int, int, int], layers: tuple[convolutional.Spec, ...]
) -> convolutional.Problem:
    random = np.random.default_rng(0)
    state = init_train_state(network, sgd(0.0), in_shape, seed=0)
    return convolutional.Problem(
        layers,
        random.standard_normal((128, *in_shape), np.float32),
        random.integers(0, 10, 128, np.int32),
        _leaves(network, state),
        steps=5,
        learning_rate=1e-3,
        momentum=0.9,
    )


def fast(pairs: int) -> Iterator[Row]:
    """The training of configs/mnist_99_fast.yaml and the same in PyTorch, a seed a pair.

    The row has the test accuracies, too.
    """
    _torch()
    from peers import pytorch_fast

    path = Path(__file__).parent.parent / "configs" / "mnist_99_fast.yaml"
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

    def prepare(inputs: jax.Array) -> jax.Array:
        return standardize(inputs, dataset, jnp.float32)

    chunk = make_chunk(network, loss, optimizer, prepare)
    evaluate = make_evaluate(network, loss, prepare)
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
    weights = _leaves(network, state)
    after = _leaves(network, run_ours(0, few)[1])
    trained = [weights, after, run_peer(weights, np.array(batches[:few]))[1]]
    _check_same(
        "fast: PyTorch", *([(p["weight"],) * 2 for p in w if "weight" in p] for w in trained)
    )

    times, accuracies = [], []
    for seed in range(pairs):
        seconds, state = run_ours(seed, steps)
        found = evaluate(state.params, state.state, dataset.test).accuracy
        state, batches = start(seed)
        peer_seconds, _, classes = run_peer(_leaves(network, state), np.array(batches))
        times.append((seconds, peer_seconds))
        accuracies.append((found, float((classes == dataset.test.targets).mean())))
    ours_accuracies, peer_accuracies = zip(*accuracies, strict=True)
    case = ", peer ".join(
        f"{statistics.mean(found):.2%} ({min(found):.2%}–{max(found):.2%})"
        for found in (ours_accuracies, peer_accuracies)
    )
    more = {"ours_accuracies": ours_accuracies, "peer_accuracies": peer_accuracies}
    yield _row("fast", case, "PyTorch, channels last", times) | more


def _leaves(network: Layer, state: TrainState) -> convolutional.Weights:
    params = [at_path(state.params, path) for path, layer in walk(network) if not layer.layers]
    return [{name: np.array(value) for name, value in p.items()} for p in params if p]


def _ours_convolutional(problem: convolutional.Problem, network: Layer) -> convolutional.Run:
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
        return time.perf_counter() - started, _leaves(network, state)

    return run


def browse(pairs: int) -> Iterator[Row]:
    """70,000 images in the lab's page, by the browser's clock; there is no peer."""
    try:
        from peers import browser
    except ModuleNotFoundError as error:
        raise JaxnnError(
            f"the benchmark needs {error.name}: install the extra, pip install '.[test]'"
        ) from error
    yield from browser.figures(max(3, pairs // 3))


BENCHMARKS = {
    "browse": browse,
    "conv": conv,
    "fast": fast,
    "lab": lab,
    "memory": memory,
    "mlp": mlp,
    "observe": observe,
    "products": products,
    "stream": stream,
}


def _problem(
    sizes: tuple[int, ...],
    batch_size: int,
    activation: str,
    loss: str,
    learning_rate: float,
    momentum: float,
) -> Problem:
    dataset = mnist(validation=0)
    network = _network(sizes, activation, loss)
    state = init_train_state(network, sgd(0.0), (sizes[0],), seed=0)
    return Problem(
        sizes,
        activation,
        loss,
        dataset.train.inputs.reshape(-1, sizes[0]),
        dataset.train.targets,
        np.array(epoch_batches(0, 0, len(dataset.train.targets), batch_size)),
        _weights(state),
        learning_rate,
        momentum,
    )


def _network(sizes: tuple[int, ...], activation: str, loss: str) -> Layer:
    make = {"relu": relu, "sigmoid": sigmoid}[activation]
    layers = [layer for units in sizes[1:] for layer in (dense(units), make())]
    return serial(*(layers if loss == "quadratic" else layers[:-1]))


def _weights(state: TrainState) -> Weights:
    """The dense layers' weights, copied: the state may be donated later."""
    layers = [params for params in state.params if params]
    return [(np.array(params["weight"]), np.array(params["bias"])) for params in layers]


def ours(problem: Problem) -> Epoch:
    """jaxnn: the chunk program that ``fit`` runs, over a whole epoch."""
    network = _network(problem.sizes, problem.activation, problem.loss)
    loss = {"softmax_cross_entropy": softmax_cross_entropy, "quadratic": quadratic}[problem.loss]
    optimizer = sgd(problem.learning_rate, momentum=problem.momentum)
    chunk = make_chunk(network, loss, optimizer, lambda x: x.astype(jnp.float32) * (1 / 255))
    examples = Examples(jnp.asarray(problem.images), jnp.asarray(problem.labels))
    batches = jnp.asarray(problem.batches)

    def run() -> tuple[float, Weights]:
        # As in _problem: the seed gives the weights that the peers are handed.
        state = init_train_state(network, optimizer, problem.images.shape[1:], seed=0)
        jax.block_until_ready(state.params)
        started = time.perf_counter()
        state, totals = chunk(state, examples, batches, 0, len(batches))
        float(totals.loss)
        return time.perf_counter() - started, _weights(state)

    return run


def _torch() -> Peers:
    try:
        from peers import pytorch
    except ModuleNotFoundError as error:
        raise JaxnnError(
            f"the benchmark needs {error.name}: install the extra, pip install '.[bench]'"
        ) from error
    return {"PyTorch, eager": pytorch.eager, "PyTorch, compiled": pytorch.compiled}


def _compare(
    benchmark: str, case: str, problem: Problem, peers: Peers, pairs: int
) -> Iterator[Row]:
    run_ours = ours(problem)
    _, expected = run_ours()
    for name, peer in peers.items():
        run_peer = peer(problem)
        _, found = run_peer()  # warms up, compiles, and shows that it is the same training
        _check_same(f"{case}: {name}", problem.weights, expected, found)
        times = [(run_ours()[0], run_peer()[0]) for _ in range(pairs)]
        yield _row(benchmark, case, name, times)


def _row(benchmark: str, case: str, peer: str, times: list[tuple[float, float]]) -> Row:
    """The medians of pairs of seconds, ours and the peer's."""
    return {
        "benchmark": benchmark,
        "case": case,
        "peer": peer,
        "ours_seconds": statistics.median(a for a, _ in times),
        "peer_seconds": statistics.median(b for _, b in times),
        "ratio": statistics.median(b / a for a, b in times),
    }


def _check_same(what: str, start: Weights, ours: Weights | None, peers: Weights | None) -> None:
    """Raises unless both moved the weights to the same place, but for rounding on the way."""
    if ours is None or peers is None:
        return
    for (w0, _), (w1, _), (w2, _) in zip(start, ours, peers, strict=True):
        difference = np.linalg.norm(w2 - w1) / np.linalg.norm(w1 - w0)
        if not difference < 0.05:
            raise JaxnnError(f"{what} trains something else: weights differ by {difference:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(BENCHMARKS), help="what to time")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of runs each (default 9)")
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error("--pairs must be at least 1")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, "
        f"JAX {jax.__version__}, medians of {arguments.pairs} pairs or a third of it"
    )
    print(f"{'case':<52}{'peer':<24}{'ours s':>9}{'peer s':>9}{'ratio':>8}")
    rows = []
    for row in BENCHMARKS[arguments.name](arguments.pairs):
        rows.append(row)
        if "value" in row:
            print(f"{row['case']:<52}{row['unit']:<12}{row['value']:>9.3g}", flush=True)
            continue
        print(
            f"{row['case']:<52}{row['peer']:<24}{row['ours_seconds']:>9.4f}"
            f"{row['peer_seconds']:>9.4f}{row['ratio']:>8.2f}",
            flush=True,
        )
    if arguments.json:
        try:
            Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n")
        except OSError as error:
            raise JaxnnError(f"{arguments.json}: cannot write: {error.strerror}") from error


if __name__ == "__main__":
    cli.run(main)
