"""IPPO and MAPPO on an environment whose answer is known, and on a real one."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.multi_agent.config import MultiAgentConfig
from agents.multi_agent.groups import groups_of, own_rewards
from agents.multi_agent.learner import IPPO, MAPPO
from gridenv.tasks.registry import make
from tests.learning.probes import Neighbours

SMALL = {"num_envs": 64, "rollout_steps": 8, "minibatches": 4, "hidden": (32, 32), "learning_rate": 3e-3}


@pytest.mark.parametrize(
    ("learner", "reward", "shift"),
    [
        (IPPO, "own", 0.0),
        # -(a - s / 2)^2 + 0.6 a is largest at s / 2 + 0.3: an agent that gains from its neighbour's gain goes there.
        (MAPPO, "shared", Neighbours.WORTH_TO_THE_OTHER / 2.0),
    ],
)
def test_agents_that_share_a_network_each_find_what_is_best_for_their_reward(learner, reward: str, shift) -> None:
    params = make("VoltVar-IEEE33-v0")[1]
    config = MultiAgentConfig(total_steps=200_000, gamma=0.0, reward=reward, **SMALL)
    agents = learner(Neighbours(), config)
    assert len(agents.groups) == 1
    state, _ = agents.advance(agents.begin(0, params), params, config.total_updates)
    signals = jnp.array([[-0.8, 0.5], [-0.2, -0.4], [0.3, 0.8], [0.9, -0.7]])
    observation = jnp.concatenate([jnp.full((4, 1), 0.5), signals], axis=-1)
    action = agents.policy(state).act(params, state.env, observation)
    np.testing.assert_allclose(action[:, 0], jnp.clip(0.5 * signals[:, 0] + shift, -1.0, 1.0), atol=0.1)
    np.testing.assert_allclose(action[:, 1], -0.5 * signals[:, 1], atol=0.1)


def test_own_rewards_are_what_units_earned_and_equal_parts_of_the_rest() -> None:
    env = make("SmartHome-LV-v0")[0]
    groups = groups_of(env.task.agents, env.task.action, [0] * env.n_action, env.task.observation)
    n_unit = sum(len(g.names) for g in env.task.actuator.groups)
    unit_eur = np.random.default_rng(0).normal(size=(3, n_unit)).astype(np.float32)
    rewards = np.asarray(own_rewards(groups, jnp.array([1.0, 2.0, -7.0]), jnp.asarray(unit_eur)))
    names = [name for group in groups for name in group.names]
    agents = {agent.name: agent for agent in env.task.agents}
    own = np.stack([unit_eur[:, agents[name].unit_rows].sum(axis=-1) for name in names], axis=-1)
    rest = (np.array([1.0, 2.0, -7.0]) - own.sum(axis=-1)) / len(names)
    np.testing.assert_allclose(rewards, own + rest[:, None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rewards.sum(axis=-1), [1.0, 2.0, -7.0], rtol=1e-4)


def test_agents_of_a_kind_are_one_group_and_every_action_has_one_agent() -> None:
    env = make("VoltVar-IEEE13-v0")[0]
    levels = [control.levels for control in env.task.actuator.entries]
    groups = groups_of(env.task.agents, env.task.action, levels, env.task.observation)
    # Three-phase plants see three voltages, single-phase ones see one.
    assert [(g.n_agent, g.levels) for g in groups] == [(3, (0,)), (3, (0,)), (3, (33,)), (2, (2,))]
    assert sorted(i for g in groups for rows in g.actions for i in rows) == list(range(env.n_action))
    seen = np.arange(2.0 * env.n_observation).reshape(2, -1)
    inputs = np.asarray(groups[1].inputs(jnp.asarray(seen, jnp.float32)))
    agent = next(a for a in env.task.agents if a.name == groups[1].names[2])
    np.testing.assert_array_equal(inputs[:, 2], np.concatenate([seen[:, agent.local], [[0, 0, 1]] * 2], axis=-1))


def test_training_on_a_real_task_gives_a_policy_that_sees_local_values_only() -> None:
    env, params = make("Storage-IEEE33-v0")
    config = MultiAgentConfig(
        num_envs=4, rollout_steps=8, minibatches=2, epochs=1, total_steps=64, hidden=(8,), reward="own"
    )
    ippo = IPPO(env, config)
    state, metrics = ippo.advance(ippo.begin(0, params), params, 2)
    assert all(np.isfinite(values).all() for values in metrics.values())
    act = jax.jit(ippo.policy(state).act)
    observation = np.asarray(state.observation)
    before = np.asarray(act(params, state.env, jnp.asarray(observation)))
    assert before.shape == (4, env.n_action)
    agent = env.task.agents[1]
    changed = observation + np.isin(np.arange(env.n_observation), agent.local, invert=True)
    after = np.asarray(act(params, state.env, jnp.asarray(changed, jnp.float32)))
    np.testing.assert_allclose(after[:, agent.actions], before[:, agent.actions], atol=1e-6)
    assert np.abs(after - before).max() > 1e-4
