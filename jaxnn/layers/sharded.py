"""Parameters that no device holds as a whole."""

import jax
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.collectives import PARAMETERS, batch_axes, division
from jaxnn.layers.combinators import tied
from jaxnn.layers.layer import Layer, Shape, check_is_layer


@remembered
def sharded(layer: Layer) -> Layer:
    """Returns the same layer, whose parameters are divided over the devices of a mesh.

    On the axis ``parameters`` of the mesh (see ``jaxnn.training.make_mesh``), each of n devices
    keeps an n-th of every array, and of whatever the optimizer keeps beside it: each array is
    divided along its first axis whose size n divides; one that has none is kept whole. The arrays
    are whole for the moment in which they are used. Where there is no such axis, it is the layer
    itself. Everything else stays as it is: parameters, state, name, and what a walk finds.

    What is wrapped is gathered at once: wrap the blocks of a network one by one. Statistics gather
    everything at once; where that is too much, do without (``statistics_steps=0``).

    Sources: Rajbhandari et al. 2020, "ZeRO", https://arxiv.org/abs/1910.02054, its third stage;
    Zhao et al. 2023, "PyTorch FSDP", https://arxiv.org/abs/2304.11277.

    Raises:
        TypeError: if it is no layer.
        ValueError: if a layer within is sharded already.
    """
    check_is_layer("sharded: argument 0", layer)
    if has_sharded(layer):
        raise ValueError(f"sharded: {layer.name} is sharded already, or a layer within it is")

    def axes(params: Tree, in_shape: Shape) -> list[int | None] | None:
        """The axis that each array is divided along, None for a whole one; None if all are."""
        if PARAMETERS not in batch_axes():
            return None
        whole = jax.eval_shape(lambda key: layer.init(key, in_shape)[0], jax.random.key(0))
        parts = lax.axis_size(PARAMETERS)
        pairs = zip(jax.tree.leaves(params), jax.tree.leaves(whole), strict=True)
        return [None if p.shape == w.shape else division(w.shape, parts) for p, w in pairs]

    def gathered(params: Tree, divided: list[int | None]) -> Tree:
        def gather(p: Array, axis: int | None) -> Array:
            return p if axis is None else lax.all_gather(p, PARAMETERS, axis=axis, tiled=True)

        leaves, structure = jax.tree.flatten(params)
        return jax.tree.unflatten(structure, map(gather, leaves, divided))

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        divided = axes(params, x.shape[1:])
        if divided:
            params = gathered(jax.tree.map(lambda p: tied(p, x), params), divided)
        y, state, residuals = layer.forward(params, state, x, train=train, key=key)
        return y, state, (x[:0], residuals)

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array | None, Tree]:
        """Gradients of y = f(x, θ), θ being [θ₁, …, θₙ] with θᵢ on device i, for xᵢ of the batch.

        Each device computes yᵢ = f(xᵢ, θ) of its part of the batch. With dyᵢ = ∂L/∂yᵢ::

            dxᵢ = (∂f/∂x)ᵀ dyᵢ            at (xᵢ, θ): needs θ, which is gathered again
            dθ  = Σᵢ (∂f/∂θ)ᵀ dyᵢ          as every yᵢ depends on all of θ
            dθⱼ = [Σᵢ (∂f/∂θ)ᵀ dyᵢ]ⱼ       what device j needs of it, to update θⱼ

        Summing over the devices and handing each its part is one operation, a reduce-scatter: the
        transpose of gathering. Of an array that is kept whole, and over the axis ``data``, the sum
        is left to whoever sums the gradients of all other parameters: here it is this device's.

        Nothing that was gathered lives from forward to backward: tied to dy, it is not to be had
        before. XLA could otherwise find the gathered arrays to be there already, and keep them.
        """
        empty, residuals = residuals
        divided = axes(params, empty.shape[1:])
        if not divided:
            return layer.backward(params, residuals, dy)
        whole = gathered(jax.tree.map(lambda p: tied(p, dy), params), divided)
        dx, gradients = layer.backward(whole, residuals, dy)

        def scatter(g: Array, axis: int | None) -> Array:
            if axis is None:
                return g
            return lax.psum_scatter(g, PARAMETERS, scatter_dimension=axis, tiled=True)

        leaves, structure = jax.tree.flatten(gradients)
        return dx, jax.tree.unflatten(structure, map(scatter, leaves, divided))

    return layer._replace(
        forward=forward, backward=backward, combine=None, inner=layer, wrap=sharded
    )


def is_sharded(layer: Layer) -> bool:
    """Returns whether a layer, or one that it changes unseen, is made by ``sharded``."""
    return layer.wrap is sharded or (layer.inner is not None and is_sharded(layer.inner))


def has_sharded(layer: Layer) -> bool:
    """Returns whether a layer, or one that it is made of, is made by ``sharded``."""
    return is_sharded(layer) or any(map(has_sharded, layer.layers))
