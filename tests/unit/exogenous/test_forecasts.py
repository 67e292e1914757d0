import sys

import jax
import numpy as np
import pytest
from scipy import stats

from gridenv.core.errors import ConfigError, DataError, MissingExtraError
from gridenv.exogenous import build_scenario
from gridenv.exogenous.forecasts import (
    FORECASTERS,
    Series,
    fit_forecaster,
    forecast_series,
    forecast_table,
    pinball,
    series_of,
    tables,
)
from gridenv.exogenous.forecasts.linear import ridge
from gridenv.exogenous.forecasts.naive import SlotMeanConfig
from gridenv.exogenous.forecasts.registry import config_class, forecaster_entry

PER_DAY = 24


def series_from(values: np.ndarray, *, day_ahead: bool = False, per_day: int = PER_DAY) -> Series:
    return Series(
        names=("y",),
        values=np.asarray(values, np.float32)[:, None],
        steps_per_day=per_day,
        start_weekday=0,
        day_ahead=(day_ahead,),
    )


def everything(series: Series) -> np.ndarray:
    return np.ones(series.n_steps, bool)


def test_prices_of_tomorrow_are_known_from_13_o_clock():
    series = series_from(np.zeros(96 * 4), day_ahead=True, per_day=96)
    issued = np.array([0, 51, 52, 95, 96, 96 * 3 + 60])
    assert series.known_through(issued)[:, 0].tolist() == [95, 95, 191, 191, 191, 383]
    measured = series_from(np.zeros(96 * 4), per_day=96)
    assert measured.known_through(issued)[:, 0].tolist() == issued.tolist()


def test_naive_forecasts_by_hand():
    values = np.arange(10.0 * PER_DAY)
    values[3 * PER_DAY + 5] = -70.0
    series, issued = series_from(values), np.array([8 * PER_DAY + 2])

    def said(name, **settings):
        made = fit_forecaster(
            name, series, everything(series), settings=config_class(name)(**settings), horizon=4, levels=(0.0, 0.5, 1.0)
        )
        return forecast_series(made, series, issued, 4)

    assert said("persistence").value[0, :, 0].tolist() == [194.0] * 4
    assert said("seasonal_naive").value[0, :, 0].tolist() == [171.0, 172.0, 173.0, 174.0]
    slot = said("slot_mean")
    # Days 1..7 at 03:00: 27, 51, ... 171; at 05:00 with -70 in place of 77.
    assert slot.value[0, 0, 0] == pytest.approx(np.mean(27.0 + 24.0 * np.arange(7)))
    assert slot.value[0, 2, 0] == pytest.approx(np.mean([29, 53, -70, 101, 125, 149, 173]))
    assert slot.quantiles[0, 2, 0].tolist() == [-70.0, 101.0, 173.0]
    assert said("slot_mean", history_days=2).value[0, 1, 0] == pytest.approx((172 + 148) / 2)


def test_slot_mean_begins_with_the_days_that_there_are():
    series = series_from(np.arange(3.0 * PER_DAY))
    made = fit_forecaster("slot_mean", series, everything(series), horizon=2)
    said = forecast_series(made, series, np.array([4, PER_DAY + 4, 2 * PER_DAY + 4]), 1).value[:, 0, 0]
    assert said.tolist() == [0.0, 5.0, (5.0 + 29.0) / 2]


def test_pinball_by_hand_and_of_the_true_quantiles_of_a_normal_distribution():
    levels = (0.1, 0.5, 0.9)
    assert pinball(np.array([0.0, 0.0, 0.0]), np.array(1.0), levels) == pytest.approx([0.1, 0.5, 0.9])
    assert pinball(np.array([1.0, 1.0, 1.0]), np.array(0.0), levels) == pytest.approx([0.9, 0.5, 0.1])
    actual = np.random.default_rng(0).standard_normal(400_000)
    true = stats.norm.ppf(levels)

    def loss(quantiles):
        return pinball(np.broadcast_to(quantiles, (len(actual), 3)), actual, levels).mean(axis=0)

    # At the true quantile the expected loss is the density there, and nowhere is it lower.
    np.testing.assert_allclose(loss(true), stats.norm.pdf(true), rtol=0.01)
    assert (loss(true) < loss(true + 0.1)).all()
    assert (loss(true) < loss(true - 0.1)).all()


