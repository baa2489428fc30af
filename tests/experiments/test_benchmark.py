"""benchmark.py: what it prints and writes; peers that train something else are refused."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from oracles import assert_close
from running import EXPERIMENTS, run_script

from jaxnn.errors import JaxnnError


@pytest.fixture(autouse=True)
def scripts_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python has it for a script: its folder is where modules are found."""
    monkeypatch.syspath_prepend(EXPERIMENTS)


def rows(pairs: int) -> Iterator[dict[str, Any]]:
    """Two figures."""
    times = {"ours_seconds": 0.25, "peer_seconds": 0.5, "ratio": 2.0}
    yield {"benchmark": "small", "case": f"of {pairs}", "peer": "another", **times}
    yield {"benchmark": "small", "case": "memory", "unit": "MiB", "value": 723.0}


def test_it_prints_and_writes_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import benchmarks

    monkeypatch.setitem(benchmarks.BENCHMARKS, "small", rows)
    path = tmp_path / "small.json"
    outcome = run_script(capsys, "benchmark", "small", "--pairs", 3, "--json", path)
    assert (outcome.status, outcome.err) == (0, "")
    assert [line.split() for line in outcome.out.splitlines()[2:]] == [
        ["of", "3", "another", "0.2500", "0.5000", "2.00"],
        ["memory", "MiB", "723"],
    ]
    assert json.loads(path.read_text()) == list(rows(3))
    outcome = run_script(capsys, "benchmark", "small", "--json", tmp_path / "nowhere" / "x.json")
    assert outcome.status == 2
    assert "nowhere/x.json: cannot write: No such file or directory" in outcome.err


def test_every_module_has_its_entry_and_its_line_of_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import benchmarks

    modules = {path.stem for path in (EXPERIMENTS / "benchmarks").glob("*.py")}
    assert set(benchmarks.BENCHMARKS) == modules - {"__init__", "measuring"}
    help_text = run_script(capsys, "benchmark", "--help").out
    for name, measure in benchmarks.BENCHMARKS.items():
        assert measure.__module__ == f"benchmarks.{name}"
        assert measure.__doc__
        assert f"  {name:<10}{measure.__doc__.splitlines()[0]}\n" in help_text + "\n"


def small_problem(activation: str, loss: str, momentum: float) -> Any:
    from benchmarks import mlp
    from peers.problem import Problem

    sizes = (12, 8, 4)
    random = np.random.default_rng(0)
    network = mlp._network(sizes, activation, loss)
    state = mlp.init_train_state(network, mlp.sgd(0.0), sizes[:1], seed=0)
    return Problem(
        sizes,
        activation,
        loss,
        random.integers(0, 256, (40, 12), np.uint8),
        random.integers(0, 4, 40, np.int32),
        np.arange(40, dtype=np.int32).reshape(5, 8),
        mlp._weights(state),
        learning_rate=0.5,
        momentum=momentum,
    )


@pytest.mark.long
def test_peers_train_the_same_and_whoever_does_not_is_refused() -> None:
    from benchmarks import mlp
    from peers import jax_grad, numpy_book

    problem = small_problem("relu", "softmax_cross_entropy", 0.9)
    found = list(mlp.compare("small", problem, {"jax.grad": jax_grad.autodiff}, 1))
    book = small_problem("sigmoid", "quadratic", 0.0)
    found += mlp.compare("small", book, {"NumPy": numpy_book.per_example}, 1)
    assert [row["peer"] for row in found] == ["jax.grad", "NumPy"]
    assert all(row["ratio"] > 0 for row in found)

    def faster(problem: Any) -> Any:
        return jax_grad.autodiff(problem._replace(learning_rate=0.6))

    with pytest.raises(JaxnnError, match=r"small: faster trains something else: .* differ by"):
        list(mlp.compare("small", problem, {"faster": faster}, 1))


