"""Fewest requests that read a set of points."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardware_in_loop.registers.points import MAX_READ_REGISTERS, Point, Table


@dataclass(frozen=True)
class Span:
    """One request: neighbouring addresses of a table."""

    table: Table
    address: int
    count: int
    points: tuple[Point, ...]

    def cut(self, registers: Sequence[int], point: Point) -> tuple[int, ...]:
        """The registers of a point out of those of the span."""
        first = point.address - self.address
        return tuple(registers[first : first + point.registers])


def spans(
    points: Iterable[Point], readable_holes: bool = False, max_registers: int = MAX_READ_REGISTERS
) -> tuple[Span, ...]:
    """The fewest reads that cover all points.

    Going through the points by address and beginning a new request only when the next point does not fit into the
    present one is optimal, as each request then reaches as far as any could.

    Args:
        readable_holes: addresses between the points may be read along.
        max_registers: of one request; at most 125. Single bits may be 16 times as many.
    """
    every = frozenset(points)
    found: list[Span] = []
    for table in Table:
        limit = min(16 * max_registers, table.max_read) if table.is_bits else max_registers
        chosen: list[Point] = []
        for point in sorted((p for p in every if p.table == table), key=lambda p: (p.address, p.end)):
            if chosen and not _fits(chosen, point, readable_holes, limit):
                found.append(_span(table, chosen))
                chosen = []
            chosen.append(point)
        if chosen:
            found.append(_span(table, chosen))
    return tuple(found)


def _fits(chosen: list[Point], point: Point, readable_holes: bool, limit: int) -> bool:
    reached = max(p.end for p in chosen)
    return (readable_holes or point.address <= reached) and max(reached, point.end) - chosen[0].address <= limit


def _span(table: Table, points: list[Point]) -> Span:
    first = points[0].address
    return Span(table, first, max(p.end for p in points) - first, tuple(points))
