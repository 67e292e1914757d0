"""The order in which a network whose switches change is eliminated, worked out once on the host.

The graph holds every element as if all switches were closed; what a switch state takes away only makes entries zero. So
one order, one fill-in and one set of addresses serve every sample of a batch, radial or meshed.

Source: sparse elimination by minimum degree; W. F. Tinney and J. W. Walker, "Direct solutions of sparse network
equations by optimally ordered triangular factorization", Proc. IEEE 55(11), 1967.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from gridenv.network.circuit import Circuit, Elements, Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """Addresses of an elimination. Entries are numbered over all pairs of coupled nodes; after them come one that is
    always zero, which fillings read, and one that nothing reads, which they write."""

    node_of_step: Ints
    """[step] node that each step eliminates; fixed nodes stay."""
    upper: Ints
    """[step, u] nodes coupled to it that are still there; filled up with the number of nodes."""
    out_entry: Ints
    """[step, u] entry of (node, upper)."""
    in_entry: Ints
    """[step, u] entry of (upper, node)."""
    update: Ints
    """[step, pair] entry of (upper a, upper b) for the pairs below; the one that nothing reads at fillings."""
    pairs: tuple[tuple[int, int], ...]
    """Positions a and b in `upper`: all with a != b, or one of each two where both directions are the same entry."""
    is_symmetric: bool
    n_entry: int
    entry: dict[tuple[int, int], int]
    """Entry of a pair of nodes, fill-in included."""


def elimination_order(circuit: Circuit, groups: tuple[Elements, ...], *, is_symmetric: bool) -> Order:
    """Minimum-degree order over the graph of all elements and switches."""
    neighbours = _graph(circuit, groups)
    fixed = {int(node) for node in circuit.fixed_node}
    order, upper = _minimum_degree(neighbours, fixed)
    entry: dict[tuple[int, int], int] = {}
    zero = 0
    for node, above in zip(order, upper, strict=True):
        for other in above:
            entry[node, other] = zero
            entry[other, node] = zero if is_symmetric else zero + 1
            zero += 1 if is_symmetric else 2
    dump, width = zero + 1, max((len(u) for u in upper), default=1)
    n_step = len(order)
    table = np.full((n_step, width), circuit.n_node)
    out_entry, in_entry = np.full((n_step, width), zero), np.full((n_step, width), zero)
    pairs = tuple((a, b) for a in range(width) for b in range(width) if a < b or (a > b and not is_symmetric))
    update = np.full((n_step, len(pairs)), dump)
    for step, (node, above) in enumerate(zip(order, upper, strict=True)):
        for a, first in enumerate(above):
            table[step, a] = first
            out_entry[step, a], in_entry[step, a] = entry[node, first], entry[first, node]
        for k, (a, b) in enumerate(pairs):
            if a < len(above) and b < len(above):
                # Two fixed nodes need no coupling: their voltages are known.
                update[step, k] = entry.get((above[a], above[b]), dump)
    return Order(
        node_of_step=np.array(order, dtype=np.int64),
        upper=table,
        out_entry=out_entry,
        in_entry=in_entry,
        update=update,
        pairs=pairs,
        is_symmetric=is_symmetric,
        n_entry=zero,
        entry=entry,
    )


def _graph(circuit: Circuit, groups: tuple[Elements, ...]) -> list[set[int]]:
    neighbours: list[set[int]] = [set() for _ in range(circuit.n_node)]
    for group in groups:
        for nodes in group.nodes:
            members = [int(node) for node in nodes if node >= 0]
            for node in members:
                neighbours[node].update(members)
    for a, b in zip(circuit.switchable.node_a, circuit.switchable.node_b, strict=True):
        if a >= 0:
            neighbours[a].add(int(b))
            neighbours[b].add(int(a))
    for node, others in enumerate(neighbours):
        others.discard(node)
    return neighbours


def _minimum_degree(neighbours: list[set[int]], fixed: set[int]) -> tuple[list[int], list[list[int]]]:
    """Order of the nodes that are not fixed, and what is still coupled to each when its turn comes, next one first."""
    queue = [(len(others), node) for node, others in enumerate(neighbours) if node not in fixed]
    heapq.heapify(queue)
    done: set[int] = set()
    order: list[int] = []
    upper: list[set[int]] = []
    while queue:
        degree, node = heapq.heappop(queue)
        if node in done or degree != len(neighbours[node]):
            continue
        done.add(node)
        above = neighbours[node]
        order.append(node)
        upper.append(set(above))
        for other in above:
            neighbours[other] |= above
            neighbours[other] -= {other, node}
            if other not in fixed:
                heapq.heappush(queue, (len(neighbours[other]), other))
    place = {node: step for step, node in enumerate(order)}
    last = len(order)
    return order, [sorted(u, key=lambda n: place.get(n, last)) for u in upper]
