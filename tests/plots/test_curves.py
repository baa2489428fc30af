"""Training curves show the numbers of metrics.jsonl."""

from typing import Any

import numpy as np
import pytest

from jaxnn.plots import training_curves

REPORTS: list[dict[str, Any]] = [
    {"epoch": 0.5, "loss": 2.0, "accuracy": 0.4},
    {
        "epoch": 1.0,
        "loss": 1.0,
        "accuracy": 0.6,
        "validation_loss": 0.9,
        "validation_accuracy": 0.7,
    },
    {"epoch": 1.5, "loss": 0.5, "accuracy": 0.9},
    {
        "epoch": 2.0,
        "loss": 0.2,
        "accuracy": 1.0,
        "validation_loss": 0.4,
        "validation_accuracy": 0.9,
    },
]


def test_the_lines_are_the_data() -> None:
    picture = training_curves(REPORTS)
    picture.draw_without_rendering()
    for axes, key in zip(picture.axes, ("loss", "accuracy"), strict=True):
        train, validation = axes.lines
        np.testing.assert_array_equal(train.get_xydata(), [(r["epoch"], r[key]) for r in REPORTS])
        expected = [(r["epoch"], r[f"validation_{key}"]) for r in REPORTS[1::2]]
        np.testing.assert_array_equal(validation.get_xydata(), expected)
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel().startswith(key)
        low, high = axes.get_ylim()
        assert low <= min(r[key] for r in REPORTS)
        assert high >= max(r[key] for r in REPORTS)


def test_the_last_figures_are_in_the_legend() -> None:
    legends = [axes.get_legend() for axes in training_curves(REPORTS).axes]
    texts = [[text.get_text() for text in legend.get_texts()] for legend in legends if legend]
    assert texts == [
        ["train 0.2000", "validation 0.4000"],
        ["train 100.00 %", "validation 90.00 %"],
    ]


@pytest.mark.parametrize("lowest", [0.0, 0.1, 0.5, 0.9, 0.99, 0.9995, 1.0])
def test_accuracy_is_stretched_and_its_ticks_keep_apart(lowest: float) -> None:
    reports = [{"epoch": i, "loss": 1.0, "accuracy": a} for i, a in ((1, lowest), (2, 1.0))]
    picture = training_curves(reports)
    picture.draw_without_rendering()
    axes = picture.axes[1]
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    heights = axes.transData.transform([(0, tick) for tick in ticks])[:, 1]
    assert len(ticks) >= 1
    assert (np.diff(np.sort(heights)) > 0.06 * axes.bbox.height).all()


@pytest.mark.parametrize(
    "reports",
    [
        REPORTS[:1],
        [*REPORTS[:2], {"epoch": 1.5, "loss": None, "accuracy": 0.1}],
        [{"epoch": 1, "loss": None, "accuracy": None}],
        [{"epoch": 1, "loss": 0.0, "accuracy": 1.0}],
        [{"epoch": i / 100, "loss": 10.0 ** -(i / 20), "accuracy": 0.5} for i in range(1, 300)],
    ],
    ids=["one", "not finite", "nothing finite", "zero", "many decades"],
)
def test_what_is_unusual_is_drawn_without_a_warning(reports: list[dict[str, Any]]) -> None:
    training_curves(reports).draw_without_rendering()
