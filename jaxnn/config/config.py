"""The whole of a config, and reading it."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema, JsonSchemaMode

from jaxnn import losses
from jaxnn.config.calls import Call, calls, filled
from jaxnn.config.catalogue import AUGMENTATIONS, DATASETS, LAYERS, LOSSES, OPTIMIZERS
from jaxnn.config.schema import CallOf, Count, JsonSchema, Strict, default_call
from jaxnn.config.yaml import override_in, parse_yaml, write_yaml
from jaxnn.data.augmentation import ClassCount
from jaxnn.errors import ConfigError, shown
from jaxnn.schedules import RunLength

_SAID = 20
"""Mistakes of one config that are said."""


class Training(Strict):
    """How long and in which portions to train.

    Attributes:
        epochs: how often the training split is gone through; what does not fill a last batch is
            left out, other examples each time.
        batch_size: examples a step.
        chunk_steps: steps between two reports; without effect on the result.
        statistics_steps: steps between two looks into the layers, 0 for none; without effect on
            the result.
        patience: epochs without a better validation accuracy (of classes; else loss) after which
            training ends, with the best parameters; None to go on to the last epoch.
        checkpoint_seconds: time between two checkpoints; there is one at each best epoch, too.
        keep_checkpoints: how many to keep, besides the best.
        precision: the type to compute in; parameters are float32, or float64 with float64.
        stream: whether training examples are streamed to the device as they are needed; null for:
            where they would fill a quarter of its memory. Without effect on the result.
    """

    epochs: Count = 10
    batch_size: Count = 64
    chunk_steps: Count = 100
    statistics_steps: Annotated[int, Field(ge=0)] = 100
    patience: Count | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    keep_checkpoints: Count = 2
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    stream: bool | None = None


class Evaluation(Strict):
    """What is averaged in the network that training ends with: its weights, and its answers.

    Answers are averaged over views of an image, in evaluation and prediction; see
    ``jaxnn.layers.average_views``. During training, and of the training split in the summary, there
    is one view.

    Attributes:
        weights: whether the network has the weights that ``exponential_moving_average``, which the
            optimizer needs to have, has averaged. What layers keep as state, such as the means of
            ``batch_norm``, are averages already, and stay.
        mirror: whether there are mirror images.
        shift: by how many pixels images are moved, too; 0 for not.
    """

    weights: bool = False
    mirror: bool = False
    shift: Annotated[int, Field(ge=0, lt=2**15)] = 0


class Devices(Strict):
    """On how many devices to train; they change nothing but rounding.

    Attributes:
        data: how many parts each batch is divided into; "all": as many as there are devices for and
            it can be divided into.
        parameters: how many devices the arrays of ``sharded`` layers are divided over; each part
            of the batch is divided over as many, too.
    """

    data: Count | Literal["all"] = "all"
    parameters: Count = 1


class Config(Strict):
    """A whole experiment; see ``jaxnn.config`` for how the parts are written.

    Attributes:
        name: what its run directories are called after; by default, the file.
        data: a call of one of ``DATASETS``.
        augmentation: calls of some of ``AUGMENTATIONS``, applied in this order to training batches.
        model: a call of one of ``LAYERS``.
        loss: a call of one of ``LOSSES``.
        optimizer: a call of one of ``OPTIMIZERS``.
        training: see ``Training``.
        evaluation: see ``Evaluation``.
        devices: see ``Devices``.
        seed: where everything random in the run follows from.
    """

    name: Annotated[str, Field(pattern=r"^\.*[\w+-][\w.+-]*$")] = "experiment"
    data: Annotated[Call, CallOf(DATASETS)]
    augmentation: list[Annotated[Call, CallOf(AUGMENTATIONS)]] = Field([])
    model: Annotated[Call, CallOf(LAYERS)]
    loss: Annotated[Call, CallOf(LOSSES)] = default_call(losses.softmax_cross_entropy, LOSSES)
    optimizer: Annotated[Call, CallOf(OPTIMIZERS)]
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    devices: Devices = Devices()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @classmethod
    def model_json_schema(
        cls,
        by_alias: bool | None = True,
        ref_template: str = DEFAULT_REF_TEMPLATE,
        schema_generator: type[GenerateJsonSchema] = JsonSchema,
        mode: JsonSchemaMode = "validation",
        **named: Any,
    ) -> dict[str, Any]:
        """Returns the JSON Schema of a config, for editors: made from the library's signatures."""
        return super().model_json_schema(by_alias, ref_template, schema_generator, mode, **named)

    def with_steps(self, steps: int) -> Self:
        """Returns the config with ``steps`` as the horizon of every schedule that names none."""
        return self.model_copy(update={"optimizer": filled(self.optimizer, RunLength, steps)})

    def with_classes(self, classes: int) -> Self:
        """Returns the config with this number of classes where an augmentation leaves it out."""
        augmentation = filled(self.augmentation, ClassCount, classes)
        return self.model_copy(update={"augmentation": augmentation})

    def horizons(self) -> list[int]:
        """Returns the steps at which the config's schedules end."""
        found = [c.arguments[name] for c in calls(self.optimizer) for name in c.marked(RunLength)]
        return [steps for steps in found if steps is not None]

    def to_yaml(self) -> str:
        """Returns the config as YAML, complete: reading it gives an equal config."""
        return write_yaml(self.model_dump())


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
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys such as data, model and optimizer")
    for override in overrides:
        override_in(values, override)
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
        errors = error.errors()
        for e in errors[:_SAID]:
            place = ".".join(map(str, e["loc"]))[:500].replace("serial.layers.", "")
            message = e["msg"].removeprefix("Value error, ")
            if e["type"] == "missing":
                message = "is required"
            elif e["type"] != "value_error":
                message += f", got {shown(e['input'])}"
            lines.append(f"  {place + ': ' if place else ''}{message}")
        if len(errors) > _SAID:
            lines.append(f"  and {len(errors) - _SAID:,} more")
        raise ConfigError("\n".join(lines)) from error


def differences(configs: Sequence[Config]) -> dict[str, list[Any]]:
    """Returns what differs between configs: by dotted key, a value for each config.

    Parts that are of different kinds (sgd here, adam there; more layers here than there) are
    compared as a whole.
    """
    return _differences([config.model_dump() for config in configs], "")


def _differences(values: Sequence[Any], place: str) -> dict[str, list[Any]]:
    if all(value == values[0] for value in values):
        return {}
    keys: Any = ()
    if all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        keys = values[0].keys()
    elif all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        keys = range(len(values[0]))
    found: dict[str, list[Any]] = {}
    for key in keys:
        inner = f"{place}.{key}" if place else str(key)
        found |= _differences([value[key] for value in values], inner)
    return found or {place: list(values)}
