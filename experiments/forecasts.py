"""Forecasters fitted to the training days and scored on the days of a split: `gridenv forecast`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import Progress, TaskID

from experiments import console, provenance
from experiments.forecast_config import BASELINE, ForecastConfig
from experiments.forecast_tables import PRICE, Row, markdown, verdicts
from experiments.run import write_atomically, write_json
from experiments.statistics import ratio_interval
from gridenv.core.errors import ConfigError, raise_collected
from gridenv.core.units import HOURS_PER_DAY, PERCENT
from gridenv.exogenous import load_price, load_profiles, load_splits
from gridenv.exogenous.forecasts import Forecast, Series, fit_forecaster, forecast_series, pinball
from gridenv.exogenous.forecasts.series import PUBLISHED_HOUR
from gridenv.exogenous.forecasts.tables import training_rows

RESULTS_FILE, TABLE_FILE = "forecasts.json", "forecasts.md"
_KINDS = {"PV": "PV", "WP": "wind"}
_PACKAGES = ("numpy", "jax", "jaxlib", "optax", "lightgbm")
_FITTING = 0.8
"""Share of a forecaster's time that goes into fitting it, for the progress bar."""
Floats = np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What a split's forecasts of one forecaster came to; errors in units of the series."""

    error: Floats
    """[seed, block, series] sum of absolute errors over the runs of consecutive days."""
    pinball: Floats
    """[seed, block, series] sum of pinball losses, mean of all levels."""
    covered: Floats
    """[seed, block, series] number of rows between the outer quantiles."""
    count: Floats
    """[block, series] rows that were scored."""
    error_by_lead: Floats
    """[seed, horizon, series] mean absolute error; NaN where nothing was scored."""


def compare_forecasters(name: str, config: ForecastConfig, folder: Path) -> list[Row]:
    """Fit and score every forecaster of a comparison; results are written after each.

    Raises:
        ConfigError: for a horizon that ends before the first price that is not published.
        DataError: for profiles and price zones that do not exist.
        MissingExtraError: if a package that a forecaster needs is not installed.
    """
    series = chosen_series(config)
    _check_that_all_is_scored(config, series)
    folder.mkdir(parents=True, exist_ok=True)
    scored: dict[str, Scored] = {}
    rows: list[Row] = []
    # The baseline first, so that every other one can be compared at once.
    ordered = sorted(config.forecasters, key=lambda forecaster: forecaster != BASELINE)
    with console.counting() as progress:
        for forecaster in ordered:
            task = progress.add_task(f"{name}: {forecaster}", total=PERCENT * len(config.seeds_of(forecaster)))
            scored[forecaster] = _scored(forecaster, config, series, partial(_show, progress, task))
            rows += _rows(forecaster, config, series, scored)
            _write(name, config, rows, folder)
    return rows


def _show(progress: Progress, task: TaskID, done: float) -> None:
    progress.update(task, completed=round(PERCENT * done))


def chosen_series(config: ForecastConfig) -> Series:
    """The series of a comparison.

    Raises:
        DataError: for profiles and price zones that do not exist.
    """
    table = load_profiles().select(config.profiles)
    prices = [load_price(zone)[:, None] for zone in config.price_zones]
    return Series(
        names=(*table.names, *(f"price {zone}" for zone in config.price_zones)),
        values=np.concatenate([table.values, *prices], axis=1),
        steps_per_day=round(HOURS_PER_DAY / table.dt_h),
        start_weekday=table.start.weekday(),
        day_ahead=(False,) * len(table.names) + (True,) * len(prices),
    )


def _days_and_steps(config: ForecastConfig, series: Series) -> tuple[Floats, Floats]:
    """[issue] run of consecutive days that each forecast is made in, and its step."""
    days = load_splits().days(config.split)
    block = np.cumsum(np.diff(days, prepend=days[0]) > 1)
    steps = np.arange(0, series.steps_per_day, config.every)
    return np.repeat(block, len(steps)), (days[:, None] * series.steps_per_day + steps).reshape(-1)


