"""Tables: CSV files with a row for each example, and columns of features and of targets.

A file is taken as it is or refused: nothing is guessed, and nothing filled in or left out unless
that is asked for. What is wrong with it is said with its line.
"""

import csv as csv_format
import difflib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxnn.data.centring import Splits, store_splits
from jaxnn.data.columns import Cells, Column, Reader, encode_as, learn, read_number
from jaxnn.data.dataset import Dataset, Split, normalization
from jaxnn.data.division import divide
from jaxnn.data.download import find_data
from jaxnn.data.names import MISSING, class_name, class_names, data_name
from jaxnn.data.targets import store_targets
from jaxnn.errors import DataError, some
from jaxnn.files import DAMAGED, open_plain
from jaxnn.tasks import TASKS, Task, TaskName, classification, multilabel, regression

Row = tuple[int, list[str]]
"""The number of a row's last line, and its fields."""


def csv(
    path: str | Path,
    *,
    target: str | list[str],
    validation: float | int = 0.1,
    test: float | int = 0.2,
    ignore: list[str] | None = None,
    delimiter: str = ",",
    normalize: Literal["standard", "none"] = "standard",
    task: TaskName | None = None,
    categories: list[str] | None = None,
    missing: Literal["refuse", "mean"] = "refuse",
    balance: Literal["weights"] | None = None,
) -> Dataset:
    r"""Loads a table of your own as a data set.

    The first line names the columns. One of them, or several, are targets; all others are features:
    finite numbers, or categories if the first value is no number. Each category in the training
    split is an input of its own, 1 where the column has it and else 0, called ``colour=red``; an
    unknown one in the other splits is said, and all these inputs are 0 for it. White space around a
    field, and blank lines, do not count.

    The targets say what the task is, unless ``task`` does: where one is a number that is no
    integer, numbers are to be learnt; several columns of 0 and 1 say which of their names an
    example has; else a single column holds the name of each example's class. Classes are numbered
    in the order of their names, by value if all are numbers. The division into splits is a function
    of the order of the rows and their classes alone, and spreads each class evenly: see ``divide``.

    Args:
        path: a text file in UTF-8, plain or gzip, relative to the working directory or else to the
            data folder.
        target: the name of the column that holds the target, or the names of several.
        validation: how many examples to hold out for validation: a whole number of them, or a
            fraction of all.
        test: how many to hold out for test, likewise; at least one example.
        ignore: columns to leave out, such as row numbers.
        delimiter: what separates fields; "\t" for a tab.
        normalize: "standard" (each column of numbers has mean 0 and deviation 1 in the training
            split, or is 0 if it is constant there; inputs of categories stay 0 and 1, for a rare
            one would become large) or "none". With "none", target numbers are taken as they are,
            too; else they are standardized.
        task: "classification", "regression" or "multilabel"; by default, what the targets are.
        categories: columns of categories whose names look like numbers, such as years or codes.
        missing: "refuse" values that are missing, or replace them by the column's "mean" in the
            training split; of categories, by none. Where one is missing there, the column has one
            more input, 1 where it is missing and else 0, called ``age is missing``.
        balance: "weights" to count each class alike in the loss, whatever its number of examples:
            one of class k counts n / (K nₖ), of n training examples in K classes.

    Returns:
        The data set, named after the file; inputs (n, features) float32 in the order of the
        columns, of which mean and deviation are (features,). Columns that float32 would round are
        centred first: see ``Centring``.

    Raises:
        DataError: the file cannot be read, or is not such a table.
        ValueError: ``validation``, ``test`` or ``delimiter`` is not one that it can be,
            ``normalize`` is unknown, or ``balance`` is given where there are no classes.
    """
    path = find_data(path)
    rows = _rows(path, delimiter)
    _, header = next(rows, (0, []))
    header = [class_name(name) for name in header]
    wanted = [class_name(name) for name in ([target] if isinstance(target, str) else target)]
    ignore = [class_name(name) for name in ignore or []]
    named = [class_name(name) for name in categories or []]
    target_columns, features = _choose(path, header, wanted, ignore, named)

    fields = [_Target(path, name, [], []) for name in wanted]
    readers = [
        Reader(path, name, categories=name in named or None, missing=missing == "mean")
        for name in (header[i] for i in features)
    ]
    for line, row in rows:
        _check_length(path, line, row, header, delimiter)
        for reader, i in zip(readers, features, strict=True):
            reader.add(line, row[i])
        for column, i in zip(fields, target_columns, strict=True):
            column.lines.append(line)
            column.fields.append(row[i])

    kind = _task(path, fields, task)
    targets, classes = _read_targets(fields, kind)
    if balance and kind is not classification:
        raise ValueError(f"balance: the task is a {kind.name}, without classes. Leave it out")
    cells = {reader.name: reader.cells() for reader in readers}
    raw = np.stack([column.values for column in cells.values()], 1)
    splits = divide(Split(raw, targets), validation=validation, test=test)
    if not len(splits[2].targets):
        raise ValueError(f"test = {test}: at least one example is needed for test")
    columns, splits = _encoded(path, cells, splits, fill=missing == "mean")
    inputs = tuple(name for column in columns for name in column.inputs)
    stored, centring = store_splits(path, splits, normalize, inputs)
    mean, deviation = normalization(stored[0].inputs, normalize)
    measured = np.array([number for column in columns for number in column.measured])
    if normalize == "standard" and not measured.all():
        mean, deviation = np.where(measured, mean, 0), np.where(measured, deviation, 1)
    scale = weights = None
    if kind is regression:
        stored, scale = store_targets(path, stored, wanted, scaled=normalize != "none")
    if balance:
        counts = np.bincount(stored[0].targets, minlength=len(classes))
        weights = (counts.sum() / (len(classes) * np.maximum(counts, 1))).astype(np.float32)
    return Dataset(
        data_name(path),
        *stored,
        classes,
        mean,
        deviation,
        centring=centring,
        features=inputs,
        task=kind,
        targets=tuple(wanted) if kind is regression else (),
        target_scale=scale,
        class_weights=weights,
        columns=columns,
    )


