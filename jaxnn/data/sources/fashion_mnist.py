"""Fashion-MNIST: pictures of clothes, in MNIST's place where digits are too easy."""

from jaxnn.data.dataset import Dataset, Normalize
from jaxnn.data.preparation import as_fashion_mnist
from jaxnn.data.sources.mnist import published

_MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
# Length and SHA-256 of the gzip files, as TensorFlow Datasets records them for the second mirror
# (url_checksums/fashion_mnist.txt). The MD5 sums in the authors' repository, where the first mirror
# is, are those that torchvision verifies files of the second by: they are the same files.
_FILES = (
    (
        "train-images-idx3-ubyte",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    (
        "train-labels-idx1-ubyte",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    (
        "t10k-images-idx3-ubyte",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    (
        "t10k-labels-idx1-ubyte",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)
_CLASSES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"),
    "ankle boot",
)


def fashion_mnist(*, validation: int = 10_000, normalize: Normalize = "standard") -> Dataset:
    """Loads Fashion-MNIST from the folder ``fashion_mnist`` in the data folder, or downloads it.

    28x28 grey images of ten kinds of clothes: 60,000 for training, of which the last ``validation``
    are held out, and the 10,000 of the official test set. The download is 31 MB.

    Args:
        validation: how many training examples to hold out as the validation split.
        normalize: "standard" (the training split has mean 0 and deviation 1), "unit" (value / 255)
            or "none".

    Returns:
        The data set "fashion_mnist"; inputs (n, 28, 28, 1) uint8, 0 is the background.

    Raises:
        DataError: a file is not the published one, or cannot be downloaded; see ``fetch``.
        ValueError: ``validation`` is not between 0 and 59,999, or ``normalize`` is unknown.

    Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms, arXiv:1708.07747, 2017; MIT license.
    """
    return published(
        "fashion_mnist",
        _FILES,
        _MIRRORS,
        compressed=True,
        validation=validation,
        classes=_CLASSES,
        normalize=normalize,
        prepare=as_fashion_mnist,
    )
