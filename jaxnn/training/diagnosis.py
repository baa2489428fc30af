"""Finds out where a number stopped being finite."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.arrays import at_path, named_leaves
from jaxnn.data.augmentation import Augmentation
from jaxnn.errors import JaxnnError
from jaxnn.layers import Layer
from jaxnn.losses import Loss
from jaxnn.network import leaves, trace
from jaxnn.optimizers import Optimizer
from jaxnn.training.step import Examples, TrainState, augmented, example_keys, make_step


class Diagnosis(NamedTuple):
    """The first quantity that was not finite, in the order in which a step computes them.

    Attributes:
        step: the step, counted from 1, in which it was computed.
        layer: the layer, such as "1 dense"; empty for the inputs and the loss.
        quantity: what of it: "inputs", "output", "loss", "gradient of the loss with respect to its
            output", "gradient of its …" or "updated …" with the parameter's name.
        largest: the largest finite magnitude of that quantity in this step.
    """

    step: int
    layer: str
    quantity: str
    largest: float

    def __str__(self) -> str:
        where = f"layer {self.layer}: the {self.quantity}" if self.layer else f"the {self.quantity}"
        rest = f" (its finite numbers are up to {self.largest:.3g})" if self.largest else ""
        return f"step {self.step}, {where} is not finite{rest}"


class DivergedError(JaxnnError):
    """Training has come to numbers that are not finite.

    Attributes:
        diagnosis: the first such number; None if training the chunk again did not show it.
    """

    def __init__(self, step: int, diagnosis: Diagnosis | None) -> None:
        self.diagnosis = diagnosis
        what = str(diagnosis) if diagnosis else f"at step {step}, the loss is not finite"
        super().__init__(
            f"training has diverged: {what}. A lower learning rate, a warm-up or "
            "clip_by_global_norm usually helps; inputs that are not finite are a fault of the data"
        )


def diagnose(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    augment: Augmentation | None,
    train_state: TrainState,
    examples: Examples,
    batches: Array,
    steps_per_epoch: int | None = None,
) -> Diagnosis | None:
    """Takes the steps of a chunk again, one by one, and looks at everything they compute.

    Args:
        network: as are those that follow, what ``make_chunk`` was given.
        loss: see ``network``.
        optimizer: see ``network``.
        augment: see ``network``.
        train_state: the state at the start of the chunk.
        examples: all examples.
        batches: which of them each step of the chunk sees, (steps, batch_size).
        steps_per_epoch: see ``make_step``.

    Returns:
        The first quantity that is not finite, or None.
    """
    plain = leaves(network)
    names: list[tuple[str, str]] = []

    @jax.jit
    def look(train_state: TrainState, batch: Examples) -> tuple[TrainState, Array, Array]:
        step, params, state, _, key = train_state
        if augment is not None:
            batch = augmented(augment, key, step, batch, steps_per_epoch)
        inputs, targets = batch
        keys = example_keys(key, step, len(targets)) if network.draws else None
        traced = trace(network, loss, params, state, inputs, targets, train=True, key=keys)
        train_state, _ = make_step(network, loss, optimizer)(train_state, batch)

        layers = [x for x in traced.layers if x.path in plain]
        seen: list[tuple[str, str, Array]] = [("", "inputs", traced.layers[0].input)]
        seen += [(x.label, "output", x.output) for x in layers]
        seen += [("", "loss", traced.loss)]
        for x in reversed(layers):
            seen.append((x.label, "gradient of the loss with respect to its output", x.d_output))
            seen += [
                (x.label, f"gradient of its {name}", leaf)
                for name, leaf in named_leaves(x.gradients).items()
            ]
        for x in layers:
            updated = named_leaves(at_path(train_state.params, x.path))
            seen += [(x.label, f"updated {name}", leaf) for name, leaf in updated.items()]
        names[:] = [(label, quantity) for label, quantity, _ in seen]
        finite = jnp.stack([jnp.all(jnp.isfinite(x)) for _, _, x in seen])
        largest = jnp.stack([_largest(x) for _, _, x in seen])
        return train_state, finite, largest

    for rows in np.asarray(batches):
        batch = Examples(examples.inputs[rows], examples.targets[rows])
        train_state, finite, largest = look(train_state, batch)
        if not finite.all():
            first = int(np.argmin(finite))
            return Diagnosis(int(train_state.step), *names[first], float(largest[first]))
    return None


def _largest(x: Array) -> Array:
    return jnp.max(jnp.where(jnp.isfinite(x), jnp.abs(x), 0)).astype(jnp.float32)
