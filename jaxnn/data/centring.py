"""Numbers that float32 would round, such as times or ids: stored as differences from an offset."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxnn.data.dataset import Normalize, Split
from jaxnn.errors import DataError, some, warn

LARGEST = 1e300
"""Larger numbers are refused: float64 has no place for their differences and squares."""

_ROUNDING = 2.0**-16
"""The part of a column's standard deviation by which its values may be rounded."""

_DEVIATIONS = 2.0**-64, 2.0**64
"""Between these, float32 has room for a column, its deviation and the inverse of that."""

_MOST_NAMED = 5

Splits = tuple[Split, Split, Split]
"""Training, validation and test examples."""


class Centring(NamedTuple):
    """How the columns of a data set are stored: float32 of ``(value - offset) / unit``.

    Attributes:
        offset: (columns,) float64; 0 for a column that float32 holds as it is.
        unit: (columns,) float64, a power of two, by which dividing rounds nothing; 1 for a column
            whose deviation float32 has room for.
    """

    offset: np.ndarray
    unit: np.ndarray

    @property
    def centred(self) -> np.ndarray:
        """Whether each column is not stored as it is, (columns,) bool."""
        return (self.offset != 0) | (self.unit != 1)

    def store(self, values: ArrayLike, names: Sequence[str] = ()) -> np.ndarray:
        """Returns numbers of the source as they are stored: centred in float64, then float32.

        Args:
            values: (..., columns), integers or float64.
            names: the columns' names, for messages.

        Returns:
            Of that shape, float32.

        Raises:
            ValueError: if they are of a narrower floating-point type, which has rounded them
                already, or if float32 cannot hold one even so.
        """
        values = np.asarray(values)
        if values.dtype.kind == "f" and values.dtype.itemsize < 8:
            raise ValueError(
                f"expected numbers as in the source, float64 or integers, got {values.dtype}, "
                f"which is too coarse for {_listed(self.centred, names)}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            return _as_float32((values.astype(np.float64) - self.offset) / self.unit, values, names)

    def restore(self, stored: np.ndarray) -> np.ndarray:
        """Returns stored numbers as they are in the source, float64."""
        return stored.astype(np.float64) * self.unit + self.offset


def find_centring(values: np.ndarray) -> Centring | None:
    """Returns how to store columns; None if float32 holds all of them well.

    It does where no value is rounded by more than 2⁻¹⁶ of the column's standard deviation, and
    this deviation is between 2⁻⁶⁴ and 2⁶⁴. The offset of any other column is the median, one of its
    values, so that differences of whole numbers are whole numbers; it is never further from the
    mean than the standard deviation, and does not hang on how a machine rounds a sum.

    Args:
        values: (examples, columns) float64, of the training split, at most ``LARGEST``.
    """
    deviation = _deviation(values)
    with np.errstate(over="ignore"):
        rounding = np.abs(values - values.astype(np.float32)).max(0)
    room = (deviation >= _DEVIATIONS[0]) & (deviation <= _DEVIATIONS[1])
    well = np.where(deviation > 0, room & (rounding <= _ROUNDING * deviation), rounding < np.inf)
    if well.all():
        return None
    middle = len(values) // 2
    median = np.partition(values, middle, 0)[middle]
    unit = np.where(room | (deviation == 0), 1.0, np.ldexp(1.0, np.frexp(deviation)[1]))
    return Centring(np.where(well, 0.0, median), np.where(well, 1.0, unit))


def store_splits(
    path: str | Path, splits: Splits, normalize: Normalize, names: Sequence[str] = ()
) -> tuple[Splits, Centring | None]:
    """Stores the numbers of a file's splits: uint8 as they are, others as float32.

    Columns that float32 would round are centred if ``normalize`` is "standard"; else they are
    named in a warning on stderr. So is a column that has a single value in the training split, and
    one that varies by less than float64 can represent.

    Args:
        path: the file or what else they come from, for messages.
        splits: inputs (examples, ..., columns), of one numeric type.
        normalize: how they will be normalized.
        names: the names of the columns; by default they are numbered.

    Returns:
        The splits, and how their columns are stored if they are centred.

    Raises:
        DataError: if a number is too large.
    """

    def warn_of(columns: np.ndarray, what: str) -> None:
        if columns.any():
            warn(f"{path}: {_listed(columns, names)}: {what}")

    inputs = splits[0].inputs
    table = inputs.reshape(-1, inputs.shape[-1])
    constant = (table == table[0]).all(0)
    warn_of(constant, "all training examples have the same value")
    if inputs.dtype == np.uint8:
        return splits, None
    centring = None
    if not np.can_cast(inputs.dtype, np.float32):
        table = table.astype(np.float64)
        too_large = np.abs(table) > LARGEST
        if too_large.any():
            raise DataError(
                f"{path}: {_listed(too_large.any(0), names)}: expected numbers up to {LARGEST:g}, "
                f"found {table[too_large][0]:g}"
            )
        steps = np.spacing(np.abs(table).max(0))
        exact = constant | ((steps <= 1) & (table == np.rint(table)).all(0))
        coarse = ~exact & (steps > 2 * _ROUNDING * _deviation(table))
        warn_of(
            coarse,
            "differences are lost, because float64 rounds the numbers. Subtract a constant "
            "in the file",
        )
        centring = find_centring(table)
        if centring is not None and normalize != "standard":
            warn_of(
                centring.centred,
                "differences are lost, because float32 rounds the numbers. Use normalize: standard",
            )
            centring = None
    try:
        train, validation, test = (
            split._replace(
                inputs=_as_float32(split.inputs, split.inputs, names)
                if centring is None
                else centring.store(split.inputs, names)
            )
            for split in splits
        )
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    return (train, validation, test), centring


def _as_float32(numbers: np.ndarray, source: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns numbers, (..., columns), as float32; a ValueError if one does not fit into it."""
    with np.errstate(over="ignore"):
        stored = numbers.astype(np.float32, copy=False)
    wrong = ~np.isfinite(stored)
    if wrong.any():
        columns = np.asarray(wrong.reshape(-1, wrong.shape[-1]).any(0))
        raise ValueError(
            f"{_listed(columns, names)}: found {source[wrong][0]}, for which float32 has no place "
            "beside the values of the training examples"
        )
    return stored


def _deviation(values: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of columns; 0 exactly if all values are equal."""
    differences = values - values[0]
    largest = np.abs(differences).max(0)
    scaled = differences / np.where(largest > 0, largest, 1)  # whose squares are not too small
    return scaled.std(0) * largest


def _listed(columns: np.ndarray, names: Sequence[str] = ()) -> str:
    numbers = np.flatnonzero(columns)
    word = "column" if len(numbers) == 1 else "columns"
    listed = [repr(names[int(k)]) if names else str(k) for k in numbers]
    return f"{word} {some(listed, _MOST_NAMED)}"
