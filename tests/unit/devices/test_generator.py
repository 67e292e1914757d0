"""Backup generators: hand-worked numbers and what must hold for every command."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.devices.family import Inputs
from gridenv.devices.generator import GENERATOR, GeneratorRequest, fuel_l_per_h, generator_params

N_UNITS = 3
N_STEPS = 10


def make(names=("generator.a",), **changes):
    values = {
        "p_min_kw": 30.0,
        "p_max_kw": 100.0,
        "s_rated_kva": 125.0,
        "fuel_eur_per_l": 2.0,
        "start_eur": 5.0,
    } | changes
    return generator_params(names, **values)


def mixed(dtype="float32"):
    """Three unlike units: free, slow and with minimum times, small with a curved fuel law."""
    return make(
        [f"generator.{i}" for i in range(N_UNITS)],
        p_min_kw=[0.0, 30.0, 5.0],
        p_max_kw=[100.0, 100.0, 20.0],
        s_rated_kva=[100.0, 125.0, 25.0],
        ramp_kw_per_h=[np.inf, 80.0, 40.0],
        min_up_h=[0.0, 1.0, 0.5],
        min_down_h=[0.0, 0.5, 1.0],
        fuel_l_per_kwh_kw=[0.0, 0.0, 0.002],
        dtype=dtype,
    )


def inputs(dt_h, n_units):
    return Inputs(t=jnp.int32(0), series=jnp.zeros(1), v_pu=jnp.ones(n_units), dt_h=dt_h)


@functools.partial(jax.jit, static_argnames="dt_h")
def run_jit(params, state, request, dt_h):
    """One step: what can be held, the state after it, and its ledger."""
    now = inputs(dt_h, params.p_max_kw.shape[-1])
    feasible = GENERATOR.project(params, state, request, now)
    after = GENERATOR.step(params, state, feasible, now)
    return feasible, after, GENERATOR.settle(params, state, feasible, after, now)


def ask(params, p_kw, q_kvar=0.0, on=1.0):
    shape, dtype = params.p_max_kw.shape, params.p_max_kw.dtype
    p_kw, q_kvar, on = (jnp.asarray(np.broadcast_to(x, shape), dtype) for x in (p_kw, q_kvar, on))
    return GeneratorRequest(p_kw=p_kw, q_kvar=q_kvar, on=on)


def run(params, state, p_kw, q_kvar=0.0, on=1.0, dt_h=0.25):
    return run_jit(params, state, ask(params, p_kw, q_kvar, on), dt_h)


def start(params):
    return GENERATOR.init(params, jnp.int32(0))


def powers(params, commands, dt_h=0.25):
    """Power of the first unit along a list of (p_kw, on)."""
    state, out = start(params), []
    for p_kw, on in commands:
        feasible, state, _ = run(params, state, p_kw, on=on, dt_h=dt_h)
        out.append(float(feasible.p_kw[0]))
    return out


# Hand-worked


def test_generator_fuel_follows_the_published_curve():
    # Skarstein and Uhlen 1989: 0.246 * 60 + 0.08415 * 100 = 23.175 l/h.
    params = make()
    feasible, _, ledger = run(params, start(params), 60.0)
    np.testing.assert_allclose(fuel_l_per_h(params, feasible), [23.175], rtol=1e-6)
    np.testing.assert_allclose(ledger.eur[:, 0], [-23.175 * 2.0 * 0.25, -5.0], rtol=1e-6)
    np.testing.assert_allclose(ledger.energy_kwh, [[15.0]], rtol=1e-6)


def test_generator_fuel_curve_may_be_quadratic():
    # 4.2273 + 0.22487 * 40 + 2.0364e-4 * 40^2 = 13.548 l/h.
    params = make(
        p_min_kw=10.0,
        p_max_kw=50.0,
        fuel_idle_l_per_kwh=4.2273 / 50.0,
        fuel_l_per_kwh=0.22487,
        fuel_l_per_kwh_kw=2.0364e-4,
    )
    feasible, _, _ = run(params, start(params), 40.0)
    np.testing.assert_allclose(fuel_l_per_h(params, feasible), [13.548], rtol=1e-4)


def test_generator_stopped_gives_and_costs_nothing():
    params = make()
    feasible, after, ledger = run(params, start(params), 80.0, 50.0, on=0.0)
    for leaf in jax.tree.leaves((feasible, after, ledger)):
        np.testing.assert_array_equal(leaf, 0.0)


def test_generator_start_is_paid_once_for_every_start():
    params = make()
    state, paid = start(params), []
    for on in (1.0, 1.0, 0.0, 1.0, 0.0):
        _, state, ledger = run(params, state, 50.0, on=on)
        paid.append(float(ledger.eur[1, 0]))
    assert paid == [-5.0, 0.0, 0.0, -5.0, 0.0]


def test_generator_project_keeps_minimum_load_and_rating():
    params = make()
    assert powers(params, [(1e9, 1), (-1e9, 1), (0.0, 1), (30.0, 1)]) == [100.0, 30.0, 30.0, 30.0]


def test_generator_project_keeps_reactive_power_within_the_circle():
    params = make()
    feasible, _, _ = run(params, start(params), 75.0, -1e9)
    np.testing.assert_allclose(feasible.q_kvar, [-100.0], rtol=1e-6)


def test_generator_ramps_from_its_minimum_load_and_down_to_it_before_it_stops():
    params = make(ramp_kw_per_h=100.0)
    wanted = [(100.0, 1), (100.0, 1), (100.0, 1), (0.0, 0), (0.0, 0), (0.0, 0)]
    # Minimum load at once, 25 kW a step up; down 25 kW a step and off from where a step reaches the minimum.
    assert powers(params, wanted) == pytest.approx([55.0, 80.0, 100.0, 75.0, 50.0, 0.0])


@pytest.mark.parametrize("dt_h", [1 / 60, 0.1, 0.25])
def test_generator_stays_on_and_off_for_the_minimum_times(dt_h):
    params = make(min_up_h=2.0, min_down_h=1.0)
    n = round(4.0 / dt_h)
    # Asked to stop after the first step, and from one step after the stop on asked to start.
    is_on = np.array(powers(params, [(50.0, 1)] + [(50.0, 0)] * (n // 2) + [(50.0, 1)] * (n // 2), dt_h)) > 0
    assert is_on[: round(2.0 / dt_h)].all()
    assert not is_on[round(2.0 / dt_h) : round(3.0 / dt_h)].any()
    assert is_on[round(3.0 / dt_h) :].all()


def test_generator_minimum_time_that_is_no_multiple_of_the_step_is_not_cut_short():
    params = make(min_up_h=0.6)
    assert powers(params, [(50.0, 1)] + [(50.0, 0)] * 4) == [50.0, 30.0, 30.0, 0.0, 0.0]


# For every command

COMMANDS = hnp.arrays(np.float32, (N_STEPS, 3, N_UNITS), elements=st.floats(-2.0, 2.0, width=32, allow_subnormal=False))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=25)
@given(commands=COMMANDS, dt_h=st.sampled_from([1 / 60, 0.25, 1.0]))
def test_generator_keeps_limits_and_accounts_for_energy_for_random_commands(dtype, commands, dt_h):
    with jax.enable_x64(dtype == "float64"):
        params = mixed(dtype)
        state = start(params)
        tiny = 100.0 * 4 * float(jnp.finfo(dtype).eps)
        reach_kw = np.asarray(params.ramp_kw_per_h) * dt_h
        changed_h = np.full(N_UNITS, np.inf)
        for p_share, q_share, on in commands:
            feasible, after, ledger = run(params, state, 100.0 * p_share, 100.0 * q_share, on, dt_h)
            again = run_jit(params, state, feasible, dt_h)[0]
            for once, twice in zip(jax.tree.leaves(feasible), jax.tree.leaves(again), strict=True):
                np.testing.assert_array_equal(once, twice)
            p_kw, is_on, was_on = (np.asarray(x) for x in (feasible.p_kw, feasible.on > 0.5, state.is_on > 0.5))
            assert np.all((p_kw >= params.p_min_kw) | ~is_on)
            assert np.all(p_kw <= params.p_max_kw)
            assert np.all((p_kw == 0) & (feasible.q_kvar == 0) | is_on)
            assert np.all(np.hypot(p_kw, feasible.q_kvar) <= params.s_rated_kva * (1 + 1e-6))
            from_kw = np.where(was_on, state.p_kw, params.p_min_kw)
            to_kw = np.where(is_on, p_kw, params.p_min_kw)
            is_held = was_on | is_on
            assert np.all((np.abs(to_kw - from_kw) <= reach_kw + 1e-3)[is_held])
            shortest_h = np.where(was_on, params.min_up_h, params.min_down_h)
            assert np.all((changed_h >= shortest_h - 0.02 * dt_h)[is_on != was_on])
            changed_h = np.where(is_on != was_on, 0.0, changed_h) + dt_h
            np.testing.assert_allclose(ledger.energy_kwh.sum(0), p_kw * dt_h, atol=tiny * dt_h)
            assert np.all(ledger.eur <= 0)
            state = after


def test_generator_does_as_asked_where_nothing_forbids_it():
    params = mixed()
    _, state, _ = run(params, start(params), [50.0, 40.0, 10.0])
    feasible, _, _ = run(params, state, [70.0, 55.0, 15.0], [-60.0, 100.0, 1.0])
    np.testing.assert_array_equal(feasible.p_kw, [70.0, 55.0, 15.0])
    np.testing.assert_array_equal(feasible.q_kvar, [-60.0, 100.0, 1.0])


def test_generator_batch_equals_loop_and_jit_equals_eager():
    params = mixed()
    random = np.random.default_rng(3)
    shape = (2, 2, N_UNITS)
    first, second = (
        GeneratorRequest(
            p_kw=jnp.asarray(random.uniform(-20, 120, shape), "float32"),
            q_kvar=jnp.asarray(random.uniform(-90, 90, shape), "float32"),
            on=jnp.asarray(random.uniform(0, 1, shape), "float32"),
        )
        for _ in range(2)
    )
    state = run_jit(params, GENERATOR.init(params, jnp.zeros((2, 2), "int32")), first, 0.25)[1]
    batch = run_jit(params, state, second, 0.25)
    assert batch[2].eur.shape == (2, 2, 2, N_UNITS)
    assert batch[2].cost.shape == (2, 2, 0, N_UNITS)
    with jax.disable_jit():
        eager = run_jit(params, state, second, 0.25)
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(batch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5)
    for index in np.ndindex(2, 2):
        alone = jax.tree.map(lambda x, i=index: x[i], (state, second))
        for a, b in zip(jax.tree.leaves(run_jit(params, *alone, 0.25)), jax.tree.leaves(batch), strict=True):
            np.testing.assert_allclose(a, b[index], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("request_kw", [-1e9, 0.0, 100.0, 1e9])
def test_generator_values_and_gradients_are_finite_for_extreme_commands(request_kw):
    params = mixed()

    def total(params, state, request):
        return sum(x.sum() for x in jax.tree.leaves(run_jit(params, state, request, 0.25)))

    arguments = params, start(params), ask(params, request_kw, request_kw)
    value, gradients = jax.value_and_grad(total, argnums=(0, 1, 2))(*arguments)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


# Constructor


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p_min_kw": 120.0}, r"generator.a: p_max_kw is 100; allowed: >= 120; raise it to p_min_kw"),
        ({"s_rated_kva": 90.0}, r"generator.a: s_rated_kva is 90; allowed: >= 100; raise it to p_max_kw"),
        ({"ramp_kw_per_h": 0.0}, r"generator.a: ramp_kw_per_h is 0; allowed: > 0; inf sets no limit"),
        ({"min_up_h": -1.0}, r"generator.a: min_up_h is -1; allowed: >= 0; 0 allows a change in every step"),
        ({"fuel_l_per_kwh": -0.1}, r"generator.a: fuel_l_per_kwh is -0.1; allowed: >= 0; give a fuel curve"),
        # The default curve in US gallons, taken for litres.
        (
            {"fuel_l_per_kwh": 0.246 / 3.785, "fuel_idle_l_per_kwh": 0.08415 / 3.785},
            r"generator.a: fuel curve at its best point, l/kWh, is 0.0872259; allowed: >= 0.100402; .* check the units",
        ),
        ({"fuel_eur_per_l": np.nan}, r"generator.a: fuel_eur_per_l is nan; allowed: >= 0"),
        ({"start_eur": [1.0, 2.0]}, r"generator.a: start_eur has shape \(2,\); allowed: one number or 1"),
    ],
)
def test_generator_params_refuse_wrong_values_and_say_what_to_do(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_generator_params_judge_a_curved_fuel_law_at_its_best_point():
    # 1 l/h without load and 0.0001 l/kWh/kW: least at 100 kW, 0.01 + 0.08 + 0.01 = 0.1 l/kWh, below 1 / 9.96.
    curve = {"fuel_idle_l_per_kwh": 1 / 200, "fuel_l_per_kwh": 0.08, "fuel_l_per_kwh_kw": 1e-4}
    with pytest.raises(ConfigError, match=r"is 0.1; allowed: >= 0.100402"):
        make(p_max_kw=200.0, s_rated_kva=200.0, **curve)
    make(p_max_kw=200.0, s_rated_kva=200.0, **curve, fuel_kwh_per_l=10.1)
