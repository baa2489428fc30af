"""Training fully connected networks."""

import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from peers import jax_grad, numpy_book
from peers.problem import Epoch, Problem, Weights

from benchmarks.measuring import Row, check_same, compared, needing
from jaxnn.data import mnist
from jaxnn.layers import Layer, before, dense, relu, serial, sigmoid, standardize
from jaxnn.losses import quadratic, softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.training import Examples, TrainState, epoch_batches, init_train_state, make_chunk

Peers = dict[str, Callable[[Problem], Epoch]]


def measure(pairs: int) -> Iterator[Row]:
    """One epoch of MNIST (60,000 examples) with fully connected networks."""
    with needing("bench"):
        from peers import pytorch

    peers: Peers = {
        "matrix products alone": jax_grad.products,
        jax_grad.NAME: jax_grad.autodiff,
        "PyTorch, eager": pytorch.eager,
        "PyTorch, compiled": pytorch.compiled,
    }
    small = _problem((784, 128, 10), 64, "relu", "softmax_cross_entropy", 0.01, 0.9)
    yield from compare("784-128-10, batch 64", small, peers, pairs)
    del peers["PyTorch, compiled"]
    wide = _problem((784, 1024, 1024, 10), 128, "relu", "softmax_cross_entropy", 0.01, 0.9)
    yield from compare("784-1024-1024-10, batch 128", wide, peers, max(3, pairs // 3))
    book = _problem((784, 30, 10), 10, "sigmoid", "quadratic", 3.0, 0.0)
    peers = {"NumPy, per example": numpy_book.per_example, "PyTorch, eager": pytorch.eager}
    yield from compare("784-30-10, batch 10", book, peers, max(3, pairs // 3))


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


def _ours(problem: Problem) -> Callable[[], tuple[float, Weights]]:
    """jaxnn: the chunk program that ``fit`` runs, over a whole epoch."""
    network = _network(problem.sizes, problem.activation, problem.loss)
    loss = {"softmax_cross_entropy": softmax_cross_entropy, "quadratic": quadratic}[problem.loss]
    optimizer = sgd(problem.learning_rate, momentum=problem.momentum)
    chunk = make_chunk(before(network, standardize(0, 255)), loss, optimizer)
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


def compare(case: str, problem: Problem, peers: Peers, pairs: int) -> Iterator[Row]:
    """Yields a row for each peer, after it was seen to train the same.

    Raises:
        JaxnnError: where it does not.
    """
    run_ours = _ours(problem)
    _, expected = run_ours()
    for name, peer in peers.items():
        run_peer = peer(problem)
        _, found = run_peer()  # warms up, compiles, and shows that it is the same training
        if found is not None:
            trained = ([w for w, _ in weights] for weights in (problem.weights, expected, found))
            check_same(f"{case}: {name}", *trained)
        times = [(run_ours()[0], run_peer()[0]) for _ in range(pairs)]
        yield compared("mlp", case, name, times)
