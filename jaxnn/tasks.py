"""Tasks: what the targets of a data set are, and what follows from it.

A task declares sums over examples, which add over batches and devices, and the metrics that are
made of them. Training, evaluation and all that shows their results ask the task, and know no more.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Sums = dict[str, Array]
TaskName = Literal["classification", "regression", "multilabel"]

METRICS = {
    "accuracy": ("accuracy", ".2%"),
    "macro_f1": ("macro F1", ".2%"),
    "rmse": ("RMSE", ".6g"),
    "mae": ("MAE", ".6g"),
    "r2": ("R²", ".4f"),
    "loss": ("loss", ".4f"),
}
"""By name: what people call a metric, and how its values are written."""


class Task(NamedTuple):
    """What the targets are.

    Attributes:
        name: what configs call it.
        sums: ``(outputs, targets, weights, center) -> sums``, over a batch; ``weights`` is (batch,)
            or None, ``center`` a constant that targets lie around.
        measure: ``(sums, examples, unit) -> metrics``, by name: of sums in float64 over so many
            examples; ``unit`` is that of stored targets, see ``Dataset.target_scale``.
        losses: the names of the library's losses that can judge its outputs.
        metrics: the names of its metrics.
        headline: the metric by which its runs are listed.
        best: the metric, the larger the better, that chooses the best epoch, the loss deciding
            among equals; None where the loss alone does.
    """

    name: TaskName
    sums: Callable[[Array, Array, Array | None, Any], Sums]
    measure: Callable[[Mapping[str, Any], float, Any], dict[str, float]]
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    headline: str
    best: str | None

    def rank(self, loss: float, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Returns what is larger for a better result on the validation split."""
        return (-loss,) if self.best is None else (metrics[self.best], -loss)

    def told(self, results: Mapping[str, Any], prefix: str = "") -> str:
        """Returns the metrics among results as people read them: "accuracy 97.22%"."""
        return ", ".join(
            f"{METRICS[name][0]} {written(name, results.get(prefix + name))}"
            for name in self.metrics
        )

    def no_sums(self, targets: Array) -> Sums:
        """Returns the sums over no example; ``targets`` are some, of which the shape counts."""
        numbers = jnp.issubdtype(targets.dtype, jnp.floating)
        outputs = targets if numbers else jnp.zeros((*targets.shape, 2), jnp.float32)
        shapes = jax.eval_shape(lambda: self.sums(outputs, targets, None, 0.0))
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def written(metric: str, value: float | None) -> str:
    """Returns a metric's value as people read it; "–" if there is none."""
    return "–" if value is None or np.isnan(value) else format(value, METRICS[metric][1])


def is_correct(outputs: Array, targets: Array) -> Array:
    """Whether the largest output is the target's, (batch, ...) bool.

    A single output is the logit of a yes, as ``sigmoid_binary_cross_entropy`` takes it.

    Args:
        outputs: (batch, ..., classes).
        targets: class numbers (batch, ...), or one-hot rows or probabilities of the shape of
            ``outputs``, of which the largest counts.
    """
    one = outputs.shape[-1] == 1
    if targets.shape == outputs.shape:
        targets = targets[..., 0] > 0.5 if one else targets.argmax(-1)
    return (outputs[..., 0] > 0 if one else outputs.argmax(-1)) == targets


def _class_sums(outputs: Array, targets: Array, weights: Array | None, center: Any) -> Sums:
    """The number of examples classified correctly; where one has several classes, of its shares."""
    correct = is_correct(outputs, targets)
    if weights is None and correct.ndim == 1:
        return {"correct": jnp.sum(correct, dtype=jnp.int32)}
    share = jnp.mean(correct.reshape(len(correct), -1), -1)
    return {"correct": jnp.sum(share if weights is None else share * weights)}


def _class_metrics(sums: Mapping[str, Any], examples: float, unit: Any) -> dict[str, float]:
    return {"accuracy": float(sums["correct"] / examples)}


