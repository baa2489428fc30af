"""Read a file, plain or gzip."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a gzip file raises if it is truncated or its bytes are wrong."""

_GZIP_MAGIC = b"\x1f\x8b"


def is_gzip(path: Path) -> bool:
    """Tell by its first bytes, whatever its name, whether a file is gzip-compressed."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading its uncompressed bytes.

    Reading up to the end of a gzip file also verifies its own checksum.
    """
    with gzip.open(path) if is_gzip(path) else path.open("rb") as stream:
        yield cast(BinaryIO, stream)
