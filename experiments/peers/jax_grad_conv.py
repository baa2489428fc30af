"""Convolutional networks as a JAX user writes them: ``lax`` operations, ``jax.value_and_grad``."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from peers.convolutional import Problem, Run, Weights

Params = Iterator[dict[str, Array]]


def one_program_a_step(problem: Problem) -> Run:
    """Each step a call of its own: outside a loop, XLA's convolutions are at their best."""
    step = jax.jit(_step(problem), donate_argnums=0)

    def steps(carry: Any, x: Array, labels: Array) -> Any:
        for i in range(problem.steps):
            carry = step(carry, x, labels, i)
        return carry

    return _run(problem, steps)


def one_program(problem: Problem) -> Run:
    """All steps in one ``lax.fori_loop``, as ours are."""
    step = _step(problem)

    @jax.jit
    def steps(carry: Any, x: Array, labels: Array) -> Any:
        return lax.fori_loop(0, problem.steps, lambda i, c: step(c, x, labels, i), carry)

    return _run(problem, steps)


def _run(problem: Problem, steps: Any) -> Run:
    x, labels = jnp.asarray(problem.images), jnp.asarray(problem.labels)

    def run() -> tuple[float, Weights]:
        params = jax.tree.map(jnp.array, problem.weights)
        carry = (params, jax.tree.map(jnp.zeros_like, params))
        jax.block_until_ready(carry)
        started = time.perf_counter()
        params, _ = jax.block_until_ready(steps(carry, x, labels))
        return time.perf_counter() - started, jax.tree.map(np.asarray, params)

    return run


def _step(problem: Problem) -> Any:
    def loss(params: list[dict[str, Array]], x: Array, labels: Array, key: Array) -> Array:
        logits = jax.nn.log_softmax(_forward(problem, iter(params), x, key))
        return -jnp.mean(jnp.take_along_axis(logits, labels[:, None], 1))

    def step(carry: Any, x: Array, labels: Array, i: Any) -> Any:
        params, trace = carry
        gradients = jax.grad(loss)(params, x, labels, jax.random.key(i))
        trace = jax.tree.map(lambda v, g: problem.momentum * v + g, trace, gradients)
        return jax.tree.map(lambda p, v: p - problem.learning_rate * v, params, trace), trace

    return step


def _forward(problem: Problem, params: Params, x: Array, key: Array) -> Array:
    for name, *arguments in problem.layers:
        if name == "conv":
            x = _conv(next(params), x, padding=arguments[1])
        elif name == "relu":
            x = jax.nn.relu(x)
        elif name == "gelu":
            x = jax.nn.gelu(x, approximate=False)
        elif name == "pool":
            window = (1, *arguments * 2, 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
        elif name == "flatten":
            x = x.reshape(len(x), -1)
        elif name == "dense":
            p = next(params)
            x = x @ p["weight"] + p["bias"]
        elif name == "dropout":
            kept = jax.random.bernoulli(key, 1 - arguments[0], x.shape)
            x = jnp.where(kept, x / (1 - arguments[0]), 0)
        elif name == "norm":
            x = _norm(next(params), x)
        elif name == "block":
            x = _block(params, x, *arguments)
        elif name == "mean":
            x = x.mean((1, 2))
        else:
            raise NotImplementedError(name)
    return x


def _conv(p: dict[str, Array], x: Array, padding: Any, stride: int = 1) -> Array:
    y = lax.conv_general_dilated(
        x, p["weight"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + p["bias"] if "bias" in p else y


def _norm(p: dict[str, Array], x: Array) -> Array:
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    normalized = (x - mean) * lax.rsqrt(variance + 1e-5)
    return normalized * p.get("scale", 1) + p["bias"]


def _block(params: Params, x: Array, units: int, stride: int) -> Array:
    y = jax.nn.relu(_norm_of_conv(params, x, stride))
    y = _norm_of_conv(params, y, 1)
    if stride == 2:
        x = jnp.pad(x[:, ::2, ::2], [(0, 0)] * 3 + [(0, units - x.shape[-1])])
    return jax.nn.relu(x + y)


def _norm_of_conv(params: Params, x: Array, stride: int) -> Array:
    y = _conv(next(params), x, [(1, 1)] * 2, stride)
    return _norm(next(params), y)


def products(
    x: np.ndarray, weight: np.ndarray, dy: np.ndarray, stride: int, padding: Any
) -> dict[str, Callable[[], Any]]:
    """``lax``'s convolution and its two gradients by autodiff, each a program of its own."""
    pads = padding if isinstance(padding, str) else [(padding, padding)] * 2

    def convolve(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(
            x, weight, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    @jax.jit
    def dx(x: Array, weight: Array, dy: Array) -> Any:
        return jax.vjp(lambda x: convolve(x, weight), x)[1](dy)[0]

    @jax.jit
    def dw(x: Array, weight: Array, dy: Array) -> Any:
        return jax.vjp(lambda weight: convolve(x, weight), weight)[1](dy)[0]

    forward = jax.jit(convolve)
    a, b, c = map(jnp.asarray, (x, weight, dy))
    return {
        "forward": lambda: forward(a, b).block_until_ready(),
        "dx": lambda: dx(a, b, c).block_until_ready(),
        "dW": lambda: dw(a, b, c).block_until_ready(),
    }
