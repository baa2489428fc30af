"""Representations: what the layers put out, in the components that scikit-learn finds too."""

import jax
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from sklearn.decomposition import PCA

from jaxnn import dense, dropout, flatten, relu, serial, shortcut, softmax_cross_entropy, trace
from jaxnn.plots import principal_components, representation_maps, representations


@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (30, 4, 4, 3)])
def test_principal_components_are_scikit_learns(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape) * rng.uniform(0.1, 3, shape[1:]) + 5
    points, explained = principal_components(values)
    flat = values.reshape(len(values), -1)
    pca = PCA(2, svd_solver="full")
    expected = pca.fit_transform(flat)
    signs = np.sign((points * expected).sum(0))
    np.testing.assert_allclose(points, expected * signs, atol=1e-9)
    np.testing.assert_allclose(explained, pca.explained_variance_ratio_)


def test_signs_do_not_depend_on_chance() -> None:
    values = np.random.default_rng(0).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 1]
    points, _ = principal_components(values)
    order = np.random.default_rng(1).permutation(50)
    shuffled, _ = principal_components(values[order])
    np.testing.assert_allclose(shuffled, points[order], atol=1e-9)


@pytest.mark.parametrize(
    ("values", "explained"),
    [
        (np.arange(5.0).reshape(5, 1), (1, 0)),
        (np.ones((5, 3)), (0, 0)),
        (np.ones((1, 3)), (0, 0)),
    ],
    ids=["one dimension", "all equal", "one point"],
)
def test_directions_that_are_missing_have_coordinates_0(
    values: np.ndarray, explained: tuple[float, float]
) -> None:
    projection = principal_components(values)
    assert projection.points.shape == (len(values), 2)
    np.testing.assert_allclose(projection.explained, explained)
    assert not projection.points[:, 1].any()


def test_representations_are_what_the_layers_put_out() -> None:
    network = serial(flatten(), dense(6), relu(), dropout(0.5), shortcut(dense(6)), dense(3))
    params, state, _ = network.init(jax.random.key(0), (2, 2, 1))
    x = jax.random.normal(jax.random.key(1), (4, 2, 2, 1))
    record = trace(network, softmax_cross_entropy, params, state, x, np.zeros(4, int))
    found = representations(network, params, record)
    outputs = {layer.path: layer.output for layer in record.layers}
    expected = {"input": x, "1 dense, relu": outputs[2,], "4 shortcut": outputs[4,]}
    expected["5 dense"] = outputs[5,]
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6])
def test_points_are_the_projections_and_names_stand_by_the_medians(layers: int) -> None:
    rng = np.random.default_rng(0)
    layout = {f"{i} dense": rng.normal(size=(60, 3 + i)) for i in range(layers)}
    targets = np.arange(60) % 4
    picture = representation_maps(layout, targets, ["cat", "a $ x $", "2", "3", "never"])
    picture.draw_without_rendering()
    shown = [axes for axes in picture.axes if axes.get_visible()]
    for axes, (name, values) in zip(shown, layout.items(), strict=True):
        points, explained = principal_components(values)
        clouds = [c for c in axes.collections if isinstance(c, PathCollection)]
        for k, cloud in enumerate(clouds):
            np.testing.assert_array_equal(cloud.get_offsets(), points[targets == k])
            center = np.median(points[targets == k], axis=0)
            np.testing.assert_array_equal(axes.texts[k].xy, center)  # type: ignore[attr-defined]
        assert [text.get_text() for text in axes.texts] == ["cat", "a $ x $", "2", "3"]
        assert axes.get_title("left").startswith(name)
        assert axes.get_xlabel() == f"PCA 1: {100 * explained[0]:.0f} % of variance"
        assert axes.get_ylabel() == f"PCA 2: {100 * explained[1]:.0f} % of variance"
    key = [text.get_text() for text in picture.legends[0].get_texts()]
    assert key == ["cat", "a $ x $", "2", "3"]


def test_two_values_are_drawn_in_their_own_columns() -> None:
    values = np.random.default_rng(0).normal(size=(20, 2)) @ [[3.0, 1.0], [0.0, 0.1]]
    layout = {"input": values, "0 dense": values[:, ::-1]}
    picture = representation_maps(layout, np.arange(20) % 2, ["a", "b"], features=["x", "y"])
    for axes, points in zip(picture.axes, layout.values(), strict=True):
        for k in range(2):
            np.testing.assert_array_equal(axes.collections[k].get_offsets(), points[k::2])
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in picture.axes] == [
        ("x", "y"),
        ("value 0", "value 1"),
    ]


def test_no_two_of_many_classes_look_the_same() -> None:
    targets = np.arange(60)
    values = np.random.default_rng(0).normal(size=(60, 3))
    picture = representation_maps({"x": values}, targets, [str(k) for k in targets])
    looks = {
        (tuple(cloud.get_facecolor()[0]), cloud.get_paths()[0].vertices.tobytes())
        for cloud in picture.axes[0].collections
        if isinstance(cloud, PathCollection)
    }
    assert len(looks) == 60


def test_a_long_name_does_not_reach_into_the_next_picture() -> None:
    name = "0 conv2d, max_pool, batch_norm, relu"
    values = np.random.default_rng(0).normal(size=(9, 3))
    layout = {f"{i}{name}": values for i in range(3)}
    picture = representation_maps(layout, np.arange(9) % 2, ["a", "b"])
    picture.draw_without_rendering()
    for axes, other in zip(picture.axes, picture.axes[1:], strict=False):
        drawn = axes._left_title.get_window_extent()  # type: ignore[attr-defined]
        assert drawn.x1 < other._left_title.get_window_extent().x0  # type: ignore[attr-defined]
