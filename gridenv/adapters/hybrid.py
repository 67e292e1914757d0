"""Positions as positions: an environment whose taps, capacitors and starts are discrete actions."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, MultiDiscrete
from jaxtyping import Float

from gridenv.adapters.gym_env import GymEnv
from gridenv.core.errors import ActionError, ConfigError

CONTINUOUS, DISCRETE = "continuous", "discrete"


class HybridAction(gymnasium.ActionWrapper[np.ndarray, Any, np.ndarray]):
    """Takes `{"continuous": [...], "discrete": [...]}`, or the discrete entries alone where a task has no others.

    Continuous entries are as in the flat form, -1..1. Discrete ones count positions from the lowest: 0..32 for a
    regulator of 33 positions, 0 and 1 for a capacitor bank or the start of an appliance. The order within both is that
    of the manifest. Libraries that know one kind of action only take the flat form, which every task has.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, np.ndarray]) -> None:
        """Wrap an environment of this package.

        Raises:
            ConfigError: for a task without discrete actions.
        """
        super().__init__(env)
        own = env.unwrapped
        assert isinstance(own, GymEnv)
        entries = own.functional.task.actuator.entries
        levels = np.array([c.levels for c in entries])
        self._is_discrete = levels > 0
        if not self._is_discrete.any():
            raise ConfigError(
                f"{own.functional.id}: has no discrete actions; allowed: a task with taps, capacitors or appliances; "
                "use the environment as it is"
            )
        self._levels = levels[self._is_discrete]
        self._names = [c.channel.name for c in entries]
        discrete = MultiDiscrete(self._levels)
        n_continuous = int((~self._is_discrete).sum())
        self._is_mixed = n_continuous > 0
        continuous = Box(-1.0, 1.0, (n_continuous,), np.float32)
        self.action_space = Dict({CONTINUOUS: continuous, DISCRETE: discrete}) if self._is_mixed else discrete

    def action(self, action: Any) -> Float[np.ndarray, " act"]:
        """The flat form of an action.

        Raises:
            ActionError: for positions that do not exist.
        """
        positions = np.asarray(action[DISCRETE] if self._is_mixed else action)
        wrong = np.flatnonzero((positions < 0) | (positions >= self._levels) | (positions != np.round(positions)))
        for i in wrong[:1]:
            name = np.array(self._names)[self._is_discrete][i]
            raise ActionError(
                f"action '{name}' is position {positions[i]}; allowed: 0..{self._levels[i] - 1}, whole; choose "
                "one of them"
            )
        flat = np.zeros(len(self._is_discrete), np.float32)
        flat[self._is_discrete] = 2.0 * positions / (self._levels - 1) - 1.0
        if self._is_mixed:
            flat[~self._is_discrete] = action[CONTINUOUS]
        return flat
