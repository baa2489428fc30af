"""Convolutions by themselves."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from peers import jax_grad_conv

from benchmarks.measuring import Row, compared, needing
from jaxnn.layers import Layer, conv2d


def measure(pairs: int) -> Iterator[Row]:
    """The three products of the networks' convolutions, each alone and outside any loop."""
    with needing("bench"):
        from peers import pytorch_conv

    random = np.random.default_rng(0)
    for case, (size, channels, units, kernel, stride, padding) in CONVOLUTIONS.items():
        x = random.standard_normal((128, size, size, channels), np.float32)
        layer = conv2d(units, kernel, stride, padding, bias=False)
        params, _, out = layer.init(jax.random.key(0), x.shape[1:])
        dy = random.standard_normal((128, *out), np.float32)
        ours = _products(layer, params, x, dy)
        arguments = x, np.array(params["weight"]), dy, stride, padding
        peers = {
            "XLA's convolution": jax_grad_conv.products(*arguments),
            "PyTorch, channels last": pytorch_conv.products(*arguments),
        }
        for peer, theirs in peers.items():
            for product, run in theirs.items():
                np.testing.assert_allclose(ours[product](), run(), rtol=1e-3, atol=1e-2)
                times = [(_seconds(ours[product]), _seconds(run)) for _ in range(pairs)]
                yield compared("products", f"{case}: {product}", peer, times)


CONVOLUTIONS: dict[str, tuple[int, int, int, int, int, Literal["SAME", "VALID"] | int]] = {
    "A, 1 to 32": (28, 1, 32, 3, 1, "VALID"),
    "A, 32 to 64": (26, 32, 64, 3, 1, "VALID"),
    "B, 3 to 32": (32, 3, 32, 3, 1, "SAME"),
    "B, 32 to 64": (16, 32, 64, 3, 1, "SAME"),
    "B, 64 to 128": (8, 64, 128, 3, 1, "SAME"),
    "C, 16 to 16": (32, 16, 16, 3, 1, "SAME"),
    "C, 16 to 32, stride 2": (32, 16, 32, 3, 2, 1),
    "C, 32 to 32": (16, 32, 32, 3, 1, "SAME"),
    "C, 64 to 64": (8, 64, 64, 3, 1, "SAME"),
    "CIFAR, 3 to 24, 2 × 2": (32, 3, 24, 2, 1, "VALID"),
    "CIFAR, 24 to 64": (31, 24, 64, 3, 1, "SAME"),
    "CIFAR, 64 to 64": (15, 64, 64, 3, 1, "SAME"),
    "CIFAR, 64 to 256": (15, 64, 256, 3, 1, "SAME"),
    "CIFAR, 256 to 256": (7, 256, 256, 3, 1, "SAME"),
    "CIFAR, 256 to 256, last": (3, 256, 256, 3, 1, "SAME"),
}
"""Size of the image, channels, units, size of the kernel, stride and padding."""


def _products(
    layer: Layer, params: Any, x: np.ndarray, dy: np.ndarray
) -> dict[str, Callable[[], Any]]:
    # Of what backward returns, a program computes only what it is asked for.
    @jax.jit
    def forward(x: jax.Array) -> jax.Array:
        return layer.forward(params, (), x)[0]

    @jax.jit
    def input_gradient(x: jax.Array, dy: jax.Array) -> Any:
        return layer.backward(params, layer.forward(params, (), x)[2], dy)[0]

    @jax.jit
    def weight_gradient(x: jax.Array, dy: jax.Array) -> Any:
        return layer.backward(params, layer.forward(params, (), x)[2], dy)[1]["weight"]

    images, gradient = jnp.asarray(x), jnp.asarray(dy)
    return {
        "forward": lambda: forward(images).block_until_ready(),
        "dx": lambda: input_gradient(images, gradient).block_until_ready(),
        "dW": lambda: weight_gradient(images, gradient).block_until_ready(),
    }


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    for _ in range(5):
        run()
    return (time.perf_counter() - started) / 5
