"""What ``fit`` has trained, as a run that everything reads, or that says why not."""

import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from running import run_script

from jaxnn import fit, load_run, save_run
from jaxnn.data import Dataset, Split, csv, digits, from_arrays
from jaxnn.errors import ConfigError, RunError
from jaxnn.layers import Layer, dense, dropout, flatten, relu, serial, tanh
from jaxnn.losses import mean_squared_error, softmax_cross_entropy
from jaxnn.optimizers import adam
from jaxnn.runs import evaluate, read_config, resume
from jaxnn.schedules import cosine
from jaxnn.training import Report
from jaxnn.web.storage import open_source

MODULE = """
from jaxnn import dense, flatten, relu, serial, tanh

def own():
    return relu()._replace(name="own")

def network():
    return serial(flatten(), dense(8), own(), dense(10))

def another():
    return serial(flatten(), dense(8), tanh(), dense(10))
"""


def few_digits() -> Dataset:
    whole = digits()
    cut = {
        name: Split(*(array[:60] for array in getattr(whole, name)))
        for name in ("train", "validation", "test")
    }
    return whole._replace(**cut)


def trained(network: Layer, data: Any, optimizer: Any = None, **given: Any) -> list[Report]:
    arguments = {"batch_size": 20, "epochs": 2, "chunk_steps": 2} | given
    return list(fit(network, softmax_cross_entropy, optimizer or adam(0.01), data, **arguments))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return few_digits()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A module of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "networks_of_mine.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    import networks_of_mine

    yield networks_of_mine
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def reports(data: Dataset, own: Any) -> list[Report]:
    """Of a network that has a layer of one's own, trained by optax."""
    return trained(own.network(), data, optax.adam(0.01))


