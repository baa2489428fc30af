"""Configs: what is written is built, what is resolved can be read back, mistakes are named."""

import inspect
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from PIL import Image
from ruamel.yaml import YAML

from jaxnn import config as configs
from jaxnn.config import (
    Call,
    Config,
    Experiment,
    Training,
    build,
    differences,
    load_config,
    parse_config,
)
from jaxnn.data import Dataset, data_folder
from jaxnn.errors import ConfigError
from jaxnn.initializers import Initializer
from jaxnn.layers import Layer
from jaxnn.network import map_layers
from jaxnn.optimizers import Mask, Optimizer, hyperparameters
from jaxnn.optimizers.wrappers import Which
from jaxnn.schedules import Schedule, Steps
from jaxnn.training import Examples, fit, init_train_state, make_chunk

SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
MINIMAL = {"data": "digits", "model": ["flatten", {"dense": 10}], "optimizer": {"sgd": 0.1}}

WARMUP = {"warmup_cosine": {"peak": 1, "warmup": 500}}


@pytest.fixture(autouse=True)
def _same_x64_afterwards() -> Iterator[None]:
    """``build`` sets JAX's 64-bit mode for the whole process: other tests must not see it."""
    before = jax.config.read("jax_enable_x64")
    yield
    jax.config.update("jax_enable_x64", before)


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(io.StringIO(text))


def written(folder: Path, text: str, name: str = "some.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def at(tree: Any, path: str) -> Any:
    """What stands at a dotted path in plain values."""
    return reduce(lambda node, key: node[int(key) if key.isdigit() else key], path.split("."), tree)


def assert_round_trip(config: Config) -> None:
    assert parse_config(read(config.to_yaml())) == config


# --- What is shipped


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_loads_and_round_trips(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert_round_trip(config)
    # Under another file name too: the resolved config carries its own.
    assert load_config(written(tmp_path, config.to_yaml(), "other.yaml")) == config


def assert_lowered_for_accelerators(experiment: Experiment) -> None:
    """Its training program can be written for a GPU and a TPU, without having one."""
    config, dataset, network, loss, optimizer = experiment
    state = jax.eval_shape(lambda: init_train_state(network, optimizer, dataset.in_shape, 0))
    few = Examples(*(jax.ShapeDtypeStruct((9, *x.shape[1:]), x.dtype) for x in dataset.train))
    batches = jax.ShapeDtypeStruct((2, config.training.batch_size), np.int32)
    chunk = jax.jit(make_chunk(network, loss, optimizer, experiment.augment, dataset.task))
    lowered = export.export(chunk, platforms=("cuda", "tpu"))(state, few, batches, 0, 1)
    assert lowered.platforms == ("cuda", "tpu")


SECONDS = ("birds", "birds_large", "cifar10", "mnist_cnn")  # to trace


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.long] * (p.stem in SECONDS)) for p in SHIPPED],
    ids=[path.stem for path in SHIPPED],
)
def test_a_shipped_config_builds_and_its_resolved_form_builds_the_same(
    path: Path, tmp_path: Path
) -> None:
    config = load_config(path)
    if config.data.name == "image_folder":  # a few images do, in folders of the same names
        for name in ("bird", *map(str, range(9))):
            (tmp_path / "images" / name).mkdir(parents=True)
            for k in range(8):
                picture = Image.fromarray(np.full((5, 4, 3), 30 * k, np.uint8))
                picture.save(tmp_path / "images" / name / f"{k}.png")
        few = ["data.image_folder.validation=2", "training.batch_size=4"]
        config = load_config(path, [f"data.image_folder.path={tmp_path / 'images'}", *few])
    if config.data.name == "mnist" and not (data_folder() / "mnist").is_dir():
        pytest.skip("no folder mnist in $JAXNN_DATA")
    experiment = build(config)
    assert_lowered_for_accelerators(experiment)
    resolved = experiment.config
    steps = config.training.epochs * (
        len(experiment.dataset.train.targets) // config.training.batch_size
    )
    text = resolved.to_yaml()
    assert " steps: null\n" not in text
    if " steps: null\n" in config.to_yaml():
        assert f" steps: {steps}\n" in text
    assert_round_trip(resolved)
    assert resolved.with_steps(1) == resolved


