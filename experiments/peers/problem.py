"""What a fully connected benchmark trains: everything that all opponents must have in common."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Weights = list[tuple[np.ndarray, np.ndarray]]
"""For each layer W, (in, out), and b, (out,), both float32."""

Epoch = Callable[[], tuple[float, Weights | None]]
"""Trains one epoch: the seconds it took, and the weights at its end (None if it trains nothing)."""


class Problem(NamedTuple):
    """One epoch of a multilayer perceptron with momentum SGD.

    Attributes:
        sizes: the widths of the layers, the input's first.
        activation: "relu" or "sigmoid", between the layers.
        loss: "softmax_cross_entropy"; or "quadratic", Nielsen's cost, with the activation after
            the last layer too.
        images: (examples, features) uint8; the network sees images / 255.
        labels: (examples,) int32.
        batches: which examples each step sees, (steps, batch_size) int32.
        weights: where training starts.
        learning_rate: of SGD.
        momentum: of SGD; 0 for none.
    """

    sizes: tuple[int, ...]
    activation: str
    loss: str
    images: np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    weights: Weights
    learning_rate: float
    momentum: float
