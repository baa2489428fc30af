"""Whole networks: outputs, and parameters after a hundred steps, against JAX."""

from pathlib import Path

import jax
import numpy as np
import pytest
from webassembly import Machine

from jaxnn.config import build, load_config, parse_config
from jaxnn.data import Dataset, Split
from jaxnn.program import make_program
from jaxnn.program.wasm import compile_module
from jaxnn.training import Examples, TrainState, init_train_state, make_step, prepared

STEPS = 100
STAYING = ("step", "params", "state", "optimizer_state")
CONFIGS = Path(__file__).parents[3] / "configs"
CONVOLUTIONAL = {
    "data": "digits",
    "model": [
        *({"conv2d": {"units": 8, "bias": False}}, "max_pool", "batch_norm", "relu"),
        *(
            {"conv2d": {"units": 12, "bias": False}},
            "batch_norm",
            "relu",
            "flatten",
            {"dropout": 0.3},
            {"dense": 10},
        ),
    ],
    "optimizer": {"adam": {"learning_rate": 0.001}},
    "training": {"epochs": 2, "batch_size": 16},
}


def _random_images():
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


def _named(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _assert_trains_alike(config, dataset=None, modules=(False, True), steps=STEPS):
    experiment = build(config, dataset)
    dataset, batch_size = experiment.dataset, experiment.config.training.batch_size
    network = prepared(experiment.network, dataset)
    take = make_step(network, experiment.loss, experiment.optimizer, experiment.augment)
    start = init_train_state(network, experiment.optimizer, dataset.in_shape, 0)
    key = jax.random.key_data(start.key)

    def step(step, params, state, optimizer_state, key, inputs, targets):
        key = jax.random.wrap_key_data(key)
        before = TrainState(step, params, state, optimizer_state, key)
        after, totals = take(before, Examples(inputs, targets))
        staying = {name: getattr(after, name) for name in STAYING}
        return {**staying, "loss": totals.loss, "correct": totals.correct}

    def predict(params, state, inputs):
        return network.forward(params, state, inputs)[0]

    inputs, targets = dataset.train
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, len(targets), batch_size) for _ in range(steps)]
    first = {name: getattr(start, name) for name in STAYING}
    batch = inputs[batches[0]], targets[batches[0]]
    programs = {
        "step": make_program(step, *first.values(), key, *batch),
        "predict": make_program(predict, start.params, start.state, batch[0]),
    }

    expected_outputs = np.asarray(jax.jit(predict)(start.params, start.state, batch[0]))
    after, compiled = first, jax.jit(step)
    for rows in batches:
        result = compiled(*after.values(), key, inputs[rows], targets[rows])
        after = {name: result[name] for name in STAYING}
    expected = _named({name: after[name] for name in ("params", "state")})
    size = np.linalg.norm([np.linalg.norm(x) for x in _named(after["params"]).values()])

    for relaxed in modules:
        machine = Machine(compile_module(programs, STAYING, relaxed=relaxed))
        for name, x in _named(first).items():
            machine.write(machine.arrays[name], x)
        (outputs,) = machine.run("predict", batch[0])
        error = np.abs(outputs - expected_outputs).max() / np.abs(expected_outputs).max()
        assert error < 1e-5
        for rows in batches:
            machine.run("step", key, inputs[rows], targets[rows])
        assert int(machine.read(machine.arrays["step"])) == steps
        for name, x in expected.items():
            difference = np.linalg.norm(machine.read(machine.arrays[name]) - x)
            assert difference <= 1e-4 * max(np.linalg.norm(x), 1e-3 * size), name


def test_digits_mlp():
    _assert_trains_alike(load_config(CONFIGS / "digits_mlp.yaml"))


@pytest.mark.slow
def test_convolutional():
    _assert_trains_alike(parse_config(CONVOLUTIONAL))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist_mlp", "three_blue_one_brown"])
def test_of_images(name):
    overrides = ["training.epochs=300"] if name == "mnist_mlp" else []
    config = load_config(CONFIGS / f"{name}.yaml", overrides)
    _assert_trains_alike(config, _random_images())
