"""What a data set looks like in numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnn.data.columns import Column, columns_of, decode
from jaxnn.data.dataset import SPLITS, Dataset
from jaxnn.errors import some
from jaxnn.tasks import classification, regression

_BLOCK = 1 << 20

_MOMENTS = ("lowest", "mean", "highest", "deviation")

_MOST_COLUMNS, _MOST_CATEGORIES, _MOST_TARGETS = 60, 8, 10
"""That are described, of each kind."""

_BINS, _BAR = 10, 30
"""Parts of a target's distribution, and the signs of the longest."""


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
    """Describes a data set: its inputs, column by column those of a table, and its targets."""
    inputs = dataset.train.inputs
    if len(dataset.in_shape) == 1:
        columns = columns_of(dataset)
        counts = [f"{len(columns):,} columns"]
        counts += [f"{dataset.in_shape[0]:,} inputs"] * (len(columns) != dataset.in_shape[0])
        lines = [f"{dataset.name}: {', '.join(counts)}, {inputs.dtype}", ""]
        lines += _columns(columns, dataset.values(inputs))
    else:
        values = statistics(dataset.values(inputs))
        shape = " × ".join(map(str, dataset.in_shape)) or "a single number"
        lines = [
            f"{dataset.name}: {shape}, {inputs.dtype}",
            f"training values from {values.lowest:g} to {values.highest:g}, "
            f"mean {values.mean:.4g}, deviation {values.deviation:.4g}",
        ]
    splits = {name: getattr(dataset, name).targets for name in SPLITS}
    examples = [f"{len(targets):,}" for targets in splits.values()]
    if dataset.task is not regression:
        what = "class" if dataset.task is classification else "label"
        rows = [[what, *splits]]
        counts_of = [_counts(dataset, targets) for targets in splits.values()]
        for k, name in enumerate(dataset.classes):
            rows.append([name, *(f"{counts[k]:,}" for counts in counts_of)])
        return "\n".join([*lines, "", *aligned([*rows, ["all", *examples]])])
    lines += ["", *aligned([["examples", *splits], ["all", *examples]])]
    if inputs.ndim > 1 and len(dataset.out_shape) == 1 and dataset.out_shape[0] <= _MOST_TARGETS:
        values_of = {name: dataset.target_values(targets) for name, targets in splits.items()}
        for k in range(dataset.out_shape[0]):
            called = dataset.targets[k] if dataset.targets else str(k)
            lines += ["", *_target(called, {n: y[:, k] for n, y in values_of.items() if len(y)})]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table of texts, the first column to the left, the others right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([f"{name:<{first}}", *map(str.rjust, cells, others)]).rstrip()
        for name, *cells in rows
    ]


def _counts(dataset: Dataset, targets: np.ndarray) -> np.ndarray:
    """Returns how many examples each class or label has."""
    if dataset.task is classification:
        return np.bincount(targets, minlength=len(dataset.classes))
    return targets.sum(0, dtype=np.int64)


def _columns(columns: Sequence[Column], values: np.ndarray) -> list[str]:
    """Describes columns of a table, whose inputs these are: numbers first, then categories."""
    numbers = [["in training", *_MOMENTS, "missing"]]
    categories = []
    for column, (found, names) in zip(columns, decode(columns, values), strict=True):
        there = found[~np.isnan(found)]
        missing = len(found) - len(there)
        if names is None:
            numbers.append([column.name, *_moments(there), f"{missing:,}" if missing else ""])
            continue
        counts = np.bincount(there.astype(int), minlength=len(names))
        order = np.argsort(-counts, kind="stable")
        listed = some([f"{names[k]} {counts[k]:,}" for k in order], _MOST_CATEGORIES)
        categories.append([column.name, listed + (f"; {missing:,} missing" if missing else "")])
    lines = aligned(numbers[: _MOST_COLUMNS + 1]) if len(numbers) > 1 else []
    if len(numbers) - 1 > _MOST_COLUMNS:
        lines.append(f"{len(numbers) - 1 - _MOST_COLUMNS:,} more columns of numbers")
    if categories:
        width = max(len(name) for name, _ in categories)
        lines += [""] * bool(lines)
        lines += [f"{name:<{width}}  {listed}" for name, listed in categories[:_MOST_COLUMNS]]
    if len(categories) > _MOST_COLUMNS:
        lines.append(f"{len(categories) - _MOST_COLUMNS:,} more columns of categories")
    return lines


def _target(name: str, splits: dict[str, np.ndarray]) -> list[str]:
    """Describes a target in each split, and draws how it is distributed in the training split."""
    rows = [[name, *_MOMENTS], *([split, *_moments(y)] for split, y in splits.items())]
    counts, edges = np.histogram(splits["train"], _BINS)
    bars = [
        [f"{low:.4g} –", f"{high:.4g}", f"{count:,}", "█" * round(_BAR * count / counts.max())]
        for count, low, high in zip(counts, edges, edges[1:], strict=False)
    ]
    widths = [max(len(row[k]) for row in bars) for k in range(3)]
    drawn = ["  ".join([*map(str.rjust, texts, widths), bar]).rstrip() for *texts, bar in bars]
    return [*aligned(rows), "", *drawn]


def _moments(values: np.ndarray) -> list[str]:
    found = statistics(values)
    return [f"{x:.5g}" for x in (found.lowest, found.mean, found.highest, found.deviation)]