def test_ridge_without_a_ridge_is_exact_and_a_feature_that_never_moves_tells_nothing():
    x = np.random.default_rng(0).standard_normal((50, 3))
    x[:, 2] = 4.0
    assert ridge(x, 2.0 * x[:, 0] - 3.0 * x[:, 1] + 5.0, 0.0) == pytest.approx([2.0, -3.0, 0.0, 5.0])
    slope = ridge(x[:, :1], 2.0 * x[:, 0], 1.0)[0]
    assert slope == pytest.approx(1.0), "a ridge as large as the variance halves a slope"


def test_linear_forecaster_recovers_an_autoregressive_process():
    """The best forecast of y' = 0.8 y + e, h steps ahead, is 0.8^h y; its quantiles follow from the variance left."""
    share, n = 0.8, 600 * PER_DAY
    shocks = np.random.default_rng(3).standard_normal(n)
    values = np.zeros(n)
    for t in range(1, n):
        values[t] = share * values[t - 1] + shocks[t]
    series = series_from(values)
    made = fit_forecaster("linear", series, everything(series), horizon=6)
    issued = np.arange(10 * PER_DAY, n - 10)
    said = forecast_series(made, series, issued, 6)
    for h in (1, 3, 6):
        best = share**h * values[issued]
        error = said.value[:, h - 1, 0] - best
        spread = np.sqrt((1 - share ** (2 * h)) / (1 - share**2))
        # Of the spread of what cannot be known, 14,000 examples leave 26 coefficients 4 %, and 590 a median 5 %.
        assert np.sqrt(np.mean(error**2)) < 0.08 * spread
        assert np.polyfit(values[issued], said.value[:, h - 1, 0], 1)[0] == pytest.approx(share**h, abs=0.03)
    width = (said.quantiles[:, 0, 0, 2] - said.quantiles[:, 0, 0, 0]).mean()
    assert width == pytest.approx(2 * stats.norm.ppf(0.9), rel=0.06), "one step ahead a shock of variance 1 is left"


@pytest.mark.parametrize("name", [n for n, entry in FORECASTERS.items() if entry.is_learned])
def test_learned_forecasters_find_a_weekly_pattern_that_the_slot_mean_cannot(name):
    if name == "boosting":
        pytest.importorskip("lightgbm", reason="extra forecast")
    random = np.random.default_rng(4)
    n_day, n_learn = 140, 100
    days = np.arange(n_day * PER_DAY) // PER_DAY
    values = np.where(days % 7 >= 5, 0.2, 1.0) + 0.05 * random.standard_normal(len(days))
    series = series_from(values)
    small = {
        "boosting": {"rounds": 40, "most_rows": 10_000},
        "sequence": {"updates": 200, "hours": 6, "batch": 64, "learning_rate": 0.01},
    }
    settings = config_class(name)(**small.get(name, {}))
    learned = fit_forecaster(name, series, days < n_learn, settings=settings, horizon=12)
    slot = fit_forecaster("slot_mean", series, days < n_learn, horizon=12)
    issued = np.flatnonzero((days >= n_learn) & (days < n_day - 1))
    actual = series.values[issued[:, None] + np.arange(1, 13), 0]
    mae = [np.abs(forecast_series(f, series, issued, 12).value[..., 0] - actual).mean() for f in (learned, slot)]
    assert mae[0] < 0.4 * mae[1]
    quantiles = forecast_series(learned, series, issued, 12).quantiles[:, :, 0]
    between = ((actual >= quantiles[..., 0]) & (actual <= quantiles[..., 2])).mean()
    assert 0.65 < between < 0.95, "80 % of what comes lies between the quantiles 0.1 and 0.9"


