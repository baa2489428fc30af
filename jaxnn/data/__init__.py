"""Data sets as plain NumPy arrays on the host: one module a source."""

from jaxnn.data.dataset import Dataset, Normalize, Split, hold_out, normalization, standardize
from jaxnn.data.digits import digits
from jaxnn.data.download import data_folder, fetch
from jaxnn.data.idx import idx, read_idx
from jaxnn.data.mnist import mnist

__all__ = [
    "Dataset",
    "Normalize",
    "Split",
    "data_folder",
    "digits",
    "fetch",
    "hold_out",
    "idx",
    "mnist",
    "normalization",
    "read_idx",
    "standardize",
]
