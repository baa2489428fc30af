"""Run directories: the names in them, and making them.

``runs/<config>-<timestamp>/`` holds ``config.yaml`` (complete: training it again gives the same
numbers), ``data.json`` (what is to be known of the data without having them), ``metrics.jsonl`` (a
report a line), ``checkpoints/``, ``model.safetensors`` with its digest, and ``summary.json``; while
it is being written, ``.lock`` and ``.owner`` say by whom.
"""

import datetime
import errno
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock, Timeout

from jaxnn.config import Config, load_config
from jaxnn.errors import RunError, shown, warn, writing
from jaxnn.files import write_text
from jaxnn.observe.metrics import is_number
from jaxnn.training.processes import agreed

CONFIG, DATA, METRICS, CHECKPOINTS, MODEL, SUMMARY = (
    "config.yaml",
    "data.json",
    "metrics.jsonl",
    "checkpoints",
    "model.safetensors",
    "summary.json",
)
SAVED_BY = "saved_by"
"""The key in a summary by which a run is known that ``save_run`` has written."""

ANSWERS = "answers"
"""The key in such a summary of what the network answers to one example; see ``answers``."""

LOCK, OWNER = ".lock", ".owner"

_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


def check_free(path: Path | None = None) -> None:
    """Checks that a run directory can be made at a path, by default at a new one below ``runs``.

    Raises:
        RunError: if something is there, or nothing can be made there.
    """
    place = path or Path("runs")
    try:
        taken = path is not None and path.exists() and (not path.is_dir() or _holds_something(path))
    except OSError as error:
        raise RunError(f"{path}: not usable as a run directory: {error.strerror}") from error
    if taken:
        raise RunError(f"{path}: exists and is not an empty directory; choose another --run-dir")
    parent = next(p for p in (place, *place.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{place}: cannot be created: {parent} is not a directory you can write to")


def _holds_something(path: Path) -> bool:
    """Returns whether there is more than what a run leaves that is killed before all else."""
    return any(not re.fullmatch(r"\.(lock|owner|.*\.part)", file.name) for file in path.iterdir())


def read_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a run's config, and changes it.

    Raises:
        RunError: if it has none.
        ConfigError: as from ``load_config``.
    """
    if not (path / CONFIG).is_file():
        raise RunError(
            f"{path}: not a run directory: there is no {CONFIG}; a run that was killed before it "
            "wrote one is started again as it was the first time"
        )
    return load_config(path / CONFIG, overrides)


_NUMBERS = re.compile(
    "steps|parameters|epochs?|examples_per_second|.*_seconds|(.*_)?(loss|accuracy|macro_f1|rmse|mae|r2)"
)


def read_summary(path: Path) -> dict[str, Any]:
    """Reads a run's ``summary.json``; what is there is of the types that it was written with.

    Raises:
        RunError: if it is damaged.
        FileNotFoundError: if there is none.
    """
    file = path / SUMMARY
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file}: not JSON: {error}") from error
    best = values.get("best") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(best, dict | None):
        raise RunError(f"{file}: expected keys and values")
    for key, value in (*(best or {}).items(), *values.items()):
        if _NUMBERS.fullmatch(key) and value is not None and not is_number(value):
            raise RunError(f"{file}: {key}: expected a number, found {shown(value)}")
    warnings = values.get("warnings") or []
    if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
        raise RunError(f"{file}: warnings: expected sentences, found {shown(warnings)}")
    return values


@contextmanager
def new_directory(config: Config, path: Path | None = None) -> Iterator[Path]:
    """Makes a run directory, and owns it for as long as the ``with`` statement lasts.

    Args:
        config: whose run it is.
        path: the directory; new, empty, or left by a run that was killed before its config was
            written. By default ``runs/<config>-<timestamp>``, with a number behind it if need be.

    Raises:
        RunError: if it holds something, another process owns it, or it cannot be made.
    """
    if path is None:
        path = _make_default(config)
    else:
        check_free(path)
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
    with owned(path):
        check_free(path)  # again: until now another process could have been its owner
        yield path


def _make_default(config: Config) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for behind in ("", *(f"-{number}" for number in range(2, 1000))):
        path = Path("runs") / f"{config.name}-{stamp}{behind}"
        with writing(path), suppress(FileExistsError):
            path.mkdir(parents=True)  # of all who try, one succeeds
            return path
    raise RunError(f"{path}: taken, as are all the names before it; choose a --run-dir")


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Owns a run directory for as long as the ``with`` statement lasts: nobody else writes there.

    To be held by whoever trains or saves a run; readers need not. The lock is the system's: it goes
    with the process, however that ends, and processes that are started meanwhile do not inherit it.

    Raises:
        RunError: if another process owns it; the message has its number and its machine.
    """
    owner = path / OWNER
    with writing(path), ExitStack() as stack:
        try:
            # For a moment it waits: the owner may be about to write who it is, or about to end.
            stack.enter_context(FileLock(path / LOCK, timeout=0.5, fallback_to_soft=False))
        except Timeout as error:
            who = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
            raise RunError(
                f"{path}: {who} is writing there, and a run directory has one owner; wait until it "
                "has ended, or choose another directory"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warn(
                f"{path}: this file system has no locks ({error.strerror}): what is killed there "
                f"leaves {OWNER} behind, which is to be removed before the run can go on"
            )
            try:
                owner.touch(exist_ok=False)
            except FileExistsError:
                raise RunError(
                    f"{path}: {owner.read_text(encoding='utf-8')} is writing there, or was when it "
                    f"was killed; if it has ended, remove {owner}"
                ) from error
        write_text(owner, f"process {os.getpid()} on {socket.gethostname()}")
        stack.callback(owner.unlink, missing_ok=True)
        held = stack.pop_all()
    with held:
        yield


@contextmanager
def own_place(
    path: Path | None, resumed: Path | None
) -> Iterator[tuple[bool, Path | None, Path | None]]:
    """Gives each of several processes a run directory of its own; that of process 0 counts.

    So all do the same, and only process 0 writes the run. The directories of the others vanish at
    the end; where a run is taken up, they are copies of it, which has to be readable everywhere.

    Args:
        path: the directory of a new run, if it was given.
        resumed: the directory of the run that is taken up, if one is.

    Yields:
        Whether this is process 0, and its ``path`` and ``resumed``.

    Raises:
        RunError: if the run that is taken up cannot be copied.
    """
    if jax.process_index() == 0:
        if resumed is not None:
            agreed(0)  # until all have their copies
        yield True, path, resumed
        return
    with tempfile.TemporaryDirectory(prefix="jaxnn-process-") as folder:
        place = Path(folder) / "run"
        if resumed is None:
            yield False, place, None
            return
        try:
            shutil.copytree(resumed, place, ignore=shutil.ignore_patterns(LOCK, OWNER))
        except (OSError, shutil.Error) as error:
            raise RunError(
                f"{resumed}: process {jax.process_index()} cannot read the run that is to be taken "
                f"up: {error}"
            ) from error
        agreed(0)
        yield False, None, place


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
