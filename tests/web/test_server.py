"""The lab's server: right answers for its own page; nothing for others, and nothing breaks it."""

import base64
import contextlib
import http.client
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from jaxnn import load_run
from jaxnn.config import build, parse_config
from jaxnn.data import prepare
from jaxnn.training import Examples, init_train_state
from jaxnn.web import patience
from jaxnn.web.assets import PAGE
from jaxnn.web.messages import LARGEST_BODY, LARGEST_MESSAGE, unpack
from jaxnn.web.server import CLIENTS, CONNECTIONS, listen, serve
from jaxnn.web.session import Session
from jaxnn.web.storage import Opened

ROOT = Path(__file__).parents[2]
# No certificates: to read those of all authorities takes most of a request's time.
PLAIN: dict[str, Any] = {"timeout": 60, "verify": False}
ELSEWHERE = ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:{port}"]


class Lab(NamedTuple):
    session: Session
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.origin + path, headers=headers, **PLAIN)

    def post(self, path: str, message: Any, **headers: str) -> httpx.Response:
        return httpx.post(self.origin + path, json=message, headers=headers, **PLAIN)

    def live(self, **options: Any) -> ClientConnection:
        address = f"ws://127.0.0.1:{self.port}/api/live"
        # Pings draw from `random`, which hypothesis minds if it happens while it makes an example.
        usual = {"max_size": None, "max_queue": None, "ping_interval": None}
        return connect(address, **{"origin": self.origin} | usual | options)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    config = parse_config(
        {
            "name": "small",
            "data": {"digits": {}},
            "model": ["flatten", {"dense": 12}, "relu", {"dense": 10}],
            "optimizer": {"sgd": {"learning_rate": 0.1}},
            "training": {"batch_size": 64, "statistics_steps": 0},
        }
    )
    experiment = build(config)
    state = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 0)
    session = Session(Opened(Path("small.yaml"), config, experiment, state, []))
    listener = listen()
    try:
        with serve(session, listener):
            yield Lab(session, listener.getsockname()[1])
    finally:
        session.close()


