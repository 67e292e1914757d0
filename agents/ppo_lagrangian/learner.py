"""PPO on money alone, with costs held at limits by prices that are learned beside the policy.

The first lane of the reward is the economic EUR less what the task charges for costs without a limit; every limited
cost is a lane of its own, in EUR at the task's own weight. So values do not change with the prices, only how advantages
are put together.

Source: A. Ray, J. Achiam and D. Amodei, "Benchmarking safe exploration in deep reinforcement learning", 2019, section 4
(PPO-Lagrangian with values of the reward and of the cost); the prices as in `prices.py`.
"""

from typing import Any

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.ppo.heads import levels_of
from agents.ppo.learner import LearnerState, Metrics, ProximalLearner
from agents.ppo.model import JointModel
from agents.ppo.rollout import Rollout
from agents.ppo_lagrangian.config import LagrangianConfig
from agents.ppo_lagrangian.prices import Prices, first_prices, next_prices
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.tasks.env import EnvParams, GridEnv


class PPOLagrangian(ProximalLearner):
    """One policy for all actions, under limits on costs. A failed power flow is always charged."""

    name = "ppo_lagrangian"

    def __init__(self, env: GridEnv, config: LagrangianConfig) -> None:
        """A learner of a task.

        Raises:
            ConfigError: if no cost is limited, or one that the task does not have or that cannot be.
        """
        raise_collected(_problems(env, config), ConfigError)
        self.limited = tuple(name for name in env.cost_names if name in config.cost_limits)
        self.rows = np.array([env.cost_names.index(name) for name in self.limited])
        self.limits = np.array([config.cost_limits[name] for name in self.limited], np.float32)
        self.settings = config
        levels = levels_of(env, config.discrete)
        super().__init__(env, config, JointModel(env.n_observation, levels, config, n_lane=1 + len(self.limited)))

    def lanes(
        self, reward: Float[Array, " env"], info: dict[str, Any], env_params: EnvParams
    ) -> Float[Array, "env lane"]:
        """Money less costs without a limit, then every limited cost in EUR at its unit price."""
        del reward
        cost = info["cost"]
        charged = env_params.charged_eur.at[self.rows].set(0.0)
        money = info["economic_eur"] - jnp.sum(cost * charged, axis=-1)
        return jnp.concatenate([money[:, None], -cost[:, self.rows] * self._unit_eur(env_params)], axis=-1)

    def actor_advantage(
        self, state: LearnerState, advantage: Float[Array, "time env lane"]
    ) -> Float[Array, "time env"]:
        """Advantage of money and of the costs at their present prices."""
        return advantage[..., 0] + jnp.sum(advantage[..., 1:] * state.prices.price, axis=-1)

    def first_prices(self, env_params: EnvParams) -> Prices:
        """Prices before training."""
        del env_params
        return first_prices(len(self.limited), self.settings)

    def next_prices(self, prices: Prices, rollout: Rollout, env_params: EnvParams) -> tuple[Prices, Metrics]:
        """Prices after an update; metrics are the prices in EUR per unit of the cost, and the costs of an episode."""
        episode_cost = jnp.mean(rollout.cost[..., self.rows], axis=(0, 1)) * env_params.steps_per_episode
        new = next_prices(prices, episode_cost, jnp.asarray(self.limits), self.settings)
        price_eur = new.price * self._unit_eur(env_params)
        metrics = {}
        for i, name in enumerate(self.limited):
            metrics[f"price_eur/{name}"] = price_eur[i]
            metrics[f"episode_cost/{name}"] = episode_cost[i]
        return new, metrics

    def _unit_eur(self, env_params: EnvParams) -> Float[Array, " limited"]:
        """EUR of one unit of each limited cost at price 1."""
        weights = env_params.cost_weight_eur[self.rows]
        return jnp.where(weights > 0.0, weights, 1.0)


def _problems(env: GridEnv, config: LagrangianConfig) -> list[str]:
    """What is wrong with the limits, one line each."""
    *known, failure = env.cost_names
    where = "agent 'ppo_lagrangian': cost_limits"
    if not config.cost_limits:
        return [f"{where} is empty; give a limit to at least one of {', '.join(known)}, or use agent=ppo"]
    problems = [
        f"{where}.{name}: {env.id} has no such cost{did_you_mean(name, known)}"
        for name in config.cost_limits
        if name not in env.cost_names
    ]
    if failure in config.cost_limits:
        problems.append(
            f"{where}.{failure}: a failed power flow is always charged; allowed: {', '.join(known)}; drop it"
        )
    return problems
