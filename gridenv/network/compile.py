"""Network tables to arrays: fuse, per unit, nodal admittance, and its reduction to sources and injections."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import splu

from gridenv.core.errors import NetworkError
from gridenv.network.arrays import Complex, Network
from gridenv.network.branches import (
    base_current_a,
    line_two_port,
    nodal_admittance,
    shunt_admittance,
    terminal_rows,
    trafo_two_port,
)
from gridenv.network.spec import Bools, NetworkSpec
from gridenv.network.topology import Ints, Topology, trace
from gridenv.network.transformer import TransformerModel, TwoPort, transformer_model
from gridenv.network.validate import validate

__all__ = ["S_BASE_KVA", "Network", "compile_network"]

S_BASE_KVA = 1000.0
"""Common power base. Assumed: any value does; 1 MVA keeps distribution-grid currents near one."""

_BLOCK_COLUMNS = 32
"""Right-hand sides solved at once. Bounds the memory beside the result, and stays small enough for one BLAS thread."""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Electrical parts on the way to a `Network`."""

    topology: Topology
    line: TwoPort
    trafo: TwoPort
    model: TransformerModel
    shunt_bus: Ints
    shunt_y: Complex
    y: csr_array
    """[node, node], de-energised nodes included."""
    source_node: Ints
    """[source node] numbers in `y`, in order of the source table."""
    source_v: Complex
    slot_node: Ints
    """[slot] numbers in `y`, in order of the injection table."""


def compile_network(spec: NetworkSpec, *, allow_islands: bool = False) -> Network:
    """Check a network and turn it into arrays.

    Args:
        spec: the tables.
        allow_islands: whether in-service injections may lie in parts without a source; they are then unserved
            (slot -1) and their buses de-energised.

    Returns:
        Host arrays in float64 and complex128.

    Raises:
        NetworkError: for everything `validate` finds, and for a network whose equations are singular.

    Source: nodal analysis with the sources' nodes eliminated (Z-bus), as for the implicit Z-bus Gauss method of
        T.-H. Chen et al., IEEE Trans. Power Delivery 6(3), 1991.
    """
    validate(spec, allow_islands=allow_islands)
    parts = _parts(spec)
    w_bus, z_bus, source_i0, source_f = _reduce(spec, parts)
    return Network(
        name=spec.name,
        s_base_kva=S_BASE_KVA,
        w_bus=w_bus,
        z_bus=z_bus,
        source_i0=source_i0,
        source_f=source_f,
        source_v=parts.source_v,
        **_bus_fields(spec, parts),
        **_injection_fields(spec, parts),
        **_line_fields(spec, parts, w_bus, z_bus),
        **_trafo_fields(spec, parts, w_bus, z_bus),
        **_shunt_fields(spec, parts),
        **_source_fields(spec, parts),
        **_control_fields(spec),
    )


def _parts(spec: NetworkSpec) -> _Parts:
    topology = trace(spec)
    vn_kv = spec.buses.vn_kv
    model = transformer_model(spec.transformers, vn_kv[topology.trafo_hv_bus], vn_kv[topology.trafo_lv_bus], S_BASE_KVA)
    line = line_two_port(spec, topology, S_BASE_KVA)
    trafo = trafo_two_port(spec, topology, model)
    row = {name: i for i, name in enumerate(spec.buses.id)}
    shunt_bus = np.array([row[name] for name in spec.shunts.bus], dtype=np.int64)
    shunt_y = shunt_admittance(spec, shunt_bus, S_BASE_KVA)
    node = topology.bus_to_node
    branches = [
        (line, node[topology.line_from_bus], node[topology.line_to_bus]),
        (trafo, node[topology.trafo_hv_bus], node[topology.trafo_lv_bus]),
    ]
    on = topology.source_on
    source_node, first_source = _in_order(node[topology.source_bus[on]])
    source_v = spec.sources.v_pu[on] * np.exp(1j * spec.sources.angle_rad[on])
    injection_node = node[topology.injection_bus]
    feeds = spec.injections.in_service & topology.node_energised[injection_node] & ~np.isin(injection_node, source_node)
    return _Parts(
        topology=topology,
        line=line,
        trafo=trafo,
        model=model,
        shunt_bus=shunt_bus,
        shunt_y=shunt_y,
        y=nodal_admittance(branches, shunt_y, node[shunt_bus], topology.n_node),
        source_node=source_node,
        source_v=source_v[first_source],
        slot_node=_in_order(injection_node[feeds])[0],
    )


