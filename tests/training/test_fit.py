"""Training as an iterator: exact whatever the portions, with one program, and honest reports."""

import importlib
import logging
from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxnn.data import Dataset, Split, digits
from jaxnn.data.augmentation import ByEpoch, compose, mixup, shift
from jaxnn.layers import Layer, dense, dropout, flatten, relu, serial
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import adam, set_hyperparameters, sgd
from jaxnn.schedules import cosine
from jaxnn.training import (
    Change,
    Examples,
    Report,
    epoch_batches,
    fit,
    init_train_state,
    make_evaluate,
    make_step,
    prepared,
    steps_per_epoch,
)


def some_digits(train: int = 330, validation: int = 50) -> Dataset:
    whole = digits()
    parts = {"train": (whole.train, train), "validation": (whole.validation, validation)}
    return whole._replace(
        **{
            name: Split(*(array[:count] for array in split))
            for name, (split, count) in parts.items()
        }
    )


def noisy_network() -> Layer:
    return serial(flatten(), dense(16), relu(), dropout(0.5), dense(10))


def plain_network() -> Layer:
    return serial(flatten(), dense(10))


def never_fits() -> Layer:
    def init(key: Any, in_shape: Any) -> Any:
        raise ValueError("no")

    return relu()._replace(init=init, name="never_fits")


def numbers(report: Report) -> bytes:
    """All that training has changed, as bytes."""
    state = report.train_state
    leaves = jax.tree.leaves((state.step, state.params, state.state, state.optimizer_state))
    return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)


def trained(**changes: Any) -> bytes:
    """The final numbers of three epochs of ten steps, and ten examples left over."""
    arguments: dict[str, Any] = {"batch_size": 32, "epochs": 3, "seed": 0, "chunk_steps": 7}
    optimizer, dataset = adam(cosine(0.01, 30)), some_digits(validation=0)
    *_, last = fit(
        noisy_network(), softmax_cross_entropy, optimizer, dataset, **arguments | changes
    )
    assert last.step == 30
    return numbers(last)


@pytest.fixture(scope="module")
def reference() -> bytes:
    return trained()


@pytest.mark.parametrize("chunk_steps", [1, 7, 100])
def test_neither_repeating_nor_cutting_changes_a_bit(reference: bytes, chunk_steps: int) -> None:
    assert trained(chunk_steps=chunk_steps) == reference


def test_chunks_of_sent_lengths_change_no_bit(reference: bytes) -> None:
    optimizer, dataset = adam(cosine(0.01, 30)), some_digits(validation=0)
    reports = fit(
        *(noisy_network(), softmax_cross_entropy, optimizer, dataset),
        **{"batch_size": 32, "epochs": 3, "chunk_steps": 1},
    )
    steps = [next(reports).step]
    while steps[-1] < 30:
        report = reports.send(Change(chunk_steps=len(steps)))
        steps.append(report.step)
    assert steps == [1, 2, 4, 6, 8, 10, 16, 17, 18, 19, 20, 30]  # to multiples, and epochs' ends
    assert numbers(report) == reference


def test_a_sent_state_is_gone_on_from() -> None:
    """Another learning rate on the way: the same as a new start from there."""
    parts = (plain_network(), softmax_cross_entropy, sgd(0.1), some_digits(validation=0))
    options: dict[str, Any] = {"batch_size": 32, "epochs": 2, "chunk_steps": 4}
    reports = fit(*parts, **options)
    state = next(reports).train_state
    slower = state._replace(
        optimizer_state=set_hyperparameters(state.optimizer_state, learning_rate=0.01)
    )
    sent = reports.send(Change(train_state=slower))
    started = next(fit(*parts, **options, start=slower))
    unchanged = next(fit(*parts, **options, start=state))
    assert numbers(sent) == numbers(started) != numbers(unchanged)
    assert numbers(next(reports)) != numbers(sent)


