"""Cutting a large network into blocks, on the host.

The graph has an edge between any two nodes that an element, a slot or a quantity looks at together. Nodes are taken out
of it until what remains falls apart into small pieces; those are the cut nodes. Pieces are packed into blocks of about
equal size. Everything an element or a slot touches then lies in one block and its cut nodes.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from gridenv.network.arrays import Complex, Network
from gridenv.network.circuit import Ints
from gridenv.powerflow.host import Quantities, quantities

SLOTS_A_BLOCK = 48
"""Measured on networks of 500 to 10,458 buses: smaller blocks leave more to the cut nodes, larger ones compute more."""
_VECTOR = 8
_CUTS_BELOW = 3
"""Cut nodes below a piece, beside the one above it: every block is filled up to the largest number."""
_ROUNDS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class CutMap:
    """A quantity cut into blocks; entries beyond a block's own are zero."""

    base: Complex
    """[block, n]"""
    own: Complex
    """[block, n, slot]"""
    via: Complex
    """[block, n, cut]"""
    place: Ints
    """[n of the whole network] position counted through all blocks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cuts:
    """A network in blocks."""

    maps: dict[str, CutMap]
    into_cuts: Complex
    """[block, cut, slot]"""
    to_cuts: Complex
    """[cut node, block, cut] voltages of all cut nodes from the currents that the blocks send into theirs."""
    cut_place: Ints
    """[block, cut] number of each block's cut nodes; fillings are 0."""
    slot_place: Ints
    """[block, slot] slots in the order that was asked for; filled up with their number."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Which rows, cut nodes and slots each block has."""

    rows: list[Ints]
    cuts: list[Ints]
    slots: list[Ints]
    is_cut: NDArray[np.bool_]
    block_of_row: Ints
    """[row] block of each row; -1 for cut rows."""


def cut_network(network: Network, chosen: Ints) -> Cuts:
    """Blocks of a network for the chosen slots.

    Source: Schur complement of the cut nodes; see `operators`.
    """
    wanted = quantities(network, chosen)
    solved = np.flatnonzero((network.row >= 0) & (network.circuit.alias == np.arange(network.circuit.n_node)))
    parts = {name: tuple(csr_array(part) for part in getattr(wanted, name)) for name in Quantities.NAMES}
    source = csr_array(network.slots.source[:, chosen][solved])
    graph = _graph(network, [of_v[:, solved] for of_v, _ in parts.values()], source)
    slot_rows = _touched(source, [(csr_array(of_v[:, solved]), direct) for of_v, direct in parts.values()])
    layout = _layout(network, graph, slot_rows, _groups([direct for _, direct in parts.values()], len(chosen)))
    return _Cutter(network, solved, source, layout).cut(parts)


def _graph(network: Network, looked_at: list[csr_array], source: csr_array) -> csr_array:
    """Pattern [row, row] of everything that belongs together."""
    pattern = abs(csr_array(network.y_node))
    for rows in (*looked_at, csr_array(source.T)):
        ones = _ones(rows)
        pattern = pattern + ones.T @ ones
    pattern.setdiag(0)
    pattern.eliminate_zeros()
    return csr_array(pattern)


def _touched(source: csr_array, parts: list[tuple[csr_array, csr_array]]) -> list[Ints]:
    """Rows that each slot feeds or sees, and those of the quantities that it enters without the network between.

    So a load at a source's own bus, which touches no row itself, belongs to what the source's current looks at.
    """
    touched = _ones(csr_array(source.T)) + _ones(parts[0][0])
    for of_v, direct in parts:
        touched = touched + _ones(direct).T @ _ones(of_v)
    touched = csr_array(touched)
    return [touched.indices[a:b].astype(np.int64) for a, b in pairwise(touched.indptr)]


def _ones(matrix: csr_array) -> csr_array:
    """The pattern of a matrix."""
    return csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)


def _groups(directs: list[csr_array], n_slot: int) -> Ints:
    """[slot] number of the group of slots that act on one another, or on one quantity, without the network between."""
    pattern = csr_array((n_slot, n_slot))
    for direct in directs:
        ones = _ones(direct)
        pattern = pattern + ones.T @ ones
    pattern = pattern + abs(csr_array(directs[0]))
    return connected_components(pattern, directed=False)[1].astype(np.int64)


def _layout(network: Network, graph: csr_array, slot_rows: list[Ints], group: Ints) -> _Layout:
    n_row, n_slot = graph.shape[0], len(slot_rows)
    nothing = np.zeros(0, dtype=np.int64)
    if n_row == 0:
        slots = np.arange(n_slot)
        return _Layout(rows=[nothing], cuts=[nothing], slots=[slots], is_cut=nothing > 0, block_of_row=nothing)
    cluster = _clusters(network)
    n_slot_of_row = np.bincount([int(rows[0]) for rows in slot_rows if len(rows)], minlength=n_row)
    weight = 0.5 / n_row + n_slot_of_row.astype(float) * (0.5 / max(n_slot, 1))
    limit = 1.0 / max(1.0, round(n_slot / SLOTS_A_BLOCK))
    is_cut = _cut_nodes(graph, cluster, weight, limit)
    piece = _pieces(graph, is_cut)
    block = _pack(graph, is_cut, piece, n_slot_of_row)
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


def _pack(graph: csr_array, is_cut: NDArray[np.bool_], piece: Ints, n_slot_of_row: Ints) -> Ints:
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
    most = max(size.max(initial=0.0), SLOTS_A_BLOCK)
    most_nodes = max(int(nodes.max(initial=0)), int(2.0 * SLOTS_A_BLOCK * len(piece) / max(n_slot_of_row.sum(), 1)))
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


