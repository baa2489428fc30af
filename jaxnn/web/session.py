"""The lab's training session: one thread that owns all computing.

Training, traces and predictions share the devices, so one thread does them in turn: what clients
ask for between two chunks of training, as much of it as takes a moment. It never waits for a
client: what it has to say goes into the clients' mailboxes, where a new snapshot takes the place of
one that was not fetched. Nor does it compile or compute itself: it waits for a thread that does
(``jaxnn.web.work``), and where that takes long, and somebody pauses, resets, changes the config or
ends the lab, it waits no longer.
"""

import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import jax

from jaxnn.arrays import named_leaves
from jaxnn.config import Config, Experiment, build
from jaxnn.data import prepare
from jaxnn.errors import JaxnnError
from jaxnn.observe import to_json
from jaxnn.optimizers import hyperparameters, set_hyperparameters
from jaxnn.runs import fit_experiment, initial_state
from jaxnn.runs.data import to_keep
from jaxnn.training import Change, Report, TrainState, steps_per_epoch
from jaxnn.web.changes import check_size, configured, scheduled, with_learning_rate
from jaxnn.web.description import describe_given, describe_training, step_flops
from jaxnn.web.history import History
from jaxnn.web.mailbox import Mailbox
from jaxnn.web.messages import Configure, Drawing, Example, MessageError, pack, stored_input
from jaxnn.web.predictions import Predictions
from jaxnn.web.programs import Programs
from jaxnn.web.storage import Opened, save_run
from jaxnn.web.work import GivenUpError, Kind, Work

T = TypeVar("T")

WATCHED, UNWATCHED = 0.05, 0.25
"""Seconds between two looks at what clients want: how long a chunk of training takes."""
SNAPSHOT_SHARE = 0.2
"""Of the time of training, that snapshots may take."""

_FOREVER = 2**31 - 1


