"""An experiment carried out: training with everything that makes a run trustworthy.

A run can be killed at any moment. What it needs to go on lies in ``checkpoints/``; ``resume``
takes it up inside an epoch and ends with the same bits as if nothing had happened.
"""

import json
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxnn.arrays import count
from jaxnn.config import Config, Experiment, build, cost, differences
from jaxnn.config.build import chosen_mesh
from jaxnn.data.dataset import SPLITS
from jaxnn.data.info import to_plain
from jaxnn.errors import ConfigError, RunError, by, writing
from jaxnn.files import write_text
from jaxnn.observe import chance, check_tensorboard, health, metrics, read_metrics, to_json
from jaxnn.observe import tensorboard as event_files
from jaxnn.observe.metrics import cut, is_number
from jaxnn.optimizers import averaged_params
from jaxnn.optimizers.optimizer import with_hyperparameters_of
from jaxnn.runs.data import Kept, load_data, read_data, say_old, to_keep, write_data
from jaxnn.runs.directory import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
    MODEL,
    SAVED_BY,
    SUMMARY,
    check_free,
    git_commit,
    new_directory,
    owned,
    read_config,
    read_summary,
)
from jaxnn.runs.run import Run, evaluate, save_model
from jaxnn.runs.stop import StoppedError, stop_requests
from jaxnn.training import (
    Change,
    Report,
    TrainState,
    fit,
    init_train_state,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from jaxnn.training.processes import agreed, check_alike
from jaxnn.training.step import put_state

Consumer = Callable[[Report], None]

# What may change when a run is taken up again: nothing here changes what a step computes.
_HARMLESS = {
    "name",
    "devices.data",
    "devices.parameters",
    "evaluation.weights",
    "evaluation.mirror",
    "evaluation.shift",
    "training.epochs",
    "training.chunk_steps",
    "training.statistics_steps",
    "training.patience",
    "training.checkpoint_seconds",
    "training.keep_checkpoints",
    "training.stream",
}


def train(
    config: Config,
    path: str | Path | None = None,
    consumers: Sequence[Consumer] = (),
    *,
    tensorboard: bool = False,
) -> Run:
    """Carries an experiment out and writes its run directory.

    Args:
        config: the experiment.
        path: the directory; by default ``runs/<config>-<timestamp>``. It must be new or empty, or
            left by a run that was killed before its config was written.
        consumers: called with each report.
        tensorboard: whether to write TensorBoard's event files into the directory too.

    Returns:
        The run; its summary has the losses and metrics at the end of training.

    Raises:
        ConfigError: if the config does not make an experiment.
        DataError: if the data are missing or damaged.
        RunError: if the directory holds something, has another owner or cannot be written, or the
            extra ``tensorboard`` is wanted and not installed.
        DivergedError: if training came to numbers that are not finite.
        StoppedError: after Ctrl-C or SIGTERM.
    """
    given = None if path is None else Path(path)
    check_free(given)
    if tensorboard:
        check_tensorboard()
    cost.warn_of_large(config)  # before something that takes long
    experiment = build(config)
    cost.warn_of_large(experiment)
    _check_patience(experiment)
    mesh, kept = chosen_mesh(experiment), to_keep(experiment)
    check_alike(config=experiment.config.to_yaml(), data=repr(to_plain(kept.found)))
    with new_directory(config, given) as path:
        write_text(path / CONFIG, experiment.config.to_yaml())
        write_data(path, kept)
        start, info = _begun(path, experiment, mesh)
        final, info = _carry_out(path, experiment, start, info, consumers, tensorboard)
        return finish(path, experiment, final, info, kept, mesh)


def resume(
    path: str | Path,
    overrides: Sequence[str] = (),
    consumers: Sequence[Consumer] = (),
    *,
    tensorboard: bool = False,
    allow_changes: bool = False,
    tell: Callable[[str], None] = print,
) -> Run:
    """Takes a run up from its newest checkpoint, within an epoch too; without one, from the start.

    Metrics that were written after the checkpoint are cut off first. The parameters at the end are
    those of a run that was never interrupted, to the last bit.

    Args:
        path: the run directory.
        overrides: changes to its config, ``"key.path=value"``. More epochs are allowed: a schedule
            keeps its horizon.
        consumers: called with each report.
        tensorboard: whether to write TensorBoard's event files too.
        allow_changes: whether changes that make another training of it are allowed too, of the
            config or of the data.
        tell: called with a sentence on what is not as usual, such as a damaged checkpoint.

    Raises:
        ConfigError: if the changed config does not make an experiment.
        DataError: if the data are missing or damaged.
        RunError: if there is no run or nothing to go on from, the run has ended or another owner,
            or a change is not allowed; the message says what differs.
        DivergedError: if training came to numbers that are not finite.
        StoppedError: after Ctrl-C or SIGTERM.
    """
    path = Path(path)
    read_config(path)  # before a lock is left where there is no run
    if tensorboard:
        check_tensorboard()
    with owned(path):
        return _resume(path, overrides, consumers, tensorboard, allow_changes, tell)


def _resume(
    path: Path,
    overrides: Sequence[str],
    consumers: Sequence[Consumer],
    tensorboard: bool,
    allow_changes: bool,
    tell: Callable[[str], None],
) -> Run:
    if (path / SUMMARY).is_file() and SAVED_BY in read_summary(path):
        raise RunError(
            f"{path}: was trained by fit, and saved without a checkpoint to go on from: go on with "
            "fit(…, start=report.train_state) and save that, or train anew with "
            f"{path / CONFIG}"
        )
    before, config = read_config(path), read_config(path, overrides)
    changes = differences([before, config])
    refused = [key for key in changes if key not in _HARMLESS]
    if refused and not allow_changes:
        listed = "".join(
            f"\n  {key}: {old!r} in the run, now {new!r}"
            for key, (old, new) in changes.items()
            if key in refused
        )
        raise RunError(
            f"{path}: this would not be the same training:{listed}\n"
            "To go on all the same, add --allow-changes; else start a new run"
        )
    kept = read_data(path)
    if kept is None:
        experiment = build(config)
        kept = to_keep(experiment)
        if _has_begun(path):
            say_old(path)
        else:
            write_data(path, kept)
    else:
        dataset, kept = load_data(path, config, kept, allow_changes=allow_changes)
        experiment = build(config, dataset)
    _check_patience(experiment)
    mesh = chosen_mesh(experiment)
    start, info = _taken_up(path, experiment, mesh, tell)
    data = repr(to_plain(kept.found))
    check_alike(config=experiment.config.to_yaml(), data=data, checkpoint=str(start.step))
    if any(key.partition(".")[0] == "optimizer" for key in changes):
        fresh = experiment.optimizer.init(start.params)
        changed = with_hyperparameters_of(start.optimizer_state, fresh)
        start = start._replace(optimizer_state=changed)
    step, steps = int(start.step), _total_steps(experiment)
    ended = step >= steps or (info["stopped_early"] and not changes)
    if ended and (path / SUMMARY).is_file():
        how = "stopped early" if info["stopped_early"] else "ended"
        more = " and training.patience" if info["stopped_early"] else ""
        raise RunError(
            f"{path}: training has {how} at step {step}; to go on, raise training.epochs{more}"
        )
    horizons = {s for s in experiment.config.horizons() if s != steps}
    if "training.epochs" in changes and horizons:
        tell(
            f"training goes on to step {steps}; the learning rate's schedule still ends at step "
            f"{', '.join(map(str, sorted(horizons)))} (another one: optimizer.….learning_rate=… "
            "with --allow-changes)"
        )
    with writing(path / METRICS):
        cut(path / METRICS, step)
    write_data(path, kept)
    if changes:
        write_text(path / CONFIG, experiment.config.to_yaml())
    if not ended:  # else it was killed between its last step and its summary
        start, info = _carry_out(path, experiment, start, info, consumers, tensorboard)
    return finish(path, experiment, start, info, kept, mesh)


def _taken_up(
    path: Path, experiment: Experiment, mesh: Mesh | None, tell: Callable[[str], None]
) -> tuple[TrainState, dict[str, Any]]:
    """Returns the state and info of a run's newest checkpoint, or those that it begins with."""
    folder = path / CHECKPOINTS
    if not _has_begun(path):
        tell(f"{path}: there is no checkpoint yet; training begins with step 0")
        return _begun(path, experiment, mesh)
    check = partial(_check_info, best=experiment.dataset.task.best)
    checkpoint = load_checkpoint(folder, lambda: initial_state(experiment), check=check)
    for problem in checkpoint.problems:
        tell(f"{problem}; using that of step {int(checkpoint.train_state.step)}")
    return checkpoint.train_state, checkpoint.info


def _check_info(info: Any, best: str | None = "accuracy") -> None:
    """Raises an error unless a checkpoint has all that training goes on with.

    Args:
        info: what was saved with it.
        best: the metric that chooses the best epoch; see ``Task``.
    """
    numbers = [info["train_seconds"], info["compile_seconds"]]
    known = ("step", "epoch", "loss", *([best] if best else []))
    numbers += [info["best"][key] for key in known] if info["best"] else []
    if not all(map(is_number, numbers)) or not isinstance(info["stopped_early"], bool):
        raise ValueError("what it says of the training is nonsense")
    if not all(isinstance(text, str) for text in info["warnings"]):
        raise ValueError("its warnings are no sentences")


def _has_begun(path: Path) -> bool:
    """Returns whether a run has checkpoints, or had: the first is written before all else."""
    there = [path / METRICS, path / MODEL, *(path / CHECKPOINTS).glob("step-*.json")]
    return any(file.exists() for file in there)


def _begun(
    path: Path, experiment: Experiment, mesh: Mesh | None
) -> tuple[TrainState, dict[str, Any]]:
    """Returns the state and info that a run begins with, saved as its first checkpoint."""
    start = initial_state(experiment, mesh)
    info: dict[str, Any] = {
        "best": None,
        "stopped_early": False,
        "train_seconds": 0.0,
        "compile_seconds": 0.0,
        "warnings": [],
    }
    with writing(path / CHECKPOINTS):
        save_checkpoint(path / CHECKPOINTS, start, info)
    return start, info


def _carry_out(
    path: Path,
    experiment: Experiment,
    start: TrainState,
    info: dict[str, Any],
    consumers: Sequence[Consumer],
    tensorboard: bool,
) -> tuple[TrainState, dict[str, Any]]:
    """Trains to the end; returns the last state and the info of its checkpoint."""
    training, folder = experiment.config.training, path / CHECKPOINTS
    train_seconds, compile_seconds = info["train_seconds"], info["compile_seconds"]
    saved_step, saved_at = int(start.step), time.monotonic()
    step = saved_step
    before, _ = read_metrics(path / METRICS)
    dataset = experiment.dataset
    watch = health(before, chance(dataset, experiment.loss))
    try:
        with ExitStack() as stack:
            requests = stack.enter_context(stop_requests())
            consumers = [stack.enter_context(metrics(path / METRICS)), *consumers]
            if tensorboard:
                consumers.append(stack.enter_context(event_files(path, dataset.in_shape)))
            for report in fit_experiment(experiment, start):
                report = report._replace(
                    warnings=watch(report),
                    train_seconds=train_seconds + report.train_seconds,
                    compile_seconds=compile_seconds + report.compile_seconds,
                )
                step = report.step
                for consume in consumers:
                    consume(report)
                best = _best(info["best"], report)
                info = {
                    "best": best,
                    "stopped_early": _out_of_patience(best, report, training.patience),
                    "train_seconds": report.train_seconds,
                    "compile_seconds": report.compile_seconds,
                    "warnings": [*info["warnings"], *report.warnings],
                }
                ended = report.step == report.steps or info["stopped_early"]
                improved = best is not None and best["step"] == step
                due, stop = agreed(
                    time.monotonic() - saved_at >= training.checkpoint_seconds,
                    requests[0] if requests else 0,
                )
                if ended or improved or due or stop:
                    if not (path / CONFIG).exists():  # a new directory would hold half a run
                        raise RunError(f"{path}: is no longer there. Put it back where it was")
                    with writing(folder):
                        save_checkpoint(folder, report.train_state, info)
                        kept = best["step"] if best else None
                        prune_checkpoints(folder, training.keep_checkpoints, kept)
                    saved_step, saved_at = step, time.monotonic()
                if ended:
                    break
                if stop:
                    raise StoppedError(
                        f"stopped at step {step} of {report.steps}, and saved; to go on:\n"
                        f"  {_to_go_on(path)}",
                        stop,
                    )
    except RunError as error:
        raise RunError(
            f"{error}\nTraining has stopped at step {step}; the checkpoint of step {saved_step} is "
            "there. Once the directory can be written to, go on with:\n"
            f"  {_to_go_on(path)}"
        ) from error
    return report.train_state, info


def _to_go_on(path: Path) -> str:
    return by(f"train.py --resume {path}", f"jaxnn.runs.resume({str(path)!r})")


def finish(
    path: Path,
    experiment: Experiment,
    final: TrainState,
    info: dict[str, Any],
    kept: Kept,
    mesh: Mesh | None = None,
) -> Run:
    """Evaluates the network that training has ended with, and writes the model and the summary.

    Args:
        path: the run directory.
        experiment: what was trained.
        final: the state at the end of training.
        info: that of its checkpoint.
        kept: what is known of its data.
        mesh: of the devices that it was trained on; None for one.
    """
    config, steps, best = experiment.config, int(final.step), info["best"]
    best_state = final
    if best and best["step"] != steps:
        best_state = load_checkpoint(
            path / CHECKPOINTS, lambda: initial_state(experiment), best["step"]
        ).train_state
        best_state = put_state(experiment.network, experiment.optimizer, best_state, mesh)
    if info["stopped_early"]:
        final = best_state
    if config.evaluation.weights:
        final, best_state = _with_averages(final), _with_averages(best_state)
    save_model(path / MODEL, final.params, final.state)
    results = {
        split: evaluate(
            experiment, *(final.params, final.state), split, mesh, views=split != "train"
        )
        for split in SPLITS
        if len(getattr(experiment.dataset, split).targets)
    }
    if best:
        on_test = evaluate(experiment, best_state.params, best_state.state, "test", mesh)
        found = {**on_test.metrics, "loss": on_test.loss}
        best = best | {f"test_{key}": value for key, value in found.items()}
    summary = {
        "config": config.name,
        "seed": config.seed,
        "parameters": count(final.params),
        "epochs": steps / (_total_steps(experiment) / config.training.epochs),
        "steps": steps,
        **{
            f"{split}_{key}": value
            for split, result in results.items()
            for key, value in {"loss": result.loss, **result.metrics}.items()
        },
        **info,
        "best": best,
        "examples_per_second": steps * config.training.batch_size / info["train_seconds"],
        "device": jax.devices()[0].device_kind,
        "jax_version": jax.__version__,
        "git_commit": git_commit(),
    }
    write_text(path / SUMMARY, to_json(summary, indent=2) + "\n")
    return Run(path, experiment, final.params, final.state, json.loads(to_json(summary)), kept)


def _with_averages(train_state: TrainState) -> TrainState:
    """Returns the state with the averages that its optimizer keeps in the place of the weights."""
    average = averaged_params(train_state.optimizer_state)
    params = jax.tree.map(lambda p, a: a.astype(p.dtype), train_state.params, average)
    return train_state._replace(params=params)


def fit_experiment(
    experiment: Experiment, start: TrainState
) -> Generator[Report, Change | None, None]:
    """Yields what ``fit`` does for an experiment, from a state on; it can be sent the same."""
    config, dataset, network, loss, optimizer = experiment
    return fit(
        network,
        loss,
        optimizer,
        dataset,
        batch_size=config.training.batch_size,
        epochs=config.training.epochs,
        seed=config.seed,
        chunk_steps=config.training.chunk_steps,
        statistics_steps=config.training.statistics_steps,
        augment=experiment.augment,
        stream=config.training.stream,
        start=start,
        mesh=experiment.mesh,
    )


def initial_state(experiment: Experiment, mesh: Mesh | None = None) -> TrainState:
    """Returns an experiment's state before the first step, made for the devices of a mesh."""
    config, dataset, network, _, optimizer = experiment
    return init_train_state(network, optimizer, dataset.in_shape, config.seed, mesh)


def _check_patience(experiment: Experiment) -> None:
    if experiment.config.training.patience and not len(experiment.dataset.validation.targets):
        data = experiment.config.data.name
        raise ConfigError(
            "training.patience: waits for a better validation accuracy or loss, and there is no "
            f"validation split: give one (data.{data}.validation), or leave patience out (null)"
        )


def _total_steps(experiment: Experiment) -> int:
    training = experiment.config.training
    per_epoch = len(experiment.dataset.train.targets) // training.batch_size
    return training.epochs * per_epoch


def _best(best: dict[str, Any] | None, report: Report) -> dict[str, Any] | None:
    """Returns the best epoch on validation so far, as the task ranks them.

    One whose loss is not finite is none.
    """
    validation, rank = report.validation, report.task.rank
    if validation is None or not math.isfinite(validation.loss):
        return best
    if best and rank(best["loss"], best) >= rank(validation.loss, validation.metrics):
        return best
    metrics = {k: v if math.isfinite(v) else None for k, v in validation.metrics.items()}
    return {"step": report.step, "epoch": report.epoch, **metrics, "loss": validation.loss}


def _out_of_patience(best: dict[str, Any] | None, report: Report, patience: int | None) -> bool:
    if patience is None or best is None or report.validation is None:
        return False
    return bool(report.epoch - best["epoch"] >= patience)
