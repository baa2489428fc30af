import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_derivatives

from jaxnn.layers import flatten


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
