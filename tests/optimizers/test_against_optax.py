"""Every optimizer makes the steps that optax's makes."""

import jax
import numpy as np
import optax
import pytest
from oracles import assert_close
from stepping import COSINE, PARAMS, STEPS, run

from jaxnn import optimizers
from jaxnn.optimizers import (
    accumulate,
    adam,
    adamw,
    chain,
    clip_by_global_norm,
    lion,
    muon,
    partition,
    rmsprop,
    sgd,
    weights_only,
)

# As optax is told which axes make the rows of a matrix, and which the columns.
MATRICES = [
    {"weight": optax.contrib.MuonDimensionNumbers(0, 1), "bias": None},
    (),
    {"scale": None},
    {"weight": optax.contrib.MuonDimensionNumbers((0, 1, 2), 3)},
]

PAIRS = {
    "sgd": (sgd(0.1), optax.sgd(0.1)),
    "sgd momentum": (sgd(0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
    "sgd nesterov": (
        sgd(0.1, momentum=0.9, nesterov=True),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "sgd weight decay": (
        sgd(0.1, momentum=0.9, weight_decay=0.1),
        optax.chain(optax.add_decayed_weights(0.1, weights_only), optax.sgd(0.1, momentum=0.9)),
    ),
    "sgd schedule": (sgd(COSINE[0]), optax.sgd(COSINE[1])),
    "adam": (adam(0.01), optax.adam(0.01)),
    "adam options": (
        adam(0.01, b1=0.5, b2=0.7, eps=0.1),
        optax.adam(0.01, b1=0.5, b2=0.7, eps=0.1),
    ),
    "adam nesterov": (adam(0.01, nesterov=True), optax.adam(0.01, nesterov=True)),
    "adamw": (
        adamw(COSINE[0], weight_decay=0.1),
        optax.adamw(COSINE[1], weight_decay=0.1, mask=weights_only),
    ),
    "adamw everywhere": (
        adamw(0.01, weight_decay=0.1, mask=lambda params: jax.tree.map(lambda p: True, params)),
        optax.adamw(0.01, weight_decay=0.1),
    ),
    "adagrad": (optimizers.adagrad(0.1), optax.adagrad(0.1)),
    "adagrad from zero": (
        optimizers.adagrad(0.1, initial_accumulator_value=0.0),
        optax.adagrad(0.1, initial_accumulator_value=0.0),
    ),
    "rmsprop": (rmsprop(0.01), optax.rmsprop(0.01)),
    "rmsprop momentum": (
        rmsprop(COSINE[0], decay=0.8, eps=0.01, momentum=0.7),
        optax.rmsprop(COSINE[1], decay=0.8, eps=0.01, momentum=0.7),
    ),
    "lion": (
        lion(0.01, weight_decay=0.1),
        optax.lion(0.01, weight_decay=0.1, mask=weights_only),
    ),
    "lion options": (
        lion(0.01, b1=0.8, b2=0.9),
        optax.lion(0.01, b1=0.8, b2=0.9, mask=weights_only),
    ),
    "muon": (muon(0.01), optax.contrib.muon(0.01, muon_weight_dimension_numbers=MATRICES)),
    "muon options": (
        muon(COSINE[0], momentum=0.8, nesterov=False, steps=3, b1=0.8, b2=0.9, eps=1e-6),
        optax.contrib.muon(
            COSINE[1],
            beta=0.8,
            nesterov=False,
            ns_steps=3,
            adam_b1=0.8,
            adam_b2=0.9,
            eps=1e-6,
            muon_weight_dimension_numbers=MATRICES,
        ),
    ),
    "clipping": (
        chain(clip_by_global_norm(1.0), sgd(0.1, momentum=0.9)),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
    ),
    "partition": (
        partition(weights_only, sgd(0.1, momentum=0.9), adam(0.03)),
        optax.partition(
            {True: optax.sgd(0.1, momentum=0.9), False: optax.adam(0.03)}, weights_only
        ),
    ),
    "accumulation": (
        accumulate(chain(clip_by_global_norm(1.0), adam(COSINE[0])), 2),
        optax.MultiSteps(
            optax.chain(optax.clip_by_global_norm(1.0), optax.adam(COSINE[1])), 2
        ).gradient_transformation(),
    ),
    "accumulation of optax": (
        accumulate(optax.adam(0.1), 4),
        optax.MultiSteps(optax.adam(0.1), 4).gradient_transformation(),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_optax_step_for_step(name):
    ours, theirs = (run(optimizer)[0] for optimizer in PAIRS[name])
    moved = jax.tree.map(lambda leaf, start: np.asarray(leaf) - start, ours, PARAMS)
    expected = jax.tree.map(lambda leaf, start: np.asarray(leaf) - start, theirs, PARAMS)
    assert all(np.any(leaf[-1] != 0) for leaf in jax.tree.leaves(moved))
    for step in range(STEPS):
        at = lambda tree, step=step: jax.tree.map(lambda leaf: np.asarray(leaf)[step], tree)  # noqa: E731
        assert_close(at(ours), at(theirs), 1e-6)
    # What was added up over the steps, too, which is much less than the parameters.
    assert_close(moved, expected, 2e-5)