def _counts(config: ForecastConfig, series: Series, issued: Floats) -> Floats:
    """[issue, horizon, series] whether a row lies in the split and was not published when it was forecast."""
    rows = issued[:, None] + np.arange(1, config.horizon + 1)
    inside = np.isin(rows // series.steps_per_day, load_splits().days(config.split))
    return inside[..., None] & (rows[..., None] > series.known_through(issued)[:, None])


def _check_that_all_is_scored(config: ForecastConfig, series: Series) -> None:
    scored = _counts(config, series, _days_and_steps(config, series)[1]).any(axis=(0, 1))
    raise_collected(
        [
            f"forecast: '{name}' has no row to score with horizon {config.horizon} and every {config.every}; allowed: "
            f"a horizon beyond what is published, as tomorrow's prices are at {PUBLISHED_HOUR}:00; set horizon to "
            f"{series.steps_per_day - 1} and every to {series.steps_per_day // HOURS_PER_DAY} or less, or leave "
            "price_zones out"
            for name in np.array(series.names)[~scored]
        ],
        ConfigError,
    )


def _scored(forecaster: str, config: ForecastConfig, series: Series, tick: Callable[[float], None]) -> Scored:
    block, issued = _days_and_steps(config, series)
    counts = _counts(config, series, issued)
    per_seed = []
    for i, seed in enumerate(config.seeds_of(forecaster)):
        fitted = fit_forecaster(
            forecaster,
            series,
            training_rows(series),
            settings=config.settings_of(forecaster),
            horizon=config.horizon,
            levels=config.levels,
            seed=seed,
            tick=partial(_within, tick, i, _FITTING),
        )
        told = partial(_within, tick, i + _FITTING, 1.0 - _FITTING)
        made = forecast_series(fitted, series, issued, config.horizon, told)
        per_seed.append(_errors(made, series, issued, config, block, counts))
    joined = {key: np.stack([part[key] for part in per_seed]) for key in per_seed[0]}
    return Scored(**{**joined, "count": joined["count"][0]})


def _within(tick: Callable[[float], None], start: float, length: float, share: float) -> None:
    tick(start + length * share)


def _errors(
    made: Forecast, series: Series, issued: Floats, config: ForecastConfig, block: Floats, counts: Floats
) -> dict[str, Floats]:
    """Sums over the rows that count, by runs of days."""
    rows = np.minimum(issued[:, None] + np.arange(1, config.horizon + 1), series.n_steps - 1)
    shape = (int(block.max()) + 1, len(series.names))
    sums = {key: np.zeros(shape) for key in ("error", "pinball", "covered", "count")}
    by_lead = np.empty((config.horizon, len(series.names)))
    for column in range(len(series.names)):
        own, actual, quantiles = counts[..., column], series.values[rows, column], made.quantiles[:, :, column]
        error = np.where(own, np.abs(made.value[..., column] - actual), 0.0)
        between = (actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])
        parts = {
            "error": error,
            "pinball": np.where(own, pinball(quantiles, actual, config.levels).mean(axis=-1), 0.0),
            "covered": own & between,
            "count": own,
        }
        for key, values in parts.items():
            np.add.at(sums[key][:, column], block, values.sum(axis=1))
        n = own.sum(axis=0)
        by_lead[:, column] = np.where(n > 0, error.sum(axis=0) / np.maximum(n, 1), np.nan)
    return {**sums, "error_by_lead": by_lead}


def _rows(forecaster: str, config: ForecastConfig, series: Series, scored: Mapping[str, Scored]) -> list[Row]:
    own, baseline = scored[forecaster], scored[BASELINE]
    rows = []
    for column, name in enumerate(series.names):
        total = own.count[:, column].sum()
        mae = own.error[..., column].sum(axis=1) / total
        by_lead = own.error_by_lead[..., column].mean(axis=0)
        rows.append(
            Row(
                series=name,
                kind=PRICE if series.day_ahead[column] else _KINDS.get(name[:2], "load"),
                forecaster=forecaster,
                seeds=config.seeds_of(forecaster),
                rows=int(total),
                mae=float(mae.mean()),
                mae_per_seed=tuple(mae.tolist()),
                pinball=float((own.pinball[..., column].sum(axis=1) / total).mean()),
                coverage=float((own.covered[..., column].sum(axis=1) / total).mean()),
                to_baseline=ratio_interval(own.error[..., column].mean(axis=0), baseline.error[0, :, column]),
                mae_by_lead=tuple(None if np.isnan(v) else float(v) for v in by_lead),
            )
        )
    return rows


def _write(name: str, config: ForecastConfig, rows: Sequence[Row], folder: Path) -> None:
    values = {
        "forecast": name,
        "settings": config.model_dump(mode="json"),
        "git": provenance.git_state(),
        "data_hash": provenance.data_hash(),
        "packages": {package: provenance.package_version(package) for package in _PACKAGES},
        "rows": [row.to_json() for row in rows],
        "verdicts": verdicts(rows),
    }
    write_json(folder / RESULTS_FILE, values)
    write_atomically(folder / TABLE_FILE, markdown(rows))
