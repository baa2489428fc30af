"""The lab under thousands of broken messages, and five clients for twenty minutes.

python -m pytest -s -m slow tests/web/test_endurance.py
"""

import contextlib
import copy
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from jaxnn.web.messages import LARGEST_MESSAGE

ROOT = Path(__file__).parents[2]
MESSAGES, SECONDS = 10_000, 20 * 60
PATIENCE = 300  # seconds for an answer, on a machine that is busy with other things

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc"),
]

CONFIG = """
data: digits
model: [flatten, {dense: 16}, relu, {dense: 10}]
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
training: {epochs: 1000000, batch_size: 32, statistics_steps: 0}
"""
START: dict[str, Any] = {
    "type": "configure",
    "model": ["flatten", {"dense": 16}, "relu", {"dense": 10}],
    "optimizer": {"sgd": {"learning_rate": 0.05, "momentum": 0.9}},
    "batch_size": 32,
    "seed": 0,
}
CHANGES: list[dict[str, Any]] = [
    {"model": ["flatten", {"dense": {"units": 8, "bias": False}}, "tanh", {"dense": 10}]},
    {"model": [{"conv2d": {"units": 4}}, "relu", {"max_pool": 2}, "flatten", {"dense": 10}]},
    {"model": ["flatten", {"dense": 24}, "batch_norm", "relu", {"dropout": 0.2}, {"dense": 10}]},
    {"optimizer": {"adam": {"learning_rate": 0.01, "b1": 0.8}}},
    {"optimizer": {"chain": [{"clip_by_global_norm": 1.0}, {"muon": 0.01}]}},
    {"batch_size": 64, "seed": 3},
    START,
]
COMMANDS: list[dict[str, Any]] = [
    {"type": "start"},
    {"type": "pause"},
    {"type": "step"},
    {"type": "epoch"},
    {"type": "reset"},
    {"type": "ready"},
    {"type": "set", "learning_rate": 0.1},
    {"type": "watch", "example": {"split": "test", "index": 3}},
    {"type": "watch", "example": {"pixels": [[0] * 8] * 8, "target": 3}},
    *({"type": "configure"} | change for change in CHANGES),
]
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/api/trace", {"split": "train", "index": 7}),
    ("/api/trace", {"pixels": [[1, 2, 3, 4] * 2] * 8, "target": None}),
    ("/api/prepare", {"width": 8, "height": 8, "ink": "/////w" * 14 + "//8="}),
]
ODD: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, 5e-324, 0.5, "", "\0", "x" * 70_000),
    *([], {}, [[]], {"": {}}, ["relu"] * 300, "os:abort", "sgd", "dense", "..", "\u202e\x1b[2J"),
]


