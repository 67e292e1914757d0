"""Cutting a large network into blocks, on the host: see `layout` for where, here are the numbers."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from gridenv.network.arrays import Complex, Network
from gridenv.network.circuit import Ints
from gridenv.powerflow.host import Quantities, quantities
from gridenv.powerflow.layout import Layout, cut_layout, filled_up, place_of

_NOTHING = 1e-12
"""Share of a block's largest current that is rounding."""
_FLOATING_PU = 1e4
"""Impedance that only a part without ground has."""
_FEW = 4
"""Rows that are added at once."""


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
    """[block, cut, slot] what a block sends into its cut nodes, its own held."""
    sums: list[Ints]
    """[row, few] how that is summed up to one row a cut node, in steps, each of rows of the one before; -1 = nothing.
    Empty where `to_cuts` takes it as it is."""
    to_cuts: Complex
    """[cut node, row] voltages of all cut nodes from that."""
    cut_place: Ints
    """[block, cut] number of each block's cut nodes; fillings are 0."""
    slot_place: Ints
    """[block, slot] slots in the order that was asked for; filled up with their number."""


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
    layout = cut_layout(network, graph, slot_rows, _groups([direct for _, direct in parts.values()], len(chosen)))
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


class _Cutter:
    """Numbers of all blocks."""

    def __init__(self, network: Network, solved: Ints, source: csr_array, layout: Layout) -> None:
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
        n_slot = filled_up(layout.slots)
        into = np.zeros((n_block, n_cut, n_slot), dtype=complex)
        size = {name: filled_up(member) for name, member in members.items()}
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
        cut_place = np.full((n_block, n_cut), -1)
        for b, cuts in enumerate(layout.cuts):
            cut_place[b, : len(cuts)] = self.cut_number[cuts]
        to_cuts = np.linalg.inv(schur)
        if np.abs(to_cuts).max(initial=0.0) < _FLOATING_PU:
            sums = _sums(cut_place.ravel(), len(self.cut_rows))
        else:
            into, to_cuts = _in_directions(into, to_cuts, cut_place)
            sums = []
        maps = {}
        for name, (of_v, _) in parts.items():
            base, place = self._bases(members[name], of_v @ self.network.w, size[name])
            maps[name] = CutMap(base=base, own=own[name], via=via[name], place=place)
        slot_place = np.full((n_block, n_slot), sum(map(len, layout.slots)))
        for b, slots in enumerate(layout.slots):
            slot_place[b, : len(slots)] = slots
        return Cuts(
            maps=maps,
            into_cuts=into,
            to_cuts=to_cuts,
            sums=sums,
            cut_place=np.maximum(cut_place, 0),
            slot_place=slot_place,
        )

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


def _sums(owner: Ints, n: int) -> list[Ints]:
    """Steps that add all rows of an owner, a few at a time; see `Cuts.sums`.

    Args:
        owner: [row] owner of each row, 0 to n - 1; -1 = none.
        n: number of owners, at least one.
    """
    steps = []
    while n:
        members: list[list[int]] = [[] for _ in range(n)]
        for row in np.flatnonzero(owner >= 0):
            members[owner[row]].append(int(row))
        added = [(o, rows[k : k + _FEW]) for o, rows in enumerate(members) for k in range(0, max(len(rows), 1), _FEW)]
        steps.append(np.array([rows + [-1] * (_FEW - len(rows)) for _, rows in added], dtype=np.int64))
        owner = np.array([o for o, _ in added], dtype=np.int64)
        if len(owner) == n:
            break
    return steps


def _in_directions(into: Complex, impedance: Complex, cut_place: Ints) -> tuple[Complex, Complex]:
    """What the blocks send, each in orthogonal directions of its own, and the cut voltages from that.

    In a part without ground, currents that do not sum to zero would lift all voltages: an enormous impedance times
    zero. Among the directions of a block that is one, and it is left out.

    Args:
        into: [block, cut, slot].
        impedance: [cut node, cut node].
        cut_place: [block, cut]; -1 = filling.
    """
    directions, strength, rest = np.linalg.svd(into, full_matrices=False)
    is_there = strength > _NOTHING * strength.max(axis=1, initial=0.0, keepdims=True)
    into = np.zeros_like(into)
    into[:, : strength.shape[1]] = np.where(is_there, strength, 0.0)[..., None] * rest
    voltages = np.zeros((len(impedance), *cut_place.shape), dtype=complex)
    for b, place in enumerate(cut_place):
        cuts = place[place >= 0]
        voltages[:, b, : strength.shape[1]] = impedance[:, cuts] @ (directions[b, : len(cuts)] * is_there[b])
    return into, voltages.reshape(len(impedance), -1)
