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
from jaxnn.layers.combinators import (
    before,
    in_precision,
    parallel,
    rematerialize,
    serial,
    shortcut,
)
from jaxnn.layers.convolution import conv2d
from jaxnn.layers.dense import dense
from jaxnn.layers.dropout import dropout
from jaxnn.layers.layer import Layer, stateless
from jaxnn.layers.normalization import batch_norm, group_norm, layer_norm, rms_norm, standardize
from jaxnn.layers.pooling import avg_pool, global_avg_pool, max_pool
from jaxnn.layers.shaping import flatten, reshape
from jaxnn.layers.sharded import sharded
from jaxnn.layers.views import average_views
from jaxnn.layers.whitening import whiten

__all__ = [
    "Layer",
    "average_views",
    "avg_pool",
    "batch_norm",
    "before",
    "conv2d",
    "dense",
    "dropout",
    "elu",
    "flatten",
    "gelu",
    "global_avg_pool",
    "group_norm",
    "identity",
    "in_precision",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "max_pool",
    "parallel",
    "relu",
    "rematerialize",
    "reshape",
    "rms_norm",
    "serial",
    "sharded",
    "shortcut",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "standardize",
    "stateless",
    "tanh",
    "whiten",
]
