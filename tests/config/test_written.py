"""From the library's objects back to the config that makes them."""

import functools
from typing import Any

import numpy as np
import optax
import pytest

from jaxnn import initializers, losses, optimizers, schedules
from jaxnn.calls import call_of
from jaxnn.config import build, parse_config, written
from jaxnn.config.catalogue import LAYERS, OPTIMIZERS, SCHEDULES
from jaxnn.data import digits
from jaxnn.layers import (
    Layer,
    before,
    dense,
    flatten,
    in_precision,
    leaky_relu,
    parallel,
    relu,
    rematerialize,
    serial,
    shortcut,
    standardize,
)
from jaxnn.network import describe, map_layers

FEW = functools.partial(initializers.normal, stddev=0.1)
NETWORK = serial(
    flatten(),
    standardize(np.zeros(64, np.float32), np.float32(2)),
    parallel(dense(3), rematerialize(dense(5, bias=False)), how="concatenate"),
    shortcut(serial(dense(8, weight_init=FEW), leaky_relu(0.2))),
    dense(10, weight_init=initializers.glorot),
)
OPTIMIZER = optimizers.chain(
    optimizers.clip_by_global_norm(1.0), optimizers.adam(schedules.cosine(0.1, steps=30), b1=0.8)
)


def test_a_config_that_is_written_makes_the_same() -> None:
    loss = functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1)
    config = parse_config(
        {
            "data": "digits",
            "model": written(NETWORK),
            "loss": written(loss),
            "optimizer": written(OPTIMIZER),
        }
    )
    made = build(config, digits())
    assert describe(made.network, (8, 8, 1)) == describe(NETWORK, (8, 8, 1))
    branch = config.model.arguments["layers"][2].arguments["layers"][1].arguments["layer"]
    assert branch.plain()["dense"]["bias"] is False
    inner = config.model.arguments["layers"][3].arguments["layer"].arguments["layers"]
    assert inner[0].plain()["dense"]["weight_init"] == {"normal": {"stddev": 0.1}}
    assert inner[1].plain() == {"leaky_relu": {"negative_slope": 0.2}}
    assert config.loss.plain() == {"softmax_cross_entropy": {"label_smoothing": 0.1}}
    assert config.horizons() == [30]
    # What is made of a config has calls too: written again, it is the same.
    assert parse_config(config.model_dump() | {"model": written(NETWORK)}) == config


def test_every_function_that_a_config_can_call_is_remembered() -> None:
    for family in (LAYERS, OPTIMIZERS, SCHEDULES):
        for name, function in family.items():
            assert hasattr(function, "__wrapped__"), name


@pytest.mark.parametrize(
    ("made", "who"),
    [
        (relu()._replace(name="mine"), "Layer mine"),
        (serial(dense(3), relu()._replace(name="inner")), "Layer inner"),
        (before(dense(3), standardize(0.0, 1.0)), "Layer dense"),
        (in_precision(dense(3), "bfloat16"), "Layer dense"),
        (map_layers(lambda path, x: x._replace(name="seen"), dense(3)), "Layer seen"),
        (optax.adam(0.1), "GradientTransformation"),
        (optimizers.adam(lambda step: 0.1), "function <lambda>"),
    ],
)
def test_what_was_changed_or_is_code_of_ones_own_is_not_written(made: Any, who: str) -> None:
    with pytest.raises(ValueError, match=f"{who}.* was not made by a function that a config can"):
        written(made)


def test_a_layer_knows_its_call() -> None:
    layer: Layer = dense(3, bias=False)
    call = call_of(layer)
    assert call is not None
    assert (call.func, call.args, call.keywords) == (dense, (3,), {"bias": False})
    assert call_of(call()) is not None
    hash(layer)  # a static argument of jit, whatever it was called with
    hash(standardize(np.zeros(3), np.ones(3)))
