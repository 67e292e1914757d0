"""Chargers of electric vehicles: hand-worked numbers, laws that hold for every request, and the money."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridenv.core.errors import ConfigError
from gridenv.devices.ev_charger import (
    EV_CHARGER,
    EvChargerPower,
    EvChargerRequest,
    EvChargerState,
    init,
    observe,
    project,
    settle,
    step,
)
from gridenv.devices.ev_charger_params import EvChargerParams, build_params
from gridenv.devices.family import Inputs
from gridenv.exogenous.cccv import charged_kwh, needed_kwh
from gridenv.exogenous.ev_session_generator import generate_sessions
from gridenv.exogenous.ev_sessions import SessionTable, build_sessions

DT_H = 0.25
SECOND_H = 1 / 3600
DAY = 96
FAST = settings(max_examples=25, deadline=None)


def sessions(**changed: Any) -> SessionTable:
    """Three chargers: two vehicles after one another, one that consents, one that does not."""
    base: dict[str, Any] = {
        "n_chargers": 3,
        "charger": [0, 0, 1, 2],
        "arrival_step": [2, 10, 4, 4],
        "departure_step": [10, 20, 36, 12],
        "e_asked_kwh": [5.0, 4.0, 10.0, 5.0],
        "battery_kwh": [40.0, 50.0, 60.0, 60.0],
        "e_arrival_kwh": [10.0, 20.0, 40.0, 30.0],
        "p_max_kw": [7.0, 22.0, 11.0, 11.0],
        "v2g_consent": [True, False, True, False],
    }
    return build_sessions(**{**base, **changed})


def chargers(table: SessionTable | None = None, **changed: Any) -> EvChargerParams:
    table = sessions() if table is None else table
    base: dict[str, Any] = {"p_max_kw": 11.0, "p_discharge_max_kw": 10.0, "s_rated_kva": 12.0}
    return build_params([f"c{i}" for i in range(table.n_chargers)], table, **{**base, **changed})


def inputs(t: Any, dt_h: float = DT_H) -> Inputs:
    t = jnp.asarray(t)
    return Inputs(t=t, series=jnp.zeros((*t.shape, 1)), v_pu=jnp.ones((*t.shape, 1)), dt_h=dt_h)


def ask(p_kw: Any, q_kvar: Any = 0.0) -> EvChargerRequest:
    p = jnp.asarray(p_kw)
    return EvChargerRequest(p_kw=p, q_kvar=jnp.broadcast_to(jnp.asarray(q_kvar, p.dtype), p.shape))


limited, stepped, settled, started = jax.jit(project), jax.jit(step), jax.jit(settle), jax.jit(init)


def state(*e_kwh: float) -> EvChargerState:
    return EvChargerState(e_kwh=jnp.array(e_kwh))


@jax.jit
def run(params: EvChargerParams, start: Any, p_request_kw: jax.Array, q_request_kvar: jax.Array) -> tuple:
    """States before and after, powers and ledgers of successive steps from `start`; requests are [step, charger]."""

    def one(carry: Any, request: Any) -> Any:
        t, before = carry
        seen = inputs(t)
        feasible = project(params, before, EvChargerRequest(p_kw=request[0], q_kvar=request[1]), seen)
        after = step(params, before, feasible, seen)
        return (t + 1, after), (before, feasible, after, settle(params, before, feasible, after, seen))

    return jax.lax.scan(one, (start, init(params, start)), (p_request_kw, q_request_kvar))[1]


# --- hand-worked numbers ---------------------------------------------------------------------------------------------


def test_charging_below_the_taper_takes_the_least_of_request_vehicle_and_charger():
    params = chargers()
    at = inputs(5)
    full = limited(params, state(10.0, 40.0, 30.0), ask([-100.0, -100.0, -3.0]), at)
    np.testing.assert_allclose(full.p_kw, [-7.0, -11.0, -3.0], rtol=1e-6)
    after = stepped(params, state(10.0, 40.0, 30.0), full, at)
    np.testing.assert_allclose(after.e_kwh, [10 + 7 * 0.225, 40 + 11 * 0.225, 30 + 3 * 0.225], rtol=1e-6)


def test_charging_in_the_taper_follows_the_exponential():
    # 60 kWh, taper from 48 kWh at 9.9 kW: the room decays at 9.9 / 12 per hour.
    full = limited(chargers(), state(10.0, 54.0, 30.0), ask([0.0, -100.0, 0.0]), inputs(5))
    charged = 6.0 * (1 - np.exp(-9.9 / 12 * 0.25))
    np.testing.assert_allclose(full.p_kw[1], -charged / (0.9 * 0.25), rtol=1e-5)


@pytest.mark.parametrize(
    ("e_kwh", "charged_kwh"),
    [  # at 4.95 kW into the battery the taper begins at 6 kWh of room, not at 12
        (53.0, 1.0 + 6.0 * (1 - np.exp(-9.9 / 12 * (0.25 - 1.0 / 4.95)))),
        (55.0, 5.0 * (1 - np.exp(-9.9 / 12 * 0.25))),
    ],
)
def test_charger_weaker_than_the_vehicle_meets_the_taper_later(e_kwh, charged_kwh):
    params = chargers(p_max_kw=5.5, p_discharge_max_kw=0.0)
    p_kw = limited(params, state(10.0, e_kwh, 30.0), ask([0.0, -100.0, 0.0]), inputs(5)).p_kw[1]
    np.testing.assert_allclose(p_kw, -charged_kwh / (0.9 * 0.25), rtol=1e-5)


def test_charger_without_vehicle_gives_and_takes_nothing():
    params = chargers()
    feasible = limited(params, state(0.0, 0.0, 0.0), ask([-50.0, 50.0, -50.0]), inputs(0))
    assert np.all(np.asarray(feasible.p_kw) == 0)
    assert np.all(np.asarray(stepped(params, state(0.0, 0.0, 0.0), feasible, inputs(0)).e_kwh) == 0)


def test_feeding_needs_consent_of_the_owner_and_a_charger_that_can():
    e = (14.0, 55.0, 50.0)
    np.testing.assert_allclose(
        limited(chargers(), state(*e), ask([50.0] * 3), inputs(5)).p_kw[1:], [10.0, 0.0], rtol=1e-6
    )
    one_way = chargers(p_discharge_max_kw=[10.0, 0.0, 10.0])
    assert float(limited(one_way, state(*e), ask([50.0] * 3), inputs(5)).p_kw[1]) == 0.0


def test_feeding_stops_at_the_reserve_while_there_is_time():
    # Reserve 0.4 * 60 = 24 kWh; 24.9 kWh leave 0.9 kWh, at 0.9 one way 0.81 kWh in a quarter of an hour.
    p_kw = limited(chargers(), state(10.0, 24.9, 30.0), ask([0.0, 50.0, 0.0]), inputs(5)).p_kw[1]
    np.testing.assert_allclose(p_kw, 0.81 / 0.25, rtol=1e-4)


def test_feeding_stops_at_the_energy_on_arrival_when_that_is_below_the_reserve():
    params = chargers(sessions(e_arrival_kwh=[10.0, 20.0, 12.0, 30.0]))
    above, at = (limited(params, state(10.0, e, 30.0), ask([0.0, 50.0, 0.0]), inputs(5)).p_kw[1] for e in (12.5, 12.0))
    np.testing.assert_allclose(above, 0.5 * 0.9 / 0.25, rtol=1e-5)
    assert float(at) == 0.0


def test_feeding_stops_where_the_energy_asked_would_be_out_of_reach():
    # Target 50 kWh, of which 2 above the taper point 48; one hour left after step 31.
    # Backwards: room 10 grows to 12 in ln(1.2) * 12 / 9.9 = 0.221 h, the other 0.779 h are 9.9 kW: 40.288 kWh.
    needed = 48 - 9.9 * (1 - np.log(1.2) * 12 / 9.9)
    p_kw = limited(chargers(), state(0.0, 42.0, 0.0), ask([0.0, 50.0, 0.0]), inputs(31)).p_kw[1]
    np.testing.assert_allclose(p_kw, (42 - needed) * 0.9 / 0.25, rtol=1e-4)


def test_vehicles_leave_and_arrive_between_two_steps():
    params = chargers()
    after = stepped(params, state(12.0, 41.0, 31.0), EvChargerPower(p_kw=jnp.zeros(3), q_kvar=jnp.zeros(3)), inputs(9))
    np.testing.assert_allclose(after.e_kwh, [20.0, 41.0, 31.0])  # charger 0: the second vehicle has come
    after = stepped(params, state(20.0, 41.0, 31.0), EvChargerPower(p_kw=jnp.zeros(3), q_kvar=jnp.zeros(3)), inputs(11))
    np.testing.assert_allclose(after.e_kwh, [20.0, 41.0, 0.0])  # charger 2: gone, nobody after


def test_last_step_of_the_year_sends_everyone_away():
    table = sessions(arrival_step=[2, 10, 35000, 4], departure_step=[10, 20, 35136, 12])
    params = chargers(table)
    before = state(0.0, 45.0, 0.0)
    idle = EvChargerPower(p_kw=jnp.zeros(3), q_kvar=jnp.zeros(3))
    after = stepped(params, before, idle, inputs(35135))
    assert float(after.e_kwh[1]) == 0.0
    np.testing.assert_allclose(settled(params, before, idle, after, inputs(35135)).cost, [[0.0, 5.0, 0.0]])
    assert np.all(np.asarray(limited(params, after, ask([-9.0] * 3), inputs(35136)).p_kw) == 0)


def test_init_takes_the_energy_on_arrival_or_a_uniform_rate_since():
    # Charger 1 arrives in step 4 and leaves in step 36 with 10 kWh more: a quarter of the stay later it has 2.5.
    start = started(chargers(), jnp.array([0, 4, 12, 35]))
    np.testing.assert_allclose(start.e_kwh[:, 1], [0.0, 40.0, 42.5, 49.6875], rtol=1e-6)


def test_init_of_a_tight_session_is_where_the_energy_asked_can_still_be_met():
    # Four hours in the taper: a uniform rate would be behind, as full power gives less and less.
    table = sessions(
        departure_step=[10, 20, 20, 12], e_arrival_kwh=[10.0, 20.0, 48.0, 30.0], e_asked_kwh=[5.0, 4.0, 11.5, 5.0]
    )
    params = chargers(table)
    for t in range(4, 20):
        e_kwh = started(params, jnp.asarray(t)).e_kwh[1]
        full = 60 - 12 * np.exp(-9.9 / 12 * 0.25 * (t - 4))
        assert float(e_kwh) <= full + 1e-4
        assert float(e_kwh) >= min(full, 60 - 0.5 * np.exp(9.9 / 12 * 0.25 * (20 - t))) - 1e-3


def test_observe_tells_what_a_controller_may_know():
    seen = jax.jit(observe)(chargers(), state(12.0, 54.0, 0.0), jnp.asarray(14))
    np.testing.assert_array_equal(seen.connected, [1, 1, 0])
    np.testing.assert_allclose(seen.soc, [12 / 50, 0.9, 0.0], rtol=1e-6)
    np.testing.assert_allclose(seen.e_asked_kwh, [12.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(seen.departure_h, [1.5, 5.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(seen.v2g_consent, [0, 1, 0])
    np.testing.assert_allclose(seen.p_charge_max_kw, [11.0, 6 * (1 - np.exp(-9.9 / 48)) / 0.225, 0.0], rtol=1e-5)


def test_station_cuts_all_charging_by_the_same_share_and_counts_what_others_feed():
    params = chargers(
        sessions(v2g_consent=[False, False, True, False]),
        stations=["garage", "garage", "garage"],
        import_max_kw={"garage": 12.0},
        export_max_kw={"garage": 4.0},
    )
    e = state(10.0, 55.0, 30.0)
    drawn = limited(params, e, ask([-8.0, -2.0, -11.0]), inputs(5)).p_kw
    np.testing.assert_allclose(drawn, np.array([-7.0, -2.0, -11.0]) * 12 / 20, rtol=1e-6)
    mixed = limited(params, e, ask([-7.0, 6.0, -11.0]), inputs(5)).p_kw
    np.testing.assert_allclose(mixed, [-7.0, 6.0, -11.0], rtol=1e-6)  # net 12
    fed = limited(params, e, ask([-1.0, 10.0, 0.0]), inputs(5)).p_kw
    np.testing.assert_allclose(fed, [-1.0, 5.0, 0.0], rtol=1e-6)  # net 4


def test_stations_do_not_see_each_other():
    params = chargers(stations=["a", "b", "a"], import_max_kw={"a": 9.0})
    p_kw = limited(params, state(10.0, 40.0, 30.0), ask([-7.0, -11.0, -11.0]), inputs(5)).p_kw
    np.testing.assert_allclose(p_kw, [-3.5, -11.0, -5.5], rtol=1e-6)


def test_reactive_power_stays_in_the_circle_and_needs_a_rating():
    params = chargers(s_rated_kva=[12.0, 12.0, 0.0])
    feasible = limited(params, state(10.0, 40.0, 30.0), ask([-7.0, 0.0, 0.0], [50.0, -5.0, 5.0]), inputs(5))
    np.testing.assert_allclose(feasible.q_kvar, [np.sqrt(144 - 49), -5.0, 0.0], rtol=1e-6)


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e_kwh", [5.0, 46.0, 47.9, 50.0, 59.0])
def test_one_step_at_full_request_equals_900_steps_of_a_second(e_kwh):
    with jax.enable_x64(True):
        params = chargers(dtype="float64")
        start = EvChargerState(e_kwh=jnp.array([10.0, e_kwh, 30.0]))
        request = ask(jnp.full(3, -1e3))
        long = project(params, start, request, inputs(5))
        once = step(params, start, long, inputs(5))

        def second(before: EvChargerState, _: Any) -> Any:
            feasible = project(params, before, request, inputs(5, SECOND_H))
            return step(params, before, feasible, inputs(5, SECOND_H)), feasible.p_kw

        many, p_kw = jax.lax.scan(second, start, None, length=900)
        np.testing.assert_allclose(many.e_kwh / 60, once.e_kwh / 60, rtol=0, atol=1e-6)
        np.testing.assert_allclose(p_kw.mean(axis=0), long.p_kw, rtol=1e-6)


def test_cccv_agrees_with_small_euler_steps():
    """Independent of the closed form: the differential equation in 200,000 steps."""
    soc = np.array([0.1, 0.5, 0.75, 0.85, 0.97])
    battery, p_cc, pilot, transition, hours = 50.0, np.array([11.0, 22.0, 11.0, 7.0, 50.0]), 10.0, 0.8, 2.0
    rate = p_cc / ((1 - transition) * battery)
    room = battery * (1 - soc)
    for _ in range(200_000):
        room = room - np.minimum(np.minimum(pilot, p_cc), rate * room) * (hours / 200_000)
    charged = charged_kwh(soc * battery, battery, p_cc, pilot, transition, hours)
    np.testing.assert_allclose(soc * battery + charged, battery - room, rtol=0, atol=1e-3)


def test_cccv_backwards_undoes_forwards():
    rng = np.random.default_rng(3)
    n = 2000
    battery, p_cc, pilot = rng.uniform(10, 100, n), rng.uniform(2, 50, n), rng.uniform(0.5, 60, n)
    transition, hours = rng.uniform(0.0, 0.95, n), rng.uniform(0.0, 4.0, n)
    e_kwh = rng.uniform(0.0, 1.0, n) * battery
    target = e_kwh + charged_kwh(e_kwh, battery, p_cc, pilot, transition, hours)
    real = target < battery * (1 - 1e-5)
    needed = needed_kwh(target, battery, p_cc, pilot, transition, hours)
    np.testing.assert_allclose(needed[real], e_kwh[real], rtol=1e-6, atol=1e-6)
    assert real.sum() > 1000


def test_battery_round_trip_loses_both_efficiencies():
    params = chargers(eff_charge=0.9, eff_discharge=0.8, reserve_soc=0.0)
    before = state(10.0, 40.0, 30.0)
    charge = limited(params, before, ask([0.0, -8.0, 0.0]), inputs(5))
    full = stepped(params, before, charge, inputs(5))
    feed = limited(params, full, ask([0.0, 8.0 * 0.9 * 0.8, 0.0]), inputs(6))
    back = stepped(params, full, feed, inputs(6))
    np.testing.assert_allclose(back.e_kwh, before.e_kwh, rtol=1e-6)
    np.testing.assert_allclose(feed.p_kw[1] / -charge.p_kw[1], 0.72, rtol=1e-5)


# --- every request, whole days ---------------------------------------------------------------------------------------

N = 6
TABLE = generate_sessions("home", N, 11, v2g_share=0.6)
STATIONS = ["left", "left", "left", "right", "right", "right"]
LIMITS = {"import_max_kw": {"left": 15.0, "right": 40.0}, "export_max_kw": {"left": 8.0}}
STREET = chargers(TABLE, stations=STATIONS, **LIMITS)
OPEN = chargers(TABLE)
START = st.integers(0, 360 * DAY)
SHAPE = (DAY, N)
POWER = hnp.arrays(
    np.float32,
    SHAPE,
    elements=st.one_of(st.sampled_from([-1e9, 1e9, 0.0, -11.0, 11.0]), st.floats(-15, 15, width=32)),
    fill=st.sampled_from([-1e9, 1e9, -3.0, 5.0]),
)
NO_Q = jnp.zeros(SHAPE)


def session_of(t: np.ndarray) -> np.ndarray:
    return np.asarray(STREET.session_of_step)[t]


@FAST
@given(START, POWER, POWER)
def test_every_request_keeps_energy_limits_consent_and_stations(start, p_request_kw, q_request_kvar):
    before, feasible, after, ledger = run(STREET, start, p_request_kw, q_request_kvar)
    p_kw, q_kvar = np.asarray(feasible.p_kw), np.asarray(feasible.q_kvar)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((before, feasible, after, ledger)))
    fields = np.asarray(STREET.sessions)[session_of(start + np.arange(DAY))]
    e_arrival, battery, _, p_vehicle, consent, connected = (fields[..., k] for k in range(2, 8))
    # Energy: lines sum to the terminals, losses only lose, storage stays within the battery.
    lines = np.asarray(ledger.energy_kwh)
    np.testing.assert_allclose(lines.sum(axis=1), p_kw * DT_H, rtol=1e-6, atol=1e-6)
    assert np.all(lines[:, 1] <= 1e-6)
    e_end = np.asarray(before.e_kwh) - lines[:, 0]
    assert np.all(e_end <= battery * (1 + 1e-6))
    assert np.all(e_end >= -1e-5)
    floor = np.minimum(e_arrival, 0.4 * battery)
    assert np.all((e_end >= floor - 1e-4) | (connected == 0))
    # Power: vehicle, charger, consent, and nothing without a vehicle.
    assert np.all(-p_kw <= np.minimum(11.0, p_vehicle) * (1 + 1e-5))
    assert np.all(p_kw <= np.minimum(10.0, p_vehicle) * consent * (1 + 1e-6))
    assert np.all(p_kw[connected == 0] == 0)
    assert np.all(np.hypot(p_kw, q_kvar) <= 12 * (1 + 1e-5))
    # Stations.
    net = np.stack([p_kw[:, :3].sum(axis=1), p_kw[:, 3:].sum(axis=1)])
    assert np.all(net[0] >= -15 * (1 + 1e-5))
    assert np.all(net[1] >= -40 * (1 + 1e-5))
    assert np.all(net[0] <= 8 * (1 + 1e-5))
    assert np.all(np.asarray(ledger.cost) >= 0)


@FAST
@given(START, POWER)
def test_every_session_that_stays_is_energy_in_minus_energy_out(start, p_request_kw):
    """Nothing from nothing: over a stay inside the day, stored energy is what the power put in, by our own sum."""
    before, feasible, after, _ = run(OPEN, start, p_request_kw, NO_Q)
    p_kw = np.asarray(feasible.p_kw, np.float64)
    index = session_of(start + np.arange(DAY + 1))
    stays = index[1:] == index[:-1]
    into = np.where(p_kw < 0, -p_kw * 0.9, -p_kw / 0.9) * DT_H
    change = np.asarray(after.e_kwh, np.float64) - np.asarray(before.e_kwh, np.float64)
    np.testing.assert_allclose(change[stays], into[stays], atol=2e-5)


@FAST
@given(START, POWER, POWER)
def test_projecting_twice_is_once_and_small_requests_pass(start, p_request_kw, q_request_kvar):
    before, feasible, _, _ = run(STREET, start, p_request_kw, q_request_kvar)
    at = inputs(start + jnp.arange(DAY))
    again = limited(STREET, before, EvChargerRequest(p_kw=feasible.p_kw, q_kvar=feasible.q_kvar), at)
    np.testing.assert_allclose(again.p_kw, feasible.p_kw, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(again.q_kvar, feasible.q_kvar, rtol=1e-6, atol=1e-5)
    half = limited(STREET, before, EvChargerRequest(p_kw=feasible.p_kw / 2, q_kvar=feasible.q_kvar / 2), at)
    np.testing.assert_allclose(half.p_kw, feasible.p_kw / 2, rtol=1e-6, atol=1e-6)


def test_full_power_from_arrival_meets_every_session_of_the_year():
    _, _, _, ledger = run(OPEN, jnp.asarray(0), jnp.full((366 * DAY, N), -1e9), jnp.zeros((366 * DAY, N)))
    assert float(jnp.max(ledger.cost)) < 1e-3


def test_doing_nothing_leaves_every_session_short_of_what_it_asked():
    _, _, _, ledger = run(OPEN, jnp.asarray(0), jnp.zeros((366 * DAY, N)), jnp.zeros((366 * DAY, N)))
    np.testing.assert_allclose(np.asarray(ledger.cost).sum(), TABLE.e_asked_kwh.sum(), rtol=1e-4)


@jax.jit
def feed_greedily(start: Any, p_request_kw: jax.Array) -> jax.Array:
    """Shortfall when vehicles feed what they may, and charge at full power where they may not."""

    def one(carry: Any, request: jax.Array) -> Any:
        t, before = carry
        fed = project(OPEN, before, ask(jnp.abs(request) + 1.0), inputs(t)).p_kw
        feasible = project(OPEN, before, ask(jnp.where(fed > 0, fed, -1e9)), inputs(t))
        after = step(OPEN, before, feasible, inputs(t))
        return (t + 1, after), settle(OPEN, before, feasible, after, inputs(t)).cost

    return jax.lax.scan(one, (start, init(OPEN, start)), p_request_kw)[1]


@FAST
@given(START, POWER)
def test_feeding_as_much_as_allowed_leaves_the_energy_asked_in_reach(start, p_request_kw):
    assert float(jnp.max(feed_greedily(start, p_request_kw))) < 2e-3


def test_batch_equals_loop():
    t = jnp.array([[100, 5000], [20_000, 35_135]])
    rng = np.random.default_rng(1)
    request = ask(jnp.asarray(rng.uniform(-15, 15, (2, 2, N)), "float32"), 3.0)
    before = started(STREET, t)
    whole = limited(STREET, before, request, inputs(t))
    after = stepped(STREET, before, whole, inputs(t))
    ledger = settled(STREET, before, whole, after, inputs(t))
    assert ledger.eur.shape == (2, 2, 3, N)
    assert ledger.cost.shape == (2, 2, 1, N)
    assert ledger.energy_kwh.shape == (2, 2, 2, N)
    for i in np.ndindex(2, 2):
        here, asked = jax.tree.map(lambda x, i=i: x[i], (before, request))
        single = limited(STREET, here, asked, inputs(t[i]))
        one_after = stepped(STREET, here, single, inputs(t[i]))
        one_ledger = settled(STREET, here, single, one_after, inputs(t[i]))
        np.testing.assert_allclose(single.p_kw, whole.p_kw[i], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one_after.e_kwh, after.e_kwh[i], rtol=1e-6)
        np.testing.assert_allclose(one_ledger.eur, ledger.eur[i], rtol=1e-5, atol=1e-5)


def test_jit_equals_eager():
    t = jnp.asarray(5000)
    before, request = init(STREET, t), ask(jnp.array([-20.0, 4.0, -3.0, 20.0, -9.0, 0.0]), 3.0)
    eager, jitted = (f(STREET, before, request, inputs(t)) for f in (project, limited))
    np.testing.assert_allclose(eager.p_kw, jitted.p_kw, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        step(STREET, before, eager, inputs(t)).e_kwh, stepped(STREET, before, jitted, inputs(t)).e_kwh, rtol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_of_the_parameters_is_kept(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = chargers(dtype=dtype)
        before = init(params, jnp.asarray(5))
        feasible = project(params, before, ask(jnp.zeros(3, dtype)), inputs(5))
        ledger = settle(params, before, feasible, step(params, before, feasible, inputs(5)), inputs(5))
        kinds = {
            str(x.dtype) for x in jax.tree.leaves((before, feasible, ledger, observe(params, before, jnp.asarray(5))))
        }
    assert kinds == {dtype}


@pytest.mark.parametrize("changed", [{}, {"p_max_kw": 0.0, "p_discharge_max_kw": 0.0, "s_rated_kva": 0.0}])
def test_gradients_are_finite_for_extreme_requests_and_zero_ratings(changed):
    params = chargers(sessions(e_asked_kwh=[5.0, 4.0, 20.0, 5.0]), **changed)

    def worth(e_kwh: jax.Array, p_kw: jax.Array, t: jax.Array) -> jax.Array:
        before = EvChargerState(e_kwh=e_kwh)
        feasible = project(params, before, ask(p_kw, 1.0), inputs(t))
        after = step(params, before, feasible, inputs(t))
        return settle(params, before, feasible, after, inputs(t)).eur.sum() + after.e_kwh.sum() + feasible.q_kvar.sum()

    e_kwh = jnp.array([[0.0, 0.0, 0.0], [40.0, 60.0, 48.0], [10.0, 52.0, 30.0]])
    p_kw = jnp.broadcast_to(jnp.array([-1e9, -5.0, 0.0, 5.0, 1e9])[:, None], (5, 3))
    t = jnp.array([0, 5, 11, 35])
    slopes = jax.vmap(jax.grad(worth, (0, 1)), (0, None, None))
    slopes = jax.vmap(jax.vmap(slopes, (None, 0, None)), (None, None, 0))
    for leaf in jax.jit(slopes)(e_kwh, p_kw, t):
        assert leaf.shape == (4, 5, 3, 3)
        assert np.isfinite(leaf).all()


# --- money -----------------------------------------------------------------------------------------------------------


@FAST
@given(START, POWER)
def test_money_of_whole_days_is_the_identity_of_the_docs(start, p_request_kw):
    """Stock = value * (useful energy at the end or departure - at the start); shortfall and wear, nothing else."""
    before, feasible, after, ledger = run(STREET, start, p_request_kw, NO_Q)
    index = session_of(start + np.arange(DAY + 1))
    rows = np.asarray(STREET.sessions, np.float64)
    eur = np.asarray(ledger.eur, np.float64).sum(axis=(0, 2))
    p_kw = np.asarray(feasible.p_kw, np.float64)
    e_before, e_after = (np.asarray(x.e_kwh, np.float64) for x in (before, after))
    into = np.where(p_kw < 0, -p_kw * 0.9, -p_kw / 0.9) * DT_H
    stock = short = 0.0
    for c in range(N):
        first = 0
        for k in range(DAY):
            leaves = index[k, c] != index[k + 1, c]
            if leaves or k == DAY - 1:
                target = rows[index[k, c], 4]
                end = e_before[k, c] + into[k, c] if leaves else e_after[k, c]
                stock += min(end, target) - min(e_before[first, c], target)
                short += max(target - end, 0) if leaves and rows[index[k, c], 7] else 0
                first = k + 1
    np.testing.assert_allclose(eur[0], -0.79 * short, atol=2e-3)
    np.testing.assert_allclose(eur[1], -0.05 * np.maximum(p_kw, 0).sum() / 0.9 * DT_H, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(eur[2], 0.10 * stock, atol=2e-3)


def test_missing_kwh_costs_its_price_and_its_worth_once():
    params = chargers()
    before = state(13.0, 40.0, 30.0)  # charger 0 leaves after step 9, asked up to 15
    charge = limited(params, before, ask([-4.0, 0.0, 0.0]), inputs(9))
    ledger = settled(params, before, charge, stepped(params, before, charge, inputs(9)), inputs(9))
    np.testing.assert_allclose(ledger.cost[0], [2.0 - 0.9, 0.0, 0.0], rtol=1e-5)
    np.testing.assert_allclose(ledger.eur[:, 0], [-0.79 * 1.1, 0.0, 0.10 * 0.9], rtol=1e-5)


def test_energy_beyond_what_was_asked_is_worth_nothing():
    params = chargers()
    before = state(0.0, 50.0, 0.0)
    charge = limited(params, before, ask([0.0, -10.0, 0.0]), inputs(20))
    ledger = settled(params, before, charge, stepped(params, before, charge, inputs(20)), inputs(20))
    assert float(charge.p_kw[1]) < -5
    assert np.all(np.asarray(ledger.eur) == 0)


def test_leaving_vehicles_empty_is_worse_than_charging_them():
    """The obvious cheats at a price of 0.05 EUR/kWh, episodes that end before departure included."""
    for days in (1, 7):
        n = days * DAY
        money = {}
        for name, p_kw in (("full", -1e9), ("nothing", 0.0), ("feed", 1e9)):
            _, feasible, _, ledger = run(OPEN, jnp.asarray(40 * DAY), jnp.full((n, N), p_kw), jnp.zeros((n, N)))
            money[name] = float(ledger.eur.sum() + 0.05 * DT_H * feasible.p_kw.sum())
        assert money["full"] > money["nothing"] > money["feed"]


# --- parameters ------------------------------------------------------------------------------------------------------


def test_family_names_its_functions_and_lines():
    assert (EV_CHARGER.name, EV_CHARGER.moves) == ("ev_charger", None)
    assert (EV_CHARGER.init, EV_CHARGER.project, EV_CHARGER.step, EV_CHARGER.settle) == (init, project, step, settle)
    assert EV_CHARGER.eur_lines == ("ev_shortfall", "ev_wear", "ev_stock")
    assert EV_CHARGER.cost_lines == ("ev_shortfall_kwh",)
    assert EV_CHARGER.energy_lines == ("ev_stored", "ev_loss")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"p_max_kw": [11.0, -1.0, 11.0]}, r"ev charger 'c1': p_max_kw = -1; allowed: finite and >= 0; correct it"),
        ({"p_max_kw": [11.0, np.nan, 11.0]}, r"ev charger 'c1': p_max_kw = nan; allowed: finite and >= 0; correct it"),
        ({"eff_charge": [0.9, 0.9, 0.0]}, r"ev charger 'c2': eff_charge = 0; allowed: > 0 and <= 1; correct it"),
        ({"eff_discharge": 1.2}, r"ev charger 'c0': eff_discharge = 1.2; allowed: > 0 and <= 1; correct it"),
        ({"reserve_soc": 1.5}, r"ev charger 'c0': reserve_soc = 1.5; allowed: 0\.\.1; correct it"),
        ({"transition_soc": 1.0}, r"ev charger 'c0': transition_soc = 1; allowed: 0\.\.0\.99; correct it"),
        ({"wear_price_per_kwh": -0.1}, r"ev charger 'c0': wear_price_per_kwh = -0.1; allowed: finite and >= 0"),
        ({"s_rated_kva": 5.0}, r"ev charger 'c2': s_rated_kva = 5; allowed: 0 \(no reactive power\), or at least"),
        ({"p_max_kw": [11.0, 11.0]}, r"ev chargers: p_max_kw has shape \(2,\); allowed: a number or 3 values"),
        ({"stations": ["a", "b"]}, r"ev chargers: 2 stations; allowed: 3, one a charger; add or drop some"),
        ({"stations": ["lot"] * 3, "import_max_kw": {"lto": 5.0}}, "import_max_kw of unknown station 'lto'; did you m"),
        (
            {"stations": ["lot"] * 3, "export_max_kw": {"lot": -5.0}},
            "ev station 'lot': export_max_kw = -5; allowed: >= 0",
        ),
        ({"stations": ["lot"] * 3, "import_max_kw": {"lot": np.nan}}, "ev station 'lot': import_max_kw = nan; allowed"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(changed, message):
    with pytest.raises(ConfigError, match=message):
        chargers(**changed)


def test_parameters_for_another_number_of_chargers_are_refused():
    with pytest.raises(ConfigError, match="sessions are for 3 chargers; allowed: 2, one an id; give other sessions"):
        build_params(["a", "b"], sessions(), p_max_kw=11.0)


def test_parameters_report_all_problems_at_once():
    with pytest.raises(ConfigError) as caught:
        chargers(p_max_kw=-1.0, eff_charge=2.0, reserve_soc=[0.1, 0.2])
    assert len(str(caught.value).splitlines()) == 7
