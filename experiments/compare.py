"""Compares runs: what differs in their configs, results over seeds, and their curves.

python experiments/compare.py                                   # lists the runs below runs/
python experiments/compare.py runs/wide-* runs/narrow-* --output wide-or-narrow.png
"""

import argparse
import string
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxnn import cli
from jaxnn.errors import RunError, warn
from jaxnn.plots import compared_curves, save
from jaxnn.runs import (
    DATA,
    Record,
    config_differences,
    data_changes,
    group_by_config,
    list_runs,
    read_record,
    spread,
)
from jaxnn.tasks import METRICS, classification

WIDE = 200  # for output that is not a terminal: lines are not broken there


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="run directories to compare; without any, all runs are listed",
    )
    parser.add_argument(
        "--output",
        default="compare.png",
        metavar="FILE.png",
        help="where to write the picture of the curves (default compare.png)",
    )
    parser.add_argument(
        "--x",
        choices=("epochs", "seconds"),
        default="epochs",
        help="what the curves are drawn over (default epochs)",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="compare runs of one data set that were trained on different contents of it, too",
    )
    arguments = parser.parse_args()
    output = Console(highlight=False, markup=False, emoji=False)
    if not output.is_terminal:
        output.width = WIDE
    if not arguments.runs:
        list_all(output)
        return
    records = [read_record(path) for path in dict.fromkeys(arguments.runs)]
    for record in records:
        if record.problem:
            print(f"{record.path}: {record.problem}")
    if changed := data_changes(records):
        text = "the data have changed between these runs:" + "".join(f"\n{x}" for x in changed)
        if not arguments.allow_changes:
            raise RunError(f"{text}\nTo compare them all the same, add --allow-changes")
        print(text)
    unknown = [str(record.path) for record in records if record.config and not record.data]
    if unknown and len(records) > 1:
        warn(
            f"whether these had the same data is not known, for they have no {DATA}: "
            f"{', '.join(unknown)}"
        )
    groups = group_by_config(records)
    if not groups:
        raise RunError("there is nothing to compare: none of these is a run that can be read")
    named = dict(zip(letters(len(groups)), groups, strict=True))
    compare(named, output)
    curves, kinds = {}, {}
    for letter, group in named.items():
        if readable := [record.metrics for record in group if record.metrics]:
            name = f"{letter}  {group[0].path.name}{', …' if len(group) > 1 else ''}"
            curves[name], kinds[name] = readable, kind(group[0])
    if curves:
        save(compared_curves(curves, kinds, x=arguments.x), arguments.output)
        print(f"\ncurves: {arguments.output}")


def list_all(output: Console) -> None:
    records = list_runs()
    if not records:
        print("no runs below runs/; experiments/train.py makes one")
        return
    table = headed("run", "started", judged(records), "test loss", "epochs", "seconds", "")
    table.columns[1].no_wrap = True
    for record in records:
        started = f"{record.started:%Y-%m-%d %H:%M}" if record.started else "–"
        row = results([record])
        table.add_row(record.path.name, started, *row[:2], *row[3:], record.problem)
    output.print(table)


def compare(groups: Mapping[str, Sequence[Record]], output: Console) -> None:
    head = judged([record for group in groups.values() for record in group])
    table = headed("", "run", "seed", head, "test loss", "validation", "epochs", "seconds")
    for letter, group in groups.items():
        if len(group) > 1:
            table.add_row(letter, f"{len(group)} runs", "", *results(group), style="bold")
        for record in group:
            seed = str(record.config.seed) if record.config else ""
            label = "" if len(group) > 1 else letter
            table.add_row(label, record.path.name, seed, *results([record]))
    output.print("", table, sep="\n")

    configs = [group[0].config for group in groups.values() if group[0].config]
    for key, values in config_differences(configs).items():
        output.print(f"\n{key}", style="bold")
        for i, value in enumerate(values):
            if values.index(value) == i:
                alike = [x for x, other in zip(groups, values, strict=True) if other == value]
                output.print(f"  {' '.join(alike)}: {short(value)}")
    if len(groups) == 1 and len(configs) == 1:
        print("\nthe configs differ only in seed and name")


def kind(record: Record) -> tuple[str, str]:
    """The data set and the loss of a run: what its numbers can be compared with others in."""
    assert record.config is not None
    data, loss = record.config.data, record.config.loss
    path = data.arguments.get("path")
    return f"{data.name} {path}" if path else data.name, short(loss.plain())


def judged(records: Sequence[Record]) -> str:
    """What the column of results is called: its entries say what they are if some are others."""
    others = any(record.task is not classification for record in records)
    return "test" if others else "test accuracy"


def results(group: Sequence[Record]) -> list[str]:
    """Test metric and loss, validation metric, epochs and seconds of runs with one config."""
    metric = group[0].task.headline
    share, label = METRICS[metric][1].endswith("%"), METRICS[metric][0]
    form = ("{:.2f}", 100, " %") if share else ("{:.4f}",)

    def numbers(key: str, *others: str) -> list[float]:
        return [record.result(key, *others) for record in group]

    def text(values: list[float]) -> str:
        value = shown(values, *form)
        return value if metric == "accuracy" or value == "–" else f"{label} {value}"

    return [
        text(numbers(f"test_{metric}")),
        shown(numbers("test_loss"), "{:.4f}"),
        text(numbers(f"validation_{metric}")),
        shown(numbers("epochs", "epoch"), "{:.3g}"),
        shown(numbers("train_seconds"), "{:.1f}"),
    ]


def shown(values: Sequence[float], form: str, factor: float = 1, unit: str = "") -> str:
    """The mean of numbers, of several with the standard deviation; how many, if not all."""
    mean, deviation, number = spread([factor * value for value in values])
    if not number:
        return "–"
    text = form.format(mean)
    if number > 1 and len(set(values)) > 1:
        text += f" ± {form.format(deviation)}"
    return text + unit + (f" ({number})" if number < len(values) else "")


def short(value: Any) -> str:
    """A value of a config in few words: of a layer the first argument only."""
    if isinstance(value, list):
        return "[" + ", ".join(map(short, value)) + "]"
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        if isinstance(arguments, dict) and arguments:
            arguments = next(iter(arguments.values()))
        return f"{name}: {short(arguments)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {short(item)}" for key, item in value.items()) + "}"
    return "–" if value is None else str(value)


def letters(count: int) -> list[str]:
    """A, B, …, Z, and then numbers."""
    alphabet = string.ascii_uppercase
    return [alphabet[i] if i < len(alphabet) else str(i + 1) for i in range(count)]


def headed(*columns: str) -> Table:
    """A table without lines; all columns but those of words are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        words = column in ("", "run", "started")
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    return table


if __name__ == "__main__":
    cli.run(main)
