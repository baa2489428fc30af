"""What is kept of a data set: all to the last bit, and fingerprints that see every value."""

import json
from typing import Any

import numpy as np
import pytest

from jaxnn.data import Dataset, Split, digits
from jaxnn.data import info as info_module
from jaxnn.data.centring import Centring
from jaxnn.data.dataset import SPLITS
from jaxnn.data.info import changes, dataset_info, from_plain, to_plain


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