class Table(NamedTuple):
    """Rows to predict for.

    Attributes:
        header: the names of the columns.
        rows: the fields of each row.
        inputs: (rows, inputs) float64, what they are to a network.
    """

    header: list[str]
    rows: list[list[str]]
    inputs: np.ndarray


def read_table(path: str | Path, columns: Sequence[Column], *, delimiter: str = ",") -> Table:
    """Reads rows to predict for; columns are found by their names, others may be there too.

    What training did not have, such as an unknown category, is said on stderr.

    Args:
        path: a text file as ``csv`` reads it.
        columns: what was learnt.
        delimiter: what separates fields.

    Raises:
        DataError: if the file cannot be read, or is not such a table.
        ValueError: if ``delimiter`` is not one that it can be.
    """
    path = find_data(path)
    rows = _rows(path, delimiter)
    _, header = next(rows, (0, []))
    names = [class_name(name) for name in header]
    _check_columns(path, names, [column.name for column in columns])
    readers = [
        Reader(
            path,
            column.name,
            categories=column.categories is not None,
            missing=column.fill is not None,
            learning=False,
        )
        for column in columns
    ]
    places = [names.index(column.name) for column in columns]
    found = []
    for line, row in rows:
        _check_length(path, line, row, header, delimiter)
        for reader, i in zip(readers, places, strict=True):
            reader.add(line, row[i])
        found.append(row)
    if not found:
        raise DataError(f"{path}: expected rows to predict for, found none below the header")
    cells = {reader.name: reader.cells() for reader in readers}
    return Table(header, found, encode_as(path, columns, cells))


