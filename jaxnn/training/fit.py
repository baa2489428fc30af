"""Training as an iterator."""

import time
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxnn.arrays import Tree
from jaxnn.collectives import own_rows
from jaxnn.data import Dataset, from_arrays
from jaxnn.data.augmentation import Augmentation
from jaxnn.errors import uncalled
from jaxnn.layers import Layer
from jaxnn.layers.layer import Shape, check_is_layer
from jaxnn.losses import Loss, check_targets, check_task, weighted
from jaxnn.optimizers import Optimizer, hyperparameters
from jaxnn.optimizers.optimizer import check_is_optimizer
from jaxnn.tasks import Task, classification, regression
from jaxnn.training.devices import IN_PARTS, WHOLE, check_mesh, whole
from jaxnn.training.diagnosis import DivergedError, diagnose
from jaxnn.training.evaluate import Evaluation, accuracy, make_evaluate
from jaxnn.training.feed import is_large, resident, steps_per_epoch, streamed
from jaxnn.training.statistics import Statistics, make_statistics
from jaxnn.training.step import (
    Examples,
    TrainState,
    augmented,
    init_train_state,
    make_chunk,
    output_shape,
    prepared,
    put_state,
)

_START_EXAMPLES = 100
"""How many examples, at least, the loss of the untrained network is the mean of."""


class Arguments(NamedTuple):
    """What ``fit`` was given; its parameters of the same names."""

    network: Layer
    loss: Loss
    optimizer: Optimizer
    dataset: Dataset
    batch_size: int
    epochs: int
    seed: int
    augment: Augmentation | None


class Report(NamedTuple):
    """What ``fit`` yields after each chunk; as a text, it is one line.

    Attributes:
        step: the number of steps taken since the start of training.
        steps: the number of steps that training will have taken at its end.
        epoch: the number of epochs completed, fractions included.
        loss: the mean training loss over the steps of the chunk.
        metrics: those of the task, by name, of the chunk's examples in training: of a
            classification, ``accuracy``.
        examples_per_second: the speed of the chunk.
        train_seconds: time spent in chunks so far, compilation excluded.
        compile_seconds: time spent compiling the chunk's program.
        validation: on the validation split, at the end of an epoch; else None.
        statistics: of each layer in the chunk's last step, where they were due; else None.
        train_state: where training stands: ``train_state.params`` and ``train_state.state`` are
            what the network's ``forward`` takes, and ``fit`` goes on from it as ``start``.
        warnings: sentences on the run's health; ``fit`` has none to say.
        learning_rate: that of the optimizer after the chunk; None if it has none of that name.
        start_loss: the untrained network's loss on the first batches, in the first report of
            training from step 0; else None.
        arguments: what ``fit`` was given.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    metrics: dict[str, float]
    examples_per_second: float
    train_seconds: float
    compile_seconds: float
    validation: Evaluation | None
    statistics: Statistics | None
    train_state: TrainState
    warnings: tuple[str, ...] = ()
    learning_rate: float | None = None
    start_loss: float | None = None
    arguments: Arguments | None = None

    @property
    def accuracy(self) -> float:
        """The fraction of the chunk's examples classified correctly in training."""
        return accuracy(self.metrics)

    @property
    def task(self) -> Task:
        """What the targets are."""
        return classification if self.arguments is None else self.arguments.dataset.task

    def __repr__(self) -> str:
        values = {"loss": self.loss, **self.metrics}
        if self.validation is not None:
            found = {"loss": self.validation.loss, **self.validation.metrics}
            values |= {f"validation {name}": value for name, value in found.items()}
        numbers = "".join(f", {name} {value:.4g}" for name, value in values.items())
        return f"<Report: step {self.step} of {self.steps}, epoch {self.epoch:.4g}{numbers}>"


class Change(NamedTuple):
    """What a generator of ``fit`` may be sent in place of ``next``; None leaves things as they are.

    Attributes:
        train_state: goes on from it; like that of the last report, but for its values, such as
            another learning rate.
        chunk_steps: steps of the chunks that follow.
    """

    train_state: TrainState | None = None
    chunk_steps: int | None = None


