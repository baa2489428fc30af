"""Processes find each other, or all learn what is wrong; here they are threads."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from jaxnn.errors import RunError
from jaxnn.training import rendezvous
from jaxnn.training.rendezvous import Hello, Peer, gather, report


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "_LATE", 0.5)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one(process: int, processes: int = 3, versions: str = "JAX 1") -> Hello:
    return Hello(process, processes, "here", versions)


def meet(
    port: int, *all_of_them: Hello, seconds: float = 10, before: Callable[[], None] = lambda: None
) -> list[list[int] | str]:
    """Returns the numbers that each of some processes has found, or what it was told.

    Args:
        port: of process 0.
        all_of_them: what they say of themselves; process 0 first.
        seconds: that they wait for each other.
        before: called once process 0 listens, before the others come, one after the other.
    """
    found: list[list[int] | str] = [""] * len(all_of_them)

    def run(i: int) -> None:
        me = all_of_them[i]
        try:
            peers = report(me, "127.0.0.1", port, seconds) if i else gather(me, port, seconds)
            found[i] = sorted(peers)
            for peer in peers.values():
                peer.close()
        except RunError as error:
            found[i] = str(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(all_of_them))]
    threads[0].start()
    wait_for(port)
    before()
    for thread in threads[1:]:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(30)
    return found


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)


def test_all_that_belong_together_find_each_other(port: int) -> None:
    assert meet(port, one(0), one(2), one(1)) == [[1, 2], [0], [0]]


def test_a_single_process_has_no_others(port: int) -> None:
    assert gather(one(0, 1), port, 1) == {}


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([one(1), one(1)], "process 1 on here has the number of another one, process 1 on here"),
        ([one(1), one(1), one(2)], "--process gives each a number of its own, 0 to 2"),
        ([one(1, 4), one(2)], "process 1 on here was given --processes 4, and process 0 on here -"),
        ([one(2), one(1, versions="JAX 2")], "process 1 on here has JAX 2, and process 0 on here "),
    ],
)
def test_all_learn_what_does_not_fit(port: int, others: list[Hello], message: str) -> None:
    told = meet(port, one(0), *others)
    assert message in told[0]
    assert told == [told[0]] * len(told)


def test_all_learn_who_is_missing(port: int) -> None:
    told = meet(port, one(0, 4), one(2, 4), seconds=1)
    assert "of 4 processes, number 1, 3 has not come within 1 s" in told[0]
    assert told[0] == told[1]


def test_whoever_else_comes_to_the_port_does_no_harm(port: int) -> None:
    def others() -> None:
        deep = b"[" * 9_000 + b"\n"
        for said in (b"GET / HTTP/1.1\r\n\r\n", deep, b'{"process": 1}\n', b"9" * 20_000, b""):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(said)
        stranger = Peer(socket.create_connection(("127.0.0.1", port)))
        stranger.send(**one(9)._asdict())
        assert stranger.receive(10) is None
        stranger.close()

    assert meet(port, one(0), one(1), one(2), before=others) == [[1, 2], [0], [0]]


def test_a_process_that_has_gone_may_be_started_again(port: int) -> None:
    def gone() -> None:
        peer = Peer(socket.create_connection(("127.0.0.1", port)))
        peer.send(**one(1)._asdict())
        peer.close()

    assert meet(port, one(0), one(1), one(2), before=gone) == [[1, 2], [0], [0]]


@contextlib.contextmanager
def something_else() -> Iterator[int]:
    """Answers at a port as no process of ours does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"\0\0\6\4\0\0\0\0\0\n")
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_what_answers_in_the_place_of_process_0_is_not_believed() -> None:
    message = "process 0 at .*, does not answer within 1 s .what answers there does not wait"
    with something_else() as port, pytest.raises(RunError, match=message):
        report(one(1), "127.0.0.1", port, 1)
