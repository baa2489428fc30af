"""Combinators: layers made of layers."""

import functools
import itertools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from jaxnn.arrays import Tree, cast
from jaxnn.calls import remembered
from jaxnn.layers.layer import Layer, Shape, check_is_layer, split_key


@remembered
def serial(*layers: Layer) -> Layer:
    """Returns the composition of layers, each applied to the output of the one before.

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
        prepares=bool(layers) and layers[0].prepares,
    )


@remembered
def parallel(*layers: Layer, how: Literal["sum", "concatenate"] = "sum") -> Layer:
    """Returns layers side by side: each is applied to the same input; their outputs are joined.

    ``params`` and ``state`` are tuples with an entry for each layer. Input of any shape that all
    the layers take; their outputs have the same shape, but for the last axis when concatenating.

    Args:
        layers: one or more.
        how: whether outputs are summed, or concatenated along the last axis.

    Raises:
        TypeError: if one of them is no layer.
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
        prepares=all(layer.prepares for layer in layers),
    )


@remembered
def shortcut(layer: Layer) -> Layer:
    """Returns a residual connection, y = x + f(x), around a layer that keeps the shape.

    ``params`` and ``state`` are tuples with the layer's as their only entry. Where f changes the
    shape, use ``parallel(f, dense(...))``.

    Source: He et al. 2016, https://arxiv.org/abs/1512.03385.

    Raises:
        TypeError: if it is no layer.
        ValueError: from ``init``, if the layer's output does not have the shape of its input.
    """
    _check_layers("shortcut", [layer])

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


@remembered
def rematerialize(layer: Layer) -> Layer:
    """Returns the same layer, of whose forward pass only the input is kept; backward runs it again.

    Less memory for more time: around each block of a deep network, only the blocks' inputs are
    alive between the two passes, and the inside of one block at a time. Everything else stays as
    it is: parameters, state, name, and what a walk finds.

    Source: Chen et al. 2016, https://arxiv.org/abs/1604.06174.

    Raises:
        TypeError: if it is no layer.
    """
    _check_layers("rematerialize", [layer])

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
        state, x, key = jax.tree.map(lambda leaf: tied(leaf, dy), (state, x, key))
        _, _, residuals = layer.forward(params, state, x, train=mode is not None, key=key)
        return layer.backward(params, residuals, dy)

    return layer._replace(
        forward=forward, backward=backward, combine=None, inner=layer, wrap=rematerialize
    )


@remembered
def before(layer: Layer, change: Layer) -> Layer:
    """Returns the same layer, but ``change`` is applied to its input first.

    With ``standardize`` as the change, a network takes examples as a data set stores them::

        network = before(network, standardize(dataset.mean, dataset.deviation))

    Everything else stays as it is: parameters, state, name, and what a walk finds.

    Args:
        layer: any layer.
        change: a plain layer without parameters and state that draws nothing.

    Raises:
        TypeError: if one of them is no layer.
        ValueError: if ``change`` is made of layers or draws; from ``init``, if it has parameters
            or state.
    """
    _check_layers("before", [layer, change])
    if change.layers or change.draws:
        raise ValueError(f"before: expected a plain layer that draws nothing, got {change.name}")

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        params, state, shape = change.init(key, in_shape)
        if jax.tree.leaves((params, state)):
            raise ValueError(f"before: {change.name} has parameters or state; use serial for it")
        return layer.init(key, shape)

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        x, _, changed = change.forward((), (), x, train=train)
        y, state, residuals = layer.forward(params, state, x, train=train, key=key)
        return y, state, (changed, residuals)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """With y = f(c(x)): dx = (∂c/∂x)ᵀ (∂f/∂c)ᵀ dy, and None where x is of integers."""
        changed, residuals = residuals
        dx, gradients = layer.backward(params, residuals, dy)
        if dx is not None:
            dx, _ = change.backward((), changed, dx)
        return dx, gradients

    return layer._replace(
        init=init,
        forward=forward,
        backward=backward,
        combine=None,
        inner=layer,
        wrap=functools.partial(before, change=change),
        prepares=True,
    )


@remembered
def in_precision(layer: Layer, dtype: DTypeLike) -> Layer:
    """Returns the same layer, computed in another floating-point type.

    Parameters and inputs are cast on the way in, gradients back on the way out: training keeps and
    updates parameters in their own type. Output and state are as the layer makes them of the cast
    arrays; integers are left alone. Everything else stays as it is: parameters, state, name, and
    what a walk finds.

    Source: Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740.

    Args:
        layer: any layer.
        dtype: the type to compute in, such as bfloat16.

    Raises:
        TypeError: if it is no layer.
        ValueError: if ``dtype`` is no floating-point type.
    """
    _check_layers("in_precision", [layer])
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"in_precision: dtype must be a floating-point type, got {dtype!r}")

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        low, low_x = cast((params, x), dtype)
        y, state, residuals = layer.forward(low, state, low_x, train=train, key=key)
        return y, state, (x[:0], residuals)  # no example of x, but its type

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """The layer's own backward; a cast passes gradients on, in the type it was made from."""
        empty, residuals = residuals
        dx, gradients = layer.backward(cast(params, dtype), residuals, dy)
        # An instrumented layer returns more than its gradients: the trees need not be alike.
        leaves = jax.tree.leaves(params)
        if jax.tree.structure(gradients) == jax.tree.structure(params):  # type: ignore[operator]
            gradients = jax.tree.map(lambda g, p: g.astype(p.dtype), gradients, params)
        elif leaves:
            gradients = cast(gradients, jnp.result_type(*leaves))
        return dx if dx is None else dx.astype(empty.dtype), gradients

    return layer._replace(
        forward=forward,
        backward=backward,
        combine=None,
        inner=layer,
        wrap=functools.partial(in_precision, dtype=dtype),
    )


def tied(x: Array, dy: Array) -> Array:
    """Returns x, which as far as XLA can tell depends on dy: it is not to be had before."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = tied(jax.random.key_data(x), dy)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    never = 0 * dy.reshape(-1)[0] == 1  # 0 · dy is 0 or NaN
    return jnp.where(never, jnp.zeros_like(x), x)


def _check_layers(name: str, layers: Sequence[Layer]) -> None:
    for i, layer in enumerate(layers):
        check_is_layer(f"{name}: argument {i}", layer)


def _keys(layers: Sequence[Layer], key: Array | None) -> list[Array | None]:
    """Returns a key for each layer that draws, None for the others."""
    keys = iter(() if key is None else split_key(key, sum(layer.draws for layer in layers)))
    return [next(keys, None) if layer.draws else None for layer in layers]
