"""What the rules for JAX's primitives share: their form, and the types of arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.errors import ProgramError

Rule = Callable[..., Any]


def is_key(aval: Any) -> bool:
    """Whether an abstract array is one of random numbers' keys."""
    return jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)


def array_type(aval: Any) -> tuple[tuple[int, ...], str]:
    """Returns the shape and the type's name of an abstract array.

    Raises:
        ProgramError: if it holds keys of another generator than Threefry.
    """
    if is_key(aval):
        if str(aval.dtype) != "key<fry>":
            raise ProgramError(f"keys of type {aval.dtype}: programs draw with Threefry alone")
        return (*aval.shape, 2), "uint32"
    return tuple(aval.shape), np.dtype(aval.dtype).name


def output_type(eqn: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an equation's output."""
    return array_type(eqn.outvars[0].aval)


class NotCovered(Exception):
    """Says which use of a primitive programs do not cover, such as "of integers"."""
