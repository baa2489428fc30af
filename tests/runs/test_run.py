"""Run directories: complete, repeatable to the last bit, and never half-written."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxnn.config import build, load_config, parse_config
from jaxnn.data import standardize
from jaxnn.errors import ConfigError, DataError, RunError
from jaxnn.runs import Run, evaluate, load_run, save_model, train
from jaxnn.training import Report

FILES = {"config.yaml", "data.json", "metrics.jsonl", "summary.json"} | {
    f"model.safetensors{suffix}" for suffix in ("", ".sha256")
}
SUMMARY = {
    "config",
    "seed",
    "parameters",
    "epochs",
    "steps",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "train_seconds",
    "compile_seconds",
    "examples_per_second",
    "device",
    "jax_version",
    "git_commit",
}
VALUES: dict[str, Any] = {
    "name": "small",
    "data": "digits",
    "model": ["flatten", "relu", {"dense": 10}],
    "optimizer": {"sgd": {"learning_rate": {"cosine": 0.1}, "momentum": 0.9}},
    "training": {"epochs": 2, "batch_size": 100, "chunk_steps": 5, "statistics_steps": 0},
    "seed": 3,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Report]]:
    reports: list[Report] = []
    path = tmp_path_factory.mktemp("runs") / "below" / "small"
    return train(parse_config(VALUES), path, [reports.append]), reports


@pytest.fixture
def copied(finished: tuple[Run, list[Report]], tmp_path: Path) -> Path:
    """A copy of the finished run, to be damaged."""
    return shutil.copytree(finished[0].path, tmp_path / "copied")


def test_the_run_directory_is_complete(finished: tuple[Run, list[Report]]) -> None:
    run, reports = finished
    assert {path.name for path in run.path.iterdir() if path.is_file()} == FILES | {".lock"}
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 12, 17, 22, 24]
    assert [report.step for report in reports] == [5, 10, 12, 17, 22, 24]
    assert [line["loss"] for line in lines] == [report.loss for report in reports]
    assert ["validation_loss" in line for line in lines] == [False, False, True] * 2


def test_the_summary_says_what_was_done(finished: tuple[Run, list[Report]]) -> None:
    run, reports = finished
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary.keys() >= SUMMARY
    assert summary == run.summary
    assert {key: summary[key] for key in ("config", "seed", "parameters", "epochs", "steps")} == {
        "config": "small",
        "seed": 3,
        "parameters": 650,
        "epochs": 2,
        "steps": 24,
    }
    assert summary["jax_version"] == jax.__version__
    assert summary["device"] == jax.devices()[0].device_kind
    assert summary["git_commit"] is None or re.fullmatch(
        r"[0-9a-f]{40}(-dirty)?", summary["git_commit"]
    )
    assert summary["train_seconds"] == reports[-1].train_seconds > 0
    assert summary["compile_seconds"] > 0
    assert summary["examples_per_second"] == pytest.approx(2400 / summary["train_seconds"])
    # Of the whole splits, in inference: not the running figures of training.
    for split in ("train", "test"):
        result = evaluate(run.experiment, run.params, run.state, split)
        assert result.examples == len(getattr(run.experiment.dataset, split).targets)
        found = summary[f"{split}_loss"], summary[f"{split}_accuracy"]
        assert found == (result.loss, result.accuracy)
    assert summary["test_accuracy"] > 0.8


def test_the_config_is_resolved(finished: tuple[Run, list[Report]]) -> None:
    run, _ = finished
    config = load_config(run.path / "config.yaml")
    assert config == run.experiment.config
    assert config.optimizer.arguments["learning_rate"].arguments["steps"] == 24
    assert config.name == "small"


def test_training_again_from_the_runs_config_gives_the_same_bits(
    finished: tuple[Run, list[Report]], tmp_path: Path
) -> None:
    run, _ = finished
    again = train(load_config(run.path / "config.yaml", ["training.chunk_steps=7"]), tmp_path / "a")
    files = [path / "model.safetensors" for path in (run.path, again.path)]
    assert files[0].read_bytes() == files[1].read_bytes()
    for key in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert again.summary[key] == run.summary[key]


def test_what_is_loaded_predicts_the_same(finished: tuple[Run, list[Report]]) -> None:
    run, _ = finished
    loaded = load_run(run.path)
    assert loaded.summary == run.summary
    x = np.random.default_rng(0).standard_normal((5, 8, 8, 1)).astype(np.float32)
    outputs = [
        r.experiment.network.forward(r.params, r.state, jnp.asarray(x))[0] for r in (run, loaded)
    ]
    np.testing.assert_array_equal(*outputs)


def test_arrays_are_named_by_their_layer(finished: tuple[Run, list[Report]]) -> None:
    run, _ = finished
    arrays = safetensors.numpy.load_file(run.path / "model.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {
        "2.weight": (64, 10),
        "2.bias": (10,),
    }
    np.testing.assert_array_equal(arrays["2.weight"], run.params[2]["weight"])


def test_state_is_saved_beside_parameters(tmp_path: Path) -> None:
    params = ({"weight": jnp.ones((2, 3))}, (), ({"scale": jnp.zeros(1)},))
    state = ((), {"mean": jnp.full(4, 2.0)}, ())
    save_model(tmp_path / "model.safetensors", params, state)
    arrays = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert set(arrays) == {"0.weight", "2.0.scale", "state.1.mean"}
    np.testing.assert_array_equal(arrays["state.1.mean"], np.full(4, 2.0))


def test_what_costs_much_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = {"chain": [{"sgd": 0.01}, *[{"clip_by_global_norm": 1.0}] * 32]}
    training = {"epochs": 1, "batch_size": 1297, "statistics_steps": 0}
    train(parse_config({**VALUES, "optimizer": many, "training": training}), tmp_path / "run")
    said = "warning: 34 optimizers are more than 32: this may take very long, or more memory"
    assert capsys.readouterr().err.count(said) == 1


# --- Reading back what is damaged


def test_an_unfinished_run_is_told_from_a_finished_one(copied: Path, tmp_path: Path) -> None:
    (copied / "summary.json").unlink()
    with pytest.raises(RunError, match=r"copied: not a finished run: summary\.json missing"):
        load_run(copied)
    with pytest.raises(RunError, match=r"not a finished run: config\.yaml, model\.saf"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="not a finished run"):
        load_run(copied / "config.yaml")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("summary.json", b"{", r"summary\.json: not JSON"),
        ("summary.json", b"\xff\xfe", r"summary\.json: not JSON"),
        ("summary.json", b"[" * 100_000, r"summary\.json: not JSON"),
        ("summary.json", b"[]", r"summary\.json: expected keys and values"),
        ("summary.json", b"null", r"summary\.json: expected keys and values"),
        ("summary.json", b'{"best": 3}', r"summary\.json: expected keys and values"),
        ("summary.json", b'{"steps": "many"}', r"summary\.json: steps: expected a number"),
        ("summary.json", b'{"test_loss": 1e999}', r"summary\.json: test_loss: .*found inf"),
        ("summary.json", b'{"epochs": 1%s}' % (b"0" * 400), r"summary\.json: epochs: expected"),
        ("summary.json", b'{"best": {"epoch": []}}', r"summary\.json: epoch: expected a number"),
        ("summary.json", b'{"warnings": [1]}', r"summary\.json: warnings: expected sentences"),
        ("data.json", b"[" * 100_000, r"data\.json: damaged"),
        ("model.safetensors.sha256", b"", "not the bytes that training has written"),
        ("model.safetensors.sha256", b"\xff" * 64, "not the bytes that training has written"),
        ("model.safetensors", b"", r"model\.safetensors: cannot read the model"),
        ("model.safetensors", b"not a model at all", r"model\.safetensors: cannot read the model"),
    ],
)
def test_a_damaged_file_is_named(copied: Path, name: str, content: bytes, message: str) -> None:
    (copied / name).write_bytes(content)
    with pytest.raises(RunError, match=message):
        load_run(copied)


def test_a_truncated_model_is_an_error(copied: Path) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"model\.safetensors: cannot read the model"):
        load_run(copied)


@pytest.mark.long
def test_no_bit_of_a_model_can_change_unnoticed(copied: Path) -> None:
    path = copied / "model.safetensors"
    content = path.read_bytes()
    for position in [*range(0, len(content), 37), len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(RunError, match=r"model\.safetensors"):
            load_run(copied)


def test_a_model_that_was_replaced_on_purpose_is_accepted(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    arrays["2.bias"][3] = np.nan
    arrays["2.weight"][:2] = np.inf
    safetensors.numpy.save_file(arrays, path)
    with pytest.raises(RunError, match=r"damaged or replaced\..*add --allow-changes"):
        load_run(copied)
    assert np.isnan(load_run(copied, allow_changes=True).params[2]["bias"][3])
    said = "numbers that are not finite: 1 of 10 in 2.bias, 20 of 640 in 2.weight"
    assert said in capsys.readouterr().err
    (copied / "model.safetensors.sha256").unlink()  # as of older runs
    load_run(copied)
    assert said in capsys.readouterr().err


def test_a_run_that_is_killed_between_model_and_digest_has_none(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(copied)
    with monkeypatch.context() as patch:
        patch.setattr("jaxnn.runs.run.write_text", None)
        with pytest.raises(TypeError):
            save_model(copied / "model.safetensors", run.params, run.state)
    load_run(copied)
    save_model(copied / "model.safetensors", run.params, run.state)
    assert (copied / "model.safetensors.sha256").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"2.bias": None}, r"expected for '2\.bias' float32 of shape \(10,\), found none"),
        ({"3.bias": np.zeros(2, np.float32)}, r"expected for '3\.bias' none, found float32 of .*2"),
        ({"2.bias": np.zeros(9, np.float32)}, r"float32 of shape \(10,\), found float32 .*\(9,\)"),
        ({"2.bias": np.zeros(10)}, r"float32 of shape \(10,\), found float64 of shape \(10,\)"),
    ],
)
def test_a_model_of_another_network_is_an_error(
    copied: Path, changes: dict[str, Any], message: str
) -> None:
    path = copied / "model.safetensors"
    arrays = safetensors.numpy.load_file(path) | changes
    safetensors.numpy.save_file({k: v for k, v in arrays.items() if v is not None}, path)
    with pytest.raises(RunError, match=message):
        load_run(copied)


def test_a_config_that_was_changed_is_named(copied: Path) -> None:
    path = copied / "config.yaml"
    path.write_text(path.read_text().replace("units: 10", "units: 11"))
    with pytest.raises(ConfigError, match=r"layer 2 \(dense\) has shape \(11,\)"):
        load_run(copied)


def test_an_empty_split_cannot_be_evaluated(finished: tuple[Run, list[Report]]) -> None:
    run, _ = finished
    dataset = run.experiment.dataset
    empty = dataset._replace(validation=type(dataset.test)(*(a[:0] for a in dataset.test)))
    with pytest.raises(RunError, match="digits: the validation split is empty"):
        evaluate(run.experiment._replace(dataset=empty), run.params, run.state, "validation")


# --- Nothing half-written


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": ["flatten", {"dense": 11}]}, ConfigError),
        ({"model": "no_such_module:net"}, ConfigError),
        ({"training": {"batch_size": 5000}}, ConfigError),
        (
            {
                "data": {
                    "idx": dict.fromkeys(
                        ("train_images", "train_labels", "test_images", "test_labels"),
                        "no such file",
                    )
                }
            },
            DataError,
        ),
    ],
)
def test_what_cannot_start_leaves_nothing(
    changes: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        train(parse_config(VALUES | changes), tmp_path / "a" / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_is_not_a_finished_one(tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(parse_config(VALUES), tmp_path / "run", [interrupt])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    with pytest.raises(RunError, match="not a finished run"):
        load_run(tmp_path / "run")


# --- Precision


@pytest.fixture
def _same_x64_afterwards() -> Iterator[None]:
    before = jax.config.read("jax_enable_x64")
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.usefixtures("_same_x64_afterwards")
def test_a_run_in_float64_is_saved_and_loaded_as_such(tmp_path: Path) -> None:
    config = parse_config(
        VALUES | {"training": {"epochs": 1, "precision": "float64", "statistics_steps": 0}}
    )
    run = train(config, tmp_path / "run")
    jax.config.update("jax_enable_x64", False)
    loaded = load_run(run.path)
    weight = loaded.params[2]["weight"]
    assert weight.dtype == jnp.float64
    np.testing.assert_array_equal(weight, run.params[2]["weight"])
    result = evaluate(loaded.experiment, loaded.params, loaded.state, "test")
    assert result.loss == run.summary["test_loss"]
    # In float64 throughout, normalization too: as NumPy has it.
    dataset = loaded.experiment.dataset
    x = standardize(dataset.test.inputs, dataset, np.float64).reshape(300, -1)
    z = np.maximum(x, 0) @ np.asarray(weight) + np.asarray(loaded.params[2]["bias"])
    losses = np.log(np.exp(z).sum(-1)) - z[np.arange(300), dataset.test.targets]
    assert result.loss == pytest.approx(losses.mean(), rel=1e-12)


@pytest.fixture(scope="module")
def averaging(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose config asks for averaged weights and answers."""
    optimizer = {
        "chain": [{"sgd": VALUES["optimizer"]["sgd"]}, {"exponential_moving_average": 0.8}]
    }
    training = VALUES["training"] | {"epochs": 1, "chunk_steps": 12}
    changes = {"optimizer": optimizer, "training": training}
    evaluation = {"weights": True, "mirror": True, "shift": 1}
    config = parse_config({**VALUES, **changes, "evaluation": evaluation})
    return train(config, tmp_path_factory.mktemp("runs") / "averaging")


