"""Named networks: what the papers say of their sizes, and their derivatives."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, assert_derivatives

from jaxnn import config, models
from jaxnn.arrays import Tree
from jaxnn.config import parse_config
from jaxnn.network import describe, summary

DIGIT = (28, 28, 1)
PHOTOGRAPH = (32, 32, 3)

# Each network, what it is for, how many outputs it has, and its size as derived by hand.
NETWORKS = {
    # C1 156, C3 2,416 (of full connection), C5 48,120, F6 10,164 and 850.
    "lenet5": (models.lenet5(), DIGIT, 10, 61_706),
    # 20 (5² + 1), then 12² · 20 inputs.
    "nielsen, one": (models.nielsen_chapter6([20]), DIGIT, 10, 520 + 288_100 + 1_010),
    # 40 (20 · 5² + 1), then 4² · 40 inputs.
    "nielsen, two": (models.nielsen_chapter6(), DIGIT, 10, 520 + 20_040 + 64_100 + 1_010),
    "nielsen, last": (
        models.nielsen_chapter6(units=[1000, 1000], activation="relu", dropout_rate=0.5),
        *(DIGIT, 10, 520 + 20_040 + 641_000 + 1_001_000 + 10_010),
    ),
    "bird_cnn": (models.bird_cnn(), PHOTOGRAPH, 2, 896 + 18_496 + 73_856 + 524_544 + 514),
    # 5² · 16, 3² · 16 · 32, 3² · 32 · 64; scales and biases; 4² · 64 inputs.
    "fast_mnist": (models.fast_mnist(), DIGIT, 10, 400 + 4_608 + 18_432 + 2 * 112 + 10_250),
    # A bias for each of 24 filters; 3² · 24 · 64 and so on; biases without scales; 256 inputs.
    "airbench": (
        models.airbench(),
        *(PHOTOGRAPH, 10),
        24 + 9 * (24 * 64 + 64**2 + 64 * 256 + 3 * 256**2) + 2 * 576 + 2_560,
    ),
    # The paper says 0.27 million. 3² · 3 · 16; six convolutions a stage, the first of which has
    # half the channels to see; a scale and a bias for each of the 7 · 16 + 6 · 32 + 6 · 64.
    "resnet20": (
        models.resnet20(),
        *(PHOTOGRAPH, 10),
        *(432 + 6 * 2_304 + (4_608 + 5 * 9_216) + (18_432 + 5 * 36_864) + 2 * 688 + 650,),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_those_of_the_papers(name: str) -> None:
    network, in_shape, classes, parameters = NETWORKS[name]
    root = describe(network, in_shape)[0]
    assert root.out_shape == (classes,)
    assert root.parameters == parameters
    assert f"{parameters:,}" in summary(network, in_shape).splitlines()[-1]


def test_lenet5_has_the_sizes_of_the_paper_where_nothing_was_simplified() -> None:
    sizes = [row.parameters for row in describe(models.lenet5(), DIGIT) if row.parameters][1:]
    c1, _, c5, f6, _ = sizes
    assert (c1, c5, f6) == (156, 48_120, 10_164)  # the paper's section II.B


def test_resnet20_is_20_layers_deep_and_halves_the_image_twice() -> None:
    rows = describe(models.resnet20(), PHOTOGRAPH)
    assert sum(row.name in ("conv2d", "dense") for row in rows) == 20
    shapes = list(dict.fromkeys(row.out_shape for row in rows if row.name == "conv2d"))
    assert shapes == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]


TINY = {
    "lenet5": (models.lenet5(3), (12, 12, 1)),
    "nielsen_chapter6": (
        models.nielsen_chapter6([2, 3], units=[4, 5], dropout_rate=0.5, classes=3),
        (16, 17, 1),
    ),
    "fast_mnist": (models.fast_mnist(3), (14, 11, 1)),
    "bird_cnn": (models.bird_cnn(3), (8, 9, 3)),
    "airbench": (models.airbench(3, channels=[3, 4, 5]), (25, 26, 1)),
    "resnet20": (models.resnet20(3), (5, 4, 3)),
}


SECONDS = ("nielsen_chapter6", "fast_mnist", "bird_cnn", "airbench", "resnet20")  # to compile


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name in SECONDS)) for name in TINY]
)
def test_derivatives(name: str) -> None:
    """By autodiff alone: differences may step over one of the many corners of relu."""
    network, in_shape = TINY[name]
    with jax.enable_x64(True):
        random = np.random.default_rng(0)
        # Drawn here: it is quicker, and no layer is of zeros, which no gradient passes.
        like = jax.eval_shape(lambda key: network.init(key, in_shape)[:2], jax.random.key(0))
        params, state = jax.tree.map(lambda p: 0.5 * random.standard_normal(p.shape), like)
        state = jax.tree.map(np.abs, state)  # as variances are, and whether whiten has seen a batch
        x = random.standard_normal((3, *in_shape))
        dy = random.standard_normal((3, 3))

        def both(params: Tree, x: jax.Array, dy: jax.Array) -> tuple[Tree, Tree]:
            def forward(params: Tree, x: jax.Array) -> tuple[jax.Array, Tree]:
                key = jax.random.key(1)
                y, _, residuals = network.forward(params, state, x, train=True, key=key)
                return y, residuals

            _, pullback, residuals = jax.vjp(forward, params, x, has_aux=True)
            return network.backward(params, residuals, dy), pullback(dy)[::-1]

        program = jax.jit(both).lower(params, x, dy)
        quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        by_hand, by_autodiff = program.compile(quick)(params, x, dy)
        assert all(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(by_autodiff))
        assert_close(by_hand, by_autodiff, 1e-10)


@pytest.mark.parametrize("in_shape", [(4, 6, 2), (5, 3, 1)])
def test_a_stage_begins_with_every_other_pixel(in_shape: tuple[int, int, int]) -> None:
    layer = models._every_other(5)
    assert_derivatives(layer, in_shape)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *in_shape)), jnp.float32)
    y, _, _ = layer.forward((), (), x)
    assert y.shape == (2, *layer.init(jax.random.key(0), in_shape)[2])
    np.testing.assert_array_equal(y[..., : in_shape[2]], x[:, ::2, ::2])
    assert not y[..., in_shape[2] :].any()


def test_all_of_them_are_here_and_can_be_named_in_a_config() -> None:
    functions = dict(inspect.getmembers(models, inspect.isfunction))
    named = {n for n, f in functions.items() if f.__module__ == models.__name__ and n[0] != "_"}
    assert named == set(TINY)
    assert named <= set(config.LAYERS)


def test_a_config_names_a_network_whole_or_as_a_part() -> None:
    minimal = {"data": "digits", "optimizer": {"sgd": 0.1}}
    whole = parse_config({**minimal, "model": {"resnet20": {"classes": 7}}}).model.build("model")
    assert describe(whole, PHOTOGRAPH)[0].out_shape == (7,)
    part = parse_config({**minimal, "model": [{"lenet5": 6}, "relu"]}).model.build("model")
    assert [layer.name for layer in part.layers] == ["serial", "relu"]
    two = parse_config({**minimal, "model": "nielsen_chapter6"})
    assert describe(two.model.build("model"), DIGIT)[0].parameters == 85_670
    written_out = {"nielsen_chapter6": {"maps": [20, 40], "units": [100]}}
    assert parse_config({**minimal, "model": written_out}) == two
