"""Pytrees of arrays: what several parts of the library do with them."""

from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

Tree: TypeAlias = Any
"""A pytree of arrays; ``()`` where there are none."""

AnyArray = TypeVar("AnyArray", np.ndarray, Array)


def cast(tree: Tree, dtype: DTypeLike) -> Tree:
    """Casts a pytree's floating-point arrays to a type; leaves others (integers, keys) alone."""

    def cast_leaf(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast_leaf, tree)


def at_path(tree: Tree, path: tuple[int, ...]) -> Tree:
    """A layer's part of a network's params, state or gradients."""
    for position in path:
        tree = tree[position]
    return tree


def named_leaves(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree by their paths, such as ``1.weight``, in the tree's order."""
    return {
        prefix + jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def count(params: Tree) -> int:
    """The number of numbers in a pytree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def standardized(x: AnyArray, mean: ArrayLike, deviation: ArrayLike, dtype: Any) -> AnyArray:
    """``(x - mean) / deviation``, as NumPy's or as JAX's array like ``x``.

    Args:
        x: any shape, any numeric dtype.
        mean: broadcastable to ``x``.
        deviation: likewise; never 0.
        dtype: floating-point dtype of the result. A narrow one (bfloat16) is rounded to once, at
            the end: the arithmetic is done in at least float32.
    """
    wide: Any = np.promote_types(dtype, np.float32)
    scale = np.reciprocal(np.asarray(deviation), dtype=np.float64).astype(wide)
    result: AnyArray = ((x.astype(wide) - np.asarray(mean, wide)) * scale).astype(dtype)
    return result
