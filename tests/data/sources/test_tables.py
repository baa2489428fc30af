"""CSV tables: what is right is read exactly, what is wrong is said with its place."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.impute
import sklearn.linear_model
import sklearn.preprocessing
from running import run_script

from jaxnn import adam, dense, fit, mean_squared_error
from jaxnn.data import Dataset, Split, csv, divide, standardize
from jaxnn.data.info import as_kept, changes, dataset_info, from_plain, to_plain
from jaxnn.errors import DataError
from jaxnn.schedules import cosine
from jaxnn.training import make_evaluate, prepared

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
training: {epochs: 100, batch_size: 32, statistics_steps: 0}
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


# --- Categories, missing values, weights

HOUSES = """\
colour,age,rooms,kind
red,3,4,old
,5,2,new
blue,,3,old
red,8,4,new
green,9,4,old
blue,4,3,new
"""


def test_categories_and_missing_values_become_inputs_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, HOUSES)
    data = csv(path, target="kind", missing="mean", validation=0, test=1, categories=["rooms"])
    names = list(data.features)
    train = {name: data.train.inputs[:, k].tolist() for k, name in enumerate(names)}
    colours = [name for name in names if name.startswith("colour=")]
    rooms = [name for name in names if name.startswith("rooms=")]
    assert rooms == ["rooms=2", "rooms=3", "rooms=4"]
    assert names[len(colours) :][:1] == ["colour is missing"]
    sums = np.sum([train[name] for name in (*colours, "colour is missing")], 0)
    np.testing.assert_array_equal(sums, np.ones(5))
    known = [x for x, no in zip(train["age"], train["age is missing"], strict=True) if not no]
    assert train["age"][train["age is missing"].index(1)] == pytest.approx(np.mean(known))
    # Numbers are standardized, all else stays 0 or 1.
    given = standardize(data.train.inputs, data)
    for k, name in enumerate(names):
        if name == "age":
            assert given[:, k].mean() == pytest.approx(0, abs=1e-6)
            assert given[:, k].std() == pytest.approx(1, abs=1e-6)
        else:
            assert set(given[:, k].tolist()) <= {0, 1}


def test_a_category_that_only_other_splits_have_is_said_and_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = "colour,kind\n" + "".join(
        f"{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(30)
    )
    whole = csv(write(tmp_path, content), target="kind", validation=0, test=5)
    assert whole.features == ("colour=blue", "colour=red")
    place = divide(Split(np.arange(30), np.arange(30) % 2), validation=0, test=5)[2].inputs[0]
    lines = content.splitlines()
    lines[1 + place] = f"pink,{'ab'[place % 2]}"
    capsys.readouterr()
    path = write(tmp_path, "\n".join(lines))
    data = csv(path, target="kind", validation=0, test=5)
    assert data.features == whole.features
    assert data.test.inputs[0].tolist() == [0, 0]
    assert capsys.readouterr().err == (
        f"warning: {path}: column 'colour': no row of training has the category 'pink' in 1 row: "
        "taken for none of those that are known\n"
    )


def test_classes_are_balanced_by_weights(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'rare' if i % 5 == 0 else 'often'}\n" for i in range(50))
    path = write(tmp_path, "x,kind\n" + rows)
    data = csv(path, target="kind", balance="weights", validation=0, test=10)
    assert data.classes == ("often", "rare")
    assert data.class_weights is not None
    np.testing.assert_allclose(data.class_weights, [40 / (2 * 32), 40 / (2 * 8)])
    assert csv(path, target="kind").class_weights is None
    with pytest.raises(ValueError, match="balance: the task is a regression, without classes"):
        csv(path, target="x", task="regression", balance="weights")


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        (
            HOUSES,
            {},
            r"line 3, column 'colour': expected a category, found that it is missing. Mend or "
            r"remove the line, say `missing: mean`, or name the column in `ignore`",
        ),
        (HOUSES.replace("red", "7"), {"missing": "mean"}, "expected a finite number, found 'blue'"),
        (HOUSES.replace("blue", "7"), {"missing": "mean"}, "a category, as 'red' in line 2, found"),
        (HOUSES, {"categories": ["kind"]}, "`categories` names 'kind', which is no feature"),
        (HOUSES, {"categories": ["room"]}, "a column 'room', found .* did you mean 'rooms'"),
        (
            HOUSES.replace("rooms", "colour=red"),
            {"missing": "mean"},
            "two inputs would be called 'colour=red'. Rename a column",
        ),
        (
            "id,kind\n" + "".join(f"n{i},{'ab'[i % 2]}\n" for i in range(1100)),
            {},
            "line 1002, column 'id': found more than 1,000 categories, 'n0', 'n1', 'n2', 998 more",
        ),
        (
            "x,y,kind\n" + "".join(f"{i},,{'ab'[i % 2]}\n" for i in range(9)),
            {"missing": "mean"},
            "column 'y': it is missing in every row of training. Name it in `ignore`",
        ),
    ],
)
def test_what_is_wrong_with_a_column_is_said(
    content: str, how: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message):
        csv(path, target="kind", validation=1, test=1, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inf", "line 4, column 'price': expected a finite number, found 'inf'"),
        ("-inf", "line 4, column 'price': expected a finite number, found '-inf'"),
        ("cheap", "line 4, column 'price': expected a finite number, found 'cheap'"),
        ("", "line 4, column 'price': expected a finite number, found that it is missing"),
    ],
)
def test_target_numbers_must_be_such(value: str, message: str, tmp_path: Path) -> None:
    rows = [f"{i},{2 * i + 0.5}" for i in range(20)]
    rows[2] = f"2,{value}"
    path = write(tmp_path, "x,price\n" + "\n".join(rows))
    with pytest.raises(DataError, match=message):
        csv(path, target="price", task="regression")


def houses(folder: Path, seed: int = 0) -> tuple[Path, list[tuple[str, str, str]], np.ndarray]:
    """A table of two numbers and a category, of which some are missing, and what they cost."""
    random = np.random.default_rng(seed)
    rows, prices = [], []
    for _ in range(400):
        age, size, colour = random.uniform(0, 50), random.normal(100, 20), random.integers(4)
        prices.append(
            5000 + 20 * age - 7 * size + [0, 300, -200, 90][colour] + random.normal(0, 60)
        )
        fields = (f"{age:.4f}", f"{size:.4f}", ("red", "green", "blue", "white")[colour])
        rows.append(tuple("" if random.random() < 0.1 else field for field in fields))
    lines = [",".join([*row, f"{p:.3f}"]) for row, p in zip(rows, prices, strict=True)]
    path = folder / "houses.csv"
    path.write_text("\n".join(["age,size,colour,price", *lines]) + "\n")
    return path, rows, np.array(prices)


def test_a_linear_network_is_scikit_learns_regression_of_such_a_table(tmp_path: Path) -> None:
    path, rows, prices = houses(tmp_path)
    numbers = np.array([[float(x or "nan") for x in row[:2]] for row in rows])
    impute = sklearn.impute.SimpleImputer(add_indicator=True)
    one_hot = sklearn.preprocessing.OneHotEncoder(sparse_output=False)
    split = divide(Split(np.arange(400), prices[:, None]), validation=0, test=100)
    learned, _, tested = (part.inputs for part in split)
    known = np.concatenate(
        [
            impute.fit(numbers[learned]).transform(numbers),
            one_hot.fit_transform([[row[2]] for row in rows]),
        ],
        1,
    )
    theirs = sklearn.linear_model.LinearRegression().fit(known[learned], prices[learned])
    expected = theirs.score(known[tested], prices[tested])

    data = csv(path, target="price", missing="mean", validation=0, test=100)
    optimizer = adam(cosine(0.1, steps=80 * 6))
    *_, report = fit(dense(1), mean_squared_error, optimizer, data, batch_size=50, epochs=80)
    state = report.train_state
    evaluate = make_evaluate(prepared(dense(1), data), mean_squared_error, dataset=data)
    found = evaluate(state.params, state.state, data.test).metrics["r2"]
    assert expected > 0.5
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_run_keeps_how_columns_became_inputs_and_reads_a_changed_table_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, _ = houses(tmp_path)
    data = csv(path, target="price", missing="mean")
    info = dataset_info(data)
    kept = from_plain(json.loads(json.dumps(to_plain(info))))
    assert kept.dataset.columns == data.columns
    same = as_kept(kept, csv(path, target="price", missing="mean"))
    np.testing.assert_array_equal(same.test.inputs, data.test.inputs)

    # Another mean, another order of columns, categories that are gone or new.
    text = path.read_text().replace("white", "black")
    lines = [line.split(",") for line in text.splitlines()]
    lines[1:] = [[f"{2 * float(age)}" if age else "", *more] for age, *more in lines[1:]]
    path.write_text("\n".join(",".join(line[::-1]) for line in lines))
    other = csv(path, target="price", missing="mean")
    assert "columns: 'colour=white' gone, 'colour=black' new" in changes(kept, dataset_info(other))
    capsys.readouterr()
    read = as_kept(kept, other)
    assert "no row of training has the category 'black' in" in capsys.readouterr().err
    assert read.features == data.features
    age, no_age = (data.features.index(name) for name in ("age", "age is missing"))
    there = data.test.inputs[:, no_age] == 0
    np.testing.assert_allclose(
        read.test.inputs[there, age], 2 * data.test.inputs[there, age], rtol=1e-6
    )
    np.testing.assert_array_equal(read.test.inputs[~there, age], data.test.inputs[~there, age])
    white = data.features.index("colour=white")
    assert data.test.inputs[:, white].any()
    assert not read.test.inputs[:, white].any()
    others = [k for k, name in enumerate(data.features) if "colour" in name and k != white]
    np.testing.assert_array_equal(read.test.inputs[:, others], data.test.inputs[:, others])