def fit(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    dataset: Dataset | tuple[Any, Any],
    *,
    batch_size: int,
    epochs: int,
    seed: int = 0,
    chunk_steps: int = 100,
    statistics_steps: int = 0,
    augment: Augmentation | None = None,
    stream: bool | None = None,
    start: TrainState | None = None,
    mesh: Mesh | None = None,
) -> Generator[Report, Change | None, None]:
    """Trains a network, a chunk of steps at a time; to pause is to stop iterating.

    To change something on the way is to ``send`` a ``Change``: nothing is compiled again.

    Each epoch visits the training split once, in an order that is a function of ``seed`` and the
    epoch. What does not fill a last batch is left out of the epoch; as the order changes, it is
    other examples each time. The final parameters are a function of the arguments alone, bit for
    bit on one kind of machine, and do not depend on ``chunk_steps``.

    Args:
        network: any layer. One that does not prepare its input (see ``before``) is given it
            normalized as the data set says, inside the compiled step.
        loss: a loss.
        optimizer: an optimizer of this library, or one from optax.
        dataset: the examples: a data set, or a pair ``(x, y)`` of arrays as ``from_arrays`` takes
            them, which are trained on as they are, all of them: nothing is held out, and nothing
            normalized. Targets that are floating-point numbers make it a regression.
        batch_size: examples a step, at most those of the training split.
        epochs: how often to go through the training split.
        seed: where everything random follows from.
        chunk_steps: steps between two reports; a chunk ends with its epoch.
        statistics_steps: the least number of steps between two reports with statistics; 0 for
            none. They do not change the result.
        augment: applied to training batches, and to them alone; see ``jaxnn.data.augmentation``.
        stream: whether the training split is streamed to the device as it is needed, rather than
            put there as a whole; without effect on the result. By default, where its inputs would
            fill a quarter of the device's memory; on several devices always, to each what it sees
            of each batch. They may be mapped from a file (``numpy.memmap``). Chunks are shorter
            then if examples are large.
        start: a state to go on from, within an epoch too; by default, that of step 0.
        mesh: of the devices to train on (see ``make_mesh``), over which each batch is divided;
            None for one device. How many there are changes nothing but rounding.

    Yields:
        A ``Report`` after each chunk.

    Raises:
        TypeError: if one of the first four is something else, such as ``adam`` for ``adam(…)``.
        DataError: if arrays are not such as ``from_arrays`` takes.
        ValueError: if a number is out of its range, a layer does not fit its input, the loss
            cannot judge the outputs by the targets, such as a class without an output, or is one
            for another task, or the training cannot be divided over the mesh.
        DivergedError: if the loss or, at the end, a parameter is not finite.
    """
    check_is_layer("fit: network", network)
    check_is_optimizer("fit: optimizer", optimizer)
    if not callable(loss):
        raise TypeError(f"fit: loss is no function but a {type(loss).__name__}")
    dataset = as_dataset(dataset)
    arguments = Arguments(network, loss, optimizer, dataset, batch_size, epochs, seed, augment)
    for name, number in (("epochs", epochs), ("chunk_steps", chunk_steps)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    steps = steps_per_epoch(dataset, batch_size)
    task, center = dataset.task, dataset.target_center
    check_task(loss, task, dataset.asked_for)
    if mesh is not None:
        check_mesh(mesh, network, loss, optimizer, batch_size)
    parts = (prepared(network, dataset), weighted(loss, dataset.class_weights), optimizer)
    chunk = make_chunk(*parts, augment, task, center, mesh, steps)
    statistics = make_statistics(*parts, mesh)
    evaluate = make_evaluate(parts[0], loss, dataset=dataset, mesh=mesh)
    if start is None:
        train_state = init_train_state(network, optimizer, dataset.in_shape, seed, mesh)
    else:
        train_state = put_state(network, optimizer, start, mesh)
    for name in ("train", "validation"):
        split = getattr(dataset, name)
        shape = output_shape(parts[0], train_state.params, train_state.state, split)
        try:
            _check_outputs(dataset, loss, shape)
            check_targets(loss, split.targets, shape)
        except ValueError as error:
            raise ValueError(f"the {name} split of {dataset.name}: {error}") from error
    step, end = int(train_state.step), epochs * steps
    if step >= end:
        return
    which = (dataset.train, seed, batch_size, step, end)
    if mesh is not None or (is_large(dataset.train) if stream is None else stream):
        windows = streamed(*which, chunk_steps, mesh)
    else:
        windows = resident(*which)
    window = next(windows)

    @jax.jit
    def seen_batch(
        train_state: TrainState, examples: Examples, batches: Array, position: int
    ) -> Examples:
        """The batch of the step that led to this state."""

        def seen(key: Array, step: Array, examples: Examples, rows: Array) -> Examples:
            rows = own_rows(rows, len(examples.targets))
            batch = jax.tree.map(lambda x: x[rows], examples)
            if augment is None:
                return batch
            return augmented(augment, key, step - 1, batch, steps)

        if mesh is not None:
            specs = (WHOLE, WHOLE, IN_PARTS, IN_PARTS)
            seen = jax.shard_map(
                seen, mesh=mesh, in_specs=specs, out_specs=IN_PARTS, check_vma=False
            )
        return seen(train_state.key, train_state.step, examples, batches[position])

    # A chunk of no steps compiles the program and changes nothing.
    started = time.perf_counter()
    train_state, _ = jax.block_until_ready(chunk(train_state, *window[:2], 0, 0))
    if statistics_steps:
        statistics(train_state, seen_batch(train_state, *window[:2], 0))
    start_loss = None
    if not step:  # that of the first batches, in steps that are taken for their loss alone
        count = min(-(-_START_EXAMPLES // batch_size), window.end)
        losses = [chunk(train_state, *window[:2], i, 1)[1].loss for i in range(count)]
        start_loss = float(np.mean(jax.device_get(losses)))
    compile_seconds = time.perf_counter() - started

    train_seconds = 0.0
    while step < end:
        started = time.perf_counter()
        if step == window.end:
            window = next(windows)
        # Chunks end at multiples of chunk_steps in the epoch, wherever training was taken up.
        count = min(chunk_steps - step % steps % chunk_steps, window.end - step)
        first, before = step - window.first, train_state
        train_state, totals = chunk(before, *window[:2], first, count)
        step += count
        observed = None
        if statistics_steps and step // statistics_steps > (step - count) // statistics_steps:
            batch = seen_batch(train_state, *window[:2], first + count - 1)
            observed = statistics(train_state, batch)
        rate = hyperparameters(train_state.optimizer_state).get("learning_rate")
        (total_loss, sums), rate = jax.device_get((totals, rate))
        seconds = time.perf_counter() - started

        train_seconds += seconds
        if not np.isfinite(total_loss) or (step == end and not _finite(train_state.params)):
            taken = window.batches[first : first + count]
            examples = whole(window.examples)
            found = diagnose(*parts, augment, whole(before), examples, taken, steps)
            raise DivergedError(step, found)
        validation = None
        if step % steps == 0 and len(dataset.validation.targets):
            validation = evaluate(train_state.params, train_state.state, dataset.validation)
        seen = count * batch_size
        change = yield Report(
            step=step,
            steps=end,
            epoch=step / steps,
            loss=float(total_loss) / count,
            metrics=task.measure(sums, seen, dataset.target_unit),
            examples_per_second=seen / seconds,
            train_seconds=train_seconds,
            compile_seconds=compile_seconds,
            validation=validation,
            statistics=observed,
            train_state=train_state,
            learning_rate=None if rate is None else float(f"{rate:.7g}"),
            start_loss=start_loss,
            arguments=arguments,
        )
        start_loss = None
        if change is not None:
            if change.train_state is not None:
                train_state = put_state(network, optimizer, change.train_state, mesh)
            chunk_steps = change.chunk_steps or chunk_steps


def as_dataset(data: Dataset | tuple[Any, Any]) -> Dataset:
    """Returns a data set as it is, and a pair of arrays as one that is all for training.

    Raises:
        TypeError: if it is neither.
        DataError: as from ``from_arrays``.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"fit: dataset is no Dataset or pair (x, y) but a {type(data).__name__}{uncalled(data)}"
        )
    x, y = data
    return from_arrays(x, y, validation=0, test=0, normalize="none")


def _check_outputs(dataset: Dataset, loss: Loss, shape: Shape) -> None:
    """Raises ValueError unless there is an output for each class, label or number."""
    if dataset.task is not classification and shape != dataset.out_shape:
        raise ValueError(
            f"the network's output has shape {shape}, and the data ask for {dataset.asked_for}: "
            f"{dataset.out_shape} is needed"
        )
    name = getattr(getattr(loss, "func", loss), "__name__", "")
    if dataset.task is classification and shape == (1,) and name in regression.losses:
        raise ValueError(
            f"there are {dataset.asked_for}, and the network has one output: give it one for each; "
            "or, if the targets are numbers to be learnt, make them floating-point numbers, "
            'or the data with task="regression"'
        )


def _finite(tree: Tree) -> bool:
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))
