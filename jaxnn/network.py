"""Networks: layers made of layers, the loss's gradient through them, and walks over them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from jaxnn.layers.layer import Layer, Shape, Tree, split_key
from jaxnn.losses import Loss


def serial(*layers: Layer) -> Layer:
    """The composition of layers, each applied to the output of the one before.

    ``params`` and ``state`` are tuples with an entry for each layer. With no layers, the identity.

    Raises:
        ValueError: from ``init``, if a layer does not fit the output of the one before; the
            message names the layer by its position and name.
    """

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params, states, shape = [], [], in_shape
        for i, (layer, layer_key) in enumerate(zip(layers, split_key(key, len(layers)), strict=True)):
            try:
                p, s, out_shape = layer.init(layer_key, shape)
            except ValueError as error:
                came_from = f"layer {i - 1} ({layers[i - 1].name})" if i else "the input"
                raise ValueError(
                    f"layer {i} ({layer.name}): {error} [its input has shape {shape}, from {came_from}]"
                ) from error
            params.append(p)
            states.append(s)
            shape = out_shape
        return tuple(params), tuple(states), shape

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        states, residuals = [], []
        keys = iter(() if key is None else split_key(key, sum(layer.draws for layer in layers)))
        for layer, p, s in zip(layers, params, state, strict=True):
            layer_key = next(keys, None) if layer.draws else None
            x, s, r = layer.forward(p, s, x, train=train, key=layer_key)
            states.append(s)
            residuals.append(r)
        return x, tuple(states), tuple(residuals)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """The chain rule: from the last layer to the first, each one's dx is the dy of the one before.

        With x₀ = x and xᵢ = fᵢ(xᵢ₋₁): ∂L/∂xᵢ₋₁ = (∂fᵢ/∂xᵢ₋₁)ᵀ ∂L/∂xᵢ, and
        ∂L/∂θᵢ = (∂fᵢ/∂θᵢ)ᵀ ∂L/∂xᵢ: what layer i's backward computes.
        """
        gradients = []
        for layer, p, r in zip(layers[::-1], params[::-1], residuals[::-1], strict=True):
            dy, dp = layer.backward(p, r, dy)
            gradients.append(dp)
        return dy, tuple(gradients[::-1])

    return Layer(
        init,
        forward,
        backward,
        "serial",
        layers=layers,
        combine=serial,
        draws=any(layer.draws for layer in layers),
    )


def cast(tree: Tree, dtype: DTypeLike) -> Tree:
    """Casts a pytree's floating-point arrays to a type; leaves all others (integers, keys) alone."""

    def cast_leaf(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast_leaf, tree)


def loss_and_gradients(
    network: Layer,
    loss: Loss,
    params: Tree,
    state: Tree,
    inputs: Array,
    targets: Array,
    *,
    weights: Array | None = None,
    train: bool = True,
    key: Array | None = None,
    dtype: DTypeLike | None = None,
) -> tuple[Array, Tree, Tree, Array]:
    """A network's loss on a batch and its gradient with respect to the parameters.

    Args:
        network: any layer.
        loss: ``(outputs, targets, weights) -> (value, d_outputs)``.
        params: the network's parameters.
        state: the network's state.
        inputs: (batch, *in_shape).
        targets: what ``loss`` takes, (batch, ...).
        weights: (batch,) or None; see the loss.
        train: whether layers behave as in training.
        key: one key, or one for each example, for layers that draw.
        dtype: the type to compute in, if not that of ``params``: parameters and inputs are cast
            on the way in, gradients back to the parameters' types on the way out.

    Returns:
        ``(value, gradients, state, outputs)``: a scalar, a pytree like ``params``, the new state
        and (batch, *out_shape).
    """
    low = params
    if dtype is not None:
        low, inputs = cast((params, inputs), dtype)
    outputs, state, residuals = network.forward(low, state, inputs, train=train, key=key)
    value, d_outputs = loss(outputs, targets, weights)
    _, gradients = network.backward(low, residuals, d_outputs)
    gradients = jax.tree.map(lambda g, p: g.astype(p.dtype), gradients, params)
    return value, gradients, state, outputs


def walk(layer: Layer, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Layer]]:
    """Visits a layer and all that it is made of, parents first.

    Yields:
        ``(path, layer)``: the positions that lead from the outermost layer, whose path is ``()``,
        to this one.
    """
    yield path, layer
    for i, child in enumerate(layer.layers):
        yield from walk(child, (*path, i))


def map_layers(
    function: Callable[[tuple[int, ...], Layer], Layer], layer: Layer, path: tuple[int, ...] = ()
) -> Layer:
    """Replaces every layer, children first, by ``function(path, layer)``.

    This is how a network is instrumented: a replacement may do more than the layer it wraps.
    """
    if layer.combine is not None:
        children = (map_layers(function, x, (*path, i)) for i, x in enumerate(layer.layers))
        layer = layer.combine(*children)
    return function(path, layer)


class LayerSummary(NamedTuple):
    """One line of a network's description.

    Attributes:
        path: the positions that lead to the layer; see ``walk``.
        name: the layer's name.
        in_shape: the shape of its input, without the batch axis.
        out_shape: the shape of its output, without the batch axis.
        parameters: how many numbers it trains, its children's included.
    """

    path: tuple[int, ...]
    name: str
    in_shape: Shape
    out_shape: Shape
    parameters: int


def describe(network: Layer, in_shape: Shape) -> list[LayerSummary]:
    """Describes each layer of a network, in the order of ``walk``. Computes shapes only.

    Raises:
        ValueError: if a layer does not fit its input; the layer is named.
    """
    rows = []

    def recorded(path: tuple[int, ...], layer: Layer) -> Layer:
        def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
            params, state, out_shape = layer.init(key, in_shape)
            rows.append(LayerSummary(path, layer.name, in_shape, out_shape, count(params)))
            return params, state, out_shape

        return layer._replace(init=init)

    instrumented = map_layers(recorded, network)
    jax.eval_shape(lambda key: instrumented.init(key, in_shape)[:2], jax.random.key(0))
    return sorted(rows)


def count(params: Tree) -> int:
    """The number of numbers in a pytree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def summary(network: Layer, in_shape: Shape) -> str:
    """A table of a network's layers, output shapes and numbers of parameters.

    Raises:
        ValueError: if a layer does not fit its input; the layer is named.
    """
    root, *rows = describe(network, in_shape)
    cells = [("layer", "output shape", "parameters"), ("input", _shape(in_shape), "")]
    for row in rows or [root]:
        label = ".".join(map(str, row.path)) + " " + row.name
        parameters = f"{row.parameters:,}" if row.parameters else ""
        cells.append(("  " * (len(row.path) - 1) + label, _shape(row.out_shape), parameters))
    cells.append(("total", "", f"{root.parameters:,}"))
    a, b, c = (max(len(row[i]) for row in cells) for i in range(3))
    return "\n".join(f"{x:<{a}}  {y:<{b}}  {z:>{c}}".rstrip() for x, y, z in cells)


def _shape(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "scalar"
