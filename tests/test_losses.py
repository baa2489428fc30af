import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, assert_loss_derivative

from jaxnn.losses import (
    check_targets,
    hinge,
    huber,
    mean_absolute_error,
    mean_squared_error,
    quadratic,
    quantile,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
)

LOSSES = {
    "hinge": hinge,
    "hinge(0.3)": functools.partial(hinge, margin=0.3),
    "huber": huber,
    "huber(0.3)": functools.partial(huber, delta=0.3),
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
    "quadratic": quadratic,
    "quantile": quantile,
    "quantile(0.9)": functools.partial(quantile, quantile=0.9),
    "sigmoid_binary_cross_entropy": sigmoid_binary_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softmax_cross_entropy(0.1)": functools.partial(softmax_cross_entropy, label_smoothing=0.1),
}
DENSE_TARGETS = [name for name in LOSSES if "hinge" not in name]
CROSS_ENTROPIES = [name for name in LOSSES if "entropy" in name]
SOFTMAX = [name for name in LOSSES if "softmax" in name]


def example(shape):
    """Outputs, and class numbers for them, most of which are not what the outputs say."""
    random = np.random.default_rng(1)
    return random.normal(0, 2, shape), random.integers(0, shape[-1], shape[:-1])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(1, 2), (2, 3, 7)])
def test_derivative_for_class_numbers(name, shape):
    assert_loss_derivative(LOSSES[name], *example(shape))


@pytest.mark.parametrize("name", DENSE_TARGETS)
@pytest.mark.parametrize("shape", [(4, 1), (2, 3, 5)])
def test_derivative_for_any_targets(name, shape):
    if "softmax" in name and shape[-1] == 1:
        pytest.skip("the softmax of one class is constant: it is refused")
    targets = np.random.default_rng(2).uniform(
        0, 1, shape
    )  # rows that do not sum to one, as soft targets may not
    assert_loss_derivative(LOSSES[name], example(shape)[0], targets)


@pytest.mark.parametrize(
    ("name", "weights_shape"), [*((name, (3,)) for name in LOSSES), ("quadratic", (3, 4))]
)
def test_derivative_with_weights(name, weights_shape):
    weights = np.random.default_rng(2).uniform(0.1, 2, weights_shape)
    weights[1] = 0
    outputs, targets = example((3, 4, 5))
    assert_loss_derivative(LOSSES[name], outputs, targets, weights)


