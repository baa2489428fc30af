"""Tables of large, close or tiny numbers: learnt as float64 has them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from jaxnn.config import load_config
from jaxnn.data import Dataset, Split, csv, npz, standardize
from jaxnn.data.centring import find_centring
from jaxnn.data.division import divide
from jaxnn.errors import DataError
from jaxnn.layers import dense, serial
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import adam
from jaxnn.runs import load_run, train
from jaxnn.training import fit

ROWS = 400
NUMBER = np.random.default_rng(0).permutation(ROWS)
LABELS = (NUMBER >= ROWS // 2).astype(np.int64)
NOISE = np.random.default_rng(1).normal(size=ROWS)

TABLES = {
    "unix times 10 s apart": np.stack([1_700_000_000 + 10 * NUMBER, 60 + 5 * NOISE], 1),
    "metres of a grid": np.stack([32_500_000 + NUMBER / 100, 5_800_000 + NOISE], 1),
    "ids and tiny values": np.stack([2.0**53 + 1e6 * NUMBER, 1e-50 * (NUMBER + NOISE)], 1),
}
"""Columns of which float32 shows at most a few different values; the first tells the classes."""


def write_csv(folder: Path, table: np.ndarray) -> Path:
    lines = [f"{a!r},{b!r},{'ab'[k]}" for (a, b), k in zip(table.tolist(), LABELS, strict=True)]
    path = folder / "table.csv"
    path.write_text("\n".join(["first,second,class", *lines]) + "\n")
    return path


def from_csv(folder: Path, table: np.ndarray) -> Dataset:
    return csv(write_csv(folder, table), target="class")


def from_npz(folder: Path, table: np.ndarray) -> Dataset:
    np.savez(folder / "table.npz", x=table, y=LABELS)
    return npz(folder / "table.npz")


def from_npz_of_integers(folder: Path, table: np.ndarray) -> Dataset:
    return from_npz(folder, table.astype(np.int64))


def source_of(table: np.ndarray) -> list[np.ndarray]:
    """The rows of the source in training, validation and test split."""
    return [split.inputs for split in divide(Split(table, LABELS), validation=0.1, test=0.2)]


CASES = {
    f"{kind}, {name}": (load, table)
    for kind, load in (("csv", from_csv), ("npz", from_npz))
    for name, table in TABLES.items()
} | {
    f"npz of integers, {name}": (from_npz_of_integers, np.rint(table * scale))
    for (name, table), scale in zip(TABLES.items(), (1, 100, 1), strict=True)
}


@pytest.mark.parametrize(("load", "table"), CASES.values(), ids=CASES)
def test_a_table_is_learnt_as_in_float64(
    load: Callable[[Path, np.ndarray], Dataset], table: np.ndarray, tmp_path: Path
) -> None:
    data = load(tmp_path, table)
    source, _, source_test = source_of(table)
    scaler = StandardScaler().fit(source)
    x, x_test = map(scaler.transform, (source, source_test))
    for split, expected in ((data.train, x), (data.test, x_test)):
        assert split.inputs.dtype == np.float32
        np.testing.assert_allclose(standardize(split.inputs, data), expected, atol=1e-5)

    regression = LogisticRegression().fit(x, data.train.targets)
    assert regression.score(x_test, data.test.targets) > 0.95
    network = serial(dense(2))
    reports = fit(network, softmax_cross_entropy, adam(0.05), data, batch_size=40, epochs=20)
    *_, last = reports
    params, state = last.train_state.params, last.train_state.state
    outputs, _, _ = network.forward(params, state, standardize(data.test.inputs, data))
    agree = np.asarray(outputs).argmax(-1) == regression.predict(x_test)
    assert agree.mean() > 0.95


@pytest.mark.parametrize("load", [from_csv, from_npz])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_numbers_of_the_source_come_back(
    load: Callable[[Path, np.ndarray], Dataset], table: np.ndarray, tmp_path: Path
) -> None:
    data = load(tmp_path, table)
    for split, rows in zip(data[1:4], source_of(table), strict=True):
        assert (abs(data.values(split.inputs) - rows) <= 1e-6 * table.std(0)).all()


def everything(data: Dataset) -> np.ndarray:
    inputs = [s.inputs for s in (data.train, data.validation, data.test)]
    return data.values(np.concatenate(inputs))


def test_whole_numbers_have_exact_differences(tmp_path: Path) -> None:
    table = np.stack([1_700_000_000 + 10 * NUMBER, 2**53 + 4 * NUMBER], 1)
    data = from_npz(tmp_path, table)
    x = standardize(data.train.inputs, data)
    np.testing.assert_allclose(x[:, 0], x[:, 1], atol=1e-6)
    assert sorted(everything(data).tolist()) == sorted(table.tolist())


def test_numbers_that_float32_holds_are_stored_as_they_are(tmp_path: Path) -> None:
    for table in (
        np.stack([NOISE, 1000 + 10 * NOISE], 1),
        np.stack([2000 + NUMBER % 30, NUMBER], 1),
        TABLES["unix times 10 s apart"].astype(np.float32),
    ):
        for data in (from_csv(tmp_path, table), from_npz(tmp_path, table)):
            assert data.centring is None
            found = everything(data)
            assert found.dtype == np.float32
            assert sorted(found.tolist()) == sorted(table.astype(np.float32).tolist())


def test_columns_are_centred_one_by_one() -> None:
    values = np.stack([1e9 + np.arange(5.0), np.arange(5.0), 1e-70 * np.arange(5.0)], 1)
    found = find_centring(values)
    assert found is not None
    assert found.offset.tolist() == [1e9 + 2, 0, 2e-70]
    assert found.unit[:2].tolist() == [1, 1]
    assert 0.5 <= values[:, 2].std() / found.unit[2] < 1
    assert np.log2(found.unit[2]) % 1 == 0
    assert found.store(values)[:, 0].tolist() == [-2, -1, 0, 1, 2]
    back = found.restore(found.store(values))
    np.testing.assert_allclose(back, values, rtol=1e-6, atol=1e-76)


def warnings_of(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_useless_columns_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_csv(tmp_path, np.stack([NUMBER, np.full(ROWS, 7.5)], 1))
    assert warnings_of(capsys) == (
        f"warning: {tmp_path / 'table.csv'}: column 'second': all training examples have the same "
        "value\n"
    )
    from_npz(tmp_path, np.stack([NUMBER, 2**60 + NUMBER], 1))
    assert "column 1: differences are lost, because float64 rounds" in warnings_of(capsys)
    from_npz(tmp_path, np.stack([NUMBER, 2**52 + NUMBER], 1))
    from_npz(tmp_path, np.zeros((ROWS, 4, 4, 1), np.uint8) + NUMBER[:, None, None, None] % 256)
    assert warnings_of(capsys) == ""


def test_what_is_not_normalized_is_not_centred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = TABLES["unix times 10 s apart"]
    data = csv(write_csv(tmp_path, table), target="class", normalize="none")
    assert data.centring is None
    assert sorted(everything(data)[:, 0].tolist()) == sorted(np.float32(table[:, 0]).tolist())
    assert "column 'first': differences are lost, because float32" in warnings_of(capsys)


def test_too_large_numbers_are_refused(tmp_path: Path) -> None:
    table = np.stack([NUMBER, 1e301 * (1 + NUMBER)], 1)
    with pytest.raises(DataError, match=r"table\.npz: column 1: expected numbers up to 1e\+300"):
        from_npz(tmp_path, table)
    data = from_npz(tmp_path, np.stack([NUMBER, 1e200 * NUMBER], 1))
    x = standardize(data.train.inputs, data)
    np.testing.assert_allclose(x[:, 1], x[:, 0], atol=1e-5)


@pytest.mark.long
def test_a_run_takes_rows_of_the_source(tmp_path: Path) -> None:
    table = TABLES["unix times 10 s apart"]
    (tmp_path / "times.yaml").write_text(
        f"data: {{csv: {{path: {write_csv(tmp_path, table)}, target: class}}}}\n"
        "model: [dense: 2]\noptimizer: {adam: 0.05}\ntraining: {epochs: 20, batch_size: 40}\n"
    )
    train(load_config(tmp_path / "times.yaml"), tmp_path / "run")
    run = load_run(tmp_path / "run")
    found = run.predict(table)
    assert (found.argmax(-1) == LABELS).mean() > 0.95
    np.testing.assert_allclose(run.predict(table[:5].tolist()), found[:5], rtol=1e-5)
    assert run.dataset.centring is not None
    np.testing.assert_array_equal(
        run.predict(run.dataset.centring.store(table), stored=True), found
    )
    with pytest.raises(ValueError, match=r"float32, .* too coarse for column 'first'.*stored=True"):
        run.predict(run.dataset.test.inputs)
    with pytest.raises(ValueError, match=r"column 'first': found nan"):
        run.predict(np.array([[np.nan, 1.0]]))
