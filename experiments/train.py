"""Trains the network that a config describes and writes a run directory.

python experiments/train.py configs/mnist_mlp.yaml training.epochs=5
"""

import argparse

from jaxnn import cli
from jaxnn.config import load_config
from jaxnn.network import summary
from jaxnn.observe import console
from jaxnn.runs import train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="a YAML file, such as configs/digits_mlp.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the config")
    parser.add_argument("--run-dir", help="where to write; default runs/<config>-<timestamp>")
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, arguments.overrides)
    with console(config.training.epochs) as show:
        run = train(config, arguments.run_dir, [show])
    result = run.summary
    print(summary(run.experiment.network, run.experiment.dataset.in_shape))
    print(
        f"test accuracy {result['test_accuracy']:.2%}, loss {result['test_loss']:.4f}; "
        f"trained in {result['train_seconds']:.1f} s "
        f"(+ {result['compile_seconds']:.1f} s compilation)"
    )
    print(f"run directory: {run.path}")


if __name__ == "__main__":
    cli.run(main)
