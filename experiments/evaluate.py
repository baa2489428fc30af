"""Evaluates a trained network on a split of its data set: a report, JSON and pictures.

python experiments/evaluate.py runs/mnist_mlp-20260101-120000 --split validation
"""

import argparse
import json
import textwrap
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxnn import cli
from jaxnn.data.dataset import SPLITS
from jaxnn.errors import printable
from jaxnn.files import write_text
from jaxnn.metrics import confusions, evaluation
from jaxnn.plots import evaluation_pictures, save
from jaxnn.runs import evaluate, load_run

MOST_SHOWN = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory; the results are written there")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default test")
    parser.add_argument(
        "--top",
        type=int,
        default=3,
        metavar="K",
        help="also print how often the class is among the K most probable ones (default 3)",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on although the data, or the model's file, are not those of the training",
    )
    arguments = parser.parse_args()
    if arguments.top < 1:
        parser.error("--top must be at least 1")
    run = load_run(arguments.run, allow_changes=arguments.allow_changes)
    split = arguments.split
    result = evaluate(run.experiment, run.params, run.state, split)
    examples = getattr(run.dataset, split)
    probabilities = run.predict(examples.inputs, stored=True)
    report = evaluation(probabilities, examples.targets, run.classes, top=arguments.top)
    report = {"run": str(run.path), "split": split, "loss": result.loss} | report

    print(
        f"{split}: accuracy {result.accuracy:.2%}, loss {result.loss:.4f} "
        f"({result.examples} examples)"
    )
    show(report)
    path = run.path / f"evaluation-{split}.json"
    write_text(path, json.dumps(report, indent=2) + "\n")
    print(f"\nwritten: {path}")
    for name, picture in evaluation_pictures(run.dataset, split, probabilities).items():
        path = run.path / "plots" / f"{name}-{split}.png"
        save(picture, path)
        print(f"         {path}")


def show(report: dict[str, Any]) -> None:
    figures = {f"top-{k}": share for k, share in report["top_accuracy"].items() if k != "1"} | {
        "balanced accuracy": report["balanced_accuracy"],
        "macro F1": report["macro_f1"],
        "calibration error": report["calibration_error"],
    }
    print(", ".join(f"{name} {share:.2%}" for name, share in figures.items()))
    output = Console(highlight=False, markup=False, emoji=False)

    table = Table("class", box=None, pad_edge=False, header_style="bold")
    for name in ("precision", "recall", "F1", "examples"):
        table.add_column(name, justify="right")
    for row in report["classes"]:
        shares = [percent(row[key]) for key in ("precision", "recall", "f1")]
        table.add_row(printable(row["name"]), *shares, f"{row['support']:,}")
    output.print("", table, sep="\n")

    names = [printable(row["name"]) for row in report["classes"]]
    counts = confusions(np.array(report["confusion"]), MOST_SHOWN)
    if not counts:
        return
    output.print("\nmost often taken for another class", style="bold")
    pairs = (f"{names[i]} as {names[j]}: {n:,}".replace(" ", "\xa0") for i, j, n in counts)
    print(textwrap.fill(", ".join(pairs), output.width))

    output.print("\nmost confident mistakes", style="bold")
    table = Table("example", box=None, pad_edge=False, header_style="bold")
    for name in ("predicted", "class"):
        table.add_column(name)
        table.add_column("with", justify="right")
    for row in report["mistakes"][:MOST_SHOWN]:
        table.add_row(
            str(row["example"]),
            printable(row["prediction"]),
            f"{row['probability']:.2%}",
            printable(row["target"]),
            f"{row['target_probability']:.2%}",
        )
    output.print(table)


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


if __name__ == "__main__":
    cli.run(main)
