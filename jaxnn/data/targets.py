"""Targets that are numbers: checked, and stored in units of their deviation."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnn.data.centring import LARGEST, Centring, Splits
from jaxnn.errors import DataError, some


def store_targets(
    place: str | Path, splits: Splits, names: Sequence[str], *, scaled: bool
) -> tuple[Splits, Centring | None]:
    """Stores the target numbers of a source's splits as float32.

    Args:
        place: where they come from, for messages.
        splits: targets (examples, numbers), of any numeric type.
        names: what the numbers are called, for messages.
        scaled: whether they are standardized: ``(value - offset) / unit`` in float64, with mean and
            deviation of the training split. The sums are rounded once, so these are the same on
            every machine.

    Returns:
        The splits, and how their targets are scaled; None if they are not.

    Raises:
        DataError: if a number is not finite or too large, or a target is the same in all training
            examples.
    """
    values = [np.asarray(split.targets, np.float64) for split in splits]
    for y in values:
        wrong = ~(np.abs(y) <= LARGEST)
        if wrong.any():
            where = np.argwhere(wrong)[0]
            raise DataError(
                f"{place}: target {names[where[-1]]!r}: expected finite numbers up to "
                f"{LARGEST:g}, found {y[tuple(where)]:g}. Leave such examples out"
            )
    moments = [_moments(column) for column in values[0].T]
    if same := [name for name, (_, deviation) in zip(names, moments, strict=True) if not deviation]:
        raise DataError(
            f"{place}: target {some(list(map(repr, same)))}: expected different numbers, found a "
            "single one in all training examples: there is nothing to learn. Check that it is the "
            "right target"
        )
    scale = Centring(*np.array(moments).T) if scaled else None
    with np.errstate(over="ignore"):
        scaled_values = [y if scale is None else scale.store(y, names) for y in values]
        stored = [y.astype(np.float32) for y in scaled_values]
    if not all(np.isfinite(y).all() for y in stored):
        raise DataError(f"{place}: a target is too large for float32. Use other units")
    train, validation, test = (
        split._replace(targets=y) for split, y in zip(splits, stored, strict=True)
    )
    return (train, validation, test), scale


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Returns mean and standard deviation, the sums rounded once; exactly 0 for equal values."""
    first = float(values[0])
    differences = values - first
    largest = float(np.abs(differences).max())
    if not largest:
        return first, 0.0
    mean = math.fsum(differences / largest) / len(values)
    squares = math.fsum((differences / largest - mean) ** 2) / len(values)
    return first + mean * largest, math.sqrt(squares) * largest
