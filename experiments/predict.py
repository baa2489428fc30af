"""Predicts with a trained network, which needs its run directory and not its data.

    python experiments/predict.py runs/mnist_mlp-20260101-120000 seven.jpg --show seen.png
    python experiments/predict.py runs/houses-20260101-120000 new.csv --output priced.csv

Of image files (PNG, JPEG and others, of any size), each is prepared as the examples of the data set
were. In a picture of a handwritten digit, dark on light or light on dark, the digit is cut out,
scaled and centred.

Of a table, what is predicted is written into another one, beside the rows. Columns are found by
their names, in whatever order; others may be there, too.
"""

import argparse
import csv
import io
import json
from pathlib import Path

import numpy as np

from jaxnn import cli
from jaxnn.data import prepare, read_image
from jaxnn.data.columns import columns_of
from jaxnn.data.download import find_data
from jaxnn.data.sources.tables import read_table
from jaxnn.errors import DataError, JaxnnError, printable
from jaxnn.files import write_text
from jaxnn.plots import contact_sheet, save
from jaxnn.prediction import UNSURE
from jaxnn.runs import Run, load_run
from jaxnn.tasks import classification, multilabel

BAR = 30
SEEN = "the inputs of the network, and its predictions"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory")
    parser.add_argument("files", nargs="+", metavar="FILE", help="an image file or a table (CSV)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.csv",
        help="where to write the table (default: TABLE-predicted.csv beside it); nothing that is "
        "there is overwritten",
    )
    parser.add_argument(
        "--delimiter",
        metavar="SIGN",
        help="what separates the table's fields (default: as in the table that was learnt, or ,)",
    )
    parser.add_argument(
        "--top",
        type=int,
        metavar="K",
        help="print an image's K most probable classes (default 3)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, of images")
    parser.add_argument(
        "--show", metavar="FILE.png", help="draw the inputs of the network, of images"
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on although the model's file is not the one that training has written",
    )
    arguments = parser.parse_args()
    if arguments.top is not None and arguments.top < 1:
        parser.error("--top must be at least 1")
    run = load_run(arguments.run, allow_changes=arguments.allow_changes)
    of_tables = {"--output": arguments.output, "--delimiter": arguments.delimiter}
    of_images = {"--top": arguments.top, "--json": arguments.json, "--show": arguments.show}
    is_table = len(run.known.dataset.in_shape) == 1
    if wrong := [name for name, given in (of_images if is_table else of_tables).items() if given]:
        inputs = "rows of a table" if is_table else "images"
        parser.error(f"{wrong[0]}: {arguments.run} has learnt {inputs}, for which there is no such")
    if is_table:
        if arguments.output is not None and len(arguments.files) > 1:
            parser.error("--output: of several tables, each is written beside it")
        for path in arguments.files:
            predict_table(run, path, arguments.output, arguments.delimiter)
    else:
        predict_images(run, arguments)


def predict_table(run: Run, path: str, output: Path | None, delimiter: str | None) -> None:
    """Writes a table with predictions beside its rows."""
    if path == "-":
        raise JaxnnError("tables are read from files, not from the standard input: give a path")
    if delimiter is None:
        delimiter = str(run.config.data.arguments.get("delimiter", ","))
    delimiter = delimiter.replace("\\t", "\t")  # as a shell has it
    source = find_data(path)
    stem = source.name.removesuffix(".gz").removesuffix(".csv")
    output = source.with_name(f"{stem}-predicted.csv") if output is None else output
    if output.exists():
        raise JaxnnError(
            f"{output}: is there already. Name another file with --output, or remove it"
        )
    try:
        table = read_table(source, columns_of(run.known.dataset), delimiter=delimiter)
        found = run.predict(table.inputs)
    except ValueError as error:
        raise DataError(f"{path}: {str(error).removeprefix('predict: ')}") from error
    columns = answers(run, found)
    if taken := [name for name in columns if name in table.header]:
        raise DataError(f"{path}: it has a column {taken[0]!r} already. Rename it")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([*table.header, *columns])
    writer.writerows(
        [*row, *(values[i] for values in columns.values())] for i, row in enumerate(table.rows)
    )
    write_text(output, text.getvalue())
    print(printable(f"{path}: {len(table.rows):,} rows, {', '.join(columns)}: {output}"))


def answers(run: Run, found: np.ndarray) -> dict[str, list[str]]:
    """What is predicted for each example, by what it is called."""
    dataset = run.known.dataset
    if dataset.task is classification:
        best = [run.classes[k] for k in found.argmax(-1)]
        return {"predicted": best, "probability": [f"{p:.4f}" for p in found.max(-1)]}
    found = found.reshape(len(found), -1)
    if dataset.task is multilabel:
        columns = {}
        for label, p in zip(run.classes, found.T, strict=True):
            columns[f"predicted {label}"] = [str(int(x > 0.5)) for x in p]
            columns[f"probability {label}"] = [f"{x:.4f}" for x in p]
        return columns
    names = dataset.targets or dataset.features or map(str, range(found.shape[1]))
    return {
        f"predicted {name}": [f"{x:.12g}" for x in values]
        for name, values in zip(names, found.T, strict=True)
    }


def predict_images(run: Run, arguments: argparse.Namespace) -> None:
    """Prints what is predicted for images, and draws what the network sees."""
    inputs = np.stack([prepared(path, run) for path in arguments.files])
    probabilities = run.predict(inputs)
    if run.known.dataset.task is not classification:
        if arguments.top or arguments.json or arguments.show:
            raise JaxnnError("--top, --json and --show are for classes, which this run has not")
        for i, path in enumerate(arguments.files):
            print(printable(str(path)))
            for name, values in answers(run, probabilities).items():
                print(printable(f"  {name}  {values[i]}"))
        return
    order = np.argsort(-probabilities, kind="stable")[:, : arguments.top or 3]

    records = [
        {
            "image": path,
            "predictions": [{"class": run.classes[k], "probability": float(row[k])} for k in best],
            "unsure": bool(row.max() < UNSURE),
        }
        for path, row, best in zip(arguments.files, probabilities, order, strict=True)
    ]
    if arguments.json:
        print(json.dumps(records, indent=2))
    else:
        width = max(len(name) for name in run.classes)
        for path, row, best in zip(arguments.files, probabilities, order, strict=True):
            print(printable(str(path)))
            for k in best:
                name = printable(f"{run.classes[k]:<{width}}")
                print(f"  {name}  {row[k]:>7.2%}  {bar(row[k])}".rstrip())
            if row.max() < UNSURE:
                print(f"  unsure: no class has a probability of {UNSURE:.0%} or more")
    if arguments.show:
        captions = [
            (run.classes[best[0]], f"{row[best[0]]:.1%}")
            for row, best in zip(probabilities, order, strict=True)
        ]
        lowest, highest = run.kept.info.limits
        limits = (min(lowest, 0), highest)
        sheet = contact_sheet(inputs, captions, columns=8, limits=limits, heading=SEEN)
        save(sheet, arguments.show)


def prepared(path: str, run: Run) -> np.ndarray:
    """The example that an image file becomes."""
    image = read_image(Path(path))
    try:
        return prepare(image, run.known.dataset)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def bar(share: float) -> str:
    """A bar, in steps of an eighth of a letter."""
    whole, eighths = divmod(round(8 * BAR * share), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


if __name__ == "__main__":
    cli.run(main)
