"""Environments of others, stepped with random actions or trained on as ours are."""

from typing import Any

import gymnasium

SEED = 0
DAY_STEPS = 96
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


class AnmTraining:
    """PPO of Stable-Baselines3 on a single `ANM6Easy-v0`, with the settings of our `sb3_ppo`.

    An update is a day of 96 steps with as many passes over them, in one minibatch: at its speed, an update of 12,288
    steps as ours would take minutes.
    """

    def __init__(self) -> None:
        import gym_anm  # noqa: F401  (registers the environment)
        from stable_baselines3 import PPO

        from agents.sb3.config import SB3PPOConfig

        config = SB3PPOConfig()
        self._model = PPO(
            "MlpPolicy",
            gymnasium.make("ANM6Easy-v0"),
            learning_rate=config.learning_rate,
            n_steps=DAY_STEPS,
            batch_size=DAY_STEPS,
            n_epochs=config.epochs,
            gamma=config.gamma,
            policy_kwargs={"net_arch": list(config.hidden)},
            seed=SEED,
            device="cpu",
        )
        self.work = DAY_STEPS

    def prepare(self, **inputs: Any) -> None:
        """Nothing: it has one environment and one size of update."""
        import torch

        from agents.sb3.config import SB3PPOConfig

        del inputs
        torch.set_num_threads(SB3PPOConfig().torch_threads)

    def call(self) -> object:
        """One update."""
        return self._model.learn(self.work, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]

    def outcome(self) -> int:
        """Number of environments."""
        return 1
