"""Runs that learn their own inputs: data that are kept, and the pictures of codes."""

from pathlib import Path

import numpy as np
import pytest

from jaxnn.config import parse_config
from jaxnn.data import csv, digits
from jaxnn.errors import ConfigError
from jaxnn.metrics import number_evaluation
from jaxnn.runs import load_run, train
from jaxnn.runs.codes import classes_of, code_pictures
from jaxnn.runs.pictures import run_pictures


def settings(data: object, *model: object) -> dict:
    return {
        "data": {"autoencode": data},
        "model": list(model),
        "loss": "mean_squared_error",
        "optimizer": {"adam": 0.01},
        "training": {"epochs": 1, "batch_size": 16},
    }


@pytest.mark.long
def test_images_beside_what_is_put_out_and_the_plane_of_codes(tmp_path: Path) -> None:
    model = ["flatten", {"dense": 2}, {"dense": 64}, {"reshape": [8, 8, 1]}]
    run = train(parse_config(settings("digits", *model)), tmp_path / "run")
    # All pixels are one quantity: what is explained of the variance of each, all together.
    true = run.dataset.test.inputs.astype(float)
    errors = run.predict(run.dataset.test.inputs) - true
    r2 = 1 - np.square(errors).sum() / (true.var(0) * len(true)).sum()
    rmse = np.sqrt(np.square(errors).mean())
    assert run.summary["test_r2"] == pytest.approx(r2, rel=1e-4)
    assert run.summary["test_rmse"] == pytest.approx(rmse, rel=1e-4)
    found = number_evaluation(
        (errors + true).reshape(-1, 64),
        true.reshape(-1, 64),
        run.dataset.output_names,
        together=True,
    )
    assert (found["r2"], found["rmse"]) == (pytest.approx(r2), pytest.approx(rmse))
    pictures = {picture.name: picture for picture in run_pictures(run)}
    assert {"images-test", "codes-test", "reconstructions-test"} <= set(pictures)
    assert [n for n in pictures["representations-test"].figure.axes[0].texts if n.get_text() == "3"]
    left, right = pictures["codes-test"].figure.axes
    x = np.asarray(run.dataset.test.inputs, np.float32).reshape(-1, 64)
    first = run.params[1]
    codes = (x - run.dataset.mean) / run.dataset.deviation @ first["weight"] + first["bias"]
    targets = digits().test.targets
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in left.collections])
    order = np.argsort(targets, kind="stable")
    np.testing.assert_allclose(drawn, codes[order], rtol=1e-3, atol=1e-3)
    mosaic = np.asarray(right.images[0].get_array())
    assert mosaic.shape == (14 * 8, 14 * 8)
    corner = np.array([codes[:, 0].min(), codes[:, 1].min()])  # lower left
    second = run.params[2]
    image = (corner @ second["weight"] + second["bias"]) * run.dataset.deviation + run.dataset.mean
    expected = np.clip(np.asarray(image).reshape(8, 8) / 16, 0, 1)
    np.testing.assert_allclose(mosaic[-8:, :8], expected, atol=1e-3)


@pytest.mark.long
def test_a_table_is_found_from_elsewhere_and_knows_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{i % 7},{i % 5},{i % 3},{'ab'[i % 2]}\n" for i in range(80))
    (tmp_path / "table.csv").write_text("x,y,z,kind\n" + rows)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    data = {"data": {"csv": {"path": "table.csv", "target": "kind"}}}
    train(parse_config(settings(data, {"dense": 2}, {"dense": 3})), "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = load_run("../run")
    targets, classes = classes_of(run, "test")
    assert classes == ("a", "b")
    np.testing.assert_array_equal(targets, csv(tmp_path / "table.csv", target="kind").test.targets)
    assert [picture.name for picture in code_pictures(run, "test")] == ["codes-test"]


def test_a_data_set_is_needed() -> None:
    with pytest.raises(ConfigError, match="autoencode"):
        parse_config(settings(None, {"dense": 2}))
    with pytest.raises(ConfigError, match="unknown data set 'digit'; did you mean 'digits'"):
        parse_config(settings("digit", {"dense": 2}))
