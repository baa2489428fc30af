"""A trained network as a WebAssembly module: what a page without a server thinks and trains with.

The module's entries are functions of the library, traced and compiled: whatever a layer, a loss or
an optimizer computes, it computes there. Who calls them moves bytes and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.arrays import Tree, named_leaves
from jaxnn.config import SCHEDULES, Call, Experiment
from jaxnn.data import Split
from jaxnn.data.dataset import SPLITS, SplitName
from jaxnn.errors import RunError, by
from jaxnn.losses import weighted
from jaxnn.optimizers import hyperparameters, set_hyperparameters
from jaxnn.prediction import look, verdicts
from jaxnn.program import make_program
from jaxnn.program.wasm import compile_module
from jaxnn.tasks import classification
from jaxnn.training import Examples, TrainState, init_train_state, make_step
from jaxnn.training.evaluate import make_sums

PREDICTED = 100
"""Examples that the entries ``predict`` and ``evaluate`` take at a time."""

LARGER = 8
"""How many times the config's batch the largest is that a module trains with."""


class ExportedModule(NamedTuple):
    """A network as WebAssembly.

    Attributes:
        description: what a page must know, as plain values: ``pages``, ``arrays`` and ``entries``
            of ``WasmModule.layout``; ``splits``, of ``Carried``; ``batch_size``, the config's, and
            ``batch_sizes``, all that there are; ``predict_size``, ``epochs`` and ``seed``.
        plain: the module. It exports ``memory`` and the entries, functions without parameters.
        relaxed: the same, with multiply-add of relaxed SIMD: faster, and not known everywhere.
        arrays: what is to be put into memory before the first call, by name.
    """

    description: dict[str, Any]
    plain: bytes
    relaxed: bytes
    arrays: dict[str, np.ndarray]


class Entry(NamedTuple):
    """A function of the module, before it is traced.

    Attributes:
        function: of one pytree of arrays, a dictionary, to another.
        example: such a pytree; of its leaves, only shape and type matter.
    """

    function: Callable[[dict[str, Any]], dict[str, Any]]
    example: dict[str, Any]


class Carried(NamedTuple):
    """The examples that go with a module.

    Attributes:
        inputs: (n, *in_shape), as the data set stores them: of training, validation and test.
        targets: (n,) int32.
        splits: of each split, the ``first`` of its rows, their ``count``, and how many examples
            there are ``of`` it in the data set.
    """

    inputs: np.ndarray
    targets: np.ndarray
    splits: dict[SplitName, dict[str, int]]


def export_module(
    experiment: Experiment, params: Tree, state: Tree, most: Mapping[str, int]
) -> ExportedModule:
    """Compiles what a page needs to think and to train.

    Args:
        experiment: what the network belongs to.
        params: its parameters.
        state: its state.
        most: how many examples of each split to carry, at the most.

    Raises:
        ProgramError: if the network, the loss, the optimizer or an augmentation has an operation
            that cannot be exported; it is named, with the layer that it comes from.
        RunError: if the run computes in float64, or has learnt something else than classes; or if
            fewer training examples are carried than a batch has.
    """
    if experiment.dataset.task is not classification:
        raise RunError(
            f"the run is a {experiment.dataset.task.name}, but an exported page answers with "
            "classes. Predictions for files are made by " + by("predict.py", "load_run(…).predict")
        )
    if experiment.config.training.precision == "float64":
        raise RunError("training.precision is float64, but an exported network computes in float32")
    carried = carry(experiment, most)
    start = memory(experiment, params, state, carried)
    programs = {}
    paces = batch_sizes(experiment, carried)
    for name, (function, example) in entries(experiment, start, paces).items():
        program = make_program(function, example)
        names = tuple(n.removeprefix("given.") for n in program.input_names)
        programs[name] = replace(program, input_names=names)
    plain, relaxed = (compile_module(programs, tuple(start), relaxed=x) for x in (False, True))
    assert plain.layout == relaxed.layout
    training = experiment.config.training
    description = {
        **plain.layout,
        "splits": carried.splits,
        "batch_size": training.batch_size,
        "batch_sizes": list(paces),
        "predict_size": PREDICTED,
        "epochs": training.epochs,
        "seed": experiment.config.seed,
    }
    arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(start).items()}
    return ExportedModule(description, plain.bytes, relaxed.bytes, arrays)


