"""What the page may change in the config: neither may it run code nor exhaust the machine."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxnn.config import SCHEDULES, Call, Config, Experiment, cost, parse_config
from jaxnn.errors import ConfigError
from jaxnn.web.messages import Configure

VALUES, DEPTH = 10_000, 100
"""Names, numbers and lists that a change may be written with, and how many within each other."""


def configured(config: Config, change: Configure, started: Config) -> Config:
    """Returns a config with what a client changes.

    Args:
        config: the config as it is.
        change: the change.
        started: what the lab was started with: its own functions are allowed, no others.

    Raises:
        ConfigError: if it makes no config, one that imports something else, or one that is beyond
            the limits of ``jaxnn.config.cost`` and what the lab was started with.
    """
    if _values((change.optimizer, change.model), DEPTH) > VALUES:
        raise ConfigError(
            f"configure: more than {VALUES:,} values, or more than {DEPTH} within each other"
        )
    values = config.model_dump()
    if change.batch_size is not None:
        values["training"]["batch_size"] = change.batch_size
    for key in ("optimizer", "model", "seed"):
        if (value := getattr(change, key)) is not None:
            values[key] = value
    config = parse_config(values, "configure")
    for key in ("model", "optimizer"):
        if foreign := _imports(getattr(config, key)) - _imports(getattr(started, key)):
            raise ConfigError(
                f"{key}: {', '.join(sorted(foreign))}: functions of yours are imported from the "
                "config that the lab is started with, not from the page"
            )
    _check(cost.written(config), lambda: cost.written(started))
    return config


def check_size(experiment: Experiment, started: Experiment) -> None:
    """Checks that an experiment does not exhaust the machine.

    Raises:
        ConfigError: if it is beyond the limits of ``jaxnn.config.cost`` and what the lab was
            started with.
    """
    _check(cost.shaped(experiment), lambda: cost.shaped(started))  # before more is made of it
    costs = cost.measured(experiment)
    _check(costs, lambda: cost.shaped(started) | cost.traced(started))


def with_learning_rate(config: Config, learning_rate: float) -> Config:
    """Returns a config whose optimizer has another learning rate, wherever it has one."""
    return config.model_copy(update={"optimizer": _with_rate(config.optimizer, learning_rate)})


def scheduled(call: Any) -> bool:
    """Returns whether a call of a config names a schedule."""
    if isinstance(call, Call):
        return call.family is SCHEDULES or any(map(scheduled, call.arguments.values()))
    return isinstance(call, list) and any(map(scheduled, call))


def _check(costs: Mapping[str, int], opened: Callable[[], Mapping[str, int]]) -> None:
    if list(cost.over(costs)) and (found := list(cost.over(costs, opened()))):
        raise ConfigError(
            f"configure: {found[0]}, the most that the page may ask for; start the lab with such a "
            "config instead"
        )


def _values(value: Any, depth: int) -> int:
    """Returns how many values are in one, itself among them; too many where it is too deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return 1
    return 1 + sum(_values(one, depth - 1) for one in value) if depth else VALUES + 1


def _imports(call: Any) -> set[str]:
    """Returns the functions outside the library that a part of a config names."""
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
