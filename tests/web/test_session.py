"""The lab's session: the same training as anywhere else, whatever is asked for in between."""

import base64
import functools
import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxnn import load_run, trace
from jaxnn.arrays import named_leaves
from jaxnn.config import Config, build, cost, parse_config
from jaxnn.errors import JaxnnError, RunError
from jaxnn.optimizers import hyperparameters
from jaxnn.runs import MODEL, resume, save_model, train
from jaxnn.training import Change, Report, TrainState, fit, init_train_state
from jaxnn.web import predictions
from jaxnn.web.mailbox import Mailbox
from jaxnn.web.messages import Configure, Drawing, Drawn, MessageError, Stored, unpack
from jaxnn.web.programs import Programs
from jaxnn.web.session import Session
from jaxnn.web.storage import Opened, open_source

CONFIG: dict[str, Any] = {
    "name": "small",
    "data": {"digits": {}},
    "model": ["flatten", {"dense": 12}, "relu", {"dropout": 0.2}, {"dense": 10}],
    "optimizer": {"adam": {"learning_rate": {"cosine": {"peak": 0.01}}}},
    "training": {"epochs": 3, "batch_size": 64, "statistics_steps": 0},
}
PER_EPOCH = 20
Start = Callable[..., Session]


def config(**changes: Any) -> Config:
    return parse_config({**CONFIG, **changes})


