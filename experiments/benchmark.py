"""Times jaxnn beside other programs that do the same work.

    python experiments/benchmark.py mlp --json mlp.json

Both train the same network from the same initial weights, with the same batches in the same order
and in the same precision. They take turns, after a warm-up that includes compilation. A ratio is
the other program's time over jaxnn's, the median over these pairs: above 1, jaxnn is faster.
"""

import argparse
import json
import os
import platform
from pathlib import Path

import jax
from benchmarks import BENCHMARKS

from jaxnn import cli
from jaxnn.errors import JaxnnError


def main() -> None:
    lines = {name: (run.__doc__ or "").splitlines()[0] for name, run in BENCHMARKS.items()}
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="benchmarks:\n" + "\n".join(f"  {name:<10}{line}" for name, line in lines.items()),
    )
    parser.add_argument("name", choices=BENCHMARKS, help="which benchmark")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--pairs", type=int, default=9, help="repetitions of each (default 9)")
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error("--pairs must be at least 1")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, "
        f"JAX {jax.__version__}, medians of {arguments.pairs} pairs or a third of it"
    )
    print(f"{'case':<52}{'peer':<24}{'ours s':>9}{'peer s':>9}{'ratio':>8}")
    rows = []
    for row in BENCHMARKS[arguments.name](arguments.pairs):
        rows.append(row)
        if "value" in row:
            print(f"{row['case']:<52}{row['unit']:<12}{row['value']:>9.3g}", flush=True)
            continue
        print(
            f"{row['case']:<52}{row['peer']:<24}{row['ours_seconds']:>9.4f}"
            f"{row['peer_seconds']:>9.4f}{row['ratio']:>8.2f}",
            flush=True,
        )
    if arguments.json:
        try:
            Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n")
        except OSError as error:
            raise JaxnnError(f"{arguments.json}: cannot write: {error.strerror}") from error


if __name__ == "__main__":
    cli.run(main)
