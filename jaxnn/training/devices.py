"""Training on several devices: a mesh of them, and where on it everything lies.

The whole step is mapped over the mesh by ``jax.shard_map``: each device has an equal part of the
batch, computes the loss's gradient for it, and takes the same step by the sum over all of them
(``jaxnn.collectives``). The number of devices changes nothing but rounding: a batch has the same
examples in the same order, and what is random follows from an example's place in the whole of it.
Parameters are on every device as a whole, but for those of ``sharded`` layers.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnn import losses
from jaxnn.arrays import Tree
from jaxnn.calls import call_of
from jaxnn.collectives import AXES, DATA, PARAMETERS, division
from jaxnn.layers import Layer
from jaxnn.layers.sharded import has_sharded, is_sharded
from jaxnn.losses import Loss
from jaxnn.network import walk
from jaxnn.optimizers import Optimizer

WHOLE = PartitionSpec()
"""On every device, as a whole."""

IN_PARTS = PartitionSpec(AXES)
"""Along the first axis, divided over all devices."""


def make_mesh(
    data: int | Literal["all"] = "all",
    parameters: int = 1,
    devices: Sequence[jax.Device] | None = None,
    batch_size: int | None = None,
) -> Mesh | None:
    """Returns a mesh of devices for ``fit``; None for a single one, which needs none.

    Args:
        data: how many parts a batch is divided into; "all": as many as there are devices for.
        parameters: how many devices the arrays of ``sharded`` layers are divided over; each of the
            batch's parts is divided over as many, too.
        devices: by default, all there are.
        batch_size: with "all" and one process, only as many parts as it can be divided into.

    Raises:
        ValueError: if there are too few devices, or, with several processes, too many.
    """
    devices = jax.devices() if devices is None else devices
    rows = max(1, len(devices) // parameters) if data == "all" else data
    if data == "all" and batch_size is not None and jax.process_count() == 1:
        rows = next((n for n in range(rows, 1, -1) if batch_size % (n * parameters) == 0), 1)
    count, kind = rows * parameters, devices[0].platform
    few = count > len(devices)
    if few or (jax.process_count() > 1 and count < len(devices)):
        raise ValueError(
            f"{rows} × {parameters} devices (data × parameters) are wanted, and there are "
            f"{len(devices)} ({kind})"
            + ("" if few else "; with several processes, all of them have to be used")
        )
    if count == 1:
        return None
    return Mesh(np.array(devices[:count]).reshape(rows, parameters), AXES)


def data_mesh(mesh: Mesh) -> Mesh:
    """Returns the devices of a mesh along the axis ``data`` alone: no parameters are divided."""
    return Mesh(mesh.devices.reshape(-1), (DATA,))


def check_mesh(
    mesh: Mesh, network: Layer, loss: Loss, optimizer: Optimizer, batch_size: int
) -> None:
    """Checks that a network can be trained on several devices with the same result as on one.

    Raises:
        ValueError: if the batch cannot be divided into equal parts; the loss is not of this
            library, and may not know that a batch has others; or parameters are divided and the
            optimizer is not, which may need whole arrays.
    """
    if batch_size % mesh.size:
        raise ValueError(
            f"batch_size {batch_size} cannot be divided over {mesh.size} devices: choose a "
            "multiple of their number, or fewer "
            + ("devices" if jax.process_count() == 1 else "processes")
        )
    if getattr(loss, "func", loss).__module__ != losses.__name__:
        raise ValueError(
            "on several devices the loss has to be one of jaxnn.losses: another one may not know "
            "that it sees but a part of the batch"
        )
    if mesh.shape[PARAMETERS] > 1 and has_sharded(network) and not _is_ours(optimizer):
        raise ValueError(
            "with sharded layers the optimizer has to be made by functions of jaxnn alone: another "
            "one may not know that it sees but a part of the arrays"
        )


def _is_ours(optimizer: Any) -> bool:
    call = call_of(optimizer)
    if call is None:
        return False
    given = [x for x in (*call.args, *call.keywords.values()) if hasattr(x, "update")]
    return all(map(_is_ours, given))


def divisions(network: Layer, params: Tree, mesh: Mesh) -> dict[str, int]:
    """Returns the axis that each array of sharded layers is divided along, by its ``keystr``.

    Args:
        network: any layer.
        params: its parameters, or their shapes.
        mesh: over which they are divided.
    """
    paths = [path for path, layer in walk(network) if is_sharded(layer)]
    found = {}
    for key_path, leaf in jax.tree_util.tree_leaves_with_path(params):
        place = tuple(getattr(key, "idx", None) for key in key_path)
        axis = division(leaf.shape, mesh.shape[PARAMETERS])
        if axis is not None and any(place[: len(path)] == path for path in paths):
            found[jax.tree_util.keystr(key_path)] = axis
    return found


def param_specs(network: Layer, params: Tree, mesh: Mesh) -> Tree:
    """Returns how each of a network's parameters lies on a mesh, as a tree like them.

    The arguments are those of ``divisions``.
    """
    divided = divisions(network, params, mesh)

    def spec(path: tuple[Any, ...], leaf: Array) -> PartitionSpec:
        axis = divided.get(jax.tree_util.keystr(path))
        return WHOLE if axis is None else PartitionSpec(*[None] * axis, PARAMETERS)

    return jax.tree_util.tree_map_with_path(spec, params)


def optimizer_specs(optimizer: Optimizer, params: Tree, mesh: Mesh, specs: Tree) -> Tree:
    """Returns how each array of an optimizer's state lies on a mesh: as the parameters it is for.

    Args:
        optimizer: an optimizer.
        params: whole parameters, or their shapes.
        mesh: the mesh.
        specs: how the parameters lie.
    """

    def part(leaf: Array, spec: PartitionSpec) -> jax.ShapeDtypeStruct:
        shape = NamedSharding(mesh, spec).shard_shape(leaf.shape)
        return jax.ShapeDtypeStruct(shape, leaf.dtype)

    def spec(whole: Any, part: Any) -> PartitionSpec:
        differs = [
            PARAMETERS if a != b else None for a, b in zip(whole.shape, part.shape, strict=True)
        ]
        return PartitionSpec(*differs) if any(differs) else WHOLE

    # What it keeps of parts of the parameters is smaller than of whole ones, where it is divided.
    whole = jax.eval_shape(optimizer.init, params)
    parts = jax.eval_shape(optimizer.init, jax.tree.map(part, params, specs))
    return jax.tree.map(spec, whole, parts)


def put(tree: Tree, mesh: Mesh | None, specs: Tree = WHOLE) -> Tree:
    """Puts arrays, the same in every process, onto the devices of a mesh.

    Args:
        tree: of arrays, NumPy's or JAX's.
        mesh: the mesh; without one, the arrays become JAX's.
        specs: how they lie on it: a tree like ``tree``, or the beginning of it.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)

    def placed(spec: PartitionSpec, x: Any) -> Array:
        sharding = NamedSharding(mesh, spec)
        if isinstance(x, Array) and x.sharding == sharding:
            return x
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = placed(spec, jax.random.key_data(x))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    def all_placed(spec: PartitionSpec, part: Tree) -> Tree:
        return jax.tree.map(functools.partial(placed, spec), part)

    return jax.tree.map(all_placed, specs, tree, is_leaf=lambda x: isinstance(x, PartitionSpec))


