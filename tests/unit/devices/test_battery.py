"""Batteries: closed forms, independent references, and what must hold for every command."""

import functools
from itertools import pairwise

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax import numpy as jnp
from scipy.integrate import quad, solve_ivp

from gridenv.core.errors import ConfigError
from gridenv.devices.battery import BATTERY, BatteryRequest, BatteryState, battery_params, circle_room
from gridenv.devices.family import Inputs

N_UNITS = 4
N_STEPS = 6
LONGEST_PATH = 12


def make(names=("battery.a",), **changes):
    values = {
        "e_max_kwh": 100.0,
        "p_charge_max_kw": 40.0,
        "p_discharge_max_kw": 50.0,
        "s_rated_kva": 50.0,
        "stock_eur_per_kwh": 0.1,
        "soc_min": 0.1,
        "soc_max": 0.9,
        "eff_charge": 0.9,
        "eff_discharge": 0.8,
        "replacement_eur_per_kwh": 0.0,
    } | changes
    return battery_params(names, **values)


def mixed(dtype="float32"):
    """Four unlike units: plain, with standby and self-discharge, reactive power first, with hardly an inverter."""
    return make(
        [f"battery.{i}" for i in range(N_UNITS)],
        s_rated_kva=[60.0, 45.0, 50.0, 3.0],
        standby_kw=[0.0, 0.5, 1.0, 2.0],
        self_discharge_per_h=[0.0, 0.01, 0.0, 0.001],
        has_q_priority=[0.0, 0.0, 1.0, 1.0],
        replacement_eur_per_kwh=300.0,
        dtype=dtype,
    )


def inputs(dt_h=0.25, n_units=N_UNITS):
    return Inputs(t=jnp.int32(0), series=jnp.zeros(1), v_pu=jnp.ones(n_units), dt_h=dt_h)


def state_at(params, soc):
    return BatteryState(e_kwh=jnp.broadcast_to(jnp.asarray(soc, params.e_max_kwh.dtype) * params.e_max_kwh, N_UNITS))


def ask(params, p_kw, q_kvar=0.0):
    shape = params.e_max_kwh.shape
    p_kw, q_kvar = (jnp.asarray(np.broadcast_to(x, shape), params.e_max_kwh.dtype) for x in (p_kw, q_kvar))
    return BatteryRequest(p_kw=p_kw, q_kvar=q_kvar)


@functools.partial(jax.jit, static_argnames="dt_h")
def run_jit(params, state, p_kw, q_kvar, dt_h):
    """One step: what can be held, the state after it, and its ledger."""
    now = inputs(dt_h, params.e_max_kwh.shape[-1])
    feasible = BATTERY.project(params, state, BatteryRequest(p_kw=p_kw, q_kvar=q_kvar), now)
    after = BATTERY.step(params, state, feasible, now)
    return feasible, after, BATTERY.settle(params, state, feasible, after, now)


def run(params, state, p_kw, q_kvar=0.0, dt_h=0.25):
    request = ask(params, p_kw, q_kvar)
    return run_jit(params, state, request.p_kw, request.q_kvar, dt_h)


def start(params):
    return BATTERY.init(params, jnp.int32(0))


# Closed forms


def test_battery_step_charges_and_discharges_by_hand_worked_amounts():
    params = make()
    _, charged, _ = run(params, start(params), -20.0)
    np.testing.assert_allclose(charged.e_kwh, [50.0 + 0.9 * 20.0 * 0.25], rtol=1e-6)
    _, discharged, _ = run(params, start(params), 20.0)
    np.testing.assert_allclose(discharged.e_kwh, [50.0 - 20.0 / 0.8 * 0.25], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dt_h", [0.1, 1.0])
def test_battery_round_trip_returns_the_product_of_the_efficiencies(dtype, dt_h):
    with jax.enable_x64(dtype == "float64"):
        params = make(e_max_kwh=400.0, eff_charge=0.93, eff_discharge=0.97, soc_start=0.1, dtype=dtype)
        state = start(params)
        taken_kwh = given_kwh = 0.0
        for _ in range(round(5.0 / dt_h)):
            feasible, state, _ = run(params, state, -35.0, dt_h=dt_h)
            taken_kwh -= float(feasible.p_kw[0]) * dt_h
        for _ in range(round(6.0 / dt_h)):
            feasible, state, _ = run(params, state, 49.0, dt_h=dt_h)
            given_kwh += float(feasible.p_kw[0]) * dt_h
    assert taken_kwh == pytest.approx(175.0, rel=1e-6)
    assert given_kwh / taken_kwh == pytest.approx(0.93 * 0.97, rel=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-6), ("float64", 1e-13)])
