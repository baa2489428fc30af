"""The drawing of a network shows its numbers: activations, weights, probabilities."""

import jax
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure

from jaxnn import layers, losses, serial, shortcut, trace
from jaxnn.plots import Column, columns, network_drawing


def mlp() -> list[Column]:
    rng = np.random.default_rng(0)
    x, w1, w2 = rng.normal(size=12), rng.normal(size=(12, 40)), rng.normal(size=(40, 3))
    hidden = np.maximum(x @ w1, 0)
    return [
        Column("input", x),
        Column("dense 40, relu", hidden, w1),
        Column("dense 3", hidden @ w2, w2),
    ]


def of_kind(picture: Figure, kind: type) -> list:  # type: ignore[type-arg]
    return [c for c in picture.axes[0].collections if isinstance(c, kind)]


OUTPUTS = np.array([0.1, 0.7, 0.2])
NAMES = ["cat", "dog", "a $ x $"]


def test_neurons_carry_the_activations() -> None:
    picture = network_drawing(mlp(), OUTPUTS, NAMES)
    picture.draw_without_rendering()
    neurons = of_kind(picture, EllipseCollection)
    for drawn, column in zip(neurons, mlp(), strict=True):
        np.testing.assert_array_equal(drawn.get_array(), column.values)
        assert len(np.unique(drawn.get_offsets(), axis=0)) == len(column.values)


@pytest.mark.parametrize("contributions", [True, False])
def test_edges_are_the_strongest_and_join_the_right_neurons(contributions: bool) -> None:
    most = 50
    picture = network_drawing(mlp(), OUTPUTS, NAMES, contributions=contributions, most_edges=most)
    neurons = [drawn.get_offsets() for drawn in of_kind(picture, EllipseCollection)]
    gaps = of_kind(picture, LineCollection)
    for k, (before, after) in enumerate(zip(mlp(), mlp()[1:], strict=False)):
        assert after.weight is not None
        strengths = after.weight * before.values[:, None] if contributions else after.weight
        values = np.asarray(gaps[k].get_array())
        expected = np.sort(np.abs(strengths.ravel()))[-most:]
        np.testing.assert_allclose(np.sort(np.abs(values)), expected)
        assert (np.diff(np.abs(values)) >= 0).all()  # the strongest lie on top
        for (start, end), value in zip(gaps[k].get_segments(), values, strict=True):
            i = np.abs(neurons[k] - start).sum(1).argmin()
            j = np.abs(neurons[k + 1] - end).sum(1).argmin()
            assert strengths[i, j] == value
    texts = {text.get_text() for text in picture.axes[0].texts}
    assert {"50 of\n480", "50 of\n120", "dense 40\nrelu"} <= texts


def test_classes_are_listed_with_their_probabilities() -> None:
    picture = network_drawing(mlp(), OUTPUTS, NAMES, target=0, heading="$1")
    picture.draw_without_rendering()
    texts = {text.get_text(): text for text in picture.axes[0].texts}
    assert {"cat ✓", "dog", "a $ x $", "10.0 %", "70.0 %", "20.0 %"} <= texts.keys()
    assert texts["dog"].get_fontweight() == "bold"
    assert texts["cat ✓"].get_fontweight() == "normal"
    bars = picture.axes[0].patches
    lengths = np.array([bar.get_width() for bar in bars]).reshape(3, 2)
    np.testing.assert_allclose(lengths[:, 1] / lengths[:, 0], OUTPUTS)


def test_an_image_takes_the_place_of_the_inputs_and_edges_start_at_its_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(4, 3, 1)
    picture = network_drawing(mlp(), OUTPUTS, NAMES, image=image, limits=(0, 11))
    picture.draw_without_rendering()
    drawn = picture.axes[0].images[0]
    np.testing.assert_allclose(np.asarray(drawn.get_array()) * 11, image[..., 0], atol=1e-5)
    assert len(of_kind(picture, EllipseCollection)) == 2
    left, right, bottom, top = drawn.get_extent()
    strengths = mlp()[1].weight * mlp()[0].values[:, None]  # type: ignore[operator]
    edges = of_kind(picture, LineCollection)[0]
    for (start, _), value in zip(edges.get_segments(), edges.get_array(), strict=True):
        column = int((start[0] - left) / (right - left) * 3)
        row = int((top - start[1]) / (top - bottom) * 4)
        assert value in strengths[row * 3 + column]


