"""Streaming data to the device."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Row, compared
from jaxnn.data import Dataset, Split
from jaxnn.layers import dense, flatten, relu, serial
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.training import fit


def measure(pairs: int) -> Iterator[Row]:
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
    yield compared("stream", sizes, "all on the device", times)