def put_rows(tree: Tree, rows: np.ndarray, mesh: Mesh | None) -> Tree:
    """Puts rows of arrays onto the devices of a mesh, in equal parts: each is given its own alone.

    Args:
        tree: of NumPy's arrays, of the same number of rows; they may be mapped from a file.
        rows: which of them, in the order of the devices.
        mesh: the mesh; without one, all rows are put onto one device.
    """
    if mesh is None:
        return jax.tree.map(lambda x: jnp.asarray(x[rows]), tree)
    sharding = NamedSharding(mesh, IN_PARTS)

    def placed(x: np.ndarray) -> Array:
        def part(index: Any) -> np.ndarray:
            return x[rows[index[0]]]

        return jax.make_array_from_callback((len(rows), *x.shape[1:]), sharding, part)

    return jax.tree.map(placed, tree)


def fetched(tree: Tree) -> Tree:
    """Returns arrays on the host, whole; for all processes to call."""

    def fetch(x: Any) -> Any:
        there = isinstance(x, Array) and not x.is_fully_addressable
        return jax.device_get(_whole(x) if there else x)

    return jax.tree.map(fetch, tree)


def whole(tree: Tree) -> Tree:
    """Gathers what is divided, so that every device has all of it: for all processes to call."""
    return jax.tree.map(_whole, tree)


def _whole(x: Any) -> Any:
    if (
        not isinstance(x, Array)
        or x.is_fully_replicated
        or not isinstance(x.sharding, NamedSharding)
    ):
        return x
    everywhere = NamedSharding(x.sharding.mesh, WHOLE)
    return jax.jit(lambda x: x, out_shardings=everywhere)(x)
