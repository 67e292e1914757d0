"""The analytic policy gradient on environments whose answer is known."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.apg.config import APGConfig
from agents.apg.learner import APG, LearnerState
from gridenv.core.errors import ConfigError
from gridenv.tasks.env import EnvParams
from gridenv.tasks.registry import make
from tests.learning.probes import EPISODE_STEPS, Delivery

ORDERED = jnp.array([-0.9, -0.3, 0.2, 0.8])
SHORT = {"num_envs": 32, "horizon": EPISODE_STEPS, "hidden": (16,), "learning_rate": 1e-2, "total_steps": 50_000}


def _learned(env: Delivery, params: EnvParams, **settings: Any) -> tuple[APG, LearnerState, dict[str, jax.Array]]:
    config = APGConfig(**SHORT | settings)
    apg = APG(env, config)
    state, metrics = apg.advance(apg.begin(0, params), params, config.total_updates)
    return apg, state, metrics


def _final_store(apg: APG, state: LearnerState, params: EnvParams) -> jax.Array:
    env = apg.env
    _, begun = env.reset_batch(jax.random.key(0), params, len(ORDERED))
    begun = replace(begun, grid=replace(begun.grid, slot_voltage=begun.grid.slot_voltage.at[:, 1].set(ORDERED)))
    for _ in range(EPISODE_STEPS):
        action = apg.policy(state).act(params, begun, env.observe(begun))
        begun = env.advance(begun, action, params).state
    return begun.grid.slot_voltage[:, 0]


def test_policy_serves_a_reward_that_comes_at_the_end_of_the_episode(env_params) -> None:
    apg, state, metrics = _learned(Delivery(gain=2.0), env_params)
    np.testing.assert_allclose(_final_store(apg, state, env_params), ORDERED, atol=0.05)
    # Mean of a step; the error of a store that is left empty is 1/3 on average.
    assert float(metrics["train/reward_eur"][0]) < -0.04
    assert float(metrics["train/reward_eur"][-1]) > -0.001


def test_entries_without_a_gradient_stay_idle(env_params) -> None:
    apg, state, _ = _learned(Delivery(idle=0.3), env_params, total_steps=3_000)
    observation = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)), jnp.float32)
    action = apg.policy(state).act(env_params, state.env, observation)
    np.testing.assert_allclose(action[:, 1], 0.3, atol=1e-6)
    assert float(jnp.std(action[:, 0])) > 0.01


def test_a_policy_stuck_at_the_end_of_the_range_comes_back(env_params) -> None:
    config = APGConfig(**SHORT | {"total_steps": 200_000})
    apg = APG(Delivery(gain=2.0), config)
    state = apg.begin(0, env_params)
    [network] = state.networks
    *inner, last = network.layers
    # So far out that the tanh is exactly one, and nothing that is paid has a gradient.
    stuck = (network._replace(layers=(*inner, last._replace(bias=last.bias.at[0].set(12.0)))),)
    state, _ = apg.advance(state._replace(networks=stuck), env_params, config.total_updates)
    np.testing.assert_allclose(_final_store(apg, state, env_params), ORDERED, atol=0.1)


def test_failed_episodes_count_until_they_fail_and_do_not_spoil_the_policy(env_params) -> None:
    _, state, metrics = _learned(Delivery(fails_at=2), env_params, total_steps=256)
    np.testing.assert_allclose(metrics["train/reward_eur"], -0.5, rtol=1e-6)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(state.networks))


def test_tasks_without_any_gradient_are_refused_with_one_line(env_params) -> None:
    apg = APG(Delivery(gain=0.0), APGConfig(**SHORT))
    with pytest.raises(ConfigError, match=r"agent 'apg': no action of Delivery has a gradient .* such as agent=ppo$"):
        apg.update(apg.begin(0, env_params), env_params)


def test_a_horizon_longer_than_the_episode_is_refused() -> None:
    env, params = make("VoltVar-IEEE33-v0", steps_per_episode=24)
    with pytest.raises(ConfigError) as error:
        APG(env, APGConfig()).begin(0, params)
    assert str(error.value) == (
        "agent 'apg': horizon is 96 steps, an episode of VoltVar-IEEE33-v0 has 24; set agent.horizon to at most 24"
    )
