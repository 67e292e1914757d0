"""Three-phase networks of the golden OpenDSS files, rebuilt from their parameter tables."""

import json
from functools import cache
from typing import Any

import numpy as np

from gridenv.core.units import PERCENT, SQRT3
from gridenv.network.phase_tables import (
    CapacitorControlTable,
    CapacitorTable,
    PhaseInjectionTable,
    PhaseLineTable,
    PhaseNetworkSpec,
    PhaseSourceTable,
    PhaseTransformerTable,
    RegulatorTable,
    WindingTable,
)
from gridenv.network.spec import BusTable
from tests.shared_data import shared_file

DSS_CASES = (
    *("4bus_yy_bal", "4bus_dy_bal", "4bus_oyod_unbal", "european_lv"),
    *("ieee13", "ieee34mod1", "ieee37", "ieee123", "ieee8500bal"),
)
W_PER_KW = 1000.0
V_PER_KV = 1000.0
PPM = 1e-6

_OUT_OF_RANGE_MODELS = (1, 4, 5)
"""OpenDSS load models that become a constant impedance out of their voltage range."""

_CAPACITOR_MODES = {0: "current", 1: "voltage", 2: "kvar"}


@cache
def golden(name: str) -> dict[str, Any]:
    """Arrays of a file; skips the test when it is absent."""
    with np.load(shared_file(f"dss/{name}.npz"), allow_pickle=False) as file:
        return dict(file)