@pytest.mark.long
def test_augmentation_follows_from_seed_and_step_alone(reference: bytes) -> None:
    """Whatever the chunks, and taken up within an epoch."""
    augment = compose([shift(1), mixup(classes=10)])
    once = trained(augment=augment)
    assert once != reference
    assert trained(augment=augment, chunk_steps=1) == once
    optimizer, dataset = adam(cosine(0.01, 30)), some_digits(validation=0)
    parts = (noisy_network(), softmax_cross_entropy, optimizer, dataset)
    options: dict[str, Any] = {"batch_size": 32, "epochs": 3, "augment": augment}
    reports = fit(*parts, **options, chunk_steps=7)
    middle = [next(reports) for _ in range(3)][-1]
    assert middle.step == 17
    *_, last = fit(*parts, **options, start=middle.train_state)
    assert numbers(last) == once


def test_an_augmentation_is_told_the_epoch() -> None:
    """Whatever the chunks, and taken up within an epoch: every target is the epoch's number."""

    def at(epoch: Any) -> Any:
        return lambda keys, images, targets: (images * 0, targets * 0 + epoch)

    parts = (plain_network(), softmax_cross_entropy, sgd(0.0), some_digits(validation=0))
    options: dict[str, Any] = {"batch_size": 150, "epochs": 3, "augment": ByEpoch(at)}
    reports = list(fit(*parts, **options, chunk_steps=1))
    by_epoch = [{r.loss for r in reports if np.ceil(r.epoch) == epoch} for epoch in (1, 2, 3)]
    assert [len(losses) for losses in by_epoch] == [1, 1, 1]
    assert len(set.union(*by_epoch)) == 3
    resumed = list(fit(*parts, **options, chunk_steps=2, start=reports[2].train_state))
    assert [r.loss for r in resumed[-1:]] == [reports[-1].loss]


def test_only_training_is_augmented() -> None:
    """All images become blank, in the units of the data, and every target class 3."""

    def blank(keys: Any, images: jax.Array, targets: jax.Array) -> Any:
        assert images.dtype == np.float32
        return images * 0 + 5, jax.nn.one_hot(targets * 0 + 3, 10)

    network, dataset = plain_network(), some_digits()
    (report,) = fit(
        *(network, softmax_cross_entropy, sgd(0.0), dataset),
        **{"batch_size": 330, "epochs": 1, "augment": blank, "statistics_steps": 1},
    )
    params, state = report.train_state.params, report.train_state.state
    x = (np.full((1, 8, 8, 1), 5) - dataset.mean) / dataset.deviation
    z = np.asarray(network.forward(params, state, x.astype(np.float32))[0][0], np.float64)
    assert report.loss == pytest.approx(np.log(np.exp(z).sum()) - z[3], rel=1e-4)
    assert report.accuracy == (z.argmax() == 3)
    evaluate = make_evaluate(prepared(network, dataset), softmax_cross_entropy)
    assert report.validation is not None
    expected = evaluate(params, state, dataset.validation)
    assert report.validation.loss == pytest.approx(expected.loss, rel=1e-6)
    assert report.statistics is not None
    assert report.statistics[0].activation_deviation == pytest.approx(0, abs=1e-6)


def test_another_seed_gives_other_numbers(reference: bytes) -> None:
    assert trained(seed=1) != reference


def test_the_first_epochs_do_not_depend_on_how_many_follow() -> None:
    def after_two(epochs: int) -> bytes:
        reports = fit(
            plain_network(),
            softmax_cross_entropy,
            sgd(0.1, momentum=0.9),
            some_digits(validation=0),
            batch_size=32,
            epochs=epochs,
        )
        return next(numbers(report) for report in reports if report.epoch == 2)

    assert after_two(2) == after_two(5)


def test_a_whole_run_compiles_its_program_once(caplog: pytest.LogCaptureFixture) -> None:
    """Chunks of 4, 4 and 2 steps in each epoch: the shorter one too."""

    def compiled() -> list[str]:
        records = [r.getMessage() for r in caplog.records]
        caplog.clear()
        return [m.split()[4] for m in records if m.startswith("Finished XLA compilation of")]

    reports = fit(
        noisy_network(),
        softmax_cross_entropy,
        sgd(0.1, momentum=0.9),
        some_digits(),
        batch_size=32,
        epochs=4,
        chunk_steps=4,
    )
    with caplog.at_level(logging.DEBUG), jax.log_compiles():
        assert next(reports).step == 4
        assert compiled().count("jit(chunk)") == 1
        assert [next(reports).step for _ in range(2)] == [8, 10]
        assert compiled() == ["jit(evaluate_batch)"]
        assert [report.step for report in reports][-1] == 40
        assert not {"jit(chunk)", "jit(evaluate_batch)"} & set(compiled())


