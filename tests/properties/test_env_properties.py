"""The volt-var environment against physics and arithmetic done again in NumPy, for any step and any action."""

from functools import cache

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridenv.exogenous.profiles import load_profiles
from gridenv.exogenous.timebase import N_STEPS, STEPS_PER_DAY
from gridenv.network import load_network
from gridenv.sim.state import Status
from gridenv.tasks.volt_var import VoltVarConfig
from tests.environments import assert_all_finite, compiled_advance, functional

TASK = "VoltVar-IEEE33-v0"
CONFIG = VoltVarConfig()
DT_H = 0.25
HOPELESS = {"load_scale": 40.0}
"""Far beyond 3.63 times the published load, where the feeder's last solution is, in every evening."""

steps_of_the_year = st.integers(0, N_STEPS - 1)
shares = st.one_of(st.floats(-2.0, 2.0, width=32), st.sampled_from([-1.0, 0.0, 1.0]))
actions = st.lists(shares, min_size=6, max_size=6).map(lambda values: np.array(values, np.float32))
reproducible = settings(max_examples=100, deadline=None, derandomize=True)


def transition(t, action, **config):
    """One step of the environment from scenario step t."""
    env, params = functional(TASK, **config)
    _, state = env.reset_at(np.int32(t), params)
    return compiled_advance(TASK, **config)(state, action)


@cache
def profiles():
    table = load_profiles()
    return {name: np.asarray(table.values[:, i], float) for i, name in enumerate(table.names)}


def sun_kw(t):
    return np.array([i.p_dc_kw * profiles()[i.profile][t] for i in CONFIG.inverters])


def rated_kva():
    return np.array([i.s_rated_kva for i in CONFIG.inverters])


def q_limit_kvar(t):
    """IEEE 1547-2018: inside the circle that active power leaves, and at most 44 % of the rating."""
    return np.minimum(np.sqrt(rated_kva() ** 2 - sun_kw(t) ** 2), 0.44 * rated_kva())


def injections(t, share):
    """Complex power of every bus into the network, kVA."""
    loads = load_network("ieee33").injections
    power = dict.fromkeys(load_network("ieee33").buses.id, 0j)
    for i, bus in enumerate(loads.bus):
        name = CONFIG.load_profiles[i % len(CONFIG.load_profiles)]
        p_share, q_share = profiles()[f"{name}_pload"][t], profiles()[f"{name}_qload"][t]
        power[bus] += CONFIG.load_scale * (loads.p_kw[i] * p_share + 1j * loads.q_kvar[i] * q_share)
    q_kvar = np.clip(share, -1.0, 1.0) * q_limit_kvar(t)
    for i, inverter in enumerate(CONFIG.inverters):
        power[inverter.bus] += sun_kw(t)[i] + 1j * q_kvar[i]
    return power


def sweep(power):
    """Backward-forward sweep of the radial feeder in float64: bus voltages in kV, losses and source power in kVA."""
    spec = load_network("ieee33")
    branches = [
        (a, b, r + 1j * x)
        for a, b, r, x, closed in zip(
            spec.lines.from_bus,
            spec.lines.to_bus,
            spec.lines.r_ohm,
            spec.lines.x_ohm,
            spec.lines.from_closed,
            strict=True,
        )
        if closed
    ]
    source = CONFIG.source_v_pu * spec.buses.vn_kv[0]
    v_kv = dict.fromkeys(power, source + 0j)
    for _ in range(200):
        drawn = {bus: np.conj(-power[bus] / v_kv[bus]) for bus in power}  # kVA / kV, sqrt(3) times the phase current
        for a, b, _z in reversed(branches):  # branches are listed from the source outwards
            drawn[a] += drawn[b]
        for a, b, z in branches:
            v_kv[b] = v_kv[a] - z * drawn[b] / 1000.0
    loss_kw = sum(abs(drawn[b]) ** 2 * z.real / 1000.0 for _, b, z in branches)
    return v_kv, loss_kw, source * np.conj(drawn["1"])


