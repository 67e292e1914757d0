"""Baselines of demand response: the demand that counts as usual, from earlier days of a series without control.

Imports no JAX.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from gridenv.core.errors import ConfigError, raise_collected
from gridenv.exogenous.timebase import DAYS_PER_WEEK, STEPS_PER_DAY, STEPS_PER_HOUR, YEAR_START

_SATURDAY = 5


@dataclass(frozen=True, kw_only=True)
class BaselineMethod:
    """High X of Y: the mean of the X highest of the last Y like days without an event.

    Like days are Monday to Friday for Monday to Friday, else Saturday and Sunday; holidays count as their weekday.
    Source of the defaults: California ISO tariff section 4.13.4, "10 in 10" of up to 45 days back. Assumed: the same
    ten days for weekends, where the tariff takes four; four like days are enough, so that one number serves both.
    """

    n_days: int = 10
    """Y: like days looked at, latest first."""
    n_high: int = 10
    """X: days of these with the highest mean demand in the hours of the event; all hours where there is no event."""
    lookback_days: int = 45
    """How far back like days may lie."""
    min_days: int = 4
    """Like days that an event needs."""
    adjustment_cap: float | None = None
    """Largest relative day-of adjustment, either way; None = no adjustment. California ISO: 0.2."""
    adjustment_h: float = 3.0
    """Hours before the event whose demand is compared with the baseline."""
    adjustment_gap_h: float = 1.0
    """Hours between these and the event."""


CAISO_10_OF_10 = BaselineMethod()
"""Mean of the last ten like days, without adjustment: only days before the event count."""
CAISO_10_OF_10_ADJUSTED = BaselineMethod(adjustment_cap=0.2)
"""With the day-of adjustment of at most 20 % from the second to fourth hour before the event. Source: California ISO
tariff section 4.13.4; Baseline Accuracy Work Group Proposal 2017, section 1."""
NYISO_5_OF_10 = BaselineMethod(n_high=5, min_days=5)
"""The five highest of the last ten like days. Source: New York ISO, Emergency Demand Response Program Manual, section
5, average-day customer baseline. Assumed: the same for weekends, and without its exclusion of low-usage days."""


def method_problems(method: BaselineMethod) -> list[str]:
    """What is wrong with the settings of a method."""
    cap = method.adjustment_cap
    checks = (
        ("n_days", method.n_days, method.n_days >= 1, "1 or more"),
        ("n_high", method.n_high, 1 <= method.n_high <= method.n_days, f"1..n_days = {method.n_days}"),
        ("lookback_days", method.lookback_days, method.lookback_days >= 1, "1 or more"),
        ("min_days", method.min_days, 1 <= method.min_days <= method.n_days, f"1..n_days = {method.n_days}"),
        ("adjustment_cap", cap, cap is None or 0 <= cap < 1, "None, or 0 to below 1"),
        ("adjustment_h", method.adjustment_h, method.adjustment_h * STEPS_PER_HOUR >= 1, "at least a quarter-hour"),
        ("adjustment_gap_h", method.adjustment_gap_h, method.adjustment_gap_h >= 0, "0 or more"),
    )
    return [
        f"baseline method: {field} is {value}; allowed: {allowed}; correct it"
        for field, value, ok, allowed in checks
        if not ok
    ]


def like_days(day: int, event_days: frozenset[int], method: BaselineMethod) -> list[int]:
    """Earlier days of the same type without an event, latest first, at most `n_days`.

    Args:
        day: 0 is the first of the scenario year.
        event_days: days with an event; those after `day` do not matter.
        method: how far back to look, and for how many.
    """
    earlier = range(day - 1, max(day - method.lookback_days, 0) - 1, -1)
    alike = [d for d in earlier if d not in event_days and _is_weekend(d) == _is_weekend(day)]
    return alike[: method.n_days]


def baseline_kw(
    demand_kw: Float[np.ndarray, " time"], windows: Sequence[tuple[int, int]], method: BaselineMethod = CAISO_10_OF_10
) -> Float[np.ndarray, " time"]:
    """Baseline of every step of the scenario.

    The baseline of a day is made of earlier days only. In the steps of an event it is scaled by the day-of adjustment
    where the method has one, which looks at the same day up to `adjustment_gap_h` before the event.

    Args:
        demand_kw: demand without control, consumption positive, from the start of the scenario year, whole days.
        windows: first step and step after the last of each event, within a day each.
        method: which days count.

    Returns:
        kW, consumption positive; 0 on days without any like day before them.

    Raises:
        ConfigError: for settings of the method out of range, or a series that is not of whole days; all at once.
    """
    problems = method_problems(method)
    if len(demand_kw) == 0 or len(demand_kw) % STEPS_PER_DAY:
        problems.append(
            f"baseline: demand_kw has {len(demand_kw)} steps; allowed: whole days of {STEPS_PER_DAY}; cut or fill it"
        )
    raise_collected(problems, ConfigError)
    days = np.asarray(demand_kw, float).reshape(-1, STEPS_PER_DAY)
    is_event = np.zeros(days.shape, bool)
    for first, end in windows:
        is_event.reshape(-1)[first:end] = True
    event_days = frozenset(np.flatnonzero(is_event.any(axis=1)).tolist())
    base = np.stack([_mean_day(days, d, is_event[d], event_days, method) for d in range(len(days))]).reshape(-1)
    if method.adjustment_cap is None:
        return base
    adjusted = base.copy()
    for first, end in windows:
        adjusted[first:end] *= _adjustment(days.reshape(-1), base, first, method)
    return adjusted


def _mean_day(
    days: Float[np.ndarray, "day step"],
    day: int,
    is_event: Bool[np.ndarray, " step"],
    event_days: frozenset[int],
    method: BaselineMethod,
) -> Float[np.ndarray, " step"]:
    alike = days[like_days(day, event_days, method)]
    if len(alike) == 0:
        return np.zeros(STEPS_PER_DAY)
    hours = is_event if is_event.any() else np.ones(STEPS_PER_DAY, bool)
    # Of equal days the later one counts: they come latest first, and the sort keeps their order.
    order = np.argsort(-alike[:, hours].mean(axis=1), kind="stable")
    return alike[order[: method.n_high]].mean(axis=0)


def _adjustment(demand_kw: np.ndarray, base_kw: np.ndarray, first: int, method: BaselineMethod) -> float:
    """Ratio of demand to baseline before the event; 1 where the hours before lie in the day before or hold no load."""
    midnight = first - first % STEPS_PER_DAY
    end = first - round(method.adjustment_gap_h * STEPS_PER_HOUR)
    hours = slice(max(end - round(method.adjustment_h * STEPS_PER_HOUR), midnight), max(end, midnight))
    usual = base_kw[hours].sum()
    if not usual > 0 or method.adjustment_cap is None:
        return 1.0
    return float(np.clip(demand_kw[hours].sum() / usual, 1 - method.adjustment_cap, 1 + method.adjustment_cap))


def _is_weekend(day: int) -> bool:
    return (YEAR_START.weekday() + day) % DAYS_PER_WEEK >= _SATURDAY
