"""Chargers of electric vehicles: taper, feeding the network, stations with a shared limit, priced shortfall.

Equations, rules and the accounting identity: docs/devices/ev_charger.md.

A session holds its charger from its step of arrival up to, not including, its step of departure. The state at the
beginning of step t is that of the vehicles connected in step t. `step` charges during step t and then moves to the
beginning of step t + 1: vehicles whose session is over leave, and those that arrive in step t + 1 take their place.
"""

from jax import numpy as jnp
from jaxtyping import Array, Float, Int

from gridenv.core.pytree import pytree
from gridenv.core.units import SECONDS_PER_HOUR
from gridenv.devices.ev_charger_params import EvChargerParams, Session, sessions_at
from gridenv.devices.family import Family, Inputs, Ledger
from gridenv.exogenous.cccv import charged_kwh, needed_kwh
from gridenv.exogenous.timebase import STEP_S

_SESSION_STEP_H = STEP_S / SECONDS_PER_HOUR
_TINY_KW = 1e-9
"""Keeps the share of a station that draws nothing defined."""


@pytree
class EvChargerState:
    """What the next step needs to know."""

    e_kwh: Float[Array, "*batch charger"]
    """Energy in the connected vehicle; 0 where there is none."""


@pytree
class EvChargerRequest:
    """What is asked of the chargers, mean over the step."""

    p_kw: Float[Array, "*batch charger"]
    """Negative = charging, positive = feeding the network."""
    q_kvar: Float[Array, "*batch charger"]
    """Positive = into the network."""


@pytree
class EvChargerPower:
    """What the chargers can do, mean over the step; signs as in the request."""

    p_kw: Float[Array, "*batch charger"]
    q_kvar: Float[Array, "*batch charger"]


@pytree
class EvObservation:
    """What a controller may know of each charger at the beginning of a step; zeros where there is no vehicle."""

    connected: Float[Array, "*batch charger"]
    """1 = there is a vehicle."""
    soc: Float[Array, "*batch charger"]
    e_asked_kwh: Float[Array, "*batch charger"]
    """Still to be put into the battery."""
    departure_h: Float[Array, "*batch charger"]
    """Hours to departure."""
    p_charge_max_kw: Float[Array, "*batch charger"]
    """Largest mean power that charger and vehicle draw over one session step, >= 0; the station may allow less."""
    v2g_consent: Float[Array, "*batch charger"]
    """1 = may feed the network."""


def init(params: EvChargerParams, t: Int[Array, "*batch"]) -> EvChargerState:
    """Energy in the vehicles at the start of episodes that begin at steps t.

    A vehicle that arrives in step t has its energy on arrival. One that came earlier has been charged at a uniform rate
    that meets its request at departure, or faster where it could not be met any more from there.

    Assumed: no charging was put off before the episode; docs/devices/ev_charger.md eq. 8.
    """
    session = sessions_at(params, t)
    here = session.arrival_step
    since_h = (_as_steps(t, here) - here) * _SESSION_STEP_H
    share = since_h / (_stay_h(session) + (1 - session.connected))
    uniform = session.e_arrival_kwh + (session.target_kwh - session.e_arrival_kwh) * share
    left_h = (session.departure_step - _as_steps(t, here)) * _SESSION_STEP_H
    most = session.e_arrival_kwh + charged_kwh(session.e_arrival_kwh, *_charging_curve(params, session), since_h)
    needed = needed_kwh(session.target_kwh, *_charging_curve(params, session), left_h)
    return EvChargerState(e_kwh=jnp.minimum(jnp.maximum(uniform, needed), most) * session.connected)


