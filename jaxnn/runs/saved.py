"""What was trained with ``fit``, as a run directory."""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import Tree, named_leaves
from jaxnn.config import Config, Experiment, build, parse_config, written
from jaxnn.data import Dataset
from jaxnn.data.dataset import SPLITS
from jaxnn.data.info import as_kept, changes, dataset_info
from jaxnn.data.sources.arrays import Asked, Part, assemble
from jaxnn.errors import RunError, shown, warn, writing
from jaxnn.files import write_text, write_whole
from jaxnn.layers import Layer
from jaxnn.layers.layer import check_is_layer
from jaxnn.observe import to_json
from jaxnn.observe.metrics import record
from jaxnn.optimizers import Optimizer
from jaxnn.runs.data import Kept, write_data
from jaxnn.runs.directory import (
    ANSWERS,
    CHECKPOINTS,
    CONFIG,
    METRICS,
    SAVED_BY,
    check_free,
    new_directory,
)
from jaxnn.runs.run import Run, alike, answers
from jaxnn.runs.train import finish
from jaxnn.tasks import regression
from jaxnn.training import Report, TrainState, prepared, save_checkpoint, steps_per_epoch
from jaxnn.training.checkpoint import check_arrays
from jaxnn.training.fit import as_dataset

ARRAYS = "data.npz"
_NETWORK, _OPTIMIZER = (f"{__name__}:{name}" for name in ("network_not_kept", "optimizer_not_kept"))
_COMPARED = 8
"""Examples for which a network is compared with the one that was trained."""


def save_run(
    path: str | Path,
    network: Layer,
    report: Report,
    dataset: Dataset | tuple[Any, Any],
    *,
    model: str | Callable[[], Layer] | None = None,
    data: Any = None,
    loss: Any = None,
    optimizer: Any = None,
    reports: Sequence[Report] = (),
) -> Run:
    """Writes what was trained with ``fit`` as a run directory, which all scripts and the lab read.

    Its ``config.yaml`` describes network, loss and optimizer as far as functions of the library
    made them. Of a network that is code of your own, it names the function that makes it (``model``
    below), or says that only its arrays are kept: ``jaxnn.runs.saved:network_not_kept``. Such a run
    is read with ``load_run(path, network=…)``, and by no script. Of an optimizer that is code of
    your own, it says ``jaxnn.runs.saved:optimizer_not_kept``: everything but training works. The
    data are kept with the run, in ``data.npz``, in the format of ``jaxnn.data.npz``.

    It differs from a run of ``jaxnn.runs.train`` in that it has no checkpoints, so ``resume``
    refuses it; that ``metrics.jsonl`` has the reports that are given here; and that its summary has
    ``"saved_by": "save_run"``.

    Args:
        path: the directory, new or empty.
        network: what was trained.
        report: the last one of ``fit``.
        dataset: what it was trained on, with examples for test, by which scripts judge it. It may
            be another than ``fit`` was given if it is normalized alike.
        model: where the config finds a network that is code of your own: "module:function", or a
            function of a module, without arguments. Modules are looked for in the working directory
            and among the installed packages.
        data: the config's ``data``, such as "mnist" or ``{"csv": {…}}``: they are not kept then.
        loss: the config's ``loss``, where ``fit`` had one that is not the library's.
        optimizer: the config's ``optimizer``, where it is not the library's.
        reports: all reports of the training, for its curves; by default, the last alone.

    Returns:
        The run, as ``load_run`` gives it.

    Raises:
        RunError: if the directory holds something or cannot be written, there is no example for
            test, or the arrays, ``model`` or the data are not those of the training.
        ConfigError: if a part of the config is not one.
        DataError: if ``data`` are missing or damaged.
    """
    check_is_layer("save_run: network", network)
    fitted = report.arguments
    if fitted is None:
        raise TypeError("save_run: report is not one that fit has yielded")
    path, given = Path(path), as_dataset(dataset)
    check_free(path)
    _check_data(fitted.dataset, given)
    params, state = report.train_state.params, report.train_state.state
    expected = _outputs(prepared(fitted.network, fitted.dataset), params, state, fitted.dataset)
    check = functools.partial(
        _check_network, params=params, state=state, dataset=fitted.dataset, expected=expected
    )
    check("save_run: network", prepared(network, given))
    config = parse_config(
        {
            "name": re.sub(r"[^\w.+-]", "-", path.absolute().name),
            "data": _kept_beside(path, given) if data is None else data,
            "model": _model(network, model),
            "loss": _part("loss", fitted.loss if loss is None else loss),
            "optimizer": _part("optimizer", fitted.optimizer if optimizer is None else optimizer),
            "training": _training(report, given, fitted.batch_size),
            "seed": fitted.seed,
        },
        "save_run",
    )
    experiment = build(config, given, network if config.model.name == _NETWORK else None)
    check("save_run: model", experiment.network)
    info = dataset_info(given)
    arrays = None if data is not None else _arrays(given)
    found = config.data.build("data") if arrays is None else _read_again(config, given, arrays)
    again = dataset_info(as_kept(info, found))
    if differing := changes(info, again):
        raise RunError("save_run: data: these are not what was trained on: " + "; ".join(differing))
    return write_run(
        path,
        experiment,
        Kept(info, dataset_info(found), config.data.plain()),
        report.train_state,
        [record(one) for one in reports or [report]],
        {
            "train_seconds": report.train_seconds,
            "compile_seconds": report.compile_seconds,
            SAVED_BY: "save_run",
            ANSWERS: answers(experiment.network, params, state, given).tolist(),
        },
        arrays,
    )


