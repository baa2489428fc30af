"""reproduce.py: which rows hold, what is interrupted and taken up, and the table."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.metrics import balanced_accuracy_score

from jaxnn import cli
from jaxnn.runs import load_run

ROOT = Path(__file__).parents[2]
CONFIG = """
data: {plane: {shape: moons, points: 300}}
model: [{dense: 2}]
optimizer: {sgd: 0.1}
training: {epochs: 2, batch_size: 30, chunk_steps: 4, checkpoint_seconds: 0, statistics_steps: 0}
"""
ROWS = """\
# Kept.
moons:
  what: a straight line
  seeds: [0, 1]
  settings: ["data.plane.seed={seed}"]
  figures:
    test_accuracy: []
    balanced_accuracy: []  # of the code before
    best_accuracy: []
  published: 99 %
pictures:
  what: not here
  seeds: [3]
  figures:
    test_accuracy: [50]
  seconds: 120
  data: pictures.zip, from elsewhere
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with rows of its own."""
    path = ROOT / "experiments" / "reproduce.py"
    spec = importlib.util.spec_from_file_location("reproduce", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    for name, file in (("CONFIGS", "configs"), ("ROWS", "rows.yaml"), ("RESULTS", "RESULTS.md")):
        monkeypatch.setattr(module, name, tmp_path / file)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "moons.yaml").write_text(CONFIG)
    pictures = CONFIG.replace("{plane: {shape: moons, points: 300}}", "{npz: pictures.npz}")
    (tmp_path / "configs" / "pictures.yaml").write_text(pictures)
    (tmp_path / "rows.yaml").write_text(ROWS)
    (tmp_path / "RESULTS.md").write_text(f"before\n{module.BEGIN}\nold\n{module.END}\nafter\n")
    return module


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Calls it; returns the exit status and what it printed, errors too."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["reproduce.py", *arguments])
        status: object = 0
        try:
            cli.run(script.main)
        except SystemExit as stop:
            status = stop.code
        out = "".join(capsys.readouterr())
        return (status, out) if isinstance(status, int) else (1, f"{out}{status}")

    return run


def test_the_table_is_that_of_the_rows_and_each_config_has_one(script: ModuleType) -> None:
    folder = ROOT / "experiments"
    rows = script.read_rows(folder / "results.yaml")
    assert set(rows) == {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    text = (folder / "RESULTS.md").read_text(encoding="utf-8")
    assert text == script.with_table(text, rows), "python experiments/reproduce.py --table"
    for name, row in rows.items():
        script.load_config(ROOT / "configs" / f"{name}.yaml", row.overrides(row.seeds[0]))


@pytest.mark.long
def test_rows_are_interrupted_taken_up_accepted_and_checked(
    script: ModuleType, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, resume, calls = script.train, script.resume, []

    def killed(config: object, path: Path, consumers: list[object]) -> object:
        def die(report: object) -> None:
            if "-1-" in path.name and report.epoch > 1:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        calls.append("train")
        return train(config, path, [*consumers, die])

    def again(path: Path, **options: object) -> object:
        calls.append("resume")
        return resume(path, **options)

    monkeypatch.setattr(script, "train", killed)
    monkeypatch.setattr(script, "resume", again)
    status, out = call("moons")
    assert (status, calls) == (130, ["train", "train"])
    assert "moons, seed 1: 2 of 2" in out

    status, out = call("moons", "--accept")
    assert (status, calls) == (0, ["train", "train", "resume"])
    assert "was not measured before" in out
    row = script.read_rows(script.ROWS)["moons"]
    assert script.ROWS.read_text().startswith("# Kept.\n")
    assert "# of the code before" not in script.ROWS.read_text()
    assert row.machine == script.machine()
    (path,) = Path("runs/reproduce").glob("moons-1-*")
    whole = train(script.load_config(path / "config.yaml"), Path("whole"))
    assert load_run(path).summary["test_loss"] == whole.summary["test_loss"]
    assert whole.config.data.arguments["seed"] == whole.config.seed == 1
    test = whole.dataset.test
    predicted = whole.predict(test.inputs, stored=True).argmax(1)
    assert {name: values[1] for name, values in row.figures.items()} == {
        "test_accuracy": round(100 * np.mean(predicted == test.targets), 2),
        "balanced_accuracy": round(100 * balanced_accuracy_score(test.targets, predicted), 2),
        "best_accuracy": round(100 * whole.summary["best"]["accuracy"], 2),
    }

    accuracies = row.figures["test_accuracy"]
    lines = script.RESULTS.read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("| `moons` | a straight line |")]
    command = "`train.py configs/moons.yaml seed=S data.plane.seed=S`"
    mean, low, high = (f"{f(accuracies):.2f}" for f in (np.mean, min, max))
    spread = f"{mean} % ({low}–{high}); balanced "
    assert f"| {command} | 0–1 | {spread}" in line
    assert line.endswith(" s | " + script.machine() + " | 99 % |")
    assert (lines[0], lines[-1]) == ("before", "after")

    status, out = call("moons")
    assert (status, calls) == (0, ["train", "train", "resume"])
    assert out.count("  holds; the table: ") == out.count("  the same with every seed") == 3

    text = script.ROWS.read_text()
    script.ROWS.write_text(re.sub(r"(test_accuracy: \[).*?,", r"\g<1>99.5,", text, count=1))
    status, out = call("moons")
    assert f"seed 0: 99.5 then, {accuracies[0]} now" in out
    script.ROWS.write_text(re.sub(r"(test_accuracy: \[).*?\]", r"\g<1>99.5, 99.6]", text, count=1))
    status, out = call("moons")
    assert status == 1
    assert "DOES NOT HOLD; the table: 99.55 % (99.50–99.60)" in out
    assert out.endswith("does not hold, or was not run: moons")

    changed = script.load_config(path / "config.yaml", ["optimizer.sgd=0.2"])
    assert script.digest(changed) not in path.name  # it would be trained anew


def test_data_that_are_missing_are_named(call: Call) -> None:
    status, out = call("pictures")
    assert status == 1
    assert "pictures: not run, for its data are missing: pictures.npz" in out
    assert "It needs pictures.zip, from elsewhere" in out


def test_rows_are_listed(script: ModuleType, call: Call) -> None:
    before = script.RESULTS.read_text()
    status, out = call("--list")
    assert status == 0
    lines = [re.split(r"\s\s+", line.strip()) for line in out.splitlines()]
    assert lines[1][:3] == ["moons", "0–1", "not known"]
    assert lines[2] == ["pictures", "3", "120 s", "pictures.zip, from elsewhere"]
    assert out.endswith(
        "2 minutes of training in all, compilation not counted, and those not measured yet: moons\n"
    )
    assert script.RESULTS.read_text() == before
    assert call("--table")[0] == 0
    assert "| `pictures` | not here |" in script.RESULTS.read_text()


def test_mistakes_end_in_one_message(script: ModuleType, call: Call) -> None:
    assert call("mons") == (
        2,
        "error: there is no row 'mons'; did you mean 'moons'? rows: moons, pictures\n",
    )
    values = YAML(typ="safe").load(ROWS)
    for change, message in (
        ({"figures": {"accuracy": []}}, "unknown metric 'accuracy'; allowed: test_accuracy, "),
        ({"figures": {"test_accuracy": [1.0]}}, "test_accuracy: 1 figures for 2 seeds"),
        ({"seeds": []}, "at least one seed"),
        ({"note": "?"}, "note"),
    ):
        with script.ROWS.open("w") as file:
            YAML().dump(values | {"moons": values["moons"] | change}, file)
        status, out = call("--list")
        assert status == 2
        assert f"{script.ROWS}: moons: " in out
        assert message in out
    script.ROWS.write_text(ROWS)
    script.RESULTS.write_text("no table")
    assert "are needed" in call("--table")[1]
