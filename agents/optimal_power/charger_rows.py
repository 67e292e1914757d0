"""Chargers and their vehicles as rows of a program. Equations: docs/devices/ev_charger.md and docs/optimisation.md."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from agents.optimal_power.day import Day
from agents.optimal_power.host import on_host
from agents.optimal_power.program import Floats, Index, Program
from gridenv.core.units import SECONDS_PER_HOUR
from gridenv.devices.ev_charger_params import EvChargerParams, Session, sessions_at
from gridenv.exogenous.cccv import charged_kwh, needed_kwh
from gridenv.exogenous.timebase import STEP_S

_SESSION_STEP_H = STEP_S / SECONDS_PER_HOUR
_TANGENTS = (1.0, 0.5)
"""Where the taper within a step is bounded by tangents: share of the step that it lasts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Visits:
    """What is known of the vehicles at the chargers of a group, [step, charger]."""

    is_here: np.ndarray
    continues: np.ndarray
    """Whether the vehicle of the step before stays."""
    leaves: np.ndarray
    """Whether it is gone in the next step."""
    e_fresh_kwh: Floats
    """On arrival; in the first step what is in the vehicle by then."""
    battery_kwh: Floats
    target_kwh: Floats
    charge_max_kw: Floats
    """Before the taper, at the terminals."""
    taper_rate_per_h: Floats
    """How fast the room in the battery falls in the taper."""
    feed_max_kw: Floats
    floor_kwh: Floats
    """Energy after the step below which nothing is fed into the network."""
    lowest_kwh: Floats
    """Energy that a vehicle never falls below."""
    highest_kwh: Floats
    """Energy after the step when charging at full power from the beginning."""


def visits_of(device: EvChargerParams, params: Any, day: Day, group: int, known_until: int | None) -> Visits:
    """The vehicles of a day.

    Args:
        device: parameters with the sessions, as the simulator has them.
        params: the same on the host.
        day: the steps.
        group: place among `GridModel.groups`.
        known_until: scenario step after which arrivals are not known yet; None = all are.
    """
    now, following, floor = on_host(_sessions(device, jnp.asarray(day.t)))
    is_here = now.connected > 0
    if known_until is not None:
        is_here &= now.arrival_step <= known_until
    same = now.index[1:] == now.index[:-1]
    continues = np.concatenate([np.zeros((1, is_here.shape[1]), bool), same & is_here[1:] & is_here[:-1]])
    e_fresh = now.e_arrival_kwh
    e_fresh[0] = day.devices[group].e_kwh[0]
    p_max = np.minimum(now.p_max_kw, params.p_max_kw) * is_here
    feed = np.minimum(now.p_max_kw, params.p_discharge_max_kw) * now.v2g_consent * is_here
    eff = params.eff_charge
    first, highest = _reach(params, now, continues, e_fresh)
    reserve = np.minimum(now.e_arrival_kwh, params.reserve_soc * now.battery_kwh)
    return Visits(
        is_here=is_here,
        continues=continues,
        leaves=is_here & (now.index != following.index),
        e_fresh_kwh=e_fresh,
        battery_kwh=now.battery_kwh,
        target_kwh=now.target_kwh,
        charge_max_kw=p_max,
        taper_rate_per_h=now.p_max_kw * eff / ((1.0 - params.transition_soc) * now.battery_kwh),
        # Nothing is fed in where not even full charging since arrival gets above the floor.
        feed_max_kw=np.where(highest > floor, feed, 0.0),
        floor_kwh=floor,
        lowest_kwh=np.minimum(first, reserve),
        highest_kwh=highest,
    )


@jax.jit
def _sessions(params: EvChargerParams, t: jax.Array) -> tuple[Session, Session, jax.Array]:
    """Sessions of the steps and of the next ones, and the energy after each step below which nothing is fed in."""
    now = sessions_at(params, t)
    left_h = jnp.maximum((now.departure_step - t[:, None].astype(now.departure_step.dtype) - 1) * _SESSION_STEP_H, 0.0)
    p_cc, offered = now.p_max_kw * params.eff_charge, params.p_max_kw * params.eff_charge
    needed = needed_kwh(now.target_kwh, now.battery_kwh, p_cc, offered, params.transition_soc, left_h)
    reserve = jnp.minimum(now.e_arrival_kwh, params.reserve_soc * now.battery_kwh)
    return now, sessions_at(params, t + 1), jnp.maximum(reserve, needed)


def _reach(params: Any, now: Any, continues: np.ndarray, e_fresh: Floats) -> tuple[Floats, Floats]:
    """[step, charger] energy at the beginning of the visit, and after the step with full charging."""
    eff = params.eff_charge
    first, full = np.zeros_like(e_fresh), np.zeros_like(e_fresh)
    for h in range(len(e_fresh)):
        stays = continues[h]
        first[h] = np.where(stays, first[h - 1], e_fresh[h])
        start = np.where(stays, full[h - 1], e_fresh[h])
        more = charged_kwh(
            start,
            now.battery_kwh[h],
            now.p_max_kw[h] * eff,
            params.p_max_kw * eff,
            params.transition_soc,
            _SESSION_STEP_H,
        )
        full[h] = start + more
    return first, full


