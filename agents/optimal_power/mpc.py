"""Model predictive control: the rest of the day is planned anew every few steps, from the state that was reached."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from agents import schedule
from agents.optimal_power.forecast import Believer, Foresight, believer, check_starts
from agents.optimal_power.planner import Plan, Planner, Slopes, in_parts
from agents.optimal_power.quantities import Quantities
from agents.rules import UnitRules
from agents.schedule import Schedule
from gridenv.exogenous.forecasts import ForecastKind, LearnedModel
from gridenv.tasks.env import EnvParams, EnvState, GridEnv


class MpcConfig(BaseModel):
    """Settings of the predictive controller."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    replan_every: PositiveInt = 1
    """Steps between two plans of what reaches into later steps; plants are decided in every step."""
    horizon_steps: PositiveInt = 96
    """Most steps that are planned; never beyond the end of the episode, where stored energy has its worth."""
    forecast: ForecastKind = "slot_mean"
    """How the future is known; vehicles are known on arrival, with `oracle` before."""
    forecast_model: LearnedModel = "linear"
    """Which model `learned` is; fitted to the training days. `boosting` needs the extra `forecast`."""
    forecast_error: float = Field(default=0.1, ge=0.0, le=1.0)
    """Standard deviation of `noisy` a day ahead, as a share of the value."""
    history_days: PositiveInt = 7
    """Past days of `slot_mean`."""
    seed: NonNegativeInt = 0
    """Of the errors, and of a learned model."""
    first_rounds: PositiveInt = 8
    """Most programs of the first plan of an episode, each on a grid linearised anew; and of a step's plants."""
    rounds: PositiveInt = 1
    """Programs of every later plan."""


_DEFAULTS = MpcConfig()


@dataclass(frozen=True)
class Mpc:
    """Receding-horizon control with the convex programs of `agents.optimal_power`.

    The programs run on the host, step after step beside the simulation. What comes out is the schedule of the actions
    taken; the episodes are exact simulations, so that carrying it out again is the same run.
    """

    env: GridEnv
    config: MpcConfig = _DEFAULTS
    name: str = "mpc"

    def plan(self, params: EnvParams) -> Schedule:
        """The actions taken in the episodes that begin at `params.starts`.

        Raises:
            ConfigError: for a task without units that fit a program, and for overlapping episodes with forecasts.
            MissingExtraError: if clarabel is not installed, or a package that the forecaster needs.
        """
        planner = Planner(self.env, params)
        planned = {q.group for q in planner.setting.quantities.entries}
        plants = frozenset(i for i in planned if not schedule.has_memory([params.model.groups[i]]))
        if plants == planned:
            steps = partial(self._single, planner, plants)
        else:
            check_starts(params, self.config.forecast)
            believe = believer(params, self._foresight, self.config.replan_every)
            steps = partial(self._steps, planner, plants, believe)

        def run(own: EnvParams, start: Array) -> Array:
            return jnp.stack(list(steps(own, start.shape[0])))

        start = schedule.recorded(self.env, UnitRules(self.env), params)
        return Schedule(actions=in_parts(planner, params, start, run), name=self.name)

    @property
    def _foresight(self) -> Foresight:
        config = self.config
        return Foresight(
            kind=config.forecast,
            model=config.forecast_model,
            error=config.forecast_error,
            history_days=config.history_days,
            seed=config.seed,
        )

    def _single(
        self, planner: Planner, plants: frozenset[int], params: EnvParams, n_step: int
    ) -> Iterator[Float[Array, "episode act"]]:
        """The action of every step, each planned by itself."""
        state = self.env.reset_at(params.starts, params)[1]
        for _ in range(n_step):
            action = self._settled(planner, plants, params, state, _rule(self.env, params, state))
            state, action = _advance(self.env, params, planner.setting.quantities, state, action)
            yield action

    def _steps(
        self, planner: Planner, plants: frozenset[int], believe: Believer, params: EnvParams, n_step: int
    ) -> Iterator[Float[Array, "episode act"]]:
        """The action of every step, planned together with those after it."""
        state = self.env.reset_at(params.starts, params)[1]
        guess: Array | None = None
        slopes: Slopes | None = None
        for k in range(n_step):
            if k % self.config.replan_every == 0:
                seen = believe(params, np.asarray(state.grid.t), n_step - k)
                if guess is None:
                    guess = schedule.recorded(self.env, UnitRules(self.env), seen)
                shifted = None if slopes is None else Slopes(slopes.values, k)
                plan = self._planned(planner, seen, state, guess, n_step - k, shifted)
                slopes = planner.slopes(seen, plan.course) if slopes is None else slopes
                guess = plan.course.actions
            assert guess is not None
            action = self._settled(planner, plants, params, state, guess[0]) if plants else guess[0]
            state, action = _advance(self.env, params, planner.setting.quantities, state, action)
            guess = jnp.concatenate([guess[1:], guess[-1:]])
            yield action

    def _settled(
        self,
        planner: Planner,
        plants: frozenset[int],
        params: EnvParams,
        state: EnvState,
        action: Float[Array, "episode act"],
    ) -> Float[Array, "episode act"]:
        """An action with the plants' part decided anew on the grid as it is measured; all else stays as planned."""
        plan = planner.simulate(params, state, action[None], 1)
        known = [None] * len(plan.return_eur)
        plan = planner.improve(params, state, plan, 1, self.config.first_rounds, known, groups=plants)
        return plan.course.actions[0]

    def _planned(
        self, planner: Planner, seen: EnvParams, state: EnvState, guess: Array, n_left: int, slopes: Slopes | None
    ) -> Plan:
        config = self.config
        n_step = min(n_left, config.horizon_steps)
        now = np.asarray(state.grid.t).tolist()
        known = [None] * len(now) if config.forecast == "oracle" else now
        plan = planner.simulate(seen, state, guess, n_step)
        rounds = config.first_rounds if slopes is None else config.rounds
        return planner.improve(seen, state, plan, n_step, rounds, known, slopes)


@partial(jax.jit, static_argnames="env")
def _rule(env: GridEnv, params: EnvParams, state: EnvState) -> Float[Array, "episode act"]:
    return UnitRules(env).act(params, state, env.idle(params, state))


@partial(jax.jit, static_argnames=("env", "quantities"))
def _advance(
    env: GridEnv, params: EnvParams, quantities: Quantities, state: EnvState, action: Float[Array, "episode act"]
) -> tuple[Any, Float[Array, "episode act"]]:
    """The next state and the action taken: entries that no quantity stands for follow the usual rule."""
    if any(quantities.is_held):
        action = jnp.where(jnp.asarray(quantities.is_held), UnitRules(env).act(params, state, action), action)
    return env.advance(state, action, params).state, action