@given(t=steps_of_the_year, action=actions)
@reproducible
def test_step_voltages_losses_and_balance_agree_with_a_sweep_in_numpy(t, action):
    output = transition(t, action).output
    power = injections(t, action)
    v_kv, loss_kw, source_kva = sweep(power)
    expected = np.abs([v_kv[bus] for bus in functional(TASK)[0].task.bus_names]) / 12.66
    assert bool(output.converged)
    # float32 resolves 1e-7 pu; the solver stops at changes of 1e-6 pu.
    np.testing.assert_allclose(output.v_pu, expected, atol=5e-6)
    np.testing.assert_allclose(output.loss_kw, loss_kw, rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(output.source_p_kw, source_kva.real, rtol=1e-4, atol=0.1)
    np.testing.assert_allclose(output.source_q_kvar, source_kva.imag, rtol=1e-4, atol=0.1)
    balance = float(output.source_p_kw) + sum(power.values()).real - loss_kw
    assert abs(balance) < 0.1 + 1e-4 * abs(source_kva.real)


@given(t=steps_of_the_year, action=actions)
@reproducible
def test_step_inverters_stay_inside_their_circle_and_deliver_the_sun(t, action):
    output = transition(t, action).output
    p_kw, q_kvar = (np.asarray(x, float) for x in (output.feasible[0].p_kw, output.feasible[0].q_kvar))
    assert np.all(np.hypot(p_kw, q_kvar) <= rated_kva() * (1 + 1e-6))
    assert np.all(np.abs(q_kvar) <= 0.44 * rated_kva() * (1 + 1e-6))
    np.testing.assert_allclose(p_kw, sun_kw(t), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(q_kvar, np.clip(action, -1, 1) * q_limit_kvar(t), rtol=1e-5, atol=2e-3)


@given(t=steps_of_the_year, action=actions)
@reproducible
def test_step_requested_limited_and_applied_actions_are_consistent(t, action):
    info = transition(t, action).info
    np.testing.assert_array_equal(info["action_requested"], action)
    np.testing.assert_array_equal(info["action_limited"], np.clip(action, -1.0, 1.0))
    np.testing.assert_allclose(info["action_applied"], info["action_limited"], atol=1e-6)
    corrected = bool(int(info["status"]) & Status.ACTION_CORRECTED)
    assert corrected == bool(np.any(np.abs(action) > 1.0))
    assert not int(info["status"]) & (Status.ACTION_NOT_FINITE | Status.NOT_CONVERGED)


@given(t=steps_of_the_year, action=actions, bad=st.sampled_from([np.nan, np.inf, -np.inf]), entry=st.integers(0, 5))
@reproducible
def test_step_entries_that_are_not_finite_count_as_zero_and_are_flagged(t, action, bad, entry):
    broken, mended = action.copy(), action.copy()
    broken[entry], mended[entry] = bad, 0.0
    got, expected = transition(t, broken), transition(t, mended)
    assert int(got.info["status"]) & Status.ACTION_NOT_FINITE
    np.testing.assert_array_equal(got.observation, expected.observation)
    np.testing.assert_array_equal(got.info["action_limited"], expected.info["action_limited"])
    assert float(got.reward) == float(expected.reward)


@given(t=steps_of_the_year, action=actions)
@reproducible
def test_step_reward_is_economic_minus_weighted_costs(t, action):
    step = transition(t, action)
    weights = [getattr(CONFIG.cost_weights, name) for name in functional(TASK)[0].cost_names]
    expected = float(step.info["economic_eur"]) - np.dot(weights, np.asarray(step.info["cost"], float))
    np.testing.assert_allclose(step.reward, expected, rtol=1e-5, atol=1e-4)
    assert float(step.info["economic_eur"]) <= 0.0
    assert np.all(np.asarray(step.info["cost"]) >= 0.0)


@given(t=steps_of_the_year, action=actions)
@reproducible
def test_step_costs_and_kpis_follow_from_voltages_and_loadings(t, action):
    step = transition(t, action)
    v_pu, loading = np.asarray(step.output.v_pu, float), np.asarray(step.output.line_loading, float)
    outside = np.maximum(v_pu - 1.05, 0.0) + np.maximum(0.95 - v_pu, 0.0)
    # The limits are subtracted in float32: 33 buses, 6e-8 pu each.
    np.testing.assert_allclose(step.info["cost"][0], outside.sum() * DT_H, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(step.info["cost"][1], np.maximum(loading - 1, 0).sum() * DT_H, rtol=1e-5, atol=1e-5)
    assert step.info["cost"][2] == 0.0
    kpi = step.info["kpi"]
    expected = {"v_min_pu": v_pu.min(), "v_max_pu": v_pu.max(), "kwh.loss": -float(step.output.loss_kw) * DT_H}
    for name, value in expected.items():
        np.testing.assert_allclose(kpi[name], value, rtol=1e-6)


@given(t=steps_of_the_year, action=actions, load_scale=st.sampled_from([0.1, 3.5, 12.0, 40.0]))
@reproducible
def test_step_residual_is_small_wherever_the_power_flow_converged(t, action, load_scale):
    step = transition(t, action, load_scale=load_scale)
    assert np.isfinite(float(step.info["pf_residual"]))
    assert bool(step.info["pf_converged"]) == (not bool(step.terminated))
    if step.info["pf_converged"]:
        assert float(step.info["pf_residual"]) < 1e-5


@given(day=st.integers(0, 365), action=actions)
@reproducible
def test_step_without_a_solution_terminates_with_the_documented_penalty_and_no_nan(day, action):
    step = transition(day * STEPS_PER_DAY + 19 * 4, action, **HOPELESS)
    assert bool(step.terminated)
    assert not bool(step.truncated)
    assert int(step.info["status"]) & Status.NOT_CONVERGED
    np.testing.assert_array_equal(step.info["cost"], [0.0, 0.0, 1.0])
    assert float(step.reward) == -CONFIG.cost_weights.pf_fail
    assert float(step.info["economic_eur"]) == 0.0
    assert_all_finite((step.observation, step.state, step.reward, step.info))
    low, high = functional(TASK)[0].observation_bounds
    assert np.all((np.asarray(step.observation) >= low) & (np.asarray(step.observation) <= high))


def test_step_after_a_failure_can_go_on_from_a_sane_state():
    env, params = functional(TASK, **HOPELESS)
    _, state = env.reset_at(np.int32(19 * 4), params)
    failed = compiled_advance(TASK, **HOPELESS)(state, np.zeros(6, np.float32))
    np.testing.assert_array_equal(failed.state.grid.slot_voltage, params.model.flow.slot_no_load)


@pytest.mark.parametrize("load_scale", [3.5, 8.0])
def test_ending_an_episode_by_failing_never_pays(load_scale):
    """No constant or random policy earns less by living through a training day than a failure in its first step."""
    env, params = functional(TASK, load_scale=load_scale)
    starts = np.asarray(params.starts)
    low, high = env.action_bounds
    generator = np.random.default_rng(0)
    corners = np.where(generator.random((96, len(starts), 6)) < 0.5, low, high)
    for policy in (np.zeros_like(corners), np.full_like(corners, -1.0), np.full_like(corners, 1.0), corners):
        _, state = env.reset_at(starts, params)

        def body(carry, action):
            state, alive = carry
            step = env.advance(state, action, params)
            reward = jax.numpy.where(alive, step.reward, 0.0)
            return (step.state, alive & ~step.terminated), reward

        run = jax.jit(lambda state, actions: jax.lax.scan(body, (state, jax.numpy.ones(len(starts), bool)), actions))
        (_, alive), rewards = run(state, policy.astype(np.float32))
        returns = np.asarray(rewards).sum(axis=0)[np.asarray(alive)]
        assert returns.min(initial=0.0) > -CONFIG.cost_weights.pf_fail
