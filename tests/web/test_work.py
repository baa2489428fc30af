"""Tasks in their order, and long work that can be given up."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from jaxnn.errors import JaxnnError
from jaxnn.web import work
from jaxnn.web.work import LEFT, GivenUpError, Work


def nothing() -> None:
    pass


def asked(work: Work, function: Callable[[], None] = nothing, urgent: bool = False) -> Future[None]:
    future: Future[None] = Future()
    work.put(function, future, urgent)
    return future


def test_urgent_tasks_come_first_and_all_in_their_order() -> None:
    work = Work()
    late, later = asked(work), asked(work)
    first, second = asked(work, urgent=True), asked(work, urgent=True)
    assert len(work) == 4
    assert [work.take()[1] for _ in range(4)] == [first, second, late, later]


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
    asked(tasks, urgent=True)
    for _ in range(LEFT):
        with pytest.raises(GivenUpError, match="ask again"):
            tasks.do(released.wait, 60)
    assert tasks.left == LEFT
    with pytest.raises(GivenUpError):  # it would have been quick, but cannot begin
        tasks.do(nothing)
    tasks.take()  # nothing is urgent any more: it waits until one of those has ended
    threading.Timer(0.1, released.set).start()
    assert tasks.do(int, "7") == 7
    while tasks.left:
        pass
    tasks.close()


def test_a_moment_is_left_to_what_is_quick() -> None:
    work = Work()
    asked(work, urgent=True)
    assert work.do(int, "7") == 7
    work.close()


def test_nothing_waits_for_what_is_closed() -> None:
    work = Work()
    waiting = asked(work)
    work.close()
    for future in (waiting, asked(work), asked(work, urgent=True)):
        with pytest.raises(JaxnnError, match="ended"):
            future.result(0)