def say(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def hear(connection: ClientConnection, kind: str) -> Any:
    """The next message of a kind: JSON, or what a snapshot holds."""
    while True:
        message = connection.recv(60)
        if isinstance(message, bytes):
            if kind == "snapshot":
                return unpack(message)
        elif json.loads(message)["type"] == kind:
            return json.loads(message)


def raw(lab: Lab, text: str) -> bytes:
    """The answer to a request that no client would put like that; or its beginning."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=60) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        return connection.recv(65536)


def is_alive(lab: Lab) -> bool:
    return lab.get("/api/lab").status_code == 200


# Answers


def test_the_page_and_its_files_have_their_types(lab: Lab) -> None:
    page = lab.get("/")
    assert page.headers["content-type"].startswith("text/html")
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for path in filter(Path.is_file, PAGE.rglob("*")):
        if path.suffix == ".html":
            continue
        kind = types[path.suffix]
        answer = lab.get("/" + path.relative_to(PAGE).as_posix())
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == kind
        assert answer.headers["cache-control"] == "no-cache"  # a newer version is noticed


def test_the_lab_describes_itself(lab: Lab) -> None:
    answer = lab.get("/api/lab").json()
    assert answer["dataset"]["shape"] == [8, 8, 1]
    assert answer["dataset"]["limits"] == [0, 16]
    assert answer["dataset"]["splits"] == {"train": 1297, "validation": 200, "test": 300}
    assert [layer["label"] for layer in answer["layers"]] == [
        "0 flatten",
        "1 dense",
        "2 relu",
        "3 dense",
    ]
    assert answer["layers"][1]["params"] == {"weight": [64, 12], "bias": [12]}
    assert answer["layers"][1]["forward"] == "y = x W + b"
    assert answer["layers"][1]["arguments"]["units"] == 12
    assert len(answer["layers"][1]["backward"]) == 3
    assert answer["optimizers"]["sgd"]["momentum"] == 0
    assert answer["layer_types"]["dense"]["defaults"]["units"] is None
    assert parse_config(answer["config"]) == lab.session.experiment.config


def test_data_come_as_they_are_stored(lab: Lab) -> None:
    dataset = lab.session.experiment.dataset
    some = lab.get("/api/data/test/inputs?start=5&count=7").content
    assert some == dataset.test.inputs[5:12].tobytes()
    assert lab.get("/api/data/train/inputs").content == dataset.train.inputs.tobytes()
    assert lab.get("/api/data/train/inputs?start=1297").content == b""
    targets = np.frombuffer(lab.get("/api/data/validation/targets").content, "<i4")
    np.testing.assert_array_equal(targets, dataset.validation.targets)
    header, arrays = unpack(lab.get("/api/data/test/predictions").content)
    assert header["split"] == "test"
    assert {name: array.shape for name, array in arrays.items()} == {
        "predicted": (300,),
        "confidence": (300,),
        "loss": (300,),
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/data/other/inputs", 404),
        ("/api/data/other/predictions", 404),
        ("/api/data/test/inputs?start=301", 400),
        ("/api/data/test/inputs?start=-1", 400),
        ("/api/data/test/inputs?count=x", 400),
        ("/api/data/test/inputs?count=1e3", 400),
        ("/api/data/test/inputs?count=99999999999999999999", 400),
        ("/api/data/test/inputs?count=1000000", 413),
        ("/api/data/test/inputs?start=%D9%A3", 400),  # an Arabic digit three
        ("/api/nothing", 404),
        ("/api/trace", 405),
    ],
)
def test_wrong_questions_are_told_so(lab: Lab, path: str, status: int) -> None:
    answer = lab.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_trace_of_stored_and_of_given_pixels(lab: Lab) -> None:
    dataset = lab.session.experiment.dataset
    header, stored = unpack(lab.post("/api/trace", {"split": "test", "index": 3}).content)
    assert header["target"] == dataset.test.targets[3]
    assert header["given"] is True
    pixels, target = dataset.test.inputs[3], int(dataset.test.targets[3])
    for shaped in (pixels, pixels[..., 0]):
        message = {"pixels": shaped.tolist(), "target": target}
        header, given = unpack(lab.post("/api/trace", message).content)
        assert header["example"] is None
        assert stored.keys() == given.keys()
        for name, array in stored.items():
            np.testing.assert_array_equal(given[name], array)
    header, _ = unpack(lab.post("/api/trace", {"pixels": pixels.tolist(), "target": None}).content)
    assert header["target"] == header["predicted"] == stored["probabilities"].argmax()
    assert header["given"] is False


def test_a_drawing_is_prepared_as_predict_prepares_it(lab: Lab) -> None:
    ink = np.zeros((60, 40), np.uint8)
    ink[10:50, 18:24] = 255
    drawing = {"width": 40, "height": 60, "ink": base64.b64encode(ink.tobytes()).decode()}
    _, arrays = unpack(lab.post("/api/prepare", drawing).content)
    expected = prepare(ink[..., None], lab.session.experiment.dataset)
    np.testing.assert_array_equal(arrays["pixels"], expected)
    blank = drawing | {"ink": base64.b64encode(bytes(2400)).decode()}
    answer = lab.post("/api/prepare", blank)
    assert answer.status_code == 422
    assert "nothing is drawn" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "message", "said"),
    [
        ("/api/trace", {"split": "test", "index": 300}, "300 examples"),
        ("/api/trace", {"split": "test"}, "index"),
        ("/api/trace", {"split": "all", "index": 1}, "split"),
        ("/api/trace", {"split": "test", "index": True}, "index"),
        ("/api/trace", {"pixels": [[1, 2], [3]]}, "shape"),
        ("/api/trace", {"pixels": [[0] * 8] * 7}, "shape"),
        ("/api/trace", {"pixels": [[256] * 8] * 8}, "0 to 255"),
        ("/api/trace", {"pixels": [[-1] * 8] * 8}, "0 to 255"),
        ("/api/trace", {"pixels": [[0.5] * 8] * 8}, "0 to 255"),
        ("/api/trace", {"pixels": [["x"] * 8] * 8}, "numbers"),
        ("/api/trace", {"pixels": [[10**30] * 8] * 8}, "numbers"),
        ("/api/trace", {"pixels": [[0] * 8] * 8, "target": 10}, "class from 0 to 9"),
        ("/api/trace", {"pixels": [[0] * 8] * 8, "file": "/etc/passwd"}, "file"),
        ("/api/prepare", {"width": 2, "height": 2, "ink": "AA=="}, "expected 2 x 2 bytes"),
        ("/api/prepare", {"width": 2, "height": 2, "ink": "!"}, "base64"),
        ("/api/prepare", {"width": 10**6, "height": 1, "ink": ""}, "width"),
    ],
)
def test_wrong_messages_are_told_so(lab: Lab, path: str, message: Any, said: str) -> None:
    answer = lab.post(path, message)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


# The live connection


def test_training_is_steered_and_told(lab: Lab) -> None:
    with lab.live() as page, lab.live() as other:
        assert hear(page, "history")["reports"] == []
        hear(other, "status")
        say(page, type="step")
        assert hear(page, "report")["step"] == 1
        assert hear(other, "report")["step"] == 1  # all pages show the same
        say(page, type="set", learning_rate=0.025)
        while hear(other, "status")["learning_rate"] != 0.025:
            pass
        say(page, type="watch", example={"split": "test", "index": 3})
        say(page, type="ready")
        header, arrays = hear(page, "snapshot")
        assert header["step"] == 1
        traced = unpack(lab.post("/api/trace", {"split": "test", "index": 3}).content)[1]
        assert arrays.keys() == traced.keys()
        for name, array in traced.items():
            np.testing.assert_array_equal(arrays[name], array)
        say(page, type="configure", optimizer={"sgd": 0.1})
        assert hear(other, "lab")["config"]["optimizer"]["sgd"]["learning_rate"] == 0.1
        assert hear(page, "history")["reports"] == []


def test_a_pause_is_heard_however_many_commands_wait(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released = threading.Event(), threading.Event()
    fit = lab.session._fit

    def endless() -> Any:
        entered.set()
        released.wait(60)
        yield from fit()

    monkeypatch.setattr(lab.session, "_fit", endless)
    lab.session.call(lambda: setattr(lab.session, "_reports", None)).result(60)
    with lab.live() as page:
        try:
            say(page, type="start")
            assert entered.wait(60)
            while not hear(page, "status")["running"]:
                pass
            for number in range(100):
                say(page, type="set", learning_rate=0.1 + number / 1000)
            say(page, type="pause")
            while hear(page, "status")["running"]:
                pass
            assert lab.session.computing  # what was stuck still is
        finally:
            released.set()
            monkeypatch.setattr(lab.session, "_fit", fit)


def test_what_fails_in_a_conversation_is_no_secret(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(mailbox: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(lab.session, "join", broken)
    with lab.live() as page, pytest.raises(ConnectionClosed):
        hear(page, "status")
    assert "RuntimeError: a fault of ours" in capfd.readouterr().err


def test_a_wrong_command_is_told_to_its_sender_alone(lab: Lab) -> None:
    with lab.live() as page, lab.live() as other:
        say(page, type="explode")
        assert "explode" in hear(page, "error")["message"]
        page.send("no JSON")
        assert "message" in hear(page, "error")["message"]
        say(page, type="configure", model=["flatten", {"dense": 9}])
        assert "10 classes" in hear(page, "error")["message"]
        say(other, type="watch", example={"split": "test", "index": 300})
        assert "300 examples" in hear(other, "error")["message"]  # its first


# Others are kept out


def refused(lab: Lab, path: str = "/api/live", **headers: str) -> int:
    """The status of a WebSocket's handshake."""
    try:
        with connect(
            f"ws://127.0.0.1:{lab.port}{path}", additional_headers=headers, open_timeout=60
        ):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_it_listens_on_the_loopback_address_alone() -> None:
    with listen() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "evil.example:{port}", "[::1]:{port}"]
)
def test_another_host_is_refused(lab: Lab, host: str) -> None:
    """A name that was rebound to this machine: the browser takes the page for that name's own."""
    host = host.format(port=lab.port)
    for path in ("/", "/main.js", "/api/lab"):
        assert lab.get(path, Host=host).status_code == 403
    assert lab.post("/api/trace", {"split": "test", "index": 0}, Host=host).status_code == 403
    upgrade = (
        f"GET /api/live HTTP/1.1\nHost: {host}\nOrigin: http://{host}\nConnection: Upgrade\n"
        "Upgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: {key}\n\n"
    )
    assert b" 403 " in raw(lab, upgrade.format(key="dGhlIHNhbXBsZSBub25jZQ==")).split(b"\r\n")[0]
    assert lab.get("/api/lab", Host=f"localhost:{lab.port}").status_code == 200


