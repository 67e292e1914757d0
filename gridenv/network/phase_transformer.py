"""Transformers of a three-phase network as n-ports: leakage, core, connection, taps and neutrals of their windings.

Currents into the terminals are `i = N' Y_w N v`: `N` takes terminal voltages to winding voltages, `Y_w` is the
admittance between the windings at their present turns.

Source: winding admittance as in R. C. Dugan, "A perspective on transformer modeling for distribution system analysis",
    IEEE PES General Meeting 2003: short-circuit impedances of pairs of windings, on a 1 V base. No-load branch at
    winding 2, stray admittances and directions of deltas as in OpenDSS: tests/golden/test_dss_primitives.py compares.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridenv.core.units import SQRT3
from gridenv.network.circuit import GROUND, Complex, Elements, Ints, TapWindings
from gridenv.network.phase_nodes import GROUND_CONDUCTOR, N_PHASE, S_BASE_PHASE_KVA, PhaseNodes, z_base_ohm
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import Floats

_SINGLE, _WYE, _DELTA_FORWARD, _DELTA_BACKWARD = range(4)

_EYE = np.eye(N_PHASE)
_INCIDENCE = {
    1: np.array([[[1.0, -1.0]]]),
    N_PHASE: np.array([np.zeros_like(_EYE), _EYE, _EYE - np.roll(_EYE, 1, axis=1), _EYE - np.roll(_EYE, -1, axis=1)]),
}
"""Phases of the unit -> [shape of winding, phase, conductor] ends of each phase of the winding."""

_STRAY_HALVES = {1: {"wye": [1.0, 2.0], "delta": [1.0, 1.0]}, N_PHASE: {"wye": [1.0] * 3, "delta": [2.0] * 3}}
"""Phases of the unit -> connection -> halves of `stray_share` at each conductor: one at every end of a phase of the
winding, and one more at the neutral, the second end of a single-phase wye winding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TransformerPorts:
    """What the transformers are in the circuit."""

    elements: Elements
    rating: Floats
    """[transformer, terminal] rated current, pu; infinite where there is none."""
    taps: TapWindings


@dataclass(frozen=True, kw_only=True, eq=False)
class _Group:
    """Units with the same number of phases and windings."""

    row: Ints
    """[unit] row of the transformer table."""
    winding: Ints
    """[unit, winding] row of the winding table."""
    n_phase: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ports:
    """Terminals of the units of a group; rows of windings are (winding, phase), terminals (winding, conductor)."""

    nodes: Ints
    incidence: Floats
    """[unit, winding row, terminal]"""
    y_winding: Complex
    """[unit, winding row, winding row] pu of the bases of the windings' buses."""
    y_stray: Complex
    """[unit, terminal]"""
    rating: Floats


def transformer_ports(spec: PhaseNetworkSpec, nodes: PhaseNodes) -> TransformerPorts:
    """Primitive admittances, ratings and steppable windings of the transformers.

    Args:
        spec: valid tables.
        nodes: numbers of the conductors.
    """
    groups = _groups(spec)
    ports = [_ports(spec, nodes, group) for group in groups]
    shape = (len(spec.transformers), max((p.nodes.shape[1] for p in ports), default=2 * N_PHASE))
    element_nodes = np.full(shape, GROUND, dtype=np.int64)
    rating = np.full(shape, np.inf)
    y = np.zeros((*shape, shape[1]), dtype=complex)
    for group, port in zip(groups, ports, strict=True):
        n = port.nodes.shape[1]
        element_nodes[group.row, :n] = port.nodes
        rating[group.row, :n] = port.rating
        y_port = np.swapaxes(port.incidence, 1, 2) @ port.y_winding @ port.incidence
        y_port[:, range(n), range(n)] += port.y_stray
        y[group.row, :n, :n] = y_port * _in_service(spec, nodes, group)[:, None, None]
    ungrounded = element_nodes != GROUND
    y *= ungrounded[:, :, None] & ungrounded[:, None, :]
    return TransformerPorts(
        elements=Elements(names=spec.transformers.id, nodes=element_nodes, y=y),
        rating=rating,
        taps=_tap_windings(spec, nodes, groups, ports, ungrounded),
    )


def _groups(spec: PhaseNetworkSpec) -> list[_Group]:
    row = {name: i for i, name in enumerate(spec.transformers.id)}
    windings: list[list[int]] = [[] for _ in row]
    for i, name in enumerate(spec.windings.transformer):
        windings[row[name]].append(i)
    members: dict[tuple[int, int], list[int]] = {}
    for i, n_phase in enumerate(spec.transformers.n_phase):
        members.setdefault((int(n_phase), len(windings[i])), []).append(i)
    return [
        _Group(row=np.array(rows), winding=np.array([windings[i] for i in rows]), n_phase=n_phase)
        for (n_phase, _), rows in members.items()
    ]