def test_a_resolved_config_is_complete_and_reads_like_the_network(tmp_path: Path) -> None:
    text = """
data: digits
model: [flatten, {dense: 32}, relu, [{dropout: 0.5}, {dense: {units: 10, weight_init: normal}}]]
optimizer: {adamw: {learning_rate: {warmup_cosine: {peak: 0.01, warmup: 5}}}}
training: {epochs: 2, batch_size: 100}
"""
    config = build(load_config(written(tmp_path, text, "my experiment.yaml"))).config
    learned = {"bias": True, "bias_init": "zeros"}
    schedule = {
        "warmup_cosine": {"peak": 0.01, "steps": 24, "warmup": 5, "initial": 0.0, "final": 0.0}
    }
    dump = read(config.to_yaml())
    assert dump == {
        "name": "my-experiment",
        "data": {"digits": {"normalize": "standard"}},
        "augmentation": [],
        "model": [
            "flatten",
            {"dense": {"units": 32, "weight_init": "he", **learned}},
            "relu",
            [
                {"dropout": {"rate": 0.5, "spatial": False}},
                {"dense": {"units": 10, "weight_init": {"normal": {"stddev": 0.01}}, **learned}},
            ],
        ],
        "loss": dump["loss"],
        "optimizer": {"adamw": {**dump["optimizer"]["adamw"], "learning_rate": schedule}},
        "training": Training().model_dump() | {"epochs": 2, "batch_size": 100},
        "evaluation": {"weights": False, "mirror": False, "shift": 0},
        "devices": {"data": "all", "parameters": 1},
        "seed": 0,
    }
    assert list(dump) == list(Config.model_fields)
    assert_round_trip(config)


def test_a_default_is_what_writing_it_out_gives() -> None:
    assert parse_config(MINIMAL) == parse_config({**MINIMAL, "loss": "softmax_cross_entropy"})
    assert_round_trip(parse_config(MINIMAL))


# --- Every function that a config can name


EXAMPLES: list[tuple[Any, Any]] = [  # a value for each kind of argument without a default
    (int, 3),
    (float, 0.5),
    (str, "some text"),
    (str | list[str], ["one", "another"]),
    (str | Path, "some/path"),
    (Sequence[int], [3]),
    (int | float, 0.1),
    (int | list[int], 32),
    (Sequence[float], [0.1, 0.01]),
    (Dataset, "digits"),
    (Layer, "relu"),
    (Optimizer, {"sgd": 0.1}),
    (Mask | Which, "weights"),
    (Initializer, "zeros"),
    (float | Schedule, 0.1),
]
PLACES: list[tuple[configs.Family, str, Callable[[Any], Any], str]] = [
    (configs.DATASETS, "data", lambda call: call, "data"),
    (configs.LAYERS, "model", lambda call: call, "model"),
    (configs.LOSSES, "loss", lambda call: call, "loss"),
    (configs.OPTIMIZERS, "optimizer", lambda call: call, "optimizer"),
    (configs.AUGMENTATIONS, "augmentation", lambda call: [call], "augmentation"),
    (
        configs.INITIALIZERS,
        "model",
        lambda call: {"dense": {"units": 10, "weight_init": call}},
        "weight_init",
    ),
    (
        configs.SCHEDULES,
        "optimizer",
        lambda call: {"sgd": {"learning_rate": call}},
        "learning_rate",
    ),
]


def example(parameter: inspect.Parameter) -> Any:
    return next(value for kind, value in EXAMPLES if kind == parameter.annotation)


def example_arguments(function: Callable[..., Any], direct: bool) -> dict[str, Any]:
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if direct and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            arguments[name] = [example(parameter)]
        elif parameter.default is inspect.Parameter.empty and parameter.annotation != Steps:
            arguments[name] = example(parameter)
    return arguments


