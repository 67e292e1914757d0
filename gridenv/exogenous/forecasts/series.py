"""Series to forecast, and what is known of each at a step; imports no JAX."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from gridenv.core.errors import DataError
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.timebase import DAYS_PER_WEEK

PUBLISHED_HOUR = 13
"""Hour at which day-ahead prices of the next day are known.

Source: results of the European day-ahead auction are published at about 12:45 to 13:00 CET, NEMO Committee, "Single
Day-Ahead Coupling". Assumed: an hour of the data's clock, which stays at UTC+1, all year.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Measured series on one clock that begins at a midnight, one column each."""

    names: tuple[str, ...]
    values: np.ndarray
    """float32 [time, series]; NaN where nothing may be known, as outside the training days while a model is fitted."""
    steps_per_day: int
    start_weekday: int
    """Weekday of the first row; 0 = Monday."""
    day_ahead: tuple[bool, ...]
    """Whether a series is published the day before, as prices are; the others are measured."""

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What has been computed of these series already, by name and column; goes when they go."""
        return {}

    @property
    def n_steps(self) -> int:
        """Number of rows."""
        return len(self.values)

    def known_through(self, issued: Int[np.ndarray, " issue"]) -> Int[np.ndarray, "issue series"]:
        """Last row of each series that is known at a step: the present one, or the end of the days published."""
        per_day = self.steps_per_day
        midnight = issued // per_day * per_day
        noon = PUBLISHED_HOUR * per_day // HOURS_PER_DAY
        published = midnight + per_day * np.where(issued - midnight >= noon, 2, 1) - 1
        known = np.where(np.asarray(self.day_ahead), published[:, None], issued[:, None])
        return np.minimum(known, self.n_steps - 1)

    def only(self, keep: Bool[np.ndarray, " time"]) -> "Series":
        """The same series with NaN in every row that is not to be seen."""
        return replace(self, values=np.where(keep[:, None], self.values, np.float32(np.nan)))

    def slot_and_weekday(
        self, rows: Int[np.ndarray, "*batch"]
    ) -> tuple[Float[np.ndarray, "*batch"], Int[np.ndarray, "*batch"]]:
        """Share of the day at the start of each row, and its weekday, 0 = Monday."""
        share = rows % self.steps_per_day / self.steps_per_day
        return share, (self.start_weekday + rows // self.steps_per_day) % DAYS_PER_WEEK

    def check(self, issued: Int[np.ndarray, " issue"], horizon: int) -> None:
        """Refuse a question that cannot be answered.

        Raises:
            DataError: for a horizon that is not 1 step to a day, and steps outside the series.
        """
        if not 1 <= horizon <= self.steps_per_day:
            raise DataError(
                f"forecast: horizon is {horizon} steps; allowed: 1..{self.steps_per_day}, a day; ask for fewer"
            )
        outside = issued[(issued < 0) | (issued >= self.n_steps)]
        if len(outside):
            raise DataError(
                f"forecast: issued at step {outside[0]}; allowed: 0..{self.n_steps - 1}, the rows of the series; "
                "choose another"
            )
