"""IDX files: what is read is what was written, and every damage is told apart."""

import gzip
import re
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jaxnn.data import Dataset, idx, read_idx
from jaxnn.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encode(array: np.ndarray) -> bytes:
    """Write an array as an IDX file."""
    header = struct.pack(
        f">HBB{array.ndim}I", 0, CODES[array.dtype.str[1:]], array.ndim, *array.shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda code: npst.arrays(code, npst.array_shapes(min_dims=1, max_dims=5, min_side=0))
)


@settings(deadline=None)
@given(array=arrays, compressed=st.booleans())
def test_round_trip(array: np.ndarray, compressed: bool) -> None:
    content = encode(array)
    with tempfile.TemporaryDirectory() as folder:
        # The name says nothing about compression; the content does.
        path = written(Path(folder, "file"), gzip.compress(content) if compressed else content)
        read = read_idx(path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()  # bit for bit, NaN too
    assert read.flags.writeable


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_of_many_blocks(tmp_path: Path, compressed: bool) -> None:
    array = np.arange(700_001, dtype=np.int32)
    content = encode(array)
    path = written(tmp_path / "file", gzip.compress(content, 1) if compressed else content)
    np.testing.assert_array_equal(read_idx(path), array)


VALID = encode(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
ZIPPED = gzip.compress(VALID)

DAMAGED = {
    "empty": (b"", "found an empty file"),
    "no idx file": (b"PK\3\4" + VALID, "found 50 4b 03 04"),
    "cut in the magic number": (VALID[:3], "found 00 00 0b"),
    "unknown type": (b"\0\0\x0a\3" + VALID[4:], "found 00 00 0a 03"),
    "no dimensions": (b"\0\0\x08\0" + b"\1", "found 00 00 08 00"),
    "cut in the header": (VALID[:13], "expected 3 dimensions of 4 bytes each, found 9"),
    "cut in the values": (VALID[:-1], r"expected 48 bytes .* \(2, 3, 4\) .* int16 .* only 47"),
    "longer than its header says": (VALID + b"\0", "expected 48 bytes .* found more"),
    "impossible shape": (b"\0\0\x08\4" + bytes(4) + b"\xff" * 12, "impossible shape"),
    "truncated gzip": (ZIPPED[:-9], "expected a complete gzip file, found a truncated"),
    "gzip of nothing but a header": (ZIPPED[:10], "expected a complete gzip file"),
    "gzip with a wrong checksum": (ZIPPED[:-8] + bytes(4) + ZIPPED[-4:], "CRC check failed"),
    "gzip with wrong bytes": (ZIPPED[:10] + b"\xff" * 20, "damaged one"),
    "gzip with something after it": (ZIPPED + b"more", "damaged one"),
    "gzip of a truncated file": (gzip.compress(VALID[:-1]), "found only 47"),
    "gzip of something else": (gzip.compress(b"hello"), "found 68 65 6c 6c"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_named_with_its_damage(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = written(tmp_path / "file", content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_idx(str(path))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_cannot_make_us_allocate(tmp_path: Path, compressed: bool) -> None:
    content = b"\0\0\x0e\3" + b"\xff" * 12 + b"values"
    path = written(tmp_path / "file", gzip.compress(content) if compressed else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="found only 6"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 3), np.uint8)
LABELS = (np.arange(20) % 3).astype(np.uint8)


class Files:
    """Four files that fit together, to be spoiled one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(train_images=IMAGES, train_labels=LABELS)
        self.write(test_images=IMAGES[:6, ::-1], test_labels=LABELS[:6])

    def write(self, **contents: np.ndarray) -> None:
        for name, array in contents.items():
            (self.folder / name).write_bytes(encode(array))

    def load(self, validation: int = 0, classes: list[str] | None = None) -> Dataset:
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return idx(*(self.folder / n for n in names), validation=validation, classes=classes)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_four_files_make_a_data_set(files: Files) -> None:
    data = files.load(validation=5)
    np.testing.assert_array_equal(data.train.inputs, IMAGES[:15, ..., None])
    np.testing.assert_array_equal(data.train.targets, LABELS[:15])
    np.testing.assert_array_equal(data.validation.inputs, IMAGES[15:, ..., None])
    np.testing.assert_array_equal(data.validation.targets, LABELS[15:])
    np.testing.assert_array_equal(data.test.inputs, IMAGES[:6, ::-1, :, None])
    np.testing.assert_array_equal(data.test.targets, LABELS[:6])
    assert data.train.inputs.dtype == np.uint8
    assert data.train.targets.dtype == np.int32
    assert data.classes == ("0", "1", "2")
    assert data.mean == np.float32(IMAGES[:15].mean())  # held-out examples have no say


def test_a_path_may_begin_in_the_home_folder(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(files.folder))
    images, labels = "~/test_images", "~/test_labels"
    assert len(idx(images, labels, images, labels).train.targets) == 6


def test_classes_can_be_named_and_colour_images_keep_their_channels(files: Files) -> None:
    files.write(train_images=IMAGES[:, None], test_images=IMAGES[:6, None])
    data = files.load(classes=["cat", "dog", "cow", "hen"])
    assert data.classes == ("cat", "dog", "cow", "hen")
    assert data.in_shape == (1, 4, 3)
    assert data.mean.shape == (3,)


MISFITS = {
    "fewer labels": (
        {"train_labels": LABELS[:-1]},
        r"train_labels: expected 20 labels, .*train_images, found 19",
    ),
    "another size": (
        {"test_images": IMAGES[:6, :3]},
        r"test_images: expected images of shape \(4, 3, 1\) .*train_images, found \(3, 3, 1\)",
    ),
    "a label that training does not have": (
        {"test_labels": np.array([0, 1, 2, 0, 3, 4], np.uint8)},
        r"test_labels: expected labels from 0 to 2, .* found 3 at position 4 \(2 such",
    ),
    "a negative label": (
        {"train_labels": LABELS.astype(np.int8) - np.int8(1)},
        r"train_labels: expected labels from 0 to 1, .* found -1 at position 0 \(7 such",
    ),
    "labels for images": ({"train_images": LABELS}, r"train_images: expected images, .*\(20,\)"),
    "images for labels": ({"test_labels": IMAGES}, r"test_labels: expected labels, .*\(20, 4, 3\)"),
    "labels that are no integers": (
        {"train_labels": LABELS.astype(np.float32)},
        "train_labels: expected labels, integers .* found float32",
    ),
    "images that are no bytes": (
        {"train_images": IMAGES.astype(np.float32)},
        "train_images: expected images, unsigned bytes .* found float32",
    ),
    "no images": (
        {"test_images": IMAGES[:0], "test_labels": LABELS[:0]},
        r"test_images: expected images, .* shape \(0, 4, 3\)",
    ),
}


@pytest.mark.parametrize(("spoiled", "message"), MISFITS.values(), ids=MISFITS.keys())
def test_files_that_do_not_fit_are_named(
    files: Files, spoiled: dict[str, np.ndarray], message: str
) -> None:
    files.write(**spoiled)
    with pytest.raises(DataError, match=message):
        files.load()


def test_labels_beyond_the_named_classes_are_an_error(files: Files) -> None:
    with pytest.raises(DataError, match="expected labels from 0 to 1, the numbers of 2 classes"):
        files.load(classes=["cat", "dog"])


def test_holding_out_everything_is_an_error(files: Files) -> None:
    with pytest.raises(ValueError, match="20 examples cannot be held out of 20"):
        files.load(validation=20)
