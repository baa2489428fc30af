"""A trained network, read back from its run directory."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxnn.arrays import Tree, named_leaves
from jaxnn.config import Config, Experiment, build
from jaxnn.data import Dataset
from jaxnn.errors import DataError, RunError, by, some, warn, writing
from jaxnn.files import write_text, write_whole
from jaxnn.layers.layer import Layer
from jaxnn.prediction import Predict, make_predict
from jaxnn.runs.data import Kept, load_data, read_data, say_old, to_keep
from jaxnn.runs.directory import ANSWERS, CONFIG, MODEL, SUMMARY, read_config, read_summary
from jaxnn.tasks import regression
from jaxnn.training import Evaluation, make_evaluate
from jaxnn.training.checkpoint import check_arrays, fill
from jaxnn.training.devices import fetched

_NAMED = 3
"""Arrays that are named at most."""


@dataclass(frozen=True)
class Run:
    """A trained network and what it was made from.

    What it answers depends on its directory alone: it has the names of the classes, the columns and
    the normalization. Its data are loaded when ``dataset`` or ``experiment`` is first asked for.

    Attributes:
        path: the run directory.
        known: config, network, loss and optimizer; and the data set, whose examples may be missing.
        params: the trained parameters.
        state: the network's state after training.
        summary: the contents of ``summary.json``.
        kept: what is known of the data without having them.
        allow_changes: whether the data may have changed since.
    """

    path: Path
    known: Experiment
    params: Tree
    state: Tree
    summary: dict[str, Any]
    kept: Kept
    allow_changes: bool = False

    @property
    def config(self) -> Config:
        """The experiment's config."""
        return self.known.config

    @property
    def network(self) -> Layer:
        """The experiment's network."""
        return self.known.network

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.known.dataset.classes

    @property
    def dataset(self) -> Dataset:
        """The experiment's data, with all examples; raises what ``load_data`` does."""
        return self.experiment.dataset

    @cached_property
    def experiment(self) -> Experiment:
        """What is known, with the data; raises what ``load_data`` does."""
        if not self.known.dataset.missing:
            return self.known
        dataset, _ = load_data(self.path, self.config, self.kept, allow_changes=self.allow_changes)
        return self.known._replace(dataset=dataset)

    def predict(self, inputs: ArrayLike, *, stored: bool = False) -> np.ndarray:
        """Says how probable each class or label is, or which numbers a regression expects.

        See ``jaxnn.prediction.answers``.

        Args:
            inputs: (n, *dataset.in_shape), as in the source of the data: images as uint8, or rows
                of a table, its categories encoded as ``jaxnn.data.sources.tables.read_table`` does.
                What ``jaxnn.data.prepare`` makes of an image is one of them.
            stored: whether they are as the data set stores them, as ``dataset.test.inputs`` are,
                instead. That makes a difference for tables that are centred; see ``Centring``.

        Returns:
            (n, classes) float32, of which each row sums to 1; (n, labels) float32; or of a
            regression (n, targets) float64, in the units of the data.

        Raises:
            ValueError: if the inputs do not have that shape; are floating-point numbers where the
                data set stores integers: those would be normalized as if they were such; or are
                float32 where numbers of the source are to be centred in float64.
        """
        inputs = np.asarray(inputs)
        dataset = self.known.dataset
        shape, dtype = dataset.in_shape, dataset.train.inputs.dtype
        if inputs.shape[1:] != shape or inputs.ndim != 1 + len(shape):
            raise ValueError(
                f"predict: expected inputs of shape (n, {', '.join(map(str, shape))}), "
                f"got {inputs.shape}"
            )
        if not np.issubdtype(inputs.dtype, np.integer) and dtype.kind in "iu":
            raise ValueError(
                f"predict: expected inputs as {dataset.name} stores them, {dtype} and "
                f"not yet normalized, got {inputs.dtype}"
            )
        if dataset.centring is not None and not stored:
            try:
                inputs = dataset.centring.store(inputs, dataset.features)
            except ValueError as error:
                raise ValueError(
                    f"predict: {error}. Examples of the data set itself need stored=True"
                ) from error
        elif dtype.kind == "f":
            with np.errstate(over="ignore"):
                stored_inputs = inputs.astype(dtype)
            if (lost := np.isinf(stored_inputs) & np.isfinite(inputs)).any():
                raise ValueError(
                    f"predict: found {inputs[lost][0]:g}, for which {dtype} has no place"
                )
            inputs = stored_inputs
        found = self._predict(self.params, self.state, inputs)
        return dataset.target_values(found) if dataset.task is regression else found

    @cached_property
    def _predict(self) -> Predict:
        return make_predict(self.known.answering, self.known.loss, task=self.known.dataset.task)


def load_run(path: str | Path, *, network: Layer | None = None, allow_changes: bool = False) -> Run:
    """Reads a run directory back; its data are not needed.

    Of a run that was written before runs kept what is to be known of their data, these are loaded
    as they are now, which is said on stderr.

    Args:
        path: the run directory.
        network: in place of what its config's ``model`` makes: for a run that keeps only the arrays
            of its network; see ``save_run``.
        allow_changes: whether its data, once they are asked for, may be others than it was trained
            on (see ``load_data``), and its model another than it has written (see ``load_model``).

    Raises:
        RunError: if it is not one, or training has not ended, or its model does not fit its config;
            or if ``network`` is another than that which ``save_run`` was given.
        ConfigError: as from ``build``.
    """
    path = Path(path)
    if missing := [name for name in (CONFIG, MODEL, SUMMARY) if not (path / name).is_file()]:
        raise RunError(
            f"{path}: not a finished run: {', '.join(missing)} missing; "
            f"a run directory is what {by('train.py', 'jaxnn.runs.train')} and save_run write"
        )
    config, kept = read_config(path), read_data(path)
    if kept is None:
        say_old(path)
        known = build(config, network=network)
        kept = to_keep(known)
    else:
        known = build(config, kept.info.dataset, network)
    params, state = load_model(path / MODEL, known, allow_changes=allow_changes)
    summary = read_summary(path)
    if network is not None and ANSWERS in summary:
        found = answers(known.network, params, state, known.dataset)
        if not alike(found, np.array(summary[ANSWERS], np.float64)):
            raise RunError(
                f"{path}: the network that is given takes the run's arrays, but computes something "
                "else than the one that was trained"
            )
    return Run(path, known, params, state, summary, kept, allow_changes)


