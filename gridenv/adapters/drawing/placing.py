"""From cells to pixels: where buses, branches, devices and names go so that nothing covers anything else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridenv.adapters.drawing.layout import FeederLayout

Floats = NDArray[np.float64]
Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; downwards positive."""

_BOWS = (0.12, -0.12, 0.22, -0.22, 0.35, -0.35, 0.5, -0.5)
"""How far a tie bends away from the straight line, as a share of its length; the first that meets least is taken."""
_LENGTH_PRICE = 0.2
"""A curve may be a pixel shorter for this many pixels that it meets."""
_CURVE_POINTS = 24
MARKED = 1.4
"""Size of the marker of a bus outside the band, as a share of that of others."""
_BUS_SHARE, _LARGEST_BUS_SHARE = 0.2, 0.43
"""Radius of a bus as a share of its cell; the larger share only where buses would be hard to see."""
_SMALL_BUS_PX = 2.2
_SEARCH_RINGS = 8
_SHIFTS = (0.0, 0.5, -0.5, 1.1, -1.1, 1.7, -1.7, 2.4, -2.4, 3.3, -3.3)
"""Places of a device to the side of its bus, as shares of half its width."""
_NEAR = 5.0
"""A device keeps its text if it finds room for both within this many half widths of its bus."""


class Occupied:
    """Which pixels are taken."""

    def __init__(self, width: int, height: int, free: Box) -> None:
        """Everything outside the free box is taken."""
        self._taken = np.ones((height, width), dtype=bool)
        left, top, right, bottom = (round(edge) for edge in free)
        self._taken[top:bottom, left:right] = False

    def take(self, box: Box) -> None:
        """Mark a box."""
        left, top, right, bottom = box
        self._taken[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1] = True

    def take_line(self, points: Floats, half_width: float) -> None:
        """Mark a line [point, 2]."""
        for x, y in self._along(points, max(1.0, half_width)):
            self.take((x - half_width, y - half_width, x + half_width, y + half_width))

    def is_free(self, box: Box) -> bool:
        """Whether nothing in a box is taken; what reaches out of the picture is not free."""
        left, top, right, bottom = box
        if left < 0 or top < 0 or bottom >= self._taken.shape[0] or right >= self._taken.shape[1]:
            return False
        return not self._taken[int(top) : int(bottom) + 1, int(left) : int(right) + 1].any()

    def met_by(self, points: Floats) -> int:
        """Number of pixels taken along a line [point, 2]."""
        x, y = np.array(list(self._along(points, 1.0))).astype(int).T
        height, width = self._taken.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return int(np.count_nonzero(~inside)) * 2 + int(self._taken[y[inside], x[inside]].sum())

    @staticmethod
    def _along(points: Floats, step: float) -> Iterator[Point]:
        for (x0, y0), (x1, y1) in pairwise(points):
            n = max(1, int(np.hypot(x1 - x0, y1 - y0) / step))
            for share in np.linspace(0.0, 1.0, n + 1):
                yield x0 + share * (x1 - x0), y0 + share * (y1 - y0)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The cells of a layout in a box of the picture."""

    bus_px: Floats
    """[bus, 2]"""
    cell_px: Point
    """Width and height of a cell."""
    radius_px: float
    """Of a bus."""

    @classmethod
    def of(cls, layout: FeederLayout, box: Box, largest_radius_px: float, largest_cell_px: float) -> "Grid":
        """Fit a layout into a box, with room for half a cell all around."""
        left, top, right, bottom = box
        low, high = layout.position.min(axis=0), layout.position.max(axis=0)
        columns, rows = (high - low) + 1.0
        cell = (min(largest_cell_px, (right - left) / columns), min(largest_cell_px, (bottom - top) / rows))
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        away = (layout.position - (low + high) / 2) * np.array([cell[0], -cell[1]])
        radius = min(max(_BUS_SHARE * min(cell), min(_SMALL_BUS_PX, _LARGEST_BUS_SHARE * min(cell))), largest_radius_px)
        return cls(bus_px=middle + away, cell_px=cell, radius_px=radius)


def routes(layout: FeederLayout, grid: Grid, pairs: Sequence[tuple[int, int]], occupied: Occupied) -> list[Floats]:
    """A line [point, 2] for every pair of buses, from the first to the second; marks what they take.

    The tree has right angles; other branches are curves that avoid what is there.
    """
    half = 0.5 * grid.radius_px
    for x, y in grid.bus_px:
        reach = MARKED * grid.radius_px + 1.0
        occupied.take((x - reach, y - reach, x + reach, y + reach))
    found: list[Floats | None] = [None] * len(pairs)
    for i, (a, b) in enumerate(pairs):
        if layout.is_tree_branch(a, b):
            is_downstream = layout.upstream[b] == a
            up, down = grid.bus_px[[a, b]] if is_downstream else grid.bus_px[[b, a]]
            line = np.array([up, down] if (up == down).any() else [up, (up[0], down[1]), down])
            occupied.take_line(line, half)
            found[i] = line if is_downstream else line[::-1]
    for i, (a, b) in enumerate(pairs):
        if found[i] is None:
            curves = [_curve(grid.bus_px[a], grid.bus_px[b], bow) for bow in _BOWS]
            found[i] = curve = min(curves, key=lambda line: occupied.met_by(line) + _LENGTH_PRICE * _length(line))
            occupied.take_line(curve, half)
    return [line for line in found if line is not None]


def _curve(a: Floats, b: Floats, bow: float) -> Floats:
    """Quadratic Bezier curve [point, 2]."""
    across = np.array([b[1] - a[1], a[0] - b[0]])
    control = (a + b) / 2 + 2.0 * bow * across
    share = np.linspace(0.0, 1.0, _CURVE_POINTS)[:, None]
    curve: Floats = (1 - share) ** 2 * a + 2 * share * (1 - share) * control + share**2 * b
    return curve


def _length(line: Floats) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


class Middle(NamedTuple):
    """Where a branch has its symbol."""

    place: Point
    angle_rad: float
    """Direction of the branch there."""
    length_px: float
    """Of the piece around it."""


def middle_of(line: Floats) -> Middle:
    """Middle of the piece of a tree branch that lies in the row, or of a curve."""
    if len(line) <= 3:  # a right angle: the piece along the row
        pieces = np.diff(line, axis=0)
        i = int(np.argmax(np.abs(pieces[:, 0])))
        start, end = line[i], line[i + 1]
        length = float(np.hypot(*(end - start)))
    else:
        i = len(line) // 2
        start, end = line[i - 1], line[i]
        length = _length(line)
    x, y = (start + end) / 2
    return Middle((float(x), float(y)), float(np.arctan2(end[1] - start[1], end[0] - start[0])), length)


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Place of a device."""

    center: Point
    text: Point | None
    """Centre of what is written on the far side of the device; None where there is no room."""


