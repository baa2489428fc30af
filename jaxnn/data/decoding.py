"""Decode many image files once, in parallel, into an array in a file that is mapped into memory.

An array's file is named after all it follows from, so it never is out of date; it takes its name
when it is complete.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxnn.data.download import cache_folder
from jaxnn.data.listing import Source
from jaxnn.data.preparation import crop_and_resize, read_with_depth
from jaxnn.data.progress import progress
from jaxnn.errors import DataError, warn
from jaxnn.files import write_whole

Shape = tuple[int, int, int]
Mapped = np.memmap[Any, np.dtype[np.uint8]]
Unreadable = dict[str, str]
"""The files that are no images that can be read, and the message on each."""


@dataclass
class _Notes:
    unreadable: Unreadable = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=lambda: {"8": 0, "12": 0, "16": 0})
    """How many images there are of so many bits."""


_MOST_UNREADABLE = 0.1
"""If a larger part of the files cannot be read, this is not the folder that was meant."""

_DIGITS = 16
"""Of a digest, in the name of a file."""

_LISTED = 10
"""How many of the files that cannot be read are listed."""

_BLOCK = 128
"""Images decoded before the next ones are begun: it bounds the memory."""

_WAY = 2
"""Counts the ways in which images have become examples: another one needs another cache."""


def decode(source: Source, names: Sequence[str], shape: Shape) -> tuple[Mapped, Unreadable]:
    """Returns the examples that files become, which are decoded if they are not in the cache.

    Args:
        source: a folder or an archive.
        names: of its files, in the order in which the examples are wanted.
        shape: (height, width, channels) of an example.

    Returns:
        (examples, *shape) uint8, read-only, mapped from a file; and the files that are left out of
        it. These are at most a tenth, and listed on stderr.

    Raises:
        DataError: more cannot be read, or the cache cannot be written.
    """
    path = _cached(source, names, shape)
    notes_path = path.with_suffix(".json")
    notes = _read_notes(notes_path, names)
    images = _mapped(path, (len(names) - len(notes.unreadable if notes else ()), *shape))
    if notes is None or images is None:
        notes = _Notes()
        with _written(path) as file:
            _write_header(file, (len(names), *shape))
            for image in _decoded(source, names, shape, notes):
                file.write(image.tobytes())
            file.seek(0)
            _write_header(file, (len(names) - len(notes.unreadable), *shape))
            with _written(notes_path) as notes_file:
                notes_file.write(json.dumps(asdict(notes), indent=1).encode())
        images = _mapped(path, (len(names) - len(notes.unreadable), *shape))
        assert images is not None
    if notes.unreadable:
        warn(
            f"{source.path}: {len(notes.unreadable):,} of {len(names):,} images cannot be read and "
            f"are left out:\n{_listed(notes.unreadable)}"
        )
    if notes.depths["12"] and notes.depths["16"]:
        warn(
            f"{source.path}: {notes.depths['12']:,} of its images of 16 bits have no "
            "value above 4,095 and are taken for images of 12 bits, 16 times as bright as they "
            f"would be among the other {notes.depths['16']:,}. If they are dark, save all with "
            "8 bits"
        )
    return images, notes.unreadable


def select(images: Mapped, rows: np.ndarray) -> Mapped:
    """Returns ``images[rows]``, mapped from a file of the cache too, which is written if need be.

    Args:
        images: (examples, height, width, channels) uint8, all that ``decode`` has returned.
        rows: (selected,) integers.

    Raises:
        DataError: the cache cannot be written.
    """
    decoded = Path(str(images.filename))
    digest = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:_DIGITS]
    path = decoded.with_name(f"{decoded.stem}-{digest}.npy")
    shape = (len(rows), *images.shape[1:])
    selected = _mapped(path, shape)
    if selected is None:
        with _written(path) as file:
            _write_header(file, shape)
            for start in range(0, len(rows), _BLOCK):
                file.write(images[rows[start : start + _BLOCK]].tobytes())
        selected = _mapped(path, shape)
        assert selected is not None
    return selected


def _decoded(
    source: Source, names: Sequence[str], shape: Shape, notes: _Notes
) -> Iterator[np.ndarray]:
    """Decodes files, in order; those that cannot be are noted, and how many bits others have."""

    def example(name: str) -> tuple[np.ndarray, int] | str:
        try:
            image, depth = read_with_depth(source.open(name))
            return crop_and_resize(image, shape), depth
        except DataError as error:
            return str(error)

    line = f"Decoding {len(names):,} images of {source.path} into {_folder()}"
    workers = ThreadPoolExecutor(os.cpu_count())
    with workers, progress(line, source.path.name, len(names), unit="files") as advance:
        for start in range(0, len(names), _BLOCK):
            block = names[start : start + _BLOCK]
            for name, image in zip(block, workers.map(example, block), strict=True):
                if isinstance(image, str):
                    notes.unreadable[name] = image
                else:
                    notes.depths[str(image[1])] += 1
                    yield image[0]
            if len(notes.unreadable) > _MOST_UNREADABLE * len(names):
                raise DataError(
                    f"{source.path}: more than a tenth of its {len(names):,} images cannot be "
                    f"read, and decoding was given up:\n{_listed(notes.unreadable)}\n"
                    "Check that this is the folder that you mean"
                )
            advance(len(block))


def _listed(unreadable: Unreadable) -> str:
    lines = [f"  {reason}" for reason in list(unreadable.values())[:_LISTED]]
    if len(unreadable) > _LISTED:
        lines.append(f"  and {len(unreadable) - _LISTED:,} more")
    return "\n".join(lines)


def _cached(source: Source, names: Sequence[str], shape: Shape) -> Path:
    """Returns the path of the file for what files become, named after all that it follows from."""
    digest = hashlib.sha256(f"{_WAY} {shape}".encode())
    for name in names:
        digest.update(f"\n{name}\n{source.files[name]}".encode(errors="surrogateescape"))
    return _folder() / f"{source.path.stem}-{digest.hexdigest()[:_DIGITS]}.npy"


def _folder() -> Path:
    return cache_folder() / "decoded"


def _mapped(path: Path, shape: tuple[int, ...]) -> Mapped | None:
    """Maps an array of the cache into memory; None if it is not there, or not whole."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    whole = isinstance(array, np.memmap) and (array.dtype, array.shape) == (np.uint8, shape)
    return array if whole else None


def _read_notes(path: Path, names: Sequence[str]) -> _Notes | None:
    """Reads what was found out when files were decoded; None if that is not known."""
    try:
        notes = _Notes(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    whole = isinstance(notes.unreadable, dict) and isinstance(notes.depths, dict)
    known = whole and set(notes.unreadable) <= set(names) and set(notes.depths) == {"8", "12", "16"}
    return notes if known else None


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Writes the header of a .npy file, of the same length however many examples there are."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    try:
        with write_whole(path) as file:
            yield file
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot be written: {error.strerror}. Decoded images are kept there: "
            "make room or give yourself permission"
        ) from error
