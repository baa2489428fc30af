"""The names that a config may use: families of functions of the library."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jaxnn import data, initializers, layers, losses, models, optimizers, schedules
from jaxnn.data import augmentation
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
        return self.members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


def unknown(kind: str, name: object, allowed: Collection[str]) -> str:
    """Returns a sentence on a name that there is not: what there is, and the nearest match."""
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}allowed: {', '.join(allowed) or 'none'}"


def _members(module: Any, *names: str) -> dict[str, Callable[..., Any]]:
    return {name: getattr(module, name) for name in names}


DATASETS = Family(
    "data set",
    _members(
        data,
        *("cifar10", "cifar100", "csv", "digits", "emnist", "fashion_mnist", "idx", "image_folder"),
        *("kmnist", "mnist", "npz"),
    ),
)
LAYERS = Family(
    "layer",
    {
        **_members(
            layers,
            *("dense", "dropout", "flatten", "identity", "reshape", "layer_norm", "rms_norm"),
            *("elu", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax"),
            *("softplus", "tanh", "avg_pool", "batch_norm", "conv2d", "global_avg_pool"),
            *("group_norm", "max_pool", "standardize"),
            *("parallel", "rematerialize", "serial", "shortcut"),
        ),
        **_members(models, "bird_cnn", "fast_mnist", "lenet5", "nielsen_chapter6", "resnet20"),
    },
    annotation=Layer,
    list_as="serial",
    accepts_import=True,
)
LOSSES = Family(
    "loss",
    _members(
        losses,
        *("hinge", "huber", "mean_squared_error", "quadratic", "sigmoid_binary_cross_entropy"),
        "softmax_cross_entropy",
    ),
    direct=True,
)
INITIALIZERS = Family(
    "initializer",
    _members(
        initializers,
        *("constant", "glorot", "he", "lecun", "nielsen", "nielsen_large", "normal", "orthogonal"),
        "zeros",
    ),
    annotation=Initializer,
    direct=True,
)
OPTIMIZERS = Family(
    "optimizer",
    _members(
        optimizers,
        *("accumulate", "adagrad", "adam", "adamw", "add_decayed_weights", "chain"),
        *("clip_by_global_norm", "exponential_moving_average", "lion", "muon", "rmsprop", "sgd"),
    ),
    annotation=Optimizer,
)
SCHEDULES = Family(
    "schedule",
    _members(
        schedules, "constant", "cosine", "exponential", "one_cycle", "piecewise", "warmup_cosine"
    ),
    annotation=float | Schedule,
    accepts_number=True,
)
AUGMENTATIONS = Family(
    "augmentation",
    _members(augmentation, "affine", "cutout", "elastic", "flip", "mixup", "shift"),
)
FAMILIES = (DATASETS, LAYERS, LOSSES, INITIALIZERS, OPTIMIZERS, SCHEDULES, AUGMENTATIONS)
