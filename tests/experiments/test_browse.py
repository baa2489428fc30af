"""browse.py: the sheet it writes, and what it answers to mistakes."""

from pathlib import Path

import pytest
from PIL import Image
from running import run_script

DIGITS = """\
data: digits
model: [flatten, dense: 10]
optimizer: {sgd: 0.1}
training: {epochs: 2, batch_size: 100}
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


def test_data_that_are_no_images_have_statistics_but_no_sheet(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "table.csv").write_text("x,y,kind\n" + rows)
    data = f"data={{csv: {{path: {tmp_path / 'table.csv'}, target: kind}}}}"
    outcome = run_script(capsys, "browse", config, data)
    assert outcome.status == 2
    assert "table: 2, float32" in outcome.out
    assert outcome.err == (
        "error: table: examples of shape (2,) are no images (height, width, 1 or 3): "
        "there is no contact sheet of them\n"
    )


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
