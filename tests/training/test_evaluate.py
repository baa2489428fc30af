"""Evaluation over whole splits: every example counts once, in one program."""

import logging
from typing import Any

import jax
import numpy as np
import pytest

from jaxnn.data import Split
from jaxnn.layers import before, dense, dropout, in_precision, serial, standardize
from jaxnn.losses import mean_squared_error, softmax_cross_entropy
from jaxnn.training import make_evaluate

NETWORK = before(serial(dropout(0.5), dense(4)), standardize(128, 128))


def some_split(count: int) -> Split:
    random = np.random.default_rng(count)
    inputs = random.integers(0, 256, (count, 6), np.uint8)
    return Split(inputs, random.integers(0, 4, count).astype(np.int32))


def some_params() -> tuple[Any, Any]:
    params, state, _ = NETWORK.init(jax.random.key(0), (6,))
    return params, state


def outputs(split: Split) -> np.ndarray:
    """What the network gives in inference: dropout does nothing."""
    params = some_params()[0][1]
    x = split.inputs.astype(np.float64) / 128 - 1
    return x @ np.asarray(params["weight"], np.float64) + np.asarray(params["bias"], np.float64)


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 2000, 2500])
def test_a_split_of_any_size_is_evaluated_whole(count: int) -> None:
    split = some_split(count)
    z = outputs(split)
    losses = np.log(np.exp(z).sum(-1)) - z[np.arange(count), split.targets]
    result = make_evaluate(NETWORK, softmax_cross_entropy)(*some_params(), split)
    assert result.examples == count
    assert result.loss == pytest.approx(losses.mean(), rel=1e-5)
    assert result.accuracy == pytest.approx(np.mean(z.argmax(-1) == split.targets), abs=1e-9)


def test_the_batch_size_does_not_matter() -> None:
    split = some_split(103)
    results = [
        make_evaluate(NETWORK, mean_squared_error, batch_size=size)(*some_params(), split)
        for size in (1, 10, 102, 103, 104)
    ]
    t = np.eye(4)[split.targets]
    for result in results:
        assert result.loss == pytest.approx(np.mean((outputs(split) - t) ** 2), rel=1e-5)
        assert result.accuracy == results[0].accuracy


def test_the_last_batch_runs_the_same_program(caplog: pytest.LogCaptureFixture) -> None:
    evaluate = make_evaluate(NETWORK, softmax_cross_entropy, batch_size=100)
    params, state = some_params()
    with caplog.at_level(logging.DEBUG), jax.log_compiles():
        evaluate(params, state, some_split(250))
        evaluate(params, state, some_split(101))
    messages = [r.getMessage() for r in caplog.records]
    assert sum("XLA compilation of jit(evaluate_batch)" in message for message in messages) == 1


def test_the_type_to_compute_in_is_used() -> None:
    split = some_split(500)
    exact, rounded = (
        make_evaluate(network, softmax_cross_entropy)(*some_params(), split)
        for network in (NETWORK, in_precision(NETWORK, "bfloat16"))
    )
    assert exact.loss != rounded.loss
    assert exact.loss == pytest.approx(rounded.loss, rel=0.02)


def test_targets_with_axes_of_their_own_count_by_their_share() -> None:
    """A sequence of labels for each example, as in language models."""
    random = np.random.default_rng(0)
    split = Split(
        random.standard_normal((7, 5, 6)).astype(np.float32), random.integers(0, 4, (7, 5))
    )
    network = dense(4)
    params, state, _ = network.init(jax.random.key(0), (5, 6))
    z = split.inputs @ np.asarray(params["weight"])
    result = make_evaluate(network, softmax_cross_entropy, batch_size=3)(params, state, split)
    assert result.accuracy == pytest.approx(np.mean(z.argmax(-1) == split.targets), abs=1e-6)
    losses = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, split.targets[..., None], -1)[..., 0]
    assert result.loss == pytest.approx(losses.mean(), rel=1e-5)


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(ValueError, match="the split is empty"):
        make_evaluate(NETWORK, softmax_cross_entropy)(*some_params(), some_split(0))


@pytest.mark.parametrize(("label", "place"), [(4, 1004), (-1, 3)])
def test_a_label_without_an_output_is_an_error(label: int, place: int) -> None:
    split = some_split(1010)
    split.targets[place] = label
    with pytest.raises(ValueError, match=f"target {place} is {label}, a class .* there are 4"):
        make_evaluate(NETWORK, softmax_cross_entropy)(*some_params(), split)


def test_a_loss_that_is_nan_for_another_reason_is_told() -> None:
    params, state = jax.tree.map(lambda leaf: leaf * np.nan, some_params())
    assert np.isnan(
        make_evaluate(NETWORK, softmax_cross_entropy)(params, state, some_split(5)).loss
    )
