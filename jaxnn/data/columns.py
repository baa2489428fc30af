"""Columns of a table: numbers and categories, and the inputs of a network that become of them."""

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnn.data.centring import LARGEST
from jaxnn.data.dataset import Dataset
from jaxnn.data.names import MISSING, class_name, class_names
from jaxnn.errors import DataError, some, warn

MOST_CATEGORIES = 1000
"""A column of more is refused: each would be an input of its own."""

_NAMED = 5
_NO_NUMBER = MISSING | {"none"}


class Cells(NamedTuple):
    """What stands in a column, row by row.

    Attributes:
        values: (rows,) float64, NaN where the value is missing: numbers, or of categories the
            places of their names.
        names: the categories; None of numbers.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None


class Column(NamedTuple):
    """How a column becomes inputs; the training rows decide.

    Attributes:
        name: what it is called.
        categories: the values that are known, each an input that is 1 where the column has it and
            else 0; None of numbers, which are an input themselves.
        fill: the number that stands for a missing one, the mean in training; of categories 0, for
            none of them has an input of 1 then. None where a missing value is refused.
        indicator: whether there is one more input, 1 where the value is missing and else 0: where
            one was missing in training.
    """

    name: str
    categories: tuple[str, ...] | None = None
    fill: float | None = None
    indicator: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, such as ``age``, ``colour=red`` and ``age is missing``."""
        own = [self.name]
        if self.categories is not None:
            own = [f"{self.name}={category}" for category in self.categories]
        return (*own, *[f"{self.name} is missing"] * self.indicator)

    @property
    def measured(self) -> list[bool]:
        """Of each input, whether it is a number; others are 0 or 1."""
        return [self.categories is None and name == self.name for name in self.inputs]


def learn(place: object, name: str, cells: Cells, *, fill: bool) -> Column:
    """Returns how a column becomes inputs.

    Args:
        place: the file, for messages.
        name: what the column is called.
        cells: what it has in the training rows.
        fill: whether missing values are replaced; else there are none.

    Raises:
        DataError: if all that it has is missing.
    """
    missing = np.isnan(cells.values)
    there = cells.values[~missing]
    if not there.size:
        raise DataError(
            f"{place}: column {name!r}: it is missing in every row of training. Name it in `ignore`"
        )
    indicator = bool(missing.any())
    if cells.names is None:
        # A sum that is rounded once is the same on every machine.
        return Column(name, None, math.fsum(there) / len(there) if fill else None, indicator)
    known = class_names(cells.names[int(k)] for k in np.unique(there))
    return Column(name, tuple(known), 0.0 if fill else None, indicator)


def encode(column: Column, cells: Cells) -> np.ndarray:
    """Returns a column's inputs, (rows, inputs) float64."""
    missing = np.isnan(cells.values)
    if column.categories is None:
        parts = [np.where(missing, column.fill or 0, cells.values)[:, None]]
    else:
        number = {name: k for k, name in enumerate(column.categories)}
        known = np.array([*(number.get(name, -1) for name in cells.names or ()), -1])
        places = known[np.where(missing, -1, cells.values).astype(int)]
        parts = [places[:, None] == np.arange(len(column.categories))]
    return np.concatenate([*parts, *[missing[:, None]] * column.indicator], 1, dtype=np.float64)


def encode_as(place: object, columns: Sequence[Column], cells: Mapping[str, Cells]) -> np.ndarray:
    """Returns a table's inputs, (rows, inputs) float64, by columns that were learnt.

    What training did not have is said on stderr.

    Args:
        place: the table, for messages.
        columns: how its columns become inputs.
        cells: what stands in each of them, by name.

    Raises:
        DataError: if one has categories in place of numbers or the other way round, or misses
            values that are refused.
    """
    for column in columns:
        found = cells[column.name]
        if (found.names is None) is not (column.categories is None):
            kinds = ("categories", "numbers")
            learnt, now = kinds if found.names is None else reversed(kinds)
            raise DataError(
                f"{place}: column {column.name!r}: expected {learnt}, which were learnt, found "
                f"{now}. Give them back"
            )
        numbers = column.categories is None
        if numbers and column.fill is None and np.isnan(found.values).any():
            raise DataError(
                f"{place}: column {column.name!r}: values are missing, which was refused in "
                "training. Fill them in"
            )
        say_replaced(place, column, found)
    return np.concatenate([encode(column, cells[column.name]) for column in columns], 1)


def columns_of(dataset: Dataset) -> tuple[Column, ...]:
    """Returns a table's columns; those of one that is given as an array are all numbers.

    Where they have no names, they are numbered from 0.
    """
    names = dataset.features or map(str, range(dataset.in_shape[0]))
    return dataset.columns or tuple(map(Column, names))


def decode(columns: Sequence[Column], inputs: np.ndarray) -> list[Cells]:
    """Returns what stands in columns whose inputs these are.

    A category that is not known is missing then, and a number that is missing where none was in
    training is what has replaced it.

    Args:
        columns: all of the table.
        inputs: (rows, inputs) of them, as ``encode`` returns them one beside the other.
    """
    found, start = [], 0
    for column in columns:
        part = inputs[:, start : start + len(column.inputs)]
        start += len(column.inputs)
        own = part[:, : len(column.inputs) - column.indicator]
        if column.categories is None:
            values, missing = own[:, 0], part[:, -1] > 0 if column.indicator else False
        else:
            values, missing = own.argmax(1), own.max(1, initial=0) == 0
        found.append(Cells(np.where(missing, np.nan, values), column.categories))
    return found


