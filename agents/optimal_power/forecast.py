"""What a predictive controller believes of the rest of the day: the scenario with its future rows replaced."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.errors import ConfigError
from gridenv.devices import inverter
from gridenv.exogenous.forecasts import (
    ForecastKind,
    LearnedModel,
    forecast_table,
    forecaster_name,
    looks_ahead,
    series_of,
)
from gridenv.exogenous.forecasts.naive import SlotMeanConfig
from gridenv.exogenous.scenario import Scenario
from gridenv.sim.model import GridModel
from gridenv.tasks.env import EnvParams


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """How the future is known."""

    kind: ForecastKind
    model: LearnedModel = "linear"
    """Of `learned`."""
    error: float = 0.1
    """Of `noisy`: wrong by `error * sqrt(h / 24) * z` as a share of the value, h hours ahead, z standard normal, as in
    the observations of tasks."""
    history_days: int = 7
    """Of `slot_mean`."""
    seed: int = 0
    """Of errors and of learned models."""


Ahead = Callable[[int, int], Float[np.ndarray, "step series"]]
"""(step, n) -> what is said at this step of the n rows after it."""


@dataclass(frozen=True, eq=False)
class Believer:
    """Puts forecasts in place of what will be."""

    columns: Int[np.ndarray, " series"]
    """Series that loads and plants follow."""
    ahead: Ahead | None
    """None = everything is known."""

    def __call__(self, params: EnvParams, now: Int[np.ndarray, " episode"], n_step: int) -> EnvParams:
        """The parameters with the forecast of each episode in place of what will be; the present row is measured.

        Profiles of loads and plants are forecast. The price is that of the day-ahead market and known; temperatures
        and events are left as they are.

        Args:
            params: with what will be.
            now: present scenario steps.
            n_step: rows from the present one on.
        """
        if self.ahead is None or n_step < 2:
            return params
        scenario = params.model.scenario
        values = np.array(scenario.values)
        for t in now.tolist():
            made = self.ahead(t, n_step - 1)
            rows = np.minimum(t + np.arange(1, n_step), scenario.n_steps - 1)
            values[np.ix_(rows, self.columns)] = made
        seen = replace(scenario, values=jnp.asarray(values))
        return replace(params, model=replace(params.model, scenario=seen))


def check_starts(params: EnvParams, kind: ForecastKind) -> None:
    """Refuse episodes that share steps, as each has a forecast of its own in one table.

    Raises:
        ConfigError: for episodes that overlap.
    """
    starts = np.sort(np.asarray(params.starts))
    close = np.flatnonzero(np.diff(starts) < params.steps_per_episode)
    if kind != "oracle" and len(close):
        raise ConfigError(
            f"mpc: episodes that begin at steps {starts[close[0]]} and {starts[close[0] + 1]} overlap with forecast "
            f"'{kind}'; allowed: {params.steps_per_episode} steps apart, or forecast 'oracle'; drop some of the starts"
        )


def believer(params: EnvParams, foresight: Foresight, every: int) -> Believer:
    """What is believed in the episodes that begin at `params.starts`, of which a plan is made every few steps.

    Raises:
        MissingExtraError: if a package that the forecaster needs is not installed.
    """
    scenario = params.model.scenario
    columns = np.flatnonzero(_is_forecast(params.model))
    if foresight.kind == "oracle":
        return Believer(columns, None)
    if looks_ahead(foresight.kind):
        return Believer(columns, _noisy(scenario, columns, foresight))
    return Believer(columns, _said(params, columns, foresight, every))


def _noisy(scenario: Scenario, columns: Int[np.ndarray, " series"], foresight: Foresight) -> Ahead:
    values = np.asarray(scenario.values)

    def ahead(t: int, n: int) -> np.ndarray:
        h = np.arange(1, n + 1)
        true = values[np.ix_(np.minimum(t + h, scenario.n_steps - 1), columns)]
        drawn = np.random.default_rng([foresight.seed, t]).standard_normal(true.shape)
        return true * (1.0 + foresight.error * np.sqrt(h / scenario.steps_per_day)[:, None] * drawn)

    return ahead


def _said(params: EnvParams, columns: Int[np.ndarray, " series"], foresight: Foresight, every: int) -> Ahead:
    """By a forecaster, which looks a day ahead; the days after that are taken to be like it."""
    scenario = params.model.scenario
    issued = np.unique(np.asarray(params.starts)[:, None] + np.arange(0, params.steps_per_episode, every))
    issued = issued[issued < scenario.n_steps]
    horizon = max(min(params.steps_per_episode - 1, scenario.steps_per_day), 1)
    table = forecast_table(
        forecaster_name(foresight.kind, foresight.model),
        series_of(scenario, [scenario.names[c] for c in columns]),
        issued,
        horizon,
        settings=SlotMeanConfig(history_days=foresight.history_days) if foresight.kind == "slot_mean" else None,
        seed=foresight.seed,
    )

    def ahead(t: int, n: int) -> np.ndarray:
        return table[min(int(np.searchsorted(issued, t)), len(issued) - 1), np.arange(n) % horizon]

    return ahead


def _is_forecast(model: GridModel) -> np.ndarray:
    """[series] whether a load or a plant follows it."""
    weights = [model.loads.p_weight_kw, model.loads.q_weight_kvar]
    weights += [group.params.p_weight_kw for group in model.groups if group.family is inverter.FAMILY]
    return np.any([np.asarray(w).any(axis=1) for w in weights], axis=0)
