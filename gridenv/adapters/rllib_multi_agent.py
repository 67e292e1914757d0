"""PettingZoo's parallel environments as RLlib's multi-agent environments."""

from typing import Any

from pettingzoo import ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

Agent = Any


class ParallelMultiAgentEnv(MultiAgentEnv):
    """A PettingZoo environment for RLlib. Use `gridenv.adapters.rllib.rllib_multi_agent_env`.

    Agents keep the order of `possible_agents` in every process, which RLlib's own wrapper draws anew from a set.
    """

    def __init__(self, parallel_env: ParallelEnv) -> None:
        """Wrap a parallel environment; nothing is reset."""
        self.parallel_env = parallel_env
        self.possible_agents = list(parallel_env.possible_agents)
        self.agents = list(self.possible_agents)
        self.observation_spaces = {agent: parallel_env.observation_space(agent) for agent in self.possible_agents}
        self.action_spaces = {agent: parallel_env.action_space(agent) for agent in self.possible_agents}
        # RLlib writes into it, and the attribute of the class belongs to all environments.
        self.metadata = dict(getattr(parallel_env, "metadata", {}))
        self.render_mode = getattr(parallel_env, "render_mode", None)
        super().__init__()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Agent, Any], dict[Agent, Any]]:
        """Begin an episode: observations and infos of the agents that take part."""
        observations, infos = self.parallel_env.reset(seed=seed, options=options)
        self.agents = list(self.parallel_env.agents)
        return observations, infos

    def step(self, action_dict: dict[Agent, Any]) -> Any:
        """One step: observations, rewards, terminated, truncated and infos by agent.

        `__all__` in the two dictionaries of ends says that no agent is left, and of which kind the end is.
        RLlib takes an episode for terminated as soon as each agent has an end of its own, of whichever kind, and stops
        bootstrapping. So when agents run out of time together, only `__all__` says so.
        """
        # Returns Any, because the base class inherits the types that Gymnasium has for one agent.
        observations, rewards, terminated, truncated, infos = self.parallel_env.step(action_dict)
        self.agents = list(self.parallel_env.agents)
        is_over = not self.agents
        is_truncated = is_over and not all(terminated.values())
        if is_truncated:
            truncated = dict.fromkeys(truncated, False)
        return (
            observations,
            rewards,
            {**terminated, "__all__": is_over and not is_truncated},
            {**truncated, "__all__": is_truncated},
            infos,
        )

    def render(self) -> Any:
        """What the parallel environment draws."""
        return self.parallel_env.render()

    def close(self) -> None:
        """Close the parallel environment."""
        self.parallel_env.close()
