"""The exogenous table as one argument of a compiled program, and reading rows from it."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from gridenv.core.errors import DataError, did_you_mean, raise_collected
from gridenv.core.pytree import pytree, static
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.files import repeated_names, unknown_names
from gridenv.exogenous.prices import load_price, price_zones
from gridenv.exogenous.profiles import ProfileTable, load_profiles
from gridenv.exogenous.timebase import CALENDAR_NAMES, DAYS_PER_WEEK, N_STEPS, STEP_S, YEAR_START, calendar_features

PRICE_NAME = "price_eur_mwh"
"""Name of the price column."""


@pytree
class Scenario:
    """What comes from outside over time, shared by all environments; an episode is a start step in it.

    One column a series, never one an element: elements hold the index of their column and a rating.
    """

    values: Array
    """float32 [time, series], row-major. Profiles are relative to ratings, prices in EUR/MWh, calendar in -1..1."""
    names: tuple[str, ...] = static()
    """Names of the columns."""
    dt_h: float = static()
    """Length of a row in hours."""
    start_weekday: int = static()
    """Weekday of the first row; 0 = Monday."""
    forecasts: Array | None = None
    """float32 [time, horizon, series] what a forecaster says at each row of the rows after it, units as `values`; None
    where forecasts are made of what will be."""
    forecast_names: tuple[str, ...] = static(default=())
    """Series of `forecasts`, in order."""

    @property
    def n_steps(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def steps_per_day(self) -> int:
        """Rows in a day."""
        return round(HOURS_PER_DAY / self.dt_h)

    def column(self, name: str) -> int:
        """Position of a series in the last axis; known when the program is compiled.

        Raises:
            DataError: if there is no such series; the message suggests the closest one.
        """
        if name not in self.names:
            raise DataError(f"scenario: unknown series '{name}'{did_you_mean(name, self.names)}")
        return self.names.index(name)


def sample(scenario: Scenario, t: Int[ArrayLike, "*batch"]) -> Float[Array, "*batch series"]:
    """The row at step t.

    Args:
        t: step from the start of the scenario. Steps beyond the last row give the last row, steps before the first
            give the first.

    Returns:
        Units as the columns of `scenario.values`.
    """
    return jnp.take(scenario.values, t, axis=0, mode="clip")


def sample_window(
    scenario: Scenario, t: Int[ArrayLike, "*batch"], horizon: int
) -> Float[Array, "*batch horizon series"]:
    """The rows t, t + 1, ..., t + horizon - 1: a forecast without error, the present row first.

    Args:
        t: step from the start of the scenario.
        horizon: number of rows with the present one, at least 1; known when the program is compiled. From any row of a
            split and from the midnight that ends it, a horizon of up to a day (96 rows, so 95 steps ahead) reads only
            the split and the gap day that follows. Beyond the end of the table the last row is repeated.

    Returns:
        Units as the columns of `scenario.values`.

    Raises:
        DataError: if the horizon is not positive.
    """
    if horizon < 1:
        raise DataError(f"sample_window: horizon must be >= 1 row, got {horizon}; ask for the present row with 1")
    first = jnp.asarray(t)[..., None]
    ahead = jnp.arange(horizon, dtype=first.dtype).reshape((1,) * (first.ndim - 1) + (horizon,))
    return sample(scenario, first + ahead)


def weekday(scenario: Scenario, t: Int[ArrayLike, "*batch"]) -> Int[Array, "*batch"]:
    """Weekday of step t; 0 = Monday."""
    return (scenario.start_weekday + jnp.asarray(t) // scenario.steps_per_day) % DAYS_PER_WEEK


def build_scenario(
    profile_names: Sequence[str],
    price_zone: str | None = None,
    *,
    table: ProfileTable | None = None,
    further: Mapping[str, np.ndarray] | None = None,
) -> Scenario:
    """The named profiles, further series, a price and the calendar as one table on the default device.

    Args:
        profile_names: columns of the profile table, in the order wanted; `<profile>_pload` and `<profile>_qload` are
            two of them.
        price_zone: market area of the column `price_eur_mwh`; no such column if left out.
        table: profiles to use instead of the shipped ones; prices need the shipped calendar.
        further: series by name, as many rows as the profiles.

    Returns:
        Columns: the profiles, the further series, the price, then `time.day_sin`, `time.day_cos`, `time.year_sin`,
        `time.year_cos`.

    Raises:
        DataError: for all unknown or repeated profiles, an unknown zone, or prices on another calendar.
    """
    table = load_profiles() if table is None else table
    problems = unknown_names(profile_names, table.names, "profile") + repeated_names(tuple(profile_names), "profile")
    raise_collected(problems + _price_problems(price_zone, table), DataError)
    profiles = table.select(profile_names)
    blocks = [profiles.values]
    names = profiles.names
    for name, values in (further or {}).items():
        blocks.append(np.asarray(values, np.float32)[:, None])
        names += (name,)
    if price_zone is not None:
        blocks.append(load_price(price_zone)[:, None])
        names += (PRICE_NAME,)
    blocks.append(calendar_features(table.start, table.step_s, len(table.values)))
    values = np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)
    return Scenario(
        values=jnp.asarray(values), names=names + CALENDAR_NAMES, dt_h=table.dt_h, start_weekday=table.start.weekday()
    )


def _price_problems(zone: str | None, table: ProfileTable) -> list[str]:
    if zone is None:
        return []
    found = unknown_names([zone], price_zones(), "price zone")
    calendar = (table.start, table.step_s, len(table.values))
    if calendar != (YEAR_START, STEP_S, N_STEPS):
        found.append(
            f"price zone '{zone}': profiles have {calendar[2]} rows of {calendar[1]} s from {calendar[0]}; prices need "
            f"{N_STEPS} rows of {STEP_S} s from {YEAR_START}; leave price_zone out or resample the profiles"
        )
    return found
