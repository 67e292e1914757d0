"""Quantities that follow from the currents of the injection nodes: voltages, flows, loadings, losses, residual.

All are affine in the currents, `x = x0 + I @ response`, or functions of such quantities. Computing branch currents from
voltage differences instead would lose float32 digits on short lines.
"""

from typing import NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Complex, Float

from gridenv.powerflow.arrays import FlowArrays
from gridenv.powerflow.dense import slot_power_pu

_TINY = 1e-30


class SourcePower(NamedTuple):
    """Power from the upstream grid into the network, all sources together."""

    p_kw: Float[Array, "*batch"]
    q_kvar: Float[Array, "*batch"]


def magnitude(pair: Float[Array, "*batch two_n"]) -> Float[Array, "*batch n"]:
    """Absolute values of complex numbers stored as [Re, Im]."""
    re, im = jnp.split(pair, 2, axis=-1)
    # The floor keeps the gradient of an open line, whose current is exactly zero, from becoming NaN.
    return jnp.sqrt(jnp.maximum(re * re + im * im, _TINY))


@jax.jit
def bus_voltage(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Complex[Array, "*batch bus"]:
    """Complex voltage of every bus, pu; 0 where de-energised."""
    return lax.complex(*jnp.split(_bus_pair(flow, slot_current), 2, axis=-1))


@jax.jit
def bus_v_pu(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch bus"]:
    """Voltage magnitude of every bus, pu."""
    return magnitude(_bus_pair(flow, slot_current))


@jax.jit
def slot_voltage(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch two_slot"]:
    """Voltage of every injection node as [Re, Im], pu."""
    return flow.slot_no_load + slot_current @ flow.slot_response


@jax.jit
def residual_pu(
    flow: FlowArrays,
    slot_current: Float[Array, "*batch two_slot"],
    p_kw: Float[Array, "*batch injection"],
    q_kvar: Float[Array, "*batch injection"],
) -> Float[Array, "*batch"]:
    """Largest difference of the power that the currents carry, V conj(I), and that asked for, pu of `s_base_kva`."""
    ir, ii = jnp.split(slot_current, 2, axis=-1)
    vr, vi = jnp.split(slot_voltage(flow, slot_current), 2, axis=-1)
    dp = vr * ir + vi * ii - slot_power_pu(flow, p_kw)
    dq = vi * ir - vr * ii - slot_power_pu(flow, q_kvar)
    mismatch = dp * dp + dq * dq
    # On a CPU the maximum of XLA passes over NaN.
    mismatch = jnp.where(jnp.isfinite(mismatch), mismatch, jnp.inf)
    return jnp.sqrt(jnp.max(mismatch, axis=-1, initial=0.0))


@jax.jit
def line_current_a(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch line"]:
    """Current of every line in A, the larger of its two ends."""
    ends = 1 if flow.line_ends_agree else 2
    currents = [magnitude(flow.line_no_load[end] + slot_current @ flow.line_response[end]) for end in range(ends)]
    return currents[0] if ends == 1 else jnp.maximum(*currents)


@jax.jit
def line_loading(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch line"]:
    """Current of every line as a share of its rating; 0 where no rating is known."""
    return line_current_a(flow, slot_current) * (1.0 / flow.line_i_max_a)


@jax.jit
def transformer_loading(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> Float[Array, "*batch transformer"]:
    """Current of every transformer as a share of its rating, the larger of its two sides."""
    sides = [
        magnitude(flow.transformer_no_load[end] + slot_current @ flow.transformer_response[end])
        / flow.transformer_rating[end]
        for end in (0, 1)
    ]
    return jnp.maximum(*sides)


@jax.jit
def source_power(
    flow: FlowArrays,
    slot_current: Float[Array, "*batch two_slot"],
    p_kw: Float[Array, "*batch injection"],
    q_kvar: Float[Array, "*batch injection"],
) -> SourcePower:
    """Power from the upstream grid; injections at a source's own bus are served there."""
    p, q = (power * flow.s_base_kva for power in _entering(flow, slot_current))
    return SourcePower(p - p_kw @ flow.injection_source, q - q_kvar @ flow.injection_source)


@jax.jit
def loss_kw(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"], p_kw: Float[Array, "*batch injection"]
) -> Float[Array, "*batch"]:
    """Active power that enters the network and does not leave it again: lines, transformers and shunts."""
    injected = jnp.sum(slot_power_pu(flow, p_kw), axis=-1)
    return (_entering(flow, slot_current)[0] + injected) * flow.s_base_kva


def _bus_pair(flow: FlowArrays, slot_current: Array) -> Array:
    return flow.bus_no_load + slot_current @ flow.bus_response


def _entering(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Active and reactive power from all source nodes into the network, pu."""
    current = flow.source_no_load + slot_current @ flow.source_response
    ir, ii = jnp.split(current, 2, axis=-1)
    vr, vi = jnp.split(flow.source_voltage, 2, axis=-1)
    return jnp.sum(vr * ir + vi * ii, axis=-1), jnp.sum(vi * ir - vr * ii, axis=-1)
