"""Processes of this machine that compute together, each on cores of its own."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from typing import Any

import jax

from jaxnn.errors import JaxnnError
from jaxnn.training.processes import one_of_several

Team = Callable[..., list[Any]]
"""Calls a function of a module with the arguments given, in all processes at once.

What it returns in each is the answer; what a process keeps between calls is its own.
"""


@contextmanager
def team(cores: Sequence[Collection[int]]) -> Iterator[Team]:
    """Starts a process for each set of cores; several are one mesh of CPU devices.

    Raises:
        JaxnnError: from a call, if the function fails; the message has the traceback.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    spawn = multiprocessing.get_context("spawn")
    started = []
    for i, own in enumerate(cores):
        here, there = spawn.Pipe()
        arguments = (own, address, len(cores), i, there)
        process = spawn.Process(target=_work, args=arguments, daemon=True)
        process.start()
        there.close()
        started.append((process, here))

    def call(function: Callable[..., Any], *arguments: Any) -> list[Any]:
        for _, connection in started:
            connection.send((function, arguments))
        return [_answer(connection) for _, connection in started]

    try:
        yield call
        for _, connection in started:
            connection.send(None)
        for process, _ in started:
            process.join()
    finally:
        for process, _ in started:
            process.kill()
            process.join()


def _answer(connection: Connection) -> Any:
    try:
        failed, answer = connection.recv()
    except EOFError as error:
        raise JaxnnError("a process that was to be timed has died") from error
    if failed:
        raise JaxnnError(f"a process that was to be timed has failed:\n{answer}")
    return answer


def _work(
    cores: Collection[int], address: str, processes: int, number: int, connection: Connection
) -> None:
    if hasattr(os, "sched_setaffinity"):  # before XLA makes threads, as many as cores
        os.sched_setaffinity(0, cores)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Gloo tells there that it is connected
    jax.config.update("jax_platforms", "cpu")
    several = one_of_several(address, processes, number) if processes > 1 else nullcontext()
    with several:
        while (order := connection.recv()) is not None:
            function, arguments = order
            try:
                connection.send((False, function(*arguments)))
            except Exception:
                connection.send((True, traceback.format_exc()))
