"""Runs the scripts of experiments/ within the test's process."""

import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def run_script(capsys: pytest.CaptureFixture[str], name: str, *arguments: object) -> Outcome:
    """What ``python experiments/<name>.py <arguments>`` does: exit status, stdout, stderr."""
    capsys.readouterr()
    status = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        try:
            runpy.run_path(str(EXPERIMENTS / f"{name}.py"), run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
    return Outcome(status, *capsys.readouterr())
