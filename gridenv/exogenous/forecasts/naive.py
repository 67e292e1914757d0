"""Forecasters without parameters: what every other one is measured against. Imports no JAX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, PositiveInt

from gridenv.exogenous.forecasts.registry import Forecast, Tick
from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.forecasts.windows import HISTORY_DAYS, slot_values

Point = Callable[[Series, int, np.ndarray, np.ndarray], np.ndarray]


class NaiveConfig(BaseModel):
    """No settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SlotMeanConfig(BaseModel):
    """Settings of the slot mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history_days: PositiveInt = HISTORY_DAYS
    """Days before that are averaged; fewer where the year has only begun."""


@dataclass(frozen=True)
class _Members:
    """Each series has some values that could come: the forecast is their mean, the quantiles are theirs."""

    members: Callable[[Series, int, Int[np.ndarray, "issue horizon"], Int[np.ndarray, " issue"]], np.ndarray]
    """(series, column, rows to forecast, last row known) -> [issue, horizon, member]."""
    levels: tuple[float, ...]

    def forecast(self, series: Series, issued: Int[np.ndarray, " issue"], horizon: int) -> Forecast:
        """See `Forecaster`."""
        rows = issued[:, None] + np.arange(1, horizon + 1)
        known = series.known_through(issued)
        values, quantiles = [], []
        for column in range(len(series.names)):
            members = self.members(series, column, rows, known[:, column])
            values.append(members.mean(axis=-1))
            quantiles.append(np.moveaxis(np.quantile(members, self.levels, axis=-1), 0, -1))
        return Forecast(value=np.stack(values, axis=2), quantiles=np.stack(quantiles, axis=2))


def fit_persistence(
    series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick
) -> _Members:
    """The newest value known, at every step ahead.

    Source: naive method, Hyndman and Athanasopoulos, "Forecasting: principles and practice", 3rd edition, section 5.2.
    """
    del series, settings, horizon, seed, tick
    return _Members(_newest, tuple(levels))


def fit_seasonal_naive(
    series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick
) -> _Members:
    """The value of the same slot a day before the row that is forecast.

    Source: seasonal naive method, Hyndman and Athanasopoulos, section 5.2.
    """
    del series, settings, horizon, seed, tick
    return _Members(_days_before(1), tuple(levels))


def fit_slot_mean(
    series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick
) -> _Members:
    """The mean of the same slot on past days, and the quantiles of these days."""
    del series, horizon, seed, tick
    assert isinstance(settings, SlotMeanConfig)
    return _Members(_days_before(settings.history_days), tuple(levels))


def _newest(series: Series, column: int, rows: np.ndarray, known: np.ndarray) -> Float[np.ndarray, "issue horizon 1"]:
    newest = series.values[known, column]
    return np.broadcast_to(newest[:, None, None], (*rows.shape, 1))


def _days_before(days: int) -> Callable[[Series, int, np.ndarray, np.ndarray], np.ndarray]:
    def members(series: Series, column: int, rows: np.ndarray, known: np.ndarray) -> np.ndarray:
        del known
        return slot_values(series, column, days)[rows]

    return members
