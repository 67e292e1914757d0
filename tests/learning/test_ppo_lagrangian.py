"""PPO with learned prices of costs, where the right price is known."""

from dataclasses import replace
from pathlib import Path

import jax
import jaxtyping
import numpy as np
import pytest
from jax import numpy as jnp

from agents.ppo_lagrangian.config import LagrangianConfig
from agents.ppo_lagrangian.learner import PPOLagrangian
from agents.ppo_lagrangian.prices import first_prices, next_prices
from gridenv.core.errors import ConfigError
from gridenv.tasks.env import EnvParams
from gridenv.tasks.registry import make
from tests.learning.probes import EPISODE_STEPS, Limited

IDENTITY = {"config_hash": "abc", "seed": 0}


@pytest.fixture(scope="module")
def params() -> EnvParams:
    # A unit of the cost is worth EUR 2 to the task itself, half of what holds the limit.
    weights = jnp.array([2.0, 1000.0])
    return replace(make("VoltVar-IEEE33-v0")[1], cost_weight_eur=weights, steps_per_episode=EPISODE_STEPS)


def small(**settings) -> LagrangianConfig:
    given = {"num_envs": 64, "rollout_steps": 8, "minibatches": 4, "hidden": (16,), "learning_rate": 3e-3, "gamma": 0.0}
    return LagrangianConfig(**(given | settings))


def test_price_and_cost_settle_where_the_limit_says(params) -> None:
    config = small(total_steps=250_000, cost_limits={"use": 0.5 * EPISODE_STEPS})
    learner = PPOLagrangian(Limited(), config)
    _, metrics = learner.advance(learner.begin(0, params), params, config.total_updates)
    last = slice(-100, None)
    np.testing.assert_allclose(np.mean(metrics["episode_cost/use"][last]) / EPISODE_STEPS, 0.5, rtol=0.03)
    np.testing.assert_allclose(np.mean(metrics["price_eur/use"][last]), 4.0, rtol=0.1)


@pytest.fixture
def shapes_as_arrays():
    """No checks of types: the structure of a checkpoint is found with shapes in the place of arrays."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("shapes_as_arrays")
def test_training_goes_on_from_a_checkpoint_to_the_same_result(params, tmp_path: Path) -> None:
    learner = PPOLagrangian(Limited(), small(cost_limits={"use": 1.0}))
    state = learner.begin(0, params)
    for update in range(4):
        if update == 2:
            learner.save(tmp_path / "c.npz", state, IDENTITY)
        state, metrics = learner.update(state, params)
    resumed = learner.load(tmp_path / "c.npz", 0, params, IDENTITY)
    for _ in range(2):
        resumed, again = learner.update(resumed, params)
    assert again == metrics
    for a, b in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(resumed.prices.lasting[0]) != 1.0


def test_prices_follow_the_excess_by_hand() -> None:
    config = small(initial_price=0.5, proportional_gain=0.2, integral_gain=0.1, derivative_gain=1.0, max_price=0.8)
    limit = jnp.array([2.0])
    one = next_prices(first_prices(1, config), jnp.array([6.0]), limit, config)
    # The excess is 2: lasting 0.5 + 0.2, price 0.7 + 0.4 + 2.
    np.testing.assert_allclose(one, [[3.1], [0.7], [2.0]], rtol=1e-6)
    two = next_prices(one, jnp.array([5.0]), limit, config)
    np.testing.assert_allclose(two, [[0.8 + 0.3], [0.8], [1.5]], rtol=1e-6)
    three = next_prices(two, jnp.array([0.0]), limit, config)
    np.testing.assert_allclose(three, [[0.7 - 0.2], [0.7], [-1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "agent 'ppo_lagrangian': cost_limits is empty; give a limit to at least one of use, or use agent=ppo"),
        ({"uze": 1.0}, "agent 'ppo_lagrangian': cost_limits.uze: Probe has no such cost; did you mean 'use'?"),
        (
            {"pf_fail": 1.0},
            "agent 'ppo_lagrangian': cost_limits.pf_fail: a failed power flow is always charged; allowed: use; drop it",
        ),
    ],
)
def test_limits_that_do_not_fit_the_task_are_refused_in_one_line(limits, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        PPOLagrangian(Limited(), small(cost_limits=limits))
    assert str(error.value) == message
