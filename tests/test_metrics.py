"""Metrics equal scikit-learn's on the same predictions, the awkward cases included."""

import json
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from jaxnn.metrics import (
    accuracy,
    balanced_accuracy,
    calibration,
    class_scores,
    confident_mistakes,
    confusion_matrix,
    confusions,
    evaluation,
    label_evaluation,
    number_evaluation,
    top_k_accuracy,
)


def random_predictions(seed: int, examples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of which the target's is often the largest, and targets."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(classes, size=examples)
    scores = generator.normal(size=(examples, classes)) * 2
    scores[np.arange(examples), targets] += 2
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(1, keepdims=True), targets


def rows(*labels: int, classes: int) -> np.ndarray:
    """Probabilities whose largest are at ``labels``."""
    probabilities = np.full((len(labels), classes), 0.1 / (classes - 1))
    probabilities[np.arange(len(labels)), labels] = 0.9
    return probabilities


CASES = {
    "ordinary": random_predictions(0, 500, 10),
    "two classes": random_predictions(1, 100, 2),
    "a class never predicted": (rows(0, 1, 0, 1, classes=3), np.array([0, 1, 2, 2])),
    "a class absent": (rows(0, 1, 2, 1, classes=3), np.array([0, 1, 1, 0])),
    "a class neither": (rows(0, 1, 0, classes=4), np.array([0, 0, 1])),
    "one example, right": (rows(1, classes=3), np.array([1])),
    "one example, wrong": (rows(1, classes=3), np.array([2])),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return request.param


def test_accuracy_and_confusion_matrix(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    labels, guesses = range(probabilities.shape[1]), probabilities.argmax(1)
    assert accuracy(probabilities, targets) == sklearn.metrics.accuracy_score(targets, guesses)
    expected = sklearn.metrics.confusion_matrix(targets, guesses, labels=labels)
    np.testing.assert_array_equal(confusion_matrix(probabilities, targets), expected)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_top_k(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    generator = np.random.default_rng(0)  # of equals scikit-learn takes the last: let there be none
    probabilities = probabilities + generator.uniform(0, 1e-6, probabilities.shape)
    labels = range(probabilities.shape[1])
    for k in range(1, len(labels) + 1):
        scores = probabilities[:, 1] if len(labels) == 2 else probabilities
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if len(labels) == 2:
                expected = float(np.mean((scores > 0.5) == targets)) if k == 1 else 1.0
            else:
                expected = sklearn.metrics.top_k_accuracy_score(targets, scores, k=k, labels=labels)
        assert top_k_accuracy(probabilities, targets, k) == expected


def test_of_equally_probable_classes_the_first_counts_as_more_probable() -> None:
    equal = np.full((3, 3), 1 / 3)
    targets = np.array([0, 1, 2])
    assert [top_k_accuracy(equal, targets, k) for k in (1, 2, 3)] == [1 / 3, 2 / 3, 1]
    assert accuracy(equal, targets) == 1 / 3


def test_scores_of_each_class(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    labels, guesses = range(probabilities.shape[1]), probabilities.argmax(1)
    found = class_scores(confusion_matrix(probabilities, targets))
    expected = sklearn.metrics.precision_recall_fscore_support(
        targets, guesses, labels=labels, zero_division=np.nan
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_balanced_accuracy(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    expected = sklearn.metrics.balanced_accuracy_score(targets, probabilities.argmax(1))
    found = balanced_accuracy(confusion_matrix(probabilities, targets))
    assert found == pytest.approx(expected, rel=1e-12)


@given(seed=st.integers(0, 2**32 - 1), examples=st.integers(1, 60), bins=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_calibration(seed: int, examples: int, bins: int) -> None:
    probabilities, targets = random_predictions(seed, examples, 4)
    found = calibration(probabilities, targets, bins=bins)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    some = found.examples > 0
    np.testing.assert_allclose(
        (found.accuracy[some], found.confidence[some]),
        calibration_curve(right, confidence, n_bins=bins)
        if 0 < right.sum() < examples
        else (np.full(some.sum(), right[0]), found.confidence[some]),
    )
    assert np.isnan(found.accuracy[~some]).all()
    assert np.isnan(found.confidence[~some]).all()
    error = 0.0  # the definition, word for word
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        assert found.examples[m - 1] == inside.sum()
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            error += inside.sum() / examples * gap
    assert found.error == pytest.approx(error, abs=1e-12)


def test_calibration_at_the_ends() -> None:
    certain = np.eye(3, dtype=np.float32)
    assert calibration(certain, np.array([0, 1, 2])).error == 0
    assert calibration(certain, np.array([1, 2, 0])).error == 1
    assert calibration(certain, np.array([0, 1, 2])).examples[-1] == 3


def test_the_most_confident_mistake_comes_first() -> None:
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    targets = np.array([1, 1, 0, 1])
    assert confident_mistakes(probabilities, targets).tolist() == [2, 3, 0]
    assert confident_mistakes(probabilities, targets, 2).tolist() == [2, 3]
    assert confident_mistakes(probabilities[:1], np.array([0])).tolist() == []


def test_confusions_are_counted() -> None:
    confusion = np.array([[5, 0, 2], [1, 7, 0], [0, 3, 9]])
    assert confusions(confusion) == [(2, 1, 3), (0, 2, 2), (1, 0, 1)]
    assert confusions(confusion, 1) == [(2, 1, 3)]
    assert confusions(np.eye(3, dtype=int)) == []


def test_the_evaluation_says_it_all_in_plain_values(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    names = [f"class {k}" for k in range(probabilities.shape[1])]
    found = evaluation(probabilities.astype(np.float32), targets.astype(np.int32), names)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["examples"] == len(targets)
    assert found["accuracy"] == accuracy(probabilities, targets) == found["top_accuracy"]["1"]
    assert sum(row["support"] for row in found["classes"]) == len(targets)
    assert sum(row["examples"] for row in found["calibration"]) == len(targets)
    wrong = round((1 - found["accuracy"]) * len(targets))
    assert len(found["mistakes"]) == min(wrong, 100)
    for mistake in found["mistakes"]:
        i = mistake["example"]
        assert mistake["target"] == names[targets[i]] != mistake["prediction"]
        assert math.isclose(mistake["probability"], probabilities[i].max(), rel_tol=1e-6)
        assert mistake["probability"] >= mistake["target_probability"]


def test_what_does_not_fit_is_refused() -> None:
    probabilities = rows(0, 1, classes=3)
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        accuracy(probabilities, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="n at least 1"):
        accuracy(probabilities[:0], np.array([], int))
    with pytest.raises(ValueError, match=r"targets must be in \[0, 3\)"):
        confusion_matrix(probabilities, np.array([0, 3]))
    with pytest.raises(ValueError, match="k must be between 1 and the 3 classes, got 4"):
        top_k_accuracy(probabilities, np.array([0, 1]), 4)
    with pytest.raises(ValueError, match="bins must be at least 1"):
        calibration(probabilities, np.array([0, 1]), bins=0)


# --- Numbers and labels


def numbers(seed: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Three numbers of different sizes, of which the last is always the same, and predictions."""
    random = np.random.default_rng(seed)
    targets = random.normal([5, 2000, 7], [1, 300, 0], (examples, 3))
    return targets + random.normal(0, [0.5, 100, 0], (examples, 3)), targets


@pytest.mark.parametrize("examples", [2, 300])
def test_numbers_are_judged_as_by_scikit_learn(examples: int) -> None:
    predictions, targets = numbers(examples, examples)
    report = number_evaluation(predictions, targets, ["a", "b", "c"], errors=5)
    for key, score in {
        "rmse": sklearn.metrics.root_mean_squared_error,
        "mae": sklearn.metrics.mean_absolute_error,
        "r2": sklearn.metrics.r2_score,
    }.items():
        each = score(targets, predictions, multioutput="raw_values")
        np.testing.assert_allclose([row[key] for row in report["targets"]], each, rtol=1e-9)
        assert report[key] == pytest.approx(score(targets, predictions), rel=1e-9)
    worst = report["errors"][0]
    assert worst["target"] == targets[worst["example"]].tolist()
    far = (((predictions - targets) / np.where(targets.std(0) > 0, targets.std(0), 1)) ** 2).sum(1)
    assert worst["example"] == far.argmax()
    assert json.loads(json.dumps(report)) == report


def test_labels_are_judged_as_by_scikit_learn() -> None:
    random = np.random.default_rng(0)
    probabilities = random.uniform(size=(200, 4))
    targets = (random.uniform(size=(200, 4)) < [0.5, 0.1, 0.9, 0]).astype(int)
    probabilities[:, 3] *= 0.4  # a label that is neither there nor predicted: F1 is not defined
    report = label_evaluation(probabilities, targets, list("abcd"))
    found = probabilities > 0.5
    each = sklearn.metrics.precision_recall_fscore_support(targets, found, zero_division=np.nan)
    for key, values in zip(("precision", "recall", "f1", "support"), each, strict=True):
        told = [math.nan if row[key] is None else row[key] for row in report["labels"]]
        np.testing.assert_allclose(told, values)
    mean = sklearn.metrics.f1_score(targets, found, average="macro", zero_division=np.nan)
    assert report["macro_f1"] == pytest.approx(mean)
    assert report["accuracy"] == pytest.approx(1 - sklearn.metrics.hamming_loss(targets, found))
    assert report["exact"] == pytest.approx(sklearn.metrics.accuracy_score(targets, found))
    assert [row["accuracy"] for row in report["labels"]] == (found == targets).mean(0).tolist()


def test_predictions_and_targets_are_of_one_shape() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        number_evaluation(np.zeros((3, 1)), np.zeros(3), ["y"])
    with pytest.raises(ValueError, match="of one shape"):
        label_evaluation(np.zeros((3, 2)), np.zeros((3, 3)), ["a", "b"])
