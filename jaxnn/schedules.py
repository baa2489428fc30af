"""Learning-rate schedules: functions ``step -> learning rate``, with step = 0 for the first.

``step`` is an integer, or an array of them for as many learning rates.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, TypeAlias

import jax.numpy as jnp
from jax import Array

from jaxnn.calls import remembered

Schedule = Callable[[Array], Array]


class RunLength:
    """Marks an argument that a config need not give: it is the number of steps of the run."""


Steps: TypeAlias = Annotated[int, RunLength]


@remembered
def constant(value: float) -> Schedule:
    """Returns the schedule of one learning rate at every step."""
    return lambda step: jnp.full(jnp.shape(step), value, float)


@remembered
def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """Returns one learning rate after another: ``values[i]`` from step ``boundaries[i - 1]`` on.

    Source: the steps of He et al. 2016, https://arxiv.org/abs/1512.03385, section 4.2.

    Args:
        values: the learning rates.
        boundaries: the steps at which the next begins, rising, one fewer than ``values``.

    Raises:
        ValueError: if the numbers of values and boundaries do not fit, or these do not rise.
    """
    if len(values) != len(boundaries) + 1:
        raise ValueError(
            f"piecewise: {len(values)} values need {len(values) - 1} boundaries, got {boundaries}"
        )
    if any(a >= b for a, b in pairwise(boundaries)):
        raise ValueError(f"piecewise: boundaries must rise, got {boundaries}")

    def schedule(step: Array) -> Array:
        edges = jnp.asarray(boundaries, jnp.int32)
        index = jnp.searchsorted(edges, step, side="right", method="compare_all")
        return jnp.asarray(values, float)[index]

    return schedule


@remembered
def exponential(
    peak: float, steps: Steps, *, decay: float = 0.1, staircase: bool = False, final: float = 0.0
) -> Schedule:
    """Returns peak · decay^(step / steps): multiplied by ``decay`` every ``steps`` steps.

    Args:
        peak: the learning rate at step 0.
        steps: the number of steps to ``peak * decay``, at least 1.
        decay: the factor, in (0, 1].
        staircase: whether to multiply once every ``steps`` steps, not a little at each.
        final: a lower bound.

    Raises:
        ValueError: if ``steps`` or ``decay`` is out of its range.
    """
    if steps < 1:
        raise ValueError(f"exponential: steps must be at least 1, got {steps}")
    if not 0 < decay <= 1:
        raise ValueError(f"exponential: decay must be in (0, 1], got {decay}")

    def schedule(step: Array) -> Array:
        exponent = step // steps if staircase else step / steps
        return jnp.maximum(peak * decay**exponent, final)

    return schedule


@remembered
def linear(peak: float, steps: Steps, *, final: float = 0.0) -> Schedule:
    """Returns a straight line from ``peak`` to ``final`` at ``steps``; constant from there on.

    Args:
        peak: the learning rate at step 0.
        steps: the number of steps to ``final``, at least 1.
        final: the learning rate at the end.

    Raises:
        ValueError: if ``steps`` is not positive.
    """
    if steps < 1:
        raise ValueError(f"linear: steps must be at least 1, got {steps}")
    return lambda step: final + (peak - final) * (1 - jnp.minimum(step / steps, 1))


@remembered
def cosine(peak: float, steps: Steps, *, final: float = 0.0) -> Schedule:
    """Returns half a cosine wave from ``peak`` to ``final`` at ``steps``; constant from there on.

    Source: Loshchilov & Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983.

    Args:
        peak: the learning rate at step 0.
        steps: the number of steps to ``final``, at least 1.
        final: the learning rate at the end.

    Raises:
        ValueError: if ``steps`` is not positive.
    """
    return warmup_cosine(peak, steps, warmup=0, final=final)


@remembered
def warmup_cosine(
    peak: float, steps: Steps, *, warmup: int, initial: float = 0.0, final: float = 0.0
) -> Schedule:
    """Returns a straight line from ``initial`` to ``peak``, then half a cosine wave to ``final``.

    Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677 (warm-up); Loshchilov & Hutter
    2017, https://arxiv.org/abs/1608.03983 (cosine).

    Args:
        peak: the learning rate at step ``warmup``.
        steps: the number of steps to ``final``, the warm-up included.
        warmup: the number of steps to ``peak``, less than ``steps``.
        initial: the learning rate at step 0, unless ``warmup`` is 0.
        final: the learning rate from ``steps`` on.

    Raises:
        ValueError: if not 0 <= ``warmup`` < ``steps``.
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"a warm-up of {warmup} steps does not fit a schedule of {steps} steps")

    decay = _half_wave(peak, final, warmup, steps)
    if not warmup:
        return decay
    slope = (peak - initial) / warmup
    return lambda step: jnp.where(step < warmup, initial + slope * step, decay(step))


@remembered
def one_cycle(
    peak: float,
    steps: Steps,
    *,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Returns half a cosine wave upward, then another downward: "super-convergence".

    Source: Smith & Topin 2018, https://arxiv.org/abs/1708.07120; the names are PyTorch's.

    Args:
        peak: the largest learning rate.
        steps: the number of steps in all, at least 1.
        pct_start: the share of them that goes upward, in [0, 1).
        div_factor: the learning rate begins at ``peak / div_factor``.
        final_div_factor: it ends at ``peak / div_factor / final_div_factor``.

    Raises:
        ValueError: if ``steps`` or ``pct_start`` is out of its range, or a factor not positive.
    """
    if steps < 1:
        raise ValueError(f"one_cycle: steps must be at least 1, got {steps}")
    if not (div_factor > 0 and final_div_factor > 0):
        raise ValueError(
            f"one_cycle: factors must be above 0, got {div_factor} and {final_div_factor}"
        )
    if not 0 <= pct_start < 1:
        raise ValueError(f"one_cycle: pct_start must be in [0, 1), got {pct_start}")
    top = int(pct_start * steps)
    initial = peak / div_factor
    down = _half_wave(peak, initial / final_div_factor, top, steps)
    if not top:
        return down
    up = _half_wave(initial, peak, 0, top)
    return lambda step: jnp.where(step < top, up(step), down(step))


def _half_wave(first: float, last: float, begin: int, end: int) -> Schedule:
    """Returns half a wave from ``first`` at step ``begin`` to ``last`` at ``end``; flat outside."""

    def schedule(step: Array) -> Array:
        progress = jnp.clip((step - begin) / (end - begin), 0, 1)
        return last + (first - last) * 0.5 * (1 + jnp.cos(math.pi * progress))

    return schedule
