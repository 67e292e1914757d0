"""Env runners of RLlib whose random numbers depend on nothing but the training, the update and their number."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.checkpoints import Checkpointable

from agents.rllib.environments import MeteredAgents, MeteredVectorEnv
from agents.rllib.state import Arrays

_SEEDS = 2**31


class UpdateStreams(EnvRunner, Checkpointable):
    """Every update begins new episodes, drawn from a stream of its own, with the weights that it is given."""

    _stream: tuple[int, ...] = ()

    def begin_update(self, seed: int, update: int, weights: Mapping[str, Arrays]) -> None:
        """Prepare for the samples of an update.

        Args:
            seed: of the training.
            update: number of the update.
            weights: parameters of every module by name.
        """
        self._stream = (seed, update, self.worker_index or 0)
        # Without a sequence number they are taken in any case.
        self.set_state({COMPONENT_RL_MODULE: {name: dict(arrays) for name, arrays in weights.items()}})

    def sample(self, **kwargs: Any) -> Any:
        """Steps of the environments, beginning with new episodes."""
        if not self._stream:
            raise RuntimeError("an env runner was started anew during an update")
        self._seed = seed_everything(*self._stream)
        self._needs_initial_reset = True
        self._stream = (*self._stream, 0)
        return super().sample(**kwargs)  # type: ignore[safe-super, unused-ignore]


class SingleAgentRunner(UpdateStreams, SingleAgentEnvRunner):
    """Steps a vector environment."""

    def take_sums(self) -> np.ndarray:
        """Sums of all environments since the last call."""
        envs: Any = self.env
        while not isinstance(envs, MeteredVectorEnv):
            envs = envs.env
        taken: np.ndarray = envs.sums.take()
        return taken


class MultiAgentRunner(UpdateStreams, MultiAgentEnvRunner):
    """Steps environments of several agents one by one."""

    def take_sums(self) -> np.ndarray:
        """Sums of all environments since the last call."""
        envs: Any = self.env
        metered: list[MeteredAgents] = [env.unwrapped for env in envs.envs]
        return np.sum([env.sums.take() for env in metered], axis=0)


def seed_everything(*stream: int) -> int:
    """Seed the process's generators with the name of a stream; returns a seed for environments."""
    first, second = np.random.SeedSequence(stream).generate_state(2)
    random.seed(int(second))
    np.random.seed(int(second))  # noqa: NPY002  (the library draws from this one)
    torch.manual_seed(int(second))
    # Environment i is seeded with this plus i.
    return int(first) % _SEEDS
