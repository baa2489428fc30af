"""Tasks: sums that add over batches, and the metrics that are made of them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.metrics import evaluation, label_evaluation, number_evaluation
from jaxnn.tasks import Task, classification, multilabel, regression

RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(0, 2, (60, 3)).astype(np.float32)
TARGETS: dict[str, np.ndarray] = {
    "classification": RANDOM.integers(0, 3, 60).astype(np.int32),
    "regression": (OUTPUTS + RANDOM.normal(0, 1, (60, 3))).astype(np.float32),
    "multilabel": (OUTPUTS + RANDOM.normal(0, 2, (60, 3)) > 0).astype(np.float32),
}
TASKS = pytest.mark.parametrize(
    "task", [classification, regression, multilabel], ids=lambda task: task.name
)


def added(task: Task, batches: list[slice], center: float = 0.0, **given: Any) -> Mapping[str, Any]:
    """The task's sums over batches, added up."""
    total: Any = task.no_sums(jnp.asarray(TARGETS[task.name][:1]))
    for rows in batches:
        weights = {key: value[rows] for key, value in given.items()}.get("weights")
        sums = task.sums(OUTPUTS[rows], jnp.asarray(TARGETS[task.name][rows]), weights, center)
        total = jax.tree.map(jnp.add, total, sums)
    return jax.device_get(total)


@TASKS
def test_metrics_of_sums_over_batches_are_those_of_all_predictions(task: Task) -> None:
    targets, names = TARGETS[task.name], ["a", "b", "c"]
    expected = {
        "classification": lambda: evaluation(np.exp(OUTPUTS), targets, names),
        "regression": lambda: number_evaluation(OUTPUTS, targets, names),
        "multilabel": lambda: label_evaluation(1 / (1 + np.exp(-OUTPUTS)), targets, names),
    }[task.name]()
    found = task.measure(added(task, [slice(0, 50), slice(50, 60)]), 60, 1.0)
    assert tuple(found) == task.metrics
    assert task.headline in found
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-5)


@TASKS
def test_an_example_of_weight_0_does_not_count(task: Task) -> None:
    weights = np.ones(60, np.float32)
    weights[40:] = 0
    found = task.measure(added(task, [slice(0, 60)], weights=weights), 40, 1.0)
    assert found == pytest.approx(task.measure(added(task, [slice(0, 40)]), 40, 1.0), rel=1e-5)


def test_errors_are_told_in_the_units_of_the_data() -> None:
    sums = added(regression, [slice(0, 60)])
    one, ten = (regression.measure(sums, 60, unit) for unit in (1.0, np.array([10.0] * 3)))
    assert ten["rmse"] == pytest.approx(10 * one["rmse"])
    assert ten["mae"] == pytest.approx(10 * one["mae"])
    assert ten["r2"] == one["r2"]


def test_the_share_of_variance_survives_float32_where_targets_lie_far_from_0() -> None:
    targets = (1e5 + RANDOM.normal(0, 1, (500, 1))).astype(np.float32)
    outputs = (targets + RANDOM.normal(0, 0.5, (500, 1))).astype(np.float32)
    sums = regression.sums(outputs, jnp.asarray(targets), None, targets.mean(0))
    expected = number_evaluation(outputs, targets, ["y"])["r2"]
    assert regression.measure(jax.device_get(sums), 500, 1.0)["r2"] == pytest.approx(
        expected, abs=1e-3
    )


def test_labels_that_never_are_leave_no_macro_f1() -> None:
    sums = multilabel.sums(-jnp.ones((4, 2)), jnp.zeros((4, 2)), None, 0.0)
    found = multilabel.measure(jax.device_get(sums), 4, 1.0)
    assert found["accuracy"] == 1
    assert np.isnan(found["macro_f1"])
    assert multilabel.told(found) == "accuracy 100.00%, macro F1 –"


def test_one_output_is_the_logit_of_a_yes() -> None:
    outputs, yes = jnp.array([[2.0], [-1.0], [0.5]]), jnp.array([1, 0, 0])
    for targets in (yes, yes[:, None].astype(jnp.float32)):
        assert classification.sums(outputs, targets, None, 0.0)["correct"] == 2


def test_what_is_better_ranks_higher() -> None:
    good, bad = {"accuracy": 0.9}, {"accuracy": 0.8}
    assert classification.rank(2.0, good) > classification.rank(1.0, bad)
    assert classification.rank(1.0, good) > classification.rank(2.0, good)
    for task in (regression, multilabel):
        assert task.rank(1.0, {}) > task.rank(2.0, {})
