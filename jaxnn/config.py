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

import difflib
import functools
import importlib
import inspect
import io
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import jax
import pydantic
from jax.typing import DTypeLike
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import (
    DEFAULT_REF_TEMPLATE,
    CoreRef,
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
)
from pydantic_core import CoreSchema, core_schema
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from jaxnn import data, initializers, layers, losses, models, network, optimizers, schedules
from jaxnn.data import Dataset, augmentation
from jaxnn.data.augmentation import Augmentation
from jaxnn.errors import ConfigError
from jaxnn.layers import Layer
from jaxnn.optimizers import Optimizer
from jaxnn.training import steps_per_epoch

Family = Mapping[str, Callable[..., Any]]


def _family(module: Any, *names: str) -> Family:
    return {name: getattr(module, name) for name in names}


DATASETS = _family(
    data,
    *("cifar10", "cifar100", "csv", "digits", "emnist", "fashion_mnist", "idx", "image_folder"),
    *("kmnist", "mnist", "npz"),
)
LAYERS = {
    **_family(
        layers,
        *("dense", "dropout", "flatten", "identity", "reshape", "layer_norm", "rms_norm"),
        *("elu", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax"),
        *("softplus", "tanh", "avg_pool", "batch_norm", "conv2d", "global_avg_pool", "group_norm"),
        "max_pool",
    ),
    **_family(network, "parallel", "rematerialize", "serial", "shortcut"),
    **_family(models, "bird_cnn", "fast_mnist", "lenet5", "nielsen_chapter6", "resnet20"),
}
LOSSES = _family(
    losses,
    *("hinge", "huber", "mean_squared_error", "quadratic", "sigmoid_binary_cross_entropy"),
    "softmax_cross_entropy",
)
INITIALIZERS = _family(
    initializers,
    *("constant", "glorot", "he", "lecun", "nielsen", "nielsen_large", "normal", "orthogonal"),
    "zeros",
)
OPTIMIZERS = _family(
    optimizers,
    *("accumulate", "adagrad", "adam", "adamw", "add_decayed_weights", "chain"),
    *("clip_by_global_norm", "exponential_moving_average", "lion", "muon", "rmsprop", "sgd"),
)
SCHEDULES = _family(
    schedules, "constant", "cosine", "exponential", "one_cycle", "piecewise", "warmup_cosine"
)

AUGMENTATIONS = _family(augmentation, "affine", "cutout", "elastic", "flip", "mixup", "shift")

# Losses and initializers *are* functions, of arrays; the other names are functions that make one.
_DIRECT = (LOSSES, INITIALIZERS)


class Call(NamedTuple):
    """A function of the library and its arguments, as a config writes them.

    Attributes:
        name: the function's name, or ``module:function``.
        arguments: by name, all of them, defaults included; calls and lists of calls among them.
        family: the names it was chosen from.
    """

    name: str
    arguments: dict[str, Any]
    family: Family

    def build(self, path: str) -> Any:
        """Calls the function.

        Raises:
            ConfigError: if it refuses its arguments; the message begins with ``path``.
        """
        if self.name not in self.family:
            return _import_layer(self.name, path)
        path = path if self.name == "serial" else f"{path}.{self.name}"
        function = self.family[self.name]
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, argument in self.arguments.items():
            if isinstance(argument, Call):
                named[name] = argument.build(f"{path}.{name}")
            elif (
                inspect.signature(function).parameters[name].kind
                is inspect.Parameter.VAR_POSITIONAL
            ):
                positional = [a.build(f"{path}.{i}") for i, a in enumerate(argument)]
            else:
                named[name] = argument
        if self.family in _DIRECT:
            return functools.partial(function, **named) if named else function
        try:
            return function(*positional, **named)
        except ValueError as error:
            message = str(error).removeprefix(f"{self.name}: ")
            raise ConfigError(f"{path}: {message}") from error

    def plain(self) -> Any:
        """The call as YAML and JSON have it."""
        if not self.arguments:
            return self.name
        arguments = {name: _map_calls(Call.plain, a) for name, a in self.arguments.items()}
        if self.name == "serial":
            return arguments["layers"]
        return {self.name: arguments}

    def with_steps(self, steps: int) -> "Call":
        """The call with ``steps`` filled in wherever a schedule leaves it out."""
        arguments = {
            name: _map_calls(lambda call: call.with_steps(steps), a)
            for name, a in self.arguments.items()
        }
        if self.family is SCHEDULES and "steps" in arguments and arguments["steps"] is None:
            arguments["steps"] = steps
        return self._replace(arguments=arguments)


def _map_calls(function: Callable[[Call], Any], argument: Any) -> Any:
    if isinstance(argument, Call):
        return function(argument)
    if isinstance(argument, list):
        return [_map_calls(function, a) for a in argument]
    return argument


def _calls(argument: Any) -> Iterator[Call]:
    """All calls within an argument."""
    if isinstance(argument, Call):
        yield argument
        argument = list(argument.arguments.values())
    if isinstance(argument, list):
        for inner in argument:
            yield from _calls(inner)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"expected keys ({', '.join(cls.model_fields)}), got {value!r}")
        for key in value:
            if key not in cls.model_fields:
                raise ValueError(_unknown("key", key, cls.model_fields))
        return value


