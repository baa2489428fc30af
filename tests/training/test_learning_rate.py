"""The loss under a rising learning rate, and the rate that is read off it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.data import from_arrays
from jaxnn.layers import dense, dropout, relu, serial
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import (
    Optimizer,
    accumulate,
    adam,
    chain,
    clip_by_global_norm,
    partition,
    set_hyperparameters,
    sgd,
    weights_only,
)
from jaxnn.schedules import cosine
from jaxnn.training import (
    Examples,
    RisingRate,
    epoch_batches,
    init_train_state,
    make_step,
    prepared,
    rising_rate,
    suggest_rate,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 4)).astype(np.float32)
DATA = from_arrays(X, (X[:, 0] + X[:, 1] > 0).astype(int), validation=0, test=0)
NETWORK = serial(dense(8), relu(), dropout(0.2), dense(2))


@pytest.mark.parametrize(
    "optimizer",
    [
        sgd(1.0, momentum=0.9),
        accumulate(chain(clip_by_global_norm(1.0), adam(1.0)), 3),
    ],
    ids=["sgd", "accumulated"],
)
def test_the_losses_are_those_of_steps_at_these_rates(optimizer: Optimizer) -> None:
    """Step by step, outside of the program; through more than an epoch, which has 3 steps."""
    found = rising_rate(
        NETWORK, softmax_cross_entropy, optimizer, DATA,
        batch_size=16, first=1e-3, last=1.0, steps=10, seeds=(3, 4),
    )  # fmt: skip
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], 10 ** (1 / 3))
    np.testing.assert_allclose(found.rates[[0, -1]], [1e-3, 1.0])
    assert found.losses.shape == (2, 10)
    network = prepared(NETWORK, DATA)
    step = jax.jit(make_step(network, softmax_cross_entropy, optimizer))
    state = init_train_state(network, optimizer, (4,), 4)
    expected = []
    for i, rows in enumerate(np.concatenate([epoch_batches(4, e, 60, 16) for e in range(4)])[:11]):
        changed = set_hyperparameters(state.optimizer_state, learning_rate=found.rates[min(i, 9)])
        batch = Examples(*(jnp.asarray(part[rows]) for part in DATA.train))
        state, totals = step(state._replace(optimizer_state=changed), batch)
        expected.append(float(totals.loss))
    np.testing.assert_allclose(found.losses[1], expected[1:], rtol=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (sgd(cosine(0.1, 100)), "follows a schedule"),
        (partition(weights_only, sgd(cosine(0.1, 100)), adam(0.1)), "follows a schedule"),
        (clip_by_global_norm(1.0), "no learning_rate among .* which are: max_norm"),
        (optax.sgd(0.1), "no learning_rate among .* which are: none"),
    ],
)
def test_what_has_no_rate_that_can_rise_is_refused(optimizer: Optimizer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rising_rate(NETWORK, softmax_cross_entropy, optimizer, DATA, batch_size=16, steps=10)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"first": 1.0, "last": 0.1}, "must be rising, above 0, got 1 and 0.1"),
        ({"first": 0.0}, "must be rising, above 0, got 0 and 10"),
        ({"steps": 9}, "at least 10, got 9"),
        ({"seeds": ()}, "at least one"),
        ({"batch_size": 61}, "between 1 and the 60"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rising_rate(NETWORK, softmax_cross_entropy, sgd(0.1), DATA, **{"batch_size": 16, **wrong})


def test_a_class_without_an_output_is_refused() -> None:
    with pytest.raises(ValueError, match="class"):
        rising_rate(dense(1), softmax_cross_entropy, sgd(0.1), DATA, batch_size=16)


RATES = np.geomspace(1e-5, 10, 301)
DECADES = np.log10(RATES)


def curve(*losses: np.ndarray) -> RisingRate:
    return RisingRate(RATES, np.array(losses))


def test_a_third_of_the_rate_of_the_lowest_loss_is_suggested() -> None:
    """A fall around 10⁻³, lowest at 10⁻¹·⁵, above the start from 1 on, and then not finite."""
    losses = 2 - np.tanh(2 * (DECADES + 3)) + np.maximum(DECADES + 1.5, 0) ** 2
    noise = RANDOM.normal(scale=0.05, size=(2, 301))
    wild = np.where(DECADES > 0.5, np.inf, losses + noise[0])
    wild[-20:] = np.nan
    found = suggest_rate(curve(wild, losses + noise[1]))
    assert found.steepest == pytest.approx(1e-3, rel=0.3)
    assert found.lowest == pytest.approx(10**-1.5, rel=0.5)
    assert found.rate == pytest.approx(found.lowest / 3, rel=0.05)
    assert found.diverged == pytest.approx(10**-0.1, rel=0.3)
    assert found.smoothed.shape == (301,)
    assert "falls fastest at 0.00" in found.reason
    assert "above that of the untrained network" in found.reason


def test_a_loss_that_still_falls_at_the_last_rate_is_said() -> None:
    found = suggest_rate(curve(3 - np.maximum(DECADES, 0)))
    assert found.rate == pytest.approx(3.3)
    assert found.diverged is None
    assert "still falling; rates above 10 may be as good" in found.reason


@pytest.mark.parametrize("losses", [np.full(301, 2.3), 2.3 + 0.1 * (DECADES + 5)])
def test_nothing_is_suggested_where_the_loss_does_not_fall(losses: np.ndarray) -> None:
    found = suggest_rate(curve(losses))
    assert (found.rate, found.steepest, found.lowest) == (None, None, None)
    assert "does the loss fall below" in found.reason
