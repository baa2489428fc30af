"""How good predictions are: functions of NumPy arrays.

Throughout, ``probabilities`` is (n, classes), floating point, ``targets`` is (n,), integers in
[0, classes), and n is at least 1. The prediction is the most probable class, of equally probable
ones the first. Of numbers, predictions and targets are (n, numbers); of labels, ``probabilities``
is (n, labels), a label is predicted above ½, and ``targets`` is (n, labels), 0 and 1. Results are
in float64.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Scores(NamedTuple):
    """How each class is recognized; arrays of shape (classes,).

    Attributes:
        precision: of the examples predicted as the class, the fraction that is of it; NaN where
            none was.
        recall: of the class's examples, the fraction predicted as such; NaN where there is none.
        f1: the harmonic mean of the two, 2 TP / (2 TP + FP + FN); NaN where both are.
        support: the number of the class's examples, int64.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


class Calibration(NamedTuple):
    """How often predictions made with a certain confidence are right; arrays of shape (bins,).

    Attributes:
        error: the expected calibration error, Σ (examples / n) |accuracy - confidence|, a number.
        confidence: the mean confidence of the predictions in a bin; NaN where there are none.
        accuracy: the fraction of them that is right; NaN where there are none.
        examples: how many there are, int64.
    """

    error: float
    confidence: np.ndarray
    accuracy: np.ndarray
    examples: np.ndarray


def accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Returns the fraction of examples whose class is the prediction."""
    return top_k_accuracy(probabilities, targets, 1)


def top_k_accuracy(probabilities: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Returns the fraction of examples whose class is among the k most probable ones.

    Raises:
        ValueError: if k is not between 1 and the number of classes.
    """
    _check(probabilities, targets)
    if not 1 <= k <= probabilities.shape[1]:
        raise ValueError(f"k must be between 1 and the {probabilities.shape[1]} classes, got {k}")
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return float((order[:, :k] == targets[:, None]).any(1).mean())


def confusion_matrix(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns how many examples of a class (row) were predicted as a class (column), int64."""
    _check(probabilities, targets)
    classes = probabilities.shape[1]
    cells = targets * classes + probabilities.argmax(1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_scores(confusion: np.ndarray) -> Scores:
    """Returns precision, recall, F1 and support of each class, from a confusion matrix."""
    right = confusion.diagonal()
    support, predicted = confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):  # 0 / 0: NaN is meant
        return Scores(
            right / predicted, right / support, 2 * right / (support + predicted), support
        )


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Returns the mean recall of those classes that have examples, from a confusion matrix."""
    return float(np.nanmean(class_scores(confusion).recall))


def calibration(probabilities: np.ndarray, targets: np.ndarray, *, bins: int = 15) -> Calibration:
    """Returns whether predictions made with 80 % confidence are right in 80 % of the cases.

    Confidence is the probability of the prediction. Examples are sorted into bins of equal width,
    ((m - 1) / bins, m / bins] for m = 1 … bins; in each, accuracy is compared with the mean
    confidence.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2,
    https://arxiv.org/abs/1706.04599; 15 bins as there.
    """
    _check(probabilities, targets)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == targets
    bin_of = np.searchsorted(np.arange(1, bins) / bins, confidence)
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bin_of, confidence, bins) / count
        accuracies = np.bincount(bin_of, right, bins) / count
    gaps = np.nan_to_num(np.abs(accuracies - mean_confidence))
    return Calibration(float(count @ gaps / len(targets)), mean_confidence, accuracies, count)


def confident_mistakes(
    probabilities: np.ndarray, targets: np.ndarray, most: int | None = None
) -> np.ndarray:
    """Returns which examples are predicted wrongly, the most confident mistake first, int64.

    Args:
        probabilities: see above.
        targets: see above.
        most: return no more than these; None: all.
    """
    _check(probabilities, targets)
    wrong = np.flatnonzero(probabilities.argmax(1) != targets)
    order = np.argsort(-probabilities.max(1)[wrong], kind="stable")
    return wrong[order][:most]


