"""Charging sessions of electric vehicles over the scenario year: which vehicle stands where and when; no JAX here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from gridenv.core.errors import DataError, raise_collected
from gridenv.exogenous.timebase import N_STEPS

NO_SESSION = -1
"""In `connected_sessions`: no vehicle."""


@dataclass(frozen=True, kw_only=True)
class SessionTable:
    """Sessions in the order of charger and arrival, no two of a charger at the same time; made by `build_sessions`."""

    n_chargers: int
    charger: Int[np.ndarray, " session"]
    """Position of the charger, 0..n_chargers-1."""
    arrival_step: Int[np.ndarray, " session"]
    """First scenario step in which the vehicle is connected."""
    departure_step: Int[np.ndarray, " session"]
    """First scenario step in which it is gone."""
    e_asked_kwh: Float[np.ndarray, " session"]
    """Energy to be in the battery at departure beyond that on arrival."""
    battery_kwh: Float[np.ndarray, " session"]
    """Capacity that can be used."""
    e_arrival_kwh: Float[np.ndarray, " session"]
    """Energy in the battery on arrival."""
    p_max_kw: Float[np.ndarray, " session"]
    """Most that the vehicle draws, alternating current; may be less or more than the charger gives."""
    v2g_consent: Bool[np.ndarray, " session"]
    """Whether the owner lets the vehicle feed the network."""

    def __len__(self) -> int:
        return len(self.charger)


def build_sessions(
    *,
    n_chargers: int,
    charger: Sequence[int] | np.ndarray,
    arrival_step: Sequence[int] | np.ndarray,
    departure_step: Sequence[int] | np.ndarray,
    e_asked_kwh: Sequence[float] | np.ndarray,
    battery_kwh: Sequence[float] | np.ndarray,
    e_arrival_kwh: Sequence[float] | np.ndarray,
    p_max_kw: Sequence[float] | np.ndarray,
    v2g_consent: Sequence[bool] | np.ndarray,
) -> SessionTable:
    """A checked table from columns in any order of sessions; the fields are those of `SessionTable`.

    Raises:
        DataError: all problems: columns of different lengths, chargers, steps or energies out of range, overlaps.
    """
    columns: dict[str, Any] = {
        "charger": np.asarray(charger, np.int64),
        "arrival_step": np.asarray(arrival_step, np.int64),
        "departure_step": np.asarray(departure_step, np.int64),
        "e_asked_kwh": np.asarray(e_asked_kwh, np.float64),
        "battery_kwh": np.asarray(battery_kwh, np.float64),
        "e_arrival_kwh": np.asarray(e_arrival_kwh, np.float64),
        "p_max_kw": np.asarray(p_max_kw, np.float64),
        "v2g_consent": np.asarray(v2g_consent, np.bool_),
    }
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"ev sessions: columns have lengths {lengths}; allowed: one entry a session in each; add or drop"
        )
    problems = session_problems(columns, n_chargers)
    raise_collected([f"ev sessions: session {row}: {text}" for row, text in problems], DataError)
    order = np.lexsort((columns["arrival_step"], columns["charger"]))
    return SessionTable(n_chargers=n_chargers, **{name: column[order] for name, column in columns.items()})


def connected_sessions(table: SessionTable) -> Int[np.ndarray, "time charger"]:
    """Which session holds each charger in each step of the year, `NO_SESSION` for none; int32."""
    index = np.full((N_STEPS, table.n_chargers), NO_SESSION, np.int32)
    for session in range(len(table)):
        stay = slice(table.arrival_step[session], table.departure_step[session])
        index[stay, table.charger[session]] = session
    return index


def session_problems(columns: dict[str, Any], n_chargers: int) -> list[tuple[int, str]]:
    """Row and text of everything that is wrong with columns of equal length, in the order of rows.

    Args:
        columns: the fields of `SessionTable` except `n_chargers`, in any order of sessions.
        n_chargers: how many chargers there are.
    """
    found = [(row, text) for row in range(len(columns["charger"])) for text in _row_problems(columns, row, n_chargers)]
    return sorted(found + _overlaps(columns))


def _row_problems(columns: dict[str, Any], row: int, n_chargers: int) -> list[str]:
    at = {name: column[row] for name, column in columns.items()}
    problems = []
    if not 0 <= at["charger"] < n_chargers:
        problems.append(f"charger = {at['charger']}; allowed: 0..{n_chargers - 1}; correct it or give more chargers")
    if not 0 <= at["arrival_step"] < at["departure_step"]:
        problems.append(
            f"arrival_step = {at['arrival_step']} and departure_step = {at['departure_step']}; allowed: "
            "0 <= arrival_step < departure_step; a vehicle stays at least a step"
        )
    if at["departure_step"] > N_STEPS:
        problems.append(
            f"departure_step = {at['departure_step']}; allowed: <= {N_STEPS}, the end of the year; shorten or drop it"
        )
    problems += [
        f"{name} = {at[name]:g}; allowed: finite and > 0; correct it"
        for name in ("battery_kwh", "p_max_kw")
        if not (np.isfinite(at[name]) and at[name] > 0)
    ]
    problems += [
        f"{name} = {at[name]:g}; allowed: finite and >= 0; correct it"
        for name in ("e_asked_kwh", "e_arrival_kwh")
        if not (np.isfinite(at[name]) and at[name] >= 0)
    ]
    if at["e_arrival_kwh"] + at["e_asked_kwh"] > at["battery_kwh"] * (1 + 1e-9):
        problems.append(
            f"e_arrival_kwh + e_asked_kwh = {at['e_arrival_kwh'] + at['e_asked_kwh']:g}; allowed: <= battery_kwh = "
            f"{at['battery_kwh']:g}; ask for less"
        )
    return problems


def _overlaps(columns: dict[str, Any]) -> list[tuple[int, str]]:
    """Sessions that begin before the charger is free."""
    found = []
    last: dict[int, int] = {}
    for row in np.lexsort((columns["arrival_step"], columns["charger"])).tolist():
        charger = int(columns["charger"][row])
        before = last.get(charger)
        if before is not None and columns["arrival_step"][row] < columns["departure_step"][before]:
            found.append(
                (
                    row,
                    f"arrival_step = {columns['arrival_step'][row]} at charger {charger}, which another session holds "
                    f"until step {columns['departure_step'][before]}; allowed: one vehicle at a time; move or drop one",
                )
            )
        if before is None or columns["departure_step"][row] > columns["departure_step"][before]:
            last[charger] = row
    return found