def test_a_run_has_the_averaged_weights_if_its_config_says_so(averaging: Run) -> None:
    path = averaging.path / "checkpoints"
    (last,) = path.glob("step-00000012.safetensors")
    arrays = safetensors.numpy.load(last.read_bytes())
    model = safetensors.numpy.load((averaging.path / "model.safetensors").read_bytes())
    (average,) = (value for key, value in arrays.items() if key.endswith("average.2.weight"))
    np.testing.assert_array_equal(model["2.weight"], average)
    assert not np.array_equal(model["2.weight"], arrays["params.2.weight"])
    again = load_run(averaging.path)
    np.testing.assert_array_equal(again.params[2]["weight"], average)


def test_answers_are_averaged_over_views_if_the_config_says_so(averaging: Run) -> None:
    run, test = averaging, averaging.dataset.test

    def outputs(images: np.ndarray) -> np.ndarray:
        return np.asarray(run.network.forward(run.params, run.state, images)[0], np.float64)

    def both(images: np.ndarray) -> np.ndarray:
        return (outputs(images) + outputs(images[:, :, ::-1])) / 2

    x = np.pad(test.inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    z = both(test.inputs) / 2 + (both(x[:, :-2, :-2]) + both(x[:, 2:, 2:])) / 4
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(run.predict(test.inputs), p, atol=1e-5)
    loss = -np.log(p[np.arange(len(p)), test.targets]).mean()
    assert run.summary["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert run.known.views == 6
    # Of its own examples, and where it is asked for, there is one view.
    plain = evaluate(run.experiment, run.params, run.state, "train", views=False)
    assert run.summary["train_loss"] == pytest.approx(plain.loss, rel=1e-6)
    averaged = evaluate(run.experiment, run.params, run.state, "train")
    assert averaged.loss != pytest.approx(plain.loss, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluation": {"weights": True}},
            "evaluation: expected one average of the weights in the state, found 0",
        ),
        (
            {
                "evaluation": {"weights": True},
                "optimizer": {
                    "partition": {
                        "mask": "weights",
                        "selected": {"exponential_moving_average": 0.9},
                        "others": {"sgd": 0.1},
                    }
                },
            },
            "evaluation: exponential_moving_average sees only some of the weights",
        ),
        ({"evaluation": {"shift": 8}}, "evaluation: average_views needs images, .* of more than 8"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(parse_config({**VALUES, **changes}))
