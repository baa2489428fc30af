"""Several processes, on one machine or many, that train one network: JAX's own distributed runtime.

Each process has its own devices; together they are one mesh. All carry out the same program, so
whatever one of them decides by itself (what time it is, that somebody pressed Ctrl-C) has to be
agreed on. A process that dies is missed within ``HEARTBEAT`` seconds, named, and the rest end.
"""

import functools
import hashlib
import os
import socket
import time

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnn.errors import RunError

HEARTBEAT = 10
"""Seconds without a sign of life after which a process counts as dead, and all others end."""

START = 60
"""Seconds in which all processes have to have started, and found each other."""


def start_process(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    seconds: int = START,
) -> None:
    """Makes this process one of several; to be called before anything is computed.

    Without arguments it does so where Slurm, Open MPI or Kubernetes have started several tasks,
    which JAX finds out by itself; else nothing.

    Args:
        coordinator: ``host:port``, where process 0 is to be reached.
        processes: how many there are.
        process: the number of this one, from 0.
        seconds: in which all have to have started.

    Raises:
        RunError: if an argument makes no sense, the port is in use, or the others do not answer.
    """
    initialize = functools.partial(
        jax.distributed.initialize,
        initialization_timeout=seconds,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=HEARTBEAT,
    )
    if (coordinator, processes, process) == (None, None, None):
        if _in_cluster():
            initialize()
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
    if process == 0:
        _check_port(int(port))
    else:
        _await(host, int(port), seconds)
    try:
        initialize(coordinator, processes, process)
    except Exception as error:  # of various kinds, from version to version
        raise RunError(
            f"process {process} of {processes} has not found the others at {coordinator} within "
            f"{seconds} s: are all of them running, each with a number of its own? [{error}]"
        ) from error


def _in_cluster() -> bool:
    """Returns whether a cluster's scheduler has started this process as one of several."""
    tasks = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
    if any(os.environ.get(name, "").isdigit() and int(os.environ[name]) > 1 for name in tasks):
        return True
    return {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= os.environ.keys()


def _check_port(port: int) -> None:
    """Raises RunError if the port is in use: the runtime would share it, and wait for ever."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise RunError(
                f"port {port} cannot be used here ({error.strerror}): choose another"
            ) from error


def _await(host: str, port: int, seconds: int) -> None:
    """Waits until a port can be reached."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=max(1, seconds)).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise RunError(
                    f"the coordinator, process 0 at {host}:{port}, does not answer within "
                    f"{seconds} s ({error}): is it running, and can it be reached from here?"
                ) from error
        time.sleep(0.1)


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
