"""export.py: the page it writes needs nothing else, and what stands in the way of one is said."""

import base64
import errno
import os
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Outcome, run_script

from jaxnn.config import parse_config
from jaxnn.program.primitives import RULES
from jaxnn.runs import Run, load_run, train
from jaxnn.web.messages import unpack

CONFIG = {
    "data": "digits",
    "model": ["flatten", {"dense": 10}],
    "optimizer": {"sgd": 0.1},
    "training": {"epochs": 1, "batch_size": 100, "statistics_steps": 0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "digits"
    train(parse_config(CONFIG), path)
    return load_run(path)


def check_bundle(deflated: bytes, run: Run) -> None:
    """It has the network, the examples that are said, and both modules."""
    header, arrays = unpack(zlib.decompress(deflated))
    splits = header["description"]["splits"]
    assert {name: split["count"] for name, split in splits.items()} == header["lab"]["dataset"][
        "splits"
    ]
    assert [split["count"] for split in splits.values()] == [400, 50, 50]
    weight = np.frombuffer(arrays["params.1.weight"].tobytes(), np.float32)
    np.testing.assert_array_equal(weight, np.ravel(run.params[1]["weight"]))
    inputs = arrays["data.inputs"].reshape(500, 8, 8, 1)
    np.testing.assert_array_equal(inputs[0], run.dataset.train.inputs[0])
    np.testing.assert_array_equal(inputs[450], run.dataset.test.inputs[0])
    for name in ("plain", "relaxed"):
        assert arrays[name].tobytes().startswith(b"\0asm\1\0\0\0")
    assert arrays["plain"].tobytes() != arrays["relaxed"].tobytes()


def check_outcome(outcome: Outcome, path: Path, size: int) -> None:
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == (
        f"Wrote {path}: {size / 1e6:.1f} MB, with 400 of 1,297 train, 50 of 200 validation, "
        "50 of 300 test examples."
    )


def test_a_file_that_needs_nothing_else(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "page.html"
    outcome = run_script(capsys, "export", run.path, "--web", path, "--examples", 400)
    check_outcome(outcome, path, path.stat().st_size)
    assert os.listdir(path.parent) == ["page.html"]
    text = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    found = re.search(r'<script id="bundle" type="application/octet-stream">([\w+/=]+)<', text)
    assert found
    check_bundle(base64.b64decode(found[1], validate=True), run)
    rest = text.replace(found[1], "")
    assert not re.search(r"https?:|@import|^(import|export)\b", rest, re.MULTILINE)
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)\)""", rest)
    assert [address[:19] for pair in addresses for address in pair if address] == [
        "data:image/svg+xml;"
    ]


def test_a_folder_for_a_server(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "site"
    path.mkdir()
    outcome = run_script(capsys, "export", run.path, "--web", path, "--examples", 400)
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    check_outcome(outcome, path, sum(map(len, files.values())))
    names = {"index.html", "main.js", "worker.js", "style.css", "icon.svg", "bundle.bin"}
    assert files.keys() == names
    check_bundle(files["bundle.bin"], run)
    index = files["index.html"].decode()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', index)) <= names
    assert "default-src 'none'" in index
    assert os.listdir(tmp_path) == ["site"]

    outcome = run_script(capsys, "export", run.path, "--web", path)
    assert outcome.status == 2
    assert outcome.err.startswith(f"error: {path}: exists and is not an empty folder; choose ")
    assert {file.name: file.read_bytes() for file in path.iterdir()} == files


def refused(outcome: Outcome, message: str) -> None:
    assert outcome.status == 2
    assert "Traceback" not in outcome.err
    assert re.match(f"error: {message}", outcome.err), outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_what_is_no_run_is_said_before_all_else(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "page.html"
    missing = tmp_path / "missing"
    refused(
        run_script(capsys, "export", missing, "--web", target), f"{missing}: not a finished run"
    )
    older = tmp_path / "older"
    shutil.copytree(run.path, older)
    config = older / "config.yaml"
    config.write_text(config.read_text().replace("- dense:", "- dense: {units: 9}\n- dense:", 1))
    refused(run_script(capsys, "export", older, "--web", target), f"{older}.*model")
    config.write_text("data: digits\nepochs: 3\n")
    outcome = run_script(capsys, "export", older, "--web", target)
    assert outcome.status == 2
    assert outcome.err.startswith(f"error: {config}:")
    assert not target.exists()


@pytest.mark.parametrize("name", ["page.html", "site"])
def test_where_nothing_can_be_written_nothing_is_left(
    name: str,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a file")
    path = file / name
    refused(
        run_script(capsys, "export", run.path, "--web", path), f"{path}: cannot be written: Not a"
    )
    path = tmp_path / name
    if name == "page.html":
        path.write_bytes(b"before")
    before = sorted(os.listdir(tmp_path))

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if name == "page.html" else (Path, "rename")), full)
    outcome = run_script(capsys, "export", run.path, "--web", path)
    monkeypatch.undo()
    refused(outcome, f"{path}: cannot be written: No space left")
    assert sorted(os.listdir(tmp_path)) == before
    assert name == "site" or path.read_bytes() == b"before"


def test_a_folder_is_no_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    path.mkdir()
    refused(run_script(capsys, "export", run.path, "--web", path), f"{path}: is a folder")


def test_what_a_page_cannot_do_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    few = run_script(capsys, "export", run.path, "--web", path, "--examples", 99)
    refused(few, "99 training examples are fewer than a batch of 100")
    monkeypatch.delitem(RULES, "dot_general")
    outcome = run_script(capsys, "export", run.path, "--web", path)
    refused(outcome, r".*dot_general .*dense\.py")
    assert os.listdir(tmp_path) == []
