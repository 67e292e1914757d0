"""Networks of pandapower as tables; the only file of the project that imports pandapower, and only inside functions."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from gridenv.core.errors import UnsupportedElementError, raise_collected
from gridenv.core.units import A_PER_KA, KVA_PER_MVA, KW_PER_MW, PERCENT
from gridenv.network.spec import (
    Bools,
    BusTable,
    Floats,
    InjectionTable,
    LineTable,
    Names,
    NetworkSpec,
    ShuntTable,
    SourceTable,
    SwitchTable,
    TransformerTable,
)
from gridenv.network.validate import validate

F_PER_NF = 1e-9
S_PER_US = 1e-6
KVAR_PER_MVAR = KVA_PER_MVA

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
_RATIO_TYPES = ("Ratio", "Symmetrical")


def build_pandapower(function: str, arguments: dict[str, Any]) -> Any:
    """A network of `pandapower.networks`, such as `create_cigre_network_mv`."""
    import pandapower.networks

    return getattr(pandapower.networks, function)(**arguments)


def from_pandapower(net: Any) -> NetworkSpec:
    """Convert a balanced pandapower network.

    Buses are named by `str(index)`, elements `line.0`, `trafo.0`, `load.12`, `sgen.3`, `storage.0`, `shunt.0`,
    `switch.4`, `ext_grid.0`. Injections are in the order loads, static generators, storage. Results agree with
    `pandapower.runpp(net)` and its default options; controllers are not run.

    Raises:
        UnsupportedElementError: for in-service elements that are not modelled; names table and indices.
        NetworkError: for inconsistent data.

    Source: pandapower 3.5 documentation, electric model of each element.
    """
    raise_collected([*_unknown_tables(net), *_unsupported_options(net)], UnsupportedElementError)
    spec = NetworkSpec(
        name=str(net.name or "pandapower"),
        buses=BusTable(
            id=_names(net.bus.index), vn_kv=_column(net.bus, "vn_kv"), in_service=_flags(net.bus, "in_service")
        ),
        sources=_sources(net),
        lines=_lines(net),
        transformers=_transformers(net),
        injections=_injections(net),
        shunts=_shunts(net),
        switches=_switches(net),
    )
    validate(spec, allow_islands=True)
    return spec


def _unknown_tables(net: Any) -> Iterable[str]:
    """Tables of elements at buses that are in service and have no counterpart here."""
    for name, table in net.items():
        if name.startswith(("_", "res_")) or name in _CONVERTED or not hasattr(table, "columns"):
            continue
        at_bus = any(c in ("bus", "buses") or c.startswith("bus_") or "_bus" in c for c in map(str, table.columns))
        if len(table) == 0 or not at_bus:
            continue
        active = table.index[_flags(table, "in_service")] if "in_service" in table else table.index
        if len(active):
            what = _INSTEAD.get(name, "remove it, or model it by loads, lines and shunts")
            yield _unsupported(net, name, active, "elements that are not modelled", what)


def _unsupported_options(net: Any) -> Iterable[str]:
    load, trafo, switch, shunt = net.load, net.trafo, net.switch, net.shunt
    on = _flags(load, "in_service")
    for name in (c for c in load.columns if c.startswith(("const_z", "const_i"))):
        shares = load.index[on & (_column(load, name, 0.0) != 0.0)]
        if len(shares):
            yield _unsupported(net, "load", shares, f"{name} != 0", "set it to 0; loads have constant power")
    for name in ("tap_dependency_table", "tap_dependent_impedance"):
        rows = trafo.index[_flags(trafo, "in_service") & _flags(trafo, name, False)]
        if len(rows):
            yield _unsupported(net, "trafo", rows, f"{name} = True", "set it to False and give tap_step_percent")
    if "tap2_pos" in trafo:
        moved = _column(trafo, "tap2_pos", 0.0) != _column(trafo, "tap2_neutral", 0.0)
        rows = trafo.index[_flags(trafo, "in_service") & moved]
        if len(rows):
            yield _unsupported(net, "trafo", rows, "a second tap changer off neutral", "fold it into vn_hv_kv or vn_lv_kv")
    rows = shunt.index[_flags(shunt, "in_service") & _flags(shunt, "step_dependency_table", False)]
    if len(rows):
        yield _unsupported(net, "shunt", rows, "step_dependency_table = True", "set it to False and give p_mw and q_mvar")
    with_impedance = switch.index[(switch.et.to_numpy() == "b") & (_column(switch, "z_ohm", 0.0) > 0.0)]
    if len(with_impedance):
        yield _unsupported(net, "switch", with_impedance, "bus-bus switches with z_ohm > 0", "set it to 0 or use a line")


def _unsupported(net: Any, table: str, indices: Iterable[Any], found: str, instead: str) -> str:
    which = ", ".join(str(i) for i in indices)
    return f"pandapower network '{net.name or ''}': table '{table}', indices {which}: {found}; not supported; {instead}"


def _names(values: Iterable[Any], prefix: str = "") -> Names:
    return tuple(f"{prefix}{value}" for value in values)


def _column(table: Any, name: str, missing: float = np.nan) -> Floats:
    """A column as floats; `missing` replaces absent columns and absent values."""
    if name not in table:
        return np.full(len(table), missing)
    values = table[name].astype(object).where(table[name].notna(), missing)
    return np.asarray(values.to_numpy(), dtype=float)


def _flags(table: Any, name: str, missing: bool = True) -> Bools:
    if name not in table:
        return np.full(len(table), missing)
    values = table[name].astype(object).where(table[name].notna(), missing)
    return np.asarray(values.to_numpy(), dtype=bool)


def _at_live_bus(net: Any, table: Any) -> Bools:
    """In-service elements at in-service buses; pandapower ignores the others."""
    live = _flags(net.bus, "in_service")
    return _flags(table, "in_service") & live[net.bus.index.get_indexer(table["bus"])]


def _sources(net: Any) -> SourceTable:
    table = net.ext_grid[_flags(net.ext_grid, "in_service")]
    return SourceTable(
        id=_names(table.index, "ext_grid."),
        bus=_names(table.bus),
        v_pu=_column(table, "vm_pu"),
        angle_rad=np.deg2rad(_column(table, "va_degree", 0.0)),
    )


def _lines(net: Any) -> LineTable:
    table = net.line
    length_km, parallel = _column(table, "length_km"), _column(table, "parallel", 1.0)
    omega_per_s = 2.0 * np.pi * net.f_hz
    i_max_a = _column(table, "max_i_ka", np.inf) * _column(table, "df", 1.0) * parallel * A_PER_KA
    from_closed, to_closed = _ends_closed(net, table, "l", "to_bus")
    return LineTable(
        id=_names(table.index, "line."),
        from_bus=_names(table.from_bus),
        to_bus=_names(table.to_bus),
        r_ohm=_column(table, "r_ohm_per_km") * length_km / parallel,
        x_ohm=_column(table, "x_ohm_per_km") * length_km / parallel,
        g_s=_column(table, "g_us_per_km", 0.0) * S_PER_US * length_km * parallel,
        b_s=omega_per_s * _column(table, "c_nf_per_km", 0.0) * F_PER_NF * length_km * parallel,
        i_max_a=i_max_a,
        in_service=_flags(table, "in_service"),
        from_closed=from_closed,
        to_closed=to_closed,
    )


def _ends_closed(net: Any, table: Any, kind: str, second_end: str) -> tuple[Bools, Bools]:
    """Whether no switch of `kind` is open at the first and at the second end of each branch."""
    first, second = np.ones(len(table), dtype=bool), np.ones(len(table), dtype=bool)
    opened = net.switch[(net.switch.et.to_numpy() == kind) & ~_flags(net.switch, "closed")]
    for bus, element in zip(opened.bus, opened.element, strict=True):
        row = table.index.get_loc(element)
        (second if table[second_end].iloc[row] == bus else first)[row] = False
    return first, second


def _transformers(net: Any) -> TransformerTable:
    table = net.trafo
    s_kva = _column(table, "sn_mva") * KVA_PER_MVA
    hv_closed, lv_closed = _ends_closed(net, table, "t", "lv_bus")
    return TransformerTable(
        id=_names(table.index, "trafo."),
        hv_bus=_names(table.hv_bus),
        lv_bus=_names(table.lv_bus),
        s_kva=s_kva,
        vn_hv_kv=_column(table, "vn_hv_kv"),
        vn_lv_kv=_column(table, "vn_lv_kv"),
        vk=_column(table, "vk_percent") / PERCENT,
        vkr=_column(table, "vkr_percent") / PERCENT,
        r_share_hv=_column(table, "leakage_resistance_ratio_hv", 0.5),
        x_share_hv=_column(table, "leakage_reactance_ratio_hv", 0.5),
        p_iron_kw=_column(table, "pfe_kw"),
        i_no_load=_column(table, "i0_percent") / PERCENT,
        shift_rad=np.deg2rad(_column(table, "shift_degree", 0.0)),
        parallel=_column(table, "parallel", 1.0),
        loading_base_kva=s_kva * _column(table, "df", 1.0),
        in_service=_flags(table, "in_service"),
        hv_closed=hv_closed,
        lv_closed=lv_closed,
        **_tap_columns(table),
    )


def _tap_columns(table: Any) -> dict[str, Any]:
    """Tap changer columns; all neutral where pandapower would ignore the tap position."""
    kind = _tap_kinds(table)
    on_hv, on_lv = ((table["tap_side"] == side).to_numpy() for side in ("hv", "lv"))
    neutral, position = _column(table, "tap_neutral"), _column(table, "tap_pos")
    step, step_rad = _column(table, "tap_step_percent", 0.0) / PERCENT, np.deg2rad(_column(table, "tap_step_degree", 0.0))
    is_ideal = kind == "Ideal"
    acts = (on_hv | on_lv) & np.isfinite(neutral) & (is_ideal | (np.isin(kind, _RATIO_TYPES) & (step != 0.0)))
    acts &= (step != 0.0) | (step_rad != 0.0)
    at_neutral = np.where(np.isfinite(position), position, neutral)
    return {
        "tap_on_hv": on_hv | ~acts,
        "tap_pos": np.where(acts, at_neutral, 0.0),
        "tap_neutral": np.where(acts, neutral, 0.0),
        "tap_min": np.where(acts, _column(table, "tap_min", -np.inf), 0.0),
        "tap_max": np.where(acts, _column(table, "tap_max", np.inf), 0.0),
        "tap_step": np.where(acts, step, 0.0),
        "tap_step_rad": np.where(acts, step_rad, 0.0),
        "tap_is_phase_shifter": acts & is_ideal,
    }


def _tap_kinds(table: Any) -> Any:
    """`tap_changer_type` of each transformer; networks of before pandapower 3 have `tap_phase_shifter` instead."""
    if "tap_changer_type" in table:
        return table["tap_changer_type"].astype(object).where(table["tap_changer_type"].notna(), "").to_numpy()
    if "tap_phase_shifter" in table:
        return np.where(_flags(table, "tap_phase_shifter", False), "Ideal", "Ratio").astype(object)
    return np.full(len(table), "", dtype=object)


def _injections(net: Any) -> InjectionTable:
    parts = (("load", net.load, -1.0), ("sgen", net.sgen, 1.0), ("storage", net.storage, -1.0))
    scaled = [(kind, table, sign * _column(table, "scaling", 1.0)) for kind, table, sign in parts]
    return InjectionTable(
        id=sum((_names(table.index, f"{kind}.") for kind, table, _ in scaled), ()),
        bus=sum((_names(table.bus) for _, table, _ in scaled), ()),
        kind=sum(((kind,) * len(table) for kind, table, _ in scaled), ()),
        p_kw=np.concatenate([_column(table, "p_mw") * factor * KW_PER_MW for _, table, factor in scaled]),
        q_kvar=np.concatenate([_column(table, "q_mvar", 0.0) * factor * KVAR_PER_MVAR for _, table, factor in scaled]),
        in_service=np.concatenate([_at_live_bus(net, table) for _, table, _ in scaled]),
    )


def _shunts(net: Any) -> ShuntTable:
    table = net.shunt
    step, v_rated_kv = _column(table, "step", 1.0), _column(table, "vn_kv")
    v_bus_kv = _column(net.bus, "vn_kv")[net.bus.index.get_indexer(table.bus)]
    return ShuntTable(
        id=_names(table.index, "shunt."),
        bus=_names(table.bus),
        p_kw=-_column(table, "p_mw") * step * KW_PER_MW,
        q_kvar=-_column(table, "q_mvar") * step * KVAR_PER_MVAR,
        v_rated_kv=np.where(np.isfinite(v_rated_kv), v_rated_kv, v_bus_kv),
        in_service=_at_live_bus(net, table),
    )


def _switches(net: Any) -> SwitchTable:
    table = net.switch[net.switch.et.to_numpy() == "b"]
    return SwitchTable(
        id=_names(table.index, "switch."),
        bus_a=_names(table.bus),
        bus_b=_names(table.element),
        closed=_flags(table, "closed"),
    )
