"""What a run keeps of its data, and whether those that lie there now are still the same."""

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxnn.config import DATASETS, Call, Config, Experiment, parse_config
from jaxnn.config.calls import calls, plain
from jaxnn.data import Dataset
from jaxnn.data.download import find_data
from jaxnn.data.info import DatasetInfo, as_kept, changes, dataset_info, from_plain, to_plain
from jaxnn.errors import DataError, RunError, warn
from jaxnn.files import write_text
from jaxnn.runs.directory import DATA, read_config


class Kept(NamedTuple):
    """What ``data.json`` holds.

    Attributes:
        info: all that is to be known of the data that were trained on but the examples; what the
            run answers by.
        found: the same of what lies there, which is compared with what does later. It is another
            where a run has gone on with changed data, by its own names and normalization.
        source: the config's ``data``, with whole paths: where they were found.
    """

    info: DatasetInfo
    found: DatasetInfo
    source: Any


def to_keep(experiment: Experiment) -> Kept:
    """Returns what is to be kept of an experiment's data, which lie where its config says."""
    info = dataset_info(experiment.dataset)
    return Kept(info, info, plain(_with_whole_paths(experiment.config.data)))


def write_data(path: Path, kept: Kept) -> None:
    """Writes what is to be known of a run's data into its directory.

    Raises:
        RunError: if it cannot be written.
    """
    values, found = to_plain(kept.info), to_plain(kept.found)
    values |= {"source": kept.source} | ({"found": found} if found != values else {})
    write_text(path / DATA, json.dumps(values, indent=1) + "\n")


def read_data(path: Path) -> Kept | None:
    """Reads what a run has kept of its data; None if it was written before runs kept it.

    Raises:
        RunError: if the file is damaged.
    """
    try:
        values = json.loads((path / DATA).read_text(encoding="utf-8"))
        found = values.get("found", values)
        return Kept(from_plain(values), from_plain(found), values["source"])
    except FileNotFoundError:
        return None
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"{path / DATA}: damaged: {type(error).__name__}: {error}") from error


def say_old(path: Path) -> None:
    """Says on stderr that a run does not know its data, and what is done about it."""
    warn(
        f"{path}: it was written before runs kept the names and the normalization of "
        f"their data ({DATA}); these are taken from the data as they are now"
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
    call = source_of(path, config, kept)
    try:
        dataset = call.build("data")
    except DataError as error:
        raise DataError(
            f"{error}\nThese are the data of {path}. Without them the run still predicts, "
            "and the lab's Network and Draw work"
        ) from error
    now = dataset_info(dataset)
    found = changes(kept.found, now)
    if found and not allow_changes:
        raise RunError(
            f"{path}: these are not the data that the run was trained on:\n  "
            + "\n  ".join(found)
            + "\nTo go on all the same, with the run's own names and normalization, add "
            "--allow-changes"
        )
    dataset = as_kept(kept.info, dataset)
    return dataset, Kept(dataset_info(dataset) if found else kept.info, now, plain(call))


def source_of(path: Path, config: Config, kept: Kept) -> Call:
    """Returns the call that loads a run's data: from where they were found, if they are there."""
    call = _with_whole_paths(config.data)
    found_at = _in_run(path, _as_found(call, config, read_config(path), kept))
    return found_at if _there(found_at) or not _there(call) else call


def _changed(call: Call, change: Callable[[Call], Call]) -> Call:
    """Returns a call of a data set, changed, as is one of another among its arguments."""
    arguments = {
        name: _changed(argument, change) if isinstance(argument, Call) else argument
        for name, argument in call.arguments.items()
    }
    return change(call._replace(arguments=arguments))


def _path_names(call: Call) -> set[str]:
    """Returns the names of the arguments that are paths."""
    parameters = inspect.signature(DATASETS[call.name]).parameters
    return {name for name in call.arguments if parameters[name].annotation == str | Path}


def _with_whole_paths(call: Call) -> Call:
    """Makes the paths whole at which there is something."""

    def with_own(call: Call) -> Call:
        found = {name: find_data(call.arguments[name]) for name in _path_names(call)}
        whole = {name: str(path.absolute()) for name, path in found.items() if os.path.exists(path)}
        return call._replace(arguments=call.arguments | whole)

    return _changed(call, with_own)


def _as_found(call: Call, config: Config, before: Config, kept: Kept) -> Call:
    """Returns a config's data with the paths where a run has found those that did not change."""
    found = parse_config(before.model_dump() | {"data": kept.source}).data
    before_all, now_all, found_all = (list(calls(x)) for x in (before.data, config.data, found))
    if not [c.name for c in before_all] == [c.name for c in now_all] == [c.name for c in found_all]:
        return call
    same = {
        now.name: {
            name: there.arguments[name]
            for name in _path_names(now)
            if now.arguments[name] == then.arguments[name]
        }
        for then, now, there in zip(before_all, now_all, found_all, strict=True)
    }
    return _changed(call, lambda own: own._replace(arguments=own.arguments | same[own.name]))


def _in_run(path: Path, call: Call) -> Call:
    """Returns a call with the paths of what lies in the run directory, wherever that is now."""

    def with_own(call: Call) -> Call:
        own = {
            name: path.absolute() / Path(call.arguments[name]).name for name in _path_names(call)
        }
        there = {name: str(file) for name, file in own.items() if file.is_file()}
        return call._replace(arguments=call.arguments | there)

    return _changed(call, with_own)


def _there(call: Call) -> bool:
    return all(
        os.path.exists(find_data(inner.arguments[name]))
        for inner in calls(call)
        for name in _path_names(inner)
    )
