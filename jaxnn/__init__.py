"""Neural networks from scratch in JAX: every derivative written out by hand.

A layer is three pure functions (``Layer``), and a network is a layer. What is used in every
experiment is here; the rest lies in the modules: ``jaxnn.data``, ``initializers``, ``interop``,
``losses``, ``models``, ``optimizers``, ``schedules``, ``training``, ``metrics``, ``prediction``,
and for whole experiments ``jaxnn.config`` and ``runs``.
"""

from typing import TYPE_CHECKING, Any

from jaxnn import data, initializers, interop, losses, models, optimizers, schedules, training
from jaxnn.check import check_layer
from jaxnn.layers import (
    Layer,
    average_views,
    avg_pool,
    batch_norm,
    before,
    conv2d,
    dense,
    dropout,
    elu,
    flatten,
    gelu,
    global_avg_pool,
    group_norm,
    identity,
    in_precision,
    layer_norm,
    leaky_relu,
    log_softmax,
    max_pool,
    parallel,
    relu,
    rematerialize,
    reshape,
    rms_norm,
    serial,
    sharded,
    shortcut,
    sigmoid,
    silu,
    softmax,
    softplus,
    standardize,
    stateless,
    tanh,
    whiten,
)
from jaxnn.losses import (
    hinge,
    huber,
    mean_absolute_error,
    mean_squared_error,
    quadratic,
    quantile,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
)
from jaxnn.network import (
    describe,
    loss_and_gradients,
    map_layers,
    summary,
    trace,
    walk,
)
from jaxnn.optimizers import adam, adamw, apply_updates, sgd
from jaxnn.training import fit

if TYPE_CHECKING:
    from jaxnn.runs import load_run, save_run

__version__ = "0.1.0"

__all__ = [
    "Layer",
    "adam",
    "adamw",
    "apply_updates",
    "average_views",
    "avg_pool",
    "batch_norm",
    "before",
    "check_layer",
    "conv2d",
    "data",
    "dense",
    "describe",
    "dropout",
    "elu",
    "fit",
    "flatten",
    "gelu",
    "global_avg_pool",
    "group_norm",
    "hinge",
    "huber",
    "identity",
    "in_precision",
    "initializers",
    "interop",
    "layer_norm",
    "leaky_relu",
    "load_run",
    "log_softmax",
    "loss_and_gradients",
    "losses",
    "map_layers",
    "max_pool",
    "mean_absolute_error",
    "mean_squared_error",
    "models",
    "optimizers",
    "parallel",
    "quadratic",
    "quantile",
    "relu",
    "rematerialize",
    "reshape",
    "rms_norm",
    "save_run",
    "schedules",
    "serial",
    "sgd",
    "sharded",
    "shortcut",
    "sigmoid",
    "sigmoid_binary_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "standardize",
    "stateless",
    "summary",
    "tanh",
    "trace",
    "training",
    "walk",
    "whiten",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def __getattr__(name: str) -> Any:
    # Runs need the parts of a whole experiment, which the functions above do not.
    if name in ("load_run", "save_run"):
        from jaxnn import runs

        return getattr(runs, name)
    raise AttributeError(f"module 'jaxnn' has no attribute {name!r}")
