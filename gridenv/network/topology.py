"""What is joined to what: buses fused by closed switches, branch ends that are connected, and which parts are fed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gridenv.network.spec import Bools, Names, NetworkSpec

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Connections of a network; every array follows the order of its table."""

    bus_to_node: Ints
    """Electrical node of each bus; buses joined by closed switches share one."""
    n_node: int
    line_from_bus: Ints
    line_to_bus: Ints
    line_from_on: Bools
    """Whether the from end of an in-service line is connected to an in-service bus."""
    line_to_on: Bools
    trafo_hv_bus: Ints
    trafo_lv_bus: Ints
    trafo_hv_on: Bools
    trafo_lv_on: Bools
    source_bus: Ints
    source_on: Bools
    injection_bus: Ints
    node_energised: Bools
    """Nodes with a path to a source."""


def trace(spec: NetworkSpec) -> Topology:
    """Topology of a network whose buses are all known.

    A transformer with an out-of-service bus is out of service; a line with one is open at that end, as in pandapower.
    """
    row = {name: i for i, name in enumerate(spec.buses.id)}
    bus_on = spec.buses.in_service
    lines, trafos = spec.lines, spec.transformers
    bus_to_node, n_node = _fuse(spec, row)
    line_from, line_to = _rows(lines.from_bus, row), _rows(lines.to_bus, row)
    hv, lv = _rows(trafos.hv_bus, row), _rows(trafos.lv_bus, row)
    trafo_on = trafos.in_service & bus_on[hv] & bus_on[lv]
    line_from_on = lines.in_service & lines.from_closed & bus_on[line_from]
    line_to_on = lines.in_service & lines.to_closed & bus_on[line_to]
    trafo_hv_on, trafo_lv_on = trafo_on & trafos.hv_closed, trafo_on & trafos.lv_closed
    source_bus = _rows(spec.sources.bus, row)
    source_on = bus_on[source_bus]
    through_line, through_trafo = line_from_on & line_to_on, trafo_hv_on & trafo_lv_on
    ends_a = bus_to_node[np.concatenate([line_from[through_line], hv[through_trafo]])]
    ends_b = bus_to_node[np.concatenate([line_to[through_line], lv[through_trafo]])]
    part = _components(ends_a, ends_b, n_node)
    return Topology(
        bus_to_node=bus_to_node,
        n_node=n_node,
        line_from_bus=line_from,
        line_to_bus=line_to,
        line_from_on=line_from_on,
        line_to_on=line_to_on,
        trafo_hv_bus=hv,
        trafo_lv_bus=lv,
        trafo_hv_on=trafo_hv_on,
        trafo_lv_on=trafo_lv_on,
        source_bus=source_bus,
        source_on=source_on,
        injection_bus=_rows(spec.injections.bus, row),
        node_energised=np.isin(part, part[bus_to_node[source_bus[source_on]]]),
    )


def _fuse(spec: NetworkSpec, row: dict[str, int]) -> tuple[Ints, int]:
    """Node of each bus, numbered by the first bus of each node, and the number of nodes."""
    a, b = _rows(spec.switches.bus_a, row), _rows(spec.switches.bus_b, row)
    on = spec.switches.closed & spec.buses.in_service[a] & spec.buses.in_service[b]
    label = _components(a[on], b[on], len(spec.buses))
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[inverse].astype(np.int64), len(first)


def _components(ends_a: Ints, ends_b: Ints, n: int) -> Ints:
    """Label of the connected part of each of `n` vertices."""
    graph = coo_array((np.ones(len(ends_a), dtype=np.int8), (ends_a, ends_b)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64) if n else np.zeros(0, dtype=np.int64)


def _rows(names: Names, row: dict[str, int]) -> Ints:
    return np.array([row[name] for name in names], dtype=np.int64)
