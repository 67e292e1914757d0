"""Host side of `topology`: a network whose switches are data, as constants of an elimination."""

from typing import Any

import numpy as np
from jax import Array
from jax import numpy as jnp
from scipy.sparse import coo_array, csc_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from gridenv.network.arrays import Network
from gridenv.network.circuit import GROUND, ChangerLaw, Circuit, Complex, Elements, Ints
from gridenv.network.slots import series_admittance
from gridenv.powerflow.elimination import Ports
from gridenv.powerflow.host import source_terminals
from gridenv.powerflow.star_mesh import Pair, Steps
from gridenv.powerflow.symbolic import Order, elimination_order
from gridenv.powerflow.topology import Terms, Topology

SWITCH_PU = 1e12
"""Admittance of a closed bus-bus switch. Assumed: a drop of 1e-10 pu at 100 MVA is none; star and mesh carry it without
cancellation, see `star_mesh`."""


def topology_arrays(network: Network, chosen: Ints, dtype: str) -> Topology:
    """Constants of a network for the chosen slots, which must be ports; computed in float64 and rounded once."""
    circuit = network.circuit
    fixed_groups = (circuit.transformers, circuit.shunts, circuit.sources)
    order = elimination_order(
        circuit, (circuit.lines, *fixed_groups), is_symmetric=_is_symmetric(circuit, fixed_groups)
    )
    return _Builder(network, chosen, order, fixed_groups, dtype).build()


def _is_symmetric(circuit: Circuit, groups: tuple[Elements, ...]) -> bool:
    """Whether all admittances are, at all taps: no phase shift as seen per unit."""
    law = circuit.tap_law
    turns = isinstance(law, ChangerLaw) and bool(
        np.any(law.model.tap_step_rad) or np.any(law.model.tap_is_phase_shifter)
    )
    return not turns and all(np.allclose(g.y, np.swapaxes(g.y, 1, 2), rtol=1e-12) for g in groups)


