"""The forecasters by name, their interface, and fitting one. A new forecaster is one new file and one entry here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, BaseModel

from gridenv.core.errors import ConfigError, DataError, did_you_mean
from gridenv.exogenous.forecasts.quantiles import LEVELS
from gridenv.exogenous.forecasts.series import Series

_ISSUES_AT_ONCE = 2_048
"""Forecasts made together; bounds the memory of the features of a year."""
Tick = Callable[[float], None]
"""Called with the share of the work that is done."""


class Forecast(NamedTuple):
    """Forecasts 1, 2, ... steps ahead, units of the series."""

    value: Float[np.ndarray, "issue horizon series"]
    """Single value of each."""
    quantiles: Float[np.ndarray, "issue horizon series level"]
    """Rising along the levels."""


@runtime_checkable
class Forecaster(Protocol):
    """A fitted forecaster. What it returns for a step depends on rows known at that step and on nothing else."""

    def forecast(self, series: Series, issued: Int[np.ndarray, " issue"], horizon: int) -> Forecast:
        """Forecasts made at the steps `issued` of the rows 1 .. horizon steps ahead."""
        ...


@runtime_checkable
class Fit(Protocol):
    """How a forecaster is fitted."""

    def __call__(
        self, series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick
    ) -> Forecaster:
        """The forecaster from series that are NaN wherever nothing may be learnt from."""
        ...


@dataclass(frozen=True, kw_only=True)
class ForecasterEntry:
    """Where a forecaster's parts are, as `module:attribute`; they are imported only when asked for."""

    config: str
    """Frozen pydantic model of the settings."""
    fit: str
    """A `Fit`."""
    summary: str
    """One line for lists."""
    is_learned: bool
    """Whether it has parameters that are fitted to the training days."""
    is_random: bool = False
    """Whether another seed gives another forecaster."""


_HERE = "gridenv.exogenous.forecasts"
FORECASTERS: Mapping[str, ForecasterEntry] = {
    "persistence": ForecasterEntry(
        config=f"{_HERE}.naive:NaiveConfig",
        fit=f"{_HERE}.naive:fit_persistence",
        summary="the newest value known goes on",
        is_learned=False,
    ),
    "seasonal_naive": ForecasterEntry(
        config=f"{_HERE}.naive:NaiveConfig",
        fit=f"{_HERE}.naive:fit_seasonal_naive",
        summary="the same quarter-hour a day before",
        is_learned=False,
    ),
    "slot_mean": ForecasterEntry(
        config=f"{_HERE}.naive:SlotMeanConfig",
        fit=f"{_HERE}.naive:fit_slot_mean",
        summary="the mean of the same quarter-hour on the days before, 7 by default",
        is_learned=False,
    ),
    "linear": ForecasterEntry(
        config=f"{_HERE}.linear:LinearConfig",
        fit=f"{_HERE}.linear:fit",
        summary="ridge regression for each step ahead, quantiles of its residuals",
        is_learned=True,
    ),
    "boosting": ForecasterEntry(
        config=f"{_HERE}.boosting:BoostingConfig",
        fit=f"{_HERE}.boosting:fit",
        summary="gradient-boosted trees of LightGBM for each quantile; needs the extra forecast",
        is_learned=True,
        is_random=True,
    ),
    "sequence": ForecasterEntry(
        config=f"{_HERE}.sequence:SequenceConfig",
        fit=f"{_HERE}.sequence:fit",
        summary="one recurrent network of all series in JAX, trained on the pinball loss",
        is_learned=True,
        is_random=True,
    ),
}
_LOOK_AHEAD, _LEARNED = ("oracle", "noisy"), "learned"
_KINDS = (*_LOOK_AHEAD, *(name for name, entry in FORECASTERS.items() if not entry.is_learned), _LEARNED)
_MODELS = tuple(name for name, entry in FORECASTERS.items() if entry.is_learned)


def _one_of(names: Sequence[str]) -> AfterValidator:
    *most, last = map(repr, names)

    def known(value: str) -> str:
        if value not in names:
            raise ValueError(f"must be {', '.join(most)} or {last}")
        return value

    return AfterValidator(known)


