"""EMNIST: handwritten letters and digits in the manner of MNIST, from the same source."""

import string
import zipfile
from typing import Literal

import numpy as np

from jaxnn.data.dataset import Dataset, Normalize, Split
from jaxnn.data.download import data_folder, fetch
from jaxnn.data.preparation import as_emnist
from jaxnn.data.sources.idx import four_files

_URLS = (
    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
)
# As TensorFlow Datasets records them (url_checksums/emnist.txt) for the second address, from where
# the file has moved to the first: the MD5 sum that torchvision verifies either by is the same.
_LENGTH = 561_753_746
_SHA256 = "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"

_ALL = string.digits + string.ascii_uppercase + string.ascii_lowercase
# Lower-case letters that are not written like their upper-case ones.
_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
_CLASSES = {
    "byclass": _ALL,
    "bymerge": _MERGED,
    "balanced": _MERGED,
    "letters": string.ascii_uppercase,
    "digits": string.digits,
    "mnist": string.digits,
}


def emnist(
    split: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = "balanced",
    *,
    validation: int = 10_000,
    normalize: Normalize = "standard",
) -> Dataset:
    """Loads EMNIST from the folder ``emnist`` in the data folder, or downloads it (562 MB).

    28x28 grey images of handwritten characters, of one of the official splits:

    - byclass: all 62 classes, digits, upper- and lower-case letters, as frequent as they are;
      697,932 for training and 116,323 for test.
    - bymerge: the same images in 47 classes: c, i, j, k, l, m, o, p, s, u, v, w, x, y and z are one
      class in upper and lower case.
    - balanced: these 47 classes, equally frequent; 112,800 and 18,800.
    - letters: 26 classes, upper and lower case together; 124,800 and 20,800.
    - digits: 240,000 and 40,000.
    - mnist: digits, as many as MNIST has, 60,000 and 10,000.

    The files hold each image transposed, and number letters from 1; here images are upright, and
    classes numbered from 0.

    Args:
        split: the official split.
        validation: how many training examples to hold out, from the end, as the validation split.
        normalize: "standard" (the training split has mean 0 and deviation 1), "unit" (value / 255)
            or "none".

    Returns:
        The data set "emnist_" + split; inputs (n, 28, 28, 1) uint8, 0 (background) to 255 (ink).

    Raises:
        DataError: the file is not the published one, or cannot be downloaded; see ``fetch``.
        ValueError: ``validation`` does not fit, or ``split`` or ``normalize`` is unknown.

    Source: G. Cohen, S. Afshar, J. Tapson and A. van Schaik, EMNIST: an extension of MNIST to
    handwritten letters, arXiv:1702.05373, 2017.
    """
    if split not in _CLASSES:
        raise ValueError(f"split = {split!r}: it must be one of {', '.join(_CLASSES)}")
    path = fetch(
        data_folder() / "emnist" / "gzip.zip",
        length=_LENGTH,
        sha256=_SHA256,
        urls=_URLS,
        as_published=True,
    )
    first = 1 if split == "letters" else 0
    with zipfile.ZipFile(path) as archive:
        files = [
            zipfile.Path(archive, f"gzip/emnist-{split}-{part}-{kind}-ubyte.gz")
            for part in ("train", "test")
            for kind in ("images-idx3", "labels-idx1")
        ]
        dataset = four_files(
            f"emnist_{split}",
            *files,
            validation=validation,
            classes=["none"] * first + list(_CLASSES[split]),
            normalize=normalize,
            prepare=as_emnist,
        )

    def mend(part: Split) -> Split:
        upright = np.ascontiguousarray(part.inputs.swapaxes(1, 2))
        return Split(upright, part.targets - first)

    train, held_out, test = map(mend, (dataset.train, dataset.validation, dataset.test))
    names = dataset.classes[first:]
    return dataset._replace(train=train, validation=held_out, test=test, classes=names)
