"""Charging sessions drawn from published statistics, by a seeded generator; imports no JAX.

What is drawn, from where, and what is assumed: docs/devices/ev_charger.md, section "Sessions".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.cccv import charged_kwh
from gridenv.exogenous.ev_sessions import SessionTable, build_sessions
from gridenv.exogenous.timebase import (
    DAYS_IN_YEAR,
    DAYS_PER_WEEK,
    N_STEPS,
    STEPS_PER_HOUR,
    YEAR_START,
)

_MIN_STAY_STEPS = 2
_SUMMER_TIME_DAYS = (86, 303)
"""27 March to 29 October 2016, when people live an hour earlier on the scenario's clock (docs/data.md)."""
_SATURDAY = 5
_MIN_ARRIVAL_SOC = 0.1
_FULL_SOC = 0.95
"""Assumed: an owner calls this full; the model reaches 1.0 only after an infinite time."""
_FULL_SHARE = 0.65
"""Source: My Electric Avenue trial results: more than 65 % of vehicles are charged until the battery is full."""
_PARTIAL_SOC = (0.6, 0.9)
"""Assumed: where other owners stop."""
_REACHABLE_SHARE = 0.98
"""Assumed: nobody asks for more than this share of what full power from arrival to departure gives."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One reason for which vehicles come to a charger, at most once a day; hours count from midnight, local time."""

    per_weekday: float
    """Probability of coming on a day from Monday to Friday; some then find the charger taken and go elsewhere."""
    per_weekend_day: float
    arrival_h: tuple[float, float]
    """Mean and standard deviation of a normal distribution."""
    departure_h: tuple[float, float]
    """Mean and standard deviation; beyond 24 on the next day."""
    e_median_kwh: float
    """Median energy at the meter of a log-normal distribution."""
    e_log_sd: float
    """Standard deviation of the logarithm of the energy."""


def _median_of(mean: float, log_sd: float) -> float:
    """Median of a log-normal distribution with this mean."""
    return mean * float(np.exp(-(log_sd**2) / 2))


_WORK_LOG_SD = 0.55
"""Spread of energies at work. Source: standard deviation of log(kwhTotal) over the 3,315 sessions above 0.2 kWh in the
data of O. I. Asensio et al., "Electric vehicle charging stations in the workplace with high-resolution data from casual
and habitual users", Scientific Data 8 (2021) 168: 0.548."""
_HOME_LOG_SD = 0.88
"""Spread of energies at home. Source: that of daily distances in the US National Household Travel Survey 2001, fitted
by L. Tian et al., "A statistical model for charging power demand of electric vehicles", Power System Technology 34
(2010) 126-130."""

VISITS = MappingProxyType(
    {
        "home": (
            Visit(
                per_weekday=0.7,
                per_weekend_day=0.0,
                arrival_h=(17.6, 3.4),
                departure_h=(32.0, 1.5),
                e_median_kwh=7.5,
                e_log_sd=_HOME_LOG_SD,
            ),
            Visit(
                per_weekday=0.0,
                per_weekend_day=0.7,
                arrival_h=(14.0, 3.4),
                departure_h=(34.0, 2.0),
                e_median_kwh=7.5,
                e_log_sd=_HOME_LOG_SD,
            ),
        ),
        "work": (
            Visit(
                per_weekday=0.43,
                per_weekend_day=0.0,
                arrival_h=(7.1, 1.0),
                departure_h=(16.5, 1.0),
                e_median_kwh=_median_of(16.1, _WORK_LOG_SD),
                e_log_sd=_WORK_LOG_SD,
            ),
            Visit(
                per_weekday=0.62,
                per_weekend_day=0.05,
                arrival_h=(11.1, 1.5),
                departure_h=(15.1, 1.5),
                e_median_kwh=_median_of(11.8, _WORK_LOG_SD),
                e_log_sd=_WORK_LOG_SD,
            ),
        ),
        "public": (
            Visit(
                per_weekday=0.35,
                per_weekend_day=0.0,
                arrival_h=(8.85, 1.5),
                departure_h=(17.2, 1.5),
                e_median_kwh=_median_of(8.4, _WORK_LOG_SD),
                e_log_sd=_WORK_LOG_SD,
            ),
            Visit(
                per_weekday=0.35,
                per_weekend_day=0.7,
                arrival_h=(13.75, 2.0),
                departure_h=(16.2, 2.0),
                e_median_kwh=_median_of(8.4, _WORK_LOG_SD),
                e_log_sd=_WORK_LOG_SD,
            ),
        ),
    }
)
"""Kind of charger -> its visits. Sources, number by number: docs/devices/ev_charger.md, section "Sessions"."""

