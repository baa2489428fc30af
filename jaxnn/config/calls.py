"""Calls of the library's functions, as a config writes them, and carrying them out."""

import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxnn.config.catalogue import Family, unknown
from jaxnn.errors import ConfigError, RunError


class Call(NamedTuple):
    """A function of the library and its arguments, as a config writes them.

    Attributes:
        name: the function's name, or ``module:function``.
        arguments: by name, all of them, defaults included; calls and lists of calls among them.
        family: the names it was chosen from.
    """

    name: str
    arguments: dict[str, Any]
    family: Family

    def build(self, path: str) -> Any:
        """Calls the function.

        Raises:
            ConfigError: if it refuses its arguments; the message begins with ``path``.
        """
        if self.name not in self.family:
            return _import_made(self.name, path, self.family)
        path = path if self.name == self.family.list_as else f"{path}.{self.name}"
        function = self.family[self.name]
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, argument in self.arguments.items():
            if isinstance(argument, Call):
                named[name] = argument.build(f"{path}.{name}")
            elif (
                inspect.signature(function).parameters[name].kind
                is inspect.Parameter.VAR_POSITIONAL
            ):
                positional = [a.build(f"{path}.{i}") for i, a in enumerate(argument)]
            else:
                named[name] = argument
        if self.family.direct:
            return functools.partial(function, **named) if named else function
        try:
            return function(*positional, **named)
        except ValueError as error:
            message = str(error).removeprefix(f"{self.name}: ")
            raise ConfigError(f"{path}: {message}") from error

    def plain(self) -> Any:
        """Returns the call as YAML and JSON have it."""
        if not self.arguments:
            return self.name
        arguments = plain(self.arguments)
        if self.name == self.family.list_as:
            (listed,) = arguments.values()
            return listed
        return {self.name: arguments}

    def marked(self, mark: type) -> set[str]:
        """Returns the names of the arguments whose annotation in the signature has ``mark``."""
        if self.name not in self.family:
            return set()
        parameters = inspect.signature(self.family[self.name]).parameters
        return {
            name
            for name in self.arguments
            if mark in getattr(parameters[name].annotation, "__metadata__", ())
        }


def plain(argument: Any) -> Any:
    """Returns an argument as YAML and JSON have it, calls within it too."""
    if isinstance(argument, Call):
        return argument.plain()
    if isinstance(argument, dict):
        return {key: plain(inner) for key, inner in argument.items()}
    return [plain(inner) for inner in argument] if isinstance(argument, list) else argument


def filled(argument: Any, mark: type, value: Any) -> Any:
    """Returns an argument with a value for all that is left out and has ``mark`` in its annotation.

    Calls within calls are filled in too.
    """
    if isinstance(argument, list):
        return [filled(inner, mark, value) for inner in argument]
    if not isinstance(argument, Call):
        return argument
    marked = argument.marked(mark)
    return argument._replace(
        arguments={
            name: value if inner is None and name in marked else filled(inner, mark, value)
            for name, inner in argument.arguments.items()
        }
    )


def calls(argument: Any) -> Iterator[Call]:
    """Yields all calls within an argument."""
    if isinstance(argument, Call):
        yield argument
        argument = list(argument.arguments.values())
    if isinstance(argument, list):
        for inner in argument:
            yield from calls(inner)


def _import_made(path: str, place: str, family: Family) -> Any:
    """Calls the function that ``module:function`` names; modules in the working directory count."""
    module_name, _, name = path.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{place}: cannot import {module_name!r}: {error}; modules are looked for in the "
            "working directory and among the installed packages"
        ) from error
    except Exception as error:
        raise ConfigError(f"{place}: cannot import {module_name!r}: {_why(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = [n for n, f in vars(module).items() if inspect.isfunction(f)]
        raise ConfigError(f"{place}: {module_name}: {unknown('function', name, functions)}")
    try:
        made = function()
    except RunError as error:  # it says what is to be said
        raise ConfigError(f"{place}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{place}: {path}() failed: {_why(error)}") from error
    if not isinstance(made, family.annotation):
        kind = {"layer": "a Layer", "optimizer": "an Optimizer"}[family.kind]
        raise ConfigError(f"{place}: expected {kind} from {path}(), got {type(made).__name__}")
    return made


def _why(error: Exception) -> str:
    """Returns what an error of the user's code says, and the line of that code it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
    place = f" ({user[0].filename}, line {user[0].lineno})" if user else ""
    return f"{type(error).__name__}: {error}{place}"
