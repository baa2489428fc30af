"""What passes between the lab's page and its server: checked coming in, packed going out."""

import base64
import binascii
import json
import struct
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from jaxnn.data import Dataset
from jaxnn.data.dataset import SplitName
from jaxnn.errors import JaxnnError
from jaxnn.tasks import classification

LARGEST_MESSAGE = 64 * 1024
"""Bytes of a message on the live connection."""
LARGEST_BODY = 2 * 1024 * 1024
"""Bytes of a request's body."""


class MessageError(JaxnnError):
    """What a client sent cannot be understood or done."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Stored(_Message):
    """An example of the data set."""

    split: SplitName
    index: Annotated[int, Field(ge=0, lt=2**31)]


class Drawn(_Message):
    """An example that the client gives, of the data set's shape, as that stores its inputs.

    Without a target, the class that is predicted is taken for it.
    """

    pixels: list[Any]
    target: Annotated[int, Field(ge=0, lt=2**31)] | None = None


def _kind(value: Any) -> str:
    drawn = "pixels" in value if isinstance(value, dict) else isinstance(value, Drawn)
    return "pixels" if drawn else "stored"


Example: TypeAlias = Annotated[
    Annotated[Stored, Tag("stored")] | Annotated[Drawn, Tag("pixels")], Discriminator(_kind)
]


class Drawing(_Message):
    """A drawing of any size: ``ink`` is base64 of height x width bytes, 0 where there is none."""

    width: Annotated[int, Field(ge=1, le=1024)]
    height: Annotated[int, Field(ge=1, le=1024)]
    ink: str

    def image(self) -> np.ndarray:
        """Returns the drawing, (height, width, 1) uint8.

        Raises:
            MessageError: if ``ink`` is not that.
        """
        try:
            ink = base64.b64decode(self.ink, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError(f"ink: expected base64: {error}") from error
        if len(ink) != self.width * self.height:
            raise MessageError(
                f"ink: expected {self.height} x {self.width} bytes, got {len(ink)}; "
                "send one byte a pixel"
            )
        return np.frombuffer(ink, np.uint8).reshape(self.height, self.width, 1)


class Simple(_Message):
    """A command without arguments."""

    type: Literal["start", "pause", "step", "epoch", "reset", "ready"]


class Set(_Message):
    """Changes the learning rate, while training runs too."""

    type: Literal["set"]
    learning_rate: Annotated[float, Field(gt=0, le=1e6)]


class Configure(_Message):
    """Changes parts of the config, written as there, and starts training anew."""

    type: Literal["configure"]
    batch_size: int | None = None
    optimizer: Any = None
    model: Any = None
    seed: int | None = None


class Watch(_Message):
    """Says which example the snapshots are to show."""

    type: Literal["watch"]
    example: Example | None


Command: TypeAlias = Annotated[Simple | Set | Configure | Watch, Field(discriminator="type")]

_COMMAND: pydantic.TypeAdapter[Command] = pydantic.TypeAdapter(Command)
_EXAMPLE: pydantic.TypeAdapter[Example] = pydantic.TypeAdapter(Example)
_DRAWING: pydantic.TypeAdapter[Drawing] = pydantic.TypeAdapter(Drawing)


def command(text: str | bytes) -> Command:
    """Reads a message of the live connection.

    Raises:
        MessageError: if it is no command; the message says what is wrong.
    """
    return _read(_COMMAND, text, "message")


def example(text: bytes) -> Example:
    """Reads the body of a request for a trace; errors as from ``command``."""
    return _read(_EXAMPLE, text, "example")


def drawing(text: bytes) -> Drawing:
    """Reads the body of a request to prepare a drawing; errors as from ``command``."""
    return _read(_DRAWING, text, "drawing")


def _read(adapter: pydantic.TypeAdapter[Any], text: str | bytes, what: str) -> Any:
    try:
        return adapter.validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise MessageError(f"{what}{place and f', {place}'}: {first['msg']}"[:500]) from error


def stored_input(given: Example, dataset: Dataset) -> tuple[np.ndarray, Any]:
    """Returns an example's input as the data set stores it, (*in_shape), and its target, if any.

    Raises:
        MessageError: if there is no such example, or it is not of that shape and type.
    """
    if isinstance(given, Stored):
        split = getattr(dataset, given.split)
        if dataset.missing:
            raise MessageError(dataset.missing)
        if given.index >= len(split.targets):
            raise MessageError(
                f"index: the {given.split} split has {len(split.targets)} examples, "
                f"got {given.index}"
            )
        return split.inputs[given.index], split.targets[given.index]
    shape, dtype = dataset.in_shape, dataset.train.inputs.dtype
    flat = shape[:-1] if shape[-1:] == (1,) else shape
    # Before an array is made of them: one of texts has room for the longest in each place.
    if not any(_are_numbers(given.pixels, allowed) for allowed in (shape, flat)):
        raise MessageError(f"pixels: expected numbers of shape {shape}")
    pixels = np.array(given.pixels).reshape(shape)
    if pixels.dtype.kind not in "iuf":
        raise MessageError(f"pixels: expected numbers of shape {shape}, none of them huge")
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        whole = pixels.dtype.kind in "iu" and bounds.min <= pixels.min() <= pixels.max()
        if not whole or pixels.max() > bounds.max:
            raise MessageError(f"pixels: expected integers from {bounds.min} to {bounds.max}")
    try:
        with np.errstate(over="ignore"):
            centring = dataset.centring
            converted = centring.store(pixels) if centring else pixels.astype(dtype)
    except ValueError as error:
        raise MessageError(f"pixels: {error}") from error
    if not np.isfinite(converted).all():
        raise MessageError(f"pixels: expected finite numbers of type {dtype}")
    if given.target is not None and dataset.task is not classification:
        raise MessageError(f"target: the task is {dataset.task.name}; give none")
    if given.target is not None and given.target >= len(dataset.classes):
        raise MessageError(
            f"target: expected a class from 0 to {len(dataset.classes) - 1}, got {given.target}"
        )
    return converted, None if given.target is None else np.int32(given.target)


def _are_numbers(value: Any, shape: tuple[int, ...]) -> bool:
    """Returns whether lists within lists have a shape and hold nothing but numbers."""
    if not shape:
        return type(value) in (int, float)
    return (
        isinstance(value, list)
        and len(value) == shape[0]
        and all(_are_numbers(one, shape[1:]) for one in value)
    )


def pack(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Returns arrays as a browser reads them without copying: typed views into one buffer.

    The form: the length of the header, uint32; the header, JSON in UTF-8, padded with spaces so
    that what follows begins at a multiple of 8 bytes; the arrays, little-endian, each padded to
    such a multiple too. ``header["arrays"]`` has the ``name``, ``dtype`` (float32, int32 or uint8),
    ``shape`` and ``offset`` of each, counted from the end of the header.
    """
    entries, parts, offset = [], [], 0
    for name, array in arrays.items():
        kind = "float32" if array.dtype.kind == "f" else "uint8" if array.dtype == "u1" else "int32"
        content = np.ascontiguousarray(array, np.dtype(kind).newbyteorder("<")).tobytes()
        shape = list(array.shape)
        entries.append({"name": name, "dtype": kind, "shape": shape, "offset": offset})
        padding = -len(content) % 8
        parts += [content, bytes(padding)]
        offset += len(content) + padding
    text = json.dumps({**header, "arrays": entries}, allow_nan=False).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns what ``pack`` was given."""
    (length,) = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + length])
    arrays = {}
    for entry in header.pop("arrays"):
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"]))
        array = np.frombuffer(content, dtype, count, 4 + length + entry["offset"])
        arrays[entry["name"]] = array.reshape(entry["shape"])
    return header, arrays
