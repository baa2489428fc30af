"""The names that a config may use: families of functions of the library."""

import difflib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from jax import Array

from jaxnn import data, initializers, layers, losses, models, optimizers, schedules
from jaxnn.data import Dataset, augmentation
from jaxnn.data.augmentation import Augmentation
from jaxnn.errors import shown
from jaxnn.initializers import Initializer
from jaxnn.layers import Layer
from jaxnn.optimizers import Optimizer
from jaxnn.schedules import Schedule


@dataclass(frozen=True, eq=False)
class Family(Mapping[str, Callable[..., Any]]):
    """Functions of one kind by name, and how a config writes calls of them.

    Attributes:
        kind: what to call one of them.
        members: the functions, by name.
        annotation: what a signature has where an argument is made by one of them; None where no
            argument is.
        direct: whether they *are* what is needed, functions of arrays, and a config gives their
            keyword-only arguments; else they make it.
        list_as: the name of the member that a list stands for, if it may stand for one.
        accepts_number: whether a number may stand in place of a call.
        accepts_import: whether ``module:function`` may.
    """

    kind: str
    members: Mapping[str, Callable[..., Any]]
    annotation: Any = None
    direct: bool = False
    list_as: str | None = None
    accepts_number: bool = False
    accepts_import: bool = False

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """Returns the function of a name."""
        return self.members[name]

    def __iter__(self) -> Iterator[str]:
        """Yields the names."""
        return iter(self.members)

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self.members)


def unknown(kind: str, name: object, allowed: Collection[str]) -> str:
    """Returns a sentence on a name that there is not: what there is, and the nearest match."""
    near = difflib.get_close_matches(str(name)[:100], allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {shown(name)}; {hint}allowed: {', '.join(allowed) or 'none'}"


def _returning(
    kind: Any, *modules: ModuleType, but: Collection[str] = ()
) -> dict[str, Callable[..., Any]]:
    """Returns the public functions of modules that return what their signatures call ``kind``."""
    return {
        name: function
        for module in modules
        for name, function in sorted(vars(module).items())
        if inspect.isfunction(function)
        and function.__module__.startswith(module.__name__)
        and function.__annotations__.get("return") == kind
        and not name.startswith("_")
        and name not in but
    }


DATASETS = Family("data set", _returning(Dataset, data, but={"from_arrays"}), annotation=Dataset)
LAYERS = Family(
    "layer",
    _returning(Layer, layers, models, but={"average_views", "before", "in_precision", "stateless"}),
    annotation=Layer,
    list_as="serial",
    accepts_import=True,
)
LOSSES = Family("loss", _returning(tuple[Array, Array], losses), direct=True)
INITIALIZERS = Family(
    "initializer", _returning(Array, initializers), annotation=Initializer, direct=True
)
_PIECES = {
    "trace",
    "normalize_weights",
    *(name for name in vars(optimizers) if name.startswith("scale_by_")),
}
OPTIMIZERS = Family(
    "optimizer",
    _returning(Optimizer, optimizers, but=_PIECES),
    annotation=Optimizer,
    accepts_import=True,
)
SCHEDULES = Family(
    "schedule", _returning(Schedule, schedules), annotation=float | Schedule, accepts_number=True
)
AUGMENTATIONS = Family("augmentation", _returning(Augmentation, augmentation, but={"compose"}))
FAMILIES = (DATASETS, LAYERS, LOSSES, INITIALIZERS, OPTIMIZERS, SCHEDULES, AUGMENTATIONS)
