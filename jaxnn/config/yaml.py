"""YAML, and changes to what was read from it."""

import io
import math
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from jaxnn.errors import ConfigError, shown

_MOST_VALUES = 100_000
"""Of a text, aliases written out."""


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: 1e-3 is a number, "no" is a string
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return yaml


def parse_yaml(text: str, source: str) -> Any:
    """Returns what a text says, as plain values.

    Raises:
        ConfigError: if it is not YAML; ``source`` begins the message.
    """
    try:
        values = _values(_yaml().compose(text), {})
        if values == math.inf:  # an alias within what it stands for
            raise ConfigError(f"{source}: nested too deeply")
        if values > _MOST_VALUES:
            raise ConfigError(f"{source}: more than {_MOST_VALUES:,} values, aliases written out")
        return _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(f"{source}: not valid YAML: {error.problem}{place}") from error
    except (YAMLError, ValueError) as error:  # such as 2020-13-01, which looks like a date
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply") from error


def _values(node: Any, known: dict[int, float]) -> float:
    """Returns how many values a node stands for, aliases written out: a few lines can be billions.

    Args:
        node: of the text's graph.
        known: what was found out, by the nodes' identities.
    """
    if not isinstance(getattr(node, "value", None), list):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf  # if it comes within itself
        inner = [part for item in node.value for part in (item if type(item) is tuple else (item,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in inner)
    return known[id(node)]


def write_yaml(values: Any) -> str:
    """Returns plain values as YAML."""
    stream = io.StringIO()
    _yaml().dump(values, stream)
    return stream.getvalue()


def override_in(values: dict[str, Any], override: str) -> None:
    """Applies one ``key.path=value`` to a config's plain values, in place.

    Raises:
        ConfigError: if it is not written so, or there is no such place; it begins the message.
    """
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(
            f"{override!r}: an override is written key=value, as in training.epochs=5"
        )
    *parents, last = path.split(".")
    node: Any = values
    for i, key in enumerate([*parents, last]):
        place = ".".join([*parents, last][:i])
        if isinstance(node, list):
            if not key.isdecimal() or int(key) >= len(node):
                numbers = f"a number from 0 to {len(node) - 1} must follow" if node else "empty"
                raise ConfigError(f"{override}: {place} is a list: {numbers}")
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
        else:
            raise ConfigError(
                f"{override}: {place} is {shown(node)} and has no {key!r}; replace it as a whole "
                f"with {place}='{{…}}'"
            )
        if i == len(parents):
            node[index] = parse_yaml(text, override)
            return
        following = [*parents, last][i + 1]
        child = node[index] if isinstance(node, list) else node.get(index)
        if child is None or child == following:  # "data: mnist" is short for "data: {mnist: {}}"
            child = {} if child is None else {child: {}}
            node[index] = child
        node = child
