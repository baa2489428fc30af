"""Trains the rows of RESULTS.md's table of accuracies again, and says which still hold.

    python experiments/reproduce.py digits_mlp plane_spiral
    python experiments/reproduce.py --list

A row holds if the mean over its seeds lies between the lowest and the highest figure of the table;
those of each seed are compared, too. Each seed has a run directory in runs/reproduce. What was
interrupted is taken up there by the same command, and what has ended is not trained again, unless
the code, the config or JAX are others since. Exit status 1: a row does not hold, or was not run.

The rows are kept in experiments/results.yaml, from which the table is written: by --accept with
the figures found, which become those of the row, or by --table as they are.
"""

import argparse
import difflib
import hashlib
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

import jaxnn
from jaxnn import cli
from jaxnn.config import Config, load_config
from jaxnn.errors import DataError, JaxnnError
from jaxnn.files import write_text
from jaxnn.metrics import balanced_accuracy, confusion_matrix
from jaxnn.observe import console
from jaxnn.runs import CONFIG, SUMMARY, Run, StoppedError, load_run, resume, train
from jaxnn.training import DivergedError

HERE = Path(__file__).resolve().parent
CONFIGS, ROWS, RESULTS = HERE.parent / "configs", HERE / "results.yaml", HERE / "RESULTS.md"
FOLDER = Path("runs") / "reproduce"
BEGIN, END = "<!-- from results.yaml, by reproduce.py: -->", "<!-- end of it -->"


class Metric(NamedTuple):
    """How a figure is written: a name before it, a unit behind it, and so many decimals."""

    name: str
    unit: str
    decimals: int


METRICS = {
    "test_accuracy": Metric("", " %", 2),
    "balanced_accuracy": Metric("balanced ", " %", 2),
    "best_accuracy": Metric("best epoch, on validation images: ", " %", 2),
    "test_r2": Metric("R² ", "", 3),
}