def answers(network: Layer, params: Tree, state: Tree, dataset: Dataset) -> np.ndarray:
    """Returns a network's outputs for an example that is always the same, by which it is known.

    Args:
        network: any layer, run in inference mode.
        params: the network's parameters.
        state: the network's state.
        dataset: of whose examples this one has shape and type: 0, 1, …, 15, 0, 1, ….

    Returns:
        The outputs, float64.
    """
    shape, dtype = dataset.in_shape, dataset.train.inputs.dtype
    example = (np.arange(np.prod(shape, dtype=int)) % 16).reshape(1, *shape).astype(dtype)
    outputs, _, _ = jax.jit(network.forward)(params, state, example)
    return np.asarray(outputs[0], np.float64)


def alike(outputs: np.ndarray, expected: np.ndarray) -> bool:
    """Returns whether outputs are those of the same network, perhaps on another machine."""
    if outputs.shape != expected.shape:
        return False
    tolerance = 1e-4 * np.abs(expected).max(initial=0)
    return np.allclose(outputs, expected, rtol=1e-3, atol=tolerance, equal_nan=True)


def evaluate(
    experiment: Experiment,
    params: Tree,
    state: Tree,
    split: str,
    mesh: Mesh | None = None,
    *,
    views: bool = True,
) -> Evaluation:
    """Loss and metrics on one of the splits "train", "validation" and "test".

    Args:
        experiment: the experiment.
        params: the network's parameters.
        state: the network's state.
        split: which one.
        mesh: of the devices on which they lie, as ``fit`` leaves them; None for one device.
        views: whether outputs are averaged over the views that the config asks for, if any.

    Raises:
        RunError: if the split is empty.
        DataError: if the examples are missing.
    """
    _, dataset, network, loss, _ = experiment
    network = experiment.answering if views else network
    if dataset.missing:
        raise DataError(dataset.missing)
    examples = getattr(dataset, split)
    if not len(examples.targets):
        raise RunError(f"{dataset.name}: the {split} split is empty")
    return make_evaluate(network, loss, dataset=dataset, mesh=mesh)(params, state, examples)


def save_model(path: Path, params: Tree, state: Tree) -> None:
    """Writes parameters and state as safetensors, and beside it, ``.sha256``, its digest.

    Each array is named by its path in the tree: ``1.weight`` is the weight of the network's layer
    1, counted from 0; the names of state begin with ``state.``. Layouts are those of the layers:
    dense weights (in, out), images HWIO.
    """
    arrays = fetched({**named_leaves(params), **named_leaves(state, "state.")})
    content = safetensors.numpy.save(arrays, metadata={"format": "jaxnn"})
    with writing(path):
        _digest(path).unlink(missing_ok=True)  # of what was there: killed here, there is none
        with write_whole(path) as file:
            file.write(content)
    write_text(_digest(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")


def load_model(
    path: Path, experiment: Experiment, *, allow_changes: bool = False
) -> tuple[Tree, Tree]:
    """Reads ``(params, state)`` of an experiment's network, written by ``save_model``.

    Numbers that are not finite are said on stderr.

    Args:
        path: the file. If its digest lies beside it, it is verified.
        experiment: whose network's it is.
        allow_changes: whether the file may be another than that of the digest.

    Raises:
        RunError: if the file is damaged or was replaced, or its arrays are not those of the
            network.
    """
    _, dataset, network, _, _ = experiment
    params, state = jax.eval_shape(
        lambda key: network.init(key, dataset.in_shape)[:2], jax.random.key(0)
    )
    try:
        content = path.read_bytes()
        arrays = safetensors.numpy.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path}: cannot read the model: {error}") from error
    expected = {**named_leaves(params), **named_leaves(state, "state.")}
    check_arrays(arrays, expected, str(path))
    if not allow_changes and not _is_of_digest(content, _digest(path)):
        raise RunError(
            f"{path}: these are not the bytes that training has written, whose SHA-256 is in "
            f"{_digest(path).name}: the file was damaged or replaced. Get an intact copy; to go on "
            "with this one all the same, add --allow-changes"
        )
    wrong = {name: int(np.sum(~np.isfinite(a.astype(float)))) for name, a in sorted(arrays.items())}
    if found := [f"{n} of {arrays[name].size} in {name}" for name, n in wrong.items() if n]:
        warn(f"{path}: numbers that are not finite: {some(found, _NAMED)}")
    return fill(params, arrays), fill(state, arrays, "state.")


def _digest(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _is_of_digest(content: bytes, digest: Path) -> bool:
    """Returns whether a file's content is that of a digest, if there is one."""
    try:
        return digest.read_bytes()[:64] == hashlib.sha256(content).hexdigest().encode()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise RunError(f"{digest}: cannot be read: {error.strerror}") from error
