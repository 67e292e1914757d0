"""A vectorised environment that measures what a learner earns, in EUR, and scales what it learns from."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnvWrapper

from gridenv.adapters.sb3_vec_env import GridVecEnv


class MeteredVecEnv(VecEnvWrapper):
    """Scales rewards by a constant and keeps sums of rewards, economic results and costs."""

    def __init__(self, envs: GridVecEnv, reward_scale: float) -> None:
        super().__init__(envs)
        self._envs = envs
        self._scale = np.float32(reward_scale)
        self._begin_sums()

    def reset(self) -> Any:
        """First observations."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """The step of the environments, with scaled rewards."""
        observation, reward, done, infos = self.venv.step_wait()
        values = self._envs.batch_infos
        self._reward_eur += float(reward.sum(dtype=np.float64))
        self._economic_eur += float(values["economic_eur"].sum(dtype=np.float64))
        self._cost += values["cost"].sum(axis=0, dtype=np.float64)
        self._steps += self.num_envs
        return observation, reward * self._scale, done, infos

    def take_means(self) -> dict[str, float]:
        """Means over the environment steps since the last call: reward and economic result in EUR, and each cost."""
        costs = {
            f"train/cost_{name}": float(total) / self._steps
            for name, total in zip(self._envs.cost_names, self._cost, strict=True)
        }
        means = {
            "train/reward_eur": self._reward_eur / self._steps,
            "train/economic_eur": self._economic_eur / self._steps,
            **costs,
        }
        self._begin_sums()
        return means

    def _begin_sums(self) -> None:
        self._reward_eur = self._economic_eur = 0.0
        self._cost = np.zeros(len(self._envs.cost_names))
        self._steps = 0
