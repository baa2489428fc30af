"""What a data set is: three splits of examples, their targets, and how inputs are normalized."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from jaxnn.arrays import AnyArray, standardized
from jaxnn.tasks import Task, classification, multilabel, regression

if TYPE_CHECKING:
    from jaxnn.data.centring import Centring
    from jaxnn.data.columns import Column

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

Normalize = Literal["standard", "unit", "none"]
"""How a loader chooses ``Dataset.mean`` and ``Dataset.deviation``; see ``normalization``."""

Prepare = Callable[[np.ndarray], np.ndarray]
"""How an image, as ``read_image`` returns it, becomes an example; a DataError if it cannot."""

_BLOCK = 1 << 20
_MANY = 10_000
"""Columns; of more than these, moments are found for many at a time."""


class Split(NamedTuple):
    """Examples and their targets.

    ``len(split)`` is that of the pair, 2; the number of examples is ``len(split.targets)``.
    """

    inputs: np.ndarray
    """(examples, *shape), as stored in the source: uint8, or float32 in tables and arrays.

    Images are (examples, H, W, channels).
    """
    targets: np.ndarray
    """Of a classification (examples,) int32: the number of each example's class.

    Of a regression (examples, numbers) float32, as stored (see ``Dataset.target_scale``); of a
    multilabel task (examples, labels) float32, 0 or 1.
    """


class Dataset(NamedTuple):
    """Training, validation and test examples of one task.

    Inputs stay as small as they are stored; a network is given ``(inputs - mean) / deviation``,
    which ``standardize`` computes wherever the batch happens to live.
    """

    name: str
    train: Split
    validation: Split
    """For choosing hyper-parameters; may be empty. Disjoint from ``train`` and ``test``."""
    test: Split
    classes: tuple[str, ...]
    """The name of each class: target ``k`` means ``classes[k]``; of each label of a multilabel
    task; () for a regression."""
    mean: np.ndarray
    """float32, in the units of the inputs, broadcastable to one example: () or (channels,)."""
    deviation: np.ndarray
    """Like ``mean``; never 0."""
    prepare: Prepare | None = None
    """How an image of any size becomes an example, if in a way of its own; see ``prepare``."""
    centring: "Centring | None" = None
    """How numbers of the source become the inputs, if not as they are; see ``Centring``."""
    features: tuple[str, ...] = ()
    """The name of each input that is a column of a table, or of a category of one; () where they
    have none."""
    missing: str = ""
    """Why there are no examples, if only the rest of the data set is known."""
    task: Task = classification
    """What the targets are."""
    targets: tuple[str, ...] = ()
    """The name of each target of a regression; () where they have none."""
    target_scale: "Centring | None" = None
    """How a regression's numbers become targets: by the mean and the deviation of those for
    training, so that a loss is in units of that deviation; None if they are stored as they are."""
    class_weights: np.ndarray | None = None
    """(classes,) float32, what each example of a class counts in the loss; None: all the same."""
    columns: "tuple[Column, ...]" = ()
    """How the columns of a table in a file become ``features``; see ``Column``."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one example, without the batch axis: (H, W, channels) for images."""
        return self.train.inputs.shape[1:]

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """Returns inputs as they are in the source: float64 if they are stored centred."""
        return inputs if self.centring is None else self.centring.restore(inputs)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of a network's output for one example, which is judged by its target."""
        if self.task is classification:
            return (len(self.classes),)
        return self.train.targets.shape[1:]

    @property
    def output_names(self) -> tuple[str, ...]:
        """What each number that a network puts out stands for: a class, a label or a target."""
        if self.task is not regression or self.targets:
            return self.classes or self.targets
        count = math.prod(self.out_shape)
        return tuple(f"target {k}" if count > 1 else "target" for k in range(count))

    @property
    def asked_for(self) -> str:
        """What a network is asked for, in words: "10 classes", "the target price"."""
        if self.task is not regression:
            return f"{len(self.classes)} {'labels' if self.task is multilabel else 'classes'}"
        if len(self.targets) == 1:
            return f"the target {self.targets[0]}"
        return f"{math.prod(self.out_shape)} targets"

    @property
    def target_center(self) -> np.ndarray | float:
        """What a regression's targets lie around, as they are stored; 0 if not known."""
        if self.task is not regression or self.target_scale is not None or self.missing:
            return 0.0
        return np.asarray(self.train.targets.mean(0, dtype=np.float64), np.float32)

    @property
    def target_unit(self) -> np.ndarray | float:
        """What 1 is of a regression's targets, as they are stored, in the source."""
        return 1.0 if self.target_scale is None else self.target_scale.unit

    def target_values(self, stored: np.ndarray) -> np.ndarray:
        """Returns a regression's targets, or outputs for them, as in the source, float64."""
        if self.target_scale is None:
            return stored.astype(np.float64)
        return self.target_scale.restore(stored)


