"""What devices tell each other, on a mesh of one; of several, see tests/training."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxnn.collectives import AXES, gradient_sum


def test_small_gradients_travel_as_one_and_come_back_as_they_were() -> None:
    shapes = [(300, 300), (7,), (), (2, 3), (70_000,), (4,)]
    keys = jax.random.split(jax.random.key(0), len(shapes))
    gradients = [jax.random.normal(*pair) for pair in zip(keys, shapes, strict=True)]
    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), AXES)
    whole = PartitionSpec()
    summed = jax.shard_map(
        gradient_sum, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False
    )
    found = jax.jit(summed)(gradients)
    for one, expected in zip(found, gradients, strict=True):
        np.testing.assert_array_equal(one, expected)
    (inner,) = (e.params["jaxpr"] for e in jax.make_jaxpr(summed)(gradients).eqns)
    sent = [v.aval.shape for e in inner.eqns if "psum" in e.primitive.name for v in e.invars]
    assert sent == [(300, 300), (70_000,), (7 + 1 + 6 + 4,)]
    mixed = [jnp.ones(3), jnp.ones(2, jnp.bfloat16)]
    assert [g.dtype for g in jax.jit(summed)(mixed)] == [g.dtype for g in mixed]