def test_a_request_with_two_hosts_or_none_is_refused(lab: Lab) -> None:
    own = f"127.0.0.1:{lab.port}"
    for hosts in ("", f"Host: {own}\nHost: evil.example\n", "Host: evil.example\nHost: {own}\n"):
        first = raw(lab, f"GET /api/lab HTTP/1.1\n{hosts}\n").split(b"\r\n")[0]
        assert b" 400 " in first or b" 403 " in first


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_a_page_from_elsewhere_can_do_nothing(lab: Lab, origin: str) -> None:
    origin = origin.format(port=lab.port)
    before = lab.session.lab
    example = {"split": "test", "index": 0}
    assert lab.get("/api/lab", Origin=origin).status_code == 403
    assert lab.get("/", Origin=origin).status_code == 403
    assert lab.post("/api/trace", example, Origin=origin).status_code == 403
    assert refused(lab, Origin=origin) == 403
    assert lab.session.lab is before
    assert not lab.session.running
    own = lab.post("/api/trace", example, Origin=lab.origin)
    assert own.status_code == 200
    assert not [name for name in own.headers if name.startswith("access-control")]


def test_a_live_connection_needs_an_origin(lab: Lab) -> None:
    assert refused(lab) == 403
    assert refused(lab, Origin=lab.origin) == 101
    assert refused(lab, "/api/lab", Origin=lab.origin) == 403  # no such live connection
    local = f"localhost:{lab.port}"
    with connect(f"ws://{local}/api/live", origin=f"http://{local}") as page:
        hear(page, "status")