class Session:
    """Trains, and answers, in a thread of its own, until it is closed.

    ``lab`` describes the network and the data; like ``experiment`` it is replaced as a whole.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._work = Work()
        self._mailboxes: list[Mailbox] = []
        self._closing = False
        self._version = 0
        self._predictions = Predictions()
        self._programs = Programs(opened.experiment)
        limits = opened.kept.info.limits if opened.kept else None
        self._given = describe_given(opened.experiment.dataset, limits)
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
        self._per_epoch = self._steps_per_epoch(experiment)
        self._reports: Generator[Report, Change | None, None] | None = None
        self._until: int | None = None
        self._steps_per_second = 0.0
        self._changed = False  # the state, by hand: the generator is to be told
        self._compiling = False
        self._trained = False
        last = records[-1] if records else {}
        self._seconds = {key: last.get(key, 0.0) for key in ("train_seconds", "compile_seconds")}
        self._base = dict(self._seconds)
        flops = step_flops(self._programs.layers, train_state.params)
        self._history = History(records, flops, experiment.dataset, experiment.loss)
        self._predictions.begin_anew()
        self._snapshot_due = 0.0
        self.lab = self._describe()

    def _steps_per_epoch(self, experiment: Experiment) -> int:
        batch_size = experiment.config.training.batch_size
        if self._opened.kept is None or not experiment.dataset.missing:
            return steps_per_epoch(experiment.dataset, batch_size)
        return max(1, self._opened.kept.info.splits["train"].examples // batch_size)

    # From any thread.

    def call(self, function: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Has a method of the session called by its thread, between two chunks of training.

        Commands come first, in their order, and what takes long is given up for those to pause, to
        reset and to configure. Clients come and go at once.
        """
        future: Future[T] = Future()
        kind: Kind = "other"
        if function in (self.join, self.leave, self.watch, self.ready):
            kind = "light"
        elif function in (self.pause, self.reset, self.configure):
            kind = "urgent"
        elif function in (self.start, self.step, self.epoch, self.set_learning_rate):
            kind = "command"
        self._work.put(lambda: function(*arguments), future, kind)
        return future

    def stop(self) -> None:
        """Lets the thread end; a chunk of training is finished first, unless it takes long."""
        self._closing = True
        self._work.put(lambda: None, Future(), "urgent")

    def close(self) -> None:
        """Stops, and waits for the thread's end."""
        self.stop()
        self._thread.join()

    @property
    def computing(self) -> bool:
        """Whether work that was given up is still running, as it may after the end."""
        return self._work.left > 0

    def history(self) -> str:
        """Returns the message with all reports."""
        return self._history.message()

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
        self._need_data()
        self._until = None
        with self._compilation():
            fresh = self._work.do(initial_state, self.experiment)
        self._restart(self._config, self.experiment, fresh)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Changes the learning rate; one that followed a schedule is constant from here on.

        Raises:
            MessageError: if the optimizer has none.
        """
        if "learning_rate" not in hyperparameters(self._state.optimizer_state):
            raise MessageError(f"{self._config.optimizer.name} has no learning rate")
        config = with_learning_rate(self.experiment.config, learning_rate)
        state = self._state.optimizer_state
        if scheduled(self.experiment.config.optimizer):
            optimizer = config.optimizer.build("optimizer")
            self.experiment = self.experiment._replace(optimizer=optimizer)
            # The new state has no more than the old one had: it lacks the schedule's own step.
            leaves, fresh = named_leaves(state), optimizer.init(self._state.params)
            kept = [leaves[name] for name in named_leaves(fresh)]
            state = jax.tree.unflatten(jax.tree.structure(fresh), kept)
            self._reports = None
        self.experiment = self.experiment._replace(config=config)
        self._config = with_learning_rate(self._config, learning_rate)
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
            MessageError: if the data are missing.
        """
        self._need_data()

        def make() -> tuple[Config, Experiment, Programs, TrainState]:
            config = configured(self._config, change, self._opened.config)
            experiment = build(config, self.experiment.dataset)
            check_size(experiment, self._opened.experiment)
            return config, experiment, Programs(experiment), initial_state(experiment)

        config, experiment, self._programs, fresh = self._work.do(make)
        self._restart(config, experiment, fresh)
        self._tell("lab", {"type": "lab", **self.lab})

    def trace(self, example: Example) -> bytes:
        """Returns what the network does with an example, packed; see ``jaxnn.web.server``."""
        return self._trace("trace", example)

    def prepare(self, drawing: Drawing) -> bytes:
        """Returns a drawing as an example of the data set, packed.

        Raises:
            MessageError: if ``ink`` has not the drawing's size.
            DataError: if nothing is drawn, or the data set's examples are no images.
        """
        pixels = prepare(drawing.image(), self.experiment.dataset)
        return pack({"type": "prepared"}, {"pixels": pixels})

    def predictions(self, split: str, answer: "Future[bytes]") -> None:
        """Predicts a whole split and, some time later, sets the answer; see the server."""
        self._predictions.ask(split, self._version, answer)

    # The rest is the thread's own.

    def _restart(self, config: Config, experiment: Experiment, fresh: TrainState) -> None:
        self._adopt(config, experiment, fresh, [])
        self._tell_history()
        self._tell_status()

    def _run(self) -> None:
        while not self._closing:
            idle = self._until is None and not self._predictions and not self._wants_snapshot()
            self._work_off(block=idle)
            if self._until is not None:
                self._guard(self._advance)
            if self._predictions:
                self._guard(self._predict_some)
            self._guard(self._send_snapshots)
        self._work.close()
        self._predictions.fail(JaxnnError("the lab has ended"))

    def _guard(self, work: Callable[[], None]) -> None:
        """Does a part of the work; if it fails, training pauses and the lab goes on."""
        try:
            work()
        except GivenUpError:  # for a pause, a reset, or a config that may turn out to be none
            self._until, self._reports = None, None
            self._predictions.begin_anew()  # who waits for them still gets them
            self._publish_reports()
            self._tell_status()
        except Exception as error:
            if not isinstance(error, JaxnnError):
                traceback.print_exc()
            self._until, self._reports = None, None
            self._predictions.fail(error)
            for mailbox in self._mailboxes:
                mailbox.ready = False
            self._publish_reports()
            self._tell("error", {"type": "error", "message": str(error) or repr(error)})
            self._tell_status()

    def _work_off(self, block: bool) -> None:
        """Carries out what has been asked for so far; waits for something if ``block``."""
        for _ in range(max(len(self._work), int(block))):
            self._work.carry_out()

    def _need_data(self) -> None:
        if self.experiment.dataset.missing:
            raise MessageError(self.experiment.dataset.missing)

    def _go_to(self, step: int) -> None:
        self._need_data()
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
                report = self._work.do(next, self._reports)
        else:
            change = Change(self._state if self._changed else None, steps)
            report = self._work.do(self._reports.send, change)
        self._changed = False
        taken = report.step - before
        training = self.experiment.config.training
        self._steps_per_second = report.examples_per_second / training.batch_size
        self._seconds = {key: self._base[key] + getattr(report, key) for key in self._base}
        self._state = report.train_state
        self._version += 1
        self._trained = True
        steps = training.epochs * self._per_epoch
        report = report._replace(train_state=None, steps=steps, **self._seconds)
        self._history.add(taken, report)
        if report.step >= self._until:
            self._until = None
        if self._until is None or self._history.due:
            self._publish_reports()
            self._tell_status()

    def _fit(self) -> Generator[Report, Change | None, None]:
        config = self.experiment.config
        without_end = {"epochs": _FOREVER // self._per_epoch, "chunk_steps": 1}
        training = config.training.model_copy(update=without_end)
        config = config.model_copy(update={"training": training})
        return fit_experiment(self.experiment._replace(config=config), self._state)

    def _publish_reports(self) -> None:
        if (row := self._history.publish()) is not None:
            self._tell("report", row)

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
        with nullcontext() if self._programs.looked else self._compilation():
            return self._work.do(self._programs.trace, self._state, example, kind)

    def _due(self, mailbox: Mailbox) -> bool:
        wants = mailbox.ready and mailbox.example is not None
        return wants and mailbox.shown != (self._version, mailbox.example)

    def _wants_snapshot(self) -> bool:
        return any(map(self._due, self._mailboxes))

    def _send_snapshots(self) -> None:
        """Computes what ready clients watch, once for all who watch the same."""
        started, compiled = time.monotonic(), self._programs.looked
        if self._until is not None and started < self._snapshot_due:
            return
        made: dict[str, bytes] = {}
        for mailbox in list(self._mailboxes):  # while one is computed, clients come and go
            if not self._due(mailbox):
                continue
            example = mailbox.example
            assert example is not None
            key = example.model_dump_json()
            if key not in made:
                made[key] = self._trace("snapshot", example)
            if mailbox.example == example:  # else its turn comes again, with what it watches now
                mailbox.ready = False
                mailbox.shown = (self._version, example)
                mailbox.put("snapshot", made[key])
        if made and compiled:  # else most of the time was the compiler's
            ended = time.monotonic()
            self._snapshot_due = ended + (ended - started) * (1 / SNAPSHOT_SHARE - 1)

    def _predict_some(self) -> None:
        def begin(split: str) -> Iterator[bytes | None]:
            batches = self._programs.predict(self._state, split)
            while True:
                yield self._work.do(next, batches)

        self._predictions.go_on(self._version, begin)

    def _describe(self) -> dict[str, Any]:
        layers, config = self._programs.layers, self.experiment.config
        return {
            "source": "run" if self._opened.path.is_dir() else "config",
            "path": str(self._opened.path),
            **describe_training(config, layers, self._state.params),
            **self._given,
        }

    # The end.

    @property
    def trained(self) -> bool:
        """Whether there is training that is nowhere but here."""
        return self._trained

    def save(self, path: str | Path | None = None) -> Path:
        """Writes what was trained as a run directory, once the session is closed.

        Args:
            path: the directory, new or empty; by default ``runs/<config>-<timestamp>``.

        Raises:
            RunError: if it cannot be written.
        """
        self._publish_reports()
        given = None if path is None else Path(path)
        path = save_run(
            given,
            self.experiment,
            self._opened.kept or to_keep(self.experiment),
            self._state,
            self._history.records,
            self._seconds,
        )
        self._trained = False
        return path
