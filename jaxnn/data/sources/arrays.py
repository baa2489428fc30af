"""Arrays as a data set: inputs and their targets, divided into splits or given so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnn.data.centring import store_splits
from jaxnn.data.dataset import SPLITS, Dataset, Normalize, Split, SplitName, normalization
from jaxnn.data.division import divide
from jaxnn.data.names import MISSING, class_name
from jaxnn.data.targets import store_targets
from jaxnn.errors import DataError, warn
from jaxnn.tasks import TASKS, Task, TaskName, classification, multilabel, regression

Pair = tuple[Any, Any]
"""Inputs and targets: NumPy arrays, JAX arrays, or anything that ``numpy.asarray`` takes."""


def from_arrays(
    x: Any,
    y: Any,
    *,
    validation: float | int | Pair | None = None,
    test: float | int | Pair | None = None,
    classes: Sequence[str] | None = None,
    normalize: Normalize = "standard",
    name: str = "arrays",
    task: TaskName | None = None,
    targets: Sequence[str] | None = None,
) -> Dataset:
    """Makes a data set of arrays: NumPy's, JAX's, or anything that ``numpy.asarray`` takes.

    Splits that are not given are taken from ``x`` and ``y``: a function of the order of the
    examples and their classes alone, which spreads each class evenly (see ``divide``).

    The targets say what the task is, unless ``task`` does: integers and names are classes,
    floating-point numbers are numbers to be learnt, and rows of integers 0 and 1 say which of
    several labels an example has.

    Args:
        x: inputs, (examples, features), (examples, height, width) or (examples, height, width,
            channels): uint8, or other numbers, which are stored as float32.
        y: the class of each example, (examples,): integers from 0, or names. Or the numbers of
            each, (examples,) or (examples, targets). Or its labels, (examples, labels), 0 and 1.
        validation: the examples for validation, a pair ``(x, y)``; or how many of the examples to
            hold out for it: a whole number of them, or a fraction. By default 0.1.
        test: the same for test. By default 0.2.
        classes: the name of each class; by default the names in ``y``, sorted, or "0", "1", … up to
            its largest number. Or of each label; by default "0", "1", ….
        normalize: "standard" (the training split has mean 0 and deviation 1, for each of the last
            axis' channels or columns), "unit" (value / 255; for uint8 only) or "none". With "none",
            target numbers are taken as they are, too; else they are standardized.
        name: what the data set is called.
        task: "classification", "regression" or "multilabel"; by default, what the targets are.
        targets: the name of each number to be learnt; by default "y", or "y0", "y1", ….

    Returns:
        The data set. Inputs that are uint8 stay so, where (examples, H, W) are grey images and get
        an axis for their channel; others are float32. Columns or channels that float32 would round
        are centred first: see ``Centring``.

    Raises:
        DataError: if arrays are not such ones, do not fit each other, or have a single class.
        ValueError: if ``validation`` or ``test`` is not one that it can be, or ``normalize`` is
            unknown or does not fit.
    """
    parts: dict[SplitName, Part] = {"train": _part("x", x, "y", y)}
    shares: dict[SplitName, float | int] = {}
    given: dict[SplitName, Any] = {"validation": validation, "test": test}
    for split, value in given.items():
        if isinstance(value, tuple | list) and len(value) == 2:
            if not len(value[0]):
                raise DataError(f"from_arrays: {split}[0] has no example; for none, give 0")
            parts[split] = _part(f"{split}[0]", value[0], f"{split}[1]", value[1])
        elif isinstance(value, int | float | np.number) and value == 0:  # none: order stays
            x, y = (np.atleast_1d(array)[:0] for array in (parts["train"].x, parts["train"].y))
            parts[split] = parts["train"]._replace(x=x, y=y)
        elif isinstance(value, int | float | np.number):
            shares[split] = value if isinstance(value, int | float) else value.item()
        elif value is not None:
            raise ValueError(
                f"{split}: expected a pair (x, y), a number of examples or a fraction of them, got "
                f"{type(value).__name__}"
            )
    how = Asked(classes, task, targets, 'task="{}"')
    made = assemble("from_arrays", name, parts, shares, how, normalize=normalize)
    for split, share in shares.items():
        if not len(getattr(made, split).targets):
            raise ValueError(f"{split} = {share}: that is no example; for none, give 0")
    return made


class Asked(NamedTuple):
    """What is asked for of targets: the arguments of ``from_arrays`` of the same names.

    Attributes:
        classes: the names of classes or labels.
        task: what the task is.
        targets: the names of numbers.
        write_task: how messages write a task that is to be given.
    """

    classes: Sequence[str] | None
    task: TaskName | None
    targets: Sequence[str] | None
    write_task: str = "task: {}"


class Part(NamedTuple):
    """Examples and their targets as they were given, and what messages call the arrays."""

    x_name: str
    x: np.ndarray
    y_name: str
    y: np.ndarray


def assemble(
    place: str | Path,
    name: str,
    parts: Mapping[SplitName, Part],
    shares: Mapping[SplitName, float | int],
    asked: Asked,
    *,
    normalize: Normalize,
) -> Dataset:
    """Makes a data set of arrays, and checks them; what messages begin with is ``place``.

    Args:
        place: where the arrays come from.
        name: of the data set.
        parts: the splits that are given, that for training at least.
        shares: how much is held out for those that are not; by default 0.1 and 0.2.
        asked: what is asked for of the targets.
        normalize: as for ``from_arrays``.

    Raises:
        DataError, ValueError: as ``from_arrays`` does.
    """
    parts = {
        split: part._replace(x=_inputs(place, part, may_be_empty=split != "train"))
        for split, part in parts.items()
    }
    first = parts["train"]
    shape = first.x.shape
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 2, 3, 4):
        warn(
            f"{place}: {first.x_name} has the shape {shape}, which is taken for (examples, height, "
            f"width, channels), {shape[3]} channels. If the channels come first, write it with "
            "x.transpose(0, 2, 3, 1)"
        )
    task = _task(place, list(parts.values()), asked)
    read = {classification: _classes, regression: _numbers, multilabel: _labels}[task]
    targets, names = read(place, list(parts.values()), asked)
    for (x_name, x, y_name, _), y in zip(parts.values(), targets, strict=True):
        if len(x) != len(y):
            raise DataError(
                f"{place}: expected as many targets as inputs, found {len(y)} in {y_name!r} for "
                f"{len(x)} in {x_name!r}"
            )
        kinds = x.dtype == np.uint8, first.x.dtype == np.uint8
        if x.shape[1:] != shape[1:] or kinds[0] != kinds[1]:
            raise DataError(
                f"{place}: expected inputs of one kind, found {_kind(first.x)} in "
                f"{first.x_name!r} and {_kind(x)} in {x_name!r}"
            )
    common = np.result_type(*(part.x for part in parts.values()))
    given = {
        split: Split(part.x.astype(common, copy=False), y)
        for (split, part), y in zip(parts.items(), targets, strict=True)
    }
    held: dict[SplitName, float | int] = {"validation": 0.1, "test": 0.2}
    held |= shares
    held |= {split: 0 for split in given if split != "train"}
    made = {split: Split(given["train"].inputs[:0], targets[0][:0]) for split in SPLITS} | given
    if len(given) < len(SPLITS):
        divided = divide(given["train"], validation=held["validation"], test=held["test"])
        made |= {s: part for s, part in zip(SPLITS, divided, strict=True) if s not in given}
        made["train"] = divided[0]
    splits = (made["train"], made["validation"], made["test"])
    stored, centring = store_splits(place, splits, normalize)
    mean, deviation = normalization(stored[0].inputs, normalize)
    dataset = Dataset(name, *stored, names, mean, deviation, centring=centring, task=task)
    if task is not regression:
        return dataset
    stored, scale = store_targets(place, stored, names, scaled=normalize != "none")
    train, validation, test = stored
    return dataset._replace(
        train=train,
        validation=validation,
        test=test,
        classes=(),
        targets=names,
        target_scale=scale,
    )


def _part(x_name: str, x: Any, y_name: str, y: Any) -> Part:
    """Makes arrays of what was given; of objects that are all texts, an array of texts."""
    arrays = []
    for name, values in ((x_name, x), (y_name, y)):
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise DataError(f"from_arrays: {name!r} is no array: {error}") from error
        texts = array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat)
        arrays.append(array.astype(str) if texts else array)
    return Part(x_name, arrays[0], y_name, arrays[1])


def _inputs(place: str | Path, part: Part, *, may_be_empty: bool) -> np.ndarray:
    """Checks inputs: numbers, finite, in an array of the shape of examples."""
    x = part.x
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not (x.size or may_be_empty):
        raise DataError(
            f"{place}: expected numbers of shape (examples, features), (examples, height, width) "
            f"or (examples, height, width, channels) in {part.x_name!r}, found {_kind(x)}"
        )
    if x.dtype == np.uint8:
        return x[..., None] if x.ndim == 3 else x
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        where = tuple(wrong[0].tolist())
        raise DataError(
            f"{place}: expected finite numbers in {part.x_name!r}, found {x[where]} at "
            f"{list(where)} ({len(wrong)} such values in all). Leave such examples out, or fill in "
            "what is missing"
        )
    return x


def _task(place: str | Path, parts: Sequence[Part], asked: Asked) -> Task:
    """Returns the task that is asked for, or that targets are of."""
    if asked.task is not None:
        if asked.task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, not {asked.task!r}")
        return TASKS[asked.task]
    if any(part.y.dtype.kind == "f" and part.y.ndim in (1, 2) for part in parts):
        return regression
    several = all(part.y.ndim == 2 and part.y.dtype.kind in "biu" for part in parts)
    if several and all(((part.y == 0) | (part.y == 1)).all() for part in parts):
        if all((part.y.sum(1) == 1).all() for part in parts):
            raise DataError(
                f"{place}: {parts[0].y_name!r} has a single 1 in each row. If that is the "
                "example's class, give y.argmax(-1); if an example can have several labels, "
                f"{asked.write_task.format('multilabel')}"
            )
        return multilabel
    return classification


def _numbers(
    place: str | Path, parts: Sequence[Part], asked: Asked
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Checks target numbers: (examples, numbers), and their names."""
    found = []
    for part in parts:
        y = part.y[:, None] if part.y.ndim == 1 else part.y
        if y.dtype.kind not in "biuf" or y.ndim != 2 or not y.shape[1]:
            raise DataError(
                f"{place}: expected a number, or a row of numbers, for each example in "
                f"{part.y_name!r}, found {_kind(part.y)}. Where they are classes, "
                f"{asked.write_task.format('classification')}"
            )
        wrong = np.argwhere(~np.isfinite(y))
        if len(wrong):
            raise DataError(
                f"{place}: expected finite numbers in {part.y_name!r}, found "
                f"{y[tuple(wrong[0])]} at position {wrong[0][0]} ({len(wrong)} such values in "
                "all). Leave such examples out"
            )
        found.append(y)
    numbers = _as_many(place, parts, found)
    default = ["y"] if numbers == 1 else [f"y{k}" for k in range(numbers)]
    return found, _called(place, "targets", asked.targets or default, numbers)


def _labels(
    place: str | Path, parts: Sequence[Part], asked: Asked
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Checks labels: (examples, labels) float32 of 0 and 1, and their names."""
    for part in parts:
        y = part.y
        if y.dtype.kind not in "biuf" or y.ndim != 2 or not ((y == 0) | (y == 1)).all():
            raise DataError(
                f"{place}: expected a row of 0 and 1 for each example in {part.y_name!r}, one for "
                f"each label, found {_kind(y)}"
            )
    labels = _as_many(place, parts, [part.y for part in parts])
    names = _called(place, "classes", asked.classes or list(map(str, range(labels))), labels)
    return [part.y.astype(np.float32) for part in parts], names


def _as_many(place: str | Path, parts: Sequence[Part], found: Sequence[np.ndarray]) -> int:
    """Returns the number of targets of each example, the same in all parts."""
    first, *others = (y.shape[1] for y in found)
    for part, number in zip(parts[1:], others, strict=True):
        if number != first:
            raise DataError(
                f"{place}: expected targets of one kind, found {first} for each example in "
                f"{parts[0].y_name!r} and {number} in {part.y_name!r}"
            )
    return first


def _called(place: str | Path, key: str, names: Sequence[str], number: int) -> tuple[str, ...]:
    if len(names) != number or len(set(names)) != number:
        raise DataError(
            f"{place}: {key}: expected {number} different names, found {len(set(names))}"
        )
    return tuple(names)


def _classes(
    place: str | Path, parts: Sequence[Part], asked: Asked
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Checks targets, and numbers their classes: (examples,) int32, and the classes' names."""
    classes = asked.classes
    if asked.task is not None:  # floating-point numbers may be classes, if that is said
        parts = [
            part._replace(y=part.y.astype(np.int64))
            if part.y.dtype.kind == "f" and np.array_equal(part.y, np.rint(part.y))
            else part
            for part in parts
        ]
    kind = parts[0].y.dtype.kind
    for part in parts:
        y = part.y
        if y.ndim != 1 or y.dtype.kind not in "iuU" or (y.dtype.kind == "U") != (kind == "U"):
            raise DataError(
                f"{place}: expected classes in {part.y_name!r}, all numbers from 0 or all names, "
                f"of shape (examples,), found {_kind(y)}{_advice(y, asked)}"
            )
    together = np.concatenate([part.y for part in parts])
    if together.dtype.kind == "U":
        try:
            called_so = {name: class_name(name) for name in together.tolist()}
        except UnicodeEncodeError as error:
            raise DataError(f"{place}: the name {error.object!r} of a class is no text") from error
        called = list(classes or sorted(set(called_so.values())))
        if not classes and (missing := [name for name in called if name.lower() in MISSING]):
            raise DataError(
                f"{place}: expected the names of classes in {parts[0].y_name!r}, found "
                f"{missing[0]!r}, which says that it is missing. Leave such examples out, or name "
                "every class in `classes` if it is one"
            )
        number = {class_name(name): k for k, name in enumerate(called)}
        numbers = [
            np.array([number.get(called_so[name], -1) for name in part.y.tolist()], np.int64)
            for part in parts
        ]
    else:
        # More classes than examples are no classes, and their names could fill the memory.
        largest = int(together.max(initial=0))
        called = list(classes or map(str, range(min(largest + 1, len(together)))))
        numbers = [part.y for part in parts]
    for part, k in zip(parts, numbers, strict=True):
        wrong = np.flatnonzero((k < 0) | (k >= len(called)))
        if len(wrong):
            raise DataError(
                f"{place}: expected one of {len(called)} classes in {part.y_name!r}, numbered from "
                f"0, found {part.y[wrong[0]]} at position {wrong[0]} ({len(wrong)} such targets in "
                "all)"
            )
    if len(called) < 2:
        raise DataError(
            f"{place}: expected two or more classes in {parts[0].y_name!r}, found only "
            f"{called[0]!r}. Where there are others that have no examples yet, name every class "
            "in `classes`"
        )
    return [k.astype(np.int32) for k in numbers], tuple(called)


def _advice(y: np.ndarray, asked: Asked) -> str:
    """Returns what to do about targets that are no classes, where that can be guessed."""
    numbers = f"numbers to be learnt, {asked.write_task.format('regression')}"
    if y.ndim == 2:
        return f". Of rows with a number for each class, y.argmax(-1) is the class; of {numbers}"
    if y.dtype.kind == "b":
        return ". Give y.astype(int)"
    return f". Of {numbers}" if y.dtype.kind == "f" else ""


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
