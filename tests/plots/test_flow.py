"""Gradients and activations of the layers are the numbers of metrics.jsonl, for any depth."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.text import Text

from jaxnn.plots import activation_flow, gradient_flow
from jaxnn.plots.flow import _apart
from jaxnn.training import INACTIVE

KEYS = ("weight_norm", "gradient_norm", "update_norm", "update_ratio")


def reports(layers: int, count: int = 6, kind: str = "relu") -> list[dict[str, Any]]:
    """What a run of so many dense layers, with activation functions between, reports."""
    rng = np.random.default_rng(0)

    def statistics() -> dict[str, dict[str, float]]:
        rows: dict[str, dict[str, float]] = {"0 flatten": {}}
        for i in range(layers):
            rows[f"{2 * i + 1} dense"] = dict.fromkeys(KEYS, 0.0)
            if i < layers - 1:
                rows[f"{2 * i + 2} {kind}"] = {"inactive": 0.0}
        for values in rows.values():
            shared = ("activation_mean", "activation_deviation", "d_output_norm")
            for key in (*values, *shared):
                values[key] = float(rng.uniform(0.1, 1))
        return rows

    found: list[dict[str, Any]] = []
    for i in range(count):
        found.append({"epoch": i + 0.5, "loss": 1.0, "accuracy": 0.5, "statistics": statistics()})
        found.append({"epoch": i + 1.0, "loss": 1.0, "accuracy": 0.5})
    return found


def named(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}


@pytest.mark.parametrize("layers", [1, 3, 20, 40])
def test_the_lines_are_the_statistics(layers: int) -> None:
    metrics = reports(layers)
    picture = gradient_flow(metrics)
    picture.draw_without_rendering()
    watched = [report for report in metrics if "statistics" in report]
    for axes, key in zip(picture.axes, ("d_output_norm", "update_ratio"), strict=True):
        lines = named(axes)
        usual = lines.pop("usual: 0.001", None)
        assert (usual is not None) == (key == "update_ratio")
        assert list(lines) == [f"{2 * i + 1} dense" for i in range(layers)]
        for name, values in lines.items():
            np.testing.assert_array_equal(values, [r["statistics"][name][key] for r in watched])
        assert axes.get_yscale() == "log"
        assert axes.get_xlim() == (0, 6)
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
    np.testing.assert_array_equal(picture.axes[1].lines[-1].get_ydata(), [1e-3, 1e-3])


@pytest.mark.parametrize("layers", [3, 20])
def test_names_do_not_overlap_and_the_first_and_last_layer_are_named(layers: int) -> None:
    picture = gradient_flow(reports(layers))
    picture.draw_without_rendering()
    for axes in picture.axes:
        boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
        assert {"1 dense", f"{2 * layers - 1} dense"} <= set(boxes)
        spans = sorted((box.y0, box.y1) for box in boxes.values())
        assert all(high <= low + 1 for (_, high), (low, _) in pairwise(spans))


def test_deeper_layers_are_darker() -> None:
    for axes in gradient_flow(reports(20)).axes:
        values = [rgb_to_hsv(to_rgb(line.get_color()))[2] for line in axes.lines[:20]]
        assert (np.diff(values) < 0).all()


def test_the_gaps_between_strips_are_even() -> None:
    picture = activation_flow(reports(5))
    picture.draw_without_rendering()
    for strips in (picture.axes[::2], picture.axes[1::2]):
        boxes = [axes.get_window_extent() for axes in strips]
        gaps = [above.y0 - below.y1 for above, below in pairwise(boxes)]
        assert np.ptp(gaps) < 0.5  # pixels


@pytest.mark.parametrize(("layers", "kind"), [(3, "tanh"), (20, "relu")])
def test_strips_show_mean_and_deviation_of_what_leaves_a_layer(layers: int, kind: str) -> None:
    metrics = reports(layers, kind=kind)
    picture = activation_flow(metrics)
    picture.draw_without_rendering()
    watched = [report["statistics"] for report in metrics if "statistics" in report]
    bands, shares = picture.axes[::2], picture.axes[1::2]
    assert len(bands) == len(shares) == layers
    for i, (band, share) in enumerate(zip(bands, shares, strict=True)):
        last = i == layers - 1
        key = f"{2 * i + 1} dense" if last else f"{2 * i + 2} {kind}"
        assert band.get_ylabel() == f"{2 * i + 1} dense" + ("" if last else f", {kind}")
        mean, deviation = (
            np.array([row[key][f"activation_{what}"] for row in watched])
            for what in ("mean", "deviation")
        )
        np.testing.assert_array_equal(band.lines[-1].get_ydata(), mean)
        (area,) = (c for c in band.collections if isinstance(c, PolyCollection))
        heights = area.get_paths()[0].vertices[:, 1]
        assert heights.max() == pytest.approx((mean + deviation).max())
        assert heights.min() == pytest.approx((mean - deviation).min())
        low, high = band.get_ylim()
        assert low < heights.min() < heights.max() < high
        if last:
            assert [text.get_text() for text in share.texts] == ["does not apply"]
        else:
            expected = [row[key]["inactive"] for row in watched]
            np.testing.assert_array_equal(share.lines[-1].get_ydata(), expected)
            assert set(share.lines[-2].get_ydata()) == {INACTIVE}
            assert share.get_ylim() == (0, 1)
    assert len({band.get_ylim() for band in bands[:-1]}) == 1


def test_the_share_of_a_relu_is_shown_although_pooling_follows() -> None:
    metrics = reports(3)
    for report in metrics:
        for name in [n for n in report.get("statistics", {}) if n.endswith("relu")]:
            rows = report["statistics"]
            pooled = {key: value for key, value in rows[name].items() if key != "inactive"}
            report["statistics"] = {}
            for other, values in rows.items():
                report["statistics"][other] = values
                if other == name:
                    report["statistics"][name.replace("relu", "max_pool")] = pooled
    picture = activation_flow(metrics)
    band, share = picture.axes[:2]
    assert band.get_ylabel() == "1 dense, relu, max_pool"
    expected = [r["statistics"]["2 relu"]["inactive"] for r in metrics if "statistics" in r]
    np.testing.assert_array_equal(share.lines[-1].get_ydata(), expected)


def test_a_network_without_such_units_has_one_column() -> None:
    picture = activation_flow(reports(1))
    assert len(picture.axes) == 1
    picture.draw_without_rendering()


def spoiled(value: float | None) -> list[dict[str, Any]]:
    """One layer's numbers in one report, or all of them, are unusual."""
    metrics = reports(3)
    for key in metrics[0]["statistics"]["3 dense"]:
        metrics[0]["statistics"]["3 dense"][key] = value
    return metrics