def project(
    params: EvChargerParams, state: EvChargerState, request: EvChargerRequest, inputs: Inputs
) -> EvChargerPower:
    """Nearest power that vehicles, chargers and stations can hold on average over the step.

    Charging is limited by vehicle, charger and taper; feeding the network needs the owner's consent and keeps the
    energy above `_floor_kwh`. Where a station would draw too much, all charging in it is cut by the same share, where
    it would feed too much, all feeding is.

    Source: docs/devices/ev_charger.md eq. 1 to 6.
    """
    session = sessions_at(params, inputs.t)
    charge_max_kw = _charge_max_kw(params, session, state.e_kwh, inputs.dt_h)
    room_kwh = jnp.maximum(state.e_kwh - _floor_kwh(params, session, inputs.t), 0)
    feed_max_kw = jnp.minimum(params.p_discharge_max_kw, session.p_max_kw) * session.v2g_consent
    feed_max_kw = jnp.minimum(feed_max_kw, room_kwh * params.eff_discharge / inputs.dt_h)
    p_kw = _within_station(params, jnp.clip(request.p_kw, -charge_max_kw, feed_max_kw))
    q_max_kvar = _q_max_kvar(params, p_kw)
    return EvChargerPower(p_kw=p_kw, q_kvar=jnp.clip(request.q_kvar, -q_max_kvar, q_max_kvar))


def step(params: EvChargerParams, state: EvChargerState, feasible: EvChargerPower, inputs: Inputs) -> EvChargerState:
    """Energy in the vehicles connected in step t + 1, at its beginning."""
    session, following = sessions_at(params, inputs.t), sessions_at(params, inputs.t + 1)
    e_end_kwh = state.e_kwh + _into_battery_kwh(params, feasible.p_kw, inputs.dt_h)
    stays = session.index == following.index
    return EvChargerState(e_kwh=jnp.where(stays, e_end_kwh, following.e_arrival_kwh) * following.connected)


def settle(
    params: EvChargerParams, before: EvChargerState, feasible: EvChargerPower, after: EvChargerState, inputs: Inputs
) -> Ledger:
    """Money, shortfall and energy of the step, line by line.

    Source: docs/devices/ev_charger.md eq. 9 to 12. Assumed: energy beyond what was asked is worth nothing, so that
    overfilling does not pay.
    """
    del after
    session, following = sessions_at(params, inputs.t), sessions_at(params, inputs.t + 1)
    into_kwh = _into_battery_kwh(params, feasible.p_kw, inputs.dt_h)
    e_end_kwh = before.e_kwh + into_kwh
    leaves = session.connected * (session.index != following.index)
    short_kwh = jnp.maximum(session.target_kwh - e_end_kwh, 0) * leaves
    useful_kwh = jnp.minimum(e_end_kwh, session.target_kwh) - jnp.minimum(before.e_kwh, session.target_kwh)
    return Ledger(
        eur=jnp.stack(
            [
                -params.shortfall_price_per_kwh * short_kwh,
                -params.wear_price_per_kwh * jnp.maximum(-into_kwh, 0),
                params.stock_price_per_kwh * useful_kwh * session.connected,
            ],
            axis=-2,
        ),
        cost=short_kwh[..., None, :],
        energy_kwh=jnp.stack([-into_kwh, feasible.p_kw * inputs.dt_h + into_kwh], axis=-2),
    )


def observe(params: EvChargerParams, state: EvChargerState, t: Int[Array, "*batch"]) -> EvObservation:
    """What a controller may know of each charger at the beginning of step t."""
    session = sessions_at(params, t)
    left_h = (session.departure_step - _as_steps(t, session.departure_step)) * _SESSION_STEP_H
    return EvObservation(
        connected=session.connected,
        soc=state.e_kwh / session.battery_kwh,
        e_asked_kwh=jnp.maximum(session.target_kwh - state.e_kwh, 0),
        departure_h=left_h * session.connected,
        p_charge_max_kw=_charge_max_kw(params, session, state.e_kwh, _SESSION_STEP_H),
        v2g_consent=session.v2g_consent,
    )


