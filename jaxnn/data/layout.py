"""What lies where in a folder of images: its classes, its splits, and what is neither.

Nothing is left out in silence: whoever asks for the layout is told what is not used. Folders that
look like splits but are not taken for them are refused, and not taken for classes.
"""

import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from jaxnn.data.dataset import SPLITS, SplitName
from jaxnn.data.names import class_name
from jaxnn.errors import DataError, some

Folders = dict[str, list[str]]
"""The names of the images of each class's folder, or folders of the same name."""

_WORDS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

_FILLERS = {"", "data", "dataset", "folder", "images", "imgs", "seg", "set", "split"}
"""What may stand beside such a word in a folder's name: ``seg_train``, ``testset``."""

_LISTED = 10
_NAMED = 3


class Layout(NamedTuple):
    """What was found.

    Attributes:
        splits: the folders of classes in each split, "train" first; this one alone where the
            folder is not divided.
        unused: a line on each thing that is not used.
    """

    splits: dict[SplitName, Folders]
    unused: list[str]


@dataclass(eq=False)
class _Folder:
    name: str
    """Relative to the source, with parts separated by "/"."""
    folders: "dict[str, _Folder]" = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def place(self, parts: Sequence[str]) -> "_Folder":
        """Returns the folder at a path below this one, which is made if need be."""
        folder = self
        for part in parts:
            name = f"{folder.name}/{part}" if folder.name else part
            folder = folder.folders.setdefault(part, _Folder(name))
        return folder

    def walk(self) -> "Iterator[_Folder]":
        """Yields this folder and all below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    def all_images(self) -> list[str]:
        return [image for folder in self.walk() for image in folder.images]

    def has_images(self) -> bool:
        return any(folder.images for folder in self.walk())

    def has_folders_of_images(self) -> bool:
        return any(folder.has_images() for folder in self.folders.values())

    def is_empty(self) -> bool:
        return not (self.folders or self.images or self.others)


def find_layout(
    path: Path,
    images: Sequence[str],
    others: Sequence[str],
    *,
    splits: Mapping[SplitName, str] | None = None,
    classes: Sequence[str] = (),
) -> Layout:
    """Finds the splits, and in each the folders of classes with their images.

    All may lie in one folder more. Splits are recognized by the usual names, in any case:
    ``train``, ``Training``, ``training_set``, ``seg_train`` and so on; only where there is one for
    training is the folder taken for divided.

    Args:
        path: where the folder is; for messages.
        images: the images' names, relative to it, with parts separated by "/".
        others: the names of all else: of files, and, with "/" at the end, folders.
        splits: the folder of each split, if not to be found by its name.
        classes: folders that are classes, whatever they are called.

    Raises:
        DataError: there is no folder of a class, or folders look like splits without being clear.
    """
    root = _Folder("")
    for name in images:
        *above, _ = name.split("/")
        root.place(above).images.append(name)
    for name in others:
        *above, last = name.split("/")
        if last:
            root.place(above).others.append(name)
        else:
            root.place(above)

    if splits is not None:
        found = _chosen(path, root, splits)
    else:
        top, inner = root, _inner(root)
        while len(inner) == 1 and not _splits_of(path, inner) and inner[0].has_folders_of_images():
            top, inner = inner[0], _inner(inner[0])
        found = _splits_of(path, inner)
        if not found:
            _refuse_splits(path, [f for f in inner if _class_name(path, f) not in classes])
            found = {"train": top}
    layout = Layout({name: _folders(path, folder) for name, folder in found.items()}, [])
    if not layout.splits["train"]:
        raise DataError(
            f"{path}: expected a folder for each class, found none. Put the images into folders: "
            "<class>/<image>, or train/<class>/<image> and test/<class>/<image>"
        )
    layout.unused.extend(_unused(root, list(found.values()), say_beside=splits is None))
    return layout


def _last(folder: _Folder) -> str:
    return posixpath.basename(folder.name)


def _inner(folder: _Folder) -> list[_Folder]:
    """Returns the folders within one that have images, or nothing at all, as a class might."""
    return [inner for inner in folder.folders.values() if inner.has_images() or inner.is_empty()]


def _split_name(name: str) -> SplitName | None:
    """Returns the split that a folder is called after, if it is called after nothing else."""
    words = {re.sub("(set|data)$", "", w) for w in re.split(r"[\W_]+", name.casefold())} - _FILLERS
    return _WORDS.get(words.pop()) if len(words) == 1 else None


def _like_split(name: str) -> SplitName | None:
    """Returns the first split that is mentioned in a folder's name."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    named = (_WORDS.get(re.sub("(set|data)$", "", word)) for word in words)
    return next((split for split in named if split), None)


def _splits_of(path: Path, folders: Sequence[_Folder]) -> dict[SplitName, _Folder]:
    """Returns the splits among folders, "train" first; none if there is nothing to train on."""
    named: dict[SplitName, list[_Folder]] = {split: [] for split in SPLITS}
    for folder in folders:
        split = _split_name(_last(folder))
        if split and folder.has_folders_of_images():
            named[split].append(folder)
    if not named["train"]:
        return {}
    like = [f for f in folders if not _split_name(_last(f)) and _like_split(_last(f))]
    several = [folder for members in named.values() if len(members) > 1 for folder in members]
    if several or like:
        raise DataError(
            f"{path}: which splits these are is not clear: {_quoted(several or like)}. Say it: "
            f"{_suggested(folders)}"
        )
    return {split: _within(split, members[0]) for split, members in named.items() if members}


