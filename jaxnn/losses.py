"""Losses: functions ``(outputs, targets, weights=None) -> (value, d_outputs)``.

``outputs`` is (batch, ..., K); targets are class numbers, (batch, ...) integers in [0, K), or
arrays of the shape of ``outputs``: one-hot rows, probabilities, or, where the loss allows it, any
numbers. ``value`` is a scalar, the weighted mean over all but the last axis,
L = Σₙ wₙ lₙ / Σₙ wₙ, with wₙ = 1 where ``weights`` is None; a weight of 0 leaves an example out,
and where all are 0, so is L. ``d_outputs`` is ∂L/∂outputs, of the shape and type of ``outputs``:
each docstring derives ∂l/∂zₖ, to which the mean adds the factor wₙ / Σw. Of a batch that ``fit``
has divided over devices, Σₙ wₙ is that of the whole of it, and ``value`` this part's share of the
mean, as ``d_outputs`` is: the shares' sum is L; see ``jaxnn.collectives``.

Values are computed in float32 at least. Options are keyword arguments:
``functools.partial(softmax_cross_entropy, label_smoothing=0.1)`` is a loss too. Every loss raises
ValueError where the shape or type of targets or weights does not fit the outputs, and where a
target is out of its range: a class number without an output, say. Inside a compiled program, where
values are not known, such a target makes the value NaN, unless its weight is 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.arrays import AnyArray
from jaxnn.collectives import batch_parts, batch_sum
from jaxnn.layers.activations import logistic
from jaxnn.layers.layer import Shape
from jaxnn.tasks import TASKS, Task

Loss = Callable[[Array, Array, Array | None], tuple[Array, Array]]


def softmax_cross_entropy(
    outputs: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Array, Array]:
    """Returns the cross-entropy of softmax(outputs), in nats, and its gradient.

    With logits z and target probabilities t (one-hot for class numbers), l = -Σₖ tₖ log pₖ with
    p = softmax(z), computed as log pₖ = (zₖ - m) - log Σⱼ exp(zⱼ - m) with m = maxⱼ zⱼ, so that
    no exponential overflows and the logarithm's argument is at least 1.

    Derivation: ∂(log pₖ)/∂zⱼ = δₖⱼ - pⱼ, so ∂l/∂zⱼ = pⱼ Σₖ tₖ - tⱼ, which is pⱼ - tⱼ where t sums
    to 1.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", section 4.3.4; label
    smoothing, Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.

    Args:
        outputs: logits, (batch, ..., classes), floating point.
        targets: class numbers (batch, ...), or probabilities of the shape of ``outputs``.
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
        label_smoothing: ε in [0, 1]; (1 - ε) t + ε / classes takes the place of t.

    Raises:
        ValueError: if ``label_smoothing`` is not in [0, 1], there is a single output, or targets do
            not fit.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    _two_or_more("softmax_cross_entropy", outputs)
    batch = _prepare(outputs, targets, weights)
    z, t = batch.outputs, batch.targets
    if label_smoothing:
        t = (1 - label_smoothing) * t + label_smoothing / outputs.shape[-1]
    shifted = z - z.max(-1, keepdims=True)
    exponentials = jnp.exp(shifted)
    total = exponentials.sum(-1, keepdims=True)
    losses = -jnp.sum(t * (shifted - jnp.log(total)), -1)
    gradients = exponentials / total * t.sum(-1, keepdims=True) - t
    return _mean(losses, gradients, batch)


