"""NumPy archives: arrays of examples and their classes in one .npz file."""

import tokenize
import warnings
from pathlib import Path

import numpy as np

from jaxnn.data.centring import store_splits
from jaxnn.data.dataset import Dataset, Normalize, Split, normalization
from jaxnn.data.division import divide
from jaxnn.data.download import find_data
from jaxnn.data.names import MISSING, class_name, data_name
from jaxnn.errors import DataError, warn
from jaxnn.files import NOT_UNPACKED

# What NumPy raises beside that if the header of an array is nonsense.
_UNREADABLE = (*NOT_UNPACKED, SyntaxError, TypeError, KeyError, tokenize.TokenError)


def npz(
    path: str | Path,
    *,
    validation: float | int | None = None,
    test: float | int | None = None,
    classes: list[str] | None = None,
    normalize: Normalize = "standard",
) -> Dataset:
    """Loads arrays of your own as a data set.

    The file holds inputs ``x`` and targets ``y``, which are divided into splits: a function of the
    order of the examples and their classes alone, which spreads each class evenly (see ``divide``).
    Or it brings its own division, in the names that Keras uses: ``x_train``, ``y_train``,
    ``x_test``, ``y_test`` and perhaps ``x_validation``, ``y_validation``; without these two, the
    examples for validation are taken from those for training. Other arrays in the file do not
    count.

    Args:
        path: what ``numpy.savez`` or ``numpy.savez_compressed`` has written, relative to the
            working directory or else to the data folder.
        validation: how many examples to hold out for validation: a whole number of them, or a
            fraction of what is divided. By default 0.1, unless the file has such a split.
        test: how many to hold out for test, likewise; by default 0.2, unless the file has it.
        classes: the name of each class; by default the names in ``y``, sorted, or "0", "1", … up to
            its largest number.
        normalize: "standard" (the training split has mean 0 and deviation 1, for each of the last
            axis' channels or columns), "unit" (value / 255; for uint8 only) or "none".

    Returns:
        The data set, named after the file. Inputs are uint8 if they are in the file, where
        (examples, H, W) are grey images and get an axis for their channel; else float32. Columns or
        channels that float32 would round are centred first: see ``Centring``.

    Raises:
        DataError: the file cannot be read, or its arrays are not such ones.
        ValueError: ``validation`` or ``test`` is not one that it can be, or given although the file
            has that split; or ``normalize`` is unknown or does not fit.
    """
    path = find_data(path)
    arrays = _read(path)
    own_division = "x" not in arrays
    suffixes = ["_train", "_test"] if own_division else [""]
    if own_division and "x_validation" in arrays:
        suffixes.append("_validation")
    given = {"validation": validation, "test": test}
    for name, share in given.items():
        if share is not None and f"_{name}" in suffixes:
            raise ValueError(f"{name} = {share}: {path} has its own split, x_{name}; leave it out")

    inputs = [_inputs(path, arrays, f"x{suffix}") for suffix in suffixes]
    shape = inputs[0].shape
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 2, 3, 4):
        warn(
            f"{path}: x{suffixes[0]} has the shape {shape}, which is taken for (examples, height, "
            f"width, channels), {shape[3]} channels. If the channels come first, write it with "
            "x.transpose(0, 2, 3, 1)"
        )
    targets, names = _targets(path, arrays, [f"y{suffix}" for suffix in suffixes], classes)
    for suffix, x, y in zip(suffixes, inputs, targets, strict=True):
        if len(x) != len(y):
            raise DataError(
                f"{path}: expected as many targets as inputs, found {len(y)} in 'y{suffix}' for "
                f"{len(x)} in 'x{suffix}'"
            )
        kinds = x.dtype == np.uint8, inputs[0].dtype == np.uint8
        if x.shape[1:] != inputs[0].shape[1:] or kinds[0] != kinds[1]:
            raise DataError(
                f"{path}: expected inputs of one kind, found {_kind(inputs[0])} in "
                f"'x{suffixes[0]}' and {_kind(x)} in 'x{suffix}'"
            )
    common = np.result_type(*inputs)
    first, *others = map(Split, [x.astype(common, copy=False) for x in inputs], targets)
    held_out = 0.1 if validation is None else validation
    if not own_division:
        splits = divide(first, validation=held_out, test=0.2 if test is None else test)
    elif len(others) == 1:
        train, held, _ = divide(first, validation=held_out, test=0)
        splits = (train, held, others[0])
    else:
        splits = (first, others[1], others[0])
    if not len(splits[2].targets):
        raise ValueError(f"test = {test}: at least one example is needed for test")
    stored, centring = store_splits(path, splits, normalize)
    mean, deviation = normalization(stored[0].inputs, normalize)
    return Dataset(data_name(path), *stored, names, mean, deviation, centring=centring)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Reads those of a file's arrays that have a meaning here."""
    known = [f"{a}{b}" for a in "xy" for b in ("", "_train", "_test", "_validation")]
    name = None
    try:
        # A header in the way of Python 2, as flipped bits can make one, brings a warning.
        with path.open("rb") as stream, warnings.catch_warnings(action="ignore"):
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{path}: expected an archive of arrays (.npz), found a single array of shape "
                    f"{file.shape}. Write it with numpy.savez(path, x=…, y=…)"
                )
            found = file.files
            arrays = {}
            for name in known:
                if name in found:
                    arrays[name] = file[name]
    except _UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        member = f": its member {name + '.npy'!r}" if name else ""
        raise DataError(
            f"{path}{member}: cannot be read as an archive of arrays (.npz): {reason}. Check the "
            "path; arrays of Python objects are not loaded"
        ) from error
    needed = ["x", "y"]
    if "x" not in arrays:
        needed = ["x_train", "y_train", "x_test", "y_test"]
        needed += ["y_validation"] if "x_validation" in arrays else []
    if missing := [name for name in needed if name not in arrays]:
        raise DataError(
            f"{path}: expected arrays x and y, or x_train, y_train, x_test and y_test; missing "
            f"{', '.join(missing)}; found {', '.join(found) or 'none'}. Rename them"
        )
    return arrays