ForecastKind = Annotated[str, _one_of(_KINDS)]
"""How the future is known. `oracle`: as it will be. `noisy`: as it will be, with an error. `learned`: by a
`LearnedModel`. Else by the forecaster of that name."""
LearnedModel = Annotated[str, _one_of(_MODELS)]
"""Name of a learned forecaster."""


def looks_ahead(kind: ForecastKind) -> bool:
    """Whether a kind is made of what will be, and not of what is known."""
    return kind in _LOOK_AHEAD


def forecaster_name(kind: ForecastKind, model: LearnedModel) -> str:
    """Name in `FORECASTERS` of a kind that does not look ahead."""
    return model if kind == _LEARNED else kind


def forecaster_entry(name: str) -> ForecasterEntry:
    """The entry of a forecaster.

    Raises:
        ConfigError: if there is no such forecaster; the message suggests the closest one.
    """
    if name not in FORECASTERS:
        raise ConfigError(f"unknown forecaster '{name}'{did_you_mean(name, FORECASTERS)}")
    return FORECASTERS[name]


def config_class(name: str) -> type[BaseModel]:
    """The settings model of a forecaster.

    Raises:
        ConfigError: as `forecaster_entry`.
    """
    loaded: type[BaseModel] = resolve_name(forecaster_entry(name).config)
    return loaded


def fit_forecaster(
    name: str,
    series: Series,
    may_learn: Bool[np.ndarray, " time"],
    *,
    settings: BaseModel | None = None,
    horizon: int,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
    tick: Tick = lambda share: None,
) -> Forecaster:
    """A forecaster fitted to the rows that may be learnt from; it never sees another.

    Args:
        name: of `FORECASTERS`.
        series: what is forecast.
        may_learn: [time] rows of the training days.
        settings: of the forecaster's own model; its defaults if left out.
        horizon: most steps ahead that will be asked for.
        levels: of the quantiles, rising, with 0.5 among them.
        seed: of everything random.
        tick: told the share that is done.

    Raises:
        ConfigError: for an unknown forecaster.
        DataError: for a horizon of no step or more than a day, or too few rows to learn from.
        MissingExtraError: if a package that the forecaster needs is not installed.
    """
    fit: Fit = resolve_name(forecaster_entry(name).fit)
    series.check(np.zeros(1, np.int64), horizon)
    chosen = config_class(name)() if settings is None else settings
    return fit(series.only(may_learn), chosen, horizon=horizon, levels=levels, seed=seed, tick=tick)


def forecast_series(
    forecaster: Forecaster,
    series: Series,
    issued: Int[np.ndarray, " issue"],
    horizon: int,
    tick: Tick = lambda share: None,
) -> Forecast:
    """Forecasts of all series; rows that are published already, as the prices of the day, are as published.

    Args:
        forecaster: fitted for at least this horizon.
        series: with everything measured; for a step only what is known by then is used.
        issued: steps at which forecasts are made.
        horizon: steps ahead.
        tick: told the share that is done.

    Returns:
        float32, units of the series.

    Raises:
        DataError: for steps outside the series, or a forecast that is not finite.
    """
    series.check(issued, horizon)
    parts = []
    for first in range(0, len(issued), _ISSUES_AT_ONCE):
        some = issued[first : first + _ISSUES_AT_ONCE]
        parts.append(_with_published(series, some, forecaster.forecast(series, some, horizon)))
        tick(min(first + _ISSUES_AT_ONCE, len(issued)) / len(issued))
    made = Forecast(*(np.concatenate(p).astype(np.float32) for p in zip(*parts, strict=True)))
    bad = np.argwhere(~np.isfinite(made.value))
    if len(bad):
        i, h, s = bad[0]
        raise DataError(
            f"forecast of '{series.names[s]}': issued at step {issued[i]}, {h + 1} ahead it is {made.value[i, h, s]}; "
            "allowed: finite numbers; look for gaps in the series"
        )
    return made


def _with_published(series: Series, issued: Int[np.ndarray, " issue"], made: Forecast) -> Forecast:
    horizon = made.value.shape[1]
    rows = np.minimum(issued[:, None] + np.arange(1, horizon + 1), series.n_steps - 1)[..., None]
    known = rows <= series.known_through(issued)[:, None, :]
    actual = series.values[rows[..., 0]]
    return Forecast(
        value=np.where(known, actual, made.value),
        quantiles=np.where(known[..., None], actual[..., None], made.quantiles),
    )