def charger_bounds(visits: Visits) -> tuple[Floats, Floats]:
    """[step, charger] low and high."""
    return -visits.charge_max_kw, visits.feed_max_kw


def add_chargers(program: Program, params: Any, visits: Visits, x: Index, dt_h: float) -> None:
    """Energy in the vehicles, taper, what must stay in them to be fed in, stations, shortfall, wear and worth.

    Args:
        program: to add to.
        params: of the chargers, on the host.
        visits: the vehicles.
        x: [step, charger] variables.
        dt_h: hours of a step.
    """
    step, unit = np.nonzero(visits.is_here)
    if not len(step):
        return
    own = x[step, unit]
    eff_in, eff_out = params.eff_charge[unit], params.eff_discharge[unit]
    n = len(step)
    pick = partial(np.take, indices=np.ravel_multi_index((step, unit), visits.is_here.shape))
    charge, e = program.variables(n), program.variables(n)
    feed = program.variables(n, params.wear_price_per_kwh[unit] * dt_h / eff_out)
    program.equal(np.zeros(n), (own, 1.0), (feed, -1.0), (charge, 1.0))
    program.at_most(np.zeros(n), (charge, -1.0))
    program.between(feed, np.zeros(n), pick(visits.feed_max_kw))
    # Energy: each visit begins with what is known and goes on with what was left.
    number = np.full(visits.is_here.shape, -1)
    number[step, unit] = e
    stays = pick(visits.continues)
    before = number[step - 1, unit]
    for rows, start in ((stays, [(before[stays], -1.0)]), (~stays, [])):
        program.equal(
            np.where(stays, 0.0, pick(visits.e_fresh_kwh))[rows],
            (e[rows], 1.0),
            (charge[rows], -eff_in[rows] * dt_h),
            (feed[rows], dt_h / eff_out[rows]),
            *start,
        )
    program.at_most(pick(visits.battery_kwh), (e, 1.0))
    _add_taper(program, params.eff_charge, visits, (step, unit), charge, before, dt_h)
    _add_floor(program, visits, (step, unit), feed, e)
    _add_stations(program, params, step, unit, own)
    # What is asked for, at the end of each visit or of the day.
    ends = pick(visits.leaves) | (step == len(visits.is_here) - 1)
    gain = (params.stock_price_per_kwh[unit] + params.shortfall_price_per_kwh[unit] * pick(visits.leaves))[ends]
    useful = program.variables(int(ends.sum()), -gain)
    program.at_most(np.zeros(len(useful)), (useful, 1.0), (e[ends], -1.0))
    program.at_most(pick(visits.target_kwh)[ends], (useful, 1.0))


def _add_taper(
    program: Program,
    eff_charge: Floats,
    visits: Visits,
    at: tuple[Index, Index],
    charge: Index,
    before: Index,
    dt_h: float,
) -> None:
    """Tangents of the energy that a vehicle takes in a step, which is concave in the energy it has.

    With room G, rate r and room T where the taper begins, a step whose last part tau tapers takes
    `pilot (dt - tau) + T (1 - exp(-r tau))` and the slope in G is `1 - exp(-r tau)`.
    """
    step, unit = at
    eff = eff_charge[unit]
    pilot = visits.charge_max_kw[at] * eff
    battery = visits.battery_kwh[at]
    # The rate follows the vehicle's own limit even where the charger offers less.
    rate = visits.taper_rate_per_h[at]
    taper_room = pilot / rate
    near = battery - visits.highest_kwh[at] <= taper_room
    stays = visits.continues[at]
    for share in _TANGENTS:
        tau = share * dt_h
        slope = -np.expm1(-rate * tau)
        room = taper_room + pilot * (dt_h - tau)
        constant = pilot * (dt_h - tau) + taper_room * slope + slope * (battery - room)
        for rows, start in ((near & stays, True), (near & ~stays, False)):
            right = constant[rows] - (0.0 if start else slope[rows] * visits.e_fresh_kwh[step[rows], unit[rows]])
            terms = [(before[rows], slope[rows])] if start else []
            program.at_most(right, (charge[rows], eff[rows] * dt_h), *terms)


def _add_floor(program: Program, visits: Visits, at: tuple[Index, Index], feed: Index, e: Index) -> None:
    """`e >= floor` where the charger feeds in at full power, `e >= lowest` where it does not, and between for between.

    The exact rule is one or the other, which is not convex; this is the tightest convex set around it.
    """
    most, floor, lowest = visits.feed_max_kw[at], visits.floor_kwh[at], visits.lowest_kwh[at]
    can = most > 0
    gap = np.maximum(floor - lowest, 0.0)[can]
    program.at_most(gap - floor[can], (feed[can], gap / most[can]), (e[can], -1.0))


def _add_stations(program: Program, params: Any, step: Index, unit: Index, own: Index) -> None:
    station = params.charger_to_station[unit]
    for limits, sign in ((params.import_max_kw, -1.0), (params.export_max_kw, 1.0)):
        for k in np.flatnonzero(np.isfinite(limits)):
            rows = station == k
            for h in np.unique(step[rows]):
                program.at_most([limits[k]], (own[rows & (step == h)][None], sign))