class _Builder:
    """Host arrays of a `Topology`."""

    def __init__(self, network: Network, chosen: Ints, order: Order, groups: tuple[Elements, ...], dtype: str) -> None:
        self.network, self.chosen, self.order, self.groups, self.dtype = network, chosen, order, groups, dtype
        circuit = network.circuit
        self.circuit, self.n_node = circuit, circuit.n_node
        self.closed_y, self.open_y = _line_admittances(circuit)
        self.reference = self._reference()
        n_line = len(circuit.lines.names)
        switch = circuit.switchable
        self.bus_switch = np.flatnonzero(switch.line < 0)
        self.switch_of_line = np.zeros(n_line, dtype=np.int64)
        self.switch_of_line[switch.line[switch.line >= 0]] = np.flatnonzero(switch.line >= 0)
        self.first_bus_state = 2 * n_line

    def _reference(self) -> Complex:
        """[node + 1] voltages without load, all switches closed; 0 where nothing connects even then."""
        circuit, n = self.circuit, self.n_node
        closed = Elements(names=circuit.lines.names, nodes=circuit.lines.nodes, y=self.closed_y)
        rows, columns, data = _entries((closed, *self.groups))
        a, b = (nodes[circuit.switchable.line < 0] for nodes in (circuit.switchable.node_a, circuit.switchable.node_b))
        ones = np.full(len(a), SWITCH_PU, dtype=complex)
        rows = np.concatenate([rows, a, a, b, b])
        columns = np.concatenate([columns, a, b, b, a])
        data = np.concatenate([data, ones, -ones, ones, -ones])
        y = csc_array(coo_array((data, (rows, columns)), shape=(n, n)))
        _, part = connected_components(y != 0, directed=False)
        free = np.setdiff1d(np.flatnonzero(np.isin(part, part[circuit.fixed_node])), circuit.fixed_node)
        v = np.zeros(n + 1, dtype=complex)
        v[circuit.fixed_node] = circuit.fixed_v
        if len(free):
            v[free] = splu(csc_array(y[free][:, free])).solve(-(y[free] @ v[:n]))
        return v

    def _pair(self, z: Any) -> Pair:
        z = np.asarray(z)
        return Pair(jnp.asarray(z.real, self.dtype), jnp.asarray(z.imag, self.dtype))

    def _nodes(self, nodes: Ints) -> Array:
        return jnp.asarray(np.where(nodes < 0, self.n_node, nodes), "int32")

    def build(self) -> Topology:
        """The constants."""
        circuit, order = self.circuit, self.order
        coupling, ground, current, joined = self._constants()
        lines = circuit.lines
        n_line = len(lines.names)
        closed = self._element_terms(lines.nodes, self.closed_y, np.arange(n_line))
        idle = np.einsum("lt,tu->ltu", self.open_y, np.eye(lines.n_terminal))
        still = self._element_terms(lines.nodes, idle, np.arange(n_line) + n_line)
        switches = self._switch_terms()
        v = self._seen(lines.nodes)
        trafos, taps = circuit.transformers, circuit.taps
        fixed_near, fixed_entry = self._fixed_neighbours()
        v_trafo = self._seen(trafos.nodes)
        return Topology(
            steps=Steps(
                node=jnp.asarray(order.node_of_step, "int32"),
                upper=jnp.asarray(order.upper, "int32"),
                out_entry=jnp.asarray(order.out_entry, "int32"),
                in_entry=jnp.asarray(order.in_entry, "int32"),
                update=jnp.asarray(order.update, "int32"),
                pairs=order.pairs,
                is_symmetric=order.is_symmetric,
            ),
            ports=self._ports(),
            constant_coupling=self._pair(coupling),
            constant_ground=self._pair(ground),
            constant_current=self._pair(current),
            coupling=self._terms(closed[0], switches),
            ground=self._terms(closed[1], still[1]),
            current=self._terms(closed[2], still[2]),
            joined=self._terms(_truth(closed[0]), _truth(switches)),
            constant_joined=jnp.asarray(joined, self.dtype),
            line_switch=jnp.asarray(self.switch_of_line, "int32"),
            can_close=jnp.asarray(circuit.switchable.can_close, self.dtype),
            bus_switch=jnp.asarray(self.bus_switch, "int32"),
            line_y=self._pair(self.closed_y),
            line_i0=self._pair(np.einsum("ltu,lu->lt", self.closed_y, v)),
            line_open_y=self._pair(self.open_y),
            line_open_i0=self._pair(self.open_y * v),
            line_nodes=self._nodes(lines.nodes),
            trafo_y=self._pair(trafos.y),
            trafo_i0=self._pair(np.einsum("ltu,lu->lt", trafos.y, v_trafo)),
            trafo_nodes=self._nodes(trafos.nodes),
            trafo_entry=jnp.asarray(self._entry_table(trafos.nodes), "int32"),
            tap_trafo=jnp.asarray(taps.transformer, "int32"),
            tap_terminals=jnp.asarray(np.real(taps.terminals), self.dtype),
            tap_source=self._pair(taps.source),
            tap_measure=self._pair(taps.measure),
            tap_direct=self._pair(taps.direct),
            fixed_node=jnp.asarray(circuit.fixed_node, "int32"),
            fixed_near=jnp.asarray(fixed_near, "int32"),
            fixed_entry=jnp.asarray(fixed_entry, "int32"),
            source_terminal=jnp.asarray(source_terminals(self.network), "int32"),
        )

    def _seen(self, nodes: Ints) -> Complex:
        return self.reference[np.where(nodes < 0, self.n_node, nodes)]

    def _entry_table(self, nodes: Ints) -> Ints:
        """Entry of each pair of terminals; the one that nothing reads for ground, the diagonal, and the second
        direction where both are one entry."""
        dump = self.order.n_entry + 1
        table = np.full((*nodes.shape, nodes.shape[-1]), dump)
        for e, row in enumerate(nodes):
            for a, first in enumerate(row):
                for b, second in enumerate(row):
                    if first >= 0 and second >= 0 and first != second and not (a > b and self.order.is_symmetric):
                        table[e, a, b] = self.order.entry.get((int(first), int(second)), dump)
        return table

    def _element_terms(self, nodes: Ints, y: Complex, state: Ints) -> tuple[Any, Any, Any]:
        """(row, state, value) of couplings, of row sums, and of currents at the reference voltages."""
        wide = np.broadcast_to(state[:, None, None], y.shape)
        table = self._entry_table(nodes)
        real = nodes >= 0
        inner = np.where(real[:, None, :], y, 0.0)
        tall = np.broadcast_to(state[:, None], nodes.shape)
        at = np.where(real, nodes, self.n_node)
        current = np.einsum("ltu,lu->lt", inner, self._seen(nodes))
        sums = inner.sum(axis=2)
        scale = np.abs(y).max(axis=(1, 2), initial=0.0)[:, None]
        sums = np.where(np.abs(sums) > 1e-13 * scale, sums, 0.0)
        current = np.where(np.abs(current) > 1e-13 * scale, current, 0.0)
        return (
            _kept(table, wide, -y, table <= self.order.n_entry),
            _kept(at, tall, sums, real),
            _kept(at, tall, current, real),
        )

    def _switch_terms(self) -> tuple[Any, Any, Any]:
        switch = self.circuit.switchable
        rows, states = [], []
        for k, s in enumerate(self.bus_switch):
            a, b = int(switch.node_a[s]), int(switch.node_b[s])
            if a != b:
                ways = ((a, b),) if self.order.is_symmetric else ((a, b), (b, a))
                rows += [self.order.entry.get(pair, self.order.n_entry + 1) for pair in ways]
                states += [self.first_bus_state + k] * len(ways)
        value = np.full(len(rows), SWITCH_PU, dtype=complex)
        return np.array(rows, dtype=np.int64), np.array(states, dtype=np.int64), value

    def _terms(self, *parts: tuple[Any, Any, Any]) -> Terms:
        row, state, value = (np.concatenate([p[k] for p in parts]) for k in range(3))
        return Terms(row=jnp.asarray(row, "int32"), state=jnp.asarray(state, "int32"), value=self._pair(value))

    def _constants(self) -> tuple[Complex, Complex, Complex, Any]:
        coupling = np.zeros(self.order.n_entry + 2, dtype=complex)
        joined = np.zeros(self.order.n_entry + 2)
        ground, current = (np.zeros(self.n_node + 1, dtype=complex) for _ in range(2))
        for group in self.groups:
            off, sums, drawn = self._element_terms(group.nodes, group.y, np.zeros(len(group.names), dtype=np.int64))
            np.add.at(coupling, off[0], off[2])
            np.add.at(ground, sums[0], sums[2])
            np.add.at(current, drawn[0], drawn[2])
            joined[off[0]] = 1.0
        joined[-1] = 0.0
        return coupling, ground, current, joined

    def _ports(self) -> Ports:
        slots, n = self.network.slots, self.n_node
        measure = slots.measure[self.chosen].tocoo()
        ends = np.full((len(self.chosen), 2), n)
        for slot, node, value in zip(measure.row, measure.col, measure.data, strict=True):
            ends[slot, 0 if value.real > 0 else 1] = node
        loads, banks = self.network.loads, self.circuit.capacitor_legs
        at = np.concatenate([np.column_stack([legs.node_from, legs.node_to]) for legs in (loads, banks)])
        ends[:] = np.where(at >= 0, at, n)[: len(ends)]
        members: list[list[tuple[int, float]]] = [[] for _ in range(n + 1)]
        for slot, (a, b) in enumerate(ends):
            members[a].append((slot, 1.0))
            members[b].append((slot, -1.0))
        width = max(1, max(len(m) for m in members[:n]))
        node_slots, signs = np.full((n, width), len(self.chosen)), np.zeros((n, width))
        for node, group in enumerate(members[:n]):
            for k, (slot, sign) in enumerate(group):
                node_slots[node, k], signs[node, k] = slot, sign
        return Ports(
            slot_from=jnp.asarray(ends[:, 0], "int32"),
            slot_to=jnp.asarray(ends[:, 1], "int32"),
            node_slots=jnp.asarray(node_slots, "int32"),
            node_signs=jnp.asarray(signs, self.dtype),
            named=jnp.arange(self.network.n_node, dtype="int32"),
            reference=jnp.asarray(np.stack([self.reference.real, self.reference.imag]), self.dtype),
        )

    def _fixed_neighbours(self) -> tuple[Ints, Ints]:
        fixed = self.circuit.fixed_node
        near = [[(j, e) for (i, j), e in self.order.entry.items() if i == f] for f in fixed]
        width = max(1, max((len(x) for x in near), default=1))
        nodes, entries = np.full((len(fixed), width), self.n_node), np.full((len(fixed), width), self.order.n_entry)
        for f, found in enumerate(near):
            for k, (j, e) in enumerate(found):
                nodes[f, k], entries[f, k] = j, e
        return nodes, entries