def _in_service(spec: PhaseNetworkSpec, nodes: PhaseNodes, group: _Group) -> NDArray[np.bool_]:
    return spec.transformers.in_service[group.row] & nodes.on(spec.windings.bus)[group.winding].all(axis=1)


def _ports(spec: PhaseNetworkSpec, nodes: PhaseNodes, group: _Group) -> _Ports:
    table, winding, n_phase = spec.windings, group.winding, group.n_phase
    n_unit = len(winding)
    is_delta = np.array([c == "delta" for c in table.connection])[winding]
    v_kv = table.v_kv[winding] / np.where(is_delta | (n_phase == 1), 1.0, SQRT3)
    base_kv = nodes.base_kv(table.bus)[winding]
    width = max(n_phase, 2)
    flat = winding.ravel()
    phases = [table.phases[i].ljust(width, GROUND_CONDUCTOR) for i in flat]
    terminal_nodes = nodes.of([table.bus[i] for i in flat], phases, width).reshape(n_unit, -1)
    halves = np.array([_STRAY_HALVES[n_phase]["delta" if c == "delta" else "wye"] for c in table.connection])
    y_base = table.s_kva[winding[:, :1]] / n_phase / S_BASE_PHASE_KVA * (base_kv / v_kv) ** 2
    y_half = (-0.5j * spec.transformers.stray_share[group.row][:, None] * y_base).astype(complex)
    y_phase = _one_volt_admittance(spec, group) * table.s_kva[winding[:, 0], None, None] / n_phase / S_BASE_PHASE_KVA
    turns = table.tap[winding] * v_kv / base_kv
    y_winding = np.kron(y_phase / (turns[:, :, None] * turns[:, None, :]), np.eye(n_phase)).astype(complex)
    line_current = np.where(is_delta & (n_phase == N_PHASE), SQRT3, 1.0)
    rating = table.s_kva[winding] / n_phase / v_kv * line_current / (S_BASE_PHASE_KVA / base_kv)
    return _Ports(
        nodes=terminal_nodes,
        incidence=_incidence(spec, group, is_delta),
        y_winding=_without_neutrals(spec, group, y_winding, y_half, base_kv),
        y_stray=(halves[winding] * y_half[:, :, None]).reshape(n_unit, -1),
        rating=np.where(terminal_nodes == GROUND, np.inf, np.repeat(rating, width, axis=1)),
    )


def _one_volt_admittance(spec: PhaseNetworkSpec, group: _Group) -> Complex:
    """[unit, winding, winding] admittance of one phase between windings of 1 V, pu of the rating of winding 1.

    With winding 1 shorted, `v_k = sum_m z_b[k, m] i_m` for the others, from the short-circuit impedances of pairs:
    `z_b[k, k] = z_1k` and `z_b[k, m] = (z_1k + z_1m - z_km) / 2`. Then `y = B z_b^-1 B'`, as currents sum to zero.
    """
    trafos, s_kva = spec.transformers, spec.windings.s_kva[group.winding]
    r = spec.windings.r[group.winding] * s_kva[:, :1] / s_kva
    n = group.winding.shape[1] - 1
    z_b = np.zeros((len(group.row), n, n), dtype=complex)
    for k, x in enumerate((trafos.x_12, trafos.x_13)[:n]):
        z_b[:, k, k] = r[:, 0] + r[:, k + 1] + 1j * x[group.row]
    if n > 1:
        z_23 = r[:, 1] + r[:, 2] + 1j * trafos.x_23[group.row]
        z_b[:, 0, 1] = z_b[:, 1, 0] = 0.5 * (z_b[:, 0, 0] + z_b[:, 1, 1] - z_23)
    b = np.vstack([-np.ones(n), np.eye(n)])
    y: Complex = b @ np.linalg.inv(z_b) @ b.T
    y[:, 1, 1] += trafos.p_no_load[group.row] - 1j * trafos.i_magnetising[group.row]
    return y


