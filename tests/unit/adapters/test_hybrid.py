"""Discrete actions are the flat ones by another name."""

import gymnasium
import numpy as np
import pytest

from gridenv.adapters.hybrid import HybridAction
from gridenv.core.errors import ActionError, ConfigError
from tests.environments import single

TASK = "VoltVar-IEEE13-v0"


def test_positions_reach_the_equipment_and_the_rest_is_unchanged():
    env = HybridAction(single(TASK))
    assert list(env.action_space["discrete"].nvec) == [33, 33, 33, 2, 2]
    assert env.action_space["continuous"].shape == (6,)
    env.reset(seed=0)
    names = env.unwrapped.functional.task.action.names
    shares = np.linspace(-0.5, 0.5, 6, dtype=np.float32)
    info = env.step({"continuous": shares, "discrete": np.array([20, 16, 31, 1, 0])})[4]
    flat = info["action_limited"]
    assert all(name.endswith(("position", "closed")) for name in names[6:])
    np.testing.assert_allclose(flat[6:], [4 / 16, 0.0, 15 / 16, 1.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(flat[:6], shares)
    # Regulators reach 16 positions in a step, so they are where they were asked to be.
    np.testing.assert_allclose(info["action_applied"][6:], flat[6:], atol=1e-6)


def test_every_sample_of_the_space_is_taken():
    env = HybridAction(single(TASK))
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(3):
        assert np.isfinite(env.step(env.action_space.sample())[1])


def test_position_that_does_not_exist_is_named():
    env = HybridAction(single(TASK))
    env.reset(seed=0)
    with pytest.raises(
        ActionError, match=r"action 'tap.regcontrol.reg2.position' is position 33; allowed: 0\.\.32, whole"
    ):
        env.step({"continuous": np.zeros(6, np.float32), "discrete": np.array([0, 33, 0, 0, 0])})


def test_task_without_discrete_actions_is_refused():
    with pytest.raises(ConfigError, match="VoltVar-IEEE33-v0: has no discrete actions"):
        HybridAction(gymnasium.make("gridenv/VoltVar-IEEE33-v0"))
