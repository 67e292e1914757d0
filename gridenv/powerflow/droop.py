"""Inverters whose power follows the voltage at their terminals, as part of the power-flow solution.

Source: volt-var and volt-watt functions, IEEE 1547-2018, clauses 5.3.3 and 5.4.2, in their steady state.
"""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.pytree import pytree


@pytree
class DroopCurves:
    """Curves of the slots, in the layout; the last axis of a curve's points is stacked first."""

    v_var: Float[Array, "point *layout"]
    """Voltages of the volt-var curve, pu, ascending."""
    q: Float[Array, "point *layout"]
    """Reactive power into the network at these voltages, pu; all zero where there is no such curve."""
    v_watt: Float[Array, "point *layout"]
    """Voltages of the volt-watt curve, pu, ascending."""
    p_limit: Float[Array, "point *layout"]
    """Largest active power at these voltages, pu; infinite where there is no such curve."""
    v_rated: Float[Array, "*layout"]
    """Voltage that counts as 1 pu on the curves."""
    s_max: Float[Array, "*layout"]
    """Apparent power limit, pu; active power goes first. Infinite = none."""
    active: Float[Array, "*layout"]
    """1 for the slots of these inverters."""


def droop_power(curves: DroopCurves, p: Array, q: Array, squared: Array) -> tuple[Array, Array]:
    """Power with the curves applied: P limited by volt-watt, Q added by volt-var within the rating."""
    v = jnp.sqrt(squared) / curves.v_rated
    limit = interpolate(v, curves.v_watt, curves.p_limit)
    p_new = jnp.minimum(p, limit)
    head = jnp.maximum(curves.s_max**2 - p_new**2, 0.0)
    room = jnp.where(head > 0.0, jnp.sqrt(jnp.where(head > 0.0, head, 1.0)), 0.0)
    q_new = jnp.clip(q + interpolate(v, curves.v_var, curves.q), -room, room)
    is_active = curves.active > 0.0
    return jnp.where(is_active, p_new, p), jnp.where(is_active, q_new, q)


def interpolate(v: Array, x: Float[Array, "point *layout"], f: Float[Array, "point *layout"]) -> Array:
    """Piecewise linear curve through the points, level beyond both ends."""
    value = f[0] + jnp.zeros_like(v)
    for k in range(x.shape[0] - 1):
        width = jnp.maximum(x[k + 1] - x[k], 1e-9)
        share = jnp.clip((v - x[k]) / width, 0.0, 1.0)
        value = value + (f[k + 1] - f[k]) * share
    return value
