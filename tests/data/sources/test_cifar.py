"""CIFAR from archives that the tests make: what is whole is read, what is not is refused."""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from serving import Server, sends

from jaxnn.data import cifar10, cifar100
from jaxnn.data.sources import cifar as module
from jaxnn.data.sources.cifar import read_cifar
from jaxnn.errors import DataError

RNG = np.random.default_rng(0)
NAMES = b"airplane\nautomobile\nbird\n\n"
BATCHES = {"one.bin": 4, "two.bin": 3}


def images(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, 32, 32, 3), np.uint8)


def records(pixels: np.ndarray, *labels: np.ndarray) -> bytes:
    """Write each value where the description of the format puts it, one after the other."""
    result = bytearray()
    for n, image in enumerate(pixels):
        result += bytes(int(label[n]) for label in labels)
        for channel in range(3):
            for row in range(32):
                result += bytes(image[row, column, channel] for column in range(32))
    return bytes(result)


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


IMAGES = images(7)
LABELS = np.array([2, 0, 1, 1, 0, 2, 2])
FILES = {
    "folder/two.bin": records(IMAGES[4:], LABELS[4:]),  # in any order
    "folder/readme.html": b"<html>",
    "folder/names.txt": NAMES,
    "folder/one.bin": records(IMAGES[:4], LABELS[:4]),
}


def test_records_become_images_in_the_order_asked_for(tmp_path: Path) -> None:
    path = packed(tmp_path / "cifar.tar.gz", FILES)
    split, names = read_cifar(path, BATCHES, "names.txt")
    assert names == ("airplane", "automobile", "bird")
    np.testing.assert_array_equal(split.inputs, IMAGES)
    np.testing.assert_array_equal(split.targets, LABELS)
    assert (split.inputs.dtype, split.targets.dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize("label", [0, 1])
def test_either_of_two_labels_can_be_asked_for(tmp_path: Path, label: int) -> None:
    both = (LABELS, LABELS[::-1])
    path = packed(tmp_path / "a.tar.gz", {"a.bin": records(IMAGES, *both), "names.txt": NAMES})
    split, _ = read_cifar(path, {"a.bin": 7}, "names.txt", label=label, labels=2)
    np.testing.assert_array_equal(split.inputs, IMAGES)
    np.testing.assert_array_equal(split.targets, both[label])


one = FILES["folder/one.bin"]
WRONG: dict[str, tuple[dict[str, bytes], str]] = {
    "truncated batch": (
        {**FILES, "folder/one.bin": one[:-5]},
        "folder/one.bin: expected 12292 bytes, 4 records of 3073, found 12287",
    ),
    "batch that is too long": (
        {**FILES, "folder/one.bin": one + b"123"},
        "folder/one.bin: expected 12292 bytes, 4 records of 3073, found 12295",
    ),
    "missing batch": (
        {name: content for name, content in FILES.items() if "two" not in name},
        "expected the file 'two.bin' in the archive, found none",
    ),
    "missing names": (
        {name: content for name, content in FILES.items() if "names" not in name},
        "expected the file 'names.txt' in the archive, found none",
    ),
    "class without a name": (
        {**FILES, "folder/names.txt": b"airplane\nautomobile\n"},
        "expected classes from 0 to 1, which names.txt names, found 2",
    ),
    "member that leaves the folder": (
        {"folder/../../one.bin": one, **FILES},
        "the archive's member 'folder/../../one.bin' leaves its folder",
    ),
    "member with an absolute name": (
        {"/etc/one.bin": one, **FILES},
        "the archive's member '/etc/one.bin' leaves its folder",
    ),
}


@pytest.mark.parametrize(("files", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_in_an_archive_is_said(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    path = packed(tmp_path / "cifar.tar.gz", files)
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        read_cifar(path, BATCHES, "names.txt")


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "cifar.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("one.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match=r"expected the file 'names\.txt' in the archive"):
        read_cifar(path, BATCHES, "names.txt")


def test_a_damaged_archive_is_said_to_be_one(tmp_path: Path) -> None:
    content = packed(tmp_path / "cifar.tar.gz", FILES).read_bytes()
    damaged = tmp_path / "damaged.tar.gz"
    middle = len(content) // 2
    for wrong in (content[:middle], b"no archive", b"", content[:middle] + bytes(200)):
        damaged.write_bytes(wrong)
        with pytest.raises(DataError, match=f"{damaged}: expected a complete .tar archive"):
            read_cifar(damaged, BATCHES, "names.txt")
    with pytest.raises(DataError, match=r"none\.tar\.gz: cannot be read: No such file"):
        read_cifar(tmp_path / "none.tar.gz", BATCHES, "names.txt")


def constant(count: int, labels: int) -> bytes:
    """Records whose labels and pixels all are the same."""
    return bytes([1] * labels + [7] * 3072) * count


OFFICIAL = {
    "cifar10": {
        **{f"cifar-10-batches-bin/data_batch_{k}.bin": constant(10_000, 1) for k in range(1, 6)},
        "cifar-10-batches-bin/test_batch.bin": constant(10_000, 1),
        "cifar-10-batches-bin/batches.meta.txt": b"".join(b"c%d\n" % k for k in range(10)),
    },
    "cifar100": {
        "cifar-100-binary/train.bin": constant(50_000, 2),
        "cifar-100-binary/test.bin": constant(10_000, 2),
        "cifar-100-binary/fine_label_names.txt": b"".join(b"f%d\n" % k for k in range(100)),
        "cifar-100-binary/coarse_label_names.txt": b"".join(b"c%d\n" % k for k in range(20)),
    },
}


@pytest.mark.parametrize("name", ["cifar10", pytest.param("cifar100", marks=pytest.mark.long)])
def test_the_official_archive_makes_the_data_set(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an archive of the official names and sizes, whose images are all the same."""
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    body = packed(tmp_path / "made.tar.gz", OFFICIAL[name]).read_bytes()
    real = module.fetch

    def from_here(path: Path, *, urls: list[str], **expected: object) -> Path:
        with pytest.raises(DataError, match=r"could not be downloaded|expected [0-9]+ bytes"):
            real(path, urls=[server.url + "/none"], **expected)
        (url,) = urls
        assert url == f"https://www.cs.toronto.edu/~kriz/{path.name}"
        here = server.serves(f"/{path.name}", sends(body))
        digest = hashlib.sha256(body).hexdigest()
        return real(path, length=len(body), sha256=digest, urls=[here], as_published=True)

    monkeypatch.setattr(module, "fetch", from_here)
    data = cifar10() if name == "cifar10" else cifar100()
    assert data.name == name
    assert [len(split.targets) for split in data[1:4]] == [45_000, 5_000, 10_000]
    assert data.in_shape == (32, 32, 3)
    assert len(data.classes) == (10 if name == "cifar10" else 100)
    assert (data.mean == 7).all()
    if name == "cifar100":
        coarse = cifar100("coarse", validation=0)
        assert coarse.name == "cifar100_coarse"
        assert coarse.classes == tuple(f"c{k}" for k in range(20))
        assert data.classes[99] == "f99"


def test_wrong_arguments_are_refused_before_anything_is_downloaded() -> None:
    with pytest.raises(ValueError, match="labels must be 'fine' or 'coarse', not 'both'"):
        cifar100("both")  # type: ignore[arg-type]


def test_a_wrong_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"not CIFAR"))
    with pytest.raises(DataError, match=f"{path}: expected 170052171 bytes, found"):
        cifar10()