@pytest.mark.parametrize("self_discharge_per_h", [0.0, 0.02])
def test_battery_quarter_of_an_hour_equals_fifteen_minutes(dtype, rtol, self_discharge_per_h):
    with jax.enable_x64(dtype == "float64"):
        names = [f"battery.{i}" for i in range(N_UNITS)]
        rate = self_discharge_per_h
        params = make(names, standby_kw=0.5, self_discharge_per_h=rate, replacement_eur_per_kwh=300.0, dtype=dtype)
        p_kw = np.array([-30.0, -0.3, 0.0, 35.0])
        _, long, ledger = run(params, start(params), p_kw)
        short, eur, energy_kwh = start(params), 0.0, 0.0
        for _ in range(15):
            _, short, part = run(params, short, p_kw, dt_h=1 / 60)
            eur, energy_kwh = eur + part.eur, energy_kwh + part.energy_kwh
    np.testing.assert_allclose(short.e_kwh, long.e_kwh, rtol=rtol)
    np.testing.assert_allclose(energy_kwh, ledger.energy_kwh, rtol=100 * rtol, atol=100 * rtol)
    # Within a step wear takes the state of charge as moving evenly, which with self-discharge is nearly so.
    np.testing.assert_allclose(eur, ledger.eur, rtol=1e-5 if rate else 10 * rtol, atol=20 * rtol)


@pytest.mark.parametrize("p_kw", [-30.0, 0.0, 35.0])
def test_battery_step_agrees_with_an_integrated_energy_balance(p_kw):
    standby_kw, rate, dt_h = 0.7, 0.05, 0.5

    def power_into_cells_kw(_, e_kwh):
        converter_kw = p_kw + standby_kw
        flow_kw = converter_kw / 0.8 if converter_kw > 0 else converter_kw * 0.9
        return -flow_kw - rate * e_kwh

    expected = solve_ivp(power_into_cells_kw, (0.0, dt_h), [50.0], rtol=1e-11, atol=1e-11).y[0, -1]
    with jax.enable_x64(True):
        params = make(standby_kw=standby_kw, self_discharge_per_h=rate, dtype="float64")
        _, after, ledger = run(params, start(params), p_kw, dt_h=dt_h)
        np.testing.assert_allclose(after.e_kwh, [expected], rtol=1e-9)
        np.testing.assert_allclose(ledger.energy_kwh.sum(), p_kw * dt_h, atol=1e-12)


# Limits


def test_battery_project_keeps_power_within_limits_of_charge_and_discharge():
    params = make()
    assert float(run(params, start(params), -1e9)[0].p_kw[0]) == -40.0
    assert float(run(params, start(params), 1e9)[0].p_kw[0]) == 50.0


@pytest.mark.parametrize("dt_h", [1 / 60, 0.25, 24.0])
def test_battery_nearly_empty_delivers_only_what_it_has(dt_h):
    params = make()
    feasible, after, _ = run(params, BatteryState(e_kwh=jnp.array([10.01])), 50.0, dt_h=dt_h)
    # 0.01 kWh above the minimum, of which 0.8 arrive at the terminals; float32 resolves 1e-6 kWh here.
    assert float(feasible.p_kw[0]) * dt_h == pytest.approx(0.008, abs=2e-6)
    assert float(after.e_kwh[0]) == 10.0
    assert float(run(params, after, 50.0, dt_h=dt_h)[0].p_kw[0]) == 0.0


def test_battery_nearly_full_takes_only_what_fits():
    params = make()
    feasible, after, _ = run(params, BatteryState(e_kwh=jnp.array([89.91])), -40.0)
    assert float(feasible.p_kw[0]) * 0.25 == pytest.approx(-0.1, rel=1e-4)
    np.testing.assert_array_equal(after.e_kwh, params.e_high_kwh)


