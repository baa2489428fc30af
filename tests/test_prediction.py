"""Probabilities of a network's outputs, and a run's predictions in one line."""

import functools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from jaxnn import losses
from jaxnn.config import build, load_config, parse_config
from jaxnn.prediction import make_predict, probabilities
from jaxnn.runs import Run, evaluate, train
from jaxnn.runs.data import to_keep

ROOT = Path(__file__).parents[1]
SQUARES = (losses.mean_squared_error, losses.quadratic, losses.huber)
OTHERS = (losses.softmax_cross_entropy, losses.sigmoid_binary_cross_entropy, losses.hinge)


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1.0, 100.0]))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("loss", SQUARES + OTHERS)
def test_they_are_probabilities_in_the_order_of_the_outputs(
    loss: losses.Loss, seed: int, scale: float
) -> None:
    outputs = np.random.default_rng(seed).normal(size=(7, 5)).astype(np.float32) * scale
    found = np.asarray(probabilities(jnp.asarray(outputs), loss))
    assert found.dtype == np.float32
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-4)
    np.testing.assert_array_equal(found.argmax(1), outputs.argmax(1))
    for p, z in zip(found, outputs, strict=True):
        assert (np.diff(p[np.argsort(z)]) >= 0).all()


def test_logits_become_their_softmax() -> None:
    outputs = jnp.array([[1.0, 2.0, 4.0], [1e4, 0.0, -1e4], [0.0, 0.0, 0.0]])
    for loss in (
        losses.softmax_cross_entropy,
        functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1),
    ):
        found = probabilities(outputs, loss)
        np.testing.assert_allclose(found, jax.nn.softmax(outputs), rtol=1e-6)


def test_independent_yeses_are_taken_given_that_there_is_one() -> None:
    outputs = np.array([0.5, -1.0, 2.0])
    yes = 1 / (1 + np.exp(-outputs))
    alone = [yes[k] * np.prod(np.delete(1 - yes, k)) for k in range(3)]
    found = probabilities(jnp.array([outputs]), losses.sigmoid_binary_cross_entropy)[0]
    np.testing.assert_allclose(found, alone / np.sum(alone), rtol=1e-5)


def test_of_outputs_fitted_to_one_hot_rows_the_nearest_probabilities_are_taken() -> None:
    cases = {
        (0.2, 0.5, 0.3): (0.2, 0.5, 0.3),  # they are such
        (0.0, 0.4, 0.0): (0.2, 0.6, 0.2),  # unsure stays unsure
        (1.0, 1.0, 0.0): (0.5, 0.5, 0.0),
        (-3.0, 5.0, 0.0): (0.0, 1.0, 0.0),
        (-1.0, -2.0, -1.4): (0.7, 0.0, 0.3),
    }
    for loss in (*SQUARES, functools.partial(losses.huber, delta=2.0)):
        found = probabilities(jnp.array(list(cases)), loss)
        np.testing.assert_allclose(found, list(cases.values()), atol=1e-6)
    # No other probabilities are nearer.
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(50, 4))
    found = np.asarray(probabilities(jnp.asarray(outputs), losses.quadratic))
    others = rng.dirichlet(np.ones(4), 500)
    nearest = np.square(outputs[:, None] - others).sum(-1).min(1)
    assert (np.square(outputs - found).sum(1) <= nearest).all()


def test_each_number_of_inputs_gives_the_same_answers() -> None:
    network = jaxnn.serial(jaxnn.dense(8), jaxnn.relu(), jaxnn.dropout(0.5), jaxnn.dense(3))
    params, state, _ = network.init(jax.random.key(0), (4,))
    scaled = jaxnn.before(network, jaxnn.standardize(0, 8))
    predict = make_predict(scaled, losses.softmax_cross_entropy, batch_size=16)
    inputs = np.random.default_rng(0).integers(0, 9, (50, 4), dtype=np.uint8)
    outputs, _, _ = network.forward(params, state, jnp.asarray(inputs, jnp.float32) / 8)
    expected = jax.nn.softmax(outputs)
    for count in (0, 1, 2, 3, 15, 16, 17, 50):
        found = predict(params, state, inputs[:count])
        assert found.shape == (count, 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:count], rtol=1e-5)


def test_programs_are_compiled_once_for_sizes_that_are_alike() -> None:
    compiled = []

    def forward(params: Any, x: jax.Array) -> Any:
        compiled.append(x.shape)
        return x, ()

    spy = jaxnn.stateless(lambda _, shape: ((), shape), forward, lambda *_: (None, ()), "spy")
    network = jaxnn.serial(spy, jaxnn.dense(2))
    params, state, _ = network.init(jax.random.key(0), (4,))
    predict = make_predict(network, losses.quadratic, batch_size=16)
    for count in (*range(1, 40), *range(1, 40)):
        predict(params, state, np.zeros((count, 4), np.float32))
    assert sorted(compiled) == [(size, 4) for size in (1, 2, 4, 8, 16)]


# --- Runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "run"
    train(load_config(ROOT / "configs" / "digits_mlp.yaml", ["training.epochs=4"]), path)
    return jaxnn.load_run(path)


def test_a_run_predicts_in_one_line(run: Run) -> None:
    examples = run.dataset.test
    found = run.predict(examples.inputs)
    assert found.shape == (300, 10)
    assert found.dtype == np.float32
    accuracy = float(np.mean(found.argmax(1) == examples.targets))
    assert accuracy == pytest.approx(run.summary["test_accuracy"])
    np.testing.assert_allclose(run.predict(examples.inputs[5:6].astype(int)), found[5:6], rtol=1e-5)
    assert run.network is run.experiment.network
    assert run.config is run.experiment.config
    assert run.params[1]["weight"].shape == (64, 128)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((8, 8, 1), np.uint8), "expected inputs of shape (n, 8, 8, 1), got (8, 8, 1)"),
        (np.zeros((2, 28, 28, 1), np.uint8), "got (2, 28, 28, 1)"),
        (np.zeros((2, 64), np.uint8), "got (2, 64)"),
        (np.zeros((2, 8, 8, 1)), "as digits stores them, uint8 and not yet normalized"),
    ],
)
def test_inputs_that_would_be_misunderstood_are_refused(
    run: Run, inputs: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run.predict(inputs)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_a_run_predicts_in_its_precision(precision: str) -> None:
    values = {
        "data": "digits",
        "model": ["flatten", {"dense": 10}, "sigmoid"],
        "loss": "quadratic",
        "optimizer": {"sgd": 3.0},
        "training": {"precision": precision},
    }
    try:
        experiment = build(parse_config(values))
        params, state, _ = experiment.network.init(jax.random.key(0), (8, 8, 1))
        run = Run(Path("run"), experiment, params, state, {}, to_keep(experiment))
        found = run.predict(run.dataset.test.inputs)
        evaluation = evaluate(experiment, params, state, "test")
    finally:
        jax.config.update("jax_enable_x64", False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    accuracy = float(np.mean(found.argmax(1) == run.dataset.test.targets))
    assert accuracy == pytest.approx(evaluation.accuracy)
