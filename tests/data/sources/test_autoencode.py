"""A data set whose targets are its inputs."""

from pathlib import Path

import numpy as np

from jaxnn.data import Dataset, autoencode, csv, digits, standardize
from jaxnn.data.info import as_kept, changes, dataset_info, from_plain, to_plain
from jaxnn.tasks import regression


def check(data: Dataset, made: Dataset) -> None:
    assert made.task is regression
    assert made.classes == ()
    for split in ("train", "validation", "test"):
        inputs, targets = getattr(made, split)
        np.testing.assert_array_equal(inputs, getattr(data, split).inputs)
        np.testing.assert_array_equal(targets, standardize(inputs, data))
        np.testing.assert_allclose(
            made.target_values(targets), data.values(inputs), rtol=1e-6, atol=1e-6
        )


def test_images_are_learnt_as_the_network_sees_them() -> None:
    made = autoencode(digits())
    check(digits(), made)
    assert made.name == "digits (autoencoder)"
    assert made.out_shape == made.in_shape == (8, 8, 1)
    assert abs(made.train.targets.mean()) < 1e-3


def test_a_table_that_is_centred_is_told_in_its_own_units(tmp_path: Path) -> None:
    """Unix times, which float32 would round; the columns' names are those of the targets."""
    rows = "".join(f"{1700000000 + 7 * i},{i % 9},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "table.csv").write_text("time,size,kind\n" + rows)
    data = csv(tmp_path / "table.csv", target="kind")
    assert data.centring is not None
    made = autoencode(data)
    check(data, made)
    assert made.targets == ("time", "size")


def test_what_a_run_keeps_of_it_is_enough() -> None:
    made = autoencode(digits())
    info = from_plain(to_plain(dataset_info(made)))
    assert changes(info, dataset_info(made)) == []
    again = as_kept(info, made)
    np.testing.assert_array_equal(again.test.targets, made.test.targets)
    np.testing.assert_array_equal(
        again.target_values(again.test.targets), made.target_values(made.test.targets)
    )
