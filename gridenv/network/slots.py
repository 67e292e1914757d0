"""The slots of a network: where loads, tap changers, switched capacitors and changed line impedances act.

A tap changer whose turns differ from the default ones is the default transformer with a series voltage `x_a = d y_a`
in its winding, `y_a` the winding's voltage, and a shunt current `x_b = conj(d) y_b`, `y_b` the winding's current. A
line of other impedance is the given line with the series voltage `(s_r - 1) R i + (s_x - 1) jX i`. So both are laws of
one slot each, as a load is, and the network itself never changes.

Source: compensation method, ideal transformer as a pair of controlled sources; O. Alsac, B. Stott and W. F. Tinney,
"Sparsity-oriented compensation methods for modified network solutions", IEEE Trans. PAS 102(5), 1983.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array

from gridenv.network.arrays import LoadSlots, Slots
from gridenv.network.circuit import GROUND, Circuit, Complex, Ints
from gridenv.network.spec import Bools, Floats

_ORDERS = 3
_PLAIN_EXPONENTS = (0.0, 1.0, 2.0)


@dataclass
class _Entries:
    """Entries of the sparse matrices, collected kind by kind."""

    n_slot: int = 0
    source: list[tuple[Any, Any, Any]] = field(default_factory=list)
    measure: list[tuple[Any, Any, Any]] = field(default_factory=list)
    direct: list[tuple[Any, Any, Any]] = field(default_factory=list)

    def take(self, count: int) -> range:
        """Numbers of `count` new slots."""
        self.n_slot += count
        return range(self.n_slot - count, self.n_slot)

    def matrix(self, name: str, shape: tuple[int, int]) -> coo_array:
        """One of the collections as a matrix; entries at ground are dropped."""
        parts = getattr(self, name)
        rows = np.concatenate([np.ravel(p[0]) for p in parts]) if parts else np.zeros(0, dtype=np.int64)
        columns = np.concatenate([np.ravel(p[1]) for p in parts]) if parts else np.zeros(0, dtype=np.int64)
        data = np.concatenate([np.ravel(p[2]) for p in parts]) if parts else np.zeros(0, dtype=complex)
        keep = (rows >= 0) & (columns >= 0) & (data != 0)
        return coo_array((data[keep].astype(complex), (rows[keep], columns[keep])), shape=shape)


def make_slots(
    circuit: Circuit, alias: Ints, energised: Bools, apart: Bools
) -> tuple[LoadSlots, Bools, Slots, range, range, range]:
    """All slots of a circuit.

    Args:
        circuit: the circuit.
        alias: [node] electrical node of each node.
        energised: [node] whether it is supplied.
        apart: [injection] elements that get load slots of their own, because something else depends on them.

    Returns:
        Load slots, [injection] served, slots, and the ranges of tap, capacitor and line slots.
    """
    entries = _Entries()
    loads, served = _load_slots(circuit, alias, energised, apart, entries)
    taps = _tap_slots(circuit, alias, entries)
    capacitors = _capacitor_slots(circuit, alias, energised, entries)
    lines = _line_slots(circuit, alias, entries)
    n, m = circuit.n_node, entries.n_slot
    slots = Slots(
        source=csc_array(entries.matrix("source", (n, m))),
        measure=csr_array(entries.matrix("measure", (m, n))),
        direct=csr_array(entries.matrix("direct", (m, m))),
    )
    return loads, served, slots, taps, capacitors, lines


def at_node(alias: Ints, nodes: Ints) -> Ints:
    """Electrical nodes; ground stays ground."""
    return np.where(nodes >= 0, alias[nodes], GROUND)


def _load_slots(
    circuit: Circuit, alias: Ints, energised: Bools, apart: Bools, entries: _Entries
) -> tuple[LoadSlots, Bools]:
    """Legs that see the same voltage by the same law share a slot."""
    legs = circuit.loads
    a, b = at_node(alias, legs.node_from), at_node(alias, legs.node_to)
    alive = (a < 0) | energised[a]
    alive &= (b < 0) | energised[b]
    served = legs.in_service.copy()
    served[legs.injection[~alive]] = False
    use = np.flatnonzero(legs.in_service[legs.injection])
    plain_p, plain_q = (np.isin(e, _PLAIN_EXPONENTS) for e in (legs.exponent_p, legs.exponent_q))
    plain = plain_p & plain_q & (legs.v_min == 0.0) & np.isinf(legs.v_max)
    rest = np.stack([legs.exponent_p, legs.exponent_q, legs.v_rated, legs.v_min, legs.v_max, legs.v_low], -1)
    rest[plain] = 0.0
    own = np.where(apart[legs.injection], legs.injection + 1, 0)
    # Not at the joined nodes: a switch that is data may part them.
    key = np.column_stack([legs.node_from, legs.node_to, own, plain, rest])[use]
    _, first, slot = np.unique(key, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first))
    slot, leg = rank[slot.ravel()], use[first[order]]
    numbers = np.array(entries.take(len(leg)), dtype=np.int64)
    _add_ports(entries, numbers, a[leg], b[leg])
    member, position = _members(circuit, use, slot, len(leg))
    powers = [_weights(circuit, use, (slot, position), member, plain, e) for e in (legs.exponent_p, legs.exponent_q)]
    (weight_p, split_p), (weight_q, split_q) = powers
    return (
        LoadSlots(
            member=member,
            node_from=legs.node_from[leg],
            node_to=legs.node_to[leg],
            alive=alive[leg],
            weight_p=weight_p,
            weight_q=weight_q,
            split_p=split_p,
            split_q=split_q,
            exponent_p=np.where(plain[leg], 0.0, legs.exponent_p[leg]),
            exponent_q=np.where(plain[leg], 0.0, legs.exponent_q[leg]),
            v_rated=np.where(plain[leg], 1.0, legs.v_rated[leg]),
            v_min=legs.v_min[leg],
            v_max=legs.v_max[leg],
            v_low=legs.v_low[leg],
        ),
        served,
    )


def _add_ports(entries: _Entries, slot: Ints, a: Ints, b: Ints) -> None:
    """Slots that see the voltage from a to b and whose current flows into a and out of b."""
    one = np.ones(len(slot), dtype=complex)
    entries.source += [(a, slot, one), (b, slot, -one)]
    entries.measure += [(slot, a, one), (slot, b, -one)]


def _members(circuit: Circuit, use: Ints, slot: Ints, n_slot: int) -> tuple[Ints, Ints]:
    """Injections of every slot [slot, k], and the k of each leg."""
    legs = circuit.loads
    position = np.zeros(len(use), dtype=np.int64)
    seen: dict[int, int] = {}
    for i, s in enumerate(slot):
        position[i] = seen.get(int(s), 0)
        seen[int(s)] = int(position[i]) + 1
    width = max(seen.values(), default=1)
    member = np.full((n_slot, width), len(legs.names), dtype=np.int64)
    member[slot, position] = legs.injection[use]
    return member, position


def _weights(
    circuit: Circuit, use: Ints, place: tuple[Ints, Ints], member: Ints, plain: Bools, exponents: Floats
) -> tuple[Floats, Floats]:
    """[order, slot, k] weights of the power, and of shares of what is constant power.

    A law in shares of the rated voltage is turned into one in per unit.
    """
    legs, exponent = circuit.loads, exponents[use]
    weight, split = np.zeros((2, _ORDERS, *member.shape))
    share, v_rated = legs.share[use] / circuit.s_base_kva, legs.v_rated[use]
    weight[np.where(plain[use], exponent, 0.0).astype(np.int64), *place] = share / v_rated**exponent
    for order in range(_ORDERS):
        split[order, *place] = np.where(exponent == 0.0, share, 0.0) / v_rated**order
    return weight, split


def _tap_slots(circuit: Circuit, alias: Ints, entries: _Entries) -> range:
    taps = circuit.taps
    n = len(taps.transformer)
    slots = entries.take(2 * n)
    a = np.arange(n) * 2 + slots.start
    b = a + 1
    nodes = at_node(alias, circuit.transformers.nodes[taps.transformer])
    wide_a, wide_b = np.broadcast_to(a[:, None], nodes.shape), np.broadcast_to(b[:, None], nodes.shape)
    entries.source += [(nodes, wide_a, -taps.source), (nodes, wide_b, -taps.terminals)]
    entries.measure += [(wide_a, nodes, taps.terminals), (wide_b, nodes, taps.measure)]
    to, of = np.nonzero(taps.direct)
    entries.direct.append((b[to], a[of], taps.direct[to, of]))
    return slots


def _capacitor_slots(circuit: Circuit, alias: Ints, energised: Bools, entries: _Entries) -> range:
    """See and feed as loads do; legs without supply see ground."""
    legs = circuit.capacitor_legs
    slots = entries.take(len(legs.bank))
    a, b = at_node(alias, legs.node_from), at_node(alias, legs.node_to)
    dead = ((a >= 0) & ~energised[a]) | ((b >= 0) & ~energised[b])
    _add_ports(entries, np.array(slots, dtype=np.int64), np.where(dead, GROUND, a), np.where(dead, GROUND, b))
    return slots


def _line_slots(circuit: Circuit, alias: Ints, entries: _Entries) -> range:
    """Two slots for each phase of each line: both are a voltage in series; they see the R and the jX drop."""
    series, lines = circuit.line_series, circuit.lines
    n_line, n_phase = series.r.shape[:2]
    slots = entries.take(2 * n_line * n_phase)
    number = np.arange(n_line * n_phase).reshape(n_line, n_phase) * 2 + slots.start
    y = series_admittance(circuit)
    nodes = at_node(alias, lines.nodes)
    start, end = nodes[:, :n_phase], nodes[:, n_phase:]
    for part, offset in ((series.r.astype(complex), 0), (1j * series.x, 1)):
        slot = number + offset
        wide = np.broadcast_to(slot[:, None, :], y.shape)
        entries.source += [
            (np.broadcast_to(start[:, :, None], y.shape), wide, y),
            (np.broadcast_to(end[:, :, None], y.shape), wide, -y),
        ]
        drop = part @ y
        tall = np.broadcast_to(slot[:, :, None], y.shape)
        entries.measure += [
            (tall, np.broadcast_to(start[:, None, :], y.shape), drop),
            (tall, np.broadcast_to(end[:, None, :], y.shape), -drop),
        ]
        entries.direct += [(tall, np.broadcast_to((number + other)[:, None, :], y.shape), -drop) for other in (0, 1)]
    return slots


def series_admittance(circuit: Circuit, *, only_closed: bool = True) -> Complex:
    """[line, phase, phase] admittance in series of the lines; zero for open ones if only those that connect count."""
    z = circuit.line_series.r + 1j * circuit.line_series.x
    absent = np.all(z == 0.0, axis=-1)
    y = np.zeros(z.shape, dtype=complex)
    on = circuit.line_closed if only_closed else np.ones(len(z), dtype=bool)
    filled = z[on] + np.einsum("lp,pq->lpq", absent[on].astype(float), np.eye(z.shape[-1]))
    y[on] = np.linalg.inv(filled) if len(filled) else filled
    present = ~absent
    return y * (present[:, :, None] & present[:, None, :])
