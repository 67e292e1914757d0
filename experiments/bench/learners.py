"""What the training benchmark measures: updates of a learner, rollout and gradients included."""

from functools import partial
from typing import Any

import jax
from jax import numpy as jnp

from agents import registry
from gridenv.tasks.registry import make


class Training:
    """A learner with its default settings; with several seeds they train side by side in one program."""

    def __init__(self, task: str, agent: str) -> None:
        self._env, self._params = make(task)
        self._agent = agent
        self.work = 0

    def prepare(self, updates: int, seeds: int, num_envs: int | None) -> None:
        """Initial states.

        Args:
            updates: done by one call.
            seeds: number of learners.
            num_envs: environments of each; None = the default.
        """
        changes = {} if num_envs is None else {"num_envs": num_envs}
        config: Any = registry.config_class(self._agent)(**changes)
        self._updates = updates
        self._learner = registry.make_learner(self._agent, self._env, config)
        self.num_envs = config.num_envs
        self.work = updates * seeds * config.steps_per_update
        initial = partial(self._learner.init, env_params=self._params)
        self._advance = self._learner.advance if seeds == 1 else self._learner.advance_seeds
        self._state = initial(0) if seeds == 1 else jax.vmap(initial)(jnp.arange(seeds))

    def call(self) -> object:
        """Train on from where the last call ended."""
        self._state, metrics = self._advance(self._state, self._params, self._updates)
        return jax.block_until_ready((self._state, metrics))

    def outcome(self) -> int:
        """Number of environments."""
        number: int = self.num_envs
        return number
