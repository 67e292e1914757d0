"""Charging sessions in CSV files, for real sessions in place of drawn ones; imports no JAX.

One line a session. Columns, in any order:

| Column | Unit | Meaning |
|---|---|---|
| `charger` | - | position of the charger, from 0 |
| `arrival`, `departure` | ISO 8601 | `2016-01-04T18:15`; without an offset on the scenario's clock, UTC+1 all year |
| `e_asked_kwh` | kWh | energy to be put into the battery |
| `battery_kwh` | kWh | usable capacity |
| `e_arrival_kwh` | kWh | energy in the battery on arrival |
| `p_max_kw` | kW | most that the vehicle draws, alternating current |
| `v2g_consent` | - | `true` or `false` |

Times between the quarter-hours are moved inwards, an arrival to the next and a departure to the last: no vehicle is
taken to be there when it is not.
"""

import csv
import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from gridenv.core.errors import DataError, did_you_mean, raise_collected
from gridenv.exogenous.ev_sessions import SessionTable, build_sessions, session_problems
from gridenv.exogenous.timebase import STEP_S, YEAR_START

COLUMNS = (
    "charger",
    "arrival",
    "departure",
    "e_asked_kwh",
    "battery_kwh",
    "e_arrival_kwh",
    "p_max_kw",
    "v2g_consent",
)
_SCENARIO_CLOCK = timezone(timedelta(hours=1))
_TRUTH = {"true": True, "false": False}


def load_sessions(path: str | Path, n_chargers: int | None = None) -> SessionTable:
    """The sessions of a CSV file with the columns that this module's documentation lists.

    Args:
        path: the file.
        n_chargers: how many chargers there are; one more than the highest in the file if left out.

    Raises:
        DataError: if the file is missing, or for all wrong columns, else for all lines with values that cannot be
            read, else for all lines with values out of range and all overlaps.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"session file '{file}': no such file; give a CSV file with the columns {','.join(COLUMNS)}")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        lines = [(reader.line_num, row) for row in reader if row]
    raise_collected([f"{file}:1: {text}" for text in _header_problems(header)], DataError)
    columns = _read_columns(file, header, lines)
    chargers = int(columns["charger"].max(initial=-1)) + 1 if n_chargers is None else n_chargers
    problems = session_problems(columns, chargers)
    raise_collected([f"{file}:{lines[row][0]}: {text}" for row, text in problems], DataError)
    return build_sessions(n_chargers=chargers, **columns)


def save_sessions(table: SessionTable, path: str | Path) -> None:
    """Write a table as a CSV file from which `load_sessions` gives the same table."""
    with Path(path).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for i in range(len(table)):
            writer.writerow(
                (
                    int(table.charger[i]),
                    _time_of(int(table.arrival_step[i])),
                    _time_of(int(table.departure_step[i])),
                    repr(float(table.e_asked_kwh[i])),
                    repr(float(table.battery_kwh[i])),
                    repr(float(table.e_arrival_kwh[i])),
                    repr(float(table.p_max_kw[i])),
                    str(bool(table.v2g_consent[i])).lower(),
                )
            )


def _header_problems(header: list[str]) -> list[str]:
    problems = [f"unknown column '{name}'{did_you_mean(name, COLUMNS)}" for name in header if name not in COLUMNS]
    problems += [f"column '{name}' is missing; add it" for name in COLUMNS if name not in header]
    repeated = sorted({name for name in header if header.count(name) > 1})
    return problems + [f"column '{name}' appears {header.count(name)} times; drop all but one" for name in repeated]


def _read_columns(file: Path, header: list[str], lines: list[tuple[int, list[str]]]) -> dict[str, Any]:
    """The columns of `SessionTable` from cells of text."""
    problems: list[str] = []
    rows = []
    for number, cells in lines:
        if len(cells) != len(header):
            problems.append(
                f"{file}:{number}: {len(cells)} values; allowed: {len(header)}, one a column; add or drop some"
            )
            continue
        row = {}
        for name, cell in zip(header, cells, strict=True):
            target, read, allowed = _READERS[name]
            try:
                row[target] = read(cell.strip())
            except (ValueError, KeyError, OverflowError):
                problems.append(f"{file}:{number}: {name} = '{cell}'; allowed: {allowed}; correct it")
        rows.append(row)
    raise_collected(problems, DataError)
    kinds = {"charger": np.int64, "arrival_step": np.int64, "departure_step": np.int64, "v2g_consent": np.bool_}
    names = [target for target, _, _ in _READERS.values()]
    return {name: np.array([row[name] for row in rows], kinds.get(name, np.float64)) for name in names}


def _steps_since_start(text: str) -> float:
    time = datetime.fromisoformat(text)
    if time.tzinfo is not None:
        time = time.astimezone(_SCENARIO_CLOCK).replace(tzinfo=None)
    return (time - YEAR_START) / timedelta(seconds=STEP_S)


def _read_arrival(text: str) -> int:
    return math.ceil(_steps_since_start(text))


def _read_departure(text: str) -> int:
    return math.floor(_steps_since_start(text))


def _time_of(step: int) -> str:
    return (YEAR_START + timedelta(seconds=step * STEP_S)).isoformat(timespec="minutes")


_A_TIME = f"a time in ISO 8601, such as {_time_of(73)}"
_READERS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "charger": ("charger", int, "a whole number"),
    "arrival": ("arrival_step", _read_arrival, _A_TIME),
    "departure": ("departure_step", _read_departure, _A_TIME),
    "e_asked_kwh": ("e_asked_kwh", float, "a number"),
    "battery_kwh": ("battery_kwh", float, "a number"),
    "e_arrival_kwh": ("e_arrival_kwh", float, "a number"),
    "p_max_kw": ("p_max_kw", float, "a number"),
    "v2g_consent": ("v2g_consent", lambda text: _TRUTH[text.lower()], "true or false"),
}
"""Column of the file -> column of the table, how to read a cell, and what is allowed in it."""
