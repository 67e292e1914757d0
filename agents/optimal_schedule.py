"""Upper reference of tasks with memory: the best schedule of a whole day, knowing the day perfectly.

All actions of the day are one vector, and its return through the exact power flow is maximised in two ways. Gradients
through the simulation move everything that acts smoothly, from the schedules of doing nothing, of the usual rule and,
where it is given, of the convex programs (`agents.optimal_power`).
Positions, starts and limits have no gradient there: random changes of actions over some steps or the whole day move
them, and are kept where they pay. A change is drawn, or taken from the schedule of another of the days.
Every schedule on the way is scored by exact simulation and the best of each day is kept, so the result is never worse
than the rule, and can only be too low as an upper reference, never too high.
"""

from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from agents import schedule
from agents.rules import DoNothing, UnitRules
from agents.schedule import Schedule
from gridenv.core.random import stream
from gridenv.tasks.env import EnvParams, GridEnv

_SEED = 0
_LENGTHS = (1, 2, 4, 8, 16, 32, 96, 384)
"""Steps that a random change lasts, one as likely as the other; what lies beyond the ends of the day falls away, so the
longest are mostly of the whole day."""
_WHOLE_KIND = 0.3
"""Share of the changes that all units of a kind make together."""
_TAKEN = 1.0 / 3.0
"""Share of the changes that are taken from another day."""
_TAKEN_WHOLE = 0.35
"""Share of those that take the actions of all units together."""
_NUDGE = 0.2
"""Standard deviation of a small change, of the range -1..1."""

Actions = Float[Array, "step episode act"]
Returns = Float[Array, " episode"]
Scored = tuple[Actions, Returns]
"""Schedules and what they are worth."""


