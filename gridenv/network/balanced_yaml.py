"""Balanced networks as YAML: a list of rows for each table, columns that have their default left out."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from gridenv.core.errors import NetworkError, did_you_mean, raise_collected
from gridenv.network.spec import NetworkSpec, Table

_DIGITS = 9
"""Significant digits that are written; sources have no more."""
_ABOUT = ("name", "description", "source")
_TABLES: dict[str, type[Table]] = {f.name: cast(type[Table], f.type) for f in fields(NetworkSpec) if f.name != "name"}


def load(path: Path) -> NetworkSpec:
    """Read a network.

    Raises:
        NetworkError: for unknown tables and columns and for columns that are missing; all problems at once.
    """
    file = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    problems = [
        f"network file '{path}': unknown table '{key}'{did_you_mean(key, [*_ABOUT, *_TABLES])}"
        for key in file
        if key not in _ABOUT and key not in _TABLES
    ]
    for name, table_type in _TABLES.items():
        known = [f.name for f in fields(table_type)]
        for row in file.get(name, ()):
            where = f"network file '{path}': {name} '{row.get('id', '?')}'"
            problems += [f"{where}: unknown column '{c}'{did_you_mean(c, known)}" for c in row if c not in known]
            problems += [
                f"{where}: column '{c}' is missing; give it a value" for c in _required(table_type) if c not in row
            ]
    raise_collected(problems, NetworkError)
    tables: dict[str, Any] = {name: _table(table_type, file.get(name, [])) for name, table_type in _TABLES.items()}
    return NetworkSpec(name=file["name"], **tables)


def dump(spec: NetworkSpec, *, description: str, source: str) -> str:
    """The text of a network file.

    Args:
        spec: the network.
        description: one line for `gridenv list networks`.
        source: where the data are from, and their licence.
    """
    text = [f"name: {spec.name}", f"description: {_quoted(description)}", f"source: {_quoted(source)}"]
    for name, table_type in _TABLES.items():
        table = getattr(spec, name)
        if len(table):
            text.append(f"{name}:")
        for row in range(len(table)):
            cells = {f.name: _plain(getattr(table, f.name)[row]) for f in fields(table_type)}
            default = {f.name: f.metadata.get("default") for f in fields(table_type)}
            shown = [f"{key}: {_quoted(v)}" for key, v in cells.items() if default[key] is None or v != default[key]]
            text.append(f"  - {{{', '.join(shown)}}}")
    return "\n".join(text) + "\n"


def _required(table_type: type[Table]) -> list[str]:
    """Columns without a default."""
    return [f.name for f in fields(table_type) if not f.metadata or f.metadata["default"] is None]


def _table(table_type: type[Table], rows: list[Mapping[str, Any]]) -> Table:
    columns: dict[str, Any] = {}
    for f in fields(table_type):
        if f.metadata:
            given = [row.get(f.name, f.metadata["default"]) for row in rows]
            columns[f.name] = np.array(given, dtype=f.metadata["dtype"])
        else:
            columns[f.name] = tuple(str(row[f.name]) for row in rows)
    return table_type(**columns)


def _plain(value: Any) -> Any:
    if isinstance(value, np.bool_):
        return bool(value)
    return float(f"{float(value):.{_DIGITS}g}") if isinstance(value, np.floating) else value


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return {float("inf"): ".inf", float("-inf"): "-.inf"}.get(value, repr(value))
    return '"' + value.replace('"', '\\"') + '"'
