"""Environments of others, stepped with random actions as ours are."""

from typing import Any

import gymnasium

SEED = 0
_MOST_STEPS = 24
"""A step of gym-anm takes some 20 ms; more steps in a call would only take longer."""


class AnmEnvironment:
    """`ANM6Easy-v0` of gym-anm: six buses, 15-minute steps, AC power flow by Newton's method.

    Source: Henry and Ernst, "Gym-ANM: Reinforcement learning environments for active network management tasks in
    electricity distribution systems", Energy and AI 5 (2021) 100092.
    """

    def __init__(self) -> None:
        import gym_anm  # noqa: F401  (registers the environment)

        self._env: gymnasium.Env[Any, Any] = gymnasium.make("ANM6Easy-v0")
        self.work = 0

    def prepare(self, batch: int, steps: int) -> None:
        """Begin an episode; `batch` is 1."""
        del batch
        self.work = min(steps, _MOST_STEPS)
        self._env.reset(seed=SEED)
        self._env.action_space.seed(SEED)

    def call(self) -> object:
        """Go on for some steps, with a reset after each episode."""
        for _ in range(self.work):
            result = self._env.step(self._env.action_space.sample())
            if result[2] or result[3]:
                self._env.reset()
        return result

    def outcome(self) -> None:
        """Nothing to check."""