def device_spots(
    grid: Grid,
    buses: Sequence[int],
    text_width_px: Sequence[float],
    half_px: float,
    text_height_px: float,
    occupied: Occupied,
) -> list[Spot]:
    """A place for every device near its bus, with its text if there is room close by; marks what they take.

    Args:
        grid: of the buses.
        buses: of the devices.
        text_width_px: of what is written; 0 = nothing.
        half_px: half the width of a device.
        text_height_px: of what is written.
        occupied: what is taken.
    """
    spots = []
    for bus, width in zip(buses, text_width_px, strict=True):
        at, found, height = grid.bus_px[bus], None, text_height_px
        half_width = max(width / 2, half_px)
        if width > 0:
            found = _free_place(at, grid, (half_width, half_px, height), occupied, farthest_px=_NEAR * half_px)
        if found is None:
            half_width, height = half_px, 0.0
            found = _free_place(at, grid, (half_px, half_px, 0.0), occupied)
        # Where there is no room anywhere near: better covered than left out.
        x, y = found or (float(at[0]), float(at[1]) - grid.radius_px - half_px)
        top, bottom = _reach(y - float(at[1]), half_px, height)
        occupied.take((x - half_width - 2, y - top - 2, x + half_width + 2, y + bottom + 2))
        text_y = y + (bottom + half_px) / 2 if bottom > top else y - (top + half_px) / 2
        spots.append(Spot(center=(x, y), text=(x, text_y) if height > 0 else None))
    return spots


def _reach(dy: float, half: float, text_height: float) -> Point:
    """How far a device reaches up and down from its centre: the text is on the side away from the bus."""
    return (half + text_height, half) if dy < 0 else (half, half + text_height)


def _free_place(
    at: Floats, grid: Grid, extent: tuple[float, float, float], occupied: Occupied, farthest_px: float = np.inf
) -> Point | None:
    """Nearest free place around a bus for a device.

    Args:
        at: the bus.
        grid: of the buses.
        extent: half the width of device and text, half the height of the device, height of the text.
        occupied: what is taken.
        farthest_px: how far away is too far.
    """
    half_width, half, text_height = extent
    gap = MARKED * grid.radius_px + 3.5
    places: list[Point] = []
    for ring in range(_SEARCH_RINGS):
        away = gap + half + 0.6 * ring * (2 * half + text_height)
        wider = half_width * max(1.0, 0.5 * ring)
        for shift in _SHIFTS:
            places += [(shift * width, dy) for width in (half_width, wider) for dy in (-away, away)]
        along = gap + half_width * (1 + ring)
        places += [(along, 0.0), (-along, 0.0)]
    for dx, dy in sorted(places, key=lambda place: round(float(np.hypot(*place)), 3)):
        if np.hypot(dx, dy) > gap + farthest_px:
            return None
        x, y = float(at[0]) + dx, float(at[1]) + dy
        top, bottom = _reach(dy, half, text_height)
        if occupied.is_free((x - half_width - 1, y - top - 1, x + half_width + 1, y + bottom + 1)):
            return x, y
    return None


def name_spots(
    grid: Grid, width_px: Mapping[int, float], height_px: float, occupied: Occupied, *, beside: bool
) -> dict[int, Point]:
    """Centres of the names of the buses that have room for theirs; marks what they take.

    Args:
        grid: of the buses.
        width_px: of the name of a bus; those come first whose names matter most.
        height_px: of a name.
        occupied: what is taken.
        beside: leave the room above and below a bus to devices where possible.
    """
    spots = {}
    reach = MARKED * grid.radius_px
    for bus, width in width_px.items():
        x, y = grid.bus_px[bus]
        half_w, half_h = width / 2, height_px / 2
        away, aside = reach + half_h + 2.0, reach + half_w + 3.0
        corner = 0.8 * reach + half_w + 1.0
        middle, corners = [(0.0, away), (0.0, -away)], [(corner, away), (corner, -away), (-corner, away)]
        sides = [(aside, 0.0), (-aside, 0.0), (-corner, -away)]
        for dx, dy in [*corners, *sides, *middle] if beside else [*middle, *corners, *sides]:
            box = (x + dx - half_w - 1, y + dy - half_h, x + dx + half_w + 1, y + dy + half_h)
            if occupied.is_free(box):
                occupied.take(box)
                spots[bus] = (float(x + dx), float(y + dy))
                break
    return spots


def overlaps(a: Box, b: Box) -> bool:
    """Whether two boxes have a point in common."""
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
