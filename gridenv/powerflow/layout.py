"""Which nodes of a large network are cut, and which block the others belong to.

The graph has an edge between any two nodes that an element, a slot or a quantity looks at together. Nodes are taken out
of it until what remains falls apart into small pieces; those are the cut nodes. Pieces are packed into blocks of about
equal size. Everything an element or a slot touches then lies in one block and its cut nodes.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from gridenv.network.arrays import Network
from gridenv.network.circuit import Ints

SLOTS_A_BLOCK = (15, 22, 24, 46)
"""Slots between the cut nodes of a block that are tried; those at cut nodes come on top, up to whole vectors. Smaller
blocks leave more to the cut nodes, larger ones compute more."""
_VECTOR = 8
_CUTS_BELOW = 3
"""Cut nodes below a piece, beside the one above it: every block is filled up to the largest number."""
_ROUNDS = 20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which rows, cut nodes and slots each block has."""

    rows: list[Ints]
    cuts: list[Ints]
    slots: list[Ints]
    is_cut: NDArray[np.bool_]
    block_of_row: Ints
    """[row] block of each row; -1 for cut rows."""

    @property
    def work(self) -> int:
        """Multiplications of what the slots see, all blocks filled up to one size."""
        n_block, n_slot, n_cut = len(self.rows), filled_up(self.slots), max(map(len, self.cuts))
        return n_block * n_slot * (n_slot + 2 * n_cut) + int(self.is_cut.sum()) ** 2


def cut_layout(network: Network, graph: csr_array, slot_rows: list[Ints], group: Ints) -> Layout:
    """The blocks that compute least.

    Args:
        network: whose solved rows are divided.
        graph: [row, row] pattern of what belongs together.
        slot_rows: rows that each slot feeds or sees.
        group: [slot] number of the group of slots that must be in one block.
    """
    if graph.shape[0] == 0:
        nothing, slots = np.zeros(0, dtype=np.int64), np.arange(len(slot_rows))
        return Layout(rows=[nothing], cuts=[nothing], slots=[slots], is_cut=nothing > 0, block_of_row=nothing)
    cluster = _clusters(network)
    layouts = [_layout(cluster, graph, slot_rows, group, size) for size in SLOTS_A_BLOCK]
    return min(layouts, key=lambda layout: layout.work)


def _layout(cluster: Ints, graph: csr_array, slot_rows: list[Ints], group: Ints, most: int) -> Layout:
    n_row, n_slot = graph.shape[0], len(slot_rows)
    n_slot_of_row = np.bincount([int(rows[0]) for rows in slot_rows if len(rows)], minlength=n_row)
    weight = 0.5 / n_row + n_slot_of_row.astype(float) * (0.5 / max(n_slot, 1))
    limit = 1.0 / max(1.0, round(n_slot / most))
    is_cut = _cut_nodes(graph, cluster, weight, limit)
    piece = _pieces(graph, is_cut)
    block = _pack(graph, is_cut, piece, n_slot_of_row, most)
    return _assigned(graph, is_cut, block, slot_rows, group)


def _clusters(network: Network) -> Ints:
    """[row] rows of one bus have one number: they are cut together."""
    circuit = network.circuit
    names = [*circuit.node_names, *(f"\0{i}" for i in range(circuit.n_node - network.n_node))]
    if circuit.n_phase > 1:
        names = [name.rpartition(".")[0] or name for name in names]
    _, number = np.unique(names, return_inverse=True)
    own = (network.row >= 0) & (circuit.alias == np.arange(circuit.n_node))
    return np.unique(number[own], return_inverse=True)[1].astype(np.int64)