@pytest.mark.parametrize(
    ("place", "name"),
    [pytest.param(place, name, id=name) for place in PLACES for name in place[0]],
)
def test_every_function_can_be_called_from_a_config(place: Any, name: str) -> None:
    family, key, wrapped, part = place
    function = family[name]
    arguments = example_arguments(function, family.direct)
    config = parse_config({**MINIMAL, key: wrapped({name: arguments})}).with_steps(1000)
    call: Call = getattr(config, key)
    if isinstance(call, list):
        (call,) = call
    call = call if part == key else call.arguments[part]
    assert call.name == name
    # Complete: every argument of the signature, but for arrays and masks.
    assert set(call.arguments) == {
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.annotation is not Mask
        and (not family.direct or parameter.kind is inspect.Parameter.KEYWORD_ONLY)
    }
    assert_round_trip(config)
    if family is not configs.DATASETS:
        assert callable(call.build("here")) or isinstance(call.build("here"), Layer | Optimizer)


@pytest.mark.long
def test_augmentations_are_applied_in_order_and_told_the_number_of_classes() -> None:
    calls = ["mixup", {"cutout": {"size": 20, "fill": 3}}]
    experiment = build(parse_config({**MINIMAL, "augmentation": calls}))
    assert [call.name for call in experiment.config.augmentation] == ["mixup", "cutout"]
    assert experiment.config.augmentation[0].arguments == {"alpha": 1.0, "classes": 10}
    keys, images = jax.random.split(jax.random.key(0), 4), jnp.ones((4, 8, 8, 1))
    assert experiment.augment is not None
    images, targets = experiment.augment(keys, images, jnp.arange(4))
    np.testing.assert_array_equal(images, jnp.full((4, 8, 8, 1), 3))
    assert targets.shape == (4, 10)
    assert build(parse_config(MINIMAL)).augment is None


def test_arguments_reach_the_functions() -> None:
    model = ["flatten", {"dense": {"units": 10, "weight_init": {"normal": {"stddev": 3.0}}}}]
    sgd = {"sgd": {"learning_rate": 0.1, "momentum": 0.8}}
    optimizer = {"chain": [{"clip_by_global_norm": 0.5}, sgd]}
    experiment = build(parse_config({**MINIMAL, "model": model, "optimizer": optimizer}))
    params, _, out_shape = experiment.network.init(jax.random.key(0), (8, 8, 1))
    assert out_shape == (10,)
    assert np.std(params[1]["weight"]) == pytest.approx(3, rel=0.1)
    found = hyperparameters(experiment.optimizer.init(params))
    expected = {"max_norm": 0.5, "momentum": 0.8, "learning_rate": 0.1}
    assert {k: float(v) for k, v in found.items()} == pytest.approx(expected)


def test_the_ways_to_write_a_call_are_equal() -> None:
    def model(*layers: Any) -> Call:
        return parse_config({**MINIMAL, "model": list(layers)}).model

    assert model({"dense": 10}) == model({"dense": {"units": 10}})
    assert model("relu") == model({"relu": None}) == model({"relu": {}})
    assert model(["relu"], "tanh") == model({"serial": {"layers": ["relu"]}}, "tanh")


# --- Overrides


@pytest.mark.parametrize(
    ("override", "place", "expected"),
    [
        ("training.epochs=5", "training.epochs", 5),
        ("seed=7", "seed", 7),
        ("name=other", "name", "other"),
        ("optimizer.sgd.learning_rate=1e-3", "optimizer.sgd.learning_rate", 0.001),
        ("optimizer.sgd.learning_rate=1", "optimizer.sgd.learning_rate", 1.0),
        ("optimizer.sgd.nesterov=true", "optimizer.sgd.nesterov", True),
        ("model.1.dense=64", "model.1.dense.units", 64),
        ("model.1={dense: {units: 20, bias: false}}", "model.1.dense.bias", False),
        ("model.2=tanh", "model.2", "tanh"),
        ("model=[flatten, {dense: 10}]", "model.1.dense.units", 10),
        ("data.digits.normalize=unit", "data.digits.normalize", "unit"),
        ("loss=mean_squared_error", "loss", "mean_squared_error"),
        ("optimizer={adam: {learning_rate: 0.1, b1: 0.5}}", "optimizer.adam.b1", 0.5),
    ],
)
def test_an_override_changes_one_place(override: str, place: str, expected: Any) -> None:
    path = SHIPPED[[path.stem for path in SHIPPED].index("digits_mlp")]
    before, after = (load_config(path, o).model_dump() for o in ([], [override]))
    value = at(after, place)
    assert value == expected
    assert type(value) is type(expected)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {place.split(".")[0]}


