"""What a config's calls may be given, read off the signatures: validation, and JSON Schema."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import CoreRef, GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from jaxnn import optimizers
from jaxnn.config.calls import Call, plain
from jaxnn.config.catalogue import FAMILIES, Family, unknown
from jaxnn.errors import shown
from jaxnn.optimizers.wrappers import Which
from jaxnn.schedules import Steps

_Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
_NUMBER: pydantic.TypeAdapter[float] = pydantic.TypeAdapter(
    Annotated[float, Field(strict=True, allow_inf_nan=False)]
)

# What a signature's annotation means in a config, where it is not a call of a family.
_TYPES: list[tuple[Any, Any]] = [
    (int, _Int),
    (Steps, Count | None),
    (Sequence[int], list[_Int]),
    (Sequence[float], list[float]),
    (float | Sequence[float] | np.ndarray, float | list[float]),
    (str | Path, str),
    (optimizers.Mask | Which, Which),
]


class Strict(BaseModel):
    """A model that refuses unknown keys, by name, and values of other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"expected keys ({', '.join(cls.model_fields)}), got {shown(value)}")
        for key in value:
            if key not in cls.model_fields:
                raise ValueError(unknown("key", key, cls.model_fields))
        return value


@dataclass(frozen=True)
class CallOf:
    """Marks a config's field as a call of one of a family: how pydantic reads and writes it."""

    family: Family

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Returns the schema by which pydantic validates with ``parse``, and writes calls plain."""
        serialize = core_schema.plain_serializer_function_ser_schema(plain)
        return core_schema.no_info_plain_validator_function(self.parse, serialization=serialize)

    def parse(self, value: Any) -> Any:
        """Returns the call that is written so, or a number where the family accepts one.

        Raises:
            ValueError: if it is no call of the family; a ``pydantic.ValidationError`` if its
                arguments are not what the function takes.
        """
        family = self.family
        if isinstance(value, Call):
            return value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if family.accepts_number and number:
            return _NUMBER.validate_python(value)
        if family.list_as and isinstance(value, list):
            value = {family.list_as: value}
        if isinstance(value, str):
            if family.accepts_import and ":" in value:
                return Call(value, {}, family)
            value = {value: {}}
        if not isinstance(value, Mapping) or len(value) != 1:
            got = shown(value)
            if isinstance(value, Mapping):
                got = f"{len(value)}: {', '.join(map(str, value))}"[:200]
            raise ValueError(
                f"expected one {family.kind}, written 'name' or 'name: arguments', got {got}"
            )
        ((name, arguments),) = value.items()
        if name not in family:
            raise ValueError(unknown(family.kind, name, family))
        fields = _arguments_model(family[name])
        if arguments is None:
            arguments = {}
        elif not isinstance(arguments, Mapping):
            first = next(iter(fields.model_fields), None)
            if first is None:
                raise ValueError(f"{name} takes no arguments, got {shown(arguments)}")
            arguments = {first: arguments}
        checked = getattr(_named(name, fields).model_validate({name: arguments}), name)
        return Call(name, {key: getattr(checked, key) for key in fields.model_fields}, family)


@functools.cache
def _named(name: str, fields: type[Strict]) -> Any:
    """Returns a model of a call, so that the places that errors name begin with its name."""
    return pydantic.create_model(name, **{name: (fields, ...)})  # type: ignore[call-overload]


@functools.cache
def _arguments_model(function: Callable[..., Any]) -> type[Strict]:
    """Returns a model of a function's arguments, made from its signature."""
    direct = any(family.direct and function in family.values() for family in FAMILIES)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        annotation, default = parameter.annotation, parameter.default
        if annotation is optimizers.Mask:
            continue
        if direct and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue  # the arrays that it is a function of
        family = next((f for f in FAMILIES if f.annotation == annotation), None)
        field = next((type_ for kind, type_ in _TYPES if kind == annotation), annotation)
        if family is not None:
            field = Annotated[Any, CallOf(family)]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            field, default = list[field], ()  # type: ignore[valid-type]
        if default is inspect.Parameter.empty:
            default = None if annotation == Steps else ...
        elif family is not None and callable(default):
            default = default_call(default, family)
        elif isinstance(default, tuple):
            default = list(default)  # as YAML has it
        fields[parameter.name] = (field, default)
    return pydantic.create_model(function.__name__, __base__=Strict, **fields)


def default_call(function: Callable[..., Any], family: Family) -> Call:
    """Returns a function of the library that is a signature's default, as a call."""
    name = next(name for name, member in family.items() if member is function)
    fields = _arguments_model(function).model_fields
    return Call(name, {key: field.default for key, field in fields.items()}, family)


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the arguments that a config can give a function, with their defaults.

    They are plain values, as YAML has them; one that must be given is None.
    """
    fields = _arguments_model(function).model_fields
    return {
        name: None if field.is_required() else plain(field.default)
        for name, field in fields.items()
    }


class JsonSchema(GenerateJsonSchema):
    """Writes the JSON Schema of calls: what ``CallOf.parse`` accepts, from the same signatures."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """Returns the whole schema, which says what dialect it is of."""
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}

    def encode_default(self, dft: Any) -> Any:
        """Returns a default as JSON has it."""
        return super().encode_default(plain(dft))

    def function_plain_schema(
        self, schema: core_schema.PlainValidatorFunctionSchema
    ) -> JsonSchemaValue:
        """Returns a reference to the schema of a family's calls, which is written once."""
        call_of = getattr(schema["function"]["function"], "__self__", None)
        if not isinstance(call_of, CallOf):
            return super().function_plain_schema(schema)
        family = call_of.family
        name, reference = self.get_cache_defs_ref_schema(CoreRef(family.kind.replace(" ", "_")))
        if name not in self.definitions:
            self.definitions[name] = {}  # it is being written: a layer may be made of layers
            self.definitions[name] = self._call(family, reference)
        return reference

    def _call(self, family: Family, reference: JsonSchemaValue) -> JsonSchemaValue:
        without, calls = [], {}
        for name, function in family.items():
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
        if family.accepts_import:
            forms.append({"type": "string", "pattern": ":"})
        if family.list_as:
            forms.append({"type": "array", "items": reference})
        if family.accepts_number:
            forms.append({"type": "number"})
        return {"anyOf": forms}


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
