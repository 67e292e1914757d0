"""Day-ahead prices of 2018 on the calendar of the profiles; imports no JAX."""

import functools

import numpy as np
from jaxtyping import Float, Int

from gridenv.core.errors import DataError, did_you_mean
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.files import DATA_FOLDER, read_npz
from gridenv.exogenous.timebase import DAYS_IN_YEAR, DAYS_PER_WEEK, STEPS_PER_HOUR

PRICE_FILE = DATA_FOLDER / "smard_day_ahead_2018.npz"
_DAYS_IN_2018 = 365
_WEEKDAY_SHIFT = 4
"""1 January 2016 is a Friday, and so is 5 January 2018, four days into its year."""
_WRAP_DAYS = 52 * DAYS_PER_WEEK
"""Days that run past the end of 2018 go back by 52 whole weeks, which keeps the weekday."""


def price_source_days() -> Int[np.ndarray, " day"]:
    """For every day of 2016 (0 = 1 January), the day of 2018 (0 = 1 January) that lends its prices.

    Day d takes day d + 4 of 2018. The last five days, 27 to 31 December 2016, would run past the end and take
    2 to 6 January 2018 instead. The weekday is the same in every case, public holidays are not; Easter happens to fit.

    Source: calendar arithmetic, docs/data.md. Assumed: the weekday matters more for a price than the exact date.
    """
    days = np.arange(DAYS_IN_YEAR) + _WEEKDAY_SHIFT
    return np.where(days < _DAYS_IN_2018, days, days - _WRAP_DAYS)


def price_zones() -> tuple[str, ...]:
    """Names of the market areas with prices."""
    return _hourly_prices()[0]


def load_price(zone: str) -> Float[np.ndarray, " time"]:
    """Day-ahead price in EUR/MWh for every quarter-hour of the profile calendar.

    Hourly prices are repeated four times. Prices can be negative. Rows are consecutive hours on a clock that stays at
    UTC+1, as the profiles are, so that no hour is missing or doubled when daylight saving starts or ends.

    Args:
        zone: market area, one of `price_zones()`.

    Returns:
        float32 [35136].

    Raises:
        DataError: if the zone is unknown.

    Source: Bundesnetzagentur | SMARD.de, day-ahead prices 2018, docs/data.md.
    """
    zones, price_eur_mwh = _hourly_prices()
    if zone not in zones:
        raise DataError(f"unknown price zone '{zone}'{did_you_mean(zone, zones)}")
    by_day = price_eur_mwh[:, zones.index(zone)].reshape(_DAYS_IN_2018, HOURS_PER_DAY)
    return np.repeat(by_day[price_source_days()].reshape(-1), STEPS_PER_HOUR).astype(np.float32)


@functools.cache
def _hourly_prices() -> tuple[tuple[str, ...], np.ndarray]:
    arrays = read_npz(PRICE_FILE, ("names", "price_eur_per_mwh"), "price file")
    return tuple(str(n) for n in arrays["names"]), arrays["price_eur_per_mwh"]
