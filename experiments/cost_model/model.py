"""How long a training step takes, from what it computes and a few constants of the hardware.

A step is its matrix products, at a rate; the memory that everything else reads and writes, at
another; what it costs to begin each product; and then the sum of the gradients over all devices,
which begins when the last of them is there.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxnn.config.cost import work
from jaxnn.layers import Layer
from jaxnn.losses import softmax_cross_entropy
from jaxnn.network import describe
from jaxnn.optimizers import Optimizer
from jaxnn.training import Examples, TrainState, make_step

MOVES, UPDATE_MOVES = 3, 6
"""How often each number that a layer computes is read or written beside the products, forward and
backward together; and each parameter in its update (the gradient, the parameter and its momentum).
"""


class Step(NamedTuple):
    """What one device has to do in a step.

    Attributes:
        products: additions and products of each matrix product or convolution.
        numbers: how many numbers the layers compute.
        parameters: how many there are.
        layer_parameters: those of each layer that has some.
        width: bytes of a number that layers compute.
    """

    products: Sequence[float]
    numbers: float
    parameters: int
    layer_parameters: Sequence[int]
    width: int = 4

    @property
    def size(self) -> float:
        """Bytes of its arrays: what layers compute; parameters, gradients and momentum."""
        return self.width * self.numbers + 4 * 3 * self.parameters

    @property
    def flops(self) -> float:
        """All additions and products."""
        return sum(self.products)

    def times(self, factor: float) -> "Step":
        """The step with a batch of another size."""
        products = [factor * product for product in self.products]
        return self._replace(products=products, numbers=factor * self.numbers)


def step_of(
    network: Layer, in_shape: tuple[int, ...], batch: int, optimizer: Optimizer, width: int = 4
) -> Step:
    """Returns what a step takes on one device; nothing of it is computed.

    Args:
        network: a classifier.
        in_shape: the shape of an example.
        batch: how many examples the device has.
        optimizer: the optimizer.
        width: bytes of a number that layers compute.
    """

    def start() -> TrainState:
        params, state, _ = network.init(jax.random.key(0), in_shape)
        step = jnp.zeros((), jnp.int32)
        return TrainState(step, params, state, optimizer.init(params), jax.random.key(0))

    shapes: Any = (
        jax.ShapeDtypeStruct((batch, *in_shape), jnp.float32),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
    )
    step = make_step(network, softmax_cross_entropy, optimizer)
    program: Any = jax.make_jaxpr(step)(jax.eval_shape(start), Examples(*shapes))
    rows = describe(network, in_shape)
    combinators = {row.path[:-1] for row in rows if row.path}
    inner = [row for row in rows if row.path not in combinators]
    return Step(
        [size for product, size, times in work(program.jaxpr) if product for _ in range(times)],
        batch * sum(math.prod(row.out_shape) for row in inner),
        rows[0].parameters,
        [row.parameters for row in inner if row.parameters],
        width,
    )


class Device(NamedTuple):
    """What one device can do.

    Attributes:
        rates: by the size of a matrix product (its additions and products), how many of them it
            does a second; in between, by the logarithm of the size.
        bandwidths: by the size of all arrays (bytes), how many bytes a second it reads and writes:
            small ones stay in its caches. In between, by the logarithm of the size.
        begin: seconds that each matrix product costs beside its arithmetic, with the small
            operations around it.
    """

    rates: dict[float, float]
    bandwidths: dict[float, float]
    begin: float

    def seconds(self, step: Step) -> float:
        """How long a step takes, without anything that devices tell each other."""
        rates = _between(self.rates, step.products)
        moved = step.width * MOVES * step.numbers + 4 * UPDATE_MOVES * step.parameters
        return (
            float((np.array(step.products) / rates).sum())
            + self.begin * len(step.products)
            + moved / self.bandwidth(step)
        )

    def bandwidth(self, step: Step) -> float:
        """Bytes a second of what a step reads and writes beside its products."""
        return float(_between(self.bandwidths, step.size))


def _between(known: dict[float, float], sizes: ArrayLike) -> np.ndarray:
    """What belongs to sizes, given it for some: in proportion to the logarithm in between."""
    return np.interp(np.log(sizes), np.log(list(known)), list(known.values()))


class Links(Protocol):
    """How devices reach each other."""

    def all_reduce(self, size: float, devices: int) -> float:
        """Seconds until all of so many devices have the sum of arrays of so many bytes each."""
        ...


class LocalLinks(NamedTuple):
    """Processes of one machine.

    Attributes:
        latency: seconds, of each message.
        bandwidth: bytes a second.
    """

    latency: float
    bandwidth: float

    def all_reduce(self, size: float, devices: int) -> float:
        """Seconds of an all-reduce in a ring: 2 (n - 1) messages of an n-th of the bytes."""
        turns = 2 * (devices - 1)
        return turns * (self.latency + size / devices / self.bandwidth)


class Cluster(NamedTuple):
    """Nodes of GPUs, as NCCL uses them: ring or tree, whichever is faster.

    Attributes:
        per_node: GPUs in a node.
        node_bandwidth: bytes a second of a GPU to the others of its node, in each direction.
        net_bandwidth: bytes a second of a GPU's share of its node's network, in each direction.
        base: seconds that each collective takes to begin.
        ring_latency: seconds of a message in a ring, within a node and between nodes.
        tree_latency: the same in a tree.
        tree_share: of the ring's bandwidth, what trees reach.
    """

    per_node: int
    node_bandwidth: float
    net_bandwidth: float
    base: float
    ring_latency: tuple[float, float]
    tree_latency: tuple[float, float]
    tree_share: float

    def _ring(self, devices: int) -> tuple[float, float]:
        """Seconds of latency of once around a ring, and its bandwidth."""
        nodes = math.ceil(devices / self.per_node)
        within, between = self.ring_latency
        latency = (devices - nodes) * within + (nodes - 1) * between
        whole_node = self.per_node * self.net_bandwidth  # each GPU's card carries a ring of its own
        return latency, self.node_bandwidth if nodes == 1 else min(self.node_bandwidth, whole_node)

    def gather(self, size: float, devices: int) -> float:
        """Seconds until all devices have all parts of arrays of so many bytes; or a reduce-scatter.

        A ring: n - 1 messages of an n-th of the bytes.
        """
        if devices == 1:
            return 0.0
        latency, bandwidth = self._ring(devices)
        return self.base + latency + (devices - 1) / devices * size / bandwidth

    def all_reduce(self, size: float, devices: int) -> float:
        """Seconds of an all-reduce, by a ring (2 (n - 1) messages) or by a tree."""
        if devices == 1:
            return 0.0
        latency, bandwidth = self._ring(devices)
        ring = self.base + 2 * (latency + (devices - 1) / devices * size / bandwidth)
        nodes = math.ceil(devices / self.per_node)
        within, between = self.tree_latency
        hops = 2 * ((min(devices, self.per_node) - 1) * within + math.log2(nodes) * between)
        tree = self.base + hops + 2 * size / (self.tree_share * bandwidth)
        return min(ring, tree)

    def all_reduce_of_parts(self, size: float, nodes: int) -> float:
        """Seconds until the n-th GPUs of all nodes have summed arrays of so many bytes each."""
        if nodes == 1:
            return 0.0
        between, tree_between = self.ring_latency[1], self.tree_latency[1]
        ring = self.base + 2 * (nodes - 1) * (between + size / nodes / self.net_bandwidth)
        hops = 2 * math.log2(nodes) * tree_between
        tree = self.base + hops + 2 * size / (self.tree_share * self.net_bandwidth)
        return min(ring, tree)


def local_seconds(
    step: Step, messages: int, device: Device, links: LocalLinks | None, n: int
) -> float:
    """How long a step of several processes takes.

    Args:
        step: what each of them has to do.
        messages: how many arrays are summed over all.
        device: what each can do while all others do the same.
        links: between them; None for a single one.
        n: how many there are.
    """
    if links is None:
        return device.seconds(step)
    more = 2 * (n - 1) * (messages - 1) * links.latency
    return device.seconds(step) + more + links.all_reduce(4 * step.parameters, n)


def replicated_seconds(step: Step, device: Device, cluster: Cluster, devices: int) -> float:
    """How long a step takes where each device has all parameters; gradients are float32."""
    return device.seconds(step) + cluster.all_reduce(4 * step.parameters, devices)


def sharded_seconds(step: Step, device: Device, cluster: Cluster, devices: int, over: int) -> float:
    """How long a step takes where ``sharded`` divides every layer's parameters.

    Each layer's are gathered forward and gathered again backward, and the sum of its gradients is
    scattered: three times the bytes that a ring hands on once, where an all-reduce has two.

    Args:
        step: what each device has to do; the update, only of its part.
        device: the hardware.
        cluster: how devices reach each other.
        devices: how many there are.
        over: how many the parameters are divided over: all, or those of a node. The batch is
            divided over all.
    """
    update = 4 * UPDATE_MOVES * step.parameters / device.bandwidth(step)
    passed = sum(3 * cluster.gather(4 * size, over) for size in step.layer_parameters)
    rest = 0.0
    if over < devices:
        rest = cluster.all_reduce_of_parts(4 * step.parameters / over, devices // over)
    return device.seconds(step) - update * (1 - 1 / over) + passed + rest
