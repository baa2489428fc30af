"""Being asked to stop, by Ctrl-C or SIGTERM: noted first, so that what is in hand can be ended."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jaxnn.errors import JaxnnError


class StoppedError(JaxnnError):
    """Training was asked to stop, by Ctrl-C or SIGTERM, and has saved where it is.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        """Makes the error of a signal's number."""
        super().__init__(message)
        self.signal = number


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM, so that the chunk can be finished; a second Ctrl-C is heeded."""
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requests  # only the main thread may handle signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        if requests and number == signal.SIGINT:
            raise KeyboardInterrupt
        requests.append(number)

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
