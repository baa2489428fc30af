"""The memory that training takes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.conv import NETWORKS, make_problem, ours
from benchmarks.measuring import Row, needing


def measure(pairs: int) -> Iterator[Row]:
    """The most memory that a process holds while it trains the networks, libraries and all."""
    for case in NETWORKS:
        for who in ("jaxnn", "PyTorch, channels last"):
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                value = pool.submit(_peak_memory, case, who).result()
            yield {"benchmark": "memory", "case": f"{case}: {who}", "unit": "MiB", "value": value}


def _peak_memory(case: str, who: str) -> float:
    """In MiB, after a warm-up, so that compilation does not count; Linux only."""
    with needing("bench"):
        from peers import pytorch_conv

    network, in_shape, layers = NETWORKS[case]
    problem = make_problem(network, in_shape, layers)
    run = ours(problem, network) if who == "jaxnn" else pytorch_conv.eager(problem)
    run()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    run()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
