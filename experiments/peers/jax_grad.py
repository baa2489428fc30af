"""The step derived by autodiff, and its matrix products alone, each in the loop that jaxnn uses."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from peers.problem import Epoch, Problem, Weights

NAME = "jax.grad"
Params = list[tuple[Array, Array]]


def autodiff(problem: Problem) -> Epoch:
    """What a JAX user would write: a loss, ``jax.value_and_grad``, momentum SGD, one program."""
    if problem.loss != "softmax_cross_entropy":
        raise NotImplementedError(problem.loss)
    activation = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[problem.activation]
    images, labels, batches = map(jnp.asarray, (problem.images, problem.labels, problem.batches))

    def loss(params: Params, x: Array, labels: Array) -> Array:
        for weight, bias in params[:-1]:
            x = activation(x @ weight + bias)
        weight, bias = params[-1]
        logits = jax.nn.log_softmax(x @ weight + bias)
        return -jnp.mean(jnp.take_along_axis(logits, labels[:, None], 1))

    def epoch(
        carry: tuple[Params, Params, Array], images: Array, labels: Array, batches: Array
    ) -> tuple[Params, Params, Array]:
        def step(i: Array, carry: tuple[Params, Params, Array]) -> tuple[Params, Params, Array]:
            params, trace, total = carry
            rows = lax.dynamic_index_in_dim(batches, i, keepdims=False)
            x = images[rows].astype(jnp.float32) * (1 / 255)
            value, gradients = jax.value_and_grad(loss)(params, x, labels[rows])
            trace = jax.tree.map(lambda v, g: problem.momentum * v + g, trace, gradients)
            params = jax.tree.map(lambda p, v: p - problem.learning_rate * v, params, trace)
            return params, trace, total + value

        return lax.fori_loop(0, len(batches), step, carry)

    program = jax.jit(epoch, donate_argnums=0)

    def run() -> tuple[float, Weights]:
        params: Params = jax.tree.map(jnp.array, problem.weights)
        carry = (params, jax.tree.map(jnp.zeros_like, params), jnp.zeros(()))
        jax.block_until_ready(carry)
        started = time.perf_counter()
        params, _, total = program(carry, images, labels, batches)
        float(total)
        return time.perf_counter() - started, jax.tree.map(np.asarray, params)

    return run


def products(problem: Problem) -> Epoch:
    """The matrix products of the step and nothing else: what no way of writing it can save.

    The images are floating point and in order beforehand.
    """
    x = jnp.asarray(problem.images[problem.batches.reshape(-1)], jnp.float32) / 255
    x = x.reshape(*problem.batches.shape, -1)
    weights = [jnp.asarray(weight) for weight, _ in problem.weights]

    def epoch(x: Array, weights: list[Array]) -> Array:
        def step(i: Array, total: Array) -> Array:
            outputs = [lax.dynamic_index_in_dim(x, i, keepdims=False)]
            for weight in weights:
                outputs.append(outputs[-1] @ weight)
            dy, gradients = outputs[-1], []
            for position in range(len(weights))[::-1]:
                gradients.append(outputs[position].T @ dy)
                if position:
                    dy = dy @ weights[position].T
            # The barrier keeps the compiler from computing only the element that is used.
            gradients = lax.optimization_barrier(gradients)
            return total + sum(gradient[0, 0] for gradient in gradients)

        return lax.fori_loop(0, len(problem.batches), step, jnp.zeros(()))

    program = jax.jit(epoch)

    def run() -> tuple[float, None]:
        started = time.perf_counter()
        program(x, weights).block_until_ready()
        return time.perf_counter() - started, None

    return run
