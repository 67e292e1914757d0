"""Batteries and plants as rows of a program; chargers are in `charger_rows.py`.

Each function gives the bounds of its quantities and adds what binds them. `x` are the quantities' variables.
"""

from typing import Any

import numpy as np
from jax import numpy as jnp

from agents.optimal_power.day import Day
from agents.optimal_power.program import Floats, Index, Program
from agents.optimal_power.quantities import available_kw
from gridenv.devices import battery, ieee1547
from gridenv.sim.model import GridModel


def battery_bounds(params: Any, n_step: int) -> tuple[Floats, Floats]:
    """Ratings, [step, unit] low and high."""
    low = -np.minimum(params.p_charge_max_kw, params.s_rated_kva)
    high = np.minimum(params.p_discharge_max_kw, params.s_rated_kva)
    return np.tile(low, (n_step, 1)), np.tile(high, (n_step, 1))


def add_batteries(
    program: Program,
    params: Any,
    course_kwh: Floats,
    places: dict[int, int],
    q_places: dict[int, int],
    x: Index,
    dt_h: float,
    is_near: bool,
) -> None:
    """Stored energy with one-way efficiencies and limits, worth of what is left, wear.

    Charging c and discharging d: `x = d - c - standby`, `e' = (1 - lost) e + hours (eff c - d / eff)`. Wear is the
    price of |change of depth^exponent|, linearised inside the absolute value about the course; calendar ageing is
    linearised as a whole. Source: docs/devices/battery.md eqs. 1 to 7.

    Args:
        program: to add to.
        params: of the batteries, on the host.
        course_kwh: [step + 1, unit] stored energy of the course.
        places: place of each unit's active power among the quantities.
        q_places: of its reactive power.
        x: [step, quantity] variables.
        dt_h: hours of a step.
        is_near: whether the plan is to stay near the course; then the law's curvature counts too. A plan that may go
            anywhere is led away from good ones far off by it.
    """
    n_step = len(x)
    rate = params.self_discharge_per_h
    lost = -np.expm1(-rate * dt_h)
    hours = np.where(rate > 0, lost / np.where(rate > 0, rate, 1.0), dt_h)
    for unit, k in places.items():
        charge, discharge, e = (program.variables(n_step) for _ in range(3))
        for block in (charge, discharge):
            program.at_most(np.zeros(n_step), (block, -1.0))
        program.equal(np.full(n_step, -params.standby_kw[unit]), (x[:, k], 1.0), (discharge, -1.0), (charge, 1.0))
        kept = 1.0 - lost[unit]
        into = (charge, -hours[unit] * params.eff_charge[unit]), (discharge, hours[unit] / params.eff_discharge[unit])
        program.equal([kept * course_kwh[0, unit]], (e[:1], 1.0), *((v[:1], c) for v, c in into))
        program.equal(np.zeros(n_step - 1), (e[1:], 1.0), (e[:-1], -kept), *((v[1:], c) for v, c in into))
        program.between(
            e, *(np.full(n_step, soc[unit] * params.e_max_kwh[unit]) for soc in (params.soc_min, params.soc_max))
        )
        program.add_cost(e[-1:], -params.stock_eur_per_kwh[unit] * params.eff_discharge[unit])
        if unit in q_places:
            program.in_circle(np.full(n_step, params.s_rated_kva[unit]), x[:, k], x[:, q_places[unit]])
        _add_wear(program, params, unit, course_kwh[:, unit], e, dt_h, is_near)


def _add_wear(
    program: Program, params: Any, unit: int, course_kwh: Floats, e: Index, dt_h: float, is_near: bool
) -> None:
    """`w >= |f(e') - f(e)|` with the depth law f linearised about the course; slope of calendar ageing."""
    k, e_max_kwh = params.depth_exponent[unit], params.e_max_kwh[unit]
    soc = course_kwh / e_max_kwh
    depth = np.maximum(1.0 - soc, 0.0)
    law, slope = depth**k, -k * depth ** (k - 1.0) / e_max_kwh
    known = law - slope * course_kwh
    # In EUR, so that all rows of a program are of like size.
    price = params.cycle_eur[unit] / 2
    wear = program.variables(len(e), 1.0)
    for sign in (price, -price):
        right = -sign * (known[1:] - known[:-1])
        right[0] += sign * slope[0] * course_kwh[0]
        program.at_most(right[:1], (e[:1], sign * slope[1:2]), (wear[:1], -1.0))
        program.at_most(right[1:], (e[1:], sign * slope[2:]), (e[:-1], -sign * slope[1:-1]), (wear[1:], -1.0))
    if is_near:
        # Where the course turns from discharging to charging the law bends the cost upwards; elsewhere not.
        way = np.append(np.sign(np.diff(law)), 0.0)
        bend = price * np.maximum(way[:-1] - way[1:], 0.0) * k * (k - 1.0) * depth[1:] ** (k - 2.0) / e_max_kwh**2
        program.add_cost(e, -bend * course_kwh[1:], bend)
    stress = np.exp(params.soc_stress[unit] * (soc[1:] - battery.SOC_OF_CALENDAR_LIFE))
    program.add_cost(e, params.calendar_eur_per_h[unit] * dt_h * params.soc_stress[unit] / e_max_kwh * stress)


def plant_bounds(model: GridModel, group: int, day: Day, has_p: bool) -> tuple[Floats, Floats]:
    """Available active power and reactive capability either way, [step, unit]; the apparent power where active power
    is no choice."""
    ratings = model.groups[group].params.ratings
    available = available_kw(model, group, jnp.asarray(day.t))
    absorb, inject = ieee1547.capability(ratings, available)
    limit = jnp.minimum(absorb, inject)
    if not has_p:
        limit = jnp.minimum(limit, ieee1547.beside(ratings.s_rated_kva, available))
    return np.asarray(available, float), np.asarray(limit, float)


def add_plants(
    program: Program, params: Any, places: dict[int, int], q_places: dict[int, int], x: Index, dt_h: float
) -> None:
    """Apparent power of plants that choose both, and what their owners are paid for energy not taken."""
    for unit, k in places.items():
        program.add_cost(x[:, k], -params.curtailment_price_per_kwh[unit] * dt_h)
        program.in_circle(np.full(len(x), params.ratings.s_rated_kva[unit]), x[:, k], x[:, q_places[unit]])
