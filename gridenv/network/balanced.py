"""Balanced networks as circuits: a node is a bus, and one phase stands for all three."""

import numpy as np

from gridenv.core.units import KVA_PER_MVA
from gridenv.network.branches import (
    base_current_a,
    base_impedance_ohm,
    line_two_port,
    shunt_admittance,
    trafo_two_port,
)
from gridenv.network.circuit import (
    GROUND,
    ChangerLaw,
    Circuit,
    Complex,
    Elements,
    Ints,
    LineSeries,
    Loads,
    Switchable,
    TapWindings,
    no_elements,
)
from gridenv.network.spec import NetworkSpec
from gridenv.network.topology import Topology, trace
from gridenv.network.transformer import TransformerModel, TwoPort, transformer_model

S_BASE_KVA = KVA_PER_MVA
"""Common power base. Assumed: any value does; 1 MVA keeps distribution-grid currents near one."""


def balanced_circuit(spec: NetworkSpec) -> Circuit:
    """The circuit of a network whose tables have been checked.

    Source: nodal analysis; pi sections and T circuits as `branches` and `transformer` document them.
    """
    topology = trace(spec)
    vn_kv, n_bus = spec.buses.vn_kv, len(spec.buses)
    model = transformer_model(spec.transformers, vn_kv[topology.trafo_hv_bus], vn_kv[topology.trafo_lv_bus], S_BASE_KVA)
    line = line_two_port(spec, topology, S_BASE_KVA)
    trafo = trafo_two_port(spec, topology, model)
    alias = _alias(topology)
    fixed_node, fixed_v = _sources(spec, topology)
    has_tap_changer = spec.transformers.has_tap_changer
    return Circuit(
        name=spec.name,
        node_names=spec.buses.id,
        n_node=n_bus,
        v_base_kv=vn_kv,
        s_base_kva=S_BASE_KVA,
        n_phase=1,
        alias=alias,
        fixed_node=fixed_node,
        fixed_v=fixed_v,
        loads=_loads(spec, topology),
        lines=_two_terminal(spec.lines.id, topology.line_from_bus, topology.line_to_bus, line),
        transformers=_two_terminal(spec.transformers.id, topology.trafo_hv_bus, topology.trafo_lv_bus, trafo),
        shunts=_shunts(spec),
        sources=no_elements(2),
        line_series=_line_series(spec, topology),
        line_i_base_a=base_current_a(vn_kv[topology.line_from_bus], S_BASE_KVA),
        line_i_max_a=spec.lines.i_max_a,
        line_closed=topology.line_from_on & topology.line_to_on,
        transformer_rating=_rating(spec, topology),
        tap_names=spec.tap_names,
        default_taps=spec.transformers.tap_pos[has_tap_changer],
        taps=_tap_windings(spec, trafo),
        tap_law=_tap_law(model, spec.transformers.tap_pos, has_tap_changer),
        switch_names=spec.switch_names,
        default_switches=spec.default_switches,
        switchable=_switchable(spec),
    )


def _alias(topology: Topology) -> Ints:
    """Bus that stands for each electrical node: that of its first source, else its first.

    A source then stays at its bus when switches that are data part the node.
    """
    _, first = np.unique(topology.bus_to_node, return_index=True)
    sources = topology.source_bus[topology.source_on][::-1]
    first[topology.bus_to_node[sources]] = sources
    return first[topology.bus_to_node].astype(np.int64)


def _sources(spec: NetworkSpec, topology: Topology) -> tuple[Ints, Complex]:
    """Every bus with a source, also where closed switches join several: switches that are data may part them."""
    on = topology.source_on
    bus, first = np.unique(topology.source_bus[on], return_index=True)
    order = np.argsort(first)
    v = spec.sources.v_pu[on] * np.exp(1j * spec.sources.angle_rad[on])
    return bus[order].astype(np.int64), v[first[order]]


def _two_terminal(names: tuple[str, ...], a: Ints, b: Ints, port: TwoPort) -> Elements:
    y = np.stack([np.stack([port.y_aa, port.y_ab], -1), np.stack([port.y_ba, port.y_bb], -1)], -2)
    return Elements(names=names, nodes=np.stack([a, b], -1).astype(np.int64), y=y.astype(complex))


