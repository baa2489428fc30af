"""Tables: CSV files with a row for each example, a column for each feature, and one for the class.

A file is taken as it is or refused: nothing is guessed, filled in or left out. What is wrong with
it is said with its line.
"""

import csv as csv_format
import difflib
import io
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxnn.data.centring import LARGEST, store_splits
from jaxnn.data.dataset import Dataset, Split, normalization
from jaxnn.data.division import divide
from jaxnn.data.download import find_data
from jaxnn.data.names import MISSING, class_name, class_names, data_name
from jaxnn.errors import DataError, some
from jaxnn.files import DAMAGED, open_plain

Row = tuple[int, list[str]]
"""The number of a row's last line, and its fields."""


def csv(
    path: str | Path,
    *,
    target: str,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    ignore: list[str] | None = None,
    delimiter: str = ",",
    normalize: Literal["standard", "none"] = "standard",
) -> Dataset:
    r"""Loads a table of your own as a data set.

    The first line names the columns. One of them is the target, the name of each example's class;
    all others are features, which must be finite numbers. White space around a field, and blank
    lines, do not count. Classes are numbered in the order of their names, by value if all are
    numbers. The division into splits is a function of the order of the rows and their classes
    alone, and spreads each class evenly: see ``divide``.

    Args:
        path: a text file in UTF-8, plain or gzip, relative to the working directory or else to the
            data folder.
        target: the name of the column that holds the class.
        validation: how many examples to hold out for validation: a whole number of them, or a
            fraction of all.
        test: how many to hold out for test, likewise; at least one example.
        ignore: columns to leave out, such as row numbers.
        delimiter: what separates fields; "\t" for a tab.
        normalize: "standard" (each column has mean 0 and deviation 1 in the training split, or is
            0 if it is constant there) or "none".

    Returns:
        The data set, named after the file; inputs (n, features) float32 in the order of the
        columns, of which mean and deviation are (features,). Columns that float32 would round are
        centred first: see ``Centring``.

    Raises:
        DataError: the file cannot be read, or is not such a table.
        ValueError: ``validation``, ``test`` or ``delimiter`` is not one that it can be, or
            ``normalize`` is unknown.
    """
    path = find_data(path)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be a single character, not {delimiter!r}")
    rows = _rows(path, delimiter)
    _, header = next(rows, (0, []))
    header = [class_name(name) for name in header]
    target, ignore = class_name(target), [class_name(name) for name in ignore or []]
    target_column, features = _choose(path, header, target, ignore)

    labels: list[str] = []
    values = array("d")
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: expected {len(header)} fields, one for each column, found "
                f"{len(row)}. Mend the line; a field that holds {delimiter!r} needs quotes"
            )
        for i in features:
            try:
                values.append(_number(row[i]))
            except ValueError as error:
                missing = row[i].lower() in MISSING | {"none"}
                found = "that it is missing" if missing else repr(row[i])
                raise DataError(
                    f"{path}, line {line}, column {header[i]!r}: expected a finite number, found "
                    f"{found}. Mend or remove the line, or name the column in `ignore`"
                ) from error
        label = row[target_column]
        if label.lower() in MISSING:
            found = f"{label!r}, which says that it is missing" if label else "that it is missing"
            raise DataError(
                f"{path}, line {line}, column {target!r}: expected the name of a class, found "
                f"{found}. Fill it in or remove the line; a class of such a name needs another one"
            )
        labels.append(class_name(label))

    names = class_names(labels)
    if len(names) < 2:
        found = f"only {names[0]!r} in all {len(labels)} rows" if names else "no row"
        raise DataError(
            f"{path}: expected at least two classes in column {target!r}, found {found}. "
            "Check that it is the column of classes"
        )
    number = {name: k for k, name in enumerate(names)}
    inputs = np.array(values).reshape(len(labels), len(features))
    targets = np.array([number[label] for label in labels], np.int32)
    splits = divide(Split(inputs, targets), validation=validation, test=test)
    if not len(splits[2].targets):
        raise ValueError(f"test = {test}: at least one example is needed for test")
    columns = tuple(header[i] for i in features)
    stored, centring = store_splits(path, splits, normalize, columns)
    mean, deviation = normalization(stored[0].inputs, normalize)
    return Dataset(
        data_name(path), *stored, tuple(names), mean, deviation, centring=centring, features=columns
    )


def _rows(path: Path, delimiter: str) -> Iterator[Row]:
    """Reads a file's rows, the header first, without blank lines and white space around fields."""
    reader = None
    try:
        with open_plain(path) as stream:
            # What is no UTF-8 must not stop the reader before it has come to the line.
            text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
            # A quote may stand after a space; where fields are separated by it, it is no such one.
            reader = csv_format.reader(
                text, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " "
            )
            for row in reader:
                "".join(row).encode()
                fields = [field.strip() for field in row]
                if any(fields) or len(fields) > 1:
                    yield reader.line_num, fields
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) & 0xFF
        line = reader.line_num if reader else 0
        raise DataError(
            f"{path}, line {line}: expected text in UTF-8, found the byte {byte:#04x}. "
            "Save the file as UTF-8"
        ) from error
    except csv_format.Error as error:
        line = reader.line_num if reader else 0
        raise DataError(
            f"{path}, line {line}: expected fields separated by {delimiter!r}, found that "
            f"{error}. Check the quotes"
        ) from error
    except DAMAGED as error:
        raise DataError(
            f"{path}: expected a complete gzip file, found a truncated or damaged one ({error}). "
            "Get an intact copy of the file"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Check the path") from error


def _choose(
    path: Path, header: list[str], target: str, ignore: Sequence[str]
) -> tuple[int, list[int]]:
    """Finds the columns of the target and of the features by the names in the header."""
    if not header:
        raise DataError(f"{path}: expected a line with the names of the columns, found nothing")
    if "" in header:
        raise DataError(
            f"{path}, line 1: expected a name for each column, found none for column "
            f"{header.index('') + 1}. Name it"
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}, line 1: expected different names, found {twice[0]!r} for more than one "
            "column. Rename them"
        )
    for name in (target, *ignore):
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if len(header) == 1:
                hint = "; is another delimiter needed?"
            raise DataError(
                f"{path}, line 1: expected a column {name!r}, found "
                f"{some(list(map(repr, header)))}{hint}"
            )
    features = [i for i, name in enumerate(header) if name != target and name not in ignore]
    if target in ignore or not features:
        raise DataError(
            f"{path}: expected the target {target!r} and at least one column more that are not "
            f"among those to ignore, found {some(list(map(repr, header)))}"
        )
    return header.index(target), features


def _number(field: str) -> float:
    """Reads a finite number of at most ``LARGEST``; a ValueError if it is none."""
    value = float(field)
    if "_" in field or not abs(value) <= LARGEST:  # Python reads 1_000 as 1000, and NaN
        raise ValueError(field)
    return value