VEHICLES = ((39.0, 6.6), (52.0, 22.0), (58.0, 11.0), (77.0, 11.0))
"""Usable capacity (kWh) and alternating-current power (kW) of the vehicles drawn, each as often.

Source: makers' data of Nissan Leaf (2018), Renault Zoe (2020), VW ID.3 and ID.4, rounded. Assumed: equal shares.
"""


def generate_sessions(
    kind: str,
    n_chargers: int,
    seed: int,
    *,
    v2g_share: float = 0.5,
    p_charger_kw: float = 11.0,
    eff_charge: float = 0.9,
    transition_soc: float = 0.8,
) -> SessionTable:
    """A year of sessions; the same arguments give the same table.

    Every session can be met: full power from arrival gives the energy asked before departure, with charger, efficiency
    and taper as given here. At home a charger sees one vehicle all year, elsewhere each session brings another.

    Args:
        kind: `home`, `work` or `public`.
        n_chargers: how many chargers of this kind.
        seed: of the generator, >= 0.
        v2g_share: probability that an owner (at home), or a visitor, consents to feeding the network.
        p_charger_kw: most that a charger gives, alternating current.
        eff_charge: share of the energy at the meter that reaches the battery.
        transition_soc: where the taper begins.

    Raises:
        ConfigError: for all arguments out of range.

    Source: docs/devices/ev_charger.md, section "Sessions".
    """
    raise_collected(_problems(kind, n_chargers, seed, v2g_share, p_charger_kw, eff_charge, transition_soc), ConfigError)
    rng = np.random.default_rng(seed)
    charger, arrival, departure, e_meter_kwh = _keep_apart(*_draw_stays(rng, VISITS[kind], n_chargers))
    n = len(charger)
    drawn_for = charger if kind == "home" else np.arange(n)
    battery_kwh, p_max_kw = np.array(VEHICLES)[rng.integers(len(VEHICLES), size=max(n, n_chargers))[drawn_for]].T
    consents = rng.random(max(n, n_chargers))[drawn_for]
    full = rng.random(n) < _FULL_SHARE
    target_kwh = np.where(full, _FULL_SOC, rng.uniform(*_PARTIAL_SOC, size=n)) * battery_kwh
    e_arrival_kwh = np.maximum(target_kwh - e_meter_kwh * eff_charge, _MIN_ARRIVAL_SOC * battery_kwh)
    reachable_kwh = charged_kwh(
        e_arrival_kwh,
        battery_kwh,
        p_max_kw * eff_charge,
        np.minimum(p_max_kw, p_charger_kw) * eff_charge,
        transition_soc,
        (departure - arrival) / STEPS_PER_HOUR,
    )
    return build_sessions(
        n_chargers=n_chargers,
        charger=charger,
        arrival_step=arrival,
        departure_step=departure,
        e_asked_kwh=np.minimum(target_kwh - e_arrival_kwh, _REACHABLE_SHARE * reachable_kwh),
        battery_kwh=battery_kwh,
        e_arrival_kwh=e_arrival_kwh,
        p_max_kw=p_max_kw,
        v2g_consent=consents < v2g_share,
    )


