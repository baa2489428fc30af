"""The constants of this machine, measured; and steps of training, to compare with the model.

All of it is carried out by each process of a team at the same time (``workers``): what a core can
do depends on what the others are at.
"""

import math
import statistics
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import PartitionSpec

from cost_model.model import Device, LocalLinks, Step, local_seconds, step_of
from cost_model.workers import Team
from jaxnn.collectives import AXES, gradient_sum
from jaxnn.layers import Layer, before, dense, relu, serial, standardize
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.training import Examples, init_train_state, make_chunk, make_mesh
from jaxnn.training.devices import IN_PARTS, put
from jaxnn.training.processes import agreed

SQUARES = (128, 256, 512, 1024)
"""Units of each of three layers, and examples, of the steps that show the rate of products."""

ADDITIONS = (2**16, 2**22)
"""Numbers of the arrays by which bandwidths are measured: of caches, and of memory."""

MESSAGES = (2**14, 2**22)
"""Numbers of the arrays by which the bandwidth of an all-reduce is measured."""

TINY = (4, 4, 4)
"""Units of the network whose steps show what products and messages cost beside their contents."""


class Case(NamedTuple):
    """A fully connected network, its batch, and a layout of processes.

    Attributes:
        sizes: of the input and of each layer.
        batch: examples of a step, over all processes.
        layout: its name.
    """

    sizes: tuple[int, ...]
    batch: int
    layout: str


def layouts(available: Collection[int]) -> dict[str, list[set[int]]]:
    """Returns the cores of each process, by the name of the layout."""
    first, second = sorted(available)[:2]
    return {
        "1 process, 1 core": [{first}],
        "1 process, 2 cores": [{first, second}],
        "2 processes, 1 core each": [{first}, {second}],
    }


class Timing(NamedTuple):
    """How measurements are made.

    Attributes:
        seconds: that each reading lasts, about.
        repeats: readings; the median counts.
    """

    seconds: float
    repeats: int


def constants(team: Team, processes: int, timing: Timing) -> tuple[Device, LocalLinks | None]:
    """Measures what each process of a team can do while all others do the same."""
    three = 3 * 4.0  # bytes of the numbers of an addition
    bandwidths = {three * n: _mean(team(_memory_rate, n, timing)) for n in ADDITIONS}
    device = Device({1.0: math.inf}, bandwidths, 0.0)

    def left(sizes: tuple[int, ...], batch: int) -> tuple[Step, float]:
        """A step, and the seconds of it that the constants so far do not explain."""
        step = step_of(network(sizes), sizes[:1], batch, sgd(0.1, momentum=0.9))
        spent = _mean(team(step_seconds, Case(sizes, batch * processes, ""), timing, False))
        return step, max(spent - device.seconds(step), spent / 10)

    tiny, seconds = left(TINY, 1)
    device = device._replace(begin=seconds / len(tiny.products))
    rates = {}
    for n in SQUARES:
        step, seconds = left((n,) * 4, n)
        rates[2.0 * n**3] = step.flops / seconds
    device = device._replace(rates=rates)
    if processes == 1:
        return device, None
    # An all-reduce among n takes 2 (n - 1) (latency + an n-th of the bytes / bandwidth).
    short, long = (_mean(team(_all_reduce_seconds, n, timing)) for n in MESSAGES)
    turns = 2 * (processes - 1)
    bandwidth = turns * 4 * (MESSAGES[1] - MESSAGES[0]) / processes / max(long - short, 1e-9)
    # The latency is that between computations, where each message also waits for the slower one.
    alone, together = (
        _mean(team(step_seconds, Case(TINY, processes, ""), timing, joined))
        for joined in (False, True)
    )
    latency = (together - alone) / turns / _messages(network(TINY), TINY[:1])
    return device, LocalLinks(max(latency, 0.0), bandwidth)


