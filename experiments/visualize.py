"""Draws a finished run: its curves, what its first layer looks for, and the network at work.

python experiments/visualize.py runs/mnist_mlp-20260101-120000 --example 7
"""

import argparse

from jaxnn import cli
from jaxnn.plots import run_pictures, save
from jaxnn.runs import load_run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory; the pictures go into its folder plots")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--example", type=int, default=0, metavar="N", help="of the split, from 0")
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
        example=arguments.example,
        contributions=arguments.edges == "contribution",
    )
    for name, picture in pictures.items():
        path = run.path / "plots" / f"{name}.png"
        save(picture, path)
        print(path)


if __name__ == "__main__":
    cli.run(main)
