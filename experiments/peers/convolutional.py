"""What a convolutional benchmark trains, in a form that every opponent can build."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Weights = list[dict[str, np.ndarray]]
"""For each layer that has parameters, in order of its appearance, these by name."""

Run = Callable[[], tuple[float, Weights]]
"""Trains: the seconds it took, and the weights at its end."""

Spec = tuple[Any, ...]
"""A layer: its name and what it needs, such as ("conv", 32, "SAME") or ("pool", 2)."""


class Problem(NamedTuple):
    """Some steps of momentum SGD on one batch, softmax and cross-entropy.

    Attributes:
        layers: the network: ("conv", units, padding), ("relu",), ("gelu",), ("pool", size),
            ("flatten",), ("dense", units), ("dropout", rate), ("norm",), ("block", units, stride),
            the residual block of two convolutions, and ("mean",) over the image. Sizes of kernels,
            and whether there are biases and scales, are seen from the weights.
        images: (batch, height, width, channels) float32.
        labels: (batch,) int32.
        weights: where training starts.
        steps: how many.
        learning_rate: of SGD.
        momentum: of SGD.
    """

    layers: tuple[Spec, ...]
    images: np.ndarray
    labels: np.ndarray
    weights: Weights
    steps: int
    learning_rate: float
    momentum: float
