"""TensorBoard's own reader finds in the event files what metrics.jsonl says."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxnn.config import parse_config
from jaxnn.runs import train

pytest.importorskip("tensorboardX")
event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "watched"
    config = parse_config(
        {
            "data": "digits",
            "model": ["flatten", {"dense": 12}, "relu", {"dense": 10}],
            "optimizer": {"sgd": 0.1},
            "training": {"epochs": 2, "chunk_steps": 5, "statistics_steps": 5},
        }
    )
    train(config, path, tensorboard=True)
    return path


@pytest.fixture(scope="module")
def events(run: Path) -> "event_accumulator.EventAccumulator":
    sizes = dict.fromkeys(("scalars", "images", "histograms"), 0)  # 0 is all of them
    return event_accumulator.EventAccumulator(str(run), sizes).Reload()


def test_every_scalar_is_there_with_its_step(
    run: Path, events: "event_accumulator.EventAccumulator"
) -> None:
    expected: dict[str, dict[int, float]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        step = values.pop("step")
        del values["steps"]
        statistics = values.pop("statistics", {})
        for layer, numbers in statistics.items():
            values |= {f"{name}/{layer}": number for name, number in numbers.items()}
        for name, value in values.items():
            expected.setdefault(name, {})[step] = value
    assert {"loss", "validation_accuracy", "update_ratio/1 dense"} <= expected.keys()
    names = {name.replace(" ", "_"): name for name in expected}  # TensorBoard allows no blanks
    assert {name.replace(" ", "_") for name in events.Tags()["scalars"]} == names.keys()
    for name in events.Tags()["scalars"]:
        found = {event.step: event.value for event in events.Scalars(name)}
        wanted = expected[names[name.replace(" ", "_")]]
        assert found == pytest.approx(wanted, rel=1e-6)


def test_histograms_count_every_weight_and_images_show_the_first_layer(
    events: "event_accumulator.EventAccumulator",
) -> None:
    last = events.Histograms("1.weight")[-1]
    assert last.histogram_value.num == 64 * 12
    assert last.step == 40
    (tag, *_) = events.Tags()["images"]
    image = events.Images(tag)[-1]
    assert (image.width, image.height) != (0, 0)
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert np.isfinite(last.histogram_value.sum)
