"""Training on targets that are numbers, and on classes that do not count the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics

from jaxnn import (
    adam,
    dense,
    fit,
    flatten,
    hinge,
    mean_squared_error,
    relu,
    schedules,
    serial,
    sgd,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
)
from jaxnn.data import Dataset, from_arrays
from jaxnn.data.augmentation import mixup
from jaxnn.layers import Layer
from jaxnn.losses import example_weights
from jaxnn.training import Report, make_evaluate, prepared

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([0, 5, -300], [1, 0.1, 40], (400, 3))
NOISE = RANDOM.normal(size=400)
LINEAR = 7e4 + X @ [3000, -2e4, 50] + 2000 * NOISE
CURVED = np.abs(X[:, 0]) + 0.02 * (X[:, 2] + 300) * X[:, 0] + 0.1 * NOISE


def trained(network: Layer, data: Dataset, epochs: int = 60) -> Report:
    steps = epochs * (len(data.train.targets) // 70)
    rate = schedules.cosine(0.05, steps=steps)
    *_, report = fit(network, mean_squared_error, adam(rate), data, batch_size=70, epochs=epochs)
    return report


def r2(network: Layer, report: Report, data: Dataset) -> float:
    evaluate = make_evaluate(prepared(network, data), mean_squared_error, dataset=data)
    state = report.train_state
    return evaluate(state.params, state.state, data.test).metrics["r2"]


@pytest.mark.parametrize("y", [LINEAR, CURVED], ids=["linear", "curved"])
def test_a_linear_network_is_linear_regression_and_a_hidden_layer_more_where_that_is_not_enough(
    y: np.ndarray,
) -> None:
    data = from_arrays(X, y)
    train, test = data.train, data.test
    fitted = sklearn.linear_model.LinearRegression().fit(train.inputs, train.targets)
    expected = sklearn.metrics.r2_score(test.targets, fitted.predict(test.inputs))
    linear = dense(1)
    found = r2(linear, trained(linear, data), data)
    assert found == pytest.approx(expected, abs=1e-3)
    if y is LINEAR:
        assert found > 0.7
        return
    hidden = serial(dense(16), relu(), dense(1))
    assert r2(hidden, trained(hidden, data), data) > max(found, 0) + 0.3


@pytest.mark.long
def test_several_targets_of_other_units_are_learned_at_once() -> None:
    data = from_arrays(X, np.stack([LINEAR, CURVED], 1), targets=["linear", "curved"])
    network = dense(2)
    report = trained(network, data, epochs=30)
    each = [from_arrays(X, y) for y in (LINEAR, CURVED)]
    alone = [r2(dense(1), trained(dense(1), one, epochs=30), one) for one in each]
    assert r2(network, report, data) == pytest.approx(np.mean(alone), abs=5e-3)


def test_a_pair_of_arrays_is_trained_on_in_its_own_units() -> None:
    y = (X[:, 0] * 3 + 10).astype(np.float32)
    x = X[:, :1].astype(np.float32)
    *_, report = fit(dense(1), mean_squared_error, sgd(0.1), (x, y), batch_size=100, epochs=40)
    assert "rmse" in report.metrics
    assert "accuracy" not in repr(report)
    with pytest.raises(AttributeError, match="no accuracy: the metrics are rmse, mae, r2"):
        _ = report.accuracy
    params = report.train_state.params
    np.testing.assert_allclose([params["weight"][0, 0], params["bias"][0]], [3, 10], rtol=1e-2)


def test_numbers_written_as_classes_for_a_single_output_are_refused() -> None:
    """Such a regression would be told to be right in all cases."""
    pair = X.astype(np.float32), np.arange(400) % 7
    with pytest.raises(ValueError, match=r'one output: .* task="regression"'):
        next(fit(dense(1), mean_squared_error, sgd(0.1), pair, batch_size=10, epochs=1))
    yes_or_no = X.astype(np.float32), (X[:, 0] > 0).astype(int)
    parts = (dense(1), sigmoid_binary_cross_entropy, sgd(0.1))
    *_, report = fit(*parts, from_arrays(*yes_or_no), batch_size=20, epochs=20)
    assert report.validation is not None
    assert report.validation.accuracy >= 0.9


def test_a_loss_for_another_task_is_refused_by_fit() -> None:
    with pytest.raises(ValueError, match="hinge is a loss for classification, and the task is reg"):
        next(fit(dense(1), hinge, sgd(0.1), (X, LINEAR), batch_size=10, epochs=1))


def test_outputs_that_are_not_one_for_each_number_are_refused_whatever_the_loss() -> None:
    def own(outputs, targets, weights=None):  # type: ignore[no-untyped-def]
        return jnp.mean((outputs - targets) ** 2), outputs - targets

    for loss in (own, mean_squared_error):
        with pytest.raises(
            ValueError, match=r"shape \(3,\), and the data ask for the target y: \(1,\) is"
        ):
            next(fit(dense(3), loss, sgd(0.1), (X, LINEAR), batch_size=10, epochs=1))


# Classes of different weights


CLASSES = (RANDOM.uniform(size=400) < 0.1 + 0.2 * (X[:, 0] > 0)).astype(int)
WEIGHTS = np.array([0.6, 2.5], np.float32)
UNBALANCED = from_arrays(X, CLASSES)._replace(class_weights=WEIGHTS)


def test_training_takes_the_weights_of_classes() -> None:
    """The same steps as with a loss that is given a weight for each example."""

    def weighing(outputs, targets, weights=None):  # type: ignore[no-untyped-def]
        return softmax_cross_entropy(outputs, targets, jnp.asarray(WEIGHTS)[targets])

    parts = {"batch_size": 50, "epochs": 2}
    *_, found = fit(dense(2), softmax_cross_entropy, sgd(0.1), UNBALANCED, **parts)
    plain = UNBALANCED._replace(class_weights=None)
    *_, expected = fit(dense(2), weighing, sgd(0.1), plain, **parts)
    assert found.loss == expected.loss
    pairs = (report.train_state.params for report in (found, expected))
    for one, other in zip(*map(jax.tree.leaves, pairs), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("size", [7, 1000])
def test_the_loss_of_a_split_is_the_sum_of_weighted_losses_over_that_of_weights(size: int) -> None:
    network, split = dense(2), UNBALANCED.test
    params, state, _ = network.init(jax.random.key(0), (3,))
    outputs, _, _ = network.forward(params, state, split.inputs / 100)
    scaled = split._replace(inputs=split.inputs / 100)
    evaluate = make_evaluate(network, softmax_cross_entropy, size, UNBALANCED)
    found = evaluate(params, state, scaled)
    expected = sklearn.metrics.log_loss(
        split.targets, jax.nn.softmax(outputs), sample_weight=WEIGHTS[split.targets]
    )
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert found.accuracy == np.mean(np.asarray(outputs).argmax(1) == split.targets)


@pytest.mark.long
def test_an_example_that_is_mixed_counts_as_its_classes_do() -> None:
    mixed = jnp.array([[1.0, 0.0], [0.25, 0.75]])
    found = example_weights(WEIGHTS, mixed, jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(found, [0.6, 2 * (0.25 * 0.6 + 0.75 * 2.5)], rtol=1e-6)
    images = from_arrays(RANDOM.normal(size=(60, 4, 4, 1)), np.arange(60) % 2)
    data = images._replace(class_weights=WEIGHTS)
    network = serial(flatten(), dense(2))
    augment = mixup(0.3, classes=2)
    parts = (network, softmax_cross_entropy, sgd(0.1), data)
    *_, report = fit(*parts, batch_size=20, epochs=1, augment=augment)
    assert np.isfinite(report.loss)
