"""The lab of a network that puts out numbers, or several labels: what it says of examples."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from jaxnn.config import build, parse_config
from jaxnn.losses import mean_squared_error
from jaxnn.runs import initial_state
from jaxnn.web.description import describe_given
from jaxnn.web.messages import Drawn, MessageError, Stored, stored_input, unpack
from jaxnn.web.programs import Programs, said
from jaxnn.web.session import Session
from jaxnn.web.storage import Opened

ROWS = "".join(
    f"{i % 7},{i % 5},{1e4 * (i % 7) + 500.5 * (i % 3)},{int(i % 7 > 3)},{int(i % 5 > 1)}\n"
    for i in range(80)
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "houses.csv"
    path.write_text("size,rooms,price,big,many\n" + ROWS)
    return path


def experiment(table: Path, target: object, outputs: int, loss: str):
    unused = [n for n in ("price", "big", "many") if n not in target]
    config = {
        "data": {"csv": {"path": str(table), "target": target, "ignore": unused}},
        "model": [{"dense": outputs}],
        "loss": loss,
        "optimizer": {"adam": 0.01},
        "training": {"batch_size": 16, "epochs": 2},
    }
    return build(parse_config(config))


def test_numbers_are_told_in_the_units_of_the_data(table: Path) -> None:
    made = experiment(table, "price", 1, "mean_squared_error")
    dataset = made.dataset
    programs, state = Programs(made), initial_state(made)
    header, arrays = unpack(programs.trace(state, Stored(split="test", index=3), "trace"))
    assert header["given"]
    weight, bias = (np.asarray(state.params[0][name]) for name in ("weight", "bias"))
    x = (dataset.test.inputs - dataset.mean) / dataset.deviation
    expected = dataset.target_values(x @ weight + bias)
    true = dataset.target_values(dataset.test.targets)
    np.testing.assert_allclose(arrays["answers"], expected[3], rtol=1e-4)
    np.testing.assert_allclose(arrays["true"], true[3], rtol=1e-4)
    outputs = (x @ weight + bias)[3:4]
    loss, gradient = mean_squared_error(outputs, dataset.test.targets[3:4])
    np.testing.assert_allclose(arrays["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(arrays["0.d_output"], gradient[0], rtol=1e-4)

    *_, answer = programs.predict(state, "test")
    assert answer is not None
    _, arrays = unpack(answer)
    np.testing.assert_allclose(arrays["answers"], expected, rtol=1e-4)
    assert arrays["loss"].shape == (16,)
    np.testing.assert_allclose(said(dataset, dataset.test.targets), true, rtol=1e-4)

    header, arrays = unpack(programs.trace(state, Drawn(pixels=[3.0, 2.0]), "trace"))
    assert not header["given"]  # what it puts out is taken to be true
    assert arrays["loss"] == 0
    np.testing.assert_array_equal(arrays["true"], arrays["answers"])
    with pytest.raises(MessageError, match="the task is regression; give none"):
        stored_input(Drawn(pixels=[3.0, 2.0], target=0), dataset)


def test_labels_are_told_with_their_probabilities(table: Path) -> None:
    made = experiment(table, ["big", "many"], 2, "sigmoid_binary_cross_entropy")
    programs, state = Programs(made), initial_state(made)
    _, arrays = unpack(programs.trace(state, Stored(split="train", index=5), "trace"))
    np.testing.assert_array_equal(arrays["true"], made.dataset.train.targets[5])
    outputs = np.asarray(arrays["0.output"])
    np.testing.assert_allclose(arrays["answers"], 1 / (1 + np.exp(-outputs)), rtol=1e-5)
    given = describe_given(made.dataset)
    assert given["dataset"]["task"] == "multilabel"
    assert given["dataset"]["classes"] == ["big", "many"]
    assert given["dataset"]["metrics"] == {"accuracy": "accuracy", "macro_f1": "macro F1"}


def test_what_is_said_of_numbers_has_their_names(table: Path) -> None:
    given = describe_given(experiment(table, "price", 1, "huber").dataset)
    assert given["dataset"]["classes"] == ["price"]
    assert given["dataset"]["features"] == ["size", "rooms"]
    assert list(given["dataset"]["metrics"]) == ["rmse", "mae", "r2"]
    assert given["networks"]["No hidden layer"] == [{"dense": 1}]


@pytest.fixture
def session(table: Path) -> Iterator[Session]:
    made = experiment(table, "price", 1, "mean_squared_error")
    opened = Opened(Path("houses.yaml"), made.config, made, initial_state(made), [], None)
    session = Session(opened)
    yield session
    session.close()


def test_a_session_trains_and_predicts_numbers(session: Session) -> None:
    session.call(session.epoch).result(60)
    answer: Future[bytes] = Future()
    session.call(session.predictions, "test", answer)
    header, arrays = unpack(answer.result(60))
    assert arrays["answers"].shape == (16, 1)
    while session.running:
        time.sleep(0.01)
    assert '"rmse"' in session.history()
    assert header["split"] == "test"
