"""A vectorised environment that measures what a learner earns, in EUR, and scales what it learns from."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnvWrapper

from agents.metering import Sums, means
from gridenv.adapters.sb3_vec_env import GridVecEnv


class MeteredVecEnv(VecEnvWrapper):
    """Scales rewards by a constant and keeps sums of rewards, economic results and costs."""

    def __init__(self, envs: GridVecEnv, reward_scale: float) -> None:
        super().__init__(envs)
        self._envs = envs
        self._scale = np.float32(reward_scale)
        self._sums = Sums(len(envs.cost_names))

    def reset(self) -> Any:
        """First observations."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """The step of the environments, with scaled rewards."""
        observation, reward, done, infos = self.venv.step_wait()
        values = self._envs.batch_infos
        self._sums.add(
            reward_eur=float(reward.sum(dtype=np.float64)),
            economic_eur=float(values["economic_eur"].sum(dtype=np.float64)),
            cost=values["cost"].sum(axis=0, dtype=np.float64),
            steps=self.num_envs,
        )
        return observation, reward * self._scale, done, infos

    def take_means(self) -> dict[str, float]:
        """Means over the environment steps since the last call: reward and economic result in EUR, and each cost."""
        return means([self._sums.take()], self._envs.cost_names)
