"""Draws pictures of a finished run, and collects them in a report.

    python experiments/visualize.py runs/mnist_mlp-20260101-120000 --example 7 8

The pictures show how training went, what the network learned and where it errs. They are written to
the folder plots of the run, and with results and config to its report.html, a single file.
"""

import argparse

from jaxnn import cli
from jaxnn.data.dataset import SPLITS
from jaxnn.files import write_text
from jaxnn.plots import save
from jaxnn.runs import load_run
from jaxnn.runs.pictures import run_pictures
from jaxnn.runs.report import report_page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory; the pictures are written there")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default test")
    parser.add_argument(
        "--example",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="examples of the split for which the network is drawn, counted from 0 (default 0)",
    )
    parser.add_argument(
        "--edges",
        choices=("contribution", "weight"),
        default="contribution",
        help="what an edge shows: the weight times its input (default), or the weight",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on although the data, or the model's file, are not those of the training",
    )
    arguments = parser.parse_args()
    run = load_run(arguments.run, allow_changes=arguments.allow_changes)
    pictures = run_pictures(
        run,
        split=arguments.split,
        examples=arguments.example,
        contributions=arguments.edges == "contribution",
        tell=lambda what: print(f"drawing {what}", flush=True),
    )
    written = []
    for picture in pictures:
        path = run.path / "plots" / f"{picture.name}.png"
        save(picture.figure, path)
        print(f"  {path}")
        written.append((picture, path.read_bytes()))
    path = run.path / "report.html"
    write_text(path, report_page(run, written))
    print(f"written up in {path}")


if __name__ == "__main__":
    cli.run(main)