def element(name: str, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and primitive admittance (siemens) of an element of a file."""
    g = golden(name)
    nodes = g["elem_nodes"][g["elem_ptr"][row] : g["elem_ptr"][row + 1]]
    y = g["elem_Y"][g["elem_yptr"][row] : g["elem_yptr"][row + 1]]
    return nodes, y.reshape(len(nodes), len(nodes))


@cache
def phase_spec_from_npz(name: str, *, ideal: bool = True) -> PhaseNetworkSpec:
    """The network of a file, at the tap positions of its transformer table.

    Args:
        name: file name without suffix, such as "ieee13".
        ideal: whether load models hold at every voltage (`ideal_*`, `scen_*` of the file), or leave them at
            their limits (`free_*`, `fixed_*`).

    Lines are called "line.x" and series reactors "reactor.x"; other elements bear their bare OpenDSS names.
    """
    g = golden(name)
    trafos = json.loads(str(g["xfmr_table_json"]))
    buses = dict.fromkeys(bus for bus, _ in map(_split, g["node_names"]))
    vn_kv = {_split(n)[0]: v * SQRT3 / V_PER_KV for n, v in zip(g["node_names"], g["node_vbase_ln_V"], strict=True)}
    return PhaseNetworkSpec(
        name=name,
        buses=BusTable(id=tuple(buses), vn_kv=np.array([vn_kv[b] for b in buses])),
        sources=_sources(name),
        lines=_lines(name).joined(_reactors(name)),
        transformers=_transformers(trafos),
        windings=_windings(trafos),
        regulators=_regulators(g),
        capacitors=_capacitors(name),
        capacitor_controls=_capacitor_controls(g),
        injections=_injections(name, ideal),
    )


def _split(node_name: str) -> tuple[str, str]:
    bus, _, conductor = str(node_name).rpartition(".")
    return bus, conductor


def _terminal(name: str, nodes: np.ndarray) -> tuple[str, str]:
    """Bus and conductors of the nodes of a terminal; leaves out those that are absent or ground."""
    names = [_split(golden(name)["node_names"][n]) for n in nodes if n >= 0]
    buses = {bus for bus, _ in names}
    assert len(buses) == 1, (name, nodes, buses)
    return buses.pop(), "".join(conductor for _, conductor in names)


def _rows(name: str, kind: str) -> np.ndarray:
    return np.flatnonzero(golden(name)["elem_class"] == kind)


def _padded(matrix: np.ndarray) -> np.ndarray:
    full = np.zeros((3, 3), dtype=complex)
    full[: len(matrix), : len(matrix)] = matrix
    return full


def _sources(name: str) -> PhaseSourceTable:
    g, table = golden(name), json.loads(str(golden(name)["src_table_json"]))
    terminals = [_terminal(name, np.array(s["nodes"])) for s in table]
    e = [complex(s["E_re"][0], s["E_im"][0]) for s in table]
    for s, first in zip(table, e, strict=True):
        rotated = first * np.exp(-2j * np.pi * np.arange(3) / 3)
        np.testing.assert_allclose(np.array(s["E_re"]) + 1j * np.array(s["E_im"]), rotated, rtol=1e-12)
    z = []
    for row in _rows(name, "vsource"):
        nodes, y = element(name, row)
        n = len(nodes) // 2
        z.append(_padded(np.linalg.inv(y[:n, :n])))
    return PhaseSourceTable(
        id=tuple(s["name"] for s in table),
        bus=tuple(bus for bus, _ in terminals),
        phases=tuple(phases for _, phases in terminals),
        v_pu=np.array(
            [abs(v) / g["node_vbase_ln_V"][s["nodes"][0]] for v, s in zip(e, table, strict=True)], dtype=float
        ),
        angle_rad=np.angle(e),
        z_ohm=z,
    )


def _lines(name: str) -> PhaseLineTable:
    g = golden(name)
    from_terminals = [_terminal(name, nodes) for nodes in g["line_from"]]
    to_terminals = [_terminal(name, nodes) for nodes in g["line_to"]]
    return PhaseLineTable(
        id=tuple(map(str, g["line_names"])),
        from_bus=tuple(bus for bus, _ in from_terminals),
        to_bus=tuple(bus for bus, _ in to_terminals),
        from_phases=tuple(phases for _, phases in from_terminals),
        to_phases=tuple(phases for _, phases in to_terminals),
        z_ohm=g["line_Z_ohm"],
        y_s=2.0 * g["line_Yshunt_end_S"],
    )


def _reactors(name: str) -> PhaseLineTable:
    """Series reactors as lines."""
    rows = _rows(name, "reactor")
    ends, z = [], []
    for row in rows:
        nodes, y = element(name, row)
        n = len(nodes) // 2
        np.testing.assert_allclose(y[:n, n:], -y[:n, :n], rtol=1e-12)
        ends.append((_terminal(name, nodes[:n]), _terminal(name, nodes[n:])))
        z.append(_padded(np.linalg.inv(y[:n, :n])))
    return PhaseLineTable(
        id=tuple(str(golden(name)["elem_names"][row]) for row in rows),
        from_bus=tuple(a for (a, _), _ in ends),
        from_phases=tuple(p for (_, p), _ in ends),
        to_bus=tuple(b for _, (b, _) in ends),
        to_phases=tuple(p for _, (_, p) in ends),
        z_ohm=z,
    )


def _floats(table: list[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([row[key] for row in table], dtype=float)


def _transformers(table: list[dict[str, Any]]) -> PhaseTransformerTable:
    return PhaseTransformerTable(
        id=tuple(t["name"] for t in table),
        n_phase=_floats(table, "phases"),
        x_12=_floats(table, "xhl") / PERCENT,
        x_13=_floats(table, "xht") / PERCENT,
        x_23=_floats(table, "xlt") / PERCENT,
        p_no_load=_floats(table, "noloadloss_pct") / PERCENT,
        i_magnetising=_floats(table, "imag_pct") / PERCENT,
        stray_share=_floats(table, "ppm_antifloat") * PPM,
        lag_30=np.array([t["leadlag"] == "Lag" for t in table], dtype=bool),
    )


def _windings(table: list[dict[str, Any]]) -> WindingTable:
    rows = [(t, n, bus, w) for t in table for n, (bus, w) in enumerate(zip(t["buses"], t["windings"], strict=True), 1)]
    assert all(w["Rneut"] < 0.0 for *_, w in rows), "neutral impedances are not translated"
    return WindingTable(
        id=tuple(f"{t['name']}.{n}" for t, n, _, _ in rows),
        transformer=tuple(t["name"] for t, *_ in rows),
        bus=tuple(bus.split(".")[0] for _, _, bus, _ in rows),
        phases=tuple(_winding_phases(bus, t["phases"]) for t, _, bus, _ in rows),
        connection=tuple("delta" if w["delta"] else "wye" for *_, w in rows),
        v_kv=np.array([w["kV"] for *_, w in rows], dtype=float),
        s_kva=np.array([w["kVA"] for *_, w in rows], dtype=float),
        r=np.array([w["R_pct"] / PERCENT for *_, w in rows], dtype=float),
        tap=np.array([w["tap"] for *_, w in rows], dtype=float),
    )


def _winding_phases(bus: str, n_phase: int) -> str:
    conductors = "".join(bus.split(".")[1:]) or "123"
    return conductors[:3] if n_phase == 3 else conductors[:2].ljust(2, "0")


def _regulators(g: dict[str, Any]) -> RegulatorTable:
    table = json.loads(str(g["reg_table_json"]))
    assert all(r["winding"] == r["tapwinding"] for r in table)
    return RegulatorTable(
        id=tuple(r["name"] for r in table),
        transformer=tuple(r["transformer"] for r in table),
        winding=_floats(table, "tapwinding"),
        v_target_v=_floats(table, "vreg"),
        band_v=_floats(table, "band"),
        pt_ratio=_floats(table, "ptratio"),
        ct_primary_a=_floats(table, "ctprim"),
        ldc_r_v=_floats(table, "R"),
        ldc_x_v=_floats(table, "X"),
        tap_min=_floats(table, "min_tap"),
        tap_max=_floats(table, "max_tap"),
        n_step=_floats(table, "num_taps"),
        delay_s=_floats(table, "delay_s"),
        max_steps=_floats(table, "maxtapchange"),
    )


def _capacitors(name: str) -> CapacitorTable:
    """Grounded banks, rated at the base voltage of their bus."""
    rows = _rows(name, "capacitor")
    terminals, q_kvar, v_kv = [], [], []
    for row in rows:
        nodes, y = element(name, row)
        n = len(nodes) // 2
        assert (nodes[n:] == -1).all(), "delta banks are not translated"
        np.testing.assert_allclose(y[:n, :n], y[0, 0] * np.eye(n), rtol=1e-12)
        v_ln_kv = golden(name)["node_vbase_ln_V"][nodes[0]] / V_PER_KV
        terminals.append(_terminal(name, nodes[:n]))
        q_kvar.append(n * y[0, 0].imag * v_ln_kv**2 * W_PER_KW)
        v_kv.append(v_ln_kv if n == 1 else v_ln_kv * SQRT3)
    return CapacitorTable(
        id=tuple(str(golden(name)["elem_names"][row]).partition(".")[2] for row in rows),
        bus=tuple(bus for bus, _ in terminals),
        phases=tuple(phases for _, phases in terminals),
        connection=("wye",) * len(rows),
        q_kvar=np.array(q_kvar, dtype=float),
        v_kv=np.array(v_kv, dtype=float),
    )


def _capacitor_controls(g: dict[str, Any]) -> CapacitorControlTable:
    table = json.loads(str(g["capctrl_table_json"]))
    return CapacitorControlTable(
        id=tuple(c["name"] for c in table),
        capacitor=tuple(c["capacitor"] for c in table),
        line=tuple(c["monitored"] for c in table),
        mode=tuple(_CAPACITOR_MODES[c["mode"]] for c in table),
        switch_on=_floats(table, "on"),
        switch_off=_floats(table, "off"),
        pt_ratio=_floats(table, "ptratio"),
        ct_ratio=_floats(table, "ctratio"),
        delay_s=_floats(table, "delay"),
    )


def _injections(name: str, ideal: bool) -> PhaseInjectionTable:
    """One element a load: its branches are equal parts, one for each conductor or side of a triangle."""
    g = golden(name)
    order = np.argsort(g["br_load"], kind="stable")
    branches = np.split(order, np.flatnonzero(np.diff(g["br_load"][order])) + 1)
    assert len(branches) == len(g["load_names"])
    first = np.array([b[0] for b in branches])
    terminals = [_load_terminal(name, b) for b in branches]
    limited = np.isin(g["br_model"][first], _OUT_OF_RANGE_MODELS) & (not ideal)
    return PhaseInjectionTable(
        id=tuple(map(str, g["load_names"])),
        bus=tuple(bus for bus, _, _ in terminals),
        phases=tuple(phases for _, phases, _ in terminals),
        connection=tuple(connection for *_, connection in terminals),
        kind=("load",) * len(branches),
        p_kw=np.array([-g["br_P_W"][b].sum() / W_PER_KW for b in branches], dtype=float),
        q_kvar=np.array([-g["br_Q_var"][b].sum() / W_PER_KW for b in branches], dtype=float),
        v_kv=g["br_vbase_V"][first] / V_PER_KV,
        exponent_p=g["br_expP"][first],
        exponent_q=g["br_expQ"][first],
        v_min_pu=np.where(limited, g["br_vmin"][first], 0.0),
        v_max_pu=np.where(limited, g["br_vmax"][first], np.inf),
        v_low_pu=np.where(limited, g["br_vlow"][first], 0.0),
    )


def _load_terminal(name: str, branches: np.ndarray) -> tuple[str, str, str]:
    """Bus, conductors and connection of a load; checks that they give its branches."""
    g = golden(name)
    for column in ("br_P_W", "br_Q_var", "br_vbase_V", "br_expP", "br_expQ", "br_vmin", "br_vmax", "br_vlow"):
        np.testing.assert_allclose(g[column][branches], g[column][branches[0]], rtol=1e-12)
    i, j = g["br_i"][branches], g["br_j"][branches]
    if (j == -1).all():
        return (*_terminal(name, i), "wye")
    if len(branches) == 1:
        return (*_terminal(name, np.array([i[0], j[0]])), "delta")
    assert len(branches) == 3, (name, branches)
    assert np.array_equal(j, np.roll(i, -1)), (name, branches)
    return (*_terminal(name, i), "delta")