def write_run(
    path: Path | None,
    experiment: Experiment,
    kept: Kept,
    train_state: TrainState,
    records: Sequence[dict[str, Any]],
    more: dict[str, Any],
    arrays: dict[str, Any] | None = None,
    *,
    resumable: bool = False,
) -> Run:
    """Writes what was trained as a run directory.

    Args:
        path: the directory, new or empty; None for ``runs/<config>-<timestamp>``.
        experiment: what was trained.
        kept: what is to be kept of its data.
        train_state: where training stands.
        records: the reports, as in ``metrics.jsonl``.
        more: ``train_seconds`` and ``compile_seconds``, and what else the summary is to have.
        arrays: the data, if they are kept with the run.
        resumable: whether a checkpoint is written, for ``resume``.

    Raises:
        RunError: if it holds something, has another owner, or cannot be written.
    """
    warnings = [text for row in records for text in row.get("warnings", [])]
    info = {"best": None, "stopped_early": False, **more, "warnings": warnings}
    with new_directory(experiment.config, path) as made:
        write_text(made / CONFIG, experiment.config.to_yaml())
        write_data(made, kept)
        if arrays is not None:
            with writing(made / ARRAYS), write_whole(made / ARRAYS) as file:
                np.savez(file, **arrays)
        write_text(made / METRICS, "".join(to_json(row) + "\n" for row in records))
        if resumable:
            with writing(made / CHECKPOINTS):
                save_checkpoint(made / CHECKPOINTS, train_state, info)
        return finish(made, experiment, train_state, info, kept)


def network_not_kept() -> Layer:
    """Stands in configs for a network that is code outside the library."""
    raise RunError(
        "this run keeps only the arrays of its network, which is code of its author's: read it "
        "with jaxnn.load_run(path, network=…), or save it again with save_run(…, "
        "model='module:function')"
    )