def predicted(case: Case, processes: int, device: Device, links: LocalLinks | None) -> float:
    """Returns the seconds of a step, by the model."""
    net, in_shape = network(case.sizes), case.sizes[:1]
    step = step_of(net, in_shape, case.batch // processes, sgd(0.1, momentum=0.9))
    return local_seconds(step, _messages(net, in_shape), device, links, processes)


def measured(case: Case, team: Team, timing: Timing) -> float:
    """Returns the seconds of a step, by the clock."""
    return _mean(team(step_seconds, case, timing, True))


def network(sizes: tuple[int, ...]) -> Layer:
    """Returns a fully connected network with relu between its layers."""
    return serial(*[layer for units in sizes[1:] for layer in (dense(units), relu())][:-1])


def _messages(net: Layer, in_shape: tuple[int, ...]) -> int:
    """How many arrays a step sums: those of ``gradient_sum``."""
    mesh = jax.sharding.AbstractMesh((1, 1), AXES)
    params = jax.eval_shape(lambda key: net.init(key, in_shape)[0], jax.random.key(0))
    spec = PartitionSpec()
    mapped = jax.shard_map(gradient_sum, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    (inner,) = (e.params["jaxpr"] for e in jax.make_jaxpr(mapped)(params).eqns)
    return sum(len(e.invars) for e in inner.eqns if e.primitive.name.startswith("psum"))


def _mean(values: list[float]) -> float:
    return statistics.fmean(values)


# What follows is called in the processes of a team.


def step_seconds(case: Case, timing: Timing, together: bool) -> float:
    """Returns the seconds of a training step, of many in one program, as ``fit`` runs them.

    Args:
        case: the network and the batch.
        timing: see there.
        together: whether all processes train one network; else each one by itself, with its part
            of the batch.
    """
    mesh = make_mesh() if together else None
    batch = case.batch if together else case.batch // jax.process_count()
    optimizer, net = sgd(0.01, momentum=0.9), network(case.sizes)
    chunk = make_chunk(
        before(net, standardize(0, 255)), softmax_cross_entropy, optimizer, mesh=mesh
    )
    rng, count = np.random.default_rng(0), 8192
    images = rng.integers(0, 256, (count, case.sizes[0]), np.uint8)
    labels = rng.integers(0, case.sizes[-1], count, np.int32)
    examples = Examples(*put((images, labels), mesh, IN_PARTS))
    parts = mesh.size if mesh else 1
    firsts = count // parts * (np.arange(batch, dtype=np.int32) // (batch // parts))
    order = firsts + rng.integers(0, count // parts, (64, batch), np.int32)  # from its own part
    batches = put(order, mesh, PartitionSpec() if mesh is None else PartitionSpec(None, AXES))
    state = init_train_state(net, optimizer, case.sizes[:1], 0, mesh)

    def run(turns: int) -> None:
        now = state
        for start in range(0, turns, len(order)):
            now, _ = chunk(now, examples, batches, 0, min(len(order), turns - start))
        jax.block_until_ready(now)

    return _seconds(run, timing)


def _memory_rate(size: int, timing: Timing) -> float:
    """Bytes a second of adding two arrays of so many numbers into a third."""

    def add(arrays: Any) -> Any:
        return arrays[0] + arrays[1]

    arrays = [jnp.ones(size, jnp.float32), jnp.zeros(size, jnp.float32)]
    return 3 * 4 * size / _seconds(_repeated(add, arrays), timing)


def _all_reduce_seconds(size: int, timing: Timing) -> float:
    """Seconds until all processes have the sum of one array of so many numbers each."""
    mesh = make_mesh()
    assert mesh is not None
    run = _repeated(lambda x: lax.psum(x, AXES), put(np.ones(size, np.float32), mesh), mesh)
    return _seconds(run, timing)


def _repeated(
    function: Callable[[Any], Any], arrays: Any, mesh: Any = None
) -> Callable[[int], None]:
    """Returns what calls a function of the same arrays so many times in one program."""

    def repeat(arrays: Any, turns: Array) -> Any:
        def body(_: Array, carry: Any) -> Any:
            # XLA would otherwise compute it once, before the loop.
            arrays = lax.optimization_barrier(carry[0])
            return arrays, function(arrays)

        return lax.fori_loop(0, turns, body, (arrays, function(arrays)))[1]

    if mesh is not None:
        whole = PartitionSpec()
        repeat = jax.shard_map(
            repeat, mesh=mesh, in_specs=(whole, whole), out_specs=whole, check_vma=False
        )
    compiled = jax.jit(repeat)
    return lambda turns: jax.block_until_ready(compiled(arrays, jnp.asarray(turns - 1)))


def _seconds(run: Callable[[int], None], timing: Timing) -> float:
    """Seconds of one turn, the median of readings; all processes take the same turns."""
    _time(run, 1)  # compiles
    turns, spent = 1, _time(run, 1)
    while spent < timing.seconds / 4 and turns < 2**16:
        turns *= 4
        spent = _time(run, turns)
    turns = max(1, round(turns * timing.seconds / spent))
    return statistics.median(_time(run, turns) for _ in range(timing.repeats)) / turns


def _time(run: Callable[[int], None], turns: int) -> float:
    """Seconds of so many turns, of the process that takes longest."""
    started = time.perf_counter()
    run(turns)
    (microseconds,) = agreed(round(1e6 * (time.perf_counter() - started)))
    return max(1, microseconds) / 1e6
