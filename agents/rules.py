"""Controllers without learning: do nothing, and the standard's volt-var curve."""

from dataclasses import dataclass

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.devices import pv
from gridenv.devices.volt_var_curve import CATEGORY_B, VoltVarCurve, q_request_share
from gridenv.exogenous.scenario import sample
from gridenv.powerflow import flows, solver
from gridenv.sim.model import GridModel
from gridenv.sim.state import Command
from gridenv.sim.step import inject, solve
from gridenv.tasks.env import EnvParams, EnvState

_SETTLED_SHARE = 1e-5
"""Curve and power flow agree when reactive power differs by less than this share of the rating."""
_MAX_ROUNDS = 200
_Search = tuple[Array, Array, Array, Array, Array]
"""Reactive power, what the curve asks beyond it, whether the power flow converged, its voltages, rounds."""


@dataclass(frozen=True)
class DoNothing:
    """No reactive power at all: inverters at unity power factor."""

    name: str = "none"

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Zero for every inverter."""
        del state
        return jnp.zeros((*observation.shape[:-1], *params.model.pv.s_rated_kva.shape), observation.dtype)


@dataclass(frozen=True)
class VoltVarDroop:
    """The volt-var curve of IEEE 1547-2018 at every inverter, in equilibrium with the grid.

    The curve sees the voltage that its own reactive power brings about in the same step, as a real inverter does
    within seconds; it is not fed the voltage of the step before.
    """

    curve: VoltVarCurve = CATEGORY_B
    name: str = "rule"

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Share of the available reactive power that the curve settles at; `settled` says whether it does."""
        del observation
        q_kvar, available_kvar, _ = equilibrium(params.model, self.curve, state.grid.t, state.grid.slot_voltage)
        return q_kvar / available_kvar

    def settled(self, params: EnvParams, state: EnvState) -> Bool[Array, "*batch"]:
        """Whether `act` is the equilibrium of curve and grid in this state, or only where the search for it stopped."""
        return equilibrium(params.model, self.curve, state.grid.t, state.grid.slot_voltage)[2]


def equilibrium(
    model: GridModel, curve: VoltVarCurve, t: Int[Array, "*batch"], start: Float[Array, "*batch two_slot"]
) -> tuple[Float[Array, "*batch unit"], Float[Array, "*batch unit"], Bool[Array, "*batch"]]:
    """Reactive power at which curve and power flow agree.

    Iterates q <- q + (1 + D X)^-1 (curve(v(q)) - q) with X the voltage sensitivity of the unloaded network and D the
    steepest slope of the curve. As the curve only falls and X is positive, this contracts for every slope in 0..D.

    Returns:
        Reactive power (kvar), reactive power available beside the active power (kvar), and whether it settled, at a
        power flow that converged.
    """
    series = sample(model.scenario, t)
    limit = pv.q_available_kvar(model.pv, pv.available_kw(model.pv, series))
    rating = model.pv.s_rated_kva
    step_matrix = _step_matrix(model, curve)

    def gap(q_kvar: Array, start: Array) -> tuple[Array, Array, Array]:
        solution = solve(model, inject(model, series, Command(pv_q_kvar=q_kvar)), start)
        asked = q_request_share(curve, flows.bus_v_pu(model.flow, solution.slot_current)[..., model.pv.bus]) * rating
        return jnp.clip(asked, -limit, limit) - q_kvar, solution.converged, solution.slot_voltage

    def unsettled(carry: _Search) -> Array:
        _, difference, _, _, count = carry
        return (count < _MAX_ROUNDS) & jnp.any(jnp.abs(difference) > _SETTLED_SHARE * rating)

    def body(carry: _Search) -> _Search:
        q_kvar, difference, _, start, count = carry
        q_kvar = q_kvar + difference @ step_matrix
        return q_kvar, *gap(q_kvar, start), count + 1

    idle = jnp.zeros_like(limit)
    carry = (idle, *gap(idle, start), jnp.int32(0))
    q_kvar, difference, converged, _, _ = lax.while_loop(unsettled, body, carry)
    return q_kvar, limit, converged & jnp.all(jnp.abs(difference) <= _SETTLED_SHARE * rating, axis=-1)


def _step_matrix(model: GridModel, curve: VoltVarCurve) -> Float[Array, "unit unit"]:
    """Transpose of (1 + D X)^-1, D in kvar per pu and X in pu per kvar."""
    unit = jnp.arange(model.pv.bus.shape[0])
    zero = jnp.zeros(model.flow.in_service.shape, model.flow.dtype)
    first_pv = zero.shape[0] - unit.shape[0]

    def v_of(q_kvar: Array) -> Array:
        solution = solver.solve(
            model.flow,
            zero,
            zero.at[first_pv:].set(q_kvar),
            None,
            tolerance_pu=model.tolerance_pu,
            max_iterations=model.max_iterations,
        )
        return flows.bus_v_pu(model.flow, solution.slot_current)[model.pv.bus]

    sensitivity = jax.jacfwd(v_of)(zero[first_pv:])
    slope = curve.steepest_per_pu * model.pv.s_rated_kva
    return jnp.linalg.inv(jnp.eye(len(unit), dtype=zero.dtype) + slope[:, None] * sensitivity).T
