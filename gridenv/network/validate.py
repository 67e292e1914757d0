"""Checks of a network description; everything that is wrong is said at once."""

import math
from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from gridenv.core.errors import NetworkError, did_you_mean, raise_collected
from gridenv.network.spec import Bools, NetworkSpec, Table
from gridenv.network.topology import trace

_TABLES = {
    "buses": "bus",
    "sources": "source",
    "lines": "line",
    "transformers": "transformer",
    "injections": "injection",
    "shunts": "shunt",
    "switches": "switch",
}
_BUS_COLUMNS = ("bus", "from_bus", "to_bus", "hv_bus", "lv_bus", "bus_a", "bus_b")
_MAY_BE_INFINITE = ("i_max_a", "tap_min", "tap_max")
_POSITIVE = {
    "buses": ("vn_kv",),
    "sources": ("v_pu",),
    "lines": ("i_max_a",),
    "transformers": ("s_kva", "vn_hv_kv", "vn_lv_kv", "vk", "parallel", "loading_base_kva"),
    "shunts": ("v_rated_kv",),
}
_NOT_NEGATIVE = {"lines": ("r_ohm", "g_s"), "transformers": ("vkr", "p_iron_kw", "i_no_load")}
_SHARES = ("r_share_hv", "x_share_hv")
_LONGEST_HINT = 100
_KINDS = ("load", "sgen", "storage")


def validate(spec: NetworkSpec, *, allow_islands: bool = False) -> None:
    """Check that a network can be compiled.

    Args:
        spec: the tables.
        allow_islands: whether in-service injections may lie in parts without a source.

    Raises:
        NetworkError: one line a problem, each with network, element, field, value, what is allowed and what to do.
    """
    prefix = f"network '{spec.name}': "
    shapes = [prefix + p for p in _shape_problems(spec)]
    raise_collected(shapes, NetworkError)
    references = list(_reference_problems(spec))
    problems = [*_id_problems(spec), *references, *_value_problems(spec), *_element_problems(spec)]
    if not references:
        problems += _joint_problems(spec)
        problems += _supply_problems(spec, allow_islands)
    raise_collected([prefix + p for p in problems], NetworkError)


def _shape_problems(spec: NetworkSpec) -> Iterator[str]:
    for name, kind in _TABLES.items():
        table: Table = getattr(spec, name)
        for f in fields(table):
            n = len(getattr(table, f.name))
            if n != len(table):
                yield f"{kind} table: column {f.name} has {n} rows; allowed: {len(table)}, one for each id; complete it"


def _id_problems(spec: NetworkSpec) -> Iterator[str]:
    for name, kind in _TABLES.items():
        ids = getattr(spec, name).id
        for repeated in sorted({i for i in ids if ids.count(i) > 1} if len(set(ids)) < len(ids) else ()):
            yield f"{kind} '{repeated}': id appears {ids.count(repeated)} times; allowed: once; rename the others"


def _reference_problems(spec: NetworkSpec) -> Iterator[str]:
    known = set(spec.buses.id)
    for name, kind in _TABLES.items():
        table: Table = getattr(spec, name)
        for column in (c for c in _BUS_COLUMNS if hasattr(table, c)):
            for element, bus in zip(table.id, getattr(table, column), strict=True):
                if bus not in known:
                    hint = did_you_mean(bus, known)
                    hint = hint if 0 < len(hint) <= _LONGEST_HINT else "; add the bus or correct the name"
                    yield f"{kind} '{element}': {column} = '{bus}' is not in the bus table{hint}"


def _value_problems(spec: NetworkSpec) -> Iterator[str]:
    for name in _TABLES:
        table: Table = getattr(spec, name)
        for f in fields(table):
            if f.metadata.get("dtype") is float:
                column = getattr(table, f.name)
                infinite_is_fine = f.name in _MAY_BE_INFINITE
                bad = np.isnan(column) if infinite_is_fine else ~np.isfinite(column)
                yield from _rows(spec, name, f.name, bad, "a number" if infinite_is_fine else "a finite number")
        for column_name in _POSITIVE.get(name, ()):
            yield from _rows(spec, name, column_name, getattr(table, column_name) <= 0.0, "> 0")
        for column_name in _NOT_NEGATIVE.get(name, ()):
            yield from _rows(spec, name, column_name, getattr(table, column_name) < 0.0, ">= 0")


