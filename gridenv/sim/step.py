"""One step of the grid. The order of the phases is part of the model: changing it changes results.

1. what comes from outside: the scenario's values of this step
2. projection: requests to what the devices can do, at the voltages of the step before
3. equipment: positions of taps, capacitors and switches
4. supply, where switches move: devices without a path to a source deliver nothing
5. injections: power of loads and devices
6. power flow, in balance with the units that follow the voltage at their terminals
7. metering: voltages, flows, losses
8. devices: their states after the step, from the power delivered
9. ledgers: what the step was worth to each device
"""

from dataclasses import replace
from typing import Any, NamedTuple

from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.devices import load
from gridenv.exogenous.scenario import sample
from gridenv.powerflow import solver
from gridenv.powerflow.solver import Equipment
from gridenv.sim import supply
from gridenv.sim.local_curves import follow
from gridenv.sim.metering import meter
from gridenv.sim.model import GridModel
from gridenv.sim.state import Command, GridOutput, GridState


class Injections(NamedTuple):
    """Power of every injecting element into the network."""

    p_kw: Float[Array, "*batch injection"]
    q_kvar: Float[Array, "*batch injection"]


def step(model: GridModel, state: GridState, command: Command) -> tuple[GridState, GridOutput]:
    """Advance by one scenario step.

    Returns:
        The next state and the step's output; where `converged` is false, voltages and flows mean nothing.
    """
    series = sample(model.scenario, state.t)
    feasible = project(model, state, series, command)
    equipment = moved(model, feasible)
    live = supply.energised(model, equipment)
    start = None if model.has_equipment else state.slot_voltage
    feasible, solution = balance(model, state, series, command, feasible, equipment, live, start)
    delivered = supply.deliver(model, feasible, live)
    injections = inject(model, series, delivered)
    metered = meter(model, injections.p_kw, injections.q_kvar, equipment, solution)
    inputs = model.inputs(state.t, series, metered.v_pu)
    after = tuple(
        group.family.step(group.params, before, done, seen)
        for group, before, done, seen in zip(model.groups, state.devices, delivered, inputs, strict=True)
    )
    ledgers = tuple(
        group.family.settle(group.params, before, done, now, seen)
        for group, before, done, now, seen in zip(model.groups, state.devices, delivered, after, inputs, strict=True)
    )
    output = GridOutput(**metered._asdict(), feasible=delivered, ledgers=ledgers)
    if live is not None:
        missed, p_kw = supply.account(model, live, feasible, delivered, injections.p_kw)
        output = replace(output, p_kw=p_kw, v_pu=jnp.where(live, metered.v_pu, 0.0), supply=missed)
    # A failed solution is no place to start the next one from.
    start = jnp.where(solution.converged[..., None], solution.slot_voltage, model.flow.slot_no_load)
    v_pu = jnp.where(solution.converged[..., None], metered.v_pu, 1.0)
    if live is not None:
        # Nor is the voltage of a dead node one that devices act on when supply is back.
        v_pu = jnp.where(live, v_pu, 1.0)
    return GridState(t=state.t + 1, slot_voltage=start, v_pu=v_pu, devices=after), output


def project(
    model: GridModel, state: GridState, series: Float[Array, "*batch series"], command: Command
) -> tuple[Any, ...]:
    """What each group can do of what it was asked."""
    inputs = model.inputs(state.t, series, state.v_pu)
    return tuple(
        group.family.project(group.params, before, request, seen)
        for group, before, request, seen in zip(model.groups, state.devices, command.requests, inputs, strict=True)
    )


def moved(model: GridModel, feasible: tuple[Any, ...]) -> Equipment:
    """Positions of the equipment that groups move."""
    equipment = model.equipment
    for group, done in zip(model.groups, feasible, strict=True):
        kind = group.family.moves
        if kind is not None:
            before = getattr(equipment, kind)
            wide = jnp.broadcast_to(before, (*done.position.shape[:-1], before.shape[-1]))
            equipment = replace(equipment, **{kind: wide.at[..., group.position].set(done.position)})
    return equipment


def inject(model: GridModel, series: Float[Array, "*batch series"], feasible: tuple[Any, ...]) -> Injections:
    """Power of the loads, then of the units of the groups."""
    load_p_kw, load_q_kvar = load.power(model.loads, series)
    injecting = [d for group, d in zip(model.groups, feasible, strict=True) if group.family.moves is None]
    p_kw = jnp.concatenate([load_p_kw, *(d.p_kw for d in injecting)], axis=-1)
    return Injections(p_kw, jnp.concatenate([load_q_kvar, *(d.q_kvar for d in injecting)], axis=-1))


def balance(
    model: GridModel,
    state: GridState,
    series: Float[Array, "*batch series"],
    command: Command,
    feasible: tuple[Any, ...],
    equipment: Equipment,
    live: Bool[Array, "*batch node"] | None,
    start: Float[Array, "*batch two_slot"] | None,
) -> tuple[tuple[Any, ...], solver.FlowSolution]:
    """What the groups do and the power flow that comes of it."""

    def run(done: tuple[Any, ...], first: Array | None) -> solver.FlowSolution:
        return solve(model, inject(model, series, supply.deliver(model, done, live)), equipment, first)

    return follow(model, state, series, command, feasible, run, start)


def solve(
    model: GridModel,
    injections: Injections,
    equipment: Equipment,
    start: Float[Array, "*batch two_slot"] | None = None,
) -> solver.FlowSolution:
    """Power flow of a step."""
    return solver.solve(
        model.flow,
        injections.p_kw,
        injections.q_kvar,
        start,
        equipment,
        tolerance_pu=model.tolerance_pu,
        max_iterations=model.max_iterations,
    )