def _incidence(spec: PhaseNetworkSpec, group: _Group, is_delta: NDArray[np.bool_]) -> Floats:
    """[unit, winding row, terminal] +1 and -1 at the ends of each phase of each winding.

    A delta connects each phase to the next one. Beside a wye it does so where the delta is the low-voltage side of a
    lagging unit or the high-voltage side of a leading one, and to the previous phase in the other two cases.
    """
    n_unit, n_winding = is_delta.shape
    if group.n_phase == 1:
        shape = np.full(is_delta.shape, _SINGLE)
    else:
        v_kv = spec.windings.v_kv[group.winding]
        hv_is_delta = is_delta[np.arange(n_unit), v_kv.argmax(axis=1)]
        mixed = is_delta.any(axis=1) & ~is_delta.all(axis=1)
        backward = mixed & (hv_is_delta == spec.transformers.lag_30[group.row])
        shape = np.where(is_delta, np.where(backward, _DELTA_BACKWARD, _DELTA_FORWARD)[:, None], _WYE)
    blocks = _INCIDENCE[group.n_phase][shape]
    n_row, n_conductor = blocks.shape[2:]
    incidence = np.zeros((n_unit, n_winding, n_row, n_winding, n_conductor))
    for w in range(n_winding):
        incidence[:, w, :, w, :] = blocks[:, w]
    return incidence.reshape(n_unit, n_winding * n_row, n_winding * n_conductor)


def _without_neutrals(
    spec: PhaseNetworkSpec, group: _Group, y_winding: Complex, y_half: Complex, base_kv: Floats
) -> Complex:
    """Winding admittance with neutrals that are not at ground eliminated (Kron)."""
    if group.n_phase == 1:
        return y_winding
    table, y = spec.windings, y_winding.copy()
    floating = np.array([c == "wye_ungrounded" for c in table.connection])[group.winding]
    z_neutral = table.z_neutral_ohm[group.winding]
    lifted = floating | (z_neutral != 0.0)
    for unit in np.flatnonzero(lifted.any(axis=1)):
        w = np.flatnonzero(lifted[unit])
        ends = np.zeros((y.shape[1], len(w)))
        for column, winding in enumerate(w):
            ends[winding * N_PHASE : (winding + 1) * N_PHASE, column] = -1.0
        n_half = N_PHASE + floating[unit, w]
        y_ground = np.zeros(len(w), dtype=complex)
        grounded = ~floating[unit, w]
        y_ground[grounded] = z_base_ohm(base_kv[unit, w[grounded]]) / z_neutral[unit, w[grounded]]
        y_neutral = ends.T @ y[unit] @ ends + np.diag(y_ground + n_half * y_half[unit, w])
        # The pseudo-inverse: two floating neutrals leave their common voltage open, and no current depends on it.
        y[unit] -= y[unit] @ ends @ np.linalg.pinv(y_neutral, rcond=1e-12) @ ends.T @ y[unit]
    return y


def _tap_windings(
    spec: PhaseNetworkSpec,
    nodes: PhaseNodes,
    groups: list[_Group],
    ports: list[_Ports],
    ungrounded: NDArray[np.bool_],
) -> TapWindings:
    table = spec.regulators
    place = {int(row): (g, u) for g, group in enumerate(groups) for u, row in enumerate(group.row)}
    number = {name: i for i, name in enumerate(spec.transformers.id)}
    rows: list[tuple[int, int, int]] = []
    at: dict[int, list[int]] = {}
    for changer, name in enumerate(table.transformer):
        n_phase = groups[place[number[name]][0]].n_phase
        first = (int(table.winding[changer]) - 1) * n_phase
        at.setdefault(number[name], []).extend(range(len(rows), len(rows) + n_phase))
        rows += [(number[name], changer, first + phase) for phase in range(n_phase)]
    y_winding = [
        port.y_winding * _in_service(spec, nodes, g)[:, None, None] for g, port in zip(groups, ports, strict=True)
    ]
    n, n_terminal = len(rows), ungrounded.shape[1]
    terminals, source, measure = (np.zeros((n, n_terminal), dtype=complex) for _ in range(3))
    direct = np.zeros((n, n), dtype=complex)
    for i, (trafo, _, w) in enumerate(rows):
        g, u = place[trafo]
        incidence, y = ports[g].incidence[u], y_winding[g][u]
        m = incidence.shape[1]
        terminals[i, :m] = incidence[w]
        source[i, :m] = incidence.T @ y[:, w]
        measure[i, :m] = y[w] @ incidence
        for j in at[trafo]:
            direct[i, j] = y[w, rows[j][2]]
    trafos = np.array([trafo for trafo, _, _ in rows], dtype=np.int64)
    return TapWindings(
        transformer=trafos,
        changer=np.array([changer for _, changer, _ in rows], dtype=np.int64),
        terminals=terminals * ungrounded[trafos],
        source=source * ungrounded[trafos],
        measure=measure * ungrounded[trafos],
        direct=direct,
    )