def _cut_nodes(graph: csr_array, cluster: Ints, weight: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Flags [row] of the nodes to cut at, so that no remaining piece weighs more than the limit."""
    n_cluster = int(cluster.max()) + 1
    fold = coo_array((np.ones(len(cluster)), (cluster, np.arange(len(cluster)))), shape=(n_cluster, len(cluster)))
    coarse = csr_array(fold.tocsr() @ graph @ fold.tocsr().T)
    coarse.setdiag(0)
    coarse.eliminate_zeros()
    heavy = np.bincount(cluster, weight, n_cluster).astype(np.float64)
    is_cut = np.zeros(n_cluster, dtype=bool)
    for _ in range(_ROUNDS):
        piece = _pieces(coarse, is_cut)
        size = np.bincount(piece[piece >= 0], heavy[piece >= 0])
        too_heavy = np.flatnonzero(size > limit * (1.0 + 1e-9))
        alone = [p for p in too_heavy if np.sum(piece == p) == 1]
        too_heavy = np.setdiff1d(too_heavy, alone)
        if not len(too_heavy):
            break
        for p in too_heavy:
            members = np.flatnonzero(piece == p)
            is_cut[members[_cut_tree(csr_array(coarse[members][:, members]), heavy[members], limit)]] = True
    return is_cut[cluster]


def _cut_tree(graph: csr_array, weight: NDArray[np.float64], limit: float) -> Ints:
    """Vertices of a connected graph where its spanning tree is cut, from the leaves up, at the latest possible place.

    Edges outside of the tree can join pieces again; the caller looks and comes back.
    """
    order, parent = breadth_first_order(graph, 0, directed=False)
    load = weight.copy()
    open_cuts = np.zeros(len(weight), dtype=np.int64)
    cut = []
    for v in order[::-1]:
        if (load[v] > limit or open_cuts[v] > _CUTS_BELOW) and v != order[0]:
            cut.append(v)
            open_cuts[parent[v]] += 1
        elif v != order[0]:
            load[parent[v]] += load[v]
            open_cuts[parent[v]] += open_cuts[v]
    if not cut or load[order[0]] > limit or open_cuts[order[0]] > _CUTS_BELOW:
        cut.append(order[0])
    return np.array(cut, dtype=np.int64)


def _pieces(graph: csr_array, is_cut: NDArray[np.bool_]) -> Ints:
    """[vertex] number of the connected piece without the cut vertices; -1 for those."""
    keep = np.flatnonzero(~is_cut)
    piece = np.full(graph.shape[0], -1)
    if len(keep):
        piece[keep] = connected_components(graph[keep][:, keep], directed=False)[1]
    return piece


def _pack(graph: csr_array, is_cut: NDArray[np.bool_], piece: Ints, n_slot_of_row: Ints, wanted: int) -> Ints:
    """[row] block of each row. Large pieces first, each into the fullest block that takes it (best fit decreasing)."""
    n_piece = int(piece.max(initial=-1)) + 1
    inside = piece >= 0
    size = np.bincount(piece[inside], n_slot_of_row[inside], n_piece)
    nodes = np.bincount(piece[inside], minlength=n_piece)
    near: list[set[int]] = [set() for _ in range(n_piece)]
    edges = graph.tocoo()
    across = is_cut[edges.col] & ~is_cut[edges.row]
    for row, col in zip(edges.row[across], edges.col[across], strict=True):
        near[piece[row]].add(int(col))
    most = max(size.max(initial=0.0), wanted)
    most_nodes = max(int(nodes.max(initial=0)), int(2.0 * wanted * len(piece) / max(n_slot_of_row.sum(), 1)))
    widest = max((len(n) for n in near), default=0)
    filled: list[list[float]] = []
    cuts: list[set[int]] = []
    block_of_piece = np.zeros(n_piece, dtype=np.int64)
    for p in sorted(range(n_piece), key=lambda p: (-size[p], -nodes[p])):
        fitting = [
            b
            for b, (slots, rows) in enumerate(filled)
            if slots + size[p] <= most
            and rows + nodes[p] <= most_nodes
            and len(cuts[b] | near[p]) <= max(widest, _CUTS_BELOW + 1)
        ]
        if not fitting:
            filled.append([0.0, 0.0])
            cuts.append(set())
        b = max(fitting, key=lambda b: filled[b][0], default=len(filled) - 1)
        block_of_piece[p] = b
        filled[b] = [filled[b][0] + size[p], filled[b][1] + nodes[p]]
        cuts[b] |= near[p]
    return np.where(inside, block_of_piece[piece], -1) if n_piece else np.full(len(piece), -1)


def _assigned(graph: csr_array, is_cut: NDArray[np.bool_], block: Ints, slot_rows: list[Ints], group: Ints) -> Layout:
    n_block = max(int(block.max(initial=-1)) + 1, 1)
    cuts: list[set[int]] = [set() for _ in range(n_block)]
    edges = graph.tocoo()
    across = is_cut[edges.col] & ~is_cut[edges.row]
    for row, col in zip(edges.row[across], edges.col[across], strict=True):
        cuts[block[row]].add(int(col))
    slots: list[list[int]] = [[] for _ in range(n_block)]
    together = defaultdict[int, list[int]](list)
    for s, number in enumerate(group):
        together[int(number)].append(s)
    for members in together.values():
        rows = np.unique(np.concatenate([slot_rows[s] for s in members]))
        b = place_of(rows, block, cuts, [len(x) for x in slots])
        slots[b].extend(members)
        cuts[b].update(int(r) for r in rows if is_cut[r])
    return Layout(
        rows=[np.flatnonzero(block == b) for b in range(n_block)],
        cuts=[np.array(sorted(c), dtype=np.int64) for c in cuts],
        slots=[np.array(s, dtype=np.int64) for s in slots],
        is_cut=is_cut,
        block_of_row=block,
    )


def place_of(rows: Ints, block: Ints, cuts: list[set[int]], filled: list[int]) -> int:
    """Block of something that looks at these rows: that of a row that is not cut, else one that has the cut nodes."""
    inside = block[rows][block[rows] >= 0] if len(rows) else rows
    if len(inside):
        return int(inside[0])
    wanted = {int(r) for r in rows}
    return min(range(len(cuts)), key=lambda b: (len(wanted - cuts[b]), filled[b]))


def filled_up(members: list[Ints]) -> int:
    """Size of the largest, up to the next one whose matrices are whole vectors of the processor."""
    return -(-max(map(len, members), default=0) // _VECTOR) * _VECTOR