def test_what_a_page_from_elsewhere_embeds_is_refused(lab: Lab) -> None:
    """An <img> or <script> of another page sends no origin, but says where it stands."""
    for site in ("cross-site", "same-site"):
        assert lab.get("/api/data/train/predictions", **{"Sec-Fetch-Site": site}).status_code == 403
    assert lab.get("/api/lab", **{"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_of_another_page_is_refused(lab: Lab, kind: str) -> None:
    body = json.dumps({"split": "test", "index": 0})
    answer = httpx.post(
        f"{lab.origin}/api/trace", content=body, headers={"Content-Type": kind}, **PLAIN
    )
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/none.js", "/api/lab", "/api/none", "/api/trace"]
)
def test_every_answer_has_the_headers_that_protect(lab: Lab, path: str) -> None:
    for answer in (lab.get(path), lab.get(path, Host="evil.example")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert not re.search(r"https?:|\*", policy)
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/%2e%2e/server.py",
        "/browse/..%2f..%2fserver.py",
        "/..%5cserver.py",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/browse/....//server.py",
        "/%00main.js",
        "/browse/",
        "/../../etc/passwd",
        "/api/data/..%2f..%2f/inputs",
        "http://evil.example/api/lab",
    ],
)
def test_no_path_leads_out_of_the_page(lab: Lab, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=60)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{lab.port}")
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status in (400, 403, 404)
    assert b"import" not in content
    assert b"root:" not in content


