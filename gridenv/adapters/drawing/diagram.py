"""The one-line diagram of a picture: branches, buses and devices at their places, updated from scene to scene."""

from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from numpy.typing import NDArray

from gridenv.adapters.drawing import colours, glyphs
from gridenv.adapters.drawing.arrows import arrow_spot, arrows_along, triangle
from gridenv.adapters.drawing.devices import DeviceLayer
from gridenv.adapters.drawing.layout import FeederLayout
from gridenv.adapters.drawing.placing import (
    MARKED,
    Box,
    Grid,
    Middle,
    Occupied,
    Point,
    middle_of,
    name_spots,
    overlaps,
    routes,
)
from gridenv.adapters.drawing.scene import N_PHASE, Floats, Scene
from gridenv.adapters.drawing.sheet import Sheet, line_points, mark_sizes
from gridenv.core.units import PERCENT

_NAME_SIZE, _NOTE_SIZE = 8.5, 9.0
_LARGEST_BUS, _LARGEST_CELL = 8.5, 120.0
_MARKED_PIE = 1.2
"""Size of a bus with three sectors outside the band, as a share of that of others."""
_SMALLEST_SHAPE_PX = 3.0
"""A bus with a smaller radius is a plain dot; its colour tells all."""
_SMALLEST_PIE_PX = 4.5
"""A bus with a smaller radius shows its worst phase in place of three sectors."""
_MOST_NAMED_BUSES = 400
_WIDEST_NOTE = "188 %"
_NOTES = 6
"""Overloaded branches whose loading is written out, the worst ones first."""
_ARROW_SPACING = 62.0
"""Least distance of arrows that point the same way along a run."""


@dataclass(frozen=True, kw_only=True)
class Wires:
    """Pairs of buses that are joined; parallel branches are drawn as one."""

    pairs: list[tuple[int, int]]
    group: NDArray[np.int64]
    """[branch] pair of every branch."""
    sign: Floats
    """[branch] -1 where a branch runs against its pair."""
    kind: list[str]
    """[pair]"""

    @classmethod
    def of(cls, scene: Scene, layout: FeederLayout) -> "Wires":
        """Pairs in the order of their first branches."""
        number: dict[frozenset[int], int] = {}
        pairs: list[tuple[int, int]] = []
        kind, group, sign = [], [], []
        branches = scene.branches
        for a, b, what in zip(branches.from_bus, branches.to_bus, branches.kind, strict=True):
            pair = layout.row_of[a], layout.row_of[b]
            i = number.setdefault(frozenset(pair), len(pairs))
            if i == len(pairs):
                pairs.append(pair)
                kind.append(what)
            group.append(i)
            sign.append(1.0 if pairs[i] == pair else -1.0)
        return cls(pairs=pairs, group=np.array(group, dtype=np.int64), sign=np.array(sign), kind=kind)

    def is_open(self, scene: Scene) -> NDArray[np.bool_]:
        """[pair] whether all branches of a pair are open."""
        closed = np.zeros(len(self.pairs), dtype=bool)
        closed[self.group[~scene.branches.is_open]] = True
        return ~closed

    def loading(self, scene: Scene) -> Floats:
        """[pair] the largest of the closed branches; NaN where none is known."""
        values = np.asarray(scene.loading, float)
        known = ~scene.branches.is_open & np.isfinite(values)
        largest = np.full(len(self.pairs), -np.inf)
        np.maximum.at(largest, self.group[known], values[known])
        return np.where(np.isfinite(largest), largest, np.nan)

    def p_kw(self, scene: Scene) -> Floats:
        """[pair] power from the first to the second bus of a pair; 0 where none is given."""
        total = np.zeros(len(self.pairs))
        if scene.branch_p_kw is not None:
            values = np.nan_to_num(np.asarray(scene.branch_p_kw, float)) * self.sign
            np.add.at(total, self.group, np.where(scene.branches.is_open, 0.0, values))
        return total


