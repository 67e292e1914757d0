"""Where to draw the buses of a network: a one-line diagram of its tree, main feeder straight, laterals beside it."""

from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from gridenv.adapters.drawing.layout import Branches, Spec

Cell = tuple[int, int]
"""Column = branches from the source, row = 0 for the main feeder, then up and down."""


@dataclass(frozen=True)
class Diagram:
    """Places of buses and the branches between them."""

    place: dict[str, Cell]
    tree: tuple[tuple[str, str], ...]
    """Upstream bus and downstream bus of every branch that the drawing follows."""
    loops: tuple[tuple[str, str], ...]
    """Closed branches that close a loop."""
    open_ties: tuple[tuple[str, str], ...]
    """Branches that are open."""

    @property
    def buses_in_order(self) -> tuple[str, ...]:
        """The main feeder, then lateral after lateral as they leave it, each from the source outwards."""
        first = {row: min(c for c, r in self.place.values() if r == row) for _, row in self.place.values()}

        def rank(bus: str) -> tuple[bool, int, int, int]:
            column, row = self.place[bus]
            return row != 0, first[row], row, column

        return tuple(sorted(self.place, key=rank))


def arrange(network: Spec) -> Diagram:
    """One-line diagram of the part of a network that hangs on its first source."""
    branches = Branches.of(network)
    ends = list(zip(branches.from_bus, branches.to_bus, branches.is_open, strict=True))
    closed = [(a, b) for a, b, is_open in ends if not is_open]
    opened = [(a, b) for a, b, is_open in ends if is_open]
    root = network.sources.bus[0]
    parents = _tree(network.buses.id, closed, root)
    children: dict[str, list[str]] = {}
    for bus, parent in parents.items():
        children.setdefault(parent, []).append(bus)
    place = _place(root, children)
    tree = tuple((parent, bus) for bus, parent in parents.items())
    drawn = {frozenset(branch) for branch in tree}
    loops = tuple(b for b in closed if frozenset(b) not in drawn and set(b) <= place.keys())
    return Diagram(place, tree, loops, tuple(b for b in opened if set(b) <= place.keys()))


def _tree(buses: tuple[str, ...], branches: list[tuple[str, str]], root: str) -> dict[str, str]:
    """Upstream neighbour of every bus that is connected to the root, nearest first."""
    row = {bus: i for i, bus in enumerate(buses)}
    a, b = (np.array([row[branch[side]] for branch in branches], dtype=int) for side in (0, 1))
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(buses), len(buses))).tocsr()
    order, before = breadth_first_order(graph, row[root], directed=False)
    return {buses[i]: buses[before[i]] for i in order[1:]}


def _place(root: str, children: dict[str, list[str]]) -> dict[str, Cell]:
    """Every bus in a cell of its own, the root at (0, 0); laterals lie as near to their feeder as there is room.

    Laterals are put in place from the end of the feeder backwards, so that the line that leads to one never has to
    cross another.
    """
    length = _lengths(root, children)

    def block(start: str) -> dict[str, Cell]:
        chain = [start]
        while children.get(chain[-1]):
            chain.append(max(children[chain[-1]], key=lambda child: length[child]))
        place = {bus: (column, 0) for column, bus in enumerate(chain)}
        occupied = {cell: "" for cell in place.values()}
        for column, bus in reversed(list(enumerate(chain[:-1]))):
            for child in sorted(set(children[bus]) - {chain[column + 1]}, key=lambda c: (length[c], c)):
                lateral = block(child)
                row = _free_row(lateral, column, bus, occupied)
                place |= {b: (column + 1 + c, row + r) for b, (c, r) in lateral.items()}
                occupied |= dict.fromkeys((place[b] for b in lateral), "")
                occupied |= dict.fromkeys(_connector(column, row), bus)
        return place

    return block(root)


def _lengths(root: str, children: dict[str, list[str]]) -> dict[str, int]:
    """Number of buses on the longest way from each bus to an end."""
    order = [root]
    for bus in order:
        order += children.get(bus, [])
    length: dict[str, int] = {}
    for bus in reversed(order):
        length[bus] = 1 + max((length[child] for child in children.get(bus, [])), default=0)
    return length


def _free_row(lateral: dict[str, Cell], column: int, bus: str, occupied: dict[Cell, str]) -> int:
    """Nearest row with room for a lateral of the bus in `column`; laterals of one bus may share the line to them."""
    # One cell beyond every end stays free, so that two laterals in a row do not touch.
    wanted = {(column + 1 + c + gap, r) for c, r in lateral.values() for gap in (0, 1)}
    for distance in count(1):
        for row in (distance, -distance):
            crosses = any(occupied.get(cell, bus) != bus for cell in _connector(column, row))
            if not crosses and not any((c, r + row) in occupied for c, r in wanted):
                return row
    raise AssertionError("rows are unlimited")


def _connector(column: int, row: int) -> set[Cell]:
    step = 1 if row > 0 else -1
    return {(column, r) for r in range(step, row + step, step)}
