"""Optimizers, written out by hand, in optax's calling convention.

An optimizer is a pair of functions::

    state = optimizer.init(params)
    updates, state = optimizer.update(gradients, state, params)
    params = apply_updates(params, updates)

so one from optax can be used in its place. Every pytree has the structure of ``params``. The
pieces (``scale_by_adam``, ``add_decayed_weights``, …) are optimizers too, and ``chain`` composes
them: each turns the updates of the one before into its own.

Hyper-parameters are leaves of the state, in a dictionary of that name: ``set_hyperparameters``
changes them while training runs, and ``jax.vmap`` maps over them, without compiling anew.
"""

from jaxnn.optimizers.adaptive import (
    adagrad,
    adam,
    adamw,
    rmsprop,
    scale_by_adam,
    scale_by_rms,
    scale_by_rss,
)
from jaxnn.optimizers.momentum import lion, scale_by_lion, sgd, trace
from jaxnn.optimizers.muon import muon, normalize_weights, scale_by_muon
from jaxnn.optimizers.optimizer import (
    Mask,
    Optimizer,
    add_decayed_weights,
    apply_updates,
    chain,
    clip_by_global_norm,
    filters_only,
    global_norm,
    hyperparameters,
    matrices_only,
    scale_by_learning_rate,
    set_hyperparameters,
    weights_only,
)
from jaxnn.optimizers.wrappers import (
    accumulate,
    averaged_params,
    exponential_moving_average,
    partition,
)

__all__ = [
    "Mask",
    "Optimizer",
    "accumulate",
    "adagrad",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "averaged_params",
    "chain",
    "clip_by_global_norm",
    "exponential_moving_average",
    "filters_only",
    "global_norm",
    "hyperparameters",
    "lion",
    "matrices_only",
    "muon",
    "normalize_weights",
    "partition",
    "rmsprop",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_muon",
    "scale_by_rms",
    "scale_by_rss",
    "set_hyperparameters",
    "sgd",
    "trace",
    "weights_only",
]