def _problems(
    kind: str,
    n_chargers: int,
    seed: int,
    v2g_share: float,
    p_charger_kw: float,
    eff_charge: float,
    transition_soc: float,
) -> list[str]:
    checks = (
        (n_chargers >= 1, "n_chargers", n_chargers, ">= 1"),
        (seed >= 0, "seed", seed, ">= 0"),
        (0 <= v2g_share <= 1, "v2g_share", v2g_share, "0..1"),
        (0 < p_charger_kw < np.inf, "p_charger_kw", p_charger_kw, "> 0 and finite"),
        (0 < eff_charge <= 1, "eff_charge", eff_charge, "> 0 and <= 1"),
        (0 <= transition_soc < 1, "transition_soc", transition_soc, ">= 0 and < 1"),
    )
    problems = [
        f"ev sessions '{kind}': {name} = {value}; allowed: {allowed}; correct it"
        for ok, name, value, allowed in checks
        if not ok
    ]
    if kind not in VISITS:
        problems.insert(0, f"ev sessions: unknown kind '{kind}'{did_you_mean(kind, VISITS)}")
    return problems


def _draw_stays(
    rng: np.random.Generator, visits: tuple[Visit, ...], n_chargers: int
) -> tuple[Int[np.ndarray, " stay"], Int[np.ndarray, " stay"], Int[np.ndarray, " stay"], Float[np.ndarray, " stay"]]:
    """Charger, first step, step of departure and energy at the meter of every visit that happens, overlaps included."""
    days = np.arange(DAYS_IN_YEAR)
    weekend = (YEAR_START.weekday() + days) % DAYS_PER_WEEK >= _SATURDAY
    first, after = _SUMMER_TIME_DAYS
    clock_shift_h = np.where((days >= first) & (days < after), -1.0, 0.0)
    shape = (n_chargers, DAYS_IN_YEAR)
    parts = []
    for visit in visits:
        happens = rng.random(shape) < np.where(weekend, visit.per_weekend_day, visit.per_weekday)
        midnight_h = days * float(HOURS_PER_DAY) + clock_shift_h
        arrival = _as_steps(midnight_h + rng.normal(*visit.arrival_h, size=shape))
        departure = _as_steps(midnight_h + rng.normal(*visit.departure_h, size=shape))
        e_meter_kwh = visit.e_median_kwh * np.exp(rng.normal(0.0, visit.e_log_sd, size=shape))
        departure = np.maximum(departure, arrival + _MIN_STAY_STEPS)
        charger = np.broadcast_to(np.arange(n_chargers)[:, None], shape)
        parts.append([column[happens] for column in (charger, arrival, departure, e_meter_kwh)])
    charger, arrival, departure, e_meter_kwh = (np.concatenate(column) for column in zip(*parts, strict=True))
    return charger, arrival, departure, e_meter_kwh


def _as_steps(hours: Float[np.ndarray, "charger day"]) -> Int[np.ndarray, "charger day"]:
    return np.rint(hours * STEPS_PER_HOUR).astype(np.int64)


def _keep_apart(
    charger: Int[np.ndarray, " stay"],
    arrival: Int[np.ndarray, " stay"],
    departure: Int[np.ndarray, " stay"],
    e_meter_kwh: Float[np.ndarray, " stay"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The stays inside the year that find their charger free; a vehicle that finds it taken goes elsewhere."""
    order = np.lexsort((arrival, charger))
    order = order[(arrival[order] >= 0) & (departure[order] <= N_STEPS)]
    kept = np.array(list(_free(charger[order].tolist(), arrival[order].tolist(), departure[order].tolist())), np.int64)
    chosen = order[kept]
    return charger[chosen], arrival[chosen], departure[chosen], e_meter_kwh[chosen]


def _free(charger: list[int], arrival: list[int], departure: list[int]) -> Iterator[int]:
    """Positions of the stays that begin when the last one taken at the same charger is over."""
    busy_until = (-1, 0)
    for i in range(len(charger)):
        if charger[i] != busy_until[0] or arrival[i] >= busy_until[1]:
            busy_until = (charger[i], departure[i])
            yield i
