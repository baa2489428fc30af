"""GPUs that nobody has to own for this: published figures, and what the model makes of them."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cost_model.model import Cluster, Device, Step, replicated_seconds, sharded_seconds, step_of
from jaxnn.layers import Layer, dense, relu, serial
from jaxnn.models import resnet20
from jaxnn.optimizers import adam

H100 = Device({1.0: 0.4 * 989e12}, {1.0: 3.35e12}, 10e-6)
CLUSTER = Cluster(
    per_node=8,
    node_bandwidth=450e9,
    net_bandwidth=50e9,
    base=8.4e-6,
    ring_latency=(3.4e-6, 9.6e-6),
    tree_latency=(1.2e-6, 8.5e-6),
    tree_share=0.82,
)
MEMORY = 80e9

ASSUMPTIONS = """\
nodes of 8 NVIDIA H100 SXM (datasheet): 989 TFLOP/s in bfloat16 without sparsity, 3.35 TB/s, 80 GB;
  NVLink, 450 GB/s in each direction; a 400 Gbit/s InfiniBand card for each GPU, 50 GB/s
products reach 40 % of that rate (Llama 3 reports 38-43 % on up to 16,384 H100: arXiv 2407.21783);
  each begins with 10 µs of starting kernels (an assumption)
all-reduce: the faster of NCCL's ring and tree, with the latencies of its own model
  (NVIDIA/nccl, src/graph/tuning.cc; ring: Simple, tree: LL128), and the links' full bandwidth
parameters, gradients and adam's two averages in float32: 16 bytes a parameter; activations, which
  are not counted as memory here, in bfloat16
sharded: each layer that has parameters, by itself; in nodes: over 8 GPUs, else over all of them
gradients are summed when the backward pass has ended, as jaxnn does: nothing is hidden behind it
narrow convolutions (resnet20) reach less than 40 %: their steps take longer, and scale better
nothing of it was measured on a GPU"""


class Workload(NamedTuple):
    """A network to train on many GPUs.

    Attributes:
        name: what it is.
        make: makes it.
        in_shape: the shape of an example.
        batch: examples of a step, over all GPUs, where their number is fixed.
        own: examples of each GPU, where that number is.
    """

    name: str
    make: Callable[[], Layer]
    in_shape: tuple[int, ...]
    batch: int
    own: int


def _dense(units: int, layers: int, classes: int) -> Layer:
    hidden = [layer for _ in range(layers) for layer in (dense(units), relu())]
    return serial(*hidden, dense(classes))


WORKLOADS = (
    Workload("784-1024-1024-10", lambda: _dense(1024, 2, 10), (784,), 65_536, 8_192),
    Workload("resnet20", resnet20, (32, 32, 3), 65_536, 1_024),
    Workload("32 layers of 16,384", lambda: _dense(16_384, 32, 10), (16_384,), 262_144, 4_096),
)

DEVICES = (1, 8, 64, 1024)


class Projection(NamedTuple):
    """A network on so many GPUs, kept in one way.

    Attributes:
        name: the network's.
        kept: "replicated", "sharded" (over all) or "sharded in nodes".
        devices: how many.
        gigabytes: of parameters, gradients and optimizer state on each.
        own_seconds: a step, each GPU with the same number of examples, however many GPUs.
        own_efficiency: of that, the part that one GPU would need.
        batch_seconds: a step, the same batch over all.
        batch_efficiency: one GPU's seconds over those of all GPUs together.
    """

    name: str
    kept: str
    devices: int
    gigabytes: float
    own_seconds: float
    own_efficiency: float
    batch_seconds: float
    batch_efficiency: float

    @property
    def fits(self) -> bool:
        """Whether a GPU has memory for it."""
        return self.gigabytes * 1e9 <= MEMORY


def projections() -> Iterator[Projection]:
    """Yields each workload on each number of GPUs, kept in each way."""
    for load in WORKLOADS:
        for kept in ("replicated", "sharded", "sharded in nodes"):
            for devices in DEVICES[kept != "replicated" :]:
                if kept != "sharded in nodes" or devices > CLUSTER.per_node:
                    yield projection(load, kept, devices)


@functools.cache
def one_example(load: Workload) -> Step:
    """Returns a workload's step with a batch of one example."""
    batch = 8  # sizes of operations that do not depend on it hardly count
    step = step_of(load.make(), load.in_shape, batch, adam(0.001), width=2)
    return step.times(1 / batch)


def projection(load: Workload, kept: str, devices: int) -> Projection:
    """Returns a workload on so many GPUs."""
    step = one_example(load)
    over = {"replicated": 1, "sharded": devices, "sharded in nodes": CLUSTER.per_node}[kept]

    def seconds(batch: float, devices: int) -> float:
        own = step.times(batch)
        if kept == "replicated" or devices == 1:
            return replicated_seconds(own, H100, CLUSTER, devices)
        return sharded_seconds(own, H100, CLUSTER, devices, over)

    largest = max(step.layer_parameters) if over > 1 else 0  # that of the moment is whole
    own, batch = seconds(load.own, devices), seconds(load.batch / devices, devices)
    return Projection(
        load.name,
        kept,
        devices,
        (16 * step.parameters / over + 4 * largest) / 1e9,
        own,
        seconds(load.own, 1) / own,
        batch,
        seconds(load.batch, 1) / (devices * batch),
    )


def limits(load: Workload) -> dict[str, Any]:
    """Returns where replicated data parallel training stops to pay.

    Of a fixed batch: the number of GPUs, a power of 2 up to 1,024, with the shortest step
    ("fastest"), and the largest that keeps half of the efficiency ("half").
    """

    def found(devices: int) -> Projection:
        return projection(load, "replicated", devices)

    counts = [2**i for i in range(11)]
    return {
        "network": load.name,
        "batch": load.batch,
        "fastest": min(counts, key=lambda n: found(n).batch_seconds),
        "half": max(n for n in counts if found(n).batch_efficiency >= 0.5),
    }