def _unknown(kind: str, name: object, allowed: Any) -> str:
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}allowed: {', '.join(allowed) or 'none'}"


@dataclass(frozen=True)
class _Of:
    """Marks a config's field as a call of one of a family: how pydantic reads and writes it."""

    kind: str
    family: Family

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        serialize = core_schema.plain_serializer_function_ser_schema(
            lambda value: _map_calls(Call.plain, value)
        )
        return core_schema.no_info_plain_validator_function(self.parse, serialization=serialize)

    def parse(self, value: Any) -> Any:
        kind, family = self.kind, self.family
        if isinstance(value, Call):
            return value
        if family is SCHEDULES and isinstance(value, int | float) and not isinstance(value, bool):
            return _NUMBER.validate_python(value)
        if family is LAYERS and isinstance(value, list):
            value = {"serial": {"layers": value}}
        if isinstance(value, str):
            if family is LAYERS and ":" in value:
                return Call(value, {}, family)
            value = {value: {}}
        if not isinstance(value, Mapping) or len(value) != 1:
            got = repr(value)
            if isinstance(value, Mapping):
                got = f"{len(value)}: {', '.join(map(str, value))}"
            raise ValueError(f"expected one {kind}, written 'name' or 'name: arguments', got {got}")
        ((name, arguments),) = value.items()
        if name not in family:
            raise ValueError(_unknown(kind, name, family))
        fields = _arguments_model(family[name])
        if arguments is None:
            arguments = {}
        elif not isinstance(arguments, Mapping):
            first = next(iter(fields.model_fields), None)
            if first is None:
                raise ValueError(f"{name} takes no arguments, got {arguments!r}")
            arguments = {first: arguments}
        whole = pydantic.create_model(name, **{name: (fields, ...)})  # type: ignore[call-overload]
        checked = getattr(whole.model_validate({name: arguments}), name)
        return Call(name, {key: getattr(checked, key) for key in fields.model_fields}, family)


_DATASET = _Of("data set", DATASETS)
_LAYER = _Of("layer", LAYERS)
_LOSS = _Of("loss", LOSSES)
_INITIALIZER = _Of("initializer", INITIALIZERS)
_OPTIMIZER = _Of("optimizer", OPTIMIZERS)
_SCHEDULE = _Of("schedule", SCHEDULES)
_AUGMENTATION = _Of("augmentation", AUGMENTATIONS)

_Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Count = Annotated[int, Field(ge=1, lt=2**31)]
_NUMBER: pydantic.TypeAdapter[float] = pydantic.TypeAdapter(
    Annotated[float, Field(strict=True, allow_inf_nan=False)]
)

# What a signature's annotation means in a config: a call of a family, or a type that YAML has.
_FIELDS: list[tuple[Any, _Of]] = [
    (Layer, _LAYER),
    (initializers.Initializer, _INITIALIZER),
    (Optimizer, _OPTIMIZER),
    (float | schedules.Schedule, _SCHEDULE),
]
_TYPES: list[tuple[Any, Any]] = [
    (int, _Int),
    (Sequence[int], list[_Int]),
    (Sequence[float], list[float]),
    (str | Path, str),
]


@functools.cache
def _arguments_model(function: Callable[..., Any]) -> type[_Strict]:
    """A model of a function's arguments, made from its signature."""
    direct = any(function in family.values() for family in _DIRECT)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        annotation, default = parameter.annotation, parameter.default
        if annotation is optimizers.Mask:
            continue
        if direct and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue  # the arrays that it is a function of
        family = next((of for kind, of in _FIELDS if kind == annotation), None)
        field = next((type_ for kind, type_ in _TYPES if kind == annotation), annotation)
        if family is not None:
            field = Annotated[Any, family]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            field, default = list[field], ()  # type: ignore[valid-type]
        if default is inspect.Parameter.empty:
            default = ...
        elif family and callable(default):
            default = _default_call(default, family.family)
        elif isinstance(default, tuple):
            default = list(default)  # as YAML has it
        if parameter.name == "steps" and function in SCHEDULES.values():
            field, default = _Count | None, None
        fields[parameter.name] = (field, default)
    return pydantic.create_model(function.__name__, __base__=_Strict, **fields)


