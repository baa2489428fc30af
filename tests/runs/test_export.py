"""What is exported of a run: its entries compute what the library computes."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from webassembly import Machine

from jaxnn.arrays import named_leaves
from jaxnn.config import Experiment, build, parse_config
from jaxnn.errors import ProgramError, RunError
from jaxnn.optimizers import hyperparameters
from jaxnn.prediction import look, verdicts
from jaxnn.program.primitives import RULES
from jaxnn.program.wasm import WasmModule
from jaxnn.runs.export import PREDICTED, ExportedModule, carry, export_module
from jaxnn.training import (
    Examples,
    epoch_batches,
    fit,
    init_train_state,
    make_evaluate,
    make_step,
)

CONFIG = {
    "data": "digits",
    "model": ["flatten", {"dropout": 0.2}, {"dense": 16}, "relu", {"dense": 10}],
    "optimizer": {
        "sgd": {"learning_rate": {"cosine": {"peak": 0.1}}, "momentum": 0.9},
    },
    "training": {"batch_size": 20, "epochs": 3},
    "seed": 4,
}
MOST = {"train": 130, "validation": 30, "test": 70}
ROWS = np.arange(20, dtype=np.int32) * 3


def config(**changes: Any) -> Experiment:
    return build(parse_config({**CONFIG, **changes}))


class Page:
    """A module in wasmtime, with what is to lie in its memory."""

    def __init__(self, exported: ExportedModule) -> None:
        self.exported = exported
        self.machine = Machine(WasmModule(exported.plain, exported.description))
        self.machine.stay(**exported.arrays)

    def run(self, entry: str, **given: Any) -> dict[str, np.ndarray]:
        """Calls an entry; its outputs by name."""
        described = self.exported.description["entries"][entry]
        own = [x["name"] for x in described["inputs"] if x["name"] in given]
        assert set(own) == set(given)
        outputs = self.machine.run(entry, *(given[name] for name in own))
        return {x["name"]: y for x, y in zip(described["outputs"], outputs, strict=True)}

    def stays(self, name: str) -> np.ndarray:
        """An array in memory."""
        return self.machine.read(self.machine.arrays[name])


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return config()


@pytest.fixture(scope="module")
def page(experiment: Experiment) -> Page:
    state = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 7)
    return Page(export_module(experiment, state.params, state.state, MOST))


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 20, MOST["train"]])
def test_a_new_training_starts_and_goes_on_as_python_s(
    page: Page, experiment: Experiment, size: int
) -> None:
    assert size in page.exported.description["batch_sizes"]
    rows = np.arange(size, dtype=np.int32)[::-1].copy()
    _, dataset, network, loss, _ = experiment
    # The schedule ends after as many epochs as in the run; in the page, these are shorter.
    ends = {"peak": 0.1, "steps": 3 * (MOST["train"] // size)}
    optimizer = config(
        optimizer={"sgd": {"learning_rate": {"cosine": ends}, "momentum": 0.9}}
    ).optimizer
    step = jax.jit(make_step(network, loss, optimizer))
    carried = carry(experiment, MOST)
    batch = Examples(carried.inputs[rows], carried.targets[rows])
    expected = init_train_state(network, optimizer, dataset.in_shape, 4)
    page.run("reset", seed=4)
    for _ in range(3):
        expected, totals = step(expected, batch)
        found = page.run(f"step_{size}", rows=rows, learning_rate=np.nan)
        close(found["loss"], totals.loss)
        assert found["correct"] == totals.sums["correct"]
        rate = hyperparameters(expected.optimizer_state)["learning_rate"]
        close(found["learning_rate"], rate)
    for prefix, tree in (("params.", expected.params), ("optimizer.", expected.optimizer_state)):
        for name, leaf in named_leaves(tree, prefix).items():
            close(page.stays(name), leaf)
    assert page.stays("step") == 3


@pytest.mark.parametrize("optimizer", [{"sgd": 0.1}, CONFIG["optimizer"]])
def test_a_learning_rate_that_is_given_is_used(optimizer: Any) -> None:
    experiment = config(optimizer=optimizer, model=["flatten", {"dense": 10}])
    state = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 7)
    page = Page(export_module(experiment, state.params, state.state, MOST))
    before = page.stays("params.1.weight")
    assert page.run("step_20", rows=ROWS, learning_rate=0.0)["learning_rate"] == 0
    np.testing.assert_array_equal(page.stays("params.1.weight"), before)
    page.run("step_20", rows=ROWS, learning_rate=0.25)
    assert not np.array_equal(page.stays("params.1.weight"), before)
    close(page.run("step_20", rows=ROWS, learning_rate=0.25)["learning_rate"], 0.25)


def test_it_predicts_evaluates_and_traces_as_python(page: Page, experiment: Experiment) -> None:
    _, dataset, network, loss, _ = experiment
    page.run("reset", seed=1)
    state = init_train_state(network, experiment.optimizer, (8, 8, 1), 1)
    params = state.params
    test = page.exported.description["splits"]["test"]
    assert test == {"first": 160, "count": 70, "of": len(dataset.test.targets)}
    carried = carry(experiment, MOST)
    rows = np.minimum(test["first"] + np.arange(PREDICTED), test["first"] + 69).astype(np.int32)
    examples = carried.inputs[rows], carried.targets[rows]
    found = page.run("predict", rows=rows)
    expected = verdicts(network, loss, params, state.state, *examples)
    for name, array in zip(("predicted", "confidence", "loss"), expected, strict=True):
        close(found[name], array)
    weights = (np.arange(PREDICTED) < 70).astype(np.float32)
    found = page.run("evaluate", rows=rows, weights=weights)
    split = dataset.test._replace(inputs=examples[0][:70], targets=examples[1][:70])
    evaluation = make_evaluate(network, loss)(params, state.state, split)
    close(found["loss"] / found["weight"], evaluation.loss)
    close(found["correct"] / 70, evaluation.accuracy)
    target = np.array([-1], np.int32)
    found = page.run("trace", input=examples[0][:1], target=target)
    expected = look(network, loss, params, state.state, examples[0][:1], target)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        close(found[name], array)


def test_rows_that_are_not_there_and_odd_rates_do_no_harm(page: Page) -> None:
    rows = np.array([-5, 2**31 - 1, -(2**31), 10**6] * 5, np.int32)
    for rate in (np.inf, -np.inf, -1.0, 1e38):
        page.run("reset", seed=1)
        page.run("step_20", rows=rows, learning_rate=rate)
    page.run("predict", rows=np.full(PREDICTED, -7, np.int32))
    page.run("reset", seed=1)
    assert np.isfinite(page.run("step_20", rows=ROWS, learning_rate=0.1)["loss"])


def test_examples_are_taken_evenly(experiment: Experiment) -> None:
    carried = carry(experiment, {"train": 100, "validation": 0, "test": 10**6})
    total = len(experiment.dataset.train.targets)
    np.testing.assert_array_equal(
        carried.targets[:100], experiment.dataset.train.targets[np.arange(100) * total // 100]
    )
    assert carried.splits["test"]["count"] == len(experiment.dataset.test.targets)
    with pytest.raises(RunError, match="fewer than a batch of 20"):
        carry(experiment, {**MOST, "train": 19})


def test_what_cannot_be_exported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = config(training={"batch_size": 20, "precision": "float64"})
    state = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 7)
    with pytest.raises(RunError, match="float64"):
        export_module(experiment, state.params, state.state, MOST)
    experiment = config(model=["flatten", {"dense": 10}, "tanh"])
    state = init_train_state(experiment.network, experiment.optimizer, (8, 8, 1), 7)
    monkeypatch.delitem(RULES, "tanh")
    with pytest.raises(ProgramError, match=r"tanh .*activations\.py"):
        export_module(experiment, state.params, state.state, MOST)


def table(folder: Path, **changes: Any) -> Experiment:
    """Of a table with categories, missing values and a rare class."""
    rows = ""
    for i in range(80):
        age, kind = i % 7 if i % 5 else "", "often" if i % 4 else "rare"
        rows += f"{age},{('red', 'blue')[i % 2]},{kind},{i}.5\n"
    (folder / "table.csv").write_text("age,colour,kind,price\n" + rows)
    data = {"path": str(folder / "table.csv"), "target": "kind", "missing": "mean"}
    plain = {"model": [{"dense": 2}], "optimizer": {"sgd": 0.1}, "training": {"batch_size": 10}}
    return config(**{**plain, "data": {"csv": {**data, **changes.pop("data", {})}}, **changes})


@pytest.mark.long
def test_a_table_is_encoded_and_its_classes_are_weighted(tmp_path: Path) -> None:
    experiment = table(tmp_path, data={"ignore": ["price"], "balance": "weights"})
    _, dataset, network, loss, optimizer = experiment
    state = init_train_state(network, optimizer, dataset.in_shape, 4)
    most = dict.fromkeys(("train", "validation", "test"), 100)
    page = Page(export_module(experiment, state.params, state.state, most))
    page.run("reset", seed=4)
    assert page.stays("data.inputs").shape == (80, 4)
    (batch, *_) = epoch_batches(0, 0, len(dataset.train.targets), 10)
    first = next(fit(network, loss, optimizer, dataset, batch_size=10, epochs=1, chunk_steps=1))
    start = init_train_state(network, optimizer, dataset.in_shape, 0)
    for name, leaf in named_leaves(start.params, "params.").items():
        page.machine.stay(**{name: np.asarray(leaf)})
    found = page.run("step_10", rows=batch.astype(np.int32), learning_rate=np.nan)
    close(found["loss"], first.loss)
    for name, leaf in named_leaves(first.train_state.params, "params.").items():
        close(page.stays(name), leaf)
    rows = np.arange(PREDICTED, dtype=np.int32) % 80
    weights = (np.arange(PREDICTED) < len(dataset.train.targets)).astype(np.float32)
    found = page.run("evaluate", rows=rows, weights=weights)
    evaluate = make_evaluate(network, loss, dataset=dataset)
    expected = evaluate(first.train_state.params, first.train_state.state, dataset.train)
    close(found["loss"] / found["weight"], expected.loss)


def test_numbers_are_not_taken_for_classes(tmp_path: Path) -> None:
    numbers = {"model": [{"dense": 1}], "loss": "mean_squared_error"}
    experiment = table(tmp_path, data={"target": "price", "ignore": ["kind"]}, **numbers)
    state = init_train_state(experiment.network, experiment.optimizer, (4,), 7)
    with pytest.raises(RunError, match="the run is a regression, but an exported page answers"):
        export_module(experiment, state.params, state.state, MOST)
