"""Which forecast a task observes, and the table of it where a forecaster makes it."""

from dataclasses import replace

import numpy as np
from jax import numpy as jnp

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.exogenous.forecasts import ForecastKind, forecast_table, forecaster_name, looks_ahead, series_of
from gridenv.exogenous.scenario import PRICE_NAME
from gridenv.sim.model import GridModel
from gridenv.tasks.assembly import Assembly
from gridenv.tasks.grid_config import GridTaskConfig


def forecast_kind(config: GridTaskConfig) -> ForecastKind:
    """The kind of forecast that a task observes."""
    if config.forecast is not None:
        return config.forecast
    return "noisy" if config.forecast_error else "oracle"


def observed_names(assembly: Assembly) -> tuple[str, ...]:
    """Series that are observed, in order."""
    return (*assembly.observed, PRICE_NAME)


def forecast_names(config: GridTaskConfig, assembly: Assembly) -> tuple[str, ...]:
    """Those of them that are observed with a forecast, in the same order.

    Raises:
        ConfigError: for series that are not observed.
    """
    names, asked = observed_names(assembly), config.forecast_series
    if asked == "all":
        return names
    problems = [
        f"task: forecast_series names '{name}', which is not observed{did_you_mean(name, names)}"
        for name in asked
        if name not in names
    ]
    raise_collected(problems, ConfigError)
    return tuple(name for name in names if name in asked)


def check_forecast(config: GridTaskConfig) -> None:
    """Refuse settings of a forecast that contradict each other.

    Raises:
        ConfigError: for a forecast, an error or series of no steps, an error of a kind that has none, and none of
            `noisy`.
    """
    kind, error = config.forecast, config.forecast_error
    if not config.forecast_steps and config.forecast_series != "all":
        raise ConfigError(
            f"task: forecast_series is {', '.join(config.forecast_series)} with forecast_steps 0; allowed: 'all' "
            "without a forecast; set forecast_steps to 1 or more, or leave forecast_series out"
        )
    if not config.forecast_steps and (error or kind is not None):
        given = f"forecast_error is {error:g}" if error else f"forecast is '{kind}'"
        raise ConfigError(
            f"task: {given} with forecast_steps 0; allowed: {'0' if error else 'none'} without a forecast, as the "
            f"present step is known exactly; set forecast_steps to 1 or more, or leave "
            f"{'forecast_error' if error else 'forecast'} out"
        )
    if config.forecast_every > max(config.forecast_steps, 1):
        raise ConfigError(
            f"task: forecast_every is {config.forecast_every} with forecast_steps {config.forecast_steps}; allowed: up "
            "to forecast_steps; lower it, or raise forecast_steps"
        )
    if kind == "noisy" and not error:
        raise ConfigError(
            "task: forecast is 'noisy' with forecast_error 0; allowed: an error above 0, up to 1; set forecast_error, "
            "or take forecast 'oracle'"
        )
    if kind not in (None, "noisy") and error:
        raise ConfigError(
            f"task: forecast is '{kind}' with forecast_error {error:g}; allowed: an error with forecast 'noisy' alone; "
            "leave one of them out"
        )


def with_forecasts(config: GridTaskConfig, assembly: Assembly) -> GridModel:
    """The grid with a table of what the task's forecaster says at every step, where one does.

    The table has `forecast_steps` times the number of series for each of the 35,136 steps, 4 bytes each: 13 MB for 8
    steps of 12 series, 160 MB for 95. Like the scenario it is shared by all environments of a batch.

    Raises:
        MissingExtraError: if a package that the forecaster needs is not installed.
    """
    kind, model = forecast_kind(config), assembly.model
    if looks_ahead(kind):
        return model
    names = forecast_names(config, assembly)
    series = series_of(model.scenario, names)
    name = forecaster_name(kind, config.forecast_model)
    table = forecast_table(name, series, np.arange(series.n_steps), config.forecast_steps, seed=config.forecast_seed)
    scenario = replace(model.scenario, forecasts=jnp.asarray(table), forecast_names=names)
    return replace(model, scenario=scenario)