def confusions(confusion: np.ndarray, most: int | None = None) -> list[tuple[int, int, int]]:
    """Returns what is taken for what, most frequent first: (class, predicted class, how often)."""
    wrong = confusion - np.diag(confusion.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)][:most]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [(int(i), int(j), int(wrong[i, j])) for i, j in zip(rows, columns, strict=True)]


def evaluation(
    probabilities: np.ndarray,
    targets: np.ndarray,
    classes: Sequence[str],
    *,
    top: int = 3,
    mistakes: int = 100,
) -> dict[str, Any]:
    """Returns all of the above as one dictionary of plain values, as JSON has them; None for NaN.

    Args:
        probabilities: see above.
        targets: see above.
        classes: the name of each class.
        top: the largest k for which to tell the top-k accuracy; at most that of the classes counts.
        mistakes: how many of the most confident mistakes to list.

    Returns:
        ``examples``, ``accuracy``, ``top_accuracy`` (by k), ``balanced_accuracy``, ``macro_f1``
        (the mean over the classes for which it is defined), ``calibration_error``, ``classes``
        (``name`` and ``Scores`` of each), ``confusion`` (rows: classes; columns: predicted),
        ``calibration`` (``confidence``, ``accuracy``, ``examples`` of each bin), ``mistakes``
        (``example``, ``target``, ``prediction``, ``probability`` of the prediction and
        ``target_probability``).
    """
    confusion = confusion_matrix(probabilities, targets)
    scores = class_scores(confusion)
    bins = calibration(probabilities, targets)
    wrong = confident_mistakes(probabilities, targets, mistakes)
    guesses = probabilities.argmax(1)
    return {
        "examples": len(targets),
        "accuracy": accuracy(probabilities, targets),
        "top_accuracy": {
            str(k): top_k_accuracy(probabilities, targets, k)
            for k in range(1, min(top, len(classes)) + 1)
        },
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": float(np.nanmean(scores.f1)),
        "calibration_error": bins.error,
        "classes": [
            {"name": name} | _plain(dict(zip(Scores._fields, values, strict=True)))
            for name, *values in zip(classes, *scores, strict=True)
        ],
        "confusion": confusion.tolist(),
        "calibration": [
            _plain({"confidence": c, "accuracy": a, "examples": n})
            for c, a, n in zip(*bins[1:], strict=True)
        ],
        "mistakes": [
            {
                "example": int(i),
                "target": classes[targets[i]],
                "prediction": classes[guesses[i]],
                "probability": float(probabilities[i, guesses[i]]),
                "target_probability": float(probabilities[i, targets[i]]),
            }
            for i in wrong
        ],
    }


class NumberScores(NamedTuple):
    """How close predicted numbers are; arrays of shape (numbers,).

    Attributes:
        rmse: the root of the mean squared error.
        mae: the mean absolute error.
        r2: 1 - Σ (t - y)² / Σ (t - mean of t)², the share of the targets' variance that is
            explained; of a target that is always the same, 1 if it is predicted exactly, else 0.
    """

    rmse: np.ndarray
    mae: np.ndarray
    r2: np.ndarray


class LabelScores(NamedTuple):
    """How each label is recognized; arrays of shape (labels,).

    Attributes:
        accuracy: the fraction of examples for which it is predicted rightly whether they have it.
        precision: see ``Scores``.
        recall: see ``Scores``.
        f1: see ``Scores``.
        support: the number of examples that have it, int64.
    """

    accuracy: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def number_scores(predictions: np.ndarray, targets: np.ndarray) -> NumberScores:
    """Returns how close predicted numbers are, for each of them."""
    _check_alike(predictions, targets)
    y, t = predictions.astype(np.float64), targets.astype(np.float64)
    squares, spread = ((t - y) ** 2).mean(0), t.var(0)
    varies = (t != t[0]).any(0)
    r2 = np.where(varies, 1 - squares / np.where(varies, spread, 1), squares == 0)
    return NumberScores(np.sqrt(squares), np.abs(t - y).mean(0), r2)


