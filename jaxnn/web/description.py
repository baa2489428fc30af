"""What the lab says of itself: the data, the network layer by layer, what can be chosen."""

import inspect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.arrays import Tree, at_path, named_leaves
from jaxnn.config import LAYERS, OPTIMIZERS, Call, Config, defaults
from jaxnn.config.calls import plain
from jaxnn.data import Dataset
from jaxnn.data.dataset import SPLITS
from jaxnn.network import LayerSummary, label
from jaxnn.tasks import METRICS
from jaxnn.web import formulas

_RATES = {"sgd": 0.1, "adagrad": 0.01, "lion": 1e-4, "muon": 0.02}
_FIRST = {"units": 32, "rate": 0.2, "groups": 4}
"""What the fields of a new layer have, where its signature says nothing better."""


def describe_training(
    config: Config, layers: Sequence[LayerSummary], params: Tree
) -> dict[str, Any]:
    """Returns what is trained: the config and the network's layers with shapes and formulas."""
    return {
        "name": config.name,
        "layers": [
            _layer(row, named_leaves(at_path(params, row.path)), _arguments(config.model, row.path))
            for row in layers
        ],
        "config": config.model_dump(),
        "loss": formulas.of_loss(config.loss.name)._asdict(),
    }


def _arguments(call: Call, path: tuple[int, ...]) -> dict[str, Any]:
    """Returns what the config gives the layer at a path, as far as the config says."""
    if call.name in ("rematerialize", "sharded"):
        return _arguments(call.arguments["layer"], path)
    if not path:
        return plain(call.arguments)
    groups = (given if isinstance(given, list) else [given] for given in call.arguments.values())
    inner = [
        one for group in groups for one in group if isinstance(one, Call) and one.family is LAYERS
    ]
    return _arguments(inner[path[0]], path[1:]) if path[0] < len(inner) else {}


def _layer(row: LayerSummary, params: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    formula = formulas.of_layer(row.name, params)
    return {
        "path": list(row.path),
        "label": label(row.path, row.name),
        "name": row.name,
        "in_shape": list(row.in_shape),
        "out_shape": list(row.out_shape),
        "parameters": row.parameters,
        **formula._asdict(),
        "backward": list(formula.backward.values()),
        "arguments": arguments,
        "params": {name: list(leaf.shape) for name, leaf in params.items()},
    }


def describe_given(dataset: Dataset, limits: tuple[float, float] | None = None) -> dict[str, Any]:
    """Returns what stays, whatever is changed in the lab: the data, and what can be chosen.

    Args:
        dataset: the data; its examples may be missing.
        limits: the lowest and the highest value of the training inputs, if they are known.
    """
    shape, some = dataset.in_shape, dataset.train.inputs[:10_000]  # the rest may lie on a disk
    lowest, highest = limits or (float(some.min()), float(some.max()))
    image = len(shape) == 3 and shape[-1] in (1, 3) and some.dtype == np.uint8
    return {
        "dataset": {
            "name": dataset.name,
            "shape": list(shape),
            "dtype": str(some.dtype),
            "limits": [min(lowest, 0.0), highest],
            "task": dataset.task.name,
            "metrics": {name: METRICS[name][0] for name in dataset.task.metrics},
            "classes": list(dataset.output_names),
            "features": list(dataset.features),
            "splits": {split: len(getattr(dataset, split).targets) for split in SPLITS},
            "image": image,
            "drawable": image,
            "missing": dataset.missing,
            "blank": dataset.missing and _blank(dataset, image),
            "mean": np.atleast_1d(dataset.mean).tolist(),
            "deviation": np.atleast_1d(dataset.deviation).tolist(),
        },
        "optimizers": {
            name: values | {"learning_rate": _RATES.get(name, 1e-3)}
            for name, function in OPTIMIZERS.items()
            if "learning_rate" in (values := defaults(function))
        },
        "layer_types": {name: _layer_type(name) for name in {**formulas.LAYERS, **LAYERS}},
        "new_layer": {"layer": "dense", "activation": "relu"},
        "networks": _networks(shape, dataset.out_shape),
    }


def _blank(dataset: Dataset, image: bool) -> list[float]:
    """Returns what is looked at without examples, in order: a black image, else the means."""
    shape = dataset.in_shape
    if image:
        return np.zeros(shape, int).ravel().tolist()
    means = np.broadcast_to(dataset.mean, shape).astype(dataset.train.inputs.dtype)
    return dataset.values(means).ravel().tolist()


def _layer_type(name: str) -> dict[str, Any]:
    """Returns what can be said of a layer of that name in a config.

    ``kind`` is that of its formula; what has none is made of layers ("combined") or is a whole
    network ("network"). ``defaults`` has its arguments, None where one must be given; ``fields``
    those of its formula's layer that are given by position, with what a new one has there.
    """
    given, parameters = defaults(LAYERS[name]), inspect.signature(LAYERS[name]).parameters
    if name not in formulas.LAYERS:
        combined = any(one.annotation is LAYERS.annotation for one in parameters.values())
        return {"kind": "combined" if combined else "network", "defaults": given, "fields": {}}
    fields = {
        key: _FIRST.get(key, value)
        for key, value in given.items()
        if parameters[key].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    return {"kind": formulas.LAYERS[name].kind, "defaults": given, "fields": fields}


def _networks(shape: tuple[int, ...], out_shape: tuple[int, ...]) -> dict[str, list[Any]]:
    """Returns networks to start from, by what they are called: layers as a config has them."""

    def hidden(*sizes: int) -> list[Any]:
        layers = [layer for size in sizes for layer in ({"dense": size}, "relu")]
        return [*layers, {"dense": math.prod(out_shape)}, *shaped]

    shaped = [{"reshape": list(out_shape)}] if len(out_shape) > 1 else []
    flat = ["flatten"] if len(shape) > 1 else []
    networks = {
        "No hidden layer": [*flat, *hidden()],
        "Small: 16, 16": [*flat, *hidden(16, 16)],
        "One hidden layer: 128": [*flat, *hidden(128)],
        "Two: 256, 256": [*flat, *hidden(256, 256)],
    }
    if len(shape) == 3:
        blocks = [({"conv2d": {"units": units}}, "relu", {"max_pool": 2}) for units in (8, 16)]
        networks["Convolutional"] = [*itertools.chain(*blocks), *flat, *hidden(32)]
    return networks


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
