"""Digits: 1,797 small handwritten digits that come with jaxnn, for work without a network."""

from pathlib import Path

import numpy as np

from jaxnn.data.dataset import Dataset, Normalize, Split, normalization
from jaxnn.data.preparation import as_digits

_TRAIN, _VALIDATION = 1297, 200


def digits(*, normalize: Normalize = "standard") -> Dataset:
    """Loads the digits that come with jaxnn: 1,297 for training, 200 for validation, 300 for test.

    8x8 grey images; a pixel counts the inked ones among 4x4 of the original. They are the images of
    ``sklearn.datasets.load_digits``: the 1,797 that the UCI repository sets apart for testing, by
    13 writers, one writer after the other.

    The split is fixed and the same everywhere. The file holds the images in scikit-learn's order,
    and a permutation of them, ``order``, whose first 1,297 are for training, the next 200 for
    validation, the last 300 for test. It spreads each class evenly, so that each has its share of
    every split; within a class the images follow the SHA-256 of their number in decimal. So writers
    are mixed too: test accuracy speaks of new digits by the same people.

    Args:
        normalize: "standard" (the training split has mean 0 and deviation 1), "unit" (value / 16)
            or "none".

    Returns:
        The data set "digits"; inputs (n, 8, 8, 1) uint8, 0 (background) to 16 (ink).

    Raises:
        ValueError: ``normalize`` is unknown.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0; see digits.LICENSE.txt.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as arrays:
        order = arrays["order"]
        inputs = arrays["images"][order][..., None]
        targets = arrays["targets"][order].astype(np.int32)
    bounds = [_TRAIN, _TRAIN + _VALIDATION]
    train, validation, test = map(Split, np.split(inputs, bounds), np.split(targets, bounds))
    mean, deviation = normalization(train.inputs, normalize, largest=16)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset("digits", train, validation, test, classes, mean, deviation, prepare=as_digits)
