"""Predictions of whole splits, a moment at a time, so that training and clients need not wait."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

MOMENT = 0.05
"""Seconds of work at a time."""


class Predictions:
    """Who waits for the predictions of which split, and the latest of each."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, bytes]] = {}
        self._waiting: dict[str, list[Future[bytes]]] = {}
        self._work: tuple[int, Iterator[bytes | None]] | None = None  # on the first of those

    def __bool__(self) -> bool:
        """Whether there is work to do."""
        return bool(self._waiting)

    def ask(self, split: str, version: int, answer: "Future[bytes]") -> None:
        """Sets the answer, at once where the split was predicted with these parameters.

        Args:
            split: its name.
            version: that of the parameters.
            answer: shared with whoever waits for the same already.
        """
        kept = self._kept.get(split)
        if kept is not None and kept[0] == version:
            if answer.set_running_or_notify_cancel():
                answer.set_result(kept[1])
        else:
            self._waiting.setdefault(split, []).append(answer)

    def go_on(self, version: int, begin: Callable[[str], Iterator[bytes | None]]) -> None:
        """Works for a moment.

        Args:
            version: that of the parameters.
            begin: begins to predict a split: yields None while there is more to do, then the
                answer.
        """
        ends = time.monotonic() + MOMENT
        while self._waiting and time.monotonic() < ends:
            split = next(iter(self._waiting))
            self._work = self._work or (version, begin(split))
            begun, batches = self._work
            result = next(batches)
            if result is not None:
                self._kept[split], self._work = (begun, result), None
                for answer in self._waiting.pop(split):
                    if answer.set_running_or_notify_cancel():
                        answer.set_result(result)

    def begin_anew(self) -> None:
        """Forgets what was predicted, with another network: those who wait get its predictions."""
        self._kept, self._work = {}, None

    def fail(self, error: Exception) -> None:
        """Sends those who wait an error."""
        waiting, self._waiting, self._work = self._waiting, {}, None
        for answer in (answer for answers in waiting.values() for answer in answers):
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)
