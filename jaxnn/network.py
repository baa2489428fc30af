"""Networks: the loss's gradient through them, and walks over them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
from jax import Array

from jaxnn.arrays import Tree, count
from jaxnn.layers.layer import Layer, Shape
from jaxnn.losses import Loss


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

    Returns:
        ``(value, gradients, state, outputs)``: a scalar, a pytree like ``params``, the new state
        and (batch, *out_shape).
    """
    outputs, state, residuals = network.forward(params, state, inputs, train=train, key=key)
    value, d_outputs = loss(outputs, targets, weights)
    _, gradients = network.backward(params, residuals, d_outputs)
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


def leaves(network: Layer) -> dict[tuple[int, ...], Layer]:
    """The layers that are not made of others, by path, in the order of ``walk``."""
    return {path: layer for path, layer in walk(network) if not layer.layers}


def label(path: tuple[int, ...], name: str) -> str:
    """What summaries, messages and plots call a layer: its position and name, "1 dense"."""
    return f"{'.'.join(map(str, path))} {name}".strip()


def map_layers(
    function: Callable[[tuple[int, ...], Layer], Layer], layer: Layer, path: tuple[int, ...] = ()
) -> Layer:
    """Replaces every layer, children first, by ``function(path, layer)``.

    This is how a network is instrumented: a replacement may do more than the layer it wraps. What
    ``rematerialize``, ``before`` and ``in_precision`` do stays around the replacement, so that
    ``function`` sees a layer where it computes: with prepared inputs, in its precision.
    """
    if layer.inner is not None and layer.wrap is not None:
        return layer.wrap(map_layers(function, layer.inner, path))
    if layer.combine is not None:
        children = (map_layers(function, x, (*path, i)) for i, x in enumerate(layer.layers))
        layer = layer.combine(*children)
    return function(path, layer)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerTrace:
    """What passed through one layer. A pytree whose ``path`` and ``name`` are static.

    Attributes:
        path: the positions that lead to the layer; see ``walk``.
        name: the layer's name.
        input: (batch, *in_shape).
        output: (batch, *out_shape).
        d_output: the loss's gradient with respect to ``output``, of the same shape.
        d_input: what the layer's backward makes of it, of the shape of ``input``; None where that
            is of integers. Layers that share an input, as branches do, each have their part of the
            loss's gradient with respect to it.
        gradients: the loss's gradient with respect to the layer's parameters, a pytree like these.
    """

    path: tuple[int, ...] = field(metadata={"static": True})
    name: str = field(metadata={"static": True})
    input: Array
    output: Array
    d_output: Array
    d_input: Array | None
    gradients: Tree

    @property
    def label(self) -> str:
        """What the layer is called: its position and name, "1 dense"."""
        return label(self.path, self.name)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trace:
    """What passed through a network. A pytree.

    Attributes:
        loss: the loss, a scalar.
        d_inputs: the loss's gradient with respect to the inputs, (batch, *in_shape); None where
            these are integers.
        layers: every layer's part, in the order of ``walk``: the whole network's first.
    """

    loss: Array
    d_inputs: Array | None
    layers: tuple[LayerTrace, ...]


def trace(
    network: Layer,
    loss: Loss,
    params: Tree,
    state: Tree,
    inputs: Array,
    targets: Array,
    *,
    weights: Array | None = None,
    train: bool = False,
    key: Array | None = None,
) -> Trace:
    """Every layer's input and output, and the loss's gradients with respect to them.

    For example, how strongly the signal and the gradient are felt at each depth::

        for layer in trace(network, loss, params, state, inputs, targets).layers:
            print(layer.path, layer.name, layer.output.std(), layer.d_output.std())

    The loss is a mean over the batch, so that ``d_output`` has the factor 1 / batch of an
    example's share in it. It works in ``jax.jit`` and ``jax.vmap``, where the result is a pytree
    of arrays. Inside ``rematerialize``, ``before`` and ``in_precision`` as anywhere: the first
    layer's input is what ``before`` has made of ``inputs``, activations have the type that they
    are computed in, and gradients that of the parameters.

    Args:
        network: any layer.
        loss: a loss.
        params: the network's parameters.
        state: the network's state.
        inputs: (batch, *in_shape).
        targets: what ``loss`` takes, (batch, ...).
        weights: (batch,) or None; see the loss.
        train: whether layers behave as in training.
        key: one key, or one for each example, for layers that draw.
    """
    # A layer tells what passes through it by the only ways out that pure functions have: input and
    # output leave forward within the state, their gradients leave backward within dparams.

    def recorded(path: tuple[int, ...], layer: Layer) -> Layer:
        def forward(
            params: Tree, state: Tree, x: Array, /, *, train: bool = False, key: Array | None = None
        ) -> tuple[Array, Tree, Tree]:
            y, state, residuals = layer.forward(params, state, x, train=train, key=key)
            return y, (state, x, y), residuals

        def backward(params: Tree, residuals: Tree, dy: Array, /) -> tuple[Array | None, Tree]:
            dx, gradients = layer.backward(params, residuals, dy)
            return dx, (gradients, dx, dy)

        return layer._replace(forward=forward, backward=backward)

    def collect(
        path: tuple[int, ...], layer: Layer, forward_record: Tree, backward_record: Tree
    ) -> list[LayerTrace]:
        states, inputs, output = forward_record
        gradients, d_input, d_output = backward_record
        below = []
        if layer.layers:
            children = zip(layer.layers, states, gradients, strict=True)
            below = [collect((*path, i), *child) for i, child in enumerate(children)]
            gradients = tuple(rows[0].gradients for rows in below)
        row = LayerTrace(path, layer.name, inputs, output, d_output, d_input, gradients)
        return [row, *itertools.chain.from_iterable(below)]

    instrumented = map_layers(recorded, network)
    outputs, forward_record, residuals = instrumented.forward(
        params, state, inputs, train=train, key=key
    )
    value, d_outputs = loss(outputs, targets, weights)
    d_inputs, backward_record = instrumented.backward(params, residuals, d_outputs)
    return Trace(value, d_inputs, tuple(collect((), network, forward_record, backward_record)))


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


def summary(network: Layer, in_shape: Shape) -> str:
    """A table of a network's layers, output shapes and numbers of parameters.

    Raises:
        ValueError: if a layer does not fit its input; the layer is named.
    """
    root, *rows = describe(network, in_shape)
    cells = [("layer", "output shape", "parameters"), ("input", _shape(in_shape), "")]
    for row in rows or [root]:
        parameters = f"{row.parameters:,}" if row.parameters else ""
        title = "  " * (len(row.path) - 1) + label(row.path, row.name)
        cells.append((title, _shape(row.out_shape), parameters))
    cells.append(("total", "", f"{root.parameters:,}"))
    a, b, c = (max(len(row[i]) for row in cells) for i in range(3))
    return "\n".join(f"{x:<{a}}  {y:<{b}}  {z:>{c}}".rstrip() for x, y, z in cells)


def _shape(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "scalar"