def constant(value: float | None) -> list[dict[str, Any]]:
    metrics = reports(3)
    for report in metrics:
        for layer in report.get("statistics", {}).values():
            layer.update(dict.fromkeys(layer.keys() - {"inactive"}, value))
    return metrics


@pytest.mark.parametrize(
    "metrics",
    [
        reports(3, count=1),
        spoiled(0.0),
        spoiled(None),
        constant(0.0),
        constant(None),
        constant(1e-30),
        constant(1e30),
        spoiled(1e-30),
    ],
    ids=["one", "a zero", "a gap", "zeros", "nothing finite", "tiny", "huge", "many decades"],
)
def test_what_is_unusual_is_drawn_without_a_warning(metrics: list[dict[str, Any]]) -> None:
    gradient_flow(metrics).draw_without_rendering()
    activation_flow(metrics).draw_without_rendering()


def test_without_statistics_there_is_nothing_to_draw() -> None:
    for draw in (gradient_flow, activation_flow):
        with pytest.raises(ValueError, match="no report has statistics"):
            draw([{"epoch": 1, "loss": 1.0, "accuracy": 0.5}])


def test_heights_are_moved_apart_as_little_as_possible() -> None:
    np.testing.assert_allclose(_apart([0.1, 0.5, 0.9], 0.1), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(_apart([0.5, 0.5, 0.5], 0.1), [0.4, 0.5, 0.6])
    np.testing.assert_allclose(_apart([0.2, 0.5, 0.54], 0.1), [0.2, 0.47, 0.57])
    np.testing.assert_allclose(_apart([1.0, 1.0], 0.1), [0.9, 1.0])
    np.testing.assert_allclose(_apart([0.0, 0.0], 0.1), [0.0, 0.1])
    assert _apart([], 0.1).size == 0
