"""Experiments in YAML: read, validated, and turned into the library's objects.

Each part of a config names a function of the library and gives its arguments::

    data:
      mnist: {validation: 10000}
    augmentation:
      - shift: 2
    model:
      - flatten
      - dense: 128
      - relu
      - dense: 10
    loss: softmax_cross_entropy
    optimizer:
      sgd: {learning_rate: 0.05, momentum: 0.9}
    training: {epochs: 5, batch_size: 64}
    seed: 0

A call is written ``name``, ``name: argument`` (the first one) or ``name: {key: argument, …}``; its
keys, types and defaults are those of the function's signature, so there is no second list of them
to keep. A list of layers is a ``serial``; in place of a layer, ``module:function`` names a Python
function that returns one. A schedule's ``steps``, if left out, is the length of the run.
"""

from jaxnn.config import cost
from jaxnn.config.build import Experiment, build
from jaxnn.config.calls import Call
from jaxnn.config.catalogue import (
    AUGMENTATIONS,
    DATASETS,
    INITIALIZERS,
    LAYERS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    Family,
)
from jaxnn.config.config import Config, Training, differences, load_config, parse_config
from jaxnn.config.schema import defaults
from jaxnn.config.written import written

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "INITIALIZERS",
    "LAYERS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Call",
    "Config",
    "Experiment",
    "Family",
    "Training",
    "build",
    "cost",
    "defaults",
    "differences",
    "load_config",
    "parse_config",
    "written",
]
