"""Three-phase networks of pandapower with data of the zero sequence, as tables; does not import pandapower.

Sequence values become phase matrices: self impedance (Z0 + 2 Z1) / 3, mutual impedance (Z0 - Z1) / 3.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridenv.core.errors import NetworkError, UnsupportedElementError, raise_collected
from gridenv.core.units import A_PER_KA, F_PER_NF, KVAR_PER_MVAR, KW_PER_MW, S_PER_US, SQRT3
from gridenv.network.pandapower_phase_transformers import transformer_tables
from gridenv.network.pandapower_tables import (
    at_live_bus,
    branch_ends_closed,
    column,
    dangling_switches,
    flags,
    missing_tables,
    names,
    unknown_tables,
    unsupported_options,
    without_incomplete,
)
from gridenv.network.phase_tables import (
    CapacitorTable,
    PhaseInjectionTable,
    PhaseLineTable,
    PhaseNetworkSpec,
    PhaseSourceTable,
)
from gridenv.network.phase_validate import validate_phases
from gridenv.network.spec import BusTable

_ALSO_CONVERTED = ("asymmetric_load", "asymmetric_sgen")
_PHASES = ("a", "b", "c")
_LEGS = {"wye": ("1", "2", "3"), "delta": ("12", "23", "31")}
_VOLTAGE_FACTOR = 1.1
"""Voltage factor c of the short-circuit power of an external grid. Source: IEC 60909-0, c_max above 1 kV."""
_STIFF = 1e-6
"""Positive-sequence impedance of an external grid as a share of its negative-sequence one: it holds the voltage."""
_SWITCH_PU = 1e-8
"""Impedance of a closed bus-bus switch, pu of 1 MVA."""
_ROTATION = np.exp(2j * np.pi / 3.0)
_TO_PHASES = np.array([[1.0, 1.0, 1.0], [1.0, _ROTATION**2, _ROTATION], [1.0, _ROTATION, _ROTATION**2]])
"""Phase quantities from zero-, positive- and negative-sequence ones."""
_NEEDED = {
    "line": ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km"),
    "ext_grid": ("s_sc_max_mva", "rx_max", "x0x_max", "r0x0_max"),
    "trafo": ("vector_group", "vk0_percent", "vkr0_percent", "mag0_percent", "mag0_rx", "si0_hv_partial"),
}
"""Zero-sequence columns of pandapower's tables."""


def from_pandapower_phases(net: Any) -> PhaseNetworkSpec:
    """Convert a pandapower network with zero-sequence data; see `from_pandapower`.

    Raises:
        UnsupportedElementError: for in-service elements that are not modelled; names table and indices.
        NetworkError: for missing zero-sequence data, and for anything that is no pandapower network.

    Source: pandapower 3.5, `runpp_3ph`: sequence models of lines, transformers and external grids.
    """
    raise_collected([*missing_tables(net)], NetworkError)
    refused = [*unknown_tables(net, _ALSO_CONVERTED), *unsupported_options(net), *_unsupported(net)]
    raise_collected(refused, UnsupportedElementError)
    dangling = list(dangling_switches(net))
    net = without_incomplete(net, _NEEDED)
    raise_collected([*_missing_columns(net), *dangling], NetworkError)
    transformers, windings, core_buses = transformer_tables(net)
    buses = BusTable(id=names(net.bus.index), vn_kv=column(net.bus, "vn_kv"), in_service=flags(net.bus, "in_service"))
    spec = PhaseNetworkSpec(
        name=str(net.name or "pandapower"),
        buses=buses.joined(core_buses),
        sources=_sources(net),
        lines=_lines(net).joined(_switches(net)),
        transformers=transformers,
        windings=windings,
        capacitors=_capacitors(net),
        injections=_injections(net),
    )
    validate_phases(spec)
    return spec


