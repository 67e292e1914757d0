"""Forecasts for a whole scenario as one table, learnt from the training days, kept on disk where that took long."""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel

from gridenv.core.archives import DAMAGED
from gridenv.core.cache import cache_dir
from gridenv.exogenous.forecasts.quantiles import MEDIAN
from gridenv.exogenous.forecasts.registry import config_class, fit_forecaster, forecast_series, forecaster_entry
from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.splits import TRAIN, load_splits

if TYPE_CHECKING:
    from gridenv.exogenous.scenario import Scenario

_PACKAGES = ("numpy", "jax", "jaxlib", "optax", "lightgbm")


def series_of(scenario: "Scenario", names: Sequence[str]) -> Series:
    """Series of a scenario by name.

    Raises:
        DataError: for a name that the scenario has not.
    """
    from gridenv.exogenous.scenario import PRICE_NAME

    columns = [scenario.column(name) for name in names]
    return Series(
        names=tuple(names),
        values=np.asarray(scenario.values, np.float32)[:, columns],
        steps_per_day=scenario.steps_per_day,
        start_weekday=scenario.start_weekday,
        day_ahead=tuple(name == PRICE_NAME for name in names),
    )


def training_rows(series: Series) -> Bool[np.ndarray, " time"]:
    """Rows of the training days of the committed split."""
    return np.isin(np.arange(series.n_steps) // series.steps_per_day, load_splits().days(TRAIN))


def forecast_table(
    name: str,
    series: Series,
    issued: Int[np.ndarray, " issue"],
    horizon: int,
    *,
    settings: BaseModel | None = None,
    seed: int = 0,
) -> Float[np.ndarray, "issue horizon series"]:
    """Single-valued forecasts made at each of some steps, 1 .. horizon ahead.

    A learned forecaster is fitted to the training days of the committed split; its table is kept in the folder
    `forecast` of the cache.

    Args:
        name: of `FORECASTERS`.
        series: what is forecast.
        issued: steps at which forecasts are made.
        horizon: steps ahead.
        settings: of the forecaster's own model; its defaults if left out.
        seed: of everything random.

    Raises:
        ConfigError: for an unknown forecaster.
        DataError: for steps or a horizon that the series have not.
        MissingExtraError: if a package that the forecaster needs is not installed.
    """
    chosen = config_class(name)() if settings is None else settings

    def make() -> np.ndarray:
        forecaster = fit_forecaster(
            name, series, training_rows(series), settings=chosen, horizon=horizon, levels=(MEDIAN,), seed=seed
        )
        return forecast_series(forecaster, series, issued, horizon).value

    if not forecaster_entry(name).is_learned:
        return make()
    path = cache_dir("forecast") / f"{name}-{_key(name, series, issued, horizon, chosen, seed)}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except DAMAGED:
        # Missing or damaged: computed anew.
        pass
    made = make()
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.npy")
    np.save(temporary, made, allow_pickle=False)
    temporary.replace(path)
    return made


def _key(
    name: str, series: Series, issued: Int[np.ndarray, " issue"], horizon: int, settings: BaseModel, seed: int
) -> str:
    parts: dict[str, Any] = {
        "forecaster": name,
        "settings": settings.model_dump(mode="json"),
        "names": series.names,
        "clock": [series.steps_per_day, series.start_weekday, series.day_ahead],
        "horizon": horizon,
        "seed": seed,
        "splits": load_splits().labels,
        "sources": _source_hash(),
        "packages": {package: _version(package) for package in _PACKAGES},
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for array in (series.values, issued):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