def test_outputs_that_are_no_probabilities_are_shown_as_they_are() -> None:
    picture = network_drawing(mlp(), np.array([-1.5, 2.0, 0.0]), NAMES)
    picture.draw_without_rendering()
    assert {"-1.50", "2.00", "0.00"} <= {text.get_text() for text in picture.axes[0].texts}


def test_of_very_many_classes_the_most_probable_are_listed() -> None:
    rng = np.random.default_rng(0)
    last = Column("dense 1000", rng.normal(size=1000), rng.normal(size=(12, 1000)))
    outputs = rng.dirichlet(np.ones(1000))
    names = [f"class {k}" for k in range(1000)]
    picture = network_drawing([mlp()[0], last], outputs, names)
    picture.draw_without_rendering()
    listed = [t.get_text() for t in picture.axes[0].texts if t.get_text().startswith("class")]
    assert 10 <= len(listed) <= 40
    assert listed == [names[k] for k in np.argsort(-outputs)[: len(listed)]]


def test_of_many_neurons_the_strongest_are_drawn_with_edges_between_them() -> None:
    rng = np.random.default_rng(0)
    x, w1, w2 = rng.normal(size=12), rng.normal(size=(12, 90)), rng.normal(size=(90, 3))
    hidden = x @ w1
    drawn = [Column("input", x), Column("dense 90", hidden, w1), Column("dense 3", hidden @ w2, w2)]
    picture = network_drawing(drawn, OUTPUTS, NAMES)
    shown = of_kind(picture, EllipseCollection)[1]
    strongest = np.sort(np.argsort(-np.abs(hidden))[:40])
    np.testing.assert_array_equal(shown.get_array(), hidden[strongest])
    edges = of_kind(picture, LineCollection)[1]
    assert len(edges.get_segments()) == 40 * 3
    assert "dense 90\n40 of 90" in {text.get_text() for text in picture.axes[0].texts}


def test_names_that_begin_alike_are_told_apart() -> None:
    names = [f"one and the same long beginning of {k}" for k in ("a cat", "a dog", "an ant")]
    picture = network_drawing(mlp(), OUTPUTS, names)
    texts = " ".join(text.get_text() for text in picture.axes[0].texts)
    assert all(name in texts for name in ("a cat", "a dog", "an ant"))


def test_columns_are_those_of_the_trace() -> None:
    net = serial(
        layers.flatten(),
        layers.dropout(0.5),
        serial(layers.dense(5), layers.sigmoid()),
        layers.dense(3),
    )
    params, state, _ = net.init(jax.random.key(0), (2, 2, 1))
    inputs = np.random.default_rng(0).normal(size=(4, 2, 2, 1)).astype(np.float32)
    targets = np.zeros(4, np.int32)
    record = trace(net, losses.softmax_cross_entropy, params, state, inputs, targets)
    first, hidden, last = columns(net, params, record, example=2)
    assert [c.name for c in (first, hidden, last)] == ["input", "dense 5, sigmoid", "dense 3"]
    np.testing.assert_array_equal(first.values, inputs[2].ravel())
    weight, bias = (np.asarray(params[2][0][k]) for k in ("weight", "bias"))
    expected = 1 / (1 + np.exp(-(first.values @ weight + bias)))
    np.testing.assert_allclose(hidden.values, expected, rtol=1e-5)
    assert hidden.weight is not None
    np.testing.assert_array_equal(hidden.weight, weight)
    outputs, _, _ = net.forward(params, state, inputs)
    np.testing.assert_allclose(last.values, outputs[2], rtol=1e-5)


def test_layers_of_other_kinds_are_columns_without_edges() -> None:
    net = serial(layers.layer_norm(), layers.flatten(), layers.dense(3))
    params, state, _ = net.init(jax.random.key(0), (2, 2))
    inputs = np.random.default_rng(0).normal(size=(1, 2, 2)).astype(np.float32)
    targets = np.zeros(1, np.int32)
    record = trace(net, losses.softmax_cross_entropy, params, state, inputs, targets)
    drawn = columns(net, params, record)
    assert [c.name for c in drawn] == ["input", "layer_norm", "dense 3"]
    assert drawn[1].weight is None
    network_drawing(drawn, OUTPUTS, NAMES).draw_without_rendering()


