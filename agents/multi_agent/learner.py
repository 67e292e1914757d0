"""Independent and multi-agent PPO: all agents learn at once, those of a kind with one network.

Source: IPPO, C. S. de Witt et al., "Is independent learning all you need in the StarCraft multi-agent challenge?",
arXiv:2011.09533; MAPPO, C. Yu et al., "The surprising effectiveness of PPO in cooperative multi-agent games",
NeurIPS 2022, arXiv:2103.01955. Parameter sharing with the agent's number as an input: J. K. Gupta et al., "Cooperative
multi-agent control using deep reinforcement learning", AAMAS workshops 2017.
"""

from typing import Any

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.multi_agent.config import MultiAgentConfig
from agents.multi_agent.groups import groups_of, own_rewards
from agents.multi_agent.model import MultiAgentModel
from agents.ppo.heads import levels_of
from agents.ppo.learner import ProximalLearner
from gridenv.tasks.env import EnvParams, GridEnv


class _MultiAgentLearner(ProximalLearner):
    """What both learners share; they differ in what the value networks see."""

    central: bool
    """Whether values are of the whole observation."""

    def __init__(self, env: GridEnv, config: MultiAgentConfig) -> None:
        task, levels = env.task, levels_of(env, config.discrete)
        self.groups = groups_of(task.agents, task.action, levels, task.observation)
        self.n_agent, self.own = len(task.agents), config.reward == "own"
        model = MultiAgentModel(env.n_observation, self.groups, config, central=self.central)
        super().__init__(env, config, model)

    def lanes(
        self, reward: Float[Array, " env"], info: dict[str, Any], env_params: EnvParams
    ) -> Float[Array, "env agent"]:
        """Reward of every agent, group by group."""
        del env_params
        if self.own:
            return own_rewards(self.groups, reward, info["unit_eur"])
        return jnp.broadcast_to(reward[:, None], (*reward.shape, self.n_agent))


class IPPO(_MultiAgentLearner):
    """Every agent learns by itself: policy and value see its own observation."""

    name = "ippo"
    central = False


class MAPPO(_MultiAgentLearner):
    """Policies see their own observations, values the whole one; the values are needed in training only."""

    name = "mappo"
    central = True
