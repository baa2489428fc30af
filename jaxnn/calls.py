"""What made a layer, an optimizer or a schedule: the call of the library's function."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def remembered(make: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function whose results remember the call; see ``call_of``."""

    @functools.wraps(make)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> T:
        made = make(*args, **kwargs)
        made.call = functools.partial(remembering, *args, **kwargs)  # type: ignore[attr-defined]
        return made

    return remembering


def call_of(made: Any) -> "functools.partial[Any] | None":
    """Returns the call that made a layer, an optimizer or a schedule, which makes it again.

    It is None where code outside the library has made it, or changed it (``layer._replace``).
    """
    return getattr(made, "call", None)
