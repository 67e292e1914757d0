"""Three-phase tables to a circuit: nodes, primitive admittances in pu, legs of loads and capacitors, tap changers."""

from typing import Any

import numpy as np

from gridenv.core.units import SQRT3
from gridenv.network.circuit import (
    GROUND,
    CapacitorLegs,
    Circuit,
    Complex,
    Elements,
    Ints,
    LineSeries,
    Loads,
    StepLaw,
    Switchable,
)
from gridenv.network.phase_nodes import N_PHASE, S_BASE_PHASE_KVA, PhaseNodes, legs, phase_nodes, z_base_ohm
from gridenv.network.phase_tables import MAX_CONDUCTORS, PhaseNetworkSpec
from gridenv.network.phase_transformer import transformer_ports
from gridenv.network.phase_validate import validate_phases
from gridenv.network.spec import Bools, Floats

__all__ = ["S_BASE_PHASE_KVA", "phase_circuit"]

_PHASE_STEP_RAD = -2.0 * np.pi / N_PHASE
"""From a phase of a source to the next."""

_WHOLE = 1e-9
"""Tap positions this close to a whole number are that number: turns are written with a few decimals."""


def phase_circuit(spec: PhaseNetworkSpec) -> Circuit:
    """Check a three-phase network and turn it into a circuit.

    Args:
        spec: the tables.

    Returns:
        Nodes "bus.conductor" in order of the bus table, then one hidden node for each phase of a source behind an
        impedance. Elements of tables that are out of service, open, or at a bus out of service have y = 0.

    Raises:
        NetworkError: for everything that `validate_phases` finds.
    """
    validate_phases(spec)
    nodes = phase_nodes(spec)
    transformers = transformer_ports(spec, nodes)
    return Circuit(
        name=spec.name,
        node_names=nodes.names,
        v_base_kv=nodes.v_base_kv,
        s_base_kva=S_BASE_PHASE_KVA,
        n_phase=N_PHASE,
        loads=_loads(spec, nodes),
        transformers=transformers.elements,
        transformer_rating=transformers.rating,
        taps=transformers.taps,
        **_source_fields(spec, nodes),
        **_line_fields(spec, nodes),
        **_tap_fields(spec),
        **_capacitor_fields(spec, nodes),
    )


def _source_fields(spec: PhaseNetworkSpec, nodes: PhaseNodes) -> dict[str, Any]:
    """Ideal sources at hidden nodes behind their impedance, or at the bus where they have none."""
    table, n_node = spec.sources, len(nodes.names)
    on = np.flatnonzero(table.in_service & nodes.on(table.bus))
    bus_nodes = nodes.of(table.bus, table.phases, MAX_CONDUCTORS)[on]
    present = bus_nodes != GROUND
    has_z = (table.z_ohm[on] != 0.0).any(axis=(1, 2))
    hidden = np.where(present & has_z[:, None], 0, GROUND)
    hidden[hidden == 0] = n_node + np.arange(np.count_nonzero(hidden == 0))
    fixed = np.where(has_z[:, None], hidden, bus_nodes)
    angle_rad = table.angle_rad[on][:, None] + _PHASE_STEP_RAD * np.arange(MAX_CONDUCTORS)
    v = table.v_pu[on][:, None] * np.exp(1j * angle_rad)
    z = table.z_ohm[on] / z_base_ohm(nodes.base_kv(table.bus)[on])[:, None, None]
    y = _inverse(z[has_z], present[has_z])
    return {
        "n_node": n_node + int(np.count_nonzero(hidden != GROUND)),
        "alias": np.arange(n_node + int(np.count_nonzero(hidden != GROUND))),
        "fixed_node": fixed[present],
        "fixed_v": v[present],
        "sources": Elements(
            names=tuple(table.id[i] for i in on[has_z]),
            nodes=np.concatenate([hidden[has_z], bus_nodes[has_z]], axis=1),
            y=_pi(y, np.zeros_like(y), np.zeros_like(y)),
        ),
    }


def _inverse(z: Complex, present: Bools) -> Complex:
    """[row, 3, 3] inverse over the conductors present, zero elsewhere."""
    both = present[:, :, None] & present[:, None, :]
    padded = np.where(both, z, np.eye(MAX_CONDUCTORS))
    inverse: Complex = np.where(both, np.linalg.inv(padded), 0.0)
    return inverse


def _pi(y_series: Complex, y_from: Complex, y_to: Complex) -> Complex:
    """[row, 6, 6] pi section between three conductors and three others."""
    return np.concatenate(
        [
            np.concatenate([y_series + y_from, -y_series], axis=2),
            np.concatenate([-y_series, y_series + y_to], axis=2),
        ],
        axis=1,
    )


