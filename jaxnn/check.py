"""Checks a layer's derivatives against central differences: for users' own layers too."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxnn.arrays import Tree
from jaxnn.layers.layer import Layer, Shape


class Check(NamedTuple):
    """The verdict of ``check_layer``; printed, a table.

    Attributes:
        name: the layer's name.
        errors: relative error of the gradient with respect to "input" and to each parameter.
        tolerance: the largest error that passes.
        problems: breaches of the layer contract, in words.
    """

    name: str
    errors: dict[str, float]
    tolerance: float
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every error is within the tolerance and the contract is kept."""
        within = all(error <= self.tolerance for error in self.errors.values())
        return within and not self.problems

    def __str__(self) -> str:
        lines = [f"{self.name}: {'ok' if self.ok else 'WRONG'}"]
        width = max(map(len, self.errors), default=0)
        for what, error in self.errors.items():
            verdict = "ok" if error <= self.tolerance else f"WRONG, more than {self.tolerance:.0e}"
            lines.append(f"  d {what:<{width}}  relative error {error:.1e}  {verdict}")
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


def check_layer(
    layer: Layer,
    in_shape: Shape,
    *,
    batch: int = 3,
    train: bool = False,
    inputs: ArrayLike | None = None,
    seed: int = 0,
    directions: int = 8,
    step: float = 1e-5,
    tolerance: float = 1e-6,
) -> Check:
    """Compares ``layer.backward`` with central differences of ``layer.forward``, in float64.

    For random directions v of each argument and random weights c of the output, the gradient g of
    φ = ⟨c, forward(…)⟩ that ``backward`` gives for dy = c must satisfy
    ⟨g, v⟩ ≈ (φ(· + h v) - φ(· - h v)) / 2h. The error reported is that of the vector of all
    directions, relative to its norm. Random directions miss no wrong element except by chance of
    measure zero, and cost two runs of forward each, however many elements there are.

    Args:
        layer: any layer, a network too.
        in_shape: the shape of one input, without the batch axis.
        batch: the number of examples.
        train: whether the layer behaves as in training; layers that draw get the same key each
            time.
        inputs: (batch, *in_shape), instead of standard normal numbers; integers are not varied.
        seed: for parameters, inputs and directions.
        directions: how many directions of each argument.
        step: h. The truncation error grows with h², that of rounding with 1/h.
        tolerance: the largest relative error that passes.

    Returns:
        A verdict: ``.ok``, ``.errors``, and a readable ``str()``.

    Raises:
        ValueError: if ``in_shape`` does not fit the layer.
    """
    random = np.random.default_rng(seed)
    with jax.enable_x64(True):
        init_key, draw_key = jax.random.split(jax.random.key(seed))
        params, state, out_shape = layer.init(init_key, in_shape)
        x = np.asarray(random.standard_normal((batch, *in_shape)) if inputs is None else inputs)
        varied = np.issubdtype(x.dtype, np.floating)
        x = x.astype(np.float64) if varied else x
        c = random.standard_normal((len(x), *out_shape))

        def forward(params: Tree, x: Array) -> tuple[Array, Tree, Tree]:
            return layer.forward(params, state, x, train=train, key=draw_key)

        y, new_state, _ = jax.eval_shape(forward, params, x)
        problems = [
            *_compare("the output", c.shape, y.shape),
            *_compare("the new state", _shapes(state), _shapes(new_state)),
        ]
        if problems:
            return Check(layer.name, {}, tolerance, tuple(problems))

        @jax.jit
        def gradients(params: Tree, x: Array) -> tuple[Tree, Array | None]:
            _, _, residuals = forward(params, x)
            dx, dparams = layer.backward(params, residuals, jnp.asarray(c))
            return dparams, dx

        @jax.jit
        def phi(arguments: tuple[Tree, Array], direction: tuple[Tree, Array], h: float) -> Array:
            moved = jax.tree.map(lambda a, v: a + (h * v).astype(a.dtype), arguments, direction)
            return jnp.vdot(c, forward(*moved)[0])

        dparams, dx = gradients(params, x)
        problems += _compare("dparams", _shapes(params), _shapes(dparams))
        if varied and dx is None:
            problems.append("dx is None although the input is floating point")
        elif varied:
            problems += _compare("dx", x.shape, dx.shape)
        if problems:
            return Check(layer.name, {}, tolerance, tuple(problems))

        still = jax.tree.map(lambda a: np.zeros_like(a), (params, x))
        zeros, structure = jax.tree.flatten(still)

        def error(number: int, gradient: Array) -> float:
            analytic, numeric = [], []
            for _ in range(directions):
                v = random.standard_normal(gradient.shape)
                direction = jax.tree.unflatten(
                    structure, [*zeros[:number], v, *zeros[number + 1 :]]
                )
                analytic.append(np.vdot(gradient, v))
                ahead, behind = (phi((params, x), direction, h) for h in (step, -step))
                numeric.append((ahead - behind) / (2 * step))
            return _relative_error(np.array(analytic), np.array(numeric))

        errors = {"input": error(len(zeros) - 1, dx)} if varied else {}
        for i, (path, gradient) in enumerate(jax.tree_util.tree_leaves_with_path(dparams)):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            errors[name] = error(i, gradient)
        return Check(layer.name, errors, tolerance, ())


def _relative_error(a: np.ndarray, b: np.ndarray) -> float:
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")  # which is not within any tolerance
    scale = max(np.linalg.norm(a), np.linalg.norm(b))
    # What is zero by either account, up to the rounding of the differences, agrees.
    return float(np.linalg.norm(a - b) / scale) if scale > 1e-9 else 0.0


def _shapes(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf.shape, tree)


def _compare(what: str, expected: object, found: object) -> list[str]:
    return [] if expected == found else [f"{what} has shape {found}, expected {expected}"]
