"""Checks of a three-phase network description; everything that is wrong is said at once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from gridenv.core.errors import NetworkError, did_you_mean, raise_collected
from gridenv.network.phase_elements import element_problems
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import Bools, Table

_TABLES = {
    "buses": "bus",
    "sources": "source",
    "lines": "line",
    "transformers": "transformer",
    "windings": "winding",
    "regulators": "regulator",
    "capacitors": "capacitor",
    "capacitor_controls": "capacitor control",
    "injections": "injection",
}
_REFERENCES = {
    "bus": "buses",
    "from_bus": "buses",
    "to_bus": "buses",
    "transformer": "transformers",
    "capacitor": "capacitors",
    "line": "lines",
}
"""Column -> table whose ids it holds."""

_CHOICES = {
    ("windings", "connection"): ("wye", "delta", "wye_ungrounded"),
    ("capacitors", "connection"): ("wye", "delta"),
    ("injections", "connection"): ("wye", "delta"),
    ("injections", "kind"): ("load", "sgen", "storage"),
    ("capacitor_controls", "mode"): ("voltage", "current", "kvar"),
}
_MAY_BE_INFINITE = ("i_max_a", "v_max_pu")
_POSITIVE = {
    "buses": ("vn_kv",),
    "sources": ("v_pu",),
    "lines": ("i_max_a",),
    "transformers": ("x_12",),
    "windings": ("v_kv", "s_kva", "tap"),
    "regulators": ("v_target_v", "band_v", "pt_ratio", "ct_primary_a", "tap_min", "n_step"),
    "capacitors": ("v_kv",),
    "capacitor_controls": ("pt_ratio", "ct_ratio"),
    "injections": ("v_kv",),
}
_NOT_NEGATIVE = {
    "transformers": ("x_13", "x_23", "p_no_load", "i_magnetising", "stray_share"),
    "windings": ("r",),
    "regulators": ("delay_s", "max_steps"),
    "capacitor_controls": ("delay_s",),
    "injections": ("v_min_pu", "v_low_pu"),
}
_LONGEST_HINT = 100


def validate_phases(spec: PhaseNetworkSpec) -> None:
    """Check that a three-phase network can be turned into a circuit.

    Raises:
        NetworkError: one line a problem, each with network, element, field, value, what is allowed and what to do.
    """
    prefix = f"network '{spec.name}': "
    raise_collected([prefix + p for p in _shape_problems(spec)], NetworkError)
    names = [*_id_problems(spec), *_reference_problems(spec), *_choice_problems(spec)]
    values = list(_value_problems(spec))
    # Elements are looked at in detail once what they refer to is there; numbers that are wrong would repeat themselves.
    details = [] if names or values else list(element_problems(spec))
    raise_collected([prefix + p for p in [*names, *values, *details]], NetworkError)


def _shape_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    for name, kind in _TABLES.items():
        table: Table = getattr(spec, name)
        for f in fields(table):
            column = getattr(table, f.name)
            n, cell = len(column), f.metadata.get("shape", ())
            if n != len(table):
                yield f"{kind} table: column {f.name} has {n} rows; allowed: {len(table)}, one for each id; complete it"
            elif f.metadata and column.shape[1:] != cell:
                found, allowed = (" x ".join(map(str, s)) or "one number" for s in (column.shape[1:], cell))
                yield f"{kind} table: column {f.name} has {found} in a row; allowed: {allowed}; reshape it"


def _id_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    for name, kind in _TABLES.items():
        for repeated, n in Counter(getattr(spec, name).id).items():
            if n > 1:
                yield f"{kind} '{repeated}': id appears {n} times; allowed: once; rename the others"


def _reference_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    for name, kind in _TABLES.items():
        table: Table = getattr(spec, name)
        for column in (c for c in _REFERENCES if hasattr(table, c)):
            target = _REFERENCES[column]
            known = set(getattr(spec, target).id)
            for element, word in zip(table.id, getattr(table, column), strict=True):
                if word not in known:
                    hint = _hint(word, known) or f"; add the {_TABLES[target]} or correct the name"
                    yield f"{kind} '{element}': {column} = '{word}' is not in the {_TABLES[target]} table{hint}"


def _hint(word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return hint if len(hint) <= _LONGEST_HINT else ""


def _choice_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    for (name, column), allowed in _CHOICES.items():
        table: Table = getattr(spec, name)
        for element, word in zip(table.id, getattr(table, column), strict=True):
            if word not in allowed:
                yield f"{_TABLES[name]} '{element}': {column} = '{word}' is unknown{did_you_mean(word, allowed)}"


def _value_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    for name in _TABLES:
        table: Table = getattr(spec, name)
        for f in fields(table):
            if f.metadata.get("dtype") not in (float, complex):
                continue
            column = getattr(table, f.name)
            infinite_is_fine = f.name in _MAY_BE_INFINITE
            bad = np.isnan(column) if infinite_is_fine else ~np.isfinite(column)
            yield from _rows(spec, name, f.name, bad, "a number" if infinite_is_fine else "finite numbers")
        for column_name in _POSITIVE.get(name, ()):
            yield from _rows(spec, name, column_name, getattr(table, column_name) <= 0.0, "> 0")
        for column_name in _NOT_NEGATIVE.get(name, ()):
            yield from _rows(spec, name, column_name, getattr(table, column_name) < 0.0, ">= 0")


def _rows(spec: PhaseNetworkSpec, name: str, column: str, bad: Bools, allowed: str) -> Iterator[str]:
    table: Table = getattr(spec, name)
    for i in np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim)))):
        value: Any = getattr(table, column)[i]
        value = value if np.ndim(value) == 0 else value[bad[i]][0]
        yield f"{_TABLES[name]} '{table.id[i]}': {column} = {value:g}; allowed: {allowed}; correct the value"
