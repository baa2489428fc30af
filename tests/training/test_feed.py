"""Streaming: the same training to the last bit, whatever the windows, in bounded memory."""

import importlib
import itertools
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxnn.data import Dataset, Split, digits
from jaxnn.data.augmentation import shift
from jaxnn.layers import before, dense, dropout, flatten, relu, serial, standardize
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import adam
from jaxnn.training import (
    Change,
    DivergedError,
    Report,
    epoch_batches,
    fit,
    make_evaluate,
)
from jaxnn.training.feed import ahead, is_large, resident, streamed

feed = importlib.import_module("jaxnn.training.feed")
EXAMPLES, BATCH, EPOCHS = 330, 32, 3
STEPS = EXAMPLES // BATCH
STEP_BYTES = BATCH * 64


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Digits whose training and validation inputs are mapped from a file."""
    path = tmp_path_factory.mktemp("data") / "inputs.npy"
    whole = digits()
    np.save(path, whole.train.inputs)
    inputs = np.load(path, mmap_mode="r")
    train = Split(inputs[:EXAMPLES], whole.train.targets[:EXAMPLES])
    validation = Split(inputs[400:500], whole.train.targets[400:500])
    return whole._replace(train=train, validation=validation)


def windows_of(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    monkeypatch.setattr(feed, "_WINDOW_BYTES", steps * STEP_BYTES + 1)


def reports(dataset: Dataset, **changes: Any) -> Any:
    network = serial(flatten(), dense(16), relu(), dropout(0.5), dense(10))
    options: dict[str, Any] = {
        "batch_size": BATCH,
        "epochs": EPOCHS,
        "chunk_steps": 4,
        "statistics_steps": 4,
        "augment": shift(1),
    }
    return fit(network, softmax_cross_entropy, adam(0.01), dataset, **options | changes)


def numbers(report: Report) -> bytes:
    state = report.train_state
    leaves = jax.tree.leaves((state.step, state.params, state.state, state.optimizer_state))
    return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)


def told(report: Report) -> tuple[Any, ...]:
    """A report but for times and state."""
    return (
        *(report.step, report.steps, report.epoch, report.loss, report.accuracy),
        *(report.validation, report.statistics, numbers(report)),
    )


@pytest.fixture(scope="module")
def whole(mapped: Dataset) -> list[Report]:
    """What training reports whose inputs are not streamed."""
    return list(reports(mapped, stream=False))


@pytest.mark.parametrize(
    "steps", [1000, *(pytest.param(steps, marks=pytest.mark.long) for steps in (1, 4, 6, 10))]
)
def test_streaming_tells_the_same_to_the_last_bit(
    mapped: Dataset, whole: list[Report], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Windows of one step, of chunks, cut to a chunk, of an epoch; the last ones are not full."""
    windows_of(monkeypatch, steps)
    expected = [told(report) for report in whole]
    found = [told(report) for report in reports(mapped, stream=True)]
    if steps == 1:  # a chunk ends with its window
        assert [report[0] for report in found] == list(range(1, EPOCHS * STEPS + 1))
        ends = {report[0]: report for report in found}
        found, expected = (
            [e[-1] for e in part] for part in ([ends[r[0]] for r in expected], expected)
        )
    assert found == expected


@pytest.mark.parametrize("windows", [3, pytest.param(8, marks=pytest.mark.long)])
@pytest.mark.parametrize("taken_up", [4, 8, 10, 14])
def test_it_is_taken_up_within_an_epoch(
    mapped: Dataset,
    whole: list[Report],
    monkeypatch: pytest.MonkeyPatch,
    windows: int,
    taken_up: int,
) -> None:
    windows_of(monkeypatch, windows)
    (start,) = [report.train_state for report in whole if report.step == taken_up]
    rest = list(reports(mapped, stream=True, start=start))
    assert numbers(rest[-1]) == numbers(whole[-1])
    assert rest[0].step > taken_up
    assert rest[-1].step == EPOCHS * STEPS


