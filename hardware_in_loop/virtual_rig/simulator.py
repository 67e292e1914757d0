"""The simulator of a task, one environment, step by step: the same `advance` as in training. The only file with JAX."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from numpy.typing import NDArray

from gridenv.core.channels import ChannelSet
from gridenv.core.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from gridenv.policy.codec import Codec
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput
from gridenv.tasks.env import EnvState
from gridenv.tasks.registry import make
from gridenv.tasks.units import inverters
from hardware_in_loop.errors import RigFileError

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class View:
    """A step of the task as it would be with certain commands."""

    measured: dict[str, float]
    """Observation channels while the step goes on: what follows from its power flow, and what it began with."""
    after: dict[str, float]
    """Observation channels once it is over, as an agent sees them in training."""
    idle: dict[str, float]
    """Commands that ask for nothing, by channel; positions are held where they are now."""
    droop: dict[str, float]
    """The same, but inverters follow their own volt-var curve."""
    applied: dict[str, float]
    """What the devices did of the commands, by channel."""
    v_pu: Floats
    """[node]"""
    cost: dict[str, float]
    economic_eur: float
    converged: bool
    following: EnvState
    """State after the step."""


class Simulator:
    """One environment of a task on days of a split."""

    def __init__(self, task: str, split: str, day: int) -> None:
        """Build the task, and stand at the midnight of a day.

        Args:
            task: id, or the path of a task file.
            split: days to be chosen from.
            day: which of them.

        Raises:
            RigFileError: if the split has fewer days.
            ConfigError: if there is no such task.
        """
        self.env, self.params = make(task, split=split)
        self._task = self.env.task
        self.starts = np.asarray(self.params.starts)
        if day >= len(self.starts):
            raise RigFileError(
                f"emulated: start is {day}; allowed: 0..{len(self.starts) - 1}, the days of the {split} split"
            )
        self._codec = Codec.of(self._task.action)
        self._program = jax.jit(self._view)
        self.day, self._first_step = day, 0
        self.state: EnvState = self._begin()

    @property
    def observation(self) -> ChannelSet:
        """Observation channels."""
        return self._task.observation

    @property
    def action(self) -> ChannelSet:
        """Action channels."""
        return self._task.action

    @property
    def bus_names(self) -> tuple[str, ...]:
        """Order of `View.v_pu`."""
        return self._task.bus_names

    @property
    def step_s(self) -> float:
        """Length of a step."""
        return self.params.model.dt_h * SECONDS_PER_HOUR

    @property
    def scenario_step(self) -> int:
        """Scenario step that goes on now."""
        return int(self.state.grid.t)

    def restart(self, day: int, hour: float = 0.0) -> None:
        """Stand at an hour of a day of the split, counted around."""
        steps_per_day = round(HOURS_PER_DAY / self.params.model.dt_h)
        self.day = day % len(self.starts)
        self._first_step = int(hour / self.params.model.dt_h) % steps_per_day
        self.state = self._begin()

    def view(self, commands: Mapping[str, float]) -> View:
        """The present step with these commands, by action channel in physical units; nothing moves on.

        Channels that are left out ask for nothing.
        """
        names = self.action.names
        physical = np.asarray([commands.get(name, 0.0) for name in names], np.float32)
        is_given = np.asarray([name in commands for name in names])
        values = self._program(self.state, physical, is_given, self.params)
        following = values.pop("following")
        values = jax.device_get(values)
        names, actions = self.observation.names, self.action.names
        return View(
            measured=dict(zip(names, map(float, values["measured"]), strict=True)),
            after=dict(zip(names, map(float, values["after"]), strict=True)),
            idle=dict(zip(actions, map(float, values["idle"]), strict=True)),
            droop=dict(zip(actions, map(float, values["droop"]), strict=True)),
            applied=dict(zip(actions, map(float, values["applied"]), strict=True)),
            v_pu=values["v_pu"],
            cost=dict(zip(self.env.cost_names, map(float, values["cost"]), strict=True)),
            economic_eur=float(values["economic_eur"]),
            converged=bool(values["converged"]),
            following=following,
        )

    def go_on(self, view: View) -> None:
        """The step is over, with the commands of the view; at the end of a day the next one of the split begins."""
        self.state = view.following
        if int(self.state.steps) + self._first_step >= self.params.steps_per_episode:
            self.restart(self.day + 1)

    def _begin(self) -> EnvState:
        return self.env.reset_at(jnp.asarray(self.starts[self.day] + self._first_step), self.params)[1]

    def _view(self, state: EnvState, physical: Array, is_given: Array, params: Any) -> dict[str, Any]:
        model, actuator = params.model, self._task.actuator
        asked = jnp.where(is_given, physical, actuator.idle(model, state.grid))
        t = self.env.advance(state, self._codec.encode(asked), params)
        # Of the state that the step leads to, in which positions are where they have moved to.
        idle = actuator.idle(model, t.state.grid)
        observation = Codec.of(self.observation)
        held = self._task.observe(model, state.grid, t.output)
        return {
            "measured": observation.decode(observation.encode(held)),
            "after": observation.decode(t.observation),
            "idle": idle,
            "droop": self._droop(model, idle, t.output),
            "applied": self._codec.decode(t.info["action_applied"]),
            "v_pu": t.output.v_pu,
            "cost": t.info["cost"],
            "economic_eur": t.info["economic_eur"],
            "converged": t.output.converged,
            "following": t.state,
        }

    def _droop(self, model: GridModel, idle: Array, output: GridOutput) -> Array:
        """Commands of the default volt-var curve at the voltages of the step, in physical units; others are idle."""
        actuator = self._task.actuator
        parts = actuator.parts(idle)
        for i, (group, members) in enumerate(zip(model.groups, actuator.groups, strict=True)):
            if members.kind is not inverters.KIND or not parts[i].shape[-1] or inverters.follows_curve(group.params):
                continue
            shape = jax.vmap(jnp.interp)(
                group.v_pu(output.v_pu), group.params.volt_var_v_pu, group.params.volt_var_q_share
            )
            asked_kvar = shape * group.params.ratings.s_rated_kva
            limit_kvar = inverters.q_limit_kvar(group.params, output.feasible[i].p_kw)
            share = jnp.clip(asked_kvar / limit_kvar, -1.0, 1.0)
            parts[i] = parts[i].at[..., inverters.Q_ENTRY].set(share)
        return actuator.joined(parts)
