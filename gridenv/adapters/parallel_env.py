"""A task for several agents as a `pettingzoo.ParallelEnv`: one agent for each controlled unit, or for each zone."""

from typing import Any, Literal

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from jaxtyping import Float
from numpy.typing import ArrayLike

from gridenv.adapters.actions import checked_action
from gridenv.adapters.episodes import START_STEP
from gridenv.adapters.gym_env import GymEnv, spaces
from gridenv.core.errors import ActionError, ConfigError, MissingExtraError, did_you_mean
from gridenv.tasks.agents import Agent
from gridenv.tasks.env import EnvParams, GridEnv

try:
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise MissingExtraError(
        "multi-agent environments: package 'pettingzoo' is not installed; install it with pip install \"gridenv[marl]\""
    ) from error

Info = dict[str, Any]
_VIEWS = ("global", "local")
_REWARDS = ("shared", "own")
_IGNORED = ("options",)
"""Key of a reset that PettingZoo's own test gives without meaning anything by it."""


class GridParallelEnv(ParallelEnv[str, np.ndarray, np.ndarray]):
    """All agents act in every step; a step is one compiled call. Use `gridenv.parallel_env("gridenv/<task id>")`.

    With the same seed and the actions of all agents put together, numbers are those of `GymEnv`.
    """

    def __init__(
        self,
        task_id: str,
        *,
        observation: Literal["global", "local"] = "local",
        reward: Literal["shared", "own"] = "shared",
        render_mode: str | None = None,
        **config: Any,
    ) -> None:
        """Build the task; equal settings share one compiled program.

        Args:
            task_id: such as `VoltVar-IEEE33-v0`.
            observation: `local`: what can be measured at an agent's units, with profiles, price and time; `global`:
                the observation of the single-agent form, for everybody.
            reward: `shared`: everybody gets the reward of the single-agent form. `own`: what an agent's own units
                earned, and an equal part of all that belongs to no unit of an agent (loads, losses, violations). The
                own rewards of all agents sum to the shared one.
            render_mode: as for `GymEnv`.
            config: settings that differ from the task's defaults, such as `split="test"`.

        Raises:
            ConfigError: for an unknown task, view or reward, unknown settings and values that are not allowed.
        """
        _check_choices(task_id, observation, reward)
        self._set_up(GymEnv(task_id, render_mode=render_mode, **config), observation, reward)

    @classmethod
    def over(
        cls,
        env: GridEnv,
        params: EnvParams,
        *,
        observation: Literal["global", "local"] = "local",
        reward: Literal["shared", "own"] = "shared",
    ) -> "GridParallelEnv":
        """The agents of a functional environment that was built already; it is not drawn.

        Args:
            env: as `gridenv.make` returns it.
            params: as `gridenv.make` returns them; also those of another split.
            observation: as at construction.
            reward: as at construction.

        Raises:
            ConfigError: for an unknown view or reward.
        """
        _check_choices(env.id, observation, reward)
        made = cls.__new__(cls)
        made._set_up(GymEnv.over(env, params), observation, reward)
        return made

    def _set_up(self, env: GymEnv, observation: str, reward: str) -> None:
        self._env = env
        self._is_local, self._is_own = observation == "local", reward == "own"
        self._agents = {agent.name: agent for agent in self.functional.task.agents}
        self.possible_agents = list(self._agents)
        self.agents: list[str] = []
        self.metadata = {"name": self.functional.id, **GymEnv.metadata}
        self.render_mode = env.render_mode
        self._observation = np.zeros(self.functional.n_observation, np.float32)
        seen, acted = spaces(self.functional)
        self.observation_spaces = {n: _part(seen, self._view(a)) for n, a in self._agents.items()}
        self.action_spaces = {n: _part(acted, a.actions) for n, a in self._agents.items()}

    @property
    def functional(self) -> GridEnv:
        """The functional environment underneath, with its manifest."""
        return self._env.functional

    def observation_space(self, agent: str) -> Box:
        """Observation space of an agent; the same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """Action space of an agent; the same object at every call."""
        return self.action_spaces[agent]

    def state(self) -> Float[np.ndarray, " obs"]:
        """The observation of the single-agent form, for centralised training."""
        return self._observation.copy()

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Info]]:
        """Begin an episode.

        Args:
            seed: of the generator that draws episodes.
            options: `{"day": d}` for a day of the task's split, or `{"start_step": t}` for any scenario step.

        Raises:
            ConfigError: for unknown options and for days and steps that are not allowed.
        """
        chosen = {name: value for name, value in (options or {}).items() if name not in _IGNORED}
        self._observation, info = self._env.reset(seed=seed, options=chosen)
        self.agents = list(self.possible_agents)
        return self._observations(), {name: {START_STEP: info[START_STEP]} for name in self.agents}

    def step(
        self, actions: dict[str, ArrayLike]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Info]]:
        """One step of the grid.

        Args:
            actions: normalised action of every agent.

        Returns:
            Observations, rewards, terminated, truncated and infos of every agent. An info has the `cost` vector, the
            economic result of the step, which are the same for all, and the agent's part of the applied action.

        Raises:
            ActionError: for a missing or unknown agent, an action of another shape, or with NaN or infinity.
            ResetNeeded: before the first reset and after the end of an episode.
        """
        if not self.agents:
            raise ResetNeeded(f"{self.functional.id}: no episode is running; call reset() first")
        self._observation, reward, terminated, truncated, info = self._env.step(self._joined(actions))
        rewards = self._own_rewards(reward, info) if self._is_own else dict.fromkeys(self.agents, reward)
        infos = {
            name: {
                "cost": info["cost"],
                "cost_names": info["cost_names"],
                "economic_eur": info["economic_eur"],
                "action_applied": info["action_applied"][self._agents[name].actions],
                "status": info["status"],
            }
            for name in self.agents
        }
        results = (
            self._observations(),
            rewards,
            dict.fromkeys(self.agents, terminated),
            dict.fromkeys(self.agents, truncated),
            infos,
        )
        if terminated or truncated:
            self.agents = []
        return results

    def render(self) -> np.ndarray | None:
        """As `GymEnv.render`."""
        return self._env.render()

    def close(self) -> None:
        """Close the window, where there is one."""
        self._env.close()

    def _view(self, agent: Agent) -> np.ndarray:
        return agent.local if self._is_local else np.arange(self.functional.n_observation)

    def _observations(self) -> dict[str, np.ndarray]:
        return {name: self._observation[self._view(self._agents[name])] for name in self.agents}

    def _joined(self, actions: dict[str, ArrayLike]) -> Float[np.ndarray, " act"]:
        unknown, missing = set(actions) - set(self.agents), set(self.agents) - set(actions)
        if unknown or missing:
            name = sorted(unknown or missing)[0]
            said = f"unknown agent '{name}'{did_you_mean(name, self.agents)}" if unknown else f"no action for '{name}'"
            raise ActionError(
                f"{self.functional.id}: {said}; give one action for each of the {len(self.agents)} agents"
            )
        joined = np.zeros(self.functional.n_action, np.float32)
        names = self.functional.task.action.names
        for name, action in actions.items():
            entries = self._agents[name].actions
            joined[entries] = checked_action(
                action, entries.shape, [names[i] for i in entries], f"{self.functional.id}, agent '{name}'"
            )
        return joined

    def _own_rewards(self, reward: float, info: Info) -> dict[str, float]:
        own = {name: float(np.sum(info["unit_eur"][self._agents[name].unit_rows])) for name in self.agents}
        common = (reward - sum(own.values())) / len(own)
        return {name: value + common for name, value in own.items()}


def _check_choices(task_id: str, observation: str, reward: str) -> None:
    for name, value, known in (("observation", observation, _VIEWS), ("reward", reward, _REWARDS)):
        if value not in known:
            raise ConfigError(f"{task_id}: {name} is '{value}'{did_you_mean(value, known)}")


def _part(space: Box, entries: np.ndarray) -> Box:
    return Box(space.low[entries], space.high[entries], dtype=np.float32)
