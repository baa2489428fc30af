"""The digits that come with jaxnn."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from jaxnn.data import digits


def order_of(targets: np.ndarray) -> list[int]:
    """Make again the permutation that the docstring of `digits` describes."""
    key = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(len(targets))]
    place = {}
    for label in range(10):
        members = sorted(np.flatnonzero(targets == label).tolist(), key=lambda n: key[n])
        for rank, number in enumerate(members):
            place[number] = (rank + 0.5) / len(members)
    return sorted(place, key=lambda n: (place[n], key[n]))


def test_they_are_those_of_scikit_learn_in_the_documented_order() -> None:
    theirs, ours = load_digits(), digits()
    order = order_of(theirs.target)
    inputs = np.concatenate([ours.train.inputs, ours.validation.inputs, ours.test.inputs])
    targets = np.concatenate([ours.train.targets, ours.validation.targets, ours.test.targets])
    np.testing.assert_array_equal(inputs[..., 0], theirs.images[order])
    np.testing.assert_array_equal(targets, theirs.target[order])


def test_shapes_types_and_names() -> None:
    data = digits()
    assert data.name == "digits"
    assert data.classes == tuple("0123456789")
    assert data.in_shape == (8, 8, 1)
    for split, examples in ((data.train, 1297), (data.validation, 200), (data.test, 300)):
        assert split.inputs.shape == (examples, 8, 8, 1)
        assert split.inputs.dtype == np.uint8
        assert split.targets.shape == (examples,)
        assert split.targets.dtype == np.int32


def test_every_class_has_its_share_of_every_split() -> None:
    data = digits()
    splits = (data.train, data.validation, data.test)
    counts = np.stack([np.bincount(split.targets, minlength=10) for split in splits])
    shares = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    assert np.abs(counts - shares).max() < 1.5


def test_normalization_is_that_of_the_training_split() -> None:
    data = digits()
    assert data.mean == np.float32(data.train.inputs.mean())
    assert data.deviation == pytest.approx(data.train.inputs.std(), rel=1e-6)
    assert digits(normalize="unit").deviation == 16
    assert digits(normalize="none").deviation == 1
