"""Inverters on the volt-var curve of IEEE 1547-2018, in equilibrium with the grid.

The curve sees the voltage that its own reactive power brings about in the same step, as a real inverter does within
seconds; it is not fed the voltage of the step before.
"""

from dataclasses import replace

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.devices import ieee1547
from gridenv.exogenous.scenario import sample
from gridenv.powerflow import flows
from gridenv.powerflow.solver import Equipment
from gridenv.sim import supply
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridState
from gridenv.sim.step import Injections, balance, moved, project, solve
from gridenv.tasks.actuator import Actuator
from gridenv.tasks.units import inverters

_SETTLED_SHARE = 1e-5
"""Curve and power flow agree when reactive power differs by less than this share of the rating."""
_MAX_ROUNDS = 200
_Search = tuple[Array, Array, Array, Array, Array]
"""Reactive power, what the curve asks beyond it, whether the power flow converged, its voltages, rounds."""


def follow_curves(
    actuator: Actuator, model: GridModel, grid: GridState, action: Float[Array, "*batch act"]
) -> tuple[Float[Array, "*batch act"], Bool[Array, "*batch"]]:
    """The action with the reactive power of the controlled inverters on their curves.

    Args:
        actuator: of the task.
        model: the grid.
        grid: its state before the step.
        action: of all units in physical units; entries of other units are kept.

    Returns:
        The action, and whether curve and power flow agree (true where no inverter is controlled).
    """
    rows = [
        i
        for i, group in enumerate(actuator.groups)
        if group.kind is inverters.KIND and actuator.controls[i] and not inverters.follows_curve(model.groups[i].params)
    ]
    settled = jnp.ones(grid.t.shape, bool)
    for row in rows:
        q_kvar, limit_kvar, agrees = _equilibrium(actuator, model, grid, action, row)
        parts = actuator.parts(action)
        parts[row] = parts[row].at[..., inverters.Q_ENTRY].set(q_kvar / limit_kvar)
        action, settled = actuator.joined(parts), settled & agrees
    return action, settled


def _equilibrium(
    actuator: Actuator, model: GridModel, grid: GridState, action: Array, row: int
) -> tuple[Array, Array, Array]:
    """Reactive power of a group at which curve and power flow agree, its limit, and whether they do.

    Iterates q <- q + (1 + D X)^-1 (curve(v(q)) - q) with X the voltage sensitivity of the unloaded network and D the
    steepest slope of the curve. As the curve only falls and X is positive, this contracts for every slope in 0..D.
    """
    series = sample(model.scenario, grid.t)
    group = model.groups[row]
    command = actuator.command(model, grid, action)
    feasible = project(model, grid, series, command)
    equipment = moved(model, feasible)
    live = supply.energised(model, equipment)
    limit = inverters.q_limit_kvar(group.params, feasible[row].p_kw)
    rating = group.params.ratings.s_rated_kva
    v_points, q_points = group.params.volt_var_v_pu, group.params.volt_var_q_share
    step_matrix = _step_matrix(model, equipment, row)

    def gap(q_kvar: Array, start: Array) -> tuple[Array, Array, Array]:
        done = (*feasible[:row], replace(feasible[row], q_kvar=q_kvar), *feasible[row + 1 :])
        _, solution = balance(model, grid, series, command, done, equipment, live, start)
        v_pu = group.v_pu(flows.of_equipment(flows.bus_v_pu, model.flow, solution.slot_current, equipment))
        asked = ieee1547.volt_var_q_share(v_pu, v_points, q_points) * rating
        return jnp.clip(asked, -limit, limit) - q_kvar, solution.converged, solution.slot_voltage

    def unsettled(carry: _Search) -> Array:
        _, difference, _, _, count = carry
        return (count < _MAX_ROUNDS) & jnp.any(jnp.abs(difference) > _SETTLED_SHARE * rating)

    def body(carry: _Search) -> _Search:
        q_kvar, difference, _, start, count = carry
        q_kvar = q_kvar + difference @ step_matrix
        return q_kvar, *gap(q_kvar, start), count + 1

    idle = jnp.zeros_like(limit)
    carry = (idle, *gap(idle, grid.slot_voltage), jnp.int32(0))
    q_kvar, difference, converged, _, _ = lax.while_loop(unsettled, body, carry)
    return q_kvar, limit, converged & jnp.all(jnp.abs(difference) <= _SETTLED_SHARE * rating, axis=-1)


def _step_matrix(model: GridModel, equipment: Equipment, row: int) -> Float[Array, "unit unit"]:
    """Transpose of (1 + D X)^-1, D in kvar per pu and X in pu per kvar; equipment as in the first environment."""
    group = model.groups[row]
    first, n_unit = _first_injection(model, row), len(group.names)
    alone: Equipment = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1])[0], equipment)
    zero = jnp.zeros(model.flow.in_service.shape, model.flow.dtype)

    def v_of(q_kvar: Array) -> Array:
        solution = solve(model, Injections(zero, zero.at[first : first + n_unit].set(q_kvar)), alone)
        return group.v_pu(flows.of_equipment(flows.bus_v_pu, model.flow, solution.slot_current, alone))

    sensitivity = jax.jacfwd(v_of)(zero[first : first + n_unit])
    slope = ieee1547.steepest_per_pu(group.params.volt_var_v_pu, group.params.volt_var_q_share)
    weighted = (slope * group.params.ratings.s_rated_kva)[:, None] * sensitivity
    return jnp.linalg.inv(jnp.eye(n_unit, dtype=zero.dtype) + weighted).T


def _first_injection(model: GridModel, row: int) -> int:
    """Place of a group's first unit among the injections."""
    n_load = model.loads.p_weight_kw.shape[1]
    return n_load + sum(len(g.names) for g in model.groups[:row] if g.family.moves is None)
