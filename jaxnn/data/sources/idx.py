"""IDX files, the format of MNIST and its many relatives: one array a file, plain or gzip.

A file is two zero bytes, a byte for the type, a byte for the number of dimensions, each dimension
as a big-endian uint32, and then the values, big-endian, the last dimension changing fastest.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnn.data.dataset import Dataset, Normalize, Prepare, Split, hold_out, normalization
from jaxnn.data.download import find_data
from jaxnn.errors import DataError
from jaxnn.files import DAMAGED, Readable, open_plain

_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_BLOCK = 1 << 20


def read_idx(path: str | Readable) -> np.ndarray:
    """Reads one IDX file.

    Args:
        path: a plain or gzip file, perhaps in an archive (``zipfile.Path``); which of the two is
            recognised by its content.

    Returns:
        A new array of the file's shape and type, in the machine's byte order: uint8, int8, int16,
        int32, float32 or float64.

    Raises:
        DataError: the file is missing, truncated, damaged, longer than its header says, or no IDX
            file. No more memory is taken than the file has values, whatever its header claims.
    """
    path = Path(path) if isinstance(path, str) else path
    try:
        with open_plain(path) as stream:
            magic = stream.read(4)
            dtype = _DTYPES.get(magic[2]) if len(magic) == 4 and magic[:2] == b"\0\0" else None
            if dtype is None or magic[3] == 0:
                raise DataError(
                    f"{path}: expected an IDX file, whose first four bytes are 00 00, a type "
                    f"(08, 09, 0b, 0c, 0d or 0e) and the number of dimensions; found "
                    f"{magic.hex(' ') or 'an empty file'}. Give the path of an IDX file, "
                    "plain or gzip"
                )
            header = stream.read(4 * magic[3])
            if len(header) < 4 * magic[3]:
                raise DataError(
                    f"{path}: truncated: expected {magic[3]} dimensions of 4 bytes each, found "
                    f"{len(header)} bytes. Get an intact copy of the file"
                )
            shape = tuple(np.frombuffer(header, ">u4").tolist())
            size = math.prod(shape) * dtype.itemsize
            # Block by block: memory follows what the file holds, not what its header claims.
            # One byte more than it should have is enough to know that it is too long.
            data = bytearray()
            while block := stream.read(min(_BLOCK, size + 1 - len(data))):
                data += block
    except DAMAGED as error:
        raise DataError(
            f"{path}: expected a complete gzip file, found a truncated or damaged one ({error}). "
            "Get an intact copy of the file"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Check the path") from error

    if len(data) != size:
        found = f"only {len(data)}" if len(data) < size else "more"
        raise DataError(
            f"{path}: expected {size} bytes of values for the shape {shape} and type {dtype.name} "
            f"in its header, found {found}. Get an intact copy of the file"
        )
    try:
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    except ValueError as error:  # more dimensions than NumPy has, or an empty array of absurd shape
        raise DataError(f"{path}: its header gives the impossible shape {shape}") from error


def idx(
    train_images: str | Path,
    train_labels: str | Path,
    test_images: str | Path,
    test_labels: str | Path,
    *,
    validation: int = 0,
    classes: list[str] | None = None,
    normalize: Normalize = "standard",
) -> Dataset:
    """Loads a data set of your own from four IDX files, each plain or gzip.

    Their paths are relative to the working directory or else to the data folder.

    Args:
        train_images: unsigned bytes, (examples, H, W), or (examples, H, W, channels) in colour.
        train_labels: integers, (examples,): class numbers from 0.
        test_images: like ``train_images``, of the same H, W and channels.
        test_labels: like ``train_labels``.
        validation: how many examples to cut off the end of the training files for the validation
            split. Files that are sorted by class should be shuffled first.
        classes: the name of each class; by default "0", "1", … up to the largest training label.
        normalize: "standard", "unit" (value / 255) or "none"; see ``normalization``.

    Returns:
        The data set "idx"; inputs (n, H, W, channels) uint8, a single channel where the file names
        none.

    Raises:
        DataError: a file cannot be read (see ``read_idx``), or the four do not fit together.
        ValueError: ``validation`` does not fit, or ``normalize`` is unknown.
    """
    files = map(find_data, (train_images, train_labels, test_images, test_labels))
    return four_files(
        "idx", *files, validation=validation, classes=classes, normalize=normalize, prepare=None
    )


def four_files(
    name: str,
    train_images: Readable,
    train_labels: Readable,
    test_images: Readable,
    test_labels: Readable,
    *,
    validation: int,
    classes: Sequence[str] | None,
    normalize: Normalize,
    prepare: Prepare | None,
) -> Dataset:
    """Loads four IDX files as a data set with a name and perhaps a way to prepare images.

    This is for loaders of published data. Arguments and errors are those of ``idx``.
    """
    train = _read_pair(train_images, train_labels)
    test = _read_pair(test_images, test_labels)
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise DataError(
            f"{test_images}: expected images of shape {train.inputs.shape[1:]} like those of "
            f"{train_images}, found {test.inputs.shape[1:]}. Give training and test images of the "
            "same size"
        )
    if classes is None:
        names = tuple(map(str, range(int(train.targets.max()) + 1)))
    else:
        names = tuple(classes)
    for path, split in ((train_labels, train), (test_labels, test)):
        _check_labels(path, split.targets, len(names))

    train, held_out = hold_out(train, validation)
    mean, deviation = normalization(train.inputs, normalize)
    return Dataset(name, train, held_out, test, names, mean, deviation, prepare)


def _read_pair(images_path: Readable, labels_path: Readable) -> Split:
    """Reads images and their labels, and checks that they are a pair."""
    images = read_idx(images_path)
    if images.ndim not in (3, 4) or images.dtype != np.uint8 or images.size == 0:
        raise DataError(
            f"{images_path}: expected images, unsigned bytes of shape (examples, height, width) or "
            f"(examples, height, width, channels), found {images.dtype} of shape {images.shape}. "
            "Check that this is the file of images"
        )
    labels = read_idx(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{labels_path}: expected labels, integers of shape (examples,), found {labels.dtype} "
            f"of shape {labels.shape}. Check that this is the file of labels"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: expected {len(images)} labels, one for each image in {images_path}, "
            f"found {len(labels)}. Give two files that belong together"
        )
    return Split(images if images.ndim == 4 else images[..., None], labels.astype(np.int32))


def _check_labels(path: Readable, labels: np.ndarray, classes: int) -> None:
    """Raises a DataError unless every label is a class number."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{path}: expected labels from 0 to {classes - 1}, the numbers of {classes} classes, "
            f"found {labels[wrong[0]]} at position {wrong[0]} ({len(wrong)} such labels in all). "
            "Mend the file, or name every class in `classes`"
        )
