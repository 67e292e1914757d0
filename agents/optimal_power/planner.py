"""Successive convex programs: solve on the linearised grid, simulate exactly, linearise again.

Every plan is scored by the exact simulation, and only better ones are kept. A day whose new plan is no better is solved
again nearer to the plan it has; it is finished when its trust region is small or its plan no longer improves.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Bool, Float

from agents import schedule
from agents.optimal_power import track
from agents.optimal_power.day import Days
from agents.optimal_power.day_program import Setting, solve_day
from agents.optimal_power.program import Floats
from agents.optimal_power.quantities import actions_of
from agents.optimal_power.track import Course, Metrics
from agents.rules import UnitRules
from agents.schedule import Schedule
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

_SHRINK, _SMALLEST = 0.3, 0.02
"""Factor of a trust region whose plan was no better, and size below which a day is finished; 1 = all of the range."""
_MOST_BYTES = 3e8
"""Size of the derivatives of the grid that are in memory at once."""
_ENOUGH = 1e-5
"""Improvement, as a share of the return, below which a day is finished."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Actions of all episodes and what they are worth from here on."""

    course: Course
    return_eur: Floats
    """[episode]"""


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of the grid that were found earlier."""

    values: Metrics
    """[step, quantity, episode, ...]"""
    shift: int
    """Steps that have gone by since."""


class Planner:
    """Plans a number of steps of all episodes from any state; the same programs serve oracle and predictive control."""

    def __init__(self, env: GridEnv, params: EnvParams) -> None:
        self.env, self.setting = env, Setting.of(env, params)
        self._loss_root: Floats | None = None

    def simulate(self, params: EnvParams, state: EnvState, actions: Array, n_step: int) -> Plan:
        """Carry out actions from a state; the return is that of the first steps."""
        course = track.follow(self.env, params, self.setting.quantities, state, actions)
        return Plan(course, np.asarray(course.reward_eur, float)[:n_step].sum(axis=0))

    def improve(
        self,
        params: EnvParams,
        state: EnvState,
        plan: Plan,
        n_step: int,
        rounds: int,
        known_until: Sequence[int | None],
        slopes: Slopes | None = None,
        groups: Collection[int] | None = None,
    ) -> Plan:
        """The best plan after a number of programs.

        Args:
            params: with the scenario to plan for.
            state: of all episodes at the first step.
            plan: to begin with.
            n_step: steps to decide on, counted from the state; later ones are not looked at.
            rounds: most programs for each episode.
            known_until: of each episode, see `visits_of`.
            slopes: of the grid, to be used throughout; derived anew for every program if left out.
            groups: of units that are decided on, all if left out; the others keep the power of the plan.

        Raises:
            MissingExtraError: if clarabel is not installed.
        """
        n_episode = len(plan.return_eur)
        radius, is_open = np.ones(n_episode), np.ones(n_episode, bool)
        days: Days | None = None
        for _ in range(rounds):
            if days is None:
                days, loss_root = self._linearised(params, plan.course, slopes)
            power = np.array(days.power)
            for i in np.flatnonzero(is_open).tolist():
                day = days.day(i, n_step)
                found = solve_day(params.model, self.setting, loss_root, day, float(radius[i]), known_until[i], groups)
                if found is not None:
                    power[:n_step, i] = found
            dtype = plan.course.actions.dtype
            actions = actions_of(
                self.env, params, self.setting.quantities, plan.course.t, jnp.asarray(power, dtype), plan.course.actions
            )
            tried = self.simulate(params, state, actions, n_step)
            is_better = is_open & (tried.return_eur > plan.return_eur)
            gained = tried.return_eur - plan.return_eur
            radius = np.where(is_better, radius, radius * _SHRINK)
            is_open &= np.where(is_better, gained > _ENOUGH * np.abs(plan.return_eur), radius > _SMALLEST)
            if is_better.any():
                plan, days = _chosen(is_better, tried, plan), None
            if not is_open.any():
                break
        return plan

    def slopes(self, params: EnvParams, course: Course) -> Slopes:
        """Derivatives of the grid along a course, on the host."""
        found = track.slopes(self.env, params, self.setting.quantities, course)
        return Slopes(jax.tree.map(np.asarray, found), 0)

    def _linearised(self, params: EnvParams, course: Course, slopes: Slopes | None) -> tuple[Days, Floats]:
        quantities = self.setting.quantities
        grid = track.measure(self.env, params, quantities, course)
        if self._loss_root is None:
            self._loss_root = track.loss_root(params, quantities, grid, course, course.t.shape[0] // 2)
        slopes = self.slopes(params, course) if slopes is None else slopes
        return Days(self.setting.money, course, grid, slopes.values, slopes.shift), self._loss_root


def _chosen(is_first: Bool[np.ndarray, " episode"], first: Plan, second: Plan) -> Plan:
    """Each episode of one of two plans."""

    def choose(axis: int) -> Callable[[Array, Array], Array]:
        def of_leaf(one: Array, other: Array) -> Array:
            shape = [1] * one.ndim
            shape[axis] = len(is_first)
            return jnp.where(is_first.reshape(shape), one, other)

        return of_leaf

    whole = (replace(plan.course, last_devices=()) for plan in (first, second))
    course = jax.tree.map(choose(1), *whole)
    # What is left after the last step has no axis of steps.
    last = jax.tree.map(choose(0), first.course.last_devices, second.course.last_devices)
    return Plan(replace(course, last_devices=last), np.where(is_first, first.return_eur, second.return_eur))


@dataclass(frozen=True)
class OptimalPower:
    """Plans whole days with perfect foresight, from the schedule of the usual rule."""

    env: GridEnv
    rounds: int = 12
    """Most programs for each day."""
    name: str = "optimal_power"

    def plan(self, params: EnvParams) -> Schedule:
        """Best plan found for each of the days that begin at `params.starts`."""
        start = schedule.recorded(self.env, UnitRules(self.env), params)
        return Schedule(actions=self.improved(params, start), name=self.name)

    def improved(self, params: EnvParams, start: Float[Array, "step episode act"]) -> Float[Array, "step episode act"]:
        """The actions, or better ones by successive programs.

        Raises:
            ConfigError: for a task without units that fit a program.
            MissingExtraError: if clarabel is not installed.
        """
        planner = Planner(self.env, params)
        n_step = start.shape[0]

        def improve(params: EnvParams, start: Array) -> Array:
            state = self.env.reset_at(params.starts, params)[1]
            first = planner.simulate(params, state, start, n_step)
            everything = [None] * len(first.return_eur)
            return planner.improve(params, state, first, n_step, self.rounds, everything).course.actions

        return in_parts(planner, params, start, improve)


def in_parts(
    planner: Planner,
    params: EnvParams,
    start: Float[Array, "step episode act"],
    run: Callable[[EnvParams, Array], Array],
) -> Float[Array, "step episode act"]:
    """Run on some episodes at a time, so that the derivatives of the grid fit into memory."""
    n_step, n_episode = start.shape[:2]
    # A feeder has about as many branches as nodes.
    n_limit = 2 * len(planner.env.task.bus_names)
    most = max(int(_MOST_BYTES / (4.0 * n_step * len(planner.setting.quantities) * n_limit)), 1)
    n_part = -(-n_episode // most)
    size = -(-n_episode // n_part)
    actions = []
    for first in range(0, n_episode, size):
        # The last part is filled with its last episode, so that all have one compiled program.
        rows = np.minimum(np.arange(first, first + size), n_episode - 1)
        own = replace(params, starts=params.starts[rows])
        actions.append(run(own, start[:, rows])[:, : n_episode - first])
    return jnp.concatenate(actions, axis=1)