def test_overrides_follow_each_other_and_fill_in_short_forms(tmp_path: Path) -> None:
    path = written(tmp_path, "data: mnist\nmodel: relu\noptimizer: {sgd: 0.1}\n")
    overrides = ["data.mnist.validation=5000", "training.epochs=3", "training.epochs=4"]
    config = load_config(path, overrides)
    assert config.data.arguments["validation"] == 5000
    assert config.training.epochs == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "an override is written key=value"),
        ("=5", "an override is written key=value"),
        ("training..epochs=5", "an override is written key=value"),
        ("model.9=relu", "model.9=relu: model is a list: a number from 0 to 3 must follow"),
        ("model.²=relu", "a number from 0 to 3 must follow"),
        ("model.-1=relu", "a number from 0 to 3 must follow"),
        ("training.epochs.x=5", "training.epochs is 40 and has no 'x'; replace it as a whole"),
        ("data.mnist.validation=5", "data is 'digits' and has no 'mnist'"),
        ("training={epochs: 1", "not valid YAML"),
        ("training={epochs: 1, epochs: 2}", 'duplicate key "epochs"'),
    ],
)
def test_a_wrong_override_is_named(override: str, message: str) -> None:
    path = SHIPPED[[path.stem for path in SHIPPED].index("digits_mlp")]
    with pytest.raises(ConfigError) as caught:
        load_config(path, [override])
    assert message in str(caught.value)
    assert override.split("=")[0] in str(caught.value)


# --- YAML


def test_yaml_is_that_of_version_1_2(tmp_path: Path) -> None:
    files = "train_images: a, train_labels: b, test_images: c, test_labels: d"
    text = f"data: {{idx: {{{files}, classes: [no, on, off]}}}}\nmodel: relu\n"
    config = load_config(written(tmp_path, text + "optimizer: {sgd: 1e-3}\n"))
    assert config.data.arguments["classes"] == ["no", "on", "off"]
    assert config.optimizer.arguments["learning_rate"] == 0.001


def bomb(form: str, levels: int = 9, times: int = 9) -> str:
    """A few lines that are billions of values: each is so many of the one before."""
    lines = ["model:", "  - &a0 {y: 1}"]
    for i in range(levels):
        aliases = ", ".join([f"*a{i}"] * times)
        if form.startswith("{{x"):
            aliases = "{" + ", ".join(f"k{k}: *a{i}" for k in range(times)) + "}"
        lines.append(f"  - &a{i + 1} {form.format(aliases)}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", 'not valid YAML: found duplicate key "seed".*line 2, column 1'),
        ("model: [relu\n", r"not valid YAML: .*line 2"),
        ("a: b: c\n", "not valid YAML: mapping values are not allowed here .line 1, column 5"),
        ("seed: 2020-13-45\n", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("model: !!python/object:os.system ls\n", "not valid YAML: .*constructor"),
        ("", "expected keys such as data"),
        ("- data\n", "expected keys such as data"),
        ("model: &a [*a]\n", "nested too deeply"),
        ("seed: " + "[" * 1000, "nested too deeply"),
        (bomb("[{0}]"), "more than 100,000 values"),
        (bomb("{{x: {0}}}", 30, 2), "more than 100,000 values"),
        (bomb("{{<<: [{0}]}}"), "more than 100,000 values"),
        ("data: digits\nmodel: " + "x" * 200_000, "unknown layer"),
        pytest.param(
            *("data: digits\nmodel: [" + "1," * 20_000 + "]", "expected one layer.*19,981 more"),
            marks=pytest.mark.long,
        ),
        ("data: digits\noptimizer: " + "{a: " * 50 + "1" + "}" * 50, "unknown optimizer"),
        ("name: ..\ndata: digits", "name: .*match pattern"),
    ],
)
def test_what_is_not_a_config_is_rejected(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=f"(?s){path}: ?.*{message}") as error:
        load_config(path)
    assert len(str(error.value)) < 10_000


