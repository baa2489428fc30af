"""Confusion matrix, reliability diagram, mistakes and compared curves show their numbers."""

import math

import numpy as np
import pytest

from jaxnn.data import digits
from jaxnn.metrics import calibration, confident_mistakes
from jaxnn.plots import compared_curves, evaluation_pictures
from jaxnn.plots.confusion import confusion_picture
from jaxnn.plots.reliability import reliability_diagram


def test_a_confusion_matrix_has_its_numbers_where_they_belong() -> None:
    confusion = np.array([[1200, 0, 3], [5, 10, 0], [0, 0, 0]])
    picture = confusion_picture(confusion, ["a $x", "b", "c"], heading="three $y")
    picture.draw_without_rendering()
    (axes,) = picture.axes
    assert picture.get_suptitle() == "three $y"
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    assert [cells[j, i] for i, j in np.argwhere(confusion)] == ["1,200", "3", "5", "10"]
    texts = set(cells.values())
    assert {"99.8", "66.7", "–"} <= texts  # recall
    assert {"99.6", "100.0", "0.0"} <= texts  # precision
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a $x", "b", "c"]
    colors = axes.images[0].get_array()
    assert np.ptp(colors[0, 0, :3]) < 0.1  # grey
    assert colors[1, 0, 0] - colors[1, 0, 2] > 0.5  # the most frequent mistake: orange
    np.testing.assert_array_equal(colors[0, 1, :3], 1)


def test_a_single_mistake_is_pale_and_long_names_keep_clear_of_predicted() -> None:
    names = [f"a class with quite a long name, {k}" for k in range(3)]
    picture = confusion_picture(np.array([[10, 0, 0], [1, 9, 0], [0, 0, 10]]), names)
    picture.draw_without_rendering()
    (axes,) = picture.axes
    red, _, blue = axes.images[0].get_array()[1, 0, :3]
    assert 0.1 < red - blue < 0.5
    names_end = max(label.get_window_extent().y1 for label in axes.get_xticklabels())
    assert axes.xaxis.label.get_window_extent().y0 - names_end > 5 * picture.dpi / 72


@pytest.mark.parametrize("classes", [1, 2, 24, 100])
def test_a_confusion_matrix_of_any_size(classes: int) -> None:
    confusion = np.random.default_rng(0).integers(0, 9, (classes, classes))
    names = [f"a rather long name, {k}" for k in range(classes)]
    picture = confusion_picture(confusion, names)
    picture.draw_without_rendering()
    assert (len(picture.axes[0].texts) > 0) == (classes <= 24)


def test_a_reliability_diagram_has_a_point_for_each_bin() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3) / 2, 200)
    bins = calibration(probabilities, rng.integers(0, 3, 200))
    picture = reliability_diagram(bins, heading="heading")
    picture.draw_without_rendering()
    upper, lower = picture.axes
    some = bins.examples > 0
    points = next(c for c in upper.collections if hasattr(c, "get_sizes") and len(c.get_sizes()))
    expected = np.stack([bins.confidence[some], bins.accuracy[some]], 1)
    np.testing.assert_allclose(points.get_offsets(), expected)
    assert [bar.get_height() for bar in lower.patches] == bins.examples[some].tolist()
    error = f"expected calibration error {100 * bins.error:.2f} %"
    assert picture.get_suptitle() == f"heading\n{error}"
    assert not upper.texts  # which bars could run into
    key = [text.get_text() for text in picture.legends[0].get_texts()]
    assert key[:2] == ["accuracy", "its 95 % interval"]
    assert [text.partition(":")[0] for text in key[2:]] == ["too sure", "not sure enough"]


def test_of_a_single_prediction_too() -> None:
    for probabilities in (np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])):
        reliability_diagram(calibration(probabilities, np.array([0]))).draw_without_rendering()


def test_the_pictures_of_an_evaluation() -> None:
    data = digits()
    targets = data.test.targets
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), len(targets))
    pictures = evaluation_pictures(data, "test", probabilities, mistakes=12)
    assert sorted(pictures) == ["confusion", "mistakes", "reliability"]
    axes = pictures["mistakes"].axes[0]
    wrong = confident_mistakes(probabilities, targets)
    assert pictures["confusion"].get_suptitle() == "Confusion matrix: digits, test split"
    assert pictures["mistakes"].get_suptitle() == (
        f"digits, test split: {len(wrong)} mistakes in 300, the 12 most confident ones"
    )
    assert len(axes.images) == 12
    for drawn, i in zip(axes.images, wrong, strict=False):
        np.testing.assert_array_equal(drawn.get_array(), data.test.inputs[i, ..., 0])
        assert drawn.get_clim() == (0, 16)
    first = wrong[0]
    guess, share = probabilities[first].argmax(), probabilities[first].max()
    assert [t.get_text() for t in axes.texts[:2]] == [
        f"{targets[first]}, predicted {guess}",
        f"{100 * share:.1f} %",
    ]
    perfect = np.eye(10)[targets]
    assert sorted(evaluation_pictures(data, "test", perfect)) == ["confusion", "reliability"]