def test_reports_add_up() -> None:
    dataset = some_digits()
    steps, chunks = (
        list(
            fit(
                plain_network(),
                softmax_cross_entropy,
                sgd(0.1),
                dataset,
                batch_size=32,
                epochs=2,
                chunk_steps=chunk_steps,
            )
        )
        for chunk_steps in (1, 4)
    )
    assert [report.step for report in steps] == list(range(1, 21))
    assert [report.step for report in chunks] == [4, 8, 10, 14, 18, 20]
    assert [report.epoch for report in chunks] == pytest.approx([0.4, 0.8, 1, 1.4, 1.8, 2])
    assert {report.steps for report in steps + chunks} == {20}
    first = 0
    for report in chunks:
        parts = steps[first : report.step]
        assert report.loss == pytest.approx(np.mean([part.loss for part in parts]), rel=1e-6)
        assert report.accuracy == pytest.approx(np.mean([part.accuracy for part in parts]))
        assert report.examples_per_second > 0
        first = report.step
    for reports in (steps, chunks):
        validated = [report.step for report in reports if report.validation is not None]
        assert validated == [10, 20]
        assert {report.compile_seconds for report in reports} == {reports[0].compile_seconds}
        seconds = [report.train_seconds for report in reports]
        assert seconds == sorted(seconds)
        assert 0 < seconds[0] < seconds[-1]
    assert steps[-1].validation == chunks[-1].validation
    assert steps[-1].validation is not None
    assert steps[-1].validation.examples == 50


def test_the_first_report_has_the_loss_of_the_untrained_network() -> None:
    network, dataset = plain_network(), some_digits(validation=0)
    arguments: dict[str, Any] = {"batch_size": 32, "epochs": 1, "chunk_steps": 4}
    parts = (network, softmax_cross_entropy, sgd(cosine(0.1, 10)), dataset)
    reports = list(fit(*parts, **arguments))
    start = init_train_state(*parts[::2], dataset.in_shape, 0)
    seen = epoch_batches(0, 0, 330, 32)[:4].ravel()  # 100 examples or a few more
    split = Split(*(array[seen] for array in dataset.train))
    evaluate = make_evaluate(prepared(network, dataset), softmax_cross_entropy)
    expected = evaluate(start.params, start.state, split).loss
    assert reports[0].start_loss == pytest.approx(expected, rel=1e-5)
    assert [report.start_loss for report in reports[1:]] == [None, None]
    resumed = list(fit(*parts, **arguments, start=reports[0].train_state))
    assert [report.start_loss for report in resumed] == [None, None]
    assert numbers(resumed[-1]) == numbers(reports[-1])
    rates = [report.learning_rate for report in reports]
    assert rates == pytest.approx(
        [0.05 * (1 + np.cos(np.pi * k / 10)) for k in (3, 7, 9)], rel=1e-5
    )


def test_training_is_what_numpy_computes() -> None:
    """Softmax regression in float64: the order of examples, what is left out, normalization."""
    dataset = some_digits(train=100)
    network, optimizer = plain_network(), sgd(0.5)
    params = init_train_state(network, optimizer, dataset.in_shape, 5).params[1]
    w, b = (np.asarray(params[name], np.float64) for name in ("weight", "bias"))
    inputs = (dataset.train.inputs.astype(np.float64) - dataset.mean) / dataset.deviation
    reports = fit(
        network,
        softmax_cross_entropy,
        optimizer,
        dataset,
        batch_size=30,
        epochs=2,
        seed=5,
        chunk_steps=1,
    )
    for epoch in range(2):
        for rows in np.asarray(epoch_batches(5, epoch, 100, 30)):
            x, t = inputs[rows].reshape(30, -1), dataset.train.targets[rows]
            exponentials = np.exp(x @ w + b)
            p = exponentials / exponentials.sum(-1, keepdims=True)
            report = next(reports)
            assert report.loss == pytest.approx(-np.mean(np.log(p[np.arange(30), t])), rel=1e-4)
            assert report.accuracy == pytest.approx(np.mean(p.argmax(-1) == t))
            dz = (p - np.eye(10)[t]) / 30
            w, b = w - 0.5 * x.T @ dz, b - 0.5 * dz.sum(0)
            found = report.train_state.params[1]
            np.testing.assert_allclose(found["weight"], w, atol=1e-4)
            np.testing.assert_allclose(found["bias"], b, atol=1e-4)
    assert next(reports, None) is None