def test_battery_standby_is_drawn_from_the_cells_while_they_last():
    params = make(standby_kw=2.0)
    feasible, after, ledger = run(params, start(params), 0.0)
    assert float(feasible.p_kw[0]) == 0.0
    np.testing.assert_allclose(after.e_kwh, [50.0 - 2.0 / 0.8 * 0.25], rtol=1e-6)
    np.testing.assert_allclose(ledger.energy_kwh[:, 0], [0.625, -0.625], rtol=1e-5)


def test_battery_standby_is_drawn_from_the_network_when_empty():
    params = make(standby_kw=2.0, self_discharge_per_h=0.01)
    state = BatteryState(e_kwh=params.e_low_kwh)
    for request_kw in (0.0, 50.0, -1.0):
        feasible, after, ledger = run(params, state, request_kw)
        # Standby, and 1 % of 10 kWh an hour through the charger.
        np.testing.assert_allclose(feasible.p_kw, [-2.0 - 0.1 / 0.9], rtol=1e-5)
        np.testing.assert_allclose(after.e_kwh, [10.0], rtol=1e-6)
        np.testing.assert_allclose(ledger.energy_kwh[1], feasible.p_kw * 0.25, rtol=1e-5)


def test_battery_project_gives_active_power_priority_by_default():
    params = make()
    feasible, _, _ = run(params, start(params), 30.0, 100.0)
    np.testing.assert_allclose([feasible.p_kw[0], feasible.q_kvar[0]], [30.0, 40.0], rtol=1e-6)


def test_battery_project_gives_reactive_power_priority_where_set():
    params = make(has_q_priority=1.0)
    feasible, _, _ = run(params, start(params), -100.0, -40.0)
    np.testing.assert_allclose([feasible.p_kw[0], feasible.q_kvar[0]], [-30.0, -40.0], rtol=1e-6)


def test_battery_project_keeps_a_little_reactive_power_with_priority_beside_full_active_power():
    params = make(has_q_priority=1.0)
    # In float32 the circle leaves all 50 kW beside 0.001 kvar, and nothing beside 50 kW.
    feasible, _, _ = run(params, start(params), 100.0, 0.001)
    np.testing.assert_allclose([feasible.p_kw[0], feasible.q_kvar[0]], [50.0, 0.001], rtol=1e-6)


def test_battery_that_has_to_draw_does_so_before_reactive_power_with_priority():
    params = make(has_q_priority=1.0, standby_kw=3.0, s_rated_kva=5.0)
    feasible, after, _ = run(params, BatteryState(e_kwh=params.e_low_kwh), 0.0, 100.0)
    np.testing.assert_allclose([feasible.p_kw[0], feasible.q_kvar[0]], [-3.0, 4.0], rtol=1e-5)
    np.testing.assert_array_equal(after.e_kwh, params.e_low_kwh)


# For every command

SHARES = hnp.arrays(np.float32, (N_STEPS, 2, N_UNITS), elements=st.floats(-2.0, 2.0, width=32, allow_subnormal=False))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=20)
@given(shares=SHARES, soc=st.floats(0.1, 0.9), dt_h=st.sampled_from([1 / 60, 0.25, 1.0, 24.0]))
@example(shares=np.ones((N_STEPS, 2, N_UNITS), np.float32), soc=0.1, dt_h=0.25)
@example(shares=-np.ones((N_STEPS, 2, N_UNITS), np.float32), soc=0.9, dt_h=24.0)
def test_battery_conserves_energy_and_keeps_limits_for_random_commands(dtype, shares, soc, dt_h):
    with jax.enable_x64(dtype == "float64"):
        params = mixed(dtype)
        state = state_at(params, np.clip(soc, params.soc_min, params.soc_max))
        eps = float(jnp.finfo(dtype).eps)
        for p_share, q_share in shares:
            feasible, after, ledger = run(params, state, 60.0 * p_share, 60.0 * q_share, dt_h)
            again, _, _ = run(params, state, feasible.p_kw, feasible.q_kvar, dt_h)
            np.testing.assert_array_equal(again.p_kw, feasible.p_kw)
            np.testing.assert_array_equal(again.q_kvar, feasible.q_kvar)
            assert np.all(after.e_kwh >= params.e_low_kwh)
            assert np.all(after.e_kwh <= params.e_high_kwh)
            assert np.all(feasible.p_kw >= -params.p_charge_max_kw)
            assert np.all(feasible.p_kw <= params.p_discharge_max_kw)
            assert np.all(np.hypot(feasible.p_kw, feasible.q_kvar) <= params.s_rated_kva * (1 + 4 * eps))
            # Rounding of the stored energy, up to 90 kWh, and of what passes the terminals.
            scale = 100.0 + np.abs(feasible.p_kw) * dt_h
            error = np.abs(ledger.energy_kwh.sum(0) - feasible.p_kw * dt_h)
            assert np.all(error <= 4 * eps * scale)
            np.testing.assert_array_equal(ledger.energy_kwh[0], state.e_kwh - after.e_kwh)
            assert np.all(ledger.energy_kwh[1] <= -params.standby_kw * dt_h)
            assert np.all(ledger.eur[0] <= 0)
            state = after


