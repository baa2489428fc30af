"""Draws a finished run, and writes it up as a web page.

    python experiments/visualize.py runs/mnist_mlp-20260101-120000 --example 7 8

Pictures of how training went, what the network learned and where it errs go into the run's folder
plots, and together with the results and the config into its report.html: one file, to be opened
anywhere.
"""

import argparse

from jaxnn import cli
from jaxnn.files import write_text
from jaxnn.plots import report_page, run_pictures, save
from jaxnn.runs import load_run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory; what is written goes there")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument(
        "--example",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="which examples of the split to draw the network with, from 0",
    )
    parser.add_argument(
        "--edges",
        choices=("contribution", "weight"),
        default="contribution",
        help="what an edge shows: the weight times the value that it carries, or the weight alone",
    )
    arguments = parser.parse_args()
    run = load_run(arguments.run)
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
