"""Fashion-MNIST, Kuzushiji-MNIST and EMNIST, with small files in the places of the published."""

import gzip
import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from serving import Server, sends

from jaxnn.data import Dataset, emnist, fashion_mnist, kmnist, mnist, preparation, prepare
from jaxnn.data.sources import emnist as EMNIST
from jaxnn.data.sources import fashion_mnist as FASHION_MNIST
from jaxnn.data.sources import kmnist as KMNIST
from jaxnn.data.sources import mnist as MNIST
from jaxnn.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 28, 28), np.uint8)
LABELS = np.arange(30, dtype=np.uint8) % 10
TEST_IMAGES, TEST_LABELS = IMAGES[::-3], LABELS[::-3]
ARRAYS = (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS)

LIKE_MNIST: list[tuple[ModuleType, Callable[..., Dataset], bool]] = [
    (MNIST, mnist, False),
    (FASHION_MNIST, fashion_mnist, True),
    (KMNIST, kmnist, True),
]


def idx_gz(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.mark.parametrize(
    ("module", "load", "compressed"), LIKE_MNIST, ids=["mnist", "fashion_mnist", "kmnist"]
)
def test_four_files_are_downloaded_and_verified(
    module: ModuleType,
    load: Callable[..., Dataset],
    compressed: bool,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    files = []
    for (name, _, _), array in zip(module._FILES, ARRAYS, strict=True):
        body = idx_gz(array)
        server.serves(f"/{name}.gz", sends(body))
        verified = body if compressed else gzip.decompress(body)
        files.append((name, len(verified), hashlib.sha256(verified).hexdigest()))
    monkeypatch.setattr(module, "_FILES", files)
    monkeypatch.setattr(module, "_MIRRORS", [f"{server.url}/gone/", f"{server.url}/"])

    data = load(validation=5)
    assert data.name == load.__name__
    assert len(data.classes) == 10
    np.testing.assert_array_equal(data.train.inputs[..., 0], IMAGES[:25])
    np.testing.assert_array_equal(data.train.targets, LABELS[:25])
    np.testing.assert_array_equal(data.validation.inputs[..., 0], IMAGES[25:])
    np.testing.assert_array_equal(data.test.inputs[..., 0], TEST_IMAGES)
    np.testing.assert_array_equal(data.test.targets, TEST_LABELS)
    asked = len(server.asked)
    assert asked == 8  # each file from the mirror that has none, then from the other

    again = load(validation=5)
    assert len(server.asked) == asked  # from the folder
    np.testing.assert_array_equal(again.train.inputs, data.train.inputs)

    folder = tmp_path / data.name
    images = folder / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{images}: expected .* Delete it to download it again"):
        load()
    assert sorted(os.listdir(folder)) == sorted(f"{name}.gz" for name, _, _ in files)


def test_names_of_what_is_published_are_the_publishers() -> None:
    """Class k of each as the publishers list it, at places where orders may differ."""
    assert FASHION_MNIST._CLASSES[0] == "T-shirt/top"
    assert FASHION_MNIST._CLASSES[5:] == (*("sandal", "shirt", "sneaker", "bag", "ankle boot"),)
    assert KMNIST._CLASSES[3] == "tsu"
    counts = {split: len(names) for split, names in EMNIST._CLASSES.items()}
    expected = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26}
    assert counts == {**expected, "digits": 10, "mnist": 10}
    # As emnist-balanced-mapping.txt has it: 36 is a, 38 d, 46 t.
    balanced = EMNIST._CLASSES["balanced"]
    assert (balanced[10], balanced[35], balanced[36], balanced[38], balanced[46]) == tuple("AZadt")
    assert EMNIST._CLASSES["byclass"][61] == "z"


SPLITS = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26, "digits": 10, "mnist": 10}


