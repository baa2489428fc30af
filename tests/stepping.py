"""Parameters and gradients to try optimizers on, and the steps that they make of them."""

import jax
import numpy as np
import optax

from jaxnn import schedules
from jaxnn.optimizers import apply_updates

STEPS = 6


def trees(seed, count=1):
    """Parameters of a small network with biases, a scale and an odd one out, times ``count``."""
    random = np.random.default_rng(seed)
    shapes = [
        {"weight": (5, 3), "bias": (3,)},
        (),
        {"scale": (3,)},
        {"weight": (2, 2, 1, 3)},
    ]
    draw = lambda shape: random.standard_normal((count, *shape), np.float32)  # noqa: E731
    return jax.tree.map(draw, shapes, is_leaf=lambda node: type(node) is tuple and node != ())


PARAMS = jax.tree.map(lambda leaf: leaf[0], trees(0))
GRADIENTS = trees(1, STEPS)
# Some exact zeros, as relu units give, and steps of very different size.
GRADIENTS = jax.tree.map(
    lambda g: (
        g
        * (np.abs(g) > 0.3)
        * (10.0 ** np.arange(-2, STEPS - 2)).reshape(-1, *(1,) * (g.ndim - 1)).astype(np.float32)
    ),
    GRADIENTS,
)


def run(optimizer, params=PARAMS, gradients=GRADIENTS):
    """The parameters after each of several steps, and the last state."""

    def step(carry, gradients):
        params, state = carry
        updates, state = optimizer.update(gradients, state, params)
        params = apply_updates(params, updates)
        return (params, state), params

    @jax.jit
    def steps(params, state, gradients):
        (_, state), history = jax.lax.scan(step, (params, state), gradients)
        return history, state

    return steps(params, optimizer.init(params), gradients)


COSINE = (
    schedules.warmup_cosine(0.1, 5, warmup=2),
    optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 5),
)
