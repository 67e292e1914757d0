"""The walk over the registry: what every task promises, whatever network and devices it has."""

import json
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from jax import numpy as jnp

from gridenv.core.errors import MissingExtraError
from gridenv.devices.battery import BATTERY
from gridenv.policy.codec import Codec
from gridenv.sim.state import Status
from gridenv.sim.step import inject, moved
from tests.environments import EVERY_TASK, action_stream, assert_all_finite, functional, single, vector

N_ENV, N_STEP = 16, 640
"""Together 10,240 steps of random, extreme and adversarial actions."""
SAME = 1e-6
every_task = pytest.mark.parametrize("task", EVERY_TASK)


def adversarial(env):
    """Uniform, corner and idle actions; then the same beyond the bounds; then corners that flip in every step."""
    actions = action_stream(env, N_ENV, N_STEP)
    actions[N_STEP // 3 : N_STEP // 2] *= 1e6
    low, high = env.action_bounds
    actions[N_STEP // 2 : 2 * N_STEP // 3 : 2], actions[N_STEP // 2 + 1 : 2 * N_STEP // 3 : 2] = low, high
    return actions


@cache
def walk(task):
    """Everything that a long random walk returns, time first."""
    env, params = functional(task)
    _, state = env.reset_batch(jax.random.key(0), params, N_ENV)

    @jax.jit
    def run(state, actions, params):
        def body(state, step):
            key, action = step
            observation, state, reward, terminated, truncated, info = env.step_batch(key, state, action, params)
            return state, (observation, reward, terminated, truncated, info)

        keys = jax.random.split(jax.random.key(1), N_STEP)
        return jax.lax.scan(body, state, (keys, actions))

    state, history = run(state, adversarial(env), params)
    return state, jax.tree.map(np.asarray, history)


@every_task
def test_random_extreme_and_adversarial_actions_never_give_nan_and_stay_in_the_spaces(task):
    env, params = functional(task)
    state, (observation, reward, terminated, truncated, info) = walk(task)
    assert_all_finite((state, observation, reward, {k: v for k, v in info.items() if k != "status"}))
    low, high = env.observation_bounds
    assert np.all((observation >= low) & (observation <= high))
    low, high = env.action_bounds
    for name in ("action_limited", "action_applied"):
        assert np.all((info[name] >= low - SAME) & (info[name] <= high + SAME)), name
    ended = np.sum(terminated | truncated, axis=0)
    assert np.all(ended >= N_STEP // params.steps_per_episode)


@every_task
def test_residual_is_small_wherever_the_power_flow_converged(task):
    _, (_, _, terminated, _, info) = walk(task)
    assert info["pf_residual"][info["pf_converged"]].max() < 1e-5
    np.testing.assert_array_equal(terminated, ~info["pf_converged"])
    np.testing.assert_array_equal(terminated, (info["status"] & Status.NOT_CONVERGED) != 0)


@every_task
def test_energy_closes_line_by_line(task):
    _, (_, _, _, _, info) = walk(task)
    lines = np.stack([v.astype(float) for name, v in info["kpi"].items() if name.startswith("kwh.")])
    flow = np.abs(lines).sum(axis=0)
    assert np.all(np.abs(lines.sum(axis=0)) <= 1e-4 * np.maximum(flow, 1e-3))


@every_task
def test_energy_closes_over_an_episode_with_what_the_batteries_hold_at_its_ends(task):
    env, params = functional(task)
    _, (_, _, terminated, _, info) = walk(task)
    n_step = params.steps_per_episode
    is_whole = ~terminated[: n_step - 1].any(axis=0)
    assert is_whole.any()
    lines = {n: v[:n_step, is_whole].astype(float).sum(axis=0) for n, v in info["kpi"].items() if n.startswith("kwh.")}
    through_kwh = np.abs(list(lines.values())).sum(axis=0)
    assert np.all(np.abs(sum(lines.values())) <= 1e-4 * through_kwh)
    socs = {c["name"]: i for i, c in enumerate(env.manifest["observation"]) if c["name"].startswith("battery.")}
    batteries = [g for g in params.model.groups if g.family is BATTERY]
    assert bool(batteries) == ("kwh.battery_stored" in lines)
    if batteries:
        last = Codec.of(env.task.observation).decode(info["final_observation"][n_step - 1, is_whole])
        held_kwh = 0.0
        for group in batteries:
            soc = np.stack([last[:, socs[f"{name}.soc"]] for name in group.names], axis=-1)
            held_kwh += ((soc - np.asarray(group.params.soc_start)) * np.asarray(group.params.e_max_kwh)).sum(axis=-1)
        np.testing.assert_allclose(-lines["kwh.battery_stored"], held_kwh, atol=1e-4 * through_kwh.max())


@every_task
def test_money_is_explained_line_by_line_and_the_reward_is_money_less_weighted_costs(task):
    env, params = functional(task)
    _, (_, reward, _, _, info) = walk(task)
    lines = np.stack([v.astype(float) for name, v in info["kpi"].items() if name.startswith("eur.")])
    np.testing.assert_allclose(lines.sum(axis=0), info["economic_eur"], rtol=1e-4, atol=1e-3)
    charged = info["cost"].astype(float) @ np.asarray(params.charged_eur, float)
    np.testing.assert_allclose(reward, info["economic_eur"] - charged, rtol=1e-4, atol=1e-2)
    assert np.all(info["cost"] >= 0.0)
    assert len(env.cost_names) == info["cost"].shape[-1]
    assert env.cost_names[-1] == "pf_fail"


@every_task
def test_manifest_is_json_and_complete(task):
    env, _ = functional(task)
    manifest = json.loads(json.dumps(env.manifest))
    assert len(manifest["observation"]) == env.n_observation
    assert len(manifest["action"]) == env.n_action


@every_task
def test_functional_environment_can_be_mapped(task):
    env, params = functional(task)

    def shapes(step):
        def results(action):
            _, state = env.reset_batch(jax.random.key(0), params, 3)
            return jax.tree.leaves(step(state, action))

        leaves = jax.eval_shape(results, jax.ShapeDtypeStruct((3, env.n_action), jnp.float32))
        return [(leaf.shape, leaf.dtype) for leaf in leaves]

    def one(state, action):
        return env.step(None, state, action, params)

    assert shapes(jax.vmap(one)) == shapes(one)


@every_task
def test_gymnasium_checker_passes(task):
    check_env(single(task).unwrapped, skip_render_check=True)


@pytest.mark.exact
@every_task
def test_adapters_give_the_same_numbers_for_the_same_seed_and_actions(task):
    env, alone, batch = functional(task)[0], single(task), vector(task, 2)
    agents = _parallel(task)
    actions = action_stream(env, 2, 6)
    first, _ = alone.reset(seed=3)
    many, _ = batch.reset(seed=[3, 8])
    own, _ = agents.reset(seed=3)
    np.testing.assert_allclose(many[0], first, atol=SAME)
    for action in actions:
        observation, reward, _, _, info = alone.step(action[0])
        observations, rewards, _, _, infos = batch.step(action)
        own, shared, _, _, _ = agents.step({a.name: action[0][a.actions] for a in env.task.agents})
        np.testing.assert_allclose(observations[0], observation, atol=SAME)
        np.testing.assert_allclose(rewards[0], reward, rtol=SAME, atol=SAME)
        np.testing.assert_allclose(infos["cost"][0], info["cost"], rtol=SAME, atol=SAME)
        for agent in env.task.agents:
            np.testing.assert_allclose(own[agent.name], observation[agent.local], atol=SAME)
            assert shared[agent.name] == pytest.approx(reward, rel=SAME, abs=SAME)
    again, _ = alone.reset(seed=3)
    np.testing.assert_array_equal(again, first)


@every_task
def test_own_rewards_of_all_agents_sum_to_the_shared_one(task):
    env, alone, agents = functional(task)[0], single(task), _parallel(task, reward="own")
    alone.reset(seed=1)
    agents.reset(seed=1)
    for action in action_stream(env, 1, 3)[:, 0]:
        _, reward, _, _, _ = alone.step(action)
        _, rewards, _, _, _ = agents.step({a.name: action[a.actions] for a in env.task.agents})
        assert sum(rewards.values()) == pytest.approx(reward, rel=1e-5, abs=1e-3)


@every_task
def test_parallel_environment_passes_the_test_of_pettingzoo(task):
    pytest.importorskip("pettingzoo", reason="needs the extra [marl]")
    from pettingzoo.test import parallel_api_test

    parallel_api_test(_parallel(task), num_cycles=20)


@every_task
def test_agents_share_out_all_actions_and_see_the_common_part(task):
    env, _ = functional(task)
    agents = env.task.agents
    np.testing.assert_array_equal(np.sort(np.concatenate([a.actions for a in agents])), np.arange(env.n_action))
    names = env.task.observation.names
    for agent in agents:
        seen = [names[i] for i in agent.local]
        assert "price_eur_mwh" in seen
        assert "time.day_sin" in seen
        own = [n for n in names if any(n.startswith(f"{unit}.") for unit in agent.units)]
        assert set(own) <= set(seen)


@every_task
def test_task_has_a_page_in_the_documentation(task):
    pages = Path(__file__).parents[2] / "docs" / "tasks"
    assert any(task in page.read_text(encoding="utf-8") for page in pages.glob("*.md"))


def _parallel(task, **settings):
    try:
        from gridenv.adapters.parallel_env import GridParallelEnv
    except MissingExtraError as error:
        pytest.skip(str(error))
    return GridParallelEnv(task, **settings)


@every_task
def test_loads_and_losses_are_what_ratings_and_branches_say_by_themselves(task):
    """The energy lines of loads and losses, which the balance alone would not tell apart."""
    env, params = functional(task)
    starts = params.starts[:4] + 74
    _, state = env.reset_at(starts, params)
    t = env.advance(state, env.idle(params, state), params)
    model, spec = params.model, env.task.power_flow.spec
    series = np.asarray(model.scenario.values)[np.asarray(starts)].astype(float)
    rated_kw = series @ np.asarray(model.loads.p_weight_kw, float)
    drawn_kwh = -np.asarray(t.info["kpi"]["kwh.load"], float) / model.dt_h
    is_constant_power = not np.any(getattr(spec.injections, "exponent_p", 0.0))
    # Loads that follow the voltage draw within some percent of their rating.
    np.testing.assert_allclose(drawn_kwh, -rated_kw.sum(axis=-1), rtol=1e-4 if is_constant_power else 0.1, atol=0.02)
    feasible = t.output.feasible
    injections = inject(model, jnp.asarray(series, jnp.float32), feasible)
    equipment = moved(model, feasible)
    states = {n: getattr(equipment, n) for n in ("taps", "capacitors", "switches") if getattr(equipment, n) is not None}
    solution = env.task.power_flow.solve(injections.p_kw, injections.q_kvar, **states)
    apart_kw = np.sum(solution.line_loss_kw, axis=-1) + np.sum(solution.transformer_loss_kw, axis=-1)
    source_kw = np.asarray(t.output.source_p_kw, float)
    np.testing.assert_allclose(t.output.loss_kw, apart_kw, atol=1e-4 * np.abs(source_kw).max() + 1e-3)
