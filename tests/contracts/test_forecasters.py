"""Every registered forecaster: it knows the past alone, and learns from the training days alone."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gridenv.exogenous.forecasts import FORECASTERS, LEVELS, Forecast, Forecaster, Series, fit_forecaster
from gridenv.exogenous.forecasts import forecast_series as forecast
from gridenv.exogenous.forecasts.registry import config_class

PER_DAY, N_DAY, HORIZON = 24, 80, 20
SMALL = {
    "boosting": {"rounds": 5, "least_rows": 20, "most_rows": 2_000},
    "sequence": {"hidden": 4, "width": 8, "hours": 6, "updates": 20, "batch": 16, "leads": 4},
}
LEARN = np.arange(N_DAY * PER_DAY) // PER_DAY < 60
ISSUED = np.array([5, 12 * PER_DAY, 40 * PER_DAY + 13, 70 * PER_DAY + 12, 70 * PER_DAY + 13])
"""Before there is a day of history, on training days, and on others, before and after prices are published."""


def table(seed: int = 0) -> Series:
    random = np.random.default_rng(seed)
    hour = np.arange(N_DAY * PER_DAY) % PER_DAY
    load = 1.0 + np.sin(2 * np.pi * hour / PER_DAY) + 0.3 * random.standard_normal(len(hour))
    price = 50.0 + 10.0 * np.cos(2 * np.pi * hour / PER_DAY) + 3.0 * random.standard_normal(len(hour))
    return Series(
        names=("load", "price"),
        values=np.stack([load, price], axis=1).astype(np.float32),
        steps_per_day=PER_DAY,
        start_weekday=4,
        day_ahead=(False, True),
    )


def with_values(series: Series, values: np.ndarray) -> Series:
    return replace(series, values=values)


def fit(name: str, series: Series, seed: int = 0) -> Forecaster:
    if name == "boosting":
        pytest.importorskip("lightgbm", reason="extra forecast")
    settings = config_class(name)(**SMALL.get(name, {}))
    return fit_forecaster(name, series, LEARN, settings=settings, horizon=HORIZON, seed=seed)


@cache
def fitted(name: str) -> Forecaster:
    return fit(name, table())


def same(a: Forecast, b: Forecast) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", FORECASTERS)
def test_what_is_not_known_yet_changes_no_bit_of_a_forecast(name: str) -> None:
    series = table()
    random = np.random.default_rng(1)
    for t in ISSUED:
        said = forecast(fitted(name), series, np.array([t]), HORIZON)
        known = series.known_through(np.array([t]))[0]
        for change in ("permuted", "replaced"):
            values = series.values.copy()
            for column, last in enumerate(known):
                rest = values[last + 1 :, column]
                values[last + 1 :, column] = random.permutation(rest) if change == "permuted" else 1e3 * rest + 7.0
            assert not np.array_equal(values, series.values)
            assert same(forecast(fitted(name), with_values(series, values), np.array([t]), HORIZON), said), change
        values = series.values.copy()
        values[: known[0] + 1, 0] += 0.5
        changed = forecast(fitted(name), with_values(series, values), np.array([t]), HORIZON)
        assert not np.array_equal(changed.value[..., 0], said.value[..., 0]), "what is known changes it"


@pytest.mark.parametrize("name", FORECASTERS)
def test_days_that_are_not_for_training_change_no_bit_of_what_is_learnt(name: str) -> None:
    series = table()
    values = series.values.copy()
    values[~LEARN] = np.random.default_rng(2).normal(1e3, 1e2, values[~LEARN].shape)
    other = fit(name, with_values(series, values))
    assert same(forecast(other, series, ISSUED, HORIZON), forecast(fitted(name), series, ISSUED, HORIZON))


@pytest.mark.parametrize("name", FORECASTERS)
def test_forecasts_are_finite_and_repeatable_with_rising_quantiles_and_prices_as_published(name: str) -> None:
    series = table()
    made = forecast(fitted(name), series, ISSUED, HORIZON)
    assert made.value.shape == (len(ISSUED), HORIZON, 2)
    assert made.quantiles.shape == (*made.value.shape, len(LEVELS))
    assert made.value.dtype == np.float32
    assert np.isfinite(made.quantiles).all()
    assert (np.diff(made.quantiles, axis=-1) >= 0.0).all()
    assert same(forecast(fit(name, series), series, ISSUED, HORIZON), made)
    # At 12:00 the prices of the day are known, at 13:00 those of tomorrow as well.
    noon, later = made.value[3, :, 1], made.value[4, :, 1]
    true = series.values[:, 1]
    np.testing.assert_array_equal(noon[:11], true[70 * PER_DAY + 13 : 71 * PER_DAY])
    assert not np.isin(noon[11:], true[71 * PER_DAY : 72 * PER_DAY]).any()
    np.testing.assert_array_equal(later, true[70 * PER_DAY + 14 : 70 * PER_DAY + 14 + HORIZON])


@pytest.mark.parametrize("name", FORECASTERS)
def test_every_forecaster_has_strict_settings_and_another_seed_matters_only_where_it_says_so(name: str) -> None:
    entry, model = FORECASTERS[name], config_class(name)
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"
    assert entry.summary
    other = forecast(fit(name, table(), seed=1), table(), ISSUED, HORIZON)
    assert same(other, forecast(fitted(name), table(), ISSUED, HORIZON)) != entry.is_random
