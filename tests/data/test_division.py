"""The division into splits is fixed, complete, and fair to every class."""

from pathlib import Path

import numpy as np
import pytest

import jaxnn.data
from jaxnn.data import Split, divide, spread


def test_the_order_is_that_of_the_digits_and_never_changes() -> None:
    with np.load(Path(jaxnn.data.__file__).parent / "sources" / "digits.npz") as arrays:
        np.testing.assert_array_equal(spread(arrays["targets"]), arrays["order"])
    assert spread(np.array([0, 1, 0, 1, 0, 0])).tolist() == [4, 3, 0, 2, 1, 5]
    assert spread(np.zeros(0, np.int32)).tolist() == []


@pytest.mark.parametrize("classes", [1, 3, 10])
def test_every_part_of_the_order_has_each_class_in_proportion(classes: int) -> None:
    targets = np.random.default_rng(0).integers(0, classes, 500)
    order = spread(targets)
    assert sorted(order) == list(range(500))
    shares = np.bincount(targets, minlength=classes) / 500
    for end in range(1, 501):
        counts = np.bincount(targets[order[:end]], minlength=classes)
        assert (np.abs(counts - end * shares) < classes).all()


@pytest.mark.parametrize(
    ("validation", "test"), [(0, 1), (10, 20), (0.1, 0.2), (0.0, 0.5), (98, 1)]
)
def test_each_example_is_in_one_split(validation: float, test: float) -> None:
    numbers = np.arange(100)
    splits = divide(Split(numbers[:, None], numbers % 3), validation=validation, test=test)
    assert sorted(np.concatenate([split.inputs[:, 0] for split in splits])) == list(numbers)
    for split in splits:
        np.testing.assert_array_equal(split.targets, split.inputs[:, 0] % 3)
    sizes = [len(split.targets) for split in splits]
    expected = [round(100 * n) if isinstance(n, float) else n for n in (validation, test)]
    assert sizes[1:] == expected


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (-1, 1, "validation = -1 examples: it must be between 0 and 9"),
        (0, 10, "test = 10 examples: it must be between 0 and 9"),
        (1.0, 1, "validation = 1.0: a fraction must be at least 0 and below 1"),
        (0, -0.5, "test = -0.5: a fraction"),
        (0, float("nan"), "test = nan: a fraction"),
        (5, 5, "leave none of the 10 examples to train on"),
        (0.5, 0.5, "leave none of the 10 examples to train on"),
    ],
)
def test_what_cannot_be_divided_is_refused(validation: float, test: float, message: str) -> None:
    examples = Split(np.zeros((10, 1)), np.zeros(10, np.int32))
    with pytest.raises(ValueError, match=message):
        divide(examples, validation=validation, test=test)


def test_no_examples_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="there are no examples to divide"):
        divide(Split(np.zeros((0, 1)), np.zeros(0, np.int32)), validation=0.1, test=0.2)


def test_numbers_are_divided_as_examples_of_a_single_class() -> None:
    inputs = np.arange(50)[:, None]
    one = divide(Split(inputs, np.zeros(50, np.int32)), validation=0.1, test=0.2)
    for targets in (np.linspace(0, 1, 50)[:, None], np.eye(50), np.ones(50)):
        parts = divide(Split(inputs, targets), validation=0.1, test=0.2)
        for part, expected in zip(parts, one, strict=True):
            np.testing.assert_array_equal(part.inputs, expected.inputs)
            np.testing.assert_array_equal(part.targets, targets[part.inputs[:, 0]])
