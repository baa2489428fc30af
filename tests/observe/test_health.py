"""Sentences on a run's health: said when there is reason, once, with the evidence."""

import json
import math
from typing import Any

import numpy as np
import pytest

from jaxnn.data import from_arrays
from jaxnn.losses import mean_absolute_error, mean_squared_error, softmax_cross_entropy
from jaxnn.observe import Chance, chance, health, to_json
from jaxnn.observe.metrics import record
from jaxnn.training import Evaluation, LayerStatistics, Report


def report(epoch: float, loss: float, **values: Any) -> Report:
    blank = {key: None for key in Report._fields if key not in Report._field_defaults}
    given = {"step": int(epoch * 100), "epoch": epoch, "loss": loss, "metrics": {"accuracy": 0.0}}
    return Report(**blank | given | values)


def judged(loss: float, accuracy: float) -> Evaluation:
    """A result on the validation split."""
    return Evaluation(loss, 100, {"accuracy": accuracy})


def layer(name: str, place: int, **values: Any) -> LayerStatistics:
    usual: dict[str, Any] = {
        "weight_norm": 1.0,
        "gradient_norm": 0.1,
        "update_norm": 1e-3,
        "update_ratio": 1e-3,
        "activation_mean": 0.0,
        "activation_deviation": 1.0,
        "inactive": None,
        "d_output_norm": 0.1,
    }
    return LayerStatistics((place,), name, **usual | values)


def sentences(reports: list[Report]) -> list[str]:
    watch = health()
    return [sentence for report in reports for sentence in watch(report)]


def learning(epochs: int = 20) -> list[Report]:
    return [
        report(i / 4, 2.3 / (1 + i), validation=judged(2.4 / (1 + i), 1 - 0.5 / (1 + i)))
        for i in range(1, 4 * epochs)
    ]


def test_a_healthy_run_is_silent() -> None:
    layers = (
        layer("dense", 0),
        layer("relu", 1, weight_norm=None, inactive=0.3),
        layer("dense", 2),
    )
    assert sentences([r._replace(statistics=layers) for r in learning()]) == []


@pytest.mark.parametrize(("first", "word"), [(2e-6, "vanish"), (5e3, "explode")])
def test_gradients_that_vanish_or_explode(first: float, word: str) -> None:
    layers = (
        layer("dense", 0, d_output_norm=first),
        layer("sigmoid", 1, weight_norm=None, d_output_norm=1e-9),
        layer("dense", 2, d_output_norm=0.5),
    )
    (sentence,) = sentences([report(i, 1.0, statistics=layers) for i in range(1, 3)])
    assert f"gradients {word}" in sentence
    assert "layer 0 dense" in sentence
    assert "layer 2 dense" in sentence
    assert f"{first:.2g}" in sentence
    assert "0.5" in sentence


def test_dead_and_saturated_layers_are_each_named_once() -> None:
    layers = (
        layer("relu", 1, inactive=0.97),
        layer("tanh", 3, inactive=0.994),
        layer("sigmoid", 4, inactive=1.0),  # the network's output
    )
    dead, saturated = sentences([report(i, 1 / i, statistics=layers) for i in range(1, 5)])
    assert "97% of the units of layer 1 relu are dead" in dead
    assert "99% of the units of layer 3 tanh are saturated" in saturated


def test_a_loss_that_jumps() -> None:
    reports = [report(i / 10, 2.0 if i == 1 else 0.3) for i in range(1, 20)]
    (sentence,) = sentences([*reports, report(2.0, 1.9)])
    assert "jumped to 1.9" in sentence
    assert "0.3" in sentence


def test_noise_in_a_small_loss_is_no_jump() -> None:
    reports = [report(i / 10, 2.0 if i == 1 else 0.001) for i in range(1, 20)]
    assert sentences([*reports, report(2.0, 0.02)]) == []


def test_a_network_that_does_not_learn() -> None:
    (sentence,) = sentences([report(float(i), 2.303) for i in range(1, 9)])
    assert "not learning" in sentence
    assert "2.303" in sentence


def test_over_fitting() -> None:
    reports = learning(3)
    worse = [report(3.0 + i, 0.1 / i, validation=judged(0.3 * i, 0.9)) for i in range(1, 5)]
    (sentence,) = sentences([*reports, *worse])
    assert "over-fitting" in sentence
    assert "epoch 2.75" in sentence


