"""Kuzushiji-MNIST: characters from old Japanese books, harder to tell apart than digits."""

from jaxnn.data.dataset import Dataset, Normalize
from jaxnn.data.preparation import as_kmnist
from jaxnn.data.sources.mnist import published

_MIRRORS = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
# Length and SHA-256 of the gzip files, as TensorFlow Datasets records them for this address
# (url_checksums/kmnist.txt).
_FILES = (
    (
        "train-images-idx3-ubyte",
        18_165_135,
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    ),
    (
        "train-labels-idx1-ubyte",
        29_497,
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    ),
    (
        "t10k-images-idx3-ubyte",
        3_041_136,
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    ),
    (
        "t10k-labels-idx1-ubyte",
        5_120,
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
)
_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def kmnist(*, validation: int = 10_000, normalize: Normalize = "standard") -> Dataset:
    """Loads Kuzushiji-MNIST from the folder ``kmnist`` in the data folder, or downloads it (21 MB).

    28x28 grey images of ten characters of hiragana, one of each row of the syllabary, in the many
    forms that they once had: 60,000 for training, of which the last ``validation`` are held out,
    and the 10,000 of the official test set.

    Args:
        validation: how many training examples to hold out as the validation split.
        normalize: "standard" (the training split has mean 0 and deviation 1), "unit" (value / 255)
            or "none".

    Returns:
        The data set "kmnist"; inputs (n, 28, 28, 1) uint8, 0 (background) to 255 (ink); classes are
        the characters' sounds.

    Raises:
        DataError: a file is not the published one, or cannot be downloaded; see ``fetch``.
        ValueError: ``validation`` is not between 0 and 59,999, or ``normalize`` is unknown.

    Source: T. Clanuwat et al., Deep Learning for Classical Japanese Literature, arXiv:1812.01718,
    2018; the KMNIST Dataset (created by CODH), adapted from the Kuzushiji Dataset (created by NIJL
    and others), https://doi.org/10.20676/00000341, CC BY-SA 4.0.
    """
    return published(
        "kmnist",
        _FILES,
        _MIRRORS,
        compressed=True,
        validation=validation,
        classes=_CLASSES,
        normalize=normalize,
        prepare=as_kmnist,
    )
