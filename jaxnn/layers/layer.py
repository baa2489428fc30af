"""The layer contract: a layer is three pure functions, and a network is a layer.

Shapes leave out the batch axis; arrays carry it first. Images are NHWC.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
from jax import Array

from jaxnn.arrays import Tree
from jaxnn.errors import uncalled

Shape: TypeAlias = tuple[int, ...]
"""A shape without the batch axis."""


class Init(Protocol):
    """Draws a layer's parameters: ``(key, in_shape) -> (params, state, out_shape)``."""

    def __call__(self, key: Array, in_shape: Shape, /) -> tuple[Tree, Tree, Shape]:
        """Returns ``(params, state, out_shape)``."""


class Forward(Protocol):
    """Computes a layer's output: ``(params, state, x, ...) -> (y, state, residuals)``."""

    def __call__(
        self,
        params: Tree,
        state: Tree,
        x: Array,
        /,
        *,
        train: bool = False,
        key: Array | None = None,
    ) -> tuple[Array, Tree, Tree]:
        """Returns ``(y, state, residuals)``."""


class Backward(Protocol):
    """Applies a layer's derivative: ``(params, residuals, dy) -> (dx, dparams)``."""

    def __call__(self, params: Tree, residuals: Tree, dy: Array, /) -> tuple[Any, Tree]:
        """Returns ``(dx, dparams)``."""


class _Layer(NamedTuple):
    init: Init
    forward: Forward
    backward: Backward
    name: str = ""
    layers: "tuple[Layer, ...]" = ()
    combine: "Callable[..., Layer] | None" = None
    inner: "Layer | None" = None
    wrap: "Callable[[Layer], Layer] | None" = None
    draws: bool = False
    prepares: bool = False


class Layer(_Layer):
    """Three pure functions and what a walk over the network needs to know of them.

    Attributes:
        init: ``(key, in_shape) -> (params, state, out_shape)``. ``params`` is what is trained,
            ``state`` what is not (moving averages). Raises ValueError where ``in_shape`` does
            not fit.
        forward: ``(params, state, x, *, train=False, key=None) -> (y, state, residuals)``, with
            ``x`` of shape (batch, *in_shape) and ``y`` of shape (batch, *out_shape).
            ``residuals`` is what ``backward`` needs, the mode included. ``key`` is one typed
            PRNG key, or one key for each example, shape (batch,).
        backward: ``(params, residuals, dy) -> (dx, dparams)``: from the loss's gradient with
            respect to ``y`` to those with respect to ``x`` and ``params``, of the same shapes
            as these. ``dx`` is None where ``x`` is an array of integers.
        name: what the layer is called in summaries and messages.
        layers: what a combinator is made of; empty for a plain layer. A combinator's params and
            state are tuples with an entry for each: the path to a layer leads to its parameters.
        combine: makes the combinator again from other layers, ``combine(*layers)``; None for a
            plain layer.
        inner: the layer that this one changes without being seen in a walk (``rematerialize``,
            ``before``, ``in_precision``): name, ``layers`` and paths are the inner one's; else
            None.
        wrap: makes the change again around another layer, ``wrap(inner)``; None likewise.
        draws: whether ``forward`` needs ``key`` in training.
        prepares: whether it takes examples as a data set stores them; see ``before``.

    A layer that a function of the library has made remembers the call, from which ``save_run``
    writes a config; ``_replace`` forgets it. See ``jaxnn.calls``.
    """


def stateless(
    init: Callable[[Array, Shape], tuple[Tree, Shape]],
    forward: Callable[[Tree, Array], tuple[Array, Tree]],
    backward: Backward,
    name: str,
) -> Layer:
    """Makes a layer of functions that neither keep a state nor draw random numbers.

    Args:
        init: ``(key, in_shape) -> (params, out_shape)``.
        forward: ``(params, x) -> (y, residuals)``.
        backward: ``(params, residuals, dy) -> (dx, dparams)``.
        name: what the layer is called.
    """

    def lifted_init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params, out_shape = init(key, in_shape)
        return params, (), out_shape

    def lifted_forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        y, residuals = forward(params, x)
        return y, state, residuals

    return Layer(lifted_init, lifted_forward, backward, name)


def check_is_layer(place: str, layer: object) -> None:
    """Raises TypeError unless something is a layer; ``place`` begins the message."""
    if not isinstance(layer, Layer):
        hint = uncalled(layer) or "; give layers one by one"
        raise TypeError(f"{place} is no Layer but a {type(layer).__name__}{hint}")


def split_key(key: Array, count: int) -> list[Array]:
    """Splits a key, or each of a batch of keys, into ``count`` of the same shape."""
    if key.ndim == 0:
        return list(jax.random.split(key, count))
    return list(jax.vmap(lambda k: jax.random.split(k, count), out_axes=1)(key))