def _missing_columns(net: Any) -> Iterator[str]:
    for table_name, needed in _NEEDED.items():
        table = net[table_name]
        missing = [c for c in needed if c not in table or table[c].isna().any()]
        if len(table) and missing:
            yield (
                f"pandapower network '{net.name or ''}': table '{table_name}' lacks values in {', '.join(missing)}; "
                "allowed: zero-sequence data of every row in service; add them, or convert with phases=1"
            )


def _unsupported(net: Any) -> Iterator[str]:
    lossy = net.shunt.index[at_live_bus(net, net.shunt) & (column(net.shunt, "p_mw", 0.0) != 0.0)]
    if len(lossy):
        yield (
            f"pandapower network '{net.name or ''}': table 'shunt', indices {', '.join(map(str, lossy))}: p_mw != 0; "
            "not supported in three phases; model it as a load"
        )


def _bus_kv(net: Any, buses: Any) -> NDArray[np.float64]:
    return column(net.bus, "vn_kv")[net.bus.index.get_indexer(buses)]


def _sources(net: Any) -> PhaseSourceTable:
    """External grids: they hold the positive-sequence voltage and pass the other sequences to ground."""
    table = net.ext_grid[at_live_bus(net, net.ext_grid)]
    z_ohm = _VOLTAGE_FACTOR * _bus_kv(net, table.bus) ** 2 / column(table, "s_sc_max_mva")
    rx, r0x0 = column(table, "rx_max"), column(table, "r0x0_max")
    x_ohm = z_ohm / np.sqrt(rx**2 + 1.0)
    x0_ohm = x_ohm * column(table, "x0x_max")
    z_2 = (rx + 1j) * x_ohm
    sequences = np.stack([(r0x0 + 1j) * x0_ohm, _STIFF * z_2, z_2], axis=1)
    return PhaseSourceTable(
        id=names(table.index, "ext_grid."),
        bus=names(table.bus),
        phases=("123",) * len(table),
        v_pu=column(table, "vm_pu"),
        angle_rad=np.deg2rad(column(table, "va_degree", 0.0)),
        z_ohm=_TO_PHASES @ (sequences[:, :, None] * np.linalg.inv(_TO_PHASES)),
    )


def _circulant(zero: NDArray[Any], positive: NDArray[Any]) -> NDArray[np.complex128]:
    """[row, 3, 3] phase matrices from zero- and positive-sequence values; negative sequence equals positive."""
    mutual = (zero - positive) / 3.0
    matrix: NDArray[np.complex128] = mutual[:, None, None] + positive[:, None, None] * np.eye(3)
    return matrix.astype(complex)


def _lines(net: Any) -> PhaseLineTable:
    table = net.line
    length_km, parallel = column(table, "length_km"), column(table, "parallel", 1.0)
    omega_per_s = 2.0 * np.pi * net.f_hz
    z_1, z_0 = (
        (column(table, f"r{s}_ohm_per_km") + 1j * column(table, f"x{s}_ohm_per_km")) * length_km / parallel
        for s in ("", "0")
    )
    b_1, b_0 = (
        omega_per_s * column(table, f"c{s}_nf_per_km", 0.0) * F_PER_NF * length_km * parallel for s in ("", "0")
    )
    g_1 = column(table, "g_us_per_km", 0.0) * S_PER_US * length_km * parallel
    from_closed, to_closed = branch_ends_closed(net, table, "l", "to_bus")
    return PhaseLineTable(
        id=names(table.index, "line."),
        from_bus=names(table.from_bus),
        to_bus=names(table.to_bus),
        from_phases=("123",) * len(table),
        to_phases=("123",) * len(table),
        z_ohm=_circulant(z_0, z_1),
        y_s=_circulant(1j * b_0, g_1 + 1j * b_1),
        i_max_a=column(table, "max_i_ka", np.inf) * column(table, "df", 1.0) * parallel * A_PER_KA,
        closed=flags(table, "in_service") & from_closed & to_closed,
    )


