from datetime import date, timedelta

import numpy as np
import pytest

from gridenv.core.errors import DataError
from gridenv.exogenous import load_profiles, weather
from gridenv.exogenous.weather import climate_temperature, load_temperature, read_temperature

KNMI_DE_BILT_C = [3.6, 3.9, 6.5, 9.9, 13.4, 16.2, 18.3, 17.9, 14.7, 10.9, 7.0, 4.2]
MONTH = np.repeat([(date(2016, 1, 1) + timedelta(days=d)).month for d in range(366)], 96)
N_YEARS = 40


def monthly(temp_c):
    return np.array([temp_c[np.equal(MONTH, m)].mean() for m in range(1, 13)])


@pytest.fixture(scope="module")
def years():
    return np.stack([load_temperature(seed) for seed in range(N_YEARS)])


def write(path, values, header="outdoor_temp_c"):
    path.write_text("\n".join([header, *(str(v) for v in values)]) + "\n")
    return path


def test_climate_has_the_monthly_normals():
    np.testing.assert_allclose(monthly(climate_temperature()), KNMI_DE_BILT_C, atol=0.3)
    assert climate_temperature().mean() == pytest.approx(10.5, abs=0.1)  # KNMI's normal of the year


def test_climate_day_swings_by_five_kelvin_in_january_and_ten_in_july_with_its_peak_in_the_afternoon():
    days = climate_temperature().reshape(366, 96)
    swing = days.max(axis=1) - days.min(axis=1)
    assert swing[15] == pytest.approx(5.0, abs=0.3)
    assert swing[198] == pytest.approx(10.0, abs=0.3)
    assert days.mean(axis=0).argmax() == 15 * 4


def test_drawn_years_have_the_normals_on_average(years):
    # The mean of a month varies by 1.2 to 1.9 K from year to year: 0.3 K is left in the mean of 40 years.
    np.testing.assert_allclose(np.mean([monthly(y) for y in years], axis=0), KNMI_DE_BILT_C, atol=1.0)
    np.testing.assert_allclose(monthly(years[0]), KNMI_DE_BILT_C, atol=5.0)


def test_drawn_years_depart_from_the_climate_by_a_process_that_lasts_three_days(years):
    departure = years - climate_temperature()
    by_day = departure.reshape(N_YEARS, 366, 96).mean(axis=2)
    assert np.mean([np.corrcoef(d[1:], d[:-1])[0, 1] for d in by_day]) == pytest.approx(0.806, abs=0.03)
    by_step = np.mean([np.corrcoef(d[96:], d[:-96])[0, 1] for d in departure])
    assert by_step == pytest.approx(np.exp(-24 / 72), abs=0.03)
    assert departure[:, MONTH == 1].std() == pytest.approx(4.0, abs=0.4)
    assert departure[:, MONTH == 7].std() == pytest.approx(3.0, abs=0.3)
    assert departure[:, 0].std() == pytest.approx(4.0, abs=1.2)  # no spin-up at New Year


def test_drawn_years_are_finite_and_within_what_de_bilt_has_seen(years):
    assert years.shape == (N_YEARS, 35136)
    assert years.dtype == np.float32
    assert np.isfinite(years).all()
    assert -25.0 < years.min() < -5.0
    assert 28.0 < years.max() < 40.0


def test_drawn_year_is_the_same_for_the_same_seed_and_another_for_another(years):
    np.testing.assert_array_equal(load_temperature(3), years[3])
    assert np.abs(years[3] - years[4]).mean() > 1.0
    np.testing.assert_array_equal(load_temperature(), years[0])


def test_drawn_year_with_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="load_temperature: seed is -1; allowed: a whole number >= 0; choose another"):
        load_temperature(-1)


def test_file_of_quarter_hours_is_read_as_it_is(tmp_path):
    values = load_temperature(5)
    np.testing.assert_array_equal(read_temperature(write(tmp_path / "t.csv", values.tolist())), values)


def test_file_of_hours_is_joined_by_straight_lines(tmp_path):
    values = np.zeros(8784)
    values[:3] = 4.0, 8.0, -4.0
    read = read_temperature(write(tmp_path / "t.csv", [f"x,{v}" for v in values], "time,outdoor_temp_c"))
    np.testing.assert_allclose(read[:10], [4, 5, 6, 7, 8, 5, 2, -1, -4, -3], atol=1e-6)
    assert read.shape == (35136,)


def test_file_problems_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv': no such file; give the path"):
        read_temperature(tmp_path / "none.csv")
    with pytest.raises(DataError, match="column 'outdoor_temp_c' is missing; found: temp; name the columns"):
        read_temperature(write(tmp_path / "a.csv", [1.0], "temp"))
    with pytest.raises(DataError, match="2 rows of values; allowed: 35136 quarter-hours or 8784 hours"):
        read_temperature(write(tmp_path / "b.csv", [1.0, 2.0]))
    values = ["1.0"] * 8784
    values[1], values[2], values[3] = "warm", "61", "nan"
    with pytest.raises(DataError) as caught:
        read_temperature(write(tmp_path / "c.csv", values))
    message = str(caught.value)
    assert "line 3, column 'outdoor_temp_c' is 'warm'; allowed: a number of degC in -60..60; correct it" in message
    assert "line 4, column 'outdoor_temp_c' is '61'" in message
    assert "line 5, column 'outdoor_temp_c' is 'nan'" in message


def test_file_with_many_bad_values_counts_those_not_shown(tmp_path):
    with pytest.raises(DataError, match="8779 more values are not allowed"):
        read_temperature(write(tmp_path / "t.csv", ["-"] * 8784))


def test_irradiance_of_the_sun_series_is_that_of_a_facade_over_the_year():
    table = load_profiles()
    sun = table.values[:, table.column(weather.SUN_NAME)]
    assert 550 < weather.IRRADIANCE_KW_M2 * sun.sum() * table.dt_h < 750  # kWh/m2
