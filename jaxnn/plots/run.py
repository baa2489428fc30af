"""The pictures of a finished run."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxnn.data import standardize, statistics
from jaxnn.errors import JaxnnError, RunError
from jaxnn.network import trace
from jaxnn.plots.curves import training_curves
from jaxnn.plots.network import columns, network_drawing
from jaxnn.plots.weights import weight_images
from jaxnn.runs import METRICS, Run

_PROBABILITIES = {
    "softmax_cross_entropy": jax.nn.softmax,
    "sigmoid_binary_cross_entropy": jax.nn.sigmoid,
}
"""What makes probabilities of the outputs that a loss is given; those of others are shown as is."""


def run_pictures(
    run: Run, *, split: str = "test", example: int = 0, contributions: bool = True
) -> dict[str, Figure]:
    """Draws a run.

    Args:
        run: a finished run.
        split: "train", "validation" or "test": where the example is from.
        example: which one the network is drawn with, from 0.
        contributions: what the edges show; see ``network_drawing``.

    Returns:
        The figures by name: "curves", "network", and where a dense layer sees an image, "weights".

    Raises:
        JaxnnError: if there is no such example.
        RunError: if the metrics are damaged.
    """
    config, dataset, network, loss, _ = run.experiment
    examples = getattr(dataset, split)
    count = len(examples.targets)
    if not 0 <= example < count:
        there = f"its examples are 0 to {count - 1}" if count else "it has none"
        raise JaxnnError(f"there is no example {example} in the {split} split: {there}")
    raw, target = examples.inputs[example], examples.targets[example]
    inputs = standardize(raw[None], dataset)
    record = trace(network, loss, run.params, run.state, inputs, target[None])
    probabilities = _PROBABILITIES.get(config.loss.name, lambda outputs: outputs)
    outputs = np.asarray(probabilities(record.layers[0].output[0]))
    drawn = columns(network, run.params, inputs, record)
    is_image = raw.ndim == 3 and raw.shape[-1] in (1, 3)

    values = statistics(dataset.train.inputs)
    name, guess = dataset.classes[target], dataset.classes[int(np.argmax(outputs))]
    pictures = {
        "curves": training_curves(read_metrics(run.path / METRICS)),
        "network": network_drawing(
            drawn,
            outputs,
            dataset.classes,
            target=int(target),
            image=raw if is_image else None,
            limits=(min(values.lowest, 0), values.highest),
            contributions=contributions,
            heading=f"{dataset.name}, {split} example {example}: {name}, predicted {guess}",
        ),
    }
    if is_image and len(drawn) > 1 and drawn[1].weight is not None:
        pictures["weights"] = weight_images(drawn[1].weight, raw.shape)
    return pictures


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Reads a ``metrics.jsonl``: a dictionary for each report. An unfinished last line is left out.

    Raises:
        RunError: if it cannot be read, has no report, or a line is damaged.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot read the metrics: {error}") from error
    reports = []
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break
        try:
            report = json.loads(line)
            reports.append({key: report[key] for key in ("epoch", "loss", "accuracy")} | report)
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{path}: line {number} is no report: {error}") from error
    if not reports:
        raise RunError(f"{path}: no report in it")
    return reports
