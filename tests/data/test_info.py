"""What is kept of a data set: all to the last bit, and fingerprints that see every value."""

import json
from typing import Any

import numpy as np
import pytest

from jaxnn.data import Dataset, Split, digits, from_arrays
from jaxnn.data import info as info_module
from jaxnn.data.centring import Centring
from jaxnn.data.dataset import SPLITS
from jaxnn.data.info import as_kept, changes, dataset_info, from_plain, to_plain
from jaxnn.errors import DataError
from jaxnn.tasks import classification


def small(**changes: Any) -> Dataset:
    inputs = np.arange(24, dtype=np.float32).reshape(12, 2) / 7
    targets = np.arange(12, dtype=np.int32) % 3
    parts = [Split(inputs[rows], targets[rows]) for rows in (slice(6), slice(6, 9), slice(9, 12))]
    mean, deviation = np.float32([1e-7, 1 / 3]), np.float32([1.1, 1e30])
    centring = Centring(np.array([1e15 / 3, 0.1]), np.array([2.0**-170, 1]))
    return Dataset(
        "small", *parts, ("a", "b", "ç"), mean, deviation, None, centring, ("x", "y")
    )._replace(**changes)


def test_what_is_kept_comes_back_to_the_last_bit() -> None:
    for dataset in (small(), digits()):
        kept = dataset_info(dataset)
        found = from_plain(json.loads(json.dumps(to_plain(kept))))
        assert found[1:] == kept[1:]
        assert found.dataset.missing
        for name in ("name", "classes", "features", "prepare", "in_shape"):
            assert getattr(found.dataset, name) == getattr(dataset, name)
        for name in ("mean", "deviation", "centring"):
            ours, theirs = getattr(found.dataset, name), getattr(dataset, name)
            np.testing.assert_array_equal(ours, theirs)
            assert ours is None or np.asarray(ours).dtype == np.asarray(theirs).dtype
        assert found.dataset.train.inputs.dtype == dataset.train.inputs.dtype
        assert kept.limits == (dataset.train.inputs.min(), dataset.train.inputs.max())


def test_a_fingerprint_is_the_same_on_every_machine() -> None:
    expected = "b9baaed3b92feb01ae18f629d1ff2027e71e7c7162c8fc78a9b2d8769e95c041"
    dataset = small()
    assert dataset_info(dataset).splits["train"].sha256 == expected
    inputs, targets = dataset.train
    for same in (
        Split(inputs.astype(">f4"), targets.astype(">i4")),
        Split(np.asfortranarray(inputs), np.repeat(targets, 2)[::2]),
    ):
        assert dataset_info(small(train=same)).splits["train"].sha256 == expected


def test_a_fingerprint_sees_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info_module, "_BLOCK", 16)  # bytes: two rows
    kept = dataset_info(small())
    assert changes(kept, dataset_info(small())) == []
    for name in SPLITS:
        inputs, targets = getattr(small(), name)
        for row, column in np.ndindex(*inputs.shape):
            other = inputs.copy()
            other[row, column] = np.nextafter(other[row, column], np.float32(9))
            (found,) = changes(kept, dataset_info(small(**{name: Split(other, targets)})))
            assert found.startswith(f"{name}: {len(targets)} examples as then, of other contents")
        other = targets.copy()
        other[-1] += 1
        assert changes(kept, dataset_info(small(**{name: Split(inputs, other)})))
    centring = Centring(np.array([1e15 / 3, 0.2]), np.array([2.0**-170, 1]))
    assert len(changes(kept, dataset_info(small(centring=centring)))) == 3


# Targets that are numbers, and labels

X = np.random.default_rng(0).normal(size=(40, 2))
Y = np.random.default_rng(1).normal([1e9, 0.3], [1e3, 1e-3], (40, 2))


@pytest.mark.parametrize(
    "dataset",
    [
        from_arrays(X, Y, targets=["big", "small"]),
        from_arrays(X, Y, normalize="none"),
        from_arrays(X, (Y.mean(0) < Y).astype(int), classes=["a", "b"]),
        small(class_weights=np.float32([0.1, 1, 3])),
    ],
)
def test_a_task_comes_back_to_the_last_bit(dataset: Dataset) -> None:
    kept = dataset_info(dataset)
    found = from_plain(json.loads(json.dumps(to_plain(kept)))).dataset
    assert found.task is dataset.task
    assert (found.targets, found.out_shape) == (dataset.targets, dataset.out_shape)
    np.testing.assert_array_equal(found.target_scale or (), dataset.target_scale or ())
    np.testing.assert_array_equal(found.class_weights, dataset.class_weights)
    assert found.train.targets.dtype == dataset.train.targets.dtype


def test_what_was_kept_before_there_were_tasks_is_of_classes() -> None:
    values = to_plain(dataset_info(small()))
    for key in ("task", "targets", "target_shape", "target_scale", "class_weights"):
        del values[key]
    found = from_plain(values).dataset
    assert found.task is classification
    assert found.out_shape == (3,)


def test_other_units_have_another_fingerprint() -> None:
    """Standardized, they are the same numbers."""
    then, now = (dataset_info(from_arrays(X, y)) for y in (Y, 4 * Y))
    np.testing.assert_array_equal(*(from_arrays(X, y).train.targets for y in (Y, 4 * Y)))
    assert "of other contents" in changes(then, now)[0]


def test_targets_are_found_by_their_names_and_stored_in_the_units_that_were_kept() -> None:
    then = from_arrays(X, Y, targets=["big", "small"])
    now = from_arrays(X, np.stack([Y[:, 1] + 1, Y[:, 0]], 1), targets=["small", "big"])
    found = as_kept(dataset_info(then), now)
    assert found.targets == ("big", "small")
    assert found.target_scale is then.target_scale
    values = found.target_values(found.train.targets)
    errors = values - then.target_values(then.train.targets) - np.array([0, 1])
    assert (np.abs(errors) < [1e-3, 1e-6]).all()
    labels = [
        from_arrays(X, np.eye(2, dtype=int)[[0, 1] * 20], task="multilabel", classes=names)
        for names in (["a", "b"], ["b", "a"])
    ]
    turned = as_kept(dataset_info(labels[0]), labels[1])
    np.testing.assert_array_equal(turned.train.targets, labels[1].train.targets[:, ::-1])


def test_another_task_or_a_target_that_is_gone_is_refused() -> None:
    then = dataset_info(from_arrays(X, Y, targets=["big", "small"]))
    with pytest.raises(DataError, match="expected a regression, found a classification"):
        as_kept(then, from_arrays(X, np.arange(40) % 2))
    with pytest.raises(DataError, match="there is no column 'small' any more"):
        as_kept(then, from_arrays(X, Y[:, :1], targets=["big"]))
