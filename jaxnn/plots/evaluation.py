"""The pictures of an evaluation."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxnn.data import Dataset, Split, statistics
from jaxnn.metrics import (
    calibration,
    confident_mistakes,
    confusion_matrix,
    label_scores,
    number_evaluation,
)
from jaxnn.plots.confusion import confusion_picture
from jaxnn.plots.contact_sheet import contact_sheet
from jaxnn.plots.numbers import label_picture, predicted_against_true, residuals, worst_predictions
from jaxnn.plots.reliability import reliability_diagram
from jaxnn.tasks import written

_COLUMNS = 8

_WORST = 20
"""Examples of which the errors are drawn one by one."""


def evaluation_pictures(
    dataset: Dataset, split: str, predicted: np.ndarray, *, mistakes: int = 5 * _COLUMNS
) -> dict[str, Figure]:
    """Draws how a network does on a split.

    Args:
        dataset: the data set.
        split: "train", "validation" or "test".
        predicted: what the network says of the split's examples: of classes or labels, the
            probability of each, (examples, classes); or numbers, in the units of the data.
        mistakes: how many mistakes to show at most, the most confident ones; or how many of the
            largest errors, up to 20.

    Returns:
        The figures by name. Of a classification: "confusion", "reliability", and, if the examples
        are images and some are not recognized, "mistakes". Of a regression: "predicted",
        "residuals" and "worst"; of one whose targets are images, "reconstructions" of the worst.
        Of several labels at once: "labels".
    """
    return _PICTURES[dataset.task.name](dataset, split, predicted, mistakes)


def is_image(shape: tuple[int, ...]) -> bool:
    """Returns whether an example of this shape is drawn as an image."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def _classes(
    dataset: Dataset, split: str, probabilities: np.ndarray, mistakes: int
) -> dict[str, Figure]:
    examples: Split = getattr(dataset, split)
    targets = examples.targets
    what = f"{dataset.name}, {split} split"
    pictures = {
        "confusion": confusion_picture(
            confusion_matrix(probabilities, targets),
            dataset.classes,
            heading=f"Confusion matrix: {what}",
        ),
        "reliability": reliability_diagram(
            calibration(probabilities, targets), heading=f"Reliability: {what}"
        ),
    }
    wrong = confident_mistakes(probabilities, targets)
    shown = wrong[:mistakes]
    if len(shown) and is_image(dataset.in_shape):
        values = statistics(dataset.train.inputs)
        guesses = probabilities.argmax(1)
        number = f"{len(wrong):,} mistakes in {len(targets):,}"
        if len(shown) < len(wrong):
            number += f", the {len(shown)} most confident ones"
        pictures["mistakes"] = contact_sheet(
            examples.inputs[shown],
            [
                (
                    f"{dataset.classes[targets[i]]},\npredicted {dataset.classes[guesses[i]]}",
                    f"{100 * probabilities[i, guesses[i]]:.1f} %",
                )
                for i in shown
            ],
            columns=_COLUMNS,
            limits=(min(values.lowest, 0), values.highest),
            heading=f"{what}: {number}",
        )
    return pictures


def _numbers(
    dataset: Dataset, split: str, predicted: np.ndarray, mistakes: int
) -> dict[str, Figure]:
    examples: Split = getattr(dataset, split)
    what = f"{dataset.name}, {split} split"
    true = dataset.target_values(examples.targets)
    y, t = predicted.reshape(len(true), -1), true.reshape(len(true), -1)
    names = dataset.output_names
    found = number_evaluation(
        y, t, names, errors=min(mistakes, _WORST), together=len(dataset.out_shape) > 1
    )
    told = f"R² {written('r2', found['r2'])}, RMSE {written('rmse', found['rmse'])}"
    worst = np.array([row["example"] for row in found["errors"]])
    number = f"{what}: the {len(worst)} largest errors of {len(true):,}"
    if is_image(dataset.out_shape):
        return {"reconstructions": reconstructions(dataset, split, worst, predicted, number)}
    return {
        "predicted": predicted_against_true(y, t, names, heading=f"{what}: {told}"),
        "residuals": residuals(y, t, names, heading=f"Errors: {what}"),
        "worst": worst_predictions(
            y[worst],
            t[worst],
            [_described(dataset, i, examples.inputs[i]) for i in worst],
            names,
            heading=number,
        ),
    }


def _labels(
    dataset: Dataset, split: str, probabilities: np.ndarray, mistakes: int
) -> dict[str, Figure]:
    examples: Split = getattr(dataset, split)
    scores = label_scores(probabilities, examples.targets)
    heading = f"Labels, and how many examples have them: {dataset.name}, {split} split"
    return {"labels": label_picture(scores, dataset.classes, heading=heading)}


_PICTURES = {"classification": _classes, "regression": _numbers, "multilabel": _labels}


def reconstructions(
    dataset: Dataset,
    split: str,
    chosen: Sequence[int] | np.ndarray,
    predicted: np.ndarray,
    heading: str,
) -> Figure:
    """Draws images that are learnt, one above the other: what is there, and what is put out.

    Args:
        dataset: the data set, whose targets are images.
        split: "train", "validation" or "test".
        chosen: which of its examples.
        predicted: (examples of the split, height, width, 1 or 3), in the units of the data.
        heading: a text over all.
    """
    true = dataset.target_values(getattr(dataset, split).targets[chosen])
    put_out = predicted[chosen]
    values = statistics(dataset.target_values(dataset.train.targets))
    error = np.sqrt(np.square(put_out - true).mean((1, 2, 3)))
    pairs = np.stack([true, put_out], 1).reshape(-1, *true.shape[1:])
    captions = [
        text
        for i, e in zip(chosen, error, strict=True)
        for text in ((f"example {i}", ""), ("put out", f"RMSE {written('rmse', e)}"))
    ]
    return contact_sheet(
        pairs,
        captions,
        columns=_COLUMNS,
        group=2,
        limits=(values.lowest, values.highest),
        heading=heading,
    )


def _described(dataset: Dataset, number: int, example: np.ndarray) -> str:
    """Returns which example it is, and of a row of a table what is in it."""
    if not dataset.features:
        return f"example {number}"
    pairs = zip(dataset.features, dataset.values(example), strict=True)
    return f"{number}: {', '.join(f'{name} {value:.4g}' for name, value in pairs)}"
