"""The recipe of ``configs/mnist_99_fast.yaml`` in PyTorch, in the channels-last layout."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from torch import Tensor, nn

from peers.convolutional import Weights
from peers.pytorch_conv import Flatten, get_weights, set_weights


class Recipe(NamedTuple):
    """What is the same in every run.

    Attributes:
        images: (examples, 28, 28, 1) uint8, to train on.
        labels: (examples,) int32.
        test_images: (examples, 28, 28, 1) uint8.
        mean: of the pixels.
        deviation: of the pixels.
        learning_rates: one a step.
        momentum: of Muon.
        iterations: of Newton and Schulz in Muon.
        label_smoothing: of the loss.
    """

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    mean: float
    deviation: float
    learning_rates: np.ndarray
    momentum: float
    iterations: int
    label_smoothing: float


Run = Callable[[Weights, np.ndarray], tuple[float, Weights, np.ndarray]]
"""Trains, from initial weights and with (steps, batch_size) examples: the seconds it took, the
weights at the end, and the classes predicted for the test images."""


def eager(recipe: Recipe) -> Run:
    """A plain training loop, all images on the device, normalized beforehand."""
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"

    def prepared(images: np.ndarray) -> Tensor:
        x = (torch.from_numpy(images).float() - recipe.mean) / recipe.deviation
        return x.permute(0, 3, 1, 2).to(device, memory_format=torch.channels_last)

    images, test_images = prepared(recipe.images), prepared(recipe.test_images)
    labels = torch.from_numpy(recipe.labels).to(device).long()
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def run(weights: Weights, batches: np.ndarray) -> tuple[float, Weights, np.ndarray]:
        network: Any = _network()
        network = network.to(device, memory_format=torch.channels_last)
        modules = [module for module in network.modules() if hasattr(module, "weight")]
        set_weights(modules, weights)
        optimizer = _Muon(list(network.parameters()), recipe.momentum, recipe.iterations)
        order = torch.from_numpy(batches).to(device).long()
        _synchronize(device)
        started = time.perf_counter()
        for rows, learning_rate in zip(order, recipe.learning_rates.tolist(), strict=False):
            network.zero_grad(set_to_none=True)
            loss(network(images[rows]), labels[rows]).backward()
            optimizer.step(learning_rate)
        _synchronize(device)
        seconds = time.perf_counter() - started
        network.eval()
        with torch.no_grad():
            predicted = [network(x).argmax(1).cpu() for x in torch.split(test_images, 1000)]
        return seconds, get_weights(modules, weights), torch.cat(predicted).numpy()

    return run


def _network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.MaxPool2d(2)),
        *(nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(Flatten(), nn.Linear(1024, 10)),
    )


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


class _Muon:
    """Muon for matrices, Adam for the rest, both with Nesterov's look ahead; few, fused calls."""

    def __init__(self, parameters: list[Tensor], momentum: float, iterations: int) -> None:
        self.matrices = [p for p in parameters if p.ndim > 1]
        self.others = [p for p in parameters if p.ndim == 1]
        self.momentum, self.iterations, self.count = momentum, iterations, 0
        self.m = [torch.zeros_like(p) for p in self.matrices]
        self.m1 = [torch.zeros_like(p) for p in self.others]
        self.m2 = [torch.zeros_like(p) for p in self.others]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        self.count += 1
        gradients = [p.grad for p in self.matrices if p.grad is not None]
        directions = self._ahead(self.m, gradients, self.momentum)
        for p, direction in zip(self.matrices, directions, strict=True):
            matrix = direction.flatten(1)  # fan-out rows, fan-in columns
            rows, columns = matrix.shape
            factor = learning_rate * max(1, rows / columns) ** 0.5
            p.add_(self._orthogonalized(matrix).view_as(direction), alpha=-factor)
        gradients = [p.grad for p in self.others if p.grad is not None]
        directions = self._ahead(self.m1, gradients, 0.9)
        torch._foreach_mul_(self.m2, 0.999)
        torch._foreach_addcmul_(self.m2, gradients, gradients, 0.001)
        roots = torch._foreach_sqrt(torch._foreach_div(self.m2, 1 - 0.999**self.count))
        torch._foreach_add_(roots, 1e-8)
        torch._foreach_addcdiv_(self.others, directions, roots, -learning_rate)

    def _ahead(self, m: list[Tensor], gradients: list[Tensor], decay: float) -> list[Tensor]:
        torch._foreach_lerp_(m, gradients, 1 - decay)
        of_m = decay / (1 - decay ** (self.count + 1))
        of_g = (1 - decay) / (1 - decay**self.count)
        ahead = torch._foreach_mul(m, of_m)
        torch._foreach_add_(ahead, gradients, alpha=of_g)
        return list(ahead)

    def _orthogonalized(self, x: Tensor) -> Tensor:
        a, b, c = 3.4445, -4.7750, 2.0315
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (x.norm() + 1e-8)
        for _ in range(self.iterations):
            square = x @ x.T
            x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
        return x.T if tall else x
