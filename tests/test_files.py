"""A file is written whole or not at all, and never half seen."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxnn.errors import RunError
from jaxnn.files import user_path, write_text, write_whole


@pytest.mark.parametrize(("place", "name"), [(os, "fsync"), (Path, "replace"), (Path, "open")])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    path = tmp_path / "file"
    write_text(path, "before")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, name, full)
    with pytest.raises(RunError, match=f"{path}: cannot be written: No space left"):
        write_text(path, "after")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_is_written_through_links(tmp_path: Path) -> None:
    """Neither what lies where a partial file might, nor what a link of the name leads to."""
    other = tmp_path / "other"
    other.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "model.safetensors"
    for name in (path.name, f"{path.name}.part", f".{path.name}.part"):
        (folder / name).symlink_to(other)
    write_text(path, "new")
    assert other.read_text() == "mine"
    assert (path.read_text(), path.is_symlink()) == ("new", False)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, OSError])
def test_nothing_is_left_of_what_is_interrupted(tmp_path: Path, fault: type[BaseException]) -> None:
    def interrupted() -> None:
        with write_whole(tmp_path / "new" / "file") as file:
            file.write(b"some")
            assert len(os.listdir(tmp_path / "new")) == 1
            raise fault

    with pytest.raises(fault):
        interrupted()
    assert os.listdir(tmp_path / "new") == []


def test_a_full_disk_is_found_out_when_the_file_is_closed(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")

    def full() -> None:
        with write_whole(tmp_path / "file") as file:
            device = os.open("/dev/full", os.O_WRONLY)
            os.dup2(device, file.fileno())
            os.close(device)
            file.write(b"some")

    with pytest.raises(OSError, match="No space left"):
        full()
    assert os.listdir(tmp_path) == []


def test_the_name_is_on_the_disk_too_where_folders_can_be_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    fsync: Callable[[int], None] = os.fsync

    def noted(file: int) -> None:
        folder = stat.S_ISDIR(os.fstat(file).st_mode)
        written.append("folder" if folder else "file")
        assert (tmp_path / "file").exists() == folder
        if folder:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # as some file systems do
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    write_text(tmp_path / "file", "text")
    assert written == ["file", "folder"]


def test_many_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [letter * 100_000 for letter in "abcdefgh"]
    write_text(path, texts[0])
    writers = [threading.Thread(target=write_text, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_text() in texts
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ["file"]


def test_a_path_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert user_path("~/runs/a") == Path("/home/ada/runs/a")
    for path in ("runs/~", "/runs", "~nobody-of-this-name/runs"):
        assert user_path(path) == Path(path)
