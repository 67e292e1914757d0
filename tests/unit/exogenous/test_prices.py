from datetime import date, timedelta

import numpy as np
import pytest

from gridenv.core.errors import DataError
from gridenv.exogenous import load_price, price_source_days, price_zones
from gridenv.exogenous.prices import PRICE_FILE


def hourly(zone: str) -> np.ndarray:
    """The file as it is, [8760]."""
    with np.load(PRICE_FILE) as archive:
        return archive["price_eur_per_mwh"][:, list(archive["names"]).index(zone)]


def first_row(day: date) -> int:
    return (day - date(2016, 1, 1)).days * 96


def test_prices_source_day_has_the_same_weekday_all_year():
    source = price_source_days()
    for d in range(366):
        here, there = date(2016, 1, 1) + timedelta(days=d), date(2018, 1, 1) + timedelta(days=int(source[d]))
        assert there.year == 2018
        assert here.weekday() == there.weekday(), here


def test_prices_source_day_wraps_to_january_when_2018_ends():
    source = price_source_days()
    assert source[0] == 4  # Friday 1 January 2016 takes Friday 5 January 2018
    assert source[360] == 364  # Monday 26 December 2016 takes Monday 31 December 2018
    assert source[361:].tolist() == [1, 2, 3, 4, 5]  # Tuesday 27 to Saturday 31 December take 2 to 6 January


def test_prices_easter_takes_easter():
    assert price_source_days()[first_row(date(2016, 3, 27)) // 96] == (date(2018, 4, 1) - date(2018, 1, 1)).days


def test_prices_hours_are_repeated_four_times():
    price = load_price("Netherlands")
    assert price.shape == (35136,)
    assert price.dtype == np.float32
    raw = hourly("Netherlands")
    np.testing.assert_array_equal(price[:8], np.repeat(raw[4 * 24 : 4 * 24 + 2], 4))
    noon = first_row(date(2016, 7, 1)) + 12 * 4  # Friday 1 July 2016, day 182, takes Friday 6 July 2018, day 186
    np.testing.assert_array_equal(price[noon : noon + 4], np.repeat(raw[186 * 24 + 12], 4))


@pytest.mark.parametrize("zone", price_zones())
def test_prices_are_finite_and_cheaper_at_weekends(zone):
    price = load_price(zone)
    assert np.isfinite(price).all()
    by_day = price.reshape(366, 96).mean(axis=1)
    weekend = np.array([(date(2016, 1, 1) + timedelta(days=d)).weekday() >= 5 for d in range(366)])
    assert by_day[weekend].mean() < 0.9 * by_day[~weekend].mean()


def test_prices_can_be_negative():
    assert load_price("Denmark 1").min() == -15.0
    assert (load_price("Denmark 1") < 0).sum() == 4 * 52


def test_prices_rows_do_not_jump_when_daylight_saving_starts():
    """On a clock at UTC+1 the morning rise comes a row earlier once people have moved their clocks forward."""
    by_day = hourly("France").reshape(365, 24)
    working = np.array([(date(2018, 1, 1) + timedelta(days=d)).weekday() < 5 for d in range(365)])

    def morning_rise(first: int, last: int) -> np.ndarray:
        return np.diff(by_day[first:last][working[first:last]].mean(axis=0))

    before, after = morning_rise(63, 83), morning_rise(84, 104)  # 5 to 24 March, 26 March to 14 April 2018
    moved = np.corrcoef(before[1:10], after[0:9])[0, 1]
    unmoved = np.corrcoef(before[1:10], after[1:10])[0, 1]
    assert moved > 0.9 > unmoved


def test_prices_unknown_zone_suggests_the_closest_one():
    with pytest.raises(DataError, match=r"unknown price zone 'Netherland'; did you mean 'Netherlands'\?"):
        load_price("Netherland")
