"""Where data files are kept, and how one that is not there is fetched.

A file counts as the right one if its SHA-256 is the published one, so that no mirror need be
trusted. Best is that of its uncompressed bytes: gzip headers differ from mirror to mirror, and any
honest copy is accepted. Where only that of the compressed file is known, it must be that very file.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import platformdirs

from jaxnn.data.progress import progress
from jaxnn.errors import DataError
from jaxnn.files import DAMAGED, is_gzip, open_plain, rename, temporary, user_path

_BLOCK = 1 << 20


def data_folder() -> Path:
    """Returns the folder of all data: ``$JAXNN_DATA``, else jaxnn's cache folder."""
    chosen = os.environ.get("JAXNN_DATA")
    return Path(chosen).expanduser() if chosen else cache_folder()


def find_data(path: str | Path) -> Path:
    """Returns where a user's data lie: in the working directory, or else in the data folder.

    A path at which there is nothing is returned as it is, for the loader to say so.
    """
    path = user_path(path)
    elsewhere = data_folder() / path
    return elsewhere if os.path.exists(elsewhere) and not os.path.exists(path) else path


def cache_folder() -> Path:
    """Returns the platform's cache folder for jaxnn: of what can be made again at any time."""
    return platformdirs.user_cache_path("jaxnn")


def fetch(
    path: Path,
    *,
    length: int,
    sha256: str,
    urls: Sequence[str],
    as_published: bool = False,
    timeout: float = 20.0,
) -> Path:
    """Returns the path of a verified data file, which is downloaded if it is not there.

    A file that is there, plain or gzip, is verified and used; if it is not the right one it is left
    alone, for its owner to delete. A download goes into a temporary file in the same folder, and is
    renamed once it is complete and verified: whatever interrupts it, and however many processes
    fetch at once, nobody ever sees a half-written file under the final name.

    Args:
        path: where the uncompressed file is expected; a compressed one has ``.gz`` added to its
            name.
        length: bytes of the uncompressed file.
        sha256: hexadecimal SHA-256 of the uncompressed file.
        urls: where the file can be had, plain or gzip, in the order to try.
        as_published: whether ``path``, ``length`` and ``sha256`` are those of the file as it is
            published, compressed or not; then no other form of it is accepted.
        timeout: seconds that a server may take to connect, or be silent, before the next is tried.

    Returns:
        ``path``, or ``path`` with ``.gz`` added.

    Raises:
        DataError: the file that is there is not the right one, no mirror could deliver it, or the
            folder cannot be written.
    """
    forms = [path] if as_published else [path, path.with_name(path.name + ".gz")]
    for present in forms:
        if os.path.exists(present):
            if fault := _fault(present, length, sha256, as_published):
                raise DataError(f"{present}: {fault}. Delete it to download it again")
            return present

    # Room for what gzip may add to incompressible bytes.
    limit = length if as_published else length + length // 1000 + 4096
    faults = []
    try:
        with temporary(path) as file:
            partial = Path(file.name)
            for url in urls:
                file.seek(0)
                file.truncate()
                fault = _download(url, file, limit, timeout)
                fault = fault or _fault(partial, length, sha256, as_published)
                if fault is None:
                    final = forms[-1] if is_gzip(partial) else path
                    rename(file, final)
                    return final
                faults.append(f"  {url}: {fault}")
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot be written: {error.strerror}. Make room or give yourself "
            "permission there, or set JAXNN_DATA to another folder"
        ) from error
    form = "as it is published" if as_published else "plain or gzip"
    size = f"{length} bytes" if as_published else f"{length} bytes uncompressed"
    raise DataError(
        "\n".join([f"{path.name} could not be downloaded:", *faults])
        + f"\nTry again later, or put the file, {form}, into {path.parent} by hand "
        f"({size}, SHA-256 {sha256})"
    )


def _fault(path: Path, length: int, sha256: str, as_published: bool) -> str | None:
    """Says what is wrong with a file; None if it is the right one."""
    digest, size = hashlib.sha256(), 0
    form = "" if as_published else " uncompressed"
    try:
        with path.open("rb") if as_published else open_plain(path) as stream:
            while block := stream.read(_BLOCK):
                size += len(block)
                if size > length:  # and so a small gzip file cannot keep us busy for long
                    return f"expected {length} bytes{form}, found more"
                digest.update(block)
    except DAMAGED as error:
        return f"expected a complete gzip file, found a truncated or damaged one ({error})"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if size != length:
        return f"expected {length} bytes{form}, found {size}"
    if digest.hexdigest() != sha256:
        note = "" if as_published else " (uncompressed)"
        return f"expected SHA-256 {sha256}{note}, found {digest.hexdigest()}"
    return None


def _download(url: str, file: BinaryIO, limit: int, timeout: float) -> str | None:
    """Writes what a server sends to a file; says what went wrong, if it did."""
    import httpx  # here, because who has the files never needs it

    # The bytes are wanted as they are stored: no encoding on the way, and none undone (iter_raw).
    request = httpx.stream(
        "GET",
        url,
        headers={"Accept-Encoding": "identity"},
        follow_redirects=True,
        timeout=timeout,
    )
    try:
        with request as response:
            if not response.is_success:
                return f"HTTP status {response.status_code} {response.reason_phrase}"
            total = response.headers.get("Content-Length")
            name = url.rpartition("/")[2]
            size = int(total) if total else None
            with progress(f"Downloading {url}", name, size, unit="bytes") as advance:
                for chunk in response.iter_raw():
                    if file.tell() + len(chunk) > limit:
                        return f"sent more than the {limit} bytes that the file can have"
                    file.write(chunk)
                    advance(len(chunk))
            file.flush()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    return None