class Lab(NamedTuple):
    process: subprocess.Popen[str]
    address: str
    log: Path

    def live(self) -> ClientConnection:
        address = self.address.replace("http", "ws") + "/api/live"
        # However many messages wait: who does not read on answers no ping either.
        usual: dict[str, Any] = {"max_size": None, "max_queue": None, "ping_interval": None}
        return connect(address, origin=self.address, **usual)

    def post(self, path: str, content: bytes) -> httpx.Response:
        kind = {"Content-Type": "application/json"}
        return httpx.post(self.address + path, content=content, headers=kind, timeout=PATIENCE)

    def usage(self) -> tuple[float, int, int]:
        """Resident megabytes, threads, and open files."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        numbers = {key: int(n) for key, n in re.findall(r"(VmRSS|Threads):\s+(\d+)", status)}
        files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return numbers["VmRSS"] / 1024, numbers["Threads"], files


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab in a process of its own, which has to end in peace."""
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    log = tmp_path / "log.txt"
    script = [str(ROOT / "experiments" / "lab.py"), "tiny.yaml", "--no-browser"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", *script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield Lab(process, found[0], log)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait()


def say(page: ClientConnection, message: dict[str, Any]) -> None:
    page.send(json.dumps(message))


def hear(page: ClientConnection, kind: str, containing: str = "") -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = page.recv(PATIENCE)
        if isinstance(message, str):
            heard = json.loads(message)
            if heard["type"] == kind and containing in str(heard.get("message", "")):
                return heard
    raise AssertionError(f"no {kind}")


def settled(lab: Lab, page: ClientConnection) -> None:
    """Waits until all commands that were sent have been carried out, or refused."""
    mark = f"mark{random.randrange(10**9)}"
    say(page, {"type": mark})
    hear(page, "error", mark)  # all have been read by now, and are done before others' questions
    path, body = BODIES[0]
    assert lab.post(path, json.dumps(body).encode()).status_code in (200, 422)


def standing(lab: Lab, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Waits for a status; of a page of its own, which hears none from before."""
    with lab.live() as page:
        while not wanted(status := hear(page, "status")):
            pass
    return status


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places within a message."""
    found = [path]
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(one, (*path, key))
    return found


def mutated(message: Any, rng: random.Random) -> str | bytes:
    """A message that is wrong somewhere, or right after all."""
    message = json.loads(json.dumps(message))
    for _ in range(rng.choice((1, 1, 2, 3))):
        if len(found := places(message)) == 1:  # nothing is left of it
            break
        *above, last = rng.choice(found[1:])
        node = message
        for key in above:
            node = node[key]
        kind = rng.randrange(5)
        if kind == 0 and isinstance(node, dict):
            node[rng.choice(["", "type", "model", "layers", "steps", "x" * 500])] = node.pop(last)
        elif kind == 1:
            del node[last]
        elif kind == 2:
            for _ in range(rng.choice((1, 3, 40))):
                node[last] = [node[last]] if rng.random() < 0.5 else {"shortcut": node[last]}
        else:
            node[last] = copy.deepcopy(rng.choice(ODD))
    text = json.dumps(message)
    if rng.random() < 0.3:
        data = bytearray(text.encode())
        for _ in range(rng.choice((1, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    return text


def test_ten_thousand_broken_messages(lab: Lab) -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    print(f"\nseed {seed}", flush=True)

    def home(page: ClientConnection) -> float:
        """Megabytes, in the state that all began with."""
        for change in CHANGES:
            say(page, {"type": "configure"} | change)
            say(page, {"type": "epoch"})
            settled(lab, page)
            assert standing(lab, lambda status: not status["running"])["epoch"] == 1
            assert lab.post("/api/trace", b'{"split": "test", "index": 0}').status_code == 200
        time.sleep(2)
        return lab.usage()[0]

    with contextlib.ExitStack() as stack:
        page = stack.enter_context(lab.live())
        before, steps, wrong = home(page), 0, 0
        for number in range(MESSAGES):
            if number == MESSAGES // 4:  # what JAX keeps of programs has been filled by now
                print(f"at first: {before:.0f} MB")
                before = home(page)
            if number % 10 == 0:
                path, body = rng.choice(BODIES)
                content = mutated(body, rng)
                answer = lab.post(path, content if isinstance(content, bytes) else content.encode())
                assert answer.status_code in (200, 413, 422), (seed, number, answer.text)
                wrong += answer.status_code != 200
            else:
                chosen = COMMANDS if rng.random() < 0.1 else COMMANDS[:9]  # changes take seconds
                message = mutated(rng.choice(chosen), rng)
                if rng.random() < 0.02:
                    message = json.dumps(rng.choice(COMMANDS[:9]))
                if len(message) <= LARGEST_MESSAGE or rng.random() < 0.1:
                    page.send(message)
            if number % 50 == 49:
                settled(lab, page)
            if number % 500 == 499:  # training goes on
                say(page, {"type": "configure"} | START)
                say(page, {"type": "start"})
                settled(lab, page)
                steps += standing(lab, lambda status: status["step"] >= 50)["step"]
                mb, threads, files = lab.usage()
                print(f"{number + 1}: {mb:.0f} MB, {threads} threads, {files} files", flush=True)
        after = home(page)
    print(f"seed {seed}: {before:.0f} MB before, {after:.0f} after; {wrong} bodies were refused")
    assert steps
    assert after < 1.1 * before
    assert "Traceback" not in lab.log.read_text(), lab.log.read_text()


def client(lab: Lab, rng: random.Random, ends: float, done: list[int], failed: list[str]) -> None:
    """One who clicks everywhere, watches, and reloads the page now and then."""
    while time.monotonic() < ends and not failed:
        try:
            with lab.live() as page:
                for _ in range(rng.randrange(5, 60)):
                    if time.monotonic() >= ends:
                        return
                    say(page, rng.choice(COMMANDS[:9] * 4 + COMMANDS[9:]))
                    say(page, {"type": "ready"})
                    if rng.random() < 0.1:
                        lab.post(BODIES[0][0], json.dumps(BODIES[0][1]).encode())
                    if rng.random() < 0.1:
                        path = f"/api/data/{rng.choice(['train', 'test'])}/predictions"
                        answer = httpx.get(lab.address + path, timeout=PATIENCE)
                        assert answer.status_code in (200, 422), answer.text
                    settled(lab, page)
                    done[0] += 1
                    time.sleep(rng.random())
        except ConnectionClosed:
            pass  # too many at once: it comes again
        except Exception as error:
            failed.append(repr(error))


def test_five_clients_for_twenty_minutes(lab: Lab) -> None:
    seed = random.SystemRandom().randrange(2**32)
    began = time.monotonic()
    print(f"\nseed {seed}", flush=True)
    done, failed = [0], list[str]()
    threads = [
        threading.Thread(
            target=client,
            args=(lab, random.Random(seed + k), began + SECONDS, done, failed),
        )
        for k in range(5)
    ]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(5)
        samples.append(lab.usage())
        if len(samples) % 12 == 0:
            mb, number, files = samples[-1]
            print(
                f"{time.monotonic() - began:.0f} s: {mb:.0f} MB, {number} threads, {files} files, "
                f"{done[0]} commands",
                flush=True,
            )
    assert not failed, failed
    quarter = len(samples) // 4
    early, late = (
        [statistics.median(column) for column in zip(*part, strict=True)]
        for part in (samples[quarter : 2 * quarter], samples[-quarter:])
    )
    print(f"seed {seed}: medians of the second quarter {early}, of the last {late}", flush=True)
    assert late[0] < 1.1 * early[0]
    assert late[1] <= early[1] + 2
    assert late[2] <= early[2] + 5
