"""What a run keeps of its data, and whether those that lie there now are still the same."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from jaxnn.config import DATASETS, Call, Config, Experiment, parse_config
from jaxnn.config.calls import plain
from jaxnn.data import Dataset
from jaxnn.data.info import DatasetInfo, as_kept, changes, dataset_info, from_plain, to_plain
from jaxnn.errors import DataError, RunError
from jaxnn.files import user_path, write_text
from jaxnn.runs.directory import DATA, read_config


class Kept(NamedTuple):
    """What ``data.json`` holds.

    Attributes:
        info: all that is to be known of the data but the examples.
        source: the config's ``data``, with whole paths: where they were found.
    """

    info: DatasetInfo
    source: Any


def to_keep(experiment: Experiment) -> Kept:
    """Returns what is to be kept of an experiment's data, which lie where its config says."""
    call = experiment.config.data
    return Kept(dataset_info(experiment.dataset), plain(_with_whole_paths(call)))


def write_data(path: Path, kept: Kept) -> None:
    """Writes what is to be known of a run's data into its directory.

    Raises:
        RunError: if it cannot be written.
    """
    values = to_plain(kept.info) | {"source": kept.source}
    write_text(path / DATA, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def read_data(path: Path) -> Kept | None:
    """Reads what a run has kept of its data; None if it was written before runs kept it.

    Raises:
        RunError: if the file is damaged.
    """
    try:
        values = json.loads((path / DATA).read_text(encoding="utf-8"))
        return Kept(from_plain(values), values["source"])
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"{path / DATA}: damaged: {type(error).__name__}: {error}") from error


def say_old(path: Path) -> None:
    """Says on stderr that a run does not know its data, and what is done about it."""
    print(
        f"warning: {path}: it was written before runs kept the names and the normalization of "
        f"their data ({DATA}); these are taken from the data as they are now",
        file=sys.stderr,
    )


def load_data(
    path: Path, config: Config, kept: Kept, *, allow_changes: bool = False
) -> tuple[Dataset, Kept]:
    """Loads a run's data, from where they were found, or else from where the config says.

    Args:
        path: the run directory.
        config: its config, or a changed one; where that names other data, these are loaded.
        kept: what the run knows of them.
        allow_changes: whether they may be others: these are then given the run's own names of
            classes and columns, and its normalization.

    Returns:
        The data, and what the run would keep of them, its own names and normalization with it.

    Raises:
        ConfigError: if the config's ``data`` do not make a data set.
        DataError: if they are missing or damaged, or of another kind.
        RunError: if they are not those of the run; the message says what differs.
    """
    call = _with_whole_paths(config.data)
    if config.data == read_config(path).data:
        found_at = parse_config(config.model_dump() | {"data": kept.source}).data
        call = found_at if _there(found_at) or not _there(call) else call
    try:
        dataset = call.build("data")
    except DataError as error:
        raise DataError(
            f"{error}\nThese are the data of {path}. Without them, predict.py, run.predict and the "
            "lab's Network and Draw still work"
        ) from error
    now = dataset_info(dataset)
    if not allow_changes and (found := changes(kept.info, now)):
        raise RunError(
            f"{path}: these are not the data that the run was trained on:\n  "
            + "\n  ".join(found)
            + "\nTo go on all the same, with the run's own names and normalization, add "
            "--allow-changes"
        )
    info = now._replace(dataset=kept.info.dataset)
    return as_kept(kept.info, dataset), Kept(info, plain(call))


def _path_names(call: Call) -> set[str]:
    """Returns the names of the arguments that are paths."""
    parameters = inspect.signature(DATASETS[call.name]).parameters
    return {name for name in call.arguments if parameters[name].annotation == str | Path}


def _with_whole_paths(call: Call) -> Call:
    whole = {name: str(user_path(call.arguments[name]).absolute()) for name in _path_names(call)}
    return call._replace(arguments=call.arguments | whole)


def _there(call: Call) -> bool:
    return all(user_path(call.arguments[name]).exists() for name in _path_names(call))