def _in_order(nodes: Ints) -> tuple[Ints, Ints]:
    """Distinct nodes in order of first appearance, and where each appears first."""
    distinct, first = np.unique(nodes, return_index=True)
    order = np.argsort(first)
    return distinct[order], first[order]


def _reduce(spec: NetworkSpec, parts: _Parts) -> tuple[Complex, Complex, Complex, Complex]:
    """Voltages and source currents as affine functions of the slot currents.

    With sources s and other energised nodes o: `v_o = y_oo^-1 (i - y_os v_s)`, `i_s = y_ss v_s + y_so v_o`.
    """
    node, n_slot = parts.topology.bus_to_node, len(parts.slot_node)
    is_source = np.zeros(parts.topology.n_node, dtype=bool)
    is_source[parts.source_node] = True
    other = np.flatnonzero(parts.topology.node_energised & ~is_source)
    position = np.full(parts.topology.n_node, -1)
    position[other] = np.arange(len(other))
    bus_position = position[node]
    fed = np.flatnonzero(bus_position >= 0)
    y_so = parts.y[parts.source_node][:, other]
    w_bus = np.zeros(len(spec.buses), dtype=complex)
    z_bus = np.zeros((len(spec.buses), n_slot), dtype=complex)
    source_f = np.zeros((len(parts.source_node), n_slot), dtype=complex)
    source_i0 = parts.y[parts.source_node][:, parts.source_node] @ parts.source_v
    for i, source in enumerate(parts.source_node):
        w_bus[node == source] = parts.source_v[i]
    if len(other) == 0:
        return w_bus, z_bus, source_i0, source_f
    solve = _factorised(spec, csc_array(parts.y[other][:, other]))
    w_other = solve(-(parts.y[other][:, parts.source_node] @ parts.source_v))
    w_bus[fed] = w_other[bus_position[fed]]
    for start in range(0, n_slot, _BLOCK_COLUMNS):
        slots = np.arange(start, min(start + _BLOCK_COLUMNS, n_slot))
        unit = np.zeros((len(other), len(slots)), dtype=complex)
        unit[position[parts.slot_node[slots]], slots - start] = 1.0
        z_other = solve(unit)
        z_bus[np.ix_(fed, slots)] = z_other[bus_position[fed]]
        source_f[:, slots] = y_so @ z_other
    return w_bus, z_bus, source_i0 + y_so @ w_other, source_f


def _factorised(spec: NetworkSpec, y_oo: csc_array) -> Any:
    """Solver of `y_oo x = b`."""
    try:
        if not np.isfinite(y_oo.data).all():
            raise RuntimeError("infinite admittance of a line open at one end")
        return splu(y_oo, permc_spec="MMD_AT_PLUS_A").solve
    except RuntimeError as error:
        raise NetworkError(
            f"network '{spec.name}': the nodal admittance matrix is singular ({error}); allowed: a network whose "
            "series and shunt elements do not cancel; check for a resonance of line reactance and capacitors"
        ) from error


def _bus_fields(spec: NetworkSpec, parts: _Parts) -> dict[str, Any]:
    topology = parts.topology
    nodes = np.flatnonzero(topology.node_energised)
    position = np.full(topology.n_node, -1)
    position[nodes] = np.arange(len(nodes))
    return {
        "node_names": spec.buses.id,
        "vn_kv": spec.buses.vn_kv,
        "energised": topology.node_energised[topology.bus_to_node],
        "bus_to_node": position[topology.bus_to_node],
        "y_node": csc_array(parts.y[nodes][:, nodes]),
    }


def _injection_fields(spec: NetworkSpec, parts: _Parts) -> dict[str, Any]:
    topology, table = parts.topology, spec.injections
    node = topology.bus_to_node[topology.injection_bus]
    _, slot_bus = np.unique(topology.bus_to_node, return_index=True)
    return {
        "injection_names": table.id,
        "injection_in_service": table.in_service,
        "injection_bus": topology.injection_bus,
        "injection_to_slot": _position(node, parts.slot_node, table.in_service),
        "injection_to_source": _position(node, parts.source_node, table.in_service),
        "default_p_kw": table.p_kw,
        "default_q_kvar": table.q_kvar,
        "slot_bus": slot_bus[parts.slot_node],
    }


