"""The same training on any number of devices and processes: a script, for each of the processes.

python tests/device_trainings.py FOLDER ARRANGEMENT PROCESS ADDRESS TRAINING…

Process 0 writes into the folder what each of the trainings has come to.
"""

import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import jax
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
    chain,
    clip_by_global_norm,
    exponential_moving_average,
    muon,
    sgd,
)
from jaxnn.training import fit, make_mesh
from jaxnn.training.devices import fetched
from jaxnn.training.processes import one_of_several

Wrap = Callable[[Layer], Layer]


class Arrangement(NamedTuple):
    """How many processes there are, each of how many devices, and the mesh of them all."""

    processes: int
    devices: int
    data: int
    parameters: int


ALONE = Arrangement(1, 1, 1, 1)
ARRANGEMENTS = [
    Arrangement(processes, devices, processes * devices // parameters, parameters)
    for processes, devices in ((1, 4), (2, 1), (4, 1), (2, 2))
    for parameters in (1, 2, 4)
    if parameters <= processes * devices
]


def dense_network(wrap: Wrap) -> Layer:
    body = (wrap(dense(16)), relu(), dropout(0.3), wrap(rematerialize(dense(12))), tanh())
    return serial(flatten(), *body, wrap(dense(3)))


def conv_network(wrap: Wrap) -> Layer:
    first = wrap(serial(conv2d(8, bias=False), batch_norm(), relu()))
    second = (wrap(conv2d(4, bias=False)), batch_norm(), relu())
    return serial(first, *second, flatten(), dropout(0.2), wrap(dense(3)))


NETWORKS = {"dense": dense_network, "conv": conv_network}


def everything() -> Optimizer:
    """What needs whole matrices, norms over all parameters, and arrays like the parameters."""
    inner = chain(clip_by_global_norm(0.5), muon(0.02, steps=2), exponential_moving_average(0.9))
    return accumulate(inner, 3)


class Training(NamedTuple):
    """A training, and how far apart two of it may be."""

    network: str
    optimizer: Callable[[], Optimizer]
    steps: int
    float64: bool
    tolerance: float


TRAININGS = {
    **{f"{name} in float64": Training(name, everything, 100, True, 1e-9) for name in NETWORKS},
    **{
        f"{name} in float32": Training(name, lambda: sgd(0.05, momentum=0.9), 10, False, 1e-5)
        for name in NETWORKS
    },
}


@functools.cache
def dataset() -> Dataset:
    """Few images, whose classes have weights."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (67, 5, 5, 2)).astype(np.uint8)
    made = from_arrays(images, rng.integers(0, 3, 67), validation=11, test=0)
    return made._replace(class_weights=np.array([0.5, 1.0, 1.5]))


def trained(training: Training, data: int, parameters: int) -> list[np.ndarray]:
    """Everything that a training ends with and has reported, on so many devices."""
    jax.config.update("jax_enable_x64", training.float64)
    wrap: Wrap = sharded if parameters > 1 else lambda layer: layer
    reports = fit(
        NETWORKS[training.network](wrap),
        softmax_cross_entropy,
        training.optimizer(),
        dataset(),
        batch_size=8,
        epochs=-(-training.steps // 7),
        augment=augmentation.compose([augmentation.flip(), augmentation.mixup(0.4, classes=3)]),
        mesh=make_mesh(data, parameters),
    )
    numbers: list[float] = []
    for report in reports:
        found = report.validation
        assert found is not None
        numbers += [report.loss, report.accuracy, found.loss, found.accuracy]
    state = report.train_state._replace(key=jax.random.key_data(report.train_state.key))
    leaves = jax.tree.leaves(fetched(state))
    return [np.array(numbers), *(np.asarray(leaf, np.float64) for leaf in leaves)]


def main() -> None:
    folder, arrangement, process, address, *names = sys.argv[1:]
    processes, _, data, parameters = map(int, arrangement.split(","))
    with one_of_several(address, processes, int(process)) if processes > 1 else nullcontext():
        for name in names:
            found = trained(TRAININGS[name], data, parameters)
            if process == "0":
                np.savez(Path(folder) / f"{arrangement} {name}.npz", *found)


if __name__ == "__main__":
    main()
