"""What a trained network must know of its data: all but the examples, and how to tell them."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from jaxnn.data.centring import Centring
from jaxnn.data.columns import Column, decode, encode_as
from jaxnn.data.dataset import SPLITS, Dataset, Split, SplitName
from jaxnn.data.preparation import PREPARATIONS
from jaxnn.errors import DataError, some
from jaxnn.tasks import TASKS, classification, regression

_BLOCK = 1 << 24
"""Bytes that are hashed at a time, by as many threads as there are processors."""

_MOST_NAMED = 5
_MISSING = "the examples were not kept"


class Fingerprint(NamedTuple):
    """What a split is known by.

    Attributes:
        examples: how many there are.
        sha256: of inputs and targets, of their types and shapes, and of how they are centred; the
            same on every machine.
    """

    examples: int
    sha256: str


class DatasetInfo(NamedTuple):
    """What is kept of a data set.

    Attributes:
        dataset: the data set without its examples: name, classes, features, the shape and type of
            an example, normalization, centring and preparation.
        limits: the lowest and the highest value of the training inputs, as they are stored.
        splits: the fingerprint of each split, by its name.
    """

    dataset: Dataset
    limits: tuple[float, float]
    splits: dict[SplitName, Fingerprint]


def dataset_info(dataset: Dataset) -> DatasetInfo:
    """Returns what is to be kept of a data set; reads all its examples, once.

    Blocks of them are hashed in parallel, which takes less time than normalization did.
    """
    splits: dict[SplitName, Split] = {name: getattr(dataset, name) for name in SPLITS}
    empty: Any = {
        name: Split(*(array[:0].copy() for array in split)) for name, split in splits.items()
    }
    fingerprints, limits = {}, []
    with ThreadPoolExecutor() as workers:
        for name, (inputs, targets) in splits.items():
            size = max(1, _BLOCK // max(inputs[:1].nbytes, 1))
            blocks = [inputs[start : start + size] for start in range(0, len(inputs), size)]
            digest = hashlib.sha256(f"{inputs.dtype.name} {inputs.shape}".encode())
            for array in (targets, *(dataset.centring or ()), *(dataset.target_scale or ())):
                digest.update(_hash(array))
            for hashed, *least_and_most in workers.map(_look, blocks):
                digest.update(hashed)
                limits += least_and_most if name == "train" else []
            fingerprints[name] = Fingerprint(len(targets), digest.hexdigest())
    without = dataset._replace(**empty, missing=_MISSING)
    return DatasetInfo(without, (min(limits), max(limits)), fingerprints)


def _look(block: np.ndarray) -> tuple[bytes, float, float]:
    return _hash(block), float(block.min()), float(block.max())


def _hash(array: np.ndarray) -> bytes:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).digest()


def to_plain(info: DatasetInfo) -> dict[str, Any]:
    """Returns what is kept as JSON has it; ``from_plain`` makes the same of it, to the last bit.

    Raises:
        ValueError: if the data set prepares images by a function that is not one of the library's.
    """
    dataset = info.dataset
    prepare: Any = dataset.prepare and getattr(dataset.prepare, "__name__", "")
    if prepare is not None and PREPARATIONS.get(prepare) is not dataset.prepare:
        raise ValueError(f"prepare must be one of {', '.join(PREPARATIONS)}, not {dataset.prepare}")
    weights = dataset.class_weights
    return {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "features": list(dataset.features),
        "shape": list(dataset.in_shape),
        "dtype": str(dataset.train.inputs.dtype),
        "mean": dataset.mean.tolist(),
        "deviation": dataset.deviation.tolist(),
        "centring": _plain(dataset.centring),
        "prepare": prepare,
        "task": dataset.task.name,
        "targets": list(dataset.targets),
        "target_shape": list(dataset.train.targets.shape[1:]),
        "target_scale": _plain(dataset.target_scale),
        "class_weights": None if weights is None else weights.tolist(),
        "columns": [column._asdict() for column in dataset.columns],
        "limits": list(info.limits),
        "splits": {name: split._asdict() for name, split in info.splits.items()},
    }


def from_plain(values: dict[str, Any]) -> DatasetInfo:
    """Returns what ``to_plain`` made plain.

    Raises:
        KeyError, TypeError, ValueError: if it is not such.
    """
    prepare, weights = values["prepare"], values.get("class_weights")
    task = TASKS[values.get("task", "classification")]  # before there were others, it was not said
    inputs = np.zeros((0, *values["shape"]), np.dtype(values["dtype"]))
    dtype = np.int32 if task is classification else np.float32
    empty = Split(inputs, np.zeros((0, *values.get("target_shape", ())), dtype))
    dataset = Dataset(
        values["name"],
        *(empty, empty, empty),
        tuple(values["classes"]),
        np.array(values["mean"], np.float32),
        np.array(values["deviation"], np.float32),
        PREPARATIONS[prepare] if prepare else None,
        _centring(values["centring"]),
        tuple(values["features"]),
        _MISSING,
        task,
        tuple(values.get("targets", ())),
        _centring(values.get("target_scale")),
        None if weights is None else np.array(weights, np.float32),
        tuple(_column(**column) for column in values.get("columns", ())),
    )
    lowest, highest = map(float, values["limits"])
    splits = {name: Fingerprint(**values["splits"][name]) for name in SPLITS}
    return DatasetInfo(dataset, (lowest, highest), splits)


def _plain(centring: Centring | None) -> dict[str, Any] | None:
    return centring and {key: array.tolist() for key, array in centring._asdict().items()}


def _centring(values: dict[str, Any] | None) -> Centring | None:
    if values is None:
        return None
    return Centring(*(np.array(values[key], np.float64) for key in Centring._fields))


def _column(name: str, categories: list[str] | None, fill: float | None, indicator: bool) -> Column:
    return Column(name, None if categories is None else tuple(categories), fill, indicator)


def changes(then: DatasetInfo, now: DatasetInfo) -> list[str]:
    """Returns what differs between two data sets, a sentence each."""
    before, after, found = then.dataset, now.dataset, []
    shapes = [f"{d.in_shape} {d.train.inputs.dtype}" for d in (before, after)]
    if shapes[0] != shapes[1]:
        found.append(f"an example: {shapes[0]} then, now {shapes[1]}")
    found += _changed_names("columns", before.features, after.features)
    if before.task is not after.task:
        found.append(f"the task: {before.task.name} then, now {after.task.name}")
    found += _changed_names("targets", before.targets, after.targets)
    found += _changed_names("classes", before.classes, after.classes)
    for name in SPLITS:
        old, new = then.splits[name], now.splits[name]
        if old.examples != new.examples:
            found.append(f"{name}: {old.examples:,} examples then, now {new.examples:,}")
        elif old != new:
            found.append(
                f"{name}: {new.examples:,} examples as then, of other contents (fingerprint "
                f"{old.sha256[:8]}… then, now {new.sha256[:8]}…)"
            )
    return found


def _changed_names(what: str, then: Sequence[str], now: Sequence[str]) -> list[str]:
    if tuple(then) == tuple(now):
        return []
    gone, new = _beyond(then, now), _beyond(now, then)
    parts = [f"{_listed(gone)} gone"] if gone else []
    parts += [f"{_listed(new)} new"] if new else []
    return [f"{what}: {', '.join(parts) or f'in another order, now {_listed(now)}'}"]


def _beyond(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Returns the names that are not among others, in their order."""
    known = set(others)
    return [name for name in names if name not in known]


