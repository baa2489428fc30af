"""Splits and classes are found where people have them; nothing is left out without a word."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jaxnn.data.layout import Layout, find_layout
from jaxnn.errors import DataError


def layout(*names: str, **options: Any) -> Layout:
    """Of files: those whose names end with .png are images."""
    images = [name for name in names if name.endswith(".png")]
    return find_layout(Path("pets"), images, [n for n in names if n not in images], **options)


def pictured(*folders: str) -> list[str]:
    """Two images in each folder."""
    return [f"{folder}/{k}.png" for folder in folders for k in "ab"]


def classes(found: Layout) -> dict[str, list[str]]:
    return {split: sorted(folders) for split, folders in found.splits.items()}


@pytest.mark.parametrize("top", ["", "archive/", "archive/pets/"])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "validation", "test"),
        ("train", "valid", "test"),
        ("train", "val", "testing"),
        ("Train", "Valid", "Test"),
        ("TRAIN", "VAL", "TEST"),
        ("Training", "Validation", "Testing"),
        ("training_set", "validation_set", "test_set"),
        ("trainset", "valset", "testset"),
        ("Training Data", "Validation Data", "Test Data"),
        ("train-images", "val-images", "test-images"),
        ("seg_train", "seg_val", "seg_test"),
        ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),
    ],
)
def test_splits_are_known_by_the_usual_names(
    top: str, train: str, validation: str, test: str
) -> None:
    every = {"train": train, "test": test, "validation": validation}
    for splits in (every, {"train": train, "test": test}):
        names = [f"{top}{folder}/{name}" for folder in splits.values() for name in ("cat", "dog")]
        found = layout(*pictured(*names))
        assert classes(found) == {split: ["cat", "dog"] for split in splits}
        assert found.splits["train"]["cat"] == pictured(f"{top}{train}/cat")
        assert found.unused == []


def test_folders_within_a_class_belong_to_it() -> None:
    found = layout(*pictured("train/cat/more", "train/dog", "test/cat/a/b", "test/dog"))
    assert classes(found) == {"train": ["cat", "dog"], "test": ["cat", "dog"]}


BESIDE: dict[str, tuple[list[str], list[str]]] = {
    "another folder": (pictured("seg_pred", "seg_pred/more"), ["seg_pred/: 4 images"]),
    "a test split without classes": (pictured("test"), ["test/: 2 images"]),
    "annotations": (["labels/a.xml", "labels/b.xml"], ["labels/: no image"]),
    "an empty folder": (["new/"], ["new/: no image"]),
    "an empty class": (["train/owl/"], ["train/owl/: no image"]),
    "images in no class": (["a.png", "train/b.png"], ["2 images in no class's folder: a.png, tr"]),
    "one of them": (["a.png"], ["1 image in no class's folder: a.png"]),
    "text in a class": (
        [f"train/cat/{k}.txt" for k in range(5)],
        ["5 files that are not an image: train/cat/0.txt, train/cat/1.txt, train/cat/2.txt, 2 m"],
    ),
    "text outside": (["README.md", "train/labels.csv"], []),
    "many": (
        pictured(*(f"extra{k:02}" for k in range(12))),
        [*(f"extra{k:02}/: 2 images" for k in range(10)), "2 more folders"],
    ),
}


@pytest.mark.parametrize(("names", "lines"), BESIDE.values(), ids=BESIDE.keys())
def test_what_lies_beside_splits_is_said(names: list[str], lines: list[str]) -> None:
    found = layout(*pictured("train/cat", "train/dog"), *names)
    assert classes(found) == {"train": ["cat", "dog"]}
    assert len(found.unused) == len(lines)
    for line, start in zip(found.unused, lines, strict=True):
        assert line.startswith(start)


def test_what_lies_beside_classes_is_said() -> None:
    beside = ("top/notes/a.txt", "top/a.png", "old/a.txt", "b.png")
    found = layout(*pictured("top/cat", "top/dog"), *beside)
    assert classes(found) == {"train": ["cat", "dog"]}
    assert found.unused == [
        "top/notes/: no image",
        "old/: no image",
        "2 images in no class's folder: b.png, top/a.png",
    ]


def test_an_empty_class_does_not_make_its_neighbour_the_whole() -> None:
    found = layout(*pictured("cat/young", "cat/old"), "dog/")
    assert classes(found) == {"train": ["cat"]}


CLASSES = {
    "one that is called train": ["train", "bus", "car"],
    "valid and invalid": ["valid", "invalid"],
    "tests": ["test_positive", "test_negative"],
    "words among many": ["bullet train", "test tube", "cat", "dog", "owl"],
    "trains": ["train1", "train2"],
}


@pytest.mark.parametrize("names", CLASSES.values(), ids=CLASSES.keys())
def test_classes_are_not_taken_for_splits(names: list[str]) -> None:
    assert classes(layout(*pictured(*names))) == {"train": sorted(names)}


REFUSED = {
    "images without classes": (
        pictured("train", "test"),
        "'train', 'test' look like splits, but cannot be taken for them. They hold no folder for "
        "each class: put the images into train/<class>/<image>; if they are classes, say that: "
        "classes: {train: train, test: test, …}",
    ),
    "in one folder more": (pictured("all/Training", "all/Testing"), "look like splits"),
    "beside another": (pictured("train", "test", "extra"), "look like splits"),
    "other names": (
        pictured("train_2017/cat", "train_2017/dog", "val_2017/cat", "val_2017/dog"),
        "Say which is which: splits: {train: train_2017, validation: val_2017}; if",
    ),
    "other names in a folder more": (
        pictured("a/train_2017/cat", "a/test_2017/cat"),
        "Say which is which: splits: {train: a/train_2017, test: a/test_2017}; if",
    ),
    "two for one": (
        pictured("train/cat", "train/dog", "val/cat", "Validation/cat"),
        "which splits these are is not clear: 'val', 'Validation'. Say it: splits: "
        "{train: train, validation: val}",
    ),
    "one of another name beside": (
        pictured("train/cat", "train/dog", "test_old/cat"),
        "which splits these are is not clear: 'test_old'. Say it: splits: {train: "
        "train, test: test_old}",
    ),
    "none to train on": (
        pictured("learning/cat", "learning/dog", "test/cat", "test/dog"),
        "'test' looks like a split, but none is for training. Say which folder is: splits: "
        "{train: …, test: test}; if they are classes",
    ),
    "within the classes": (
        pictured("cat/train", "cat/test", "dog/train", "dog/test"),
        "each class has splits of its own, such as 'cat/train', 'cat/test'. Put the splits outside",
    ),
    "no classes": (["a.png", "b.png"], "expected a folder for each class, found none"),
    "nothing": ([], "expected a folder for each class, found none"),
    "not UTF-8": (pictured("cat", "caf\udce9"), "the name of the folder 'caf\\udce9' is not UTF-8"),
}


@pytest.mark.parametrize(("names", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_clear_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"^pets: .*{re.escape(message)}"):
        layout(*names)


def test_what_is_said_to_be_a_class_is_one() -> None:
    names = pictured("train", "test", "extra")
    with pytest.raises(DataError, match="look like splits"):
        layout(*names, classes=["extra", "*"])
    found = layout(*names, classes=["train", "test"])
    assert classes(found) == {"train": ["extra", "test", "train"]}


@pytest.mark.parametrize("prefix", ["", "./"])
def test_splits_can_be_named(prefix: str) -> None:
    names = pictured("a/first/cat", "a/first/dog", "a/second/cat", "a/second/dog", "a/rest/cat")
    splits = {"test": f"{prefix}a/second/", "train": f"{prefix}a/first"}
    found = layout(*names, "a/second/x.png", splits=splits)
    assert list(found.splits) == ["train", "test"]
    assert classes(found) == {"train": ["cat", "dog"], "test": ["cat", "dog"]}
    assert found.splits["test"]["cat"] == pictured("a/second/cat")
    assert found.unused == ["1 image in no class's folder: a/second/x.png"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": "a"}, "`splits` names no folder to train on. Give it one for train"),
        ({"train": "c"}, "`splits` names 'c', but there is no such folder; folders: a, a/cat, b"),
        ({"train": "a", "test": "a"}, "`splits` names 'a' and 'a', which overlap"),
        ({"train": "a", "test": "a/cat"}, "names 'a' and 'a/cat', which overlap"),
        ({"train": "a/cat", "test": "a"}, "names 'a' and 'a/cat', which overlap"),
    ],
)
def test_splits_that_are_named_wrongly_are_refused(splits: Mapping[str, str], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        layout(*pictured("a/cat", "b/cat"), splits=splits)


def test_names_that_look_equal_are_one_class() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    found = layout(*pictured(f"train/{composed}", "train/dog", f"test/{decomposed}", "test/dog "))
    assert classes(found) == {"train": [composed, "dog"], "test": [composed, "dog"]}
    together = layout(*pictured(composed, decomposed, "dog")).splits["train"]
    assert len(together[composed]) == 4
