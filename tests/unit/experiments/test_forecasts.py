import json

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments import forecast_tables, forecasts
from experiments.cli import app
from experiments.forecast_config import ForecastConfig, read_forecast
from experiments.statistics import Interval, ratio_interval
from gridenv.core.errors import ConfigError, DataError
from gridenv.exogenous import load_splits
from gridenv.exogenous.forecasts import Forecast

HOURLY = {"profiles": ("G0-A_pload",), "price_zones": ("Netherlands",), "horizon": 50, "every": 48}


def test_errors_are_counted_inside_the_split_and_where_prices_are_not_published():
    config = ForecastConfig(**HOURLY, forecasters=("slot_mean",))
    series = forecasts.chosen_series(config)
    block, issued = forecasts._days_and_steps(config, series)
    counts = forecasts._counts(config, series, issued)
    rows = issued[:, None] + np.arange(1, 51)
    true = series.values[np.minimum(rows, series.n_steps - 1)]
    # Off by 0.1, and of three quantiles the outer ones 0.2 away to either side: 2/3 of 0.02 + 0.05 / 3 each.
    value = true + 0.1
    made = Forecast(value=value, quantiles=value[..., None] + np.array([-0.3, 0.0, 0.3]))
    found = forecasts._errors(made, series, issued, config, block, counts)
    days = load_splits().days("test")
    n_block = 1 + int((np.diff(days) > 1).sum())
    assert found["count"].shape == (n_block, 2)
    # From midnight 50 rows of the same day; from noon 47 of it and 3 of the next where that is in the split.
    followed = np.isin(days + 1, days).sum()
    assert found["count"][:, 0].sum() == len(days) * (50 + 47) + 3 * followed
    assert found["count"][:, 1].sum() == 3 * followed, "at noon the next day's prices are not known, at midnight none"
    np.testing.assert_allclose(found["error"], 0.1 * found["count"], rtol=1e-4)
    loss = np.mean([0.1 * 0.2, 0.5 * 0.1, (1 - 0.9) * 0.4])
    np.testing.assert_allclose(found["pinball"], loss * found["count"], rtol=1e-4)
    np.testing.assert_array_equal(found["covered"], found["count"])
    assert np.isnan(found["error_by_lead"][:47, 1]).all()
    np.testing.assert_allclose(found["error_by_lead"][48:], 0.1, rtol=1e-4)


def row(forecaster, ratio):
    return forecast_tables.Row(
        series="PV1",
        kind="PV",
        forecaster=forecaster,
        seeds=(0,),
        rows=10,
        mae=0.05 * ratio.mean,
        mae_per_seed=(0.05 * ratio.mean,),
        pinball=0.02,
        coverage=0.8,
        to_baseline=ratio,
        mae_by_lead=(0.05,),
    )


def test_verdict_says_so_when_a_learned_forecaster_is_no_better():
    base = row("slot_mean", Interval(1.0, 1.0, 1.0))
    worse = [base, row("linear", Interval(1.01, 0.9, 1.1))]
    assert forecast_tables.verdicts(worse) == [
        "linear does not beat the slot mean on most series: 0 of 1, 0 of them with the whole 95 % interval below it"
    ]
    better = [base, row("linear", Interval(0.9, 0.8, 0.99))]
    assert forecast_tables.verdicts(better)[0].startswith(
        "linear beats the slot mean on most series: 1 of 1, 1 of them"
    )
    assert "| PV1 | 5.00 % | 0.900 (0.80..0.99) |" in forecast_tables.markdown(better)


def test_ratio_interval_is_that_of_paired_samples():
    below = np.random.default_rng(0).uniform(1.0, 9.0, 40)
    exact = ratio_interval(0.5 * below, below)
    assert (exact.mean, exact.low, exact.high) == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(ratio_interval(below, np.zeros(40)).mean)


def test_command_writes_tables_and_results_that_can_be_read(tmp_path):
    file, table = tmp_path / "out" / "copy.json", tmp_path / "copy.md"
    asked = ["forecast=smoke", "forecasters=[persistence,slot_mean,linear]", "profiles=[G0-A_pload]", "horizon=48"]
    options = ["--out", str(tmp_path / "runs"), "--json", str(file), "--markdown", str(table)]
    done = CliRunner().invoke(app, ["forecast", *asked, "every=48", *options])
    assert done.exit_code == 0, done.output
    values = json.loads(file.read_text())
    assert values == json.loads((tmp_path / "runs" / "smoke" / forecasts.RESULTS_FILE).read_text())
    assert values["settings"]["horizon"] == 48
    rows = {(r["forecaster"], r["series"]): r for r in values["rows"]}
    assert set(rows) == {
        (f, s) for f in ("persistence", "slot_mean", "linear") for s in ("G0-A_pload", "price Netherlands")
    }
    load = {f: rows[f, "G0-A_pload"] for f in ("persistence", "slot_mean", "linear")}
    assert load["linear"]["mae"] < 0.9 * load["slot_mean"]["mae"] < load["persistence"]["mae"]
    assert load["linear"]["mae_to_slot_mean"]["mean"] == pytest.approx(load["linear"]["mae"] / load["slot_mean"]["mae"])
    assert load["slot_mean"]["unit"] == "share of rating"
    assert rows["linear", "price Netherlands"]["unit"] == "EUR/MWh"
    assert "linear beats the slot mean on most series" in done.output
    assert table.read_text().startswith("| series | slot_mean MAE | persistence | linear |")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "forecast: none is named; write forecast=NAME with one of: published, smoke"),
        (["forecast=publisched"], "unknown forecast 'publisched'; did you mean 'published'"),
        (["forecast=smoke", "forecasters=[slot_mean,lightgbm]"], "unknown forecaster 'lightgbm'"),
        (["forecast=smoke", "forecasters=[linear]", "settings={}"], "must have 'slot_mean', which the others are"),
        (["forecast=smoke", "forecasters=[slot_mean,slot_mean]"], "each must be given once"),
        (["forecast=smoke", "settings.sequenze.updates=3"], "unknown forecaster 'sequenze'; did you mean 'sequence'"),
        (["forecast=smoke", "levels=[0.1,0.9]"], r"must rise between 0 and 1 and have 0\.5"),
        (["forecast=smoke", "levels=[0.9,0.5]"], r"must rise between 0 and 1 and have 0\.5"),
        (["forecast=smoke", "horizon=97"], "horizon = 97; must be less than or equal to 96"),
        (["forecast=smoke", "settings.sequence.updats=3"], r"unknown key 'settings\.sequence\.updats'.*'updates'"),
        (["forecast=smoke", "settings.sequence.hours=0"], r"settings\.sequence\.hours = 0; must be greater"),
    ],
)
def test_wrong_settings_are_named(texts, message):
    with pytest.raises(ConfigError, match=message):
        read_forecast(texts)


def test_series_that_do_not_exist_and_a_horizon_that_ends_before_the_first_price_are_refused(tmp_path):
    unknown = ForecastConfig(**(HOURLY | {"profiles": ("PV99",)}), forecasters=("slot_mean",))
    with pytest.raises(DataError, match="unknown profile 'PV99'"):
        forecasts.compare_forecasters("x", unknown, tmp_path)
    short = ForecastConfig(**(HOURLY | {"horizon": 16}), forecasters=("slot_mean",))
    with pytest.raises(ConfigError, match="'price Netherlands' has no row to score with horizon 16 and every 48"):
        forecasts.compare_forecasters("x", short, tmp_path)
    assert not list(tmp_path.iterdir())
