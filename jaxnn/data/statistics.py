"""What a data set looks like in numbers."""

from typing import NamedTuple

import numpy as np

from jaxnn.data.dataset import Dataset

_BLOCK = 1 << 20


class Statistics(NamedTuple):
    """The values of an array, all taken together."""

    lowest: float
    highest: float
    mean: float
    deviation: float


def statistics(values: np.ndarray) -> Statistics:
    """Summarizes the values of an array; in blocks, so that it needs little memory.

    Args:
        values: any shape, any numeric dtype, at least one value.
    """
    flat = values.reshape(-1)
    blocks = [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]
    mean = sum(float(block.sum(dtype=np.float64)) for block in blocks) / flat.size
    squares = sum(float(np.square(block - np.float64(mean)).sum()) for block in blocks)
    return Statistics(
        lowest=float(min(block.min() for block in blocks)),
        highest=float(max(block.max() for block in blocks)),
        mean=mean,
        deviation=float(np.sqrt(squares / flat.size)),
    )


def summary(dataset: Dataset) -> str:
    """Describes a data set: the examples of each split and class, the inputs and their values."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = [np.bincount(s.targets, minlength=len(dataset.classes)) for s in splits.values()]
    rows = [["class", *splits]]
    for k, name in enumerate(dataset.classes):
        rows.append([name, *(f"{count[k]:,}" for count in counts)])
    rows.append(["all", *(f"{len(split.targets):,}" for split in splits.values())])
    first, *others = (max(len(row[i]) for row in rows) for i in range(4))
    values = statistics(dataset.values(dataset.train.inputs))
    shape = " × ".join(map(str, dataset.in_shape)) or "a single number"
    return "\n".join(
        [
            f"{dataset.name}: {shape}, {dataset.train.inputs.dtype}",
            f"training values from {values.lowest:g} to {values.highest:g}, "
            f"mean {values.mean:.4g}, deviation {values.deviation:.4g}",
            "",
            *(
                "  ".join([f"{name:<{first}}", *map(str.rjust, cells, others)])
                for name, *cells in rows
            ),
        ]
    )
