"""The pictures of an evaluation."""

import numpy as np
from matplotlib.figure import Figure

from jaxnn.data import Dataset, Split, statistics
from jaxnn.metrics import calibration, confident_mistakes, confusion_matrix
from jaxnn.plots.confusion import confusion_picture
from jaxnn.plots.contact_sheet import contact_sheet
from jaxnn.plots.reliability import reliability_diagram
from jaxnn.tasks import classification

_COLUMNS = 8


def evaluation_pictures(
    dataset: Dataset, split: str, probabilities: np.ndarray, *, mistakes: int = 5 * _COLUMNS
) -> dict[str, Figure]:
    """Draws how a network does on a split.

    Args:
        dataset: the data set.
        split: "train", "validation" or "test".
        probabilities: (examples of the split, classes): the network's predictions.
        mistakes: how many mistakes to show at most, the most confident ones.

    Returns:
        The figures by name: "confusion", "reliability", and, if the examples are images and some
        are not recognized, "mistakes".
    """
    if dataset.task is not classification:
        return {}
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
    if len(shown) and len(dataset.in_shape) == 3 and dataset.in_shape[-1] in (1, 3):
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
