"""MNIST: 70,000 handwritten digits, the data set on which everything is tried first."""

from collections.abc import Sequence

from jaxnn.data.dataset import Dataset, Normalize, Prepare
from jaxnn.data.download import data_folder, fetch
from jaxnn.data.preparation import as_mnist
from jaxnn.data.sources.idx import four_files

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# In the order of idx's arguments: name, length and SHA-256 of the uncompressed file.
_FILES = (
    (
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    (
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    (
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    (
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def mnist(*, validation: int = 10_000, normalize: Normalize = "standard") -> Dataset:
    """Loads MNIST from the folder ``mnist`` in the data folder, or downloads it (12 MB).

    28x28 grey images of handwritten digits: 60,000 for training, of which the last ``validation``
    are held out, and the 10,000 of the official test set. The two were written by different people.

    Args:
        validation: how many training examples to hold out as the validation split.
        normalize: "standard" (the training split has mean 0 and deviation 1), "unit" (value / 255)
            or "none".

    Returns:
        The data set "mnist"; inputs (n, 28, 28, 1) uint8, 0 (background) to 255 (ink).

    Raises:
        DataError: a file is not the published one, or cannot be downloaded; see ``fetch``.
        ValueError: ``validation`` is not between 0 and 59,999, or ``normalize`` is unknown.

    Source: the MNIST database of handwritten digits; Y. LeCun, L. Bottou, Y. Bengio and P. Haffner,
    Gradient-based learning applied to document recognition, Proceedings of the IEEE 86, 1998.
    """
    return published(
        "mnist",
        _FILES,
        _MIRRORS,
        compressed=False,
        validation=validation,
        classes=[str(digit) for digit in range(10)],
        normalize=normalize,
        prepare=as_mnist,
    )


def published(
    name: str,
    files: Sequence[tuple[str, int, str]],
    mirrors: Sequence[str],
    *,
    compressed: bool,
    validation: int,
    classes: Sequence[str],
    normalize: Normalize,
    prepare: Prepare,
) -> Dataset:
    """Loads a data set that is published like MNIST: four gzip files, in a folder of its name.

    Args:
        name: of the data set.
        files: name, length and SHA-256 of each, in the order of ``idx``'s arguments.
        mirrors: the beginnings of their addresses.
        compressed: whether lengths and SHA-256 are those of the compressed files, not of what is
            in them; see ``fetch``.
        validation: see ``idx``.
        classes: see ``idx``.
        normalize: see ``idx``.
        prepare: see ``Dataset``.
    """
    folder = data_folder() / name
    paths = [
        fetch(
            folder / (f"{file}.gz" if compressed else file),
            length=length,
            sha256=sha256,
            urls=[f"{mirror}{file}.gz" for mirror in mirrors],
            as_published=compressed,
        )
        for file, length, sha256 in files
    ]
    return four_files(
        name,
        *paths,
        validation=validation,
        classes=classes,
        normalize=normalize,
        prepare=prepare,
    )
