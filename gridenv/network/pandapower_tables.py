"""Reading pandapower's tables: columns with gaps, and what has no counterpart here; does not import pandapower."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gridenv.core.units import PERCENT
from gridenv.network.circuit import Ints
from gridenv.network.spec import Bools, Floats, Names

RATIO_TYPES = ("Ratio", "Symmetrical")
_CONVERTED = ("bus", "ext_grid", "line", "trafo", "load", "sgen", "storage", "shunt", "switch")
_INSTEAD = {
    "gen": "replace it by an sgen with its reactive power, or by an ext_grid if it holds the voltage",
    "trafo3w": "replace it by two two-winding transformers",
    "asymmetric_load": "replace it by a load with the sum of the phases",
    "asymmetric_sgen": "replace it by an sgen with the sum of the phases",
    "ward": "replace it by a load and a shunt",
    "motor": "replace it by a load",
    "impedance": "replace it by a line",
}
_ASYMMETRIC = tuple(f"{s}_{phase}_{unit}" for s, unit in (("p", "mw"), ("q", "mvar")) for phase in "abc")
_DATA = {
    "ext_grid": ("vm_pu",),
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km"),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent"),
    "load": ("p_mw",),
    "sgen": ("p_mw",),
    "storage": ("p_mw",),
    "shunt": ("p_mw", "q_mvar"),
    "asymmetric_load": _ASYMMETRIC,
    "asymmetric_sgen": _ASYMMETRIC,
}
"""Columns without a default."""
_ENDS = (("bus",), ("from_bus", "to_bus"), ("hv_bus", "lv_bus"))
"""Columns of buses; a table has those of one of these."""


def names(values: Iterable[Any], prefix: str = "") -> Names:
    """Identifiers of rows: prefix and value."""
    return tuple(f"{prefix}{value}" for value in values)


def column(table: Any, name: str, missing: float = np.nan) -> Floats:
    """A column as floats; `missing` replaces absent columns and absent values."""
    if name not in table:
        return np.full(len(table), missing)
    values = table[name].astype(object).where(table[name].notna(), missing)
    return np.asarray(values.to_numpy(), dtype=float)


def flags(table: Any, name: str, missing: bool = True) -> Bools:
    """A column as booleans; `missing` replaces absent columns and absent values."""
    if name not in table:
        return np.full(len(table), missing)
    values = table[name].astype(object).where(table[name].notna(), missing)
    return np.asarray(values.to_numpy(), dtype=bool)


def at_live_bus(net: Any, table: Any) -> Bools:
    """Rows in service whose buses are all in service; pandapower ignores the others."""
    live = flags(net.bus, "in_service")
    return flags(table, "in_service") & live[_ends(net, table)].all(axis=0)


def _ends(net: Any, table: Any) -> Ints:
    """[end, row] rows of the buses of elements in the bus table."""
    columns = next(ends for ends in _ENDS if ends[0] in table)
    return np.stack([net.bus.index.get_indexer(table[c]) for c in columns])


def missing_tables(net: Any) -> Iterable[str]:
    """What shows that this is no pandapower network at all, as one message."""
    missing = [name for name in _CONVERTED if not hasattr(getattr(net, name, None), "columns")]
    if missing:
        yield (
            f"from_pandapower: got {type(net).__name__} without the tables {', '.join(missing)}; allowed: a network as "
            "pandapower.create_empty_network() or pandapower.networks make it; pass that"
        )


def dangling_switches(net: Any) -> Iterable[str]:
    """Open switches at lines and transformers that are not in the tables."""
    for kind, name in (("l", "line"), ("t", "trafo")):
        table = getattr(net, name)
        at_kind = net.switch[(net.switch.et.to_numpy() == kind) & ~flags(net.switch, "closed")]
        for index, element in at_kind.element.items():
            if element not in table.index:
                yield (
                    f"pandapower network '{net.name or ''}': switch {index} is at {name} {element}, which is not in "
                    f"table '{name}'; remove the switch, or correct its element"
                )


def without_incomplete(net: Any, needed: Mapping[str, tuple[str, ...]]) -> Any:
    """A shallow copy of a network without what is out of service and has no data.

    Elements at a bus out of service are out of service too. A bus without a nominal voltage goes with all that is at
    it; a line or switch to a bus out of service goes if the nominal voltages of its ends differ.

    Args:
        net: network.
        needed: table -> columns that it needs besides those that every conversion reads.
    """
    kept = copy.copy(net)
    live, vn_kv = flags(net.bus, "in_service"), column(net.bus, "vn_kv")
    kept.bus = net.bus[live | np.isfinite(vn_kv)]
    for name, data in ((name, data) for name, data in _DATA.items() if name in net):
        table = net[name]
        is_on, ends = at_live_bus(net, table), _ends(net, table)
        complete = np.isfinite(vn_kv[ends]).all(axis=0)
        for c in (*data, *needed.get(name, ())):
            complete &= table[c].notna().to_numpy() if c in table else False
        if name == "line":
            complete &= live[ends].all(axis=0) | (vn_kv[ends[0]] == vn_kv[ends[1]])
        kept[name] = table[is_on | complete]
    kept.switch = net.switch[_usable_switches(net, kept)]
    return kept


def _usable_switches(net: Any, kept: Any) -> Bools:
    """Switches but those at branches that are left out, and those between buses that they never can join."""
    table = net.switch
    kind, element = table.et.to_numpy(), table.element
    usable = np.ones(len(table), dtype=bool)
    for letter, name in (("l", "line"), ("t", "trafo")):
        dropped = net[name].index.difference(kept[name].index)
        usable &= ~((kind == letter) & element.isin(dropped).to_numpy())
    live, vn_kv = flags(net.bus, "in_service"), column(net.bus, "vn_kv")
    a, b = (net.bus.index.get_indexer(buses) for buses in (table.bus, element))
    return usable & ((kind != "b") | (live[a] & live[b]) | (vn_kv[a] == vn_kv[b]))


def unknown_tables(net: Any, also: tuple[str, ...] = ()) -> Iterable[str]:
    """Tables of elements at buses that are in service and have no counterpart here.

    Args:
        net: network.
        also: further tables that are converted.
    """
    for name, table in net.items():
        if name.startswith(("_", "res_")) or name in (*_CONVERTED, *also) or not hasattr(table, "columns"):
            continue
        at_bus = any(c in ("bus", "buses") or c.startswith("bus_") or "_bus" in c for c in map(str, table.columns))
        if len(table) == 0 or not at_bus:
            continue
        active = table.index[flags(table, "in_service")] if "in_service" in table else table.index
        if len(active):
            what = _INSTEAD.get(name, "remove it, or model it by loads, lines and shunts")
            yield _unsupported(net, name, active, "elements that are not modelled", what)


def unsupported_options(net: Any) -> Iterable[str]:
    """Data of converted tables that change results and have no counterpart here, one message each."""
    load, trafo, switch, shunt = net.load, net.trafo, net.switch, net.shunt
    on = flags(load, "in_service")
    for name in (c for c in load.columns if c.startswith(("const_z", "const_i"))):
        shares = load.index[on & (column(load, name, 0.0) != 0.0)]
        if len(shares):
            yield _unsupported(net, "load", shares, f"{name} != 0", "set it to 0; loads have constant power")
    for name in ("tap_dependency_table", "tap_dependent_impedance"):
        rows = trafo.index[flags(trafo, "in_service") & flags(trafo, name, False)]
        if len(rows):
            yield _unsupported(net, "trafo", rows, f"{name} = True", "set it to False and give tap_step_percent")
    if "tap2_pos" in trafo:
        moved = column(trafo, "tap2_pos", 0.0) != column(trafo, "tap2_neutral", 0.0)
        rows = trafo.index[flags(trafo, "in_service") & moved]
        if len(rows):
            yield _unsupported(
                net, "trafo", rows, "a second tap changer off neutral", "fold it into vn_hv_kv or vn_lv_kv"
            )
    rows = shunt.index[flags(shunt, "in_service") & flags(shunt, "step_dependency_table", False)]
    if len(rows):
        yield _unsupported(
            net, "shunt", rows, "step_dependency_table = True", "set it to False and give p_mw and q_mvar"
        )
    with_impedance = switch.index[(switch.et.to_numpy() == "b") & (column(switch, "z_ohm", 0.0) > 0.0)]
    if len(with_impedance):
        yield _unsupported(
            net, "switch", with_impedance, "bus-bus switches with z_ohm > 0", "set it to 0 or use a line"
        )


def _unsupported(net: Any, table: str, indices: Iterable[Any], found: str, instead: str) -> str:
    which = ", ".join(str(i) for i in indices)
    return f"pandapower network '{net.name or ''}': table '{table}', indices {which}: {found}; not supported; {instead}"


def branch_ends_closed(net: Any, table: Any, kind: str, second_end: str) -> tuple[Bools, Bools]:
    """Whether no switch of `kind` is open at the first and at the second end of each branch."""
    first, second = np.ones(len(table), dtype=bool), np.ones(len(table), dtype=bool)
    opened = net.switch[(net.switch.et.to_numpy() == kind) & ~flags(net.switch, "closed")]
    for bus, element in zip(opened.bus, opened.element, strict=True):
        row = table.index.get_loc(element)
        (second if table[second_end].iloc[row] == bus else first)[row] = False
    return first, second


def tap_columns(table: Any) -> dict[str, Any]:
    """Tap changer columns; all neutral where pandapower would ignore the tap position."""
    kind = _tap_kinds(table)
    on_hv, on_lv = ((table["tap_side"] == side).to_numpy() for side in ("hv", "lv"))
    neutral, position = column(table, "tap_neutral"), column(table, "tap_pos")
    step, step_rad = (
        column(table, "tap_step_percent", 0.0) / PERCENT,
        np.deg2rad(column(table, "tap_step_degree", 0.0)),
    )
    is_ideal = kind == "Ideal"
    acts = (on_hv | on_lv) & np.isfinite(neutral) & (is_ideal | (np.isin(kind, RATIO_TYPES) & (step != 0.0)))
    acts &= (step != 0.0) | (step_rad != 0.0)
    at_neutral = np.where(np.isfinite(position), position, neutral)
    return {
        "tap_on_hv": on_hv | ~acts,
        "tap_pos": np.where(acts, at_neutral, 0.0),
        "tap_neutral": np.where(acts, neutral, 0.0),
        "tap_min": np.where(acts, column(table, "tap_min", -np.inf), 0.0),
        "tap_max": np.where(acts, column(table, "tap_max", np.inf), 0.0),
        "tap_step": np.where(acts, step, 0.0),
        "tap_step_rad": np.where(acts, step_rad, 0.0),
        "tap_is_phase_shifter": acts & is_ideal,
    }


def _tap_kinds(table: Any) -> Any:
    """`tap_changer_type` of each transformer; networks of before pandapower 3 have `tap_phase_shifter` instead."""
    if "tap_changer_type" in table:
        return table["tap_changer_type"].astype(object).where(table["tap_changer_type"].notna(), "").to_numpy()
    if "tap_phase_shifter" in table:
        return np.where(flags(table, "tap_phase_shifter", False), "Ideal", "Ratio").astype(object)
    return np.full(len(table), "", dtype=object)
