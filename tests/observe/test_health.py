"""Sentences on a run's health: said when there is reason, once, with the evidence."""

from typing import Any

import pytest

from jaxnn.observe import health
from jaxnn.training import Evaluation, LayerStatistics, Report


def report(epoch: float, loss: float, **values: Any) -> Report:
    blank = {key: None for key in Report._fields if key not in Report._field_defaults}
    given = {"step": int(epoch * 100), "epoch": epoch, "loss": loss}
    return Report(**blank | given | values)


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
        report(i / 4, 2.3 / (1 + i), validation=Evaluation(2.4 / (1 + i), 1 - 0.5 / (1 + i), 100))
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
    assert "97% of the units are dead" in dead
    assert "1 relu" in dead
    assert "99% of the outputs are saturated" in saturated
    assert "3 tanh" in saturated


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
    worse = [
        report(3.0 + i, 0.1 / i, validation=Evaluation(0.3 * i, 0.9, 100)) for i in range(1, 5)
    ]
    (sentence,) = sentences([*reports, *worse])
    assert "over-fitting" in sentence
    assert "epoch 2.75" in sentence


def test_a_validation_loss_that_rises_alone_is_no_over_fitting() -> None:
    """Confident networks get surer of their mistakes while they get more examples right."""
    reports = [
        report(float(i), 1 / i, validation=Evaluation(0.1 * i, 0.9 + 0.005 * i, 100))
        for i in range(1, 10)
    ]
    assert sentences(reports) == []