@pytest.mark.parametrize("name", LOSSES)
def test_class_numbers_are_one_hot_rows(name):
    outputs, targets = example((4, 2, 5))
    by_number = LOSSES[name](jnp.asarray(outputs), jnp.asarray(targets))
    for dtype in (int, float, bool):
        rows = jnp.asarray(np.eye(5)[targets], dtype)
        assert_close(LOSSES[name](jnp.asarray(outputs), rows), by_number, 0)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_count_examples(name):
    """A weight of 2 is an example given twice; a weight of 0, one left out."""
    loss = jax.jit(LOSSES[name])
    outputs, targets = example((3, 4))
    value, d_outputs = loss(outputs, targets, np.array([2.0, 0.0, 1.0]))
    rows = np.array([0, 0, 2])
    expected, d_expected = loss(outputs[rows], targets[rows], None)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(d_outputs[0], d_expected[0] + d_expected[1], rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(d_outputs[1], np.zeros(4))
    np.testing.assert_allclose(d_outputs[2], d_expected[2], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_counts_where_all_weights_are_zero(name):
    value, d_outputs = jax.jit(LOSSES[name])(*example((3, 4)), np.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(d_outputs, np.zeros((3, 4)))


@pytest.mark.parametrize("name", CROSS_ENTROPIES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_stable_for_huge_logits(name, dtype):
    z = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4]])
    exact = z.astype(dtype).astype(np.float64)
    targets = np.array([1, 2])
    value, d_outputs = jax.jit(LOSSES[name])(z.astype(dtype), targets)
    if "sigmoid" in name:
        # log(1 + eᶻ) - t z: 1e4 + 1e4 + log 2 in the first row, 1e4 in the second.
        expected = (2 * exact[0, 0] + np.log(2) + exact[1, 1]) / 2
        d_expected = np.array([[1, -1, 0.5], [0, 1, 0]]) / 2
    else:
        t = np.eye(3)[targets]
        t = 0.9 * t + 0.1 / 3 if "0.1" in name else t
        log_p = np.array([[0, -2, -1], [-2, 0, 0]]) * exact[0, 0] - [[0], [np.log(2)]]
        expected = -(t * log_p).sum() / 2
        d_expected = (np.array([[1, 0, 0], [0, 0.5, 0.5]]) - t) / 2
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(d_outputs, float), d_expected, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_outputs_lose_nothing_in_the_value(name):
    outputs, targets = example((40, 10))
    low = outputs.astype(jnp.bfloat16)
    loss = jax.jit(LOSSES[name])
    value, d_outputs = loss(low, targets)
    expected, d_expected = loss(low.astype(np.float32), targets)
    assert value.dtype == jnp.float32
    assert d_outputs.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert_close(d_outputs.astype(jnp.float32), d_expected, 2**-8)


def test_known_values():
    outputs = jnp.array([[1.0, 2.0], [3.0, -1.0]])
    targets = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    assert mean_squared_error(outputs, targets)[0] == pytest.approx((1 + 4 + 4 + 1) / 4)
    assert quadratic(outputs, targets)[0] == pytest.approx((1 + 4 + 4 + 1) / 4)
    assert huber(outputs, targets)[0] == pytest.approx((0.5 + 1.5 + 1.5 + 0.5) / 4)
    assert huber(outputs, targets, delta=2.0)[0] == pytest.approx((1 + 4 + 4 + 1) / 8)
    assert mean_absolute_error(outputs, targets)[0] == pytest.approx((1 + 2 + 2 + 1) / 4)
    # Three outputs are too high, by 1, 2 and 2, and one is too low, by 1.
    assert quantile(outputs, targets, quantile=0.9)[0] == pytest.approx((0.1 * 5 + 0.9) / 4)
    # Class 1 wins the first row by 1, which is enough; in the second, class 1 loses to 0 by 4.
    assert hinge(outputs, jnp.array([1, 1]))[0] == pytest.approx((0 + 5 / 2) / 2)
    assert softmax_cross_entropy(jnp.zeros((3, 10)), jnp.arange(3))[0] == pytest.approx(np.log(10))
    bits = sigmoid_binary_cross_entropy(jnp.zeros((3, 10)), jnp.arange(3))
    assert bits[0] == pytest.approx(10 * np.log(2))


@pytest.mark.parametrize("theta", [0.1, 0.5, 0.8])
def test_the_least_pinball_loss_is_at_the_quantile(theta):
    """Of one output for all of many targets, a fraction θ is below the best."""
    targets = jnp.asarray(np.random.default_rng(3).exponential(size=(1001, 1)), jnp.float32)
    best = np.quantile(targets, theta)
    loss = functools.partial(quantile, quantile=theta)
    below, there, above = (
        loss(jnp.full((1001, 1), best + step, jnp.float32), targets) for step in (-0.05, 0, 0.05)
    )
    assert there[0] < min(below[0], above[0])
    assert below[1].sum() < 0 < above[1].sum()


def test_where_a_gradient_has_a_jump_it_is_0():
    for loss in (mean_absolute_error, quantile):
        value, d_outputs = loss(jnp.ones((2, 3)), jnp.ones((2, 3)))
        assert value == 0
        np.testing.assert_array_equal(d_outputs, np.zeros((2, 3)))


def test_integers_for_a_single_output_are_its_targets():
    outputs, labels = jnp.array([[0.3], [-2.0], [0.7]]), jnp.array([1, 0, 1])
    for name in set(DENSE_TARGETS) - set(SOFTMAX):
        given = LOSSES[name](outputs, labels)
        assert_close(given, LOSSES[name](outputs, labels[:, None].astype(float)), 0)
    # A logit that goes up for label 1, and down for label 0.
    assert list(np.sign(sigmoid_binary_cross_entropy(outputs, labels)[1][:, 0])) == [-1, 1, -1]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "targets", [np.zeros(4, int), np.zeros((3, 4)), np.zeros(3), np.zeros((3, 1), int)]
)
def test_refuses_targets_that_do_not_fit(name, targets):
    with pytest.raises(ValueError, match=r"do not fit outputs of shape \(3, 5\)"):
        LOSSES[name](jnp.zeros((3, 5)), jnp.asarray(targets))


