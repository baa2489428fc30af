"""Starting one of several processes: what cannot be is said at once, or in the time it is given."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from jaxnn.errors import RunError
from jaxnn.training import processes
from jaxnn.training.processes import agreed, check_alike, one_of_several
from jaxnn.training.rendezvous import Peer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def enter(*arguments: str | int | None) -> None:
    def entered() -> None:
        with one_of_several(*arguments):  # type: ignore[arg-type]
            pass

    with ThreadPoolExecutor(1) as thread:  # how it is scheduled is changed, which others keep
        thread.submit(entered).result()


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
        enter(*arguments)


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"port {port} cannot be used here .*: choose another"):
            enter(f"127.0.0.1:{port}", 2, 0)


def test_a_coordinator_that_never_answers() -> None:
    with pytest.raises(RunError, match=r"process 0 at .*, does not answer within 1 s"):
        enter(f"127.0.0.1:{free_port()}", 2, 1, 1)


def test_a_coordinator_whose_name_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RunError, match=r"process 0 at nobody:1234, does not answer .*not known"):
        enter("nobody:1234", 2, 1, 0)


IN_A_CLUSTER = {
    "Slurm": {"SLURM_STEP_NUM_TASKS": "4"},
    "Open MPI": {"OMPI_COMM_WORLD_SIZE": "2"},
    "Kubernetes": {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"},
}
ALONE = {
    "nothing": {},
    "a Slurm job of one task": {"SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_ID": "1"},
    "a Slurm allocation without srun": {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"},
    "mpirun -n 1": {"OMPI_COMM_WORLD_SIZE": "1"},
    "a pod that is no indexed job": {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
}


@pytest.fixture
def initialized(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The arguments with which JAX's runtime has been started; it is not, in truth."""
    for name in os.environ:
        if name.startswith(("SLURM_", "OMPI_", "KUBERNETES_", "JOB_")):
            monkeypatch.delenv(name)
    calls: list[dict[str, object]] = []

    def initialize(*where: object, **arguments: object) -> None:
        calls.append({"where": where} | arguments)

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    return calls


@pytest.fixture
def surroundings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process is started, by the variables of its environment."""
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("surroundings", IN_A_CLUSTER.values(), ids=IN_A_CLUSTER, indirect=True)
def test_a_cluster_is_found_by_jax(
    initialized: list[dict[str, object]], surroundings: None
) -> None:
    enter(None, None, None)
    assert initialized == [
        {
            "where": (None, None, None),
            "initialization_timeout": processes.START,
            "heartbeat_timeout_seconds": processes.HEARTBEAT,
            "shutdown_timeout_seconds": processes.HEARTBEAT,
        }
    ]


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux alone has it")
@pytest.mark.parametrize("surroundings", [IN_A_CLUSTER["Slurm"]], indirect=True)
def test_threads_of_one_of_several_take_no_core_from_each_other_when_woken(
    monkeypatch: pytest.MonkeyPatch, initialized: list[dict[str, object]], surroundings: None
) -> None:
    policies: list[int] = []

    def initialize(*where: object, **arguments: object) -> None:
        thread = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    enter(None, None, None)
    assert policies == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize("surroundings", ALONE.values(), ids=ALONE, indirect=True)
def test_a_single_task_is_no_cluster(
    initialized: list[dict[str, object]], surroundings: None
) -> None:
    enter(None, None, None)
    assert not initialized


def test_a_machine_whose_name_stands_for_itself_cannot_be_found_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Elsewhere(Peer):
        addresses = ("10.0.0.2", "10.0.0.1")  # type: ignore[assignment]

        def __init__(self) -> None:
            pass

    name = socket.gethostname()
    for address, there in (("127.0.1.1", False), ("10.0.0.2", True)):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, a=address: [(0, 0, 0, "", (a, 0))])
        if there:
            processes._check_name({0: Elsewhere()})
            continue
        message = f"{name}, stands for {address}, where .* have /etc/hosts say that it is 10.0.0.2"
        with pytest.raises(RunError, match=message):
            processes._check_name({0: Elsewhere()})
