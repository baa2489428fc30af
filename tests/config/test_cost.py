"""What an experiment costs, by its config, its shapes and its programs."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxnn.config import Config, build, cost, parse_config


def config(**changes: Any) -> Config:
    values: dict[str, Any] = {
        "data": "digits",
        "model": ["flatten", {"dense": 12}, "relu", {"dense": 10}],
        "optimizer": {"adam": 0.01},
        "training": {"batch_size": 32},
    }
    return parse_config(values | changes)


def test_what_is_written_is_counted() -> None:
    block = {"shortcut": {"layer": ["relu", {"conv2d": {"units": 1, "size": [5, 3]}}]}}
    pooled = {"max_pool": {"size": 2, "padding": [[1, 7], [0, 0]]}}
    optimizer = {"accumulate": {"steps": 2, "optimizer": {"chain": [{"muon": 0.1}, {"sgd": 0.1}]}}}
    found = cost.written(config(model=[block, pooled, "flatten"], optimizer=optimizer))
    assert found == {
        "layers, those within layers too": 7,
        "layers within each other": 4,
        "optimizers": 4,
        "optimizers within each other": 3,
        "places of windows": 5 + 15 + 4,  # those without windows see one place each
        "rows of padding": 7,
        "steps of muon": 5,
    }


def test_what_is_shaped_is_counted() -> None:
    parameters = 64 * 12 + 12 + 12 * 10 + 10
    assert cost.shaped(build(config())) == {
        "layers": 4,
        "parameters": parameters,
        "numbers of the optimizer's state": 2 * parameters + 5,
        "numbers computed a step": 32 * (64 + 12 + 12 + 10 + 10),  # the whole network's too
    }


def test_arithmetic_is_that_of_the_products() -> None:
    small, large = (
        cost.traced(build(config(training={"batch_size": size})))["additions and products a step"]
        for size in (100, 1100)
    )
    # Forward and both gradients, but for that of the input, which nobody uses.
    products = 2 * 3 * (64 * 12 + 12 * 10) - 2 * 64 * 12
    assert (large - small) / 1000 == pytest.approx(products, rel=0.2)  # and what is elementwise


def test_work_is_what_results_need() -> None:
    def function(x: jax.Array, kernel: jax.Array) -> jax.Array:
        _ = x @ x  # unused
        return jax.lax.scan(lambda c, _: (c @ x, None), x, length=5)[0] + kernel.sum()

    program = jax.make_jaxpr(function)(jnp.ones((3, 3)), jnp.ones(4))
    products = [one for one in cost.work(program.jaxpr) if one.product]
    assert products == [(True, 2 * 3**3, 5)]
    image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
    convolution = jax.make_jaxpr(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )(image, kernel)
    assert cost.work(convolution.jaxpr) == [(True, 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3), 1)]


def test_loops_of_the_program_count_as_often_as_they_turn() -> None:
    def arithmetic(steps: int) -> int:
        optimizer = {"muon": {"learning_rate": 0.1, "steps": steps}}
        experiment = build(config(optimizer=optimizer))
        return cost.traced(experiment)["additions and products a step"]

    none, few, many = map(arithmetic, (0, 10, 1000))
    assert many - none == pytest.approx(100 * (few - none))


def test_bytes_are_those_alive_at_once() -> None:
    def one_after_the_other(x: jax.Array) -> jax.Array:
        for _ in range(10):
            x = jnp.sin(x)
        return x

    def all_together(x: jax.Array) -> jax.Array:
        return sum([jnp.sin(x + i) for i in range(10)][::-1], x)

    kilobyte = jax.ShapeDtypeStruct((250,), "float32")
    once, together = (
        cost._bytes_at_a_time(jax.make_jaxpr(function)(kilobyte).jaxpr)
        for function in (one_after_the_other, all_together)
    )
    assert 2000 <= once <= 3000
    assert 11_000 <= together <= 13_000
    looped = jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 9, lambda i, x: all_together(x), x))
    assert 11_000 <= cost._bytes_at_a_time(looped(kilobyte).jaxpr) <= 15_000


def test_few_are_predicted_at_a_time_where_much_is_alive() -> None:
    def most(model: list[Any]) -> int:
        return cost.predicted_at_a_time(build(config(model=model)))

    dense = {"dense": 10}
    window = {"max_pool": {"size": 8, "stride": 1, "padding": "SAME"}}  # 64 places for each number
    channels = {"conv2d": {"units": 128}}
    assert most(["flatten", dense]) == cost.PREDICTED
    assert most(["flatten", {"dense": 1_000_000}, dense]) == cost.PREDICTED // 16
    assert most([channels, "flatten", dense]) == cost.PREDICTED
    assert most([channels, window, "flatten", dense]) < cost.PREDICTED


def test_what_was_allowed_before_is_not_over() -> None:
    found = {"layers": 300, "optimizers": 3}
    assert list(cost.over(found)) == ["300 layers are more than 200"]
    assert list(cost.over(found, {"layers": 300, "optimizers": 1})) == []
    assert list(cost.over(found, {"layers": 250, "optimizers": 1})) == [
        "300 layers are more than 250"
    ]