def _inputs(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Checks inputs: numbers, finite, in an array of the shape of examples."""
    x = arrays[name]
    if x.dtype.kind not in "biuf" or x.ndim < 2 or x.size == 0:
        raise DataError(
            f"{path}: expected numbers of shape (examples, features), (examples, height, width) or "
            f"(examples, height, width, channels) in {name!r}, found {_kind(x)}"
        )
    if x.dtype == np.uint8:
        return x[..., None] if x.ndim == 3 else x
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise DataError(
            f"{path}: expected finite numbers in {name!r}, found {x[place]} at "
            f"{list(place)} ({len(wrong)} such values in all)"
        )
    return x


def _targets(
    path: Path, arrays: dict[str, np.ndarray], names: list[str], classes: list[str] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Checks targets, and numbers their classes: (examples,) int32, and the classes' names."""
    targets = [arrays[name] for name in names]
    for name, y in zip(names, targets, strict=True):
        if (
            y.ndim != 1
            or y.dtype.kind not in "iuU"
            or (y.dtype.kind == "U") != (targets[0].dtype.kind == "U")
        ):
            raise DataError(
                f"{path}: expected classes in {name!r}, all numbers from 0 or all names, of shape "
                f"(examples,), found {_kind(y)}"
            )
    together = np.concatenate(targets)
    if together.dtype.kind == "U":
        try:
            called_so = {name: class_name(name) for name in together.tolist()}
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: the name {error.object!r} of a class is no text") from error
        called = classes or sorted(set(called_so.values()))
        if not classes and (missing := [name for name in called if name.lower() in MISSING]):
            raise DataError(
                f"{path}: expected the names of classes in {names[0]!r}, found {missing[0]!r}, "
                "which says that it is missing. Leave such examples out, or name every class in "
                "`classes` if it is one"
            )
        number = {class_name(name): k for k, name in enumerate(called)}
        numbers = [
            np.array([number.get(called_so[name], -1) for name in y.tolist()], np.int64)
            for y in targets
        ]
    else:
        # More classes than examples are no classes, and their names could fill the memory.
        largest = int(together.max(initial=0))
        called = classes or [str(k) for k in range(min(largest + 1, len(together)))]
        numbers = targets
    for name, y, k in zip(names, targets, numbers, strict=True):
        wrong = np.flatnonzero((k < 0) | (k >= len(called)))
        if len(wrong):
            raise DataError(
                f"{path}: expected one of {len(called)} classes in {name!r}, numbered from 0, "
                f"found {y[wrong[0]]} at position {wrong[0]} ({len(wrong)} such targets in all)"
            )
    return [k.astype(np.int32) for k in numbers], tuple(called)


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