def test_it_is_a_run_like_any_other(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = serial(flatten(), dense(8), relu(), dropout(0.1), dense(10))
    reports = trained(network, data, adam(cosine(0.01, steps=6), b1=0.8))
    path = tmp_path / "first"
    run = save_run(path, network, reports[-1], data, reports=reports)
    assert capsys.readouterr().err == ""

    moved = path.rename(tmp_path / "moved")
    config = read_config(moved)
    assert [call.name for call in config.model.arguments["layers"]] == [
        *("flatten", "dense", "relu", "dropout", "dense")
    ]
    assert config.optimizer.plain()["adam"]["b1"] == 0.8
    assert config.training.batch_size == 20
    read = load_run(moved)
    outputs, _, _ = network.forward(
        *reports[-1].train_state[1:3], (data.test.inputs - data.mean) / data.deviation
    )
    expected = jax.nn.softmax(outputs)
    np.testing.assert_allclose(read.predict(data.test.inputs), expected, atol=1e-5)
    for name in ("train", "validation", "test"):  # the data have moved with it, as they were
        for one, other in zip(getattr(read.dataset, name), getattr(data, name), strict=True):
            np.testing.assert_array_equal(one, other)
    assert read.dataset.prepare is data.prepare
    result = evaluate(read.experiment, read.params, read.state, "test")
    assert result.accuracy == run.summary["test_accuracy"]
    assert len((moved / "metrics.jsonl").read_text().splitlines()) == len(reports) == 4

    outcome = run_script(capsys, "evaluate", moved)
    assert outcome.status == 0, outcome.err
    assert f"accuracy {result.accuracy:.2%}" in outcome.out
    opened = open_source(moved)
    assert int(opened.train_state.step) == 6
    assert len(opened.records) == 4
    with pytest.raises(RunError, match=r"saved without a checkpoint .* start=report\.train_state"):
        resume(moved, ["training.epochs=9"])


def test_a_network_of_ones_own_is_named(
    data: Dataset, own: Any, reports: list[Report], tmp_path: Path
) -> None:
    run = save_run(tmp_path / "run", own.network(), reports[-1], data, model=own.network)
    read = load_run(tmp_path / "run")
    assert read.config.model.name == "networks_of_mine:network"
    np.testing.assert_array_equal(read.predict(data.test.inputs), run.predict(data.test.inputs))


def test_or_its_arrays_alone_are_kept_which_is_said(
    data: Dataset,
    own: Any,
    reports: list[Report],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = save_run(tmp_path / "run", own.network(), reports[-1], data)
    assert "Layer own was not made by a function that a config can name" in capsys.readouterr().err
    for read in (load_run, open_source):
        with pytest.raises(ConfigError, match=r"only the arrays .*load_run\(path, network=…\)"):
            read(tmp_path / "run")
    read_again = load_run(tmp_path / "run", network=own.network())
    np.testing.assert_array_equal(
        read_again.predict(data.test.inputs), run.predict(data.test.inputs)
    )
    with pytest.raises(RunError, match="takes the run's arrays, but computes something else"):
        load_run(tmp_path / "run", network=own.another())
    with pytest.raises(RunError, match=r"expected for '1.bias' float32 of shape \(9,\)"):
        load_run(tmp_path / "run", network=serial(flatten(), dense(9), own.own(), dense(10)))


def test_an_optimizer_of_ones_own_does_not_train_again(
    data: Dataset, own: Any, reports: list[Report], tmp_path: Path
) -> None:
    given = (own.network(), reports[-1], data)
    save_run(tmp_path / "run", *given, model=own.network)
    opened = open_source(tmp_path / "run")
    with pytest.raises(RunError, match=r"which optimizer .* 'optimizer=\{adam: 0.01\}'"):
        opened.experiment.optimizer.update(opened.train_state.params, (), ())
    save_run(tmp_path / "another", *given, model=own.network, optimizer={"adam": 0.01})
    assert open_source(tmp_path / "another").experiment.config.optimizer.name == "adam"


def test_a_table_keeps_its_columns_and_offsets(tmp_path: Path) -> None:
    rows = [f"{1.7e9 + 7 * i},{i % 3},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(["time,size,kind", *rows]))
    source = {"csv": {"path": str(tmp_path / "table.csv"), "target": "kind", "test": 0.25}}
    data = csv(**source["csv"])
    assert data.centring is not None
    network = serial(dense(4), relu(), dense(2))
    report = trained(network, data, batch_size=8)[-1]
    save_run(tmp_path / "kept", network, report, data)
    save_run(tmp_path / "named", network, report, data, data=source)
    assert not (tmp_path / "named" / "data.npz").exists()
    for name in ("kept", "named"):
        again = load_run(tmp_path / name).dataset
        assert again.features == ("time", "size")
        np.testing.assert_array_equal(again.test.inputs, data.test.inputs)
        np.testing.assert_array_equal(again.centring, data.centring)
    offset = data.centring.offset + np.spacing(data.centring.offset)
    other = data._replace(centring=data.centring._replace(offset=offset))
    with pytest.raises(RunError, match="dataset: centring: "):
        save_run(tmp_path / "other", network, report, other)
    with pytest.raises(RunError, match="data: these are not what was trained on: train: "):
        save_run(
            *(tmp_path / "wrong", network, report, data),
            data={"csv": source["csv"] | {"test": 0.5}},
        )
    assert not (tmp_path / "wrong").exists()


def test_arrays_that_were_all_trained_on_need_others_for_test(tmp_path: Path) -> None:
    x, y = few_digits().train
    x = x.astype(np.float32)
    network = serial(flatten(), dense(10))
    report = trained(network, (x, y))[-1]
    with pytest.raises(RunError, match="no examples for test"):
        save_run(tmp_path / "run", network, report, (x, y))
    whole = from_arrays(x, y, validation=0, test=(x[:9], y[:9]), normalize="none")
    save_run(tmp_path / "run", network, report, whole)
    again = load_run(tmp_path / "run").dataset
    np.testing.assert_array_equal(again.train.inputs, x)
    assert [len(s.targets) for s in (again.validation, again.test)] == [0, 9]
    with pytest.raises(RunError, match=r"dataset: mean: 0\.0 in training, now 5\."):
        save_run(tmp_path / "other", network, report, from_arrays(x, y))


def test_what_was_not_trained_is_refused(
    data: Dataset, own: Any, reports: list[Report], tmp_path: Path
) -> None:
    report, path = reports[-1], tmp_path / "run"
    given = (path, own.network(), report, data)
    for arguments, more, message in (
        ((path, own.another(), report, data), {}, "network: it takes the arrays, but computes"),
        ((path, dense(10), report, data), {}, "network: the arrays are not those"),
        (given, {"model": own.another}, "model: it takes the arrays, but computes something else"),
        (given, {"model": lambda: own.network()}, "<lambda> cannot be imported: define"),
        (
            given,
            {"loss": lambda *arrays: None},
            "loss: function <lambda> was not .* loss=soft",
        ),
    ):
        with pytest.raises(RunError, match=message):
            save_run(*arguments, **more)
        assert not path.exists()
    with pytest.raises(TypeError, match=r"network is no Layer but a function; .* tanh\(\)\?"):
        save_run(path, tanh, report, data)
    with pytest.raises(TypeError, match="report is not one that fit has yielded"):
        save_run(path, own.network(), report._replace(arguments=None), data)
    save_run(*given, model=own.network, loss=mean_squared_error)
    with pytest.raises(RunError, match="exists and is not an empty directory"):
        save_run(*given, model=own.network)
    shutil.rmtree(path)
