"""Two independent accounts of a derivative, both in float64: differences and autodiff."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import Tree
from jaxnn.check import check_layer
from jaxnn.layers import Layer
from jaxnn.layers.layer import Shape


def relative_error(found: Tree, expected: Tree) -> float:
    """The largest relative error, in norm, of any leaf; the trees must have one structure."""

    def error(a: jax.Array, b: jax.Array) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)) if a.size else 0.0

    return max(jax.tree.leaves(jax.tree.map(error, found, expected)), default=0.0)


def assert_close(found: Tree, expected: Tree, tolerance: float) -> None:
    """Checks that the relative error of every leaf is within the tolerance."""
    error = relative_error(found, expected)
    assert error <= tolerance, f"relative error {error:.1e}, more than {tolerance:.0e}"


def assert_derivatives(
    layer: Layer,
    in_shape: Shape,
    *,
    batch: int = 3,
    train: bool = False,
    inputs: np.ndarray | None = None,
) -> None:
    """Checks ``layer.backward`` against central differences (1e-6) and ``jax.vjp`` (1e-10)."""
    check = check_layer(layer, in_shape, batch=batch, train=train, inputs=inputs)
    assert check.ok, check
    with jax.enable_x64(True):
        random = np.random.default_rng(1)
        x = random.standard_normal((batch, *in_shape)) if inputs is None else inputs
        params, state, out_shape = layer.init(jax.random.key(1), in_shape)
        # Biases start at zero and scales at one: move them, or errors in them might not show.
        params = jax.tree.map(
            lambda p: np.asarray(p) + 0.1 * random.standard_normal(p.shape), params
        )
        dy = random.standard_normal((len(x), *out_shape))

        @jax.jit
        def both(params: Tree, x: jax.Array, dy: jax.Array) -> tuple[Tree, Tree]:
            def forward(params: Tree, x: jax.Array) -> tuple[jax.Array, Tree]:
                y, _, residuals = layer.forward(
                    params, state, x, train=train, key=jax.random.key(2)
                )
                return y, residuals

            if not jnp.issubdtype(x.dtype, jnp.floating):
                _, pullback, residuals = jax.vjp(lambda p: forward(p, x), params, has_aux=True)
                return layer.backward(params, residuals, dy)[1], pullback(dy)[0]
            _, pullback, residuals = jax.vjp(forward, params, x, has_aux=True)
            return layer.backward(params, residuals, dy), pullback(dy)[::-1]

        by_hand, by_autodiff = both(params, x, dy)
        assert_close(by_hand, by_autodiff, 1e-10)


def assert_loss_derivative(
    loss: Callable,
    outputs: np.ndarray,
    targets: np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
) -> None:
    """Checks a loss's gradient against central differences (1e-6) and ``jax.grad`` (1e-10)."""
    with jax.enable_x64(True):
        weights = None if weights is None else jnp.asarray(weights, jnp.float64)
        outputs, targets = jnp.asarray(outputs, jnp.float64), jnp.asarray(targets)
        random = np.random.default_rng(2)
        directions = random.standard_normal((4, *outputs.shape))

        @jax.jit
        def run(z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
            def value(z: jax.Array) -> jax.Array:
                return loss(z, targets, weights)[0]

            h = 1e-5
            values = jax.vmap(value)
            slopes = (values(z + h * directions) - values(z - h * directions)) / (2 * h)
            return *loss(z, targets, weights), jax.grad(value)(z), slopes

        value, by_hand, by_autodiff, slopes = run(outputs)
        assert value.shape == ()
        assert np.isfinite(value)
        assert np.linalg.norm(by_autodiff) > 0
        assert_close(by_hand, by_autodiff, 1e-10)
        assert_close(np.tensordot(directions, by_hand, outputs.ndim), slopes, 1e-6)
