"""NumPy archives: arrays of examples and their targets in one .npz file."""

import tokenize
import warnings
from pathlib import Path

import numpy as np

from jaxnn.data.dataset import SPLITS, Dataset, Normalize, SplitName
from jaxnn.data.download import find_data
from jaxnn.data.names import data_name
from jaxnn.data.sources.arrays import Asked, Part, assemble
from jaxnn.errors import DataError
from jaxnn.files import NOT_UNPACKED
from jaxnn.tasks import TaskName

# What NumPy raises beside that if the header of an array is nonsense.
_UNREADABLE = (*NOT_UNPACKED, SyntaxError, TypeError, KeyError, tokenize.TokenError)


def npz(
    path: str | Path,
    *,
    validation: float | int | None = None,
    test: float | int | None = None,
    classes: list[str] | None = None,
    normalize: Normalize = "standard",
    task: TaskName | None = None,
) -> Dataset:
    """Loads arrays of your own as a data set.

    The file holds inputs ``x`` and targets ``y``, which are divided into splits: a function of the
    order of the examples and their classes alone, which spreads each class evenly (see ``divide``).
    Or it brings its own division, in the names that Keras uses: ``x_train``, ``y_train``,
    ``x_test``, ``y_test`` and perhaps ``x_validation``, ``y_validation``; without these two, the
    examples for validation are taken from those for training; with no example in them, there are
    none. The columns of a table are called as texts in ``x_features`` say, if there are as many,
    and numbers to be learnt as those in ``y_targets``. Targets are as in ``from_arrays``. Other
    arrays in the file do not count.

    Args:
        path: what ``numpy.savez`` or ``numpy.savez_compressed`` has written, relative to the
            working directory or else to the data folder.
        validation: how many examples to hold out for validation: a whole number of them, or a
            fraction of what is divided. By default 0.1, unless the file has such a split.
        test: how many to hold out for test, likewise; by default 0.2, unless the file has it.
        classes: the name of each class; by default the names in ``y``, sorted, or "0", "1", … up to
            its largest number. Or of each label; by default "0", "1", ….
        normalize: "standard" (the training split has mean 0 and deviation 1, for each of the last
            axis' channels or columns), "unit" (value / 255; for uint8 only) or "none". With "none",
            target numbers are taken as they are, too; else they are standardized.
        task: "classification", "regression" or "multilabel"; by default, what the targets are.

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
    parts: dict[SplitName, Part] = {}
    for split in SPLITS:
        suffix = f"_{split}" if own_division else ""
        if f"x{suffix}" in arrays and (own_division or split == "train"):
            x, y = f"x{suffix}", f"y{suffix}"
            parts[split] = Part(x, arrays[x], y, arrays[y])
    shares: dict[SplitName, float | int] = {}
    given: dict[SplitName, float | int | None] = {"validation": validation, "test": test}
    for name, share in given.items():
        if share is not None and name in parts:
            raise ValueError(f"{name} = {share}: {path} has its own split, x_{name}; leave it out")
        shares |= {} if share is None else {name: share}
    called = arrays.get("y_targets", np.zeros(0))
    targets = called.tolist() if called.dtype.kind == "U" and called.ndim == 1 else None
    asked = Asked(classes, task, targets)
    made = assemble(path, data_name(path), parts, shares, asked, normalize=normalize)
    names = arrays.get("x_features", np.zeros(0))
    if names.dtype.kind == "U" and names.shape == made.in_shape:
        made = made._replace(features=tuple(names.tolist()))
    if not len(made.test.targets):
        raise ValueError(f"test = {test}: at least one example is needed for test")
    return made


def _read(path: Path) -> dict[str, np.ndarray]:
    """Reads those of a file's arrays that have a meaning here."""
    known = [f"{a}{b}" for a in "xy" for b in ("", "_train", "_test", "_validation")]
    known += ["x_features", "y_targets"]
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
