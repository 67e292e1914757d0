"""Soft actor-critic on environments whose answer is known."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scipy.stats import norm

from agents.sac import replay
from agents.sac.config import SACConfig
from agents.sac.learner import SAC
from agents.sac.networks import log_density, values
from agents.sac.replay import Transitions
from gridenv.tasks.env import EnvParams, GridEnv
from tests.learning.probes import EPISODE_STEPS, Constant, Follow

GAMMA = 0.8


def _train(env: GridEnv, env_params: EnvParams, **settings: Any):
    config = SACConfig(
        num_envs=16,
        rollout_steps=8,
        update_to_data=0.25,
        batch_size=128,
        hidden=(32, 32),
        learning_rate=2e-3,
        target_rate=0.02,
        learning_starts=1_000,
        buffer_size=10_000,
        total_steps=16_000,
        **settings,
    )
    sac = SAC(env, config)
    state, metrics = sac.advance(sac.begin(0, env_params), env_params, config.total_updates)
    return sac, state, metrics


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
    env = Constant(terminates=terminates)
    # With so small a temperature entropy is worth nothing.
    _, state, _ = _train(env, env_params, gamma=GAMMA, initial_temperature=1e-4)
    observation = jnp.stack([jnp.arange(EPISODE_STEPS) / EPISODE_STEPS, jnp.zeros(EPISODE_STEPS)], axis=-1)
    found = values(state.learned.networks.critics, observation, jnp.zeros((EPISODE_STEPS, 1)))
    np.testing.assert_allclose(found, np.stack([expected] * 2), rtol=0.08)


def test_policy_finds_the_action_that_pays_best_and_temperature_holds_the_entropy(env_params) -> None:
    env = Follow()
    sac, state, metrics = _train(env, env_params, gamma=0.0, target_entropy=-2.0)
    signal = jnp.array([-0.8, -0.2, 0.3, 0.9])
    observation = jnp.stack([jnp.full(4, 0.5), signal], axis=-1)
    action = sac.policy(state).act(env_params, state.env, observation)
    np.testing.assert_allclose(action[:, 0], 0.5 * signal, atol=0.08)
    assert float(metrics["policy/entropy"][-1]) == pytest.approx(-2.0, abs=0.3)
    # Random at first, with nothing learned.
    assert float(metrics["train/reward_eur"][0]) < -0.2 < -0.03 < float(metrics["train/reward_eur"][-1])
    assert float(metrics["loss/critic"][0]) == 0.0


def test_log_density_of_limited_actions_agrees_with_its_formula() -> None:
    mean, log_std, noise = np.array([0.2, -0.4]), np.array([-0.5, 0.1]), np.array([0.7, -1.1])
    before = mean + np.exp(log_std) * noise
    expected = np.sum(norm.logpdf(before, mean, np.exp(log_std)) - np.log(1.0 - np.tanh(before) ** 2))
    found = log_density(jnp.asarray(noise), jnp.asarray(log_std), jnp.asarray(before))
    assert float(found) == pytest.approx(expected, abs=1e-6)
    # Where tanh rounds to one, the plain formula is infinite.
    assert np.isfinite(log_density(jnp.zeros(1), jnp.zeros(1), jnp.full(1, 30.0)))


def _steps(first: int, n_row: int) -> Transitions:
    """Transitions of two environments; reward = number of the row, negative in the second environment."""
    reward = jnp.arange(first, first + n_row, dtype=jnp.float32)[:, None] * jnp.array([1.0, -1.0])
    wide = reward[..., None]
    return Transitions(wide, wide, reward, wide, reward < 0.0)


def test_buffer_keeps_the_newest_rows_and_draws_from_what_it_holds() -> None:
    buffer = replay.empty(4, 2, 1, 1)
    buffer = replay.add(buffer, _steps(1, 3), jnp.int32(0))
    early = replay.draw(buffer, jax.random.key(0), jnp.int32(3), 500)
    assert sorted(set(early.reward.tolist())) == [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]
    buffer = replay.add(buffer, _steps(4, 3), jnp.int32(3))
    late = replay.draw(buffer, jax.random.key(0), jnp.int32(6), 500)
    assert sorted(set(late.reward.tolist())) == [-6.0, -5.0, -4.0, -3.0, 3.0, 4.0, 5.0, 6.0]
    np.testing.assert_array_equal(late.action[:, 0], late.reward)
    np.testing.assert_array_equal(late.terminated, late.reward < 0.0)
