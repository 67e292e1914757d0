"""Linear forecaster: a ridge regression for each step ahead, with quantiles of its residuals. Imports no JAX."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field

from gridenv.core.errors import DataError
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.forecasts.examples import last_known_rows, middle, too_few
from gridenv.exogenous.forecasts.registry import Forecast, Tick
from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.forecasts.windows import NAMES, features, windows

_LEAD_SHARES = (1 / 24, 1 / 6, 1 / 2)
"""Ends of the groups of leads that share the quantiles of their residuals, as shares of a day."""


class LinearConfig(BaseModel):
    """Settings of the linear forecaster."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ridge: float = Field(default=1e-3, ge=0.0)
    """Weight of the squared coefficients of standardised features, relative to the squared errors."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A fitted linear forecaster."""

    weights: Float[np.ndarray, "series lead feature"]
    """Per unit of the feature; the last entry is the constant."""
    offsets: Float[np.ndarray, "series group hour level"]
    """Quantiles of the residuals, by lead and hour of the day of the row that is forecast."""
    low: Float[np.ndarray, " series"]
    """Least value that was learnt from; forecasts are held above it, and below `high`."""
    high: Float[np.ndarray, " series"]
    median: int
    """Which level is the single value."""

    def forecast(self, series: Series, issued: Int[np.ndarray, " issue"], horizon: int) -> Forecast:
        """See `Forecaster`."""
        known = series.known_through(issued)
        quantiles = np.empty((len(issued), horizon, len(series.names), self.offsets.shape[-1]))
        for column in range(len(series.names)):
            seen = windows(series, column, fill=True)
            newest = seen.known[known[:, column]]
            for ahead in range(1, horizon + 1):
                rows = issued + ahead
                # Rows published already have no lead; they are replaced by what was published.
                lead = np.maximum(rows - known[:, column], 1)
                x = features(seen.target[rows], newest, lead)
                quantiles[:, ahead - 1, column] = self._quantiles(column, x, lead, _hour(series, rows), series)
        return Forecast(value=quantiles[..., self.median], quantiles=quantiles)

    def _quantiles(
        self,
        column: int,
        x: Float[np.ndarray, "row feature"],
        lead: Int[np.ndarray, " row"],
        hour: Int[np.ndarray, " row"],
        series: Series,
    ) -> Float[np.ndarray, "row level"]:
        weights = self.weights[column, lead - 1]
        centre = np.einsum("nf,nf->n", x, weights[:, :-1]) + weights[:, -1]
        made = centre[:, None] + self.offsets[column, _group(lead, series.steps_per_day), hour]
        return np.clip(np.sort(made, axis=-1), self.low[column], self.high[column])


def fit(series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick) -> Linear:
    """Least squares with a ridge for each series and each lead, from the last row known to the row that is forecast.

    Raises:
        DataError: if a series has too few rows to learn from.

    Source: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634; direct forecasts of each lead as in Marcellino,
    Stock and Watson 2006, doi:10.1016/j.jeconom.2005.07.020.
    """
    del seed
    assert isinstance(settings, LinearConfig)
    weights = np.empty((len(series.names), horizon, len(NAMES) + 1))
    shape = (len(series.names), len(_LEAD_SHARES) + 1, HOURS_PER_DAY, len(levels))
    offsets = np.empty(shape)
    for column, name in enumerate(series.names):
        seen, actual = windows(series, column, fill=False), series.values[:, column].astype(np.float64)
        last = last_known_rows(series, column, seen)
        residuals: list[np.ndarray] = []
        places: list[tuple[np.ndarray, np.ndarray]] = []
        for lead in range(1, horizon + 1):
            rows = last + lead
            inside = rows < series.n_steps
            inside[inside] &= np.isfinite(actual[rows[inside]]) & np.isfinite(seen.target[rows[inside]]).all(axis=1)
            if inside.sum() < 2:
                raise DataError(too_few(name, int(inside.sum()), 2))
            rows, leads = rows[inside], np.full(inside.sum(), lead)
            x = features(seen.target[rows], seen.known[last[inside]], leads).astype(np.float64)
            weights[column, lead - 1] = ridge(x, actual[rows], settings.ridge)
            residuals.append(actual[rows] - x @ weights[column, lead - 1, :-1] - weights[column, lead - 1, -1])
            places.append((_group(leads, series.steps_per_day), _hour(series, rows)))
        offsets[column] = _residual_quantiles(residuals, places, levels, shape[1:3])
        tick((column + 1) / len(series.names))
    return Linear(
        weights=weights,
        offsets=offsets,
        low=np.nanmin(series.values, axis=0),
        high=np.nanmax(series.values, axis=0),
        median=middle(levels),
    )


def ridge(
    x: Float[np.ndarray, "row feature"], y: Float[np.ndarray, " row"], strength: float
) -> Float[np.ndarray, " feature_and_constant"]:
    """Coefficients of the features and the constant, the ridge on features in units of their standard deviation."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    # A feature that never moves, as the lead here, tells nothing.
    moves = scale > 1e-6 * np.maximum(np.abs(mean), 1.0)
    z = np.where(moves, (x - mean) / np.where(moves, scale, 1.0), 0.0)
    gram = z.T @ z / len(x) + strength * np.eye(x.shape[1])
    slopes = np.linalg.lstsq(gram, z.T @ (y - y.mean()) / len(x), rcond=None)[0]
    weights = np.where(moves, slopes / np.where(moves, scale, 1.0), 0.0)
    return np.append(weights, y.mean() - mean @ weights)


def _residual_quantiles(
    residuals: Sequence[np.ndarray],
    places: Sequence[tuple[np.ndarray, np.ndarray]],
    levels: Sequence[float],
    shape: tuple[int, int],
) -> Float[np.ndarray, "group hour level"]:
    every = np.concatenate(residuals)
    group, hour = (np.concatenate(p) for p in zip(*places, strict=True))
    found = np.broadcast_to(np.quantile(every, levels), (*shape, len(levels))).copy()
    for g, h in np.ndindex(*shape):
        own = every[(group == g) & (hour == h)]
        if len(own):
            found[g, h] = np.quantile(own, levels)
    return found


def _group(lead: Int[np.ndarray, " row"], steps_per_day: int) -> Int[np.ndarray, " row"]:
    return np.searchsorted(np.array(_LEAD_SHARES) * steps_per_day, lead)


def _hour(series: Series, rows: Int[np.ndarray, " row"]) -> Int[np.ndarray, " row"]:
    return rows % series.steps_per_day * HOURS_PER_DAY // series.steps_per_day