def _kept(row: Any, state: Any, value: Any, keep: Any) -> tuple[Any, Any, Any]:
    keep = np.broadcast_to(keep, value.shape) & (value != 0)
    return np.broadcast_to(row, value.shape)[keep], np.broadcast_to(state, value.shape)[keep], value[keep]


def _truth(terms: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    return terms[0], terms[1], np.ones(len(terms[0]), dtype=complex)


def _entries(groups: tuple[Elements, ...]) -> tuple[Ints, Ints, Complex]:
    rows, columns, data = [], [], []
    for group in groups:
        shape = group.y.shape
        a, b = np.broadcast_to(group.nodes[:, :, None], shape), np.broadcast_to(group.nodes[:, None, :], shape)
        keep = (a != GROUND) & (b != GROUND) & (group.y != 0)
        rows.append(a[keep])
        columns.append(b[keep])
        data.append(group.y[keep])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(data)


def _line_admittances(circuit: Circuit) -> tuple[Complex, Complex]:
    """[line, terminal, terminal] of every line as if closed, and [line, terminal] shunts of those open by default."""
    series = series_admittance(circuit, only_closed=False)
    end = circuit.line_series.y_end
    y = np.concatenate([np.concatenate([series + end, -series], -1), np.concatenate([-series, series + end], -1)], -2)
    idle = np.einsum("ltt->lt", circuit.lines.y).copy()
    idle[circuit.line_closed] = 0.0
    return y, idle
