"""Prints what a config describes, without training: data, network, the config with all defaults.

python experiments/describe.py configs/mnist_mlp.yaml
python experiments/describe.py --schema > config.schema.json
"""

import argparse
import json

from jaxnn import cli
from jaxnn.config import Config, build, load_config
from jaxnn.data.dataset import SPLITS
from jaxnn.network import summary


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", help="a YAML file")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="changes to the config"
    )
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of configs instead, for editors",
    )
    arguments = parser.parse_intermixed_args()
    if arguments.schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        return
    if arguments.config is None:
        parser.error("a config is needed")
    experiment = build(load_config(arguments.config, arguments.overrides))
    dataset = experiment.dataset
    splits = ", ".join(f"{len(getattr(dataset, split).targets):,} {split}" for split in SPLITS)
    print(f"data: {dataset.name}, {splits} examples, {dataset.asked_for}\n")
    print(summary(experiment.network, dataset.in_shape), "\n")
    print(experiment.config.to_yaml(), end="")


if __name__ == "__main__":
    cli.run(main)