def test_examples_stay_as_stored_until_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("jaxnn.training.fit")
    given = []

    def make_chunk(*arguments: Any) -> Any:
        chunk = original(*arguments)
        return lambda state, examples, *rest: (
            given.append(examples) or chunk(state, examples, *rest)
        )

    original = module.make_chunk
    monkeypatch.setattr(module, "make_chunk", make_chunk)
    dataset, optimizer = some_digits(validation=0), sgd(0.1)
    reports = fit(
        plain_network(), softmax_cross_entropy, optimizer, dataset, batch_size=110, epochs=2
    )
    assert [report.validation for report in reports] == [None, None]  # there are no examples
    assert len({id(examples) for examples in given}) == 1
    assert given[0].inputs.dtype == np.uint8
    np.testing.assert_array_equal(given[0].inputs, dataset.train.inputs)


def test_a_state_stays_valid() -> None:
    """It is what a diagnosis starts from, or a checkpoint that is written late."""
    reports = list(
        fit(
            plain_network(),
            softmax_cross_entropy,
            sgd(0.1, momentum=0.9),
            some_digits(),
            batch_size=32,
            epochs=1,
            chunk_steps=4,
        )
    )
    assert [int(report.train_state.step) for report in reports] == [4, 8, 10]
    assert len({numbers(report) for report in reports}) == 3


def test_an_optimizer_from_optax_drops_in() -> None:
    ours = adam(cosine(0.01, 20))
    theirs: Any = optax.adam(optax.cosine_decay_schedule(0.01, 20))
    by_ours, by_theirs = (
        [report.loss for report in reports]
        for reports in (
            fit(
                plain_network(),
                softmax_cross_entropy,
                optimizer,
                some_digits(validation=0),
                batch_size=32,
                epochs=2,
                chunk_steps=1,
            )
            for optimizer in (ours, theirs)
        )
    )
    assert by_ours == pytest.approx(by_theirs, rel=1e-4)
    assert by_ours[-1] < 0.9 * by_ours[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"chunk_steps": 0}, "chunk_steps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be between 1 and the 330 training examples, got 0"),
        (
            {"batch_size": 331},
            "batch_size must be between 1 and the 330 training examples, got 33",
        ),
        ({"network": serial(flatten(), dense(10), never_fits())}, r"layer 2 \(never_fits\): no"),
    ],
)
def test_numbers_out_of_range_are_rejected(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "network": plain_network(),
        "loss": softmax_cross_entropy,
        "optimizer": sgd(0.1),
        "dataset": some_digits(),
        "batch_size": 32,
        "epochs": 1,
    }
    with pytest.raises(ValueError, match=message):
        next(fit(**arguments | changes))


def relabelled(split: str, targets: Any) -> Dataset:
    """Digits with other targets in a split: a function of its own."""
    dataset = some_digits()
    part = getattr(dataset, split)
    return dataset._replace(**{split: part._replace(targets=targets(part.targets))})


