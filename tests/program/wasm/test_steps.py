"""Whole networks: outputs, and parameters after a hundred steps, against JAX."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from chromium import chromium
from playwright.sync_api import Page
from webassembly import BrowserMachine, Machine

from jaxnn.arrays import named_leaves
from jaxnn.config import build, load_config, parse_config
from jaxnn.data import Dataset, Split
from jaxnn.program import Program, make_program
from jaxnn.program.wasm import compile_module
from jaxnn.training import Examples, TrainState, init_train_state, make_step, prepared

STEPS = 100
STAYING = ("step", "params", "state", "optimizer_state")
CONFIGS = Path(__file__).parents[3] / "configs"
CONVOLUTIONAL = {
    "data": "digits",
    "model": [
        *({"conv2d": {"units": 8, "bias": False}}, "max_pool", "batch_norm", "relu"),
        *({"conv2d": {"units": 12, "bias": False}}, "batch_norm", "relu"),
        *("flatten", {"dropout": 0.3}, {"dense": 10}),
    ],
    "optimizer": {"adam": {"learning_rate": 0.001}},
    "training": {"epochs": 2, "batch_size": 16},
}


class Training(NamedTuple):
    """A network's training, as programs and as JAX does it.

    Attributes:
        programs: the entries.
        start: what stays, by name, before the first step.
        key: the bits of the key.
        batches: the inputs and targets of each step.
        outputs: for the first batch, of the network as it starts.
        end: the parameters and the state after the last step.
    """

    programs: dict[str, Program]
    start: dict[str, np.ndarray]
    key: np.ndarray
    batches: list[tuple[np.ndarray, np.ndarray]]
    outputs: np.ndarray
    end: dict[str, np.ndarray]


def _random_images() -> Dataset:
    """Data of MNIST's shape, of which a network can learn a little."""
    rng = np.random.default_rng(0)
    splits = []
    for count in (600, 200, 200):
        labels = rng.integers(0, 10, count).astype(np.int32)
        images = rng.integers(0, 256, (count, 28, 28, 1))
        images[np.arange(count), labels] //= 2
        splits.append(Split(images.astype(np.uint8), labels))
    classes = tuple(map(str, range(10)))
    return Dataset("random", *splits, classes, np.float32(33.3), np.float32(78.6))


def _named(tree: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}


@cache
def training(name: str) -> Training:
    """A config's training, or that of the convolutional network, with JAX's result."""
    if name == "convolutional":
        experiment = build(parse_config(CONVOLUTIONAL))
    elif name == "digits_mlp":
        experiment = build(load_config(CONFIGS / "digits_mlp.yaml"))
    else:  # its schedule needs as many steps as a warm-up has
        config = load_config(CONFIGS / f"{name}.yaml", ["training.epochs=300"])
        experiment = build(config, _random_images())
    network = prepared(experiment.network, experiment.dataset)
    take = make_step(network, experiment.loss, experiment.optimizer, experiment.augment)
    state = init_train_state(network, experiment.optimizer, experiment.dataset.in_shape, 0)
    key = jax.random.key_data(state.key)

    def step(step, params, state, optimizer_state, key, inputs, targets):  # type: ignore[no-untyped-def]
        key = jax.random.wrap_key_data(key)
        before = TrainState(step, params, state, optimizer_state, key)
        after, totals = take(before, Examples(inputs, targets))
        staying = {name: getattr(after, name) for name in STAYING}
        return {**staying, "loss": totals.loss, "correct": totals.sums["correct"]}

    def predict(params, state, inputs):  # type: ignore[no-untyped-def]
        return network.forward(params, state, inputs)[0]

    inputs, targets = experiment.dataset.train
    rng = np.random.default_rng(1)
    size = experiment.config.training.batch_size
    rows = [rng.integers(0, len(targets), size) for _ in range(STEPS)]
    batches = [(inputs[i], targets[i]) for i in rows]
    start = {name: getattr(state, name) for name in STAYING}
    programs = {
        "step": make_program(step, *start.values(), key, *batches[0]),
        "predict": make_program(predict, state.params, state.state, batches[0][0]),
    }
    outputs = jax.jit(predict)(state.params, state.state, batches[0][0])
    now, compiled = start, jax.jit(step)
    for batch in batches:
        result = compiled(*now.values(), key, *batch)
        now = {name: result[name] for name in STAYING}
    end = _named({name: now[name] for name in ("params", "state")})
    return Training(programs, _named(start), np.asarray(key), batches, np.asarray(outputs), end)


def _assert_trains_alike(machine: Machine, expected: Training) -> None:
    for name, x in expected.start.items():
        machine.write(machine.arrays[name], x)
    (outputs,) = machine.run("predict", expected.batches[0][0])
    assert np.abs(outputs - expected.outputs).max() < 1e-5 * np.abs(expected.outputs).max()
    for batch in expected.batches:
        machine.run("step", expected.key, *batch)
    assert int(machine.read(machine.arrays["step"])) == STEPS
    norms = {name: np.linalg.norm(x) for name, x in expected.end.items()}
    least = 1e-3 * np.linalg.norm([n for name, n in norms.items() if name.startswith("params")])
    for name, x in expected.end.items():
        difference = np.linalg.norm(machine.read(machine.arrays[name]) - x)
        assert difference <= 1e-4 * max(norms[name], least), name


NAMES = [
    "digits_mlp",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("convolutional", "mnist_mlp", "three_blue_one_brown")
    ),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("relaxed", [False, True])
def test_steps(name: str, relaxed: bool) -> None:
    expected = training(name)
    machine = Machine(compile_module(expected.programs, STAYING, relaxed=relaxed))
    _assert_trains_alike(machine, expected)


def test_the_same_programs_are_always_the_same_module() -> None:
    """Arrays lie at the same places whatever the run, and in the relaxed module too."""
    programs = training("digits_mlp").programs
    first = compile_module(programs, STAYING)
    for _ in range(3):
        assert compile_module(programs, STAYING) == first
        assert compile_module(programs, STAYING, relaxed=True).layout == first.layout


def test_any_bytes_do_no_harm() -> None:
    """Whatever lies in memory: nothing traps."""
    module = compile_module(training("digits_mlp").programs, STAYING)
    machine = Machine(module)
    rng = np.random.default_rng(0)
    for _ in range(5):
        inputs = [x for entry in module.layout["entries"].values() for x in entry["inputs"]]
        for array in (*module.layout["arrays"], *inputs):
            size = max(1, int(np.prod(array["shape"]))) * np.dtype(array["dtype"]).itemsize
            bits = np.frombuffer(rng.bytes(size), array["dtype"])
            machine.write(array, bits.reshape(array["shape"]))
        for entry in module.layout["entries"]:
            machine._call(entry)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Chromium."""
    with chromium() as browser:
        yield browser.new_page()


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("relaxed", [False, True])
def test_steps_in_a_browser(page: Page, name: str, relaxed: bool) -> None:
    expected = training(name)
    module = compile_module(expected.programs, STAYING, relaxed=relaxed)
    there = BrowserMachine(module, page)
    _assert_trains_alike(there, expected)
    if not relaxed:
        here = Machine(module)
        _assert_trains_alike(here, expected)
        assert here.memory() == there.memory(), "not the same bits"
