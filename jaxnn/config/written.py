"""The library's objects as a config writes them: the calls that made them, read back."""

import functools
import inspect
from typing import Any

import numpy as np

from jaxnn.calls import call_of
from jaxnn.config.catalogue import FAMILIES


def written(value: Any) -> Any:
    """Returns a layer, an optimizer, a loss, or an argument of one, as a config writes it.

    Raises:
        ValueError: if it was not made by a function that a config can name, or has arguments that
            a config cannot write; the message says what.
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) in (list, tuple):
        return [written(one) for one in value]
    call, direct = call_of(value), False
    if call is None and callable(value):  # an initializer or a loss is the function itself
        call = value if isinstance(value, functools.partial) else functools.partial(value)
        direct = not call.args
    names = [
        name
        for family in FAMILIES
        if call is not None and family.direct == direct
        for name, function in family.items()
        if function is call.func
    ]
    if call is None or not names:
        raise ValueError(f"{_called(value)} was not made by a function that a config can name")
    given = inspect.signature(call.func).bind_partial(*call.args, **call.keywords).arguments
    arguments = {name: written(argument) for name, argument in given.items()}
    return {names[0]: arguments} if arguments else names[0]


def _called(value: Any) -> str:
    name = getattr(value, "name", "") or getattr(value, "__name__", "")
    return f"{type(value).__name__} {name}".strip()