# Sizes


def test_a_body_is_bounded_announced_or_not(lab: Lab) -> None:
    large = b'{"pixels": [' + b"0," * LARGEST_BODY
    headers = {"Content-Type": "application/json"}

    def parts() -> Iterator[bytes]:
        yield from (large[i : i + 65536] for i in range(0, len(large), 65536))

    for content in (large, parts()):
        try:
            answer = httpx.post(
                f"{lab.origin}/api/trace", content=content, headers=headers, **PLAIN
            )
            assert answer.status_code == 413
        except (httpx.WriteError, httpx.ReadError):
            pass  # the server has hung up before all was sent
    assert is_alive(lab)


def test_a_message_is_bounded(lab: Lab) -> None:
    with lab.live() as page:
        page.send("x" * (LARGEST_MESSAGE + 1))
        assert f"at most {LARGEST_MESSAGE} bytes" in hear(page, "error")["message"]
        page.send("ß" * (LARGEST_MESSAGE - 1))  # more bytes than letters
        assert f"at most {LARGEST_MESSAGE} bytes" in hear(page, "error")["message"]
        with contextlib.suppress(ConnectionClosed):  # the server hangs up before all is sent
            page.send(b"x" * 64 * LARGEST_MESSAGE)
        with pytest.raises(ConnectionClosed):
            hear(page, "error")
    assert is_alive(lab)


def test_the_number_of_pages_is_bounded(lab: Lab) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(lab.live())
        with pytest.raises(InvalidStatus), lab.live():
            pass
        assert is_alive(lab)
    deadline = time.monotonic() + 60
    while lab.session.clients:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with lab.live() as page:
        assert hear(page, "status")["clients"] == 1