def _number_sums(outputs: Array, targets: Array, weights: Array | None, center: Any) -> Sums:
    """Sums over the batch of errors and of targets, and of their squares; of each target."""
    targets = targets.astype(jnp.float32)
    error = outputs.astype(jnp.float32) - targets
    around = targets - jnp.asarray(center, jnp.float32)
    terms = {"squares": error**2, "errors": jnp.abs(error), "targets": around}
    return _summed(terms | {"target_squares": around**2}, weights)


def _number_metrics(sums: Mapping[str, Any], examples: float, unit: Any) -> dict[str, float]:
    """Means over the targets of root mean squared error, mean absolute error and R².

    R² is 1 - Σ (t - y)² / Σ (t - mean of t)². As in scikit-learn, it is 0 for a target that is the
    same in all examples, or 1 if that is predicted exactly. Targets of several axes, such as
    images, are one quantity: sums are then over all of their values.
    """
    squares, errors, targets, target_squares = (
        np.asarray(sums[key], np.float64)
        for key in ("squares", "errors", "targets", "target_squares")
    )
    spread = target_squares - targets**2 / examples
    if squares.ndim > 1:
        every = (squares, errors, spread, target_squares)
        squares, errors, spread, target_squares = (np.asarray(np.mean(sums)) for sums in every)
    varies = spread > 1e-6 * target_squares  # else it is what float32 has rounded
    r2 = np.where(varies, 1 - squares / np.where(varies, spread, 1), squares == 0)
    return {
        "rmse": float(np.mean(np.sqrt(squares / examples) * unit)),
        "mae": float(np.mean(errors / examples * unit)),
        "r2": float(np.mean(r2)),
    }


def _label_sums(outputs: Array, targets: Array, weights: Array | None, center: Any) -> Sums:
    """How often each label is predicted, is there, and both: (labels,) each."""
    yes, there = outputs > 0, targets > 0
    return _summed({"predicted": yes, "there": there, "both": yes & there}, weights)


def _label_metrics(sums: Mapping[str, Any], examples: float, unit: Any) -> dict[str, float]:
    """Means over the labels of accuracy and of F1, of those for which F1 is defined."""
    predicted, there, both = (
        np.asarray(sums[key], np.float64) for key in ("predicted", "there", "both")
    )
    either = predicted + there
    f1 = 2 * both[either > 0] / either[either > 0]
    return {
        "accuracy": float(np.mean(1 - (either - 2 * both) / examples)),
        "macro_f1": float(np.mean(f1)) if f1.size else float("nan"),
    }


def _summed(terms: Mapping[str, Array], weights: Array | None) -> Sums:
    """Sums of (batch, ...) over the batch, weighted, in float32."""
    if weights is None:
        return {name: jnp.sum(x, 0, dtype=jnp.float32) for name, x in terms.items()}
    w = weights.astype(jnp.float32)
    return {name: jnp.tensordot(w, x.astype(jnp.float32), 1) for name, x in terms.items()}


_OF_NUMBERS = ("mean_squared_error", "huber", "quadratic", "mean_absolute_error", "quantile")

classification = Task(
    "classification",
    _class_sums,
    _class_metrics,
    losses=(
        *("softmax_cross_entropy", "sigmoid_binary_cross_entropy", "hinge"),
        *("mean_squared_error", "huber", "quadratic"),
    ),
    metrics=("accuracy",),
    headline="accuracy",
    best="accuracy",
)
"""One class of several: targets are class numbers, (examples,) int32."""

regression = Task(
    "regression",
    _number_sums,
    _number_metrics,
    losses=_OF_NUMBERS,
    metrics=("rmse", "mae", "r2"),
    headline="r2",
    best=None,
)
"""Numbers: targets are (examples, numbers) float32, standardized by ``Dataset.target_scale``."""

multilabel = Task(
    "multilabel",
    _label_sums,
    _label_metrics,
    losses=("sigmoid_binary_cross_entropy",),
    metrics=("accuracy", "macro_f1"),
    headline="macro_f1",
    # F1 stays at 0 until the first rare label is predicted: patience would end training before.
    best=None,
)
"""Any number of labels at once: targets are (examples, labels) float32, 0 or 1."""

TASKS = {task.name: task for task in (classification, regression, multilabel)}
"""By name."""
