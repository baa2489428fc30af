"""Reads a file, plain or gzip; writes one that is there as a whole or not at all."""

import errno
import gzip
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from jaxnn.errors import writing

try:
    from lzma import LZMAError
except ImportError:  # a Python without it says so of each member, with a RuntimeError
    LZMAError = EOFError  # type: ignore[assignment, misc]

NOT_UNPACKED = (
    *(OSError, EOFError, MemoryError, OverflowError, RuntimeError, ValueError),
    *(struct.error, zipfile.BadZipFile, zlib.error, LZMAError),
)
"""What opening an archive, or reading a member, raises if it is damaged, encrypted, too new,
compressed in an unknown way, or has names that are no text."""

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a gzip file raises if it is truncated or its bytes are wrong."""

_GZIP_MAGIC = b"\x1f\x8b"


Readable = Path | zipfile.Path
"""A file, or a member of an archive."""


def is_gzip(path: Readable) -> bool:
    """Tells by its first bytes, whatever its name, whether a file is gzip-compressed."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


@contextmanager
def open_plain(path: Readable) -> Iterator[BinaryIO]:
    """Opens a file for reading its uncompressed bytes.

    Reading up to the end of a gzip file also verifies its own checksum.
    """
    compressed = is_gzip(path)
    with path.open("rb") as file, gzip.open(file) if compressed else file as stream:
        yield cast(BinaryIO, stream)


def user_path(path: str | Path) -> Path:
    """Returns a path as a shell understands it: with a home folder in the place of ``~``."""
    return Path(os.path.expanduser(path))


@contextmanager
def temporary(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file beside a path, of a name that nothing else has; removes it in the end.

    Unless ``rename`` has given it the path's name by then. Missing folders are made.

    Raises:
        OSError: as ``open`` and ``mkdir`` do.
    """
    with suppress(FileExistsError):  # not a folder: opening a file in it says so
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with partial.open("xb") as file:
        try:
            yield file
        finally:
            with suppress(OSError):
                file.close()
            with suppress(OSError):  # it may have been renamed by now
                partial.unlink()


def rename(file: BinaryIO, path: Path) -> None:
    """Closes a file that ``temporary`` has opened, and puts it in place of what is at the path.

    Its contents and its new name are on the disk when this returns.

    Raises:
        OSError: the file cannot be written or renamed; what was at the path is still there.
    """
    with file:
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    if os.name == "nt":  # folders cannot be opened there
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot: there is no more to be done
            raise
    finally:
        os.close(folder)


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes its name, in place of what had it, once it is complete.

    Whatever interrupts the writing, and however many processes write at once, nobody ever sees a
    half-written file under the name.

    Raises:
        OSError: as ``open`` does; nothing is left then.
    """
    with temporary(path) as file:
        yield file
        rename(file, path)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    Raises:
        RunError: if it cannot be written.
    """
    with writing(path), write_whole(path) as file:
        file.write(text.encode())
