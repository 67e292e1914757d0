"""PPO of RLlib for several agents that share networks.

Source: as `agents.multi_agent.learner.IPPO`; E. Liang et al., "RLlib: Abstractions for distributed reinforcement
learning", ICML 2018.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module import MultiRLModuleSpec

from agents.multi_agent.groups import AgentGroup, groups_of
from agents.multi_agent.policy import GroupPolicy, JointPolicy
from agents.ppo.heads import ActionHeads, levels_of
from agents.rllib.config import RLlibIPPOConfig
from agents.rllib.environments import MeteredAgents, with_number
from agents.rllib.learner import RLlibLearner, policy_layers
from agents.rllib.runners import MultiAgentRunner
from agents.rllib.state import TrainingState
from gridenv.adapters.gym_env import spaces
from gridenv.adapters.parallel_env import GridParallelEnv
from gridenv.tasks.env import EnvParams, GridEnv

_MODULE = "group-{}"


@dataclass(frozen=True)
class AgentsMaker:
    """Makes the environments of an env runner one by one; travels to it by pickle."""

    env: GridEnv
    params: EnvParams
    groups: tuple[AgentGroup, ...]
    config: RLlibIPPOConfig

    def __call__(self, env_config: Mapping[str, Any]) -> MeteredAgents:
        """One environment with all its agents."""
        agents = GridParallelEnv.over(self.env, self.params, reward=self.config.reward)
        return MeteredAgents(agents, self.groups, self.config.reward_scale, is_own=self.config.reward == "own")


@dataclass(frozen=True)
class ModuleOf:
    """Says which module an agent acts with."""

    modules: Mapping[int, str]
    """By the agent's place among all."""

    def __call__(self, agent: Any, episode: Any, **kwargs: Any) -> str:
        """Name of the module."""
        return self.modules[agent]


class IPPOLearner(RLlibLearner[RLlibIPPOConfig]):
    """Independent PPO: every agent acts on what it sees itself, those of a kind with one network."""

    def __init__(self, env: GridEnv, config: RLlibIPPOConfig) -> None:
        super().__init__(env, config)
        task = env.task
        self.groups = groups_of(task.agents, task.action, levels_of(env, "box"), task.observation)
        self._modules = {_MODULE.format(i): group for i, group in enumerate(self.groups)}

    def modules(self) -> dict[str, tuple[Box, Box, float]]:
        """A module for every group."""
        seen, acted = spaces(self.env)
        n_agent = sum(group.n_agent for group in self.groups)
        found: dict[str, tuple[Box, Box, float]] = {}
        for name, group in self._modules.items():
            entries, actions = np.array(group.observations[0]), np.array(group.actions[0])
            own = Box(seen.low[entries], seen.high[entries], dtype=np.float32)
            found[name] = (
                with_number(own, np.zeros(group.n_input - len(entries), np.float32)),
                Box(acted.low[actions], acted.high[actions], dtype=np.float32),
                group.n_agent / n_agent,
            )
        return found

    def own_part(self, name: str, action: Float[np.ndarray, " act"]) -> Float[np.ndarray, " own"]:
        """The mean over the agents of the group."""
        return action[np.array(self._modules[name].actions)].mean(axis=0)

    def make_env(self, params: EnvParams) -> AgentsMaker:
        """Callable that makes the environments of an env runner."""
        return AgentsMaker(self.env, params, self.groups, self.config)

    def shape(self, config: PPOConfig) -> PPOConfig:
        """The library's configuration with env runners, modules and the size of minibatches."""
        names = tuple(self._modules)
        places = {agent.name: i for i, agent in enumerate(self.env.task.agents)}
        return (
            config.env_runners(env_runner_cls=MultiAgentRunner)
            .multi_agent(
                policies=names,
                policy_mapping_fn=ModuleOf(
                    {places[agent]: name for name, group in self._modules.items() for agent in group.names}
                ),
            )
            .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={name: self.spec(name) for name in names}))
            .training(minibatch_size=self.config.steps_per_update // self.config.minibatches)
        )

    def policy(self, state: TrainingState) -> JointPolicy:
        """Means of the learned Gaussians of all agents, held inside the action bounds."""
        return JointPolicy(
            members=tuple(
                GroupPolicy(
                    layers=policy_layers(state.weights[name]),
                    group=group,
                    heads=ActionHeads(group.levels),
                    activation=self.config.activation,
                )
                for name, group in self._modules.items()
            ),
            name="rllib_ippo",
        )