def _check_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises DataError unless each column that was learnt is there, once."""
    others = [name for name in header if name not in wanted]
    lacking = []
    for name in wanted:
        if name not in header:
            near = difflib.get_close_matches(name, others, n=1) or [
                other for other in others if other.casefold() == name.casefold()
            ]
            lacking.append(f"{name!r}" + (f" (is it {near[0]!r}?)" if near else ""))
    if lacking:
        there = some(list(map(repr, header))) or "nothing"
        hint = "; is another delimiter needed?" if len(header) == 1 else ""
        raise DataError(
            f"{path}, line 1: expected the {len(wanted)} columns that the network was trained on, "
            f"in any order; missing {some(lacking)}; found {there}. Rename or add them{hint}"
        )
    if twice := [name for name in wanted if header.count(name) > 1]:
        raise DataError(f"{path}, line 1: found {twice[0]!r} for more than one column. Rename them")


def _check_length(
    path: Path, line: int, row: list[str], header: Sequence[str], delimiter: str
) -> None:
    if len(row) != len(header):
        raise DataError(
            f"{path}, line {line}: expected {len(header)} fields, one for each column, found "
            f"{len(row)}. Mend the line; a field that holds {delimiter!r} needs quotes"
        )


def _encoded(
    path: Path, cells: dict[str, Cells], splits: Splits, *, fill: bool
) -> tuple[tuple[Column, ...], Splits]:
    """Learns from the training split how columns become inputs, and makes those of all three."""

    def table(rows: np.ndarray) -> dict[str, Cells]:
        pairs = zip(cells.items(), rows.T, strict=True)
        return {name: Cells(values, column.names) for (name, column), values in pairs}

    train, validation, test = splits
    learnt = table(train.inputs)
    columns = tuple(learn(path, name, column, fill=fill) for name, column in learnt.items())
    inputs = [name for column in columns for name in column.inputs]
    if twice := [name for name, count in Counter(inputs).items() if count > 1]:
        raise DataError(f"{path}: two inputs would be called {twice[0]!r}. Rename a column")
    others = table(np.concatenate([validation.inputs, test.inputs]))
    rest = encode_as(path, columns, others)
    made = encode_as(path, columns, learnt), *np.split(rest, [len(validation.targets)])
    first, second, third = (
        split._replace(inputs=part) for split, part in zip(splits, made, strict=True)
    )
    return columns, (first, second, third)


class _Target(NamedTuple):
    """A column of targets as it is in the file."""

    path: Path
    name: str
    lines: list[int]
    fields: list[str]

    def refused(self, row: int, expected: str, advice: str) -> DataError:
        """Returns the error that says what is wrong with one of its fields."""
        field = self.fields[row]
        found = repr(field) if field else "that it is missing"
        if field and field.lower() in MISSING:
            found += ", which says that it is missing"
        return DataError(
            f"{self.path}, line {self.lines[row]}, column {self.name!r}: expected {expected}, "
            f"found {found}. {advice}"
        )


def _task(path: Path, columns: Sequence[_Target], task: TaskName | None) -> Task:
    """Returns the task that is asked for, or that columns of targets are of."""
    if task is not None:
        return TASKS[task]
    fields = {field for column in columns for field in column.fields}
    if any(_is_fraction(field) for field in fields):
        return regression
    if len(columns) == 1:
        return classification
    if fields <= {"0", "1"}:
        return multilabel
    names = some([repr(column.name) for column in columns])
    raise DataError(
        f"{path}: columns {names}: expected numbers, or 0 and 1 for labels, in several targets, "
        f"found {some(sorted(map(repr, fields - {'0', '1'})), 3)}. If they are numbers to be "
        "learnt, add task: regression; a class has a single column"
    )


def _is_fraction(field: str) -> bool:
    try:
        return not read_number(field).is_integer()
    except ValueError:
        return False


def _read_targets(columns: Sequence[_Target], task: Task) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns targets, one for each row, and the names of classes or labels."""
    if task is regression:
        return np.array([_numbers(column) for column in columns]).T, ()
    if task is multilabel:
        for column in columns:
            for row, field in enumerate(column.fields):
                if field not in ("0", "1"):
                    raise column.refused(row, "0 or 1, whether it is so", "Mend the line")
        labels = np.array([column.fields for column in columns]).T == "1"
        return labels.astype(np.float32), tuple(column.name for column in columns)
    (column, *others) = columns
    if others:
        raise DataError(
            f"{column.path}: expected a single column of classes, found the targets "
            f"{column.name!r} and {others[0].name!r}"
        )
    for row, field in enumerate(column.fields):
        if field.lower() in MISSING:
            raise column.refused(
                row,
                "the name of a class",
                "Fill it in or remove the line; a class of such a name needs another one",
            )
    labels = [class_name(field) for field in column.fields]
    names = class_names(labels)
    if len(names) < 2:
        found = f"only {names[0]!r} in all {len(labels)} rows" if names else "no row"
        raise DataError(
            f"{column.path}: expected at least two classes in column {column.name!r}, found "
            f"{found}. Check that it is the column of classes"
        )
    number = {name: k for k, name in enumerate(names)}
    return np.array([number[label] for label in labels], np.int32), tuple(names)


def _numbers(column: _Target) -> list[float]:
    numbers = []
    for row, field in enumerate(column.fields):
        try:
            numbers.append(read_number(field))
        except ValueError as error:
            advice = "Mend or remove the line"
            if field.lower() not in MISSING:
                advice += "; if the column holds names of classes, add task: classification"
            raise column.refused(row, "a finite number", advice) from error
    return numbers


def _rows(path: Path, delimiter: str) -> Iterator[Row]:
    """Reads a file's rows, the header first, without blank lines and white space around fields."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be a single character, not {delimiter!r}")
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
    path: Path,
    header: list[str],
    targets: Sequence[str],
    ignore: Sequence[str],
    categories: Sequence[str],
) -> tuple[list[int], list[int]]:
    """Finds the columns of the targets and of the features by the names in the header."""
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
    if not targets:
        raise DataError(f"{path}: target: expected the name of a column, found none")
    for name in (*targets, *ignore, *categories):
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if len(header) == 1:
                hint = "; is another delimiter needed?"
            raise DataError(
                f"{path}, line 1: expected a column {name!r}, found "
                f"{some(list(map(repr, header)))}{hint}"
            )
    features = [i for i, name in enumerate(header) if name not in {*targets, *ignore}]
    if len({*targets} - {*ignore}) < len(targets) or not features:
        raise DataError(
            f"{path}: expected the target {some(list(map(repr, targets)))} and at least one column "
            f"more that are not among those to ignore, found {some(list(map(repr, header)))}"
        )
    if wrong := [name for name in categories if name in {*targets, *ignore}]:
        raise DataError(
            f"{path}: `categories` names {wrong[0]!r}, which is no feature. Leave it out"
        )
    return [header.index(name) for name in targets], features
