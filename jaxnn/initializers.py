"""Initial weights: functions ``(key, shape) -> array`` of the default floating-point type.

Shapes are those of weights, (..., in, out): fan-in is the number of inputs that one output sums
over, fan-out the number of outputs that one input reaches. Options are keyword arguments:
``functools.partial(normal, stddev=0.01)`` is an initializer too.
"""

import math
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

Shape = tuple[int, ...]


class Initializer(Protocol):
    """Draws an array: ``(key, shape) -> array``, float32, or float64 where JAX has it enabled."""

    def __call__(self, key: Array, shape: Shape, /) -> Array:
        """Returns an array of the given shape."""


def zeros(key: Array, shape: Shape) -> Array:
    """Returns zeros, the usual start of biases."""
    return jnp.zeros(shape)


def constant(key: Array, shape: Shape, *, value: float) -> Array:
    """Returns ``value`` everywhere."""
    return jnp.full(shape, value, jnp.result_type(float))


def normal(key: Array, shape: Shape, *, stddev: float = 0.01) -> Array:
    """Returns normal numbers with mean 0 and the given standard deviation."""
    return stddev * jax.random.normal(key, shape)


def he(key: Array, shape: Shape) -> Array:
    """Returns normal numbers of variance 2 / fan-in, which keep their scale through relu layers.

    Source: He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852.
    """
    return math.sqrt(2 / fans(shape)[0]) * jax.random.normal(key, shape)


def glorot(key: Array, shape: Shape) -> Array:
    """Returns uniform numbers of variance 2 / (fan-in + fan-out), for sigmoid and tanh layers.

    Source: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward
    neural networks", https://proceedings.mlr.press/v9/glorot10a.html.
    """
    limit = math.sqrt(6 / sum(fans(shape)))
    return jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def lecun(key: Array, shape: Shape) -> Array:
    """Returns normal numbers of variance 1 / fan-in, for selu networks and before normalization.

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """
    return math.sqrt(1 / fans(shape)[0]) * jax.random.normal(key, shape)


def orthogonal(key: Array, shape: Shape, *, scale: float = 1.0) -> Array:
    """Returns a random matrix of orthonormal rows or columns, whichever are fewer, times ``scale``.

    All axes but the last count as rows. Drawn uniformly: the Q of a normal matrix's QR
    decomposition, with the signs that make the diagonal of R positive.

    Source: Saxe et al. 2014, https://arxiv.org/abs/1312.6120; for the signs, Mezzadri 2007,
    https://arxiv.org/abs/math-ph/0609050.
    """
    rows, columns = fans(shape)[0], shape[-1]
    gaussian = jax.random.normal(key, (max(rows, columns), min(rows, columns)))
    q, r = jnp.linalg.qr(gaussian)
    q = q * jnp.sign(jnp.diagonal(r))
    return scale * (q if rows >= columns else q.T).reshape(shape)


def dirac(key: Array, shape: Shape) -> Array:
    """Returns weights that hand their inputs on, and random ones for what outputs there are more.

    Of a convolution's weights, (k_h, k_w, in, out), output i < in has a one in the middle of the
    kernel at input i and zeros elsewhere; those after it are uniform of variance 1 / (3 fan-in).

    Source: Zagoruyko & Komodakis 2017, https://arxiv.org/abs/1706.00388; as a part of the outputs,
    Jordan 2024, https://arxiv.org/abs/2404.00498.
    """
    *field, inputs, outputs = shape
    limit = math.sqrt(1 / fans(shape)[0])
    drawn = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
    count = min(inputs, outputs)
    middle = tuple(size // 2 for size in field)
    return drawn.at[..., :count].set(0).at[(*middle, jnp.arange(count), jnp.arange(count))].set(1)


def nielsen_large(key: Array, shape: Shape) -> Array:
    """Returns standard normal numbers: all weights and biases in chapter 1 of Nielsen's book.

    The weighted sums of a layer with many inputs are then so large that sigmoid units saturate:
    the book's point in chapter 3.

    Source: Nielsen 2015, "Neural Networks and Deep Learning",
    http://neuralnetworksanddeeplearning.com/chap1.html.
    """
    return jax.random.normal(key, shape)


def nielsen(key: Array, shape: Shape) -> Array:
    """Returns normal numbers: of variance 1 / fan-in for weights, 1 for biases (one axis).

    Source: Nielsen 2015, "Neural Networks and Deep Learning",
    http://neuralnetworksanddeeplearning.com/chap3.html#weight_initialization.
    """
    return lecun(key, shape) if len(shape) > 1 else nielsen_large(key, shape)


def fans(shape: Shape) -> tuple[int, int]:
    """Returns fan-in and fan-out of a weight of shape (..., in, out).

    Raises:
        ValueError: if the shape has fewer than two axes, as a bias has.
    """
    if len(shape) < 2:
        raise ValueError(f"fan-in and fan-out need a weight of two or more axes, got {shape}")
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]
