"""The lab's training session: one thread that owns all computing, and what clients wait for.

Training, traces and predictions share the devices, so one thread does them in turn: what clients
ask for between two chunks of training, as much of it as takes a moment. It never waits for a
client: what it has to say goes into the clients' mailboxes, where a new snapshot takes the place of
one that was not fetched.
"""

import json
import math
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.config import (
    LAYERS,
    OPTIMIZERS,
    SCHEDULES,
    Call,
    Config,
    Experiment,
    build,
    defaults,
    load_config,
    parse_config,
)
from jaxnn.data import Dataset, prepare, standardize
from jaxnn.errors import ConfigError, JaxnnError, RunError, writing
from jaxnn.experiment import finish, fit_experiment, initial_state
from jaxnn.layers.layer import Tree
from jaxnn.network import at_path, cast, describe, label, named_leaves, trace, walk
from jaxnn.observe import health, to_json
from jaxnn.observe.metrics import record
from jaxnn.optimizers import hyperparameters, set_hyperparameters
from jaxnn.prediction import probabilities
from jaxnn.runs import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
    MODEL,
    SUMMARY,
    check_free,
    load_model,
    new_run_path,
    write_text,
)
from jaxnn.training import (
    Change,
    Report,
    TrainState,
    load_checkpoint,
    save_checkpoint,
    steps_per_epoch,
)
from jaxnn.web import formulas
from jaxnn.web.messages import (
    Configure,
    Drawing,
    Example,
    MessageError,
    Stored,
    pack,
    stored_input,
)

T = TypeVar("T")

WATCHED, UNWATCHED = 0.05, 0.25
"""Seconds between two looks at what clients want: how long a chunk of training takes."""
REPORT_SECONDS = 0.1
"""The least time between two reports; the chunks between are put together."""
SNAPSHOT_SHARE = 0.2
"""Of the time of training, that snapshots may take."""
HISTORY = 4000
"""Reports kept; beyond that, they are thinned out."""
WAITING = 500
"""Messages that wait for one client; beyond that, it is told the whole history anew."""
PARAMETERS, ACTIVATIONS, DEPTH = 20_000_000, 100_000_000, 200
"""Numbers trained, numbers computed a step, and layers: what clients may ask for. A network that
the lab was started with may be as large as it is."""

_FOREVER = 2**31 - 1


class Mailbox:
    """What waits to be sent to one client. The session puts in, the server takes out.

    Args:
        wake: called, from the session's thread, when something is there.
        history: gives the message with all reports.
    """

    def __init__(self, wake: Callable[[], None], history: Callable[[], str]) -> None:
        self._wake, self._history = wake, history
        self._lock = threading.Lock()
        self._latest: dict[str, str | bytes] = {}
        self._queue: deque[str] = deque()
        # The session's thread alone touches these.
        self.example: Example | None = None
        self.ready = False
        self.shown: object = None

    def put(self, kind: str, message: str | bytes) -> None:
        """Leaves a message; of "lab", "history", "status" and "snapshot", the latest stays."""
        with self._lock:
            if kind in ("report", "error"):
                self._queue.append(message)  # type: ignore[arg-type]
                if len(self._queue) > WAITING:
                    self._queue.clear()
                    self._latest["history"] = ""
            else:
                if kind == "history":
                    self._queue.clear()
                self._latest[kind] = message
        self._wake()

    def take(self) -> list[str | bytes]:
        """All that is there, in the order in which it makes sense."""
        with self._lock:
            latest, self._latest = self._latest, {}
            queued, self._queue = list(self._queue), deque()
        if "history" in latest:
            latest["history"] = self._history()
        first = [latest[kind] for kind in ("lab", "history") if kind in latest]
        last = [latest[kind] for kind in ("status", "snapshot") if kind in latest]
        return [*first, *queued, *last]


class Opened(NamedTuple):
    """What a session starts from.

    Attributes:
        path: the config's file, or the run directory.
        config: the config as given: schedules that name no horizon have none.
        experiment: what it describes.
        train_state: where training stands.
        records: the reports so far, as in ``metrics.jsonl``.
    """

    path: Path
    config: Config
    experiment: Experiment
    train_state: TrainState
    records: list[dict[str, Any]]


