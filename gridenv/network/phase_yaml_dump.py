"""Writing three-phase networks as YAML files that `phase_yaml.load` reads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gridenv.core.units import S_PER_US
from gridenv.network.phase_schema import LENGTH_UNITS_M, PLAIN_TABLES
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import Table

_DIGITS = 12
_CODE_DIGITS = 9
"""Digits of line codes: fewer than double precision has, so that 0.3465 is not written 0.34650000000001."""
_WITHIN = 1e-7
"""How exactly a line code must give a line's matrices."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file says besides the tables."""

    description: str = ""
    """One line."""
    source: str = ""
    code_length_unit: str = "km"
    length_unit: str = "km"
    lengths: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Line -> name of its line code and its length in `length_unit`; lines left out are written with their totals."""


def dump(spec: PhaseNetworkSpec, about: About | None = None) -> str:
    """The text of a network file; numbers have 12 digits, those of line codes 9."""
    return "\n".join(_text(spec, about or About())) + "\n"


def _text(spec: PhaseNetworkSpec, about: About) -> Iterator[str]:
    yield f"name: {_scalar(spec.name)}"
    if about.description:
        yield f"description: {_scalar(about.description)}"
    if about.source:
        yield "source: >-"
        yield from (f"  {line}" for line in about.source.strip().splitlines())
    yield f"code_length_unit: {about.code_length_unit}"
    yield f"length_unit: {about.length_unit}"
    yield from _section("buses", _bus_groups(spec))
    yield from _section("sources", _sources(spec))
    codes = _codes(spec, about)
    yield "line_codes:" if codes else "line_codes: {}"
    for name, matrices in codes.items():
        yield f"  {_scalar(name)}:"
        yield from (f"    {key}: {_inline(value)}" for key, value in matrices.items())
    yield from _section("lines", _lines(spec, about, codes))
    yield from _transformers(spec)
    for name, table_type in PLAIN_TABLES.items():
        del table_type
        yield from _section(name, [_row(getattr(spec, name), k) for k in range(len(getattr(spec, name)))])


def _section(name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    written = [f"  - {_inline(row)}" for row in rows]
    yield f"{name}:" if written else f"{name}: []"
    yield from written


def _bus_groups(spec: PhaseNetworkSpec) -> list[dict[str, Any]]:
    """Buses in order, a group for each run of equal voltages."""
    groups: list[dict[str, Any]] = []
    for bus, vn_kv in zip(spec.buses.id, spec.buses.vn_kv, strict=True):
        if not groups or groups[-1]["vn_kv"] != vn_kv:
            groups.append({"vn_kv": vn_kv, "ids": []})
        groups[-1]["ids"].append(bus)
    return groups


def _sources(spec: PhaseNetworkSpec) -> list[dict[str, Any]]:
    rows = []
    for k, z in enumerate(spec.sources.z_ohm):
        row = _row(spec.sources, k)
        angle = {"angle_deg": np.rad2deg(row.pop("angle_rad", 0.0))}
        rows.append(row | angle | (_series(z, len(spec.sources.phases[k])) if z.any() else {}))
    return rows


def _series(z_ohm: NDArray[np.complex128], n: int) -> dict[str, Any]:
    return {"r_ohm": _triangle(z_ohm.real, n), "x_ohm": _triangle(z_ohm.imag, n)}


def _shunt(y_s: NDArray[np.complex128], n: int) -> dict[str, Any]:
    parts = {"b_us": y_s.imag / S_PER_US, "g_us": y_s.real / S_PER_US}
    return {key: _triangle(part, n) for key, part in parts.items() if np.abs(part).max() > 0.0}


def _triangle(matrix: NDArray[np.float64], n: int) -> list[list[float]]:
    return [[float(matrix[i, j]) for j in range(i + 1)] for i in range(n)]


def _codes(spec: PhaseNetworkSpec, about: About) -> dict[str, dict[str, Any]]:
    """Line codes from the first line of each."""
    codes: dict[str, dict[str, Any]] = {}
    for k, line in enumerate(spec.lines.id):
        name, length = about.lengths.get(line, ("", 0.0))
        if name and name not in codes:
            z, y = _per_length(spec, k, length * _to_code(about))
            n = len(spec.lines.from_phases[k])
            codes[name] = _series(z, n) | _shunt(y, n)
    return codes


def _to_code(about: About) -> float:
    return LENGTH_UNITS_M[about.length_unit] / LENGTH_UNITS_M[about.code_length_unit]


def _per_length(spec: PhaseNetworkSpec, k: int, length: float) -> tuple[NDArray[Any], NDArray[Any]]:
    z, y = spec.lines.z_ohm[k] / length, spec.lines.y_s[k] / length
    return _short(z), _short(y)


def _short(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Rounded to `_CODE_DIGITS` of the largest entry."""
    largest = np.abs(matrix).max()
    if largest == 0.0:
        return matrix
    unit = 10.0 ** (np.floor(np.log10(largest)) - _CODE_DIGITS + 1)
    rounded: NDArray[np.complex128] = (np.round(matrix.real / unit) + 1j * np.round(matrix.imag / unit)) * unit
    return rounded


def _lines(spec: PhaseNetworkSpec, about: About, codes: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    table, rows = spec.lines, []
    first: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for k, line in enumerate(table.id):
        row = _row(table, k)
        phases, to_phases = row.pop("from_phases"), row.pop("to_phases")
        row["phases"] = phases
        if to_phases != phases:
            row["to_phases"] = to_phases
        name, length = about.lengths.get(line, ("", 0.0))
        if name in codes:
            per_length = _per_length(spec, k, length * _to_code(about))
            known = first.setdefault(name, per_length)
        if name in codes and all(_close(a, b) for a, b in zip(per_length, known, strict=True)):
            row |= {"code": name, "length": length}
        else:
            n = len(phases)
            row |= _series(table.z_ohm[k], n) | _shunt(table.y_s[k], n)
        rows.append(row)
    return rows


def _close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return bool(np.abs(a - b).max() <= _WITHIN * np.abs(b).max())


def _transformers(spec: PhaseNetworkSpec) -> Iterator[str]:
    yield "transformers:" if len(spec.transformers) else "transformers: []"
    for k, name in enumerate(spec.transformers.id):
        yield from (f"  {'-' if n == 0 else ' '} {key}: {_inline(value)}" for n, (key, value) in
                    enumerate(_row(spec.transformers, k).items()))  # fmt: skip
        yield "    windings:"
        for w in (w for w, of in enumerate(spec.windings.transformer) if of == name):
            row = _row(spec.windings, w)
            z = spec.windings.z_neutral_ohm[w]
            neutral = {"r_neutral_ohm": z.real, "x_neutral_ohm": z.imag} if z else {}
            yield f"      - {_inline({c: v for c, v in row.items() if c not in ('id', 'transformer')} | neutral)}"


def _row(table: Table, k: int) -> dict[str, Any]:
    """A row without complex columns and without values that are the default."""
    row = {}
    for f in fields(table):
        value = getattr(table, f.name)[k]
        if f.metadata.get("dtype") is complex or (f.metadata and value == f.metadata["default"]):
            continue
        row[f.name] = value
    return row


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_inline(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(v) for v in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, str):
        return yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True)[1:-2]
    return f"{value:.{_DIGITS}g}"
