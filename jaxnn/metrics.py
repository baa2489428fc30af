"""How good predictions are: functions of NumPy arrays of probabilities and class numbers.

Throughout, ``probabilities`` is (n, classes), floating point, ``targets`` is (n,), integers in
[0, classes), and n is at least 1. The prediction is the most probable class, of equally probable
ones the first. Results are in float64.
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
