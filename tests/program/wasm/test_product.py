"""Products of many shapes, each a path of its own through the blocks."""

import numpy as np
import pytest
import wasmtime
from webassembly import ENGINE

from jaxnn.program.wasm.encoding import Module
from jaxnn.program.wasm.product import Axis, Product, merged, write_product

# Rows, terms, columns, and whether a and b are transposed.
SHAPES = (
    *(
        (64, 37, 24, 0, 0),
        (37, 20, 17, 1, 0),
        (18, 33, 30, 0, 1),
        (12, 9, 10, 1, 1),
        (1, 70, 41, 0, 0),
    ),
    *((2, 50, 70, 0, 0), (3, 7, 5, 1, 0), (7, 40, 11, 1, 1), (13, 33, 1, 0, 0), (1, 1, 1, 0, 0)),
    *((9, 1031, 3, 0, 1), (5, 1300, 9, 1, 0), (1, 600, 9, 0, 0), (40, 3, 4, 0, 0), (6, 5, 2, 0, 0)),
)
A, B, C, SCRATCH, END = 64, 1 << 17, 1 << 18, 3 << 17, 1 << 19


def _product(m, k, n, turned_a, turned_b):
    return Product(
        rows=(Axis(m, a=1 if turned_a else k, c=n),),
        terms=(Axis(k, a=m if turned_a else 1, b=1 if turned_b else n),),
        columns=Axis(n, b=k if turned_b else 1, c=1),
    )


@pytest.mark.parametrize("relaxed", [False, True])
def test_shapes(relaxed):
    module = Module()
    module.pages = END >> 16
    for shape in SHAPES:
        function = write_product(module, _product(*shape), relaxed)
        caller = module.function(["i32"] * 4, export=str(shape))
        caller.call(function, *caller.parameters)
    store = wasmtime.Store(ENGINE)
    exports = wasmtime.Instance(store, wasmtime.Module(ENGINE, module.encode()), []).exports(store)
    memory = exports["memory"]
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        m, k, n, turned_a, turned_b = shape
        a, b = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
        memory.write(store, (a.T if turned_a else a).tobytes(), A)
        memory.write(store, (b.T if turned_b else b).tobytes(), B)
        memory.write(store, np.full(m * n + 8, 7, np.float32).tobytes(), C)
        exports[str(shape)](store, A, B, C, SCRATCH)
        content = bytes(memory.read(store, C, C + 4 * (m * n + 8)))
        found = np.frombuffer(content, np.float32)
        exact = a.astype(np.float64) @ b
        # Of random signs, an error grows with the root of the number of terms.
        bound = 3e-7 * np.sqrt(k) * (np.abs(a).max() * np.abs(b).max())
        np.testing.assert_allclose(found[: m * n].reshape(m, n), exact, rtol=0, atol=bound)
        assert np.all(found[m * n :] == 7), f"{shape} wrote behind its output"


def test_axes_that_continue_each_other_are_one():
    assert merged([Axis(4, 35, 7), Axis(1, 9, 9), Axis(5, 7, 7)]) == (Axis(4, 35, 7), Axis(5, 7, 7))
    assert merged([Axis(4, 35, 35), Axis(5, 7, 7)]) == (Axis(20, 7, 7),)
    assert merged([]) == (Axis(1),)
