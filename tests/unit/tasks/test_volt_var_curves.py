"""Inverters whose action is a volt-var curve: the curve is followed in balance with the grid of the same step."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents import droop
from agents.rules import UnitRules
from gridenv.devices import ieee1547
from gridenv.devices.inverter import InverterRequest
from gridenv.sim.state import Status
from gridenv.tasks.registry import make
from gridenv.tasks.volt_var import VoltVarConfig, VoltVarIEEE13Config
from tests.environments import assert_all_finite

TASK, THREE_PHASE = "VoltVar-IEEE33-v0", "VoltVar-IEEE13-v0"
# A winter evening, a summer noon, a spring morning.
STEPS = np.array([13 * 96 + 74, 198 * 96 + 50, 110 * 96 + 34])
V_REF, DEADBAND, RAMP, END = range(4)
N_RANDOM = 8
"""Environments side by side that act at random; each number of them is a program of its own, as that of `STEPS` is."""
STEEPEST = np.array([0.0, -1.0, -1.0, 1.0], np.float32)
"""About 1 pu, without deadband, over the shortest ramp, to the whole capability."""


@cache
def curves(task=TASK, dtype="float32", scale=3.5):
    config = VoltVarConfig() if task == TASK else VoltVarIEEE13Config()
    plants = [c.model_copy(update={"control": "volt_var"}) for c in config.inverters]
    return make(task, inverters=[p.model_dump() for p in plants], dtype=dtype, load_scale=scale)


@cache
def advance(task=TASK):
    env, params = curves(task)
    return jax.jit(lambda state, action: env.advance(state, action, params))


def acted(task, starts, action, steps=1):
    """The last of some steps with an action of the curves that all units share; other units are idle."""
    env, params = curves(task)
    _, state = env.reset_at(jnp.asarray(starts), params)
    n_curve = sum("v_ref_pu" in name for name in env.task.action.names)
    for _ in range(steps):
        whole = np.asarray(env.idle(params, state)).copy()
        whole[:, : 4 * n_curve] = np.tile(action, n_curve)
        transition = advance(task)(state, whole)
        state = transition.state
    return transition


def off_the_curve(task, transition):
    """Largest difference of reactive power and its curve at the voltage of the same step, share of the rating."""
    group = curves(task)[1].model.groups[0]
    done, rating = transition.output.feasible[0], group.params.ratings.s_rated_kva
    v_pu = group.v_pu(transition.output.v_pu)
    asked = rating * ieee1547.volt_var_q_share(v_pu, done.request.volt_var_v_pu, done.request.volt_var_q_share)
    return np.max(np.abs(np.clip(asked, done.q_min_kvar, done.q_max_kvar) - done.q_kvar) / rating)


def test_curve_has_four_parameters_within_the_ranges_of_table_8():
    channels = [c for c in curves()[0].task.action if c.source == "pv.18"]
    assert [(c.name, c.unit, c.low, c.high) for c in channels] == [
        ("pv.18.v_ref_pu", "pu", 0.95, 1.05),
        ("pv.18.deadband_pu", "pu", 0.0, 0.03),
        ("pv.18.ramp_pu", "pu", 0.02, 0.15),
        ("pv.18.q_end_share", "", 0.0, 1.0),
    ]


@pytest.mark.parametrize("task", [TASK, pytest.param(THREE_PHASE, marks=pytest.mark.slow)])
def test_idle_is_the_default_curve_of_category_b_at_the_voltage_of_the_step(task):
    env, params = curves(task)
    _, state = env.reset_at(jnp.asarray(STEPS), params)
    transition = advance(task)(state, np.asarray(env.idle(params, state)))
    group = params.model.groups[0]
    done, rating = transition.output.feasible[0], np.asarray(group.params.ratings.s_rated_kva)
    np.testing.assert_allclose(done.request.volt_var_v_pu[0, 0], [0.92, 0.98, 1.02, 1.08], atol=1e-6)
    np.testing.assert_allclose(done.request.volt_var_q_share[0, 0], [0.44, 0.0, 0.0, -0.44], atol=1e-6)
    v_pu = np.asarray(group.v_pu(transition.output.v_pu))
    share = np.interp(v_pu, [0.92, 0.98, 1.02, 1.08], [0.44, 0.0, 0.0, -0.44])
    np.testing.assert_allclose(np.asarray(done.q_kvar) / rating, share, atol=1e-5)
    assert np.abs(share).max() > 0.1


def test_any_action_is_a_curve_that_the_standard_allows():
    env, params = curves()
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    _, state = env.reset_at(jnp.full(N_RANDOM, STEPS[1]), params)
    for some in corners.reshape(-1, N_RANDOM, 4):
        transition = advance()(state, np.tile(some, 6).astype(np.float32))
        info = transition.info
        np.testing.assert_allclose(info["action_applied"], info["action_limited"], atol=1e-5)
        assert not np.any(np.asarray(info["status"]) & Status.ACTION_CORRECTED)
        assert off_the_curve(TASK, transition) < 1e-4


def test_parameters_in_force_are_reported_and_values_beyond_the_ranges_are_limited_and_flagged():
    transition = acted(TASK, STEPS, [3.0, 0.2, -0.4, 0.5])
    np.testing.assert_array_equal(transition.info["action_requested"][0, :4], np.float32([3.0, 0.2, -0.4, 0.5]))
    np.testing.assert_allclose(transition.info["action_limited"][0, :4], [1.0, 0.2, -0.4, 0.5], atol=1e-5)
    np.testing.assert_allclose(transition.info["action_applied"][0, :4], [1.0, 0.2, -0.4, 0.5], atol=1e-5)
    assert int(transition.info["status"][0]) & Status.ACTION_CORRECTED


def test_device_limits_a_curve_about_another_reference_to_the_ranges_about_it():
    v = ieee1547.limit_volt_var_v(jnp.array([[0.5, 0.9, 1.2, 1.2]]), jnp.array([1.05]))
    np.testing.assert_allclose(v, [[0.87, 1.02, 1.08, 1.2]], atol=1e-6)
    assert float(ieee1547.limit_v_ref(jnp.array([1.2]))[0]) == pytest.approx(1.05)


def test_a_level_curve_is_no_reactive_power_at_all():
    commanded, params = make(TASK)
    _, state = commanded.reset_at(jnp.asarray(STEPS), params)
    expected = commanded.advance(state, np.zeros((3, 6), np.float32), params)
    found = acted(TASK, STEPS, [0.3, -0.2, 0.7, -1.0])
    np.testing.assert_allclose(found.output.v_pu, expected.output.v_pu, atol=2e-6)
    np.testing.assert_allclose(found.reward, expected.reward, rtol=1e-4)


def test_a_curve_at_its_end_is_the_reactive_power_commanded():
    commanded, params = make(TASK)
    _, state = commanded.reset_at(jnp.asarray(STEPS), params)
    expected = commanded.advance(state, np.full((3, 6), -1.0, np.float32), params).output
    found = acted(TASK, STEPS, [-1.0, -1.0, -1.0, 1.0]).output
    # At noon all plants are above 0.97 pu, where this curve has come to its end.
    assert float(params.model.groups[0].v_pu(found.v_pu)[1].min()) > 0.97
    np.testing.assert_allclose(found.feasible[0].q_kvar[1], expected.feasible[0].q_kvar[1], rtol=1e-5)
    np.testing.assert_allclose(found.v_pu[1], expected.v_pu[1], atol=2e-6)


def test_parameters_move_reactive_power_where_they_should():
    def q_kvar(action, step):
        return float(acted(TASK, STEPS, action).output.feasible[0].q_kvar[step, 1])

    evening, noon = 0, 1
    usual = [0.0, 1 / 3, -5 / 13, 1.0]
    assert q_kvar([0.5, *usual[1:]], evening) > q_kvar(usual, evening) + 100.0
    assert q_kvar([-0.5, *usual[1:]], evening) < q_kvar(usual, evening) - 100.0
    for step, sign in ((evening, 1.0), (noon, -1.0)):
        base = sign * q_kvar(usual, step)
        assert base > 50.0
        assert sign * q_kvar([0.0, 1.0, *usual[2:]], step) < base - 20.0
        assert sign * q_kvar([0.0, 1 / 3, -1.0, 1.0], step) > base + 20.0
        assert sign * q_kvar([0.0, 1 / 3, -5 / 13, 0.0], step) < base - 20.0


@pytest.mark.parametrize("task", [TASK, pytest.param(THREE_PHASE, marks=pytest.mark.slow)])
def test_steepest_curve_has_the_same_balance_whatever_the_step_before_was(task):
    """Where each step took the voltage of the one before, reactive power would swing from end to end."""
    first = acted(task, STEPS, STEEPEST)
    env, params = curves(task)
    state = env.reset_at(jnp.asarray(STEPS), params)[1]
    for v_pu in (0.9, 1.1):
        grid = replace(state.grid, v_pu=jnp.full_like(state.grid.v_pu, v_pu))
        whole = np.asarray(env.idle(params, state)).copy()
        whole[:, :24] = np.tile(STEEPEST, 6)
        again = advance(task)(replace(state, grid=grid), whole)
        np.testing.assert_allclose(again.output.v_pu, first.output.v_pu, atol=5e-6)
    assert off_the_curve(task, first) < 1e-4


@pytest.mark.parametrize("task", [TASK, pytest.param(THREE_PHASE, marks=pytest.mark.slow)])
def test_two_hundred_random_steps_are_finite_on_the_curve_and_close_their_energy(task):
    env, params = curves(task)
    generator = np.random.default_rng(0)
    _, state = env.reset_batch(jax.random.key(0), params, N_RANDOM)
    for k in range(200):
        low, high = env.action_bounds
        action = generator.uniform(low, high, (N_RANDOM, env.n_action)).astype(np.float32)
        action[::2] = np.where(generator.random(action[::2].shape) < 0.5, low, high)
        transition = advance(task)(state, action)
        state = transition.state
        if k % 10:
            continue
        assert_all_finite((transition.observation, transition.reward, transition.info["action_applied"]))
        assert np.all(transition.output.converged)
        assert off_the_curve(task, transition) < 1e-4
        lines = np.stack([v for name, v in transition.info["kpi"].items() if name.startswith("kwh.")])
        assert np.all(np.abs(lines.sum(axis=0)) <= 1e-4 * np.maximum(np.abs(lines).sum(axis=0), 1e-3))


def test_samples_do_not_depend_on_their_company():
    env, params = curves()
    generator = np.random.default_rng(1)
    action = generator.uniform(-1, 1, (3, 24)).astype(np.float32)
    _, state = env.reset_at(jnp.asarray(STEPS), params)
    batch = advance()(state, action)
    for i in range(3):
        one = advance()(jax.tree.map(lambda x, i=i: x[i], state), action[i])
        np.testing.assert_allclose(one.output.v_pu, batch.output.v_pu[i], atol=1e-6)


def test_no_power_flow_is_reported_and_nothing_else():
    env, params = curves(scale=40.0)
    _, state = env.reset_at(jnp.full(3, 19 * 4), params)
    transition = env.advance(state, np.zeros((3, 24), np.float32), params)
    assert np.all(transition.terminated)
    assert_all_finite((transition.observation, transition.reward, transition.info))


@pytest.mark.slow
def test_gradient_of_a_step_is_that_of_differences():
    with jax.enable_x64(True):
        env, params = curves(dtype="float64")
        _, state = env.reset_at(jnp.asarray(STEPS[1]), params)

        @jax.jit
        @jax.value_and_grad
        def loss_kw(action):
            return env.advance(state, action, params).output.loss_kw

        action = jnp.asarray(np.random.default_rng(2).uniform(-0.5, 0.5, 24))
        _, found = loss_kw(action)
        way = 1e-5
        for entry in (4, 5, 6, 7):
            ahead = jnp.zeros(24).at[entry].set(way)
            expected = (loss_kw(action + ahead)[0] - loss_kw(action - ahead)[0]) / (2 * way)
            assert float(found[entry]) == pytest.approx(float(expected), rel=1e-3, abs=1e-4)
        assert np.abs(found).max() > 1.0


@pytest.mark.slow
def test_rule_of_curves_is_the_default_curve_and_that_of_commanded_inverters_beside_them_is_in_balance():
    config = VoltVarConfig()
    plants = [c.model_dump() | {"control": "volt_var" if i % 2 else "q"} for i, c in enumerate(config.inverters)]
    env, params = make(TASK, inverters=plants)
    observation, state = env.reset_at(jnp.asarray(STEPS), params)
    actuator = env.task.actuator
    _, settled = droop.follow_curves(actuator, params.model, state.grid, actuator.idle(params.model, state.grid))
    assert np.all(settled)
    mixed = env.advance(state, UnitRules(env).act(params, state, observation), params)
    whole, own = curves()
    _, beside = whole.reset_at(jnp.asarray(STEPS), own)
    every = advance()(beside, np.asarray(whole.idle(own, beside)))
    # Both have every inverter on the default curve, found in two ways.
    np.testing.assert_allclose(mixed.output.v_pu, every.output.v_pu, atol=2e-5)
    assert isinstance(mixed.output.feasible[0].request, InverterRequest)
