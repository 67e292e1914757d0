"""The calendar that the shipped data stand on, and the clock features made from it; imports no JAX."""

from datetime import datetime

import numpy as np
from jaxtyping import Float

from gridenv.core.units import HOURS_PER_DAY, SECONDS_PER_HOUR

YEAR_START = datetime(2016, 1, 1)
"""First row of the shipped profiles: Friday, 1 January 2016, 00:00 on a clock that stays at UTC+1 all year."""
DAYS_IN_YEAR = 366
STEP_S = 900
"""Length of a row of the shipped profiles in seconds."""
SECONDS_PER_DAY = HOURS_PER_DAY * int(SECONDS_PER_HOUR)
STEPS_PER_DAY = SECONDS_PER_DAY // STEP_S
STEPS_PER_HOUR = int(SECONDS_PER_HOUR) // STEP_S
DAYS_PER_WEEK = 7
N_STEPS = DAYS_IN_YEAR * STEPS_PER_DAY

CALENDAR_NAMES = ("time.day_sin", "time.day_cos", "time.year_sin", "time.year_cos")
"""Columns of `calendar_features`, in order."""


def calendar_features(start: datetime, step_s: int, n_steps: int) -> Float[np.ndarray, "time 4"]:
    """Sine and cosine of the time of day and of the position in the year, at the start of every row.

    Args:
        start: time of the first row.
        step_s: length of a row in seconds.
        n_steps: number of rows.

    Returns:
        float32, columns as `CALENDAR_NAMES`. Midnight and 1 January are angle zero; a leap year is 366 days long.

    Source: definition of the angles, docs/data.md.
    """
    times = np.datetime64(start, "s") + np.arange(n_steps) * np.timedelta64(step_s, "s")
    day_share = (times - times.astype("datetime64[D]")) / np.timedelta64(SECONDS_PER_DAY, "s")
    year = times.astype("datetime64[Y]")
    new_year, next_new_year = year.astype("datetime64[s]"), (year + 1).astype("datetime64[s]")
    year_share = (times - new_year) / (next_new_year - new_year)
    day_angle, year_angle = 2 * np.pi * day_share, 2 * np.pi * year_share
    columns = (np.sin(day_angle), np.cos(day_angle), np.sin(year_angle), np.cos(year_angle))
    return np.stack(columns, axis=1).astype(np.float32)
