"""browse.py: the sheet it writes, and what it answers to mistakes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import run_script

DIGITS = """\
data: digits
model: [flatten, dense: 10]
optimizer: {sgd: 0.1}
training: {epochs: 2, batch_size: 100, statistics_steps: 0}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "digits.yaml"
    path.write_text(DIGITS)
    return path


def test_it_writes_a_sheet_and_prints_statistics(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sheet.png"
    outcome = run_script(capsys, "browse", config, "--page", 14, "--output", output)
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "digits: 8 × 8 × 1, uint8"
    assert lines[1].startswith("training values from 0 to 16, mean 4.88")
    assert lines[3].split() == ["class", "train", "validation", "test"]
    assert lines[14].split() == ["all", "1,297", "200", "300"]
    assert sum(int(line.split()[3]) for line in lines[4:14]) == 300
    assert lines[-1] == f"digits: train split, page 14 of 14: {output}"
    with Image.open(output) as picture:
        assert picture.format == "PNG"


def test_a_class_and_a_split_can_be_chosen(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sheet.png"
    outcome = run_script(
        capsys, "browse", config, "--class", "7", "--split", "test", "--output", output
    )
    assert outcome.status == 0
    assert "digits: test split, class 7, page 1 of 1" in outcome.out
    assert output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--page", "15"], "--page: there is no page 15: train split has pages 1 to 14"),
        (["--page", "0"], "--page: there is no page 0"),
        (["--page", "x"], "invalid int value"),
        (["--split", "tests"], "invalid choice: 'tests'"),
        (["--class", "77"], "--class: unknown class '77'; did you mean '7'? classes: 0, 1, 2"),
        (["--class", "seven"], "--class: unknown class 'seven'; classes: 0, 1, 2"),
        (["data=digit"], "unknown data set 'digit'; did you mean 'digits'?"),
        (["--output", "/dev/null/x.png"], "/dev/null/x.png: cannot be written: Not a directory"),
    ],
)
def test_mistakes_end_in_one_message_and_status_2(
    config: Path,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_script(capsys, "browse", config, *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "browse.png").exists()


def test_a_table_is_shown_as_a_table(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Statistics of each column, and rows; by hand, of rows that are all for training or few."""
    monkeypatch.setenv("COLUMNS", "30")
    rows = [f"{i},{'' if i % 4 == 1 else 'red'},{i}.5,{2 * i}.5" for i in range(50)]
    (tmp_path / "table.csv").write_text("age,colour,length,price\n" + "\n".join(rows) + "\n")
    table = f"path: {tmp_path / 'table.csv'}, missing: mean, validation: 0, test: 1"
    data = f"data={{csv: {{{table}, target: price}}}}"
    outcome = run_script(capsys, "browse", config, data, "--page", 3)
    assert (outcome.status, outcome.err.count("all training examples have the same")) == (0, 0)
    lines = outcome.out.splitlines()
    assert lines[0] == "table: 3 columns, 4 inputs, float32"
    assert lines[2].split() == [
        "in",
        "training",
        "lowest",
        "mean",
        "highest",
        "deviation",
        "missing",
    ]
    assert [line.split()[0] for line in lines[3:5]] == ["age", "length"]
    left_out = 1225 - 49 * float(lines[3].split()[2])  # the mean is printed with 5 digits
    assert abs(left_out - round(left_out)) < 0.2
    assert lines[6].startswith("colour  red 3")
    assert lines[6].endswith(" missing")
    assert lines[8].split() == ["examples", "train", "validation", "test"]
    assert lines[9].split() == ["all", "49", "0", "1"]
    assert lines[11].split() == ["price", "lowest", "mean", "highest", "deviation"]
    assert [line.split()[0] for line in lines[12:14]] == ["train", "test"]
    histogram = [int(line.split("–")[1].split()[1]) for line in lines[15:25]]
    assert sum(histogram) == 49
    assert lines[26] == "table: train split, page 3 of 3"
    assert lines[28].split() == ["row", "price", "age", "colour"]
    for line in lines[29:-2]:
        _, price, age, colour = line.split()
        assert float(price) == 2 * int(age) + 0.5
        assert colour == ("–" if int(age) % 4 == 1 else "red")
    assert len(lines[29:-2]) == 9
    assert lines[-1] == "and length"
    assert not (tmp_path / "browse.png").exists()


def test_rows_of_a_class_and_what_a_table_has_not(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{i},{i % 2},{int(i % 3 == 0)}\n" for i in range(60))
    (tmp_path / "table.csv").write_text("x,even,third\n" + rows)
    data = f"data={{csv: {{path: {tmp_path / 'table.csv'}, target: [even, third]}}}}"
    outcome = run_script(capsys, "browse", config, data, "--class", "third", "--split", "test")
    lines = outcome.out.splitlines()
    assert (outcome.status, outcome.err) == (0, "")
    assert [line.split()[0] for line in lines[5:9]] == ["label", "even", "third", "all"]
    shown = lines[lines.index("row       target   x") + 1 :]
    assert len(shown) == int(lines[7].split()[3]) > 0
    assert all(int(line.split()[-1]) % 3 == 0 and "third" in line for line in shown)
    for option in (["--augmented"], ["--output", tmp_path / "x.png"]):
        outcome = run_script(capsys, "browse", config, data, *option)
        assert outcome.status == 2
        assert outcome.err == ("error: --augmented and --output are for images; table is a table\n")
    np.savez(tmp_path / "cubes.npz", x=np.zeros((20, 3, 3, 5)), y=np.arange(20) % 2)
    outcome = run_script(capsys, "browse", config, f"data={{npz: {tmp_path / 'cubes.npz'}}}")
    assert outcome.status == 2
    assert "cubes: examples of shape (3, 3, 5) are no images" in outcome.err


@pytest.mark.long
def test_what_augmentation_does_can_be_seen(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sheet.png"
    arguments = (config, "--augmented", "--class", "7", "--page", "2", "--output", output)
    outcome = run_script(capsys, "browse", *arguments)
    assert outcome.status == 2
    assert "--augmented: there is no augmentation in" in outcome.err
    outcome = run_script(capsys, "browse", *arguments, "augmentation=[{cutout: {size: 9}}, mixup]")
    assert (outcome.status, outcome.err) == (0, "")
    assert "digits: train split, class 7, augmented, page 2 of" in outcome.out
    assert output.exists()