def test_a_validation_loss_that_rises_alone_is_no_over_fitting() -> None:
    """Confident networks get surer of their mistakes while they get more examples right."""
    reports = [
        report(float(i), 1 / i, validation=judged(0.1 * i, 0.9 + 0.005 * i)) for i in range(1, 10)
    ]
    assert sentences(reports) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_says_nothing(loss: float) -> None:
    """Over-fitting is seen all the same, and by a run that goes on from its records, too."""
    reports = [
        report(
            3.0 + i, 0.1 / i, metrics={"accuracy": 0.6}, validation=judged(0.3 * i, 0.9 - i / 100)
        )
        for i in range(1, 9)
    ]
    strange = reports[2]._replace(validation=judged(loss, 0.9))
    rows = [json.loads(to_json(record(r))) for r in (strange, *reports[:4])]
    assert rows[0]["validation_loss"] is None
    watch = health(rows, Chance(classes=2))
    assert watch(strange) == ()
    told = sentences([strange, *reports])
    assert [text.partition(":")[0] for text in told] == ["over-fitting"]
    assert "nan" not in told[0]
    assert "inf" not in told[0]


def test_a_validation_that_is_worse_once_is_no_over_fitting() -> None:
    worse = judged(0.6, 0.85)
    better = judged(0.15, 0.96)
    validations = [judged(0.36, 0.87), worse, better, better, worse, worse, better]
    reports = [report(i, 1 / i, validation=v) for i, v in enumerate(validations, 1)]
    assert sentences(reports) == []


# What explains what

STOPPED = (  # what is left of a network after far too large a step
    layer("dense", 0, d_output_norm=0.0),
    layer("relu", 1, weight_norm=None, inactive=1.0),
    layer("dense", 2),
)


def test_a_learning_rate_far_too_high_is_said_and_not_what_follows_from_it() -> None:
    rising = judged(3e5, 0.1), judged(2.4, 0.09)
    reports = [report(1.0, 345958.0, start_loss=3.6, learning_rate=50.0, statistics=STOPPED)]
    reports += [
        report(float(i), 2.4, learning_rate=50.0, statistics=STOPPED, validation=rising[i > 5])
        for i in range(2, 9)
    ]
    (sentence,) = sentences(reports)
    assert sentence.startswith("the learning rate (50) is too high: the loss rose to 3.46e+05")
    assert "untrained network was 3.6" in sentence


def test_where_units_have_died_a_smaller_rise_of_the_loss_explains_it() -> None:
    rise = [report(1.0, 4.2, start_loss=3.6), report(2.0, 2.4, statistics=STOPPED)]
    (sentence,) = sentences(rise)
    assert "learning rate is too high" in sentence
    fall = [report(1.0, 2.9, start_loss=3.6), report(2.0, 2.4, statistics=STOPPED)]
    (sentence,) = sentences(fall)
    assert "layer 1 relu are dead" in sentence  # and nothing of gradients that vanish, nor later …
    assert sentences([*fall, *(report(float(i), 2.4) for i in range(3, 16))]) == [sentence]


def test_a_rate_that_was_too_high_explains_nothing_once_the_network_has_learned() -> None:
    reports = [report(0.5, 20.0, start_loss=2.3), *learning(3)]
    over = [report(3.0 + i, 0.1 / i, validation=judged(0.6 * i, 0.9)) for i in range(1, 5)]
    high, overfit = sentences([*reports, *over])
    assert "too high" in high
    assert "over-fitting" in overfit


def test_gradients_that_vanish_explain_that_nothing_is_learned() -> None:
    layers = layer("dense", 0, d_output_norm=1e-9), layer("dense", 2)
    (sentence,) = sentences([report(i, 2.303, statistics=layers) for i in range(1, 9)])
    assert "gradients vanish" in sentence


def test_a_learning_rate_far_too_low() -> None:
    layers = layer("dense", 0, update_ratio=3e-7), layer("dense", 2, update_ratio=4e-8)
    (sentence,) = sentences([report(i, 2.303, statistics=layers) for i in range(1, 9)])
    assert sentence.startswith("the learning rate is too low: after 3 epochs")
    assert "3e-07 of its weights" in sentence


def scheduled(epochs: int, end: int) -> list[Report]:
    """A run that learns until its schedule ends, and stands still from there on."""
    return [
        report(float(i), 1 / min(i, end), learning_rate=0.1 * (i < end), start_loss=2.3)
        for i in range(1, epochs + 1)
    ]


def test_a_schedule_that_has_ended() -> None:
    assert sentences(scheduled(8, 8)) == []
    (sentence,) = sentences(scheduled(12, 8))
    assert "the learning rate has been 0 since epoch 8" in sentence
    assert "its largest was 0.1" in sentence