def _default_call(function: Callable[..., Any], family: Family) -> Call:
    """A signature's default that is itself a function of the library, as a call."""
    name = next(name for name, member in family.items() if member is function)
    fields = _arguments_model(function).model_fields
    return Call(name, {key: field.default for key, field in fields.items()}, family)


class _Schema(GenerateJsonSchema):
    """Writes the JSON Schema of calls: what ``_Of.parse`` accepts, from the same signatures."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}

    def encode_default(self, dft: Any) -> Any:
        return super().encode_default(_map_calls(Call.plain, dft))

    def function_plain_schema(
        self, schema: core_schema.PlainValidatorFunctionSchema
    ) -> JsonSchemaValue:
        of = getattr(schema["function"]["function"], "__self__", None)
        if not isinstance(of, _Of):
            return super().function_plain_schema(schema)
        name, reference = self.get_cache_defs_ref_schema(CoreRef(of.kind.replace(" ", "_")))
        if name not in self.definitions:
            self.definitions[name] = {}  # it is being written: a layer may be made of layers
            self.definitions[name] = self._call(of, reference)
        return reference

    def _call(self, of: _Of, reference: JsonSchemaValue) -> JsonSchemaValue:
        without, calls = [], {}
        for name, function in of.family.items():
            model = _arguments_model(function)
            arguments = self.generate_inner(model.__pydantic_core_schema__)
            forms = [arguments]
            required = {key for key, field in model.model_fields.items() if field.is_required()}
            if not required:
                without.append(name)
                forms.append({"type": "null"})
            first = next(iter(model.model_fields), None)
            if first is not None and required <= {first}:
                whole = self.get_schema_from_definitions(arguments["$ref"]) or {}
                # A mapping always gives arguments by name, even if the first one could be one.
                forms.append({"allOf": [whole["properties"][first], {"not": {"type": "object"}}]})
            calls[name] = {"description": _first_paragraph(function), "anyOf": forms}
        one = {"additionalProperties": False, "minProperties": 1, "maxProperties": 1}
        forms = [{"enum": without}, {"type": "object", "properties": calls, **one}]
        if of.family is LAYERS:
            forms.append({"type": "string", "pattern": ":"})
            forms.append({"type": "array", "items": reference})
        if of.family is SCHEDULES:
            forms.append({"type": "number"})
        return {"anyOf": forms}


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


class Training(_Strict):
    """How long and in which portions to train.

    Attributes:
        epochs: how often each training example is seen.
        batch_size: examples a step.
        chunk_steps: steps between two reports; without effect on the result.
        statistics_steps: steps between two looks into the layers, 0 for none; without effect on
            the result.
        patience: epochs without a better validation accuracy after which training ends, with the
            best parameters; None to go on to the last epoch.
        checkpoint_seconds: time between two checkpoints; there is one at each best epoch, too.
        keep_checkpoints: how many to keep, besides the best.
        precision: the type to compute in; parameters are float32, or float64 with float64.
        stream: whether training examples are streamed to the device as they are needed; null for:
            where they would fill a quarter of its memory. Without effect on the result.
    """

    epochs: _Count = 10
    batch_size: _Count = 64
    chunk_steps: _Count = 100
    statistics_steps: Annotated[int, Field(ge=0)] = 100
    patience: _Count | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    keep_checkpoints: _Count = 2
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    stream: bool | None = None


class Config(_Strict):
    """A whole experiment; see the module's text for how the parts are written.

    Attributes:
        name: what its run directories are called after; by default, the file.
        data: a call of one of ``DATASETS``.
        augmentation: calls of some of ``AUGMENTATIONS``, applied in this order to training batches.
        model: a call of one of ``LAYERS``.
        loss: a call of one of ``LOSSES``.
        optimizer: a call of one of ``OPTIMIZERS``.
        training: see ``Training``.
        seed: where everything random in the run follows from.
    """

    name: Annotated[str, Field(pattern=r"^[\w.+-]+$")] = "experiment"
    data: Annotated[Call, _DATASET]
    augmentation: list[Annotated[Call, _AUGMENTATION]] = []
    model: Annotated[Call, _LAYER]
    loss: Annotated[Call, _LOSS] = _default_call(losses.softmax_cross_entropy, LOSSES)
    optimizer: Annotated[Call, _OPTIMIZER]
    training: Training = Training()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @classmethod
    def model_json_schema(
        cls,
        by_alias: bool | None = True,
        ref_template: str = DEFAULT_REF_TEMPLATE,
        schema_generator: type[GenerateJsonSchema] = _Schema,
        mode: JsonSchemaMode = "validation",
        **named: Any,
    ) -> dict[str, Any]:
        """The JSON Schema of a config, for editors: generated from the library's signatures."""
        return super().model_json_schema(by_alias, ref_template, schema_generator, mode, **named)

    @property
    def dtype(self) -> DTypeLike | None:
        """The type to compute in, where it is not that of the parameters."""
        return "bfloat16" if self.training.precision == "bfloat16" else None

    def with_steps(self, steps: int) -> Self:
        """The config with ``steps`` as the horizon of every schedule that names none."""
        return self.model_copy(update={"optimizer": self.optimizer.with_steps(steps)})

    def with_classes(self, classes: int) -> Self:
        """The config with this number of classes wherever an augmentation leaves it out."""
        calls = [
            call._replace(arguments=call.arguments | {"classes": classes})
            if call.arguments.get("classes", 0) is None
            else call
            for call in self.augmentation
        ]
        return self.model_copy(update={"augmentation": calls})

    def horizons(self) -> list[int]:
        """The steps at which the config's schedules end."""
        calls = [call for call in _calls(self.optimizer) if call.family is SCHEDULES]
        return [call.arguments["steps"] for call in calls if call.arguments.get("steps")]

    def to_yaml(self) -> str:
        """The config as YAML, complete: reading it gives an equal config."""
        stream = io.StringIO()
        _yaml().dump(self.model_dump(), stream)
        return stream.getvalue()


