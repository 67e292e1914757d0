"""Three-phase networks as YAML files: line codes as matrices per length, one line of text an element.

Every value is read as text first, so a bus may be called 0650 and conductors be 02 without quotes.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gridenv.core.config import display_path, validate
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.layer import Layer
from gridenv.network.phase_schema import LENGTH_UNITS_M, PLAIN_TABLES, Matrices, NetworkFile
from gridenv.network.phase_tables import (
    PhaseLineTable,
    PhaseNetworkSpec,
    PhaseSourceTable,
    PhaseTransformerTable,
    WindingTable,
    table_of,
)
from gridenv.network.spec import BusTable

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def load(path: Path) -> PhaseNetworkSpec:
    """Read a network file.

    Raises:
        ConfigError: if the file is missing, is not YAML, has unknown or missing keys, values of a wrong kind, or lines
            that do not fit their line code; one line for every problem with file and line.
    """
    where = f"network file '{display_path(path)}'"
    file = validate(NetworkFile, _layer(path), where)
    raise_collected([f"{where}: {problem}" for problem in _problems(file)], ConfigError)
    to_code = LENGTH_UNITS_M[file.length_unit] / LENGTH_UNITS_M[file.code_length_unit]
    plain = {name: table_of(table, _columns(getattr(file, name))) for name, table in PLAIN_TABLES.items()}
    buses = [(bus, group.vn_kv) for group in file.buses for bus in group.ids]
    transformers, windings = _transformers(file)
    return PhaseNetworkSpec(
        name=file.name,
        buses=BusTable(id=tuple(bus for bus, _ in buses), vn_kv=np.array([vn_kv for _, vn_kv in buses])),
        sources=table_of(
            PhaseSourceTable,
            _columns(file.sources),
            angle_rad=np.deg2rad([source.angle_deg for source in file.sources]),
            z_ohm=np.array([source.z_ohm() for source in file.sources]),
        ),
        lines=_lines(file, to_code),
        transformers=transformers,
        windings=windings,
        **plain,  # type: ignore[arg-type]
    )


def _layer(path: Path) -> Layer:
    shown = display_path(path)
    if not path.is_file():
        raise ConfigError(f"network file '{shown}': no such file; give the path of a YAML file")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"network file '{shown}': not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"network file '{shown}': is not a mapping; allowed: `key: value` lines; correct the file")
    origin: dict[str, str] = {}
    problems: list[str] = []
    values = _values(node, "", shown, origin, problems)
    raise_collected(problems, ConfigError)
    return Layer(values, origin)


def _values(node: yaml.Node, key: str, shown: str, origin: dict[str, str], problems: list[str]) -> Any:
    """Nested texts of a node; notes where each was written, and keys that appear twice."""
    origin[key] = f"{shown}:{node.start_mark.line + 1}"
    start = f"{key}." if key else ""
    if isinstance(node, yaml.MappingNode):
        names = [name.value for name, _ in node.value]
        repeated = {name for name in names if names.count(name) > 1}
        problems += [f"{origin[key]}: key '{start}{name}' appears more than once; keep one" for name in repeated]
        return {k.value: _values(v, f"{start}{k.value}", shown, origin, problems) for k, v in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_values(v, f"{start}{k}", shown, origin, problems) for k, v in enumerate(node.value)]
    return node.value


def _problems(file: Any) -> Iterator[str]:
    """What does not fit together in a file whose every key is right."""
    for name in ("length_unit", "code_length_unit"):
        unit = getattr(file, name)
        if unit not in LENGTH_UNITS_M:
            yield f"{name} = '{unit}'; allowed: {', '.join(LENGTH_UNITS_M)}"
    for line in file.lines:
        n = len(line.phases)
        if line.code and line.r_ohm:
            yield f"line '{line.id}': has a code and r_ohm; allowed: one of them; remove the other"
        elif line.code and line.code not in file.line_codes:
            yield f"line '{line.id}': code = '{line.code}' is unknown{did_you_mean(line.code, file.line_codes)}"
        elif line.code and line.length <= 0.0:
            yield f"line '{line.id}': length = {line.length:g}; allowed: > 0; give the length in {file.length_unit}"
        elif not line.code and not line.r_ohm:
            yield f"line '{line.id}': has neither code nor r_ohm; give a code and a length, or r_ohm and x_ohm"
        elif len(_matrices(file, line).r_ohm) != n:
            rows = len(_matrices(file, line).r_ohm)
            yield f"line '{line.id}': matrices of {rows} rows for phases '{line.phases}'; allowed: {n} rows"
        if line.to_phases and len(line.to_phases) != n:
            yield f"line '{line.id}': phases '{line.phases}' and to_phases '{line.to_phases}'; allowed: equally many"


def _matrices(file: Any, line: Any) -> Matrices:
    matrices: Matrices = file.line_codes[line.code] if line.code else line
    return matrices


def _lines(file: Any, to_code: float) -> PhaseLineTable:
    rows = file.lines
    parts = [(_matrices(file, line), line.length * to_code if line.code else 1.0) for line in rows]
    return table_of(
        PhaseLineTable,
        _columns(rows),
        from_phases=tuple(line.phases for line in rows),
        to_phases=tuple(line.to_phases or line.phases for line in rows),
        z_ohm=np.array([matrices.z_ohm(length) for matrices, length in parts], dtype=complex),
        y_s=np.array([matrices.y_s(length) for matrices, length in parts], dtype=complex),
    )


def _transformers(file: Any) -> tuple[PhaseTransformerTable, WindingTable]:
    windings = [(t.id, k, w) for t in file.transformers for k, w in enumerate(t.windings, 1)]
    return table_of(PhaseTransformerTable, _columns(file.transformers)), table_of(
        WindingTable,
        _columns([w for *_, w in windings]),
        id=tuple(f"{name}.{k}" for name, k, _ in windings),
        transformer=tuple(name for name, *_ in windings),
        z_neutral_ohm=np.array([complex(w.r_neutral_ohm, w.x_neutral_ohm) for *_, w in windings], dtype=complex),
    )


def _columns(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Values of models by the names of their fields."""
    return [vars(row) for row in rows]