class Diagram:
    """Branches, buses and devices; `moving` is to be drawn in its order after every `update`."""

    def __init__(self, sheet: Sheet, layout: FeederLayout, scene: Scene, box: Box) -> None:
        self._sheet = sheet
        left, top, right, bottom = box
        inner = (left + sheet.px(26), top, right - sheet.px(4), bottom)  # room for the source on the left
        self._grid = Grid.of(layout, inner, sheet.px(_LARGEST_BUS), sheet.px(_LARGEST_CELL))
        self._wires = Wires.of(scene, layout)
        occupied = Occupied(sheet.width, sheet.height, box)
        self._lines = routes(layout, self._grid, self._wires.pairs, occupied)
        self._middles = [middle_of(line) for line in self._lines]
        self._draw_sources(layout, occupied)
        self.has_pies = np.ndim(scene.v_pu) > 1 and self._grid.radius_px >= _SMALLEST_PIE_PX
        at_devices = list(dict.fromkeys(layout.row_of[d.bus] for d in scene.devices))
        self._name_buses(layout, at_devices, occupied, beside=True)
        self._devices = DeviceLayer(sheet, self._grid, layout, scene.devices, occupied)
        self._name_buses(layout, self._naming_order(layout, at_devices), occupied, beside=False)
        self._note_spots = [self._note_spot(middle, occupied) for middle in self._middles]
        self._make_wires()
        symbols = dict(zip(self._symbol_pairs, self._symbol_sizes, strict=True))
        self._arrow_spots = [
            arrow_spot(middle, kind, symbols.get(i, 0.0), self._grid.radius_px)
            for i, (middle, kind) in enumerate(zip(self._middles, self._wires.kind, strict=True))
        ]
        self._make_buses()
        self.moving: list[Artist] = [
            *(self._casing, self._closed, self._open, self._symbols, self._arrows),
            *(self._buses, self._pies),
            *self._devices.moving,
        ]

    @property
    def has_arrows(self) -> bool:
        """Whether there is room to show the direction of power."""
        return any(spot.length_px >= self._least_for_arrow for spot in self._arrow_spots)

    @property
    def _least_for_arrow(self) -> float:
        return 2 * self._grid.radius_px + self._sheet.px(9)

    def _draw_sources(self, layout: FeederLayout, occupied: Occupied) -> None:
        """A thick bar on the left of every bus with a source."""
        px, radius = self._sheet.px, self._grid.radius_px
        for x, y in self._grid.bus_px[layout.sources]:
            bar, tall = x - radius - px(13), px(11)
            self._sheet.lines([np.array([(bar, y), (x, y)])], widths_px=px(2), color=colours.INK)
            self._sheet.lines(
                [np.array([(bar, y - tall), (bar, y + tall)])], widths_px=px(4), color=colours.INK, capstyle="butt"
            )
            self._sheet.text((bar, y - tall - px(6)), "grid", size=_NAME_SIZE, align="center", colour=colours.GREY)
            occupied.take((bar - px(12), y - tall - px(12), x, y + tall))

    def _naming_order(self, layout: FeederLayout, named: list[int]) -> list[int]:
        """Buses without a name, ends and forks first; in large networks none but those with a source."""
        n = len(layout.bus_names)
        sources = set(layout.sources.tolist())
        if n > _MOST_NAMED_BUSES:
            return [bus for bus in sources if bus not in named]
        degree = np.zeros(n, dtype=int)
        for pair in self._wires.pairs:
            degree[list(pair)] += 1
        others = set(range(n)) - set(named)
        return sorted(others, key=lambda bus: (bus not in sources, degree[bus] == 2, bus))

    def _name_buses(self, layout: FeederLayout, order: list[int], occupied: Occupied, *, beside: bool) -> None:
        """Write the names for which there is room."""
        sheet = self._sheet
        widths = {bus: sheet.text_width(layout.bus_names[bus], _NAME_SIZE) for bus in order}
        spots = name_spots(self._grid, widths, sheet.px(_NAME_SIZE), occupied, beside=beside)
        for bus, place in spots.items():
            sheet.text(place, layout.bus_names[bus], size=_NAME_SIZE, align="center", colour=colours.GREY)

    def _note_spot(self, middle: Middle, occupied: Occupied) -> Point | None:
        """Where the loading of a branch can be written."""
        half_w, half_h = self._sheet.text_width(_WIDEST_NOTE, _NOTE_SIZE, bold=True) / 2, self._sheet.px(_NOTE_SIZE) / 2
        x, y = middle.place
        for far in (1.0, 1.8, 2.6):
            away = far * self._sheet.px(11)
            for place in ((x, y - away), (x, y + away), (x + half_w + away, y), (x - half_w - away, y)):
                left, top = place[0] - half_w, place[1] - half_h
                if occupied.is_free((left, top, left + 2 * half_w, top + 2 * half_h)):
                    return place
        return None

    def _make_wires(self) -> None:
        sheet, wires = self._sheet, self._wires
        self._casing = sheet.lines(moving=True, color=colours.OVERLOAD, capstyle="round", joinstyle="round")
        self._closed = sheet.lines(moving=True, capstyle="round", joinstyle="round")
        self._open = sheet.lines(
            moving=True, widths_px=sheet.px(1.3), color=colours.GREY, linestyle=(0, (3.5, 2.5)), capstyle="butt"
        )
        self._arrows = sheet.areas(moving=True, facecolor=colours.PAPER, edgecolor=colours.INK, edge_px=sheet.px(0.8))
        shown = [i for i, kind in enumerate(wires.kind) if kind != "line"]
        paths, sizes = [], []
        for i in shown:
            is_upright = abs(np.sin(self._middles[i].angle_rad)) > abs(np.cos(self._middles[i].angle_rad))
            is_switch = wires.kind[i] == "switch"
            upright = glyphs.TRANSFORMER_UPRIGHT if is_upright else glyphs.TRANSFORMER
            paths.append(glyphs.BOX if is_switch else upright)
            sizes.append(sheet.px(3.2) if is_switch else min(sheet.px(8.0), max(4.0, 0.22 * self._grid.cell_px[0])))
        self._symbol_pairs, self._symbol_sizes = shown, sizes
        self._symbols = sheet.marks(
            paths or [glyphs.BOX],
            [self._middles[i].place for i in shown],
            sizes or [1.0],
            moving=True,
            edge_px=sheet.px(1.3),
            edgecolor=colours.INK,
        )
        self._notes = [sheet.text((0.0, 0.0), size=_NOTE_SIZE, align="center", bold=True) for _ in range(_NOTES)]

    def _make_buses(self) -> None:
        self._buses = self._sheet.marks([glyphs.IN_BAND], self._grid.bus_px, self._grid.radius_px, moving=True)
        self._pies = self._sheet.marks([glyphs.IN_BAND], [], self._grid.radius_px, edge_px=0.0, moving=True)

    def update(self, scene: Scene) -> None:
        """Show another scene of the same structure."""
        worst = scene.worst_v_pu
        self._update_wires(scene, np.isnan(worst))
        self._update_buses(scene, worst)
        self._devices.update(scene.devices)

    def _update_wires(self, scene: Scene, is_dead: NDArray[np.bool_]) -> None:
        px, wires = self._sheet.px, self._wires
        is_open, loading, p_kw = wires.is_open(scene), wires.loading(scene), wires.p_kw(scene)
        dead = np.array([is_dead[a] and is_dead[b] for a, b in wires.pairs], dtype=bool)
        thickest = min(px(6.5), max(2.2, 0.3 * min(self._grid.cell_px)))
        widths = colours.line_widths(loading, min(px(1.5), 0.6 * thickest), thickest)
        shades = colours.line_colours(loading)
        over = ~is_open & ~dead & (np.nan_to_num(loading) > 1.0)
        shades[over], shades[dead] = (0.0, 0.0, 0.0, 1.0), colours.voltage_colours(np.array([np.nan]))[0]
        closed = np.flatnonzero(~is_open)
        self._closed.set_segments([self._lines[i] for i in closed])
        self._closed.set_linewidth(line_points(widths[closed]))
        self._closed.set_color(shades[closed].tolist())
        self._casing.set_segments([self._lines[i] for i in np.flatnonzero(over)])
        self._casing.set_linewidth(line_points(widths[over] + max(px(6.0), 3.0)))
        self._open.set_segments([self._lines[i] for i in np.flatnonzero(is_open)])
        faces = [colours.PAPER if wires.kind[i] != "switch" or is_open[i] else colours.INK for i in self._symbol_pairs]
        self._symbols.set_facecolor(faces)
        self._arrows.set_verts(self._arrow_shapes(np.where(dead, 0.0, p_kw)))
        self._write_notes(np.where(over, loading, 0.0))

    def _arrow_shapes(self, p_kw: Floats) -> list[Floats]:
        """Small triangles that point along the power."""
        size = min(self._sheet.px(4.2), max(2.2, 0.45 * min(self._grid.cell_px)))
        arrows = arrows_along(self._arrow_spots, p_kw, self._sheet.px(_ARROW_SPACING), self._least_for_arrow)
        return [triangle(place, turn, size) for place, turn in arrows]

    def _write_notes(self, overload: Floats) -> None:
        """Loadings of the worst overloaded branches, those that have room."""
        half_w, half_h = self._sheet.text_width(_WIDEST_NOTE, _NOTE_SIZE, bold=True) / 2, self._sheet.px(_NOTE_SIZE) / 2
        taken: list[Box] = []
        unused = list(self._notes)
        for i in np.argsort(-overload, kind="stable"):
            spot = self._note_spots[i]
            if overload[i] <= 0.0 or not unused:
                break
            if spot is None:
                continue
            box = (spot[0] - half_w, spot[1] - half_h, spot[0] + half_w, spot[1] + half_h)
            if any(overlaps(box, other) for other in taken):
                continue
            taken.append(box)
            note = unused.pop(0)
            note.place = spot
            note.text = f"{PERCENT * overload[i]:.0f} %"
        for note in unused:
            note.text = ""

    def _update_buses(self, scene: Scene, worst: Floats) -> None:
        radius = self._grid.radius_px
        outside = colours.is_outside_band(worst)
        edge = max(0.5, min(self._sheet.px(1.1), 0.2 * radius))
        self._buses.set_linewidth(line_points(np.where(outside, 1.6 * edge, edge)))
        self._buses.set_edgecolor([colours.INK if o else colours.GREY for o in outside])
        if self.has_pies:
            self._buses.set_facecolor([colours.NO_SUPPLY if np.isnan(v) else colours.PAPER for v in worst])
            sizes = np.where(outside, _MARKED_PIE * radius, radius)
            self._buses.set_sizes(mark_sizes(sizes))
            bus, phase = np.nonzero(np.isfinite(scene.phase_v_pu))
            self._pies.set_offsets(self._grid.bus_px[bus])
            self._pies.set_paths([glyphs.wedge(int(p), N_PHASE) for p in phase])
            self._pies.set_sizes(mark_sizes(sizes[bus] - edge))
            self._pies.set_facecolor(colours.voltage_colours(scene.phase_v_pu[bus, phase]).tolist())
            return
        if radius < _SMALLEST_SHAPE_PX:
            faces = colours.voltage_colours(worst)
            self._buses.set_linewidth(line_points(np.where(outside, 0.0, edge)))
            self._buses.set_facecolor(faces.tolist())
            return
        shapes = np.where(worst < 1.0, 1, 2) * outside
        self._buses.set_paths([(glyphs.IN_BAND, glyphs.TOO_LOW, glyphs.TOO_HIGH)[shape] for shape in shapes])
        self._buses.set_sizes(mark_sizes(np.where(outside, MARKED * radius, radius)))
        self._buses.set_facecolor(colours.voltage_colours(worst).tolist())
