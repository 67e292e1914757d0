"""The agents by name. A new agent is one new file (or folder) and one entry here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from pydantic import BaseModel

from gridenv.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from agents.controller import Controller
    from agents.learner import Learner
    from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True, kw_only=True)
class LearnerEntry:
    """An agent that is trained; parts are given as `module:attribute` and imported only when asked for."""

    config: str
    """Frozen pydantic model of the settings; has `total_updates` and `steps_per_update`."""
    learner: str
    """Callable (env, settings) that makes an `agents.learner.Learner`."""
    summary: str
    """One line for `gridenv list`."""


@dataclass(frozen=True, kw_only=True)
class ReferenceEntry:
    """A controller that needs no training and that agents are measured against."""

    controller: str
    """Class of the controller, or of an `agents.controller.Planner`; it is given the environment."""
    summary: str
    """One line for `gridenv list`."""


LEARNERS: Mapping[str, LearnerEntry] = {
    "ppo": LearnerEntry(
        config="agents.ppo.config:PPOConfig",
        learner="agents.ppo.learner:PPO",
        summary="proximal policy optimisation, rollout and update in one compiled program",
    ),
    "sb3_ppo": LearnerEntry(
        config="agents.sb3.config:SB3PPOConfig",
        learner="agents.sb3.entry:make_learner",
        summary="PPO of Stable-Baselines3; needs the extra sb3",
    ),
    "sb3_sac": LearnerEntry(
        config="agents.sb3.config:SB3SACConfig",
        learner="agents.sb3.entry:make_learner",
        summary="soft actor-critic of Stable-Baselines3; needs the extra sb3",
    ),
    "sb3_td3": LearnerEntry(
        config="agents.sb3.config:SB3TD3Config",
        learner="agents.sb3.entry:make_learner",
        summary="twin delayed deep deterministic policy gradients of Stable-Baselines3; needs the extra sb3",
    ),
    "rllib_ppo": LearnerEntry(
        config="agents.rllib.config:RLlibPPOConfig",
        learner="agents.rllib.entry:make_learner",
        summary="PPO of RLlib, with env runners in processes of their own; needs the extra ray",
    ),
    "rllib_ippo": LearnerEntry(
        config="agents.rllib.config:RLlibIPPOConfig",
        learner="agents.rllib.entry:make_learner",
        summary="as ippo, trained by RLlib on the multi-agent form; needs the extras ray and marl",
    ),
    "ppo_lagrangian": LearnerEntry(
        config="agents.ppo_lagrangian.config:LagrangianConfig",
        learner="agents.ppo_lagrangian.learner:PPOLagrangian",
        summary="PPO on money alone, costs held at limits by prices that it learns",
    ),
    "ippo": LearnerEntry(
        config="agents.multi_agent.config:MultiAgentConfig",
        learner="agents.multi_agent.learner:IPPO",
        summary="PPO of many agents, each with what it sees itself; those of a kind share a network",
    ),
    "mappo": LearnerEntry(
        config="agents.multi_agent.config:MultiAgentConfig",
        learner="agents.multi_agent.learner:MAPPO",
        summary="as ippo, with values of the whole observation while training",
    ),
    "apg": LearnerEntry(
        config="agents.apg.config:APGConfig",
        learner="agents.apg.learner:APG",
        summary="analytic policy gradient: returns of episodes differentiated through the simulator",
    ),
    "sac": LearnerEntry(
        config="agents.sac.config:SACConfig",
        learner="agents.sac.learner:SAC",
        summary="soft actor-critic with its replay buffer, off-policy, in one compiled program",
    ),
}

REFERENCES: Mapping[str, ReferenceEntry] = {
    "none": ReferenceEntry(controller="agents.rules:DoNothing", summary="no control: everything idle"),
    "rule": ReferenceEntry(
        controller="agents.rules:UnitRules",
        summary="the usual rule of every unit: volt-var curve of IEEE 1547-2018, schedules, thermostats",
    ),
    "mpc": ReferenceEntry(
        controller="agents.optimal_power.mpc:Mpc",
        summary="batteries, chargers and plants by convex programs of the rest of the day, re-planned with forecasts",
    ),
    "oracle": ReferenceEntry(
        controller="agents.oracle:Oracle",
        summary="best actions found for every day, knowing it perfectly; an upper reference",
    ),
}

AGENTS: Mapping[str, LearnerEntry | ReferenceEntry] = {**LEARNERS, **REFERENCES}


def learner_entry(name: str) -> LearnerEntry:
    """The entry of an agent that can be trained.

    Raises:
        ConfigError: if there is no such agent, or it is one that needs no training.
    """
    if name in REFERENCES:
        raise ConfigError(f"agent '{name}' needs no training; allowed: {', '.join(LEARNERS)}; see it in `evaluate`")
    if name not in LEARNERS:
        raise ConfigError(f"unknown agent '{name}'{did_you_mean(name, LEARNERS)}")
    return LEARNERS[name]


def config_class(name: str) -> type[BaseModel]:
    """The settings model of an agent that can be trained.

    Raises:
        ConfigError: as `learner_entry`.
    """
    loaded: type[BaseModel] = resolve_name(learner_entry(name).config)
    return loaded


def make_learner(name: str, env: "GridEnv", config: BaseModel) -> "Learner":
    """The learner of an agent.

    Raises:
        ConfigError: as `learner_entry`.
    """
    learner: Learner = resolve_name(learner_entry(name).learner)(env, config)
    return learner


def make_reference(name: str, env: "GridEnv", params: "EnvParams") -> "Controller":
    """A reference controller for the episodes that begin at `params.starts`, in that order.

    Raises:
        ConfigError: if there is no such reference.
    """
    if name not in REFERENCES:
        raise ConfigError(f"unknown reference controller '{name}'{did_you_mean(name, REFERENCES)}")
    from agents.controller import Planner

    made = resolve_name(REFERENCES[name].controller)(env)
    controller: Controller = made.plan(params) if isinstance(made, Planner) else made
    return controller
