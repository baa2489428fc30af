"""CSV tables: what is right is read exactly, what is wrong is said with its place."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from running import run_script

from jaxnn.data import Dataset, csv, standardize
from jaxnn.errors import DataError

FLOWERS = """\
name,length,width
setosa,5.1,0.2
virginica,6.3,2.5
setosa,4.9,0.3
versicolor,7.0,1.4
"""


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "flowers.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def everything(data: Dataset) -> list[tuple[list[float], str]]:
    """All examples, in the order of their features."""
    return sorted(
        (x.tolist(), data.classes[t])
        for split in (data.train, data.validation, data.test)
        for x, t in zip(*split, strict=True)
    )


EXPECTED = sorted(
    (np.array(row[1:], np.float32).tolist(), row[0])
    for row in (line.split(",") for line in FLOWERS.splitlines()[1:])
)


def test_a_table_is_read_as_it_is(tmp_path: Path) -> None:
    data = csv(write(tmp_path, FLOWERS), target="name", validation=1, test=1)
    assert data.name == "flowers"
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert data.in_shape == (2,)
    assert [len(s.targets) for s in (data.train, data.validation, data.test)] == [2, 1, 1]
    assert data.train.inputs.dtype == np.float32
    assert data.train.targets.dtype == np.int32
    assert everything(data) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        FLOWERS.replace("\n", "\r\n").encode(),
        FLOWERS.replace(",", " , ").encode(),
        b"\xef\xbb\xbf" + FLOWERS.encode(),
        b"\n" + FLOWERS.replace("\n", "\n\n").encode(),
        FLOWERS.rstrip().encode(),
        FLOWERS.replace("setosa", '"setosa"').encode(),
        FLOWERS.replace("setosa", ' "setosa"').encode(),
        gzip.compress(FLOWERS.encode()),
    ],
    ids=[
        "CRLF",
        "white space",
        "BOM",
        "blank lines",
        "no last newline",
        "quotes",
        "quotes after a space",
        "gzip",
    ],
)
def test_harmless_differences_do_not_matter(content: bytes, tmp_path: Path) -> None:
    data = csv(write(tmp_path, content), target="name", validation=1, test=1)
    assert everything(data) == EXPECTED


def test_a_quoted_field_may_hold_the_delimiter_and_follow_a_space(tmp_path: Path) -> None:
    path = write(tmp_path, 'kind, x\n "a, b", 1\n"c ""d""", 2\n "a, b", "3"\n')
    data = csv(path, target="kind", validation=0, test=1)
    assert everything(data) == [([1.0], "a, b"), ([2.0], 'c "d"'), ([3.0], "a, b")]
    spaced = write(tmp_path, 'kind x\n"a b" 1\nc 2\n"a b" 3\n')  # where it separates fields
    data = csv(spaced, target="kind", delimiter=" ", validation=0, test=1)
    assert everything(data) == [([1.0], "a b"), ([2.0], "c"), ([3.0], "a b")]


def test_names_that_look_equal_are_one(tmp_path: Path) -> None:
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    content = f"{composed},x,z{composed}\n{decomposed},1,0\n{composed},2,0\nhiver,3,0\n"
    path = write(tmp_path, content)
    for target in (composed, decomposed):
        data = csv(path, target=target, ignore=[f"z{decomposed}"], validation=0, test=1)
        assert data.classes == ("hiver", composed)
        assert data.features == ("x",)


@pytest.mark.parametrize("name", ["NA", "NaN", "nan", "?", "n/a", "NULL"])
def test_a_class_that_is_missing_is_not_a_class(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, FLOWERS.replace("versicolor", name))
    with pytest.raises(DataError) as caught:
        csv(path, target="name")
    assert str(caught.value) == (
        f"{path}, line 5, column 'name': expected the name of a class, found {name!r}, which says "
        "that it is missing. Fill it in or remove the line; a class of such a name needs another "
        "one"
    )
    none = write(tmp_path, FLOWERS.replace("versicolor", "none"))  # the class of what has none
    assert csv(none, target="name", test=1).classes == ("none", "setosa", "virginica")


def test_a_path_may_begin_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, FLOWERS)
    assert csv("~/flowers.csv", target="name", test=1).name == "flowers"


def test_columns_can_be_ignored_and_delimiters_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, "id;x;kind\na1;1;yes\nb2;2;no\nc3;3;no\n")
    data = csv(path, target="kind", ignore=["id"], delimiter=";", validation=0, test=1)
    assert data.in_shape == (1,)
    assert everything(data) == [([1.0], "yes"), ([2.0], "no"), ([3.0], "no")]


def test_names_that_are_numbers_are_sorted_by_value(tmp_path: Path) -> None:
    rows = "".join(f"1,{k}\n" for k in (10, 9, 2, 10))
    data = csv(write(tmp_path, "x,k\n" + rows), target="k", test=1)
    assert data.classes == ("2", "9", "10")


