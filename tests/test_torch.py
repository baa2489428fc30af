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
    compare_layer(*LAYERS[name], (3, 2, 5), dtype, tolerance)


def compare_layer(layer, names, theirs, shape, dtype, tolerance):
    random = np.random.default_rng(0)
    x = random.normal(0, 2, shape).astype(dtype)
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


# Of images: PyTorch has the channels before the rows.
IMAGE_LAYERS = {
    "avg_pool": (layers.avg_pool(3, stride=2), (), lambda x: functional.avg_pool2d(x, 3, 2)),
    "avg_pool(padding)": (
        layers.avg_pool(3, stride=1, padding=1),
        (),
        lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    ),
    "conv2d": (
        layers.conv2d(6, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=2),
        ("weight", "bias"),
        lambda x, weight, bias: functional.conv2d(
            x, weight.permute(3, 2, 0, 1), bias, (2, 1), 1, (1, 2), 2
        ),
    ),
    "conv2d(SAME)": (
        layers.conv2d(3),
        ("weight", "bias"),
        lambda x, weight, bias: functional.conv2d(x, weight.permute(3, 2, 0, 1), bias, padding=1),
    ),
    "group_norm": (
        layers.group_norm(2),
        ("scale", "bias"),
        lambda x, scale, bias: functional.group_norm(x, 2, scale, bias),
    ),
    "max_pool": (layers.max_pool(2), (), lambda x: functional.max_pool2d(x, 2)),
    "max_pool(overlapping)": (
        layers.max_pool(3, stride=2, padding=1),
        (),
        lambda x: functional.max_pool2d(x, 3, 2, 1),
    ),
}


@PRECISIONS
@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_image_layers(name, dtype, tolerance):
    layer, names, theirs = IMAGE_LAYERS[name]

    def channels_last(x, *params):
        return theirs(x.permute(0, 3, 1, 2), *params).permute(0, 2, 3, 1)

    compare_layer(layer, names, channels_last, (3, 6, 7, 8), dtype, tolerance)


@PRECISIONS
@pytest.mark.parametrize("train", [True, False])
def test_batch_norm(train, dtype, tolerance):
    random = np.random.default_rng(0)
    x, dy = (random.normal(2, 3, (4, 3, 2, 5)).astype(dtype) for _ in range(2))
    params = {key: random.normal(0, 1, 5).astype(dtype) for key in ("scale", "bias")}
    state = {"mean": random.normal(0, 1, 5), "variance": random.uniform(1, 2, 5)}
    state = {key: value.astype(dtype) for key, value in state.items()}
    with jax.enable_x64(dtype == np.float64):

        @jax.jit
        def run(params, state, x, dy):
            layer = layers.batch_norm(momentum=0.9)
            y, new, residuals = layer.forward(params, state, x, train=train)
            return y, new, *layer.backward(params, residuals, dy)

        y, new, dx, gradients = run(params, state, x, dy)

    x, scale, bias = (torch.tensor(a, requires_grad=True) for a in (x, *params.values()))
    mean, variance = (torch.tensor(a) for a in state.values())
    expected = functional.batch_norm(
        x.permute(0, 3, 1, 2), mean, variance, scale, bias, train, momentum=0.1
    ).permute(0, 2, 3, 1)
    expected.backward(torch.tensor(dy))
    assert_close(y, expected.detach().numpy(), tolerance)
    assert_close(new, {"mean": mean.numpy(), "variance": variance.numpy()}, tolerance)
    assert_close(dx, x.grad.numpy(), tolerance)
    assert_close(gradients, {"scale": scale.grad.numpy(), "bias": bias.grad.numpy()}, tolerance)


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
    "mean_absolute_error": (losses.mean_absolute_error, functional.l1_loss, False),
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
