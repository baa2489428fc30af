"""Dividing one collection of examples into training, validation and test split."""

import hashlib

import numpy as np

from jaxnn.data.dataset import Split


def divide(
    examples: Split, *, validation: float | int, test: float | int
) -> tuple[Split, Split, Split]:
    """Divides examples into three splits, the same on every machine and in every version.

    The order is that of ``spread``, in which all examples are of one class if their targets are no
    class numbers; the last ``test`` examples of it are for test, the ``validation`` before them for
    validation, all others for training.

    Args:
        examples: the examples; nothing of them but targets and order matters.
        validation: how many to hold out: a number of examples, or a fraction of all below 1.
        test: like ``validation``.

    Returns:
        Training, validation and test split; copies.

    Raises:
        ValueError: a number is not one that it can be, or no example is left to train on.
    """
    targets = examples.targets
    classes = targets.ndim == 1 and targets.dtype.kind in "iu"
    order = spread(targets if classes else np.zeros(len(targets), np.int8))
    bounds = cuts(len(order), validation=validation, test=test)
    first, second, third = np.split(order, bounds)
    inputs, targets = examples
    return (
        Split(inputs[first], targets[first]),
        Split(inputs[second], targets[second]),
        Split(inputs[third], targets[third]),
    )


def cuts(total: int, *, validation: float | int, test: float | int) -> list[int]:
    """Says where an order of examples is cut: after those for training, and for validation.

    Arguments and errors are those of ``divide``.
    """
    if total == 0:
        raise ValueError("there are no examples to divide")
    held_out = _count("validation", validation, total)
    tested = _count("test", test, total)
    if held_out + tested >= total:
        raise ValueError(
            f"validation = {validation} and test = {test} leave none of the {total} examples to "
            "train on"
        )
    return [total - tested - held_out, total - tested]


def spread(targets: np.ndarray) -> np.ndarray:
    """Orders examples so that every part of the order holds each class in proportion.

    The k-th of the n examples of a class comes at place (k + 1/2) / n. Within a class, and where
    places are equal, the order is that of the SHA-256 of the example's number, counted from 0 and
    written in decimal: as good as random, and the same everywhere.

    Args:
        targets: (examples,) integers.

    Returns:
        (examples,) int64, a permutation of the numbers of the examples.
    """
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(len(targets))]
    keys = np.array(digests, "S32") if digests else np.zeros(0, "S32")
    places = np.zeros(len(targets))
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        members = members[np.argsort(keys[members])]
        places[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((keys, places))


def _count(name: str, share: float | int, total: int) -> int:
    if isinstance(share, int):
        if not 0 <= share < total:
            raise ValueError(
                f"{name} = {share} examples: it must be between 0 and {total - 1}, for there are "
                f"{total} examples in all"
            )
        return share
    if not 0 <= share < 1:
        raise ValueError(
            f"{name} = {share}: a fraction must be at least 0 and below 1; write a whole number "
            "for a number of examples"
        )
    return round(share * total)
