"""What forecasters look at: means and extremes of rows that are known, the same for fitting and for forecasting.

Everything is a function of the row that is forecast (same slot on past days, calendar) or of the last row known (newest
values and their departure from the days before). A forecast reaches a day ahead at most, so the same slot a day before
the target is always known. Imports no JAX.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.timebase import DAYS_PER_WEEK

HISTORY_DAYS = 7
_AROUND_H = 1
"""Hours to each side that the smooth slot mean takes in; on days that are over for every target."""
_RECENT_H = (1, 3, 24)
_MOST_RATIO = 3.0
_SMALL = 1e-3
"""Added to both sides of a ratio, so that nothing on nothing is 1; a fixed number, as the largest value of a series is
not known before it has come."""
TARGET_NAMES = (
    "slot_mean", "slot_smooth", "slot_1d", "slot_7d", "slot_std", "slot_max", "slot_min",
    "day_sin", "day_cos", "half_day_sin", "half_day_cos", "year_sin", "year_cos",
    "is_monday", "is_saturday", "is_sunday", "slot",
)  # fmt: skip
KNOWN_NAMES = ("newest", "mean_1h", "mean_24h", "above_1h", "above_3h", "above_24h", "ratio_3h")
NAMES = (*TARGET_NAMES, *KNOWN_NAMES, "smooth_by_ratio", "lead")
"""Features in the order of `features`."""
SMOOTH = TARGET_NAMES.index("slot_smooth")
_RATIO = KNOWN_NAMES.index("ratio_3h")


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Features of one series; rows that need something unknown are NaN while fitting, and filled when forecasting."""

    target: np.ndarray
    """float32 [time + day, feature] `TARGET_NAMES` by the row that is forecast."""
    known: np.ndarray
    """float32 [time, feature] `KNOWN_NAMES` by the last row known."""


def windows(series: Series, column: int, *, fill: bool) -> Windows:
    """Features of a series.

    Args:
        series: with NaN where nothing may be known.
        column: which of them.
        fill: put the best that is known in place of what is missing, as at the start of the year.
    """
    key = ("windows", column, fill)
    if key not in series.kept:
        series.kept[key] = _windows(series, column, fill)
    made: Windows = series.kept[key]
    return made


def _windows(series: Series, column: int, fill: bool) -> Windows:
    values = series.values[:, column].astype(np.float64)
    sums = _Sums(values)
    target = np.concatenate([_slot_features(series, values, sums, fill), _calendar(series)], axis=1)
    return Windows(target=target.astype(np.float32), known=_known_features(series, values, sums).astype(np.float32))


def slot_values(series: Series, column: int, days: int = HISTORY_DAYS) -> Float[np.ndarray, "row day"]:
    """Values of the same slot on the days before each row, up to a day beyond the end.

    A day before the start has the mean of the others, and the first day its first row.
    """
    key = ("slots", column, days)
    if key not in series.kept:
        values = series.values[:, column].astype(np.float64)
        series.kept[key] = _filled(_slots(series, values, days), values)
    made: np.ndarray = series.kept[key]
    return made


def features(target: Any, known: Any, lead: Any, xp: ModuleType = np) -> Any:
    """All features of forecasts [*batch, feature], in the order of `NAMES`.

    Args:
        target: [*batch, feature] rows of `Windows.target`.
        known: [*batch, feature] rows of `Windows.known`.
        lead: [*batch] steps from the last row known to the target.
        xp: `numpy` or `jax.numpy`.
    """
    scaled = target[..., SMOOTH] * known[..., _RATIO]
    return xp.concatenate([target, known, scaled[..., None], lead[..., None].astype(target.dtype)], axis=-1)


