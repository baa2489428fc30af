"""How several processes find each other, and learn of it when one of them ends or dies.

JAX's runtime ends a process by a fatal error within C++ if two have one number, or if one is
missing or dies. So, before it starts, all report to process 0, which tells them that they are
complete, or what is wrong. Their connections stay: a process that ends says so, and how; if one
dies, the kernel closes its connection; and if its machine or the network fails, TCP's keep-alive
does, after ``SILENCE`` seconds. It is the kernels that answer, so a busy process counts as alive.

Messages are lines of JSON: a ``Hello``, and ``{"problem": …}`` in answer; then, either way, at most
one ``{"failed": …, "said": …}``, by which a process ends.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from jaxnn.errors import JaxnnError, RunError, printable, some

SILENCE = 8
"""Seconds after which a machine that does not answer counts as lost."""

FOLLOWED = 3
"""Exit status of a process that has ended because another one has."""

_LATE = 3
"""Seconds in which others may come to hear of a problem; that their own errors are given, too."""

_LONGEST = 10_000
"""Bytes of a message; what sends more is none of ours."""


class Hello(NamedTuple):
    """What a process says of itself."""

    process: int
    processes: int
    host: str
    versions: str

    def __str__(self) -> str:
        """Returns how the process is called in messages."""
        return f"process {self.process} on {self.host}"


def hello(process: int, processes: int) -> Hello:
    """Returns what this process says of itself."""
    version = sys.modules["jaxnn"].__version__  # to import it would be to import what uses this
    versions = f"jaxnn {version} and JAX {jax.__version__}"
    return Hello(process, processes, socket.gethostname(), versions)


class Peer:
    """Another process, at the other end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        """Takes a connection over."""
        self.connection = connection
        self.lines = connection.makefile("rb")
        self.who: Hello | str = "another process"
        self.heard = threading.Event()

    @property
    def addresses(self) -> tuple[str, str]:
        """The addresses of this end of the connection, and of the other."""
        ends = self.connection.getsockname(), self.connection.getpeername()
        here, there = (str(end[0]).removeprefix("::ffff:") for end in ends)
        return here, there

    def send(self, **message: Any) -> None:
        """Sends a message, if the other is still there."""
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds: float | None) -> dict[str, Any] | None:
        """Waits for a message; returns None if the other has closed the connection.

        Raises:
            OSError: if there is none in time, or the connection is lost.
            ValueError: if it is none of ours.
        """
        self.connection.settimeout(seconds)
        line = self.lines.readline(_LONGEST)
        if not line:
            return None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise ValueError("what answers there does not wait for processes")
        return message

    def has_gone(self) -> bool:
        """Returns whether the other, which has nothing to say yet, has closed the connection."""
        self.connection.setblocking(False)
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Closes the connection."""
        self.lines.close()
        self.connection.close()


def gather(me: Hello, port: int, seconds: float) -> dict[int, Peer]:
    """Waits, as process 0, until all others have reported; returns them by their numbers.

    Raises:
        RunError: here and in all that have reported, if the port is in use, they do not come in
            time, or do not fit together.
    """
    here: dict[int, Peer] = {}
    extra: list[Peer] = []
    with _listener(port) as listener:
        problem = _gather(me, listener, seconds, here, extra)
    for peer in (*here.values(), *extra):
        peer.send(problem=problem)
        if problem:
            peer.close()
    if problem:
        raise RunError(problem)
    for peer in here.values():
        _keep_alive(peer.connection)
    return here


def _listener(port: int) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family, place = (socket.AF_INET6, "::") if both else (socket.AF_INET, "")
    try:
        return socket.create_server(
            (place, port), family=family, dualstack_ipv6=both, backlog=socket.SOMAXCONN
        )
    except OSError as error:
        raise RunError(
            f"port {port} cannot be used here ({error.strerror}): choose another, and give each "
            "process a number of its own (process 0 listens there)"
        ) from error


def _gather(
    me: Hello, listener: socket.socket, seconds: float, here: dict[int, Peer], extra: list[Peer]
) -> str | None:
    """Collects those that report, and such as are too many; returns what is wrong, if anything."""
    problem = None
    end = time.monotonic() + seconds
    while len(here) < me.processes - 1 or problem:
        left = end - time.monotonic()
        if left <= 0:
            break
        listener.settimeout(left)
        try:
            peer = Peer(listener.accept()[0])
        except TimeoutError:
            break
        try:
            it = _hello_of(peer.receive(_LATE))
        except (OSError, ValueError):  # such as somebody who tries all ports
            peer.close()
            continue
        peer.who = it
        for number in [number for number, other in here.items() if other.has_gone()]:
            here.pop(number).close()
        if problem is None:
            problem = _misfit(me, it, here)
            if problem:
                end = min(end, time.monotonic() + _LATE)
        if it.process in here:
            extra.append(peer)
        else:
            here[it.process] = peer
    missing = [str(number) for number in range(1, me.processes) if number not in here]
    if missing and problem is None:
        return (
            f"of {me.processes} processes, number {some(missing)} has not come within "
            f"{seconds:.0f} s: is it running, and can it reach process 0, which is on {me.host}?"
        )
    return problem


def _hello_of(message: dict[str, Any] | None) -> Hello:
    """Returns what a process says of itself; ValueError if it is none of ours."""
    it = Hello(**{key: (message or {}).get(key) for key in Hello._fields})  # type: ignore[arg-type]
    kinds = (int, int, str, str)
    known = all(isinstance(value, kind) for value, kind in zip(it, kinds, strict=True))
    if not known or not 0 < it.process < it.processes:
        raise ValueError("no process of jaxnn")
    return it


def _misfit(me: Hello, it: Hello, here: Mapping[int, Peer]) -> str | None:
    """Returns why a process does not belong to those that are here."""
    if it.versions != me.versions:
        return f"{it} has {it.versions}, and {me} {me.versions}: install the same everywhere"
    if it.processes != me.processes:
        return (
            f"{it} was given --processes {it.processes}, and {me} --processes {me.processes}: all "
            "have to be given how many there are"
        )
    if it.process in here:
        return (
            f"{it} has the number of another one, {here[it.process].who}: --process gives each a "
            f"number of its own, 0 to {me.processes - 1}"
        )
    return None


def report(me: Hello, host: str, port: int, seconds: float) -> dict[int, Peer]:
    """Reports to process 0, and waits until all have; returns process 0, by its number.

    Raises:
        RunError: if process 0 does not answer in time, or says that something is wrong.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            peer = Peer(socket.create_connection((host, port), max(1, end - time.monotonic())))
            try:
                peer.send(**me._asdict())
                # It waits for as long from a moment on that was before this one.
                answer = peer.receive(seconds + 2 * _LATE)
                if answer is None:
                    raise ValueError("it has closed the connection")
                if answer["problem"]:
                    raise RunError(str(answer["problem"]))
                _keep_alive(peer.connection)
                peer.who = f"process 0 at {host}:{port}"
                return {0: peer}
            except BaseException:
                peer.close()
                raise
        except (OSError, ValueError, KeyError) as error:
            if time.monotonic() > end:
                raise RunError(
                    f"the coordinator, process 0 at {host}:{port}, does not answer within "
                    f"{seconds:.0f} s ({error}): is it running and waiting for process "
                    f"{me.process}, and can it be reached from here?"
                ) from error
        time.sleep(0.1)