class Experiment(NamedTuple):
    """What a config describes.

    Attributes:
        config: the config, schedules' horizons and the number of classes filled in.
        dataset: the data.
        network: the network, which fits the data.
        loss: the loss.
        optimizer: the optimizer.
    """

    config: Config
    dataset: Dataset
    network: Layer
    loss: losses.Loss
    optimizer: Optimizer

    @property
    def augment(self) -> Augmentation | None:
        """What the config applies to training batches, if anything."""
        calls = self.config.augmentation
        made = [call.build(f"augmentation.{i}") for i, call in enumerate(calls)]
        return augmentation.compose(made) if made else None


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a config from a YAML file.

    Args:
        path: the file.
        overrides: ``"key.path=value"``, in order; the value is YAML, a number in the path counts
            in a list.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, or says what cannot be; the message
            gives the place, what is allowed there and the nearest match.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1
        )
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise ConfigError(f"{path}: cannot read the config: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file (UTF-8 is expected)") from error
    values = _parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys such as data, model and optimizer")
    for override in overrides:
        _override(values, override)
    values.setdefault("name", re.sub(r"[^\w.+-]", "-", path.stem))
    return parse_config(values, str(path))


def parse_config(values: Mapping[str, Any], source: str = "config") -> Config:
    """Validates a config given as plain dictionaries and lists.

    Raises:
        ConfigError: if it says what cannot be; ``source`` begins the message.
    """
    try:
        return Config.model_validate(values)
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply") from error
    except pydantic.ValidationError as error:
        lines = [f"{source}:"]
        for e in error.errors():
            place = ".".join(map(str, e["loc"])).replace("serial.layers.", "")
            message = e["msg"].removeprefix("Value error, ")
            if e["type"] == "missing":
                message = "is required"
            elif e["type"] != "value_error":
                message += f", got {e['input']!r}"
            lines.append(f"  {place + ': ' if place else ''}{message}")
        raise ConfigError("\n".join(lines)) from error


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments that a config can give a function of the library, with their defaults.

    They are plain values, as YAML has them; one that must be given is None.
    """
    fields = _arguments_model(function).model_fields
    return {
        name: None if field.is_required() else _map_calls(Call.plain, field.default)
        for name, field in fields.items()
    }


def build(config: Config, dataset: Dataset | None = None) -> Experiment:
    """Makes the objects that a config describes; loads the data.

    Sets JAX's 64-bit mode, which is one for the whole process, as the precision needs it.

    Args:
        config: the experiment.
        dataset: the config's data, if they have been loaded already.

    Raises:
        ConfigError: if a part refuses its arguments, or the parts do not fit each other.
        DataError: if the data are missing or damaged.
    """
    jax.config.update("jax_enable_x64", config.training.precision == "float64")
    net = config.model.build("model")
    loss = config.loss.build("loss")
    config.with_steps(2**31 - 1).optimizer.build("optimizer")  # wrong values before loading data
    if dataset is None:
        dataset = config.data.build("data")
    try:
        steps = config.training.epochs * steps_per_epoch(dataset, config.training.batch_size)
    except ValueError as error:
        raise ConfigError(f"training: {error}") from error
    if steps >= 2**31:
        raise ConfigError(f"training: {steps} steps are too many; at most {2**31 - 1} are counted")
    config = config.with_steps(steps).with_classes(len(dataset.classes))
    try:
        rows = network.describe(net, dataset.in_shape)
    except ValueError as error:
        raise ConfigError(f"model: {error}") from error
    if rows[0].out_shape != (len(dataset.classes),):
        last = rows[-1].name
        if rows[-1].path:
            last = f"layer {'.'.join(map(str, rows[-1].path))} ({last})"
        raise ConfigError(
            f"model: the output of {last} has shape {rows[0].out_shape}, but {dataset.name} has "
            f"{len(dataset.classes)} classes: ({len(dataset.classes)},) is needed"
        )
    try:
        outputs = jax.ShapeDtypeStruct((1, *rows[0].out_shape), "float32")
        jax.eval_shape(loss, outputs, dataset.train.targets[:1])
    except ValueError as error:
        raise ConfigError(f"loss.{config.loss.name}: {error}") from error
    experiment = Experiment(config, dataset, net, loss, config.optimizer.build("optimizer"))
    if experiment.augment is not None:
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
        inputs = jax.ShapeDtypeStruct((1, *dataset.in_shape), "float32")
        try:
            jax.eval_shape(experiment.augment, keys, inputs, dataset.train.targets[:1])
        except ValueError as error:
            raise ConfigError(f"augmentation: {error}") from error
    return experiment


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: 1e-3 is a number, "no" is a string
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return yaml


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(f"{source}: not valid YAML: {error.problem}{place}") from error
    except (YAMLError, ValueError) as error:  # such as 2020-13-01, which looks like a date
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply") from error


def _override(values: dict[str, Any], override: str) -> None:
    """Applies one ``key.path=value`` to a config's plain values, in place."""
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(
            f"{override!r}: an override is written key=value, as in training.epochs=5"
        )
    *parents, last = path.split(".")
    node: Any = values
    for i, key in enumerate([*parents, last]):
        place = ".".join([*parents, last][:i])
        if isinstance(node, list):
            if not key.isdecimal() or int(key) >= len(node):
                numbers = f"a number from 0 to {len(node) - 1} must follow" if node else "empty"
                raise ConfigError(f"{override}: {place} is a list: {numbers}")
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
        else:
            raise ConfigError(
                f"{override}: {place} is {node!r} and has no {key!r}; replace it as a whole with "
                f"{place}='{{…}}'"
            )
        if i == len(parents):
            node[index] = _parse_yaml(text, override)
            return
        following = [*parents, last][i + 1]
        child = node[index] if isinstance(node, list) else node.get(index)
        if child is None or child == following:  # "data: mnist" is short for "data: {mnist: {}}"
            child = {} if child is None else {child: {}}
            node[index] = child
        node = child


def _import_layer(path: str, place: str) -> Layer:
    """Calls the function that ``module:function`` names; modules in the working directory count."""
    module_name, _, name = path.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{place}: cannot import {module_name!r}: {error}; modules are looked for in the "
            "working directory and among the installed packages"
        ) from error
    except Exception as error:
        raise ConfigError(f"{place}: cannot import {module_name!r}: {_why(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = [n for n, f in vars(module).items() if inspect.isfunction(f)]
        raise ConfigError(f"{place}: {module_name}: {_unknown('function', name, functions)}")
    try:
        layer = function()
    except Exception as error:
        raise ConfigError(f"{place}: {path}() failed: {_why(error)}") from error
    if not isinstance(layer, Layer):
        raise ConfigError(f"{place}: expected a Layer from {path}(), got {type(layer).__name__}")
    return layer


def _why(error: Exception) -> str:
    """An error of the user's code, and the line of that code where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
    place = f" ({user[0].filename}, line {user[0].lineno})" if user else ""
    return f"{type(error).__name__}: {error}{place}"
