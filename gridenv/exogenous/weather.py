"""Outdoor temperature on the calendar of the profiles, drawn from a climate or read from a file; imports no JAX.

The shipped profiles hold no weather. The temperature of the year is therefore drawn: the climate of De Bilt in the
Netherlands, a daily swing, and a random departure that lasts for days. As irradiance on windows serves a photovoltaic
profile times `IRRADIANCE_KW_M2`.
"""

import csv
from datetime import timedelta
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gridenv.core.errors import DataError, raise_collected
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.timebase import DAYS_IN_YEAR, N_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, YEAR_START

OUTDOOR_NAME = "outdoor_temp_c"
"""Name of the column in a scenario and in a file."""
SUN_NAME = "PV1"
"""Profile that stands for the sunshine."""
IRRADIANCE_KW_M2 = 1.0
"""Irradiance at share 1 of a photovoltaic profile.

Source: ratings are at 1000 W/m2, IEC 60904-3. Assumed: the profile, 575 to 697 full-load hours a year, follows the
irradiance on the windows of a house; 600 kWh/m2 a year is what a mean of its facades receives at this latitude.
"""

MONTHLY_MEAN_C = (3.6, 3.9, 6.5, 9.9, 13.4, 16.2, 18.3, 17.9, 14.7, 10.9, 7.0, 4.2)
"""Mean temperature from January to December. Source: KNMI, climate normals 1991-2020, station 260 De Bilt."""
_SWING_C, _SWING_SEASON_C = 3.75, 1.25
"""Half the range of a mean day over the year, and how much more it is in mid-July and less in mid-January.

Source: mean daily extremes at De Bilt, about 23 and 13 degC in July, 6 and 1 degC in January (KNMI normals 1991-2020).
"""
_WARMEST_HOUR = 15.0
"""Assumed: two and a half hours after solar noon, which is near 12:40 at UTC+1; usual on clear days."""
_MID_JANUARY_DAYS = 15.0
_HARMONICS = 3
"""Waves a year that the monthly means are joined with; leaves 0.3 K at most."""
_LASTING_H = 72.0
"""Time constant of departures from the climate.

Assumed: it gives daily means a correlation of 0.81 from one day to the next; about 0.8 is usual in western Europe.
"""
_DEPARTURE_C, _DEPARTURE_SEASON_C = 3.5, 0.5
"""Standard deviation of departures over the year, and how much more in mid-January. Assumed: 4 K in winter, 3 K in
summer, as usual in a maritime climate."""
_LOWEST_C, _HIGHEST_C = -60.0, 60.0
_MAX_REPORTED = 5


def load_temperature(seed: int = 0) -> Float[np.ndarray, " time"]:
    """Outdoor temperature in degC for every quarter-hour of the profile calendar; the same for the same seed.

    The climate of `climate_temperature` plus a departure: a stationary Ornstein-Uhlenbeck process, sampled exactly.

    Args:
        seed: choice of the year, at least 0.

    Returns:
        float32 [35136].

    Raises:
        DataError: if the seed is negative.

    Source: Uhlenbeck and Ornstein 1930, doi:10.1103/PhysRev.36.823, for the process; its two figures are assumed.
    """
    if seed < 0:
        raise DataError(f"load_temperature: seed is {seed}; allowed: a whole number >= 0; choose another")
    kept = np.exp(-1.0 / (STEPS_PER_HOUR * _LASTING_H))
    noise = np.random.default_rng(seed).standard_normal(N_STEPS)
    noise[1:] *= np.sqrt(1.0 - kept**2)
    departure, level = np.empty(N_STEPS), 0.0
    for row, shock in enumerate(noise):
        level = kept * level + shock
        departure[row] = level
    spread_c = _DEPARTURE_C + _DEPARTURE_SEASON_C * _season()
    return (climate_temperature() + spread_c * departure).astype(np.float32)


def climate_temperature() -> Float[np.ndarray, " time"]:
    """Temperature in degC to expect at every quarter-hour of the calendar: the year's course and the mean day's.

    Source: `MONTHLY_MEAN_C`. Assumed: a mean day is a sine wave.
    """
    hour = np.arange(N_STEPS) % STEPS_PER_DAY / STEPS_PER_HOUR
    swing_c = _SWING_C - _SWING_SEASON_C * _season()
    return _year_course() + swing_c * np.cos(2 * np.pi * (hour - _WARMEST_HOUR) / HOURS_PER_DAY)


def read_temperature(path: str | Path) -> Float[np.ndarray, " time"]:
    """Outdoor temperature in degC from a CSV file with a column `outdoor_temp_c`.

    Args:
        path: file with a header and one row for every quarter-hour of the calendar (35136), or one for every hour
            (8784): hourly values hold at the start of their hour and are joined by straight lines.

    Returns:
        float32 [35136].

    Raises:
        DataError: if the file or the column is missing, the number of rows is another, or a value is not a number of
            degC in -60..60.
    """
    texts = _read_column(Path(path))
    n_hours = N_STEPS // STEPS_PER_HOUR
    problems = []
    if len(texts) not in (N_STEPS, n_hours):
        problems.append(
            f"{len(texts)} rows of values; allowed: {N_STEPS} quarter-hours or {n_hours} hours from {YEAR_START}; "
            "cut or fill the rest"
        )
    values = np.array([_number(text) for text in texts])
    bad = np.flatnonzero(~((values >= _LOWEST_C) & (values <= _HIGHEST_C)))
    problems += [
        f"line {row + 2}, column '{OUTDOOR_NAME}' is '{texts[row]}'; allowed: a number of degC in "
        f"{_LOWEST_C:g}..{_HIGHEST_C:g}; correct it"
        for row in bad[:_MAX_REPORTED]
    ]
    if len(bad) > _MAX_REPORTED:
        problems.append(f"{len(bad) - _MAX_REPORTED} more values are not allowed")
    raise_collected([f"temperature file '{path}': {p}" for p in problems], DataError)
    rows = np.arange(N_STEPS) * (len(values) / N_STEPS)
    return np.interp(rows, np.arange(len(values)), values).astype(np.float32)


def _read_column(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"temperature file '{path}': no such file; give the path of a CSV file")
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if OUTDOOR_NAME not in (table.fieldnames or ()):
            raise DataError(
                f"temperature file '{path}': column '{OUTDOOR_NAME}' is missing; found: "
                f"{', '.join(table.fieldnames or ()) or 'none'}; name the columns in the first line"
            )
        return [row[OUTDOOR_NAME] or "" for row in table]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _season() -> Float[np.ndarray, " time"]:
    """1 in mid-January, -1 in mid-July."""
    day = np.arange(N_STEPS) / STEPS_PER_DAY
    return np.cos(2 * np.pi * (day - _MID_JANUARY_DAYS) / DAYS_IN_YEAR)


def _year_course() -> Float[np.ndarray, " time"]:
    """Smooth course of which the monthly means are nearest to the normals, by least squares."""
    angle = 2 * np.pi * np.arange(N_STEPS) / N_STEPS
    waves = [f(k * angle) for k in range(1, _HARMONICS + 1) for f in (np.cos, np.sin)]
    columns = np.stack([np.ones(N_STEPS), *waves], axis=1)
    months = np.repeat([(YEAR_START + timedelta(days=d)).month for d in range(DAYS_IN_YEAR)], STEPS_PER_DAY)
    means = np.stack([columns[months == m].mean(axis=0) for m in range(1, len(MONTHLY_MEAN_C) + 1)])
    return columns @ np.linalg.lstsq(means, np.asarray(MONTHLY_MEAN_C), rcond=None)[0]