def _rows(spec: NetworkSpec, name: str, column: str, bad: Bools, allowed: str) -> Iterator[str]:
    table: Table = getattr(spec, name)
    for i in np.flatnonzero(bad):
        value = getattr(table, column)[i]
        yield f"{_TABLES[name]} '{table.id[i]}': {column} = {value:g}; allowed: {allowed}; correct the value"


def _element_problems(spec: NetworkSpec) -> Iterator[str]:
    lines, trafos, injections = spec.lines, spec.transformers, spec.injections
    for i in np.flatnonzero((lines.r_ohm == 0.0) & (lines.x_ohm == 0.0)):
        yield f"line '{lines.id[i]}': r_ohm = 0 and x_ohm = 0; allowed: not both 0; give one, or model it as a switch"
    for i in np.flatnonzero(trafos.vkr > trafos.vk):
        yield (
            f"transformer '{trafos.id[i]}': vkr = {trafos.vkr[i]:g}; allowed: 0..vk = {trafos.vk[i]:g}; "
            "the real part cannot exceed the short-circuit voltage, correct one of them"
        )
    for column in _SHARES:
        share = getattr(trafos, column)
        yield from _rows(spec, "transformers", column, (share < 0.0) | (share > 1.0), "0..1")
    for i in np.flatnonzero((trafos.tap_pos < trafos.tap_min) | (trafos.tap_pos > trafos.tap_max)):
        yield (
            f"transformer '{trafos.id[i]}': tap_pos = {trafos.tap_pos[i]:g}; allowed: "
            f"{trafos.tap_min[i]:g}..{trafos.tap_max[i]:g}; choose a position in this range, or widen it"
        )
    for element, kind in zip(injections.id, injections.kind, strict=True):
        if kind not in _KINDS:
            yield f"injection '{element}': kind = '{kind}'{did_you_mean(kind, _KINDS)}"


def _joint_problems(spec: NetworkSpec) -> Iterator[str]:
    """Elements that join buses of different nominal voltage, open switches too: they are data that may close."""
    vn_kv = dict(zip(spec.buses.id, spec.buses.vn_kv, strict=True))
    lines, switches = spec.lines, spec.switches
    joints = [("line", e, a, b) for e, a, b in zip(lines.id, lines.from_bus, lines.to_bus, strict=True)]
    joints += [("switch", e, a, b) for e, a, b in zip(switches.id, switches.bus_a, switches.bus_b, strict=True)]
    for kind, element, a, b in joints:
        if math.isfinite(vn_kv[a]) and math.isfinite(vn_kv[b]) and not math.isclose(vn_kv[a], vn_kv[b], rel_tol=1e-9):
            yield (
                f"{kind} '{element}': joins bus '{a}' with vn_kv = {vn_kv[a]:g} and bus '{b}' with {vn_kv[b]:g}; "
                "allowed: equal nominal voltages; correct one, or put a transformer between"
            )


def _supply_problems(spec: NetworkSpec, allow_islands: bool) -> Iterator[str]:
    """Sources that are missing or contradict each other, and injections that no source reaches."""
    topology = trace(spec)
    if not topology.source_on.any():
        yield f"source table: {len(spec.sources)} sources at in-service buses; allowed: at least 1; add a source"
        return
    voltage: dict[int, tuple[str, complex]] = {}
    is_known = np.isfinite(spec.sources.v_pu) & np.isfinite(spec.sources.angle_rad)
    for i in np.flatnonzero(topology.source_on & is_known):
        node = int(topology.bus_to_node[topology.source_bus[i]])
        v = complex(spec.sources.v_pu[i] * np.exp(1j * spec.sources.angle_rad[i]))
        first, v_first = voltage.setdefault(node, (spec.sources.id[i], v))
        if not np.isclose(v, v_first, rtol=1e-12):
            yield (
                f"source '{spec.sources.id[i]}': {v:.6g} pu at the same node as source '{first}' with {v_first:.6g} "
                "pu; allowed: equal voltages; remove one, or open the switch between them"
            )
    if allow_islands:
        return
    table = spec.injections
    dead = table.in_service & ~topology.node_energised[topology.bus_to_node[topology.injection_bus]]
    for i in np.flatnonzero(dead):
        yield (
            f"injection '{table.id[i]}': in_service = True at bus '{table.bus[i]}', which has no path to a source; "
            "allowed: out of service or supplied; close a switch, put it out of service, or allow islands"
        )
