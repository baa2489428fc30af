"""The exceptions that jaxnn raises for mistakes of input."""

import inspect
import re
import reprlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 200, 200


def shown(value: object) -> str:
    """Returns a value as an error shows it: its ``repr``, or the beginning of one that is long."""
    return _SHORT.repr(value)


def some(names: Sequence[str], most: int = 10) -> str:
    """Returns the first of some names, and how many more there are."""
    more = [f"{len(names) - most:,} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def printable(text: str) -> str:
    """Returns a text with nothing in it that steers a terminal or turns the order of signs round.

    Names of files may have such characters; those of lines and tables stay.
    """
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def uncalled(value: object) -> str:
    """Returns what messages add about a function that was given in place of what it makes."""
    name = getattr(value, "__name__", "")
    if not callable(value) or not name.isidentifier():
        return ""
    needed = [
        parameter
        for parameter in inspect.signature(value).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    return f"; did you mean {name}({'…' if needed else ''})?"


def by(script: str, call: str) -> str:
    """Returns how something is done: by a script where there is a checkout, else by a call."""
    return f"python experiments/{script}" if _CHECKOUT else call


def extra(name: str) -> str:
    """Returns the command that installs an optional extra."""
    return f"pip install -e '.[{name}]'" if _CHECKOUT else f"pip install 'jaxnn[{name}]'"


_CHECKOUT = (Path(__file__).parents[1] / "experiments" / "train.py").is_file()


def warn(message: str) -> None:
    """Prints a warning to stderr."""
    print(printable(f"warning: {message}"), file=sys.stderr)


class JaxnnError(Exception):
    """A mistake of input that the user can mend; scripts print it as one message, exit status 2."""


class DataError(JaxnnError):
    """A data file is missing, damaged, or not what the data set needs."""


class ConfigError(JaxnnError):
    """A configuration has an unknown key, or a value that is not allowed."""


class RunError(JaxnnError):
    """A run cannot start or go on: its directory cannot be written, or what it left is unusable."""


class ProgramError(JaxnnError):
    """A function cannot be written as a program: one of its operations is not covered."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what can go wrong in writing a file of a run into a ``RunError`` that names it."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error