def reports(*losses: float | None, validation: bool = True) -> list[dict[str, float | None]]:
    prefix = "validation_" if validation else ""
    return [
        {"epoch": float(i + 1), "loss": 9.0, "accuracy": 0.1}
        | {f"{prefix}loss": loss, f"{prefix}accuracy": None if loss is None else 1 - loss / 10}
        for i, loss in enumerate(losses)
    ]


def test_compared_curves_show_each_run_and_the_mean_of_seeds() -> None:
    groups = {"A $1": [reports(1.0, 0.5), reports(3.0, 1.5, 0.7)], "B": [reports(2.0, 0.4)]}
    picture = compared_curves(groups)
    picture.draw_without_rendering()
    loss, accuracy = picture.axes
    curves = [line.get_ydata().tolist() for line in loss.lines]
    assert curves == [[1.0, 0.5], [3.0, 1.5, 0.7], [2.0, 1.0], [2.0, 0.4]]
    assert loss.get_ylabel() == "validation loss"
    assert accuracy.lines[2].get_ydata() == pytest.approx([0.8, 0.9])
    texts = [t.get_text() for t in picture.legends[0].get_texts()]
    assert texts == [
        "A $1: loss 1.0000, accuracy 90.00 %, mean of 2",
        "B: loss 0.4000, accuracy 96.00 %",
    ]
    assert loss.lines[2].get_color() != loss.lines[3].get_color()
    assert loss.lines[2].get_linestyle() != loss.lines[3].get_linestyle()


def test_compared_curves_over_time_have_the_mean_at_the_mean_time() -> None:
    def timed(epoch_seconds: float, *losses: float) -> list[dict[str, float | None]]:
        return [r | {"train_seconds": epoch_seconds * r["epoch"]} for r in reports(*losses)]

    group = [timed(10, 1.0, 0.5), timed(30, 3.0, 1.5, 0.7)]
    loss = compared_curves({"A": group}, x="seconds").axes[0]
    assert [line.get_xdata().tolist() for line in loss.lines] == [[10, 20], [30, 60, 90], [20, 40]]
    assert loss.lines[2].get_ydata().tolist() == [2.0, 1.0]
    assert (loss.get_xlabel(), loss.get_xlim()) == ("seconds of training", (0, 90))
    long = compared_curves({"A": [timed(600, 1.0, 0.5)]}, x="seconds").axes[0]
    assert long.lines[0].get_xdata().tolist() == [10, 20]
    assert (long.get_xlabel(), long.get_xlim()) == ("minutes of training", (0, 20))


def test_only_what_can_be_compared_has_an_axis_in_common() -> None:
    kinds = {"A": ("mnist", "quadratic"), "B": ("mnist", "huber"), "C": ("iris", "huber")}
    groups = {name: [reports(1.0 + i, 0.5)] for i, name in enumerate(kinds)}
    picture = compared_curves(groups, kinds)
    picture.draw_without_rendering()
    shown = [axes for axes in picture.axes if axes.get_visible()]
    drawn = {
        (axes.get_ylabel(), tuple(line.get_ydata()[0] for line in axes.lines)) for axes in shown
    }
    accuracy = "validation accuracy, stretched"
    assert drawn == {
        ("validation quadratic", (1.0,)),
        ("validation huber", (2.0,)),
        (accuracy, (0.9, 0.8)),
        ("validation huber", (3.0,)),
        (accuracy, (0.7,)),
    }
    assert [axes.get_title("left") for axes in shown] == ["mnist", "", "", "iris", ""]


def test_compared_curves_of_runs_that_did_not_get_far() -> None:
    early = [{"epoch": 0.1, "loss": 2.0, "accuracy": 0.1}]
    diverged = reports(None, None)
    picture = compared_curves({"A": [reports(1.0)], "B": [early], "C": [diverged]})
    picture.draw_without_rendering()
    texts = [t.get_text() for t in picture.legends[0].get_texts()]
    assert texts[1:] == [f"{name}: no number on the validation split" for name in "BC"]
    compared_curves({"C": [diverged]}).draw_without_rendering()
    picture = compared_curves({"A": [reports(1.0, 0.5, validation=False)]})
    picture.draw_without_rendering()
    assert picture.axes[0].get_ylabel() == "training loss"
    assert math.isclose(picture.axes[0].lines[0].get_ydata()[-1], 0.5)
