"""The scripts as people call them: a whole run offline, and what they answer to wrong inputs."""

import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import PIL.Image
import pytest
from running import run_script

from jaxnn import cli

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "experiments").glob("*.py"))
CONFIG = ROOT / "configs" / "digits_mlp.yaml"


def start(
    script: str, *arguments: str | Path, cwd: Path, **options: object
) -> subprocess.Popen[str]:
    """A script in a process of its own, without any data but those that come with jaxnn."""
    environment = os.environ | {"JAXNN_DATA": str(cwd / "no data")}
    command = [sys.executable, str(ROOT / "experiments" / script), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stderr=subprocess.PIPE, **options
    )


class Result(NamedTuple):
    status: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Calls a script's ``main`` in this process, in an empty working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    x64 = jax.config.read("jax_enable_x64")

    def run(script: str, *arguments: str | Path) -> Result:
        path = ROOT / "experiments" / script
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        status = 0
        try:
            cli.run(module.main)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return Result(status, *capsys.readouterr())

    yield run
    jax.config.update("jax_enable_x64", x64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run by the script, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    process = start(
        "train.py",
        CONFIG,
        "training.epochs=3",
        "--run-dir",
        "run",
        "training.chunk_steps=10",
        cwd=folder,
        stdout=subprocess.PIPE,
    )
    out, err = process.communicate()
    assert err == ""
    assert process.returncode == 0
    assert os.listdir(folder) == ["run"]
    return folder / "run", out


# --- What should work


def test_training_prints_plain_lines_and_the_result(trained: tuple[Path, str]) -> None:
    path, out = trained
    summary = json.loads((path / "summary.json").read_text())
    assert summary["epochs"] == 3
    assert summary["steps"] == 120
    assert summary["parameters"] == 9610
    assert summary["test_accuracy"] > 0.9
    assert "\x1b" not in out
    assert "\r" not in out
    lines = out.splitlines()
    last = next(line for line in lines if line.startswith("epoch 3/3  step 120  loss "))
    assert re.search(r"accuracy \d+\.\d\d%  [\d,]+ examples/s  validation loss .* accuracy ", last)
    assert any(line.startswith("total ") and line.endswith(" 9,610") for line in lines)
    assert f"test accuracy {summary['test_accuracy']:.2%}, loss {summary['test_loss']:.4f}" in out
    assert lines[-1] == "run directory: run"


def test_a_run_can_be_evaluated(trained: tuple[Path, str], call: Call) -> None:
    summary = json.loads((trained[0] / "summary.json").read_text())
    for arguments, split, count in (
        ([], "test", 300),
        (["--split", "train"], "train", 1297),
        (["--split", "validation"], "validation", 200),
    ):
        result = call("evaluate.py", trained[0], *arguments)
        accuracy, loss = summary[f"{split}_accuracy"], summary[f"{split}_loss"]
        assert (result.status, result.err) == (0, "")
        expected = f"{split}: accuracy {accuracy:.2%}, loss {loss:.4f} ({count} examples)"
        assert result.out.splitlines()[0] == expected


def test_a_config_can_be_described_and_the_description_is_one(
    trained: tuple[Path, str], call: Call
) -> None:
    of_config = call("describe.py", CONFIG, "training.epochs=3", "training.chunk_steps=10")
    of_run = call("describe.py", trained[0] / "config.yaml")
    assert of_config == of_run
    assert of_run.status == 0
    assert of_run.out.startswith(
        "data: digits, 1,297 train, 200 validation, 300 test examples, 10 "
    )
    assert "1 dense    128                8,320" in of_run.out
    assert of_run.out.endswith((trained[0] / "config.yaml").read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_says_how_it_is_used_in_any_encoding(
    script: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "experiments")  # as Python does
    outcome = run_script(capsys, script.stem, "--help")
    sys.stdout.flush()
    assert (outcome.status, outcome.err) == (0, "")
    out = printed.getvalue().decode("ascii")
    assert out.startswith(f"usage: {script.name} ")
    assert f"python experiments/{script.name}" in out
    assert os.listdir(tmp_path) == []


@pytest.mark.long
def test_what_scripts_print_needs_no_more_than_ascii(
    trained: tuple[Path, str], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "größe.png"
    PIL.Image.fromarray(np.pad(np.full((20, 4), 255, np.uint8), ((4, 4), (12, 12)))).save(image)
    for script, *arguments in (
        ("train.py", CONFIG, "name=größe", "training.epochs=1", "--run-dir", tmp_path / "größe"),
        ("describe.py", CONFIG),
        ("evaluate.py", tmp_path / "größe"),
        ("compare.py", trained[0], trained[0], tmp_path / "größe"),
        ("predict.py", trained[0], image),
        ("browse.py", CONFIG, "--output", tmp_path / "größe.png"),
    ):
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "ascii"))
        assert call(script, *arguments).status == 0
        sys.stdout.flush()
        assert out.getvalue().isascii()
        if script == "predict.py":
            assert "###" in out.getvalue().decode()  # its bars


@pytest.mark.long
def test_a_reader_that_has_had_enough_is_no_traceback(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("describe.py", CONFIG, cwd=tmp_path, stdout=write_end)
    os.close(write_end)
    _, err = process.communicate()
    assert (process.returncode, err) == (1, "")


# --- Wrong inputs


class Files:
    """What the wrong inputs below are made of, in a folder of their own."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.folder, self.run = folder, run
        folder.mkdir()

    def text(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def config(self, **parts: str) -> Path:
        """A config with other parts, as YAML; None leaves a part out."""
        values = {
            "data": "digits",
            "model": "[flatten, {dense: 10}]",
            "optimizer": "{sgd: 0.1}",
            "training": "{epochs: 1}",
        } | parts
        return self.text("config.yaml", "".join(f"{k}: {v}\n" for k, v in values.items() if v))

    def idx(
        self,
        *,
        damage: Callable[[bytes], bytes] = lambda content: content,
        labels: tuple[int, ...] = (0, 1, 2, 0),
        classes: str = "[a, b, c]",
        validation: int = 0,
        model: str = "[flatten, {dense: 3}]",
        training: str = "{epochs: 1, batch_size: 2}",
    ) -> Path:
        """A config of a data set in IDX files: four images of 2 × 2 and their labels."""
        images = struct.pack(">4B3I", 0, 0, 8, 3, 4, 2, 2) + bytes(range(16))
        numbers = struct.pack(">4BI", 0, 0, 8, 1, 4) + np.array(labels, np.uint8).tobytes()
        for name, content in (("images", images), ("labels", numbers), ("damaged", damage(images))):
            (self.folder / name).write_bytes(content)
        files = (
            f"train_images: {self.folder / 'damaged'}, train_labels: {self.folder / 'labels'}, "
            f"test_images: {self.folder / 'images'}, test_labels: {self.folder / 'labels'}"
        )
        options = f"classes: {classes}, validation: {validation}"
        return self.config(data=f"{{idx: {{{files}, {options}}}}}", model=model, training=training)

    def module(self, text: str) -> Path:
        """A config whose model is a function of a module in the working directory."""
        name = f"wrong_module_{abs(hash(text))}"
        Path(f"{name}.py").write_text(text)
        return self.config(model=f"{name}:net")

    def mnist(self, content: bytes) -> Path:
        folder = Path(os.environ["JAXNN_DATA"]) / "mnist"
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
        return self.config(data="mnist", model="[flatten, {dense: 10}]")

    def damaged_run(self, name: str, content: bytes | None) -> Path:
        path = Path(shutil.copytree(self.run, self.folder / "damaged run"))
        if content is None:
            (path / name).unlink()
        else:
            (path / name).write_bytes(content)
        return path

    def full_folder(self) -> Path:
        (self.folder / "full").mkdir()
        (self.folder / "full" / "something").touch()
        return self.folder / "full"


Case = tuple[str, Callable[[Files], list[str | Path]], str]

WRONG: dict[str, Case] = {
    # What is written in the config
    "misspelt part": ("train.py", lambda f: [f.config(trainin="{epochs: 1}")], "did you mean 'tr"),
    "misspelt setting": (
        "train.py",
        lambda f: [f.config(training="{epoch: 1}")],
        r"config\.yaml:\n  training: unknown key 'epoch'; did you mean 'epochs'\? allowed: epochs,",
    ),
    "misspelt layer": (
        "train.py",
        lambda f: [f.config(model="[flatten, {desne: 10}]")],
        r"model\.1: unknown layer 'desne'; did you mean 'dense'\?",
    ),
    "misspelt argument": (
        "train.py",
        lambda f: [f.config(model="[flatten, {dense: {unit: 10}}]")],
        r"model\.1\.dense: unknown key 'unit'; did you mean 'units'\?",
    ),
    "misspelt schedule": (
        "train.py",
        lambda f: [f.config(optimizer="{sgd: {learning_rate: {cosin: 1}}}")],
        r"optimizer\.sgd\.learning_rate: unknown schedule 'cosin'; did you mean 'cosine'\?",
    ),
    "unknown data set": (
        "train.py",
        lambda f: [f.config(data="minst")],
        "data: unknown data set 'minst'; did you mean 'mnist'",
    ),
    "unknown loss": (
        "train.py",
        lambda f: [f.config(loss="cross_entropy")],
        "loss: unknown loss 'cross_entropy'; did you mean 'softmax_cross_entropy'",
    ),
    "missing part": ("train.py", lambda f: [f.config(model="")], "  model: is required"),
    "missing argument": (
        "train.py",
        lambda f: [f.config(optimizer="sgd")],
        r"optimizer\.sgd\.learning_rate: is required",
    ),
    "negative size": (
        "train.py",
        lambda f: [f.config(model="[flatten, {dense: -5}]")],
        r"model\.1\.dense: units must be at least 1, got -5",
    ),
    "no epochs": (
        "train.py",
        lambda f: [CONFIG, "training.epochs=0"],
        r"training\.epochs: Input should be greater than or equal to 1, got 0",
    ),
    "negative seed": ("train.py", lambda f: [CONFIG, "seed=-1"], "seed: Input should be greater"),
    "negative learning rate": (
        "train.py",
        lambda f: [CONFIG, "optimizer.sgd.learning_rate=-0.1"],
        r"optimizer\.sgd: learning_rate must not be negative, got -0\.1",
    ),
    "text for a number": (
        "train.py",
        lambda f: [CONFIG, "training.batch_size=many"],
        r"training\.batch_size: Input should be a valid integer, got 'many'",
    ),
    "yes for a number": (
        "train.py",
        lambda f: [CONFIG, "training.epochs=true"],
        r"training\.epochs: Input should be a valid integer, got True",
    ),
    "unknown precision": (
        "train.py",
        lambda f: [CONFIG, "training.precision=float16"],
        r"training\.precision: Input should be 'float32', 'float64' or 'bfloat16', got 'float16'",
    ),
    "argument out of range": (
        "train.py",
        lambda f: [f.config(model="[flatten, {dropout: 1.5}, {dense: 10}]")],
        r"model\.1\.dropout: rate must be in \[0, 1\), got 1\.5",
    ),
    # What does not fit together
    "a layer that does not fit": (
        "train.py",
        lambda f: [f.config(model="[flatten, {dense: {units: 10, bias_init: he}}]")],
        r"model: layer 1 \(dense\): .*its input has shape \(64,\), from layer 0 \(flatten\)",
    ),
    "wrong number of outputs": (
        "train.py",
        lambda f: [f.config(model="[flatten, {dense: 7}]")],
        r"layer 1 \(dense\) has shape \(7,\), but digits has 10 classes: \(10,\) is needed",
    ),
    "batch larger than the data": (
        "train.py",
        lambda f: [CONFIG, "training.batch_size=1298"],
        "training: batch_size must be between 1 and the 1297 training examples, got 1298",
    ),
    "warm-up longer than the run": (
        "train.py",
        lambda f: [
            CONFIG,
            "optimizer={sgd: {learning_rate: {warmup_cosine: {peak: 1, warmup: 9999}}}}",
        ],
        r"optimizer\.sgd\.learning_rate\.warmup_cosine: .*9999.* 1600",
    ),
    "validation larger than the data": (
        "train.py",
        lambda f: [f.idx(validation=4)],
        r"data\.idx: validation = 4 .* must be between 0 and 3",
    ),
    # Overrides
    "override without =": (
        "train.py",
        lambda f: [CONFIG, "training.epochs"],
        "'training.epochs': an override is written key=value, as in training.epochs=5",
    ),
    "override outside a list": (
        "train.py",
        lambda f: [CONFIG, "model.7=relu"],
        "model.7=relu: model is a list: a number from 0 to 3 must follow",
    ),
    "override into a number": (
        "train.py",
        lambda f: [CONFIG, "training.epochs.more=5"],
        "training.epochs is 40 and has no 'more'",
    ),
    "override that is not YAML": (
        "train.py",
        lambda f: [CONFIG, "model=[relu"],
        r"model=\[relu: not valid YAML: .*line 1",
    ),
    # The file of the config
    "not YAML": (
        "train.py",
        lambda f: [f.text("c.yaml", "data: digits\nmodel: [relu\n")],
        r"c\.yaml: not valid YAML: .*\(line \d, column \d\)",
    ),
    "key given twice": (
        "train.py",
        lambda f: [f.text("c.yaml", "seed: 1\nseed: 2\n")],
        r'c\.yaml: not valid YAML: found duplicate key "seed"',
    ),
    "empty file": ("train.py", lambda f: [f.text("c.yaml", "")], r"c\.yaml: expected keys such as"),
    "missing file": (
        "train.py",
        lambda f: [CONFIG.with_name("digit_mlp.yaml")],
        r"digit_mlp\.yaml: cannot read the config: No such .*; did you mean .*digits_mlp\.yaml\?",
    ),
    "directory for a file": (
        "describe.py",
        lambda f: [f.folder],
        "cannot read the config: Is a directory",
    ),
    # Data
    "missing data file": (
        "train.py",
        lambda f: [
            CONFIG,
            "data={idx: {train_images: nowhere, train_labels: a, test_images: b, test_labels: c}}",
        ],
        "nowhere: cannot be read: No such file or directory",
    ),
    "truncated data": (
        "train.py",
        lambda f: [f.idx(damage=lambda content: content[:-1])],
        "damaged: expected 16 bytes of values .*, found only 15",
    ),
    "truncated gzip": (
        "train.py",
        lambda f: [f.idx(damage=lambda content: gzip.compress(content)[:-9])],
        "damaged: expected a complete gzip file, found a truncated",
    ),
    "truncated download": (
        "train.py",
        lambda f: [f.mnist(gzip.compress(bytes(1000))[:-9])],
        r"train-images-idx3-ubyte\.gz: expected a complete gzip file, .*[Dd]elete it",
    ),
    "another file for MNIST": (
        "train.py",
        lambda f: [f.mnist(gzip.compress(b"another"))],
        r"train-images-idx3-ubyte\.gz: expected 47040016 bytes uncompressed, found 7",
    ),
    "wrong magic number": (
        "describe.py",
        lambda f: [f.idx(damage=lambda content: b"\x89PNG" + content[4:])],
        "damaged: expected an IDX file, .* found 89 50 4e 47",
    ),
    "label out of range": (
        "describe.py",
        lambda f: [f.idx(labels=(0, 1, 9, 0))],
        "labels: expected labels from 0 to 2, .* found 9 at position 2",
    ),
    # The run directory
    "run directory below a file": (
        "train.py",
        lambda f: [CONFIG, "--run-dir", f.text("file", "") / "run"],
        r"file/run: cannot be created: .*file is not a directory you can write to",
    ),
    "run directory is a file": (
        "train.py",
        lambda f: [CONFIG, "--run-dir", f.text("file", "")],
        "file: exists and is not an empty directory; choose another --run-dir",
    ),
    "run directory in use": (
        "train.py",
        lambda f: [CONFIG, "--run-dir", f.full_folder()],
        "full: exists and is not an empty directory; choose another --run-dir",
    ),
    # Models in Python
    "unknown module": (
        "train.py",
        lambda f: [CONFIG, "model=no_such_module:net"],
        "model: cannot import 'no_such_module': No module named 'no_such_module'",
    ),
    "unknown function": (
        "train.py",
        lambda f: [f.module("def nett(): pass\n")],
        "unknown function 'net'; did you mean 'nett'",
    ),
    "function that returns no layer": (
        "train.py",
        lambda f: [f.module("def net(): return [1]\n")],
        r"model: expected a Layer from wrong_module_\d+:net\(\), got list",
    ),
    "function that raises": (
        "train.py",
        lambda f: [f.module("def net():\n    return {}['x']\n")],
        r"net\(\) failed: KeyError: 'x' \(.*wrong_module_\d+\.py, line 2\)",
    ),
    "module that raises": (
        "train.py",
        lambda f: [f.module("def net(:\n")],
        r"model: cannot import 'wrong_module_\d+': SyntaxError: ",
    ),
    # Reading a run back
    "not a run": (
        "evaluate.py",
        lambda f: [f.full_folder()],
        "full: not a finished run: config.yaml, model.safetensors, summary.json missing",
    ),
    "unfinished run": (
        "evaluate.py",
        lambda f: [f.damaged_run("summary.json", None)],
        "damaged run: not a finished run: summary.json missing",
    ),
    "damaged model": (
        "evaluate.py",
        lambda f: [f.damaged_run("model.safetensors", b"something else")],
        r"model\.safetensors: cannot read the model",
    ),
}


def tree(folder: Path) -> dict[Path, bytes | None]:
    """All that is in a folder."""
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


def test_there_are_twenty_wrong_inputs() -> None:
    assert len(WRONG) >= 20


@pytest.mark.parametrize(("script", "arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_input_is_one_message_status_2_and_nothing_written(
    script: str,
    arguments: Callable[[Files], list[str | Path]],
    message: str,
    call: Call,
    tmp_path: Path,
    trained: tuple[Path, str],
) -> None:
    given = arguments(Files(tmp_path / "files", trained[0]))
    before = tree(tmp_path)
    result = call(script, *given)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("error: ") == 1
    assert "Traceback" not in result.err
    assert re.search(message, result.err), result.err
    assert tree(tmp_path) == before


def test_an_empty_split_of_a_run_is_named(call: Call, tmp_path: Path) -> None:
    config = Files(tmp_path / "files", tmp_path).idx()
    assert call("train.py", config, "--run-dir", tmp_path / "run").status == 0
    result = call("evaluate.py", tmp_path / "run", "--split", "validation")
    assert result == (2, "", "error: idx: the validation split is empty\n")


@pytest.mark.long
def test_a_wrong_input_in_a_process_of_its_own_too(tmp_path: Path) -> None:
    """What the tests above do not see: imports, warnings, and the exit itself."""
    process = start("train.py", CONFIG, "training.epoch=1", cwd=tmp_path, stdout=subprocess.PIPE)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(r"error: .*digits_mlp\.yaml:\n  training: unknown key 'epoch'; .*\n", err)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("script", ["train", "lab", "browse", "describe"])
def test_without_arguments_what_is_needed_is_said(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_script(capsys, script)
    assert outcome.status == 2
    error = outcome.err.splitlines()[-1]
    assert "config" in error
    assert "key=value" not in error
