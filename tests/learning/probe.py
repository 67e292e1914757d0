"""Environments whose answer is known, with the interface of the real ones."""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from gridenv.sim.state import GridState
from gridenv.tasks.env import EnvParams, EnvState, GridEnv, Transition

EPISODE_STEPS = 4


def _state(steps: Any, values: Any) -> EnvState:
    """A state whose `slot_voltage` holds two numbers for each environment."""
    grid = GridState(
        t=jnp.zeros_like(steps), slot_voltage=values, v_pu=jnp.zeros((*steps.shape, 0), values.dtype), devices=()
    )
    return EnvState(grid=grid, steps=steps)


class Probe(GridEnv):
    """A one-observation environment; the last observation says where it ends."""

    def __init__(self, *, terminates: bool, pays_for_action: bool) -> None:
        self.terminates = terminates
        self.pays_for_action = pays_for_action

    n_observation = 2
    n_action = 1
    cost_names = ("none",)

    def reset_batch(self, key: Any, params: EnvParams, num_envs: int):
        state = _state(jnp.zeros(num_envs, jnp.int32), jnp.zeros((num_envs, 2)))
        return self._observation(state.steps), state

    def step_batch(self, key: Any, state: EnvState, action: Any, params: EnvParams):
        signal = state.grid.slot_voltage[:, :1]
        reward = -((action - 0.5 * signal) ** 2)[:, 0] if self.pays_for_action else jnp.ones(action.shape[0])
        steps = state.steps + 1
        done = steps >= EPISODE_STEPS
        fresh = jax.random.uniform(key, signal.shape, minval=-1.0, maxval=1.0)
        final = self._observation(steps)
        steps = jnp.where(done, 0, steps)
        state = _state(steps, jnp.concatenate([fresh, 0 * fresh], -1))
        observation = self._observation(steps).at[:, 1].set(fresh[:, 0])
        never = jnp.zeros_like(done)
        info = {
            "cost": jnp.zeros((len(reward), 1)),
            "economic_eur": reward,
            "final_observation": final,
        }
        ended = (done, never) if self.terminates else (never, done)
        return observation, state, reward, *ended, info

    @staticmethod
    def _observation(steps: Any):
        return jnp.stack([steps / EPISODE_STEPS, jnp.zeros(steps.shape)], axis=-1).astype(jnp.float32)


class Delivery(GridEnv):
    """A store that must hold what was ordered when the episode ends; only then is anything paid.

    Two entries of the action fill it, the second in whole units and so without a gradient. `fails_at` ends all episodes
    early, with a reward of -1 and a state that is not a number, as a power flow without solution may have.
    """

    n_observation = 3
    n_action = 2
    cost_names = ("none",)
    id = "Delivery"

    def __init__(self, *, gain: float = 1.0, fails_at: int | None = None, idle: float = 0.0) -> None:
        self.gain, self.fails_at, self.rest = gain, fails_at, idle

    def idle(self, params: EnvParams, state: EnvState):
        return jnp.broadcast_to(jnp.array([0.0, self.rest]), (*state.steps.shape, 2))

    def reset_batch(self, key: Any, params: EnvParams, num_envs: int):
        ordered = jax.random.uniform(key, (num_envs,), minval=-1.0, maxval=1.0)
        state = _state(jnp.zeros(num_envs, jnp.int32), jnp.stack([jnp.zeros(num_envs), ordered], axis=-1))
        return self.observe(state), state

    def advance(self, state: EnvState, action: Any, params: EnvParams) -> Transition:
        stored, ordered = state.grid.slot_voltage[:, 0], state.grid.slot_voltage[:, 1]
        stored = stored + 0.25 * self.gain * action[:, 0] + jnp.round(action[:, 1])
        steps = state.steps + 1
        failed = jnp.zeros_like(steps, bool) if self.fails_at is None else steps == self.fails_at
        truncated = (steps >= EPISODE_STEPS) & ~failed
        reward = jnp.where(truncated, -((stored - ordered) ** 2), jnp.where(failed, -1.0, 0.0))
        state = _state(steps, jnp.stack([jnp.where(failed, jnp.nan, stored), ordered], axis=-1))
        info = {"cost": jnp.zeros((*steps.shape, 1)), "economic_eur": reward}
        return Transition(self.observe(state), state, reward, failed, truncated, info, None)  # type: ignore[arg-type]

    @staticmethod
    def observe(state: EnvState):
        return jnp.concatenate([state.grid.slot_voltage, state.steps[:, None] / np.float32(EPISODE_STEPS)], axis=-1)
