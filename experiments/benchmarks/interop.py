"""Jaxnn's convolutions in somebody else's program."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jax import Array

from benchmarks.measuring import Row, check_same, compared, needing
from jaxnn.interop import conv_general_dilated, differentiable
from jaxnn.layers import conv2d

UNITS = (32, 64)


def measure(pairs: int) -> Iterator[Row]:
    """An Equinox network with jaxnn's convolutions, trained by JAX's reverse mode and Optax."""
    with needing("test"):
        from peers import equinox_conv

    own = equinox_conv.network(28, UNITS, 128)
    batches = equinox_conv.make_batches(5, 128, 28)
    for loop in (False, True):
        run_theirs = equinox_conv.train(own, *batches, loop=loop)
        _, expected = run_theirs()
        for name, functions in ways(UNITS).items():
            case = f"{name}, {'in a loop' if loop else 'outside a loop'}"
            run_ours = equinox_conv.train(
                equinox_conv.exchange(own, functions), *batches, loop=loop
            )
            _, found = run_ours()
            check_same(case, *(kernels(n, equinox_conv.weights) for n in (own, found, expected)))
            times = [(run_ours()[0], run_theirs()[0]) for _ in range(1 if loop else pairs)]
            times = [(a / len(batches[0]), b / len(batches[0])) for a, b in times]
            yield compared("interop", case, equinox_conv.NAME, times)


def ways(units: tuple[int, ...]) -> dict[str, tuple[Callable[[Any, Array], Array], ...]]:
    """The network's convolutions as functions of params and images, in both ways there are."""
    layers = [differentiable(conv2d(n, padding="VALID")) for n in units]
    return {
        "differentiable(conv2d)": tuple(layers),
        "conv_general_dilated": (_convolve,) * len(units),
    }


def _convolve(params: Any, x: Array) -> Array:
    y = conv_general_dilated(
        x, params["weight"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + params["bias"]


def kernels(network: Any, weights: Callable[[Any], list[tuple[Array, Array]]]) -> list[np.ndarray]:
    return [np.asarray(weight) for weight, _ in weights(network)]