def _line_fields(spec: PhaseNetworkSpec, nodes: PhaseNodes) -> dict[str, Any]:
    table = spec.lines
    from_nodes = nodes.of(table.from_bus, table.from_phases, MAX_CONDUCTORS)
    to_nodes = nodes.of(table.to_bus, table.to_phases, MAX_CONDUCTORS)
    base_kv = nodes.base_kv(table.from_bus)
    z_base = z_base_ohm(base_kv)[:, None, None]
    z, y_end = table.z_ohm / z_base, 0.5 * table.y_s * z_base
    on = table.closed & nodes.on(table.from_bus) & nodes.on(table.to_bus)
    y_series = _inverse(z, from_nodes != GROUND)
    return {
        "lines": Elements(
            names=table.id,
            nodes=np.concatenate([from_nodes, to_nodes], axis=1),
            y=_pi(y_series, y_end, y_end) * on[:, None, None],
        ),
        "line_series": LineSeries(r=z.real, x=z.imag, y_end=y_end),
        "line_i_base_a": S_BASE_PHASE_KVA / base_kv,
        "line_i_max_a": table.i_max_a,
        "line_closed": on,
        "switch_names": table.id,
        "default_switches": on,
        "switchable": Switchable(
            line=np.arange(len(table)),
            node_a=np.full(len(table), GROUND, dtype=np.int64),
            node_b=np.full(len(table), GROUND, dtype=np.int64),
            can_close=nodes.on(table.from_bus) & nodes.on(table.to_bus),
        ),
    }


def _tap_fields(spec: PhaseNetworkSpec) -> dict[str, Any]:
    table = spec.regulators
    tap = {(t, n): spec.windings.tap[i] for i, (t, n) in enumerate(_numbered_windings(spec))}
    turns = np.array([tap[t, int(w)] for t, w in zip(table.transformer, table.winding, strict=True)], dtype=float)
    neutral = 0.5 * (table.tap_min + table.tap_max)
    step = (table.tap_max - table.tap_min) / table.n_step
    position = (turns - neutral) / step
    whole = np.round(position)
    position = np.where(np.abs(position - whole) < _WHOLE, whole, position)
    return {
        "tap_names": table.id,
        "default_taps": position,
        "tap_law": StepLaw(neutral=neutral, step=step, default_position=position),
    }


def _numbered_windings(spec: PhaseNetworkSpec) -> list[tuple[str, int]]:
    """Transformer and number within it, from 1, of every winding."""
    seen: dict[str, int] = {}
    numbered = []
    for trafo in spec.windings.transformer:
        seen[trafo] = seen.get(trafo, 0) + 1
        numbered.append((trafo, seen[trafo]))
    return numbered


def _legs(
    nodes: PhaseNodes, buses: tuple[str, ...], phases: tuple[str, ...], connections: tuple[str, ...]
) -> tuple[Ints, Ints, Ints, Floats]:
    """Element, node from, node to and share of the element of every leg."""
    number = nodes.number
    rows = [
        (i, number[bus, a], number.get((bus, b), GROUND), 1.0 / len(pairs))
        for i, (bus, pairs) in enumerate(zip(buses, map(legs, phases, connections), strict=True))
        for a, b in pairs
    ]
    element, node_from, node_to, share = zip(*rows, strict=True) if rows else ((), (), (), ())
    ints = (np.array(column, dtype=np.int64) for column in (element, node_from, node_to))
    return (*ints, np.array(share, dtype=float))  # type: ignore[return-value]


def _loads(spec: PhaseNetworkSpec, nodes: PhaseNodes) -> Loads:
    table = spec.injections
    element, node_from, node_to, share = _legs(nodes, table.bus, table.phases, table.connection)
    return Loads(
        names=table.id,
        default_p_kw=table.p_kw,
        default_q_kvar=table.q_kvar,
        in_service=table.in_service & nodes.on(table.bus),
        injection=element,
        share=share,
        node_from=node_from,
        node_to=node_to,
        v_rated=table.v_kv[element] / nodes.v_base_kv[node_from],
        exponent_p=table.exponent_p[element],
        exponent_q=table.exponent_q[element],
        v_min=table.v_min_pu[element],
        v_max=table.v_max_pu[element],
        v_low=table.v_low_pu[element],
    )


def _capacitor_fields(spec: PhaseNetworkSpec, nodes: PhaseNodes) -> dict[str, Any]:
    """All legs, those of open banks with y = 0 in the shunts."""
    table = spec.capacitors
    bank, node_from, node_to, share = _legs(nodes, table.bus, table.phases, table.connection)
    is_split = np.array([c == "wye" and len(p) > 1 for c, p in zip(table.connection, table.phases, strict=True)])
    v_leg_kv = (table.v_kv / np.where(is_split.astype(bool), SQRT3, 1.0))[bank]
    b = table.q_kvar[bank] * share / S_BASE_PHASE_KVA * (nodes.v_base_kv[node_from] / v_leg_kv) ** 2
    y = (1j * b).astype(complex)
    closed = table.closed & nodes.on(table.bus)
    return {
        "shunts": Elements(
            names=tuple(table.id[i] for i in bank),
            nodes=np.stack([node_from, node_to], axis=1),
            y=(y * closed[bank])[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]]),
        ),
        "capacitor_names": table.id,
        "capacitor_legs": CapacitorLegs(bank=bank, node_from=node_from, node_to=node_to, y=y, default_closed=closed),
    }
