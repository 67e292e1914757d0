"""Forecasts of series that come from outside: forecasters behind one interface, what they may know, and their tables.

Imports neither JAX nor LightGBM; a forecaster's module is loaded when it is fitted.
"""

from gridenv.exogenous.forecasts.quantiles import LEVELS, pinball
from gridenv.exogenous.forecasts.registry import (
    FORECASTERS,
    Forecast,
    Forecaster,
    ForecasterEntry,
    ForecastKind,
    LearnedModel,
    fit_forecaster,
    forecast_series,
    forecaster_name,
    looks_ahead,
)
from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.forecasts.tables import forecast_table, series_of

__all__ = [
    "FORECASTERS",
    "LEVELS",
    "Forecast",
    "ForecastKind",
    "Forecaster",
    "ForecasterEntry",
    "LearnedModel",
    "Series",
    "fit_forecaster",
    "forecast_series",
    "forecast_table",
    "forecaster_name",
    "looks_ahead",
    "pinball",
    "series_of",
]
