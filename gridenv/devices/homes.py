"""Homes with a heat pump or an air conditioner as a person states them, checks of them, and a typical population.

Source of the typical home: EN ISO 13790:2008 (simple hourly method) for masses and the exchange with the air; TABULA
(Loga et al. 2013, TABULA Calculation Method) for gains and windows; the rest is named where it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.units import SECONDS_PER_HOUR

KJ_PER_KWH = SECONDS_PER_HOUR
"""A kJ is a kW for a second."""


class System(NamedTuple):
    """How a unit turns electricity into heat or cold; see `cop`."""

    heat_sign: float
    """1 = into the home, -1 = out of it."""
    lift_k: tuple[float, float]
    """Temperature lift: constant part, and part for each degree outdoors."""
    cop: tuple[float, float, float]
    """Coefficients of the lift's powers 0, 1, 2."""
    reference_c: float
    """Outdoor temperature at which stored heat is turned into electricity."""


_IN_THE_FIELD = 0.85
"""Share of the laboratory's performance that is reached at home. Source: Ruhnau et al. 2019, as below."""
_AIR_SOURCE = (_IN_THE_FIELD * 6.0801, _IN_THE_FIELD * -0.0941, _IN_THE_FIELD * 0.0005)
"""Source: When2Heat (Ruhnau et al. 2019, doi:10.1038/s41597-019-0199-y), air source, quadratic in the lift."""

SYSTEMS = {
    "radiator": System(1.0, (40.0, -2.0), _AIR_SOURCE, 7.0),
    "floor": System(1.0, (30.0, -1.5), _AIR_SOURCE, 7.0),
    "cooling": System(-1.0, (0.0, 1.0), (7.1, -0.1, 0.0), 35.0),
}
"""Air-source units by what they feed.

Source: heating curves of When2Heat, water at 40 - T for radiators and at 30 - T / 2 for floors; the lift is the water's
temperature less T. Reference temperatures are the rating points of EN 14511, 7 and 35 degC. Assumed for cooling: 3.6 at
35 degC, as a good split unit, and 0.1 more for each degree less.
"""

_LIFT_RANGE_K = (15.0, 90.0)
"""Source: lifts below 15 K count as 15 K, When2Heat. Assumed: at most 90 K, where the fitted curve turns up again."""


def cop(lift_k: Any, coefficients: Any, out_c: Any) -> Any:
    """Heat or cold for each kWh of electricity, at least 1.

    Args:
        lift_k: [2, unit], as in `System`.
        coefficients: [3, unit].
        out_c: outdoor temperature.

    Arrays of NumPy or JAX, whose kind is returned. Source: `SYSTEMS`. Assumed: it does not depend on the load.
    """
    lift = (lift_k[0] + lift_k[1] * out_c).clip(*_LIFT_RANGE_K)
    return (coefficients[0] + lift * (coefficients[1] + lift * coefficients[2])).clip(1.0)


