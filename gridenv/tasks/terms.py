"""Reward and cost terms. Each takes values of one step and gives EUR or a cost of that step, never a running total."""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.units import KWH_PER_MWH

UNBALANCE_LIMIT = 0.02
"""Negative over positive sequence voltage. Source: EN 50160 clause 4.2.10, 95 % of 10-minute means within 2 %."""
V_BAND_LOW_PU = 0.95
V_BAND_HIGH_PU = 1.05
"""Band of the cost vector. Source: ANSI C84.1-2020 range A, +-5 % of nominal."""


def loss_cost_eur(
    loss_kw: Float[Array, "*batch"], price_eur_mwh: Float[Array, "*batch"], dt_h: float
) -> Float[Array, "*batch"]:
    """Network losses at the day-ahead price.

    Assumed: a negative price counts as zero. Otherwise an agent would be paid for heating the lines.
    """
    return loss_kw * jnp.maximum(price_eur_mwh, 0.0) * (dt_h / KWH_PER_MWH)


def v_band_pu_h(v_pu: Float[Array, "*batch bus"], dt_h: float) -> Float[Array, "*batch"]:
    """Voltage outside 0.95..1.05 pu, summed over buses, times the length of the step."""
    outside = jnp.maximum(v_pu - V_BAND_HIGH_PU, 0.0) + jnp.maximum(V_BAND_LOW_PU - v_pu, 0.0)
    return jnp.sum(outside, axis=-1) * dt_h


def v_band_share(v_pu: Float[Array, "*batch bus"]) -> Float[Array, "*batch"]:
    """Share of buses outside 0.95..1.05 pu."""
    return jnp.mean((v_pu > V_BAND_HIGH_PU) | (v_pu < V_BAND_LOW_PU), axis=-1, dtype=v_pu.dtype)


def thermal_pu_h(loading: Float[Array, "*batch branch"], dt_h: float) -> Float[Array, "*batch"]:
    """Loading of lines or transformers above 1.0, summed over them, times the length of the step."""
    return jnp.sum(jnp.maximum(loading - 1.0, 0.0), axis=-1) * dt_h


def unserved_kwh(unserved_kw: Float[Array, "*batch"], dt_h: float) -> Float[Array, "*batch"]:
    """Energy that loads and units without supply would have drawn and fed in.

    Assumed: a plant that is cut off counts as a load does. Otherwise opening a switch would be a cheap way to curtail
    it, to get rid of an overvoltage or to dodge a negative price. Storage does not count: it can rest anyway.
    """
    return unserved_kw * dt_h


def unbalance_pu_h(unbalance: Float[Array, "*batch bus"], dt_h: float) -> Float[Array, "*batch"]:
    """Voltage unbalance factor above 2 %, summed over buses with three phases, times the length of the step."""
    return jnp.sum(jnp.maximum(unbalance - UNBALANCE_LIMIT, 0.0), axis=-1) * dt_h