def standardize(inputs: AnyArray, dataset: Dataset, dtype: Any = np.float32) -> AnyArray:
    """Returns ``(inputs - dataset.mean) / dataset.deviation``, what a network is given.

    Works on NumPy arrays and, inside ``jax.jit`` too, on JAX arrays; the result is of the same
    kind.

    Args:
        inputs: (..., *dataset.in_shape), of any numeric dtype.
        dataset: whose normalization to apply.
        dtype: floating-point dtype of the result. A narrow one (bfloat16) is rounded to once, at
            the end: the arithmetic is done in at least float32.
    """
    return standardized(inputs, dataset.mean, dataset.deviation, dtype)


def hold_out(split: Split, validation: int) -> tuple[Split, Split]:
    """Cuts the last ``validation`` examples off a training split; nothing is copied or shuffled.

    Args:
        split: the examples to divide, in an order where the end is as good as any other part.
        validation: how many examples to hold out; 0 gives an empty second split.

    Returns:
        The remaining training split and the validation split.

    Raises:
        ValueError: ``validation`` is negative, or leaves no example to train on.
    """
    examples = len(split.targets)
    if not 0 <= validation < examples:
        raise ValueError(
            f"validation = {validation} examples cannot be held out of {examples} training "
            f"examples: it must be between 0 and {examples - 1}"
        )
    kept = examples - validation
    return (
        Split(split.inputs[:kept], split.targets[:kept]),
        Split(split.inputs[kept:], split.targets[kept:]),
    )


def normalization(
    inputs: np.ndarray, normalize: Normalize, *, largest: int = 255
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses ``Dataset.mean`` and ``Dataset.deviation`` from training examples.

    Args:
        inputs: (examples, ..., channels), the training split and nothing else: images, or a table,
            whose columns are then the channels.
        normalize: "standard": mean 0 and deviation 1 over all values of ``inputs``, for each
            channel where there are several; "unit": from 0..largest to 0..1; "none": as stored.
        largest: the largest value that the source's pixels can have.

    Returns:
        Mean and deviation, float32: (channels,) for "standard" with several channels, else ().

    Raises:
        ValueError: ``normalize`` is none of the three, or "unit" for inputs that are not uint8.
    """
    if normalize == "standard":
        if inputs.ndim == 2 and inputs.shape[1] > _MANY:
            return _moments_of_many(inputs)
        channels = [_moments(inputs[..., c]) for c in range(inputs.shape[-1])]
        # A channel that is constant has nothing to scale.
        pairs = np.array([(m, d if d > 0 else 1) for m, d in channels], np.float32)
        mean, deviation = pairs[0] if len(pairs) == 1 else pairs.T
        return np.asarray(mean), np.asarray(deviation)
    if normalize == "unit":
        if inputs.dtype != np.uint8:
            raise ValueError(f"normalize: 'unit' is for images of type uint8, not {inputs.dtype}")
        return np.array(0, np.float32), np.array(largest, np.float32)
    if normalize == "none":
        return np.array(0, np.float32), np.array(1, np.float32)
    raise ValueError(f"normalize must be 'standard', 'unit' or 'none', not {normalize!r}")


def _moments_of_many(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation of columns, as ``normalization`` does, many columns at a time."""
    moments = np.empty((2, table.shape[1]), np.float32)
    columns = max(1, _BLOCK // len(table))
    for start in range(0, table.shape[1], columns):
        part = table[:, start : start + columns].astype(np.float64)
        constant = (part == part[0]).all(0)
        deviation = part.std(0)
        moments[0, start : start + columns] = np.where(constant, part[0], part.mean(0))
        moments[1, start : start + columns] = np.where(constant | (deviation == 0), 1, deviation)
    return moments[0], moments[1]


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Returns mean and standard deviation; exactly 0 where all values are equal."""
    if values.dtype != np.uint8:
        if (values == values.flat[0]).all():
            return float(values.flat[0]), 0.0
        return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    # Counting how often each of the 256 values occurs is exact, and needs little memory in blocks,
    # be the values mapped from a file that is larger than memory.
    counts = np.zeros(256, np.int64)
    rows = max(1, _BLOCK // values[0].size)
    for start in range(0, len(values), rows):
        counts += np.bincount(values[start : start + rows].reshape(-1), minlength=256)
    levels = np.arange(256)
    mean = float(counts @ levels / values.size)
    return mean, float(np.sqrt(counts @ np.square(levels - mean) / values.size))