def _within(split: SplitName, folder: _Folder) -> _Folder:
    """Returns the folder in which a split's classes are: ``seg_train/seg_train`` is one more."""
    inner = _inner(folder)
    while len(inner) == 1 and _split_name(_last(inner[0])) == split:
        if not inner[0].has_folders_of_images():
            break
        folder, inner = inner[0], _inner(inner[0])
    return folder


def _chosen(path: Path, root: _Folder, splits: Mapping[SplitName, str]) -> dict[SplitName, _Folder]:
    """Returns the folders that the user has named."""
    if "train" not in splits:
        raise DataError(f"{path}: `splits` names no folder to train on. Give it one for train")
    every = {folder.name: folder for folder in root.walk() if folder.name}
    found: dict[SplitName, _Folder] = {}
    for split in sorted(splits, key=SPLITS.index):
        name = posixpath.normpath(splits[split])
        if name not in every:
            raise DataError(
                f"{path}: `splits` names {splits[split]!r}, but there is no such folder; folders: "
                f"{some([name for name in every if name.count('/') < 2], _LISTED)}"
            )
        found[split] = every[name]
    for a, b in itertools.permutations(found.values(), 2):
        if f"{b.name}/".startswith(f"{a.name}/"):
            raise DataError(f"{path}: `splits` names {a.name!r} and {b.name!r}, which overlap")
    return found


def _refuse_splits(path: Path, folders: Sequence[_Folder]) -> None:
    """Raises DataError if folders that would be classes look like splits."""
    outer = [f for f in folders if _split_name(_last(f)) and f.has_folders_of_images()]
    if outer:
        raise DataError(
            f"{path}: {_quoted(outer)} looks like a split, but none is for training. Say which "
            f"folder is: {_suggested(folders)}; {_if_classes(outer)}"
        )
    like = [folder for folder in folders if _like_split(_last(folder))]
    exact = {split for f in like if (split := _split_name(_last(f)))}
    mentioned = {_like_split(_last(folder)) for folder in like}
    if len(exact) > 1 or (len(mentioned) > 1 and 2 * len(like) >= len(folders)):
        if any(folder.has_folders_of_images() for folder in like):
            remedy = f"Say which is which: {_suggested(like)}"
        else:
            remedy = (
                "They hold no folder for each class: put the images into "
                f"{_last(like[0])}/<class>/<image>"
            )
        raise DataError(
            f"{path}: {_quoted(like)} look like splits, but cannot be taken for them. {remedy}; "
            f"{_if_classes(like)}"
        )
    for folder in folders:
        splits = {_split_name(name) for name in folder.folders} - {None}
        if len(splits) < 2:
            return
    if len(folders) > 1:
        first = folders[0]
        raise DataError(
            f"{path}: each class has splits of its own, such as {_quoted(first.folders.values())}. "
            "Put the splits outside: train/<class>/<image> and test/<class>/<image>"
        )


def _quoted(folders: Iterable[_Folder]) -> str:
    return some([repr(folder.name) for folder in folders], _NAMED)


def _suggested(folders: Sequence[_Folder]) -> str:
    """Returns what to write in a config: the first folder that looks like each split."""
    names = {"train": "…"}
    for split in SPLITS:
        for folder in folders:
            if _like_split(_last(folder)) == split:
                names[split] = folder.name
                break
    return "splits: {" + ", ".join(f"{split}: {name}" for split, name in names.items()) + "}"


def _if_classes(folders: Sequence[_Folder]) -> str:
    names = ", ".join(f"{_last(folder)}: {_last(folder)}" for folder in folders[:_NAMED])
    return f"if they are classes, say that: classes: {{{names}, …}}"


def _folders(path: Path, split: _Folder) -> Folders:
    """Returns the images of each class's folder; one that has none is left out."""
    found: Folders = {}
    for folder in split.folders.values():
        if images := folder.all_images():
            found.setdefault(_class_name(path, folder), []).extend(images)
    return found


def _class_name(path: Path, folder: _Folder) -> str:
    try:
        return class_name(_last(folder))
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: the name of the folder {folder.name!r} is not UTF-8. Rename it, so that the "
            "class can be called by its name"
        ) from error


def _unused(root: _Folder, splits: Sequence[_Folder], *, say_beside: bool) -> list[str]:
    """Returns a line on each thing that is not used."""
    beside: list[_Folder] = []
    loose: list[str] = []
    others: list[str] = []

    def visit(folder: _Folder) -> None:
        if folder in splits:
            loose.extend(folder.images)
            for inner in folder.folders.values():
                if inner.has_images():
                    others.extend(name for within in inner.walk() for name in within.others)
                else:
                    beside.append(inner)
        elif any(within in splits for within in folder.walk()):
            loose.extend(folder.images)
            for inner in folder.folders.values():
                visit(inner)
        elif say_beside:
            beside.append(folder)

    visit(root)
    lines = []
    for folder in beside[:_LISTED]:
        count = len(folder.all_images())
        lines.append(f"{folder.name}/: {_count(count)}")
    if len(beside) > _LISTED:
        lines.append(f"{len(beside) - _LISTED:,} more folders")
    if loose:
        lines.append(f"{_count(len(loose))} in no class's folder: {some(loose, _NAMED)}")
    if others:
        files = "1 file that is" if len(others) == 1 else f"{len(others):,} files that are"
        lines.append(f"{files} not an image: {some(others, _NAMED)}")
    return lines


def _count(images: int) -> str:
    return f"{images:,} images" if images > 1 else "1 image" if images else "no image"
