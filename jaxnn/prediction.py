"""What a trained network says of examples: probabilities or numbers, and how it comes to them."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxnn import losses
from jaxnn.arrays import Tree, cast, named_leaves
from jaxnn.layers import Layer
from jaxnn.layers.activations import logistic
from jaxnn.losses import Loss
from jaxnn.network import leaves, trace
from jaxnn.tasks import Task, classification, regression

Predict = Callable[[Tree, Tree, ArrayLike], np.ndarray]

UNSURE = 0.8
"""A prediction with a lower probability than this deserves a second look.

Of 5,000 validation images, the network of ``mnist_mlp`` was less sure of 1.7 %, and wrong about two
in five of these; of the others it was wrong about 0.5 %.
"""

_REGRESSIONS = (losses.mean_squared_error, losses.quadratic, losses.huber)


def probabilities(outputs: Array, loss: Loss) -> Array:
    """Reads a network's outputs as probabilities of the classes, in the sense of its loss.

    The most probable class is the one with the largest output, always.

    - ``softmax_cross_entropy``: softmax of the outputs, which the loss takes for logits.
    - ``sigmoid_binary_cross_entropy``: softmax too. Outputs are logits of independent yeses, and
      given that there is exactly one, it is class k with pₖ ∝ σ(zₖ) Πⱼ≠ₖ (1 - σ(zⱼ)) ∝ e^(zₖ).
    - ``mean_squared_error``, ``quadratic`` and ``huber``: outputs are to be the one-hot rows
      themselves, be it behind a sigmoid or not, and what fits these best in the mean are
      probabilities. Taken are those that are nearest to the outputs by Euclidean distance; outputs
      that are probabilities stay as they are.
    - ``hinge`` and losses that are not of this library: softmax. The scores that hinge compares
      are no probabilities: these order the classes, but say little of how often they are right.

    Source: for the nearest, Duchi et al. 2008, "Efficient Projections onto the ℓ1-Ball for
    Learning in High Dimensions", figure 1.

    Args:
        outputs: (batch, ..., classes), floating point.
        loss: what the network was trained with; options may be bound by ``functools.partial``.

    Returns:
        Of the shape of ``outputs``, in float32 at least; each row is not negative and sums to 1.
    """
    z = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    function = loss.func if isinstance(loss, functools.partial) else loss
    if function not in _REGRESSIONS:
        exponentials = jnp.exp(z - z.max(-1, keepdims=True))
        return exponentials / exponentials.sum(-1, keepdims=True)
    # The nearest are max(zₖ - τ, 0), with the τ for which they sum to 1: of the largest n outputs,
    # n as large as can be with all of them above τ, τ is (their sum - 1) / n.
    largest = -jnp.sort(-z, -1)
    excess = (jnp.cumsum(largest, -1) - 1) / jnp.arange(1, z.shape[-1] + 1)
    n = jnp.sum(largest > excess, -1, keepdims=True)
    return jnp.maximum(z - jnp.take_along_axis(excess, n - 1, -1), 0)


def answers(outputs: Array, loss: Loss, task: Task) -> Array:
    """Reads a network's outputs in the sense of its task, (batch, ...) in float32 at least.

    Of a classification, as ``probabilities`` of the classes; of a multilabel task, as that of each
    label, σ(z); of a regression they are the numbers, as the data set stores them.
    """
    if task is classification:
        return probabilities(outputs, loss)
    z = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    return z if task is regression else logistic(z)


def make_predict(
    network: Layer, loss: Loss, batch_size: int = 1024, task: Task = classification
) -> Predict:
    """Makes the function ``(params, state, inputs) -> answers``, (n, ...) float32.

    It takes any number of inputs, n. So that few programs are compiled, the last batch is padded;
    fewer inputs than ``batch_size`` are padded to a power of two.

    Args:
        network: any layer, run in inference mode; it is given the inputs as they are (see
            ``before``).
        loss: what it was trained with; see ``answers``.
        batch_size: the number of examples computed at a time.
        task: what the targets are.
    """

    @jax.jit
    def predict_batch(params: Tree, state: Tree, inputs: Array) -> Array:
        outputs, _, _ = network.forward(params, state, inputs)
        return answers(outputs, loss, task).astype(jnp.float32)

    def predict(params: Tree, state: Tree, inputs: ArrayLike) -> np.ndarray:
        inputs = np.asarray(inputs)
        count = len(inputs)
        size = min(batch_size, 1 << max(count - 1, 0).bit_length())
        batches = []
        for start in range(0, max(count, 1), size):
            batch = inputs[start : start + size]
            missing = [(0, size - len(batch))] + [(0, 0)] * (inputs.ndim - 1)
            batches.append(predict_batch(params, state, np.pad(batch, missing)))
        return np.concatenate(jax.device_get(batches))[:count]

    return predict


def verdicts(
    network: Layer,
    loss: Loss,
    params: Tree,
    state: Tree,
    inputs: Array,
    targets: Array,
    task: Task = classification,
) -> tuple[Array, ...]:
    """What a network takes each example for, how sure it is, and its loss.

    Args:
        network: any layer, run in inference mode.
        loss: what it was trained with.
        params: the network's parameters.
        state: the network's state.
        inputs: (batch, *in_shape), as the network takes them.
        targets: (batch,) int32, or as the task has them.
        task: what the targets are.

    Returns:
        ``(predicted, confidence, losses)``, (batch,) each: int32, and twice float32. Of another
        task than classification ``(answers, losses)``: see ``answers``.
    """
    outputs, _, _ = network.forward(params, state, inputs)
    losses = jax.vmap(lambda output, target: loss(output[None], target[None], None)[0])(
        outputs, targets
    )
    if task is not classification:
        found = answers(outputs, loss, task)
        return found.astype(jnp.float32), losses.astype(jnp.float32)
    confidence = probabilities(outputs, loss).max(-1)
    predicted = outputs.argmax(-1).astype(jnp.int32)
    return predicted, confidence.astype(jnp.float32), losses.astype(jnp.float32)


def look(
    network: Layer,
    loss: Loss,
    params: Tree,
    state: Tree,
    inputs: Array,
    target: Array,
    task: Task = classification,
) -> dict[str, Array]:
    """All that a network does with one example, as arrays by name.

    Args:
        network: any layer, run in inference mode.
        loss: what it was trained with.
        params: the network's parameters.
        state: the network's state.
        inputs: (1, *in_shape), as the network takes them.
        target: (1,) int32: the example's class, or -1 for that which it is taken for; or as the
            task has it, with NaN for what is put out.
        task: what the targets are.

    Returns:
        ``target``, ``probabilities`` (classes,) and ``loss``; of another task than classification
        ``answers``, see there, in place of probabilities; and of layer i, of those that are not
        made of others, ``i.input``, ``i.output``, ``i.d_output``, ``i.d_input`` where there is one,
        and of each parameter the gradient, such as ``i.d_weight``. Numbers are float32.
    """
    outputs, _, _ = network.forward(params, state, inputs)
    if task is classification:
        target = jnp.where(target < 0, outputs.argmax(-1), target)
    else:
        said = outputs if task is regression else (outputs > 0).astype(target.dtype)
        target = jnp.where(jnp.isnan(target), said, target)
    traced = trace(network, loss, params, state, inputs, target)
    at = {layer.path: layer for layer in traced.layers}
    name = "probabilities" if task is classification else "answers"
    arrays = {
        "target": target[0],
        name: answers(outputs, loss, task)[0],
        "loss": traced.loss,
    }
    for i, path in enumerate(leaves(network)):
        layer = at[path]
        arrays[f"{i}.input"], arrays[f"{i}.output"] = layer.input[0], layer.output[0]
        arrays[f"{i}.d_output"] = layer.d_output[0]
        if layer.d_input is not None:
            arrays[f"{i}.d_input"] = layer.d_input[0]
        for name, gradient in named_leaves(layer.gradients).items():
            arrays[f"{i}.d_{name}"] = gradient
    return cast(arrays, jnp.float32)
