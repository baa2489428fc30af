"""Archives that are damaged, encrypted or too new end in a message that names file and member."""

import io
import random
import re
import resource
import struct
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxnn.data import decoding, image_folder, npz
from jaxnn.data.sources.idx import read_idx
from jaxnn.errors import DataError

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
CENTRAL, LOCAL = b"PK\1\2", b"PK\3\4"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "cache_folder", lambda: tmp_path / "cache")


def images(method: str = "deflated") -> bytes:
    """A zip of two classes of images."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", METHODS[method]) as file:
        for name in ("cat", "dog"):
            for k in range(4):
                image = io.BytesIO()
                Image.new("RGB", (4, 4), (60 * k, 9, 9)).save(image, "PNG")
                file.writestr(f"{name}/{k}.png", image.getvalue())
    return archive.getvalue()


def arrays(method: str = "deflated") -> bytes:
    """An npz archive; NumPy itself knows two of the methods only."""
    archive = io.BytesIO()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(archive, "w", METHODS[method]) as file:
        for name, array in (("x", rng.normal(size=(20, 3))), ("y", np.arange(20) % 2)):
            member = io.BytesIO()
            np.save(member, array)
            file.writestr(f"{name}.npy", member.getvalue())
    return archive.getvalue()


def table() -> bytes:
    return b"\0\0\x08\3" + struct.pack(">3I", 5, 4, 3) + bytes(60)


def load_images(path: Path) -> object:
    return image_folder(path, size=4, validation=1, test=1)


KINDS: dict[str, tuple[Callable[[], bytes], Callable[[Path], object]]] = {
    **{f"images.{m}.zip": (lambda m=m: images(m), load_images) for m in METHODS},
    **{f"arrays.{m}.npz": (lambda m=m: arrays(m), npz) for m in METHODS},
    "table.idx": (table, lambda path: read_idx(path)),
}


def patched(content: bytes, offset: int, form: str, value: int, signature: bytes) -> bytes:
    """The archive with a field of its first header of a kind replaced."""
    start = content.index(signature) + offset
    size = struct.calcsize(form)
    return content[:start] + struct.pack(form, value) + content[start + size :]


def resident() -> int:
    """The most bytes of memory that this process has filled so far: claimed ones cost nothing."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def both(content: bytes, offset: int, form: str, value: int) -> bytes:
    """The same, in the header of the directory and in that of the member."""
    content = patched(content, offset, form, value, CENTRAL)
    return patched(content, offset - 2, form, value, LOCAL)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "encrypted": lambda c: both(c, 8, "<H", 1),
    "strongly encrypted": lambda c: both(c, 8, "<H", 0x41),
    "patched": lambda c: both(c, 8, "<H", 0x20),
    "an unknown method": lambda c: both(c, 10, "<H", 77),
    "a newer version": lambda c: both(c, 6, "<H", 200),
    "a name that is no UTF-8": lambda c: (
        both(c, 8, "<H", 0x800).replace(b"cat/0", b"\xff\xfe/0").replace(b"x.npy", b"\xff.npy")
    ),
    "taken for LZMA": lambda c: both(c, 10, "<H", zipfile.ZIP_LZMA),
    "taken for bzip2": lambda c: both(c, 10, "<H", zipfile.ZIP_BZIP2),
    "a directory that lies": lambda c: patched(c, 42, "<I", 2**32 - 5, CENTRAL),
    "a size that lies": lambda c: patched(c, 24, "<I", 1, CENTRAL),
    "a field cut short": lambda c: patched(c, 30, "<H", 3, CENTRAL),
}


@pytest.mark.parametrize("kind", ["images.deflated.zip", "arrays.deflated.npz"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_named(tmp_path: Path, kind: str, damage: str) -> None:
    make, load = KINDS[kind]
    path = tmp_path / kind
    path.write_bytes(DAMAGES[damage](make()))
    with pytest.raises(DataError) as error:
        load(path)
    assert str(path) in str(error.value)
    if kind.startswith("arrays") and damage in ("encrypted", "an unknown method", "taken for LZMA"):
        assert "its member 'x.npy'" in str(error.value)


HEADERS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551616, 3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 3), }",
    "{'descr': '<f99', 'fortran_order': False, 'shape': (20, 3), }",
    "{'descr': [('a', [('b', 'x')])], 'fortran_order': False, 'shape': (20, 3), }",
    "{'descr': '<f8', 'fortran_order': 7, 'shape': (20, 3), }",
    "{'shape': (20, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (20, 3), }",
    "{'descr': '<U2147483647', 'fortran_order': False, 'shape': (20, 3), }",
    "((((((((((((",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (20L, 3L), }",
    "[" * 300,
    "\0" * 60,
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_is_nonsense_is_named(tmp_path: Path, header: str) -> None:
    path = tmp_path / "own.npz"
    text = header.encode().ljust(117) + b"\n"
    member = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(100)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", member)
        file.writestr("y.npy", member)
    before = resident()
    with pytest.raises(DataError) as error:
        npz(path)
    assert str(path) in str(error.value)
    assert "x.npy" in str(error.value)
    assert resident() - before < 200_000_000


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damages as disks, transfers and programs make them, a few at once."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(data))
        if rng.random() < 0.5:  # more often in what says what is where
            marks = [i for i in range(len(data)) if data.startswith((b"PK", b"\x93NUMPY"), i)]
            place = min(len(data) - 1, rng.choice([*marks, 0]) + rng.randrange(64))
        kind = rng.randrange(6)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            some = rng.randbytes(rng.randrange(1, 9))
            data[place : place + len(some)] = some
        elif kind == 3 and len(data) > 100:
            del data[place : place + rng.randrange(1, 40)]
        elif kind == 4:
            data[place:place] = data[place : place + rng.randrange(1, 40)]
        elif len(data) > 100:
            del data[max(place, 50) :]
    return bytes(data)


def attack(folder: Path, number: int, seed: int) -> dict[str, int]:
    """Loads so many damaged files; returns how many of each kind were loaded all the same."""
    rng = random.Random(seed)
    loaded = dict.fromkeys(KINDS, 0)
    whole = {kind: make() for kind, (make, _) in KINDS.items()}
    for i in range(number):
        kind = rng.choice(list(KINDS))
        path = folder / f"{i}.{kind}"
        path.write_bytes(mutated(whole[kind], rng))
        before = time.monotonic()
        said = ""
        try:
            KINDS[kind][1](path)
            loaded[kind] += 1
        except DataError as error:
            said = str(error)
        except ValueError as error:  # of what was asked: too few examples are left for it
            said = f"{path}: {error}" if re.match("test|validation", str(error)) else str(error)
        except BaseException:
            print(f"seed {seed}, file {i}, {kind}")
            raise
        assert not said or str(path) in said, (seed, i, said)
        assert time.monotonic() - before < 60, (seed, i)
        path.unlink()
    return loaded


@pytest.mark.parametrize(
    "number", [90, pytest.param(2400, marks=pytest.mark.slow)], ids=["a few", "many"]
)
def test_no_damage_ends_in_a_traceback(
    tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    before = resident()
    with warnings.catch_warnings(action="error"):
        loaded = attack(tmp_path, number, seed)
    more = resident() - before
    capsys.readouterr()
    print(f"seed {seed}: {loaded} were loaded all the same; {more / 1e6:.0f} MB more at most")
    assert more < 500_000_000, seed
    assert sum(loaded.values()) < number
