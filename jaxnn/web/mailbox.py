"""What waits to be sent to a client: the session never waits for one that does not read."""

import threading
from collections import deque
from collections.abc import Callable

from jaxnn.web.messages import Example

WAITING = 500
"""Messages that wait for one client; beyond that, it is told the whole history anew."""


class Mailbox:
    """What waits to be sent to one client. The session puts in, the server takes out.

    Args:
        wake: called, from the session's thread, when something is there.
        history: returns the message with all reports.
    """

    def __init__(self, wake: Callable[[], None], history: Callable[[], str]) -> None:
        self._wake, self._history = wake, history
        self._lock = threading.Lock()
        self._latest: dict[str, str | bytes] = {}
        self._queue: deque[str] = deque()
        # The session's thread alone touches these.
        self.example: Example | None = None
        self.ready = False
        self.shown: object = None

    def put(self, kind: str, message: str | bytes) -> None:
        """Leaves a message; of "lab", "history", "status" and "snapshot", the latest stays."""
        with self._lock:
            if kind in ("report", "error"):
                self._queue.append(message)  # type: ignore[arg-type]
                if len(self._queue) > WAITING:
                    self._queue.clear()
                    self._latest["history"] = ""
            else:
                if kind == "history":
                    self._queue.clear()
                self._latest[kind] = message
        self._wake()

    def take(self) -> list[str | bytes]:
        """Returns all that is there, in the order in which it makes sense."""
        with self._lock:
            latest, self._latest = self._latest, {}
            queued, self._queue = list(self._queue), deque()
        if "history" in latest:
            latest["history"] = self._history()
        first = [latest[kind] for kind in ("lab", "history") if kind in latest]
        last = [latest[kind] for kind in ("status", "snapshot") if kind in latest]
        return [*first, *queued, *last]
