"""One step of the grid. The order of the phases is part of the model: changing it changes results.

1. what comes from outside: the scenario's values of this step
2. projection: commands to what the devices can do
3. injections of all devices
4. power flow
5. metering: flows, losses, status

Devices with memory will be updated between 4 and 5, with the power actually delivered.
"""

from typing import NamedTuple

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.devices import load, pv
from gridenv.exogenous.scenario import sample
from gridenv.powerflow import flows, solver
from gridenv.sim.model import GridModel
from gridenv.sim.state import Command, GridOutput, GridState, Status


class Injections(NamedTuple):
    """Power of every injecting element into the network, and what the inverters can do."""

    p_kw: Float[Array, "*batch injection"]
    q_kvar: Float[Array, "*batch injection"]
    pv_p_kw: Float[Array, "*batch unit"]
    pv_q_kvar: Float[Array, "*batch unit"]
    pv_q_available_kvar: Float[Array, "*batch unit"]


def step(model: GridModel, state: GridState, command: Command) -> tuple[GridState, GridOutput]:
    """Advance by one scenario step.

    Returns:
        The next state and the step's output; `status` can carry NOT_CONVERGED and ACTION_CORRECTED.
    """
    series = sample(model.scenario, state.t)
    injections = inject(model, series, command)
    solution = solve(model, injections, state.slot_voltage)
    output = _meter(model, command, injections, solution)
    # A failed solution is no place to start the next one from.
    start = jnp.where(solution.converged[..., None], solution.slot_voltage, model.flow.slot_no_load)
    return GridState(t=state.t + 1, slot_voltage=start), output


def inject(model: GridModel, series: Float[Array, "*batch series"], command: Command) -> Injections:
    """Power of all devices for the scenario values of a step and a command."""
    pv_p_kw = pv.available_kw(model.pv, series)
    pv_q_kvar = pv.project(model.pv, pv_p_kw, command.pv_q_kvar)
    load_p_kw, load_q_kvar = load.power(model.loads, series)
    return Injections(
        p_kw=jnp.concatenate([load_p_kw, pv_p_kw], axis=-1),
        q_kvar=jnp.concatenate([load_q_kvar, pv_q_kvar], axis=-1),
        pv_p_kw=pv_p_kw,
        pv_q_kvar=pv_q_kvar,
        pv_q_available_kvar=pv.q_available_kvar(model.pv, pv_p_kw),
    )


def solve(
    model: GridModel, injections: Injections, start: Float[Array, "*batch two_slot"] | None = None
) -> solver.FlowSolution:
    """Power flow of a step."""
    return solver.solve(
        model.flow,
        injections.p_kw,
        injections.q_kvar,
        start,
        tolerance_pu=model.tolerance_pu,
        max_iterations=model.max_iterations,
    )


def _meter(model: GridModel, command: Command, injections: Injections, solution: solver.FlowSolution) -> GridOutput:
    current = solution.slot_current
    source = flows.source_power(model.flow, current)
    corrected = jnp.any(injections.pv_q_kvar != command.pv_q_kvar, axis=-1)
    status = jnp.where(solution.converged, 0, int(Status.NOT_CONVERGED)) | jnp.where(
        corrected, int(Status.ACTION_CORRECTED), 0
    )
    return GridOutput(
        v_pu=flows.bus_v_pu(model.flow, current),
        line_loading=flows.line_loading(model.flow, current),
        transformer_loading=flows.transformer_loading(model.flow, current),
        loss_kw=flows.loss_kw(model.flow, current),
        source_p_kw=source.p_kw,
        source_q_kvar=source.q_kvar,
        pv_p_kw=injections.pv_p_kw,
        pv_q_kvar=injections.pv_q_kvar,
        pv_q_available_kvar=injections.pv_q_available_kvar,
        residual_pu=flows.residual_pu(model.flow, current, injections.p_kw, injections.q_kvar),
        converged=solution.converged,
        iterations=solution.iterations,
        status=status,
    )
