"""Convolutional networks in PyTorch, in the channels-last layout that suits oneDNN and cuDNN."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from peers.convolutional import Problem, Run, Spec, Weights


def eager(problem: Problem) -> Run:
    """A plain training loop with the fused optimizer."""
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    network: Any = _network(problem)
    network = network.to(device, memory_format=torch.channels_last)
    images = torch.from_numpy(problem.images).permute(0, 3, 1, 2)
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.from_numpy(problem.labels).to(device).long()
    loss = nn.CrossEntropyLoss()
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    modules: list[Any] = [module for module in network.modules() if isinstance(module, kinds)]

    def synchronize() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def run() -> tuple[float, Weights]:
        set_weights(modules, problem.weights)
        optimizer = torch.optim.SGD(
            network.parameters(), problem.learning_rate, problem.momentum, fused=True
        )
        synchronize()
        started = time.perf_counter()
        for _ in range(problem.steps):
            optimizer.zero_grad(set_to_none=True)
            loss(network(images), labels).backward()
            optimizer.step()
        synchronize()
        seconds = time.perf_counter() - started
        return seconds, get_weights(modules, problem.weights)

    return run


@torch.no_grad()
def set_weights(modules: list[Any], weights: Weights) -> None:
    """Gives modules their weights, from (height, width, in, out) and (in, out)."""
    orders = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for module, values in zip(modules, weights, strict=True):
        for name, value in values.items():
            target = module.bias if name == "bias" else module.weight
            target.copy_(torch.from_numpy(value).permute(orders[value.ndim]))


def get_weights(modules: list[Any], like: Weights) -> Weights:
    """The reverse, a copy; the names are those of ``like``."""
    orders = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    found = []
    for module, values in zip(modules, like, strict=True):
        targets = {n: module.bias if n == "bias" else module.weight for n in values}
        found.append(
            {n: t.detach().cpu().permute(orders[t.ndim]).numpy().copy() for n, t in targets.items()}
        )
    return found


class Flatten(nn.Module):
    """Row-major with the channels last: a view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class _Block(nn.Module):
    def __init__(self, channels: int, units: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, units, 3, stride, 1, bias=False),
            nn.BatchNorm2d(units),
            nn.ReLU(),
            nn.Conv2d(units, units, 3, 1, 1, bias=False),
            nn.BatchNorm2d(units),
        )
        self.new = units - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        if self.new:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new))
        return torch.relu(x + y)


def _network(problem: Problem) -> nn.Module:
    weights = iter(problem.weights)
    channels = problem.images.shape[-1]

    def module(spec: Spec) -> nn.Module:
        nonlocal channels
        name, *arguments = spec
        if name == "conv":
            values = next(weights)
            before, channels = channels, arguments[0]
            size, bias = len(values["weight"]), "bias" in values
            return nn.Conv2d(before, channels, size, padding=arguments[1].lower(), bias=bias)
        if name == "block":
            before, channels = channels, arguments[0]
            for _ in range(4):
                next(weights)
            return _Block(before, *arguments)
        if name == "dense":
            return nn.Linear(len(next(weights)["weight"]), arguments[0])
        if name == "norm":
            norm = nn.BatchNorm2d(channels)
            norm.weight.requires_grad = "scale" in next(weights)
            return norm
        plain: dict[str, Any] = {
            "relu": nn.ReLU,
            "gelu": nn.GELU,
            "pool": nn.MaxPool2d,
            "flatten": Flatten,
            "dropout": nn.Dropout,
            "mean": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        }
        return plain[name](*arguments)

    return nn.Sequential(*[module(spec) for spec in problem.layers])


def products(
    x: np.ndarray, weight: np.ndarray, dy: np.ndarray, stride: int, padding: Any
) -> dict[str, Callable[[], Any]]:
    """oneDNN's convolution and its two gradients."""
    around = {"VALID": 0, "SAME": 1}.get(padding, padding)

    def channels_last(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).permute(0, 3, 1, 2)

    images, gradient = channels_last(x), channels_last(dy)
    kernel = torch.from_numpy(weight).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)

    def backward(dx: bool) -> torch.Tensor:
        pair = [around, around]
        found = torch.ops.aten.convolution_backward(
            *(gradient, images, kernel, None, [stride] * 2, pair, [1, 1], False, [0, 0], 1),
            [dx, not dx, False],
        )
        return found[0].permute(0, 2, 3, 1) if dx else found[1].permute(2, 3, 1, 0)

    return {
        "forward": lambda: nn.functional.conv2d(
            images, kernel, stride=stride, padding=around
        ).permute(0, 2, 3, 1),
        "dx": lambda: backward(True),
        "dW": lambda: backward(False),
    }
