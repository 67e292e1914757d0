"""Every registered task through the adapters for RL libraries; in depth they are tested in tests/unit/adapters."""

import numpy as np
import pytest

from gridenv.adapters.cost_wrapper import SafetyVectorEnv
from gridenv.adapters.rllib import RllibMaker
from gridenv.adapters.sb3 import sb3_vec_env
from tests.environments import TASK_IDS, action_stream, functional, vector

SEED = 3
ALWAYS = ("VoltVar-IEEE33-v0", "VoltVar-IEEE13-v0")
"""A balanced task and one with three phases and discrete actions; the others are left to `make test-all`."""


def through_sb3(task):
    """First observation, and a function from actions to observation, reward and costs."""
    pytest.importorskip("stable_baselines3", reason="needs the extra gridenv[sb3]")
    env = sb3_vec_env(task, 2)
    env.seed(SEED)
    first = env.reset()

    def step(action):
        observation, reward, _, infos = env.step(action)
        return observation, reward, np.stack([info["cost"] for info in infos])

    return first, step


def through_rllib(task):
    """What an env runner of RLlib steps."""
    env = RllibMaker(task)({"num_envs": 2})
    first, _ = env.reset(seed=SEED)

    def step(action):
        observation, reward, _, _, info = env.step(action)
        return observation, reward, info["cost"]

    return first, step


def through_safety(task):
    """The cost as a number beside the reward."""
    with pytest.warns(UserWarning, match="already has the weighted costs taken off"):
        env = SafetyVectorEnv(vector(task, 2))
    weights = np.array([env.cost_weights[name] for name in functional(task)[0].cost_names])
    first, _ = env.reset(seed=SEED)

    def step(action):
        observation, reward, cost, _, _, info = env.step(action)
        np.testing.assert_allclose(cost, np.sum(info["cost"] * weights, axis=-1), rtol=1e-9)
        np.testing.assert_allclose(reward, info["economic_eur"] - cost, rtol=1e-5, atol=1e-4)
        return observation, reward, info["cost"]

    return first, step


# The task varies slowest, so that each is built once.
@pytest.mark.parametrize("through", [through_sb3, through_rllib, through_safety])
@pytest.mark.parametrize("task", [t if t in ALWAYS else pytest.param(t, marks=pytest.mark.slow) for t in TASK_IDS])
def test_library_adapters_give_the_numbers_of_the_vector_env(task, through):
    native = vector(task, 2)
    expected, _ = native.reset(seed=SEED)
    first, step = through(task)
    np.testing.assert_array_equal(first, expected)
    for action in action_stream(functional(task)[0], 2, 6):
        expected, expected_reward, _, _, info = native.step(action)
        observation, reward, cost = step(action)
        np.testing.assert_array_equal(observation, expected)
        np.testing.assert_array_equal(reward, np.asarray(expected_reward, reward.dtype))
        np.testing.assert_array_equal(cost, info["cost"])
