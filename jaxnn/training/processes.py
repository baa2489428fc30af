"""Several processes, on one machine or many, that train one network: JAX's own distributed runtime.

Each process has its own devices; together they are one mesh. All carry out the same program, so
whatever one of them decides by itself (what time it is, that somebody pressed Ctrl-C) has to be
agreed on. A process that dies is missed at once, or within seconds, named, and the rest end.
"""

import atexit
import contextlib
import hashlib
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnn.errors import JaxnnError, RunError, some
from jaxnn.training.rendezvous import Peer, Watch, gather, hello, report

HEARTBEAT = 15
"""Seconds without a heartbeat after which JAX's runtime counts a process as dead, and ends all."""

START = 60
"""Seconds in which all processes have to have started, and found each other."""


@contextlib.contextmanager
def one_of_several(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    seconds: int = START,
) -> Iterator[None]:
    """Makes this process one of several; to be entered before anything is computed.

    Without arguments it does so where Slurm, Open MPI or Kubernetes have started several tasks,
    which JAX finds out by itself; else nothing. With them, a process that fails or dies is named by
    all others, which end; a cluster's scheduler and JAX's runtime do that in their own words.

    Args:
        coordinator: ``host:port``, where the others reach process 0.
        processes: how many there are.
        process: the number of this one, from 0.
        seconds: in which all have to have started.

    Raises:
        RunError: if an argument makes no sense, the port is in use, the others do not come in time
            or do not fit together, or they cannot reach this machine by its name.
    """
    if (coordinator, processes, process) == (None, None, None):
        if _in_cluster():
            _initialize(seconds)
        yield
        return
    if coordinator is None or processes is None or process is None:
        raise RunError("of --coordinator, --processes and --process, all are needed or none")
    if not 0 <= process < processes:
        raise RunError(
            f"--process {process}: of {processes} processes, numbers are 0 to {processes - 1}"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise RunError(f"--coordinator {coordinator}: expected HOST:PORT, such as 10.0.0.1:12345")
    me = hello(process, processes)
    if process == 0:
        peers = gather(me, int(port), seconds)
        coordinator = f"localhost:{port}"  # here it is reached however the others call it
    else:
        peers = report(me, host.strip("[]"), int(port), seconds)
    watch = Watch(me, peers)
    try:
        _initialize(seconds, coordinator, processes, process)
        if jax.default_backend() == "cpu":
            _check_name(peers)
        yield
    except BaseException as error:
        watch.ended(error)
        atexit.register(watch.leave, _status(error))
        raise
    watch.ended()


def _initialize(
    seconds: int,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, and go on
    _wake_without_preempting()
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )
    except Exception as error:  # of various kinds, from version to version
        raise RunError(
            f"the processes have not found each other within {seconds} s: are all of them running, "
            f"each with a number of its own? [{error}]"
        ) from error


def _wake_without_preempting() -> None:
    """Has threads made from now on wait for their turn when they are woken (Linux, SCHED_BATCH).

    Gloo's thread waits for a lock by trying again and again. Where it takes the core from the
    thread that has the lock, with which it shares it, both get nowhere until its slice of time is
    over: a sum over two processes with a core each took 4.3 ms, and takes 0.11.
    """
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):  # where a container forbids it, it is only slower
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _status(error: BaseException) -> int:
    """Returns the exit status of a script that an error ends; see ``jaxnn.cli``."""
    if isinstance(error, JaxnnError):
        return 128 + error.signal if hasattr(error, "signal") else 2
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else bool(error.code)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _in_cluster() -> bool:
    """Returns whether a cluster's scheduler has started this process as one of several."""
    tasks = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
    if any(os.environ.get(name, "").isdigit() and int(os.environ[name]) > 1 for name in tasks):
        return True
    return {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= os.environ.keys()


def _check_name(peers: Mapping[int, Peer]) -> None:
    """Raises RunError if others, on other machines, would look for this one on themselves.

    On CPUs, collectives are Gloo's, which tells the others the address of this machine's own name.
    """
    mine = [here for here, there in (peer.addresses for peer in peers.values()) if here != there]
    if not mine:  # all are on one machine
        return
    name = socket.gethostname()
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(name, None)]
    except OSError:
        found = []
    if not found or ipaddress.ip_address(found[0]).is_loopback:
        raise RunError(
            f"the name of this machine, {name}, stands for {some(found) or 'no address'}, where "
            f"the others cannot reach it: have /etc/hosts say that it is {mine[0]}"
        )


def agreed(*values: int) -> tuple[int, ...]:
    """Returns the largest value that a process has, of each: the same in all of them."""
    if jax.process_count() == 1:
        return values
    all_values = np.asarray(multihost_utils.process_allgather(np.array(values, np.int32)))
    return tuple(int(value) for value in all_values.reshape(-1, len(values)).max(0))


def check_alike(**texts: str) -> None:
    """Checks that all processes are about to do the same.

    Args:
        texts: by what they say, such as ``config=…``.

    Raises:
        RunError: in all processes, if a text differs; the message says which, and where.
    """
    if jax.process_count() == 1:
        return
    digests = [hashlib.sha256(text.encode()).digest() for text in texts.values()]
    mine = np.frombuffer(b"".join(digests), np.uint8).reshape(len(texts), -1)
    everyone = np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, *mine.shape)
    for i, what in enumerate(texts):
        others = np.flatnonzero((everyone[:, i] != everyone[0, i]).any(-1))
        if len(others):
            raise RunError(
                f"the {what} of process {', '.join(map(str, others))} is not that of process 0: "
                "all processes have to be given the same config and the same data"
            )
