"""The devices of a diagram: a box with a symbol beside the bus, filled as far as its level."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from gridenv.adapters.drawing import colours, glyphs
from gridenv.adapters.drawing.layout import FeederLayout
from gridenv.adapters.drawing.placing import Grid, Occupied, device_spots
from gridenv.adapters.drawing.scene import DeviceMark
from gridenv.adapters.drawing.sheet import Sheet, rectangle

TEXT_SIZE = 8.5
_SMALLEST_BOX, _LARGEST_BOX = 6.5, 10.0
_WIDEST_POWER = "−88.8 kW"
_SYMBOL_SHARE = 0.72
_FILL_SHARE = 0.45
_FADED_SHARE = 0.3


class DeviceLayer:
    """Boxes, symbols, levels and values; `moving` is to be drawn in its order after every `update`."""

    def __init__(
        self, sheet: Sheet, grid: Grid, layout: FeederLayout, devices: Sequence[DeviceMark], occupied: Occupied
    ) -> None:
        self._half = float(np.clip(0.3 * min(grid.cell_px), sheet.px(_SMALLEST_BOX), sheet.px(_LARGEST_BOX)))
        buses = [layout.row_of[d.bus] for d in devices]
        widths = [self._text_width(sheet, d) for d in devices]
        spots = device_spots(grid, buses, widths, self._half, sheet.px(TEXT_SIZE) + 4, occupied)
        self._places = np.array([spot.center for spot in spots]).reshape(-1, 2)
        leaders = [np.array([grid.bus_px[bus], spot.center]) for bus, spot in zip(buses, spots, strict=True)]
        sheet.lines(leaders, widths_px=sheet.px(1.0), color=colours.FAINT)
        self._kinds = [d.kind for d in devices]
        shades = [colours.kind_colour(kind) for kind in self._kinds]
        boxes = [glyphs.BATTERY if kind == "battery" else glyphs.BOX for kind in self._kinds]
        self._paper = sheet.marks(
            boxes or [glyphs.BOX], self._places, self._half, moving=True, edge_px=0.0, facecolor=colours.PAPER
        )
        self._levels = sheet.areas(moving=True, facecolor=[_mixed(shade, _FILL_SHARE) for shade in shades] or "none")
        self._frames = sheet.marks(
            boxes or [glyphs.BOX], self._places, self._half, moving=True, edge_px=sheet.px(1.3), facecolor="none"
        )
        self._symbols = _symbols(sheet, self._kinds, self._places, self._half * _SYMBOL_SHARE)
        self._texts = [
            None if spot.text is None else sheet.text(spot.text, size=TEXT_SIZE, align="center") for spot in spots
        ]
        self.moving: list[Artist] = [
            *(self._paper, self._levels, self._frames, *self._symbols),
        ]

    @staticmethod
    def _text_width(sheet: Sheet, device: DeviceMark) -> float:
        if device.p_kw is None and not device.text:
            return 0.0
        return max(sheet.text_width(text, TEXT_SIZE) for text in (_WIDEST_POWER, device.label))

    def update(self, devices: Sequence[DeviceMark]) -> None:
        """Show other levels and powers of the same devices."""
        if not devices:
            return
        levels = np.array([0.0 if d.level is None else d.level for d in devices])
        is_away = np.isnan(levels)
        self._levels.set_verts([self._level(x, y, level) for (x, y), level in zip(self._places, levels, strict=True)])
        shades = [
            _mixed(colours.kind_colour(kind), _FADED_SHARE if away else 1.0)
            for kind, away in zip(self._kinds, is_away, strict=True)
        ]
        self._frames.set_edgecolor(shades)
        strokes, fills = self._symbols
        inks = [_mixed(colours.INK, _FADED_SHARE if away else 1.0) for away in is_away]
        strokes.set_edgecolor(inks)
        fills.set_facecolor(inks)
        for text, device in zip(self._texts, devices, strict=True):
            if text is not None:
                text.text = device.label

    def _level(self, x: float, y: float, level: float) -> NDArray[np.float64]:
        half = self._half
        height = 2.0 * half * float(np.clip(np.nan_to_num(level), 0.0, 1.0))
        return rectangle(x - half, y + half - height, x + half, y + half)


def draw_device(sheet: Sheet, kind: str, place: tuple[float, float], half_px: float) -> None:
    """A device half full, as the legend shows it."""
    x, y = place
    shade = colours.kind_colour(kind)
    box = [glyphs.BATTERY if kind == "battery" else glyphs.BOX]
    sheet.areas([rectangle(x - half_px, y, x + half_px, y + half_px)], facecolor=_mixed(shade, _FILL_SHARE))
    sheet.marks(box, [place], half_px, edge_px=sheet.px(1.3), facecolor="none", edgecolor=shade)
    for mark in _symbols(sheet, [kind], np.array([place]), half_px * _SYMBOL_SHARE, moving=False):
        mark.set_zorder(3)


def _symbols(
    sheet: Sheet, kinds: Sequence[str], places: NDArray[np.float64], radius_px: float, moving: bool = True
) -> tuple[PathCollection, PathCollection]:
    """Symbols as lines and as filled areas."""
    found = [glyphs.glyph(kind) for kind in kinds]
    strokes = [glyph.stroke or glyphs.NOTHING for glyph in found] or [glyphs.NOTHING]
    fills = [glyph.fill or glyphs.NOTHING for glyph in found] or [glyphs.NOTHING]
    line = sheet.marks(
        strokes, places, radius_px, moving=moving, edge_px=sheet.px(1.2), facecolor="none", edgecolor=colours.INK
    )
    area = sheet.marks(fills, places, radius_px, moving=moving, edge_px=0.0, facecolor=colours.INK)
    return line, area


def _mixed(colour: str, share: float) -> tuple[float, float, float]:
    """A colour thinned with white."""
    red, green, blue = (share * part + 1.0 - share for part in to_rgb(colour))
    return red, green, blue
