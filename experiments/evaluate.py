"""Evaluates a trained network on the splits of its data set.

python experiments/evaluate.py runs/mnist_mlp-20260101-120000
"""

import argparse

from jaxnn import cli
from jaxnn.runs import evaluate, load_run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run directory")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    arguments = parser.parse_args()
    run = load_run(arguments.run)
    result = evaluate(run.experiment, run.params, run.state, arguments.split)
    print(
        f"{arguments.split}: accuracy {result.accuracy:.2%}, loss {result.loss:.4f} "
        f"({result.examples} examples)"
    )


if __name__ == "__main__":
    cli.run(main)
