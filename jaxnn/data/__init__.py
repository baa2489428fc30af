"""Data sets as plain NumPy arrays on the host."""

from jaxnn.data.centring import Centring
from jaxnn.data.dataset import Dataset, Normalize, Split, hold_out, normalization, standardize
from jaxnn.data.division import divide, spread
from jaxnn.data.download import cache_folder, data_folder, fetch
from jaxnn.data.preparation import find_ink, prepare, read_image
from jaxnn.data.sources.arrays import from_arrays
from jaxnn.data.sources.autoencode import autoencode
from jaxnn.data.sources.cifar import cifar10, cifar100
from jaxnn.data.sources.digits import digits
from jaxnn.data.sources.emnist import emnist
from jaxnn.data.sources.fashion_mnist import fashion_mnist
from jaxnn.data.sources.idx import idx, read_idx
from jaxnn.data.sources.image_folder import image_folder
from jaxnn.data.sources.kmnist import kmnist
from jaxnn.data.sources.mnist import mnist
from jaxnn.data.sources.npz import npz
from jaxnn.data.sources.plane import plane
from jaxnn.data.sources.tables import csv
from jaxnn.data.statistics import Statistics, statistics, summary

__all__ = [
    "Centring",
    "Dataset",
    "Normalize",
    "Split",
    "Statistics",
    "autoencode",
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
    "from_arrays",
    "hold_out",
    "idx",
    "image_folder",
    "kmnist",
    "mnist",
    "normalization",
    "npz",
    "plane",
    "prepare",
    "read_idx",
    "read_image",
    "spread",
    "standardize",
    "statistics",
    "summary",
]
