"""Run directories: a whole experiment carried out, written down, and read back.

``runs/<config>-<timestamp>/`` holds ``config.yaml`` (complete: training it again gives the same
numbers), ``metrics.jsonl`` (a report a line), ``model.safetensors`` and ``summary.json``.
"""

import datetime
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import safetensors
import safetensors.numpy

from jaxnn.config import Config, Experiment, build, load_config
from jaxnn.data import standardize
from jaxnn.errors import RunError
from jaxnn.layers.layer import Tree
from jaxnn.network import count
from jaxnn.observe import metrics
from jaxnn.training import Evaluation, Report, fit, make_evaluate

CONFIG, METRICS, MODEL, SUMMARY = (
    "config.yaml",
    "metrics.jsonl",
    "model.safetensors",
    "summary.json",
)


class Run(NamedTuple):
    """A trained network and what it was made from.

    Attributes:
        path: the run directory.
        experiment: config, data, network, loss and optimizer.
        params: the trained parameters.
        state: the network's state after training.
        summary: the contents of ``summary.json``.
    """

    path: Path
    experiment: Experiment
    params: Tree
    state: Tree
    summary: dict[str, Any]


def train(
    config: Config,
    path: str | Path | None = None,
    consumers: Sequence[Callable[[Report], None]] = (),
) -> Run:
    """Carries an experiment out and writes its run directory.

    Args:
        config: the experiment.
        path: the directory; by default ``runs/<config>-<timestamp>``. It must be new or empty.
        consumers: called with each report.

    Returns:
        The run; its summary has the losses and accuracies at the end of training.

    Raises:
        ConfigError: if the config does not make an experiment.
        DataError: if the data are missing or damaged.
        RunError: if the directory holds something, or cannot be written.
    """
    path = new_run_path(config) if path is None else Path(path)
    _check_free(path)
    experiment = build(config)
    config = experiment.config
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / CONFIG, config.to_yaml())
    except OSError as error:
        raise RunError(f"{path}: cannot write the run directory: {error.strerror}") from error

    with metrics(path / METRICS) as write_metrics:
        for report in _fit(experiment):
            for consume in (write_metrics, *consumers):
                consume(report)

    params, state = report.train_state.params, report.train_state.state
    save_model(path / MODEL, params, state)
    train_result = evaluate(experiment, params, state, "train")
    test_result = evaluate(experiment, params, state, "test")
    summary = {
        "config": config.name,
        "seed": config.seed,
        "parameters": count(params),
        "epochs": config.training.epochs,
        "steps": report.step,
        "train_loss": train_result.loss,
        "train_accuracy": train_result.accuracy,
        "test_loss": test_result.loss,
        "test_accuracy": test_result.accuracy,
        "train_seconds": report.train_seconds,
        "compile_seconds": report.compile_seconds,
        "examples_per_second": report.step * config.training.batch_size / report.train_seconds,
        "device": jax.devices()[0].device_kind,
        "jax_version": jax.__version__,
        "git_commit": _git_commit(),
    }
    if report.validation is not None:
        summary["validation_loss"] = report.validation.loss
        summary["validation_accuracy"] = report.validation.accuracy
    write_text(path / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return Run(path, experiment, params, state, summary)


def load_run(path: str | Path) -> Run:
    """Reads a run directory back.

    Raises:
        RunError: if it is not one, or training has not ended, or its model does not fit its config.
        ConfigError, DataError: as from ``build``.
    """
    path = Path(path)
    if missing := [name for name in (CONFIG, MODEL, SUMMARY) if not (path / name).is_file()]:
        raise RunError(
            f"{path}: not a finished run: {', '.join(missing)} missing; "
            "a run directory is what experiments/train.py writes"
        )
    experiment = build(load_config(path / CONFIG))
    params, state = load_model(path / MODEL, experiment)
    try:
        summary = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path / SUMMARY}: not JSON: {error}") from error
    return Run(path, experiment, params, state, summary)


def evaluate(experiment: Experiment, params: Tree, state: Tree, split: str) -> Evaluation:
    """Loss and accuracy on one of the splits "train", "validation" and "test".

    Raises:
        RunError: if the split is empty.
    """
    config, dataset, network, loss, _ = experiment
    examples = getattr(dataset, split)
    if not len(examples.targets):
        raise RunError(f"{dataset.name}: the {split} split is empty")
    run = make_evaluate(network, loss, lambda inputs: standardize(inputs, dataset), config.dtype)
    return run(params, state, examples)


def save_model(path: Path, params: Tree, state: Tree) -> None:
    """Writes parameters and state as safetensors.

    Each array is named by its path in the tree: ``1.weight`` is the weight of the network's layer
    1, counted from 0; the names of state begin with ``state.``. Layouts are those of the layers:
    dense weights (in, out), images HWIO.
    """
    arrays = jax.device_get({**_named(params), **_named(state, "state.")})
    write_bytes(path, safetensors.numpy.save(arrays, metadata={"format": "jaxnn"}))


def load_model(path: Path, experiment: Experiment) -> tuple[Tree, Tree]:
    """Reads ``(params, state)`` of an experiment's network, written by ``save_model``.

    Raises:
        RunError: if the file is damaged, or its arrays are not those of the network.
    """
    _, dataset, network, _, _ = experiment
    params, state = jax.eval_shape(
        lambda key: network.init(key, dataset.in_shape)[:2], jax.random.key(0)
    )
    try:
        arrays = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path}: cannot read the model: {error}") from error
    expected = {**_named(params), **_named(state, "state.")}
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    if shapes != {name: array.shape for name, array in expected.items()}:
        wrong = sorted(set(shapes.items()) ^ {(n, a.shape) for n, a in expected.items()})
        raise RunError(f"{path}: the arrays do not fit the config's network: {wrong}")

    def filled(tree: Tree, prefix: str = "") -> Tree:
        names = _named(tree, prefix)
        return jax.tree.unflatten(
            jax.tree.structure(tree), [jax.numpy.asarray(arrays[name]) for name in names]
        )

    return filled(params), filled(state, "state.")


def new_run_path(config: Config) -> Path:
    """``runs/<config>-<timestamp>``, with a number behind it if that is taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{config.name}-{stamp}"
    number = 2
    while path.exists():
        path = path.with_name(f"{config.name}-{stamp}-{number}")
        number += 1
    return path


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _check_free(path: Path) -> None:
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise RunError(f"{path}: cannot use it as a run directory: {error.strerror}") from error
    if taken:
        raise RunError(f"{path}: exists and is not an empty directory; choose another --run-dir")
    parent = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{path}: cannot be created: {parent} is not a directory you can write to")


def _fit(experiment: Experiment) -> Any:
    config, dataset, network, loss, optimizer = experiment
    return fit(
        network,
        loss,
        optimizer,
        dataset,
        batch_size=config.training.batch_size,
        epochs=config.training.epochs,
        seed=config.seed,
        chunk_steps=config.training.chunk_steps,
        dtype=config.dtype,
    )


def _named(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree by their paths, in the tree's order."""
    return {
        prefix + jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _git_commit() -> str | None:
    """The commit of the package's checkout, "-dirty" if it has changes; None outside one."""
    package = Path(__file__).resolve().parent

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