def label_scores(probabilities: np.ndarray, targets: np.ndarray) -> LabelScores:
    """Returns how each label is recognized."""
    _check_alike(probabilities, targets)
    predicted, there = probabilities > 0.5, targets > 0
    right, support = (predicted & there).sum(0), there.sum(0)
    with np.errstate(invalid="ignore"):  # 0 / 0: NaN is meant
        return LabelScores(
            (predicted == there).mean(0),
            right / predicted.sum(0),
            right / support,
            2 * right / (support + predicted.sum(0)),
            support,
        )


def number_evaluation(
    predictions: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    *,
    errors: int = 100,
    together: bool = False,
) -> dict[str, Any]:
    """Returns how good predicted numbers are, as plain values, as JSON has them.

    Args:
        predictions: see above.
        targets: see above.
        names: the name of each number.
        errors: how many of the examples with the largest errors to list.
        together: whether the numbers are values of one quantity, as those of an image are: errors
            and deviations are then those of all of them together.

    Returns:
        ``examples``; ``rmse``, ``mae`` and ``r2``, the means over the numbers, as scikit-learn
        takes them; ``targets`` (``name`` and ``NumberScores`` of each); ``errors`` (``example``,
        ``target`` and ``prediction``, a number for each name), the largest first: by the sum of
        squares of what the errors are in standard deviations of each target.
    """
    scores = number_scores(predictions, targets)
    deviation = targets.std(0)
    overall = scores
    if together:
        squares = np.mean(scores.rmse**2)
        r2 = 1 - squares / max(np.mean(deviation**2), np.finfo(float).tiny)
        overall = NumberScores(np.sqrt(squares), scores.mae, r2)
        deviation = np.ones_like(deviation)
    far = (((predictions - targets) / np.where(deviation > 0, deviation, 1)) ** 2).sum(1)
    return {
        "examples": len(targets),
        **{key: float(np.mean(values)) for key, values in overall._asdict().items()},
        "targets": _named(names, scores),
        "errors": [
            {
                "example": int(i),
                "target": targets[i].tolist(),
                "prediction": predictions[i].tolist(),
            }
            for i in np.argsort(-far, kind="stable")[:errors]
        ],
    }


def label_evaluation(
    probabilities: np.ndarray, targets: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Returns how good predicted labels are, as plain values, as JSON has them; None for NaN.

    Returns:
        ``examples``; ``accuracy`` and ``macro_f1``, the means over the labels (of F1, where it is
        defined); ``exact``, the fraction of examples of which all labels are right; ``labels``
        (``name`` and ``LabelScores`` of each).
    """
    scores = label_scores(probabilities, targets)
    some = scores.f1[~np.isnan(scores.f1)]
    return {
        "examples": len(targets),
        "accuracy": float(scores.accuracy.mean()),
        "macro_f1": float(some.mean()) if some.size else None,
        "exact": float(((probabilities > 0.5) == (targets > 0)).all(1).mean()),
        "labels": _named(names, scores),
    }


def _named(names: Sequence[str], scores: NumberScores | LabelScores) -> list[dict[str, Any]]:
    """Returns scores as a dictionary for each name."""
    return [
        {"name": name} | _plain(dict(zip(scores._fields, values, strict=True)))
        for name, *values in zip(names, *scores, strict=True)
    ]


def _check_alike(predictions: np.ndarray, targets: np.ndarray) -> None:
    if predictions.ndim != 2 or targets.shape != predictions.shape or not len(targets):
        raise ValueError(
            "expected predictions and targets of one shape, (n, numbers or labels), n at least 1, "
            f"got {predictions.shape} and {targets.shape}"
        )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Returns NumPy numbers as Python's, NaN as None."""
    return {key: None if np.isnan(value) else value.item() for key, value in values.items()}


def _check(probabilities: np.ndarray, targets: np.ndarray) -> None:
    if probabilities.ndim != 2 or targets.shape != probabilities.shape[:1] or not len(targets):
        raise ValueError(
            "expected probabilities (n, classes) and targets (n,), n at least 1, got "
            f"{probabilities.shape} and {targets.shape}"
        )
    if not ((targets >= 0) & (targets < probabilities.shape[1])).all():
        raise ValueError(f"targets must be in [0, {probabilities.shape[1]})")
