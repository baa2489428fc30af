import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import flatten, reshape


@pytest.mark.parametrize(
    ("batch", "shape", "out"), [(1, (1,), 1), (3, (7,), 7), (2, (3, 1, 5), 15), (4, (), 1)]
)
def test_flatten_derivatives(batch, shape, out):
    assert flatten().init(jax.random.key(0), shape)[2] == (out,)
    assert_derivatives(flatten(), shape, batch=batch)


def test_flatten_is_row_major():
    x = jnp.arange(12).reshape(2, 3, 2)
    np.testing.assert_array_equal(
        flatten().forward((), (), x)[0], [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    )


@pytest.mark.parametrize(
    ("shape", "new", "out"),
    [
        ((6,), (2, 3), (2, 3)),
        ((3, 4), (2, -1), (2, 6)),
        ((), (1, 1), (1, 1)),
        ((2, 1, 3), (-1,), (6,)),
        ((1,), (), ()),
    ],
)
def test_reshape(shape, new, out):
    assert reshape(new).init(jax.random.key(0), shape)[2] == out
    assert_derivatives(reshape(new), shape, batch=3)


def test_reshape_keeps_examples_apart_and_in_order():
    x = jnp.arange(12).reshape(2, 6)
    np.testing.assert_array_equal(reshape((3, 2)).forward((), (), x)[0], x.reshape(2, 3, 2))


@pytest.mark.parametrize("shape", [(4,), (5, -1), (7, 2)])
def test_reshape_refuses_another_number_of_elements(shape):
    with pytest.raises(ValueError, match=r"input of shape \(3, 4\) does not fit"):
        reshape(shape).init(jax.random.key(0), (3, 4))


@pytest.mark.parametrize("shape", [(-1, -1), (0, 3), (-2,)])
def test_reshape_refuses_sizes_that_are_not_positive(shape):
    with pytest.raises(ValueError, match="sizes must be positive"):
        reshape(shape)
