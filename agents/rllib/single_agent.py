"""PPO of RLlib for one agent that controls everything.

Source: E. Liang et al., "RLlib: Abstractions for distributed reinforcement learning", ICML 2018; PPO: J. Schulman et
al., arXiv:1707.06347.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from jaxtyping import Float
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID

from agents.networks import NetworkPolicy
from agents.rllib.config import RLlibPPOConfig
from agents.rllib.environments import MeteredVectorEnv
from agents.rllib.learner import RLlibLearner, policy_layers
from agents.rllib.runners import SingleAgentRunner
from agents.rllib.state import TrainingState
from gridenv.adapters.gym_env import spaces
from gridenv.adapters.vector_env import GridVectorEnv
from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True)
class VectorEnvMaker:
    """Makes the vector environment of an env runner; travels to it by pickle."""

    env: GridEnv
    params: EnvParams
    reward_scale: float

    def __call__(self, env_config: Mapping[str, Any]) -> MeteredVectorEnv:
        """The environments, as many as RLlib asks for."""
        # With another mode RLlib mixes up episodes.
        envs = GridVectorEnv.over(self.env, self.params, env_config["num_envs"], autoreset_mode=AutoresetMode.NEXT_STEP)
        return MeteredVectorEnv(envs, self.reward_scale)


class PPOLearner(RLlibLearner[RLlibPPOConfig]):
    """PPO on the vector environment: a step of all environments of an env runner is one compiled call."""

    def modules(self) -> dict[str, tuple[Box, Box, float]]:
        """The one module."""
        return {DEFAULT_MODULE_ID: (*spaces(self.env), 1.0)}

    def own_part(self, name: str, action: Float[np.ndarray, " act"]) -> Float[np.ndarray, " own"]:
        """All of it."""
        del name
        return action

    def make_env(self, params: EnvParams) -> VectorEnvMaker:
        """Callable that makes the environments of an env runner."""
        return VectorEnvMaker(self.env, params, self.config.reward_scale)

    def shape(self, config: PPOConfig) -> PPOConfig:
        """The library's configuration with env runners, the module and the size of minibatches."""
        return (
            config.env_runners(env_runner_cls=SingleAgentRunner, gym_env_vectorize_mode="vector_entry_point")
            .rl_module(rl_module_spec=self.spec(DEFAULT_MODULE_ID))
            .training(minibatch_size=self.config.steps_per_update // self.config.minibatches)
        )

    def policy(self, state: TrainingState) -> NetworkPolicy:
        """Mean of the learned Gaussian, held inside the action bounds."""
        return NetworkPolicy(
            layers=policy_layers(state.weights[DEFAULT_MODULE_ID]),
            name="rllib_ppo",
            activation=self.config.activation,
            limit="clip",
        )
