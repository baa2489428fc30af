"""The JSON Schema of configs accepts what the configs' own validation accepts, and nothing else."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML
from running import run_script

from jaxnn.config import DATASETS, LAYERS, Config, load_config, parse_config
from jaxnn.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
VALID: dict[str, Any] = {
    "data": "digits",
    "model": ["flatten", {"dense": 10}],
    "optimizer": {"sgd": 0.1},
}


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"data": {"digits": None}},
    {"data": {"digits": {}}},
    {"data": {"digits": {"normalize": "unit"}}},
    {"data": {"mnist": {"validation": 5}}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "test": 0.2, "validation": 7}}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "ignore": ["c"]}}},
    {"data": {"csv": {"path": "a.csv", "target": ["b", "c"], "task": "regression"}}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "categories": ["c"], "missing": "mean"}}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "balance": "weights"}}},
    {"data": "plane"},
    {"data": {"plane": {"shape": "rings", "classes": 5, "noise": 0, "points": 300}}},
    {"data": {"npz": "a.npz"}},
    {"data": {"image_folder": {"path": "a.zip", "size": 32}}},
    {"data": {"image_folder": {"path": "a", "size": [8, 9], "classes": {"a": "b", "*": "c"}}}},
    {"data": {"emnist": "letters"}},
    {"model": "mymodule:network"},
    {"model": ["flatten", "my.module:layer", {"serial": [{"dense": {"units": 3}}]}]},
    {"model": [{"shortcut": [{"dense": 3}]}, {"shortcut": "relu"}]},
    {"model": [{"shortcut": {"layer": {"dense": 3}}}]},
    {"model": [{"dense": {"units": 3, "weight_init": "glorot", "bias": False}}]},
    {"model": [{"dense": {"units": 3, "weight_init": {"normal": {"stddev": 0.1}}}}]},
    {"loss": "mean_squared_error"},
    {"loss": {"softmax_cross_entropy": {"label_smoothing": 0.1}}},
    {"augmentation": []},
    {"augmentation": ["flip", {"shift": 2}, {"shift": 0.1}, {"shift": {"distance": 1, "fill": 3}}]},
    {"augmentation": [{"mixup": {"alpha": 0.2, "classes": 10}}, "mixup", {"affine": {"shear": 1}}]},
    {"optimizer": {"sgd": {"learning_rate": {"cosine": 0.1}}}},
    {"optimizer": {"sgd": {"learning_rate": {"cosine": {"peak": 0.1, "steps": 5}}}}},
    {"optimizer": {"chain": {"optimizers": [{"sgd": 1}, {"adamw": 1}]}}},
    {"training": {"epochs": 3, "precision": "bfloat16"}, "seed": 3, "name": "a-b"},
]
REFUSED: list[dict[str, Any]] = [
    {"data": "digit"},
    {"data": {"digits": {"normalise": "unit"}}},
    {"data": {"digits": {"normalize": "units"}}},
    {"data": {"digits": {}, "mnist": {}}},
    {"data": {}},
    {"data": None},
    {"data": "csv"},
    {"data": {"csv": "a.csv"}},
    {"data": {"image_folder": "a.zip"}},
    {"data": {"image_folder": {"path": "a.zip", "size": 8.5}}},
    {"data": {"image_folder": {"path": "a.zip", "size": 8, "classes": ["a"]}}},
    {"data": {"emnist": "letter"}},
    {"data": {"csv": {"path": "a.csv", "target": 3}}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "missing": "median"}}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "balance": "repeat"}}},
    {"data": {"plane": "moon"}},
    {"data": {"csv": {"path": "a.csv", "target": "b", "ignore": "c"}}},
    {"model": ["flatten", {"dens": 10}]},
    {"model": ["flatten", "dense"]},
    {"model": ["flatten", {"dense": None}]},
    {"model": ["flatten", {"dense": "10"}]},
    {"model": ["flatten", {"dense": {"unit": 10}}]},
    {"model": ["flatten", {"dense": {"units": 10, "weight_init": "zero"}}]},
    {"model": [{"relu": 3}]},
    {"model": [{"shortcut": {"dense": 3}}]},
    {"model": [[{"dense": 3}], 5]},
    {"loss": {"softmax_cross_entropy": {"smoothing": 0.1}}},
    {"augmentation": "flip"},
    {"augmentation": ["flipped"]},
    {"augmentation": ["shift"]},
    {"augmentation": [{"shift": True}]},
    {"augmentation": [{"mixup": {"alpha": 0.2, "classes": 1.5}}]},
    {"optimizer": "sgd"},
    {"optimizer": {"sgd": {"learning_rate": {"cosin": 0.1}}}},
    {"optimizer": {"sgd": {"learning_rate": "fast"}}},
    {"optimizer": {"sgd": {"learning_rate": True}}},
    {"training": {"epoch": 3}},
    {"training": {"epochs": 0}},
    {"training": {"precision": "float16"}},
    {"sead": 3},
    {"seed": -1},
    {"name": "a/b"},
]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = Config.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid_as_written_and_as_completed(
    path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(YAML(typ="safe", pure=True).load(path.read_text()))
    validator.validate(json.loads(json.dumps(load_config(path).model_dump())))


@pytest.mark.parametrize("changes", ACCEPTED, ids=repr)
def test_what_is_right_is_accepted(
    changes: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    parse_config(VALID | changes)
    validator.validate(VALID | changes)


@pytest.mark.parametrize("changes", REFUSED, ids=repr)
def test_what_is_wrong_is_refused(
    changes: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    with pytest.raises(ConfigError):
        parse_config(VALID | changes)
    assert not validator.is_valid(VALID | changes)


@pytest.mark.parametrize("key", ["data", "model", "optimizer"])
def test_what_is_required_is_required(key: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid({k: v for k, v in VALID.items() if k != key})


def test_every_name_is_offered_with_a_description() -> None:
    definitions = Config.model_json_schema()["$defs"]
    for kind, family in (("layer", LAYERS), ("data_set", DATASETS)):
        calls = definitions[kind]["anyOf"][1]["properties"]
        assert calls.keys() == family.keys()
        assert all(call["description"] for call in calls.values())
    assert definitions["dense"]["properties"]["bias"]["default"] is True


def test_describe_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_script(capsys, "describe", "--schema")
    assert (outcome.status, outcome.err) == (0, "")
    printed = json.loads(outcome.out)
    assert printed == Config.model_json_schema()
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"

    outcome = run_script(capsys, "describe")
    assert outcome.status == 2
    assert "a config is needed" in outcome.err
    config = str(CONFIGS[0].with_name("digits_mlp.yaml"))
    outcome = run_script(capsys, "describe", config, "model.1.dense=5")
    assert outcome.status == 0
    assert "1 dense" in outcome.out
