"""What the benchmarks have in common: rows of figures, and the proof that a comparison is fair."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxnn.errors import JaxnnError, extra

Row = dict[str, Any]
"""A figure: benchmark and case, and either what ``compared`` says or a value and its unit."""


def compared(benchmark: str, case: str, peer: str, times: list[tuple[float, float]]) -> Row:
    """Returns the row of pairs of seconds, ours and the peer's: their medians."""
    return {
        "benchmark": benchmark,
        "case": case,
        "peer": peer,
        "ours_seconds": statistics.median(a for a, _ in times),
        "peer_seconds": statistics.median(b for _, b in times),
        "ratio": statistics.median(b / a for a, b in times),
    }


def check_same(
    what: str, start: Sequence[np.ndarray], ours: Sequence[np.ndarray], peers: Sequence[np.ndarray]
) -> None:
    """Raises unless both moved the weights to the same place, but for rounding on the way."""
    for w0, w1, w2 in zip(start, ours, peers, strict=True):
        difference = np.linalg.norm(w2 - w1) / np.linalg.norm(w1 - w0)
        if not difference < 0.05:
            raise JaxnnError(f"{what} trains something else: weights differ by {difference:.1%}")


@contextmanager
def needing(name: str) -> Iterator[None]:
    """Names the extra to install where an import within fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise JaxnnError(f"the benchmark needs {error.name}: {extra(name)}") from error
