"""The formula of each kind of layer and loss, forward and backward, as the lab shows it.

The notation is that of the docstrings next to the code, where the derivations stand: one example,
∂y for ∂L/∂y.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Formula(NamedTuple):
    """What a layer computes.

    Attributes:
        forward: y from x.
        backward: ∂L/∂x from ∂L/∂y; then, in entries named after the parameters, their gradients.
    """

    forward: str
    backward: dict[str, str]


def _elementwise(forward: str, derivative: str) -> Formula:
    return Formula(forward, {"x": f"∂L/∂x = ∂L/∂y · {derivative}"})


_NORMALIZED = {
    "scale": "∂L/∂γ = Σ ∂L/∂y · x̂",
    "bias": "∂L/∂β = Σ ∂L/∂y",
}
_WITHIN = "∂L/∂x = r (g - mean(g) - x̂ mean(g x̂)) with g = γ ∂L/∂y, r = 1 / √(σ² + ε)"

LAYERS: dict[str, Formula] = {
    "dense": Formula(
        "y = x W + b",
        {"x": "∂L/∂x = ∂L/∂y Wᵀ", "weight": "∂L/∂W = xᵀ ∂L/∂y", "bias": "∂L/∂b = ∂L/∂y"},
    ),
    "conv2d": Formula(
        "y = x ⋆ W + b",
        {
            "x": "∂L/∂x = ∂L/∂y ∗ W, each output's gradient spread over what it saw",
            "weight": "∂L/∂W = x ⋆ ∂L/∂y, summed over positions",
            "bias": "∂L/∂b = Σ ∂L/∂y over positions",
        },
    ),
    "relu": _elementwise("y = max(x, 0)", "[x > 0]"),
    "leaky_relu": _elementwise("y = x where x > 0, else α x", "(1 where x > 0, else α)"),
    "elu": _elementwise("y = x where x > 0, else α (eˣ - 1)", "(1 where x > 0, else y + α)"),
    "gelu": _elementwise("y = x Φ(x)", "(Φ(x) + x φ(x))"),
    "silu": _elementwise("y = x σ(x)", "(σ(x) + y (1 - σ(x)))"),
    "sigmoid": _elementwise("y = 1 / (1 + e⁻ˣ)", "y (1 - y)"),
    "tanh": _elementwise("y = tanh(x)", "(1 - y²)"),
    "softplus": _elementwise("y = log(1 + eˣ)", "(1 - e⁻ʸ)"),
    "identity": Formula("y = x", {"x": "∂L/∂x = ∂L/∂y"}),
    "softmax": Formula("yₖ = e^(xₖ) / Σⱼ e^(xⱼ)", {"x": "∂L/∂x = y · (∂L/∂y - Σⱼ yⱼ ∂L/∂yⱼ)"}),
    "log_softmax": Formula("yₖ = xₖ - log Σⱼ e^(xⱼ)", {"x": "∂L/∂x = ∂L/∂y - eʸ Σⱼ ∂L/∂yⱼ"}),
    "flatten": Formula("y = x, as one row", {"x": "∂L/∂x = ∂L/∂y, in the shape of x"}),
    "reshape": Formula("y = x, in another shape", {"x": "∂L/∂x = ∂L/∂y, in the shape of x"}),
    "dropout": Formula(
        "y = x (in training: y = m x / (1 - rate), m drawn from 0 and 1)",
        {"x": "∂L/∂x = ∂L/∂y (in training: m ∂L/∂y / (1 - rate))"},
    ),
    "max_pool": Formula(
        "y = max of x in each window", {"x": "∂L/∂x = ∂L/∂y where x was the maximum, else 0"}
    ),
    "avg_pool": Formula(
        "y = mean of x in each window", {"x": "∂L/∂x = ∂L/∂y / n, n numbers in the window"}
    ),
    "global_avg_pool": Formula(
        "y = mean of x over all positions", {"x": "∂L/∂x = ∂L/∂y / n, n positions"}
    ),
    "batch_norm": Formula(
        "y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε), μ and σ² averaged in training",
        {"x": "∂L/∂x = γ ∂L/∂y / √(σ² + ε)", **_NORMALIZED},
    ),
    "layer_norm": Formula(
        "y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε)", {"x": _WITHIN, **_NORMALIZED}
    ),
    "group_norm": Formula(
        "y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε), by groups of channels",
        {"x": _WITHIN, **_NORMALIZED},
    ),
    "rms_norm": Formula(
        "y = γ x̂ with x̂ = x / √(mean(x²) + ε)",
        {
            "x": "∂L/∂x = r (g - x̂ mean(g x̂)) with g = γ ∂L/∂y, r = 1 / √(mean(x²) + ε)",
            "scale": _NORMALIZED["scale"],
        },
    ),
}

LOSSES: dict[str, tuple[str, str]] = {
    "softmax_cross_entropy": ("L = -Σₖ tₖ log pₖ with p = softmax(y)", "∂L/∂y = p - t"),
    "sigmoid_binary_cross_entropy": (
        "L = -Σₖ (tₖ log pₖ + (1 - tₖ) log(1 - pₖ)) with p = σ(y)",
        "∂L/∂y = p - t",
    ),
    "mean_squared_error": ("L = Σₖ (yₖ - tₖ)² / K", "∂L/∂y = 2 (y - t) / K"),
    "quadratic": ("L = ½ Σₖ (yₖ - tₖ)²", "∂L/∂y = y - t"),
    "huber": (
        "L = Σₖ h(yₖ - tₖ) / K, h(e) = e²/2 where |e| ≤ δ, else δ (|e| - δ/2)",
        "∂L/∂y = (y - t clipped to ± δ) / K",
    ),
    "hinge": (
        "L = Σₖ max(0, Δ + yₖ - yₜ) / K over k ≠ t",
        "∂L/∂yₖ = [Δ + yₖ > yₜ] / K, ∂L/∂yₜ = -Σₖ",
    ),
}


def of_layer(name: str, parameters: Iterable[str]) -> tuple[str, list[str]]:
    """Returns a layer's formula and those of its gradients, for the parameters that it has."""
    formula = LAYERS.get(name)
    present = list(parameters)
    if formula is None:
        gradients = [f"∂L/∂{parameter} = (∂y/∂{parameter})ᵀ ∂L/∂y" for parameter in present]
        return f"y = {name or 'f'}(x)", ["∂L/∂x = (∂y/∂x)ᵀ ∂L/∂y", *gradients]
    forward, backward = formula
    if "bias" not in present:
        forward = forward.replace(" + b", "").replace(" + β", "")
    if "scale" not in present:
        forward, backward = (
            forward.replace("γ ", ""),
            {key: text.replace("γ ", "") for key, text in backward.items()},
        )
    return forward, [text for key, text in backward.items() if key == "x" or key in present]


def of_loss(name: str) -> tuple[str, str]:
    """Returns the formulas of an example's loss and its gradient; t is the target, as a row."""
    return LOSSES.get(name, (f"L = {name}(y, t)", "∂L/∂y"))
