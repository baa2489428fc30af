"""Training in the lab."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import Row, compared, needing
from jaxnn.config import build, parse_config
from jaxnn.training import fit, init_train_state


def measure(pairs: int) -> Iterator[Row]:
    """Training in the lab, with and without clients; the peer is ``fit``, the reports unread.

    Seconds are those of five epochs by the clock. Of the ten clients, which draw nothing, nine read
    what they are sent, and one never does.
    """
    with needing("lab"):
        from jaxnn.web.server import listen, serve
        from jaxnn.web.session import Session
        from jaxnn.web.storage import Opened

    epochs = 5
    dense_layers = ["flatten", {"dense": 128}, "relu", {"dense": 10}]
    values = {
        "data": {"mnist": {"validation": 0}},
        "model": dense_layers,
        "optimizer": {"sgd": {"learning_rate": 0.01, "momentum": 0.9}},
    }
    config = parse_config(values)
    experiment = build(config)
    training = experiment.config.training
    start = init_train_state(experiment.network, experiment.optimizer, (28, 28, 1), seed=0)
    session = Session(Opened(Path("benchmark"), config, experiment, start, []))
    reports = fit(
        *experiment[2:],
        experiment.dataset,
        batch_size=training.batch_size,
        epochs=10**4,
        chunk_steps=training.chunk_steps,
        statistics_steps=training.statistics_steps,
    )

    def without() -> float:
        started = time.perf_counter()
        first = next(reports).epoch
        while next(reports).epoch < round(first) + epochs:
            pass
        return time.perf_counter() - started

    def within() -> float:
        started = time.perf_counter()
        session.call(session.epoch, epochs).result()
        while session.running:
            time.sleep(0.002)
        return time.perf_counter() - started

    try:
        with serve(session, listen()) as address:
            for case, clients in (("nobody looks", 0), ("ten clients, one deaf", 10)):
                within(), without()  # warms up, and compiles
                times = []
                for _ in range(pairs):
                    with _connected(address, clients):
                        while session.clients < clients:
                            time.sleep(0.01)
                        ours = within()
                    times.append((ours, without()))
                yield compared("lab", case, "without the lab", times)
    finally:
        session.close()


@contextmanager
def _connected(address: str, clients: int) -> Iterator[None]:
    """Clients of the lab in a process of their own: they are connected, and do not draw."""
    if not clients:
        yield
        return
    script = Path(__file__).parents[1] / "peers" / "lab_clients.py"
    command = [sys.executable, str(script), address, str(clients)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # all are there
            yield
        finally:
            process.kill()