def fresh(config: Config) -> Opened:
    experiment = build(config)
    state = init_train_state(
        experiment.network, experiment.optimizer, (8, 8, 1), experiment.config.seed
    )
    return Opened(Path("small.yaml"), config, experiment, state, [])


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts sessions, of a config or of what was opened, and ends them."""
    sessions = []

    def start_one(source: Config | Opened | None = None) -> Session:
        source = source or config()
        sessions.append(Session(source if isinstance(source, Opened) else fresh(source)))
        return sessions[-1]

    yield start_one
    for session in sessions:
        session.close()


def do(session: Session, function: Callable[..., Any], *arguments: Any) -> Any:
    """Asks the session for something, and waits until training has come to rest."""
    result = session.call(function, *arguments).result(60)
    deadline = time.monotonic() + 60
    while session.running:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return result


def state(session: Session) -> TrainState:
    return session.call(lambda: session._state).result(60)


def numbers(state: TrainState) -> bytes:
    parts = (state.step, state.params, state.state, state.optimizer_state)
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(parts))


def client(session: Session) -> Mailbox:
    mailbox = Mailbox(lambda: None, session.history)
    session.call(session.join, mailbox).result(60)
    return mailbox


def heard(mailbox: Mailbox, kind: str | None = None) -> list[dict[str, Any]]:
    """The JSON messages that were there, of one kind."""
    messages = [json.loads(m) for m in mailbox.take() if isinstance(m, str)]
    return [message for message in messages if kind in (None, message["type"])]


def trained(steps: int, **changes: Any) -> TrainState:
    """What ``fit`` makes of the config in so many steps."""
    return _trained(json.dumps(changes))[steps - 1]


@functools.cache
def _trained(changes: str) -> list[TrainState]:
    experiment = build(config(**json.loads(changes)))
    reports = fit(
        *(experiment.network, experiment.loss, experiment.optimizer, experiment.dataset),
        batch_size=experiment.config.training.batch_size,
        epochs=3,
        seed=experiment.config.seed,
        chunk_steps=1,
    )
    return [report.train_state for report in reports]


# Training


def test_it_trains_like_fit_whatever_is_asked_for_in_between(start: Start) -> None:
    session = start()
    for _ in range(3):
        do(session, session.step)
    assert int(state(session).step) == 3
    session.call(session.epoch, 2).result(60)
    session.call(session.trace, Stored(split="test", index=0)).result(60)
    session.call(session.pause).result(60)
    answer: Future[bytes] = Future()
    session.call(session.predictions, "validation", answer).result(60)
    do(session, session.epoch, 3 - int(state(session).step) // PER_EPOCH)
    assert len(answer.result(60))
    assert numbers(state(session)) == numbers(trained(3 * PER_EPOCH))


def test_commands_stop_where_they_say(start: Start) -> None:
    session = start()
    do(session, session.step)
    do(session, session.epoch)
    assert int(state(session).step) == PER_EPOCH
    do(session, session.epoch)
    assert int(state(session).step) == 2 * PER_EPOCH
    do(session, session.start)
    assert int(state(session).step) == 3 * PER_EPOCH  # the config's epochs
    session.call(session.start).result(60)
    while int(state(session).step) <= 3 * PER_EPOCH:  # and on, until paused
        assert session.running
    do(session, session.pause)
    stopped = int(state(session).step)
    assert int(state(session).step) == stopped


def test_a_reset_begins_anew(start: Start) -> None:
    session = start()
    before = numbers(state(session))
    mailbox = client(session)
    do(session, session.epoch)
    assert session.trained
    assert heard(mailbox, "report")
    do(session, session.reset)
    assert numbers(state(session)) == before
    assert not session.trained
    (history,) = heard(mailbox, "history")
    assert history["reports"] == []
    do(session, session.epoch)
    assert numbers(state(session)) == numbers(trained(PER_EPOCH))


def test_reports_say_what_happened(start: Start) -> None:
    session = start()
    mailbox = client(session)
    assert [m["type"] for m in heard(mailbox)] == ["history", "status"]
    do(session, session.epoch)
    do(session, session.epoch)
    reports = heard(mailbox, "report")
    assert reports[-1]["step"] == 2 * PER_EPOCH
    assert reports[-1]["epoch"] == 2
    assert reports[-1]["validation"]["accuracy"] > 0.2
    # 64 examples a step, each 2 · 2 · 64 · 12 + 3 · 2 · 12 · 10 operations
    flops = 4 * 64 * 12 + 6 * 12 * 10
    assert reports[-1]["gflops"] * 1e9 == pytest.approx(
        flops * reports[-1]["examples_per_second"], rel=1e-6
    )
    late = client(session)
    (history,) = heard(late, "history")
    assert history["reports"] == reports


# Changes


@pytest.mark.long
def test_a_learning_rate_changes_while_training_runs(start: Start) -> None:
    session = start(config(optimizer={"sgd": {"learning_rate": 0.1, "momentum": 0.9}}))
    mailbox = client(session)
    do(session, session.epoch)
    session.call(session.epoch, 10**5).result(60)
    session.call(session.set_learning_rate, 1e-12).result(60)
    assert session.running
    assert heard(mailbox, "status")[-1]["learning_rate"] == 1e-12
    still = state(session).params
    session.call(lambda: None).result(60)  # a chunk later
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), still, state(session).params)
    assert max(jax.tree.leaves(moved)) < 1e-6
    do(session, session.pause)
    assert session.lab["config"]["optimizer"]["sgd"]["learning_rate"] == 1e-12


def test_a_scheduled_learning_rate_becomes_constant_and_the_rest_stays(start: Start) -> None:
    session = start()
    do(session, session.epoch)
    before = named_leaves(state(session).optimizer_state)
    do(session, session.set_learning_rate, 0.005)
    after = named_leaves(state(session).optimizer_state)
    changed = {name for name, leaf in after.items() if not np.array_equal(leaf, before[name])}
    assert {name.rpartition(".")[2] for name in changed} == {"learning_rate"}
    assert any(name.endswith("mu") or "m" in name for name in after)
    do(session, session.epoch)
    rates = hyperparameters(state(session).optimizer_state)
    assert float(rates["learning_rate"]) == pytest.approx(0.005)


def test_a_learning_rate_is_for_what_was_there_when_it_was_set(start: Start) -> None:
    session = start(config(optimizer={"sgd": 0.1}))
    released = threading.Event()
    session.call(released.wait, 60)
    changed = session.call(session.set_learning_rate, 0.5)
    other = Configure(type="configure", optimizer={"adam": 0.01})
    session.call(session.configure, other)
    released.set()
    changed.result(60)
    now = hyperparameters(state(session).optimizer_state)
    assert float(now["learning_rate"]) == pytest.approx(0.01)
    assert session.lab["config"]["optimizer"]["adam"]["learning_rate"] == 0.01


def test_an_optimizer_without_a_learning_rate_has_none_to_change(start: Start) -> None:
    session = start(config(optimizer={"clip_by_global_norm": 1.0}))
    mailbox = client(session)
    assert heard(mailbox, "status")[-1]["learning_rate"] is None
    with pytest.raises(MessageError, match="clip_by_global_norm has no learning rate"):
        do(session, session.set_learning_rate, 0.1)


@pytest.mark.long
def test_another_config_is_another_training(start: Start) -> None:
    session = start()
    do(session, session.epoch)
    mailbox = client(session)
    mailbox.take()
    change = {
        "model": ["flatten", {"dense": 7}, "tanh", {"dense": 10}],
        "optimizer": {"sgd": 0.1},
        "seed": 3,
    }
    do(session, session.configure, Configure(type="configure", batch_size=32, **change))
    (lab,) = heard(mailbox, "lab")
    assert [layer["name"] for layer in lab["layers"]] == ["flatten", "dense", "tanh", "dense"]
    assert lab["config"]["training"]["batch_size"] == 32
    do(session, session.step)
    expected = trained(1, training={**CONFIG["training"], "batch_size": 32}, **change)
    assert numbers(state(session)) == numbers(expected)


@pytest.fixture(scope="module")
def settled() -> Iterator[Session]:
    session = Session(fresh(config()))
    do(session, session.step)
    yield session
    session.close()


def pool(**arguments: int) -> dict[str, Any]:
    return {"model": [{"avg_pool": arguments}, "flatten", {"dense": 10}]}


def nested(name: str, times: int, key: str, **others: int) -> Any:
    inner: Any = {"sgd": 0.1} if key == "optimizer" else ["flatten", {"dense": 10}]
    for _ in range(times):
        inner = {name: {key: inner, **others}}
    return inner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 10**6}, "between 1 and the 1297 training examples"),
        ({"optimizer": {"sdg": 0.1}}, "did you mean 'sgd'"),
        ({"optimizer": {"sgd": "fast"}}, "sgd"),
        ({"model": ["flatten", {"dense": 9}]}, "10 classes"),
        ({"model": ["dense"]}, "units: is required"),
        ({"model": "os:abort"}, "os:abort"),
        ({"optimizer": "os:abort"}, "os:abort"),
        ({"optimizer": {"chain": {"optimizers": ["os:abort"]}}}, "os:abort"),
        ({"model": [{"serial": {"layers": ["os:abort"]}}]}, "os:abort"),
        ({"model": [{"conv2d": {"units": 2, "weight_init": "os:abort"}}]}, "unknown initializer"),
        ({"model": ["flatten", {"dense": 2**31 - 1}, {"dense": 10}]}, "parameters are more"),
        ({"model": ["flatten", *["relu"] * 300, {"dense": 10}]}, "302 layers"),
        (pool(size=1, padding=40000), "40,000 rows of padding"),
        (pool(size=9001, padding=9000), "places of windows"),
        ({"model": ["flatten", *["relu"] * 9000, {"dense": 10}]}, "9,003 layers"),
        ({"model": nested("rematerialize", 13, "layer")}, "layers within each other"),
        ({"model": [{"conv2d": 10**6}, "flatten", {"dense": 10}], "batch_size": 1}, "are more"),
        ({"optimizer": {"muon": {"learning_rate": 0.1, "steps": 10**6}}}, "steps of muon"),
        ({"optimizer": {"chain": [{"sgd": 0.1}] * 1500}}, "1,501 optimizers"),
        ({"optimizer": nested("accumulate", 13, "optimizer", steps=2)}, "within each other"),
        (
            {
                "model": ["flatten", {"dense": 4000}, {"dense": 4000}, {"dense": 10}],
                "optimizer": {"chain": [{"exponential_moving_average": 0.9}] * 8},
            },
            "optimizer's state",
        ),
        ({"model": "x" * 60_000}, "unknown layer"),
        ({"optimizer": [[[]] * 9000]}, "expected one optimizer"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_config_that_cannot_be_changes_nothing(
    settled: Session, change: dict[str, Any], message: str
) -> None:
    before, lab = state(settled), settled.lab
    with pytest.raises(JaxnnError, match=message) as refused:
        do(settled, settled.configure, Configure(type="configure", **change))
    assert len(str(refused.value)) < 5000
    assert settled.lab is lab
    do(settled, settled.step)
    after = int(before.step) + 1
    assert numbers(state(settled)) == numbers(trained(after))


def test_divergence_pauses_and_is_told_to_all(start: Start) -> None:
    session = start(
        config(model=["flatten", {"dense": 10}], loss="quadratic", optimizer={"sgd": 0.1})
    )
    mailbox, other = client(session), client(session)
    do(session, session.epoch)
    do(session, session.set_learning_rate, 1e6)
    do(session, session.epoch, 10)
    for box in (mailbox, other):
        (error,) = heard(box, "error")
        assert "not finite" in error["message"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state(session).params))


# What the network does


def test_a_trace_is_that_of_the_library(start: Start) -> None:
    block = {"shortcut": {"layer": ["batch_norm", "relu"]}}
    first = [{"conv2d": 4}, {"rematerialize": {"layer": block}}, "max_pool", "flatten"]
    model = [*first, {"dropout": 0.5}, {"dense": 10}]
    session = start(config(model=model, optimizer={"sgd": 0.1}))
    do(session, session.step)
    header, arrays = unpack(do(session, session.trace, Stored(split="test", index=5)))
    _, dataset, network, loss, _ = session.experiment
    now = state(session)
    inputs, targets = dataset.test.inputs[5:6], dataset.test.targets[5:6]
    expected = jax.jit(lambda p, s, x: trace(network, loss, p, s, x, targets))(
        now.params, now.state, inputs
    )
    assert header["step"] == 1
    assert header["target"] == targets[0]
    np.testing.assert_allclose(arrays["loss"], expected.loss, rtol=1e-6)
    at = {layer.label: layer for layer in expected.layers}
    labels = [layer["label"] for layer in session.lab["layers"]]
    assert "1.0.0 batch_norm" in labels
    assert not {"serial", "shortcut"} & {layer["name"] for layer in session.lab["layers"]}
    compared = {"loss", "probabilities"}
    for i, name in enumerate(labels):
        for part in ("input", "output", "d_input", "d_output"):
            value = getattr(at[name], part)[0]
            np.testing.assert_allclose(arrays[f"{i}.{part}"], value, rtol=2e-5, atol=1e-6)
            compared.add(f"{i}.{part}")
        for parameter, gradient in at[name].gradients.items() if at[name].gradients else ():
            np.testing.assert_allclose(arrays[f"{i}.d_{parameter}"], gradient, rtol=2e-5, atol=1e-6)
            compared |= {f"{i}.{parameter}", f"{i}.d_{parameter}"}
    assert compared == arrays.keys()
    np.testing.assert_array_equal(arrays["0.weight"], now.params[0]["weight"])


def test_predictions_are_those_of_the_parameters(start: Start) -> None:
    session = start()
    do(session, session.epoch)

    def ask(split: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        answer: Future[bytes] = Future()
        session.call(session.predictions, split, answer).result(60)
        return unpack(answer.result(60))

    _, dataset, network, _, _ = session.experiment
    now = state(session)
    header, arrays = ask("test")
    assert header["step"] == PER_EPOCH
    outputs, _, _ = network.forward(now.params, now.state, dataset.test.inputs)
    shifted = np.exp(outputs - outputs.max(-1, keepdims=True))
    chances = shifted / shifted.sum(-1, keepdims=True)
    np.testing.assert_array_equal(arrays["predicted"], outputs.argmax(-1))
    np.testing.assert_allclose(arrays["confidence"], chances.max(-1), rtol=1e-4)
    right = chances[np.arange(300), dataset.test.targets]
    np.testing.assert_allclose(arrays["loss"], -np.log(right), rtol=1e-3, atol=1e-5)
    do(session, session.epoch)
    assert ask("test")[0]["step"] == 2 * PER_EPOCH
    session.call(session.start).result(60)  # while training runs too
    assert len(ask("train")[1]["predicted"]) == 1297
    do(session, session.pause)


def test_predictions_under_way_survive_another_network(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "MOMENT", 1e-3)  # seconds: less than tracing takes
    session = start()
    answer: Future[bytes] = Future()

    def at_once() -> None:
        session.predictions("train", answer)
        session._predict_some()
        assert not answer.done()
        session.configure(Configure(type="configure", model=["flatten", {"dense": 10}]))

    session.call(at_once).result(60)
    assert len(unpack(answer.result(60))[1]["predicted"]) == 1297


def test_a_snapshot_is_for_those_who_are_ready(start: Start) -> None:
    session = start()
    drawing, looking, absent = client(session), client(session), client(session)
    for mailbox, index in ((drawing, 7), (looking, 7), (absent, 8)):
        do(session, session.watch, mailbox, Stored(split="test", index=index))
    session.call(lambda: [session.ready(drawing), session.ready(looking)]).result(60)
    session.call(lambda: None).result(60)
    first, same = (
        [m for m in mailbox.take() if isinstance(m, bytes)] for mailbox in (drawing, looking)
    )
    assert len(first) == 1
    assert first[0] is same[0]  # computed once
    assert unpack(first[0])[0]["example"] == {"split": "test", "index": 7}
    assert not [m for m in absent.take() if isinstance(m, bytes)]
    do(session, session.ready, drawing)  # nothing has changed yet
    session.call(lambda: None).result(60)
    assert not [m for m in drawing.take() if isinstance(m, bytes)]
    do(session, session.step)
    session.call(lambda: None).result(60)
    (second,) = (m for m in drawing.take() if isinstance(m, bytes))
    assert unpack(second)[0]["step"] == 1
    assert not [m for m in looking.take() if isinstance(m, bytes)]


def test_compiling_the_first_snapshot_delays_no_other(start: Start) -> None:
    session = start()
    mailbox = client(session)
    do(session, session.watch, mailbox, Stored(split="test", index=7))
    do(session, session.ready, mailbox)
    session.call(lambda: None).result(60)
    assert session.call(lambda: session._snapshot_due).result(60) == 0
    do(session, session.step)
    do(session, session.ready, mailbox)
    session.call(lambda: None).result(60)
    assert session.call(lambda: session._snapshot_due).result(60) > 0


def test_who_watches_another_example_meanwhile_gets_that_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start()
    watching, leaving, other = client(session), client(session), client(session)
    entered, released = threading.Event(), threading.Event()
    traced = session._programs.trace

    def slow(*arguments: Any) -> bytes:
        entered.set()
        assert released.wait(60)
        return traced(*arguments)

    monkeypatch.setattr(session._programs, "trace", slow)
    for mailbox in (watching, leaving, other):
        mailbox.example = Stored(split="test", index=7)
    session.call(lambda: list(map(session.ready, (watching, leaving, other))))
    assert entered.wait(60)
    session.call(session.watch, watching, Stored(split="test", index=8)).result(60)
    session.call(session.leave, leaving).result(60)
    released.set()
    for _ in range(3):
        session.call(lambda: None).result(60)
    shown = [
        [unpack(m)[0]["example"]["index"] for m in mailbox.take() if isinstance(m, bytes)]
        for mailbox in (watching, other)
    ]
    assert shown == [[8], [7]]


def test_an_example_that_is_not_there_cannot_be_watched(start: Start) -> None:
    session = start()
    mailbox = client(session)
    with pytest.raises(MessageError, match="the test split has 300 examples"):
        do(session, session.watch, mailbox, Stored(split="test", index=300))
    assert mailbox.example is None


# Opening and saving


@pytest.mark.long
def test_what_was_trained_is_a_run_that_goes_on_with_the_same_bits(
    start: Start, tmp_path: Path
) -> None:
    session = start()
    do(session, session.epoch)
    do(session, session.step)
    session.close()
    path = session.save(tmp_path / "lab")
    assert not session.trained
    run = load_run(path)
    assert run.summary["steps"] == PER_EPOCH + 1
    assert run.summary["test_accuracy"] > 0.2
    assert run.config == build(config()).config
    assert numbers(open_source(path).train_state) == numbers(session._state)
    again = start(open_source(path))
    do(again, again.epoch)
    assert numbers(state(again)) == numbers(trained(2 * PER_EPOCH))
    end = resume(path)
    expected = trained(3 * PER_EPOCH).params
    assert jax.tree.all(jax.tree.map(np.array_equal, end.params, expected))


@pytest.mark.long
def test_beyond_the_config_s_epochs_it_can_be_saved_too(start: Start, tmp_path: Path) -> None:
    session = start()
    do(session, session.epoch, 5)
    do(session, session.step)
    session.close()
    path = session.save(tmp_path / "lab")
    run = load_run(path)
    assert run.config.training.epochs == 6
    assert run.summary["epochs"] == pytest.approx(5.05)
    assert resume(path).summary["steps"] == 6 * PER_EPOCH


def test_a_run_opens_with_its_parameters_and_its_curves(start: Start, tmp_path: Path) -> None:
    run = train(config(training={**CONFIG["training"], "epochs": 2}), tmp_path / "run")
    opened = open_source(run.path)
    assert numbers(opened.train_state) == numbers(
        trained(2 * PER_EPOCH, training={**CONFIG["training"], "epochs": 2})
    )
    session = start(opened)
    assert session.lab["source"] == "run"
    (history,) = heard(client(session), "history")
    assert history["reports"][-1]["step"] == 2 * PER_EPOCH
    # A run without checkpoints: parameters and steps, but a fresh optimizer.
    for file in (run.path / "checkpoints").iterdir():
        file.unlink()
    bare = open_source(run.path).train_state
    assert int(bare.step) == 2 * PER_EPOCH
    assert jax.tree.all(jax.tree.map(np.array_equal, bare.params, opened.train_state.params))
    # An interrupted run: its newest checkpoint; without one, nothing.
    (run.path / MODEL).unlink()
    with pytest.raises(RunError, match="no checkpoint"):
        open_source(run.path)
    with pytest.raises(RunError, match="not a run directory"):
        open_source(tmp_path)


@pytest.mark.long
def test_best_parameters_are_opened_with_a_fresh_optimizer(tmp_path: Path) -> None:
    """With patience a run's model is not that of its last step: the checkpoint is another's."""
    run = train(config(training={**CONFIG["training"], "epochs": 2}), tmp_path / "run")
    halved = jax.tree.map(lambda leaf: leaf / 2, run.params)
    save_model(run.path / MODEL, halved, run.state)
    opened = open_source(run.path).train_state
    assert jax.tree.all(jax.tree.map(np.array_equal, opened.params, halved))
    momenta = [
        leaf for name, leaf in named_leaves(opened.optimizer_state).items() if name[-1] == "0"
    ]
    assert all(not np.any(leaf) for leaf in momenta)


@pytest.mark.long
def test_without_its_data_a_run_is_looked_at_and_drawn_for(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = build(config()).dataset
    np.savez(tmp_path / "some.npz", x=digits.train.inputs[:200], y=digits.train.targets[:200])
    values = {"npz": {"path": str(tmp_path / "some.npz"), "validation": 20, "test": 20}}
    given = config(data=values, training={**CONFIG["training"], "epochs": 1})
    run = train(given, tmp_path / "run")
    with_data = start(open_source(run.path))
    drawing = Drawing(width=8, height=8, ink=base64.b64encode(bytes(range(64))).decode())
    drawn = Drawn(pixels=run.dataset.test.inputs[0].tolist(), target=3)
    expected = [
        with_data.call(with_data.prepare, drawing).result(60),
        with_data.call(with_data.trace, drawn).result(60),
    ]
    assert with_data.lab["dataset"]["missing"] == ""

    (tmp_path / "some.npz").unlink()
    session = start(open_source(run.path))
    assert f"warning: {tmp_path / 'some.npz'}: " in capsys.readouterr().err
    assert [
        session.call(session.prepare, drawing).result(60),
        session.call(session.trace, drawn).result(60),
    ] == expected
    described, before = session.lab["dataset"], with_data.lab["dataset"]
    for key in ("name", "classes", "shape", "dtype", "drawable", "image", "mean", "deviation"):
        assert described[key] == before[key]
    assert described["limits"] == [0, run.dataset.train.inputs.max()]
    assert described["splits"] == {"train": 0, "validation": 0, "test": 0}
    assert described["blank"] == 64 * [0]
    missing = f"{re.escape(str(tmp_path / 'some.npz'))}: .*(.|\n)*These are the data of"
    for function, arguments in (
        (session.start, ()),
        (session.step, ()),
        (session.epoch, ()),
        (session.reset, ()),
        (session.configure, (Configure(type="configure", seed=5),)),
        (session.trace, (Stored(split="test", index=0),)),
    ):
        with pytest.raises(MessageError, match=missing):
            session.call(function, *arguments).result(60)
    assert re.search(missing, described["missing"])
    assert not session.trained


# What takes long


@pytest.fixture
def stuck(start: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session that has trained a step, and whose next one does not end."""
    session = start()
    do(session, session.step)
    entered, released = threading.Event(), threading.Event()
    fit = session._fit

    def endless() -> Generator[Report, Change | None, None]:
        entered.set()
        released.wait(60)
        yield from fit()

    monkeypatch.setattr(session, "_fit", endless)
    session.call(lambda: setattr(session, "_reports", None)).result(60)
    session.call(session.start).result(60)
    assert entered.wait(60)
    monkeypatch.setattr(session, "_fit", fit)
    yield session
    released.set()


