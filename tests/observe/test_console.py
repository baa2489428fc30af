"""Progress in the terminal: plain lines elsewhere, a live line there."""

import importlib
import io
from contextlib import suppress
from typing import Any

import pytest
from rich.console import Console

from jaxnn.observe import console
from jaxnn.training import Evaluation, Report

module = importlib.import_module("jaxnn.observe.console")
VALIDATION = Evaluation(0.25, 200, {"accuracy": 0.875})


def report(step: int, validation: Evaluation | None = None) -> Report:
    """Three epochs of ten steps."""
    values: dict[str, Any] = {
        "step": step,
        "steps": 30,
        "epoch": step / 10,
        "loss": 1 / step,
        "metrics": {"accuracy": 0.5},
        "examples_per_second": 12345.6,
        "train_seconds": float(step),
        "compile_seconds": 1.0,
        "validation": validation,
    }
    missing = {key: None for key in Report._fields if key not in Report._field_defaults}
    return Report(**missing | values)


class Clock:
    """Time that passes as it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_where_there_is_no_terminal_each_epoch_leaves_a_line(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with console(3) as show:
        for step in range(5, 31, 5):
            clock.now += 2
            show(report(step, VALIDATION if step % 10 == 0 else None))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0] == (
        "epoch 1/3  step 10  loss 0.1000  accuracy 50.00%  12,346 examples/s  "
        "validation loss 0.2500 accuracy 87.50%  8 s left"
    )
    assert lines[2].startswith("epoch 3/3  step 30  ")
    assert "left" not in lines[2]


def test_epochs_that_fly_past_do_not_flood_the_log(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with console(30) as show:
        for step in range(1, 31):
            clock.now += 0.01
            show(report(step)._replace(epoch=float(step)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 3
    assert lines[-1].startswith("epoch 30/30  step 30  ")


def test_a_long_epoch_leaves_a_line_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with console(3) as show:
        for step in range(1, 10):
            show(report(step))
            clock.now += 4
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines] == ["4", "7"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal."""
    screen = io.StringIO()
    monkeypatch.setattr(
        module,
        "Console",
        lambda **options: Console(file=screen, force_terminal=True, width=200, **options),
    )
    return screen


@pytest.mark.parametrize("validation", [VALIDATION, None])
def test_in_a_terminal_a_live_line_moves_and_each_epoch_stays(
    terminal: io.StringIO, validation: Evaluation | None
) -> None:
    with console(3) as show:
        for step in range(5, 31, 5):
            show(report(step, validation if step % 10 == 0 else None))
    written = terminal.getvalue()
    assert "\x1b[" in written
    assert [written.count(f"epoch {epoch}/3  step {epoch}0  ") for epoch in (1, 2, 3)] == [1, 1, 1]
    assert ("validation loss 0.2500 accuracy 87.50%" in written) == (validation is not None)
    assert "100%" in written
    assert written.rstrip("\n").endswith("\x1b[?25h")  # the cursor is shown again


def test_nothing_is_shown_before_the_first_report(terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="on the way"), console(3):
        raise ValueError("on the way")
    assert terminal.getvalue() == ""


def test_the_terminal_is_left_in_order_if_training_fails(terminal: io.StringIO) -> None:
    with suppress(ValueError), console(3) as show:
        show(report(5))
        raise ValueError("on the way")
    assert "epoch 1/3" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[?25h")
