"""Classifies image files with a trained network: PNG, JPEG and others, of any size.

python experiments/predict.py runs/mnist_mlp-20260101-120000 seven.jpg --show seen.png

Each image is prepared as the examples of the data set were. In a picture of a handwritten digit,
dark on light or light on dark, the digit is cut out, scaled and centred. The data set itself is not
needed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from jaxnn import cli
from jaxnn.data import prepare, read_image
from jaxnn.errors import DataError, printable
from jaxnn.plots import contact_sheet, save
from jaxnn.prediction import UNSURE
from jaxnn.runs import Run, load_run

BAR = 30
SEEN = "the inputs of the network, and its predictions"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--top",
        type=int,
        default=3,
        metavar="K",
        help="print the K most probable classes (default 3)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--show", metavar="FILE.png", help="draw the inputs of the network")
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on although the model's file is not the one that training has written",
    )
    arguments = parser.parse_args()
    if arguments.top < 1:
        parser.error("--top must be at least 1")
    run = load_run(arguments.run, allow_changes=arguments.allow_changes)
    inputs = np.stack([prepared(path, run) for path in arguments.images])
    probabilities = run.predict(inputs)
    order = np.argsort(-probabilities, kind="stable")[:, : arguments.top]

    records = [
        {
            "image": path,
            "predictions": [{"class": run.classes[k], "probability": float(row[k])} for k in best],
            "unsure": bool(row.max() < UNSURE),
        }
        for path, row, best in zip(arguments.images, probabilities, order, strict=True)
    ]
    if arguments.json:
        print(json.dumps(records, indent=2))
    else:
        width = max(len(name) for name in run.classes)
        for path, row, best in zip(arguments.images, probabilities, order, strict=True):
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
