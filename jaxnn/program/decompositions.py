"""What JAX leaves to libraries of linear algebra, in operations that programs have."""

import jax
import jax.numpy as jnp
from jax import Array, lax


def qr(a: Array) -> tuple[Array, Array]:
    """Returns Q (..., m, k) and R (..., k, n) of an array (..., m, n), where k = min(m, n).

    A reflection I - τ v vᵀ after the other turns a column into its length along an axis and zeros
    below; Q is their product. The signs are LAPACK's, which JAX calls.

    Source: Householder 1958, https://doi.org/10.1145/320941.320947.
    """
    if a.ndim > 2:
        return jax.vmap(qr)(a)
    m, n = a.shape
    k = min(m, n)
    rows, columns = jnp.arange(m), jnp.arange(k)

    def reflect(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        r, vs, taus = carry
        x = lax.dynamic_index_in_dim(r, i, 1, keepdims=False)
        first = jnp.sum(jnp.where(rows == i, x, 0))
        below = jnp.where(rows > i, x, 0)
        length = jnp.sqrt(first**2 + jnp.sum(below**2))
        v = jnp.where(rows == i, first + jnp.where(first < 0, -length, length), below)
        tau = jnp.where(jnp.any(below != 0), 2 / jnp.sum(v**2), 0)  # else nothing is to do
        r = r - tau * jnp.outer(v, v @ r)
        return r, jnp.where(columns == i, v[:, None], vs), jnp.where(columns == i, tau, taus)

    r, vs, taus = lax.fori_loop(0, k, reflect, (a, jnp.zeros((m, k)), jnp.zeros(k)))

    def back(q: Array, reflection: tuple[Array, Array]) -> tuple[Array, None]:
        v, tau = reflection
        return q - tau * jnp.outer(v, v @ q), None

    q, _ = lax.scan(back, jnp.eye(m, k), (vs.T, taus), reverse=True)
    return q, jnp.triu(r[:k])