def _switches(net: Any) -> PhaseLineTable:
    """Bus-bus switches as lines of next to no impedance."""
    table = net.switch[net.switch.et.to_numpy() == "b"]
    z_ohm = (_SWITCH_PU * _bus_kv(net, table.bus) ** 2).astype(complex)
    return PhaseLineTable(
        id=names(table.index, "switch."),
        from_bus=names(table.bus),
        to_bus=names(table.element),
        from_phases=("123",) * len(table),
        to_phases=("123",) * len(table),
        z_ohm=_circulant(z_ohm, z_ohm),
        closed=flags(table, "closed"),
    )


def _capacitors(net: Any) -> CapacitorTable:
    """Shunts; pandapower gives them the same admittance in every sequence, as a grounded wye has.

    Those with losses are out of service, and left out: a bank that is data could be closed.
    """
    table = net.shunt[column(net.shunt, "p_mw", 0.0) == 0.0]
    v_kv, v_bus_kv = column(table, "vn_kv"), _bus_kv(net, table.bus)
    return CapacitorTable(
        id=names(table.index, "shunt."),
        bus=names(table.bus),
        phases=("123",) * len(table),
        connection=("wye",) * len(table),
        q_kvar=-column(table, "q_mvar") * column(table, "step", 1.0) * KVAR_PER_MVAR,
        v_kv=np.where(np.isfinite(v_kv), v_kv, v_bus_kv),
        closed=at_live_bus(net, table),
    )


def _injections(net: Any) -> PhaseInjectionTable:
    whole = [_balanced(net, kind, sign) for kind, sign in (("load", -1.0), ("sgen", 1.0), ("storage", -1.0))]
    single = [_asymmetric(net, kind, sign) for kind, sign in (("load", -1.0), ("sgen", 1.0))]
    first, *rest = (*whole, *single)
    for table in rest:
        first = first.joined(table)
    return first


def _connections(table: Any) -> list[str]:
    """Connection of each element; anything that is not called delta is a wye, as types such as "PV" are."""
    types = table["type"] if "type" in table else [None] * len(table)
    return ["delta" if t == "delta" else "wye" for t in types]


def _balanced(net: Any, kind: str, sign: float) -> PhaseInjectionTable:
    """Elements that draw or feed in a third of their power in each phase."""
    table = net[kind]
    connections, scale = _connections(table), sign * column(table, "scaling", 1.0)
    return PhaseInjectionTable(
        id=names(table.index, f"{kind}."),
        bus=names(table.bus),
        phases=("123",) * len(table),
        connection=tuple(connections),
        kind=(kind,) * len(table),
        p_kw=column(table, "p_mw") * scale * KW_PER_MW,
        q_kvar=column(table, "q_mvar", 0.0) * scale * KVAR_PER_MVAR,
        v_kv=_bus_kv(net, table.bus) / np.where([c == "delta" for c in connections], 1.0, SQRT3),
        in_service=at_live_bus(net, table),
    )


def _asymmetric(net: Any, kind: str, sign: float) -> PhaseInjectionTable:
    """One element for each phase of `asymmetric_load` and `asymmetric_sgen`."""
    table = net[f"asymmetric_{kind}"]
    connections, scale = _connections(table), sign * column(table, "scaling", 1.0)
    leg_kv = _bus_kv(net, table.bus) / np.where([c == "delta" for c in connections], 1.0, SQRT3)
    powers = np.array([[column(table, f"{s}_{p}_{unit}") for p in _PHASES] for s, unit in (("p", "mw"), ("q", "mvar"))])
    p_kw, q_kvar = (powers * scale * KW_PER_MW).transpose(0, 2, 1).reshape(2, -1)
    return PhaseInjectionTable(
        id=tuple(f"asymmetric_{kind}.{i}.{p}" for i in table.index for p in _PHASES),
        bus=tuple(str(bus) for bus in table.bus for _ in _PHASES),
        phases=tuple(leg for c in connections for leg in _LEGS[c]),
        connection=tuple(c for c in connections for _ in _PHASES),
        kind=(kind,) * (3 * len(table)),
        p_kw=p_kw,
        q_kvar=q_kvar,
        v_kv=np.repeat(leg_kv, 3),
        in_service=np.repeat(at_live_bus(net, table), 3),
    )
