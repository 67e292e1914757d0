"""Where to draw the buses of a feeder: a tree from left to right, main feeder straight, laterals beside it.

Cells are whole numbers: columns count from the source, row 0 is the main feeder. Every bus has a cell of its own, and
no branch of the tree crosses another. A branch leaves its bus along the row, or up or down to the row of a lateral.

Source: the tree is cut into its longest paths; a path joins its feeder by the outline of both, as in E. Reingold,
J. Tilford, "Tidier drawings of trees", 1981. Every outline is read once, so the work grows with the number of buses.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import NetworkSpec

Spec = NetworkSpec | PhaseNetworkSpec
Names = tuple[str, ...]
NO_BUS = -1
"""Upstream neighbour of a bus at which a tree begins."""
_ROWS_BETWEEN_TREES = 2


@dataclass(frozen=True, kw_only=True)
class Branches:
    """What joins buses: lines, then transformers, then switches, each in the order of its table."""

    names: Names
    from_bus: Names
    to_bus: Names
    kind: Names
    """`line`, `transformer` or `switch`."""
    is_open: NDArray[np.bool_]
    """[branch] as the network describes it; open at one end is open."""

    @classmethod
    def of(cls, spec: Spec) -> "Branches":
        """Branches of a network; a transformer with three windings is two of them, each from its first winding."""
        rows = list(_phase_rows(spec) if isinstance(spec, PhaseNetworkSpec) else _balanced_rows(spec))
        columns = list(zip(*rows, strict=True)) if rows else [()] * 5
        names, from_bus, to_bus, kind = (tuple(column) for column in columns[:4])
        is_open = ~np.array(columns[4], dtype=bool)
        return cls(names=names, from_bus=from_bus, to_bus=to_bus, kind=kind, is_open=is_open)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeederLayout:
    """Places of the buses of a network."""

    bus_names: Names
    position: NDArray[np.float64]
    """[bus, 2] column and row of every bus; rows count upwards."""
    upstream: NDArray[np.int64]
    """[bus] neighbour towards the source along the drawn tree; `NO_BUS` where a tree begins."""
    sources: NDArray[np.int64]
    """Buses with a source."""
    row_of: dict[str, int] = field(repr=False)
    """Number of a bus in this order by its name."""

    @classmethod
    def of(cls, spec: Spec) -> "FeederLayout":
        """Layout of a network from its topology alone; the same network gives the same layout.

        The tree follows closed branches from the sources; parts that only open branches reach hang on those, and
        parts that nothing reaches are drawn below.
        """
        row_of = {name: i for i, name in enumerate(spec.buses.id)}
        sources = np.array(sorted({row_of[bus] for bus in spec.sources.bus}), dtype=np.int64)
        branches = Branches.of(spec)
        order, upstream = _spanning_tree(len(row_of), sources, branches, row_of)
        position = np.array(_cells(order, upstream), dtype=np.float64).reshape(-1, 2)
        return cls(bus_names=spec.buses.id, position=position, upstream=upstream, sources=sources, row_of=row_of)

    def is_tree_branch(self, a: int, b: int) -> bool:
        """Whether the drawn tree runs between two buses; other branches close loops or are ties."""
        return bool(self.upstream[a] == b or self.upstream[b] == a)


Row = tuple[str, str, str, str, bool]
"""Name, from bus, to bus, kind, whether closed."""


def _balanced_rows(spec: NetworkSpec) -> Iterator[Row]:
    lines, trafos, switches = spec.lines, spec.transformers, spec.switches
    on = lines.in_service & lines.from_closed & lines.to_closed
    yield from zip(lines.id, lines.from_bus, lines.to_bus, ["line"] * len(lines), on, strict=True)
    on = trafos.in_service & trafos.hv_closed & trafos.lv_closed
    yield from zip(trafos.id, trafos.hv_bus, trafos.lv_bus, ["transformer"] * len(trafos), on, strict=True)
    kinds = ["switch"] * len(switches)
    yield from zip(switches.id, switches.bus_a, switches.bus_b, kinds, switches.closed, strict=True)


def _phase_rows(spec: PhaseNetworkSpec) -> Iterator[Row]:
    lines, trafos = spec.lines, spec.transformers
    yield from zip(lines.id, lines.from_bus, lines.to_bus, ["line"] * len(lines), lines.closed, strict=True)
    windings: dict[str, list[str]] = {name: [] for name in trafos.id}
    for name, bus in zip(spec.windings.transformer, spec.windings.bus, strict=True):
        windings[name].append(bus)
    for name, on in zip(trafos.id, trafos.in_service, strict=True):
        first, *others = windings[name]
        # The two halves of a centre-tapped winding share a bus.
        for other in dict.fromkeys(others):
            yield name, first, other, "transformer", bool(on)


def _spanning_tree(
    n: int, sources: NDArray[np.int64], branches: Branches, row_of: dict[str, int]
) -> tuple[list[int], NDArray[np.int64]]:
    """Buses in the order in which they are reached, and the upstream neighbour of each."""
    closed: list[list[int]] = [[] for _ in range(n)]
    opened: list[list[int]] = [[] for _ in range(n)]
    for a, b, is_open in zip(branches.from_bus, branches.to_bus, branches.is_open, strict=True):
        neighbours = opened if is_open else closed
        neighbours[row_of[a]].append(row_of[b])
        neighbours[row_of[b]].append(row_of[a])
    upstream = np.full(n, NO_BUS, dtype=np.int64)
    seen = [False] * n
    order: list[int] = []

    def reach(starts: Iterable[int]) -> None:
        """Everything that closed branches lead to, nearest first."""
        begin = len(order)
        for bus in starts:
            if not seen[bus]:
                seen[bus] = True
                order.append(bus)
        while begin < len(order):
            bus = order[begin]
            begin += 1
            for other in closed[bus]:
                if not seen[other]:
                    seen[other] = True
                    upstream[other] = bus
                    order.append(other)

    reach(sources.tolist())
    position, next_start = 0, 0
    while len(order) < n:
        if position < len(order):
            bus = order[position]
            position += 1
            for other in opened[bus]:
                if not seen[other]:
                    upstream[other] = bus
                    reach([other])
            continue
        while seen[next_start]:
            next_start += 1
        reach([next_start])
    return order, upstream


class _Choice(NamedTuple):
    """A way to lay a lateral beside its path."""

    price: tuple[int, ...]
    """Smaller is better, the first entries count most."""
    side: int
    """1 above the path, -1 below."""
    turn: int
    """-1 where the lateral is turned upside down."""
    shift: int
    """Columns from the bus that it leaves to its first one."""
    away: int
    """Rows from the path."""


@dataclass(kw_only=True)
class _Path:
    """A straight run of buses with the laterals that leave it."""

    buses: list[int]
    above: NDArray[np.int64]
    """Rows taken above each bus of the run, laterals included."""
    below: NDArray[np.int64]
    laterals: list[tuple[int, int, _Choice]] = field(default_factory=list)
    """First bus of each, place on this path where it leaves, how it lies."""
    head_sides: set[int] = field(default_factory=set)
    """Sides on which laterals leave the first bus."""

    def outline(self, side: int) -> NDArray[np.int64]:
        """Rows taken above (1) or below (-1) each bus."""
        return self.above if side > 0 else self.below


def _cells(order: list[int], upstream: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Column and row of every bus."""
    parent = upstream.tolist()
    children: list[list[int]] = [[] for _ in parent]
    for bus in order:
        if parent[bus] != NO_BUS:
            children[parent[bus]].append(bus)
    height, size = _heights(order, parent)
    paths: dict[int, _Path] = {}
    heads = [bus for bus in order if parent[bus] == NO_BUS]
    for head in heads:  # grows while it is read: laterals follow the path that they leave
        run = [head]
        while children[run[-1]]:
            first, *others = sorted(children[run[-1]], key=lambda bus: (-height[bus], -size[bus], bus))
            heads += others
            run.append(first)
        free = np.zeros(len(run), dtype=np.int64)
        paths[head] = _Path(buses=run, above=free, below=free.copy())
    for head in reversed(heads):
        _attach_laterals(paths[head], paths, children, height)
    cell = [(0, 0)] * len(parent)
    row = 0
    waiting: list[tuple[int, int, int, int]] = []
    for head in heads:
        if parent[head] == NO_BUS:
            # The first tree lies on row 0, further ones below it.
            path = paths[head]
            row = 0 if not waiting else row - _ROWS_BETWEEN_TREES - int(path.above.max())
            waiting.append((head, 0, row, 1))
            row -= int(path.below.max())
    while waiting:
        head, column, row, turn = waiting.pop()
        for i, bus in enumerate(paths[head].buses):
            cell[bus] = (column + i, row)
        for lateral, i, choice in paths[head].laterals:
            beside = row + turn * choice.side * choice.away
            waiting.append((lateral, column + i + choice.shift, beside, turn * choice.turn))
    return cell


