"""PyTorch with its fused optimizer and all tensors in the device's memory."""

import time

import jax
import torch
from torch import nn

from peers.problem import Epoch, Problem, Weights


def eager(problem: Problem) -> Epoch:
    """A plain training loop."""
    return _loop(problem, compiled=False)


def compiled(problem: Problem) -> Epoch:
    """The same loop with forward, loss and backward compiled by ``torch.compile``."""
    return _loop(problem, compiled=True)


def _loop(problem: Problem, *, compiled: bool) -> Epoch:
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    activation = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}[problem.activation]
    modules: list[nn.Module] = []
    for width, units in zip(problem.sizes, problem.sizes[1:], strict=False):
        modules += [nn.Linear(width, units), activation()]
    quadratic = problem.loss == "quadratic"
    network = nn.Sequential(*(modules if quadratic else modules[:-1])).to(device)
    linears = [module for module in network if isinstance(module, nn.Linear)]
    cross_entropy = nn.CrossEntropyLoss()
    images = torch.from_numpy(problem.images).to(device).float() / 255
    labels = torch.from_numpy(problem.labels).to(device).long()
    if quadratic:
        labels = nn.functional.one_hot(labels, problem.sizes[-1]).float()
    batches = torch.from_numpy(problem.batches).to(device).long()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if quadratic:
            return (network(x) - y).square().sum() / (2 * len(y))
        return cross_entropy(network(x), y)

    if compiled:
        loss = torch.compile(loss)

    def synchronize() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def run() -> tuple[float, Weights]:
        with torch.no_grad():
            for linear, (weight, bias) in zip(linears, problem.weights, strict=True):
                linear.weight.copy_(torch.from_numpy(weight).T)
                linear.bias.copy_(torch.from_numpy(bias))
        optimizer = torch.optim.SGD(
            network.parameters(), problem.learning_rate, problem.momentum, fused=True
        )
        synchronize()
        started = time.perf_counter()
        for rows in batches:
            optimizer.zero_grad(set_to_none=True)
            loss(images[rows], labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        synchronize()
        seconds = time.perf_counter() - started
        return seconds, [
            (
                linear.weight.detach().cpu().numpy().T.copy(),
                linear.bias.detach().cpu().numpy().copy(),
            )
            for linear in linears
        ]

    return run
