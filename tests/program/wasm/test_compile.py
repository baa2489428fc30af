"""Entries, what stays between them, and what may not happen."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from webassembly import Machine

from jaxnn.errors import ProgramError
from jaxnn.program import make_program
from jaxnn.program.wasm import compile_module
from jaxnn.program.wasm.memory import Storage, new_view, plan

W, X = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4, 2), np.float32)


def _step(params, x, rate):
    w = params["w"]
    y = x @ w
    return {"params": {"w": w - rate * (x.T @ y)}, "before": w, "y": y}


def _look(params):
    return params["w"] * 2


@pytest.fixture(scope="module")
def module():
    rate = np.float32(0.1)
    programs = {
        "step": make_program(_step, {"w": W}, X, rate),
        "look": make_program(_look, {"w": W}),
    }
    return compile_module(programs, {"params"})


def test_what_stays_is_changed_in_place(module):
    machine = Machine(module)
    machine.write(machine.arrays["params.w"], W)
    expected = W
    for _ in range(3):
        before = expected
        expected = before - np.float32(0.1) * (X.T @ (X @ before))
        found = dict(
            zip(
                (array["name"] for array in module.layout["entries"]["step"]["outputs"]),
                machine.run("step", X, np.float32(0.1)),
                strict=True,
            )
        )
        np.testing.assert_allclose(found["params.w"], expected, rtol=1e-5)
        np.testing.assert_allclose(found["before"], before, rtol=1e-5)
        np.testing.assert_allclose(machine.run("look")[0], 2 * expected, rtol=1e-5)


def test_layout(module):
    assert json.loads(json.dumps(module.layout)) == module.layout
    step = module.layout["entries"]["step"]
    assert [array["name"] for array in step["inputs"]] == ["params.w", "x", "rate"]
    assert step["inputs"][0] == module.layout["arrays"][0]
    assert [array for array in step["outputs"] if array["name"] == "params.w"] == [
        module.layout["arrays"][0]
    ]


def test_arrays_that_change_places():
    def swap(a, b, c):
        return {"a": b, "b": a, "c": c.T}

    c = np.arange(9, dtype=np.float32).reshape(3, 3)
    machine = Machine(compile_module({"swap": make_program(swap, W, X[:3].T, c)}, {"a", "b", "c"}))
    machine.stay(a=W, b=X[:3].T, c=c)
    # a and b have the same shape.
    machine.run("swap")
    np.testing.assert_array_equal(machine.read(machine.arrays["a"]), X[:3].T)
    np.testing.assert_array_equal(machine.read(machine.arrays["b"]), W)
    np.testing.assert_array_equal(machine.read(machine.arrays["c"]), c.T)


def test_an_entry_can_begin_what_stays():
    def init(seed):
        key = jax.random.key(seed)
        return {"params": {"w": jax.random.normal(key, (2, 3))}, "key": jax.random.key_data(key)}

    programs = {
        "init": make_program(init, np.uint32(0)),
        "look": make_program(_look, {"w": W}),
    }
    machine = Machine(compile_module(programs, {"params"}))
    machine.run("init", np.uint32(5))
    expected = 2 * jax.random.normal(jax.random.key(5), (2, 3))
    np.testing.assert_allclose(machine.run("look")[0], expected, rtol=1e-5)


def test_what_stays_is_alike_in_all_entries():
    programs = {
        "a": make_program(_look, {"w": W}),
        "b": make_program(_look, {"w": W[:1]}),
    }
    with pytest.raises(ProgramError, match=r"params\.w .* float32\[2, 3\] .* float32\[1, 3\]"):
        compile_module(programs, {"params"})


def test_errors_name_the_operation_and_where_it_is():
    def of_halves(x):
        return lax.bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16)

    def of_integers(x):
        return x.astype(jnp.int32) @ x.astype(jnp.int32).T

    def of_bytes(x):
        return x.astype(jnp.int8) + 1

    def of_places(x):
        return jnp.zeros(9, jnp.uint8).at[x[0].astype(jnp.int32)].add(jnp.uint8(1))

    for function, message in (
        (of_places, "put that adds uint8 is not covered .*of_places.* int32"),
        (of_halves, "bitcast of floats of 16 bits is not covered .*test_compile.py"),
        (of_integers, "dot of int32 is not covered .*of_integers.* float32"),
        (of_bytes, "convert of type int8 is not covered .*of_bytes.* int32"),
    ):
        with pytest.raises(ProgramError, match=message):
            compile_module({"main": make_program(function, X)})


def test_no_index_leads_out_of_memory():
    """Whatever the numbers: nothing traps, and nothing is written outside of the arrays."""

    def entry(table, i, n, x):
        rows = table[i]
        put = table.at[i].add(rows)
        part = lax.dynamic_slice(table, (n, n), (2, 2))
        whole = lax.dynamic_update_slice(table, part, (n * 7, -n))
        order = jnp.argsort(x)
        division = (i // n, i % n, lax.shift_left(i, n), x.astype(jnp.int32) // i)
        return rows, put, part, whole, jnp.cumsum(x)[order], division, x.astype(jnp.uint8)

    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    i, n, x = np.zeros(5, np.int32), np.int32(0), np.zeros(5, np.float32)
    program = make_program(entry, table, i, n, x)
    module = compile_module({"main": program}, {"table"})
    machine = Machine(module)
    machine.stay(table=table)
    rng = np.random.default_rng(0)
    extremes = np.array([0, -1, 1, 3, 4, 2**31 - 1, -(2**31), 2**30], np.int32)
    numbers = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-45], np.float32)
    for _ in range(50):
        machine.run("main", rng.choice(extremes, 5), rng.choice(extremes), rng.choice(numbers, 5))
        np.testing.assert_array_equal(machine.read(machine.arrays["table"]), table)


def test_arrays_used_at_the_same_time_lie_apart():
    rng = np.random.default_rng(0)
    storages = []
    for _ in range(60):
        storage = Storage(int(rng.integers(1, 5000)))
        for moment in rng.integers(0, 30, 2):
            storage.use(int(moment))
        storages.append(storage)
    end = plan(storages, 128)
    for i, a in enumerate(storages):
        assert 128 <= a.place <= end - a.bytes - 16
        assert a.place % 64 == 0
        for b in storages[:i]:
            together = a.first <= b.last and b.first <= a.last
            apart = a.place + a.bytes + 16 <= b.place or b.place + b.bytes + 16 <= a.place
            assert apart or not together
    assert end < sum(storage.bytes for storage in storages)


def test_views():
    x = np.arange(60).reshape(3, 4, 5)
    view = new_view("int32", x.shape)

    def seen(view):
        strides = [4 * n for n in view.strides]
        return np.lib.stride_tricks.as_strided(
            x.astype(np.int32).ravel()[view.offset :], view.shape, strides
        )

    for changed, expected in (
        (view.transpose((2, 0, 1)), x.transpose(2, 0, 1)),
        (view.slice((1, 0, 1), (2, 2, 2), (1, 2, 2)), x[1:, ::2, 1:5:2]),
        (view.slice((1, 0, 0), (2, 4, 5), (1, 1, 1)).reshape((2, 20)), x[1:].reshape(2, 20)),
        (view.reshape((6, 1, 2, 5)), x.reshape(6, 1, 2, 5)),
        (view.slice((0, 1, 0), (3, 1, 5), (1, 1, 1)).reshape((3, 5)), x[:, 1]),
    ):
        np.testing.assert_array_equal(seen(changed), expected)
    assert view.transpose((1, 0, 2)).reshape((12, 5)) is None
    order = new_view("int32", (3, 4, 5), (2, 0, 1))
    assert order.strides == (4, 1, 12)