@pytest.fixture(scope="module")
def archive() -> bytes:
    """An archive like that of EMNIST: images transposed, letters counted from 1."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for split, classes in SPLITS.items():
            labels = (np.arange(62) % classes + (split == "letters")).astype(np.uint8)
            images = np.resize(IMAGES, (62, 28, 28))
            for part, some in (("train", slice(None)), ("test", slice(None, None, 2))):
                prefix = f"gzip/emnist-{split}-{part}"
                transposed = images[some].swapaxes(1, 2)
                file.writestr(f"{prefix}-images-idx3-ubyte.gz", idx_gz(transposed))
                file.writestr(f"{prefix}-labels-idx1-ubyte.gz", idx_gz(labels[some]))
    return stream.getvalue()


@pytest.fixture
def emnist_server(
    archive: bytes, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Server:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    url = server.serves("/gzip.zip", sends(archive))
    changes: dict[str, Any] = {
        "_URLS": [url],
        "_LENGTH": len(archive),
        "_SHA256": hashlib.sha256(archive).hexdigest(),
    }
    for name, value in changes.items():
        monkeypatch.setattr(EMNIST, name, value)
    return server


def test_emnist_comes_in_splits_upright_and_counted_from_0(emnist_server: Server) -> None:
    for split, classes in SPLITS.items():
        data = emnist(split, validation=7)  # type: ignore[arg-type]
        assert data.name == f"emnist_{split}"
        assert len(data.classes) == classes
        np.testing.assert_array_equal(
            data.train.inputs, np.resize(IMAGES, (62, 28, 28, 1))[:55], err_msg=split
        )
        np.testing.assert_array_equal(data.train.targets, np.arange(55) % classes)
        np.testing.assert_array_equal(data.validation.targets, np.arange(55, 62) % classes)
        np.testing.assert_array_equal(data.test.targets, np.arange(0, 62, 2) % classes)
        assert data.train.targets.dtype == np.int32
    assert emnist_server.asked == ["/gzip.zip"]
    assert emnist("letters", validation=0).classes[:3] == ("A", "B", "C")


def test_what_is_wrong_with_emnist_is_said(emnist_server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split = 'letter': it must be one of byclass, bymerge"):
        emnist("letter")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="validation = 62"):
        emnist(validation=62)
    path = tmp_path / "emnist" / "gzip.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=f"{path}: expected {EMNIST._LENGTH} bytes"):
        emnist()


def square(size: tuple[int, int], box: tuple[int, int, int, int], ink: int, paper: int) -> Any:
    top, left, bottom, right = box
    image = np.full((*size, 1), paper, np.uint8)
    image[top:bottom, left:right] = ink
    return image


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (40, 220)])
def test_characters_are_centered_as_their_publishers_do(ink: int, paper: int) -> None:
    """A block of ink, twice as high as wide, anywhere in the image."""
    image = square((200, 300), (20, 200, 120, 250), ink, paper)
    for convert, side in (("as_emnist", 24), ("as_kmnist", 28)):
        found = getattr(preparation, convert)(image)
        assert (found.shape, found.dtype) == ((28, 28, 1), np.uint8)
        rows = np.flatnonzero(found.any((1, 2)))
        columns = np.flatnonzero(found.any((0, 2)))
        margin = (28 - side) // 2
        assert (rows[0], rows[-1]) == (margin, 27 - margin)
        assert (columns[0], columns[-1]) == (14 - side // 4, 13 + side // 4)
        assert found[14, 14] == 255


@pytest.mark.parametrize("paper", [255, 0])
def test_articles_become_light_on_black_and_fill_the_image(paper: int) -> None:
    image = square((200, 300), (20, 200, 120, 250), 100, paper)
    found = preparation.as_fashion_mnist(image)
    assert (found.shape, found.dtype) == ((28, 28, 1), np.uint8)
    assert (found[:, 7:21] == abs(paper - 100)).all()  # 28 high, 14 wide, no darker than it was
    assert not found[:, :7].any()
    assert not found[:, 21:].any()
    with pytest.raises(DataError, match="nothing is shown in the image"):
        preparation.as_fashion_mnist(np.full((50, 50, 1), paper, np.uint8))


def test_images_are_prepared_in_the_way_of_the_data_set(emnist_server: Server) -> None:
    image = square((200, 300), (20, 200, 120, 250), 0, 255)
    found = prepare(image, emnist(validation=0))
    np.testing.assert_array_equal(found, preparation.as_emnist(image))
