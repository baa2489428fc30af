"""What the README says works as it stands there."""

import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from running import run_script
from scipy.special import softmax
from sklearn.datasets import load_iris

import jaxnn
from jaxnn.config.catalogue import FAMILIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "experiments" / "RESULTS.md").read_text(encoding="utf-8")


def blocks(kind: str, mark: str) -> list[str]:
    return re.findall(rf"<!-- {mark} -->\n```{kind}\n(.*?)```", README, re.DOTALL)


def test_its_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracked: list[tuple[dict[str, float], int]] = []
    tracker = ModuleType("mlflow")
    vars(tracker)["log_metrics"] = lambda values, step: tracked.append((values, step))
    monkeypatch.setitem(sys.modules, "mlflow", tracker)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    names: dict[str, Any] = {}
    printed = []
    for block in blocks("python", "run"):
        exec(compile(block, "README.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    training, fitting, tracking, surface, checking, predicting = printed
    assert float(training.split()[1]) < 0.1
    reports, layers = fitting.splitlines()[:3], fitting.splitlines()[3:]
    assert reports[0].partition(", loss")[0] in README
    assert all(line.startswith("<Report: step ") for line in reports)
    assert [line.split(" (")[0] for line in layers] == [
        *("serial", "0 flatten", "1 dense", "2 relu", "3 dense")
    ]
    assert (tracking, [step for _, step in tracked]) == ("", [40, 80])
    assert all(values["loss"] > 0 for values, _ in tracked)
    assert names["report"].validation.metrics["r2"] > 0.99
    assert surface.startswith("Evaluation(loss=0.00")
    assert checking.startswith("swish: ok\n  d input  relative error ")
    accuracy, by_numpy = map(float, predicting.split())
    assert accuracy == by_numpy > 0.9
    np.testing.assert_allclose(softmax(names["outputs"], -1), names["probabilities"], atol=1e-5)


def test_a_layer_is_used_in_other_jax_code(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python", "run: alone")
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out == "(3, 3, 1, 8)\n"


def test_its_own_data_need_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers = load_iris()
    rows = [
        ",".join([*map(str, features), flowers.target_names[target]])
        for features, target in zip(flowers.data, flowers.target, strict=True)
    ]
    header = "sepal length,sepal width,petal length,petal width,species"
    (tmp_path / "flowers.csv").write_text("\n".join([header, *rows]) + "\n")
    (block,) = blocks("yaml", r"run: flowers\.yaml")
    (tmp_path / "flowers.yaml").write_text(block)
    monkeypatch.chdir(tmp_path)
    outcome = run_script(capsys, "train", "flowers.yaml", "--run-dir", "run")
    assert outcome.status == 0, outcome.err
    accuracy = re.search(r"test accuracy ([\d.]+)%", outcome.out)
    assert accuracy is not None
    assert float(accuracy[1]) > 90


def test_its_config_is_the_one_that_is_shipped() -> None:
    (block,) = re.findall(r"`configs/digits_mlp\.yaml`:\n\n```yaml\n(.*?)```", README, re.DOTALL)
    text = (ROOT / "configs/digits_mlp.yaml").read_text()
    assert re.sub(r"^#.*\n", "", text, flags=re.MULTILINE) == block


def test_it_lists_the_whole_interface() -> None:
    table = README[README.index("### What there is") : README.index("## Pictures")]
    listed = set(re.findall(r"`(?:jaxnn\.)?(\w+)`", table))
    assert set(jaxnn.__all__) <= listed
    for family in FAMILIES:  # every public layer, loss, data set, … is a name that configs may use
        assert set(family) <= listed
    for name in listed - {"jaxnn", "vmap"}:
        places = (jaxnn, jaxnn.optimizers, jaxnn.schedules, jaxnn.initializers, jaxnn.data)
        modules = (*places, jaxnn.training, jaxnn.models, jaxnn.interop, jaxnn.data.augmentation)
        known = any(hasattr(module, name) for module in modules)
        assert known or name in {"config", "experiment", "runs", "train", "resume"}, name


def test_its_pictures_and_files_exist() -> None:
    for path in re.findall(r"\]\((\.github/[^)]+)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"(?:experiments|configs|tests)/[\w/]+\.(?:py|yaml|md)", README):
        assert (ROOT / path).is_file(), path


def test_its_results_are_among_the_measurements_and_each_of_them_has_its_command() -> None:
    summary = README[README.index("## Results") :]
    for figure in re.findall(r"[\d.]+ %(?: \([\d.–]+\))?|[\d.]+ s\b", summary):
        assert figure in RESULTS
    configs = set(re.findall(r"^\| `(\w+)` \|", RESULTS, re.MULTILINE))
    assert configs == {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    for name in re.findall(r"benchmark\.py (\w+)", RESULTS):
        assert (ROOT / "experiments" / "benchmarks" / f"{name}.py").is_file(), name


def test_its_first_command_needs_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path / "nowhere"))
    assert len(jaxnn.data.digits().train.targets) == 1297
    assert not (tmp_path / "nowhere").exists()
