import functools

import jax
import numpy as np
import optax
import pytest

from jaxnn.schedules import (
    constant,
    cosine,
    exponential,
    linear,
    one_cycle,
    piecewise,
    warmup_cosine,
)

STEPS = np.arange(40)

PAIRS = {
    "constant": (constant(0.3), optax.constant_schedule(0.3)),
    "piecewise": (
        piecewise([0.4, 0.2, 0.02], [10, 25]),
        optax.piecewise_constant_schedule(0.4, {10: 0.5, 25: 0.1}),
    ),
    "exponential": (exponential(0.5, 10, decay=0.3), optax.exponential_decay(0.5, 10, 0.3)),
    "exponential staircase": (
        exponential(0.5, 7, decay=0.5, staircase=True, final=0.1),
        optax.exponential_decay(0.5, 7, 0.5, staircase=True, end_value=0.1),
    ),
    "linear": (linear(0.3, 30), optax.linear_schedule(0.3, 0.0, 30)),
    "linear final": (linear(0.3, 30, final=0.1), optax.linear_schedule(0.3, 0.1, 30)),
    "cosine": (cosine(0.3, 30), optax.cosine_decay_schedule(0.3, 30)),
    "cosine final": (cosine(0.3, 30, final=0.03), optax.cosine_decay_schedule(0.3, 30, 0.1)),
    "warmup_cosine": (
        warmup_cosine(0.3, 30, warmup=7, initial=0.01, final=0.02),
        optax.warmup_cosine_decay_schedule(0.01, 0.3, 7, 30, 0.02),
    ),
    "one_cycle": (one_cycle(0.3, 30), optax.cosine_onecycle_schedule(30, 0.3)),
    "one_cycle options": (
        one_cycle(0.3, 33, pct_start=0.5, div_factor=10.0, final_div_factor=5.0),
        optax.cosine_onecycle_schedule(33, 0.3, 0.5, 10.0, 5.0),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_optax(name):
    ours, theirs = PAIRS[name]
    expected = (
        np.array([theirs(step) for step in STEPS])
        if name == "constant"
        else (jax.jit(jax.vmap(theirs))(STEPS))
    )
    mapped = jax.jit(jax.vmap(ours))(STEPS)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, expected, rtol=1e-5, atol=1e-7)
    # An array of steps, and a plain number, serve too.
    np.testing.assert_allclose(jax.jit(ours)(STEPS), mapped, rtol=1e-6, atol=1e-8)
    assert float(ours(17)) == pytest.approx(float(mapped[17]), rel=1e-5)


def test_without_warmup_it_begins_at_the_peak():
    for schedule in (
        cosine(0.3, 9),
        warmup_cosine(0.3, 9, warmup=0, initial=0.1),
        one_cycle(0.3, 9, pct_start=0.0),
    ):
        assert float(schedule(0)) == pytest.approx(0.3)
        assert float(schedule(9)) == pytest.approx(0, abs=1e-5)


def test_piecewise_without_boundaries_is_constant():
    np.testing.assert_allclose(piecewise([0.2], [])(STEPS), np.full(40, 0.2), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (functools.partial(piecewise, [0.1, 0.2], [1, 2]), "2 values need 1 boundaries"),
        (functools.partial(piecewise, [0.1, 0.2, 0.3], [5, 5]), "boundaries must rise"),
        (functools.partial(exponential, 0.1, 0), "steps must be at least 1"),
        (functools.partial(exponential, 0.1, 5, decay=0.0), "decay must be in"),
        (functools.partial(exponential, 0.1, 5, decay=1.1), "decay must be in"),
        (functools.partial(cosine, 0.1, 0), "does not fit a schedule of 0 steps"),
        (functools.partial(warmup_cosine, 0.1, 5, warmup=5), "warm-up of 5 steps does not fit"),
        (functools.partial(warmup_cosine, 0.1, 5, warmup=-1), "warm-up of -1 steps"),
        (functools.partial(one_cycle, 0.1, 0), "steps must be at least 1"),
        (functools.partial(one_cycle, 0.1, 5, pct_start=1.0), "pct_start must be in"),
        (functools.partial(one_cycle, 0.1, 5, div_factor=0.0), "factors must be above 0"),
    ],
)
def test_refuses_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
