"""Small environments with the interface of the real ones, whose best policy and values are known."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from gridenv.core.channels import Channel, ChannelSet
from gridenv.sim.state import GridState
from gridenv.tasks.agents import Agent
from gridenv.tasks.env import EnvParams, EnvState, GridEnv, Transition
from gridenv.tasks.units.kind import Control

EPISODE_STEPS = 4


def channel(name: str) -> Channel:
    return Channel(name=name, unit="", low=-1.0, high=1.0, scale=1.0)


class Probe(GridEnv):
    """Each unit has a signal, drawn anew in every step, and one action; the observation is the share of the episode
    that is over, then the signals. The last observation of an episode says where it ends, and shows no signal.
    """

    cost_names: tuple[str, ...] = ("none",)

    def __init__(self, levels: tuple[int, ...] = (0,), *, n_unit: int = 1, terminates: bool = False) -> None:
        self.n_unit, self.terminates = n_unit, terminates
        controls = tuple(Control(channel=channel(f"thing.{i}.p_kw"), levels=n) for i, n in enumerate(levels))
        seen = ["time.share", *(f"thing.{i}.signal" for i in range(n_unit))]
        agents = tuple(
            Agent(
                name=f"thing.{i}",
                units=(f"thing.{i}",),
                unit_rows=np.array([i]),
                actions=np.array([i]),
                local=np.array([0, 1 + i]),
            )
            for i in range(n_unit)
        )
        self.task: Any = SimpleNamespace(
            id="Probe",
            actuator=SimpleNamespace(entries=controls),
            action=ChannelSet(tuple(c.channel for c in controls)),
            observation=ChannelSet(tuple(channel(name) for name in seen)),
            agents=agents,
            cost_names=self.cost_names,
        )

    def pays(self, action: Any, signal: Any) -> dict[str, Any]:
        """`unit_eur` [env, unit] of actions and signals, and `cost` [env, cost]."""
        raise NotImplementedError

    def reset_batch(self, key: Any, params: EnvParams, num_envs: int):
        state = self._state(jnp.zeros((num_envs, self.n_unit)), jnp.zeros(num_envs, jnp.int32))
        return self._observation(state), state

    def step_batch(self, key: Any, state: EnvState, action: Any, params: EnvParams):
        info = self.pays(action, state.grid.slot_voltage)
        reward = jnp.sum(info["unit_eur"], axis=-1)
        steps = state.steps + 1
        done, never = steps >= EPISODE_STEPS, jnp.zeros(steps.shape, bool)
        final = self._observation(self._state(0.0 * state.grid.slot_voltage, steps))
        fresh = jax.random.uniform(key, state.grid.slot_voltage.shape, minval=-1.0, maxval=1.0)
        state = self._state(fresh, jnp.where(done, 0, steps))
        info |= {"economic_eur": reward, "final_observation": final}
        ended = (done, never) if self.terminates else (never, done)
        return self._observation(state), state, reward, *ended, {"cost": jnp.zeros((len(reward), 1)), **info}

    @staticmethod
    def _state(signal: Any, steps: Any) -> EnvState:
        blank = jnp.zeros((len(steps), 0))
        return EnvState(
            grid=GridState(t=0 * steps, slot_voltage=signal, v_pu=blank, devices=()),
            steps=steps,
        )

    @staticmethod
    def _observation(state: EnvState):
        share = state.steps[:, None] / EPISODE_STEPS
        return jnp.concatenate([share, state.grid.slot_voltage], axis=-1).astype(jnp.float32)


class Constant(Probe):
    """EUR 1 for every step, whatever is done."""

    def pays(self, action, signal):
        return {"unit_eur": jnp.ones((len(action), 1))}


class Follow(Probe):
    """The best action is half the signal."""

    def pays(self, action, signal):
        return {"unit_eur": -((action - 0.5 * signal) ** 2)}


class Choose(Probe):
    """A continuous action and five positions: half the signal, and position 3 for positive signals, else 1."""

    def __init__(self) -> None:
        super().__init__((5, 0))

    def pays(self, action, signal):
        right = jnp.where(signal[:, 0] > 0.0, 3, 1) / 2 - 1.0
        wrong = jnp.abs(action[:, 0] - right) > 0.1
        return {"unit_eur": -((action[:, 1:] - 0.5 * signal) ** 2) - wrong[:, None]}


class Neighbours(Probe):
    """Unit 0 earns most at half its signal, unit 1 at minus half of its own; unit 0's action is also worth something to
    unit 1, which only matters to an agent that cares about the other.
    """

    WORTH_TO_THE_OTHER = 0.6

    def __init__(self) -> None:
        super().__init__((0, 0), n_unit=2)

    def pays(self, action, signal):
        own = -((action - 0.5 * signal * jnp.array([1.0, -1.0])) ** 2)
        return {"unit_eur": own.at[:, 1].add(self.WORTH_TO_THE_OTHER * action[:, 0])}


class Limited(Probe):
    """Earns 2 a - a^2 at a cost of (a + 1) / 2; a limit of d a step makes a = 2 d - 1 best, at a price of 8 (1 - d)."""

    cost_names = ("use", "pf_fail")

    def pays(self, action, signal):
        a = jnp.clip(action, -1.0, 1.0)
        return {"unit_eur": 2.0 * a - a**2, "cost": jnp.concatenate([(a + 1.0) / 2.0, 0.0 * a], axis=-1)}


def _state(steps: Any, values: Any) -> EnvState:
    """A state whose `slot_voltage` holds two numbers for each environment."""
    grid = GridState(
        t=jnp.zeros_like(steps), slot_voltage=values, v_pu=jnp.zeros((*steps.shape, 0), values.dtype), devices=()
    )
    return EnvState(grid=grid, steps=steps)


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
        self.task: Any = SimpleNamespace(observation=ChannelSet(()))

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
