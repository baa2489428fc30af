"""Predicts how long a training step takes on several devices, and what becomes of it on many.

    python experiments/scaling.py --plot scaling.png

A few constants of this machine are measured: the rate of matrix products, in steps of square layers
of four sizes, the bandwidths of caches and memory, what it costs to begin a product, and the
latency and the bandwidth of an all-reduce. From them and the network follows the time of a step,
which is printed beside what the clock says. With published figures instead, the same model says
what 8, 64 and 1,024 GPUs would do.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator
from typing import Any

import jax
from cost_model import cluster, local
from cost_model.picture import scaling_picture
from cost_model.workers import team

from jaxnn import cli
from jaxnn.errors import JaxnnError, writing
from jaxnn.files import user_path, write_whole
from jaxnn.plots import save

CASES = ("784-1024-1024-10:2048", "784-512-512-10:512", "784-256-256-10:256", "784-128-10:64")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        type=case,
        default=[case(text) for text in CASES],
        metavar="UNITS:BATCH",
        help="networks to predict on this machine, of its two first cores "
        f"(default {' '.join(CASES)})",
    )
    parser.add_argument("--gpus-only", action="store_true", help="measure nothing on this machine")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="that a reading lasts, about (default 0.5)"
    )
    parser.add_argument(
        "--repeats", type=int, default=7, help="readings, whose median counts (default 7)"
    )
    parser.add_argument("--json", metavar="FILE", type=user_path, help="also write the figures")
    parser.add_argument("--plot", metavar="FILE", type=user_path, help="also draw them (PNG)")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or not arguments.seconds > 0:
        parser.error("--repeats must be at least 1, and --seconds more than 0")
    timing = local.Timing(arguments.seconds, arguments.repeats)
    found: dict[str, Any] = {"constants": [], "local": []}
    if not arguments.gpus_only:
        print(f"{platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__}")
        for constants, rows in on_this_machine(arguments.cases, timing):
            found["constants"].append(constants)
            found["local"] += rows
        print()
    projections = show_gpus(found)
    if arguments.json:
        with writing(arguments.json), write_whole(arguments.json) as file:
            file.write((json.dumps(found, indent=2) + "\n").encode())
    if arguments.plot:
        save(scaling_picture(found["local"], projections), arguments.plot)


def case(text: str) -> tuple[tuple[int, ...], int]:
    units, _, batch = text.partition(":")
    try:
        sizes = tuple(map(int, units.split("-")))
        if len(sizes) < 2 or min(*sizes, int(batch)) < 1 or int(batch) % 2:
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected units and an even batch, such as {CASES[-1]}"
        ) from error
    return sizes, int(batch)


def on_this_machine(
    cases: list[tuple[tuple[int, ...], int]], timing: local.Timing
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yields, for each layout of processes, its constants and the cases; prints them."""
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(available) < 2:
        raise JaxnnError(
            "processes are given cores of their own, which needs Linux and two cores: "
            "--gpus-only says what GPUs would do"
        )
    for name, cores in local.layouts(available).items():
        with team(cores) as call:
            device, links = local.constants(call, len(cores), timing)
            squares = ", ".join(map(str, local.SQUARES))
            rates = ", ".join(f"{rate / 1e9:.0f}" for rate in device.rates.values())
            moved = ", ".join(f"{rate / 1e9:.1f}" for rate in device.bandwidths.values())
            print(
                f"\n{name}: {rates} GFLOP/s (layers of {squares} units), "
                f"{moved} GB/s (caches, memory), {1e6 * device.begin:.1f} µs a product"
            )
            if links is not None:
                print(
                    f"all-reduce: {1e6 * links.latency:.0f} µs a message, "
                    f"{links.bandwidth / 1e9:.2f} GB/s"
                )
            print(f"{'units, batch':<32}{'predicted ms':>14}{'measured ms':>14}{'ratio':>8}")
            rows = []
            for sizes, batch in cases:
                one = local.Case(sizes, batch, name)
                expected = local.predicted(one, len(cores), device, links)
                seconds = local.measured(one, call, timing)
                text = f"{'-'.join(map(str, sizes))}, {batch:,}"
                print(
                    f"{text:<32}{1e3 * expected:>14.3f}{1e3 * seconds:>14.3f}"
                    f"{expected / seconds:>8.2f}",
                    flush=True,
                )
                rows.append(
                    {"case": text, "layout": name, "predicted": expected, "measured": seconds}
                )
        constants = {"layout": name, **device._asdict(), "links": links and links._asdict()}
        yield constants, rows


def show_gpus(found: dict[str, Any]) -> list[cluster.Projection]:
    """Prints and enters what the model says of GPUs."""
    print("GPUs, predicted\n" + cluster.ASSUMPTIONS)
    print(
        "\nown: each GPU has as many examples as one alone; batch: all GPUs share them. In percent:"
        "\nefficiency, one GPU alone being 100 %. *: more than a GPU's memory"
    )
    print(
        f"\n{'network':<22}{'parameters':<18}{'GPUs':>6}{'GB':>9}{'own: ms':>13}{'':>6}"
        f"{'batch: ms':>12}"
    )
    projections = list(cluster.projections())
    for p in projections:
        print(
            f"{p.name:<22}{p.kept:<18}{p.devices:>6,}{p.gigabytes:>8.2f}{' *'[not p.fits]}"
            f"{1e3 * p.own_seconds:>11.3f} {p.own_efficiency:>6.0%}"
            f"{1e3 * p.batch_seconds:>11.3f} {p.batch_efficiency:>6.0%}"
        )
    print()
    found["gpus"] = [p._asdict() for p in projections]
    found["limits"] = []
    for load in cluster.WORKLOADS:
        limits = cluster.limits(load)
        found["limits"].append(limits)
        print(
            f"{load.name}, replicated: a batch of {load.batch:,} keeps half of the efficiency up "
            f"to {limits['half']:,} GPUs, and is fastest on {limits['fastest']:,}"
        )
    return projections


if __name__ == "__main__":
    cli.run(main)
