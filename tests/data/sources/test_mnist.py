"""MNIST, where it is there to be tested with; and what happens where something else is."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxnn.data import data_folder, mnist
from jaxnn.errors import DataError

needs_mnist = pytest.mark.skipif(
    not (data_folder() / "mnist").is_dir(), reason="no folder mnist in $JAXNN_DATA"
)


@needs_mnist
def test_the_published_files_make_the_data_set() -> None:
    data = mnist()
    assert data.name == "mnist"
    assert data.classes == tuple("0123456789")
    assert data.in_shape == (28, 28, 1)
    for split, examples in ((data.train, 50_000), (data.validation, 10_000), (data.test, 10_000)):
        assert split.inputs.shape == (examples, 28, 28, 1)
        assert split.inputs.dtype == np.uint8
        assert split.targets.shape == (examples,)
        assert split.targets.dtype == np.int32
    assert data.train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@needs_mnist
def test_the_whole_training_set_has_the_well_known_mean_and_deviation() -> None:
    data = mnist(validation=0)
    assert len(data.validation.targets) == 0
    assert data.mean / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.deviation / 255 == pytest.approx(0.3081, abs=5e-5)


def test_a_wrong_file_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    path = tmp_path / "mnist" / "train-images-idx3-ubyte"
    path.parent.mkdir()
    path.write_bytes(b"not MNIST")
    with pytest.raises(DataError, match=f"{path}: expected 47040016 bytes .*, found 9"):
        mnist()
    assert path.read_bytes() == b"not MNIST"
    assert os.listdir(path.parent) == [path.name]
