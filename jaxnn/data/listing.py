"""What a folder or an archive holds: which of its files are images, and which are not.

What systems leave among somebody's files, such as thumbnails, does not count.
"""

import io
import os
import posixpath
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jaxnn.errors import DataError, some, warn
from jaxnn.files import NOT_UNPACKED

_LARGEST_FILE = 1 << 28
"""Bytes in an archive that may be taken for an image; what claims to have more is not unpacked."""

_CLUTTER = re.compile(
    r"\..*|__macosx|@eadir|#recycle|#snapshot|\$recycle\.bin|system volume information"
    r"|lost\+found|(eh)?thumbs\.db|desktop\.ini|icon\r",
    re.IGNORECASE | re.DOTALL,
)
"""What systems leave among somebody's files."""

_SUFFIXES = re.compile(
    r"\.(a?png|bmp|dib|gif|jfif|jpe?g?|p[bgnp]m|tiff?|webp"
    r"|arw|avif|cr2|dng|exr|hei[cf]|ico|jp2|jxl|nef|psd|svg|tga)",
    re.IGNORECASE,
)
"""Of images; those of the second line cannot be read, which is to be said of each."""

_BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|BM....\0{4}|P[1-6]\s+[\d#]",
    re.DOTALL,
)
"""Of the formats that ``read_image`` knows."""

_BEGINNING = 16

_LISTED = 10


class Source(NamedTuple):
    """A folder or an archive.

    Attributes:
        path: where it is.
        files: of each image's name, relative to the source, with parts separated by "/", something
            that changes when the file does; in the order of the names.
        others: the names of all else, but for what systems leave behind: files that are no images,
            and folders, with a "/" at the end.
        open: gives a file's path, or a stream of its bytes.
    """

    path: Path
    files: dict[str, str]
    others: list[str]
    open: Callable[[str], Path | BinaryIO]


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Opens a folder or a .zip; nothing of an archive is written anywhere.

    Raises:
        DataError: it is neither, cannot be read, or has a member that leaves the folder.
    """
    try:
        if path.is_dir():
            archive = None
            source = _walk(path)
        elif path.is_file() and zipfile.is_zipfile(path):
            archive = _opened(path)
            source = _members(path, archive)
        else:
            what = "neither a folder nor a complete .zip file"
            raise DataError(f"{path}: {what if path.exists() else 'there is no such file'}")
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read: {error.strerror}") from error
    with archive or nullcontext():
        yield source


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except NOT_UNPACKED as error:
        raise DataError(f"{path}: a damaged .zip file: {error}. Get an intact copy") from error


def _walk(path: Path) -> Source:
    """Lists a folder's contents, each folder once: what links lead to, if it does not lie here."""
    files: dict[str, str] = {}
    others: list[str] = []
    seen: set[str] = set()
    again: list[str] = []

    def fail(error: OSError) -> None:
        raise error

    starts = [path]
    for start in starts:  # links to folders come after all else, and may lead to further ones
        for folder, inner, names in os.walk(start, onerror=fail):
            here, real = Path(folder), os.path.realpath(folder)
            prefix = "" if here == path else here.relative_to(path).as_posix() + "/"
            if real in seen:
                again.append(prefix)
                inner.clear()
                continue
            seen.add(real)
            inner[:] = sorted(
                name
                for name in inner
                if not _is_clutter(name) and not Path(real).is_relative_to((here / name).resolve())
            )
            others.extend(f"{prefix}{name}/" for name in inner)
            starts.extend(here / name for name in inner if (here / name).is_symlink())
            for name in names:
                if _is_clutter(name):
                    continue
                file = os.path.join(folder, name)
                status = os.stat(file, follow_symlinks=os.path.exists(file))
                if _is_image(file, status):
                    files[prefix + name] = f"{status.st_size} {status.st_mtime_ns}"
                else:
                    others.append(prefix + name)
    if again:
        warn(
            f"{path}: links to folders whose images are counted elsewhere are left out: "
            f"{some(again, _LISTED)}"
        )
    return Source(path, dict(sorted(files.items())), sorted(others), path.joinpath)


def _is_image(file: str, status: os.stat_result) -> bool:
    """Tells by its name, or else its first bytes, whether a file is to be read as an image."""
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        return stat.S_ISLNK(status.st_mode) and _has_suffix(file)
    if _has_suffix(file):
        return True
    try:
        with open(file, "rb") as stream:
            return _BEGINNINGS.match(stream.read(_BEGINNING)) is not None
    except OSError:
        return False


def _is_clutter(name: str) -> bool:
    return _CLUTTER.fullmatch(name) is not None


def _has_suffix(name: str) -> bool:
    return _SUFFIXES.fullmatch(posixpath.splitext(name)[1]) is not None


def _members(path: Path, archive: zipfile.ZipFile) -> Source:
    """Lists an archive's contents."""
    modified = path.stat().st_mtime_ns
    members = {}
    for member in archive.infolist():
        # Some programs write backslashes; and a drive means something on some systems only.
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
            raise DataError(
                f"{path}: the archive's member {name!r} leaves its folder. An honest archive has "
                "none such: get another copy"
            )
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if parts and not any(map(_is_clutter, parts)):
            members["/".join(parts) + "/" * name.endswith("/")] = member

    def beginning(name: str) -> bytes:
        try:
            with archive.open(members[name]) as stream:
                return stream.read(_BEGINNING)
        except NOT_UNPACKED:
            return b""

    files, others = {}, []
    for name, member in sorted(members.items()):
        if not name.endswith("/") and (_has_suffix(name) or _BEGINNINGS.match(beginning(name))):
            files[name] = f"{member.CRC} {modified}"
        else:
            others.append(name)

    def read(name: str) -> BinaryIO:
        member = members[name]
        if member.file_size > _LARGEST_FILE:
            raise DataError(
                f"{path / name}: {member.file_size} bytes are refused: at most "
                f"{_LARGEST_FILE >> 20} MiB are unpacked for an image"
            )
        try:
            stream = io.BytesIO(archive.read(member))
        except NOT_UNPACKED as error:
            raise DataError(f"{path / name}: cannot be unpacked: {error}") from error
        stream.name = path / name  # for messages
        return stream

    return Source(path, files, others, read)
