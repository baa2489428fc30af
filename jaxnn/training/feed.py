"""Which examples a step sees, and how they get to the device: all at once, or streamed.

On several devices they are always streamed, and each device is given what it sees of each batch:
there is no copy of the whole on any. The host puts the examples in order, in a thread, which costs
it a copy of them each epoch, and the devices no word to each other.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxnn.data import Dataset, Split
from jaxnn.errors import DataError
from jaxnn.training.devices import put, put_rows
from jaxnn.training.step import Examples

Item = TypeVar("Item")

_STREAMED = 1 / 4
"""Inputs larger than this part of the device's memory are streamed, unless told otherwise."""

_WINDOW_BYTES = 32 << 20
"""How much of the inputs is on its way at once: as much again is trained on meanwhile."""


class Window(NamedTuple):
    """Consecutive steps of one epoch, with the examples that they see on the device.

    Attributes:
        examples: these, and others maybe.
        batches: (steps, batch_size) int32, which of the examples each step sees; two at least.
        first: the step of ``batches[0]``, counted from the start of training.
        end: the step after the last one; what ``batches`` holds after it is of no use.
    """

    examples: Examples
    batches: jax.Array
    first: int
    end: int


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """The number of full batches in the training split.

    Raises:
        ValueError: if there is not one.
        DataError: if the examples are missing.
    """
    if dataset.missing:
        raise DataError(dataset.missing)
    examples = len(dataset.train.targets)
    if not 1 <= batch_size <= examples:
        raise ValueError(
            f"batch_size must be between 1 and the {examples} training examples, got {batch_size}"
        )
    return examples // batch_size


def epoch_batches(seed: int, epoch: int, examples: int, batch_size: int) -> np.ndarray:
    """Which examples each step of an epoch sees, (steps, batch_size) int32."""
    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(examples)
    steps = examples // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)


def is_large(split: Split) -> bool:
    """Whether a split had better be streamed: its inputs would fill a quarter of the device."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    memory = statistics.get("bytes_limit")
    if memory is None and hasattr(os, "sysconf"):  # the device is the host
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory is not None and split.inputs.nbytes > _STREAMED * memory


def resident(split: Split, seed: int, batch_size: int, begin: int, end: int) -> Iterator[Window]:
    """Windows of whole epochs over examples that all lie on the device.

    Args:
        split: the examples.
        seed: what the order of each epoch follows from.
        batch_size: examples a step.
        begin: a step in the first window.
        end: the step after the last one.
    """
    examples = Examples(*jax.tree.map(jnp.asarray, tuple(split)))
    count = len(split.targets)
    steps = count // batch_size
    for epoch in range(begin // steps, end // steps):
        batches = _two_or_more(epoch_batches(seed, epoch, count, batch_size))
        yield Window(examples, jnp.asarray(batches), epoch * steps, (epoch + 1) * steps)


def streamed(
    split: Split,
    seed: int,
    batch_size: int,
    begin: int,
    end: int,
    chunk_steps: int,
    mesh: Mesh | None = None,
) -> Iterator[Window]:
    """Windows of a part of an epoch, with nothing but their own examples, all of one shape.

    The split's inputs may be larger than memory (``numpy.memmap``): each window's are read in the
    order in which they are stored, in a thread, while the window before is trained on.

    Args:
        split: see ``resident``.
        seed: see ``resident``.
        batch_size: see ``resident``.
        begin: see ``resident``.
        end: see ``resident``.
        chunk_steps: windows are cut at multiples of it, if it does not make them too large.
        mesh: of the devices that each batch is divided over; None for one device.
    """
    count = len(split.targets)
    steps = count // batch_size
    bytes_per_step = batch_size * max(1, split.inputs.nbytes // count)
    size = max(1, min(_WINDOW_BYTES // bytes_per_step, steps))
    if size > chunk_steps:
        size -= size % chunk_steps

    def windows() -> Iterator[Window]:
        for epoch in range(begin // steps, end // steps):
            batches = epoch_batches(seed, epoch, count, batch_size)
            skipped = max(begin - epoch * steps, 0)
            for first in range(skipped - skipped % size, steps, size):
                # What is missing in an epoch's last window is its last step again.
                taken = batches[np.minimum(np.arange(first, first + size), steps - 1)]
                rows, places = _in_order(_two_or_more(taken), mesh.size if mesh else 1)
                yield Window(
                    Examples(*put_rows(tuple(split), rows, mesh)),
                    put(places, mesh),
                    epoch * steps + first,
                    epoch * steps + min(first + size, steps),
                )

    return ahead(windows())


def _in_order(batches: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Puts what each of equal parts of every batch sees in the order in which it is stored.

    Returns:
        The rows, part by part, and where among them the examples of the batches are.
    """
    steps = len(batches)
    rows = batches.reshape(steps, parts, -1).swapaxes(0, 1).reshape(parts, -1)
    order = np.argsort(rows, axis=1, kind="stable")
    places = np.empty(rows.size, np.int32)
    firsts = rows.shape[1] * np.arange(parts)[:, None]
    places[(firsts + order).reshape(-1)] = np.arange(rows.size, dtype=np.int32)
    by_step = places.reshape(parts, steps, -1).swapaxes(0, 1).reshape(steps, -1)
    return np.take_along_axis(rows, order, axis=1).reshape(-1), by_step


def _two_or_more(batches: np.ndarray) -> np.ndarray:
    """The batches, a single one twice: where there is but one, XLA compiles another program."""
    return np.resize(batches, (max(len(batches), 2), batches.shape[1]))


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made in a thread while the one before is used."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