def test_recurrent_network_is_the_same_in_a_task_of_float64():
    series = series_from(np.random.default_rng(0).random(30 * PER_DAY))
    settings = config_class("sequence")(updates=3, hours=6, hidden=4, width=8)

    def said():
        made = fit_forecaster("sequence", series, everything(series), settings=settings, horizon=3)
        return forecast_series(made, series, np.array([10 * PER_DAY]), 3).quantiles

    expected = said()
    with jax.enable_x64(True):
        found = said()
    np.testing.assert_array_equal(found, expected)


def test_bad_questions_are_refused():
    series = series_from(np.arange(30.0 * PER_DAY))
    with pytest.raises(DataError, match=r"horizon is 25 steps; allowed: 1\.\.24, a day"):
        fit_forecaster("slot_mean", series, everything(series), horizon=25)
    made = fit_forecaster("slot_mean", series, everything(series), horizon=3)
    with pytest.raises(DataError, match=r"issued at step 720; allowed: 0\.\.719"):
        forecast_series(made, series, np.array([0, 720]), 3)
    with pytest.raises(ConfigError, match="unknown forecaster 'slotmean'; did you mean 'slot_mean'"):
        forecaster_entry("slotmean")
    gap = series_from(np.where(np.arange(30 * PER_DAY) == 300, np.nan, 1.0))
    with pytest.raises(DataError, match=r"forecast of 'y': issued at step 300, 1 ahead it is nan; allowed: finite"):
        forecast_series(fit_forecaster("persistence", gap, everything(gap), horizon=3), gap, np.array([300]), 3)
    short = np.arange(series.n_steps) < 5 * PER_DAY
    for name in ("linear", "sequence", "boosting"):
        if name == "boosting":
            pytest.importorskip("lightgbm", reason="extra forecast")
        with pytest.raises(DataError, match=r"forecast of 'y': 0 rows of the training days have known days before"):
            fit_forecaster(name, series, short, horizon=3)


def test_missing_package_is_named_with_its_extra(monkeypatch):
    series = series_from(np.arange(30.0 * PER_DAY))
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(
        MissingExtraError, match=r"package 'lightgbm' is not installed; .*pip install \"gridenv\[forecast\]"
    ):
        fit_forecaster("boosting", series, everything(series), horizon=3)


def test_package_without_its_system_library_is_named_with_what_it_lacks(monkeypatch):
    def fails(name, *args, **kwargs):
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *args, **kwargs)

    real = __import__
    monkeypatch.setattr("builtins.__import__", fails)
    series = series_from(np.arange(30.0 * PER_DAY))
    with pytest.raises(MissingExtraError, match=r"cannot be loaded \(libgomp\.so\.1: .*\); install the system library"):
        fit_forecaster("boosting", series, everything(series), horizon=3)


def test_table_of_a_learned_forecaster_is_kept_and_made_anew_when_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    scenario = build_scenario(["G0-A_pload"], "Netherlands")
    series = series_of(scenario, ["G0-A_pload", "price_eur_mwh"])
    assert series.day_ahead == (False, True)
    issued = np.array([40 * 96, 40 * 96 + 50])
    first = forecast_table("linear", series, issued, 2)
    (file,) = (tmp_path / "forecast").iterdir()
    with monkeypatch.context() as m:
        m.setattr(tables, "fit_forecaster", lambda *args, **kwargs: pytest.fail("fitted again"))
        np.testing.assert_array_equal(forecast_table("linear", series, issued, 2), first)
    file.write_bytes(b"nonsense")
    np.testing.assert_array_equal(forecast_table("linear", series, issued, 2), first)
    forecast_table("slot_mean", series, issued, 2, settings=SlotMeanConfig(history_days=3))
    assert len(list((tmp_path / "forecast").iterdir())) == 1, "what takes no time is not kept"


def test_training_rows_are_the_training_days_of_the_split():
    rows = tables.training_rows(series_from(np.zeros(366 * 96), per_day=96))
    assert rows.sum() == 206 * 96
    assert not rows[10 * 96 : 24 * 96].any(), "the first pair of weeks with the gap days"