def test_columns_are_normalized_by_the_training_split_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(
        f"{a},0.1,{b},{'ab'[i % 2]}\n" for i, (a, b) in enumerate(rng.normal(7, 3, (200, 2)))
    )
    path = write(tmp_path, "a,constant,b,kind\n" + rows)
    data = csv(path, target="kind")
    assert data.mean.shape == data.deviation.shape == (3,)
    assert data.mean.dtype == data.deviation.dtype == np.float32
    given = standardize(data.train.inputs, data)
    np.testing.assert_allclose(given.mean(0), [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(given.std(0), [1, 0, 1], atol=1e-6)
    assert np.abs(standardize(data.test.inputs, data).mean(0))[0] > 1e-3
    raw = csv(path, target="kind", normalize="none")
    np.testing.assert_array_equal(standardize(raw.train.inputs, raw), data.train.inputs)


def test_the_division_depends_on_the_content_alone(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(50))
    first = csv(write(tmp_path, "x,k\n" + rows), target="k", validation=0.1, test=0.2)
    second = csv(write(tmp_path, "k,x\n" + rows), target="x", ignore=[], test=0.2)
    np.testing.assert_array_equal(first.test.targets, second.test.targets)
    np.testing.assert_array_equal(first.test.inputs, second.test.inputs)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.3", "", r"flowers.csv, line 4, column 'width': .* found that it is missing"),
        ("0.3", "NA", r"line 4, column 'width': .* found that it is missing"),
        ("0.3", "?", r"line 4, column 'width': .* found that it is missing"),
        ("0.3", "much", r"line 4, column 'width': expected a finite number, found 'much'"),
        ("0.3", "1_0", r"line 4, column 'width': expected a finite number, found '1_0'"),
        ("0.3", "inf", r"line 4, column 'width': expected a finite number, found 'inf'"),
        ("0.3", "1e301", r"line 4, column 'width': expected a finite number, found '1e301'"),
        ("0.3", "1e39", r"column 'width': found 1e\+39, for which float32 has no place"),
        ("4.9,0.3", "4.9", r"line 4: expected 3 fields, one for each column, found 2"),
        ("4.9,0.3", "4,9,0,3", r"line 4: expected 3 fields, one for each column, found 5"),
        ("setosa,4.9", ",4.9", r"line 4, column 'name': expected the name of a class, found that"),
        ("setosa,4.9", '"setosa,4.9', r"line 5: expected fields separated by ',', found that"),
        ("length", "width", r"line 1: expected different names, found 'width' for more than one"),
        ("length", " ", r"line 1: expected a name for each column, found none for column 2"),
        ("name,", "names,", r"expected a column 'name', found 'names'.*did you mean 'names'\?"),
        ("name,", "kind,", r"expected a column 'name', found 'kind', 'length', 'width'$"),
        ("name,length,width", "name;length;width", r"is another delimiter needed\?"),
        (FLOWERS, "", r"expected a line with the names of the columns, found nothing"),
        (FLOWERS, "name,x\n", r"expected at least two classes in column 'name', found no row"),
        (FLOWERS, "name,x\na,1\na,2\n", r"at least two classes .* found only 'a' in all 2 rows"),
        (FLOWERS, "name\na\nb\n", r"expected the target 'name' and at least one column more"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, FLOWERS.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        csv(path, target="name", validation=1, test=1)
    assert str(caught.value).startswith(str(path))


def test_bytes_that_are_no_text_are_found(tmp_path: Path) -> None:
    path = write(tmp_path, FLOWERS.replace("versicolor", "Blåklint").encode("latin-1"))
    with pytest.raises(DataError, match=r"line 5: expected text in UTF-8, found the byte 0xe5"):
        csv(path, target="name")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read: No such file"):
        csv(tmp_path / "nowhere.csv", target="name")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        csv(tmp_path, target="name")
    path = write(tmp_path, gzip.compress(FLOWERS.encode())[:-9])
    with pytest.raises(DataError, match="expected a complete gzip file"):
        csv(path, target="name")


def test_wrong_arguments(tmp_path: Path) -> None:
    path = write(tmp_path, FLOWERS)
    with pytest.raises(DataError, match=r"expected a column 'widht', .*did you mean 'width'"):
        csv(path, target="name", ignore=["widht"])
    with pytest.raises(DataError, match="not among those to ignore"):
        csv(path, target="name", ignore=["name"])
    with pytest.raises(ValueError, match="delimiter must be a single character"):
        csv(path, target="name", delimiter="::")
    with pytest.raises(ValueError, match="at least one example is needed for test"):
        csv(path, target="name", test=0)
    with pytest.raises(ValueError, match="normalize must be"):
        csv(path, target="name", normalize="all")  # type: ignore[arg-type]


def test_a_table_of_ones_own_trains_from_a_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two intertwined spirals, which no straight line divides."""
    rng = np.random.default_rng(0)
    lines = ["x,y,arm"]
    for i in range(600):
        angle = rng.uniform(0.5, 7)
        x, y = angle * np.array([np.cos(angle), np.sin(angle)]) * (1 if i % 2 else -1)
        lines.append(f"{100 + 30 * x:.4f},{y:.4f},{'left' if i % 2 else 'right'}")
    (tmp_path / "spirals.csv").write_text("\n".join(lines))
    (tmp_path / "spirals.yaml").write_text("""\
data:
  csv: {path: spirals.csv, target: arm, validation: 60, test: 0.2}
model: [dense: 64, tanh, dense: 64, tanh, dense: 2]
optimizer: {adam: 0.01}
training: {epochs: 100, batch_size: 32}
""")
    monkeypatch.chdir(tmp_path)
    outcome = run_script(capsys, "train", "spirals.yaml", "--run-dir", "run")
    assert outcome.status == 0, outcome.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.95

    outcome = run_script(
        capsys, "train", "spirals.yaml", "data.csv.target=arms", "--run-dir", "other"
    )
    assert outcome.status == 2
    assert "line 1: expected a column 'arms', found 'x', 'y', 'arm'" in outcome.err
    assert "did you mean 'arm'?" in outcome.err