def _assigned(graph: csr_array, is_cut: NDArray[np.bool_], block: Ints, slot_rows: list[Ints], group: Ints) -> _Layout:
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
    return _Layout(
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


def _filled_up(size: int) -> int:
    """The next size whose matrices are whole vectors of the processor."""
    return -(-size // _VECTOR) * _VECTOR


class _Cutter:
    """Numbers of all blocks."""

    def __init__(self, network: Network, solved: Ints, source: csr_array, layout: _Layout) -> None:
        self.network, self.solved, self.source, self.layout = network, solved, source, layout
        self.cut_rows = np.flatnonzero(layout.is_cut)
        self.cut_number = np.full(len(layout.is_cut), -1)
        self.cut_number[self.cut_rows] = np.arange(len(self.cut_rows))

    def cut(self, parts: dict[str, tuple[csr_array, csr_array]]) -> Cuts:
        """All arrays, padded to one size a block."""
        layout, y = self.layout, csr_array(self.network.y_node)
        members = {name: self._members(name, *part) for name, part in parts.items()}
        n_block = len(layout.rows)
        n_cut = max((len(x) for x in layout.cuts), default=0)
        n_slot = _filled_up(max((len(x) for x in layout.slots), default=0))
        into = np.zeros((n_block, n_cut, n_slot), dtype=complex)
        size = {name: _filled_up(max((len(m) for m in member), default=0)) for name, member in members.items()}
        own = {name: np.zeros((n_block, size[name], n_slot), dtype=complex) for name in parts}
        via = {name: np.zeros((n_block, size[name], n_cut), dtype=complex) for name in parts}
        schur = y[self.cut_rows][:, self.cut_rows].toarray()
        for b in range(n_block):
            rows, cuts, slots = layout.rows[b], layout.cuts[b], layout.slots[b]
            by_slot, by_cut = self._held(y, b)
            y_cr = y[cuts][:, rows]
            into[b, : len(cuts), : len(slots)] = self.source[cuts][:, slots].toarray() - y_cr @ by_slot
            number = self.cut_number[cuts]
            schur[np.ix_(number, number)] += y_cr @ by_cut
            for name, (of_v, direct) in parts.items():
                member = members[name][b]
                of_v, inner = of_v[member][:, self.solved], direct[member][:, slots].toarray()
                assert of_v.nnz == of_v[:, rows].nnz + of_v[:, cuts].nnz, f"{name}: looks beyond its block"
                own[name][b, : len(member), : len(slots)] = of_v[:, rows] @ by_slot + inner
                via[name][b, : len(member), : len(cuts)] = of_v[:, rows] @ by_cut + of_v[:, cuts].toarray()
        inverse = np.linalg.inv(schur)
        to_cuts = np.zeros((len(self.cut_rows), n_block, n_cut), dtype=complex)
        cut_place = np.zeros((n_block, n_cut), dtype=np.int64)
        for b, cuts in enumerate(layout.cuts):
            to_cuts[:, b, : len(cuts)] = inverse[:, self.cut_number[cuts]]
            cut_place[b, : len(cuts)] = self.cut_number[cuts]
        maps = {}
        for name, (of_v, _) in parts.items():
            base, place = self._bases(members[name], of_v @ self.network.w, size[name])
            maps[name] = CutMap(base=base, own=own[name], via=via[name], place=place)
        slot_place = np.full((n_block, n_slot), sum(map(len, layout.slots)))
        for b, slots in enumerate(layout.slots):
            slot_place[b, : len(slots)] = slots
        return Cuts(maps=maps, into_cuts=into, to_cuts=to_cuts, cut_place=cut_place, slot_place=slot_place)

    def _held(self, y: csr_array, b: int) -> tuple[Complex, Complex]:
        """Voltages inside a block from its slots and from the voltages of its cut nodes."""
        rows, cuts, slots = self.layout.rows[b], self.layout.cuts[b], self.layout.slots[b]
        right = np.concatenate([self.source[rows][:, slots].toarray(), -y[rows][:, cuts].toarray()], axis=1)
        solved = np.linalg.solve(y[rows][:, rows].toarray(), right) if len(rows) else right
        return solved[:, : len(slots)], solved[:, len(slots) :]

    def _members(self, name: str, of_v: csr_array, direct: csr_array) -> list[Ints]:
        """Entries of a quantity that each block computes."""
        layout = self.layout
        if name == "slots":
            return layout.slots
        owner = defaultdict[int, list[int]](list)
        block_of_slot = np.full(direct.shape[1], -1)
        for b, slots in enumerate(layout.slots):
            block_of_slot[slots] = b
        cuts = [set(c.tolist()) for c in layout.cuts]
        on_rows = of_v[:, self.solved]
        for i in range(of_v.shape[0]):
            rows = on_rows.indices[on_rows.indptr[i] : on_rows.indptr[i + 1]].astype(np.int64)
            inner = direct.indices[direct.indptr[i] : direct.indptr[i + 1]]
            b = (
                int(block_of_slot[inner[0]])
                if len(inner)
                else place_of(rows, layout.block_of_row, cuts, [len(c) for c in cuts])
            )
            cuts[b].update(int(r) for r in rows if layout.is_cut[r])
            owner[b].append(i)
        layout.cuts[:] = [np.array(sorted(c), dtype=np.int64) for c in cuts]
        return [np.array(owner[b], dtype=np.int64) for b in range(len(layout.rows))]

    def _bases(self, members: list[Ints], values: Complex, size: int) -> tuple[Complex, Ints]:
        base = np.zeros((len(members), size), dtype=complex)
        place = np.zeros(len(values), dtype=np.int64)
        for b, member in enumerate(members):
            base[b, : len(member)] = values[member]
            place[member] = b * size + np.arange(len(member))
        return base, place
