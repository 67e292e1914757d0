"""Upper reference: the reactive dispatch that maximises each step's own reward, knowing the step perfectly.

The reward of a step is maximised over the box of actions by gradients through the exact power flow. The reward has
kinks where a voltage or a loading meets its limit; there Adam follows a one-sided slope, with steps that fall to zero.
Every point on the way is scored with the exact reward and the best is kept, so the result can only be too low, never
too high, as an upper reference.
"""

from dataclasses import dataclass

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float

from agents.rules import DoNothing, UnitRules
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

_Search = tuple[Array, optax.OptState, Array, Array]
"""Present action, optimiser memory, best action and its reward."""


@dataclass(frozen=True)
class OptimalDispatch:
    """Per-step optimum of the task's reward; for tasks whose actions do not reach beyond their step."""

    env: GridEnv
    rounds: int = 150
    step_size: float = 0.15
    name: str = "oracle"

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Best action found from two starts, nothing and the standard's curve; never worse than either."""
        idle = DoNothing(self.env).act(params, state, observation)
        rule = UnitRules(self.env).act(params, state, observation)
        return _better(*self._improve(params, state, idle), *self._improve(params, state, rule))[0]

    def _reward(self, params: EnvParams, state: EnvState, action: Array) -> Array:
        return self.env.advance(state, action, params).reward

    def _improve(self, params: EnvParams, state: EnvState, start: Array) -> tuple[Array, Array]:
        """Projected Adam with a falling step; returns the best action, the last one included, and its exact reward."""
        optimiser = optax.adam(optax.cosine_decay_schedule(self.step_size, self.rounds), b1=0.8, b2=0.9)

        def total(action: Array) -> tuple[Array, Array]:
            reward = self._reward(params, state, action)
            return -jnp.sum(reward), reward

        def body(carry: _Search, _: None) -> tuple[_Search, None]:
            action, memory, best, best_reward = carry
            gradient, reward = jax.grad(total, has_aux=True)(action)
            best, best_reward = _better(best, best_reward, action, reward)
            updates, memory = optimiser.update(gradient, memory)
            action = jnp.clip(optax.apply_updates(action, updates), *self.env.action_bounds)
            return (action, memory, best, best_reward), None

        worst = jnp.full(start.shape[:-1], -jnp.inf, start.dtype)
        carry = (start, optimiser.init(start), start, worst)
        (last, _, best, best_reward), _ = lax.scan(body, carry, length=self.rounds)
        return _better(best, best_reward, last, self._reward(params, state, last))


def _better(first: Array, first_reward: Array, second: Array, second_reward: Array) -> tuple[Array, Array]:
    is_better = second_reward > first_reward
    return jnp.where(is_better[..., None], second, first), jnp.where(is_better, second_reward, first_reward)