def optimizer_not_kept() -> Optimizer:
    """Stands in configs for an optimizer that is code outside the library."""

    def update(gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        raise RunError(
            "this run does not say which optimizer trained it, for that was not the library's: to "
            "train, give one, such as 'optimizer={adam: 0.01}'"
        )

    return Optimizer(lambda params: (), update)


def _check_data(trained: Dataset, given: Dataset) -> None:
    if not len(given.test.targets):
        raise RunError(
            "save_run: dataset: there are no examples for test, by which the scripts judge a "
            'network: give from_arrays(x, y, test=…, normalize="none") for a pair (x, y)'
        )
    for name, one, other in (
        ("an example", *((d.in_shape, str(d.train.inputs.dtype)) for d in (trained, given))),
        ("mean", trained.mean.tolist(), given.mean.tolist()),
        ("deviation", trained.deviation.tolist(), given.deviation.tolist()),
        ("centring", *([a.tolist() for a in d.centring or ()] for d in (trained, given))),
    ):
        if one != other:
            raise RunError(
                f"save_run: dataset: {name}: {shown(one)} in training, now {shown(other)}: the "
                "network would see other numbers. Give the data set that fit was given"
            )


def _kept_beside(path: Path, dataset: Dataset) -> dict[str, Any]:
    """Returns the config of data that lie with the run."""
    scale = (dataset.mean.tolist(), dataset.deviation.tolist())
    return {
        "npz": {
            "path": str(path.absolute() / ARRAYS),
            "classes": list(dataset.classes) or None,
            "task": dataset.task.name,
            "normalize": {(0.0, 1.0): "none", (0.0, 255.0): "unit"}.get(scale, "standard")
            if dataset.mean.ndim == 0
            else "standard",
        }
    }


def _arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """Returns a data set as ``npz`` reads it."""
    arrays: dict[str, np.ndarray] = {}
    for name in SPLITS:
        split = getattr(dataset, name)
        numbers = dataset.task is regression
        targets = dataset.target_values(split.targets) if numbers else split.targets
        arrays |= {f"x_{name}": dataset.values(split.inputs), f"y_{name}": targets}
    named = {"x_features": dataset.features, "y_targets": dataset.targets}
    return arrays | {key: np.array(names) for key, names in named.items() if names}


def _read_again(config: Config, dataset: Dataset, arrays: dict[str, np.ndarray]) -> Dataset:
    """Returns the data set that ``npz`` will make of the arrays."""
    parts = {s: Part(f"x_{s}", arrays[f"x_{s}"], f"y_{s}", arrays[f"y_{s}"]) for s in SPLITS}
    normalize = config.data.arguments["normalize"]
    classes = list(dataset.classes)
    asked = Asked(classes, dataset.task.name, dataset.targets or None)
    made = assemble("save_run", "data", parts, {}, asked, normalize=normalize)
    return made._replace(features=dataset.features)


def _model(network: Layer, model: Any) -> Any:
    """Returns the config's ``model``."""
    if callable(model):
        module, name = model.__module__, model.__qualname__
        if module == "__main__" or not name.isidentifier():
            raise RunError(
                f"save_run: model: {module}:{name} cannot be imported: define the function in a "
                "module of its own, outside other functions"
            )
        return f"{module}:{name}"
    if model is not None:
        return model
    try:
        return written(network)
    except ValueError as error:
        warn(
            f"save_run: {error}: the run keeps only the network's arrays, for "
            "load_run(path, network=…); with model=, a function that makes it, all scripts read it"
        )
        return _NETWORK


def _part(key: str, value: Any) -> Any:
    """Returns the config's ``loss`` or ``optimizer``."""
    if isinstance(value, str | dict):
        return value
    try:
        return written(value)
    except ValueError as error:
        if key == "loss":
            raise RunError(
                f"save_run: loss: {error}; say which of the library's judges outputs in the same "
                "sense, such as loss=softmax_cross_entropy"
            ) from error
        warn(
            f"save_run: {error}: to train this run in the lab, an optimizer has to be given; with "
            'optimizer=, such as {"adam": 0.01}, it has one'
        )
        return _OPTIMIZER


def _training(report: Report, dataset: Dataset, batch_size: int) -> dict[str, Any]:
    batch_size = min(batch_size, len(dataset.train.targets))
    epochs = max(1, -(-report.step // steps_per_epoch(dataset, batch_size)))
    precision = str(jnp.result_type(float))
    return {"epochs": epochs, "batch_size": batch_size, "precision": precision}


def _outputs(network: Layer, params: Tree, state: Tree, dataset: Dataset) -> np.ndarray:
    examples = dataset.train.inputs[:_COMPARED]
    return np.asarray(jax.jit(network.forward)(params, state, examples)[0], np.float64)


def _check_network(
    place: str, network: Layer, params: Tree, state: Tree, dataset: Dataset, expected: np.ndarray
) -> None:
    """Raises RunError unless a network takes the arrays, and makes of them what was trained."""
    shapes = jax.eval_shape(lambda key: network.init(key, dataset.in_shape)[:2], jax.random.key(0))
    check_arrays(named_leaves((params, state)), named_leaves(shapes), place)
    outputs = _outputs(network, params, state, dataset)
    if not alike(outputs, expected):
        raise RunError(
            f"{place}: it takes the arrays, but computes something else than the network that was "
            "trained: give that which fit was given"
        )
