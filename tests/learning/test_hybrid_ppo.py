"""PPO of actions some of which are positions."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scipy.special import log_softmax
from scipy.stats import entropy as scipy_entropy
from scipy.stats import norm

from agents.networks import NetworkPolicy
from agents.ppo.config import PPOConfig
from agents.ppo.heads import ActionHeads
from agents.ppo.learner import PPO
from agents.ppo.policy import HybridPolicy
from gridenv.tasks.registry import make
from tests.learning.probes import Choose

SMALL = {"num_envs": 64, "rollout_steps": 8, "minibatches": 4, "hidden": (32, 32), "learning_rate": 3e-3}


def test_policy_finds_the_right_position_and_the_right_value() -> None:
    params = make("VoltVar-IEEE33-v0")[1]
    config = PPOConfig(total_steps=150_000, gamma=0.0, discrete="categorical", **SMALL)
    ppo = PPO(Choose(), config)
    state, metrics = ppo.advance(ppo.begin(0, params), params, config.total_updates)
    signal = jnp.array([-0.8, -0.2, 0.3, 0.9])
    policy = ppo.policy(state)
    action = policy.act(params, state.env, jnp.stack([jnp.full(4, 0.5), signal], axis=-1))
    np.testing.assert_allclose(action[:, 0], [-0.5, -0.5, 0.5, 0.5])
    np.testing.assert_allclose(action[:, 1], 0.5 * signal, atol=0.06)
    assert float(metrics["policy/entropy"][-1]) < float(metrics["policy/entropy"][0])


def test_positions_are_treated_as_continuous_unless_asked_otherwise() -> None:
    params = make("VoltVar-IEEE33-v0")[1]
    ppo = PPO(Choose(), PPOConfig(**SMALL))
    policy = ppo.policy(ppo.begin(0, params))
    assert isinstance(policy, NetworkPolicy)
    assert policy.layers[-1].bias.shape == (2,)


def test_probability_and_entropy_of_mixed_actions_are_those_of_their_parts() -> None:
    heads = ActionHeads((3, 0, 2))
    outputs = np.array([0.4, 0.1, -0.3, 1.5])
    log_std = jnp.array([-0.5])
    action = jnp.array([0.0, 0.7, 1.0])
    first, second = log_softmax([0.0, 0.1, 0.1 - 0.3]), log_softmax([0.0, 1.5])
    expected = norm.logpdf(0.7, 0.4, np.exp(-0.5)) + first[1] + second[1]
    assert float(heads.log_prob(jnp.asarray(outputs), log_std, action)) == pytest.approx(expected, rel=1e-5)
    spread = norm.entropy(0.0, np.exp(-0.5)) + scipy_entropy(np.exp(first)) + scipy_entropy(np.exp(second))
    assert float(heads.entropy(jnp.asarray(outputs), log_std)) == pytest.approx(spread, rel=1e-5)


def test_likeliest_action_keeps_the_order_of_the_entries_and_the_bounds() -> None:
    heads = ActionHeads((3, 0, 2))
    outputs = jnp.array([[1.7, -1.0, 1.1, -5.0], [-0.2, -1.0, 0.9, 2.0]])
    np.testing.assert_allclose(heads.most_likely(outputs), [[1.0, 1.0, -1.0], [-1.0, -0.2, 1.0]])


def test_draws_have_the_shares_of_the_probabilities() -> None:
    heads = ActionHeads((3,))
    shares = np.array([0.2, 0.5, 0.3])
    outputs = jnp.broadcast_to(jnp.diff(jnp.log(shares)), (20_000, 2))
    drawn = np.asarray(heads.sample(outputs, jnp.zeros(0), jax.random.key(0)))[:, 0]
    found = [np.mean(drawn == value) for value in (-1.0, 0.0, 1.0)]
    # Three standard deviations of a share of 20,000 draws are 0.011.
    np.testing.assert_allclose(found, shares, atol=0.011)


def test_training_moves_regulators_and_capacitors_of_a_real_task() -> None:
    env, params = make("VoltVar-IEEE13-v0")
    config = PPOConfig(
        num_envs=4, rollout_steps=8, minibatches=2, epochs=1, total_steps=64, hidden=(8,), discrete="categorical"
    )
    ppo = PPO(env, config)
    state, metrics = ppo.advance(ppo.begin(0, params), params, 2)
    assert all(np.isfinite(values).all() for values in metrics.values())
    policy = ppo.policy(state)
    assert isinstance(policy, HybridPolicy)
    levels = np.array([control.levels for control in env.task.actuator.entries])
    action = np.asarray(jax.jit(policy.act)(params, state.env, state.observation))
    positions = (action[:, levels > 0] + 1.0) / 2.0 * (levels[levels > 0] - 1)
    np.testing.assert_allclose(positions, np.round(positions), atol=1e-4)
    assert np.abs(action).max() <= 1.0