def convolutional() -> tuple[list[Column], np.ndarray]:
    """A small network's columns, and the weight of its dense layer."""
    net = serial(
        layers.conv2d(3, padding="VALID"),
        layers.batch_norm(),
        layers.relu(),
        shortcut(layers.conv2d(3)),
        layers.max_pool(),
        layers.flatten(),
        layers.dropout(0.5),
        layers.dense(3),
    )
    params, state, _ = net.init(jax.random.key(0), (10, 8, 1))
    inputs = np.random.default_rng(0).normal(size=(2, 10, 8, 1)).astype(np.float32)
    record = trace(net, losses.softmax_cross_entropy, params, state, inputs, np.zeros(2, np.int32))
    drawn = columns(net, params, record, example=1)
    outputs = {layer.path: np.asarray(layer.output[1]) for layer in record.layers}
    np.testing.assert_array_equal(drawn[1].values, outputs[2,])
    np.testing.assert_array_equal(drawn[2].values, outputs[4,])
    return drawn, np.asarray(params[-1]["weight"])


@pytest.mark.long
def test_what_follows_a_layer_with_weights_belongs_to_its_column() -> None:
    drawn, _ = convolutional()
    names = ["input", "conv2d 3, batch_norm, relu", "shortcut 3, max_pool", "dense 3"]
    assert [c.name for c in drawn] == names
    assert [c.values.shape for c in drawn] == [(80,), (8, 6, 3), (4, 3, 3), (3,)]
    assert [c.weight is None for c in drawn] == [True, True, True, False]


def test_feature_maps_are_drawn_and_edges_start_at_their_pixels() -> None:
    drawn, weight = convolutional()
    image = np.zeros((10, 8, 1), np.uint8)
    picture = network_drawing(drawn, OUTPUTS, NAMES, image=image, most_edges=20)
    picture.draw_without_rendering()
    maps = [shown for shown in picture.axes[0].images if shown.get_cmap().name == "signed"][:-1]
    expected = [c.values[..., k] for c in drawn[1:3] for k in range(3)]
    for shown, values in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(shown.get_array()), values)
        left, right, bottom, top = shown.get_extent()
        # Pixels are square.
        assert (right - left) / values.shape[1] == pytest.approx((top - bottom) / len(values))
    (edges,) = of_kind(picture, LineCollection)
    strengths = weight * drawn[2].values.reshape(-1, 1)
    assert len(edges.get_segments()) == 20
    for (start, _), value in zip(edges.get_segments(), edges.get_array(), strict=True):
        where = np.flatnonzero((strengths == value).any(1))
        row, column, k = np.unravel_index(where[0], (4, 3, 3))
        left, right, bottom, top = maps[3 + k].get_extent()
        assert int((start[0] - left) / (right - left) * 3) == column
        assert int((top - start[1]) / (top - bottom) * 4) == row
    texts = {text.get_text() for text in picture.axes[0].texts}
    assert {"conv2d 3\nbatch_norm\nrelu\n8 × 6", "20 of\n108"} <= texts


def test_of_very_many_maps_the_strongest_are_drawn() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 2, 100)) * np.where(np.arange(100) % 5, 1, 10)
    last = Column("dense 3", rng.normal(size=3), rng.normal(size=(400, 3)))
    first = Column("input", rng.normal(size=4))
    picture = network_drawing([first, Column("conv2d 100", values), last], OUTPUTS, NAMES)
    picture.draw_without_rendering()
    maps = [shown for shown in picture.axes[0].images if shown.get_cmap().name == "signed"][:-1]
    assert len(maps) == 24
    shown = {np.asarray(m.get_array()).tobytes() for m in maps}
    assert sum(values[..., k].copy().tobytes() in shown for k in range(0, 100, 5)) == 20
    assert "conv2d 100\n2 × 2\n24 of 100 maps" in {t.get_text() for t in picture.axes[0].texts}
    (edges,) = of_kind(picture, LineCollection)
    assert np.isfinite(np.asarray(edges.get_segments())).all()