def _heights(order: list[int], parent: list[int]) -> tuple[list[int], list[int]]:
    """Buses on the longest way from each bus to an end, and buses downstream of it."""
    height, size = [1] * len(parent), [1] * len(parent)
    for bus in reversed(order):
        if parent[bus] != NO_BUS:
            height[parent[bus]] = max(height[parent[bus]], height[bus] + 1)
            size[parent[bus]] += size[bus]
    return height, size


def _attach_laterals(path: _Path, paths: dict[int, _Path], children: list[list[int]], height: list[int]) -> None:
    """Lay the laterals of a path beside it, each where the drawing grows least, then where it is nearest.

    They come from the end of the path backwards, so the branch that leads to one never has to cross another. Of the
    laterals of one bus, the outermost on each side begins straight above or below it, the others a column further.
    """
    for i in range(len(path.buses) - 2, -1, -1):
        others = [bus for bus in children[path.buses[i]] if bus != path.buses[i + 1]]
        others.sort(key=lambda bus: (height[bus], bus))
        # Sides on which a lateral may begin straight above or below the bus: nothing can follow beyond that one.
        straight: set[int] = set()
        full: set[int] = set()
        for number, head in enumerate(others):
            if number == len(others) - 2:
                # The longest one, which comes last, keeps the side that suits it.
                straight = {-_best(path, paths[others[-1]], i, {1, -1}, full).side}
            elif number == len(others) - 1:
                straight = {1, -1}
            choice = _best(path, paths[head], i, straight, full)
            _attach(path, paths[head], head, i, choice)
            if choice.shift == 0:
                full.add(choice.side)


