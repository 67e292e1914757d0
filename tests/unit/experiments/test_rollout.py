"""Episodes run side by side against the same episodes run one by one through the public step."""

from dataclasses import fields, replace

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.networks import NetworkPolicy
from agents.ppo.networks import init_actor_critic
from agents.registry import make_reference
from agents.rules import DoNothing
from experiments.rollout import EpisodeResults, record_pairs, run_episodes, run_episodes_on_host
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.registry import make

TASK = "VoltVar-IEEE33-v0"
STEPS = 6


@pytest.fixture(scope="module")
def task() -> tuple[GridEnv, EnvParams]:
    env, params = make(TASK, steps_per_episode=STEPS)
    return env, replace(params, starts=params.starts[:3] + 48)


def test_results_agree_with_a_plain_loop_over_steps(task: tuple[GridEnv, EnvParams]) -> None:
    env, params = task
    rule = make_reference("rule", env, params)
    act = jax.jit(rule.act)
    results = run_episodes(env, params, rule)
    for episode, start in enumerate(params.starts):
        observation, state = env.reset_at(start, params)
        total, loss_kwh, cost = 0.0, 0.0, np.zeros(len(env.cost_names))
        for _ in range(STEPS):
            action = act(params, state, observation)
            observation, state, reward, terminated, _, info = env.step(None, state, action, params)
            assert not terminated
            total, loss_kwh = total + float(reward), loss_kwh - float(info["kpi"]["kwh.loss"])
            cost += np.asarray(info["cost"])
        # float32 and another order of operations.
        assert results.return_eur[episode] == pytest.approx(total, rel=1e-4, abs=1e-3)
        assert results.loss_kwh[episode] == pytest.approx(loss_kwh, rel=1e-4)
        np.testing.assert_allclose(results.cost[episode], cost, rtol=1e-3, atol=1e-4)
    assert results.v_pu.shape == (3, STEPS, 33)
    assert results.v_min_pu.min() == pytest.approx(results.v_pu.min())


def test_an_episode_without_a_solution_ends_there_and_pays_once(task: tuple[GridEnv, EnvParams]) -> None:
    env, params = task
    loads = jax.tree.map(lambda x: x * 500 if x.dtype == jnp.float32 else x, params.model.loads)
    params = replace(params, model=replace(params.model, loads=loads))
    results = run_episodes(env, params, DoNothing(env))
    assert (results.cost_of(env.cost_names, "pf_fail") == 1.0).all()
    assert np.isnan(results.v_pu).all()
    weight = float(params.cost_weight_eur[env.cost_names.index("pf_fail")])
    np.testing.assert_allclose(results.return_eur, -weight)


def test_the_return_is_penalised_even_if_the_agent_is_not(task: tuple[GridEnv, EnvParams]) -> None:
    env, params = task
    plain = run_episodes(env, params, DoNothing(env))
    economic = run_episodes(env, replace(params, penalised=False), DoNothing(env))
    np.testing.assert_allclose(plain.return_eur, economic.return_eur)
    assert (plain.cost_of(env.cost_names, "v_band") > 0).any()
    assert (plain.return_eur < plain.economic_eur).any()


def test_the_learned_policy_gives_the_mean_held_inside_the_bounds(task: tuple[GridEnv, EnvParams]) -> None:
    env, params = task
    observation, state = env.reset_at(params.starts, params)
    networks = init_actor_critic(jax.random.key(0), env.n_observation, env.n_action, (8,), 0.0)
    bias = jnp.array([5.0, 0.25, -0.5, -7.0, 0.0, 1.0])
    last = networks.actor[-1]._replace(weight=jnp.zeros_like(networks.actor[-1].weight), bias=bias)
    policy = NetworkPolicy(layers=(*networks.actor[:-1], last), name="ppo")
    action = policy.act(params, state, observation)
    np.testing.assert_allclose(action, np.tile([1.0, 0.25, -0.5, -1.0, 0.0, 1.0], (3, 1)), atol=1e-6)


def test_a_policy_asked_between_the_steps_gets_the_same_results(task: tuple[GridEnv, EnvParams]) -> None:
    env, params = task
    actor = init_actor_critic(jax.random.key(0), env.n_observation, env.n_action, (8,), -1.0).actor
    policy = NetworkPolicy(layers=actor, name="net")
    weights = [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in actor]

    def act(observation: np.ndarray) -> np.ndarray:
        assert observation.shape == (3, env.n_observation)
        for weight, bias in weights[:-1]:
            observation = np.tanh(observation @ weight + bias)
        return np.clip(observation @ weights[-1][0] + weights[-1][1], -1.0, 1.0)

    expected, found = run_episodes(env, params, policy), run_episodes_on_host(env, params, act)
    assert np.ptp(expected.return_eur) > 0.1
    for field in fields(EpisodeResults):
        # float32 in another order of operations.
        np.testing.assert_allclose(getattr(found, field.name), getattr(expected, field.name), rtol=1e-4, atol=1e-5)


def test_a_failed_episode_counts_once_on_the_host_too_and_is_shown_no_nonsense(
    task: tuple[GridEnv, EnvParams],
) -> None:
    env, params = task
    loads = jax.tree.map(lambda x: x * 500 if x.dtype == jnp.float32 else x, params.model.loads)
    params = replace(params, model=replace(params.model, loads=loads))
    seen = []

    def act(observation: np.ndarray) -> np.ndarray:
        seen.append(observation)
        return np.zeros((3, env.n_action), np.float32)

    results = run_episodes_on_host(env, params, act)
    assert (results.cost_of(env.cost_names, "pf_fail") == 1.0).all()
    assert np.any(seen[0])
    assert len(seen) == STEPS
    assert not np.any(seen[1:])


def test_recorded_pairs_are_the_policys_own_and_spread_over_days_and_hours(task: tuple[GridEnv, EnvParams]) -> None:
    env, params = task
    actor = init_actor_critic(jax.random.key(0), env.n_observation, env.n_action, (8,), -1.0).actor
    policy = NetworkPolicy(layers=actor, name="net")
    pairs = record_pairs(env, params, policy, 9)
    _, state = env.reset_at(params.starts, params)
    np.testing.assert_allclose(pairs.action, policy.act(params, state, jnp.asarray(pairs.observation)), atol=1e-6)
    assert (pairs.observation.dtype, pairs.action.shape) == (np.float32, (9, env.n_action))
    assert len(np.unique(pairs.observation, axis=0)) == 9
    time_of_day = pairs.observation[:, env.task.observation.index("time.day_sin")]
    assert len(np.unique(time_of_day)) == STEPS
    # More pairs than there are steps: some come twice.
    assert record_pairs(env, params, policy, 64).action.shape == (64, env.n_action)
