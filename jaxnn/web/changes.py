"""What the page may change in the config: neither may it run code nor exhaust the machine."""

import math
from typing import Any

from jaxnn.config import SCHEDULES, Call, Config, Experiment, parse_config
from jaxnn.errors import ConfigError
from jaxnn.network import describe, leaves
from jaxnn.web.messages import Configure

PARAMETERS, ACTIVATIONS, DEPTH = 20_000_000, 100_000_000, 200
"""Numbers trained, numbers computed a step, and layers: what clients may ask for. A network that
the lab was started with may be as large as it is."""


def configured(config: Config, change: Configure, started: Config) -> Config:
    """Returns a config with what a client changes.

    Args:
        config: the config as it is.
        change: the change.
        started: what the lab was started with: its own functions are allowed, no others.

    Raises:
        ConfigError: if it makes no config, or one that imports something else.
    """
    values = config.model_dump()
    if change.batch_size is not None:
        values["training"]["batch_size"] = change.batch_size
    for key in ("optimizer", "model", "seed"):
        if (value := getattr(change, key)) is not None:
            values[key] = value
    config = parse_config(values, "configure")
    if foreign := _imports(config.model) - _imports(started.model):
        raise ConfigError(
            f"model: {', '.join(sorted(foreign))}: functions of yours are imported from the "
            "config that the lab is started with, not from the page"
        )
    return config


def check_size(experiment: Experiment, started: Experiment) -> None:
    """Checks that a network does not exhaust the machine.

    Raises:
        ConfigError: if it is larger than clients may ask for and than what the lab started with.
    """
    names = ("parameters", "numbers computed a step", "layers")
    sizes = (PARAMETERS, ACTIVATIONS, DEPTH), _size(started), _size(experiment)
    for name, limit, opened, asked in zip(names, *sizes, strict=True):
        if asked > max(limit, opened):
            raise ConfigError(
                f"model: {asked:,} {name} are more than the page may ask for "
                f"({max(limit, opened):,}); start the lab with a config of that size instead"
            )


def with_learning_rate(config: Config, learning_rate: float) -> Config:
    """Returns a config whose optimizer has another learning rate, wherever it has one."""
    return config.model_copy(update={"optimizer": _with_rate(config.optimizer, learning_rate)})


def scheduled(call: Any) -> bool:
    """Returns whether a call of a config names a schedule."""
    if isinstance(call, Call):
        return call.family is SCHEDULES or any(map(scheduled, call.arguments.values()))
    return isinstance(call, list) and any(map(scheduled, call))


def _size(experiment: Experiment) -> tuple[int, int, int]:
    """Returns the numbers of parameters, of numbers computed a step, and of layers."""
    rows = describe(experiment.network, experiment.dataset.in_shape)
    outputs = sum(math.prod(row.out_shape) for row in rows)
    layers = leaves(experiment.network)
    return rows[0].parameters, outputs * experiment.config.training.batch_size, len(layers)


def _imports(call: Any) -> set[str]:
    """Returns the functions outside the library that a config's model names."""
    if isinstance(call, Call):
        own = {call.name} - set(call.family)
        return own.union(*map(_imports, call.arguments.values()))
    return set().union(*map(_imports, call)) if isinstance(call, list) else set()


def _with_rate(argument: Any, learning_rate: float) -> Any:
    if isinstance(argument, list):
        return [_with_rate(a, learning_rate) for a in argument]
    if not isinstance(argument, Call):
        return argument
    return argument._replace(
        arguments={
            name: learning_rate if name == "learning_rate" else _with_rate(value, learning_rate)
            for name, value in argument.arguments.items()
        }
    )
