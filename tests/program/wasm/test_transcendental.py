"""The functions' errors, in units of the last place, against float64."""

import numpy as np
import pytest
from scipy import special
from webassembly import Machine

from jaxnn.program import Operation, Program, Value
from jaxnn.program.wasm import compile_module
from jaxnn.program.wasm.transcendental import TRANSCENDENTAL

ULPS = 1.5
"""What is promised is 4."""

REFERENCE = {
    "atan2": np.arctan2,
    "cos": np.cos,
    "erf": special.erf,
    "erf_inv": special.erfinv,
    "erfc": special.erfc,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "logistic": special.expit,
    "pow": np.power,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
EDGES = np.array(
    [
        *(0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e-45, -1e-45, 1.1754942e-38, -1e-40, 3.4e38),
        *(-3.4e38, 0.5, -0.5, 2, -2, 3, -3, 1e-4, -1e-4, 1e-3, 88.7, 89, -87.3, -88, -103.9, -104),
        *(128, -149, -150, 10.05, 1e6, 2**20, -(2.0**20), 1e9, -1e30, 1 - 2.0**-24, 2.0**-24 - 1),
    ],
    np.float32,
)
COUNT = 20000


def _arguments(kind):
    """Numbers of every size and sign, ordinary ones, and the edges, each with each."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (2, COUNT), dtype=np.uint32).view(np.float32)
    ordinary = rng.uniform(-10, 10, (2, COUNT)).astype(np.float32)
    small = np.stack([rng.uniform(-1, 1, COUNT), rng.uniform(-30, 30, COUNT)]).astype(np.float32)
    if kind in ("log", "log1p", "pow", "rsqrt", "sqrt"):
        ordinary[0] = np.abs(ordinary[0])
    n = len(EDGES)
    edges = np.stack([np.repeat(EDGES, n), np.tile(EDGES, n)])
    return np.concatenate([bits, ordinary, small, edges], 1)


def _errors(found, exact):
    """In units of the last place; infinite where one is NaN or infinite and the other is not."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        error = np.abs(found.astype(np.float64) - exact) / np.spacing(np.abs(rounded))
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    return np.where(
        same, np.minimum(np.nan_to_num(error, nan=0), 0.5), np.nan_to_num(error, nan=np.inf)
    )


@pytest.fixture(scope="module")
def machine():
    size = _arguments("exp").shape[1]
    a, b, y = (Value(i, (size,), "float32") for i in range(3))
    programs = {}
    for kind in REFERENCE:
        inputs = (a, b) if kind in ("atan2", "pow") else (a,)
        operation = Operation(kind, inputs, (y,), {}, "")
        programs[kind] = Program(inputs, (y,), (operation,), {}, ("a", "b")[: len(inputs)], ("y",))
    return Machine(compile_module(programs))


def test_every_function_is_looked_at():
    assert set(REFERENCE) == {*TRANSCENDENTAL, "rsqrt", "sqrt"}


@pytest.mark.parametrize("kind", REFERENCE)
def test_errors(machine, kind):
    inputs = _arguments(kind)[: 2 if kind in ("atan2", "pow") else 1]
    (found,) = machine.run(kind, *inputs)
    with np.errstate(all="ignore"):
        exact = REFERENCE[kind](*inputs.astype(np.float64))
    errors = _errors(found, exact)
    worst = errors.argmax()
    assert errors[worst] <= ULPS, (inputs[:, worst], found[worst], exact[worst])
    zeros = (found == 0) & (exact == 0)
    if kind != "erf_inv":  # of which SciPy's at -0 is 0
        np.testing.assert_array_equal(np.signbit(found[zeros]), np.signbit(exact[zeros]))
