"""CIFAR-10 and CIFAR-100: small color photographs of things, from the official binary archives.

A batch is a file of records, one an image: a byte for its class (in CIFAR-100 two, for the
superclass and the class), then 32·32 bytes of red, as many of green, and of blue, row by row.
Text files in the archive name the classes, a line each.
"""

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from jaxnn.data.dataset import Dataset, Normalize, Split, hold_out, normalization
from jaxnn.data.download import data_folder, fetch
from jaxnn.errors import DataError

_PIXELS = 3 * 32 * 32
_TEST = 10_000
_LONGEST_TEXT = 1 << 16


def cifar10(*, validation: int = 5_000, normalize: Normalize = "standard") -> Dataset:
    """Loads CIFAR-10 from the folder ``cifar10`` in the data folder, or downloads it (170 MB).

    32x32 color photographs of ten classes, each equally frequent: 50,000 for training, of which the
    last ``validation`` are held out, and the 10,000 of the official test set.

    Args:
        validation: how many training examples to hold out as the validation split.
        normalize: "standard" (each channel has mean 0 and deviation 1 in the training split),
            "unit" (value / 255) or "none".

    Returns:
        The data set "cifar10"; inputs (n, 32, 32, 3) uint8.

    Raises:
        DataError: the file is not the published one, or cannot be downloaded; see ``fetch``.
        ValueError: ``validation`` is not between 0 and 49,999, or ``normalize`` is unknown.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    # Length and SHA-256 as TensorFlow Datasets records them (url_checksums/cifar10.txt).
    path = fetch(
        data_folder() / "cifar10" / "cifar-10-binary.tar.gz",
        length=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        urls=["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
        as_published=True,
    )
    batches = {f"data_batch_{k}.bin": 10_000 for k in range(1, 6)} | {"test_batch.bin": _TEST}
    examples, names = read_cifar(path, batches, "batches.meta.txt")
    return _dataset("cifar10", examples, names, validation, normalize)


def cifar100(
    labels: Literal["fine", "coarse"] = "fine",
    *,
    validation: int = 5_000,
    normalize: Normalize = "standard",
) -> Dataset:
    """Loads CIFAR-100 from the folder ``cifar100`` in the data folder, or downloads it (169 MB).

    32x32 color photographs of 100 classes in 20 superclasses of five, each equally frequent: 50,000
    for training, of which the last ``validation`` are held out, and the 10,000 of the official test
    set.

    Args:
        labels: "fine", the 100 classes, or "coarse", the 20 superclasses.
        validation: how many training examples to hold out as the validation split.
        normalize: see ``cifar10``.

    Returns:
        The data set "cifar100", or "cifar100_coarse"; inputs (n, 32, 32, 3) uint8.

    Raises:
        DataError: the file is not the published one, or cannot be downloaded; see ``fetch``.
        ValueError: ``validation`` is not between 0 and 49,999, or ``labels`` or ``normalize`` is
            unknown.

    Source: see ``cifar10``.
    """
    if labels not in ("fine", "coarse"):
        raise ValueError(f"labels must be 'fine' or 'coarse', not {labels!r}")
    # Length and SHA-256 as TensorFlow Datasets records them (url_checksums/cifar100.txt).
    path = fetch(
        data_folder() / "cifar100" / "cifar-100-binary.tar.gz",
        length=168_513_733,
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        urls=["https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"],
        as_published=True,
    )
    batches = {"train.bin": 50_000, "test.bin": _TEST}
    label = 1 if labels == "fine" else 0
    examples, names = read_cifar(path, batches, f"{labels}_label_names.txt", label=label, labels=2)
    name = "cifar100" if labels == "fine" else "cifar100_coarse"
    return _dataset(name, examples, names, validation, normalize)


def read_cifar(
    path: Path, batches: Mapping[str, int], names: str, *, label: int = 0, labels: int = 1
) -> tuple[Split, tuple[str, ...]]:
    """Reads batches, and the classes' names, from an archive; nothing of it is written anywhere.

    Args:
        path: a .tar or .tar.gz.
        batches: the number of images in each batch, by the name of its file; in the order wanted.
        names: the name of the text file with the classes.
        label: which of a record's bytes for classes counts.
        labels: how many of them there are.

    Returns:
        All images, (n, 32, 32, 3) uint8, with their classes; and the names of these.

    Raises:
        DataError: the archive cannot be read, has a member that leaves its folder, or not all that
            is wanted, whole.
    """
    record = labels + _PIXELS
    total = sum(batches.values())
    images, targets = np.empty((total, 32, 32, 3), np.uint8), np.empty(total, np.int32)
    starts = dict(zip(batches, np.cumsum([0, *batches.values()]).tolist(), strict=False))
    classes: tuple[str, ...] = ()
    missing = {*batches, names}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if place.is_absolute() or ".." in place.parts:
                    raise DataError(
                        f"{path}: the archive's member {member.name!r} leaves its folder. An "
                        "honest archive has none such: get another copy"
                    )
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None or place.name not in missing:
                    continue
                missing.remove(place.name)
                if place.name == names:
                    classes = tuple(stream.read(_LONGEST_TEXT).decode().split())
                    continue
                count, start = batches[place.name], starts[place.name]
                data = stream.read(count * record + 1)
                if len(data) != count * record or member.size != len(data):
                    raise DataError(
                        f"{path}: {member.name}: expected {count * record} bytes, {count} records "
                        f"of {record}, found {member.size}. Get an intact copy of the archive"
                    )
                rows = np.frombuffer(data, np.uint8).reshape(count, record)
                planes = rows[:, labels:].reshape(count, 3, 32, 32)
                images[start : start + count] = planes.transpose(0, 2, 3, 1)
                targets[start : start + count] = rows[:, label]
    except (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a complete .tar archive, found a truncated or damaged one "
            f"({error}). Get an intact copy of the archive"
        ) from error
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{path}: cannot be read: {why}. Check the path") from error
    if missing:
        raise DataError(
            f"{path}: expected the file {min(missing)!r} in the archive, found none. Get an intact "
            "copy of the archive"
        )
    if targets.max() >= len(classes):
        raise DataError(
            f"{path}: expected classes from 0 to {len(classes) - 1}, which {names} names, found "
            f"{targets.max()}. Get an intact copy of the archive"
        )
    return Split(images, targets), classes


def _dataset(
    name: str, examples: Split, classes: tuple[str, ...], validation: int, normalize: Normalize
) -> Dataset:
    train = Split(examples.inputs[:-_TEST], examples.targets[:-_TEST])
    test = Split(examples.inputs[-_TEST:], examples.targets[-_TEST:])
    train, held_out = hold_out(train, validation)
    mean, deviation = normalization(train.inputs, normalize)
    return Dataset(name, train, held_out, test, classes, mean, deviation)
