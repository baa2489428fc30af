"""Statistics of a data set equal NumPy's."""

import numpy as np
import pytest

from jaxnn.data import Dataset, Split, digits, statistics, summary


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_they_are_those_of_numpy(dtype: type) -> None:
    values = (np.random.default_rng(0).normal(100, 20, (300, 5, 1000))).astype(dtype)
    result = statistics(values)
    assert (result.lowest, result.highest) == (values.min(), values.max())
    assert result.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
    assert result.deviation == pytest.approx(values.std(dtype=np.float64), rel=1e-12)


def test_a_summary_counts_every_example_once() -> None:
    data = digits()
    table = [line.split() for line in summary(data).splitlines()[4:]]
    assert [row[0] for row in table] == [*data.classes, "all"]
    for k in range(10):
        splits = (data.train, data.validation, data.test)
        assert table[k][1:] == [str((split.targets == k).sum()) for split in splits]
    assert table[10][1:] == ["1,297", "200", "300"]


def test_classes_without_examples_are_listed() -> None:
    train = Split(np.zeros((2, 3), np.float32), np.array([0, 0], np.int32))
    empty = Split(np.zeros((0, 3), np.float32), np.zeros(0, np.int32))
    one = np.array(1, np.float32)
    lines = summary(Dataset("tiny", train, empty, train, ("yes", "no"), one, one)).splitlines()
    assert lines[0] == "tiny: 3 columns, float32"
    assert [line.split()[0] for line in lines[3:6]] == ["0", "1", "2"]
    assert [line.split() for line in lines[8:]] == [
        ["yes", "2", "0", "2"],
        ["no", "0", "0", "0"],
        ["all", "2", "0", "2"],
    ]
