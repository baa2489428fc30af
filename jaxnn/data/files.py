"""Read a file, plain or gzip; write one that is there as a whole or not at all."""

import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a gzip file raises if it is truncated or its bytes are wrong."""

_GZIP_MAGIC = b"\x1f\x8b"


Readable = Path | zipfile.Path
"""A file, or a member of an archive."""


def is_gzip(path: Readable) -> bool:
    """Tell by its first bytes, whatever its name, whether a file is gzip-compressed."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


@contextmanager
def open_plain(path: Readable) -> Iterator[BinaryIO]:
    """Open a file for reading its uncompressed bytes.

    Reading up to the end of a gzip file also verifies its own checksum.
    """
    compressed = is_gzip(path)
    with path.open("rb") as file, gzip.open(file) if compressed else file as stream:
        yield cast(BinaryIO, stream)


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name, in place of what had it, once it is complete.

    Whatever interrupts the writing, and however many processes write at once, nobody ever sees a
    half-written file under the name.

    Raises:
        OSError: as `open` does; nothing is left then.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):  # it may never have been created, or have been renamed by now
            partial.unlink()
