"""Draws the loss while the learning rate rises, and suggests a learning rate for a config.

    python experiments/find_learning_rate.py configs/digits_mlp.yaml --seeds 3

A few hundred steps are trained, each at a larger rate than the one before (Smith 2015,
https://arxiv.org/abs/1506.01186). A schedule in the config gives way to the rising rate; what is
suggested is then for its peak.
"""

import argparse
from typing import Any

from jaxnn import cli
from jaxnn.config import SCHEDULES, Call, build, cost, load_config
from jaxnn.config.calls import calls
from jaxnn.errors import ConfigError
from jaxnn.files import user_path
from jaxnn.plots import rising_loss, save
from jaxnn.training import rising_rate, suggest_rate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="a YAML file, such as configs/digits_mlp.yaml")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="changes to the config"
    )
    parser.add_argument("--first", type=float, default=1e-6, help="the first rate (default 1e-6)")
    parser.add_argument("--last", type=float, default=10.0, help="the last rate (default 10)")
    parser.add_argument("--steps", type=int, default=350, help="steps to take (default 350)")
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="how many networks to train, with seeds from the config's on (default 1)",
    )
    parser.add_argument(
        "--output",
        type=user_path,
        default="learning_rate.png",
        metavar="FILE.png",
        help="where to write the picture (default learning_rate.png)",
    )
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, arguments.overrides)
    schedules = [call for call in calls(config.optimizer) if call.family is SCHEDULES]
    for schedule in schedules:
        print(f"the schedule {schedule.name} gives way to the rising rate")
    cost.warn_of_large(config)
    experiment = build(config)
    cost.warn_of_large(experiment)
    try:
        found = rising_rate(
            experiment.network,
            experiment.loss,
            with_number(config.optimizer).build("optimizer"),
            experiment.dataset,
            batch_size=config.training.batch_size,
            first=arguments.first,
            last=arguments.last,
            steps=arguments.steps,
            seeds=range(config.seed, config.seed + arguments.seeds),
            augment=experiment.augment,
        )
    except ValueError as error:
        raise ConfigError(f"{arguments.config}: {error}") from error
    suggestion = suggest_rate(found)
    save(
        rising_loss(found, suggestion, heading=f"{config.name}, {config.optimizer.name}"),
        arguments.output,
    )
    if suggestion.rate is None:
        print("no suggestion:", suggestion.reason)
    else:
        what = " at the peak of the schedule" if schedules else ""
        print(f"suggested learning rate{what}: {suggestion.rate:g}")
        print(f"{suggestion.reason[0].upper()}{suggestion.reason[1:]}.")
    print(f"picture: {arguments.output}")


def with_number(argument: Any) -> Any:
    """Returns an optimizer's call with a number in place of each schedule."""
    if isinstance(argument, list):
        return [with_number(inner) for inner in argument]
    if not isinstance(argument, Call):
        return argument
    if argument.family is SCHEDULES:
        return 1.0
    arguments = {name: with_number(inner) for name, inner in argument.arguments.items()}
    return argument._replace(arguments=arguments)


if __name__ == "__main__":
    cli.run(main)
