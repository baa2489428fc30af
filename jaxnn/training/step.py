"""One training step, and many of them in one compiled program."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxnn.arrays import Tree
from jaxnn.collectives import (
    AXES,
    batch_positions,
    batch_sum,
    divided_params,
    gradient_sum,
    own_rows,
)
from jaxnn.data import Dataset, Split
from jaxnn.data.augmentation import Augmentation, ByEpoch
from jaxnn.layers import Layer, before, standardize
from jaxnn.layers.layer import Shape
from jaxnn.losses import Loss
from jaxnn.network import loss_and_gradients
from jaxnn.optimizers import Optimizer, apply_updates
from jaxnn.tasks import Sums, Task, classification
from jaxnn.training.devices import IN_PARTS, WHOLE, divisions, optimizer_specs, param_specs, put


class TrainState(NamedTuple):
    """All that training changes, and the key that its randomness follows.

    Attributes:
        step: the number of steps taken, an int32 scalar.
        params: the network's parameters.
        state: the network's state.
        optimizer_state: the optimizer's state, its hyper-parameters among it.
        key: a typed PRNG key; never changes.
    """

    step: Array
    params: Tree
    state: Tree
    optimizer_state: Tree
    key: Array


class Totals(NamedTuple):
    """Sums over the steps of a chunk.

    Attributes:
        loss: the sum of the steps' losses, float32; float64 where JAX has that enabled.
        sums: what the task's metrics are made of, over the steps' examples.
    """

    loss: Array
    sums: Sums


class Examples(NamedTuple):
    """Examples on the device.

    Attributes:
        inputs: (examples, *in_shape), as stored (uint8 for images).
        targets: (examples, ...).
    """

    inputs: Array
    targets: Array


Chunk = Callable[[TrainState, Examples, Array, ArrayLike, ArrayLike], tuple[TrainState, Totals]]


def prepared(network: Layer, dataset: Dataset) -> Layer:
    """The network with the data set's normalization before it, unless it prepares its input itself.

    It takes examples as they are stored; see ``jaxnn.layers.before``.
    """
    if network.prepares:
        return network
    return before(network, standardize(dataset.mean, dataset.deviation))


def init_train_state(
    network: Layer, optimizer: Optimizer, in_shape: Shape, seed: int, mesh: Mesh | None = None
) -> TrainState:
    """The state before the first step; everything random in a run follows from ``seed``.

    Args:
        network: any layer.
        optimizer: an optimizer.
        in_shape: the shape of an example.
        seed: see above.
        mesh: of the devices that it is made for, each its part; None for one device.

    Raises:
        ValueError: if a layer does not fit its input; the layer is named.
    """

    def init(key: Array) -> TrainState:
        init_key, step_key = jax.random.split(key)
        params, state, _ = network.init(init_key, in_shape)
        step = jnp.zeros((), jnp.int32)
        return TrainState(step, params, state, optimizer.init(params), step_key)

    if mesh is None:
        return jax.jit(init)(jax.random.key(seed))
    specs = state_specs(network, optimizer, jax.eval_shape(init, jax.random.key(seed)), mesh)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    return jax.jit(lambda: init(jax.random.key(seed)), out_shardings=shardings)()


def state_specs(
    network: Layer, optimizer: Optimizer, train_state: TrainState, mesh: Mesh
) -> TrainState:
    """How each array of a state lies on a mesh, as a tree of ``PartitionSpec`` like the state.

    Args:
        network: any layer.
        optimizer: an optimizer.
        train_state: the state, or its shapes.
        mesh: the mesh.
    """
    params = param_specs(network, train_state.params, mesh)
    kept = optimizer_specs(optimizer, train_state.params, mesh, params)
    everywhere: TrainState = jax.tree.map(lambda _: WHOLE, train_state)
    return everywhere._replace(params=params, optimizer_state=kept)


def put_state(
    network: Layer, optimizer: Optimizer, train_state: TrainState, mesh: Mesh | None
) -> TrainState:
    """The state with each array where it lies on a mesh; as it is, without one."""
    if mesh is None:
        return train_state
    placed: TrainState = put(train_state, mesh, state_specs(network, optimizer, train_state, mesh))
    return placed


def output_shape(network: Layer, params: Tree, state: Tree, split: Split) -> Shape:
    """Returns the shape of a network's outputs for a split's examples, without the batch axis."""
    one = jax.ShapeDtypeStruct((1, *split.inputs.shape[1:]), split.inputs.dtype)
    outputs, _, _ = jax.eval_shape(network.forward, params, state, one)
    return tuple(outputs.shape[1:])


def make_step(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    augment: Augmentation | None = None,
    task: Task = classification,
    center: ArrayLike = 0.0,
    steps_per_epoch: int | None = None,
) -> Callable[[TrainState, Examples], tuple[TrainState, Totals]]:
    """Makes the function ``(train_state, batch) -> (train_state, totals)``.

    What a layer or an augmentation draws is a function of the key, the step and the example's
    position in the batch. Mapped over devices (see ``make_chunk``), it is given a part of the
    batch, and takes the step of the whole of it on all of them; ``totals`` are of the part.

    Args:
        network: any layer; it is given the examples as they are (see ``before``).
        loss: a loss.
        optimizer: an optimizer of this library, or one from optax.
        augment: applied to the batch first; by default, nothing. Whether an example is classified
            correctly is then said of its augmented form; of probabilities, the largest counts.
        task: what the targets are.
        center: what a regression's targets lie around; see ``Dataset.target_center``.
        steps_per_epoch: for augmentations that follow from the epoch; None for an endless one.
    """

    def step(train_state: TrainState, batch: Examples) -> tuple[TrainState, Totals]:
        count, params, state, optimizer_state, key = train_state
        if augment is not None:
            batch = augmented(augment, key, count, batch, steps_per_epoch)
        keys = example_keys(key, count, len(batch.targets)) if network.draws else None
        value, gradients, state, outputs = loss_and_gradients(
            network, loss, params, state, batch.inputs, batch.targets, key=keys
        )
        gradients = gradient_sum(gradients)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        params = apply_updates(params, updates)
        sums = task.sums(outputs, batch.targets, None, center)
        totals = Totals(value.astype(jnp.result_type(float)), sums)
        return TrainState(count + 1, params, state, optimizer_state, key), totals

    return step


def make_chunk(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    augment: Augmentation | None = None,
    task: Task = classification,
    center: ArrayLike = 0.0,
    mesh: Mesh | None = None,
    steps_per_epoch: int | None = None,
) -> Chunk:
    """Compiles many steps into one program, ``(train_state, examples, batches, start, count)``.

    It takes the steps ``batches[start : start + count]``, where ``batches``, (steps, batch_size)
    int32, says which examples each step sees, and returns the new state and the sums over these
    steps. ``start`` and ``count`` are traced, so one program serves chunks of every length, and
    cutting an epoch differently changes no bit of the result. The state given stays valid: it is
    what a diagnosis starts from.

    The arguments are those of ``make_step``, and the mesh of the devices over which each step is
    mapped; None for one device. On n devices an n-th of the examples lies on each, and has to be
    what its n-th of each batch sees.
    """
    step = make_step(network, loss, optimizer, augment, task, center, steps_per_epoch)

    def chunk(
        train_state: TrainState, examples: Examples, batches: Array, start: Array, count: Array
    ) -> tuple[TrainState, Totals]:
        def body(i: Array, carry: tuple[TrainState, Totals]) -> tuple[TrainState, Totals]:
            train_state, totals = carry
            rows = lax.dynamic_index_in_dim(batches, start + i, keepdims=False)
            rows = own_rows(rows, len(examples.targets))
            train_state, new = step(train_state, jax.tree.map(lambda x: x[rows], examples))
            return train_state, jax.tree.map(jnp.add, totals, new)

        zero = Totals(jnp.zeros(()), task.no_sums(examples.targets[:1]))
        train_state, totals = lax.fori_loop(0, count, body, (train_state, zero))
        return train_state, batch_sum(totals)  # once, at the end: each message takes a while

    if mesh is None:
        return jax.jit(chunk)

    def over_devices(
        train_state: TrainState, examples: Examples, batches: Array, start: Array, count: Array
    ) -> tuple[TrainState, Totals]:
        specs = state_specs(network, optimizer, train_state, mesh)
        mapped = jax.shard_map(
            chunk,
            mesh=mesh,
            in_specs=(specs, IN_PARTS, PartitionSpec(None, AXES), WHOLE, WHOLE),
            out_specs=(specs, WHOLE),
            check_vma=False,
        )
        with divided_params(divisions(network, train_state.params, mesh)):
            return mapped(train_state, examples, batches, jnp.asarray(start), jnp.asarray(count))

    return jax.jit(over_devices)


def example_keys(key: Array, step: Array, batch_size: int) -> Array:
    """A key for each position in the batch of a step, or in this device's part, (batch_size,)."""
    step_key = jax.random.fold_in(key, step)
    return jax.vmap(lambda i: jax.random.fold_in(step_key, i))(batch_positions(batch_size))


def augmented(
    augment: Augmentation,
    key: Array,
    step: Array,
    batch: Examples,
    steps_per_epoch: int | None = None,
) -> Examples:
    """The batch as the step of this number sees it; its inputs as floating-point numbers."""
    if isinstance(augment, ByEpoch):
        augment = augment.at(step // steps_per_epoch if steps_per_epoch else 0)
    # No step has this number: what layers draw stays the same with or without augmentation.
    keys = example_keys(jax.random.fold_in(key, 2**32 - 1), step, len(batch.targets))
    inputs = batch.inputs.astype(jnp.result_type(float))
    return Examples(*augment(keys, inputs, batch.targets))
