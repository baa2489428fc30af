"""Steps of matrices, made orthogonal."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.collectives import on_whole, sum_over_parts
from jaxnn.optimizers.adaptive import scale_by_adam
from jaxnn.optimizers.optimizer import (
    KeyPath,
    Mask,
    Optimizer,
    add_decayed_weights,
    average,
    chain,
    check_decay,
    check_positive,
    corrected,
    global_norm,
    make_state,
    matrices_only,
    precise,
    scale_by_learning_rate,
    weights_only,
)
from jaxnn.optimizers.wrappers import partition
from jaxnn.schedules import Schedule


@remembered
def muon(
    learning_rate: float | Schedule,
    *,
    momentum: float = 0.95,
    nesterov: bool = True,
    steps: int = 5,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    normalize: bool = False,
    weight_decay: float = 0.0,
    mask: Mask = weights_only,
    matrices: Mask = matrices_only,
) -> Optimizer:
    """Muon: momentum for matrices, orthogonalized, so that all directions are learnt equally fast.

    The step of a matrix W (in, out) with momentum U S Vᵀ is about η √max(1, out / in) U Vᵀ. All
    other parameters follow Adam at the same learning rate (as in optax; for one of their own,
    see ``partition`` and ``scale_by_muon``).

    Source: Jordan 2024, https://kellerjordan.github.io/posts/muon/.

    Args:
        learning_rate: η, a number or a schedule.
        momentum: decay of the average of the gradient, in [0, 1).
        nesterov: whether to look ahead as Nesterov does, in Adam too.
        steps: of the Newton-Schulz iteration that orthogonalizes.
        b1: see ``adam``.
        b2: see ``adam``.
        eps: added to denominators, in Adam too; above 0.
        normalize: whether matrices are given the Frobenius norm √out before each step; see
            ``normalize_weights``.
        weight_decay: decoupled, as in ``adamw``.
        mask: which parameters decay.
        matrices: which parameters are orthogonalized: by default, those of two or more axes. One of
            more than two, such as a convolution's (height, width, in, out), is seen as the matrix
            of its last axis against all the others. (optax takes those of two only.)

    Raises:
        ValueError: if a hyper-parameter is out of its range.
    """
    return chain(
        partition(
            matrices,
            scale_by_muon(momentum, nesterov=nesterov, steps=steps, eps=eps),
            scale_by_adam(b1, b2, eps, nesterov=nesterov),
        ),
        *([add_decayed_weights(weight_decay, mask=mask)] if weight_decay else []),
        scale_by_learning_rate(learning_rate),
        *([normalize_weights(mask=matrices)] if normalize else []),
    )


@remembered
def normalize_weights(*, mask: Mask = matrices_only) -> Optimizer:
    """Adds what gives a weight W (…, out) the Frobenius norm √out; stands last in a chain.

    So θ ← √out θ / ‖θ‖ + update: a step starts from weights of a size that does not change. What
    follows them has to make nothing of it, as ``batch_norm`` does; then a step of one size turns
    them by as much at all times.

    Source: Jordan 2024, https://github.com/KellerJordan/cifar10-airbench (the variant with Muon).

    Args:
        mask: which parameters are normalized.
    """

    def init(params: Tree) -> Tree:
        return ()

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        def normalized(path: KeyPath, update: Array, p: Array, chosen: bool) -> Array:
            if not chosen:
                return update
            square = sum_over_parts(path, jnp.sum(jnp.square(p.astype(precise(p)))))
            # Weights that are zero have no direction, and stay.
            factor = jnp.where(square > 0, lax.rsqrt(square / p.shape[-1]), 1)
            return update + (factor - 1).astype(update.dtype) * p

        return jax.tree_util.tree_map_with_path(normalized, gradients, params, mask(params)), state

    return Optimizer(init, update)


@remembered
def scale_by_muon(
    momentum: float = 0.95, *, nesterov: bool = True, steps: int = 5, eps: float = 1e-8
) -> Optimizer:
    """Muon's step before the learning rate: the momentum with its singular values pushed to one.

    m ← μ m + (1 - μ) g, corrected for its start at zero as in ``scale_by_adam``, and seen as a
    matrix of fan-in rows and fan-out columns; the result is scaled by √max(1, fan-out / fan-in).
    """
    check_decay("momentum", momentum)
    check_positive("eps", eps)
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")

    def init(params: Tree) -> Tree:
        return make_state(
            {"momentum": momentum, "eps": eps},
            step=jnp.zeros((), jnp.int32),
            m=jax.tree.map(jnp.zeros_like, params),
        )

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        mu, eps = (state["hyperparameters"][name] for name in ("momentum", "eps"))
        step = state["step"] + 1
        m = jax.tree.map(lambda m, g: average(mu, m, g), state["m"], gradients)

        def scaled(m_hat: Array) -> Array:
            matrix = m_hat.reshape(-1, m_hat.shape[-1])
            rows, columns = matrix.shape
            factor = math.sqrt(max(1, columns / rows))
            return factor * _orthogonalized(matrix, steps, eps).reshape(m_hat.shape)

        updates = jax.tree_util.tree_map_with_path(
            functools.partial(on_whole, scaled), corrected(mu, step, m, gradients, nesterov)
        )
        return updates, state | {"step": step, "m": m}

    return Optimizer(init, update)


def _orthogonalized(x: Array, steps: int, eps: Array) -> Array:
    """Approximates U Vᵀ of a matrix's singular value decomposition U S Vᵀ.

    Divided by its Frobenius norm, x has singular values in [0, 1]. A step of the Newton-Schulz
    iteration, x ← a x + (b A + c A²) x with A = x xᵀ, leaves U and V as they are and maps each
    singular value σ to a σ + b σ³ + c σ⁵; the coefficients lift small ones fast, to about 1 ± 0.3.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    transposed = x.shape[0] > x.shape[1]  # the smaller of x xᵀ and xᵀ x
    x = x.T if transposed else x
    x = x / (global_norm(x) + eps).astype(x.dtype)

    def step(_: int, x: Array) -> Array:
        square = x @ x.T
        return a * x + (b * square + c * square @ square) @ x

    # A loop of the program, whose length may be any; XLA makes the best of a few steps in a row.
    x = lax.fori_loop(0, steps, step, x, unroll=max(1, min(steps, 8)))
    return x.T if transposed else x
