"""The pictures of a finished run."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn import tasks
from jaxnn.data import Dataset, Split, statistics
from jaxnn.errors import JaxnnError, RunError
from jaxnn.landscape import loss_plane
from jaxnn.metrics import confusion_matrix, confusions
from jaxnn.network import describe, trace, walk
from jaxnn.observe import read_metrics
from jaxnn.plots.curves import drawn_metrics, training_curves
from jaxnn.plots.evaluation import evaluation_pictures, is_image
from jaxnn.plots.flow import activation_flow, gradient_flow
from jaxnn.plots.network import PASSING, columns, network_drawing, plain
from jaxnn.plots.representations import representation_maps, representations
from jaxnn.plots.style import spaced
from jaxnn.plots.surface import loss_map
from jaxnn.plots.weights import weight_images, weight_table
from jaxnn.prediction import answers
from jaxnn.runs.codes import classes_of, code_pictures, learns_itself
from jaxnn.runs.directory import METRICS
from jaxnn.runs.picture import Picture
from jaxnn.runs.plane import has_plane, plane_pictures
from jaxnn.runs.run import Run
from jaxnn.tasks import classification, multilabel, regression

_MOST_LAYERS = 6
"""Whose representations are drawn."""

_REPRESENTED = 1000
"""How many examples the representations are computed with."""

_SURFACE_EXAMPLES, _SURFACE_PRODUCTS = (64, 512), 2e9
"""With how many examples the loss surface is computed, at least and at most; in between, as many as
take about so many multiplications for a point of it."""

_MOST_CONFUSIONS = 6

_MOST_NUMBERS = 12
"""That are written out beside a drawing of a network."""

_CAPTIONS = {
    "confusion": "How many examples of each class (rows) are taken for which (columns).",
    "reliability": "Whether predictions made with a certain confidence are right as often.",
    "mistakes": "The most confident mistakes: what each was taken for, and is.",
    "predicted": "What is predicted, over what is true: at best, all lie on the diagonal.",
    "residuals": "Errors, over what is predicted, and how many there are of each: a bend or a "
    "slope is something that is left to be learned.",
    "worst": "The examples with the largest errors: what is true, and what is predicted.",
    "reconstructions": "The images with the largest errors, each beside what is put out for it.",
    "labels": "How each label is recognized, those that are worst recognized first.",
}
"""Of the pictures of an evaluation."""


def run_pictures(
    run: Run,
    *,
    split: str = "test",
    examples: Sequence[int] = (0,),
    contributions: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[Picture]:
    """Draws a run, one picture after the other.

    In this order: "curves"; "gradients" and "activations", where the metrics have statistics;
    "network-test-0" and so on, for each example; what ``plane_pictures`` draws, where examples have
    one or two inputs, or ``code_pictures``, where they are what is learnt; "weights", where the
    first layer sees an image or a row of a table;
    "representations-test"; "surface"; and for the split what ``evaluation_pictures`` draws, such as
    "confusion-test". The same run gives the same pictures.

    Args:
        run: a finished run.
        split: "train", "validation" or "test": where examples are from.
        examples: which ones the network is drawn with, from 0.
        contributions: what the edges show; see ``network_drawing``.
        tell: called with what is drawn next, before that begins.

    Raises:
        JaxnnError: if there is no such example.
        RunError: if the metrics are damaged.
    """
    dataset = run.dataset
    source: Split = getattr(dataset, split)
    count = len(source.targets)
    if not count:
        raise JaxnnError(f"{dataset.name}: the {split} split is empty")
    for example in examples:
        if not 0 <= example < count:
            raise JaxnnError(
                f"there is no example {example} in the {split} split: "
                f"its examples are 0 to {count - 1}"
            )
    metrics, problem = read_metrics(run.path / METRICS)
    if problem or not metrics:
        raise RunError(problem or f"{run.path / METRICS}: no report in it")

    tell("training curves")
    names = [tasks.METRICS[name][0] for name in ("loss", *drawn_metrics(metrics))]
    drawn = f"{', '.join(names[:-1])} and {names[-1]}".replace("loss", "Loss")
    caption = f"{drawn} over the epochs, on the training and the validation split."
    if not any("validation_loss" in report for report in metrics):
        caption = f"{drawn} over the epochs, on the training split."
    yield Picture("curves", "training", caption, training_curves(metrics))
    if any(report.get("statistics") for report in metrics):
        tell("gradients of each layer")
        caption = (
            "Left: the norm of the loss's gradient at the output of each layer with parameters; "
            "where the lines of the first layers lie far below the others, gradients vanish. "
            "Right: the size of a step's update relative to the weights."
        )
        yield Picture("gradients", "training", caption, gradient_flow(metrics))
        tell("activations of each layer")
        caption = (
            "What each layer puts out during training: mean and deviation over a batch and all "
            "units, and where it has any, the fraction of its units that are inactive: above the "
            "dotted line, the layer is not well."
        )
        yield Picture("activations", "training", caption, activation_flow(metrics))

    for example in examples:
        tell(f"the network at work on {split} example {example}")
        yield _network(run, split, example, contributions)
    if learns_itself(run):
        tell("codes")
        yield from code_pictures(run, split)
    if has_plane(run):
        tell("what it makes of the plane")
        yield from plane_pictures(run, split, _sample(source, _REPRESENTED))
    if weights := _weights(run):
        tell("weights")
        yield weights
    else:
        tell("no weights: those of the first layer do not look like an example")
    tell("representations")
    yield _representations(run, split)
    tell("the loss around the trained network")
    yield _surface(run)

    tell(f"predictions of the {split} split")
    predicted = run.predict(source.inputs, stored=True)
    for name, figure in evaluation_pictures(dataset, split, predicted).items():
        caption = _CAPTIONS[name]
        if name == "confusion":
            caption += _confusions(dataset, predicted, source.targets)
        yield Picture(f"{name}-{split}", "errors", caption, figure)


def _confusions(dataset: Dataset, predicted: np.ndarray, targets: np.ndarray) -> str:
    """Says which classes are taken for which."""
    pairs = confusions(confusion_matrix(predicted, targets), _MOST_CONFUSIONS)
    often = ", ".join(f"{dataset.classes[i]} as {dataset.classes[j]} ({n:,})" for i, j, n in pairs)
    return f" Most often: {often}." if often else " There is no mistake."


def _network(run: Run, split: str, example: int, contributions: bool) -> Picture:
    _, dataset, network, loss, _ = run.experiment
    source: Split = getattr(dataset, split)
    raw = source.inputs[example]
    targets = source.targets[example : example + 1]
    record = trace(network, loss, run.params, run.state, raw[None], jnp.asarray(targets))
    outputs = np.asarray(answers(record.layers[0].output, loss, dataset.task)[0])
    values = statistics(dataset.train.inputs)
    drawn, told, sure = _answer(dataset, outputs, targets[0])
    what = f"{dataset.name}, {split} example {example}{told}"
    figure = network_drawing(
        columns(network, run.params, record),
        outputs,
        **drawn,
        image=raw if is_image(raw.shape) else None,
        limits=(min(values.lowest, 0), values.highest),
        contributions=contributions,
        heading=what,
    )
    caption = f"The network at work. {what}{sure}."
    return Picture(f"network-{split}-{example}", "learned", caption, figure)


def _answer(
    dataset: Dataset, outputs: np.ndarray, target: np.ndarray
) -> tuple[dict[str, Any], str, str]:
    """Returns how ``network_drawing`` lists an answer; what it is, in words, and how sure."""
    if dataset.task is classification:
        name, guess = dataset.classes[target], dataset.classes[int(np.argmax(outputs))]
        told = f": {name}, predicted {guess}"
        sure = f", with a probability of {100 * outputs.max():.1f} %"
        return {"classes": dataset.classes, "target": int(target)}, told, sure
    if dataset.task is multilabel:
        true, said = (
            ", ".join(np.array(dataset.classes)[there > 0.5]) or "none"
            for there in (target, outputs)
        )
        right = np.flatnonzero(target).tolist()
        return {"classes": dataset.classes, "target": right}, f": {true}; predicted {said}", ""
    if outputs.size > _MOST_NUMBERS:
        return {"classes": ()}, "", ""
    names = dataset.output_names
    pairs = zip(dataset.target_values(outputs), dataset.target_values(target), strict=True)
    figures = [f"{y:.4g}, true {t:.4g}" for y, t in pairs]
    told = "; ".join(f"{name} {pair}" for name, pair in zip(names, figures, strict=True))
    return {"classes": names, "figures": figures}, f": {told}", ""


def _weights(run: Run) -> Picture | None:
    """Draws the weights of the first layer; of some layers, none are like what they see."""
    shape: Any = run.dataset.in_shape
    first = next((x for x in plain(run.network, run.params) if x[1].name not in PASSING), None)
    if first is None or "weight" not in first[2]:
        return None
    name, weight = first[1].name, np.asarray(first[2]["weight"])
    caption = "What the {} look for: orange where {} excites a unit, blue where it inhibits it."
    if name == "dense" and len(shape) == 1 and len(weight) == shape[0]:
        heading = "Weights of the first dense layer"
        caption = caption.format("units of the first layer", "a large value")
        figure = weight_table(weight, run.dataset.features, heading=heading)
        return Picture("weights", "learned", caption, figure)
    if name == "conv2d" and is_image(shape) and is_image(weight.shape[:3]):
        heading, what = "Kernels of the first convolution", "kernels of the first convolution"
        shape = weight.shape[:3]
    elif name == "dense" and is_image(shape) and len(weight) == math.prod(shape):
        heading, what = "Weights of the first dense layer", "units of the first layer"
    else:  # it sees the rows of an image, one by one
        return None
    figure = weight_images(weight.reshape(-1, weight.shape[-1]), shape, heading=heading)
    return Picture("weights", "learned", caption.format(what, "light"), figure)


def _representations(run: Run, split: str) -> Picture:
    source = _sample(getattr(run.dataset, split), _REPRESENTED)
    targets, classes = _told_apart(run.dataset, source.targets)
    if learns_itself(run):
        known, names = classes_of(run, split)
        if names:
            whole: Split = getattr(run.dataset, split)
            targets, classes = _sample(Split(whole.inputs, known), _REPRESENTED).targets, names
    parts = (run.network, run.experiment.loss, run.params, run.state)
    record = trace(*parts, jnp.asarray(source.inputs), jnp.asarray(source.targets))
    found = list(representations(run.network, run.params, record).items())
    figure = representation_maps(
        {
            found[i][0]: np.asarray(found[i][1], np.float32)
            for i in spaced(len(found), _MOST_LAYERS)
        },
        targets,
        classes,
        features=run.dataset.features,
        heading=f"{run.dataset.name}, {split} split: what each layer makes of the examples, in its "
        "principal components (PCA)",
        number="" if classes else run.dataset.output_names[0],
    )
    apart = "the classes" if classes else "the examples"
    caption = (
        f"How {apart} come apart from layer to layer: {len(source.targets):,} examples of the "
        f"{split} split, in the two principal components (PCA) of what each layer makes of them; "
        "only two values are drawn as they are."
    )
    return Picture(f"representations-{split}", "learned", caption, figure)


def _told_apart(dataset: Dataset, targets: np.ndarray) -> tuple[np.ndarray, Sequence[str]]:
    """Returns what examples are coloured by: classes or sets of labels, named; or numbers."""
    if dataset.task is classification:
        return targets, dataset.classes
    if dataset.task is regression:
        return dataset.target_values(targets).reshape(len(targets), -1)[:, 0], ()
    found, number = np.unique(targets > 0, axis=0, return_inverse=True)
    names = [", ".join(np.array(dataset.classes)[there]) or "none" for there in found]
    return number.reshape(-1), names


def _surface(run: Run) -> Picture:
    config, dataset, network, loss, _ = run.experiment
    each = sum(
        row.parameters * math.prod(row.out_shape[:-1])
        for row, (_, layer) in zip(describe(network, dataset.in_shape), walk(network), strict=True)
        if not layer.layers
    )
    examples = np.clip(_SURFACE_PRODUCTS / max(each, 1), *_SURFACE_EXAMPLES)
    source = _sample(dataset.train, int(examples))
    plane = loss_plane(
        network,
        loss,
        run.params,
        run.state,
        *source,
        seed=config.seed,
    )
    count = len(source.targets)
    caption = (
        f"The loss on {count:,} training examples around the trained network, along two random "
        "directions in which every filter moves in proportion to its own norm. The gentler the "
        "slopes, the less the network depends on the exact weights."
    )
    heading = f"Loss on {count:,} training examples"
    return Picture("surface", "learned", caption, loss_map(plane, heading=heading))


def _sample(split: Split, most: int) -> Split:
    """Returns some of a split's examples, always the same."""
    count = len(split.targets)
    rows = np.sort(np.random.default_rng(0).permutation(count)[:most])
    return Split(split.inputs[rows], split.targets[rows])
