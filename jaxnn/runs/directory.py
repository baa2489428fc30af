"""Run directories: the names in them, and making them.

``runs/<config>-<timestamp>/`` holds ``config.yaml`` (complete: training it again gives the same
numbers), ``metrics.jsonl`` (a report a line), ``checkpoints/``, ``model.safetensors`` and
``summary.json``.
"""

import datetime
import os
import subprocess
from pathlib import Path

from jaxnn.config import Config
from jaxnn.errors import RunError

CONFIG, METRICS, CHECKPOINTS, MODEL, SUMMARY = (
    "config.yaml",
    "metrics.jsonl",
    "checkpoints",
    "model.safetensors",
    "summary.json",
)


def new_run_path(config: Config) -> Path:
    """Returns ``runs/<config>-<timestamp>``, with a number behind it if that is taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{config.name}-{stamp}"
    number = 2
    while path.exists():
        path = path.with_name(f"{config.name}-{stamp}-{number}")
        number += 1
    return path


def check_free(path: Path) -> None:
    """Checks that a run directory can be made at a path.

    Raises:
        RunError: if something is there, or nothing can be.
    """
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise RunError(f"{path}: not usable as a run directory: {error.strerror}") from error
    if taken:
        raise RunError(f"{path}: exists and is not an empty directory; choose another --run-dir")
    parent = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{path}: cannot be created: {parent} is not a directory you can write to")


def git_commit() -> str | None:
    """Returns the commit of the package's checkout, "-dirty" behind it if changed, or None."""
    package = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != package.parent:
            return None  # installed into somebody else's checkout
        return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    except (OSError, subprocess.SubprocessError):
        return None
