"""Arrays in .npz files: what is right is taken as it is, what is wrong is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import run_script

from jaxnn.data import dataset, npz, spread
from jaxnn.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(5, 2, (50, 3))
Y = np.arange(50) % 4


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "own.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_x_and_y_are_divided(tmp_path: Path) -> None:
    data = npz(save(tmp_path, x=X, y=Y, other=X), validation=5, test=10)
    order = spread(Y)
    bounds = {"train": order[:35], "validation": order[35:40], "test": order[40:]}
    for name, rows in bounds.items():
        split = getattr(data, name)
        np.testing.assert_array_equal(split.inputs, X[rows].astype(np.float32))
        np.testing.assert_array_equal(split.targets, Y[rows])
        assert (split.inputs.dtype, split.targets.dtype) == (np.float32, np.int32)
    assert data.name == "own"
    assert data.classes == ("0", "1", "2", "3")
    np.testing.assert_allclose(data.mean, data.train.inputs.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.deviation, data.train.inputs.std(0), rtol=1e-6)


def test_by_default_a_tenth_is_for_validation_and_a_fifth_for_test(tmp_path: Path) -> None:
    data = npz(save(tmp_path, x=X, y=Y))
    assert [len(s.targets) for s in (data.train, data.validation, data.test)] == [35, 5, 10]


def test_a_division_in_the_file_is_kept(tmp_path: Path) -> None:
    parts = {
        f"{a}_{name}": array[rows]
        for a, array in (("x", X), ("y", Y))
        for name, rows in (("train", slice(30)), ("test", slice(30, 40)))
    }
    data = npz(save(tmp_path, **parts), validation=0.2)
    assert [len(s.targets) for s in (data.train, data.validation, data.test)] == [24, 6, 10]
    np.testing.assert_array_equal(data.test.inputs, X[30:40].astype(np.float32))

    whole = npz(save(tmp_path, **parts, x_validation=X[40:], y_validation=Y[40:]))
    assert [len(s.targets) for s in (whole.train, whole.validation, whole.test)] == [30, 10, 10]
    np.testing.assert_array_equal(whole.train.inputs, X[:30].astype(np.float32))
    np.testing.assert_array_equal(whole.validation.targets, Y[40:])
    with pytest.raises(ValueError, match="has its own split, x_validation; leave it out"):
        npz(tmp_path / "own.npz", validation=3)
    with pytest.raises(ValueError, match="has its own split, x_test; leave it out"):
        npz(tmp_path / "own.npz", test=0.5)


def test_bytes_stay_bytes_and_grey_images_get_a_channel(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (20, 4, 6), dtype=np.uint8)
    data = npz(save(tmp_path, x=images, y=Y[:20]), validation=0, test=1, normalize="unit")
    assert data.train.inputs.dtype == np.uint8
    assert data.in_shape == (4, 6, 1)
    assert (data.mean, data.deviation) == (0, 255)
    colour = npz(save(tmp_path, x=np.stack([images] * 3, -1), y=Y[:20]))
    assert colour.in_shape == (4, 6, 3)
    assert colour.mean.shape == (3,)


def test_names_are_sorted_or_in_the_order_given(tmp_path: Path) -> None:
    names = np.array(["dog", "cat", "bird", "cat"])[Y]
    path = save(tmp_path, x=X, y=names)
    for classes in (None, ["dog", "bird", "cat", "fish"]):
        data = npz(path, classes=classes)
        assert data.classes == tuple(classes or ("bird", "cat", "dog"))
        for split in (data.train, data.validation, data.test):
            for row, target in zip(*split, strict=True):
                (number,) = np.flatnonzero((X.astype(np.float32) == row).all(1))
                assert data.classes[target] == names[number]
    assert npz(save(tmp_path, x=X, y=Y), classes=list("abcde")).classes == tuple("abcde")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "missing y; found x"),
        ({"a": X}, "missing x_train, y_train, x_test, y_test; found a"),
        ({"x_train": X, "y_train": Y}, "missing x_test, y_test; found x_train, y_train"),
        ({"x": X, "y": Y[:-1]}, "as many targets as inputs, found 49 in 'y' for 50 in 'x'"),
        ({"x": X[:, 0], "y": Y}, r"in 'x', found float64 of shape \(50,\)"),
        ({"x": X[:0], "y": Y[:0]}, r"found float64 of shape \(0, 3\)"),
        ({"x": X.astype(str), "y": Y}, "expected numbers of shape"),
        ({"x": X * 1j, "y": Y}, "expected numbers of shape"),
        (
            {"x": np.where(X > 9, np.nan, X), "y": Y},
            r"expected finite numbers in 'x', found nan at",
        ),
        (
            {"x": X * 1e300, "y": Y},
            r"columns 0, 1, 2: expected numbers up to 1e\+300, found .*e",
        ),
        ({"x": X, "y": np.eye(4, dtype=int)[Y]}, "single 1 in each row.* task: multilabel"),
        ({"x": X, "y": np.stack([Y, Y], 1)}, r"found int64 of shape \(50, 2\)"),
        ({"x": X, "y": Y - 1}, r"numbered from 0, found -1 at position 0 \(13 such"),
        ({"x": X, "y": Y * 10**9}, r"found 1000000000 at position 1"),
        ({"x": X, "y": np.array([None] * 50)}, "arrays of Python objects are not loaded"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
            r"inputs of one kind, found float64 of shape \(50, 3\) in 'x_train' and .* in 'x_test'",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)},
            "expected classes in 'y_test', all numbers from 0 or all names",
        ),
    ],
)
def test_what_is_wrong_is_said(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        npz(path)
    assert str(caught.value).startswith(str(path))


def test_names_that_look_equal_are_one_class(tmp_path: Path) -> None:
    names = np.array(["caf\u00e9", "cafe\u0301", "tea", "tea "])[Y]
    data = npz(save(tmp_path, x=X, y=names))
    assert data.classes == ("caf\u00e9", "tea")
    assert np.bincount(data.train.targets).tolist() == [18, 17]
    named = npz(tmp_path / "own.npz", classes=["tea", "cafe\u0301"])
    np.testing.assert_array_equal(named.train.targets, 1 - data.train.targets)


def test_a_class_that_is_missing_is_not_a_class(tmp_path: Path) -> None:
    path = save(tmp_path, x=X, y=np.array(["yes", "no", np.nan, "no"])[Y])
    with pytest.raises(DataError, match="in 'y', found 'nan', which says that it is missing"):
        npz(path)
    assert npz(path, classes=["no", "yes", "nan"]).classes == ("no", "yes", "nan")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, x=X, y=np.array(["caf\udce9", "tea"])[Y % 2])
    with pytest.raises(DataError, match=r"the name 'caf\\udce9' of a class is no text"):
        npz(path)


@pytest.mark.parametrize(
    ("shape", "hinted"),
    [((3, 8, 9), True), ((1, 8, 9), True), ((8, 9, 3), False), ((3, 3, 3), False), ((3, 9), False)],
)
def test_channels_that_come_first_are_hinted_at(
    shape: tuple[int, ...], hinted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, x=np.zeros((50, *shape), np.uint8), y=Y)
    data = npz(path, normalize="unit")
    error = capsys.readouterr().err
    assert ("If the channels come first, write it with x.transpose(0, 2, 3, 1)" in error) == hinted
    if hinted:
        assert data.in_shape == shape
        assert error.startswith(f"warning: {path}: x has the shape (50, {str(shape)[1:]}, which is")


def test_a_path_may_begin_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path, x=X, y=Y)
    assert npz("~/own.npz").name == "own"


def test_many_columns_are_judged_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = RNG.normal(5, 2, (20, 30_000))
    x[:, 7] = 3
    data = npz(save(tmp_path, x=x, y=Y[:20]))
    rows = data.train.inputs.astype(np.float64)
    np.testing.assert_allclose(data.mean, rows.mean(0), rtol=1e-6)
    assert data.deviation[7] == 1
    varied = np.arange(30_000) != 7
    np.testing.assert_allclose(data.deviation[varied], rows.std(0)[varied], rtol=1e-6)
    with monkeypatch.context() as patch:  # a loop over columns is not taken
        patch.setattr(dataset, "_moments", None)
        npz(tmp_path / "own.npz")


def test_classes_must_be_enough(tmp_path: Path) -> None:
    path = save(tmp_path, x=X, y=Y)
    with pytest.raises(
        DataError, match=r"expected one of 2 classes in 'y', .*found 2 at position 2"
    ):
        npz(path, classes=["a", "b"])
    with pytest.raises(DataError, match="found cat at position 0"):
        npz(save(tmp_path, x=X, y=np.array(["cat", "dog"])[Y % 2]), classes=["dog", "bird"])


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz: cannot be read .*No such file"):
        npz(tmp_path / "nowhere.npz")
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(DataError, match=r"found a single array of shape \(50, 3\)"):
        npz(tmp_path / "one.npy")
    path = save(tmp_path, x=X, y=Y)
    whole = path.read_bytes()
    for content in (b"", b"nonsense", whole[:100], whole[: len(whole) // 2], b"PK\3\4" * 50):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as an archive"):
            npz(path)
    damaged = bytearray(whole)
    damaged[150:250] = b"\0" * 100
    path.write_bytes(damaged)
    with pytest.raises(DataError):
        npz(path)


def test_wrong_arguments(tmp_path: Path) -> None:
    path = save(tmp_path, x=X, y=Y)
    with pytest.raises(ValueError, match="test = 0: at least one example"):
        npz(path, test=0)
    with pytest.raises(ValueError, match="'unit' is for images of type uint8, not float32"):
        npz(path, normalize="unit")


def test_images_of_ones_own_train_from_a_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    y = np.arange(300) % 3
    x = RNG.integers(0, 100, (300, 6, 6), dtype=np.uint8)
    x[np.arange(300), 2 * y] += 100  # a bright row says which class it is
    path = save(tmp_path, x=x, y=np.array(["top", "middle", "bottom"])[y])
    (tmp_path / "own.yaml").write_text(f"""\
data: {{npz: {path}}}
model: [flatten, dense: 16, relu, dense: 3]
optimizer: {{adam: 0.01}}
training: {{epochs: 20, batch_size: 10, statistics_steps: 0}}
""")
    run = tmp_path / "run"
    outcome = run_script(capsys, "train", tmp_path / "own.yaml", "--run-dir", run)
    assert outcome.status == 0, outcome.err
    assert json.loads((run / "summary.json").read_text())["test_accuracy"] > 0.95
