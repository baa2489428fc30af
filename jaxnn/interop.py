"""jaxnn's layers and its convolution inside anyone's JAX code, with Equinox, Flax and Optax.

The derivatives written by hand are handed to JAX's reverse mode (``jax.custom_vjp``): this is the
one module that speaks to automatic differentiation, and it differentiates nothing itself.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.typing import DTypeLike

from jaxnn.arrays import Tree
from jaxnn.layers import Layer, convolution
from jaxnn.layers.layer import Shape
from jaxnn.layers.windows import Pair, Window

__all__ = ["conv_general_dilated", "differentiable"]


def differentiable(layer: Layer, *, train: bool = False) -> Callable[..., Any]:
    """Returns a layer's forward as a function whose derivative, for JAX, is the layer's backward.

    The function is ``f(params, x, *, state=None, key=None)``. Where ``state`` is given, it returns
    ``(y, new_state)``, else ``y`` alone: a layer that keeps no state, and in training draws no
    random numbers, is simply ``f(params, x)``; the README has an example.

    It may be used in ``jit``, ``vmap``, ``scan``, ``shard_map`` and rematerialization, and
    differentiated with respect to ``params`` and ``x``; gradients have the types of these (float0
    for an ``x`` of integers). ``state`` and ``key`` are constants: their gradient is zero, and none
    comes from the new state. ``x`` has a batch axis, as everywhere in jaxnn: give a convolution
    whole batches, since under ``jax.vmap`` it does not see them and is several times slower. Where
    a layer names a mapped axis (``axis_name`` of ``batch_norm``), JAX's ``vmap`` wants the gradient
    to be taken inside of it.

    There is no forward mode: JAX raises TypeError, "can't apply forward-mode autodiff (jvp) to a
    custom_vjp function". Second derivatives, Hessians too, exist: JAX differentiates the layer's
    forward and backward as it does any function.

    Args:
        layer: any layer, a network too.
        train: whether it behaves as in training (dropout, the statistics of batch_norm).

    Raises:
        ValueError: from the function, if the layer keeps a state or draws random numbers and is
            given none, or if ``x`` does not fit it; from the gradient, if its backward gives None
            for an ``x`` of floating-point numbers.
    """

    @jax.custom_vjp
    def apply(params: Tree, x: Array, state: Tree, key: Array | None) -> tuple[Array, Tree]:
        y, state, _ = layer.forward(params, state, x, train=train, key=key)
        return y, state

    def forward(
        params: Tree, x: Array, state: Tree, key: Array | None
    ) -> tuple[tuple[Array, Tree], Tree]:
        y, state, residuals = layer.forward(params, state, x, train=train, key=key)
        # An array of no examples remembers the type, and as an array passes any transform.
        return (y, state), (params, x[:0], residuals)

    def backward(
        saved: Tree, cotangents: tuple[Array, Tree]
    ) -> tuple[Tree, Array | None, None, None]:
        params, empty, residuals = saved
        dx, gradients = layer.backward(params, residuals, cotangents[0])
        if not jnp.issubdtype(empty.dtype, jnp.floating):
            dx = None
        elif dx is None:
            raise ValueError(f"{layer.name}: backward gives no dx, but x is of {empty.dtype}")
        else:
            dx = dx.astype(empty.dtype)
        gradients = jax.tree.map(lambda g, p: g.astype(p.dtype), gradients, params)
        return gradients, dx, None, None  # None is JAX's word for a gradient of zeros

    apply.defvjp(forward, backward)

    @functools.cache
    def no_state(in_shape: Shape) -> Tree:
        """The state of a layer that keeps none: tuples, perhaps, but no array in them."""
        state = jax.eval_shape(lambda: layer.init(jax.random.key(0), in_shape)[1])
        if jax.tree.leaves(state):
            raise ValueError(
                f"{layer.name} keeps a state: call f(params, x, state=state), which returns "
                "(y, new_state), with the state from init to begin with"
            )
        return state

    def f(params: Tree, x: Array, *, state: Tree = None, key: Array | None = None) -> Any:
        if train and layer.draws and key is None:
            raise ValueError(f"{layer.name} draws random numbers: call f(params, x, key=key)")
        if key is not None and not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            key = jax.random.wrap_key_data(key)  # from jax.random.PRNGKey
        x = jnp.asarray(x)
        params, x = _mapped_alike(jax.tree.map(jnp.asarray, params), x)
        if state is None:
            return apply(params, x, no_state(x.shape[1:]), key)[0]
        return apply(params, x, state, key)

    return f


def _mapped_alike(*trees: Tree) -> Tree:
    """Returns trees of which every array varies over the devices of the same axes of a shard_map.

    As JAX does it before an operation, so that the gradient of what all devices have in common,
    such as parameters, is the sum of theirs.
    """
    varying = [jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(trees)]
    axes = frozenset().union(*varying)

    def vary(leaf: Array) -> Array:
        missing = tuple(axes - jax.typeof(leaf).manual_axis_type.varying)
        return lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(vary, trees)


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Array:
    """Returns what ``jax.lax.conv_general_dilated`` returns, on a CPU several times as fast.

    A drop-in with the same arguments and errors. Compiled for a CPU, a convolution of images is
    computed by the products of ``conv2d``, forward and backward, where XLA's own is slow, in a loop
    (``scan``, ``fori_loop``, ``while_loop``) by a factor of ten and more
    (https://github.com/jax-ml/jax/issues/12868). Results agree up to rounding. Everything else is
    ``lax``'s own: other platforms; other than two spatial axes; dilation of ``lhs``, groups of the
    batch, padding below zero, kernels of more than 49 elements; types other than floating-point
    ones of 16 to 64 bits; a given ``precision`` or ``preferred_element_type``; arrays that are
    empty, sharded explicitly or of symbolic shapes.

    It may be used in ``jit``, ``vmap``, loops and ``shard_map``, and differentiated any number of
    times in reverse mode. There is no forward mode, and so no Hessian, where the products are those
    of ``conv2d``, whatever they are compiled for: JAX raises TypeError, "can't apply forward-mode
    autodiff (jvp) to a custom_vjp function". Where a ``scan`` is differentiated as a whole, an
    array of the size of ``lhs`` is kept more than by ``lax``, for each step.

    Args:
        lhs: images; this and all further arguments as ``lax`` has them.
        rhs: kernels.
        window_strides: from one position of the kernel to the next.
        padding: "SAME", "SAME_LOWER", "VALID" or pairs of numbers.
        lhs_dilation: of the images.
        rhs_dilation: of the kernels.
        dimension_numbers: such as ("NHWC", "HWIO", "NHWC"); NCHW and OIHW if not given.
        feature_group_count: groups of channels.
        batch_group_count: groups of examples.
        precision: of the products.
        preferred_element_type: of the sums and the result.
        out_sharding: of the result.

    Raises:
        TypeError: as ``lax``'s.
        ValueError: as ``lax``'s.
    """

    def by_lax(lhs: Array, rhs: Array) -> Array:
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
            out_sharding,
        )

    out = jax.eval_shape(by_lax, lhs, rhs)  # which raises lax's errors
    lhs, rhs = jnp.asarray(lhs), jnp.asarray(rhs)
    plain = (
        lhs.ndim == 4
        and lhs.dtype in _TYPES
        and (lhs_dilation is None or tuple(lhs_dilation) == (1, 1))
        and batch_group_count == 1
        and precision is preferred_element_type is out_sharding is None
        and all(isinstance(n, int) and n > 0 for n in (*lhs.shape, *rhs.shape, *out.shape))
        and not any(jax.typeof(lhs).sharding.spec + jax.typeof(rhs).sharding.spec)
    )
    if not plain:
        return by_lax(lhs, rhs)
    (n, c, *image), (u, i, *kernel), (m, d, *positions) = lax.conv_dimension_numbers(
        lhs.shape, rhs.shape, dimension_numbers
    )
    size = _pair(rhs.shape[axis] for axis in kernel)
    dilation = (1, 1) if rhs_dilation is None else _pair(rhs_dilation)
    if isinstance(padding, str):
        extent = [(k - 1) * step + 1 for k, step in zip(size, dilation, strict=True)]
        shape = [lhs.shape[axis] for axis in image]
        padding = lax.padtype_to_pads(shape, extent, window_strides, padding)
    rows, columns = map(_pair, padding)
    if math.prod(size) > _ELEMENTS or min(*rows, *columns) < 0:
        return by_lax(lhs, rhs)
    window = Window(size, _pair(window_strides), dilation, (rows, columns))

    def on_cpu(lhs: Array, rhs: Array) -> Array:
        lhs, rhs = _mapped_alike(lhs, rhs)
        y = _convolve(lhs.transpose(n, *image, c), rhs.transpose(*kernel, i, u), window)
        return y.transpose(*np.argsort((m, *positions, d)))

    return lax.platform_dependent(lhs, rhs, cpu=on_cpu, default=by_lax)


_TYPES = (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64)

_ELEMENTS = 49
"""Of the largest kernel by patches: these take that many times the memory of a block of images."""


def _pair(values: Iterable[int]) -> Pair:
    first, second = values
    return int(first), int(second)


# The three products are those of one sum, Σ dyₙₒᵤ xₙₛ꜀ Wᵢ꜀ᵤ, which is linear in each of its three
# arrays: each is the derivative with respect to one of them, a product of the other two. So the
# derivatives of the products are the products again.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: Array, weight: Array, window: Window) -> Array:
    return _product(x, weight, convolution.convolve, (window,))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _input_gradient(dy: Array, weight: Array, x_shape: Shape, window: Window) -> Array:
    return _product(dy, weight, convolution.input_gradient, (x_shape, window))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _weight_gradient(x: Array, dy: Array, weight_shape: Shape, window: Window) -> Array:
    return _product(x, dy, convolution.weight_gradient, (weight_shape, window))


_convolve.defvjp(
    lambda x, weight, window: (_convolve(x, weight, window), (x, weight)),
    lambda window, saved, dy: (
        _input_gradient(dy, saved[1], saved[0].shape, window),
        _weight_gradient(saved[0], dy, saved[1].shape, window),
    ),
)
_input_gradient.defvjp(
    lambda dy, weight, shape, window: (
        _input_gradient(dy, weight, shape, window),
        (dy, weight),
    ),
    lambda shape, window, saved, x: (
        _convolve(x, saved[1], window),
        _weight_gradient(x, saved[0], saved[1].shape, window),
    ),
)
_weight_gradient.defvjp(
    lambda x, dy, shape, window: (_weight_gradient(x, dy, shape, window), (x, dy)),
    lambda shape, window, saved, weight: (
        _input_gradient(saved[1], weight, saved[0].shape, window),
        _convolve(saved[0], weight, window),
    ),
)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _product(a: Array, b: Array, product: Callable[..., Array], static: tuple[Any, ...]) -> Array:
    """Returns one of ``conv2d``'s products; under ``vmap``, what is mapped is one larger batch."""

    @custom_vmap
    def call(a: Array, b: Array) -> Array:
        return product(a, b, *static)

    @call.def_vmap
    def mapped(size: int, is_mapped: list[bool], a: Array, b: Array) -> tuple[Array, bool]:
        if is_mapped == [True, False] and product is not convolution.weight_gradient:
            y = call(a.reshape(-1, *a.shape[2:]), b)
            return y.reshape(size, -1, *y.shape[1:]), True

        def one(i: Array) -> Array:
            return call(*(v[i] if m else v for v, m in zip((a, b), is_mapped, strict=True)))

        return lax.map(one, jnp.arange(size)), True

    return call(a, b)
