"""Quantities that follow from what acts in the slots: voltages, flows, loadings, losses, residual.

All are affine in it, or functions of such quantities. Computing branch currents from voltage differences instead would
lose float32 digits on short lines.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Complex, Float

from gridenv.powerflow.arrays import SWITCHES, FlowArrays
from gridenv.powerflow.elimination import Elimination
from gridenv.powerflow.law import currents
from gridenv.powerflow.names import Legs
from gridenv.powerflow.solver import AS_BUILT, Equipment, flattened, lay_out_pair, make_problem, realised_flow
from gridenv.powerflow.topology import Topology, supplied_nodes

_TINY = 1e-30
_TURN = complex(-0.5, math.sqrt(3.0) / 2.0)
"""A third of a full turn, the operator a of symmetrical components."""


class SourcePower(NamedTuple):
    """Power from the upstream grid into the network, all sources together."""

    p_kw: Float[Array, "*batch"]
    q_kvar: Float[Array, "*batch"]


def magnitude(pair: Float[Array, "*batch two_n"]) -> Float[Array, "*batch n"]:
    """Absolute values of complex numbers stored as [Re, Im]."""
    re, im = jnp.split(pair, 2, axis=-1)
    # The floor keeps the gradient of an open line, whose current is exactly zero, from becoming NaN.
    return jnp.sqrt(jnp.maximum(re * re + im * im, _TINY))


@partial(jax.jit, static_argnums=0)
def of_equipment(
    quantity: Callable[..., Any], flow: FlowArrays, slot_current: Array, equipment: Equipment, *others: Any
) -> Any:
    """A quantity of this module for a network whose switches may be data."""
    if SWITCHES in flow.features:
        flow = realised_flow(flow, flattened(equipment, slot_current.shape[:-1]))
    return quantity(flow, slot_current, *others)


def _evaluate(flow: FlowArrays, quantity: Any, slot_current: Array) -> Float[Array, "*batch two_n"]:
    """A quantity of all samples as [Re, Im]."""
    batch = slot_current.shape[:-1]
    flat = slot_current.reshape(math.prod(batch), slot_current.shape[-1])
    values = flow.operator.evaluate(quantity, lay_out_pair(flow, flat))
    return values.reshape(*batch, values.shape[-1])


def _complex(pair: Array) -> Array:
    return lax.complex(*jnp.split(pair, 2, axis=-1))


@jax.jit
def bus_voltage(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Complex[Array, "*batch node"]:
    """Complex voltage of every node, pu; 0 where de-energised."""
    return _complex(_evaluate(flow, flow.operator.nodes, slot_current))


@jax.jit
def bus_v_pu(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch node"]:
    """Voltage magnitude of every node, pu."""
    return magnitude(_evaluate(flow, flow.operator.nodes, slot_current))


@jax.jit
def supplied(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Bool[Array, "*batch node"]:
    """Which named nodes a source reaches, where switches are data."""
    operator = flow.operator
    assert isinstance(operator, Elimination)
    live = operator.live[operator.ports.named].T
    return live.reshape(*slot_current.shape[:-1], live.shape[-1])


@jax.jit
def energised(flow: FlowArrays, switches: Float[Array, "*batch switch"]) -> Bool[Array, "*batch node"]:
    """Which named nodes a source reaches, from the switches alone and before any solution."""
    topology = flow.operator
    assert isinstance(topology, Topology)
    live = supplied_nodes(topology, switches.reshape(math.prod(switches.shape[:-1]), switches.shape[-1]))
    live = live[topology.ports.named].T
    return live.reshape(*switches.shape[:-1], live.shape[-1])


@jax.jit
def slot_voltage(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch two_slot"]:
    """What the slots see, as [Re, Im], pu."""
    batch = slot_current.shape[:-1]
    flat = slot_current.reshape(math.prod(batch), slot_current.shape[-1])
    seen = flow.operator.collected(flow.operator.respond(lay_out_pair(flow, flat)))
    return seen.reshape(slot_current.shape)


@jax.jit
def residual_pu(
    flow: FlowArrays,
    slot_current: Float[Array, "*batch two_slot"],
    p_kw: Float[Array, "... injection"],
    q_kvar: Float[Array, "... injection"],
    equipment: Equipment = AS_BUILT,
) -> Float[Array, "*batch"]:
    """Largest difference of the power that the currents carry, V conj(I), and that asked for, pu of `s_base_kva`.

    Slots of tap changers and the like count with the difference of what acts there and what should, pu.
    """
    batch = slot_current.shape[:-1]
    p_kw, q_kvar, equipment, slot_current = flattened((p_kw, q_kvar, equipment, slot_current), batch)
    problem = make_problem(flow, p_kw, q_kvar, equipment)
    operator = flow.operator
    x = lay_out_pair(flow, slot_current)
    y = operator.respond(x)
    gap = x - currents(problem.law, problem.power, problem.gain, y, operator.slot_axis)
    gr, gi = jnp.split(gap, 2, axis=operator.slot_axis)
    yr, yi = jnp.split(y, 2, axis=operator.slot_axis)
    weight = yr * yr + yi * yi
    if flow.is_load is not None:
        weight = jnp.where(flow.is_load > 0.0, weight, 1.0)
    mismatch = (gr * gr + gi * gi) * weight
    # On a CPU the maximum of XLA passes over NaN.
    mismatch = jnp.where(jnp.isfinite(mismatch), mismatch, jnp.inf)
    axes = tuple(a for a in range(mismatch.ndim) if a != operator.sample_axis)
    return jnp.sqrt(jnp.max(mismatch, axis=axes, initial=0)).reshape(batch)


@jax.jit
def unserved_kw(
    flow: FlowArrays, slot_current: Array, p_kw: Float[Array, "... injection"], legs: Legs, energised: Array
) -> Float[Array, "..."]:
    """Active power of the legs of loads with an end that is not energised."""
    del slot_current
    supplied = jnp.concatenate([energised, jnp.ones_like(energised[..., :1])], axis=-1)
    lost = jnp.any(~supplied[..., legs.ends], axis=-1)
    drawn = jnp.maximum(-p_kw, 0.0) * flow.in_service
    return jnp.sum(jnp.where(lost, drawn[..., legs.injection] * legs.share, 0.0), axis=-1)


@jax.jit
def line_current_a(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "..."]:
    """Current of every line in A, the larger of its two ends; three-phase: of every conductor [*batch, line, 3]."""
    current = magnitude(_evaluate(flow, flow.operator.lines, slot_current))
    ends = current.reshape(*current.shape[:-1], flow.line_r.shape[0], 1 if flow.one_end else 2, flow.n_phase)
    larger = jnp.max(ends, axis=-2) * flow.line_i_base_a[:, None]
    return larger[..., 0] if flow.n_phase == 1 else larger


@jax.jit
def line_loading(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "..."]:
    """Current of every line (and conductor) as a share of its rating; 0 where no rating is known."""
    share = 1.0 / flow.line_i_max_a
    return line_current_a(flow, slot_current) * (share if flow.n_phase == 1 else share[:, None])


@jax.jit
def transformer_loading(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> Float[Array, "*batch transformer"]:
    """Current of every transformer as a share of its rating, the largest of all its terminals."""
    current = magnitude(_evaluate(flow, flow.operator.transformers, slot_current))
    rating = flow.transformer_rating
    return jnp.max(current.reshape(*current.shape[:-1], *rating.shape) / rating, axis=-1, initial=0)


def transformer_current(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> Complex[Array, "*batch transformer_times_terminal"]:
    """Current into every terminal of every transformer, pu of its node."""
    return _complex(_evaluate(flow, flow.operator.transformers, slot_current))


def line_terminal_current(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> Complex[Array, "*batch line_times_terminal"]:
    """Current into the lines at all terminals that are computed, see `FlowArrays.one_end`; pu."""
    return _complex(_evaluate(flow, flow.operator.lines, slot_current))


@jax.jit
def source_power(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> SourcePower:
    """Power from the upstream grid at the sources' terminals; injections at a source's own bus are served there."""
    s = _entering(flow, slot_current) * flow.s_base_kva
    return SourcePower(s.real, s.imag)


@jax.jit
def loss_kw(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch"]:
    """Active power that enters the network and does not leave it again: lines, transformers and shunts."""
    return (_entering(flow, slot_current).real + _injected(flow, slot_current)) * flow.s_base_kva


@jax.jit
def injected_kw(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch"]:
    """Active power of all injections into the network, at the voltages found."""
    return _injected(flow, slot_current) * flow.s_base_kva


@jax.jit
def line_loss_kw(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"], equipment: Equipment = AS_BUILT
) -> Float[Array, "*batch line"]:
    """Active power lost in every line that connects.

    Source: `Re(i^H R i)` of the current in series, and `Re(v^H G v)` of the shunts at both ends.
    """
    v, current = _terminals(flow, slot_current, flow.operator.lines, flow.line_nodes)
    n_phase = flow.n_phase
    shunt = lax.complex(*flow.line_shunt)
    start, end = v[..., :n_phase], v[..., n_phase:]
    series = current[..., :n_phase] - jnp.einsum("lpq,...lq->...lp", shunt, start)
    lost = jnp.einsum("...lp,lpq,...lq->...l", series.conj(), flow.line_r + 0j, series).real
    if equipment.line_r_scale is not None:
        lost = lost * equipment.line_r_scale
    for at in (start, end):
        lost = lost + jnp.einsum("...lp,lpq,...lq->...l", at.conj(), flow.line_shunt[0] + 0j, at).real
    lost = jnp.where(jnp.any(current != 0.0, axis=-1), lost, 0.0)
    return lost * flow.s_base_kva


@jax.jit
def line_p_kw(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch line"]:
    """Active power into every line at its from end, all conductors together."""
    v, current = _terminals(flow, slot_current, flow.operator.lines, flow.line_nodes)
    n_phase = flow.n_phase
    return jnp.sum((v[..., :n_phase] * current[..., :n_phase].conj()).real, axis=-1) * flow.s_base_kva


@jax.jit
def transformer_p_kw(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> Float[Array, "*batch transformer terminal"]:
    """Active power into every transformer at each of its terminals."""
    v, current = _terminals(flow, slot_current, flow.operator.transformers, flow.transformer_nodes)
    return (v * current.conj()).real * flow.s_base_kva


@jax.jit
def transformer_loss_kw(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]
) -> Float[Array, "*batch transformer"]:
    """Active power lost in every transformer: what enters at all terminals. In float32 good to 1e-6 of its flow."""
    return jnp.sum(transformer_p_kw(flow, slot_current), axis=-1)


@jax.jit
def voltage_unbalance(
    flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"], three_phase: Any
) -> Float[Array, "*batch bus"]:
    """Negative over positive sequence voltage of the buses whose three nodes are given [bus, 3].

    Source: IEC 61000-4-30, voltage unbalance factor u2; C. L. Fortescue, symmetrical components.
    """
    v = bus_voltage(flow, slot_current)[..., three_phase]
    turns = jnp.asarray([1.0, _TURN, _TURN**2], v.dtype)
    positive, negative = jnp.sum(v * turns, axis=-1), jnp.sum(v * turns.conj(), axis=-1)
    return jnp.abs(negative) / jnp.maximum(jnp.abs(positive), _TINY)


def _terminals(flow: FlowArrays, slot_current: Array, quantity: Any, nodes: Array) -> tuple[Array, Array]:
    """Voltages and currents [*batch, element, terminal]."""
    v = bus_voltage(flow, slot_current)
    filled = jnp.concatenate([v, jnp.zeros((*v.shape[:-1], 1), v.dtype)], axis=-1)
    current = _complex(_evaluate(flow, quantity, slot_current))
    n_element, n_terminal = nodes.shape
    width = current.shape[-1] // n_element if n_element else n_terminal
    return filled[..., nodes], current.reshape(*current.shape[:-1], n_element, width)


def _entering(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Complex[Array, "*batch"]:
    """Complex power from all sources, pu."""
    current, v = jnp.split(_complex(_evaluate(flow, flow.operator.sources, slot_current)), 2, axis=-1)
    return jnp.sum(v * current.conj(), axis=-1)


def _injected(flow: FlowArrays, slot_current: Float[Array, "*batch two_slot"]) -> Float[Array, "*batch"]:
    """Active power that the load slots feed in, pu."""
    n_load = flow.n_load
    (yr, yi), (xr, xi) = (jnp.split(pair, 2, axis=-1) for pair in (slot_voltage(flow, slot_current), slot_current))
    return jnp.sum((yr * xr + yi * xi)[..., :n_load], axis=-1)
