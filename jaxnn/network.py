"""Networks: layers made of layers, the loss's gradient through them, and walks over them."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from jaxnn.layers.layer import Layer, Shape, Tree, split_key
from jaxnn.losses import Loss


def serial(*layers: Layer) -> Layer:
    """The composition of layers, each applied to the output of the one before.

    ``params`` and ``state`` are tuples with an entry for each layer. With no layers, the identity.

    Raises:
        TypeError: if one of them is no layer.
        ValueError: from ``init``, if a layer does not fit the output of the one before; the
            message names the layer by its position and name.
    """
    _check_layers("serial", layers)

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params, states, shape = [], [], in_shape
        keys = split_key(key, len(layers))
        for i, (layer, layer_key) in enumerate(zip(layers, keys, strict=True)):
            try:
                p, s, out_shape = layer.init(layer_key, shape)
            except ValueError as error:
                came_from = f"layer {i - 1} ({layers[i - 1].name})" if i else "the input"
                context = f"its input has shape {shape}, from {came_from}"
                raise ValueError(f"layer {i} ({layer.name}): {error} [{context}]") from error
            params.append(p)
            states.append(s)
            shape = out_shape
        return tuple(params), tuple(states), shape

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        states, residuals = [], []
        keys = _keys(layers, key)
        for layer, p, s, k in zip(layers, params, state, keys, strict=True):
            x, s, r = layer.forward(p, s, x, train=train, key=k)
            states.append(s)
            residuals.append(r)
        return x, tuple(states), tuple(residuals)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """The chain rule: from the last layer to the first, one's dx is the dy of the one before.

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


def parallel(*layers: Layer, how: Literal["sum", "concatenate"] = "sum") -> Layer:
    """Layers side by side: each is applied to the same input, and their outputs are joined.

    ``params`` and ``state`` are tuples with an entry for each layer. Input of any shape that all
    the layers take; their outputs have the same shape, but for the last axis when concatenating.

    Args:
        layers: one or more.
        how: whether outputs are summed, or concatenated along the last axis.

    Raises:
        ValueError: if there are no layers or ``how`` is neither; from ``init``, if the outputs'
            shapes do not fit together.
    """
    if not layers:
        raise ValueError("parallel needs at least one layer")
    _check_layers("parallel", layers)
    if how not in ("sum", "concatenate"):
        raise ValueError(f'parallel: how must be "sum" or "concatenate", got {how!r}')

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params, states, shapes = [], [], []
        keys = split_key(key, len(layers))
        for i, (layer, layer_key) in enumerate(zip(layers, keys, strict=True)):
            try:
                p, s, shape = layer.init(layer_key, in_shape)
            except ValueError as error:
                raise ValueError(f"branch {i} ({layer.name}): {error}") from error
            params.append(p)
            states.append(s)
            shapes.append(shape)
        same = shapes if how == "sum" else [shape[:-1] for shape in shapes]
        if len(set(same)) > 1 or (how == "concatenate" and () in shapes):
            found = ", ".join(f"{x.name} {shape}" for x, shape in zip(layers, shapes, strict=True))
            raise ValueError(f'parallel: outputs do not fit together by "{how}": {found}')
        if how == "sum":
            return tuple(params), tuple(states), shapes[0]
        return tuple(params), tuple(states), (*same[0], sum(shape[-1] for shape in shapes))

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        outputs, states, residuals = [], [], []
        for layer, p, s, k in zip(layers, params, state, _keys(layers, key), strict=True):
            y, s, r = layer.forward(p, s, x, train=train, key=k)
            outputs.append(y)
            states.append(s)
            residuals.append(r)
        joined = sum(outputs[1:], outputs[0]) if how == "sum" else jnp.concatenate(outputs, -1)
        # Arrays of no examples remember the widths, and as arrays pass through any transform.
        return joined, tuple(states), (tuple(residuals), tuple(y[:0] for y in outputs))

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """Gradients of y = Σᵢ fᵢ(x), or of y = [f₁(x), f₂(x), …].

        A sum hands dy on to every dyᵢ; concatenation hands each the part of dy that lies where its
        output went. As x is the input of all, the chain rule adds up: dx = Σᵢ (∂fᵢ/∂x)ᵀ dyᵢ.
        """
        residuals, empty = residuals
        parts = [dy] * len(layers)
        if how == "concatenate":
            ends = list(itertools.accumulate(y.shape[-1] for y in empty))
            parts = jnp.split(dy, ends[:-1], -1)
        dxs, gradients = [], []
        for layer, p, r, d in zip(layers, params, residuals, parts, strict=True):
            dx, dp = layer.backward(p, r, d)
            dxs.append(dx)
            gradients.append(dp)
        return None if dxs[0] is None else sum(dxs[1:], dxs[0]), tuple(gradients)

    return Layer(
        init,
        forward,
        backward,
        "parallel",
        layers=layers,
        combine=functools.partial(parallel, how=how),
        draws=any(layer.draws for layer in layers),
    )