def carry(experiment: Experiment, most: Mapping[str, int]) -> Carried:
    """Chooses examples of each split, evenly over its length.

    Args:
        experiment: whose data.
        most: how many of each split at the most.

    Raises:
        RunError: if fewer training examples are left than a batch has.
    """
    parts, splits, first = [], {}, 0
    for name in SPLITS:
        split: Split = getattr(experiment.dataset, name)
        total = len(split.targets)
        count = min(total, most[name])
        rows = np.arange(count) * total // max(count, 1)
        parts.append(Split(split.inputs[rows], split.targets[rows].astype(np.int32)))
        splits[name] = {"first": first, "count": count, "of": total}
        first += count
    batch_size = experiment.config.training.batch_size
    if splits["train"]["count"] < batch_size:
        raise RunError(
            f"{splits['train']['count']} training examples are fewer than a batch of {batch_size}: "
            "carry more, with --examples"
        )
    inputs, targets = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Carried(inputs, targets, splits)


def batch_sizes(experiment: Experiment, carried: Carried) -> dict[int, float]:
    """Returns the sizes of batches to train with: 1, the config's, and a larger one.

    And with each the pace of schedules: how many of the run's steps a step stands for, so that an
    epoch of the examples that are carried takes them as far as one of the run did.
    """
    own = experiment.config.training.batch_size
    count, of = (carried.splits["train"][k] for k in ("count", "of"))
    sizes = sorted({1, own, min(LARGER * own, count)})
    return {size: (of // own) / (count // size) for size in sizes}


def memory(experiment: Experiment, params: Tree, state: Tree, carried: Carried) -> dict[str, Any]:
    """What lies in the module's memory at the start: the trained network, about to train anew.

    The optimizer's state is that before the first step.
    """
    start = _initial(experiment, np.uint32(experiment.config.seed))
    return {
        **start,
        "params": params,
        "state": state,
        "data": {"inputs": carried.inputs, "targets": carried.targets},
    }


def entries(
    experiment: Experiment, memory: dict[str, Any], paces: Mapping[int, float]
) -> dict[str, Entry]:
    """The functions that a module has, by name.

    Each takes some of what lies in memory, by the names there, and inputs of its own. What it
    returns under a name that lies in memory is stored there; the rest is its result.

    - ``reset``: ``seed``, uint32. A new training from there.
    - ``step_32``, and so on for each batch size: ``rows`` (32,) int32, a batch of the data;
      ``learning_rate``, float32, NaN for the run's own, which follows its schedule epoch by epoch.
      One step of training; ``loss``, ``correct`` and ``learning_rate``.
    - ``predict``: ``rows``. What these are taken for: ``predicted``, ``confidence``, ``loss``.
    - ``evaluate``: ``rows`` and ``weights``. Sums over them: ``loss``, ``correct`` and ``weight``,
      by which the loss is divided.
    - ``trace``: ``input`` (1, *in_shape) and ``target`` (1,) int32; see ``jaxnn.prediction.look``.
    """
    _, _, network, loss, _ = experiment
    training = {k: memory[k] for k in ("params", "state", "optimizer", "key", "step")}
    thinking = {k: memory[k] for k in ("params", "state")}
    data = memory["data"]
    rows = np.zeros(PREDICTED, np.int32)
    sums = make_sums(network, loss, experiment.dataset)

    def reset(given: dict[str, Any]) -> dict[str, Any]:
        return _initial(experiment, given["seed"])

    def step(pace: float, given: dict[str, Any]) -> dict[str, Any]:
        examples = Examples(*(given["data"][k][given["rows"]] for k in ("inputs", "targets")))
        before = TrainState(
            given["step"],
            given["params"],
            given["state"],
            given["optimizer"],
            jax.random.wrap_key_data(given["key"]),
        )
        after, totals = _step_at(experiment, given["learning_rate"], pace)(before, examples)
        rate = hyperparameters(after.optimizer_state).get("learning_rate", jnp.nan)
        told = {"loss": totals.loss, **totals.sums, "learning_rate": jnp.asarray(rate)}
        return {**_arrays(after), **told}

    def predict(given: dict[str, Any]) -> dict[str, Any]:
        examples = (given["data"][k][given["rows"]] for k in ("inputs", "targets"))
        found = verdicts(network, loss, given["params"], given["state"], *examples)
        return dict(zip(("predicted", "confidence", "loss"), found, strict=True))

    def evaluate(given: dict[str, Any]) -> dict[str, Any]:
        inputs, targets = (given["data"][k][given["rows"]] for k in ("inputs", "targets"))
        found = sums(given["params"], given["state"], inputs, targets, given["weights"])
        return {"weight": given["weights"].sum(), **found}

    def trace(given: dict[str, Any]) -> dict[str, Any]:
        parts = (given["params"], given["state"], given["input"], given["target"])
        return look(network, loss, *parts)

    trained = {**training, "data": data, "learning_rate": np.float32(0)}
    return {
        "reset": Entry(reset, {"seed": np.uint32(0)}),
        **{
            f"step_{size}": Entry(
                partial(step, pace), {**trained, "rows": np.zeros(size, np.int32)}
            )
            for size, pace in paces.items()
        },
        "predict": Entry(predict, {**thinking, "data": data, "rows": rows}),
        "evaluate": Entry(
            evaluate, {**thinking, "data": data, "rows": rows, "weights": rows.astype(np.float32)}
        ),
        "trace": Entry(
            trace, {**thinking, "input": data["inputs"][:1], "target": np.zeros(1, np.int32)}
        ),
    }


def _initial(experiment: Experiment, seed: Any) -> dict[str, Any]:
    _, dataset, network, _, optimizer = experiment
    return _arrays(init_train_state(network, optimizer, dataset.in_shape, seed))


def _arrays(train_state: TrainState) -> dict[str, Any]:
    step, params, state, optimizer, key = train_state
    key = jax.random.key_data(key)
    return {"params": params, "state": state, "optimizer": optimizer, "key": key, "step": step}


def _step_at(experiment: Experiment, learning_rate: Array, pace: float) -> Any:
    """A training step with this learning rate, or the run's own, at a pace, where it is NaN."""
    own = jnp.isnan(learning_rate)

    def replaced(argument: Any) -> Any:
        if isinstance(argument, list):
            return [replaced(inner) for inner in argument]
        if not isinstance(argument, Call):
            return argument
        if argument.family is SCHEDULES:
            schedule = argument.build("optimizer")
            if pace == 1:
                return lambda step: jnp.where(own, schedule(step), learning_rate)
            return lambda step: jnp.where(own, schedule(step * pace), learning_rate)
        inner = {name: replaced(value) for name, value in argument.arguments.items()}
        return argument._replace(arguments=inner)

    optimizer = replaced(experiment.config.optimizer).build("optimizer")
    loss = weighted(experiment.loss, experiment.dataset.class_weights)
    step = make_step(experiment.network, loss, optimizer, experiment.augment)

    def at_rate(train_state: TrainState, batch: Examples) -> Any:
        state = train_state.optimizer_state
        if (rate := hyperparameters(state).get("learning_rate")) is not None:
            rate = jnp.where(own, rate, learning_rate)
            state = set_hyperparameters(state, learning_rate=rate)
        return step(train_state._replace(optimizer_state=state), batch)

    return at_rate