def test_a_file_that_cannot_be_read_is_named_with_the_nearest_match(tmp_path: Path) -> None:
    written(tmp_path, "", "mnist_mlp.yaml")
    with pytest.raises(ConfigError, match=r"mnist_mpl.yaml: .*; did you mean .*/mnist_mlp.yaml\?"):
        load_config(tmp_path / "mnist_mpl.yaml")
    with pytest.raises(ConfigError, match="cannot read the config: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ConfigError, match=r"binary\.yaml: not a text file"):
        load_config(tmp_path / "binary.yaml")


# --- Differences


def test_differences_are_the_keys_that_differ() -> None:
    training = {"epochs": 3, "batch_size": 20}
    base: dict[str, Any] = MINIMAL | {"model": ["flatten", {"dense": 16}, "relu", {"dense": 10}]}

    def found(*changes: dict[str, Any]) -> dict[str, list[Any]]:
        return differences([parse_config(base | change) for change in changes])

    assert found() == found({}) == found({}, {}) == {}
    wider = ["flatten", {"dense": 32}, "relu", {"dense": 10}]
    assert found({"seed": 1}, {"model": wider, "seed": 1}, {"seed": 1, "training": training}) == {
        "model.1.dense.units": [16, 32, 16],
        "training.epochs": [10, 10, 3],
        "training.batch_size": [64, 64, 20],
    }
    assert found({"name": "a"}, {"seed": 2}) == {"name": ["a", "experiment"], "seed": [0, 2]}
    swapped = ["flatten", {"dense": 16}, "tanh", {"dense": 10}]
    assert found({}, {"model": swapped}) == {"model.2": ["relu", "tanh"]}
    # Of different kinds, or of another number: as a whole.
    assert [list(value) for value in found({}, {"optimizer": {"adam": 0.1}})["optimizer"]] == [
        ["sgd"],
        ["adam"],
    ]
    assert list(found({}, {"model": ["flatten", {"dense": 10}]})) == ["model"]


# --- Mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainin": {}}, "unknown key 'trainin'; did you mean 'training'? allowed: name, data"),
        ({"training": {"epoch": 1}}, "training: unknown key 'epoch'; did you mean 'epochs'?"),
        ({"training": {1: 1}}, "training: unknown key 1; allowed: epochs"),
        ({"training": [1]}, "training: expected keys (epochs, batch_size"),
        (
            {"training": {"epochs": 0}},
            "training.epochs: Input should be greater than or equal to 1",
        ),
        ({"training": {"epochs": True}}, "training.epochs: Input should be a valid integer, got T"),
        (
            {"training": {"epochs": "5"}},
            "training.epochs: Input should be a valid integer, got '5'",
        ),
        ({"training": {"precision": "f32"}}, "training.precision: Input should be 'float32', "),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, got -1"),
        ({"name": "../up"}, "name: String should match pattern"),
        ({"data": "mnits"}, "data: unknown data set 'mnits'; did you mean 'mnist'? allowed: "),
        ({"data": {"digits": {"normalise": 1}}}, "data.digits: unknown key 'normalise'; did you"),
        (
            {"data": {"idx": {"train_images": 5}}},
            "data.idx.train_images: Input should be a valid s",
        ),
        ({"data": {"idx": "a"}}, "data.idx.train_labels: is required\n"),
        ({"model": 5}, "model: expected one layer, written 'name' or 'name: arguments', got 5"),
        (
            {"model": [{"dense": 1, "relu": 2}]},
            "model.0: expected one layer, written 'name' or 'na",
        ),
        ({"model": [{"dense": 1, "relu": 2}]}, "got 2: dense, relu"),
        ({"model": ["flatten", "denes"]}, "model.1: unknown layer 'denes'; did you mean 'dense'?"),
        ({"model": ["relu", ["dens"]]}, "model.1.0: unknown layer 'dens'"),
        ({"model": [{"relu": 3}]}, "model.0: relu takes no arguments, got 3"),
        (
            {"model": [{"dense": {"unit": 3}}]},
            "model.0.dense: unknown key 'unit'; did you mean 'un",
        ),
        (
            {"model": [{"dense": 2.5}]},
            "model.0.dense.units: Input should be a valid integer, got 2.",
        ),
        (
            {"model": [{"dense": 2**31}]},
            "model.0.dense.units: Input should be less than 2147483648",
        ),
        (
            {"model": [{"dense": {"units": 1, "weight_init": "gloro"}}]},
            "model.0.dense.weight_init: unknown initializer 'gloro'; did you mean 'glorot'?",
        ),
        ({"loss": "entropy"}, "loss: unknown loss 'entropy'"),
        ({"optimizer": "sgd"}, "optimizer.sgd.learning_rate: is required"),
        ({"optimizer": {"sgd": True}}, "optimizer.sgd.learning_rate: expected one schedule"),
        (
            {"optimizer": {"sgd": float("inf")}},
            "optimizer.sgd.learning_rate: Input should be a fin",
        ),
        (
            {"optimizer": {"sgd": 10**400}},
            "optimizer.sgd.learning_rate: Input should be a valid nu",
        ),
        (
            {"optimizer": {"sgd": {"learning_rate": "cosin"}}},
            "unknown schedule 'cosin'; did you mea",
        ),
        (
            {"optimizer": {"chain": ["adma"]}},
            "optimizer.chain.optimizers.0: unknown optimizer 'adma'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, **changes}, "here.yaml")
    assert str(caught.value).startswith("here.yaml:\n  ")
    assert message in str(caught.value)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"model": "reul", "training": {"epochs": 0, "batch_size": 0}})
    lines = str(caught.value).splitlines()[1:]
    places = [line.strip().partition(":")[0] for line in lines]
    assert places == ["data", "model", "optimizer", "training.epochs", "training.batch_size"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": ["flatten", {"dense": -3}]},
            r"model\.1\.dense: units must be at least 1, got -3",
        ),
        ({"model": ["relu", [{"dropout": 1}]]}, r"model\.1\.0\.dropout: rate must be in \[0, 1\)"),
        ({"model": ["flatten", {"dense": 11}]}, r"model: the output of layer 1 \(dense\) has .*11"),
        (
            {"model": ["flatten", ["relu", {"dense": 9}]]},
            r"of layer 1\.1 \(dense\) has shape \(9,\)",
        ),
        (
            {"model": "relu"},
            r"model: the output of relu has shape \(8, 8, 1\), .* \(10,\) is needed",
        ),
        (
            {"model": ["flatten", {"dense": {"units": 10, "bias_init": "he"}}]},
            r"model: layer 1 \(dense\): .* \[its input has shape \(64,\), from layer 0 \(flatten\)",
        ),
        ({"training": {"batch_size": 1298}}, "training: batch_size .* 1297 training examples"),
        ({"training": {"epochs": 2**31 - 1}}, "training: .* steps are too many"),
        ({"optimizer": {"sgd": -1}}, "optimizer.sgd: learning_rate must not be negative, got -1.0"),
        (
            {"optimizer": {"chain": [{"clip_by_global_norm": 0}]}},
            r"optimizer\.chain\.0\.clip_by_global_norm: max_norm must be above 0",
        ),
        (
            {"optimizer": {"sgd": {"learning_rate": WARMUP}}},
            r"optimizer\.sgd\.learning_rate\.warmup_cosine: a warm-up of 500 .* of 200 steps",
        ),
        (
            {"augmentation": ["flip", {"cutout": 0}]},
            r"augmentation\.1\.cutout: size must be at least 1, got 0",
        ),
        ({"augmentation": [{"shift": 8}]}, "augmentation: shift: images of 8×8 cannot move 8"),
        (
            {"loss": {"softmax_cross_entropy": {"label_smoothing": 2}}},
            r"loss\.softmax_cross_entropy:",
        ),
    ],
)
def test_parts_that_cannot_be_or_do_not_fit_are_named(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(parse_config({**MINIMAL, **changes}))


# --- Models in Python


MODULE = """
from jaxnn.layers import dense, flatten
from jaxnn.layers import serial
from jaxnn.optimizers import sgd

def net():
    return serial(flatten(), dense(10))

def no_layer():
    return 5

def slow():
    return sgd(0.001)

def broken():
    return 1 / 0

def refused():
    return dense(-1)

def needy(units):
    return dense(units)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    name = "a_module_of_the_config_tests"
    written(tmp_path, MODULE, f"{name}.py")
    yield name
    sys.modules.pop(name, None)


def test_a_model_can_be_a_function_of_a_module_in_the_working_directory(module: str) -> None:
    config = parse_config({**MINIMAL, "model": f"{module}:net"})
    assert_round_trip(config)
    params, _, out_shape = build(config).network.init(jax.random.key(0), (8, 8, 1))
    assert out_shape == (10,)
    assert params[1]["weight"].shape == (64, 10)
    within = parse_config({**MINIMAL, "model": [f"{module}:net", "relu"]})
    assert [layer.name for layer in build(within).network.layers] == ["serial", "relu"]


def test_so_can_an_optimizer(module: str) -> None:
    config = parse_config({**MINIMAL, "optimizer": f"{module}:slow"})
    assert_round_trip(config)
    state = build(config).optimizer.init({"weight": np.zeros(3)})
    assert hyperparameters(state)["learning_rate"] == np.float32(0.001)
    with pytest.raises(ConfigError, match=r"optimizer: expected an Optimizer from .*:net\(\), got"):
        build(parse_config({**MINIMAL, "optimizer": f"{module}:net"}))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("ent", "model: {module}: unknown function 'ent'; did you mean 'net'? allowed: dense, "),
        ("no_layer", "model: expected a Layer from {module}:no_layer(), got int"),
        (
            "broken",
            "model: {module}:broken() failed: ZeroDivisionError: division by zero ({path}, ",
        ),
        ("broken", "line 16)"),
        (
            "refused",
            "failed: ValueError: dense: units must be at least 1, got -1 ({path}, line 19)",
        ),
        ("needy", "model: {module}:needy() failed: TypeError: needy() missing 1 required"),
    ],
)
def test_a_function_that_makes_no_model_is_named(
    module: str, function: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(parse_config({**MINIMAL, "model": f"{module}:{function}"}))
    assert message.format(module=module, path=tmp_path / f"{module}.py") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere'"),
        ("x = [\n", r"SyntaxError: .*\.py, line 1"),
        ("x = 1\ny = x['a']\n", r"TypeError: .*\.py, line 2\)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(
    module: str, text: str, message: str, tmp_path: Path
) -> None:
    written(tmp_path, text, f"{module}.py")
    with pytest.raises(ConfigError, match=f"model: cannot import '{module}': .*{message}"):
        build(parse_config({**MINIMAL, "model": f"{module}:net"}))


@pytest.mark.parametrize("model", ["no_such_module:net", ":net", ".a:net"])
def test_a_module_that_is_not_there_is_named(model: str) -> None:
    name = model.partition(":")[0]
    with pytest.raises(ConfigError, match=f"model: cannot import '{name}'"):
        build(parse_config({**MINIMAL, "model": model}))


# --- Precision


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_the_precision_is_what_layers_compute_in(precision: str) -> None:
    training = {"precision": precision, "epochs": 1, "batch_size": 500}
    experiment = build(parse_config({**MINIMAL, "training": training}))
    assert jax.config.read("jax_enable_x64") == (precision == "float64")
    seen = []

    def spied(path: tuple[int, ...], layer: Layer) -> Layer:
        """Notes the type of what a layer is given, in both directions."""

        def forward(params: Any, state: Any, x: jax.Array, **options: Any) -> Any:
            seen.append(x.dtype)
            return layer.forward(params, state, x, **options)

        def backward(params: Any, residuals: Any, dy: jax.Array) -> Any:
            seen.append(dy.dtype)
            return layer.backward(params, residuals, dy)

        return layer._replace(forward=forward, backward=backward)

    parts = (map_layers(spied, experiment.network), experiment.loss, experiment.optimizer)
    reports = list(fit(*parts, experiment.dataset, batch_size=500, epochs=1))
    assert {str(dtype) for dtype in seen} == {precision}
    params = reports[-1].train_state.params
    kept = jnp.float64 if precision == "float64" else jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(kept)}
    if precision == "float64":  # and not float32 numbers in wide clothes
        weight = np.asarray(params[1]["weight"])
        assert np.abs(weight - weight.astype(np.float32)).max() > 1e-12
    assert np.isfinite(reports[-1].loss)


def test_the_64_bit_mode_is_left_again_for_another_precision() -> None:
    build(parse_config({**MINIMAL, "training": {"precision": "float64"}}))
    build(parse_config(MINIMAL))
    assert jnp.zeros(()).dtype == jnp.float32
