"""Dropout: noise that keeps units from relying on each other."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.layers.layer import Layer, Shape


@remembered
def dropout(rate: float, *, spatial: bool = False) -> Layer:
    """Returns a layer that sets each element to 0 with probability ``rate``, in training alone.

    What is kept is scaled by 1 / (1 - rate), so that the expectation of the output is the input
    ("inverted" dropout). Any input shape. The mask of an example follows from its key alone, not
    from the other examples of the batch: see ``Layer.forward``.

    Sources: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html; for
    ``spatial``, Tompson et al. 2015, https://arxiv.org/abs/1411.4280.

    Args:
        rate: the probability of dropping an element, in [0, 1).
        spatial: whether a channel (the last axis) of an example is dropped or kept as a whole:
            neighbouring positions are too alike for the noise to matter otherwise.

    Raises:
        ValueError: if ``rate`` is not in [0, 1); from ``forward``, in training without a key.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must be in [0, 1), got {rate}")

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Tree, Shape]:
        return (), (), in_shape

    def forward(
        params: Tree, state: Tree, x: Array, *, train: bool = False, key: Array | None = None
    ) -> tuple[Array, Tree, Tree]:
        if not train or rate == 0:
            return x, state, None
        if key is None:
            raise ValueError("dropout needs a key in training: forward(..., train=True, key=key)")
        if key.ndim == 0:
            key = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(len(x)))
        shape = x.shape[1:]
        if spatial:
            shape = (1,) * (len(shape) - 1) + shape[-1:]
        kept = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - rate, shape))(key)
        return _mask(x, kept), state, kept

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """dx = m dy / (1 - rate) with the mask m of ``forward``, since y = m x / (1 - rate)."""
        return (dy if residuals is None else _mask(dy, residuals)), ()

    def _mask(x: Array, kept: Array) -> Array:
        return jnp.where(kept, x / (1 - rate), 0)

    return Layer(init, forward, backward, "dropout", draws=True)
