"""What goes on inside the layers while a network trains."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from jaxnn.arrays import at_path
from jaxnn.collectives import DATA, batch_axes, batch_mean, batch_sum, gradient_sum
from jaxnn.layers import Layer
from jaxnn.losses import Loss
from jaxnn.network import label, leaves, trace
from jaxnn.optimizers import Optimizer, global_norm
from jaxnn.training.devices import WHOLE, data_mesh
from jaxnn.training.step import Examples, TrainState, example_keys

Number: TypeAlias = Array | float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerStatistics:
    """One layer in one step; norms are Euclidean. A pytree whose ``path`` and ``name`` are static.

    Attributes:
        path: the positions that lead to the layer; see ``walk``.
        name: the layer's name.
        weight_norm: of the layer's parameters; None for a layer without.
        gradient_norm: of the loss's gradient with respect to them; None likewise.
        update_norm: of what the optimizer adds to them; None likewise.
        update_ratio: ``update_norm / weight_norm``; None likewise. Around 1e-3 is usual.
        activation_mean: of the layer's outputs, over batch and units.
        activation_deviation: their standard deviation.
        inactive: the fraction of units that let no gradient pass, or hardly any, for all of the
            batch: a relu's that are 0 ("dead"), a sigmoid's or tanh's within 1 % of their limits
            ("saturated"); None elsewhere.
        d_output_norm: of the loss's gradient with respect to the layer's outputs.
    """

    path: tuple[int, ...] = field(metadata={"static": True})
    name: str = field(metadata={"static": True})
    weight_norm: Number | None
    gradient_norm: Number | None
    update_norm: Number | None
    update_ratio: Number | None
    activation_mean: Number
    activation_deviation: Number
    inactive: Number | None
    d_output_norm: Number

    @property
    def label(self) -> str:
        """What the layer is called: its position and name, "1 dense"."""
        return label(self.path, self.name)


Statistics: TypeAlias = tuple[LayerStatistics, ...]

INACTIVE = 0.9
"""The fraction of inactive units beyond which a layer is not well."""

_INACTIVE: dict[str, Callable[[Array], Array]] = {
    "relu": lambda y: y == 0,
    "sigmoid": lambda y: jnp.minimum(y, 1 - y) < 0.01,
    "tanh": lambda y: 1 - jnp.abs(y) < 0.02,  # its range, -1 to 1, is twice as wide
}


def make_statistics(
    network: Layer, loss: Loss, optimizer: Optimizer, mesh: Mesh | None = None
) -> Callable[[TrainState, Examples], Statistics]:
    """Makes the function ``(train_state, batch) -> statistics`` of the step on that batch.

    It is compiled, and its result lies on the host: the entries' numbers are floats.

    It computes the whole step, up to its updates, but takes it not: training goes the same way, to
    the last bit, whether it is watched or not. There is an entry for each layer that is not made
    of others, in the order of ``walk``.

    The arguments are those of ``make_step``, and the mesh of the devices that the batch is divided
    over; None for one device. Each has a part of the batch, and all parameters as a whole, those of
    ``sharded`` layers too: what is seen within a layer is seen where it computes.
    """
    plain = leaves(network)

    def compute(train_state: TrainState, batch: Examples) -> Statistics:
        step, params, state, optimizer_state, key = train_state
        inputs, targets = batch
        keys = example_keys(key, step, len(targets)) if network.draws else None
        traced = trace(network, loss, params, state, inputs, targets, train=True, key=keys)
        gradients = gradient_sum(traced.layers[0].gradients)
        updates, _ = optimizer.update(gradients, optimizer_state, params)
        rows = []
        for layer in traced.layers:
            if layer.path not in plain:
                continue
            y = layer.output.astype(jnp.promote_types(layer.output.dtype, jnp.float32))
            mean = batch_mean(y.mean())
            own = [at_path(tree, layer.path) for tree in (params, gradients, updates)]
            norms = [global_norm(tree) for tree in own] if jax.tree.leaves(own[0]) else [None] * 3
            inactive = _INACTIVE.get(layer.name)
            rows.append(
                LayerStatistics(
                    layer.path,
                    layer.name,
                    weight_norm=norms[0],
                    gradient_norm=norms[1],
                    update_norm=norms[2],
                    update_ratio=None if norms[0] is None else norms[2] / norms[0],
                    activation_mean=mean,
                    activation_deviation=jnp.sqrt(batch_mean(jnp.square(y - mean).mean())),
                    inactive=_all_inactive(inactive(y)).mean() if inactive else None,
                    d_output_norm=_norm_over_batch(layer.d_output),
                )
            )
        return tuple(rows)

    @jax.jit
    def packed(train_state: TrainState, batch: Examples) -> Array:
        # One array, as fetching each number by itself takes longer than computing them.
        def numbers(train_state: TrainState, batch: Examples) -> Array:
            return jnp.stack(jax.tree.leaves(compute(train_state, batch))).astype(jnp.float32)

        if mesh is None:
            return numbers(train_state, batch)
        return jax.shard_map(
            numbers,
            mesh=data_mesh(mesh),
            in_specs=(WHOLE, PartitionSpec(DATA)),
            out_specs=WHOLE,
            check_vma=False,
        )(train_state, batch)

    structures: list[Any] = []  # of the result, found once: tracing takes longer than computing

    def statistics(train_state: TrainState, batch: Examples) -> Statistics:
        if not structures:
            structures.append(jax.tree.structure(jax.eval_shape(compute, train_state, batch)))
        numbers = jax.device_get(packed(train_state, batch)).tolist()
        return jax.tree.unflatten(structures[0], numbers)

    return statistics


def _all_inactive(units: Array) -> Array:
    """Whether each unit is inactive in all of the batch, given in which examples it is, bool."""
    return batch_sum(jnp.any(~units, axis=0).astype(jnp.int32)) == 0


def _norm_over_batch(x: Array) -> Array:
    """The norm of all of the batch's numbers, (batch, ...), together."""
    norm = global_norm(x)
    return jnp.sqrt(batch_sum(jnp.square(norm))) if batch_axes() else norm