def test_a_client_that_never_reads_holds_nobody_up(lab: Lab) -> None:
    """It asks for so much that the answers fill all that the system keeps for it."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=5) as deaf, lab.live() as page:
        deaf.sendall(
            f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\nOrigin: {lab.origin}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        frame = b"\x81\x84\x00\x00\x00\x00oops"
        try:
            for _ in range(400):
                deaf.sendall(frame * 500)
        except TimeoutError:
            pass  # the server has stopped reading what it cannot answer
        for _ in range(3):
            say(page, type="epoch")
            while not hear(page, "report")["validation"]:
                pass
        assert is_alive(lab)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /api/lab HTTP/1.1\r\nHost: 127.0.0.1:",
        b"POST /api/trace HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 99\r\n"
        b"Content-Type: application/json\r\n\r\n{",
        # And reads none of 80 MB, more than the system keeps.
        b"GET /api/data/train/inputs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n" * 1000,
    ],
    ids=["nothing", "half a head", "half a body", "unread answers"],
)
def test_connections_that_are_held_are_hung_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(patience, "LOOK", 0.1)
    content = beginning.replace(b"{port}", str(lab.port).encode())
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(CONNECTIONS + 5 if len(content) < 1000 else 2):
            address = ("127.0.0.1", lab.port)
            held.append(stack.enter_context(socket.create_connection(address, timeout=60)))
            held[-1].settimeout(5)
            with contextlib.suppress(OSError):  # the server does not read on
                held[-1].sendall(content)
        deadline = time.monotonic() + 60
        while (status := answers(lab)) != 200:  # busy, for a while
            assert status in (0, 503)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for connection in held:
            connection.settimeout(60)
            with contextlib.suppress(ConnectionError):
                while connection.recv(65536):
                    pass  # what was answered comes first


@pytest.fixture
def large(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, int]]:
    """A connection whose large answer the client has begun to read, and the bytes of its content.

    It is more than the system keeps for a client, whom the server waits for for a second.
    """
    monkeypatch.setattr(patience, "LOOK", 0.2)
    dataset, count = lab.session.experiment.dataset, 250_000
    targets = np.resize(dataset.test.targets, count)
    many = Examples(np.zeros((count, 8, 8, 1), np.uint8), targets)
    larger = lab.session.experiment._replace(dataset=dataset._replace(test=many))
    monkeypatch.setattr(lab.session, "experiment", larger)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", lab.port))
        connection.sendall(
            f"GET /api/data/test/inputs HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert connection.recv(1)
        yield connection, many.inputs.nbytes


def rest(connection: socket.socket, rate: float) -> int:
    """Reads all that is sent yet, so many bytes a second at most; returns how many there were."""
    got, began = 0, time.monotonic()
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(64 * 1024):
            got += len(part)
            time.sleep(max(0, began + got / rate - time.monotonic()))
    return got


def test_a_client_that_reads_slowly_gets_all(large: tuple[socket.socket, int]) -> None:
    connection, size = large
    assert rest(connection, 4_000_000) > size


def test_a_client_that_reads_no_more_is_hung_up_in_the_middle_of_its_answer(
    lab: Lab, large: tuple[socket.socket, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MOST", 1)  # this one
    connection, size = large
    deadline = time.monotonic() + 60
    while answers(lab) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rest(connection, math.inf) < size


def answers(lab: Lab) -> int:
    try:
        return lab.get("/api/lab").status_code
    except httpx.TransportError:
        return 0


def test_more_connections_than_can_be_are_not_accepted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MOST", 20)
    monkeypatch.setattr(patience, "LOOK", 1000)  # nor is it for want of patience
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            address = ("127.0.0.1", lab.port)
            last = stack.enter_context(socket.create_connection(address, timeout=60))
        with contextlib.suppress(ConnectionError):
            assert last.recv(1) == b""
    deadline = time.monotonic() + 60
    while answers(lab) != 200:
        assert time.monotonic() < deadline


def test_a_client_that_leaves_in_the_middle_leaves_no_traceback(
    lab: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    host = f"Host: 127.0.0.1:{lab.port}\r\nOrigin: {lab.origin}\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 30\r\n\r\n"
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    example = '{"split": "test", "index": 300}'
    for request in (
        f"POST /api/trace HTTP/1.1\r\n{host}{body}",
        f"POST /api/trace HTTP/1.1\r\n{host}{body}{example[:10]}",
        f"POST /api/trace HTTP/1.1\r\n{host}{body}{example}",
        f"GET /api/data/train/inputs HTTP/1.1\r\n{host}\r\n",
        f"GET /api/data/train/predictions HTTP/1.1\r\n{host}\r\n",
        f"GET /api/live HTTP/1.1\r\n{host}{upgrade}",
        f"GET /api/live HTTP/1.1\r\n{host}{upgrade}\x81\x84\0\0",
        "GET / HTTP/1.1\r\nHost",
        "what?",
    ):
        for reset in (True, False):
            with socket.create_connection(("127.0.0.1", lab.port), timeout=60) as connection:
                connection.sendall(request.encode("latin-1"))
                if reset:  # else an orderly end
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert is_alive(lab)
    assert capfd.readouterr() == ("", "")


# Whatever comes


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["test", "sgd", "dense", "os:abort", "../x", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["pixels", "split", "index", "target", "ink", "width", "height", "x"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
COMMANDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["set", "configure", "watch", "ready", "pause", "reset", "stop", ""])},
    optional={
        "learning_rate": JSON,
        "batch_size": JSON,
        "optimizer": JSON,
        "model": JSON,
        "seed": JSON,
        "example": JSON,
    },
)
MESSAGES = st.one_of(
    COMMANDS.map(json.dumps),
    JSON.map(json.dumps),
    st.text(),
    st.binary(),
    st.integers(1, 20000).map(lambda depth: "[" * depth + "]" * depth),
    st.integers(1, 10000).map(lambda depth: '{"a":' * depth + "1" + "}" * depth),
    st.integers(1, 5000).map(
        lambda depth: '{"type": "configure", "model": ' + "[" * depth + "]" * depth + "}"
    ),
)
PATIENT = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[ClientConnection]:
    with lab.live() as connection:
        yield connection


@pytest.mark.long
@PATIENT
@given(messages=st.lists(MESSAGES, min_size=1, max_size=5))
def test_any_message_is_survived(page: ClientConnection, messages: list[str | bytes]) -> None:
    for message in messages:
        page.send(message)
    say(page, type="known to be wrong")
    while "known to be wrong" not in hear(page, "error")["message"]:
        pass


@pytest.mark.long
@PATIENT
@given(path=st.sampled_from(["/api/trace", "/api/prepare"]), body=MESSAGES)
def test_any_body_is_answered(lab: Lab, path: str, body: str | bytes) -> None:
    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(lab.origin + path, content=content, headers=headers, **PLAIN)
    assert answer.status_code == 422
    assert answer.json()["error"]


@pytest.mark.long
@PATIENT
@given(query=st.text(), split=st.sampled_from(["train", "x"]) | st.text(min_size=1))
def test_any_address_is_answered(lab: Lab, query: str, split: str) -> None:
    path, start = (quote(text.encode("utf-8", "replace"), safe="") for text in (split, query))
    assert lab.get(f"/api/data/{path}/inputs?start={start}").status_code in (200, 400, 404)


@PATIENT
@given(content=st.binary(min_size=1))
def test_what_is_no_http_is_survived(lab: Lab, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", lab.port), timeout=60) as connection:
        connection.sendall(content)
    assert is_alive(lab)


# The script


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-u", str(ROOT / "experiments" / "lab.py"), "--no-browser"]
    environment = os.environ | {"JAXNN_DATA": str(folder / "none")}
    with subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            yield process, first
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


@pytest.mark.long
def test_ctrl_c_loses_no_training_and_each_lab_has_its_port(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(
        "data: digits\nmodel: [flatten, {dense: 10}]\noptimizer: {sgd: 0.1}\n"
        "training: {statistics_steps: 0}\n"
    )
    with started(tmp_path, "tiny.yaml", "--run-dir", "mine") as (first, line):
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert address, line
        port = address[1]
        with started(tmp_path, "tiny.yaml", "--port", port) as (taken, message):
            assert f"error: --port {port}: cannot be used: Address already in use" in message
            assert taken.wait(60) == 2
        with started(tmp_path, "tiny.yaml") as (second, line):
            other = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            assert other, line
            assert other[1] != port
            assert ended(second, signal.SIGTERM) == (0, "")  # nothing was trained
        assert not (tmp_path / "runs").exists()
        origin = address[0].rstrip("/")
        with connect(origin.replace("http", "ws") + "/api/live", origin=origin) as page:
            say(page, type="epoch")
            while hear(page, "report")["step"] < 20:
                pass
            (tmp_path / "mine").write_text("taken meanwhile: what was trained goes elsewhere")
            status, out = ended(first, signal.SIGINT)  # a page that is open does not hold it up
    assert status == 0, out
    assert "Traceback" not in out
    assert "mine: exists and is not an empty directory" in out
    found = re.search(r"run directory: (runs/\S+);", out)
    assert found, out
    run = load_run(tmp_path / found[1])
    assert run.summary["steps"] == 20
    with started(tmp_path, found[1]) as (third, line):
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address, line
        answer = httpx.post(f"{address[0]}/api/trace", json={"split": "test", "index": 0})
        _, arrays = unpack(answer.content)
        np.testing.assert_array_equal(arrays["1.weight"], run.params[1]["weight"])
        assert ended(third, signal.SIGINT) == (0, "")  # as it was opened, so it is