def _position(nodes: Ints, among: Ints, counts: Bools) -> Ints:
    """Index of each node in `among`; -1 where it is not there or does not count."""
    index = {int(node): i for i, node in enumerate(among)}
    return np.array([index.get(int(n), -1) if c else -1 for n, c in zip(nodes, counts, strict=True)], dtype=np.int64)


def _line_fields(spec: NetworkSpec, parts: _Parts, w_bus: Complex, z_bus: Complex) -> dict[str, Any]:
    topology, port = parts.topology, parts.line
    from_bus, to_bus, n_bus = topology.line_from_bus, topology.line_to_bus, len(w_bus)
    rows_from = terminal_rows(port.y_aa, port.y_ab, from_bus, to_bus, n_bus)
    rows_to = terminal_rows(port.y_bb, port.y_ba, to_bus, from_bus, n_bus)
    return {
        "line_names": spec.lines.id,
        "line_from_bus": from_bus,
        "line_to_bus": to_bus,
        "line_i0_from": rows_from @ w_bus,
        "line_f_from": rows_from @ z_bus,
        "line_i0_to": rows_to @ w_bus,
        "line_f_to": rows_to @ z_bus,
        "line_i_base_a": base_current_a(spec.buses.vn_kv[from_bus], S_BASE_KVA),
        "line_i_max_a": spec.lines.i_max_a,
        "line_r": port.r,
        "line_y_from": port.y_a,
        "line_y_to": port.y_b,
    }


def _trafo_fields(spec: NetworkSpec, parts: _Parts, w_bus: Complex, z_bus: Complex) -> dict[str, Any]:
    topology, port, table = parts.topology, parts.trafo, spec.transformers
    hv, lv, n_bus = topology.trafo_hv_bus, topology.trafo_lv_bus, len(w_bus)
    rows_hv = terminal_rows(port.y_aa, port.y_ab, hv, lv, n_bus)
    rows_lv = terminal_rows(port.y_bb, port.y_ba, lv, hv, n_bus)
    s_rated_pu = table.loading_base_kva * table.parallel / S_BASE_KVA
    return {
        "trafo_names": table.id,
        "trafo_hv_bus": hv,
        "trafo_lv_bus": lv,
        "trafo_hv_on": topology.trafo_hv_on,
        "trafo_lv_on": topology.trafo_lv_on,
        "trafo_i0_hv": rows_hv @ w_bus,
        "trafo_f_hv": rows_hv @ z_bus,
        "trafo_i0_lv": rows_lv @ w_bus,
        "trafo_f_lv": rows_lv @ z_bus,
        "trafo_rating_hv": s_rated_pu * spec.buses.vn_kv[hv] / table.vn_hv_kv,
        "trafo_rating_lv": s_rated_pu * spec.buses.vn_kv[lv] / table.vn_lv_kv,
        "trafo_r": port.r,
        "trafo_y_hv": port.y_a,
        "trafo_y_lv": port.y_b,
        "trafo_model": parts.model,
    }


def _shunt_fields(spec: NetworkSpec, parts: _Parts) -> dict[str, Any]:
    energised = parts.topology.node_energised[parts.topology.bus_to_node[parts.shunt_bus]]
    return {
        "shunt_names": spec.shunts.id,
        "shunt_bus": parts.shunt_bus,
        "shunt_y": np.where(energised, parts.shunt_y, 0.0),
    }


def _source_fields(spec: NetworkSpec, parts: _Parts) -> dict[str, Any]:
    topology = parts.topology
    node_of_source = topology.bus_to_node[topology.source_bus]
    _, node_bus = np.unique(topology.bus_to_node, return_index=True)
    return {
        "source_names": spec.sources.id,
        "source_to_node": _position(node_of_source, parts.source_node, topology.source_on),
        "source_bus": node_bus[parts.source_node],
    }


def _control_fields(spec: NetworkSpec) -> dict[str, Any]:
    has_tap_changer = spec.transformers.has_tap_changer
    return {
        "tap_names": spec.tap_names,
        "tap_to_trafo": np.flatnonzero(has_tap_changer),
        "default_taps": spec.transformers.tap_pos[has_tap_changer],
        "switch_names": spec.switch_names,
        "default_switches": spec.default_switches,
    }