def open_source(path: str | Path, overrides: Sequence[str] = ()) -> Opened:
    """Reads a config, or a run directory with its parameters.

    The optimizer's state is that of the run's checkpoint, if there is one that belongs to the
    parameters and to the optimizer; else a fresh one. A run that was interrupted starts from its
    newest checkpoint.

    Raises:
        ConfigError, DataError: as from ``load_config`` and ``build``.
        RunError: if a directory is no run, or its arrays are not those of the config's network.
    """
    path = Path(path)
    if not path.is_dir():
        config = load_config(path, overrides)
        experiment = build(config)
        return Opened(path, config, experiment, initial_state(experiment), [])
    if not (path / CONFIG).is_file():
        raise RunError(f"{path}: not a run directory: there is no {CONFIG}")
    config = load_config(path / CONFIG, overrides)
    experiment = build(config)
    try:
        found: TrainState | None = load_checkpoint(
            path / CHECKPOINTS, lambda: initial_state(experiment)
        ).train_state
    except RunError:
        if not (path / MODEL).is_file():
            raise
        found = None
    if (path / MODEL).is_file():
        params, state = load_model(path / MODEL, experiment)
        if found is None or not _equal((found.params, found.state), (params, state)):
            fresh = initial_state(experiment)
            step = jnp.asarray(_summary(path).get("steps", 0), jnp.int32)
            found = fresh._replace(step=step, params=params, state=state)
    assert found is not None
    return Opened(path, config, experiment, found, _read_records(path, int(found.step)))