def shortcut(layer: Layer) -> Layer:
    """A residual connection, y = x + f(x), around a layer that keeps the shape.

    ``params`` and ``state`` are tuples with the layer's as their only entry. Where f changes the
    shape, use ``parallel(f, dense(...))``.

    Source: He et al. 2016, https://arxiv.org/abs/1512.03385.

    Raises:
        ValueError: from ``init``, if the layer's output does not have the shape of its input.
    """

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params, state, out_shape = layer.init(key, in_shape)
        if out_shape != in_shape:
            raise ValueError(
                f"shortcut: {layer.name} turns shape {in_shape} into {out_shape}, "
                "but the sum needs the same shape"
            )
        return (params,), (state,), out_shape

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        y, s, residuals = layer.forward(params[0], state[0], x, train=train, key=key)
        return x + y, (s,), residuals

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """dx = dy + (∂f/∂x)ᵀ dy: whatever f does, a gradient of dy gets through."""
        dx, gradients = layer.backward(params[0], residuals, dy)
        return dy + dx, (gradients,)

    return Layer(
        init,
        forward,
        backward,
        "shortcut",
        layers=(layer,),
        combine=shortcut,
        draws=layer.draws,
    )


def rematerialize(layer: Layer) -> Layer:
    """The same layer, but of its forward pass only the input is kept; backward runs it again.

    Less memory for more time: around each block of a deep network, only the blocks' inputs are
    alive between the two passes, and the inside of one block at a time. Everything else stays as
    it is: parameters, state, name, and what a walk finds.

    Source: Chen et al. 2016, https://arxiv.org/abs/1604.06174.
    """

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        y, new_state, _ = layer.forward(params, state, x, train=train, key=key)
        # The mode is kept as structure, which unlike a value is known when a program is traced.
        return y, new_state, (state, x, key, () if train else None)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """The layer's own backward, with residuals computed anew, and not before dy is there.

        XLA must not find that forward has computed the same numbers already, and keep those. On
        accelerators a barrier prevents it; on CPUs, XLA removes barriers before it searches.
        """
        params, (state, x, key, mode), dy = lax.optimization_barrier((params, residuals, dy))
        state, x, key = jax.tree.map(lambda leaf: _tied(leaf, dy), (state, x, key))
        _, _, residuals = layer.forward(params, state, x, train=mode is not None, key=key)
        return layer.backward(params, residuals, dy)

    def combine(*layers: Layer) -> Layer:
        assert layer.combine is not None
        return rematerialize(layer.combine(*layers))

    return layer._replace(
        forward=forward, backward=backward, combine=combine if layer.combine else None
    )


def _tied(x: Array, dy: Array) -> Array:
    """x, which as far as XLA can tell depends on dy."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = _tied(jax.random.key_data(x), dy)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    never = 0 * dy.reshape(-1)[0] == 1  # 0 · dy is 0 or NaN
    return jnp.where(never, jnp.zeros_like(x), x)


def _check_layers(name: str, layers: Sequence[Layer]) -> None:
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            called = getattr(layer, "__name__", None)
            hint = f"; did you mean {called}()?" if called else "; give layers one by one"
            raise TypeError(f"{name}: argument {i} is no Layer but a {type(layer).__name__}{hint}")


def _keys(layers: Sequence[Layer], key: Array | None) -> list[Array | None]:
    """A key for each layer that draws, None for the others."""
    keys = iter(() if key is None else split_key(key, sum(layer.draws for layer in layers)))
    return [next(keys, None) if layer.draws else None for layer in layers]


def cast(tree: Tree, dtype: DTypeLike) -> Tree:
    """Casts a pytree's floating-point arrays to a type; leaves others (integers, keys) alone."""

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


def label(path: tuple[int, ...], name: str) -> str:
    """What summaries, messages and plots call a layer: its position and name, "1 dense"."""
    return f"{'.'.join(map(str, path))} {name}".strip()


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
    of arrays. For a layer that a ``rematerialize`` encloses as for any other.

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
        if layer.combine is not None:
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
        parameters = f"{row.parameters:,}" if row.parameters else ""
        title = "  " * (len(row.path) - 1) + label(row.path, row.name)
        cells.append((title, _shape(row.out_shape), parameters))
    cells.append(("total", "", f"{root.parameters:,}"))
    a, b, c = (max(len(row[i]) for row in cells) for i in range(3))
    return "\n".join(f"{x:<{a}}  {y:<{b}}  {z:>{c}}".rstrip() for x, y, z in cells)


def _shape(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "scalar"