def sigmoid_binary_cross_entropy(
    outputs: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Returns the cross-entropy of independent yes-or-no outputs σ(z), in nats, summed over them.

    With logits z and targets t in [0, 1], l = -Σₖ [tₖ log σ(zₖ) + (1 - tₖ) log(1 - σ(zₖ))]. Since
    log σ(z) = z - log(1 + eᶻ) and log(1 - σ(z)) = -log(1 + eᶻ), each term is log(1 + eᶻ) - t z,
    computed as max(z, 0) - t z + log(1 + e^-|z|), whose exponential cannot overflow. (PyTorch's
    default takes the mean over the outputs instead of the sum.)

    Derivation: the derivative of log(1 + eᶻ) is σ(z), so ∂l/∂zₖ = σ(zₖ) - tₖ: unlike that of the
    squared error, it does not vanish where a unit is saturated and wrong.

    Source: Nielsen 2015, http://neuralnetworksanddeeplearning.com/chap3.html, equation 63.

    Args:
        outputs: logits, (batch, ..., K), floating point.
        targets: numbers in [0, 1] of the shape of ``outputs``; or class numbers (batch, ...), taken
            as one-hot rows; or, where K = 1, 0 and 1 as integers (batch, ...).
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
    """
    batch = _prepare(outputs, targets, weights, unit=True)
    z, t = batch.outputs, batch.targets
    losses = jnp.sum(jnp.maximum(z, 0) - t * z + jnp.log1p(jnp.exp(-jnp.abs(z))), -1)
    return _mean(losses, logistic(z) - t, batch)


def mean_squared_error(
    outputs: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Returns the mean over examples and outputs of (y - t)², and its gradient.

    Derivation: l = (1/K) Σₖ (yₖ - tₖ)² over the K outputs of an example, so
    ∂l/∂yₖ = 2 (yₖ - tₖ) / K.

    Args:
        outputs: (batch, ..., K), floating point.
        targets: numbers of the shape of ``outputs``, or class numbers (batch, ...), taken as
            one-hot rows; where K = 1, any integers (batch, ...).
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
    """
    batch = _prepare(outputs, targets, weights)
    error = batch.outputs - batch.targets
    return _mean(jnp.mean(error**2, -1), 2 / outputs.shape[-1] * error, batch)


def quadratic(outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Returns Nielsen's quadratic cost, C = (1 / 2n) Σ ‖a - y‖² over n examples.

    Derivation: l = ½ Σₖ (aₖ - yₖ)², so ∂l/∂aₖ = aₖ - yₖ. (It is K / 2 times the mean squared error,
    for K outputs.)

    Source: Nielsen 2015, http://neuralnetworksanddeeplearning.com/chap1.html, equation 6.

    Args:
        outputs: activations a, (batch, ..., K), floating point.
        targets: y: numbers of the shape of ``outputs``, or class numbers (batch, ...), taken as
            one-hot rows; where K = 1, any integers (batch, ...).
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
    """
    batch = _prepare(outputs, targets, weights)
    error = batch.outputs - batch.targets
    return _mean(0.5 * jnp.sum(error**2, -1), error, batch)


def huber(
    outputs: Array, targets: Array, weights: Array | None = None, *, delta: float = 1.0
) -> tuple[Array, Array]:
    """Returns the squared error near the target, the absolute error far from it; the outputs' mean.

    With e = y - t, each term is ½ e² where |e| ≤ δ and δ (|e| - ½ δ) beyond: outliers pull with a
    bounded force.

    Derivation: ∂l/∂yₖ = eₖ / K where |eₖ| ≤ δ and δ sign(eₖ) / K beyond: e clipped to [-δ, δ].

    Source: Huber 1964, "Robust Estimation of a Location Parameter".

    Args:
        outputs: (batch, ..., K), floating point.
        targets: numbers of the shape of ``outputs``, or class numbers (batch, ...), taken as
            one-hot rows; where K = 1, any integers (batch, ...).
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
        delta: δ, above 0.

    Raises:
        ValueError: if ``delta`` is not positive, or targets do not fit.
    """
    if not delta > 0:
        raise ValueError(f"huber: delta must be above 0, got {delta}")
    batch = _prepare(outputs, targets, weights)
    error = batch.outputs - batch.targets
    clipped = jnp.clip(error, -delta, delta)
    losses = jnp.mean(clipped * (error - 0.5 * clipped), -1)
    return _mean(losses, clipped / outputs.shape[-1], batch)


def mean_absolute_error(
    outputs: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Returns the mean over examples and outputs of |y - t|, and its gradient.

    What minimizes it is the median of the targets of like inputs, where the squared error goes for
    their mean: a few that are far off move it little.

    Derivation: l = (1/K) Σₖ |yₖ - tₖ| over the K outputs of an example, so
    ∂l/∂yₖ = sign(yₖ - tₖ) / K; at yₖ = tₖ, where there is none, it is taken to be 0.

    Source: Koenker & Bassett 1978, "Regression Quantiles", of which it is twice the case θ = ½.

    Args:
        outputs: (batch, ..., K), floating point.
        targets: numbers of the shape of ``outputs``, or class numbers (batch, ...), taken as
            one-hot rows; where K = 1, any integers (batch, ...).
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
    """
    batch = _prepare(outputs, targets, weights)
    error = batch.outputs - batch.targets
    return _mean(jnp.mean(jnp.abs(error), -1), jnp.sign(error) / outputs.shape[-1], batch)


def quantile(
    outputs: Array, targets: Array, weights: Array | None = None, *, quantile: float = 0.5
) -> tuple[Array, Array]:
    """Returns the pinball loss, whose least is where a fraction of the targets is below the output.

    With e = y - t, each term is (1 - θ) e where the output is too high and -θ e where it is too
    low: with θ = 0.9, too low costs nine times as much as too high, and is right for one in ten.

    Derivation: l = (1/K) Σₖ max((1 - θ) eₖ, -θ eₖ), so ∂l/∂yₖ = (1 - θ) / K where yₖ > tₖ and
    -θ / K where yₖ < tₖ; at yₖ = tₖ, where there is none, it is taken to be 0. Of many targets t
    for like inputs, the gradient's mean is (P(t < y) - θ) / K: it vanishes at the θ-quantile.

    Source: Koenker & Bassett 1978, "Regression Quantiles", section 3.

    Args:
        outputs: (batch, ..., K), floating point.
        targets: numbers of the shape of ``outputs``, or class numbers (batch, ...), taken as
            one-hot rows; where K = 1, any integers (batch, ...).
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
        quantile: θ, between 0 and 1.

    Raises:
        ValueError: if ``quantile`` is not between 0 and 1, or targets do not fit.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile: quantile must be between 0 and 1, got {quantile}")
    batch = _prepare(outputs, targets, weights)
    error = batch.outputs - batch.targets
    slope = jnp.where(error > 0, 1 - quantile, jnp.where(error < 0, -quantile, 0))
    slope = slope.astype(error.dtype)
    return _mean(jnp.mean(slope * error, -1), slope / outputs.shape[-1], batch)


def hinge(
    outputs: Array, targets: Array, weights: Array | None = None, *, margin: float = 1.0
) -> tuple[Array, Array]:
    """Returns the hinge loss of several classes: wrong scores have to stay below the right one.

    With scores z and the right class y, l = (1/K) Σ_{k ≠ y} max(0, Δ + zₖ - z_y): the form of
    Weston and Watkins, divided by the number of classes K as PyTorch's ``MultiMarginLoss`` does.

    Derivation: where wrong class k violates its margin, aₖ = 1/K, else 0; then ∂l/∂zₖ = aₖ for
    k ≠ y, and ∂l/∂z_y = -Σₖ aₖ.

    Source: Weston & Watkins 1999, "Support Vector Machines for Multi-Class Pattern Recognition".

    Args:
        outputs: scores, (batch, ..., K), floating point, K at least 2.
        targets: class numbers (batch, ...), or one-hot rows of the shape of ``outputs``.
        weights: None, or broadcastable to ``outputs.shape[:-1]`` from the left, such as (batch,).
        margin: Δ.

    Raises:
        ValueError: if there is a single output, or targets do not fit.
    """
    classes = _two_or_more("hinge", outputs)
    batch = _prepare(outputs, targets, weights)
    z, t = batch.outputs, batch.targets
    violation = (margin + z - jnp.sum(t * z, -1, keepdims=True)) * (1 - t)
    a = jnp.where(violation > 0, 1 / classes, 0).astype(z.dtype)
    losses = jnp.mean(jnp.maximum(violation, 0), -1)
    return _mean(losses, a - t * a.sum(-1, keepdims=True), batch)


def check_task(loss: Loss, task: Task, asked_for: str) -> None:
    """Checks that a loss is one for targets of a task; losses that are not of this module may be.

    Args:
        loss: a loss.
        task: what the targets are.
        asked_for: what a network is asked for, for the message.

    Raises:
        ValueError: if it is not; the message has both ways out.
    """
    name = getattr(getattr(loss, "func", loss), "__name__", "")
    fitting = [other for other in TASKS.values() if name in other.losses]
    if fitting and task not in fitting:
        others = " or ".join(other.name for other in fitting)
        raise ValueError(
            f"{name} is a loss for {others}, and the task is {task.name} ({asked_for}): use loss: "
            f"{task.losses[0]}, or, if the targets can be that, task: {fitting[0].name}"
        )


def weighted(loss: Loss, class_weights: np.ndarray | None) -> Loss:
    """Returns the loss in which each example counts as its class does; None: the loss itself."""
    if class_weights is None:
        return loss

    def of_weighted(
        outputs: Array, targets: Array, weights: Array | None = None
    ) -> tuple[Array, Array]:
        return loss(outputs, targets, example_weights(class_weights, targets, weights))

    return of_weighted


def example_weights(class_weights: np.ndarray, targets: Array, weights: Array | None) -> Array:
    """Returns what examples count if each class has a weight.

    Args:
        class_weights: (classes,).
        targets: class numbers (batch, ...), or probabilities (batch, ..., classes), of which the
            weight is the mean.
        weights: those that examples have already, (batch,); None: they are 1.
    """
    of_class = jnp.asarray(class_weights, jnp.float32)
    numbers = jnp.issubdtype(targets.dtype, jnp.integer)
    own = of_class[targets] if numbers else targets @ of_class
    if weights is None:
        return own
    return own * weights.reshape(weights.shape + (1,) * (own.ndim - weights.ndim))


def check_targets(loss: Loss, targets: np.ndarray, out_shape: Shape) -> None:
    """Checks that a loss can judge outputs by targets, all of a data set's at once.

    Losses that are not of this module are not judged: what targets mean is their affair.

    Args:
        loss: a loss.
        targets: (examples, ...).
        out_shape: the shape of the outputs, without the batch axis.

    Raises:
        ValueError: if targets do not fit the outputs, or one is out of its range.
    """
    loss = getattr(loss, "func", loss)
    if loss in (softmax_cross_entropy, hinge):
        _two_or_more(loss.__name__, jax.ShapeDtypeStruct((1, *out_shape), np.float32))
    elif loss not in (sigmoid_binary_cross_entropy, *_OF_NUMBERS):
        return
    shape = (len(targets), *out_shape)
    within = _within(targets, shape, unit=loss is sigmoid_binary_cross_entropy)
    if within is not None and not within.all():
        raise ValueError(_out_of_range(targets, within, shape[-1]))


_OF_NUMBERS = (mean_squared_error, quadratic, huber, mean_absolute_error, quantile)


class _Batch(NamedTuple):
    """What a loss is computed of.

    Attributes:
        outputs: in float32 at least.
        targets: of the same shape and type, one-hot where class numbers were given.
        weights: (batch, ...), or None.
        impossible: whether a target that counts is out of its range, a scalar; None if none can be.
        dtype: of the gradient.
    """

    outputs: Array
    targets: Array
    weights: Array | None
    impossible: Array | None
    dtype: jnp.dtype


def _prepare(
    outputs: Array, targets: Array, weights: Array | None, *, unit: bool = False
) -> _Batch:
    y = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    within = _within(targets, outputs.shape, unit=unit)
    w = None if weights is None else _each_weight(weights.astype(y.dtype), outputs.shape[:-1])
    impossible = None
    if within is not None:
        wrong = ~within if w is None else ~within & (w != 0)
        impossible = wrong.any()
        if not isinstance(impossible, jax.core.Tracer) and impossible:
            raise ValueError(_out_of_range(targets, ~wrong, outputs.shape[-1]))
    if targets.shape == outputs.shape:
        t = targets.astype(y.dtype)
    elif outputs.shape[-1] == 1:  # not a class number, but the number itself
        t = targets[..., None].astype(y.dtype)
    else:
        t = (targets[..., None] == jnp.arange(outputs.shape[-1])).astype(y.dtype)
    return _Batch(y, t, w, impossible, outputs.dtype)


def _within(targets: AnyArray, shape: Shape, *, unit: bool) -> Any:
    """Returns which targets are in their range, (batch, ...) like them; None where they have none.

    Args:
        targets: the targets.
        shape: of the outputs.
        unit: whether those that are no class numbers have to be in [0, 1].

    Raises:
        ValueError: if targets do not fit the outputs' shape.
    """
    numbers = targets.shape == shape[:-1] and jnp.issubdtype(targets.dtype, jnp.integer)
    if not numbers and targets.shape != shape:
        hint = "; give class numbers as integers" if targets.shape == shape[:-1] else ""
        raise ValueError(
            f"targets of shape {targets.shape} ({targets.dtype}) do not fit outputs of shape "
            f"{shape}: expected integers of shape {shape[:-1]} or numbers of shape {shape}{hint}"
        )
    if numbers and shape[-1] > 1:
        return (targets >= 0) & (targets < shape[-1])
    if not unit:
        return None
    within = (targets >= 0) & (targets <= 1)
    return within if numbers else within.all(-1)


def _out_of_range(targets: Array | np.ndarray, within: Array | np.ndarray, outputs: int) -> str:
    place = np.unravel_index(np.argmin(np.asarray(within)), within.shape)
    where, target = ", ".join(map(str, place)), np.asarray(targets)[place]
    if outputs == 1 or target.ndim:
        return f"target {where} is {target}, but targets of this loss are in [0, 1]"
    return (
        f"target {where} is {target}, a class that the network has no output for: there are "
        f"{outputs}, for the classes 0 to {outputs - 1}"
    )


def _two_or_more(name: str, outputs: Array | jax.ShapeDtypeStruct) -> int:
    """Returns the number of outputs, of which one alone would say nothing."""
    if outputs.shape[-1] < 2:
        raise ValueError(f"{name} needs an output for each of two or more classes, got one output")
    return outputs.shape[-1]


def _each_weight(weights: Array, shape: Shape) -> Array:
    """Returns weights of the losses' shape, broadcast from the left."""
    if weights.ndim > len(shape) or any(
        size not in (1, axis) for size, axis in zip(weights.shape, shape, strict=False)
    ):
        raise ValueError(
            f"weights of shape {weights.shape} do not fit losses of shape {shape}: expected a "
            f"weight for each example, {shape[:1]}, or for each loss"
        )
    return jnp.broadcast_to(
        weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim)), shape
    )


def _mean(losses: Array, gradients: Array, batch: _Batch) -> tuple[Array, Array]:
    """Returns the weighted mean of losses (batch, ...) and, from their gradients, its own.

    Of both, this part's share where the batch is divided.
    """
    w = batch.weights
    if w is None:
        size = losses.size * batch_parts()
        value, gradients = losses.sum() / size, gradients / size
    else:
        total = batch_sum(w.sum())
        w = w / jnp.where(total == 0, 1, total)
        value, gradients = jnp.sum(w * losses), w[..., None] * gradients
    if batch.impossible is not None:
        value = jnp.where(batch.impossible, jnp.nan, value)
    return value, gradients.astype(batch.dtype)
