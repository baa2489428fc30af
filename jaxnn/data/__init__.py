"""Data sets as plain NumPy arrays on the host: one module a source."""

from jaxnn.data.cifar import cifar10, cifar100
from jaxnn.data.dataset import Dataset, Normalize, Split, hold_out, normalization, standardize
from jaxnn.data.digits import digits
from jaxnn.data.division import divide, spread
from jaxnn.data.download import cache_folder, data_folder, fetch
from jaxnn.data.emnist import emnist
from jaxnn.data.fashion_mnist import fashion_mnist
from jaxnn.data.idx import idx, read_idx
from jaxnn.data.image_folder import image_folder
from jaxnn.data.kmnist import kmnist
from jaxnn.data.mnist import mnist
from jaxnn.data.npz import npz
from jaxnn.data.preparation import find_ink, prepare, read_image
from jaxnn.data.statistics import Statistics, statistics, summary
from jaxnn.data.tables import csv

__all__ = [
    "Dataset",
    "Normalize",
    "Split",
    "Statistics",
    "cache_folder",
    "cifar10",
    "cifar100",
    "csv",
    "data_folder",
    "digits",
    "divide",
    "emnist",
    "fashion_mnist",
    "fetch",
    "find_ink",
    "hold_out",
    "idx",
    "image_folder",
    "kmnist",
    "mnist",
    "normalization",
    "npz",
    "prepare",
    "read_idx",
    "read_image",
    "spread",
    "standardize",
    "statistics",
    "summary",
]