def test_a_pause_is_answered_whatever_takes_long(stuck: Session) -> None:
    before = time.monotonic()
    mailbox = Mailbox(lambda: None, stuck.history)
    joined = stuck.call(stuck.join, mailbox)
    stuck.call(stuck.pause).result(60)
    assert time.monotonic() - before < 15  # it takes one second: this machine may be busy
    joined.result(60)
    assert stuck.computing
    assert not stuck.running
    assert int(state(stuck).step) == 1
    assert not heard(mailbox, "status")[-1]["compiling"]
    do(stuck, stuck.step)
    assert numbers(state(stuck)) == numbers(trained(2))


def test_a_reset_is_answered_whatever_takes_long(stuck: Session) -> None:
    answer: Future[bytes] = Future()
    stuck.call(stuck.predictions, "test", answer)
    stuck.call(stuck.reset).result(60)
    assert int(state(stuck).step) == 0
    assert unpack(answer.result(60))[0]["step"] == 0  # who waited, waits for those of the new one
    do(stuck, stuck.step)
    assert numbers(state(stuck)) == numbers(trained(1))


def test_a_config_that_cannot_be_ends_training_too_and_that_is_told(stuck: Session) -> None:
    mailbox = client(stuck)
    assert heard(mailbox, "status")[-1]["running"]
    with pytest.raises(JaxnnError, match="unknown layer"):
        stuck.call(stuck.configure, Configure(type="configure", model="x")).result(60)
    assert not stuck.running
    assert not heard(mailbox, "status")[-1]["running"]
    do(stuck, stuck.step)
    assert numbers(state(stuck)) == numbers(trained(2))


