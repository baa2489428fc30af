"""Layers and losses against PyTorch's, forward and backward."""

import functools

import jax
import numpy as np
import pytest
from oracles import assert_close

from jaxnn import layers, losses

torch = pytest.importorskip("torch")
functional = torch.nn.functional

PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)], ids=["float32", "float64"]
)


# Names of parameters, and PyTorch's function of an input and these.
LAYERS = {
    "dense": (
        layers.dense(3),
        ("weight", "bias"),
        lambda x, weight, bias: functional.linear(x, weight.T, bias),
    ),
    "elu": (layers.elu(), (), functional.elu),
    "elu(0.3)": (layers.elu(0.3), (), functools.partial(functional.elu, alpha=0.3)),
    "flatten": (layers.flatten(), (), functools.partial(torch.flatten, start_dim=1)),
    "gelu": (layers.gelu(), (), functional.gelu),
    "gelu(approximate)": (
        layers.gelu(approximate=True),
        (),
        functools.partial(functional.gelu, approximate="tanh"),
    ),
    "layer_norm": (
        layers.layer_norm(),
        ("scale", "bias"),
        lambda x, scale, bias: functional.layer_norm(x, scale.shape, scale, bias),
    ),
    "leaky_relu": (layers.leaky_relu(), (), functional.leaky_relu),
    "log_softmax": (
        layers.log_softmax(),
        (),
        functools.partial(functional.log_softmax, dim=-1),
    ),
    "relu": (layers.relu(), (), functional.relu),
    "reshape": (layers.reshape((5, 2)), (), lambda x: x.reshape(-1, 5, 2)),
    "rms_norm": (
        layers.rms_norm(),
        ("scale",),
        lambda x, scale: functional.rms_norm(x, scale.shape, scale, 1e-6),
    ),
    "sigmoid": (layers.sigmoid(), (), torch.sigmoid),
    "silu": (layers.silu(), (), functional.silu),
    "softmax": (layers.softmax(), (), functools.partial(functional.softmax, dim=-1)),
    "softplus": (layers.softplus(), (), functional.softplus),
    "tanh": (layers.tanh(), (), torch.tanh),
}


@PRECISIONS
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype, tolerance):
    layer, names, theirs = LAYERS[name]
    random = np.random.default_rng(0)
    x = random.normal(0, 2, (3, 2, 5)).astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        params, _, out_shape = layer.init(jax.random.key(0), x.shape[1:])
        params = {key: random.normal(0, 1, params[key].shape).astype(dtype) for key in names}
        dy = random.normal(0, 1, (3, *out_shape)).astype(dtype)

        @jax.jit
        def run(params, x, dy):
            y, _, residuals = layer.forward(params, (), x)
            return y, *layer.backward(params, residuals, dy)

        y, dx, gradients = run(params, x, dy)

    arguments = [torch.tensor(value, requires_grad=True) for value in (x, *params.values())]
    expected = theirs(*arguments)
    expected.backward(torch.tensor(dy))
    dx_expected, *gradients_expected = (argument.grad.numpy() for argument in arguments)
    assert_close(y, expected.detach().numpy(), tolerance)
    assert_close(dx, dx_expected, tolerance)
    for key, gradient in zip(names, gradients_expected, strict=True):
        assert_close(gradients[key], gradient, tolerance)


# Ours, PyTorch's, and whether the targets are class numbers.
LOSSES = {
    "softmax_cross_entropy": (losses.softmax_cross_entropy, functional.cross_entropy, True),
    "softmax_cross_entropy of probabilities": (
        losses.softmax_cross_entropy,
        functional.cross_entropy,
        False,
    ),
    "label smoothing": (
        functools.partial(losses.softmax_cross_entropy, label_smoothing=0.2),
        functools.partial(functional.cross_entropy, label_smoothing=0.2),
        True,
    ),
    "sigmoid_binary_cross_entropy": (
        losses.sigmoid_binary_cross_entropy,
        lambda z, t: functional.binary_cross_entropy_with_logits(z, t) * z.shape[-1],
        False,
    ),
    "mean_squared_error": (losses.mean_squared_error, functional.mse_loss, False),
    "quadratic": (
        losses.quadratic,
        lambda z, t: functional.mse_loss(z, t, reduction="sum") / (2 * len(z)),
        False,
    ),
    "huber": (
        functools.partial(losses.huber, delta=0.7),
        functools.partial(functional.huber_loss, delta=0.7),
        False,
    ),
    "hinge": (
        functools.partial(losses.hinge, margin=0.8),
        functools.partial(functional.multi_margin_loss, margin=0.8),
        True,
    ),
}


@PRECISIONS
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, dtype, tolerance):
    ours, theirs, class_numbers = LOSSES[name]
    random = np.random.default_rng(0)
    outputs = random.normal(0, 2, (7, 5)).astype(dtype)
    targets = random.integers(0, 5, 7) if class_numbers else random.dirichlet([1] * 5, 7)
    targets = targets if class_numbers else targets.astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        value, d_outputs = jax.jit(ours)(outputs, targets)
    z = torch.tensor(outputs, requires_grad=True)
    expected = theirs(z, torch.tensor(targets))
    expected.backward()
    assert_close(value, expected.detach().numpy(), tolerance)
    assert_close(d_outputs, z.grad.numpy(), tolerance)


@PRECISIONS
def test_weights_are_those_of_examples(dtype, tolerance):
    """Weighted means: what PyTorch makes of the losses of single examples."""
    random = np.random.default_rng(0)
    outputs = random.normal(0, 2, (7, 5)).astype(dtype)
    targets = random.integers(0, 5, 7)
    weights = np.array([1, 0, 2, 0.5, 0, 3, 1], dtype)
    with jax.enable_x64(dtype == np.float64):
        value, d_outputs = jax.jit(losses.softmax_cross_entropy)(outputs, targets, weights)
    z = torch.tensor(outputs, requires_grad=True)
    each = functional.cross_entropy(z, torch.tensor(targets), reduction="none")
    expected = (each * torch.tensor(weights)).sum() / weights.sum().item()
    expected.backward()
    assert_close(value, expected.detach().numpy(), tolerance)
    assert_close(d_outputs, z.grad.numpy(), tolerance)
