"""What the environment benchmark measures: one task through its functional, vector and single environment.

The compiled step is what the vector environment is made of, so the two side by side show what the adapter adds.

Actions are uniform at random, resets included: everything that an agent would wait for is in the time.
"""

from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.vector import VectorEnv
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.random import stream
from gridenv.tasks.env import EnvParams, EnvState, GridEnv
from gridenv.tasks.registry import NAMESPACE, make

SEED = 0

Carry = tuple[EnvState, Float[Array, "env obs"]]


class FunctionalEnvironment:
    """`lax.scan` over `GridEnv.step_batch`, as a learner in JAX uses it.

    The arrays that a learner would store come out of the scan; all other results enter sums, so that the compiler
    cannot leave their computation out.
    """

    def __init__(self, task: str) -> None:
        self.env, self.params = make(task)
        self.work = 0

    def prepare(self, batch: int, steps: int) -> None:
        """Begin `batch` episodes."""
        self.work, self._steps = batch * steps, steps
        self._key = jax.random.key(SEED)
        observation, state = self.env.reset_batch(stream(self._key, "reset"), self.params, batch)
        self._carry: Carry = (state, observation)

    def call(self) -> object:
        """Go on for `steps` steps."""
        self._key = stream(self._key, "next")
        self._carry, stored = _rollout(self.env, self.params, self._carry, self._key, self._steps)
        return jax.block_until_ready(stored)

    def outcome(self) -> None:
        """Nothing to check."""


@partial(jax.jit, static_argnames=("env", "steps"))
def _rollout(env: GridEnv, params: EnvParams, carry: Carry, key: Array, steps: int) -> tuple[Carry, Any]:
    low, high = env.action_bounds

    def one_step(carry: Carry, key: Array) -> tuple[Carry, Any]:
        state, _ = carry
        n_env = state.steps.shape[0]
        action = jax.random.uniform(stream(key, "action"), (n_env, env.n_action), minval=low, maxval=high)
        observation, state, reward, terminated, truncated, info = env.step_batch(
            stream(key, "env"), state, action, params
        )
        stored = (observation, action, reward, terminated, truncated, info["cost"])
        return (state, observation), (stored, jax.tree.map(lambda x: jnp.sum(x, dtype=jnp.float32), info))

    return lax.scan(one_step, carry, jax.random.split(key, steps))


class CompiledStep:
    """`GridEnv.step_batch` with all its results as one compiled call: NumPy actions in, JAX arrays out."""

    def __init__(self, task: str) -> None:
        self.env, self.params = make(task)
        self._random = np.random.default_rng(SEED)
        self.work = 0

    def prepare(self, batch: int, steps: int) -> None:
        """Begin `batch` episodes."""
        self.work, self._shape, self._steps = batch * steps, (batch, self.env.n_action), steps
        self._key = jax.random.key(SEED)
        _, self._state = self.env.reset_batch(stream(self._key, "reset"), self.params, batch)

    def call(self) -> object:
        """Go on for `steps` steps, each waited for."""
        low, high = self.env.action_bounds
        for _ in range(self._steps):
            action = low + (high - low) * self._random.random(self._shape, dtype=np.float32)
            self._key, self._state, results = _step(self.env, self.params, self._key, self._state, action)
            jax.block_until_ready(results)
        return results

    def outcome(self) -> None:
        """Nothing to check."""


@partial(jax.jit, static_argnames="env", donate_argnames="state")
def _step(env: GridEnv, params: EnvParams, key: Array, state: EnvState, action: Array) -> tuple[Array, EnvState, Any]:
    key = stream(key, "next")
    observation, state, *results = env.step_batch(stream(key, "env"), state, action, params)
    return key, state, (observation, *results)


class VectorEnvironment:
    """The native `VectorEnv`: NumPy actions in, NumPy results out, a step at a time."""

    def __init__(self, task: str) -> None:
        self._id = NAMESPACE + task
        self._random = np.random.default_rng(SEED)
        self._env: VectorEnv[Any, Any, Any] | None = None
        self.work = 0

    def prepare(self, batch: int, steps: int) -> None:
        """Begin `batch` episodes."""
        if self._env is not None:
            self._env.close()
        self.work, self._steps = batch * steps, steps
        self._env = gymnasium.make_vec(self._id, num_envs=batch, vectorization_mode="vector_entry_point")
        self._env.reset(seed=SEED)

    def call(self) -> object:
        """Go on for `steps` steps; the environments reset themselves."""
        assert self._env is not None
        for _ in range(self._steps):
            result = self._env.step(_random_action(self._random, self._env.action_space))
        return result

    def outcome(self) -> None:
        """Nothing to check."""


class SingleEnvironment:
    """`gymnasium.make(...)` with Gymnasium's default wrappers, a step at a time."""

    def __init__(self, task: str) -> None:
        self._env: gymnasium.Env[Any, Any] = gymnasium.make(NAMESPACE + task)
        self._random = np.random.default_rng(SEED)
        self.work = 0

    def prepare(self, batch: int, steps: int) -> None:
        """Begin an episode; `batch` is 1."""
        del batch
        self.work = steps
        self._env.reset(seed=SEED)

    def call(self) -> object:
        """Go on for `steps` steps, with a reset after each episode."""
        for _ in range(self.work):
            result = self._env.step(_random_action(self._random, self._env.action_space))
            if result[2] or result[3]:
                self._env.reset()
        return result

    def outcome(self) -> None:
        """Nothing to check."""


def _random_action(random: np.random.Generator, space: gymnasium.Space[Any]) -> np.ndarray:
    """As `space.sample()`, but float32 from the start, which takes a third of the time."""
    assert isinstance(space, gymnasium.spaces.Box)
    action: np.ndarray = space.low + (space.high - space.low) * random.random(space.shape, dtype=np.float32)
    return action
