"""The formula of each kind of layer and loss, forward and backward, as the lab shows it.

The notation is that of the docstrings next to the code, where the derivations stand: one example,
∂y for ∂L/∂y.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "connected",  # each output sees the whole input
    "convolution",
    "pooling",
    "normalization",
    "activation",
    "passing",  # in use it gives what it is given, in another shape perhaps
    "nothing",
    "other",
]


class Formula(NamedTuple):
    """What a layer computes.

    Attributes:
        kind: what kind of layer it is.
        forward: y from x.
        backward: ∂L/∂x from ∂L/∂y; then, in entries named after the parameters, their gradients.
        y: how y comes about for one number ``{i}``, from ``{x}`` and ``{-x}``; of pooling, the
            word for what is taken of a window. By default, the name of the layer of ``{x}``.
        dx: likewise ∂L/∂x, from ``{dy}``, ``{x}`` and ``{y}``.
    """

    kind: Kind
    forward: str
    backward: dict[str, str]
    y: str = ""
    dx: str = "f′({x}) · {dy}"


def _activation(forward: str, backward: str) -> Formula:
    return Formula("activation", forward, {"x": f"∂L/∂x = {backward}"})


def _elementwise(forward: str, derivative: str) -> Formula:
    return _activation(forward, f"∂L/∂y · {derivative}")


def _passing(forward: str, backward: str, kind: Kind = "passing") -> Formula:
    return Formula(kind, forward, {"x": f"∂L/∂x = {backward}"}, dx="∂L/∂y{i}")


def _pooling(word: str, where: str, backward: str) -> Formula:
    return Formula("pooling", f"y = {word} of x {where}", {"x": f"∂L/∂x = {backward}"}, word)


_NORMALIZED = {
    "scale": "∂L/∂γ = Σ ∂L/∂y · x̂",
    "bias": "∂L/∂β = Σ ∂L/∂y",
}
_WITHIN = "∂L/∂x = r (g - mean(g) - x̂ mean(g x̂)) with g = γ ∂L/∂y, r = 1 / √(σ² + ε)"


def _normalization(forward: str, backward: str, *parameters: str) -> Formula:
    gradients = {name: _NORMALIZED[name] for name in parameters}
    return Formula("normalization", forward, {"x": backward, **gradients})


LAYERS: dict[str, Formula] = {
    "dense": Formula(
        "connected",
        "y = x W + b",
        {"x": "∂L/∂x = ∂L/∂y Wᵀ", "weight": "∂L/∂W = xᵀ ∂L/∂y", "bias": "∂L/∂b = ∂L/∂y"},
    ),
    "conv2d": Formula(
        "convolution",
        "y = x ⋆ W + b",
        {
            "x": "∂L/∂x = ∂L/∂y ∗ W, each output's gradient spread over what it saw",
            "weight": "∂L/∂W = x ⋆ ∂L/∂y, summed over positions",
            "bias": "∂L/∂b = Σ ∂L/∂y over positions",
        },
    ),
    "whiten": Formula(
        "convolution",
        "y = [x ⋆ W, -x ⋆ W] + b, W from the data: it whitens their patches",
        {
            "x": "∂L/∂x = ∂L/∂y ∗ [W, -W], each output's gradient spread over what it saw",
            "bias": "∂L/∂b = Σ ∂L/∂y over positions",
        },
    ),
    "relu": _elementwise("y = max(x, 0)", "[x > 0]")._replace(
        y="max({x}, 0)", dx="{dy} · [{x} > 0]"
    ),
    "leaky_relu": _elementwise("y = x where x > 0, else α x", "(1 where x > 0, else α)"),
    "elu": _elementwise("y = x where x > 0, else α (eˣ - 1)", "(1 where x > 0, else y + α)"),
    "gelu": _elementwise("y = x Φ(x)", "(Φ(x) + x φ(x))"),
    "silu": _elementwise("y = x σ(x)", "(σ(x) + y (1 - σ(x)))"),
    "sigmoid": _elementwise("y = 1 / (1 + e⁻ˣ)", "y (1 - y)")._replace(
        y="σ({x}) = 1 / (1 + e^{-x})", dx="{dy} · {y} · (1 − {y})"
    ),
    "tanh": _elementwise("y = tanh(x)", "(1 - y²)")._replace(dx="{dy} · (1 − {y}²)"),
    "softplus": _elementwise("y = log(1 + eˣ)", "(1 - e⁻ʸ)"),
    "softmax": _activation("yₖ = e^(xₖ) / Σⱼ e^(xⱼ)", "y · (∂L/∂y - Σⱼ yⱼ ∂L/∂yⱼ)"),
    "log_softmax": _activation("yₖ = xₖ - log Σⱼ e^(xⱼ)", "∂L/∂y - eʸ Σⱼ ∂L/∂yⱼ"),
    "identity": _passing("y = x", "∂L/∂y", "nothing"),
    "flatten": _passing("y = x, as one row", "∂L/∂y, in the shape of x"),
    "reshape": _passing("y = x, in another shape", "∂L/∂y, in the shape of x"),
    "dropout": _passing(
        "y = x (in training: y = m x / (1 - rate), m drawn from 0 and 1)",
        "∂L/∂y (in training: m ∂L/∂y / (1 - rate))",
    ),
    "max_pool": _pooling("max", "in each window", "∂L/∂y where x was the maximum, else 0"),
    "avg_pool": _pooling("mean", "in each window", "∂L/∂y / n, n numbers in the window"),
    "global_avg_pool": _pooling("mean", "over all positions", "∂L/∂y / n, n positions"),
    "standardize": _normalization("y = (x - μ) / σ", "∂L/∂x = ∂L/∂y / σ"),
    "batch_norm": _normalization(
        "y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε), μ and σ² averaged in training",
        "∂L/∂x = γ ∂L/∂y / √(σ² + ε)",
        *("scale", "bias"),
    ),
    "layer_norm": _normalization(
        "y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε)", _WITHIN, "scale", "bias"
    ),
    "group_norm": _normalization(
        "y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε), by groups of channels",
        *(_WITHIN, "scale", "bias"),
    ),
    "rms_norm": _normalization(
        "y = γ x̂ with x̂ = x / √(mean(x²) + ε)",
        "∂L/∂x = r (g - x̂ mean(g x̂)) with g = γ ∂L/∂y, r = 1 / √(mean(x²) + ε)",
        "scale",
    ),
}


class LossFormula(NamedTuple):
    """What a loss computes: L from y, and ∂L/∂y.

    ``value`` says how L comes about for one example, from the class's name ``{class}`` and the
    probability ``{p}`` that it has; it is empty where this is not said.
    """

    forward: str
    backward: str
    value: str = ""


LOSSES: dict[str, LossFormula] = {
    "softmax_cross_entropy": LossFormula(
        "L = -Σₖ tₖ log pₖ with p = softmax(y)",
        "∂L/∂y = p - t",
        "−log p(“{class}”) = −log {p}",
    ),
    "sigmoid_binary_cross_entropy": LossFormula(
        "L = -Σₖ (tₖ log pₖ + (1 - tₖ) log(1 - pₖ)) with p = σ(y)",
        "∂L/∂y = p - t",
    ),
    "mean_squared_error": LossFormula("L = Σₖ (yₖ - tₖ)² / K", "∂L/∂y = 2 (y - t) / K"),
    "quadratic": LossFormula("L = ½ Σₖ (yₖ - tₖ)²", "∂L/∂y = y - t"),
    "huber": LossFormula(
        "L = Σₖ h(yₖ - tₖ) / K, h(e) = e²/2 where |e| ≤ δ, else δ (|e| - δ/2)",
        "∂L/∂y = (y - t clipped to ± δ) / K",
    ),
    "mean_absolute_error": LossFormula("L = Σₖ |yₖ - tₖ| / K", "∂L/∂y = sign(y - t) / K"),
    "quantile": LossFormula(
        "L = Σₖ max((1 - θ) eₖ, -θ eₖ) / K with e = y - t",
        "∂L/∂yₖ = (1 - θ) / K where yₖ > tₖ, -θ / K where yₖ < tₖ",
    ),
    "hinge": LossFormula(
        "L = Σₖ max(0, Δ + yₖ - yₜ) / K over k ≠ t",
        "∂L/∂yₖ = [Δ + yₖ > yₜ] / K, ∂L/∂yₜ = -Σₖ",
    ),
}


def of_layer(name: str, parameters: Iterable[str]) -> Formula:
    """Returns a layer's formula, for the parameters that it has."""
    present = list(parameters)
    formula = LAYERS.get(name)
    if formula is None:
        gradients = {p: f"∂L/∂{p} = (∂y/∂{p})ᵀ ∂L/∂y" for p in present}
        backward = {"x": "∂L/∂x = (∂y/∂x)ᵀ ∂L/∂y", **gradients}
        formula = Formula("other", f"y = {name or 'f'}(x)", backward)
    forward, backward = formula.forward, formula.backward
    if "bias" not in present:
        forward = forward.replace(" + b", "").replace(" + β", "")
    if "scale" not in present:
        forward = forward.replace("γ ", "")
        backward = {key: text.replace("γ ", "") for key, text in backward.items()}
    kept = {key: text for key, text in backward.items() if key == "x" or key in present}
    return formula._replace(forward=forward, backward=kept, y=formula.y or f"{name}({{x}})")


def of_loss(name: str) -> LossFormula:
    """Returns the formulas of an example's loss and its gradient; t is the target, as a row."""
    return LOSSES.get(name, LossFormula(f"L = {name}(y, t)", "∂L/∂y"))