def say_replaced(place: object, column: Column, cells: Cells) -> None:
    """Warns of what a column has that training did not have, and says what is done about it."""
    missing = np.isnan(cells.values)
    if missing.any() and not column.indicator:
        done = "taken for none of its categories"
        if column.categories is None:
            done = f"replaced by its mean in training, {column.fill:.6g}"
        values = "1 missing value" if missing.sum() == 1 else f"{missing.sum():,} missing values"
        warn(
            f"{place}: column {column.name!r}: {values}, where none was missing in training: {done}"
        )
    if column.categories is not None and cells.names is not None:
        counts = Counter(cells.names[int(k)] for k in cells.values[~missing])
        others = sorted(counts.keys() - set(column.categories))
        unknown = [f"{name!r} in {counts[name]:,} row{'s'[: counts[name] - 1]}" for name in others]
        if unknown:
            warn(
                f"{place}: column {column.name!r}: no row of training has the category "
                f"{some(unknown, _NAMED)}: taken for none of those that are known"
            )


class Reader:
    """Reads a column, field by field.

    The first value decides whether they are numbers or categories; one of the other kind is then
    refused, for it may be a mistake.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        categories: bool | None = None,
        missing: bool = False,
        learning: bool = True,
    ) -> None:
        """Starts before the first row.

        Args:
            path: the file, for messages.
            name: of the column.
            categories: whether it has categories, of whatever text; None for: the data decide.
            missing: whether values may be missing.
            learning: whether the column is learnt from; else it is only predicted for, and a
                message does not say how to leave it out.
        """
        self._path, self.name = path, name
        self._categories, self._missing, self._learning = categories, missing, learning
        self._values = array("d")
        self._names: dict[str, int] = {}
        self._first = 0, ""
        self._nones: list[tuple[int, int]] = []  # in numbers it is missing, else a category

    def add(self, line: int, field: str) -> None:
        """Reads the field of a row.

        Raises:
            DataError: if it is missing where that may not be, of the wrong kind, or one category
                too many; the message has the line.
        """
        if self._categories is False:
            try:
                self._values.append(read_number(field))
            except ValueError as error:
                if field.lower() not in _NO_NUMBER:
                    raise self._refused(line, "a finite number", repr(field)) from error
                self._miss(line)
        elif field.lower() in MISSING:
            self._miss(line)
        elif self._categories:
            self._values.append(self._place(line, field))
        elif field.lower() in _NO_NUMBER:  # or a category, as will be seen
            self._nones.append((line, len(self._values)))
            self._values.append(np.nan)
        else:
            self._decide(line, field)
            self.add(line, field)

    def cells(self) -> Cells:
        """Returns what was read."""
        if self._categories is None and self._nones:
            self._decide(self._nones[0][0], "none")
        return Cells(np.array(self._values), tuple(self._names) if self._categories else None)

    def _decide(self, line: int, field: str) -> None:
        """Takes the first value for one of numbers or of categories."""
        self._categories, self._first = not _is_number(field), (line, field)
        for at, row in self._nones:
            if self._categories:
                self._values[row] = self._place(at, "none")
            elif not self._missing:
                raise self._refused(at, "a finite number", "that it is missing")

    def _miss(self, line: int) -> None:
        if not self._missing:
            expected = "a category" if self._categories else "a finite number"
            raise self._refused(line, expected, "that it is missing")
        self._values.append(np.nan)

    def _place(self, line: int, field: str) -> int:
        first, example = self._first
        if first and _is_number(field):
            raise self._refused(
                line, f"a category, as {example!r} in line {first}", f"the number {field!r}"
            )
        place = self._names.setdefault(class_name(field), len(self._names))
        if self._learning and place == MOST_CATEGORIES:
            raise DataError(
                f"{self._path}, line {line}, column {self.name!r}: found more than "
                f"{MOST_CATEGORIES:,} categories, {some(list(map(repr, self._names)), 3)}, each of "
                "which would be an input of its own. Name the column in `ignore`, or put fewer, "
                "wider categories into the file"
            )
        return place

    def _refused(self, line: int, expected: str, found: str) -> DataError:
        """Returns the error of a field, with what can be done about it."""
        missing = found == "that it is missing"
        advice = "Mend or remove the line"
        if self._learning and missing:
            advice += ", say `missing: mean`, or name the column in `ignore`"
        elif self._learning:
            advice += ", or name the column in `ignore`, or in `categories` if its values are names"
        return DataError(
            f"{self._path}, line {line}, column {self.name!r}: expected {expected}, found "
            f"{found}. {advice}"
        )


def read_number(field: str) -> float:
    """Reads a finite number of at most ``LARGEST``; a ValueError if it is none."""
    value = float(field)
    if "_" in field or not abs(value) <= LARGEST:  # Python reads 1_000 as 1000, and NaN
        raise ValueError(field)
    return value


def _is_number(field: str) -> bool:
    """Returns whether a field is meant as a number, be it one that is not allowed."""
    try:
        float(field)
    except ValueError:
        return False
    return True
