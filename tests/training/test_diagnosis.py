"""Where a number stopped being finite: the layer and the quantity are named."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.data import Dataset, digits
from jaxnn.layers import Layer, dense, flatten, relu, serial, stateless
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import Optimizer, sgd
from jaxnn.training import Diagnosis, DivergedError, Examples, fit, init_train_state
from jaxnn.training.step import augmented


def diverge(
    network: Layer, optimizer: Optimizer, dataset: Dataset | None = None, **options: Any
) -> Diagnosis:
    parts = (network, softmax_cross_entropy, optimizer, dataset or digits())
    with pytest.raises(DivergedError) as caught:
        list(fit(*parts, batch_size=100, epochs=2, **options))
    assert caught.value.diagnosis is not None
    return caught.value.diagnosis


def faulty(output: float, gradient: float) -> Layer:
    """Multiplies its input, and the gradient, by numbers that may be no numbers."""
    return stateless(
        lambda key, in_shape: ((), in_shape),
        lambda params, x: (x * output, x[:0]),
        lambda params, residuals, dy: (dy * gradient, ()),
        "faulty",
    )


def test_too_high_a_learning_rate_names_a_layer_and_a_quantity() -> None:
    network = serial(flatten(), dense(32), relu(), dense(32), relu(), dense(10))
    found = diverge(network, sgd(1e12))
    assert found.step <= 12
    assert found.layer.split()[1] == "dense"
    assert found.quantity in ("output", "updated weight", "gradient of its weight")
    assert f"layer {found.layer}: the {found.quantity} is not finite" in str(found)
    assert "up to 0" not in str(found._replace(largest=0.0))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (faulty(np.inf, 1.0), ("2 faulty", "output")),
        (faulty(1.0, np.nan), ("1 dense", "gradient of the loss with respect to its output")),
    ],
)
def test_a_faulty_layer_is_found(layer: Layer, expected: tuple[str, str]) -> None:
    network = serial(flatten(), dense(8), layer, dense(10))
    found = diverge(network, sgd(0.1))
    assert (found.step, found.layer, found.quantity) == (1, *expected)


def test_inputs_that_are_not_finite_are_the_first_to_be_named() -> None:
    dataset = digits()
    inputs = dataset.train.inputs.astype(np.float32)
    inputs[7] = np.nan
    dataset = dataset._replace(train=dataset.train._replace(inputs=inputs))
    found = diverge(serial(flatten(), dense(10)), sgd(0.01), dataset)
    assert (found.layer, found.quantity) == ("", "inputs")
    assert "fault of the data" in str(DivergedError(found.step, found))


def test_augmentation_is_repeated() -> None:
    """It spoils an example in one step of some: the diagnosis must see the same."""

    def spoil(keys: Any, images: Any, targets: Any) -> Any:
        drawn = jax.vmap(jax.random.uniform)(keys)
        return jnp.where(drawn < 1e-3, jnp.nan, images.T).T, targets

    found = diverge(serial(flatten(), dense(10)), sgd(0.01), augment=spoil)
    assert (found.layer, found.quantity) == ("", "inputs")
    key = init_train_state(serial(flatten(), dense(10)), sgd(0.01), (8, 8, 1), 0).key
    first = 0
    while not np.any(spoilt_by(key, first)):
        first += 1
    assert found.step == first + 1 > 1


def spoilt_by(key: Any, step: int) -> Any:
    batch = Examples(jnp.ones((100, 1)), jnp.zeros(100))
    drawn = augmented(
        lambda keys, images, targets: (jax.vmap(jax.random.uniform)(keys), targets),
        *(key, step, batch),
    )
    return drawn.inputs < 1e-3


def test_an_update_that_overflows_is_found_in_the_last_step_too() -> None:
    """The loss is finite until the end: only the parameters are not."""

    def update(gradients: Any, state: Any, params: Any) -> Any:
        value = jnp.where(state == 23, jnp.inf, 0.0)  # the last of two epochs of twelve steps
        zeros = {"weight": jnp.zeros((64, 10)), "bias": jnp.zeros(10) + value}
        return ((), zeros), state + 1

    optimizer = Optimizer(lambda params: jnp.zeros((), jnp.int32), update)
    found = diverge(serial(flatten(), dense(10)), optimizer)
    assert (found.step, found.layer, found.quantity) == (24, "1 dense", "updated bias")


def test_a_run_that_is_well_is_left_alone() -> None:
    network = serial(flatten(), dense(10))
    reports = list(
        fit(network, softmax_cross_entropy, sgd(0.1), digits(), batch_size=100, epochs=1)
    )
    assert np.isfinite(reports[-1].loss)