def _attach(path: _Path, lateral: _Path, head: int, i: int, choice: _Choice) -> None:
    """Put a lateral in its place and widen the outline of the path."""
    path.laterals.append((head, i, choice))
    if i == 0:
        path.head_sides.add(choice.side)
    outline = lateral.outline(choice.side * choice.turn)
    side = path.outline(choice.side)
    side[i] = max(int(side[i]), choice.away)
    taken = side[i + choice.shift : i + choice.shift + len(outline)]
    np.maximum(taken, choice.away + outline, out=taken)


def _best(path: _Path, lateral: _Path, i: int, straight: set[int], full: set[int]) -> _Choice:
    """How to lay a lateral that leaves at place `i`."""
    return min(_choices(path, lateral, i, straight, full), key=lambda choice: choice.price)


def _choices(path: _Path, lateral: _Path, i: int, straight: set[int], full: set[int]) -> Iterator[_Choice]:
    """Ways to lay a lateral that leaves at place `i`, on the sides that are not full."""
    for side in (1, -1):
        if side in full:
            continue
        taken = path.outline(side)
        for turn, shift in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            # What leaves the first bus towards the path would be in the way of the branch that comes from there.
            if shift == 0 and (side not in straight or -side * turn in lateral.head_sides):
                continue
            inner, outer = lateral.outline(-side * turn), lateral.outline(side * turn)
            away = _rows_away(taken, inner, i + shift)
            growth = max(0, away + int(outer.max()) - int(taken.max()))
            yield _Choice((growth, away, shift, int(taken.max())), side, turn, shift, away)


def _rows_away(side: NDArray[np.int64], inner: NDArray[np.int64], start: int) -> int:
    """Nearest row for a lateral that begins in a column; beside a longer one the next column stays free."""
    end = start + len(inner)
    beyond = side[end : end + 1] if len(inner) > 1 else side[:0]
    return 1 + max(int(np.max(side[start:end] + inner)), int(np.max(beyond, initial=0)))