@pytest.mark.long
def test_chunks_of_other_lengths_may_be_asked_for(
    mapped: Dataset, whole: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_of(monkeypatch, 5)
    running = reports(mapped, stream=True)
    report = next(running)
    seen = [report.step]
    while report.step < EPOCHS * STEPS:
        report = running.send(Change(chunk_steps=1 + len(seen) % 3))
        seen.append(report.step)
    assert len(seen) > EPOCHS * STEPS / 3
    assert numbers(report) == numbers(whole[-1])


@pytest.mark.long
def test_a_diagnosis_sees_what_was_streamed(
    mapped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_of(monkeypatch, 4)
    inputs = np.array(mapped.train.inputs, np.float32)
    inputs[epoch_batches(0, 1, EXAMPLES, BATCH)[6, 5]] = np.inf  # may be seen in epoch 0 already
    dataset = mapped._replace(train=mapped.train._replace(inputs=inputs))
    seen = [np.any(np.isinf(inputs[rows])) for rows in epoch_batches(0, 0, EXAMPLES, BATCH)]
    step = seen.index(True) + 1 if True in seen else STEPS + 7
    found = []
    for stream in (False, True):
        with pytest.raises(DivergedError) as caught:
            list(reports(dataset, stream=stream, augment=None))
        found.append(caught.value.diagnosis)
    assert found[0] == found[1]
    assert (found[0].step, found[0].quantity) == (step, "inputs")


def test_one_program_serves_all_windows(
    mapped: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    windows_of(monkeypatch, 4)
    running = reports(mapped, stream=True)
    next(running)
    with caplog.at_level(logging.DEBUG), jax.log_compiles():
        list(running)
    messages = [record.getMessage() for record in caplog.records]
    compiled = [m.split()[4] for m in messages if m.startswith("Finished XLA compilation of")]
    assert not {"jit(chunk)", "jit(seen_batch)", "jit(packed)"}.intersection(compiled)
    assert "jit(evaluate_batch)" in compiled  # the names are still these


@pytest.mark.parametrize("begin", [0, 3, 10, 27])
@pytest.mark.parametrize("size", [1, 3, 6, 10, 64])
def test_windows_hold_every_step_in_turn(
    mapped: Dataset, monkeypatch: pytest.MonkeyPatch, begin: int, size: int
) -> None:
    windows_of(monkeypatch, size)
    which = (mapped.train, 5, BATCH, begin, EPOCHS * STEPS)
    made = list(streamed(*which, chunk_steps=3))
    assert len({(w.examples.inputs.shape, w.batches.shape) for w in made}) == 1
    steps = len(made[0].batches)
    assert steps == {1: 2, 3: 3, 6: 6, 10: 9, 64: 9}[size]
    assert len(made[0].examples.targets) == steps * BATCH
    assert made[0].first <= begin < made[0].end
    assert made[-1].end == EPOCHS * STEPS
    for earlier, later in itertools.pairwise(made):
        assert later.first == earlier.end
    order = [epoch_batches(5, epoch, EXAMPLES, BATCH) for epoch in range(EPOCHS)]
    for window in (*made, *resident(*which)):
        assert window.end - window.first <= len(window.batches)
        assert window.first // STEPS == (window.end - 1) // STEPS
        for step in range(window.first, window.end):
            rows = order[step // STEPS][step % STEPS]
            places = window.batches[step - window.first]
            np.testing.assert_array_equal(window.examples.inputs[places], mapped.train.inputs[rows])
            np.testing.assert_array_equal(
                window.examples.targets[places], mapped.train.targets[rows]
            )


def test_inputs_are_read_in_the_order_in_which_they_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Watched(np.ndarray):
        def __getitem__(self, rows: Any) -> Any:
            read.append(np.asarray(rows))
            return np.asarray(self)[rows]

    read: list[np.ndarray] = []
    windows_of(monkeypatch, 4)
    train = digits().train
    list(streamed(Split(train.inputs.view(Watched), train.targets), 0, BATCH, 0, 40, 4))
    assert len(read) == 10
    assert all(np.all(np.diff(rows) > 0) for rows in read)


@pytest.mark.long
def test_large_inputs_are_streamed_unless_told_otherwise(
    mapped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_large(mapped.train)
    pages = {"SC_PAGE_SIZE": 64, "SC_PHYS_PAGES": 4 * EXAMPLES}
    monkeypatch.setattr(feed.os, "sysconf", pages.__getitem__)
    assert not is_large(mapped.train)
    pages["SC_PHYS_PAGES"] -= 1
    assert is_large(mapped.train)

    module = importlib.import_module("jaxnn.training.fit")
    used: list[str] = []

    def noted(make: Any) -> Any:
        return lambda *arguments: used.append(make.__name__) or make(*arguments)

    for make in (resident, streamed):
        monkeypatch.setattr(module, make.__name__, noted(make))
    for stream in (None, False, True):
        next(reports(mapped, stream=stream))
    pages["SC_PHYS_PAGES"] += 1
    next(reports(mapped))
    assert used == ["streamed", "resident", "streamed", "resident"]


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(4)]
    asked = threading.Event()

    def items() -> Iterator[int]:
        for i, event in enumerate(made):
            if i == 2:
                assert asked.wait(10)
            event.set()
            yield i

    coming = ahead(items())
    assert next(coming) == 0
    assert made[1].wait(10)
    assert not made[2].is_set()  # one ahead, no more
    assert next(coming) == 1
    asked.set()
    assert made[2].wait(10)
    assert list(coming) == [2, 3]


def test_an_error_in_the_thread_arrives_and_no_thread_is_left(mapped: Dataset) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("unplugged")

    before = set(threading.enumerate())
    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(OSError, match="unplugged"):
        next(coming)
    running = reports(mapped, stream=True)
    next(running)
    running.close()
    assert set(threading.enumerate()) <= before


def test_evaluation_reads_a_mapped_split_batch_by_batch(mapped: Dataset) -> None:
    network = before(serial(flatten(), dense(10)), standardize(0, 16))
    params, state, _ = network.init(jax.random.key(0), (8, 8, 1))
    evaluate = make_evaluate(network, softmax_cross_entropy, batch_size=64)
    whole = Split(np.array(mapped.train.inputs), mapped.train.targets)
    assert evaluate(params, state, mapped.train) == evaluate(params, state, whole)


MEMORY = """
import sys, threading, time
from pathlib import Path
import numpy as np
from jaxnn.data import Dataset, Split
from jaxnn.layers import dense, flatten, serial
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.training import feed, fit

feed._WINDOW_BYTES = 2 << 20  # the number of windows at once depends on the threads' luck

def anonymous():  # bytes in memory that are not mapped from a file
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(x.split()[1]) for x in lines if x.startswith("RssAnon"))

def watch():
    while True:
        most[0] = max(most[0], anonymous())
        time.sleep(0.002)

inputs = np.load(sys.argv[1], mmap_mode="r")
split = Split(inputs, np.zeros(len(inputs), np.int32))
dataset = Dataset("zeros", split, split, split, ("a", "b"), np.float32(0), np.float32(1))
parts = (serial(flatten(), dense(2)), softmax_cross_entropy, sgd(0.1), dataset)
most = [0]
for report in fit(*parts, batch_size=100, epochs=1, stream=sys.argv[2] == "True"):
    if not most[0]:  # after compilation
        most[0] = anonymous()
        threading.Thread(target=watch, daemon=True).start()
assert report.validation.examples == len(inputs)
print(most[0])
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    megabyte, example = 1 << 20, 64 * 64

    def most(megabytes: int, stream: bool) -> int:
        path = tmp_path / f"{megabytes}.npy"
        shape = (megabytes * megabyte // example, 64, 64, 1)
        np.lib.format.open_memmap(path, "w+", np.uint8, shape)  # a file of holes
        outcome = subprocess.run(
            [sys.executable, "-c", MEMORY, str(path), str(stream)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(outcome.stdout)

    few, many = most(50, True), most(250, True)
    assert many - few < 75 * megabyte  # a few windows more or less, of 200 megabytes more
    assert most(250, False) - many > 125 * megabyte