def curves(systems: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lift [2, unit] and coefficients [3, unit] of units."""
    return np.array([SYSTEMS[s].lift_k for s in systems]).T, np.array([SYSTEMS[s].cop for s in systems]).T


@dataclass(frozen=True, kw_only=True, eq=False)
class Homes:
    """A group of homes; a field takes one value for all of them, or one each."""

    c_air_kwh_k: Any
    """Heat capacity of the air and the furniture."""
    c_mass_kwh_k: Any
    """Heat capacity of walls, floors and ceilings."""
    h_air_mass_kw_k: Any
    """Conductance between them."""
    h_air_out_kw_k: Any
    """Conductance from the air to outdoors: windows, ventilation."""
    p_max_kw: Any
    """Largest electrical power of the unit."""
    h_mass_out_kw_k: Any = 0.0
    """Conductance from the mass to outdoors: walls, roof."""
    system: Any = "radiator"
    """One of `SYSTEMS`."""
    min_part: Any = 0.3
    """Smallest share of the largest power that the compressor runs at; 1 = it is either on or off.

    Assumed: inverter-driven units turn down to about 30 %.
    """
    power_factor: Any = 0.95
    """Of the unit, lagging. Assumed: between a plain motor, 0.85, and a corrected inverter, 0.99."""
    window_m2: Any = 0.0
    """Area that lets in all of the irradiance on it: windows times frame, shading and glazing factors."""
    gain_kw: Any = 0.0
    """Heat of people and appliances."""
    setpoint_c: Any = 21.0
    """Air temperature the thermostat keeps, and that episodes begin with."""
    deadband_k: Any = 1.0
    """Width of the thermostat's hysteresis, of units that are on or off."""
    comfort_low_c: Any = 20.0
    comfort_high_c: Any = 25.0
    """Band without a comfort cost. Source: EN 15251:2007 table A.3, category II, living spaces, heating season."""
    hard_low_c: Any = 15.0
    hard_high_c: Any = 30.0
    """Beyond them the unit's own protection takes over. Assumed: far enough from comfort not to act in normal use."""
    comfort_eur_per_k_h: Any = 0.2
    """Price of a degree outside the band for an hour. Assumed: some ten times the energy that it saves."""
    stock_eur_per_kwh: Any = 0.045
    """Price of the stored heat, per kWh of the electricity it takes at the reference temperature.

    Source: mean day-ahead price of Germany in 2018, 44.5 EUR/MWh (SMARD). Set it to the mean of what a task charges.
    """


_POSITIVE = ("c_air_kwh_k", "c_mass_kwh_k", "h_air_mass_kw_k")
_NOT_NEGATIVE = (
    "h_air_out_kw_k",
    "h_mass_out_kw_k",
    "p_max_kw",
    "window_m2",
    "gain_kw",
    "deadband_k",
    "comfort_eur_per_k_h",
    "stock_eur_per_kwh",
)
_SHARES = ("min_part", "power_factor")
_RISING = ("hard_low_c", "comfort_low_c", "setpoint_c", "comfort_high_c", "hard_high_c")


def checked(names: Sequence[str], homes: Homes) -> Homes:
    """The same homes with every field as an array [unit].

    Raises:
        ConfigError: for all fields of another length, values out of range and unknown systems at once.
    """
    raise_collected(_length_problems(names, homes), ConfigError)
    wide = {f.name: np.broadcast_to(np.asarray(getattr(homes, f.name)), (len(names),)) for f in fields(homes)}
    problems: list[str] = []
    for i, name in enumerate(names):
        problems += [f"{name}: {p}" for p in _home_problems({field: values[i] for field, values in wide.items()})]
    raise_collected(problems, ConfigError)
    return replace(homes, **{field: v if field == "system" else v.astype(float) for field, v in wide.items()})


def _length_problems(names: Sequence[str], homes: Homes) -> list[str]:
    found = []
    for field in fields(homes):
        values = np.asarray(getattr(homes, field.name))
        if values.shape not in ((), (1,), (len(names),)):
            found.append(
                f"homes: {field.name} has shape {values.shape}; allowed: one value, or {len(names)}; give a value for "
                "each home"
            )
        elif field.name != "system" and values.dtype.kind not in "fiu":
            found.append(f"homes: {field.name} has type {values.dtype}; allowed: numbers; correct it")
    return found


def _home_problems(home: dict[str, Any]) -> list[str]:
    found = [f"{f} is {home[f]:g}; allowed: a number > 0; correct it" for f in _POSITIVE if not _finite(home[f]) > 0]
    found += [
        f"{f} is {home[f]:g}; allowed: a number >= 0; correct it" for f in _NOT_NEGATIVE if not _finite(home[f]) >= 0
    ]
    found += [
        f"{f} is {home[f]:g}; allowed: a share above 0, at most 1; correct it" for f in _SHARES if not 0 < home[f] <= 1
    ]
    if home["h_air_out_kw_k"] == 0 and home["h_mass_out_kw_k"] == 0:
        found.append("h_air_out_kw_k and h_mass_out_kw_k are 0; allowed: a loss to outdoors; give one of them")
    temperatures = np.array([home[f] for f in _RISING], float)
    if not (np.isfinite(temperatures).all() and (np.diff(temperatures) >= 0).all()):
        stated = ", ".join(f"{f} {home[f]:g}" for f in _RISING)
        found.append(f"{stated}; allowed: rising in this order; correct them")
    if home["system"] not in SYSTEMS:
        found.append(f"system is '{home['system']}'{did_you_mean(str(home['system']), SYSTEMS)}")
    return found


def _finite(value: float) -> float:
    """The value, or one that no comparison accepts."""
    return value if np.isfinite(value) else np.nan


_FLOOR_M2 = (80.0, 160.0)
"""Assumed: about the mean Dutch dwelling of 120 m2."""
_LOSS_KW_M2_K = (0.0011, 0.0030)
"""Heat loss for each degree and square metre of floor.

Source: specific heat loads of 35 to 95 W/m2 of detached houses, efficient new ones to those of 1978-83 (Viessmann
planning values), over 32 K, 20 degC indoors and -12 degC outdoors.
"""
_AIR_LOSS_SHARE = 0.5
"""Of the loss, through windows and ventilation. Assumed: about half in insulated houses."""
_AIR_KJ_M2_K = 10.0
"""Source: air and furniture, EN ISO 52016-1:2017 table B.17."""
_MASS_CLASSES = ((110.0, 2.5), (165.0, 2.5), (260.0, 3.0))
"""Light, medium, heavy: capacity in kJ/(m2 K) and effective mass area, for each m2 of floor.

Source: EN ISO 13790:2008 table 12.
"""
_H_AIR_SURFACE, _SURFACE_PER_FLOOR, _H_SURFACE_MASS = 0.00345, 4.5, 0.0091
"""kW/(m2 K), surfaces for each m2 of floor, kW/(m2 K). Source: EN ISO 13790:2008 clauses 7.2.2.2 and 12.2.2."""
_GAIN_KW_M2 = 0.003
"""Source: TABULA, internal heat sources."""
_WINDOW_SHARE = (0.12, 0.20)
"""Window area for each m2 of floor. Assumed: around the 1/8 that building codes ask for, and more."""
_WINDOW_FACTOR = 0.6 * (1 - 0.3) * 0.9 * 0.6
"""Shading, frame, oblique incidence (TABULA), and a g-value of 0.6 for double glazing."""
_DESIGN_C, _INDOOR_C = -10.0, 20.0
"""Source: design outdoor temperature of the Netherlands, NEN-EN 12831 national annex."""
_OVERSIZE = (1.1, 1.3)
"""Capacity over the design load. Assumed: the next size that is sold."""
_COOLING_K, _COOLING_KW_M2 = 10.0, 0.5
"""Design of an air conditioner: degrees warmer outdoors, and irradiance on the windows. Assumed: a hot summer day."""
_COOLING_BAND_C = (24.5, 23.0, 26.0)
"""Setpoint and band. Source: EN 15251:2007 table A.3, category II, living spaces, cooling season; middle of it."""


def draw_homes(n: int, seed: int, *, cooling: bool = False, on_off_share: float = 0.0) -> Homes:
    """A population of different homes; the same for the same seed.

    Args:
        n: number of homes.
        seed: choice of the population.
        cooling: with air conditioners; otherwise with heat pumps, half of them on radiators and half on floors.
        on_off_share: share of units that are either on or off, others are inverter-driven.

    Raises:
        ConfigError: if `n` is below 1 or the share outside 0..1.

    Source: the constants above. Assumed: uniform within their ranges, independent of each other.
    """
    problems = [] if n >= 1 else [f"draw_homes: n is {n}; allowed: at least 1; correct it"]
    if not 0 <= on_off_share <= 1:
        problems.append(f"draw_homes: on_off_share is {on_off_share:g}; allowed: 0..1; correct it")
    raise_collected(problems, ConfigError)
    rng = np.random.default_rng(seed)
    floor_m2 = rng.uniform(*_FLOOR_M2, n)
    loss_kw_k = rng.uniform(*_LOSS_KW_M2_K, n) * floor_m2
    capacity_kj, mass_area = np.array(_MASS_CLASSES)[rng.integers(len(_MASS_CLASSES), size=n)].T
    window_m2 = rng.uniform(*_WINDOW_SHARE, n) * _WINDOW_FACTOR * floor_m2
    oversize = rng.uniform(*_OVERSIZE, n)
    is_floor, is_on_off = rng.random(n) < 0.5, rng.random(n) < on_off_share
    system = np.where(cooling, "cooling", np.where(is_floor, "floor", "radiator"))
    resistance = 1 / (_H_AIR_SURFACE * _SURFACE_PER_FLOOR) + 1 / (_H_SURFACE_MASS * mass_area)
    h_air_mass = floor_m2 / resistance
    through_mass = (1 - _AIR_LOSS_SHARE) * loss_kw_k
    gain_kw = _GAIN_KW_M2 * floor_m2
    heating_kw = loss_kw_k * (_INDOOR_C - _DESIGN_C)
    cooling_kw = loss_kw_k * _COOLING_K + gain_kw + _COOLING_KW_M2 * window_m2
    design_c = SYSTEMS["cooling"].reference_c if cooling else _DESIGN_C
    band = dict(zip(("setpoint_c", "comfort_low_c", "comfort_high_c"), _COOLING_BAND_C, strict=True))
    return Homes(
        c_air_kwh_k=_AIR_KJ_M2_K * floor_m2 / KJ_PER_KWH,
        c_mass_kwh_k=capacity_kj * floor_m2 / KJ_PER_KWH,
        h_air_mass_kw_k=h_air_mass,
        h_air_out_kw_k=_AIR_LOSS_SHARE * loss_kw_k,
        # In series with the exchange between air and mass it gives its share of the loss.
        h_mass_out_kw_k=1 / (1 / through_mass - 1 / h_air_mass),
        p_max_kw=oversize * (cooling_kw if cooling else heating_kw) / cop(*curves(system), design_c),
        system=system,
        min_part=np.where(is_on_off, 1.0, 0.3),
        window_m2=window_m2,
        gain_kw=gain_kw,
        **(band if cooling else {}),
    )
