"""Columns of tables: numbers and categories are told apart, encoded, and found again."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder  # type: ignore[import-untyped]

from jaxnn.data.columns import Cells, Column, Reader, decode, encode, learn, say_replaced
from jaxnn.errors import DataError

PATH = Path("table.csv")


def read(*fields: str, **how: bool) -> Cells:
    reader = Reader(PATH, "x", **how)
    for line, field in enumerate(fields, 2):
        reader.add(line, field)
    return reader.cells()


def shown(cells: Cells) -> list[object]:
    """What stands in a column, None where it is missing."""
    return [
        None if np.isnan(v) else v if cells.names is None else cells.names[int(v)]
        for v in cells.values
    ]


def test_the_data_decide_what_a_column_is() -> None:
    assert shown(read("1", "-2.5", "1e3")) == [1, -2.5, 1000]
    assert shown(read("red", "blue", "red")) == ["red", "blue", "red"]
    assert shown(read("7", "7a", "7", categories=True)) == ["7", "7a", "7"]
    assert shown(read("", "3", "NA", "None", missing=True)) == [None, 3, None, None]
    assert shown(read("?", "b", "nan", missing=True)) == [None, "b", None]


def test_none_is_a_category_and_a_missing_number() -> None:
    assert shown(read("none", "None", "red")) == ["none", "none", "red"]
    assert shown(read("none", "none")) == ["none", "none"]
    assert shown(read("none", "4", missing=True)) == [None, 4]


@pytest.mark.parametrize(
    ("fields", "how", "message"),
    [
        (["1", ""], {}, "line 3, column 'x': expected a finite number, found that it is missing"),
        (["a", "?"], {}, "line 3, column 'x': expected a category, found that it is missing"),
        (["none", "4"], {}, "line 2, column 'x': expected a finite number, found that it is"),
        (["1", "much"], {}, "line 3, column 'x': expected a finite number, found 'much'. Mend or"),
        (["1", "inf"], {}, "line 3, column 'x': expected a finite number, found 'inf'"),
        (["inf", "1"], {}, "line 2, column 'x': expected a finite number, found 'inf'"),
        (["1_0"], {}, "line 2, column 'x': expected a finite number, found '1_0'"),
        (
            ["a", "b", "3"],
            {},
            "line 4, column 'x': expected a category, as 'a' in line 2, found the number '3'. Mend "
            "or remove the line, or name the column in `ignore`, or in `categories` if its values "
            "are names",
        ),
        (["a"], {"categories": False, "learning": False}, "found 'a'. Mend or remove the line$"),
    ],
)
def test_what_is_neither_is_refused(fields: list[str], how: dict[str, bool], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(*fields, **how)


def test_categories_by_the_thousand_are_refused_where_they_are_learnt() -> None:
    names = [f"id {k}" for k in range(1001)]
    assert len(read(*names[:1000], *names[:1000]).names or ()) == 1000
    with pytest.raises(DataError) as caught:
        read(*names)
    assert str(caught.value) == (
        "table.csv, line 1002, column 'x': found more than 1,000 categories, 'id 0', 'id 1', "
        "'id 2', 998 more, each of which would be an input of its own. Name the column in "
        "`ignore`, or put fewer, wider categories into the file"
    )
    assert len(read(*names, categories=True, learning=False).names or ()) == 1001


def test_categories_are_encoded_as_scikit_learn_does() -> None:
    random = np.random.default_rng(0)
    texts = random.choice(["red", "green", "blue"], 40).tolist()
    column = learn(PATH, "colour", read(*texts), fill=False)
    assert column.inputs == ("colour=blue", "colour=green", "colour=red")
    others = [*texts[:5], "pink"]
    theirs = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    theirs.fit(np.array(texts)[:, None])
    expected = theirs.transform(np.array(others)[:, None])
    np.testing.assert_array_equal(encode(column, read(*others)), expected)


def test_missing_numbers_become_the_mean_and_are_indicated() -> None:
    cells = read("1", "", "4", missing=True)
    column = learn(PATH, "age", cells, fill=True)
    assert column == Column("age", None, 2.5, indicator=True)
    assert column.inputs == ("age", "age is missing")
    assert column.measured == [True, False]
    np.testing.assert_array_equal(encode(column, cells), [[1, 0], [2.5, 1], [4, 0]])
    with pytest.raises(DataError, match="column 'age': it is missing in every row of training"):
        learn(PATH, "age", read("", missing=True), fill=True)


def test_what_stands_in_a_table_is_found_again() -> None:
    cells = [
        read("1", "", "4", missing=True),
        read("5", "6", "7"),
        read("b", "", "a", missing=True),
        read("b", "c", "b"),
    ]
    columns = [learn(PATH, str(k), c, fill=True) for k, c in enumerate(cells)]
    inputs = np.concatenate([encode(*pair) for pair in zip(columns, cells, strict=True)], 1)
    assert [shown(c) for c in decode(columns, inputs)] == [shown(c) for c in cells]


def test_what_training_did_not_have_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    number = learn(PATH, "age", read("1", "4"), fill=True)
    colour = learn(PATH, "colour", read("red", "blue"), fill=True)
    say_replaced(PATH, number, read("", "3", missing=True))
    say_replaced(PATH, colour, read("pink", "", "red", "pink", missing=True))
    assert capsys.readouterr().err.splitlines() == [
        "warning: table.csv: column 'age': 1 missing value, where none was missing in training: "
        "replaced by its mean in training, 2.5",
        "warning: table.csv: column 'colour': 1 missing value, where none was missing in "
        "training: taken for none of its categories",
        "warning: table.csv: column 'colour': no row of training has the category 'pink' "
        "in 2 rows: taken for none of those that are known",
    ]
    say_replaced(PATH, number, read("9", "3"))
    say_replaced(PATH, colour, read("blue"))
    assert capsys.readouterr().err == ""
