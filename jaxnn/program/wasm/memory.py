"""Where arrays lie: pieces of memory, views of them, and the plan of all pieces.

A piece is used from its first to its last moment; pieces that are not used at the same moment may
share an address. Nothing is allocated while a module runs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

SIZES = {"bool": 1, "uint8": 1, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4}
"""Bytes of an element of each type that a module can work with."""

SLACK = 256
"""Bytes behind every piece that may be read, and hold anything: vectors are read whole."""

_ALIGNMENT = 64


@dataclass(eq=False)
class Storage:
    """A piece of memory.

    Attributes:
        bytes: its size; what is written behind it, up to the next multiple of 16, does no harm.
        address: where it lies, once that is planned; fixed if it is given from the beginning.
        first, last: the moments in which it is used.
        writers, readers: the steps that do.
        alias: the piece that is used in its place.
    """

    bytes: int
    address: int | None = None
    first: int | None = None
    last: int | None = None
    writers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)
    alias: "Storage | None" = None

    @property
    def place(self) -> int:
        """The address."""
        if self.alias is not None:
            return self.alias.place
        assert self.address is not None
        return self.address

    def use(self, moment: int) -> None:
        """Notes a moment in which it is used."""
        if self.alias is not None:
            self.alias.use(moment)
            return
        self.first = moment if self.first is None else min(self.first, moment)
        self.last = moment if self.last is None else max(self.last, moment)


@dataclass(frozen=True)
class View:
    """An array in memory.

    Attributes:
        storage: where it lies.
        dtype: the type of its elements.
        shape: its shape.
        strides: of each axis, how many elements further the next place is; 0 if it repeats.
        offset: the element of the storage that it begins with.
    """

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def address(self) -> int:
        """Where its first element lies."""
        return self.storage.place + self.offset * SIZES[self.dtype]

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements lie next to each other in order."""
        axes = zip(self.shape, self.strides, contiguous(self.shape), strict=True)
        return all(n == 1 or stride == plain for n, stride, plain in axes)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its storage, in order."""
        return self.is_contiguous and self.size * SIZES[self.dtype] == self.storage.bytes

    def broadcast(self, dimensions: Sequence[int], shape: tuple[int, ...]) -> "View":
        """Returns it repeated; see ``KINDS``."""
        strides = [0] * len(shape)
        for axis, dimension in enumerate(dimensions):
            strides[dimension] = 0 if self.shape[axis] == 1 else self.strides[axis]
        return replace(self, shape=shape, strides=tuple(strides))

    def transpose(self, permutation: Sequence[int]) -> "View":
        """Returns it with its axes in another order."""
        shape = tuple(self.shape[axis] for axis in permutation)
        return replace(self, shape=shape, strides=tuple(self.strides[axis] for axis in permutation))

    def slice(self, starts: Sequence[int], shape: Sequence[int], strides: Sequence[int]) -> "View":
        """Returns a part of this shape."""
        moved = sum(i * n for i, n in zip(starts, self.strides, strict=True))
        steps = tuple(a * b for a, b in zip(self.strides, strides, strict=True))
        return replace(self, shape=tuple(shape), strides=steps, offset=self.offset + moved)

    def reverse(self, axes: Sequence[int]) -> "View":
        """Returns it with the order along some axes turned round."""
        moved = sum((self.shape[axis] - 1) * self.strides[axis] for axis in axes)
        strides = tuple(-n if axis in axes else n for axis, n in enumerate(self.strides))
        return replace(self, strides=strides, offset=self.offset + moved)

    def reshape(self, shape: tuple[int, ...]) -> "View | None":
        """Returns the elements in the same order in another shape; None if that takes a copy."""
        if self.size == 0:
            return replace(self, shape=shape, strides=contiguous(shape))
        runs: list[list[int]] = []  # length and stride of axes that are one run of elements
        for n, stride in zip(self.shape, self.strides, strict=True):
            if n == 1:
                continue
            if runs and runs[-1][1] == n * stride:
                runs[-1] = [runs[-1][0] * n, stride]
            else:
                runs.append([n, stride])
        strides = []
        for n in reversed(shape):
            if n == 1:
                strides.append(0)
                continue
            if not runs or runs[-1][0] % n:
                return None
            length, stride = runs.pop()
            strides.append(stride)
            if length > n:
                runs.append([length // n, stride * n])
        return replace(self, shape=shape, strides=tuple(reversed(strides)))


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the strides of an array whose elements lie next to each other."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def new_view(dtype: str, shape: Sequence[int], order: Sequence[int] | None = None) -> View:
    """Returns a view of a new storage.

    Args:
        dtype: its type.
        shape: its shape.
        order: the axes in the order in which they lie in memory, the outermost first.
    """
    shape = tuple(shape)
    storage = Storage(math.prod(shape) * SIZES[dtype])
    if order is None:
        return View(storage, dtype, shape, contiguous(shape))
    inner = contiguous([shape[axis] for axis in order])
    return View(
        storage, dtype, shape, tuple(inner[order.index(axis)] for axis in range(len(shape)))
    )


def plan(storages: Iterable[Storage], start: int) -> int:
    """Gives every storage an address from ``start`` on; returns the end of what is used.

    The largest first, each goes to the lowest place that is free in all its moments.
    """
    placed: list[tuple[int, int, int, int]] = []  # address, end, first and last moment
    end = start
    for storage in sorted(storages, key=lambda x: -x.bytes):
        if storage.alias is not None or storage.address is not None or storage.first is None:
            continue
        assert storage.last is not None
        first, last = storage.first, storage.last
        size = rounded(storage.bytes)
        address = start
        for low, high, a, b in placed:
            if b >= first and a <= last and low < address + size and high > address:
                address = high
        # `placed` is kept in the order of addresses, so that one pass finds the first gap.
        storage.address = address
        placed.append((address, address + size, first, last))
        placed.sort()
        end = max(end, address + size)
    return end


def rounded(bytes: int) -> int:
    """Returns a size that leaves what follows aligned."""
    return -(-(bytes + 16) // _ALIGNMENT) * _ALIGNMENT