@settings(max_examples=40)
@given(
    soc=hnp.arrays(np.float32, N_UNITS, elements=st.floats(0.125, 0.875, width=32)),
    p_kw=hnp.arrays(np.float32, N_UNITS, elements=st.integers(-80, 80)),
)
def test_battery_project_leaves_what_can_be_held(soc, p_kw):
    """The window is no narrower than physics: where a command keeps all limits, it is kept."""
    params = mixed()
    feasible, _, _ = run(params, state_at(params, soc), p_kw, 0.0)
    converter_kw = p_kw + np.asarray(params.standby_kw)
    flow_kw = np.where(converter_kw > 0, converter_kw / 0.8, converter_kw * 0.9)
    e_kwh = 100.0 * soc * (1 - 0.25 * np.asarray(params.self_discharge_per_h)) - 0.25 * flow_kw
    limit_kw = np.minimum(np.array([40.0]), np.asarray(params.s_rated_kva))
    is_allowed = (np.abs(p_kw) <= limit_kw) & (e_kwh > 10.1) & (e_kwh < 89.9)
    np.testing.assert_array_equal(np.asarray(feasible.p_kw)[is_allowed], p_kw[is_allowed])


def test_battery_batch_equals_loop_and_jit_equals_eager():
    params = mixed()
    random = np.random.default_rng(3)
    e_kwh = jnp.asarray(random.uniform(10, 90, (2, 3, N_UNITS)), "float32")
    p_kw, q_kvar = (jnp.asarray(random.uniform(-60, 60, (2, 3, N_UNITS)), "float32") for _ in range(2))
    batch = run_jit(params, BatteryState(e_kwh=e_kwh), p_kw, q_kvar, 0.25)
    assert batch[2].eur.shape == (2, 3, 2, N_UNITS)
    assert batch[2].cost.shape == (2, 3, 0, N_UNITS)
    assert BATTERY.init(params, jnp.zeros((2, 3), "int32")).e_kwh.shape == (2, 3, N_UNITS)
    with jax.disable_jit():
        eager = run_jit(params, BatteryState(e_kwh=e_kwh), p_kw, q_kvar, 0.25)
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(batch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    for index in np.ndindex(2, 3):
        one = run_jit(params, BatteryState(e_kwh=e_kwh[index]), p_kw[index], q_kvar[index], 0.25)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(batch), strict=True):
            np.testing.assert_allclose(a, b[index], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("soc", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("request_kw", [-1e9, -40.0, 0.0, 50.0, 1e9])
def test_battery_values_and_gradients_are_finite_for_extreme_commands(soc, request_kw):
    params = make(
        [f"battery.{i}" for i in range(N_UNITS)],
        s_rated_kva=[50.0, 50.0, 0.0, 0.0],
        p_charge_max_kw=[40.0, 50.0, 40.0, 0.0],
        has_q_priority=[0.0, 1.0, 0.0, 1.0],
        soc_max=1.0,
        replacement_eur_per_kwh=300.0,
    )

    def total(params, state, request):
        feasible, after, ledger = run_jit(params, state, request.p_kw, request.q_kvar, 0.25)
        return sum(x.sum() for x in jax.tree.leaves((feasible, after, ledger)))

    arguments = params, state_at(params, soc), ask(params, request_kw, request_kw)
    value, gradients = jax.value_and_grad(total, argnums=(0, 1, 2))(*arguments)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_circle_room_is_nothing_on_and_beyond_the_circle():
    np.testing.assert_allclose(circle_room(jnp.full(4, 5.0), jnp.array([3.0, -4.0, 5.0, 7.0])), [4.0, 3.0, 0.0, 0.0])


# Money


def rainflow_half_cycles(soc):
    """Ranges of half cycles by the three-point method of ASTM E1049-85, 5.4.4; a full cycle counts twice."""
    turns = [soc[0]]
    for previous, here, following in zip(soc, soc[1:], [*soc[2:], None], strict=False):
        if following is None or (here - previous) * (following - here) < 0:
            turns.append(here)
    halves, stack = [], []
    for turn in turns:
        stack.append(turn)
        while len(stack) >= 3 and abs(stack[-1] - stack[-2]) >= abs(stack[-2] - stack[-3]):
            inner = abs(stack[-2] - stack[-3])
            if len(stack) == 3:
                halves.append(inner)
                del stack[0]
            else:
                halves += [inner, inner]
                del stack[-3:-1]
    return halves + [abs(b - a) for a, b in pairwise(stack)]


settle_jit = jax.jit(BATTERY.settle)


def wear_along(path, **changes):
    """Wear of moving through states of charge, EUR."""
    with jax.enable_x64(True):
        free = {"soc_min": 0.0, "soc_max": 1.0, "calendar_life_years": np.inf, "replacement_eur_per_kwh": 300.0}
        params = make(**free | changes, dtype="float64")
        e_kwh = 100.0 * jnp.array([*path, *[path[-1]] * (LONGEST_PATH + 1 - len(path))], "float64")[:, None]
        still = BatteryRequest(p_kw=jnp.zeros_like(e_kwh[1:]), q_kvar=jnp.zeros_like(e_kwh[1:]))
        before, after = BatteryState(e_kwh=e_kwh[:-1]), BatteryState(e_kwh=e_kwh[1:])
        ledger = settle_jit(params, before, still, after, inputs(0.25, 1))
        return -float(ledger.eur[: len(path) - 1, 0].sum())


def test_battery_wears_out_after_its_cycle_life_at_rated_depth():
    # 100 kWh at EUR 300, 3,000 cycles between full and 20 %.
    assert 3000 * wear_along([1.0, 0.2, 1.0]) == pytest.approx(30_000.0, rel=1e-9)
    assert 3000 * wear_along([1.0, 0.7, 0.4, 0.2, 0.5, 1.0]) == pytest.approx(30_000.0, rel=1e-9)


def test_battery_wear_of_deep_cycles_follows_the_published_law():
    """Xu et al. 2018: 5.24e-4 * depth^2.03 of the life in a cycle."""
    for depth in (0.1, 0.5, 1.0):
        expected = 30_000.0 * 5.24e-4 * depth**2.03
        assert wear_along([1.0, 1.0 - depth, 1.0]) == pytest.approx(expected, rel=2e-3)


def test_battery_wear_with_exponent_one_is_a_price_of_throughput():
    # 30,000 EUR over 3,000 cycles of 80 kWh out and 80 kWh in.
    price_per_kwh = 30_000.0 / (3000 * 2 * 80.0)
    assert wear_along([0.3, 0.5, 0.4], depth_exponent=1.0) == pytest.approx(30.0 * price_per_kwh, rel=1e-9)


@settings(max_examples=40)
@given(
    path=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=LONGEST_PATH), exponent=st.sampled_from([1.0, 1.5, 2.03])
)
def test_battery_wear_is_never_below_rainflow_counting(path, exponent):
    cycle_eur = 30_000.0 / (3000 * 0.8**exponent)
    counted = sum(cycle_eur / 2 * depth**exponent for depth in rainflow_half_cycles(path))
    assert wear_along(path, depth_exponent=exponent) >= counted - 1e-9


@pytest.mark.parametrize("path", [[1.0, 0.3, 1.0, 0.6, 1.0], [1.0, 0.05], [0.2, 1.0, 0.9]])
def test_battery_wear_equals_rainflow_counting_for_cycles_from_full(path):
    if path[0] < 1.0:
        path = [1.0, *path]
    counted = sum(30_000.0 / (3000 * 0.8**2.03) / 2 * depth**2.03 for depth in rainflow_half_cycles(path))
    assert wear_along(path) == pytest.approx(counted, rel=1e-9)


@pytest.mark.parametrize(("soc", "soc_after"), [(0.5, 0.5), (0.9, 0.9), (0.2, 0.95), (0.6, 0.601)])
def test_battery_calendar_wear_is_the_mean_over_the_way(soc, soc_after):
    eur = wear_along([soc, soc_after], cycle_life=1e15, calendar_life_years=10.0, soc_stress=1.04)
    per_h = 30_000.0 / (10.0 * 365.25 * 24)
    mean = quad(lambda x: np.exp(1.04 * (soc + x * (soc_after - soc) - 0.5)), 0.0, 1.0, epsabs=1e-13)[0]
    assert eur == pytest.approx(per_h * 0.25 * mean, rel=1e-8)


def test_battery_default_calendar_life_is_that_of_the_published_model():
    """Xu et al. 2018 (Smart Grid), table I: years at half charge and 25 °C until 20 % of the capacity is gone."""
    per_year = 4.14e-10 * 3600 * 24 * 365.25
    expected_years = np.log((1 - 0.0575) / 0.8) / per_year
    params = make(replacement_eur_per_kwh=300.0)
    years = 30_000.0 / float(params.calendar_eur_per_h[0]) / (365.25 * 24)
    assert years == pytest.approx(expected_years, rel=0.01)


def test_battery_stock_sums_to_the_value_of_the_change_over_an_episode():
    params = mixed()
    state, total = start(params), 0.0
    for p_kw in np.random.default_rng(5).uniform(-60.0, 60.0, 96):
        _, state, ledger = run(params, state, p_kw)
        total = total + np.asarray(ledger.eur[1], float)
    change_kwh = np.asarray(state.e_kwh - start(params).e_kwh, float)
    np.testing.assert_allclose(total, change_kwh * 0.8 * 0.1, atol=1e-5)
    assert np.abs(change_kwh).max() > 1.0


def test_battery_emptying_it_gains_nothing_when_power_sells_at_the_value_of_the_stock():
    params = make()
    feasible, _, ledger = run(params, start(params), 50.0, dt_h=1.0)
    sold_eur = float(feasible.p_kw[0]) * 1.0 * 0.1
    assert sold_eur + float(ledger.eur[1, 0]) == pytest.approx(0.0, abs=1e-5)
    assert sold_eur > 3.0


# Constructor


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"e_max_kwh": -5.0}, r"battery.a: e_max_kwh is -5; allowed: > 0; correct it"),
        ({"soc_start": 0.95}, r"battery.a: soc_start is 0.95; allowed: >= 0.1 and <= 0.9; start between"),
        ({"soc_max": 0.05}, r"battery.a: soc_max is 0.05; allowed: > 0.1 and <= 1; raise it above soc_min"),
        ({"eff_charge": 95.0}, r"eff_charge is 95; allowed: > 0 and <= 1; .* not percent"),
        ({"p_charge_max_kw": -40.0}, r"p_charge_max_kw is -40; allowed: >= 0; give limits as positive"),
        ({"depth_exponent": 0.5}, r"depth_exponent is 0.5; allowed: >= 1; 1 prices throughput"),
        ({"standby_kw": np.nan}, r"standby_kw is nan; allowed: >= 0"),
        ({"s_rated_kva": np.inf}, r"s_rated_kva is inf; allowed: >= 0"),
        ({"standby_kw": 45.0}, r"p_charge_max_kw is 40; allowed: >= 45; it has to cover standby"),
        ({"standby_kw": 1.0, "s_rated_kva": 0.5}, r"s_rated_kva is 0.5; allowed: >= 1; it has to cover standby"),
        ({"soc_min": [0.1, 0.2]}, r"battery.a: soc_min has shape \(2,\); allowed: one number or 1, one a unit"),
        ({"names": ("battery.a", "battery.a")}, r"battery.a: name is that of 2 units; allowed: one; rename"),
    ],
)
def test_battery_params_refuse_wrong_values_and_say_what_to_do(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_battery_params_report_all_problems_at_once_by_unit():
    with pytest.raises(ConfigError) as error:
        make(["battery.a", "battery.b"], e_max_kwh=[100.0, 0.0], eff_discharge=[1.1, 0.9])
    assert str(error.value).splitlines() == [
        "battery.b: e_max_kwh is 0; allowed: > 0; correct it",
        "battery.a: eff_discharge is 1.1; allowed: > 0 and <= 1; "
        "give the efficiency of one way as a share, not percent",
    ]
