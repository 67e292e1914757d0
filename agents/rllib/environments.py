"""Environments that measure what a learner earns, in EUR, and scale what it learns from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import VectorWrapper

from agents.metering import Sums
from agents.multi_agent.groups import AgentGroup
from gridenv.adapters.parallel_env import GridParallelEnv
from gridenv.adapters.rllib_multi_agent import ParallelMultiAgentEnv
from gridenv.adapters.vector_env import GridVectorEnv


class MeteredVectorEnv(VectorWrapper):
    """Scales rewards by a constant and keeps sums; infos are left out, as they would travel between processes."""

    def __init__(self, envs: GridVectorEnv, reward_scale: float) -> None:
        super().__init__(envs)
        self.sums = Sums(len(envs.cost_names))
        self._scale = reward_scale
        self._begun = np.ones(envs.num_envs, np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """First observations of new episodes."""
        observation, _ = self.env.reset(seed=seed, options=options)
        self._begun = np.ones(self.num_envs, np.bool_)
        return observation, {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The step of the environments, with scaled rewards."""
        observation, reward, terminated, truncated, info = self.env.step(actions)
        # Where an episode had ended the next one began, and nothing was earned.
        self.sums.add(
            reward_eur=float(reward.sum()),
            economic_eur=float(info["economic_eur"].sum(dtype=np.float64)),
            cost=info["cost"].sum(axis=0, dtype=np.float64),
            steps=int(self._begun.sum()),
        )
        self._begun = ~(terminated | truncated)
        return observation, reward * self._scale, terminated, truncated, {}


class MeteredAgents(ParallelMultiAgentEnv):
    """Agents that see also which of their kind they are; scales rewards by a constant and keeps sums.

    The library knows them by their places among all: it keeps agents in sets, and numbers have the same order there in
    every process, which names have not.
    """

    def __init__(
        self, agents: GridParallelEnv, groups: Sequence[AgentGroup], reward_scale: float, *, is_own: bool
    ) -> None:
        """Wrap the agents of a task.

        Args:
            agents: all of them.
            groups: which of them are of a kind.
            reward_scale: rewards are multiplied by it.
            is_own: whether the rewards of all agents sum to that of the task; else each has it.
        """
        super().__init__(agents)
        self.sums = Sums(len(agents.functional.cost_names))
        self._scale, self._is_own = reward_scale, is_own
        self._names = list(agents.possible_agents)
        self._places = {name: i for i, name in enumerate(self._names)}
        self._number = {
            name: np.eye(group.n_agent, dtype=np.float32)[i] if group.n_agent > 1 else np.zeros(0, np.float32)
            for group in groups
            for i, name in enumerate(group.names)
        }
        self.possible_agents = list(range(len(self._names)))
        self.observation_spaces: dict[Any, Any] = {
            i: with_number(agents.observation_space(name), self._number[name]) for i, name in enumerate(self._names)
        }
        self.action_spaces: dict[Any, Any] = {i: agents.action_space(name) for i, name in enumerate(self._names)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """First observations of a new episode."""
        observations, _ = super().reset(seed=seed, options=options)
        self._renumber_agents()
        return self._numbered(observations), {}

    def step(self, action_dict: dict[Any, Any]) -> Any:
        """The step of all agents, with scaled rewards."""
        named = {self._names[i]: action for i, action in action_dict.items()}
        observations, rewards, terminated, truncated, infos = super().step(named)
        self._renumber_agents()
        first = next(iter(infos.values()))
        total = sum(rewards.values()) if self._is_own else next(iter(rewards.values()))
        self.sums.add(float(total), float(first["economic_eur"]), first["cost"], 1)
        scaled = {self._places[name]: reward * self._scale for name, reward in rewards.items()}
        ends = ({self._places.get(name, name): end for name, end in each.items()} for each in (terminated, truncated))
        return self._numbered(observations), scaled, *ends, {}

    def _renumber_agents(self) -> None:
        self.agents = [self._places[str(name)] for name in self.agents]

    def _numbered(self, observations: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
        return {self._places[name]: np.concatenate([seen, self._number[name]]) for name, seen in observations.items()}


def with_number(seen: Box, number: np.ndarray) -> Box:
    """The space of what an agent sees followed by which of its kind it is."""
    low, high = np.concatenate([seen.low, 0.0 * number]), np.concatenate([seen.high, 0.0 * number + 1.0])
    return Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
