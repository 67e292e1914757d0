"""References against independent tools: pandapower for the droop curve, a global optimiser for the dispatch."""

import jax
import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from jax import numpy as jnp
from scipy.optimize import differential_evolution

from agents import droop
from agents.optimal_dispatch import OptimalDispatch
from agents.rules import DoNothing, UnitRules
from gridenv.devices import ieee1547
from gridenv.exogenous.scenario import sample
from gridenv.sim.step import inject, project
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.registry import make
from gridenv.tasks.volt_var import VoltVarConfig
from tests.marks import slow

KW_PER_MW = 1000.0
# A winter evening, a summer noon, a spring morning.
STEPS = jnp.array([13 * 96 + 74, 170 * 96 + 50, 110 * 96 + 34])


@pytest.fixture(scope="module")
def task() -> tuple[GridEnv, EnvParams]:
    return make("VoltVar-IEEE33-v0")


def test_volt_var_curve_has_the_corners_of_category_b() -> None:
    # IEEE 1547-2018 table 8, category B.
    v_pu = jnp.array([0.80, 0.92, 0.95, 0.98, 1.00, 1.02, 1.05, 1.08, 1.20])
    expected = [0.44, 0.44, 0.22, 0.0, 0.0, 0.0, -0.22, -0.44, -0.44]
    category = ieee1547.CATEGORIES["B"]
    points = (jnp.array([category.volt_var_v_pu]), jnp.array([category.volt_var_q_share]))
    np.testing.assert_allclose(ieee1547.volt_var_q_share(v_pu[:, None], *points)[:, 0], expected, atol=1e-6)


def test_droop_is_in_equilibrium_with_the_power_flow_of_pandapower(task) -> None:
    env, params = task
    model, config = params.model, VoltVarConfig()
    _, state = env.reset_at(STEPS, params)
    actuator, rating = env.task.actuator, np.asarray(model.groups[0].params.ratings.s_rated_kva)
    idle = actuator.idle(model, state.grid)
    action, settled = droop.follow_curves(actuator, model, state.grid, idle)
    assert np.all(settled)
    feasible = project(model, state.grid, sample(model.scenario, STEPS), actuator.command(model, state.grid, action))
    q_kvar, limit_kvar = feasible[0].q_kvar, jnp.minimum(feasible[0].q_max_kvar, 0.44 * rating)
    series = sample(model.scenario, STEPS)
    for i in range(len(STEPS)):
        v_pu = _pandapower_voltages(config, model, series[i], jax.tree.map(lambda x, i=i: x[i], feasible))
        asked = np.interp(v_pu, [0.92, 0.98, 1.02, 1.08], [0.44, 0.0, 0.0, -0.44]) * rating
        expected = np.clip(asked, -limit_kvar[i], limit_kvar[i])
        np.testing.assert_allclose(q_kvar[i], expected, atol=1e-3 * rating.max())
    assert np.abs(q_kvar).max() > 100.0


@pytest.mark.parametrize("split", [slow("train"), "validation", "test"])
def test_droop_settles_in_every_step_of_every_split(split: str) -> None:
    env, params = make("VoltVar-IEEE33-v0", split=split)
    _, state = env.reset_at((params.starts[:, None] + jnp.arange(96)).reshape(-1), params)
    settled = jax.jit(UnitRules(env).settled)(params, state)
    assert settled.shape == state.steps.shape
    assert np.all(settled)


def test_droop_says_so_when_it_does_not_settle() -> None:
    # At 40 times the load there is no power flow, so no equilibrium either.
    env, params = make("VoltVar-IEEE33-v0", load_scale=40.0, max_iterations=50)
    _, state = env.reset_at(jnp.array([19 * 4]), params)
    assert not np.any(UnitRules(env).settled(params, state))


def _pandapower_voltages(config: VoltVarConfig, model, series, feasible) -> np.ndarray:
    net = pn.case33bw()
    net.ext_grid.vm_pu = config.source_v_pu
    injections = inject(model, series, feasible)
    p_mw, q_mvar = np.asarray(injections.p_kw) / KW_PER_MW, np.asarray(injections.q_kvar) / KW_PER_MW
    n_load = len(net.load)
    net.load.p_mw, net.load.q_mvar = -p_mw[:n_load], -q_mvar[:n_load]
    buses = [int(inverter.bus) - 1 for inverter in config.inverters]
    for bus, p, q in zip(buses, p_mw[n_load:], q_mvar[n_load:], strict=True):
        pp.create_sgen(net, bus, p, q)
    pp.runpp(net, numba=False)
    return net.res_bus.vm_pu.to_numpy()[buses]