class Session:
    """Trains, and answers, in a thread of its own, until it is closed.

    ``lab`` describes the network and the data; like ``experiment`` it is replaced as a whole.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._allowed = _imports(opened.config.model)
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._mailboxes: list[Mailbox] = []
        self._closing = False
        self._version = 0
        self._predicting: dict[str, _Predicting] = {}
        self._programs, self._looked = _programs(opened.experiment), False
        self._given = _describe_given(opened.experiment.dataset)
        self._adopt(opened.config, opened.experiment, opened.train_state, opened.records)
        self._thread = threading.Thread(target=self._run, name="session")
        self._thread.start()

    def _adopt(
        self,
        config: Config,
        experiment: Experiment,
        train_state: TrainState,
        records: list[dict[str, Any]],
    ) -> None:
        self._config, self.experiment, self._state = config, experiment, train_state
        self._version += 1
        self._per_epoch = steps_per_epoch(experiment.dataset, experiment.config.training.batch_size)
        self._records = records
        self._health = health()
        self._reports: Generator[Report, Change | None, None] | None = None
        self._unpublished: list[tuple[int, Report]] = []
        self._published_at = 0.0
        self._until: int | None = None
        self._steps_per_second = 0.0
        self._changed = False  # the state, by hand: the generator is to be told
        self._compiling = False
        self._trained = False
        last = records[-1] if records else {}
        self._seconds = {key: last.get(key, 0.0) for key in ("train_seconds", "compile_seconds")}
        self._base = dict(self._seconds)
        self._predicted: dict[str, tuple[int, bytes]] = {}
        leaves = {path for path, layer in walk(experiment.network) if not layer.layers}
        rows = describe(experiment.network, experiment.dataset.in_shape)
        self._leaves = [row for row in rows if row.path in leaves]
        self._flops = self._step_flops()
        for split, waiting in self._predicting.items():
            self._predicting[split] = waiting._replace(batches=self._predict(split))
        self._snapshot_due = 0.0
        self.lab = self._describe()

    # From any thread.

    def call(self, function: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Has a method of the session called by its thread, between two chunks of training."""
        future: Future[T] = Future()
        self._tasks.put((lambda: function(*arguments), future))
        return future

    def close(self) -> None:
        """Ends the thread; a chunk of training is finished first."""
        self._closing = True
        self.call(lambda: None)
        self._thread.join()

    def history(self) -> str:
        """The message with all reports."""
        records = list(self._records)
        return to_json({"type": "history", "reports": [self._wire(row) for row in records]})

    @property
    def running(self) -> bool:
        """Whether training goes on."""
        return self._until is not None

    @property
    def clients(self) -> int:
        """How many clients have joined."""
        return len(self._mailboxes)

    # By the session's thread: `call` these.

    def join(self, mailbox: Mailbox) -> None:
        """Adds a client, which is told where training stands."""
        self._mailboxes.append(mailbox)
        mailbox.put("history", "")
        self._tell_status()

    def leave(self, mailbox: Mailbox) -> None:
        """Removes a client, if it has joined."""
        if mailbox in self._mailboxes:
            self._mailboxes.remove(mailbox)
            self._tell_status()

    def watch(self, mailbox: Mailbox, example: Example | None) -> None:
        """Chooses what a client's snapshots show.

        Raises:
            MessageError: if there is no such example.
        """
        if example is not None:
            stored_input(example, self.experiment.dataset)
        mailbox.example = example

    def ready(self, mailbox: Mailbox) -> None:
        """Takes note that a client has drawn its last snapshot."""
        mailbox.ready = True

    def start(self) -> None:
        """Trains to the end of the config's epochs; once these are over, until paused."""
        step = int(self._state.step)
        horizon = self.experiment.config.training.epochs * self._per_epoch
        self._go_to(horizon if step < horizon else _FOREVER)

    def step(self) -> None:
        """Takes one step and pauses."""
        self._go_to(int(self._state.step) + 1)

    def epoch(self, number: int = 1) -> None:
        """Trains to the end of the epoch, or that many epochs' from here, and pauses."""
        self._go_to((int(self._state.step) // self._per_epoch + number) * self._per_epoch)

    def pause(self) -> None:
        """Stops; where training stands is kept."""
        self._until = None
        self._publish_reports()
        self._tell_status()

    def reset(self) -> None:
        """Starts anew with fresh parameters, paused."""
        self._restart(self._config, self.experiment)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Changes the learning rate; one that followed a schedule is constant from here on.

        Raises:
            MessageError: if the optimizer has none.
        """
        if "learning_rate" not in hyperparameters(self._state.optimizer_state):
            raise MessageError(f"{self._config.optimizer.name} has no learning rate")
        scheduled = _scheduled(self.experiment.config.optimizer)
        self._config, config = (
            config.model_copy(update={"optimizer": _with_rate(config.optimizer, learning_rate)})
            for config in (self._config, self.experiment.config)
        )
        state = self._state.optimizer_state
        if scheduled:
            optimizer = config.optimizer.build("optimizer")
            self.experiment = self.experiment._replace(optimizer=optimizer)
            # The new state has no more than the old one had: it lacks the schedule's own step.
            leaves, fresh = named_leaves(state), optimizer.init(self._state.params)
            kept = [leaves[name] for name in named_leaves(fresh)]
            state = jax.tree.unflatten(jax.tree.structure(fresh), kept)
            self._reports = None
        self.experiment = self.experiment._replace(config=config)
        state = set_hyperparameters(state, learning_rate=learning_rate)
        self._state = self._state._replace(optimizer_state=state)
        self.lab = self._describe()
        self._changed = True
        self._tell_status()

    def configure(self, change: Configure) -> None:
        """Changes the config and starts training anew, paused.

        Raises:
            ConfigError: if it does not make an experiment, or one larger than allowed; everything
                stays as it was.
        """
        values = self._config.model_dump()
        if change.batch_size is not None:
            values["training"]["batch_size"] = change.batch_size
        for key in ("optimizer", "model", "seed"):
            if (value := getattr(change, key)) is not None:
                values[key] = value
        config = parse_config(values, "configure")
        if foreign := _imports(config.model) - self._allowed:
            raise ConfigError(
                f"model: {', '.join(sorted(foreign))}: functions of yours are imported from the "
                "config that the lab is started with, not from the page"
            )
        experiment = build(config, self.experiment.dataset)
        self._check_size(experiment)
        self._programs, self._looked = _programs(experiment), False
        self._restart(config, experiment)
        self._tell("lab", {"type": "lab", **self.lab})

    def trace(self, example: Example) -> bytes:
        """What the network does with an example, packed; see ``jaxnn.web.server``."""
        return self._trace("trace", example)

    def prepare(self, drawing: Drawing) -> bytes:
        """A drawing as an example of the data set, packed.

        Raises:
            MessageError: if ``ink`` has not the drawing's size.
            DataError: if nothing is drawn, or the data set's examples are no images.
        """
        pixels = prepare(drawing.image(), self.experiment.dataset)
        return pack({"type": "prepared"}, {"pixels": pixels})

    def predictions(self, split: str, answer: "Future[bytes]") -> None:
        """Predicts a whole split and, some time later, sets the answer; see the server."""
        kept = self._predicted.get(split)
        if kept is not None and kept[0] == self._version:
            if answer.set_running_or_notify_cancel():
                answer.set_result(kept[1])
        elif split in self._predicting:
            self._predicting[split].answers.append(answer)
        else:
            self._predicting[split] = _Predicting(self._predict(split), [answer])

    # The rest is the thread's own.

    def _restart(self, config: Config, experiment: Experiment) -> None:
        self._adopt(config, experiment, initial_state(experiment), [])
        self._tell_history()
        self._tell_status()

    def _run(self) -> None:
        while not self._closing:
            idle = self._until is None and not self._predicting and not self._wants_snapshot()
            self._work_off(block=idle)
            if self._until is not None:
                self._guard(self._advance)
            if self._predicting:
                self._guard(self._predict_some)
            self._guard(self._send_snapshots)

    def _guard(self, work: Callable[[], None]) -> None:
        """Does a part of the work; if it fails, training pauses and the lab goes on."""
        try:
            work()
        except Exception as error:
            if not isinstance(error, JaxnnError):
                traceback.print_exc()
            self._until, self._reports = None, None
            failed, self._predicting = self._predicting, {}
            for waiting in failed.values():
                for answer in waiting.answers:
                    if answer.set_running_or_notify_cancel():
                        answer.set_exception(error)
            for mailbox in self._mailboxes:
                mailbox.ready = False
            self._publish_reports()
            self._tell("error", {"type": "error", "message": str(error) or repr(error)})
            self._tell_status()

    def _work_off(self, block: bool) -> None:
        """Carries out what has been asked for so far; waits for something if ``block``."""
        for _ in range(max(self._tasks.qsize(), int(block))):
            function, future = self._tasks.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _go_to(self, step: int) -> None:
        self._until = step
        self._tell_status()

    def _advance(self) -> None:
        """Takes a chunk of steps."""
        assert self._until is not None
        before = int(self._state.step)
        wanted = any(mailbox.ready and mailbox.example for mailbox in self._mailboxes)
        steps = max(1, int(self._steps_per_second * (WATCHED if wanted else UNWATCHED)))
        steps = min(steps, self._until - before)
        if self._reports is None:
            self._base = dict(self._seconds)
            with self._compilation():
                self._reports = self._fit()
                report = next(self._reports)
        else:
            change = Change(self._state if self._changed else None, steps)
            report = self._reports.send(change)
        self._changed = False
        taken = report.step - before
        training = self.experiment.config.training
        self._steps_per_second = report.examples_per_second / training.batch_size
        self._seconds = {key: self._base[key] + getattr(report, key) for key in self._base}
        self._state = report.train_state
        self._version += 1
        self._trained = True
        steps = training.epochs * self._per_epoch
        report = report._replace(train_state=None, steps=steps, **self._seconds)  # type: ignore[arg-type]
        self._unpublished.append((taken, report))
        if report.step >= self._until:
            self._until = None
        if self._until is None or time.monotonic() - self._published_at >= REPORT_SECONDS:
            self._publish_reports()
            self._tell_status()

    def _fit(self) -> Generator[Report, Change | None, None]:
        config = self.experiment.config
        without_end = {"epochs": _FOREVER // self._per_epoch, "chunk_steps": 1}
        training = config.training.model_copy(update=without_end)
        config = config.model_copy(update={"training": training})
        return fit_experiment(self.experiment._replace(config=config), self._state)

    def _publish_reports(self) -> None:
        if not self._unpublished:
            return
        report = _together(self._unpublished)
        self._unpublished.clear()
        self._published_at = time.monotonic()
        report = report._replace(warnings=self._health(report))
        row = record(report)
        self._records.append(row)
        if len(self._records) > HISTORY:
            self._records = _thinned(self._records, HISTORY // 2)
        self._tell("report", self._wire(row))

    def _wire(self, row: dict[str, Any]) -> dict[str, Any]:
        """A line of ``metrics.jsonl`` as clients get it."""
        validation = None
        if "validation_loss" in row:
            validation = {"loss": row["validation_loss"], "accuracy": row["validation_accuracy"]}
        keys = ("step", "epoch", "loss", "accuracy", "examples_per_second", "train_seconds")
        return {
            "type": "report",
            **{key: row[key] for key in keys},
            "gflops": row["examples_per_second"] * self._flops / 1e9,
            "validation": validation,
            "warnings": row.get("warnings", []),
        }

    def _tell(self, kind: str, values: dict[str, Any]) -> None:
        if self._mailboxes:
            message = to_json(values)
            for mailbox in self._mailboxes:
                mailbox.put(kind, message)

    def _tell_history(self) -> None:
        for mailbox in self._mailboxes:
            mailbox.put("history", "")

    def _tell_status(self) -> None:
        step = int(self._state.step)
        rate = hyperparameters(self._state.optimizer_state).get("learning_rate")
        self._tell(
            "status",
            {
                "type": "status",
                "running": self._until is not None,
                "compiling": self._compiling,
                "step": step,
                "steps_per_epoch": self._per_epoch,
                "epoch": step / self._per_epoch,
                "epochs": self.experiment.config.training.epochs,
                "learning_rate": None if rate is None else float(f"{float(rate):.7g}"),
                "batch_size": self.experiment.config.training.batch_size,
                "clients": len(self._mailboxes),
            },
        )

    @contextmanager
    def _compilation(self) -> Iterator[None]:
        self._compiling = True
        self._tell_status()
        try:
            yield
        finally:
            self._compiling = False
            self._tell_status()

    # Traces and snapshots.

    def _trace(self, kind: str, example: Example) -> bytes:
        dataset = self.experiment.dataset
        inputs, target = stored_input(example, dataset)
        params, state = self._state.params, self._state.state
        given = jnp.asarray([-1 if target is None else target], jnp.int32)
        with self._compilation() if not self._looked else nullcontext():
            arrays = jax.device_get(self._programs.look(params, state, inputs[None], given))
        self._looked = True
        header = {
            "type": kind,
            "step": int(self._state.step),
            "example": example.model_dump() if isinstance(example, Stored) else None,
            "target": int(arrays.pop("target")),
            "given": target is not None,
            "predicted": int(arrays["probabilities"].argmax()),
        }
        for i, row in enumerate(self._leaves):
            for name, leaf in named_leaves(at_path(params, row.path)).items():
                arrays[f"{i}.{name}"] = np.asarray(leaf)
        return pack(header, arrays)

    def _due(self, mailbox: Mailbox) -> bool:
        wants = mailbox.ready and mailbox.example is not None
        return wants and mailbox.shown != (self._version, mailbox.example)

    def _wants_snapshot(self) -> bool:
        return any(map(self._due, self._mailboxes))

    def _send_snapshots(self) -> None:
        """Computes what ready clients watch, once for all who watch the same."""
        started, compiled = time.monotonic(), self._looked
        if self._until is not None and started < self._snapshot_due:
            return
        made: dict[str, bytes] = {}
        for mailbox in self._mailboxes:
            if not self._due(mailbox):
                continue
            assert mailbox.example is not None
            key = mailbox.example.model_dump_json()
            if key not in made:
                made[key] = self._trace("snapshot", mailbox.example)
            mailbox.ready = False
            mailbox.shown = (self._version, mailbox.example)
            mailbox.put("snapshot", made[key])
        if made and compiled:  # else most of the time was the compiler's
            ended = time.monotonic()
            self._snapshot_due = ended + (ended - started) * (1 / SNAPSHOT_SHARE - 1)

    # Predictions.

    def _predict(self, split: str) -> Iterator[bytes | None]:
        """Predicts a split a batch at a time; yields None after each and at last the result."""
        version, step = self._version, int(self._state.step)
        params, state = self._state.params, self._state.state
        inputs, targets = getattr(self.experiment.dataset, split)
        size = min(500, len(targets))
        parts = []
        for start in range(0, len(targets), max(size, 1)):
            rows = np.minimum(np.arange(start, start + size), len(targets) - 1)
            part = self._programs.predict(params, state, inputs[rows], targets[rows])
            parts.append(jax.device_get(part))
            yield None
        columns = [np.concatenate(column)[: len(targets)] for column in zip(*parts, strict=True)]
        columns = columns or [np.zeros(0, dtype) for dtype in ("int32", "float32", "float32")]
        names = ("predicted", "confidence", "loss")
        header = {"type": "predictions", "split": split, "step": step}
        result = pack(header, dict(zip(names, columns, strict=True)))
        self._predicted[split] = (version, result)
        yield result

    def _predict_some(self) -> None:
        """Goes on with what is being predicted, for a moment."""
        ends = time.monotonic() + WATCHED
        while self._predicting and time.monotonic() < ends:
            split, work = next(iter(self._predicting.items()))
            result = next(work.batches)
            if result is not None:
                del self._predicting[split]
                for answer in work.answers:
                    if answer.set_running_or_notify_cancel():
                        answer.set_result(result)

    # What there is.

    def _describe(self) -> dict[str, Any]:
        config = self.experiment.config
        forward, backward = formulas.of_loss(config.loss.name)
        return {
            "name": config.name,
            "source": "run" if self._opened.path.is_dir() else "config",
            "path": str(self._opened.path),
            "layers": self._layers(),
            "config": config.model_dump(),
            "loss": config.loss.name,
            "loss_formula": {"formula": forward, "backward": backward},
            **self._given,
        }

    def _layers(self) -> list[dict[str, Any]]:
        rows = []
        for row in self._leaves:
            params = named_leaves(at_path(self._state.params, row.path))
            forward, backward = formulas.of_layer(row.name, params)
            rows.append(
                {
                    "path": list(row.path),
                    "label": label(row.path, row.name),
                    "name": row.name,
                    "in_shape": list(row.in_shape),
                    "out_shape": list(row.out_shape),
                    "parameters": row.parameters,
                    "formula": forward,
                    "backward": backward,
                    "params": {name: list(leaf.shape) for name, leaf in params.items()},
                }
            )
        return rows

    def _step_flops(self) -> float:
        """Floating-point operations an example of a step, those of matrix products alone.

        A weight of shape (..., in, out) is used at each of the output's positions, in a product
        and a sum; backward does twice as much, but for the first layer, whose input has no
        gradient.
        """
        total = 0.0
        for row in self._leaves:
            for leaf in jax.tree.leaves(at_path(self._state.params, row.path)):
                if leaf.ndim >= 2:
                    positions = math.prod(row.out_shape) / leaf.shape[-1]
                    total += 2 * leaf.size * positions * (3 if total else 2)
        return total

    def _check_size(self, experiment: Experiment) -> None:
        """Raises ConfigError for a network that would exhaust the machine."""
        names = ("parameters", "numbers computed a step", "layers")
        sizes = (PARAMETERS, ACTIVATIONS, DEPTH), _size(self._opened.experiment), _size(experiment)
        for name, limit, opened, asked in zip(names, *sizes, strict=True):
            if asked > max(limit, opened):
                raise ConfigError(
                    f"model: {asked:,} {name} are more than the page may ask for "
                    f"({max(limit, opened):,}); start the lab with a config of that size instead"
                )

    # The end.

    @property
    def trained(self) -> bool:
        """Whether there is training that is nowhere but here."""
        return self._trained

    def save(self, path: str | Path | None = None) -> Path:
        """Writes what was trained as a run directory, once the session is closed.

        It is like those of ``jaxnn.experiment.train``: ``load_run`` and ``resume`` take it.

        Args:
            path: the directory, new or empty; by default ``runs/<config>-<timestamp>``.

        Raises:
            RunError: if it cannot be written.
        """
        config = self.experiment.config
        path = new_run_path(config) if path is None else Path(path)
        check_free(path)
        step = int(self._state.step)
        epochs = max(config.training.epochs, -(-step // self._per_epoch))
        training = config.training.model_copy(update={"epochs": epochs})
        experiment = self.experiment._replace(
            config=config.model_copy(update={"training": training})
        )
        self._publish_reports()
        info = {
            "best": None,
            "stopped_early": False,
            **self._seconds,
            "warnings": [text for row in self._records for text in row.get("warnings", [])],
        }
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        write_text(path / CONFIG, experiment.config.to_yaml())
        write_text(path / METRICS, "".join(to_json(row) + "\n" for row in self._records))
        with writing(path / CHECKPOINTS):
            save_checkpoint(path / CHECKPOINTS, self._state, info)
        finish(path, experiment, self._state, info)
        self._trained = False
        return path


class _Predicting(NamedTuple):
    batches: Iterator[bytes | None]
    answers: list["Future[bytes]"]


class _Programs(NamedTuple):
    """What is compiled, once a network."""

    look: Callable[..., dict[str, Array]]
    predict: Callable[..., tuple[Array, Array, Array]]


def _describe_given(dataset: Dataset) -> dict[str, Any]:
    """What stays as it is, whatever is changed in the lab: the data, and what can be chosen."""
    shape, some = dataset.in_shape, dataset.train.inputs[:10_000]  # the rest may lie on a disk
    image = len(shape) == 3 and shape[-1] in (1, 3) and some.dtype == np.uint8
    return {
        "dataset": {
            "name": dataset.name,
            "shape": list(shape),
            "dtype": str(some.dtype),
            "limits": [min(float(some.min()), 0.0), float(some.max())],
            "classes": list(dataset.classes),
            "splits": {
                split: len(getattr(dataset, split).targets)
                for split in ("train", "validation", "test")
            },
            "image": image,
            "drawable": image,
            "mean": np.atleast_1d(dataset.mean).tolist(),
            "deviation": np.atleast_1d(dataset.deviation).tolist(),
        },
        "optimizers": {
            name: values | {"learning_rate": _RATES.get(name, 1e-3)}
            for name, function in OPTIMIZERS.items()
            if "learning_rate" in (values := defaults(function))
        },
        "layer_types": {name: defaults(function) for name, function in LAYERS.items()},
    }


_RATES = {"sgd": 0.1, "adagrad": 0.01, "lion": 1e-4, "muon": 0.02}


def _programs(experiment: Experiment) -> _Programs:
    config, dataset, network, loss, _ = experiment
    leaves = [path for path, layer in walk(network) if not layer.layers]

    def normalized(inputs: Array) -> Array:
        return standardize(inputs, dataset, jnp.result_type(float))

    @jax.jit
    def look(params: Tree, state: Tree, inputs: Array, target: Array) -> dict[str, Array]:
        x = normalized(inputs)
        outputs, _, _ = network.forward(params, state, x)
        target = jnp.where(target < 0, outputs.argmax(-1), target)
        traced = trace(network, loss, params, state, x, target)
        at = {layer.path: layer for layer in traced.layers}
        arrays = {
            "target": target[0],
            "probabilities": probabilities(outputs, loss)[0],
            "loss": traced.loss,
        }
        for i, path in enumerate(leaves):
            layer = at[path]
            arrays[f"{i}.input"], arrays[f"{i}.output"] = layer.input[0], layer.output[0]
            arrays[f"{i}.d_output"] = layer.d_output[0]
            if layer.d_input is not None:
                arrays[f"{i}.d_input"] = layer.d_input[0]
            for name, gradient in named_leaves(layer.gradients).items():
                arrays[f"{i}.d_{name}"] = gradient
        return arrays

    @jax.jit
    def predict(
        params: Tree, state: Tree, inputs: Array, targets: Array
    ) -> tuple[Array, Array, Array]:
        x = normalized(inputs)
        if config.dtype is not None:
            params, x = cast((params, x), config.dtype)
        outputs, _, _ = network.forward(params, state, x)
        chances = probabilities(outputs, loss).astype(jnp.float32)
        losses = jax.vmap(lambda output, target: loss(output[None], target[None], None)[0])(
            outputs, targets
        )
        predicted = outputs.argmax(-1).astype(jnp.int32)
        return predicted, chances.max(-1), losses.astype(jnp.float32)

    return _Programs(look, predict)


def _together(parts: Sequence[tuple[int, Report]]) -> Report:
    """The reports of chunks that follow each other as one; each with its number of steps."""
    steps = sum(taken for taken, _ in parts)
    last = parts[-1][1]

    def latest(key: str) -> Any:
        found = [getattr(report, key) for _, report in parts if getattr(report, key) is not None]
        return found[-1] if found else None

    return last._replace(
        loss=sum(taken * report.loss for taken, report in parts) / steps,
        accuracy=sum(taken * report.accuracy for taken, report in parts) / steps,
        examples_per_second=steps
        / sum(taken / report.examples_per_second for taken, report in parts),
        validation=latest("validation"),
        statistics=latest("statistics"),
    )


def _thinned(records: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """About so many of the records, evenly over the steps; none with a warning is left out."""
    apart = (records[-1]["step"] - records[0]["step"]) / number
    kept = records[:1]
    for row in records[1:]:
        if row["step"] - kept[-1]["step"] >= apart or "warnings" in row:
            kept.append(row)
    return kept


def _size(experiment: Experiment) -> tuple[int, int, int]:
    """How many numbers a network trains and computes a step, and of how many layers it is."""
    rows = describe(experiment.network, experiment.dataset.in_shape)
    outputs = sum(math.prod(row.out_shape) for row in rows)
    layers = sum(not layer.layers for _, layer in walk(experiment.network))
    return rows[0].parameters, outputs * experiment.config.training.batch_size, layers


def _imports(call: Any) -> set[str]:
    """The functions outside the library that a config's model names."""
    if isinstance(call, Call):
        own = {call.name} - set(call.family)
        return own.union(*map(_imports, call.arguments.values()))
    return set().union(*map(_imports, call)) if isinstance(call, list) else set()


def _scheduled(call: Any) -> bool:
    if isinstance(call, Call):
        return call.family is SCHEDULES or any(map(_scheduled, call.arguments.values()))
    return isinstance(call, list) and any(map(_scheduled, call))


def _with_rate(argument: Any, learning_rate: float) -> Any:
    """An optimizer's call with another learning rate, wherever it has one."""
    if isinstance(argument, list):
        return [_with_rate(a, learning_rate) for a in argument]
    if not isinstance(argument, Call):
        return argument
    return argument._replace(
        arguments={
            name: learning_rate if name == "learning_rate" else _with_rate(value, learning_rate)
            for name, value in argument.arguments.items()
        }
    )


def _equal(a: Tree, b: Tree) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def _summary(path: Path) -> dict[str, Any]:
    try:
        return json.loads((path / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _read_records(path: Path, step: int) -> list[dict[str, Any]]:
    """The reports of a run up to a step; none if they cannot be read."""
    try:
        lines = (path / METRICS).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [row for row in rows if row["step"] <= step]
    except (OSError, ValueError, KeyError, TypeError):
        return []
