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
from jaxnn.metrics import confusions, evaluation, label_evaluation, number_evaluation
from jaxnn.plots import evaluation_pictures, save
from jaxnn.runs import evaluate, load_run
from jaxnn.tasks import multilabel, regression, written

MOST_SHOWN = 10
MOST_NAMED = 4


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
        help="of classes, also print how often the right one is among the K most probable ones "
        "(default 3)",
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
    dataset, examples = run.dataset, getattr(run.dataset, split)
    predictions = run.predict(examples.inputs, stored=True)
    if dataset.task is regression:
        values = dataset.target_values(examples.targets).reshape(len(predictions), -1)
        names = dataset.targets or [str(k) for k in range(values.shape[1])]
        together = len(dataset.out_shape) > 1
        report = number_evaluation(
            predictions.reshape(values.shape), values, names, together=together
        )
        show = show_numbers
    elif dataset.task is multilabel:
        report = label_evaluation(predictions, examples.targets, run.classes)
        show = show_labels
    else:
        report = evaluation(predictions, examples.targets, run.classes, top=arguments.top)
        show = show_classes
    report = {"run": str(run.path), "split": split, "loss": result.loss} | report

    views = run.known.views
    seen = f", each in {views} views" if views > 1 and split != "train" else ""
    print(
        f"{split}: {dataset.task.told(result.metrics)}, loss {result.loss:.4f} "
        f"({result.examples} examples{seen})"
    )
    show(report)
    path = run.path / f"evaluation-{split}.json"
    write_text(path, json.dumps(report, indent=2) + "\n")
    print(f"\nwritten: {path}")
    for name, picture in evaluation_pictures(dataset, split, predictions).items():
        path = run.path / "plots" / f"{name}-{split}.png"
        save(picture, path)
        print(f"         {path}")


def show_numbers(report: dict[str, Any]) -> None:
    output = Console(highlight=False, markup=False, emoji=False)
    many = len(report["targets"]) > MOST_SHOWN  # such as the pixels of an image
    if len(report["targets"]) > 1 and not many:
        table = headed("target", "RMSE", "MAE", "R²")
        for row in report["targets"]:
            figures = (written(key, row[key]) for key in ("rmse", "mae", "r2"))
            table.add_row(printable(row["name"]), *figures)
        output.print("", table, sep="\n")
    output.print("\nlargest errors", style="bold")
    table = headed("example", *(["RMSE"] if many else ["predicted", "target", "error"]))
    for row in report["errors"][:MOST_SHOWN]:
        if many:
            errors = np.subtract(row["prediction"], row["target"])
            table.add_row(str(row["example"]), f"{np.sqrt(np.mean(errors**2)):.4g}")
            continue
        several = zip(row["prediction"][:MOST_NAMED], row["target"][:MOST_NAMED], strict=True)
        cells = zip(*((f"{y:.6g}", f"{t:.6g}", f"{y - t:+.4g}") for y, t in several), strict=True)
        table.add_row(str(row["example"]), *map(", ".join, cells))
    output.print(table)


def show_labels(report: dict[str, Any]) -> None:
    print(f"all labels right {report['exact']:.2%}")
    table = headed("label", "accuracy", "precision", "recall", "F1", "examples")
    for row in report["labels"]:
        shares = [percent(row[key]) for key in ("accuracy", "precision", "recall", "f1")]
        table.add_row(printable(row["name"]), *shares, f"{row['support']:,}")
    Console(highlight=False, markup=False, emoji=False).print("", table, sep="\n")


def headed(first: str, *others: str) -> Table:
    """A table without lines, of names and numbers."""
    table = Table(first, box=None, pad_edge=False, header_style="bold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def show_classes(report: dict[str, Any]) -> None:
    figures = {f"top-{k}": share for k, share in report["top_accuracy"].items() if k != "1"} | {
        "balanced accuracy": report["balanced_accuracy"],
        "macro F1": report["macro_f1"],
        "calibration error": report["calibration_error"],
    }
    print(", ".join(f"{name} {share:.2%}" for name, share in figures.items()))
    output = Console(highlight=False, markup=False, emoji=False)

    table = headed("class", "precision", "recall", "F1", "examples")
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
