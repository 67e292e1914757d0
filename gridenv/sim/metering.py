"""What is measured after the power flow of a step."""

from typing import NamedTuple

from jax import numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gridenv.powerflow import flows
from gridenv.powerflow.arrays import SWITCHES, FlowArrays
from gridenv.powerflow.solver import Equipment, FlowSolution, flattened, realised_flow
from gridenv.sim.model import GridModel


class Metered(NamedTuple):
    """Fields of `GridOutput` that follow from the power flow."""

    v_pu: Float[Array, "*batch node"]
    line_loading: Float[Array, "*batch line"]
    transformer_loading: Float[Array, "*batch transformer"]
    unbalance: Float[Array, "*batch bus"]
    loss_kw: Float[Array, "*batch"]
    source_p_kw: Float[Array, "*batch"]
    source_q_kvar: Float[Array, "*batch"]
    load_p_kw: Float[Array, "*batch"]
    p_kw: Float[Array, "*batch injection"]
    residual_pu: Float[Array, "*batch"]
    converged: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]


def meter(
    model: GridModel,
    p_kw: Float[Array, "*batch injection"],
    q_kvar: Float[Array, "*batch injection"],
    equipment: Equipment,
    solution: FlowSolution,
) -> Metered:
    """Voltages, loadings, losses and powers of a solution."""
    current = solution.slot_current
    flow = model.flow
    if SWITCHES in flow.features:
        flow = realised_flow(flow, flattened(equipment, current.shape[:-1]))
    source = flows.source_power(flow, current)
    line_loading = flows.line_loading(flow, current)
    n_load = model.loads.p_weight_kw.shape[1]
    return Metered(
        v_pu=flows.bus_v_pu(flow, current),
        line_loading=line_loading if flow.n_phase == 1 else jnp.max(line_loading, axis=-1),
        transformer_loading=flows.transformer_loading(flow, current),
        unbalance=_unbalance(model, flow, current),
        loss_kw=flows.loss_kw(flow, current),
        source_p_kw=source.p_kw,
        source_q_kvar=source.q_kvar,
        load_p_kw=flows.injected_kw(flow, current) - jnp.sum(p_kw[..., n_load:], axis=-1),
        p_kw=p_kw,
        residual_pu=_residual_pu(flow, current, p_kw, q_kvar, equipment),
        converged=solution.converged,
        iterations=solution.iterations,
    )


def _residual_pu(
    flow: FlowArrays, current: Array, p_kw: Array, q_kvar: Array, equipment: Equipment
) -> Float[Array, "*batch"]:
    """Largest power mismatch, pu of the network's base power or of the largest injection, whichever is larger."""
    residual = flows.residual_pu(flow, current, p_kw, q_kvar, equipment)
    largest = jnp.max(jnp.abs(p_kw) + jnp.abs(q_kvar), axis=-1) / flow.s_base_kva
    return residual / jnp.maximum(largest, 1.0)


def _unbalance(
    model: GridModel, flow: FlowArrays, current: Float[Array, "*batch two_slot"]
) -> Float[Array, "*batch bus"]:
    if not model.three_phase_node.shape[0]:
        return jnp.zeros((*current.shape[:-1], 0), current.dtype)
    return flows.voltage_unbalance(flow, current, model.three_phase_node)
