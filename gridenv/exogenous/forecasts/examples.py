"""Which rows can be learnt from; imports no JAX."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.forecasts.windows import Windows, features


def last_known_rows(series: Series, column: int, seen: Windows) -> Int[np.ndarray, " row"]:
    """Rows after which nothing is known: of published series the ends of days, else all; their features are known."""
    rows = np.flatnonzero(np.isfinite(seen.known).all(axis=1))
    if series.day_ahead[column]:
        rows = rows[rows % series.steps_per_day == series.steps_per_day - 1]
    return rows


def drawn_examples(
    series: Series, column: int, seen: Windows, horizon: int, most: int, random: np.random.Generator
) -> tuple[Float[np.ndarray, "row feature"], Float[np.ndarray, " row"]]:
    """Features and what came, of pairs of a last row known and a lead; at most `most` of them, drawn evenly."""
    actual = series.values[:, column]
    last = last_known_rows(series, column, seen)
    leads = np.arange(1, horizon + 1)
    rows = last[:, None] + leads
    inside = rows < series.n_steps
    within = np.minimum(rows, series.n_steps - 1)
    usable = np.flatnonzero(inside & np.isfinite(actual)[within] & np.isfinite(seen.target).all(axis=1)[within])
    if len(usable) > most:
        usable = np.sort(random.choice(usable, most, replace=False))
    place, lead = np.divmod(usable, horizon)
    target = last[place] + lead + 1
    return features(seen.target[target], seen.known[last[place]], lead + 1), actual[target]


def too_few(name: str, found: int, least: int) -> str:
    """Message of a series that cannot be learnt from."""
    return (
        f"forecast of '{name}': {found} rows of the training days have known days before them; allowed: {least} or "
        "more; choose a longer split"
    )


def middle(levels: Sequence[float]) -> int:
    """Which level is the single value of a forecast."""
    return list(levels).index(0.5)
