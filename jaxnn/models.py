"""Networks of the literature by name, made of the library's layers.

Each is a function that returns a ``Layer``, so that one serves as a whole network or as a part of
one. Images are (height, width, channels); the outputs are logits, (batch, classes), whose softmax
the loss takes.
"""

import functools
from collections.abc import Sequence
from typing import Literal

from jax import Array, lax

from jaxnn.arrays import Tree
from jaxnn.calls import remembered
from jaxnn.initializers import dirac, nielsen, normal, zeros
from jaxnn.layers import (
    Layer,
    avg_pool,
    batch_norm,
    conv2d,
    dense,
    dropout,
    flatten,
    gelu,
    global_avg_pool,
    max_pool,
    parallel,
    relu,
    serial,
    shortcut,
    sigmoid,
    stateless,
    tanh,
    whiten,
)
from jaxnn.layers.layer import Shape


@remembered
def lenet5(classes: int = 10) -> Layer:
    """Returns LeNet-5, made to read digits of 28 × 28 pixels; 61,706 parameters.

    It has 6 and 16 maps of 5 × 5, then 120 and 84 units.

    As it is usually built today: the second convolution sees all six maps (1,516 weights became
    2,416), subsampling is a mean without coefficients of its own, tanh is not scaled, and the
    output is a dense layer in place of the distances to drawn characters. The paper's frame of two
    pixels around the image is the padding of the first convolution.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section
    II.B.

    Args:
        classes: the number of outputs.
    """
    return serial(
        *(conv2d(6, 5, padding=2), tanh(), avg_pool()),
        *(conv2d(16, 5, padding="VALID"), tanh(), avg_pool()),
        *(flatten(), dense(120), tanh(), dense(84), tanh(), dense(classes)),
    )


@remembered
def nielsen_chapter6(
    maps: Sequence[int] = (20, 40),
    *,
    units: Sequence[int] = (100,),
    activation: Literal["sigmoid", "relu"] = "sigmoid",
    dropout_rate: float = 0.0,
    classes: int = 10,
) -> Layer:
    """Returns a network of chapter 6 of Michael Nielsen's book.

    Convolutions of 5 × 5, each followed by max-pooling, come before fully connected layers.

    ``maps: [20]`` is its first convolutional network, the default its second; then come
    ``activation: relu``, ``units: [100, 100]``, and last ``units: [1000, 1000]`` with
    ``dropout_rate: 0.5``. Weights and biases are drawn as in its chapter 3, zeros in the last
    layer; its program takes the fan-out for the fan-in.

    Source: Nielsen 2015, "Neural Networks and Deep Learning",
    http://neuralnetworksanddeeplearning.com/chap6.html.

    Args:
        maps: the number of feature maps of each convolution.
        units: the number of units of each fully connected layer but the last.
        activation: of all layers but the last.
        dropout_rate: of the inputs of each fully connected layer.
        classes: the number of outputs.
    """
    active = {"sigmoid": sigmoid, "relu": relu}[activation]
    noise = [dropout(dropout_rate)] if dropout_rate else []
    layers: list[Layer] = []
    for count in maps:
        convolution = conv2d(count, 5, padding="VALID", weight_init=nielsen, bias_init=nielsen)
        layers += [convolution, max_pool(), active()]
    layers.append(flatten())
    for count in units:
        layers += [*noise, dense(count, weight_init=nielsen, bias_init=nielsen), active()]
    return serial(*layers, *noise, dense(classes, weight_init=zeros))


@remembered
def bird_cnn(classes: int = 2, *, dropout_rate: float = 0.5) -> Layer:
    """Returns the plain network that tells birds from everything else.

    It has three blocks of convolution 3 × 3 (32, 64 and 128 channels), relu and max-pooling, then
    256 units with dropout. For photographs of 32 × 32 × 3, 618,306 parameters with two classes.

    Args:
        classes: the number of outputs.
        dropout_rate: after the 256 units.
    """
    blocks = [layer for units in (32, 64, 128) for layer in (conv2d(units), relu(), max_pool())]
    return serial(*blocks, flatten(), dense(256), relu(), dropout(dropout_rate), dense(classes))


