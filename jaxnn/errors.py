"""The exceptions that jaxnn raises for mistakes of input."""

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 200, 200


def shown(value: object) -> str:
    """Returns a value as an error shows it: its ``repr``, or the beginning of one that is long."""
    return _SHORT.repr(value)


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
