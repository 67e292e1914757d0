"""Inverters: hand-worked numbers of IEEE Std 1547-2018, closed forms, and what must hold for every request."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.devices import ieee1547, inverter
from gridenv.devices.family import Inputs
from gridenv.devices.inverter import InverterRequest, InverterState
from gridenv.devices.inverter_spec import InverterSpec

SERIES = ("load", "sun")
MODES = ("constant_pf", "constant_q", "volt_var", "watt_var")
PROJECT = jax.jit(inverter.project)


def spec(i=0, **kwargs):
    return InverterSpec(**({"id": f"u{i}", "series": "sun", "p_dc_kw": 100.0, "s_rated_kva": 100.0} | kwargs))


def group(*specs, dtype="float32"):
    return inverter.inverter_params(specs, SERIES, dtype)


def inputs_of(sun, v_pu=1.0, dt_h=0.25, n=1):
    """Inputs with batch axes as `sun` has them; the load of the other series must not matter."""
    sun = jnp.asarray(sun, "float32")
    series = jnp.stack((jnp.full_like(sun, 7.0), sun), axis=-1)
    v_pu = jnp.broadcast_to(jnp.asarray(v_pu, "float32"), (*sun.shape, n))
    return Inputs(t=jnp.zeros(sun.shape, "int32"), series=series, v_pu=v_pu, dt_h=dt_h)


def settled(params, sun, v_pu=1.0, request=None):
    """Feasible power after a quarter of an hour."""
    inputs = inputs_of(sun, v_pu, n=len(params.q_modes))
    return PROJECT(params, inverter.init(params, inputs.t), request or InverterRequest(), inputs)


def request_of(p=None, q=None):
    as_array = [None if x is None else jnp.asarray(x, "float32") for x in (p, q)]
    return InverterRequest(p_limit_kw=as_array[0], q_kvar=as_array[1])


# Available power and limits of active power


def test_available_power_follows_the_series_up_to_the_rating():
    params = group(spec(p_dc_kw=120.0, s_rated_kva=110.0, p_rated_kw=100.0))
    feasible = settled(params, [0.5, 1.0, -0.1])
    np.testing.assert_allclose(feasible.p_available_kw[:, 0], [60.0, 100.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(feasible.p_kw, feasible.p_available_kw)


def test_power_limit_curtails_and_is_paid():
    params = group(spec(curtailment_price_per_kwh=0.1), spec(1, curtailment_price_per_kwh=0.1))
    inputs = inputs_of(0.8, n=2)
    before = inverter.init(params, inputs.t)
    feasible = inverter.project(params, before, request_of(p=[50.0, 90.0]), inputs)
    np.testing.assert_allclose(feasible.p_kw, [50.0, 80.0], rtol=1e-6)
    np.testing.assert_allclose(feasible.p_curtailed_kw, [30.0, 0.0], atol=1e-4)
    after = inverter.step(params, before, feasible, inputs)
    ledger = inverter.settle(params, before, feasible, after, inputs)
    # 30 kW over a quarter of an hour at 0.10 EUR/kWh.
    np.testing.assert_allclose(ledger.eur, [[-0.75, 0.0]], atol=1e-6)
    np.testing.assert_allclose(ledger.energy_kwh, [[20.0, 20.0], [-7.5, 0.0]], atol=1e-5)
    assert ledger.cost.shape == (0, 2)


def test_volt_watt_falls_in_a_line_from_106_to_110_percent_where_it_is_on():
    params = group(spec(has_volt_watt=True), spec(1))
    feasible = settled(params, [1.0] * 5, np.array([[1.05], [1.06], [1.07], [1.09], [1.2]]))
    np.testing.assert_allclose(feasible.p_kw[:, 0], [100.0, 100.0, 75.0, 25.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(feasible.p_kw[:, 1], 100.0)


# Reactive power


def test_defaults_are_tables_8_to_10_of_the_standard():
    params = group(spec(category="A", q_mode="volt_var"), spec(1, category="B", q_mode="volt_var"))
    np.testing.assert_allclose(params.volt_var_v_pu, [[0.9, 1.0, 1.0, 1.1], [0.92, 0.98, 1.02, 1.08]], rtol=1e-6)
    np.testing.assert_allclose(params.volt_var_q_share, [[0.25, 0, 0, -0.25], [0.44, 0, 0, -0.44]], rtol=1e-6)
    np.testing.assert_allclose(params.watt_var_q_share, [[0, 0, -0.25], [0, 0, -0.44]], rtol=1e-6)
    np.testing.assert_allclose(params.q_response_s, [10.0, 5.0])
    np.testing.assert_allclose(params.ratings.q_absorb_max_kvar, [25.0, 44.0], rtol=1e-6)
    np.testing.assert_allclose(params.ratings.q_inject_max_kvar, [44.0, 44.0], rtol=1e-6)


def test_capability_ends_at_five_percent_of_rated_power_unless_there_is_a_night_function():
    params = group(spec(), spec(1, has_q_at_night=True))
    feasible = settled(params, [0.0, 0.049, 0.1, 0.3], request=request_of(q=np.full((4, 2), 99.0)))
    # At 10 % of rated power half of the capability: it is complete at 20 %.
    np.testing.assert_allclose(feasible.q_kvar[:, 0], [0.0, 0.0, 22.0, 44.0], rtol=1e-6)
    np.testing.assert_allclose(feasible.q_kvar[:, 1], 44.0, rtol=1e-6)
    np.testing.assert_allclose(feasible.q_min_kvar, -feasible.q_max_kvar)


def test_reactive_priority_takes_from_active_power_what_the_circle_needs():
    params = group(spec(q_absorb_max_kvar=60.0))
    feasible = settled(params, 1.0, request=request_of(q=[-90.0]))
    # 100^2 = 80^2 + 60^2.
    np.testing.assert_allclose([feasible.p_kw[0], feasible.q_kvar[0]], [80.0, -60.0], rtol=1e-6)
    np.testing.assert_allclose(feasible.p_curtailed_kw, [20.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("sun", "p_kw", "q_kvar"),
    # Required: 44 kvar. sqrt(100^2 - 44^2) = 89.80 beside it; at 80 kW the circle leaves 60 kvar, at 60 kW all 70.
    [(1.0, 89.7998, 44.0), (0.8, 80.0, 60.0), (0.6, 60.0, 70.0)],
)
def test_active_priority_leaves_the_required_reactive_power_or_what_the_circle_does(sun, p_kw, q_kvar):
    params = group(spec(has_q_priority=False, q_inject_max_kvar=70.0))
    feasible = settled(params, sun, request=request_of(q=[90.0]))
    np.testing.assert_allclose([feasible.p_kw[0], feasible.q_kvar[0]], [p_kw, q_kvar], rtol=1e-5)
    np.testing.assert_allclose(feasible.q_max_kvar, [q_kvar], rtol=1e-5)


def test_active_priority_of_category_a_leaves_a_quarter_of_the_rating_for_absorbing():
    params = group(spec(has_q_priority=False, category="A", q_absorb_max_kvar=70.0))
    feasible = settled(params, [1.0, 0.8], request=request_of(q=[[-90.0], [-90.0]]))
    np.testing.assert_allclose(feasible.q_kvar[:, 0], [-25.0, -60.0], rtol=1e-5)
    np.testing.assert_allclose(feasible.p_kw[:, 0], [math.sqrt(100**2 - 25**2), 80.0], rtol=1e-5)
    np.testing.assert_allclose(feasible.q_min_kvar, feasible.q_kvar, rtol=1e-5)


def test_reactive_power_at_the_rating_leaves_the_active_power_that_its_capability_needs():
    feasible = settled(group(spec(q_inject_max_kvar=100.0)), 1.0, request=request_of(q=[100.0]))
    # Below 20 % of the rating the capability is 5 kvar/kW, which meets the circle at 100 / sqrt(1 + 5^2) kW.
    np.testing.assert_allclose(feasible.p_kw, [100 / math.sqrt(26)], rtol=1e-5)
    np.testing.assert_allclose(feasible.q_kvar, [500 / math.sqrt(26)], rtol=1e-5)


def test_feasible_request_is_the_request_within_its_limits():
    params = group(spec(), spec(1))
    feasible = settled(params, 0.5, request=request_of(p=[1e9, 20.0], q=[-1e9, 30.0]))
    np.testing.assert_allclose(feasible.request.p_limit_kw, [50.0, 20.0], rtol=1e-6)
    np.testing.assert_allclose(feasible.request.q_kvar, [-44.0, 30.0], rtol=1e-6)
    assert feasible.request.volt_var_v_pu is None
    assert feasible.request.volt_var_q_share is None


def test_constant_power_factor_absorbs_or_injects_and_is_kept_at_the_rating():
    params = group(
        spec(q_mode="constant_pf", power_factor=0.95, q_absorb_max_kvar=60.0),
        spec(1, q_mode="constant_pf", power_factor=0.95, is_absorbing=False, q_inject_max_kvar=60.0),
    )
    tangent = math.tan(math.acos(0.95))
    half = settled(params, 0.5)
    np.testing.assert_allclose(half.q_kvar, [-50 * tangent, 50 * tangent], rtol=1e-5)
    full = settled(params, 1.0)
    np.testing.assert_allclose(full.p_kw, [95.0, 95.0], rtol=1e-5)
    np.testing.assert_allclose(full.q_kvar, [-95 * tangent, 95 * tangent], rtol=1e-5)


def test_constant_power_factor_beyond_the_capability_keeps_reactive_power_there():
    feasible = settled(group(spec(q_mode="constant_pf", power_factor=0.7)), [0.5, 1.0])
    np.testing.assert_allclose(feasible.q_kvar[:, 0], [-44.0, -44.0], rtol=1e-6)
    np.testing.assert_allclose(feasible.p_kw[:, 0], [50.0, 89.7998], rtol=1e-5)


def test_watt_var_follows_its_curve_back_to_the_circle():
    params = group(spec(q_mode="watt_var"))
    feasible = settled(params, [0.4, 0.75, 1.0])
    # q = 0.88 (0.5 - p) beyond half power; on the circle p^2 + 0.88^2 (0.5 - p)^2 = 1.
    a, b, c = 1 + 0.88**2, -(0.88**2), 0.88**2 / 4 - 1
    on_circle = (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    np.testing.assert_allclose(feasible.p_kw[:, 0], [40.0, 75.0, 100 * on_circle], rtol=1e-5)
    np.testing.assert_allclose(feasible.q_kvar[:, 0], [0.0, -22.0, 88 * (0.5 - on_circle)], rtol=1e-4, atol=1e-4)


def test_constant_q_does_not_depend_on_voltage_and_falls_back_on_its_setting():
    params = group(spec(q_set_kvar=-12.0))
    v_pu = np.array([[0.5], [1.0], [1.5]])
    np.testing.assert_allclose(settled(params, [0.7] * 3, v_pu).q_kvar, -12.0)
    asked = settled(params, [0.7] * 3, v_pu, request_of(q=np.full((3, 1), 20.0)))
    np.testing.assert_allclose(asked.q_kvar, 20.0)
    np.testing.assert_allclose(asked.p_kw, 70.0, rtol=1e-6)


@pytest.mark.parametrize("category", ["A", "B"])
def test_droop_settles_on_the_curve_at_every_voltage(category):
    params = group(spec(q_mode="volt_var", category=category, q_absorb_max_kvar=44.0))
    v_pu = np.linspace(0.85, 1.15, 601)
    curve = ieee1547.CATEGORIES[category]
    expected = 100 * np.interp(v_pu, curve.volt_var_v_pu, curve.volt_var_q_share)
    feasible = settled(params, np.full(601, 0.6), v_pu[:, None])
    np.testing.assert_allclose(feasible.q_kvar[:, 0], expected, atol=1e-2)  # 1e-4 of the rating


def test_units_of_several_modes_in_a_group_do_what_they_do_alone():
    specs = [spec(i, q_mode=mode, has_volt_watt=i % 2 == 0, q_set_kvar=30.0) for i, mode in enumerate(MODES)]
    together = settled(group(*specs), 0.9, 1.065)
    for i, one in enumerate(specs):
        alone = settled(group(one), 0.9, 1.065)
        np.testing.assert_allclose(together.p_kw[i], alone.p_kw[0], rtol=1e-6)
        np.testing.assert_allclose(together.q_kvar[i], alone.q_kvar[0], rtol=1e-6)
    assert len({round(float(q), 2) for q in together.q_kvar}) == len(MODES)


# Response times


def drive(params, v_pu, dt_h, n_steps, sun=0.5, request=None):
    """Feasible powers of every step from rest."""
    inputs = inputs_of(sun, v_pu, dt_h, n=len(params.q_modes))
    state = inverter.init(params, inputs.t)
    found = []
    for _ in range(n_steps):
        found.append(PROJECT(params, state, request or InverterRequest(), inputs))
        state = inverter.step(params, state, found[-1], inputs)
    return found


@pytest.mark.parametrize("dt_s", [0.1, 1.0, 2.5, 5.0])
def test_volt_var_covers_ninety_percent_of_the_way_in_its_response_time(dt_s):
    params = group(spec(q_mode="volt_var", category="B"))
    found = drive(params, 1.05, dt_s / 3600, round(5.0 / dt_s))
    assert float(found[-1].q_kvar[0]) == pytest.approx(-22.0 * 0.9, rel=1e-4)
    for i, feasible in enumerate(found):
        expected = -22.0 * (1 - 0.1 ** ((i + 1) * dt_s / 5.0))
        assert float(feasible.q_kvar[0]) == pytest.approx(expected, rel=1e-3)


def test_volt_watt_limit_and_constant_q_respond_at_their_times():
    params = group(spec(has_volt_watt=True, q_response_s=4.0))
    found = drive(params, 1.08, 2.0 / 3600, 5, sun=1.0, request=request_of(q=[40.0]))
    np.testing.assert_allclose([f.q_kvar[0] for f in found][1], 40.0 * 0.9, rtol=1e-5)
    # From 100 kW to 50 kW in 10 s, five steps; beside 40 kvar the circle leaves 91.65 kW.
    np.testing.assert_allclose(found[-1].p_kw[0], 50.0 + 50.0 * 0.1, rtol=1e-5)


def test_response_time_of_zero_is_at_once_and_a_quarter_of_an_hour_settles_every_mode():
    at_once = drive(group(spec(q_mode="volt_var", q_response_s=0.0)), 1.05, 0.1 / 3600, 1)
    np.testing.assert_allclose(at_once[0].q_kvar, [-22.0], rtol=1e-4)
    params = group(*(spec(i, q_mode=mode, has_volt_watt=True, q_set_kvar=9.0) for i, mode in enumerate(MODES)))
    first, second = drive(params, 1.07, 0.25, 2, sun=0.9)
    np.testing.assert_array_equal(first.p_kw, second.p_kw)
    np.testing.assert_array_equal(first.q_kvar, second.q_kvar)


# The agent's curve


def test_agent_replaces_the_curve_of_each_unit_and_each_environment():
    params = group(spec(q_mode="volt_var"), spec(1, q_mode="volt_var"))
    v = jnp.array([[[0.9, 0.98, 1.01, 1.05], [0.92, 0.98, 1.02, 1.1]]] * 2)
    q = jnp.array([[[0.4, 0.1, 0.0, -0.4], [0.44, 0.0, 0.0, -0.2]], [[0.3, 0.0, 0.0, -0.3]] * 2])
    feasible = settled(params, [0.5, 0.5], 1.04, InverterRequest(volt_var_v_pu=v, volt_var_q_share=q))
    expected = [[100 * np.interp(1.04, v[e, u], q[e, u]) for u in range(2)] for e in range(2)]
    np.testing.assert_allclose(feasible.q_kvar, expected, atol=1e-3)
    # Voltages alone, with the heights of the parameters.
    feasible = settled(params, [0.5, 0.5], 1.04, InverterRequest(volt_var_v_pu=v))
    expected = [100 * np.interp(1.04, v[0, u], (0.44, 0, 0, -0.44)) for u in range(2)]
    np.testing.assert_allclose(feasible.q_kvar, [expected] * 2, atol=1e-3)


@given(st.lists(st.floats(-1e9, 1e9), min_size=8, max_size=8), st.floats(0.5, 1.5))
@settings(max_examples=50)
def test_agent_curve_is_limited_to_a_falling_one_and_twice_is_once(numbers, v_pu):
    v, q = jnp.asarray([numbers[:4]], "float32"), jnp.asarray([numbers[4:]], "float32") / 1e9
    once = ieee1547.limit_volt_var_v(v), ieee1547.limit_volt_var_q(q)
    for first, again in zip(
        once, (ieee1547.limit_volt_var_v(once[0]), ieee1547.limit_volt_var_q(once[1])), strict=True
    ):
        np.testing.assert_array_equal(first, again)
    assert np.all(np.diff(once[0]) >= 0)
    assert np.all(np.diff(once[0])[:, [0, 2]] >= 0.02 - 1e-6)
    assert np.all(np.diff(once[1]) <= 0)
    assert np.all(np.abs(once[1]) <= 1)
    shares = [ieee1547.volt_var_q_share(jnp.array([x], "float32"), *once) for x in (v_pu, v_pu + 0.01)]
    assert shares[1][0] <= shares[0][0] + 1e-6


def test_curve_allowed_by_table_8_stays_as_it_is():
    for category in ieee1547.CATEGORIES.values():
        v, q = jnp.array([category.volt_var_v_pu]), jnp.array([category.volt_var_q_share])
        np.testing.assert_array_equal(ieee1547.limit_volt_var_v(v), v)
        np.testing.assert_array_equal(ieee1547.limit_volt_var_q(q), q)


def test_piecewise_linear_is_flat_outside_and_has_the_slope_of_each_piece():
    v, q = jnp.array([[0.9, 0.95, 1.0, 1.1]]), jnp.array([[0.4, 0.0, 0.0, -0.3]])
    x = jnp.array([[0.8], [0.92], [0.97], [1.05], [1.2]])
    found, slope = jax.vmap(jax.value_and_grad(lambda x: ieee1547.volt_var_q_share(x, v, q)[0]))(x)
    np.testing.assert_allclose(found, [0.4, 0.24, 0.0, -0.15, -0.3], atol=1e-6)
    np.testing.assert_allclose(slope[:, 0], [0.0, -8.0, 0.0, -3.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(ieee1547.steepest_per_pu(v, q), [8.0], rtol=1e-4)


def test_piecewise_linear_with_two_equal_voltages_is_a_step():
    v, q = jnp.array([[0.9, 1.0, 1.0, 1.1]]), jnp.array([[0.2, 0.2, -0.2, -0.2]])
    found = [float(ieee1547.volt_var_q_share(jnp.array([x]), v, q)[0]) for x in (0.99, 1.0, 1.01)]
    np.testing.assert_allclose(found, [0.2, -0.2, -0.2], rtol=1e-6)


# Whatever is requested

N = 16
MIXED = group(
    *(
        spec(
            i,
            p_dc_kw=(130.0, 90.0)[i % 2],
            p_rated_kw=(100.0, 80.0)[i // 2 % 2],
            q_mode=MODES[i % 4],
            has_q_priority=i < N // 2,
            has_q_at_night=i % 3 == 0,
            has_volt_watt=i % 5 < 2,
            q_inject_max_kvar=(44.0, 100.0, 60.0)[i % 3],
            q_absorb_max_kvar=(100.0, 44.0)[i // 4 % 2],
            power_factor=(0.5, 0.9)[i // 4 % 2],
            is_absorbing=i < 12,
            q_set_kvar=-50.0,
            curtailment_price_per_kwh=0.05,
        )
        for i in range(N)
    )
)
units = st.lists(st.floats(-1.3, 1.3), min_size=N, max_size=N)
points = st.lists(st.floats(0.8, 1.2), min_size=N, max_size=N)
requests = st.tuples(units, units, st.sampled_from([1.0, 1e2, 1e9]))
operation = st.tuples(st.floats(-0.1, 1.4), points, st.sampled_from([1e-4, 1e-3, 0.25]))
starts = st.tuples(units, units)


def projected(request, operation, start):
    (p, q, scale), (sun, v_pu, dt_h) = request, operation
    asked = request_of(p=np.array(p) * scale, q=np.array(q) * scale)
    state = InverterState(
        q_kvar=100 * jnp.asarray(start[0], "float32"), volt_watt_share=jnp.clip(jnp.asarray(start[1], "float32"), 0, 1)
    )
    inputs = inputs_of(sun, v_pu, dt_h, n=N)
    return asked, state, inputs, PROJECT(MIXED, state, asked, inputs)


@given(requests, operation, starts)
@settings(max_examples=50)
def test_projection_keeps_every_limit_and_the_energy_lines_sum_up(request, operation, start):
    asked, state, inputs, feasible = projected(request, operation, start)
    ratings = MIXED.ratings
    assert all(bool(np.all(np.isfinite(x))) for x in jax.tree.leaves(feasible))
    assert np.all(feasible.p_kw >= 0)
    assert np.all(feasible.p_kw <= np.maximum(asked.p_limit_kw, 0) + 1e-4)
    assert np.all(feasible.p_kw <= feasible.p_available_kw)
    assert np.all(feasible.p_curtailed_kw >= 0)
    assert np.all(np.hypot(feasible.p_kw, feasible.q_kvar) <= ratings.s_rated_kva * (1 + 1e-5))
    absorb, inject = ieee1547.capability(ratings, feasible.p_kw)
    assert np.all(feasible.q_kvar <= inject + 1e-3)
    assert np.all(feasible.q_kvar >= -absorb - 1e-3)
    after = inverter.step(MIXED, state, feasible, inputs)
    ledger = inverter.settle(MIXED, state, feasible, after, inputs)
    delivered_kwh = feasible.p_kw * inputs.dt_h
    np.testing.assert_allclose(ledger.energy_kwh.sum(-2), delivered_kwh, rtol=1e-6, atol=1e-5 * inputs.dt_h)
    np.testing.assert_allclose(ledger.eur[0], -0.05 * feasible.p_curtailed_kw * inputs.dt_h, rtol=1e-5)


@given(requests, operation, starts)
@settings(max_examples=50)
def test_projection_twice_is_once(request, operation, start):
    _, state, inputs, feasible = projected(request, operation, start)
    again = PROJECT(MIXED, state, feasible.request, inputs)
    for first, second in zip(jax.tree.leaves(feasible), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-4)
    if inputs.dt_h < 0.25:
        return
    # Settled, the delivered powers may be requested as well.
    again = PROJECT(MIXED, state, InverterRequest(p_limit_kw=feasible.p_kw, q_kvar=feasible.q_kvar), inputs)
    np.testing.assert_allclose(again.p_kw, feasible.p_kw, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(again.q_kvar, feasible.q_kvar, rtol=1e-5, atol=1e-3)


@given(requests, operation)
@settings(max_examples=30)
def test_set_points_within_the_range_reported_are_met(request, operation):
    _, state, inputs, feasible = projected(request, operation, ([0.0] * N, [1.0] * N))
    is_set = np.asarray([mode == "constant_q" for mode in MIXED.q_modes])
    if inputs.dt_h < 0.25:
        return
    for q_kvar in (feasible.q_min_kvar, 0.5 * feasible.q_min_kvar, 0.5 * feasible.q_max_kvar, feasible.q_max_kvar):
        asked = InverterRequest(p_limit_kw=feasible.request.p_limit_kw, q_kvar=q_kvar)
        found = PROJECT(MIXED, state, asked, inputs)
        np.testing.assert_allclose(found.q_kvar[is_set], q_kvar[is_set], rtol=1e-6, atol=1e-5)


def test_batch_is_the_same_as_a_loop_and_jit_as_eager():
    rng = np.random.default_rng(5)
    sun, v_pu = rng.uniform(0, 1.3, (3, 4)), rng.uniform(0.85, 1.12, (3, 4, N))
    asked = request_of(p=rng.uniform(-20, 120, (3, 4, N)), q=rng.uniform(-150, 150, (3, 4, N)))
    inputs = inputs_of(sun, v_pu, dt_h=0.002, n=N)
    state = inverter.init(MIXED, inputs.t)
    assert state.q_kvar.shape == (3, 4, N)
    batch = PROJECT(MIXED, state, asked, inputs)
    for i in np.ndindex(3, 4):
        one = jax.tree.map(lambda x, i=i: x[i], (state, asked, inputs))
        single = (inverter.project if i == (1, 2) else PROJECT)(MIXED, *one)
        for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(single), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=2e-5, atol=1e-4)


def test_float64_params_give_float64_results_close_to_float32():
    with jax.enable_x64(True):
        params = group(spec(q_mode="volt_var", has_volt_watt=True), dtype="float64")
        inputs = Inputs(t=jnp.array(0), series=jnp.array([0.0, 0.9]), v_pu=jnp.array([1.07]), dt_h=0.001)
        wide = inverter.project(params, inverter.init(params, inputs.t), InverterRequest(), inputs)
        assert {x.dtype for x in jax.tree.leaves(wide)} == {np.dtype("float64")}
    narrow = group(spec(q_mode="volt_var", has_volt_watt=True))
    inputs = inputs_of(0.9, 1.07, 0.001)
    found = inverter.project(narrow, inverter.init(narrow, inputs.t), InverterRequest(), inputs)
    np.testing.assert_allclose(found.p_kw, wide.p_kw, rtol=1e-5)
    np.testing.assert_allclose(found.q_kvar, wide.q_kvar, rtol=1e-4)


def total(request, v_pu, series):
    inputs = Inputs(t=jnp.array(0), series=series, v_pu=v_pu, dt_h=0.25)
    feasible = inverter.project(MIXED, inverter.init(MIXED, inputs.t), request, inputs)
    return jnp.sum(feasible.p_kw) + jnp.sum(feasible.q_kvar)


SLOPES = jax.jit(jax.grad(total, argnums=(0, 1)))


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e9])
@pytest.mark.parametrize("sun", [0.0, 0.5, 1.0, 2.0])
def test_gradients_are_finite_at_every_corner(sun, scale):
    inputs = inputs_of(sun, n=N)
    asked = request_of(p=np.full(N, 100.0 * scale), q=np.full(N, -100.0 * scale))
    for v in (0.92, 1.0, 1.06, 1.1):
        slopes = SLOPES(asked, jnp.full(N, v), inputs.series)
        assert all(bool(np.all(np.isfinite(slope))) for slope in jax.tree.leaves(slopes))


@pytest.mark.parametrize("mode", MODES)
def test_unit_without_rating_does_nothing(mode):
    params = group(spec(p_dc_kw=0.0, s_rated_kva=0.0, q_mode=mode, has_q_at_night=True, has_volt_watt=True))
    feasible = settled(params, [0.0, 1.0], 1.08, request_of(p=np.full((2, 1), 1e9), q=np.full((2, 1), -1e9)))
    np.testing.assert_allclose(feasible.p_kw, 0.0, atol=1e-6)
    np.testing.assert_allclose(feasible.q_kvar, 0.0, atol=1e-5)


def test_slope_of_settled_reactive_power_with_voltage_is_that_of_the_curve():
    params = group(spec(q_mode="volt_var"))

    def q_kvar(v_pu):
        inputs = inputs_of(0.5)
        inputs = Inputs(t=inputs.t, series=inputs.series, v_pu=v_pu, dt_h=0.25)
        return inverter.project(params, inverter.init(params, inputs.t), InverterRequest(), inputs).q_kvar[0]

    # Category B: 44 kvar over 0.06 pu.
    np.testing.assert_allclose(jax.grad(q_kvar)(jnp.array([1.05])), [-44.0 / 0.06], rtol=1e-4)


# Checks of what a person writes


def test_specs_with_several_errors_are_refused_with_all_of_them_at_once():
    bad = [
        spec(id="roof", series="sum", p_dc_kw=50.0),
        spec(1, s_rated_kva=100.0, p_rated_kw=120.0, power_factor=0.0),
        spec(2, volt_var_v_pu=(0.9, 1.0, 0.9, 1.1), volt_watt_p_share=(1.0, -0.2)),
        spec(2, watt_var_p_share=(0.2, 0.5, 0.5), q_inject_max_kvar=float("nan")),
        spec(4, q_mode="volt-var", category="C"),
    ]
    with pytest.raises(ConfigError) as caught:
        inverter.inverter_params(bad, SERIES)
    lines = str(caught.value).splitlines()
    assert lines == [
        "inverter 'u2': id is used more than once; allowed: one unit an id; rename the others",
        "inverter 'roof': series is 'sum'; allowed: one of 2 names; did you mean 'sun'?",
        "inverter 'u1': p_rated_kw is 120; allowed: a finite number from 0 to 100; correct it",
        "inverter 'u1': power_factor is 0; allowed: above 0 up to 1; set its direction with is_absorbing",
        "inverter 'u2': volt_var_v_pu is (0.9, 1.0, 0.9, 1.1); allowed: 4 positive, rising voltages; "
        "sort or correct them",
        "inverter 'u2': volt_watt_p_share is (1.0, -0.2); allowed: 2 shares from 0 to 1; correct them",
        "inverter 'u2': q_inject_max_kvar is nan; allowed: a finite number from 0 to 100; correct it",
        "inverter 'u2': watt_var_p_share is (0.2, 0.5, 0.5); allowed: 3 positive, rising powers; sort or correct them",
        "inverter 'u4': category is 'C'; allowed: one of 2 names; known: A, B",
        "inverter 'u4': q_mode is 'volt-var'; allowed: one of 4 names; did you mean 'volt_var'?",
    ]


def test_family_names_its_lines_as_the_ledger_has_them():
    family = inverter.FAMILY
    params = group(spec())
    inputs = inputs_of(0.5)
    state = family.init(params, inputs.t)
    feasible = family.project(params, state, InverterRequest(), inputs)
    ledger = family.settle(params, state, feasible, family.step(params, state, feasible, inputs), inputs)
    assert ledger.eur.shape == (len(family.eur_lines), 1)
    assert ledger.cost.shape == (len(family.cost_lines), 1)
    assert ledger.energy_kwh.shape == (len(family.energy_lines), 1)