@remembered
def fast_mnist(classes: int = 10) -> Layer:
    """Returns a network of our own, small and made for speed; 33,914 parameters.

    After one epoch of ``configs/mnist_99_fast.yaml`` it knows 99 % of MNIST's test images.

    The first convolution takes every third pixel, so that 8 × 8 positions are left: the work of
    the others falls to a ninth, and 8 and then 4 rows suit Winograd's algorithm. Pooling comes
    before normalization and relu, which have a quarter of the numbers to see then.

    Args:
        classes: the number of outputs.
    """
    return serial(
        *(conv2d(16, 5, stride=3, padding="VALID", bias=False), batch_norm(), relu()),
        *(conv2d(32, bias=False), max_pool(), batch_norm(), relu()),
        *(conv2d(64, bias=False), batch_norm(), relu()),
        *(flatten(), dense(classes)),
    )


@remembered
def airbench(classes: int = 10, *, channels: Sequence[int] = (64, 256, 256)) -> Layer:
    """Returns the network of the shortest way to 94 % on CIFAR-10; 1,971,352 parameters.

    The data's patches of 2 × 2, whitened, come first; then three blocks, each of a convolution, a
    pool to half the resolution and a second convolution, with batch normalization that has no
    scale. Convolutions begin by handing on what they are given. The output begins small.

    Source: Jordan 2024, https://arxiv.org/abs/2404.00498. There, the head has weights of deviation
    1 and the logits are divided by the number of its inputs, 256: here, they have 1 / 256.

    Args:
        classes: the number of outputs.
        channels: those of each block.
    """
    blocks = [
        layer
        for units in channels
        for layer in (
            *(conv2d(units, bias=False, weight_init=dirac), max_pool()),
            *(batch_norm(momentum=0.6, eps=1e-12, scale=False), gelu()),
            *(conv2d(units, bias=False, weight_init=dirac),),
            *(batch_norm(momentum=0.6, eps=1e-12, scale=False), gelu()),
        )
    ]
    head = functools.partial(normal, stddev=1 / channels[-1])
    return serial(
        *(whiten(), gelu(), *blocks),
        *(max_pool(3), flatten(), dense(classes, bias=False, weight_init=head)),
    )


@remembered
def resnet20(classes: int = 10) -> Layer:
    """Returns the residual network of 20 layers for CIFAR; 269,722 parameters for ten classes.

    It has three stages of three blocks, with 16, 32 and 64 channels, the second and third stage at
    half the resolution.

    Shortcuts are parameter-free throughout (option A): where a stage begins, every other pixel is
    taken, and the new channels are zero. Convolutions have no bias, batch normalization has.

    Source: He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2.

    Args:
        classes: the number of outputs.
    """
    blocks = [
        layer
        for stage, units in enumerate((16, 32, 64))
        for block in range(3)
        for layer in _residual(units, first=stage > 0 and block == 0)
    ]
    stem = (conv2d(16, bias=False), batch_norm(), relu())
    return serial(*stem, *blocks, global_avg_pool(), dense(classes))


def _residual(units: int, *, first: bool) -> tuple[Layer, Layer]:
    """Returns a block of two convolutions; ``first`` of its stage, with half the resolution."""
    body = serial(
        *(conv2d(units, stride=2 if first else 1, padding=1, bias=False), batch_norm(), relu()),
        *(conv2d(units, bias=False), batch_norm()),
    )
    return parallel(body, _every_other(units)) if first else shortcut(body), relu()


def _every_other(units: int) -> Layer:
    """Returns every other pixel in both directions, with channels of zeros up to ``units``."""

    def init(key: Array, in_shape: Shape) -> tuple[Tree, Shape]:
        height, width, _ = in_shape
        return (), (-(-height // 2), -(-width // 2), units)

    def forward(params: Tree, x: Array) -> tuple[Array, Tree]:
        y = x[:, ::2, ::2]
        # An array of no examples remembers the shape, and as an array passes any transform.
        return lax.pad(y, y.dtype.type(0), [*[(0, 0, 0)] * 3, (0, units - x.shape[3], 0)]), x[:0]

    def backward(params: Tree, residuals: Tree, dy: Array) -> tuple[Array, Tree]:
        """Of yᵢⱼ = [x₂ᵢ,₂ⱼ, 0], dx is dy without the last channels, zeros between its pixels."""
        _, height, width, channels = residuals.shape
        margins = [(0, (size - 1) % 2, 1) for size in (height, width)]
        zero = dy.dtype.type(0)
        return lax.pad(dy[..., :channels], zero, [(0, 0, 0), *margins, (0, 0, 0)]), ()

    return stateless(init, forward, backward, "every_other")