class Row(BaseModel):
    """A row of the table; see results.yaml. ``seconds`` and figures: none are measured yet."""

    model_config = ConfigDict(extra="forbid")

    what: str
    seeds: list[int]
    figures: dict[str, list[float]]
    settings: list[str] = []
    seconds: float | None = None
    machine: str = ""
    published: str = ""
    data: str = ""

    @model_validator(mode="after")
    def _check(self) -> "Row":
        if not self.seeds or not self.figures:
            raise ValueError("at least one seed and one metric are needed")
        for metric, values in self.figures.items():
            if metric not in METRICS:
                raise ValueError(f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}")
            if len(values) not in (0, len(self.seeds)):
                raise ValueError(f"{metric}: {len(values)} figures for {len(self.seeds)} seeds")
        return self

    def overrides(self, seed: object) -> list[str]:
        """The changes to the config for a seed."""
        return [f"seed={seed}", *(text.format(seed=seed) for text in self.settings)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which rows; by default, all")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="only list them, with the time expected")
    what.add_argument(
        "--accept", action="store_true", help="write what is found to results.yaml and RESULTS.md"
    )
    what.add_argument(
        "--table", action="store_true", help="only write RESULTS.md's table from results.yaml"
    )
    arguments = parser.parse_args()
    known = read_rows(ROWS)
    rows = chosen(known, arguments.rows)
    if arguments.table:
        write_text(RESULTS, with_table(RESULTS.read_text(encoding="utf-8"), known))
    elif arguments.list:
        list_rows(rows)
    elif failed := [name for name, row in rows.items() if not again(name, row, arguments.accept)]:
        raise SystemExit(f"does not hold, or was not run: {', '.join(failed)}")


def read_rows(path: Path) -> dict[str, Row]:
    """Reads results.yaml; an error names the row."""
    rows = {}
    for name, values in YAML(typ="safe").load(path.read_text(encoding="utf-8")).items():
        try:
            rows[name] = Row.model_validate(values)
        except ValidationError as error:
            raise JaxnnError(f"{path}: {name}: {error}") from error
    return rows


def chosen(known: Mapping[str, Row], names: Sequence[str]) -> Mapping[str, Row]:
    """The rows of these names; all, if there are none."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise JaxnnError(f"there is no row {name!r}; {hint}rows: {', '.join(known)}")
    return {name: known[name] for name in names or known}


def list_rows(rows: Mapping[str, Row]) -> None:
    table = Table("row", "seeds", "training", "data", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for name, row in rows.items():
        table.add_row(name, seeds(row), lasting(row), row.data)
    Console(highlight=False, markup=False, emoji=False).print(table)
    total = sum((row.seconds or 0) * len(row.seeds) for row in rows.values())
    unknown = [name for name, row in rows.items() if row.seconds is None]
    more = f", and those not measured yet: {', '.join(unknown)}" if unknown else ""
    print(f"{total / 60:.0f} minutes of training in all, compilation not counted{more}")


def lasting(row: Row) -> str:
    """The seconds that training a row takes: of all its seeds."""
    if row.seconds is None:
        return "not known"
    each = duration(row.seconds)
    return f"{len(row.seeds)} × {each}" if len(row.seeds) > 1 else each


def again(name: str, row: Row, accept: bool) -> bool:
    """Trains a row again, and says whether it holds."""
    found: dict[str, list[float]] = {metric: [] for metric in row.figures}
    seconds = []
    for number, seed in enumerate(row.seeds, 1):
        print(f"{name}, seed {seed}: {number} of {len(row.seeds)}, {lasting(row)}", flush=True)
        config = load_config(CONFIGS / f"{name}.yaml", row.overrides(seed))
        try:
            run = trained(config, FOLDER / f"{name}-{seed}-{digest(config)}")
            for metric, values in found.items():
                values.append(figure(run, metric))
        except DataError as error:
            print(f"{name}: not run, for its data are missing: {error}")
            if row.data:
                print(f"It needs {row.data}")
            return False
        except DivergedError as error:
            print(f"{name}: {error}")
            return False
        except StoppedError as error:
            raise StoppedError(f"{error}\nor repeat this command", error.signal) from error
        seconds.append(run.summary["train_seconds"])
    new = row.model_copy(
        update={"figures": found, "machine": machine(), "seconds": rounded(seconds)}
    )
    holds = [compared(name, row, new, metric) for metric in found]
    print(f"  {duration(rounded(seconds))} of training for each, on {new.machine}")
    if accept:
        keep(name, new)
    return all(holds)


def trained(config: Config, path: Path) -> Run:
    """The run of a config in a directory: read back, taken up, or trained from the start."""
    if (path / SUMMARY).exists():
        print(f"  trained before: {path}")
        return load_run(path)
    with console(config.training.epochs) as show:
        if (path / CONFIG).exists():
            return resume(path, consumers=[show])
        return train(config, path, [show])


def digest(config: Config) -> str:
    """Stands for all that a training's outcome depends on: code, config and JAX."""
    found = hashlib.sha256(f"{jax.__version__}\n{config.to_yaml()}".encode())
    package = Path(jaxnn.__file__).parent
    for file in sorted(package.rglob("*.py")):
        if file.relative_to(package).parts[0] not in ("plots", "web"):  # which only look on
            found.update(file.read_bytes())
    return found.hexdigest()[:8]


def figure(run: Run, metric: str) -> float:
    """A run's figure, as the table has it."""
    if metric == "balanced_accuracy":
        test = run.dataset.test
        value = balanced_accuracy(
            confusion_matrix(run.predict(test.inputs, stored=True), np.asarray(test.targets))
        )
    elif metric == "best_accuracy":
        value = run.summary["best"]["accuracy"]
    else:
        value = run.summary[metric]
    form = METRICS[metric]
    return round(value * (100 if form.unit else 1), form.decimals)


def compared(name: str, row: Row, new: Row, metric: str) -> bool:
    """Prints a row's figures, those of the table and those found; whether the row holds."""
    stated, found = row.figures[metric], new.figures[metric]
    print(f"{name}: {figures(new)}" if len(row.figures) == 1 else f"{name}, {written(new, metric)}")
    if not stated:
        print("  was not measured before")
        return True
    mean = round(statistics.fmean(found), METRICS[metric].decimals)
    holds = min(stated) <= mean <= max(stated)
    print(f"  {'holds' if holds else 'DOES NOT HOLD'}; the table: {written(row, metric)}")
    others = [
        f"seed {seed}: {old} then, {now} now"
        for seed, old, now in zip(row.seeds, stated, found, strict=True)
        if old != now
    ]
    print("\n".join(f"  {line}" for line in others) or "  the same with every seed")
    return holds


def machine() -> str:
    """What this is: processor, cores or device, and JAX."""
    device = jax.devices()[0]
    cores = f"{os.cpu_count()} cores, {processor()}"
    kind = cores if device.platform == "cpu" else device.device_kind
    return f"{kind}, JAX {jax.__version__}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keep(name: str, row: Row) -> None:
    """Writes what was found of a row to results.yaml, whose other comments stay, and the table."""
    yaml = YAML()
    yaml.width = 10_000  # no line is broken
    values = yaml.load(ROWS.read_text(encoding="utf-8"))
    kept = values[name]["figures"]
    for metric, found in row.figures.items():
        kept[metric] = CommentedSeq(found)
        kept[metric].fa.set_flow_style()
        kept.ca.items.pop(metric, None)  # what was said of the figures before
    values[name]["seconds"], values[name]["machine"] = row.seconds, row.machine
    text = StringIO()
    yaml.dump(values, text)
    write_text(ROWS, text.getvalue())
    write_text(RESULTS, with_table(RESULTS.read_text(encoding="utf-8"), read_rows(ROWS)))
    print(f"  written to {ROWS} and {RESULTS}")


def with_table(text: str, rows: Mapping[str, Row]) -> str:
    """RESULTS.md with the table of these rows."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise JaxnnError(f"{RESULTS}: a line {BEGIN}, and after it {END}, are needed")
    return f"{before}{begin}\n\n{markdown(rows)}\n{end}{after}"


def markdown(rows: Mapping[str, Row]) -> str:
    """The table, in Markdown."""
    head = ("config", "", "`python experiments/`", "seeds", "test", "seconds", "machine")
    lines: list[Sequence[str]] = [(*head, "published"), ["---"] * (len(head) + 1)]
    for name, row in rows.items():
        command = f"`train.py configs/{name}.yaml {' '.join(row.overrides('S'))}`"
        time = "" if row.seconds is None else duration(row.seconds)
        cells = (f"`{name}`", row.what, command, seeds(row), figures(row), time)
        lines.append((*cells, row.machine, row.published))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def figures(row: Row) -> str:
    return "; ".join(written(row, metric) for metric in row.figures)


def written(row: Row, metric: str) -> str:
    """A metric's mean over the seeds, with the lowest and the highest."""
    (name, unit, decimals), values = METRICS[metric], row.figures[metric]
    if not values:
        return f"{name}not measured yet"
    mean, *ends = (
        f"{x:.{decimals}f}" for x in (statistics.fmean(values), min(values), max(values))
    )
    return f"{name}{mean}{unit}" + (f" ({'–'.join(ends)})" if len(values) > 1 else "")


def seeds(row: Row) -> str:
    first, last = row.seeds[0], row.seeds[-1]
    if len(row.seeds) > 1 and row.seeds == list(range(first, last + 1)):
        return f"{first}–{last}"
    return ", ".join(map(str, row.seeds))


def rounded(seconds: Sequence[float]) -> float:
    """The mean, to two figures, or from 100 on to whole seconds."""
    mean = statistics.fmean(seconds)
    return float(f"{mean:.2g}" if mean < 100 else round(mean))


def duration(seconds: float) -> str:
    return f"{seconds:g} s"


if __name__ == "__main__":
    cli.run(main)