class _Sums:
    """Sums over stretches of rows; NaN where one of them is."""

    def __init__(self, values: Float[np.ndarray, " time"]) -> None:
        missing = np.isnan(values)
        self._sums = np.concatenate([[0.0], np.cumsum(np.where(missing, 0.0, values))])
        self._missing = np.concatenate([[0], np.cumsum(missing)])

    def mean(self, first: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Mean of the rows from `first` up to and without `end`; NaN where there are none."""
        known = (end > first) & (self._missing[end] == self._missing[first])
        return np.where(known, (self._sums[end] - self._sums[first]) / np.maximum(end - first, 1), np.nan)


def _slots(series: Series, values: Float[np.ndarray, " time"], days: int) -> Float[np.ndarray, "row day"]:
    per_day = series.steps_per_day
    rows = np.arange(series.n_steps + per_day)[:, None] - per_day * np.arange(1, days + 1)
    return np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)


def _filled(slots: Float[np.ndarray, "row day"], values: Float[np.ndarray, " time"]) -> Float[np.ndarray, "row day"]:
    missing = np.isnan(slots)
    if not missing.any():
        return slots
    count = (~missing).sum(axis=1, keepdims=True)
    mean = np.where(
        count > 0, np.where(missing, 0.0, slots).sum(axis=1, keepdims=True) / np.maximum(count, 1), values[0]
    )
    return np.where(missing, mean, slots)


def _slot_features(
    series: Series, values: Float[np.ndarray, " time"], sums: _Sums, fill: bool
) -> Float[np.ndarray, "row feature"]:
    slots = _slots(series, values, HISTORY_DAYS)
    slots = _filled(slots, values) if fill else slots
    per_day = series.steps_per_day
    around = _AROUND_H * per_day // 24
    # The slot a day ago can be the present one, with nothing known after it; the days before are over.
    centre = np.arange(len(slots))[:, None] - per_day * np.arange(2, HISTORY_DAYS + 1)
    first, end = np.clip(centre - around, 0, series.n_steps), np.clip(centre + around + 1, 0, series.n_steps)
    stretches = sums.mean(first, end)
    stretches = np.where(np.isnan(stretches), slots[:, 1:], stretches) if fill else stretches
    return np.stack(
        [
            slots.mean(axis=1),
            stretches.mean(axis=1),
            slots[:, 0],
            slots[:, -1],
            slots.std(axis=1),
            slots.max(axis=1),
            slots.min(axis=1),
        ],
        axis=1,
    )


def _calendar(series: Series) -> Float[np.ndarray, "row feature"]:
    rows = np.arange(series.n_steps + series.steps_per_day)
    share, weekday = series.slot_and_weekday(rows)
    year = rows / series.n_steps
    waves = [f(2 * np.pi * x) for x in (share, 2 * share, year) for f in (np.sin, np.cos)]
    days = [weekday == day for day in (0, DAYS_PER_WEEK - 2, DAYS_PER_WEEK - 1)]
    return np.stack([*waves, *days, share], axis=1)


def _known_features(
    series: Series, values: Float[np.ndarray, " time"], sums: _Sums
) -> Float[np.ndarray, "row feature"]:
    last = np.arange(series.n_steps)
    recent, above, ratio = {}, {}, None
    for hours in _RECENT_H:
        recent[hours] = _back(sums, last, hours * series.steps_per_day // 24)
        before = np.mean(
            [
                _back(sums, np.maximum(last - day * series.steps_per_day, 0), hours * series.steps_per_day // 24)
                for day in range(1, HISTORY_DAYS + 1)
            ],
            axis=0,
        )
        above[hours] = recent[hours] - before
        if hours == _RECENT_H[1]:
            ratio = np.clip((recent[hours] + _SMALL) / np.maximum(before + _SMALL, _SMALL), 0.0, _MOST_RATIO)
    assert ratio is not None
    return np.stack([values, recent[1], recent[24], *above.values(), ratio], axis=1)


def _back(sums: _Sums, last: Int[np.ndarray, " row"], n: int) -> Float[np.ndarray, " row"]:
    n = max(n, 1)
    return sums.mean(np.maximum(last + 1 - n, 0), last + 1)