@pytest.mark.parametrize(
    ("units", "dataset", "message"),
    [
        (
            7,
            some_digits(),
            r"the train split of digits: target \d+ is [789], a class .* are 7",
        ),
        (
            2,
            relabelled("train", lambda t: t % 2 + 1),
            r"the train split of digits: target \d+ is 2, a class .* are 2, for the classes 0 to 1",
        ),
        (
            10,
            relabelled("validation", lambda t: np.where(np.arange(50) == 49, -1, t)),
            "the validation split of digits: target 49 is -1, a class .* are 10",
        ),
        (10, relabelled("train", lambda t: np.eye(10)[t][:, :9]), r"\(330, 9\) .* \(330, 10\)"),
        (10, relabelled("train", lambda t: t.astype(np.float32)), "class numbers as integers"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_targets_that_the_outputs_cannot_reach_are_rejected(
    units: int, dataset: Dataset, message: str, stream: bool
) -> None:
    parts = (serial(flatten(), dense(units)), softmax_cross_entropy, sgd(0.1), dataset)
    with pytest.raises(ValueError, match=message):
        next(fit(*parts, batch_size=32, epochs=1, stream=stream))


def test_a_label_without_an_output_makes_the_loss_of_a_step_nan() -> None:
    network, dataset = serial(flatten(), dense(7)), some_digits()
    step = jax.jit(make_step(prepared(network, dataset), softmax_cross_entropy, sgd(0.1)))
    start = init_train_state(network, sgd(0.1), dataset.in_shape, 0)
    _, totals = step(start, Examples(*dataset.train))
    assert np.isnan(totals.loss)


def test_a_batch_may_be_the_whole_training_split() -> None:
    assert steps_per_epoch(some_digits(), 330) == 1
    assert steps_per_epoch(some_digits(), 32) == 10


@pytest.mark.parametrize(("examples", "batch_size"), [(330, 32), (64, 64), (100, 1), (7, 3)])
def test_an_epoch_visits_examples_once_in_an_order_of_its_own(
    examples: int, batch_size: int
) -> None:
    def order(seed: int, epoch: int) -> np.ndarray:
        batches = epoch_batches(seed, epoch, examples, batch_size)
        assert batches.shape == (examples // batch_size, batch_size)
        assert batches.dtype == np.int32
        return np.asarray(batches).reshape(-1)

    first = order(0, 0)
    assert len(np.unique(first)) == len(first) == examples // batch_size * batch_size
    assert 0 <= first.min() <= first.max() < examples
    assert np.array_equal(first, order(0, 0))
    others = [order(0, 1), order(0, 2), order(1, 0), order(2**32 - 1, 0)]
    assert len({o.tobytes() for o in [first, *others]}) == 5


def test_what_an_epoch_leaves_out_changes() -> None:
    left_out = [
        set(range(330)) - set(np.asarray(epoch_batches(0, e, 330, 32)).flat) for e in (0, 1)
    ]
    assert [len(rows) for rows in left_out] == [10, 10]
    assert left_out[0] != left_out[1]


def test_arrays_are_trained_on_as_they_are() -> None:
    data = some_digits(train=330, validation=0)
    given: Any = {"batch_size": 32, "epochs": 1}
    arguments = (plain_network(), softmax_cross_entropy, sgd(0.01))
    x, y = data.train.inputs.astype(np.float32), data.train.targets
    none = data._replace(mean=np.float32(0), deviation=np.float32(1))
    (expected,) = fit(*arguments, none, **given)
    for pair in ((x, y), (x.tolist(), y.tolist())):
        (report,) = fit(*arguments, pair, **given)
        assert numbers(report) == numbers(expected)
        assert report.validation is None
    assert report.arguments is not None
    assert report.arguments.dataset.in_shape == data.in_shape


@pytest.mark.parametrize(
    ("position", "wrong", "message"),
    [
        (0, relu, r"fit: network is no Layer but a function; did you mean relu\(\)\?"),
        (0, dense, r"did you mean dense\(…\)\?"),
        (1, "hinge", "fit: loss is no function but a str"),
        (2, adam, r"fit: optimizer is no Optimizer but a function; did you mean adam\(…\)\?"),
        (2, optax.sgd, r"did you mean sgd\(…\)\?"),
        (3, digits, r"fit: dataset is no Dataset or pair \(x, y\) but a function; .* digits\(\)"),
        (3, (1, 2, 3), r"no Dataset or pair \(x, y\) but a tuple"),
    ],
)
def test_what_was_not_called_is_said(position: int, wrong: Any, message: str) -> None:
    arguments: list[Any] = [plain_network(), softmax_cross_entropy, sgd(0.1), some_digits()]
    arguments[position] = wrong
    with pytest.raises(TypeError, match=message):
        next(fit(*arguments, batch_size=32, epochs=1))


def test_a_report_is_one_line() -> None:
    (report,) = fit(
        *(plain_network(), softmax_cross_entropy, sgd(0.1), some_digits()),
        **{"batch_size": 32, "epochs": 1},
    )
    text = str(report)
    assert text.startswith("<Report: step 10 of 10, epoch 1, loss ")
    assert f"validation accuracy {report.validation.accuracy:.4g}>" in text
    assert "\n" not in text