def _keep_alive(connection: socket.socket) -> None:
    """Has the kernel close a connection if the other machine does not answer for ``SILENCE`` s."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", SILENCE // 2),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", SILENCE - SILENCE // 2),
        ("TCP_USER_TIMEOUT", 1000 * SILENCE),
    ):
        if hasattr(socket, name):  # else the heartbeat of JAX's runtime has to do
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Watch:
    """Ends this process if another one has failed, and says why; tells the others how it ends."""

    def __init__(self, me: Hello, peers: Mapping[int, Peer]) -> None:
        """Begins to listen to what the others say."""
        self._me, self._peers = me, peers.values()
        self._failing, self._first = threading.Event(), threading.Lock()
        self._threads = [
            threading.Thread(target=self._listen, args=(peer,), daemon=True) for peer in self._peers
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, peer: Peer) -> None:
        """Hears what another process says at its end, and waits until it is gone."""
        try:
            while (message := peer.receive(None)) is not None:
                peer.heard.set()
                if message.get("failed"):
                    self._follow(str(message.get("said")), _LATE / 2)
        except (OSError, ValueError) as error:
            said = f"{peer.who} cannot be reached any more: {error}"
        else:
            said = f"{peer.who} has died"
        if not peer.heard.is_set():
            self._follow(said)
            peer.heard.set()

    def _follow(self, said: str, seconds: float = 0) -> None:
        """Ends this process, unless it is about to end with an error of its own."""
        if self._failing.is_set() or not self._first.acquire(blocking=False):
            return
        for peer in self._peers:
            peer.send(failed=True, said=said)
        # What has failed there may fail here as well, and is said then; but if a process has died,
        # JAX's runtime is about to say so in its own way.
        if self._failing.wait(seconds):
            return
        terminal = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # so this is the last that is seen
        text = f"error: {said}; so process {self._me.process} ends, too"
        os.write(terminal, f"{printable(text)}\n".encode())
        os._exit(FOLLOWED)

    def ended(self, error: BaseException | None = None) -> None:
        """Tells the others how this process ends; waits until they have come to their ends, too.

        Args:
            error: what ends it; None if it has done all.
        """
        if error is not None and not isinstance(error, JaxnnError | KeyboardInterrupt):
            time.sleep(_LATE)  # if another one's end is its reason, that is about to be told
        if error is not None:
            self._failing.set()
        said = f"{self._me} has failed: {str(error) or type(error).__name__}"[: _LONGEST // 10]
        for peer in self._peers:
            peer.send(failed=error is not None, said=said)
        end = time.monotonic() + _LATE
        for peer in self._peers:
            peer.heard.wait(None if error is None else max(0, end - time.monotonic()))

    def leave(self, status: int) -> None:
        """Ends this process without JAX's runtime, which would wait for the others."""
        if self._me.process == 0:  # where the runtime is: without it, it ends the others at once
            end = time.monotonic() + _LATE
            for thread in self._threads:
                thread.join(max(0, end - time.monotonic()))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
