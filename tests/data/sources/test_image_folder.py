"""Images in folders and archives: found, decoded once, divided; bad data listed or refused."""

import io
import json
import os
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import run_script

from jaxnn.data import (
    Dataset,
    cache_folder,
    decoding,
    image_folder,
    listing,
    prepare,
    read_image,
    spread,
)
from jaxnn.errors import DataError

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(decoding, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "decoded"


def encoded(color: Iterable[int], size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    """An image of one color; size is (width, height)."""
    stream = io.BytesIO()
    Image.new("RGB", size, tuple(color)).save(stream, kind)
    return stream.getvalue()


def color(folder: int, number: int) -> tuple[int, int, int]:
    """A color that tells which image it is."""
    return (20 * folder, 6 * number % 256, 7)


def some(counts: Mapping[str, int], prefix: str = "") -> dict[str, bytes]:
    """So many images for each class."""
    return {
        f"{prefix}{name}/{k:03}.png": encoded(color(CLASSES.index(name), k))
        for name, count in counts.items()
        for k in range(count)
    }


def archived(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpacked(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        place = path / name
        if name.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return path


def written(folder: Path, kind: str, files: Mapping[str, bytes]) -> Path:
    return (
        archived(folder / "animals.zip", files)
        if kind == "zip"
        else unpacked(folder / "animals", files)
    )


def seen(data: Dataset, split: str = "train") -> list[tuple[str, tuple[int, ...]]]:
    """Class and color of each example."""
    inputs, targets = getattr(data, split)
    return [
        (data.classes[k], tuple(x[0, 0].tolist())) for x, k in zip(inputs, targets, strict=True)
    ]


def expected(counts: Mapping[str, int]) -> set[tuple[str, tuple[int, int, int]]]:
    return {
        (name, color(CLASSES.index(name), k))
        for name, count in counts.items()
        for k in range(count)
    }


# --- What is found


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("top", ["", "top/", "top/inner/"])
def test_a_folder_for_each_class_is_divided(tmp_path: Path, kind: str, top: str) -> None:
    counts = {"cat": 10, "dog": 20}
    files = some(counts, top) | {f"{top}README.md": b"text", f"{top}.hidden/a.png": b"x"}
    path = written(tmp_path, kind, files)
    data = image_folder(path, size=8, validation=6, test=0.2)
    assert (data.name, data.classes, data.in_shape) == ("animals", ("cat", "dog"), (8, 8, 3))
    assert [len(split.targets) for split in data[1:4]] == [18, 6, 6]
    splits = [seen(data, split) for split in ("train", "validation", "test")]
    assert set().union(*splits) == expected(counts)
    for split in data[1:4]:
        assert 2 * np.sum(split.targets == 0) == np.sum(split.targets == 1)
        assert (split.inputs.dtype, split.targets.dtype) == (np.uint8, np.int32)
        assert isinstance(split.inputs, np.memmap)
        assert not split.inputs.flags.writeable


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("validation", ["validation", "val", None])
def test_a_division_of_its_own_is_kept(tmp_path: Path, kind: str, validation: str | None) -> None:
    train, test, held_out = {"cat": 8, "dog": 12}, {"cat": 3, "dog": 1}, {"cat": 2, "dog": 2}
    files = some(train, "all/train/") | some(test, "all/test/")
    if validation:
        files |= some(held_out, f"all/{validation}/")
    data = image_folder(written(tmp_path, kind, files), size=8)
    assert set(seen(data, "test")) == expected(test)
    if validation:
        assert set(seen(data, "validation")) == expected(held_out)
        assert set(seen(data)) == expected(train)
    else:
        assert [len(split.targets) for split in data[1:3]] == [18, 2]
        assert set(seen(data)) | set(seen(data, "validation")) == expected(train)


def test_both_forms_give_the_same_examples_in_the_same_order(tmp_path: Path) -> None:
    files = some({"cat": 9, "dog": 13, "owl": 4})
    zipped = image_folder(written(tmp_path, "zip", dict(reversed(files.items()))), size=8)
    plain = image_folder(written(tmp_path, "folder", files), size=8)
    for split in ("train", "validation", "test"):
        assert seen(zipped, split) == seen(plain, split)
    # Those of `spread`, of files in the order of their names.
    targets = np.repeat([0, 1, 2], [9, 13, 4])
    order = [plain.classes[k] for k in targets[spread(targets)]]
    assert [name for part in ("train", "validation", "test") for name, _ in seen(plain, part)] == (
        order
    )


@pytest.mark.parametrize(
    "form", ["./{}", "pets\\{}", ".\\{}", "pets//{}"], ids=["dot", "backslash", "both", "twice"]
)
def test_names_in_an_archive_may_be_written_in_other_ways(tmp_path: Path, form: str) -> None:
    files = some({"cat": 5, "dog": 5}) | {"dog/": b""}
    if "\\" in form:
        files = {name.replace("/", "\\"): image for name, image in files.items()}
    path = written(tmp_path, "zip", {form.format(name): image for name, image in files.items()})
    data = image_folder(path, size=8)
    assert data.classes == ("cat", "dog")
    assert sum(len(split.targets) for split in data[1:4]) == 10


def test_folders_named_by_numbers_are_in_their_order(tmp_path: Path) -> None:
    files = {f"{k}/{n}.png": encoded((k, n, 0)) for k in (10, 9, 1) for n in range(5)}
    assert image_folder(written(tmp_path, "zip", files), size=8).classes == ("1", "9", "10")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": encoded((n, 0, 0)) for name in ("train", "bus") for n in range(5)}
    assert image_folder(written(tmp_path, "zip", files), size=8).classes == ("bus", "train")


def test_folders_within_and_links_to_folders_count(tmp_path: Path) -> None:
    path = written(tmp_path, "folder", some({"cat": 5}))
    elsewhere = unpacked(tmp_path / "elsewhere", some({"dog": 3}))
    unpacked(elsewhere, {"dog/more/a.png": encoded((1, 2, 3))})
    (path / "dog").symlink_to(elsewhere / "dog", target_is_directory=True)
    (path / "cat" / "again").symlink_to(path, target_is_directory=True)  # leads back
    data = image_folder(path, size=8, validation=0, test=1)
    assert len(data.train.targets) + len(data.test.targets) == 9


def test_a_folder_that_is_linked_to_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders that link to each other are in each other, and that in each other, without end."""
    path = written(tmp_path, "folder", some({"cat": 5, "dog": 5, "owl": 5}))
    for one in CLASSES:
        for other in CLASSES:
            if one != other:
                (path / one / f"my {other}").symlink_to(path / other, target_is_directory=True)
    elsewhere = unpacked(tmp_path / "elsewhere", {"a.png": encoded((1, 2, 3))})
    for one in CLASSES:
        (path / one / "more").symlink_to(elsewhere, target_is_directory=True)
    data = image_folder(path, size=8, validation=0, test=1)
    assert len(data.train.targets) + len(data.test.targets) == 16
    assert "counted elsewhere are left out: cat/my dog/, cat/my owl/" in capsys.readouterr().err


def test_names_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "folder", some({"cat": 5, "dog": 5}))
    (path / "cat" / "\x1b]0;title\x07\x1b[2J\u202ename.txt").write_text("")
    image_folder(path, size=8)
    said = capsys.readouterr().err
    assert "\\x1b]0;title\\x07\\x1b[2J\\u202ename.txt" in said
    assert said.replace("\n", "").isprintable()


CLUTTER = {
    f"{place}{name}": content
    for place in ("", "pets/cat/")
    for name, content in {
        "Thumbs.db": b"?",
        "desktop.ini": b"?",
        "Desktop.ini": b"?",
        ".DS_Store": b"?",
        "._000.png": b"?",
        "Icon\r": b"",
        "@eaDir/000.png/SYNOFILE_THUMB_M.jpg": encoded((1, 1, 1), kind="JPEG"),
        "__MACOSX/000.png": b"?",
        "$RECYCLE.BIN/000.png": encoded((1, 1, 1)),
        ".ipynb_checkpoints/000-checkpoint.png": encoded((1, 1, 1)),
    }.items()
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_systems_leave_behind_does_not_count(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"cat": 8, "dog": 8}
    data = image_folder(written(tmp_path, kind, some(counts, "pets/") | CLUTTER), size=8)
    every = [example for split in ("train", "validation", "test") for example in seen(data, split)]
    assert (data.classes, len(every), set(every)) == (("cat", "dog"), 16, expected(counts))
    assert capsys.readouterr().err.startswith("Decoding 16 images")  # and no warning


TEXTS = ("txt", "xml", "json", "csv")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_lies_among_images_is_listed_and_changes_nothing(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"cat": 8, "dog": 8}
    plain = image_folder(written(tmp_path / "plain", kind, some(counts)), size=8)
    capsys.readouterr()
    notes = {f"{name}/{k:03}.{end}": b"<?" for name in counts for k in range(8) for end in TEXTS}
    notes |= {"cat/LICENSE": b"P1 is", "labels": b""}
    path = written(tmp_path / "mixed", kind, some(counts) | notes)
    mixed = image_folder(path, size=8)
    for split in ("train", "validation", "test"):
        assert seen(mixed, split) == seen(plain, split)
    warning, listed, decoding = capsys.readouterr().err.splitlines()
    assert warning == f"warning: {path}: not all of it is used:"
    assert listed.startswith("  65 files that are not an image: cat/000.csv, cat/000.json, cat/0")
    assert listed.endswith(", 62 more")
    assert decoding.startswith("Decoding 16 images")


def test_images_are_known_by_what_they_hold(tmp_path: Path) -> None:
    """Some collections give their images no suffix, or one of their own."""
    rng = np.random.default_rng(0)
    path = tmp_path / "faces"
    kinds = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
    for name in ("ann", "bob"):
        for kind in kinds:
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(stream, kind)
            for ending in ("", ".happy"):
                unpacked(path, {f"{name}/{kind}{ending}": stream.getvalue()})
    data = image_folder(path, size=8)
    assert sum(len(split.targets) for split in data[1:4]) == 2 * 2 * len(kinds)


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "folder", some({"cat": 5, "dog": 5}))
    os.mkfifo(path / "cat" / "pipe.png")
    assert image_folder(path, size=8).classes == ("cat", "dog")
    assert "  1 file that is not an image: cat/pipe.png\n" in capsys.readouterr().err
    with pytest.raises(DataError, match="neither a folder nor a complete"):
        image_folder(path / "cat" / "pipe.png", size=8)


def test_a_link_to_nothing_is_an_image_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "folder", some({"cat": 10, "dog": 10}))
    (path / "cat" / "lost.png").symlink_to(tmp_path / "nowhere")
    image_folder(path, size=8)
    assert "lost.png: cannot read the image: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_that_divides_itself_has_a_word_for_what_it_leaves_out(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = {"cat": 8, "dog": 12}, {"cat": 3, "dog": 1}
    files = some(train, "a/seg_train/seg_train/") | some(test, "a/seg_test/seg_test/")
    path = written(tmp_path, kind, files | {"a/seg_pred/seg_pred/1.png": encoded((1, 1, 1))})
    data = image_folder(path, size=8, validation=2)
    assert set(seen(data, "test")) == expected(test)
    assert f"{path}: not all of it is used:\n  a/seg_pred/: 1 image\n" in capsys.readouterr().err
    named = image_folder(
        path, size=8, splits={"train": "a/seg_test/seg_test", "test": "a/seg_train/seg_train"}
    )
    assert set(seen(named, "test")) == expected(train)


def test_a_relative_path_may_lie_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path / "data"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    archived(tmp_path / "data" / "animals.zip", some({"cat": 5, "dog": 5}))
    assert image_folder("animals.zip", size=8).classes == ("cat", "dog")
    archived(Path("animals.zip"), some({"cat": 5, "owl": 5}))
    assert image_folder("animals.zip", size=8).classes == ("cat", "owl")


# --- What images become


def test_images_of_any_size_and_format_become_examples(tmp_path: Path) -> None:
    """Left half red, right half blue: the middle of a wide one, all of the width of a high one."""
    files = {}
    for k, (width, height) in enumerate([(16, 16), (64, 16), (16, 64), (300, 200), (5, 9)]):
        for kind in ("PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG"):
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[:, : (width + 1) // 2, 0] = 255
            pixels[:, (width + 1) // 2 :, 2] = 255
            stream = io.BytesIO()
            options: dict[str, dict[str, Any]] = {
                "WEBP": {"lossless": True},
                "JPEG": {"quality": 100, "subsampling": 0},
            }
            Image.fromarray(pixels).save(stream, kind, **options.get(kind, {}))
            files[f"{'ab'[k % 2]}/{k}.{kind.lower()}"] = stream.getvalue()
    path = written(tmp_path, "zip", files)
    data = image_folder(path, size=[8, 16], validation=0, test=1)
    assert data.in_shape == (8, 16, 3)
    assert len(data.train.targets) == len(files) - 1
    for image in data.train.inputs:
        assert np.abs(image[:, :4].astype(int) - (255, 0, 0)).max() < 40
        assert np.abs(image[:, 12:].astype(int) - (0, 0, 255)).max() < 40


def test_images_of_twelve_bits_among_others_of_sixteen_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def grey(largest: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(np.full((8, 8), largest, np.uint16)).save(stream, "PNG")
        return stream.getvalue()

    twelve = {f"{name}/{k}.png": grey(4000) for name in ("cat", "dog") for k in range(5)}
    data = image_folder(written(tmp_path / "a", "zip", twelve), size=8, channels=1)
    assert data.train.inputs.max() == 4000 >> 4
    assert "of 16 bits" not in capsys.readouterr().err
    path = written(tmp_path / "b", "zip", twelve | {"cat/5.png": grey(0), "dog/5.png": grey(5000)})
    for _ in range(2):  # and when they are not decoded again
        image_folder(path, size=8, channels=1)
        error = capsys.readouterr().err
        assert f"warning: {path}: 10 of its images of 16 bits have no value above 4,095" in error
        assert "16 times as bright as they would be among the other 2." in error


def test_grey_examples_and_transparent_images(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(stream, "PNG")
    files = some({"cat": 5, "dog": 5}) | {"owl/a.png": stream.getvalue()}
    data = image_folder(written(tmp_path, "zip", files), size=8, channels=1, validation=0, test=1)
    assert data.in_shape == (8, 8, 1)
    owl = data.train.inputs[data.train.targets == 2]
    assert len(owl) == 1
    assert (owl == 255).all()


def test_an_image_for_a_network_is_prepared_in_the_same_way(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 700, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    files = {f"{name}/{k}.png": stream.getvalue() for name in "ab" for k in range(3)}
    data = image_folder(written(tmp_path, "zip", files), size=16, validation=0, test=1)
    found = prepare(read_image(io.BytesIO(stream.getvalue())), data)
    np.testing.assert_array_equal(found, data.train.inputs[0])


def test_normalization_is_that_of_the_training_split(tmp_path: Path) -> None:
    path = written(tmp_path, "zip", some({"cat": 9, "dog": 9}))
    data = image_folder(path, size=8, validation=4, test=4)
    values = data.train.inputs.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(data.mean, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.deviation, [*values.std(0)[:2], 1], rtol=1e-6)
    assert image_folder(path, size=8, normalize="unit").deviation == 255


# --- Classes


def test_folders_can_be_mapped_to_classes(tmp_path: Path) -> None:
    path = written(tmp_path, "zip", some({"cat": 6, "dog": 6, "owl": 6}))
    data = image_folder(path, size=8, classes={"owl": "bird", "*": "other"})
    assert data.classes == ("bird", "other")
    every = [example for part in ("train", "validation", "test") for example in seen(data, part)]
    assert sorted(every) == sorted(
        [("bird", color(2, k)) for k in range(6)]
        + [("other", color(folder, k)) for folder in (0, 1) for k in range(6)]
    )
    # Without "*", what is not named is left out, and not decoded.
    data = image_folder(path, size=8, classes={"owl": "owl", "cat": "cat"})
    assert data.classes == ("owl", "cat")
    assert sum(len(split.targets) for split in data[1:4]) == 12


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            {"owll": "bird", "*": "other"},
            "no such folder of images; did you mean 'owl'? folders: cat, dog",
        ),
        ({"*": "all"}, "expected at least two classes, found only all"),
        ({"cat": "pet", "dog": "pet"}, "expected at least two classes, found only pet, pet"),
        (
            {"cat": "cat", "dog": "dog", "owl": "owl", "*": "other"},
            "expected images of every class to train on, found none of 'other' (folders: none)",
        ),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, classes: dict[str, str], message: str) -> None:
    path = written(tmp_path, "zip", some({"cat": 5, "dog": 5, "owl": 5}))
    with pytest.raises(DataError, match=re.escape(message)):
        image_folder(path, size=8, classes=classes)


def test_balance_makes_classes_of_the_training_split_equal(tmp_path: Path) -> None:
    counts = {"cat": 40, "dog": 20, "owl": 12}
    path = written(tmp_path, "zip", some(counts))
    shares = {"validation": 0.25, "test": 0.25}
    plain = image_folder(path, size=8, **shares)
    assert np.bincount(plain.train.targets).tolist() == [20, 10, 6]

    fewer = image_folder(path, size=8, balance="undersample", **shares)
    assert np.bincount(fewer.train.targets).tolist() == [6, 6, 6]
    assert len(set(seen(fewer))) == 18
    assert set(seen(fewer)) <= set(seen(plain))

    more = image_folder(path, size=8, balance="repeat", **shares)
    assert np.bincount(more.train.targets).tolist() == [20, 20, 20]
    assert set(seen(more)) == set(seen(plain))
    owls = [example for example in seen(more) if example[0] == "owl"]
    assert sorted(owls.count(owl) for owl in set(owls)) == [3, 3, 3, 3, 4, 4]

    for data in (fewer, more):
        assert isinstance(data.train.inputs, np.memmap)
        for split in ("validation", "test"):
            assert seen(data, split) == seen(plain, split)
    again = image_folder(path, size=8, balance="undersample", **shares)
    assert seen(again) == seen(fewer)


def test_each_folder_of_a_class_keeps_its_share_in_balance(tmp_path: Path) -> None:
    path = written(tmp_path, "zip", some({"cat": 40, "dog": 40, "owl": 20}))
    data = image_folder(
        path,
        size=8,
        classes={"owl": "bird", "*": "other"},
        balance="undersample",
        validation=0,
        test=0.1,
    )
    folders = [rgb[0] // 20 for name, rgb in seen(data) if name == "other"]
    assert np.bincount(folders).tolist() == [9, 9]


# --- The cache


def test_what_is_decoded_is_kept(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "folder", some({"cat": 6, "dog": 6}))
    first = image_folder(path, size=8, balance="repeat")
    kept = sorted(os.listdir(own_cache))
    assert not any(name.endswith(".part") for name in kept)

    def fail(*arguments: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_with_depth", fail)
        again = image_folder(path, size=8, balance="repeat")
        image_folder(path, size=8, validation=2, test=3, normalize="unit")
        image_folder(path, size=8, classes={"dog": "a", "*": "b"})
    for split in ("train", "validation", "test"):
        assert seen(again, split) == seen(first, split)
    assert sorted(os.listdir(own_cache)) == kept

    image_folder(path, size=9)
    assert len(os.listdir(own_cache)) > len(kept)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_has_changed_is_decoded_again(tmp_path: Path, kind: str) -> None:
    files = some({"cat": 6, "dog": 6})
    path = written(tmp_path, kind, files)
    before = image_folder(path, size=8, test=1, validation=0)
    files["cat/000.png"] = encoded((200, 200, 200))
    path = written(tmp_path, kind, files)
    os.utime(path / "cat/000.png" if kind == "folder" else path, (1, 1))
    after = image_folder(path, size=8, test=1, validation=0)

    def every(data: Dataset) -> set[Any]:
        return {*seen(data), *seen(data, "test")}

    assert every(after) - every(before) == {("cat", (200, 200, 200))}
    assert every(before) - every(after) == {("cat", color(0, 0))}


DAMAGES = {
    "truncated": lambda content: content[:-1],
    "empty": lambda content: b"",
    "another header": lambda content: b"x" * 128 + content[128:],
    "other contents": lambda content: b"{",
    "another shape": lambda content: content.replace(b"(12, 8", b"(11, 8").replace(b"{}", b"[]"),
    "unknown files": lambda content: content.replace(b"{}", b'{"a": "b"}')[: len(content) + 9],
}


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cache_is_made_again(
    tmp_path: Path, own_cache: Path, suffix: str, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "zip", some({"cat": 6, "dog": 6}))
    first = seen(image_folder(path, size=8))
    (kept,) = own_cache.glob(f"*{suffix}")
    content = kept.read_bytes()
    damaged = damage(content)
    kept.write_bytes(damaged)
    capsys.readouterr()
    assert seen(image_folder(path, size=8)) == first
    assert ("Decoding 12 images" in capsys.readouterr().err) == (damaged != content)
    assert kept.read_bytes() == content


def test_an_interrupted_decoding_leaves_nothing(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "zip", some({"cat": 6, "dog": 6}))

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_with_depth", interrupt)
        with pytest.raises(KeyboardInterrupt):
            image_folder(path, size=8)
    assert os.listdir(own_cache) == []
    image_folder(path, size=8)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, own_cache: Path) -> None:
    path = written(tmp_path, "zip", some({"cat": 6, "dog": 6}))
    own_cache.parent.write_text("a file where a folder should be")
    with pytest.raises(DataError, match=f"{own_cache}: cannot be written: "):
        image_folder(path, size=8)


def test_decoding_is_announced_and_the_cache_is_the_platforms(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "zip", some({"cat": 6, "dog": 6}))
    image_folder(path, size=8)
    assert capsys.readouterr() == ("", f"Decoding 12 images of {path} into {own_cache}\n")
    image_folder(path, size=8)
    assert capsys.readouterr() == ("", "")
    assert cache_folder().name == "jaxnn"


def test_decoding_needs_little_memory(tmp_path: Path) -> None:
    """400 examples of 48 kB each are decoded, balanced and normalized: 20 MB, and more repeated."""
    image = encoded((1, 2, 3))
    files = {f"{'ab'[k % 4 == 0]}/{k}.png": image for k in range(400)}
    path = written(tmp_path, "zip", files)
    tracemalloc.start()
    try:
        data = image_folder(path, size=128, balance="repeat")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    total = sum(split.inputs.nbytes for split in data[1:4])
    assert total > 25e6
    assert peak < 0.6 * total


# --- Bad data


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb() -> bytes:
    """A PNG whose header says 30,000 × 30,000; decoding what it says would take 2.7 GB."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


JPEG = encoded((9, 9, 9), (64, 64), "JPEG")
UNREADABLE = {
    "corrupt JPEG": ("dog/broken.jpg", JPEG[: len(JPEG) // 2], "cannot read the image: damaged"),
    "text": ("dog/text.jpg", b"these are dogs\n" * 50, "not an image that can be read (BMP, GIF"),
    "a format too new": ("dog/phone.HEIC", bytes(50), "not an image that can be read (BMP, GIF"),
    "bomb": (
        "dog/large.png",
        bomb(),
        "refused: the image claims to have more than",
    ),
    "empty file": ("dog/empty.png", b"", "not an image that can be read"),
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize(("name", "content", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_is_no_image_is_listed_and_left_out(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    name: str,
    content: bytes,
    reason: str,
) -> None:
    counts = {"cat": 10, "dog": 10}
    path = written(tmp_path, kind, some(counts) | {name: content})
    for cached in (False, True):  # and said again when it is not decoded again
        data = image_folder(path, size=8)
        first, *lines = capsys.readouterr().err.splitlines()
        assert first.startswith("warning" if cached else "Decoding")
        every = [e for split in ("train", "validation", "test") for e in seen(data, split)]
        assert set(every) == expected(counts)
        assert len(every) == 20
        assert lines[-1].startswith(f"  {path / name}: {reason}")
        assert len(lines) == (1 if cached else 2)


def test_the_warning_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = some({"cat": 100, "dog": 60}) | {f"dog/{k}.gif": b"?" for k in range(12)}
    path = written(tmp_path, "zip", files)
    image_folder(path, size=8)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines[0] == (f"warning: {path}: 12 of 172 images cannot be read and are left out:")
    assert lines[-1] == "  and 2 more"
    assert len(lines) == 12


def test_many_files_that_are_no_images_are_fatal(tmp_path: Path, own_cache: Path) -> None:
    files = some({"cat": 9, "dog": 9}) | {f"dog/{k}.gif": b"?" for k in range(3)}
    path = written(tmp_path, "zip", files)
    with pytest.raises(
        DataError, match="more than a tenth of its 21 images cannot be read"
    ) as caught:
        image_folder(path, size=8)
    assert f"  {path}/dog/0.gif: not an image" in str(caught.value)
    assert os.listdir(own_cache) == []


def test_a_damaged_member_of_an_archive_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "zip", some({"cat": 10, "dog": 10}))
    content = path.read_bytes()
    image = encoded(color(0, 3))
    path.write_bytes(content.replace(image, image[:-1] + b"?"))
    data = image_folder(path, size=8)
    assert sum(len(split.targets) for split in data[1:4]) == 19
    assert f"  {path}/cat/003.png: cannot be unpacked: Bad CRC-32" in capsys.readouterr().err


def test_a_member_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_LARGEST_FILE", 1 << 20)
    path = tmp_path / "animals.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, image in some({"cat": 10, "dog": 10}).items():
            archive.writestr(name, image)
        archive.writestr("cat/zeros.png", bytes(5_000_000))
    image_folder(path, size=8)
    assert f"{path}/cat/zeros.png: 5000000 bytes are refused: at most 1 MiB" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_without_images_is_no_class(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, kind, some({"cat": 5, "dog": 5}) | {"owl/": b"", "more/a.txt": b"?"})
    assert image_folder(path, size=8).classes == CLASSES[:2]
    warning = f"warning: {path}: not all of it is used:\n  more/: no image\n  owl/: no image\n"
    assert warning in capsys.readouterr().err
    with pytest.raises(DataError, match="`classes` names 'owl', but there is no such folder of im"):
        image_folder(path, size=8, classes={"cat": "cat", "owl": "owl"})


def test_a_class_whose_images_are_all_held_out_is_refused(tmp_path: Path) -> None:
    files = some({"cat": 50}, "train/") | {"train/owl/a.png": b"?"} | some({"owl": 5}, "test/")
    path = written(tmp_path, "zip", files)
    message = "expected images of every class to train on, found none of 'owl' (folders: owl). Add"
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        image_folder(path, size=8)


def test_classes_that_only_the_test_split_has_are_refused(tmp_path: Path) -> None:
    files = some({"cat": 5, "dog": 5}, "test/") | some({"owl": 9}, "train/")
    path = written(tmp_path, "zip", files)
    with pytest.raises(DataError, match=r"expected images of every class to train on, found none$"):
        image_folder(path, size=8, classes={"cat": "cat", "dog": "dog"})


def test_a_class_only_the_test_split_has_is_refused(tmp_path: Path) -> None:
    files = some({"cat": 5, "dog": 5}, "train/") | some({"cat": 1, "owl": 1}, "test/")
    with pytest.raises(DataError, match="to train on, found none of 'owl'"):
        image_folder(written(tmp_path, "zip", files), size=8)


@pytest.mark.parametrize(
    "name", ["../cat/x.png", "cat/../../x.png", "/cat/x.png", "C:/cat/x.png", "cat\\..\\x.png"]
)
def test_a_member_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / "animals.zip", some({"cat": 5, "dog": 5}) | {name: JPEG})
    with pytest.raises(DataError, match=re.escape(f"{path}: the archive's member '")) as caught:
        image_folder(path, size=8)
    assert name.replace("\\", "/") in str(caught.value)
    assert "leaves its folder" in str(caught.value)
    assert os.listdir(tmp_path) == ["animals.zip"]


def test_what_is_no_folder_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.zip: there is no such file"):
        image_folder(tmp_path / "none.zip", size=8)
    path = tmp_path / "animals.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=f"{path}: neither a folder nor a complete .zip file"):
        image_folder(path, size=8)
    whole = archived(path, some({"cat": 5, "dog": 5})).read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match=f"{path}: neither a folder nor a complete .zip file"):
        image_folder(path, size=8)
    archived(path, {"a.png": JPEG, "b.png": JPEG})
    with pytest.raises(DataError, match=f"{path}: expected a folder for each class, found none"):
        image_folder(path, size=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size = 0: it must be one number of pixels, or [height, width], from 1"),
        ({"size": 513}, "size = 513"),
        ({"size": [8, 8, 3]}, "size = [8, 8, 3]"),
        ({"size": 8, "test": 0}, "test = 0: at least one example is needed for test"),
        ({"size": 8, "validation": 0.5, "test": 0.5}, "leave none of the 10 examples to train on"),
    ],
)
def test_wrong_numbers_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    path = written(tmp_path, "zip", some({"cat": 5, "dog": 5}))
    with pytest.raises(ValueError, match=re.escape(message)):
        image_folder(path, **arguments)


def test_a_split_that_is_there_is_not_to_be_cut_off(tmp_path: Path) -> None:
    files = some({"cat": 5, "dog": 5}, "train/") | some({"cat": 1, "dog": 1}, "test/")
    path = written(tmp_path, "zip", files)
    with pytest.raises(ValueError, match=f"test = 3: {path} has its own split; leave it out"):
        image_folder(path, size=8, test=3)


# --- In the scripts


def test_scripts_take_splits_as_they_are_called_or_say_how_to_name_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def config(name: str, files: Mapping[str, bytes], **options: Any) -> Path:
        path = unpacked(tmp_path / name, files)
        data = {"image_folder": {"path": str(path), "size": 8, "normalize": "unit"} | options}
        network = ["flatten", {"dense": 2}]
        training = {"epochs": 1, "batch_size": 5}
        values = {"data": data, "model": network, "optimizer": {"sgd": 0.1}, "training": training}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(values))
        return tmp_path / f"{name}.yaml"

    train, test = {"cat": 8, "dog": 12}, {"cat": 3, "dog": 1}
    usual = some(train, "Training/") | some(test, "Testing/") | {"more/a.png": encoded((1, 1, 1))}
    outcome = run_script(capsys, "browse", config("usual", usual))
    assert outcome.status == 0
    assert "not all of it is used:\n  more/: 1 image\n" in outcome.err
    assert re.search(r"^all +18 +2 +4$", outcome.out, re.MULTILINE)

    other = some(train, "train_2017/") | some(test, "val_2017/")
    outcome = run_script(capsys, "train", config("other", other))
    assert outcome.status == 2
    splits = {"train": "train_2017", "validation": "val_2017"}
    assert "splits: {train: train_2017, validation: val_2017}" in outcome.err
    run = tmp_path / "run"
    named = config("other", other, splits=splits)
    outcome = run_script(capsys, "train", named, "--run-dir", run)
    assert outcome.status == 0
    assert "val_2017" in (run / "config.yaml").read_text()


def test_scripts_browse_train_and_predict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dark cats and bright dogs, told apart; then a photograph of another size and format."""
    rng = np.random.default_rng(0)
    files = {}
    for k in range(60):
        for name, level in (("cat", 40), ("dog", 180), ("owl", 180)):
            pixels = rng.integers(level, level + 60, (10, 10, 3), np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            files[f"pets/{name}/{k}.png"] = stream.getvalue()
    path = written(tmp_path, "zip", files)
    config = tmp_path / "pets.yaml"
    config.write_text(
        json.dumps(
            {
                "data": {
                    "image_folder": {
                        "path": str(path),
                        "size": 8,
                        "classes": {"cat": "dark", "*": "bright"},
                        "balance": "undersample",
                    }
                },
                "model": ["flatten", {"dense": 2}],
                "optimizer": {"adam": 0.01},
                "training": {"epochs": 5, "batch_size": 10},
            }
        )
    )
    sheet = tmp_path / "sheet.png"
    outcome = run_script(capsys, "browse", config, "--class", "dark", "--output", sheet)
    assert outcome.status == 0
    assert "animals: 8 × 8 × 3, uint8" in outcome.out
    assert "animals: train split, class dark, page 1 of 1" in outcome.out

    outcome = run_script(capsys, "train", config, "--run-dir", tmp_path / "run")
    assert (outcome.status, outcome.err) == (0, "")  # nothing is decoded again
    assert "test accuracy 100.00%" in outcome.out

    images = []
    for name, level in (("dark", 50), ("bright", 210)):
        images.append(tmp_path / f"{name}.jpg")
        Image.new("L", (700, 500), level).save(images[-1])
    outcome = run_script(capsys, "predict", tmp_path / "run", *images, "--json")
    assert outcome.status == 0
    answers = [record["predictions"][0]["class"] for record in json.loads(outcome.out)]
    assert answers == ["dark", "bright"]
