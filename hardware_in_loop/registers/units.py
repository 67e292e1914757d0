"""Units of registers and of channels, and the factors between them."""

from collections.abc import Mapping

from gridenv.core.units import (
    A_PER_KA,
    KVA_PER_MVA,
    KVAR_PER_MVAR,
    KW_PER_MW,
    PERCENT,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    VOLTS_PER_KV,
)
from hardware_in_loop.errors import RigFileError

_KILO = 1000.0
_UNITS: Mapping[str, tuple[str, float]] = {
    "W": ("active power", 1.0 / _KILO),
    "kW": ("active power", 1.0),
    "MW": ("active power", KW_PER_MW),
    "var": ("reactive power", 1.0 / _KILO),
    "kvar": ("reactive power", 1.0),
    "Mvar": ("reactive power", KVAR_PER_MVAR),
    "VA": ("apparent power", 1.0 / _KILO),
    "kVA": ("apparent power", 1.0),
    "MVA": ("apparent power", KVA_PER_MVA),
    "Wh": ("energy", 1.0 / _KILO),
    "kWh": ("energy", 1.0),
    "V": ("voltage", 1.0),
    "kV": ("voltage", VOLTS_PER_KV),
    "A": ("current", 1.0),
    "kA": ("current", A_PER_KA),
    "": ("share", 1.0),
    "pct": ("share", 1.0 / PERCENT),
    "pu": ("per unit", 1.0),
    "s": ("time", 1.0),
    "min": ("time", SECONDS_PER_MINUTE),
    "h": ("time", SECONDS_PER_HOUR),
    "Hz": ("frequency", 1.0),
    "degC": ("temperature", 1.0),
    "EUR/MWh": ("price", 1.0),
    "EUR/kWh": ("price", _KILO),
}
"""Unit -> what it measures, and its size in the unit of that which channels use."""
_ALIASES = {"Var": "var", "Pct": "pct", "%": "pct", "Secs": "s", "C": "degC", "WH": "Wh", "none": ""}
DIRECTED = frozenset({"active power", "reactive power"})
"""Quantities that have a direction, which a map must state."""


def unit_name(text: str) -> str:
    """The name used here for a unit as devices and model definitions write it."""
    return _ALIASES.get(text, text)


def quantity(unit: str) -> str | None:
    """What a unit measures; None if it is not known."""
    found = _UNITS.get(unit_name(unit))
    return None if found is None else found[0]


def factor(unit: str, other: str) -> float:
    """How many of `other` one of `unit` is.

    Raises:
        RigFileError: if they do not measure the same.
    """
    unit, other = unit_name(unit), unit_name(other)
    if unit == other:
        return 1.0
    own, wanted = _UNITS.get(unit), _UNITS.get(other)
    if own is None or wanted is None or own[0] != wanted[0]:
        raise RigFileError(
            f"unit '{unit}' cannot be converted to '{other}'; known: {', '.join(repr(name) for name in _UNITS)}; "
            "correct the unit of the point, or give the binding a factor"
        )
    return own[1] / wanted[1]