def test_refuses_options_out_of_range():
    outputs, targets = jnp.zeros((3, 5)), jnp.zeros(3, int)
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="label_smoothing must be in"):
            softmax_cross_entropy(outputs, targets, label_smoothing=value)
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="delta must be above 0"):
            huber(outputs, targets, delta=value)
    for value in (0, 1, float("nan")):
        with pytest.raises(ValueError, match="quantile must be between 0 and 1"):
            quantile(outputs, targets, quantile=value)
    for name in ("hinge", *SOFTMAX):
        with pytest.raises(ValueError, match="two or more classes, got one output"):
            LOSSES[name](outputs[:, :1], targets)


# Targets that the outputs cannot reach


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("classes", "labels", "wrong"),
    [(7, [0, 6, 9], "2 is 9"), (2, [1, 2, 1], "1 is 2"), (5, [0, -1, 3], "1 is -1")],
)
def test_a_label_without_an_output_is_refused_and_never_costs_nothing(name, classes, labels, wrong):
    outputs, labels = example((3, classes))[0], np.array(labels)
    for dtype in (np.int32, np.int8):
        with pytest.raises(ValueError, match=f"target {wrong}, a class .* there are {classes}"):
            LOSSES[name](jnp.asarray(outputs), jnp.asarray(labels, dtype))
    assert np.isnan(jax.jit(LOSSES[name])(outputs, labels)[0])
    within = np.clip(labels, 0, classes - 1)
    assert np.isfinite(jax.jit(LOSSES[name])(outputs, within)[0])


@pytest.mark.parametrize("name", LOSSES)
def test_a_label_that_does_not_count_may_be_any(name):
    """Positions that a mask leaves out are labelled -1, as is the custom."""
    outputs, labels = example((2, 3, 4))
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    masked = np.where(weights == 0, -1, labels)
    for loss in (LOSSES[name], jax.jit(LOSSES[name])):
        value, d_outputs = loss(jnp.asarray(outputs), jnp.asarray(masked), jnp.asarray(weights))
        expected = loss(jnp.asarray(outputs), jnp.asarray(labels), jnp.asarray(weights))
        np.testing.assert_array_equal(value, expected[0])
        np.testing.assert_array_equal(d_outputs, expected[1])


@pytest.mark.parametrize(
    ("outputs", "targets"), [((3, 1), [0, 1, 2]), ((2, 2), [[0.5, 1.0], [0.0, 1.5]])]
)
def test_yes_or_no_is_between_0_and_1(outputs, targets):
    with pytest.raises(ValueError, match=r"targets of this loss are in \[0, 1\]"):
        sigmoid_binary_cross_entropy(jnp.zeros(outputs), jnp.asarray(targets))
    assert np.isnan(jax.jit(sigmoid_binary_cross_entropy)(jnp.zeros(outputs), np.array(targets))[0])


@pytest.mark.parametrize("name", LOSSES)
def test_labels_that_are_no_integers_are_refused(name):
    with pytest.raises(ValueError, match="give class numbers as integers"):
        LOSSES[name](jnp.zeros((3, 5)), jnp.array([0.0, 1.0, 4.0]))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), (3, 4)])
def test_weights_of_another_length_are_refused(name, shape):
    for loss in (LOSSES[name], jax.jit(LOSSES[name])):
        with pytest.raises(ValueError, match=r"weights of shape .* do not fit losses of shape"):
            loss(jnp.zeros((3, 5)), jnp.zeros(3, int), jnp.ones(shape))


def test_a_data_set_s_targets_are_checked_at_once_but_for_losses_of_one_s_own():
    labels = np.array([0, 1, 9])
    for name in LOSSES:
        with pytest.raises(ValueError, match="target 2 is 9, a class"):
            check_targets(LOSSES[name], labels, (7,))
        check_targets(LOSSES[name], labels, (10,))
    check_targets(lambda outputs, targets, weights: (0.0, outputs), labels, (7,))
    check_targets(quadratic, labels, (1,))
    with pytest.raises(ValueError, match="two or more"):
        check_targets(hinge, labels, (1,))
    with pytest.raises(ValueError, match="do not fit outputs"):
        check_targets(quadratic, np.eye(7), (10,))
