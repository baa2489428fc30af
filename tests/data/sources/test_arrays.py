"""Arrays as a data set; what their loader shares with ``npz`` is tested in test_npz.py."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.data import Dataset, from_arrays, npz
from jaxnn.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(5, 2, (50, 3))
Y = np.arange(50) % 4


def assert_same(a: Dataset, b: Dataset) -> None:
    for one, other in zip(
        a.train + a.validation + a.test, b.train + b.validation + b.test, strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert (a.classes, a.mean.tolist(), a.deviation.tolist()) == (
        *(b.classes, b.mean.tolist(), b.deviation.tolist()),
    )


@pytest.mark.parametrize("given", [{}, {"validation": 5, "test": 0.4, "classes": list("abcd")}])
def test_they_are_the_data_set_that_their_file_is(given: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X, y=Y)
    assert_same(from_arrays(X, Y, **given), npz(tmp_path / "own.npz", **given))


def test_splits_may_be_given(tmp_path: Path) -> None:
    parts = {"train": slice(30), "validation": slice(30, 42), "test": slice(42, 50)}
    np.savez(
        tmp_path / "own.npz",
        **{
            f"{name}_{s}": array[rows]
            for s, rows in parts.items()
            for name, array in (("x", X), ("y", Y))
        },
    )
    pairs: Any = {s: (X[rows], Y[rows]) for s, rows in parts.items()}
    x, y = pairs.pop("train")
    assert_same(from_arrays(x, y, **pairs), npz(tmp_path / "own.npz"))
    data = from_arrays(x, y, test=pairs["test"], validation=0)
    assert [len(s.targets) for s in (data.train, data.validation, data.test)] == [30, 0, 8]


def test_what_is_like_an_array_will_do() -> None:
    names = np.array(["dog", "cat", "bird", "cow"])
    expected = from_arrays(X.astype(np.float32), names[Y])
    assert expected.classes == ("bird", "cat", "cow", "dog")
    for x, y in (
        (jnp.asarray(X, jnp.float32), names[Y].astype(object)),
        (X.astype(np.float32).tolist(), names[Y].tolist()),
    ):
        assert_same(from_arrays(x, y), expected)
    assert_same(from_arrays(X, jnp.asarray(Y), test=np.int64(10)), from_arrays(X, Y))


def test_the_targets_say_what_the_task_is_unless_that_is_said() -> None:
    rows = np.stack([Y % 2, Y > 1], 1)
    for y, given, task, dtype in (
        (Y, None, "classification", np.int32),
        (Y.astype(str), None, "classification", np.int32),
        (Y.astype(float), None, "regression", np.float32),
        (rows, None, "multilabel", np.float32),
        (rows.astype(bool), None, "multilabel", np.float32),
        (rows + 0.5, None, "regression", np.float32),
        (Y, "regression", "regression", np.float32),
        (Y.astype(float), "classification", "classification", np.int32),
        (rows, "regression", "regression", np.float32),
    ):
        found = from_arrays(X, y, task=given)
        assert (found.task.name, found.train.targets.dtype) == (task, dtype)
        assert (len(found.targets) == found.out_shape[0]) == (task == "regression")
        if task == "regression":
            stored = np.concatenate([split.targets for split in found[1:4]])
            together = np.sort(found.target_values(stored), 0)
            expected = np.sort(y.reshape(50, -1).astype(float), 0)
            np.testing.assert_allclose(together, expected, atol=1e-6)
            assert abs(found.train.targets.mean()) < 1e-6
            assert found.train.targets.std(0) == pytest.approx(1, rel=1e-5)
    with pytest.raises(ValueError, match="task must be one of classification"):
        from_arrays(X, Y, task="ranking")  # type: ignore[arg-type]


def test_nothing_held_out_leaves_them_as_they_are() -> None:
    x = X.astype(np.float32)
    data = from_arrays(x, Y, validation=0, test=0, normalize="none")
    assert np.shares_memory(data.train.inputs, x)
    np.testing.assert_array_equal(data.train.targets, Y)
    assert (data.mean, data.deviation, len(data.test.targets)) == (0, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": Y[:-1]}, "found 49 in 'y' for 50 in 'x'"),
        ({"x": np.where(X > 9, np.nan, X)}, r"found nan at \[\d+, \d\] .* Leave such examples out"),
        ({"x": [[1, 2], [3]]}, "'x' is no array"),
        ({"y": np.where(Y, 0.5, np.nan)}, "expected finite numbers in 'y', found nan at"),
        ({"y": np.where(Y, 0.5, np.inf)}, r"expected finite numbers in 'y', found inf at .* \(13 "),
        ({"y": 0 * Y + 0.5}, "target 'y': expected different numbers, found a single one"),
        ({"y": Y.astype(str), "task": "regression"}, r"classes, task=\"classification\""),
        ({"y": Y + 0.5, "task": "classification"}, r"numbers to be learnt, task=\"regression\""),
        ({"y": np.eye(4, dtype=int)[Y]}, r"y\.argmax\(-1\); if .* task=\"multilabel\""),
        ({"y": np.eye(4)[Y], "task": "multilabel", "classes": ["a", "b"]}, "expected 4 different"),
        ({"y": np.stack([Y, Y], 1)}, r"argmax.*; of numbers to be learnt, task=\"regression\""),
        ({"y": Y > 0}, r"found bool .* Give y\.astype\(int\)"),
        ({"y": [None] * 50}, "found object"),
        ({"y": Y * 0}, "two or more classes in 'y', found only '0'.* name every class"),
        ({"test": (X[:0], Y[:0])}, r"test\[0\] has no example; for none, give 0"),
        ({"test": (X[:5], Y[:4])}, r"found 4 in 'test\[1\]' for 5 in 'test\[0\]'"),
        (
            {"test": (X, Y + 1), "classes": list("abcd")},
            r"expected one of 4 classes in 'test\[1\]', .* found 4 at position 3",
        ),
    ],
)
def test_what_is_wrong_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        from_arrays(**{"x": X, "y": Y} | arguments)
    assert str(caught.value).startswith("from_arrays: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": 0.001}, "test = 0.001: that is no example; for none, give 0"),
        ({"validation": 25, "test": 25}, "leave none of the 50 examples to train on"),
        ({"validation": (X,)}, "validation: expected a pair .* got tuple"),
        ({"test": "0.2"}, "test: expected a pair .* got str"),
        ({"normalize": "unit"}, "'unit' is for images of type uint8"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_arrays(X, Y, **arguments)
