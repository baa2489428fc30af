"""What the lab says of itself: the data, the network layer by layer, what can be chosen."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.arrays import Tree, at_path, named_leaves
from jaxnn.config import LAYERS, OPTIMIZERS, Config, defaults
from jaxnn.data import Dataset
from jaxnn.network import LayerSummary, label
from jaxnn.web import formulas

_RATES = {"sgd": 0.1, "adagrad": 0.01, "lion": 1e-4, "muon": 0.02}


def describe_training(
    config: Config, layers: Sequence[LayerSummary], params: Tree
) -> dict[str, Any]:
    """Returns what is trained: the config and the network's layers with shapes and formulas."""
    forward, backward = formulas.of_loss(config.loss.name)
    return {
        "name": config.name,
        "layers": [_layer(row, named_leaves(at_path(params, row.path))) for row in layers],
        "config": config.model_dump(),
        "loss": config.loss.name,
        "loss_formula": {"formula": forward, "backward": backward},
    }


def _layer(row: LayerSummary, params: dict[str, Any]) -> dict[str, Any]:
    forward, backward = formulas.of_layer(row.name, params)
    return {
        "path": list(row.path),
        "label": label(row.path, row.name),
        "name": row.name,
        "in_shape": list(row.in_shape),
        "out_shape": list(row.out_shape),
        "parameters": row.parameters,
        "formula": forward,
        "backward": backward,
        "params": {name: list(leaf.shape) for name, leaf in params.items()},
    }


def describe_given(dataset: Dataset) -> dict[str, Any]:
    """Returns what stays, whatever is changed in the lab: the data, and what can be chosen."""
    shape, some = dataset.in_shape, dataset.train.inputs[:10_000]  # the rest may lie on a disk
    image = len(shape) == 3 and shape[-1] in (1, 3) and some.dtype == np.uint8
    return {
        "dataset": {
            "name": dataset.name,
            "shape": list(shape),
            "dtype": str(some.dtype),
            "limits": [min(float(some.min()), 0.0), float(some.max())],
            "classes": list(dataset.classes),
            "splits": {
                split: len(getattr(dataset, split).targets)
                for split in ("train", "validation", "test")
            },
            "image": image,
            "drawable": image,
            "mean": np.atleast_1d(dataset.mean).tolist(),
            "deviation": np.atleast_1d(dataset.deviation).tolist(),
        },
        "optimizers": {
            name: values | {"learning_rate": _RATES.get(name, 1e-3)}
            for name, function in OPTIMIZERS.items()
            if "learning_rate" in (values := defaults(function))
        },
        "layer_types": {name: defaults(function) for name, function in LAYERS.items()},
    }


def step_flops(layers: Sequence[LayerSummary], params: Tree) -> float:
    """Returns the floating-point operations an example of a step, matrix products alone.

    A weight of shape (..., in, out) is used at each of the output's positions, in a product and a
    sum; backward does twice as much, but for the first layer, whose input has no gradient.
    """
    total = 0.0
    for row in layers:
        for leaf in jax.tree.leaves(at_path(params, row.path)):
            if leaf.ndim >= 2:
                positions = math.prod(row.out_shape) / leaf.shape[-1]
                total += 2 * leaf.size * positions * (3 if total else 2)
    return total
