"""Images of your own: a folder, or a zip archive, with a folder for each class.

Decoding is done once. What comes out lies in a file of the cache folder, which is mapped into
memory: a data set may be larger than that, and the next time it is there at once.
"""

import difflib
from pathlib import Path
from typing import Literal

import numpy as np

from jaxnn.data.dataset import Dataset, Normalize, Split, SplitName, normalization
from jaxnn.data.decoding import decode, select
from jaxnn.data.division import cuts, spread
from jaxnn.data.download import find_data
from jaxnn.data.layout import Folders, find_layout
from jaxnn.data.listing import open_source
from jaxnn.data.names import class_name, class_names, data_name
from jaxnn.errors import DataError, some, warn

_LARGEST_SIDE = 512
"""To this ``read_image`` reduces an image, here and wherever one is prepared for a network."""


def image_folder(
    path: str | Path,
    *,
    size: int | list[int],
    channels: Literal[1, 3] = 3,
    classes: dict[str, str] | None = None,
    splits: dict[SplitName, str] | None = None,
    validation: float | int | None = None,
    test: float | int | None = None,
    balance: Literal["undersample", "repeat"] | None = None,
    normalize: Normalize = "standard",
) -> Dataset:
    """Loads images of your own, from a folder or a .zip, as a data set.

    Each class has a folder with its images: ``<class>/<image>``, or ``train/<class>/<image>`` and
    so for ``test`` and ``validation``, of which ``train`` must be there. Such folders are known by
    the usual names, in any case: ``Training``, ``test_set``, ``val``, ``valid`` and so on. All that
    may lie in one folder more. Folders within that of a class belong to it. What systems leave
    behind (names with a dot first, ``Thumbs.db``, ``@eaDir``) does not count; all else that is not
    used, such as text among the images and folders beside the splits, is listed in a warning on
    stderr.

    Images may be of any size and of all the formats that ``read_image`` knows, mixed. The middle of
    each, of the proportions asked for, is resized; transparent parts become white. So it is done
    with an image for a trained network: see ``prepare``.

    What the folder does not divide itself is divided by the names of the files and their folders
    alone, and each folder is spread evenly: see ``spread``.

    Decoding uses all cores, shows its progress, and is done once: the examples lie in the cache
    folder (``cache_folder``) and are mapped into memory. They are decoded again if a file or the
    shape has changed, or the cache is not whole; it may be deleted at any time. Images
    that cannot be read are left out and listed in that warning too.

    Args:
        path: a folder or a .zip, relative to the working directory or else to the data folder.
        size: pixels of an example's height and width, or both: [height, width]; at most 512.
        channels: 3 for color, 1 for grey.
        classes: the class of each folder, where it is not that of its name: ``{bird: bird, "*":
            other}``. "*" stands for all folders that are not named; without it they are left out.
            Classes are numbered in this order; by default, in that of the folders' names, by value
            if all are numbers.
        splits: the folder of each split, where it is not to be found by its name: ``{train:
            images_2017, test: images_2018}``, within ``path``.
        validation: how many examples to hold out for validation: a whole number of them, or a
            fraction of what is divided. By default 0.1, unless the folder has such a split.
        test: how many to hold out for test, likewise; by default 0.2, unless the folder has it.
        balance: makes all classes equally frequent in the training split; validation and test stay
            as they are. "undersample": of each class only as many examples are kept as the rarest
            has, an even share of each of its folders. "repeat": all examples are kept, and those
            of other classes are repeated until there are as many as of the most frequent. Which
            ones follows from their names alone.
        normalize: "standard" (each channel has mean 0 and deviation 1 in the training split),
            "unit" (value / 255) or "none".

    Returns:
        The data set, named after the folder or archive; inputs (n, height, width, channels) uint8,
        read-only, memory-mapped.

    Raises:
        DataError: there is no such folder, archive or class; a class has no image to train on;
            folders look like splits, but it is not clear which they are, or the name of a class is
            not UTF-8; more than a tenth of the images cannot be read; an archive's member leaves
            the folder; or the cache cannot be written.
        ValueError: ``size``, ``validation`` or ``test`` is not one that it can be, or given
            although the folder has that split.
    """
    height, width = [size, size] if isinstance(size, int) else size if len(size) == 2 else [0, 0]
    if not (1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE):
        raise ValueError(
            f"size = {size}: it must be one number of pixels, or [height, width], from 1 to "
            f"{_LARGEST_SIDE}"
        )
    path = find_data(path)
    if classes is not None:
        classes = {class_name(folder): class_name(own) for folder, own in classes.items()}
    with open_source(path) as source:
        found, unused = find_layout(
            path, list(source.files), source.others, splits=splits, classes=list(classes or ())
        )
        if unused:
            lines = "".join(f"\n  {line}" for line in unused)
            warn(f"{path}: not all of it is used:{lines}")
        for name, share in (("validation", validation), ("test", test)):
            if share is not None and name in found:
                raise ValueError(f"{name} = {share}: {path} has its own split; leave it out")
        class_of = _class_of(path, set().union(*found.values()), classes)
        ordered = {split: _ordered(folders, class_of) for split, folders in found.items()}
        files = [file for order in ordered.values() for file, _ in order]
        images, unreadable = decode(source, files, (height, width, channels))

    names = tuple(dict.fromkeys((classes or class_of).values()))
    parts: dict[SplitName, Split] = {}
    start = 0
    for split, order in ordered.items():
        labels = [names.index(class_of[folder]) for file, folder in order if file not in unreadable]
        end = start + len(labels)
        parts[split] = Split(images[start:end], np.array(labels, np.int32))
        start = end

    # What is divided here is in an order that spreads the classes: splits are parts without gaps.
    inputs, targets = parts["train"]
    if not len(targets):
        raise DataError(f"{path}: expected images of every class to train on, found none")
    a, b = cuts(
        len(targets),
        validation=0 if "validation" in parts else 0.1 if validation is None else validation,
        test=0 if "test" in parts else 0.2 if test is None else test,
    )
    train = Split(inputs[:a], targets[:a])
    held_out = parts.get("validation", Split(inputs[a:b], targets[a:b]))
    tested = parts.get("test", Split(inputs[b:], targets[b:]))

    counts = np.bincount(train.targets, minlength=len(names))
    if not counts.all():
        name = names[counts.argmin()]
        folders = ", ".join(folder for folder, own in class_of.items() if own == name)
        raise DataError(
            f"{path}: expected images of every class to train on, found none of {name!r} (folders: "
            f"{folders or 'none'}). Add images, or leave the class out by naming the others in "
            "`classes`"
        )
    if not len(tested.targets):
        raise ValueError(f"test = {test}: at least one example is needed for test")
    if balance is not None and counts.min() != counts.max():
        most = int(counts.max() if balance == "repeat" else counts.min())
        rows = _balanced(train.targets, most)
        train = Split(select(images, rows), train.targets[rows])
    mean, deviation = normalization(train.inputs, normalize)
    return Dataset(data_name(path.resolve()), train, held_out, tested, names, mean, deviation)