def _shunts(spec: NetworkSpec) -> Elements:
    row = {name: i for i, name in enumerate(spec.buses.id)}
    bus = np.array([row[name] for name in spec.shunts.bus], dtype=np.int64)
    y = shunt_admittance(spec, bus, S_BASE_KVA)
    return Elements(names=spec.shunts.id, nodes=bus[:, None], y=y[:, None, None].astype(complex))


def _loads(spec: NetworkSpec, topology: Topology) -> Loads:
    table = spec.injections
    n = len(table)
    ones, zeros = np.ones(n), np.zeros(n)
    return Loads(
        names=table.id,
        default_p_kw=table.p_kw,
        default_q_kvar=table.q_kvar,
        in_service=table.in_service,
        injection=np.arange(n),
        share=ones,
        node_from=topology.injection_bus,
        node_to=np.full(n, GROUND),
        v_rated=ones,
        exponent_p=zeros,
        exponent_q=zeros,
        v_min=zeros,
        v_max=np.full(n, np.inf),
        v_low=zeros,
    )


def _line_series(spec: NetworkSpec, topology: Topology) -> LineSeries:
    lines = spec.lines
    z_base_ohm = base_impedance_ohm(spec.buses.vn_kv[topology.line_from_bus], S_BASE_KVA)
    y_end = (lines.g_s + 1j * lines.b_s) * z_base_ohm / 2.0
    return LineSeries(
        r=(lines.r_ohm / z_base_ohm)[:, None, None],
        x=(lines.x_ohm / z_base_ohm)[:, None, None],
        y_end=y_end[:, None, None].astype(complex),
    )


def _rating(spec: NetworkSpec, topology: Topology) -> np.ndarray:
    """Rated current of each side, pu of that side's bus."""
    table, vn_kv = spec.transformers, spec.buses.vn_kv
    s_rated_pu = table.loading_base_kva * table.parallel / S_BASE_KVA
    hv = s_rated_pu * vn_kv[topology.trafo_hv_bus] / table.vn_hv_kv
    return np.stack([hv, s_rated_pu * vn_kv[topology.trafo_lv_bus] / table.vn_lv_kv], -1)


def _tap_windings(spec: NetworkSpec, trafo: TwoPort) -> TapWindings:
    """The terminal with the tap changer is an ideal transformer in front of the rest."""
    rows = np.flatnonzero(spec.transformers.has_tap_changer)
    at_hv = spec.transformers.tap_on_hv[rows]
    y = np.stack([np.stack([trafo.y_aa, trafo.y_ab], -1), np.stack([trafo.y_ba, trafo.y_bb], -1)], -2)[rows]
    side = np.where(at_hv, 0, 1)
    each = np.arange(len(rows))
    return TapWindings(
        transformer=rows,
        changer=each,
        terminals=np.eye(2, dtype=complex)[side],
        source=y[each, :, side].astype(complex),
        measure=y[each, side, :].astype(complex),
        direct=np.diag(y[each, side, side]).astype(complex),
    )


def _tap_law(model: TransformerModel, tap_pos: np.ndarray, has_tap_changer: np.ndarray) -> ChangerLaw:
    rows = np.flatnonzero(has_tap_changer)
    picked = {name: np.asarray(value)[rows] for name, value in vars(model).items()}
    return ChangerLaw(model=TransformerModel(**picked), default_position=tap_pos[rows])


def _switchable(spec: NetworkSpec) -> Switchable:
    row = {name: i for i, name in enumerate(spec.buses.id)}
    n_switch, n_line = len(spec.switches), len(spec.lines)
    none = np.full(n_line, -1)
    on = dict(zip(spec.buses.id, spec.buses.in_service, strict=True))
    ends_a, ends_b = spec.switches.bus_a + spec.lines.from_bus, spec.switches.bus_b + spec.lines.to_bus
    return Switchable(
        line=np.concatenate([np.full(n_switch, -1), np.arange(n_line)]),
        node_a=np.concatenate([np.array([row[b] for b in spec.switches.bus_a], dtype=np.int64), none]),
        node_b=np.concatenate([np.array([row[b] for b in spec.switches.bus_b], dtype=np.int64), none]),
        can_close=np.array([on[a] and on[b] for a, b in zip(ends_a, ends_b, strict=True)], dtype=bool),
    )