EV_CHARGER = Family(
    name="ev_charger",
    init=init,
    project=project,
    step=step,
    settle=settle,
    is_missed=False,
    eur_lines=("ev_shortfall", "ev_wear", "ev_stock"),
    cost_lines=("ev_shortfall_kwh",),
    energy_lines=("ev_stored", "ev_loss"),
)


def _as_steps(t: Int[Array, "*batch"], like: Float[Array, "*batch charger"]) -> Float[Array, "*batch 1"]:
    return jnp.asarray(t)[..., None].astype(like.dtype)


def _stay_h(session: Session) -> Float[Array, "*batch charger"]:
    return (session.departure_step - session.arrival_step) * _SESSION_STEP_H


def _charging_curve(params: EvChargerParams, session: Session) -> tuple[Array, Array, Array, Array]:
    """Capacity, power before the taper, offered power and transition, as `charged_kwh` takes them; at the battery."""
    p_cc_kw = session.p_max_kw * params.eff_charge
    return session.battery_kwh, p_cc_kw, params.p_max_kw * params.eff_charge, params.transition_soc


def _charge_max_kw(
    params: EvChargerParams, session: Session, e_kwh: Float[Array, "*batch charger"], dt_h: float
) -> Float[Array, "*batch charger"]:
    """Largest mean charging power over dt_h at the terminals, >= 0."""
    most_kwh = charged_kwh(e_kwh, *_charging_curve(params, session), dt_h)
    return most_kwh / (params.eff_charge * dt_h) * session.connected


def _floor_kwh(params: EvChargerParams, session: Session, t: Int[Array, "*batch"]) -> Float[Array, "*batch charger"]:
    """Energy below which the network gets nothing from a vehicle in step t.

    The reserve, or the energy on arrival where that was less; and what is needed at the end of the step for the energy
    asked to be met by departure at full power.
    """
    reserve = jnp.minimum(session.e_arrival_kwh, params.reserve_soc * session.battery_kwh)
    left_h = (session.departure_step - _as_steps(t, session.departure_step) - 1) * _SESSION_STEP_H
    curve = _charging_curve(params, session)
    return jnp.maximum(reserve, needed_kwh(session.target_kwh, *curve, jnp.maximum(left_h, 0)))


def _within_station(params: EvChargerParams, p_kw: Float[Array, "*batch charger"]) -> Float[Array, "*batch charger"]:
    """Cut charging where a station draws too much, and feeding where it feeds too much."""
    drawn, fed = jnp.maximum(-p_kw, 0), jnp.maximum(p_kw, 0)
    drawn_kw, fed_kw = drawn @ params.in_station, fed @ params.in_station
    draw_excess = jnp.maximum(drawn_kw - fed_kw - params.import_max_kw, 0)
    feed_excess = jnp.maximum(fed_kw - drawn_kw - params.export_max_kw, 0)
    draw_share = 1 - draw_excess / jnp.maximum(drawn_kw, _TINY_KW)
    feed_share = 1 - feed_excess / jnp.maximum(fed_kw, _TINY_KW)
    at = params.charger_to_station
    return fed * feed_share[..., at] - drawn * draw_share[..., at]


def _q_max_kvar(params: EvChargerParams, p_kw: Float[Array, "*batch charger"]) -> Float[Array, "*batch charger"]:
    """Reactive power beside p_kw on the apparent-power circle; the square root is kept away from zero for gradients."""
    left = params.s_rated_kva**2 - p_kw**2
    return jnp.where(left > 0, jnp.sqrt(jnp.where(left > 0, left, 1)), 0)


def _into_battery_kwh(
    params: EvChargerParams, p_kw: Float[Array, "*batch charger"], dt_h: float
) -> Float[Array, "*batch charger"]:
    """Energy that enters (positive) or leaves the battery."""
    charged = jnp.maximum(-p_kw, 0) * params.eff_charge
    return (charged - jnp.maximum(p_kw, 0) / params.eff_discharge) * dt_h
