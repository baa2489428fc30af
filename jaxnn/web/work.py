"""What a session is asked for, and its long work, which can be given up for what is urgent."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

from jaxnn.errors import JaxnnError

T = TypeVar("T")
Task = tuple[Callable[[], Any], Future[Any]]
Kind = Literal["light", "command", "urgent", "other"]
"""Of tasks: "light" ones are done at once, even while long work is waited for; "command" and
"urgent" come before all others, in their order, and long work is given up for "urgent" ones."""

PATIENCE = 1.0
"""Seconds that an urgent task leaves to the work that is under way."""
LEFT = 2
"""Works given up that may still be running: no other begins until one of them has ended."""


class GivenUpError(JaxnnError):
    """Work took long, and something urgent came."""


class Work:
    """The tasks of a session, and the thread that does its long work.

    Python can end no thread, nor XLA a compilation: work that is given up goes on, but nobody waits
    for it any more, and its result is dropped. Work must therefore change nothing that others use.
    The interpreter's end waits for it, as XLA's threads do not survive that; ``os._exit`` does not.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._light, self._commands, self._others = (deque[Task]() for _ in range(3))
        self._tasks = self._light, self._commands, self._others
        self._urgent: set[Future[Any]] = set()  # of the commands
        self._jobs: SimpleQueue[Any] | None = None  # of the thread that is not given up
        self._left = 0
        self._closed = False

    @property
    def left(self) -> int:
        """How many works are given up and still running."""
        return self._left

    def __len__(self) -> int:
        """Returns how many tasks wait."""
        return sum(map(len, self._tasks))

    def put(self, function: Callable[[], Any], future: "Future[Any]", kind: Kind = "other") -> None:
        """Adds a task, from any thread; once this is closed, its future fails at once."""
        with self._changed:
            if not self._closed:
                places = {"light": self._light, "other": self._others}
                places.get(kind, self._commands).append((function, future))
                if kind == "urgent":
                    self._urgent.add(future)
                self._changed.notify_all()
                return
        _refuse(future)

    def carry_out(self) -> None:
        """Carries the next task out; waits for one."""
        with self._changed:
            self._changed.wait_for(self.__len__)
            task = next(tasks for tasks in self._tasks if tasks).popleft()
            self._urgent.discard(task[1])
        _carry_out(task)

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Does long work, in a thread of its own.

        Raises:
            GivenUpError: if something urgent has waited for the work's end for too long.
        """
        result: Future[T] = Future()
        with self._changed:
            self._wait(lambda: self._left < LEFT)
            if self._jobs is None:
                self._jobs = SimpleQueue()
                threading.Thread(target=self._compute, args=(self._jobs,), name="work").start()
            self._jobs.put((function, arguments, result))
            try:
                self._wait(result.done)
            except GivenUpError:
                self._jobs.put(None)
                self._jobs = None
                self._left += 1
                raise
        return result.result()

    def close(self) -> None:
        """Refuses the tasks that wait, and all that are still to come."""
        with self._changed:
            self._closed = True
            waiting = [future for tasks in self._tasks for _, future in tasks]
            if self._jobs is not None:
                self._jobs.put(None)
        for future in waiting:
            _refuse(future)

    def _wait(self, done: Callable[[], bool]) -> None:
        ends = None
        while not done():
            while self._light:
                task = self._light.popleft()
                self._changed.release()
                try:
                    _carry_out(task)
                finally:
                    self._changed.acquire()
            if done():
                return
            if self._urgent and ends is None:
                ends = time.monotonic() + PATIENCE
            left = None if ends is None else ends - time.monotonic()
            if left is not None and left <= 0:
                raise GivenUpError("given up, as it took long and something urgent came: ask again")
            self._changed.wait(left)

    def _compute(self, jobs: "SimpleQueue[Any]") -> None:
        while (job := jobs.get()) is not None:
            function, arguments, result = job
            try:
                result.set_result(function(*arguments))
            except BaseException as error:
                result.set_exception(error)
            del job, function, arguments, result  # no array lives on in this frame
            with self._changed:
                if jobs is not self._jobs:
                    self._left -= 1
                self._changed.notify_all()


def _carry_out(task: Task) -> None:
    function, future = task
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _refuse(future: "Future[Any]") -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(JaxnnError("the lab has ended"))