@dataclass(frozen=True)
class OptimalSchedule:
    """Finds the schedules of all days at once, side by side."""

    env: GridEnv
    rounds: int = 150
    """Steps of the gradient method from each start."""
    step_size: float = 0.1
    trials: int = 200
    """Rounds of random changes."""
    proposals: int = 16
    """Changes tried for each day in a round; the best is kept if it pays."""
    name: str = "oracle"

    def plan(self, params: EnvParams, given: Actions | None = None) -> Schedule:
        """The best schedule found for each of the days that begin at `params.starts`.

        Args:
            params: of the task.
            given: a schedule to start from too, with small steps, as it is good already; the result is never worse.
        """
        controllers = (DoNothing(self.env), UnitRules(self.env))
        starts = [(schedule.recorded(self.env, c, params), self.step_size) for c in controllers]
        starts += [] if given is None else [(given, self.step_size / 4)]
        best = reduce(_better, (_climb(self.env, params, start, self.rounds, size) for start, size in starts))
        best = _mutate(self.env, params, jax.random.key(_SEED), best, self.trials, self.proposals)
        # Changed positions leave the rest away from its optimum: a shorter climb from there.
        again = _climb(self.env, params, best[0], self.rounds // 3, self.step_size / 4)
        return Schedule(actions=_better(best, again)[0], name=self.name)

    def polished(self, params: EnvParams, given: Actions) -> Schedule:
        """A short climb from a schedule, and doing nothing where that is better; no search.

        For schedules that leave little to find: on the plans of convex programs of tasks that they decide wholly, the
        search adds less than 0.01 EUR a day.
        """
        idle = schedule.recorded(self.env, DoNothing(self.env), params)
        best = self._short_climb(params, given)
        best = _better(best, (idle, schedule.outcome(self.env, params, idle).return_eur))
        return Schedule(actions=best[0], name=self.name)

    def best_of(self, params: EnvParams, *given: Actions) -> Schedule:
        """The best schedule of each day after a short climb from each of those given; no search."""
        best = reduce(_better, (self._short_climb(params, start) for start in given))
        return Schedule(actions=best[0], name=self.name)

    def _short_climb(self, params: EnvParams, given: Actions) -> Scored:
        return _climb(self.env, params, given, self.rounds // 3, self.step_size / 4)


@partial(jax.jit, static_argnames=("env", "rounds"))
def _climb(env: GridEnv, params: EnvParams, start: Actions, rounds: int, step_size: Float[Array, ""] | float) -> Scored:
    """Projected Adam with a falling step; the best schedule of each day on the way."""
    optimiser = optax.adam(optax.cosine_decay_schedule(step_size, rounds), b1=0.8, b2=0.9)

    def total(actions: Actions) -> tuple[Array, Returns]:
        returns = schedule.outcome(env, params, actions).return_eur
        return -jnp.sum(returns), returns

    def body(carry: Any, _: None) -> tuple[Any, None]:
        actions, memory, best = carry
        gradient, returns = jax.grad(total, has_aux=True)(actions)
        best = _better(best, (actions, returns))
        updates, memory = optimiser.update(gradient, memory)
        return (jnp.clip(optax.apply_updates(actions, updates), *env.action_bounds), memory, best), None

    worst = jnp.full(start.shape[1], -jnp.inf, start.dtype)
    (last, _, best), _ = lax.scan(body, (start, optimiser.init(start), (start, worst)), length=rounds)
    return _better(best, (last, schedule.outcome(env, params, last).return_eur))


@partial(jax.jit, static_argnames=("env", "trials", "proposals"))
def _mutate(env: GridEnv, params: EnvParams, key: PRNGKeyArray, best: Scored, trials: int, proposals: int) -> Scored:
    """Random changes over some steps, kept where they pay."""
    n_episode = params.starts.shape[0]
    wide = replace(params, starts=jnp.repeat(params.starts, proposals))

    def body(best: Scored, key: PRNGKeyArray) -> tuple[Scored, None]:
        changed = _changed(env, key, jnp.repeat(best[0], proposals, axis=1))
        returns = schedule.outcome(env, wide, changed).return_eur.reshape(n_episode, proposals)
        chosen = jnp.argmax(returns, axis=1)
        picked = changed[:, jnp.arange(n_episode) * proposals + chosen]
        return _better(best, (picked, jnp.max(returns, axis=1))), None

    return lax.scan(body, best, jax.random.split(key, trials))[0]


def _changed(env: GridEnv, key: PRNGKeyArray, actions: Actions) -> Actions:
    """Every schedule with some actions drawn anew, nudged or taken from another schedule over some steps.

    They are one, those of all units of its kind, or, if taken, all.
    """
    n_step, n_schedule, n_action = actions.shape
    low, high = (jnp.asarray(bound) for bound in env.action_bounds)
    kinds = jnp.asarray(schedule.kinds(env.task.action.names))
    shape = (n_schedule,)
    entry = jax.random.randint(stream(key, "entry"), shape, 0, n_action)
    extent = jax.random.uniform(stream(key, "extent"), shape)[:, None]
    length = jax.random.choice(stream(key, "length"), jnp.array(_LENGTHS), shape)
    first = jax.random.randint(stream(key, "first"), shape, 1 - length, n_step)
    anew = jax.random.uniform(stream(key, "anew"), shape, minval=low[entry], maxval=high[entry])
    nudge = _NUDGE * jax.random.normal(stream(key, "nudge"), shape)
    taken = actions[:, jax.random.randint(stream(key, "other"), shape, 0, n_schedule)]
    way = jax.random.uniform(stream(key, "way"), shape)[:, None]
    is_taken, is_anew = way < _TAKEN, way < (1.0 + _TAKEN) / 2.0
    step = jnp.arange(n_step)[:, None]
    is_time = (step >= first) & (step < first + length)
    is_entry = (jnp.arange(n_action) == entry[:, None]) | ((extent < _WHOLE_KIND) & (kinds == kinds[entry][:, None]))
    is_entry |= is_taken & (extent > 1.0 - _TAKEN_WHOLE)
    value = jnp.where(is_taken, taken, jnp.where(is_anew, anew[:, None], actions + nudge[:, None]))
    return jnp.where(is_time[..., None] & is_entry, jnp.clip(value, low, high), actions)


def _better(first: Scored, second: Scored) -> Scored:
    """The better schedule of each day."""
    is_better = second[1] > first[1]
    return jnp.where(is_better[:, None], second[0], first[0]), jnp.where(is_better, second[1], first[1])
