"""Days that never were: prices of one training day with the loads of another and the weather of a third."""

from collections.abc import Sequence
from dataclasses import replace

import jax
from jax import Array
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.core.random import stream
from gridenv.exogenous.scenario import PRICE_NAME
from gridenv.exogenous.timebase import CALENDAR_NAMES
from gridenv.tasks.env import EnvParams

_LOADS = ("_pload", "_qload")


def mixed(params: EnvParams, key: Array, reach: int) -> EnvParams:
    """Parameters whose scenario has on every day that an episode begins on series of such days nearby.

    Prices stay together, loads do, and so does everything else (sun, wind, temperatures, events): what belongs together
    stays in step. Days without episodes, which are those of other splits, are neither changed nor used.

    Args:
        params: parameters of the task.
        key: of the draw.
        reach: how many of these days away a series may come from, in their order, around the end of the year.
    """
    scenario = params.model.scenario
    per_day, row = scenario.steps_per_day, jnp.arange(scenario.n_steps)
    own, day = jnp.sort(params.starts // per_day), jnp.arange(scenario.n_steps // per_day)
    place, is_own = jnp.searchsorted(own, day), jnp.isin(day, own)
    values = scenario.values
    for kind, columns in _kinds(scenario.names).items():
        away = jax.random.randint(stream(key, kind), day.shape, -reach, reach + 1)
        other = jnp.where(is_own, own[(place + away) % own.shape[0]], day)
        source = other[row // per_day] * per_day + row % per_day
        values = values.at[:, columns].set(scenario.values[source[:, None], jnp.array(columns)])
    return replace(params, model=replace(params.model, scenario=replace(scenario, values=values)))


def with_stretched_prices(params: EnvParams, key: Array, deviation: float) -> EnvParams:
    """Parameters whose prices are stretched about the mean of their day by a random factor for each day.

    Args:
        params: parameters of the task.
        key: of the draw.
        deviation: standard deviation of the logarithm of the factor.
    """
    scenario = params.model.scenario
    column = scenario.names.index(PRICE_NAME)
    price = scenario.values[:, column].reshape(-1, scenario.steps_per_day)
    factor = jnp.exp(deviation * jax.random.normal(key, (price.shape[0], 1), price.dtype))
    mean = jnp.mean(price, axis=1, keepdims=True)
    values = scenario.values.at[:, column].set((mean + factor * (price - mean)).reshape(-1))
    return replace(params, model=replace(params.model, scenario=replace(scenario, values=values)))


def check_mixing(params: EnvParams, reach: int, price_stretch: float) -> None:
    """Refuse what `mixed` and `with_stretched_prices` cannot do.

    Raises:
        ConfigError: if there are too few days, no prices to stretch, or forecasts that were made for the days as they
            were.
    """
    n_day = params.starts.shape[0]
    if 2 * reach + 1 > n_day:
        raise ConfigError(
            f"agent 'apg': mixed_days is {reach}; allowed: at most {(n_day - 1) // 2}, as training has {n_day} "
            "episodes to begin; lower agent.mixed_days"
        )
    if price_stretch and PRICE_NAME not in params.model.scenario.names:
        raise ConfigError(
            f"agent 'apg': price_stretch is {price_stretch:g}; allowed: 0, as the task has no prices; leave it out"
        )
    if params.model.scenario.forecasts is not None:
        raise ConfigError(
            "agent 'apg': mixed_days needs forecasts that follow the mixed days, and those of the task's forecaster "
            "were made for the days as they were; set agent.mixed_days=0, or leave task.forecast out"
        )


def _kinds(names: Sequence[str]) -> dict[str, list[int]]:
    """Columns that stay together; the calendar is in none."""
    kinds: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if name not in CALENDAR_NAMES:
            kind = "price" if name == PRICE_NAME else "load" if name.endswith(_LOADS) else "weather"
            kinds.setdefault(kind, []).append(i)
    return kinds
