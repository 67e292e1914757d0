"""The functional environment: a task's channels, rewards and costs around the step of the grid.

Every method takes any number of leading batch axes, so one environment and a batch run the same code.
All methods are pure and can be jitted, vmapped and scanned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from gridenv.core.channels import ChannelSet
from gridenv.core.errors import ActionError, ConfigError
from gridenv.core.pytree import pytree, rows_where, static
from gridenv.core.random import stream
from gridenv.policy.codec import Codec
from gridenv.powerflow import PowerFlow
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState, Status
from gridenv.sim.step import step as grid_step
from gridenv.tasks.actuator import Actuator
from gridenv.tasks.agents import Agent

_CORRECTED = 1e-4
"""Difference of a normalised action asked for and carried out that is flagged; below it is rounding."""
Info = dict[str, Any]
Action = ArrayLike | Sequence[Any]
"""Normalised actions [*batch, act]: an array, or nested lists of numbers."""


@pytree
class EnvParams:
    """What an environment needs at run time; an argument of every call, never batched."""

    model: GridModel
    starts: Int[Array, " episode"]
    """First scenario step of every episode that a reset can draw."""
    cost_weight_eur: Float[Array, " cost"]
    """EUR charged in the penalised reward for one unit of each cost; the last is that of a failed power flow."""
    steps_per_episode: int = static()
    penalised: bool = static()
    """Reward = economic - weights @ cost; else economic less the last cost alone, as ending an episode by failing must
    not save the costs of its rest."""

    @property
    def charged_eur(self) -> Float[Array, " cost"]:
        """EUR that the reward charges for one unit of each cost."""
        weights = self.cost_weight_eur
        return weights if self.penalised else weights * (jnp.arange(weights.shape[0]) == weights.shape[0] - 1)


@pytree
class EnvState:
    """State of an environment; data that can be saved, restored and forked."""

    grid: GridState
    steps: Int[Array, "*batch"]
    """Steps done in the episode; the whole length of it once it has terminated."""


class Settlement(NamedTuple):
    """What a step was worth."""

    economic_eur: Float[Array, "*batch"]
    cost: Float[Array, "*batch cost"]
    kpi: dict[str, Float[Array, "*batch"]]
    unit_eur: Float[Array, "*batch unit"]
    """What each unit earned by itself; the rest of the economic EUR belongs to no unit."""


class Transition(NamedTuple):
    """Everything a step produced."""

    observation: Float[Array, "*batch obs"]
    state: EnvState
    reward: Float[Array, "*batch"]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]
    info: Info
    output: GridOutput


@dataclass(frozen=True, kw_only=True)
class Task:
    """A control task as channels and pure functions; arrays live in `EnvParams`."""

    id: str
    observation: ChannelSet
    actuator: Actuator
    """What the entries of the action vector do."""
    cost_names: tuple[str, ...]
    begin: Callable[[GridModel, Array], tuple[GridState, GridOutput]]
    """(model, first scenario step) -> state and measurements before the first action."""
    observe: Callable[[GridModel, GridState, GridOutput], Array]
    """Observation in physical units, channel order."""
    settle: Callable[[GridModel, GridState, GridOutput], Settlement]
    """(model, state before the step, output) -> what it was worth."""
    agents: tuple[Agent, ...]
    """Agents of the multi-agent form."""
    power_flow: PowerFlow
    """The compiled network with the task's units; for drawing and for rules."""

    @property
    def bus_names(self) -> tuple[str, ...]:
        """Order of `GridOutput.v_pu`."""
        return self.power_flow.node_names

    @property
    def action(self) -> ChannelSet:
        """Channels of the action vector."""
        return self.actuator.channels


