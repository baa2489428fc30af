"""Layers, one module a family; forward and backward stand next to each other."""

from jaxnn.layers.activations import (
    elu,
    gelu,
    identity,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from jaxnn.layers.dense import dense
from jaxnn.layers.dropout import dropout
from jaxnn.layers.layer import Layer, stateless
from jaxnn.layers.normalization import layer_norm, rms_norm
from jaxnn.layers.shaping import flatten, reshape

__all__ = [
    "Layer",
    "dense",
    "dropout",
    "elu",
    "flatten",
    "gelu",
    "identity",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "relu",
    "reshape",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "stateless",
    "tanh",
]
