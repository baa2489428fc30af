"""Starting one of several processes: what cannot be is said at once, or in the time it is given."""

import socket

import pytest

from jaxnn.errors import RunError
from jaxnn.training.processes import agreed, check_alike, start_process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_single_process_agrees_with_itself() -> None:
    assert agreed(3, 0) == (3, 0)
    check_alike(config="a", data="b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("127.0.0.1:1", 2, None), "all are needed or none"),
        (("127.0.0.1:1", 2, 2), "--process 2: of 2 processes, numbers are 0 to 1"),
        (("127.0.0.1", 2, 0), "expected HOST:PORT"),
        (("127.0.0.1:99999", 2, 0), "expected HOST:PORT"),
    ],
)
def test_arguments_that_make_no_sense(arguments: tuple[str, int, int | None], message: str) -> None:
    with pytest.raises(RunError, match=message):
        start_process(*arguments)


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"port {port} cannot be used here .*: choose another"):
            start_process(f"127.0.0.1:{port}", 2, 0)


def test_a_coordinator_that_never_answers() -> None:
    with pytest.raises(RunError, match=r"process 0 at .*, does not answer within 1 s"):
        start_process(f"127.0.0.1:{free_port()}", 2, 1, seconds=1)
