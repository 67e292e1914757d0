"""What the learners of Stable-Baselines3 share: its model trains update by update on the batched environments."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from agents.controller import Controller
from agents.learner import Metrics
from agents.sb3 import checkpoint
from agents.sb3.config import OffPolicyConfig, SB3PPOConfig
from agents.sb3.metered import MeteredVecEnv
from agents.sb3.state import Clock, TrainingState
from agents.torch_models.generators import Generators, threads
from gridenv.adapters.sb3_vec_env import GridVecEnv
from gridenv.adapters.vector_env import GridVectorEnv
from gridenv.tasks.env import EnvParams, GridEnv

Config = TypeVar("Config", bound=SB3PPOConfig | OffPolicyConfig)
Model = TypeVar("Model", bound=BaseAlgorithm)
_EXPLAINED = "value/explained_variance"


class SB3Learner(ABC, Generic[Config, Model]):
    """A `Learner` whose update is one call of `learn` of a Stable-Baselines3 model."""

    metrics: ClassVar[tuple[tuple[str, str, float], ...]]
    """Key in the library's log, key of our metric, and what the value is multiplied by."""

    def __init__(self, env: GridEnv, config: Config) -> None:
        self.env = env
        self.config = config

    @abstractmethod
    def make_model(self, envs: VecEnv, seed: int, done: Callable[[], float]) -> Model:
        """A model before training.

        Args:
            envs: what it steps.
            seed: of its networks and of its choices.
            done: share of the training that lies behind, for schedules.
        """

    def set_start(self, model: Model, params: EnvParams) -> None:
        """Have an untrained policy begin with the action that the settings choose, for learners with such a choice."""
        del model, params

    @abstractmethod
    def policy(self, state: TrainingState[Model]) -> Controller:
        """The policy learned so far; it does not explore."""

    def begin(self, seed: int, params: EnvParams) -> TrainingState[Model]:
        """State before training."""
        state = self._make(seed, params)
        self.set_start(state.model, params)
        checkpoint.set_observation(state.model, state.meter.reset(), np.ones(state.meter.num_envs, np.bool_))
        return state

    def update(self, state: TrainingState[Model], params: EnvParams) -> tuple[TrainingState[Model], Metrics]:
        """The state after one update, and what it measured; the environments keep the parameters they began with."""
        del params
        log = Logger(None, [])
        state.model.set_logger(log)
        with state.generators.used(), threads(self.config.torch_threads):
            state.model.learn(self.config.steps_per_update, log_interval=None, reset_num_timesteps=False)  # type: ignore[arg-type]
        state.clock.updates += 1
        recorded = log.name_to_value
        losses = {ours: factor * float(recorded[name]) for name, ours, factor in self.metrics if name in recorded}
        if math.isnan(losses.get(_EXPLAINED, 0.0)):
            # The library's answer where all returns are equal; it says nothing about the training.
            del losses[_EXPLAINED]
        return state, {**state.meter.take_means(), **losses}

    def save(self, path: Path, state: TrainingState[Model], identity: dict[str, Any]) -> None:
        """Write a checkpoint, complete or not at all."""
        checkpoint.save(path, state, identity)

    def load(self, path: Path, seed: int, params: EnvParams, identity: dict[str, Any]) -> TrainingState[Model]:
        """State of a checkpoint; training goes on from it to the same result.

        Raises:
            RunError: if the file is missing, damaged or does not belong to `identity`.
        """
        state = self._make(seed, params)
        checkpoint.restore(path, state, identity)
        return state

    def _make(self, seed: int, params: EnvParams) -> TrainingState[Model]:
        envs = GridVectorEnv.over(self.env, params, self.config.num_envs)
        meter = MeteredVecEnv(GridVecEnv(envs, info_keys=()), self.config.reward_scale)
        clock, generators = Clock(), Generators()
        with generators.used():
            model = self.make_model(meter, seed, lambda: min(clock.updates / self.config.total_updates, 1.0))
        # Environment i draws its episodes with seed s + i, so runs with seeds 0, 1, ... need s that lie far apart.
        meter.seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return TrainingState(model=model, envs=envs, meter=meter, generators=generators, clock=clock)
