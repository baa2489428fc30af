"""The parts that every data set shares: holding out, normalizing, standardizing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.data import Dataset, Split, hold_out, normalization, standardize

GREY = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 1), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 200, (50, 6, 5, 3), np.uint8)


def dataset(inputs: np.ndarray, **normalize: Any) -> Dataset:
    split = Split(inputs, np.zeros(len(inputs), np.int32))
    return Dataset("made", split, split, split, ("a",), *normalization(inputs, **normalize))


def test_in_shape_leaves_out_the_batch_axis() -> None:
    assert dataset(COLOUR, normalize="none").in_shape == (6, 5, 3)


def test_held_out_examples_are_the_last_ones() -> None:
    split = Split(GREY, np.arange(50, dtype=np.int32))
    train, validation = hold_out(split, 8)
    np.testing.assert_array_equal(train.inputs, GREY[:42])
    np.testing.assert_array_equal(train.targets, np.arange(42))
    np.testing.assert_array_equal(validation.inputs, GREY[42:])
    np.testing.assert_array_equal(validation.targets, np.arange(42, 50))
    assert np.shares_memory(train.inputs, GREY)


def test_holding_out_nothing_gives_an_empty_split_of_the_same_shape_and_type() -> None:
    train, validation = hold_out(Split(GREY, np.zeros(50, np.int32)), 0)
    assert len(train.targets) == 50
    assert validation.inputs.shape == (0, 6, 5, 1)
    assert validation.inputs.dtype == np.uint8
    assert validation.targets.dtype == np.int32


@pytest.mark.parametrize("validation", [-1, 50, 1000])
def test_holding_out_too_many_names_both_numbers(validation: int) -> None:
    with pytest.raises(ValueError, match=rf"{validation} examples .* 50 training"):
        hold_out(Split(GREY, np.zeros(50, np.int32)), validation)


@pytest.mark.parametrize(("inputs", "axes"), [(GREY, None), (COLOUR, (0, 1, 2))])
def test_standard_is_mean_and_deviation_of_each_channel(inputs: np.ndarray, axes: Any) -> None:
    mean, deviation = normalization(inputs, "standard")
    assert mean.dtype == deviation.dtype == np.float32
    assert mean.shape == deviation.shape == (() if axes is None else (3,))
    np.testing.assert_allclose(mean, inputs.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(deviation, inputs.std(axes), rtol=1e-6)


def test_standard_counts_every_block_of_a_large_array() -> None:
    inputs = np.zeros((3, 1024, 1024, 1), np.uint8)  # three blocks, each of another value
    inputs[1:] = [[[[60]]], [[[120]]]]
    mean, deviation = normalization(inputs, "standard")
    assert mean == 60
    assert deviation == np.float32(np.sqrt(2400))


def test_a_constant_channel_stays_finite() -> None:
    inputs = COLOUR.copy()
    inputs[..., 1] = 7
    made = dataset(inputs, normalize="standard")
    assert made.deviation[1] == 1
    assert not standardize(inputs, made)[..., 1].any()


def test_unit_divides_by_the_largest_value_and_none_by_nothing() -> None:
    inputs = np.array([0, 8, 16], np.uint8).reshape(3, 1, 1, 1)
    unit = standardize(inputs, dataset(inputs, normalize="unit", largest=16))
    assert unit.ravel().tolist() == [0, 0.5, 1]
    assert standardize(inputs, dataset(inputs, normalize="none")).ravel().tolist() == [0, 8, 16]


def test_an_unknown_normalization_is_named() -> None:
    with pytest.raises(ValueError, match="'standard', 'unit' or 'none', not 'minmax'"):
        normalization(GREY, "minmax")  # type: ignore[arg-type]


@pytest.mark.parametrize("inputs", [GREY, COLOUR])
def test_standardized_training_inputs_have_mean_0_and_deviation_1(inputs: np.ndarray) -> None:
    x = standardize(inputs, dataset(inputs, normalize="standard"), np.float64)
    assert x.dtype == np.float64
    axes = tuple(range(inputs.ndim - 1))
    np.testing.assert_allclose(x.mean(axes), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axes), 1, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 2**-22), (jnp.bfloat16, 2**-7)])
def test_traced_and_host_arrays_are_standardized_alike(dtype: Any, tolerance: float) -> None:
    made = dataset(COLOUR, normalize="standard")
    host = standardize(COLOUR, made, dtype)
    device = jax.jit(lambda x: standardize(x, made, dtype))(COLOUR)
    assert isinstance(host, np.ndarray)
    assert isinstance(device, jax.Array)
    assert host.dtype == device.dtype == dtype
    np.testing.assert_allclose(
        np.asarray(device, np.float64), host.astype(np.float64), rtol=tolerance, atol=tolerance
    )


def test_a_narrow_type_is_rounded_to_only_once() -> None:
    made = dataset(COLOUR, normalize="standard")
    once = standardize(COLOUR, made, np.float32).astype(jnp.bfloat16)
    np.testing.assert_array_equal(standardize(COLOUR, made, jnp.bfloat16), once)