def test_labels_that_do_not_belong_to_their_inputs() -> None:
    """A network learns them by heart, and does no better on others than an untrained one."""
    reports = [
        report(
            float(i), 2 / i, metrics={"accuracy": 0.1 * i}, validation=judged(2 + i, 0.09 + i / 200)
        )
        for i in range(1, 9)
    ]
    watch = health(known=Chance(classes=10))
    (sentence,) = [sentence for report in reports for sentence in watch(report)]
    assert "does not hold for the validation split: 30% of the training examples" in sentence
    assert "Do the labels belong" in sentence


NUMBERS = from_arrays(np.eye(50), np.arange(50) / 7)


def test_chance_is_what_the_targets_give_away() -> None:
    """Standardized, the mean of the squares is 1; of the absolute values, less."""
    assert chance(NUMBERS, mean_squared_error) == (None, pytest.approx(1, rel=1e-6))
    of_errors = chance(NUMBERS, mean_absolute_error).mean_loss
    assert of_errors == pytest.approx(np.abs(NUMBERS.train.targets).mean(), rel=1e-6)
    as_they_are = from_arrays(np.eye(50), np.arange(50) / 7, normalize="none")
    variance = as_they_are.train.targets.var()
    assert chance(as_they_are, mean_squared_error).mean_loss == pytest.approx(variance, rel=1e-5)
    classes = from_arrays(np.eye(50), np.arange(50) % 3)
    assert chance(classes, softmax_cross_entropy) == (3, None)


def of_numbers(epoch: float, loss: float, validation: float) -> Report:
    metrics = {"rmse": 1.0, "mae": 1.0, "r2": 0.0}
    return report(epoch, loss, metrics=metrics, validation=Evaluation(validation, 100, metrics))


def told(reports: list[Report]) -> list[str]:
    watch = health(known=Chance(mean_loss=1.0))
    return [sentence for one in reports for sentence in watch(one)]


def test_numbers_of_which_hardly_more_than_the_mean_is_learned() -> None:
    flat = [of_numbers(float(i), 1 + 2.0**-i, 1.02) for i in range(1, 12)]
    (sentence,) = told([report(0.5, 2.5, metrics={}, start_loss=3.0), *flat])
    assert "hardly more than the mean of the targets: its loss is 1.125 after 3 epochs" in sentence
    assert told([of_numbers(float(i), 1 / i, 1.1 / i) for i in range(1, 12)]) == []


def test_numbers_that_do_not_belong_to_their_inputs() -> None:
    (sentence,) = told([of_numbers(float(i), 1 / i, 1.05 + i / 100) for i in range(1, 9)])
    assert "does not hold for the validation split: the training loss is 0.333" in sentence
    assert "never below 1.06, where predicting the mean costs 1" in sentence


def test_numbers_that_are_over_fitted() -> None:
    losses = [0.8, 0.5, 0.3, 0.4, 0.5, 0.6, 0.7]
    (sentence,) = told([of_numbers(float(i), 1 / i, x) for i, x in enumerate(losses, 1)])
    assert "over-fitting: since epoch 3 the validation loss has risen from 0.3 to 0.7" in sentence


def test_labels_that_are_over_fitted() -> None:
    def of_labels(epoch: float, loss: float, validation: float, accuracy: float) -> Report:
        metrics = {"accuracy": accuracy, "macro_f1": accuracy}
        seen = Evaluation(validation, 100, metrics)
        return report(epoch, loss, metrics=metrics, validation=seen)

    losses, accuracies = [0.8, 0.5, 0.3, 0.4, 0.5, 0.6, 0.7], [0.7, 0.8, 0.9, 0.8, 0.8, 0.7, 0.7]
    course = enumerate(zip(losses, accuracies, strict=True), 1)
    watch = health()
    reports = [of_labels(float(i), 1 / i, *found) for i, found in course]
    (sentence,) = [sentence for one in reports for sentence in watch(one)]
    assert "over-fitting: since epoch 3 the validation loss has risen from 0.3 to 0.7" in sentence


# Going on with a run


def converged() -> list[Report]:
    return [report(float(i), 0.01, validation=judged(0.02, 0.99)) for i in range(9, 20)]


def test_a_run_that_goes_on_is_compared_with_its_own_beginning() -> None:
    before = [report(1.0, 0.5, start_loss=2.3), report(2.0, 0.01)]
    watch = health(json.loads(json.dumps([record(x) for x in before])))
    assert [sentence for x in converged() for sentence in watch(x)] == []
    watch = health()  # nothing is known of its beginning
    assert [sentence for x in converged() for sentence in watch(x)] == []


def test_a_run_that_goes_on_is_not_told_the_same_again() -> None:
    still = [report(float(i), 2.303) for i in range(1, 9)]
    (sentence,) = sentences(still)
    watch = health([record(x) for x in still])
    assert [sentence for i in range(9, 20) for sentence in watch(report(float(i), 2.303))] == []
    assert "not learning" in sentence