class GridEnv:
    """A functional environment; hashable by identity, so it can be a static argument of jit."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._observation = Codec.of(task.observation)
        self._action = Codec.of(task.action)

    @property
    def id(self) -> str:
        """Name without namespace, such as `VoltVar-IEEE33-v0`."""
        return self.task.id

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Names of the entries of `info["cost"]`."""
        return self.task.cost_names

    @property
    def n_action(self) -> int:
        """Length of the action vector."""
        return len(self.task.action)

    @property
    def n_observation(self) -> int:
        """Length of the observation vector."""
        return len(self.task.observation)

    @property
    def observation_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest normalised observation, float32 [n_observation] each."""
        return self._observation.encoded_low, self._observation.encoded_high

    @property
    def action_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest normalised action, float32 [n_action] each."""
        return self._action.encoded_low, self._action.encoded_high

    def idle(self, params: EnvParams, state: EnvState) -> Float[Array, "*batch act"]:
        """Normalised action that asks for nothing."""
        return self.encode_action(self.task.actuator.idle(params.model, state.grid))

    def encode_action(self, physical: Float[Array, "*batch act"]) -> Float[Array, "*batch act"]:
        """Normalised action of one in physical units."""
        encoded: Array = self._action.encode(physical)
        return encoded

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Channels with units, ranges and scaling, JSON-serialisable; what a policy bundle and a rig need."""
        return {
            "task": self.id,
            "observation": self.task.observation.to_json(),
            "observation_fingerprint": self.task.observation.fingerprint,
            "action": self.task.action.to_json(),
            "action_fingerprint": self.task.action.fingerprint,
            "cost_names": list(self.cost_names),
        }

    @partial(jax.jit, static_argnames="self")
    def reset(self, key: Array, params: EnvParams) -> tuple[Float[Array, " obs"], EnvState]:
        """Begin an episode drawn from `params.starts`."""
        return self.reset_at(_draw_start(key, params, ()), params)

    @partial(jax.jit, static_argnames=("self", "num_envs"))
    def reset_batch(self, key: Array, params: EnvParams, num_envs: int) -> tuple[Float[Array, "env obs"], EnvState]:
        """Begin `num_envs` episodes, each drawn by itself."""
        return self.reset_at(_draw_start(key, params, (num_envs,)), params)

    @partial(jax.jit, static_argnames="self")
    def reset_at(self, start: Int[Array, "*batch"], params: EnvParams) -> tuple[Float[Array, "*batch obs"], EnvState]:
        """Begin episodes at given scenario steps."""
        self._check_precision(params)
        grid, output = self.task.begin(params.model, start)
        state = EnvState(grid=grid, steps=jnp.zeros_like(start))
        return self._observe(params, state, output), state

    @partial(jax.jit, static_argnames="self")
    def step(
        self, key: Array | None, state: EnvState, action: Action, params: EnvParams
    ) -> tuple[
        Float[Array, "*batch obs"], EnvState, Float[Array, "*batch"], Bool[Array, "*batch"], Bool[Array, "*batch"], Info
    ]:
        """One step without autoreset.

        Args:
            key: random key of the step; tasks without random events do not use it.
            state: as returned by `reset` or `step`.
            action: normalised action, with the leading axes of the state; values beyond the bounds are limited and
                flagged in `info["status"]`.
            params: from `gridenv.make`.

        Raises:
            ActionError: for an action of another shape, or that is not made of real numbers.
            ConfigError: for a float64 task outside `jax.enable_x64(True)`.

        Returns:
            observation, state, reward in EUR, terminated, truncated and info: `cost` (order of `cost_names`),
            `economic_eur`, `action_requested` (as given), `action_limited` (inside the bounds), `action_applied`
            (what the devices delivered), `pf_residual`, `pf_converged`, `status` (bits of `sim.state.Status`), `kpi`
            (money line by line `eur.*`, energy line by line `kwh.*`, voltages and loadings), `unit_eur`.
        """
        del key
        t = self.advance(state, action, params)
        return t.observation, t.state, t.reward, t.terminated, t.truncated, t.info

    def advance(self, state: EnvState, action: Action, params: EnvParams) -> "Transition":
        """One step without autoreset, with the grid's own output beside what `step` returns."""
        self._check_precision(params)
        action = self._checked(action, state)
        finite = jnp.all(jnp.isfinite(action), axis=-1)
        requested = jnp.where(jnp.isfinite(action), action, 0.0)
        limited = jnp.clip(requested, *self.action_bounds)
        asked, actuator = self._action.decode(limited), self.task.actuator
        grid, output = grid_step(params.model, state.grid, actuator.command(params.model, state.grid, asked))
        applied = self.encode_action(actuator.applied(params.model, state.grid, output, asked))
        settlement = self.task.settle(params.model, state.grid, output)
        terminated = ~output.converged
        steps = state.steps + 1
        truncated = (steps >= params.steps_per_episode) & ~terminated
        next_state = EnvState(grid=grid, steps=jnp.where(terminated, params.steps_per_episode, steps))
        reward = settlement.economic_eur - settlement.cost @ params.charged_eur
        corrected = jnp.any(jnp.abs(applied - requested) > _CORRECTED, axis=-1)
        status = jnp.where(output.converged, 0, int(Status.NOT_CONVERGED))
        status |= jnp.where(corrected, int(Status.ACTION_CORRECTED), 0)
        if output.supply is not None:
            status |= jnp.where(output.supply.unserved_kw > 0.0, int(Status.UNSERVED), 0)
        info: Info = {
            "cost": settlement.cost,
            "economic_eur": settlement.economic_eur,
            "action_requested": action,
            "action_limited": limited,
            "action_applied": applied,
            "pf_residual": output.residual_pu,
            "pf_converged": output.converged,
            "status": status | jnp.where(finite, 0, int(Status.ACTION_NOT_FINITE)),
            "kpi": settlement.kpi,
            "unit_eur": settlement.unit_eur,
        }
        observation = self._observe(params, next_state, output)
        return Transition(observation, next_state, reward, terminated, truncated, info, output)

    @partial(jax.jit, static_argnames="self")
    def step_batch(
        self, key: Array, state: EnvState, action: Action, params: EnvParams
    ) -> tuple[Float[Array, "env obs"], EnvState, Float[Array, " env"], Bool[Array, " env"], Bool[Array, " env"], Info]:
        """One step of a batch; environments whose episode ended begin a new one at once.

        The observation returned for them is the first of the new episode; the last of the old one is in
        `info["final_observation"]` (equal to the observation elsewhere).
        """
        observation, state, reward, terminated, truncated, info = self.step(key, state, action, params)
        info["final_observation"] = observation
        done = terminated | truncated

        def begin_again() -> tuple[Array, EnvState]:
            start = _draw_start(stream(key, "autoreset"), params, done.shape)
            fresh = self.reset_at(start, params)
            renewed: tuple[Array, EnvState] = rows_where(done, fresh, (observation, state))
            return renewed

        # Resets cost a power flow, so they are computed only in steps in which an episode ends.
        observation, state = jax.lax.cond(jnp.any(done), begin_again, lambda: (observation, state))
        return observation, state, reward, terminated, truncated, info

    def _check_precision(self, params: EnvParams) -> None:
        if params.model.flow.dtype == np.float64 and not jax.config.read("jax_enable_x64"):
            raise ConfigError(
                f"{self.id}: dtype is float64, but JAX computes this call in float32; put make and all calls inside "
                "`with jax.enable_x64(True):`, or use dtype='float32'"
            )

    def _checked(self, action: Action, state: EnvState) -> Array:
        """The action as an array; shape and type are known when the program is compiled."""
        try:
            array = jnp.asarray(action)
        except (TypeError, ValueError) as error:
            raise ActionError(f"{self.id}: action cannot be read as numbers ({error}); give an array") from error
        expected = (*state.steps.shape, self.n_action)
        if array.shape != expected:
            raise ActionError(
                f"{self.id}: action has shape {array.shape}; it must be {expected}: the leading axes of the state, "
                f"then one number for each of {', '.join(self.task.action.names)}; reshape it"
            )
        if array.dtype.kind not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
            raise ActionError(f"{self.id}: action has type {array.dtype}; allowed: real numbers; convert it")
        return array

    def _observe(self, params: EnvParams, state: EnvState, output: GridOutput) -> Array:
        return self._observation.encode(self.task.observe(params.model, state.grid, output))


def _draw_start(key: Array, params: EnvParams, shape: tuple[int, ...]) -> Int[Array, "*batch"]:
    return jax.random.choice(stream(key, "episode_start"), params.starts, shape)
