"""What the lab says of layers and losses is said of all there are, and is that of the library."""

from typing import Any

import jax
import pytest

from jaxnn import models
from jaxnn.config import LAYERS, LOSSES, Config, build, parse_config
from jaxnn.network import describe
from jaxnn.web import formulas
from jaxnn.web.description import describe_given, describe_training
from jaxnn.web.programs import Programs

MODEL: list[Any] = [
    {"conv2d": {"units": 3, "stride": 2}},
    "sigmoid",
    {"rematerialize": {"layer": [{"max_pool": 2}, {"shortcut": {"layer": [{"conv2d": 3}]}}]}},
    {"parallel": {"layers": ["relu", {"leaky_relu": 0.2}], "how": "concatenate"}},
    "flatten",
    {"dense": 10},
]


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config({"data": "digits", "model": MODEL, "optimizer": {"sgd": 0.1}})


@pytest.fixture(scope="module")
def given(config: Config) -> dict[str, Any]:
    return describe_given(build(config).dataset)


def test_every_layer_and_loss_has_a_formula(given: dict[str, Any]) -> None:
    made_of_layers = {"parallel", "rematerialize", "serial", "sharded", "shortcut"}
    networks = {name for name in LAYERS if LAYERS[name].__module__ == models.__name__}
    assert set(formulas.LAYERS) == set(LAYERS) - made_of_layers - networks
    assert set(formulas.LOSSES) == set(LOSSES)
    kinds = {name: kind["kind"] for name, kind in given["layer_types"].items()}
    assert {name for name in kinds if kinds[name] == "combined"} == made_of_layers
    assert {name for name in kinds if kinds[name] == "network"} == networks


def test_fields_are_what_is_given_by_position(given: dict[str, Any]) -> None:
    fields = {name: kind["fields"] for name, kind in given["layer_types"].items()}
    assert fields["conv2d"] == {"units": 32, "size": 3, "stride": 1, "padding": "SAME"}
    assert fields["dropout"] == {"rate": 0.2}
    assert fields["reshape"] == {"shape": None}
    assert fields["batch_norm"] == fields["resnet20"] == {}
    assert given["layer_types"]["group_norm"]["defaults"]["groups"] == 32


def test_the_networks_to_start_from_can_be_built(config: Config, given: dict[str, Any]) -> None:
    values = config.model_dump()
    assert len(given["networks"]) == 5
    for model in given["networks"].values():
        network = build(parse_config(values | {"model": model})).network
        assert describe(network, (8, 8, 1))[0].out_shape == (10,)


def test_a_layer_has_the_arguments_that_the_config_gives_it(config: Config) -> None:
    experiment = build(config)
    params, *_ = experiment.network.init(jax.random.key(0), (8, 8, 1))
    said = describe_training(config, Programs(experiment).layers, params)["layers"]
    assert [(layer["name"], layer["kind"]) for layer in said] == [
        ("conv2d", "convolution"),
        ("sigmoid", "activation"),
        ("max_pool", "pooling"),
        ("conv2d", "convolution"),
        ("relu", "activation"),
        ("leaky_relu", "activation"),
        ("flatten", "passing"),
        ("dense", "connected"),
    ]
    given = [layer["arguments"] for layer in said]
    assert [(one["units"], one["stride"]) for one in (given[0], given[3])] == [(3, 2), (3, 1)]
    assert given[2] == {"size": 2, "stride": None, "padding": "VALID"}
    assert given[5] == {"negative_slope": 0.2}
    assert given[4] == given[6] == {}
