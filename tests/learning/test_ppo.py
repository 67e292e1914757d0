"""PPO on environments whose answer is known."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scipy.stats import norm

from agents.networks import mlp
from agents.ppo.config import PPOConfig
from agents.ppo.learner import PPO, Rollout, gae
from agents.ppo.networks import init_actor_critic, log_prob
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.registry import make
from tests.learning.probes import EPISODE_STEPS, Constant, Follow

GAMMA = 0.8


def _train(env: GridEnv, env_params: EnvParams, **settings: Any):
    config = PPOConfig(
        num_envs=64,
        rollout_steps=8,
        minibatches=4,
        hidden=(32, 32),
        learning_rate=3e-3,
        total_steps=150_000,
        **settings,
    )
    ppo = PPO(env, config)
    state, metrics = ppo.advance(ppo.begin(0, env_params), env_params, config.total_updates)
    return state, metrics


@pytest.mark.parametrize(
    ("terminates", "expected"),
    [
        # An episode that is only cut off is worth the endless sum 1 / (1 - gamma) at every step.
        (False, [1 / (1 - GAMMA)] * EPISODE_STEPS),
        # One that ends is worth what is left of it.
        (True, [sum(GAMMA**k for k in range(EPISODE_STEPS - step)) for step in range(EPISODE_STEPS)]),
    ],
)
def test_values_bootstrap_at_truncation_and_not_at_termination(env_params, terminates: bool, expected) -> None:
    state, _ = _train(Constant(terminates=terminates), env_params, gamma=GAMMA)
    observation = jnp.stack([jnp.arange(EPISODE_STEPS) / EPISODE_STEPS, jnp.zeros(EPISODE_STEPS)], axis=-1)
    np.testing.assert_allclose(mlp(state.params.critic, observation)[..., 0], expected, rtol=0.06)


def test_policy_finds_the_action_that_pays_best(env_params) -> None:
    state, metrics = _train(Follow(), env_params, gamma=0.0)
    signal = jnp.array([-0.8, -0.2, 0.3, 0.9])
    observation = jnp.stack([jnp.full(4, 0.5), signal], axis=-1)
    np.testing.assert_allclose(mlp(state.params.actor, observation)[:, 0], 0.5 * signal, atol=0.06)
    assert float(metrics["train/reward_eur"][-1]) > -0.05


def test_gae_agrees_with_the_sum_written_out() -> None:
    rng = np.random.default_rng(0)
    time, gamma, lam = 6, 0.9, 0.7
    reward, values, following = rng.normal(size=(3, time, 1))
    terminated = np.array([0, 0, 1, 0, 0, 0], bool)[:, None]
    truncated = np.array([0, 0, 0, 0, 1, 0], bool)[:, None]
    final_value = np.where(truncated, 3.0, 0.0)
    next_values = np.concatenate([values[1:], following[-1:]])
    expected = np.zeros((time, 1))
    for start in range(time):
        weight = 1.0
        for t in range(start, time):
            done = terminated[t] | truncated[t]
            ahead = np.where(terminated[t], 0.0, np.where(truncated[t], final_value[t], next_values[t]))
            expected[start] += weight * (reward[t] + gamma * ahead - values[t])
            weight *= gamma * lam
            if done:
                break
    blank = jnp.zeros((time, 1))
    rollout = Rollout(
        observation=blank[..., None],
        action=blank[..., None],
        log_prob=blank,
        reward=jnp.asarray(reward, jnp.float32),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        final_value=jnp.asarray(final_value, jnp.float32),
        cost=blank[..., None],
        economic_eur=blank,
        penalised_eur=blank,
    )
    arrays = (jnp.asarray(values, jnp.float32), jnp.asarray(next_values, jnp.float32))
    np.testing.assert_allclose(gae(rollout, *arrays, gamma, lam), expected, rtol=1e-5, atol=1e-6)


def test_log_prob_is_that_of_a_normal_distribution() -> None:
    mean, log_std, action = np.array([0.2, -0.4]), np.array([-0.5, 0.1]), np.array([0.5, 0.3])
    expected = norm.logpdf(action, mean, np.exp(log_std)).sum()
    assert float(log_prob(jnp.asarray(mean), jnp.asarray(log_std), jnp.asarray(action))) == pytest.approx(expected)


def test_initial_networks_are_orthogonal_and_policy_starts_near_zero() -> None:
    params = init_actor_critic(jax.random.key(0), 40, 3, (64, 64), -1.0)
    weight = np.asarray(params.actor[0].weight)
    np.testing.assert_allclose(weight @ weight.T, 2.0 * np.eye(40), atol=1e-4)
    assert np.abs(mlp(params.actor, jnp.ones((5, 40)))).max() < 0.1


def test_several_seeds_side_by_side_learn_what_each_learns_alone(env_params) -> None:
    env, params = make("VoltVar-IEEE33-v0")
    ppo = PPO(env, PPOConfig(num_envs=8, rollout_steps=12, minibatches=2, epochs=1, total_steps=960, hidden=(16,)))
    alone = [ppo.advance(ppo.begin(seed, params), params, 3)[1]["train/reward_eur"] for seed in (0, 1)]
    states = jax.vmap(ppo.init, in_axes=(0, None, None))(jnp.array([0, 1]), params, ppo.start(params))
    together = ppo.advance_seeds(states, params, 3)[1]["train/reward_eur"]
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-3)
