"""Runs whose examples are points: the pictures of what they make of the plane."""

from pathlib import Path

import numpy as np
import pytest

from jaxnn.config import parse_config
from jaxnn.runs import train
from jaxnn.runs.pictures import run_pictures


@pytest.mark.parametrize(
    ("shape", "outputs", "loss", "drawn"),
    [
        ("spiral", 2, "softmax_cross_entropy", ["plane-test", "units-1"]),
        pytest.param(
            *("hill", 1, "mean_squared_error", ["plane-test", "units-1"]), marks=pytest.mark.long
        ),
        pytest.param("sine", 1, "huber", ["plane-test"], marks=pytest.mark.long),
    ],
)
def test_a_run_of_points_is_drawn(
    tmp_path: Path, shape: str, outputs: int, loss: str, drawn: list[str]
) -> None:
    config = parse_config(
        {
            "data": {"plane": {"shape": shape, "points": 60}},
            "model": [{"dense": 4}, "tanh", {"dense": outputs}],
            "loss": loss,
            "optimizer": {"adam": 0.01},
            "training": {"epochs": 1, "batch_size": 16},
        }
    )
    run = train(config, tmp_path / "run")
    pictures = {picture.name: picture for picture in run_pictures(run, examples=[1])}
    assert [name for name in pictures if name.startswith(("plane", "units"))] == drawn
    figure = pictures["plane-test"].figure
    axes = figure.axes[0]
    assert axes.get_xlabel() == "x"
    if shape == "sine":
        x, y = axes.lines[1].get_xydata().T
        np.testing.assert_allclose(y, run.predict(x[:, None])[:, 0], rtol=1e-4, atol=1e-5)
        return
    assert axes.get_ylabel() == "y"
    low, high = axes.get_xlim()
    assert low < run.dataset.train.inputs[:, 0].min()
    assert high > run.dataset.train.inputs[:, 0].max()
    if shape == "hill":
        values = axes.images[0].get_array()
        corner = np.array([[axes.get_xlim()[1], axes.get_ylim()[0]]])
        assert values[0, -1] == pytest.approx(run.predict(corner)[0, 0], abs=1e-5)
        assert {"predicted-test", "residuals-test", "worst-test"} <= set(pictures)
        assert ", true " in pictures["network-test-1"].caption