@pytest.mark.long
@pytest.mark.parametrize("peer", ["jax.grad", "PyTorch"])
def test_convolutional_peers_train_the_same(peer: str) -> None:
    from benchmarks import conv
    from peers import jax_grad_conv

    if peer == "PyTorch":
        pytest.importorskip("torch")
        from peers import pytorch_conv

        train = pytorch_conv.eager
    else:
        train = jax_grad_conv.one_program_a_step
    layers = conv.serial(
        *(conv.conv2d(5, 2, padding="VALID"), conv.gelu()),
        *(conv.conv2d(4, bias=False), conv.max_pool(), conv.batch_norm(scale=False), conv.relu()),
        *(conv.conv2d(3, bias=False), conv.batch_norm(), conv.max_pool(3)),
        *(conv.flatten(), conv.dense(10)),
    )
    specs = (
        *(("conv", 5, "VALID"), ("gelu",)),
        *(("conv", 4, "SAME"), ("pool", 2), ("norm",), ("relu",)),
        *(("conv", 3, "SAME"), ("norm",), ("pool", 3)),
        *(("flatten",), ("dense", 10)),
    )
    problem = conv.make_problem(layers, (8, 8, 2), specs)
    problem = problem._replace(steps=2, learning_rate=0.1)
    (_, ours), (_, theirs) = conv.ours(problem, layers)(), train(problem)()
    for start, mine, other in zip(problem.weights, ours, theirs, strict=True):
        moved = {name: mine[name] - start[name] for name in start}
        assert_close({name: other[name] - start[name] for name in start}, moved, 1e-3)


@pytest.mark.long
def test_an_equinox_network_has_the_gradients_of_its_own_layers() -> None:
    eqx = pytest.importorskip("equinox")
    from benchmarks import interop
    from peers import equinox_conv

    own = equinox_conv.network(8, (3, 4), 5)
    images, labels = equinox_conv.make_batches(3, 2, 8)

    def outcome(network: Any) -> list[Any]:
        """The gradients, and the weights after three steps in a loop."""
        gradients = eqx.filter_jit(equinox_conv.gradients)(network, images[0], labels[0])
        _, trained = equinox_conv.train(network, images, labels, loop=True)()
        layers = [(n.hidden, n.out) for n in (gradients, trained)]
        return [*map(equinox_conv.weights, (gradients, trained)), *map(jax.tree.leaves, layers)]

    expected = outcome(own)
    for functions in interop.ways((3, 4)).values():
        assert_close(outcome(equinox_conv.exchange(own, functions)), expected, 1e-5)


def test_processes_are_compared_by_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import processes
    from safetensors.numpy import save_file

    seconds = {"one": 3.0, "two": 4.0, "apart": 2.5}
    weight = dict.fromkeys(seconds, 1.0)
    cores = [{0}, {1}]

    def trained(folder: Path, commands: list[Any], on: Any = None) -> list[Path]:
        kind = folder.name.partition("-")[0]
        assert (on == cores) == (kind == "apart")
        assert len(commands) == (2 if kind == "apart" else 1)
        for run in (runs := [folder.with_name(f"{folder.name}.{i}") for i in range(len(commands))]):
            run.mkdir()
            summary = {"train_seconds": 10 * seconds[kind], "steps": 10}
            (run / "summary.json").write_text(json.dumps(summary))
            save_file({"0.weight": np.full(3, weight[kind])}, run / "model.safetensors")
        return runs

    monkeypatch.setattr(processes, "divided_cores", lambda n: cores)
    monkeypatch.setattr(processes, "_trained", trained)
    config = {"training": {"batch_size": 8, "epochs": 2}}
    speed, share = processes.compare("small", config, 3)
    assert (speed["ours_seconds"], speed["peer_seconds"], speed["ratio"]) == (4.0, 3.0, 0.75)
    assert share["value"] == pytest.approx(100 * (1 - 2.5 / 4))
    weight["two"] = 1.1
    with pytest.raises(JaxnnError, match=r"train something else: 0\.weight differs"):
        list(processes.compare("small", config, 1))


@pytest.mark.slow
def test_processes_train_on_cores_of_their_own() -> None:
    from benchmarks import processes

    config = {
        "data": "digits",
        "model": ["flatten", {"dense": 10}],
        "optimizer": {"sgd": 0.1},
        "training": {"batch_size": 64, "epochs": 2},
    }
    speed, share = processes.compare("small", config, 1)
    assert speed["ours_seconds"] > 0 < speed["peer_seconds"]
    assert share["value"] < 100


def test_a_peer_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import mlp

    monkeypatch.delitem(sys.modules, "peers.pytorch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(JaxnnError, match=r"needs torch: pip install -e '\.\[bench\]'"):
        next(mlp.measure(1))