def test_the_end_is_answered_whatever_takes_long(stuck: Session, tmp_path: Path) -> None:
    waiting = stuck.call(stuck.trace, Stored(split="test", index=0))
    stuck.close()
    assert stuck.computing
    assert load_run(stuck.save(tmp_path / "run")).summary["steps"] == 1
    for refused in (waiting, stuck.call(stuck.start)):
        with pytest.raises(JaxnnError, match="the lab has ended"):
            refused.result(60)


def test_wide_networks_are_predicted_a_few_examples_at_a_time() -> None:
    """What is alive at a time of 500 examples would take a gigabyte."""
    wide = [{"conv2d": {"units": 4000, "size": 1}}, "relu", "global_avg_pool", {"dense": 10}]
    experiment = build(config(model=wide, training={"batch_size": 1}))
    largest: list[int] = []
    programs = Programs(experiment)

    def verdict(params: Any, state: Any, inputs: Any, targets: Any) -> tuple[np.ndarray, ...]:
        largest.append(len(inputs))
        return np.zeros(len(inputs), np.int32), *np.zeros((2, len(inputs)), np.float32)

    programs._predict = verdict
    *_, answer = programs.predict(fresh(config()).train_state, "test")
    assert answer is not None
    assert len(unpack(answer)[1]["predicted"]) == 300
    bytes_each = 8 * 8 * 4000 * 4
    assert max(largest) * 2 * bytes_each < cost.PREDICTED_BYTES  # what relu takes and gives
    assert min(largest) > 1


def test_closing_waits_for_the_chunk_and_ends_the_thread(start: Start) -> None:
    session = start()
    session.call(session.start).result(60)
    session.close()
    assert not session._thread.is_alive()
