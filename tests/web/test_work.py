"""Tasks in their order, and long work that can be given up."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from jaxnn.errors import JaxnnError
from jaxnn.web import work
from jaxnn.web.work import LEFT, GivenUpError, Kind, Work


def nothing() -> None:
    pass


def asked(work: Work, kind: Kind = "other", function: Callable[[], Any] = nothing) -> Future[Any]:
    future: Future[Any] = Future()
    work.put(function, future, kind)
    return future


def test_commands_come_first_and_all_in_their_order() -> None:
    work, done = Work(), list[int]()
    kinds: list[Kind] = ["other", "command", "urgent", "other", "command", "light"]
    for i, kind in enumerate(kinds):
        asked(work, kind, functools.partial(done.append, i))
    assert len(work) == 6
    for _ in range(6):
        work.carry_out()
    assert done == [5, 1, 2, 4, 0, 3]


def test_light_tasks_are_done_while_long_work_is_waited_for() -> None:
    work, released = Work(), threading.Event()
    asked(work, "other", released.set)  # has to wait
    light = asked(work, "light", released.set)
    assert work.do(released.wait, 60)
    assert light.done()
    assert len(work) == 1
    work.close()


def test_work_is_done_by_one_other_thread_and_its_errors_come_back() -> None:
    work = Work()
    threads = {work.do(threading.get_ident) for _ in range(3)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    with pytest.raises(ValueError, match="invalid literal"):
        work.do(int, "x")
    assert work.do(int, "7") == 7
    work.close()


def test_what_is_urgent_ends_the_wait_and_what_runs_on_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "PATIENCE", 0.05)
    tasks, released = Work(), threading.Event()
    asked(tasks, "urgent")
    for _ in range(LEFT):
        with pytest.raises(GivenUpError, match="ask again"):
            tasks.do(released.wait, 60)
    assert tasks.left == LEFT
    with pytest.raises(GivenUpError):  # it would have been quick, but cannot begin
        tasks.do(nothing)
    tasks.carry_out()  # nothing is urgent any more: it waits until one of those has ended
    threading.Timer(0.1, released.set).start()
    assert tasks.do(int, "7") == 7
    while tasks.left:
        pass
    tasks.close()


def test_a_moment_is_left_to_what_is_quick() -> None:
    work = Work()
    asked(work, "urgent")
    assert work.do(int, "7") == 7
    work.close()


def test_nothing_waits_for_what_is_closed() -> None:
    work = Work()
    waiting = asked(work)
    work.close()
    for future in (waiting, asked(work), asked(work, "urgent")):
        with pytest.raises(JaxnnError, match="ended"):
            future.result(0)
