"""A small convolutional network in Equinox, trained by ``jax.grad`` and Optax."""

import functools
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jax import Array, lax

NAME = "Equinox's own layers"


class Convolution(eqx.Module):
    """Any function of parameters and a batch of images, (batch, height, width, channels)."""

    params: Any
    function: Callable[[Any, Array], Array] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return self.function(self.params, x)


class Own(eqx.Module):
    """Equinox's convolution, which takes one image, channels first: hence the vmap."""

    layer: eqx.nn.Conv2d

    def __call__(self, x: Array) -> Array:
        return jax.vmap(self.layer)(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


class Network(eqx.Module):
    """Two convolutions, a pool of 2 × 2 and two linear layers, all else by Equinox."""

    convolutions: tuple[Any, Any]
    pool: eqx.nn.MaxPool2d
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        for convolution in self.convolutions:
            x = jax.nn.relu(convolution(x))
        x = jax.vmap(self.pool)(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)
        return jax.vmap(self.out)(jax.nn.relu(jax.vmap(self.hidden)(x)))


def network(size: int, units: tuple[int, int], hidden: int) -> Network:
    """Returns Equinox's own: 3 × 3 kernels without padding, for gray images of size × size."""
    keys = jax.random.split(jax.random.key(0), 4)
    inner = ((size - 4) // 2) ** 2 * units[1]
    return Network(
        (
            Own(eqx.nn.Conv2d(1, units[0], 3, key=keys[0])),
            Own(eqx.nn.Conv2d(*units, 3, key=keys[1])),
        ),
        eqx.nn.MaxPool2d(2, 2),
        eqx.nn.Linear(inner, hidden, key=keys[2]),
        eqx.nn.Linear(hidden, 10, key=keys[3]),
    )


def exchange(own: Network, functions: tuple[Callable[[Any, Array], Array], ...]) -> Network:
    """Returns the same network, its convolutions computed by functions of params and images."""
    convolutions = [
        Convolution({"weight": weight.transpose(2, 3, 1, 0), "bias": bias}, function)
        for (weight, bias), function in zip(weights(own), functions, strict=True)
    ]
    return eqx.tree_at(lambda n: n.convolutions, own, tuple(convolutions))


def weights(network: Network) -> list[tuple[Array, Array]]:
    """The convolutions' kernels, (units, channels, height, width), and biases, whoever has them."""
    found = []
    for convolution in network.convolutions:
        if isinstance(convolution, Own):
            weight, bias = convolution.layer.weight, convolution.layer.bias
            assert bias is not None
        else:
            weight, bias = convolution.params["weight"], convolution.params["bias"]
            weight = weight.transpose(3, 2, 0, 1)
        found.append((weight, bias.reshape(-1)))
    return found


@eqx.filter_grad
def gradients(network: Network, images: Array, labels: Array) -> Array:
    """Those of the mean cross-entropy, in the form of the network."""
    return optax.softmax_cross_entropy_with_integer_labels(network(images), labels).mean()


def train(
    network: Network, images: Array, labels: Array, *, loop: bool
) -> Callable[[], tuple[float, Network]]:
    """Returns what trains: the seconds it took, and the network at its end.

    Args:
        network: where training starts.
        images: of each step, (steps, batch, height, width, channels).
        labels: likewise, (steps, batch).
        loop: whether all steps are one program, a ``lax.scan``, or each a call of its own.
    """
    optimizer = optax.sgd(1e-2, momentum=0.9)
    params, static = eqx.partition(network, eqx.is_array)

    def step(carry: Any, batch: tuple[Array, Array]) -> tuple[Any, None]:
        params, state = carry
        found = gradients(eqx.combine(params, static), *batch)
        updates, state = optimizer.update(eqx.filter(found, eqx.is_array), state)
        return (eqx.apply_updates(params, updates), state), None

    one = jax.jit(step)
    all_steps = jax.jit(functools.partial(lax.scan, step))
    batches = [(x, y) for x, y in zip(images, labels, strict=True)]

    def run() -> tuple[float, Network]:
        carry = params, optimizer.init(params)
        started = time.perf_counter()
        if loop:
            carry, _ = all_steps(carry, (images, labels))
        else:
            for batch in batches:
                carry, _ = one(carry, batch)
        jax.block_until_ready(carry)
        return time.perf_counter() - started, eqx.combine(carry[0], static)

    return run


def make_batches(steps: int, batch: int, size: int) -> tuple[Array, Array]:
    """Noise to train on."""
    keys = jax.random.split(jax.random.key(1))
    images = jax.random.normal(keys[0], (steps, batch, size, size, 1))
    return images, jax.random.randint(keys[1], (steps, batch), 0, 10)
