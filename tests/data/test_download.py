"""Fetching files, from a server on this machine that can misbehave in every way."""

import gzip
import hashlib
import os
import pty
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from serving import Answer, Server, sends

from jaxnn.data import csv, data_folder, fetch
from jaxnn.data.download import find_data
from jaxnn.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def redirects(url: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", url)
        request.end_headers()

    return answer


def stalls(server: Server, sent: threading.Event | None = None) -> Answer:
    """Send half of the file and then nothing, until the test is over."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        sends(CONTENT[:150_000], len(CONTENT))(request)
        request.wfile.flush()
        if sent is not None:
            sent.set()
        server.closing.wait()

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:  # until the client hangs up
        request.wfile.write(bytes(1 << 16))


def get(path: Path, *urls: str, timeout: float = 10) -> Path:
    return fetch(path, length=len(CONTENT), sha256=SHA256, urls=urls, timeout=timeout)


def failure(path: Path, *urls: str, timeout: float = 10) -> str:
    with pytest.raises(DataError) as caught:
        get(path, *urls, timeout=timeout)
    return str(caught.value)


def test_a_plain_file_is_downloaded(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    assert get(path, server.serves("/file", sends(CONTENT))) == path
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["file"]


def test_a_gzip_file_is_kept_as_it_came(server: Server, tmp_path: Path) -> None:
    body = gzip.compress(CONTENT)
    got = get(tmp_path / "file", server.serves("/file.gz", sends(body)))
    assert got == tmp_path / "file.gz"
    assert got.read_bytes() == body
    assert os.listdir(tmp_path) == ["file.gz"]


def test_others_may_read_what_was_downloaded(server: Server, tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        got = get(tmp_path / "file", server.serves("/file", sends(CONTENT)))
    finally:
        os.umask(mask)
    assert got.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["file", "file.gz"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_right_file_needs_no_server(
    server: Server, tmp_path: Path, name: str, compressed: bool
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(CONTENT) if compressed else CONTENT)
    assert get(tmp_path / "file", server.url + "/file") == tmp_path / name
    assert server.asked == []


WRONGS = {
    "other bytes": (WRONG, f"expected SHA-256 {SHA256} .* {hashlib.sha256(WRONG).hexdigest()}"),
    "truncated": (CONTENT[:-1], "expected 300000 bytes uncompressed, found 299999"),
    "too long": (CONTENT + b"x", "expected 300000 bytes uncompressed, found more"),
    "truncated gzip": (gzip.compress(CONTENT)[:-20], "expected a complete gzip file"),
}


@pytest.mark.parametrize(("content", "message"), WRONGS.values(), ids=WRONGS.keys())
def test_a_wrong_file_is_left_alone(
    server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    url = server.serves("/file", sends(CONTENT))
    with pytest.raises(DataError, match=f"(?s){path}: {message}.*Delete it to download it again"):
        get(path, url)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]
    assert server.asked == []


@pytest.mark.parametrize(("content", "message"), WRONGS.values(), ids=WRONGS.keys())
def test_a_wrong_download_is_not_kept(
    server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    url = server.serves("/file", sends(content))
    with pytest.raises(DataError, match=f"{url}: {message}"):
        get(tmp_path / "file", url)
    assert os.listdir(tmp_path) == []


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    url = server.serves("/here", redirects(server.serves("/there", sends(CONTENT))))
    assert get(tmp_path / "file", url).read_bytes() == CONTENT
    assert server.asked == ["/here", "/there"]


def test_the_next_mirror_is_tried_after_each_kind_of_failure(
    server: Server, tmp_path: Path
) -> None:
    urls = [
        server.serves("/wrong", sends(WRONG)),
        server.url + "/missing",
        server.serves("/stalled", stalls(server)),
        server.serves("/good", sends(CONTENT)),
        server.url + "/unneeded",
    ]
    assert get(tmp_path / "file", *urls, timeout=1).read_bytes() == CONTENT
    assert server.asked == ["/wrong", "/missing", "/stalled", "/good"]
    assert os.listdir(tmp_path) == ["file"]


def test_if_all_mirrors_fail_each_says_why(server: Server, tmp_path: Path) -> None:
    loop = server.url + "/loop"
    reasons = {
        server.url + "/missing": "HTTP status 404 Not Found",
        server.serves("/stalled", stalls(server)): "timed out",
        server.serves("/short", sends(CONTENT, len(CONTENT) + 9)): "300009",
        server.serves("/long", sends(CONTENT, len(CONTENT) - 9)): "found 299991",
        server.serves("/endless", endless): "sent more than the 304396 bytes",
        server.serves("/loop", redirects(loop)): "redirects",
        "http://127.0.0.1:1/refused": "refused",
        "no address": "protocol",
    }
    lines = failure(tmp_path / "file", *reasons, timeout=1).splitlines()
    assert lines[0] == "file could not be downloaded:"
    for line, (url, reason) in zip(lines[1:-1], reasons.items(), strict=True):
        assert line.startswith(f"  {url}: ")
        assert reason in line
    assert f"put the file, plain or gzip, into {tmp_path} by hand" in lines[-1]
    assert SHA256 in lines[-1]
    assert os.listdir(tmp_path) == []


def test_a_small_answer_that_unpacks_to_a_large_file_is_refused(
    server: Server, tmp_path: Path
) -> None:
    url = server.serves("/bomb", sends(gzip.compress(bytes(50_000_000))))
    assert "expected 300000 bytes uncompressed, found more" in failure(tmp_path / "file", url)


def test_two_downloads_at_once_do_not_hurt_each_other(server: Server, tmp_path: Path) -> None:
    both_have_asked = threading.Barrier(2, timeout=10)

    def answer(request: BaseHTTPRequestHandler) -> None:
        both_have_asked.wait()
        sends(CONTENT)(request)

    url = server.serves("/file", answer)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: get(tmp_path / "file", url), range(2)))
    assert paths == [tmp_path / "file"] * 2
    assert server.asked == ["/file"] * 2
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file"]


def test_an_interrupted_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    sent = threading.Event()
    url = server.serves("/file", stalls(server, sent))
    program = (
        "import sys, pathlib, signal, jaxnn.data as d;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a background job ignores it
        "d.fetch(pathlib.Path(sys.argv[1]), length=300_000, sha256='', urls=[sys.argv[2]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "file"), url], stderr=subprocess.PIPE
    )
    with process:
        assert sent.wait(20)
        assert len(os.listdir(tmp_path)) == 1  # the temporary file
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    message = failure(tmp_path / "data" / "mnist" / "file", server.serves("/file", sends(CONTENT)))
    assert message.startswith(f"{tmp_path / 'data' / 'mnist'}: cannot be written")
    assert "JAXNN_DATA" in message


def test_a_full_disk_is_named_and_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    urls = [server.serves("/one", sends(CONTENT)), server.serves("/two", sends(CONTENT))]
    assert f"{tmp_path}: cannot be written: No space left" in failure(tmp_path / "file", *urls)
    assert os.listdir(tmp_path) == []
    assert server.asked == ["/one"]  # another mirror would not help


def test_without_a_terminal_a_download_is_one_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.serves("/file", sends(CONTENT))
    get(tmp_path / "file", url)
    assert capsys.readouterr() == ("", f"Downloading {url}\n")


def test_on_a_terminal_a_download_is_a_bar(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        get(tmp_path / "file", server.serves("/a%20[b].gz", sends(CONTENT)))
        shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "a%20[b].gz" in shown  # not taken for markup
    assert "300.0 kB" in shown


def test_the_data_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXNN_DATA", "~/somewhere")
    assert data_folder() == Path.home() / "somewhere"
    monkeypatch.setenv("JAXNN_DATA", "")
    assert data_folder() == platformdirs.user_cache_path("jaxnn")
    monkeypatch.delenv("JAXNN_DATA")
    assert data_folder() == platformdirs.user_cache_path("jaxnn")


def test_a_file_can_be_verified_as_it_is_published(server: Server, tmp_path: Path) -> None:
    body = gzip.compress(CONTENT)
    url = server.serves("/file.gz", sends(body))
    path = tmp_path / "file.gz"

    def get_published(sha256: str) -> Path:
        return fetch(path, length=len(body), sha256=sha256, urls=[url], as_published=True)

    with pytest.raises(DataError) as caught:
        get_published(SHA256)  # that of what is in it
    found = hashlib.sha256(body).hexdigest()
    assert f"{url}: expected SHA-256 {SHA256}, found {found}" in str(caught.value)
    assert f"put the file, as it is published, into {tmp_path} by hand" in str(caught.value)
    assert f"({len(body)} bytes, SHA-256 {SHA256})" in str(caught.value)
    assert os.listdir(tmp_path) == []

    assert get_published(found) == path
    assert path.read_bytes() == body
    assert get_published(found) == path
    assert len(server.asked) == 2  # the second one is there

    path.write_bytes(gzip.compress(CONTENT, 1))  # the same in another form
    with pytest.raises(DataError, match=f"{path}: expected SHA-256 {found}, found "):
        get_published(found)


def test_data_of_one_s_own_may_lie_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("../data/a.csv").write_text("x,y\n" + "1,a\n2,b\n" * 9)
    assert csv("a.csv", target="y").classes == ("a", "b")
    Path("a.csv").write_text("x,y\n" + "1,a\n2,c\n" * 9)
    assert csv("a.csv", target="y").classes == ("a", "c")
    for missing in ("b.csv", "c" * 300, str(tmp_path / "data" / "b.csv")):
        assert find_data(missing) == Path(missing)
