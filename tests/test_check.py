"""That check_layer passes what is right, and catches what is wrong."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.check import check_layer
from jaxnn.layers import dense, relu, serial, stateless

RIGHT = dense(3)


def broken(change):
    """A dense layer whose ``(dx, dparams)`` a mistake has changed."""

    def backward(params, residuals, dy):
        return change(*RIGHT.backward(params, residuals, dy))

    return RIGHT._replace(backward=backward)


MISTAKES = {
    "factor of dx": (lambda dx, dp: (1.001 * dx, dp), {"input"}),
    "factor of dW": (lambda dx, dp: (dx, dp | {"weight": 2 * dp["weight"]}), {"weight"}),
    "sign of db": (lambda dx, dp: (dx, dp | {"bias": -dp["bias"]}), {"bias"}),
    "one element of dx": (lambda dx, dp: (dx.at[1, 2].multiply(1.01), dp), {"input"}),
    "one element of dW": (
        lambda dx, dp: (dx, dp | {"weight": dp["weight"].at[3, 1].add(1e-3)}),
        {"weight"},
    ),
    "no dx": (lambda dx, dp: (0 * dx, dp), {"input"}),
    "not a number": (lambda dx, dp: (dx * jnp.nan, dp), {"input"}),
    "one infinity": (lambda dx, dp: (dx.at[0, 0].set(jnp.inf), dp), {"input"}),
    "examples exchanged": (lambda dx, dp: (dx[::-1], dp), {"input"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_catches_wrong_derivatives(mistake):
    change, wrong = MISTAKES[mistake]
    check = check_layer(broken(change), (4,))
    assert not check.ok
    assert {what for what, error in check.errors.items() if not error <= 1e-6} == wrong
    assert "WRONG" in str(check).splitlines()[0]


BREACHES = {
    "dx transposed": (lambda dx, dp: (dx.T, dp), "dx has shape (4, 3), expected (3, 4)"),
    "dx missing": (lambda dx, dp: (None, dp), "dx is None although"),
    "dW transposed": (lambda dx, dp: (dx, dp | {"weight": dp["weight"].T}), "dparams has shape"),
    "db missing": (lambda dx, dp: (dx, {"weight": dp["weight"]}), "dparams has shape"),
    "dparams a tuple": (lambda dx, dp: (dx, (dp["weight"], dp["bias"])), "dparams has shape"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_catches_wrong_shapes_and_trees(breach):
    change, message = BREACHES[breach]
    check = check_layer(broken(change), (4,))
    assert not check.ok
    assert message in str(check)


def test_catches_a_wrong_output_shape_and_a_changed_state():
    def init(key, in_shape):
        params, state, out_shape = RIGHT.init(key, in_shape)
        return params, state, (*out_shape, 1)

    assert "the output has shape (3, 3)" in str(check_layer(RIGHT._replace(init=init), (4,)))

    def forward(params, state, x, **options):
        y, state, residuals = RIGHT.forward(params, state, x, **options)
        return y, (jnp.zeros(2),), residuals

    assert "the new state" in str(check_layer(RIGHT._replace(forward=forward), (4,)))


def test_passes_what_is_right_and_says_so():
    check = check_layer(serial(dense(5), relu(), dense(2)), (4,))
    assert check.ok
    assert set(check.errors) == {"input", "0.weight", "0.bias", "2.weight", "2.bias"}
    assert all(error <= 1e-6 for error in check.errors.values())
    assert str(check).startswith("serial: ok\n")
    assert "d 0.weight" in str(check)


def test_gradients_that_are_zero_agree():
    layer = stateless(
        lambda key, in_shape: ({"unused": jnp.ones(3)}, in_shape),
        lambda params, x: (x, ()),
        lambda params, residuals, dy: (dy, {"unused": jnp.zeros(3)}),
        "ignores its parameter",
    )
    assert check_layer(layer, (2,)).ok


def test_integer_inputs_are_not_varied():
    table = stateless(
        lambda key, in_shape: ({"weight": jnp.ones((5, 2))}, (*in_shape, 2)),
        lambda params, x: (params["weight"][x], x),
        lambda params, x, dy: (None, {"weight": jnp.zeros((5, 2)).at[x].add(dy)}),
        "embedding",
    )
    check = check_layer(table, (3,), inputs=np.array([[0, 1, 4], [4, 4, 2]]))
    assert check.ok
    assert set(check.errors) == {"weight"}


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least one axis"):
        check_layer(RIGHT, ())
