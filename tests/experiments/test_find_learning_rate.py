"""The script that suggests a learning rate."""

from pathlib import Path

import PIL.Image
import pytest
from running import run_script

CONFIG = """
data: digits
model: [flatten, dense: 10]
optimizer: {accumulate: {optimizer: {adam: {learning_rate: {cosine: 0.1}}}, steps: 2}}
training: {batch_size: 64}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


def test_a_rate_is_suggested_and_drawn(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_script(capsys, "find_learning_rate", config, "--steps", 100, "--seeds", 2)
    assert (found.status, found.err) == (0, "")
    schedule, suggested, reason, picture = found.out.splitlines()
    assert schedule == "the schedule cosine gives way to the rising rate"
    start = "suggested learning rate at the peak of the schedule: "
    assert suggested.startswith(start)
    assert 1e-3 < float(suggested.removeprefix(start)) < 1
    assert reason.startswith("The loss falls fastest at 0.")
    assert picture == "picture: learning_rate.png"
    with PIL.Image.open("learning_rate.png") as image:
        assert image.width == 1600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer={clip_by_global_norm: 1}"], "no learning_rate among the hyper-parameters"),
        (["--first", 1, "--last", 0.5], "must be rising, above 0, got 1 and 0.5"),
        (["--seeds", 0], "seeds must have at least one"),
    ],
)
def test_what_cannot_be_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list, message: str
) -> None:
    found = run_script(capsys, "find_learning_rate", config, *arguments)
    assert found.status == 2
    assert found.err.startswith(f"error: {config}: ")
    assert message in found.err
    assert not Path("learning_rate.png").exists()