@pytest.mark.slow
def test_optimal_dispatch_is_not_beaten_by_a_global_optimiser(task) -> None:
    env, params = task
    observation, state = env.reset_at(STEPS, params)
    action = OptimalDispatch(env).act(params, state, observation)
    reward = np.asarray(env.step(None, state, action, params)[2])
    droop = UnitRules(env).act(params, state, observation)
    droop_reward = np.asarray(env.step(None, state, droop, params)[2])
    for i, start in enumerate(STEPS):
        best = _differential_evolution(env, params, start)
        # Within 1 % of what there is to gain over the droop curve, or of the cost itself where droop is optimal.
        slack = 0.01 * max(best - droop_reward[i], 0.1 * abs(best))
        assert reward[i] >= best - slack


def test_optimal_dispatch_scores_the_point_of_its_last_round(task) -> None:
    env, params = task
    observation, state = env.reset_at(STEPS[:1], params)
    droop = UnitRules(env).act(params, state, observation)
    after_one = OptimalDispatch(env, rounds=1).act(params, state, observation)
    idle, curve, moved = (env.step(None, state, a, params)[2] for a in (jnp.zeros_like(droop), droop, after_one))
    assert float(moved[0]) > max(float(idle[0]), float(curve[0]))


class _Narrow(GridEnv):
    """The same environment with a tenth of the action range."""

    action_bounds = (np.full(6, -0.1, np.float32), np.full(6, 0.1, np.float32))


def test_optimal_dispatch_stays_inside_the_bounds_of_the_environment(task) -> None:
    env, params = task
    narrow = _Narrow(env.task)
    _, state = env.reset_at(STEPS[:1], params)
    best, _ = OptimalDispatch(narrow, rounds=20)._improve(params, state, jnp.zeros((1, 6)))
    assert float(jnp.max(jnp.abs(best))) == pytest.approx(0.1)


def _differential_evolution(env: GridEnv, params: EnvParams, start) -> float:
    population = 60
    _, state = env.reset_at(jnp.full(population, start), params)

    @jax.jit
    def rewards(actions):
        return env.step(None, state, actions, params)[2]

    def cost(x: np.ndarray) -> np.ndarray:
        actions = np.zeros((population, env.n_action), np.float32)
        actions[: x.shape[1]] = x.T
        return -np.asarray(rewards(actions))[: x.shape[1]]

    found = differential_evolution(
        cost,
        [(-1.0, 1.0)] * env.n_action,
        popsize=population // env.n_action,
        maxiter=150,
        vectorized=True,
        updating="deferred",
        polish=False,
        rng=np.random.default_rng(0),
    )
    return -float(found.fun)


@pytest.mark.parametrize("split", [slow("train"), slow("validation"), "test"])
def test_oracle_beats_droop_beats_nothing_on_every_split(split: str) -> None:
    env, params = make("VoltVar-IEEE33-v0", split=split)
    steps = (params.starts[::8, None] + jnp.arange(0, 96, 12)).reshape(-1)
    observation, state = env.reset_at(steps, params)
    total = [
        float(jnp.sum(env.step(None, state, c.act(params, state, observation), params)[2]))
        for c in (DoNothing(env), UnitRules(env), OptimalDispatch(env, rounds=60))
    ]
    assert total[0] < total[1] < total[2] < 0.0


def test_task_is_sized_so_that_the_score_means_something() -> None:
    env, params = make("VoltVar-IEEE33-v0", split="test")
    steps = (params.starts[:, None] + jnp.arange(96)).reshape(-1)[::5]
    observation, state = env.reset_at(steps, params)
    v_idle = env.advance(state, DoNothing(env).act(params, state, observation), params).output.v_pu
    v_droop = env.advance(state, UnitRules(env).act(params, state, observation), params).output.v_pu
    over, under = np.mean(v_idle > 1.05), np.mean(v_idle < 0.95)
    assert over + under >= 0.10
    assert over >= 0.01
    assert under >= 0.01
    assert 0.01 <= np.mean((v_droop > 1.05) | (v_droop < 0.95)) <= 0.05
