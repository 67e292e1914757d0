"""Heat pumps: hand-worked numbers, limits for every request, closed forms of money and of a population's duty."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax import numpy as jnp

from gridenv.core.errors import ConfigError, DataError
from gridenv.devices import heat_pump
from gridenv.devices.family import Inputs
from gridenv.devices.heat_pump import HEAT_PUMP, HeatPumpRequest, HeatPumpState, heat_pump_params, thermostat_kw
from gridenv.devices.homes import SYSTEMS, Homes, cop, curves, draw_homes
from gridenv.exogenous.scenario import Scenario, build_scenario
from gridenv.exogenous.weather import OUTDOOR_NAME, SUN_NAME, load_temperature

DT_H = 0.25
HOME = Homes(
    c_air_kwh_k=0.3,
    c_mass_kwh_k=6.0,
    h_air_mass_kw_k=1.1,
    h_air_out_kw_k=0.13,
    h_mass_out_kw_k=0.15,
    p_max_kw=4.0,
    window_m2=4.0,
    gain_kw=0.4,
)


def constant_weather(out_c, sun=0.0, dt_h=DT_H):
    """A scenario of one day."""
    values = jnp.tile(jnp.asarray([[out_c, sun]], "float32"), (round(24 / dt_h), 1))
    return Scenario(values=values, names=(OUTDOOR_NAME, SUN_NAME), dt_h=dt_h, start_weekday=4)


def make(homes, n, scenario=None, dtype="float32"):
    return heat_pump_params([f"heat_pump.{i}" for i in range(n)], homes, scenario or constant_weather(5.0), dtype=dtype)


def inputs(out_c, n, sun=0.0, dt_h=DT_H, dtype="float32"):
    series = jnp.stack([jnp.asarray(out_c, dtype), jnp.full_like(jnp.asarray(out_c, dtype), sun)], axis=-1)
    shape = series.shape[:-1]
    return Inputs(t=jnp.zeros(shape, "int32"), series=series, v_pu=jnp.ones((*shape, n), dtype), dt_h=dt_h)


def state_of(air, mass=None, running=None):
    air = jnp.asarray(air)
    mass = air if mass is None else jnp.asarray(mass)
    return HeatPumpState(t_air_c=air, t_mass_c=mass, running=jnp.zeros_like(air) if running is None else running)


def eager_step(params, state, p_kw, seen):
    feasible = HEAT_PUMP.project(params, state, HeatPumpRequest(p_kw=p_kw), seen)
    after = HEAT_PUMP.step(params, state, feasible, seen)
    return after, feasible, HEAT_PUMP.settle(params, state, feasible, after, seen)


run_step = jax.jit(eager_step)
thermostat = jax.jit(thermostat_kw)

MIXED = replace(
    draw_homes(8, 1), system=["radiator"] * 3 + ["floor", "cooling", "cooling", "cooling", "radiator"], min_part=[
        0.3, 1.0, 0.2, 0.5, 0.3, 1.0, 0.0001, 0.3], p_max_kw=[3.0, 4.0, 5.0, 2.0, 2.0, 3.0, 1.5, 0.0]
)  # fmt: skip
POWERS = st.one_of(st.sampled_from([-1e9, 1e9, 0.0, -0.0, -0.45, -0.9, -1.5]), st.floats(-6.0, 1.0, width=32))
REQUESTS = arrays("float32", (3, 8), elements=POWERS)
AIR = arrays("float32", (3, 8), elements=st.floats(5.0, 40.0, width=32))


def test_heat_pump_performance_is_that_of_when2heat_and_of_the_rating_point():
    def at(system, out_c):
        return float(cop(*(c[:, 0] for c in curves([system])), np.array(out_c)))

    assert at("radiator", 7.0) == pytest.approx(0.85 * (6.0801 - 0.0941 * 26 + 0.0005 * 26**2), rel=1e-12)
    assert at("floor", -10.0) == pytest.approx(0.85 * (6.0801 - 0.0941 * 45 + 0.0005 * 45**2), rel=1e-12)
    assert at("radiator", 20.0) == pytest.approx(0.85 * (6.0801 - 0.0941 * 15 + 0.0005 * 15**2), rel=1e-12)
    assert at("cooling", 35.0) == pytest.approx(3.6, rel=1e-12)
    for name, system in SYSTEMS.items():
        values = np.array([at(name, t) for t in np.arange(-40.0, 60.0)])
        assert (system.heat_sign * np.diff(values) >= 0).all(), name
        assert (values >= 1.0).all(), name


@settings(max_examples=30)
@given(REQUESTS, AIR)
def test_heat_pump_project_keeps_the_limits_and_twice_is_once(p_kw, air):
    params, seen = make(MIXED, 8), inputs(jnp.full(3, 3.0), 8)
    state = state_of(air)
    feasible = HEAT_PUMP.project(params, state, HeatPumpRequest(p_kw=jnp.asarray(p_kw)), seen)
    again = HEAT_PUMP.project(params, state, feasible, seen)
    np.testing.assert_array_equal(again.p_kw, feasible.p_kw)
    np.testing.assert_array_equal(again.q_kvar, feasible.q_kvar)
    drawn, p_max = -np.asarray(feasible.p_kw), np.broadcast_to(params.p_max_kw, (3, 8))
    least = np.broadcast_to(params.p_min_kw, (3, 8))
    assert ((drawn == 0) | ((drawn >= least) & (drawn <= p_max))).all()
    np.testing.assert_allclose(np.hypot(feasible.p_kw, feasible.q_kvar) * 0.95, drawn, rtol=1e-5, atol=1e-7)
    assert (np.asarray(feasible.q_kvar) <= 0).all()
    heats = np.broadcast_to(params.heat_sign > 0, (3, 8))
    wrong_side, right_side = np.where(heats, air > 30, air < 15), np.where(heats, air < 15, air > 30)
    assert (drawn[wrong_side] == 0).all()
    np.testing.assert_array_equal(drawn[right_side], p_max[right_side])
    asked = np.clip(-p_kw, 0, p_max)
    free = ~wrong_side & ~right_side
    np.testing.assert_array_equal(drawn[free & (asked >= least)], asked[free & (asked >= least)])
    snapped = free & (asked < least)
    assert (np.abs(drawn - asked)[snapped] <= 0.5 * least[snapped]).all()


@settings(max_examples=30)
@given(REQUESTS, AIR, st.floats(-30, 45, width=32), st.sampled_from([0.0, 1.0]))
def test_heat_pump_energy_is_the_power_and_heat_is_kept_for_any_request(p_kw, air, out_c, sun):
    params, seen = make(MIXED, 8), inputs(jnp.full(3, out_c), 8, sun)
    state = state_of(air, 25.0 + 0.5 * (air - 25.0))
    after, feasible, ledger = run_step(params, state, jnp.asarray(p_kw), seen)
    assert ledger.eur.shape == (3, 2, 8)
    assert ledger.cost.shape == ledger.energy_kwh.shape == (3, 1, 8)
    np.testing.assert_array_equal(ledger.energy_kwh.sum(axis=-2), feasible.p_kw * DT_H)
    assert (np.asarray(ledger.cost) >= 0).all()
    for leaf in jax.tree.leaves((after, feasible, ledger)):
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all()
    moved = heat_pump.temperatures(params, state, feasible.p_kw, seen)
    h = params.building
    lost = h.h_air_out_kw_k * (moved.mean_air_c - out_c) + h.h_mass_out_kw_k * (moved.mean_mass_c - out_c)
    stored = h.c_air_kwh_k * (after.t_air_c - state.t_air_c) + h.c_mass_kwh_k * (after.t_mass_c - state.t_mass_c)
    heat = params.heat_sign * -feasible.p_kw * cop(params.lift_k, params.cop_coefficients, out_c)
    heat = heat + params.gain_kw + params.window_kw * sun
    np.testing.assert_allclose(stored, (heat - lost) * DT_H, atol=2e-4)


def test_heat_pump_holds_a_home_within_its_protection_for_any_request():
    for cooling, p_kw, out_c in [(False, -1e9, 12.0), (False, 0.0, -10.0), (True, -1e9, 20.0), (True, 0.0, 35.0)]:
        params = make(draw_homes(40, 2, cooling=cooling), 40, constant_weather(out_c))
        seen = inputs(out_c, 40)

        def body(state, _, params=params, seen=seen, p_kw=p_kw):
            after, _, _ = run_step(params, state, jnp.full(40, p_kw), seen)
            return after, after.t_air_c

        _, air = jax.jit(lambda s, body=body: jax.lax.scan(body, s, None, length=5 * 96))(
            HEAT_PUMP.init(params, jnp.int32(0))
        )
        beyond = np.maximum(np.asarray(air) - 30.0, 15.0 - np.asarray(air))
        # Crossed within a step: at most what full power, or the loss and no power, does in a quarter of an hour.
        rise = np.asarray(params.building.rise_k_per_kw).sum(axis=1)[0]
        thermal = np.asarray(params.p_max_kw * cop(params.lift_k, params.cop_coefficients, out_c) + params.gain_kw)
        loss = np.asarray(params.building.h_air_out_kw_k + params.building.h_mass_out_kw_k) * 40.0
        assert (beyond < rise * np.maximum(thermal, loss)).all()
        assert beyond.max() > -0.5  # the protection was needed


def test_heat_pump_init_is_steady_at_the_setpoint_for_any_batch():
    sun_and_air = build_scenario([SUN_NAME], further={OUTDOOR_NAME: load_temperature()})
    params = make(draw_homes(20, 3), 20, sun_and_air)
    t = jnp.array([[0, 96 * 20], [96 * 200, 10**6]])
    state = HEAT_PUMP.init(params, t)
    assert state.t_air_c.shape == state.t_mass_c.shape == state.running.shape == (2, 2, 20)
    np.testing.assert_array_equal(state.t_air_c, 21.0)
    day = sun_and_air.values[96 * 19 : 96 * 20]
    out_c, sun = (np.asarray(day[:, sun_and_air.column(n)], float).mean() for n in (OUTDOOR_NAME, SUN_NAME))
    h, mass = params.building, np.asarray(state.t_mass_c[0, 1], float)
    flow = h.h_air_mass_kw_k * (21.0 - mass) + h.h_mass_out_kw_k * (out_c - mass)
    np.testing.assert_allclose(flow + 0.5 * params.gain_kw + params.window_kw * sun, 0.0, atol=1e-5)
    np.testing.assert_array_equal(HEAT_PUMP.init(params, jnp.int32(96 * 20)).t_mass_c, state.t_mass_c[0, 1])


def test_heat_pump_thermostat_of_a_variable_unit_ends_the_step_at_the_setpoint():
    params, seen = make(replace(HOME, min_part=0.01), 1, constant_weather(-5.0)), inputs(-5.0, 1, 0.2)
    state = state_of([19.5], [19.0])
    p_kw = thermostat_kw(params, state, seen, 20.0)
    after, feasible, _ = run_step(params, state, p_kw, seen)
    np.testing.assert_array_equal(feasible.p_kw, p_kw)
    np.testing.assert_allclose(after.t_air_c, 20.0, atol=1e-4)
    assert thermostat_kw(params, state, seen, 30.0)[0] == -4.0
    assert thermostat_kw(params, state, seen, 15.0)[0] == 0.0


def test_heat_pump_thermostat_of_a_cooling_unit_ends_the_step_at_the_setpoint():
    params = make(replace(HOME, system="cooling", min_part=0.01), 1, constant_weather(33.0))
    seen, state = inputs(33.0, 1, 0.5), state_of([25.5], [25.0])
    after, feasible, _ = run_step(params, state, thermostat_kw(params, state, seen, 24.5), seen)
    assert -4.0 < feasible.p_kw[0] < 0.0
    np.testing.assert_allclose(after.t_air_c, 24.5, atol=1e-4)


def test_heat_pump_thermostat_of_an_on_off_unit_has_a_hysteresis():
    params = make(replace(HOME, min_part=1.0, deadband_k=1.0), 1)
    seen = inputs(5.0, 1)

    def drawn(air, running, unit=params):
        return -float(thermostat(unit, state_of([air], None, jnp.array([running])), seen, 21.0)[0])

    assert [drawn(20.4, 0.0), drawn(20.6, 0.0), drawn(21.4, 0.0)] == [4.0, 0.0, 0.0]
    assert [drawn(20.4, 1.0), drawn(21.4, 1.0), drawn(21.6, 1.0)] == [4.0, 4.0, 0.0]
    cooling = make(replace(HOME, min_part=1.0, deadband_k=1.0, system="cooling"), 1)
    assert [drawn(21.6, 0.0, cooling), drawn(20.6, 1.0, cooling), drawn(20.4, 1.0, cooling)] == [4.0, 4.0, 0.0]
    after, _, _ = run_step(params, state_of([20.0]), jnp.array([-4.0]), seen)
    assert after.running[0] == 1.0
    after, _, _ = run_step(params, after, jnp.array([0.0]), seen)
    assert after.running[0] == 0.0


def test_heat_pump_comfort_is_charged_by_the_mean_temperature_outside_the_band():
    # In balance 2 K below the band: 0.13 (18 - 0) + 1.1 (18 - T_mass) from the pump and the gains.
    params, seen = make(replace(HOME, comfort_eur_per_k_h=0.3, gain_kw=0.0, min_part=0.01), 1), inputs(0.0, 1)
    mass = 1.1 * 18 / 1.25
    heat_kw = 0.13 * 18 + 1.1 * (18 - mass)
    p_kw = -heat_kw / (0.85 * (6.0801 - 0.0941 * 40 + 0.0005 * 40**2))
    _, _, ledger = run_step(params, state_of([18.0], [mass]), jnp.array([p_kw]), seen)
    np.testing.assert_allclose(ledger.cost, [[2 * 0.25]], rtol=1e-4)
    np.testing.assert_allclose(ledger.eur[0], [-2 * 0.25 * 0.3], rtol=1e-4)
    # Warming up from below the band: by the mean, which lies between the temperatures at the two ends.
    after, _, ledger = run_step(params, state_of([19.0], [19.0]), jnp.array([-2.0]), seen)
    assert 0.0 < float(ledger.cost[0, 0]) < 0.25 * 1.0
    assert float(after.t_air_c[0]) > 20.0
    _, _, ledger = run_step(params, state_of([26.0], [26.0]), jnp.array([-2.0]), inputs(26.0, 1))
    assert float(ledger.cost[0, 0]) > 0.25 * 1.0


def test_heat_pump_heat_stock_over_an_episode_is_that_of_the_end_less_the_start():
    params = make(replace(MIXED, stock_eur_per_kwh=0.3), 8)
    requests = jnp.asarray(np.random.default_rng(0).uniform(-5, 0, (60, 8)), "float32")
    start = HEAT_PUMP.init(params, jnp.int32(0))
    state, eur = start, np.zeros(8)
    for row in requests:
        state, _, ledger = run_step(params, state, row, inputs(5.0, 8))
        eur += np.asarray(ledger.eur[1], float)
    kwh = np.asarray(MIXED.c_air_kwh_k * (state.t_air_c - start.t_air_c), float)
    kwh = kwh + np.asarray(MIXED.c_mass_kwh_k * (state.t_mass_c - start.t_mass_c), float)
    at_7 = {"radiator": 26.0, "floor": 19.5}
    per_kwh = [
        0.3 / (0.85 * (6.0801 - 0.0941 * at_7[s] + 0.0005 * at_7[s] ** 2)) if s in at_7 else -0.3 / 3.6
        for s in MIXED.system
    ]
    np.testing.assert_allclose(eur, kwh * per_kwh, rtol=1e-4, atol=1e-5)


def test_heat_pump_left_off_before_the_end_of_an_episode_is_worse_than_the_thermostat():
    price_eur_kwh, seen = 0.045, inputs(0.0, 1)
    params = make(HOME, 1, constant_weather(0.0))

    def worth(n_off):
        state, eur = HEAT_PUMP.init(params, jnp.int32(0)), 0.0
        for k in range(48):
            kept = thermostat(params, state, seen, 21.0)
            state, feasible, ledger = run_step(params, state, kept if k < 48 - n_off else jnp.zeros(1), seen)
            eur += float(ledger.eur.sum() + feasible.p_kw[0] * DT_H * price_eur_kwh)
        return eur

    kept = worth(0)
    assert all(worth(n) < kept for n in (8, 16, 32))


def case_of_a_batch(dtype):
    rng = np.random.default_rng(4)
    out_c = jnp.asarray(rng.uniform(-5, 30, (2, 2)), dtype)
    air, p_kw = (jnp.asarray(rng.uniform(*r, (2, 2, 8)), dtype) for r in ((10, 35), (-6, 1)))
    return make(MIXED, 8, dtype=dtype), state_of(air, air - 0.5), p_kw, inputs(out_c, 8, 0.3, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_heat_pump_batch_is_a_loop_in_its_precision(dtype):
    with jax.enable_x64(dtype == "float64"):
        params, state, p_kw, seen = case_of_a_batch(dtype)
        batch = run_step(params, state, p_kw, seen)
        for i, k in np.ndindex(2, 2):
            alone = replace(seen, t=seen.t[i, k], series=seen.series[i, k], v_pu=seen.v_pu[i, k])
            one = run_step(params, jax.tree.map(lambda x, at=(i, k): x[at], state), p_kw[i, k], alone)
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(batch), strict=True):
                assert a.dtype == b.dtype == dtype
                np.testing.assert_allclose(a, b[i, k], rtol=1e-6, atol=1e-6)


def test_heat_pump_compiled_is_eager():
    case = case_of_a_batch("float32")
    for a, b in zip(jax.tree.leaves(eager_step(*case)), jax.tree.leaves(run_step(*case)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_heat_pump_gradients_are_finite_for_extreme_requests_and_no_rating():
    params, seen = make(MIXED, 8), inputs(3.0, 8)

    def worth(p_kw, air):
        after, _, ledger = run_step(params, state_of(air), p_kw, seen)
        asked = thermostat_kw(params, after, seen, 21.0)
        return ledger.eur.sum() + ledger.cost.sum() + after.t_air_c.sum() + asked.sum()

    slope = jax.jit(jax.grad(worth, argnums=(0, 1)))
    for p_kw in (-1e9, 1e9, 0.0, -1.0):
        grads = slope(jnp.full(8, p_kw), jnp.linspace(14.0, 31.0, 8))
        assert all(np.isfinite(g).all() for g in grads)


def test_heat_pump_population_shows_the_duty_of_its_losses_under_a_setback_and_then_a_rebound():
    n, dt_h, out_c, days = 1000, 0.05, 2.0, 3
    homes = draw_homes(n, 7, on_off_share=1.0)
    params = make(homes, n, constant_weather(out_c, 0.0, dt_h))
    seen, steps = inputs(out_c, n, 0.0, dt_h), round(24 / dt_h)

    def body(state, setpoint_c):
        after, feasible, _ = run_step(params, state, thermostat_kw(params, state, seen, setpoint_c), seen)
        return after, jnp.mean(feasible.p_kw < 0), jnp.mean(feasible.p_kw)

    def scan(state, setpoint_c):
        def one(s, sp):
            after, duty, p_kw = body(s, sp)
            return after, (duty, p_kw)

        return jax.lax.scan(one, state, setpoint_c)

    setpoint_c = np.repeat([21.0, 19.0, 21.0], days * steps)
    _, (duty, p_kw) = jax.jit(scan)(HEAT_PUMP.init(params, jnp.int32(0)), jnp.asarray(setpoint_c, "float32"))
    duty, p_kw = np.asarray(duty, float), np.asarray(p_kw, float)

    # Closed form: in the steady state the unit makes up for what is lost through the air and through the mass, which
    # has a part f of the difference of temperatures; half of the gains go to the air and f of the others.
    f = homes.h_air_mass_kw_k / (homes.h_air_mass_kw_k + homes.h_mass_out_kw_k)
    h_kw_k = homes.h_air_out_kw_k + f * homes.h_mass_out_kw_k
    capacity_kw = homes.p_max_kw * np.array([cop(*(c[:, 0] for c in curves([s])), out_c) for s in homes.system])
    expected = {t: np.mean((h_kw_k * (t - out_c) - 0.5 * (1 + f) * homes.gain_kw) / capacity_kw) for t in (19, 21)}
    before, during = (duty[(k * days - 1) * steps : k * days * steps].mean() for k in (1, 2))
    assert before == pytest.approx(expected[21], rel=0.05)
    assert during == pytest.approx(expected[19], rel=0.05)
    assert before - during == pytest.approx(expected[21] - expected[19], rel=0.05)

    # Rebound: more than before for hours; in all the heat that raises the air by 2 K and the mass with it.
    back = slice(2 * days * steps, 3 * days * steps)
    hourly = duty[back].reshape(-1, round(1 / dt_h)).mean(axis=1)
    assert hourly[0] > 1.5 * before
    assert (hourly[:4] > 1.05 * before).all()
    performance = capacity_kw / homes.p_max_kw
    kwh = np.mean(2.0 * (homes.c_air_kwh_k + f**2 * homes.c_mass_kwh_k) / performance)
    before_kw = p_kw[(days - 1) * steps : days * steps].mean()
    assert -(p_kw[back] - before_kw).sum() * dt_h == pytest.approx(kwh, rel=0.1)


def test_heat_pump_population_is_different_homes_that_can_be_kept_warm_on_the_coldest_day():
    homes = draw_homes(500, 5, on_off_share=0.25)
    same = draw_homes(500, 5, on_off_share=0.25)
    for field in ("c_mass_kwh_k", "p_max_kw", "system", "min_part"):
        np.testing.assert_array_equal(getattr(homes, field), getattr(same, field))
    assert np.std(homes.p_max_kw) > 0.2 * np.mean(homes.p_max_kw)
    assert np.mean(homes.min_part == 1.0) == pytest.approx(0.25, abs=0.06)
    assert np.mean(homes.system == "floor") == pytest.approx(0.5, abs=0.07)
    f = homes.h_air_mass_kw_k / (homes.h_air_mass_kw_k + homes.h_mass_out_kw_k)
    loss = homes.h_air_out_kw_k + f * homes.h_mass_out_kw_k
    capacity = homes.p_max_kw * cop(*curves(homes.system), -10.0)
    oversize = capacity / (loss * 30.0)
    assert oversize.min() >= 1.1 - 1e-9
    assert oversize.max() <= 1.3 + 1e-9
    cooling = draw_homes(50, 5, cooling=True)
    assert set(cooling.system) == {"cooling"}
    assert cooling.setpoint_c == 24.5


def test_heat_pump_params_refuse_what_is_not_allowed_all_at_once():
    bad = replace(HOME, c_air_kwh_k=[0.3, 0.0], p_max_kw=[-1.0, 4.0], min_part=[0.3, 1.5], system=["radiatr", "floor"])
    bad = replace(bad, setpoint_c=[27.0, 21.0], h_air_out_kw_k=[0.1, 0.0], h_mass_out_kw_k=0.0, gain_kw=[np.nan, 0.0])
    with pytest.raises(ConfigError) as caught:
        make(bad, 2)
    lines = str(caught.value).splitlines()
    assert lines == [
        "heat_pump.0: p_max_kw is -1; allowed: a number >= 0; correct it",
        "heat_pump.0: gain_kw is nan; allowed: a number >= 0; correct it",
        "heat_pump.0: hard_low_c 15, comfort_low_c 20, setpoint_c 27, comfort_high_c 25, hard_high_c 30; allowed: "
        "rising in this order; correct them",
        "heat_pump.0: system is 'radiatr'; did you mean 'radiator'?",
        "heat_pump.1: c_air_kwh_k is 0; allowed: a number > 0; correct it",
        "heat_pump.1: min_part is 1.5; allowed: a share above 0, at most 1; correct it",
        "heat_pump.1: h_air_out_kw_k and h_mass_out_kw_k are 0; allowed: a loss to outdoors; give one of them",
    ]


def test_heat_pump_params_refuse_other_lengths_and_types():
    with pytest.raises(ConfigError) as caught:
        make(replace(HOME, p_max_kw=[1.0, 2.0, 3.0], gain_kw="much"), 2)
    assert "homes: p_max_kw has shape (3,); allowed: one value, or 2; give a value for each home" in str(caught.value)
    assert "homes: gain_kw has type <U4; allowed: numbers; correct it" in str(caught.value)


def test_heat_pump_params_need_the_weather():
    with pytest.raises(DataError, match="unknown series 'outdoor_temp_c'"):
        make(HOME, 1, build_scenario([SUN_NAME]))


def test_heat_pump_step_of_another_length_is_refused():
    params = make(HOME, 1)
    with pytest.raises(ConfigError, match=r"heat_pump: step is 0.5 h; allowed: 0.25 h, which the parameters were made"):
        run_step(params, HEAT_PUMP.init(params, jnp.int32(0)), jnp.zeros(1), inputs(5.0, 1, dt_h=0.5))


def test_draw_homes_refuses_an_empty_population_and_a_share_beyond_one():
    with pytest.raises(ConfigError, match=r"n is 0; allowed: at least 1(.|\n)*on_off_share is 2; allowed: 0..1"):
        draw_homes(0, 1, on_off_share=2.0)