def _listed(names: Sequence[str]) -> str:
    return some(list(map(repr, names)), _MOST_NAMED)


def as_kept(info: DatasetInfo, dataset: Dataset) -> Dataset:
    """Returns a data set's examples with the names and numbers that were kept.

    Columns are found by their names, and so are classes; normalization and centring are those that
    were kept.

    Raises:
        DataError: if the examples are of another kind: a column is missing, a class was not known.
    """
    kept = info.dataset
    if dataset.task is not kept.task:
        raise DataError(
            f"{dataset.name}: expected a {kept.task.name}, found a {dataset.task.name}. Say what "
            f"the targets are, task: {kept.task.name}"
        )
    if unknown := _beyond(dataset.classes, kept.classes):
        raise DataError(
            f"{dataset.name}: expected the classes that were learnt, {_listed(kept.classes)}, "
            f"found {_listed(unknown)}. Give them their names back"
        )
    recoded = bool(kept.columns and dataset.columns) and kept.columns != dataset.columns
    names = [[c.name for c in d.columns] if recoded else d.features for d in (kept, dataset)]
    wanted = names, (_answers(kept), _answers(dataset))
    for then, now in wanted[: 1 if kept.task is classification else 2]:
        if missing := _beyond(then, now):
            raise DataError(f"{dataset.name}: there is no column {_listed(missing)} any more")
    places = {name: k for k, name in enumerate(dataset.features)}
    columns: Any = slice(None) if recoded else [places[n] for n in kept.features] or slice(None)
    stored_alike = kept.features == dataset.features and _same(kept.centring, dataset.centring)

    def split(now: Split) -> Split:
        inputs = now.inputs
        if recoded or not stored_alike:
            inputs = dataset.values(inputs)
            if recoded:
                cells = dict(zip(names[1], decode(dataset.columns, inputs), strict=True))
                encoded = encode_as(dataset.name, kept.columns, cells)
                inputs = encoded.astype(inputs.dtype)
            inputs = inputs[..., columns]
            inputs = kept.centring.store(inputs, kept.features) if kept.centring else inputs
        if inputs.dtype != (dtype := kept.train.inputs.dtype) and dtype.kind == "f":
            inputs = inputs.astype(dtype)
        if inputs.shape[1:] != kept.in_shape or inputs.dtype != dtype:
            raise DataError(
                f"{dataset.name}: expected examples of {kept.in_shape} {dtype}, found "
                f"{inputs.shape[1:]} {inputs.dtype}"
            )
        return Split(inputs, _kept_targets(kept, dataset, now.targets))

    try:
        splits: Any = {name: split(getattr(dataset, name)) for name in SPLITS}
    except ValueError as error:
        raise DataError(f"{dataset.name}: {error}") from error
    return kept._replace(**splits, missing="")


def _answers(dataset: Dataset) -> tuple[str, ...]:
    """Returns the names of what a network's outputs stand for."""
    return dataset.targets if dataset.task is regression else dataset.classes


def _same(one: Centring | None, other: Centring | None) -> bool:
    return (one is None) is (other is None) and np.array_equal(one or (), other or ())


def _kept_targets(kept: Dataset, dataset: Dataset, targets: np.ndarray) -> np.ndarray:
    """Returns a split's targets with the numbers, names and scale that were kept."""
    places = {name: k for k, name in enumerate(_answers(kept))}
    if kept.task is classification:
        return np.array([places[name] for name in dataset.classes], np.int32)[targets]
    places = {name: k for k, name in enumerate(_answers(dataset))}
    order: Any = [places[name] for name in _answers(kept)] or slice(None)
    if kept.task is not regression or _same(kept.target_scale, dataset.target_scale):
        return targets[..., order]
    values = dataset.target_values(targets)[..., order]
    return (kept.target_scale.store(values) if kept.target_scale else values).astype(np.float32)