def _class_of(path: Path, folders: set[str], classes: dict[str, str] | None) -> dict[str, str]:
    """Says to which class each folder belongs; those that belong to none are left out."""
    if classes is None:
        classes = {folder: folder for folder in class_names(list(folders))}
    class_of = {}
    for name, own in classes.items():
        if name != "*" and name not in folders:
            near = difflib.get_close_matches(name, folders, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"{path}: `classes` names {name!r}, but there is no such folder of images; {hint}"
                f"folders: {some(class_names(list(folders)))}"
            )
        for folder in [name] if name != "*" else class_names(list(folders - set(classes))):
            class_of[folder] = own
    if len(set(classes.values())) < 2:
        raise DataError(
            f"{path}: expected at least two classes, found only {', '.join(classes.values())}"
        )
    return class_of


def _ordered(folders: Folders, class_of: dict[str, str]) -> list[tuple[str, str]]:
    """Lists files, with their folders, in an order that spreads each folder evenly."""
    named = [(file, folder) for folder, files in folders.items() for file in files]
    named = sorted((file, folder) for file, folder in named if folder in class_of)
    numbers = {folder: k for k, folder in enumerate(sorted(folders))}
    return [named[i] for i in spread(np.array([numbers[folder] for _, folder in named], int))]


def _balanced(targets: np.ndarray, count: int) -> np.ndarray:
    """Chooses ``count`` examples of each class: the first, or all and from the first on again."""
    members = [np.flatnonzero(targets == k) for k in range(int(targets.max()) + 1)]
    return np.sort(np.concatenate([np.resize(rows, count) for rows in members]))
