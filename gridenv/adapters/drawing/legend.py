"""The legend of a picture, in as many rows as it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gridenv.adapters.drawing import colours, glyphs
from gridenv.adapters.drawing.devices import draw_device
from gridenv.adapters.drawing.scene import N_PHASE
from gridenv.adapters.drawing.sheet import Sheet, rectangle
from gridenv.tasks.terms import V_BAND_HIGH_PU, V_BAND_LOW_PU

_SIZE = 9.0
_ROW_HEIGHT = 25.0
_GAP = 16.0
_BAR_WIDTH, _BAR_PIECES = 170.0, 120


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A sign with its explanation."""

    sign_px: float
    """Width of the sign."""
    text: str
    draw: Callable[[float, float], None]
    """Draws the sign with its left end at (x, y)."""


class Legend:
    """What the signs of a picture mean."""

    def __init__(self, sheet: Sheet, kinds: Sequence[str], *, has_arrows: bool, has_pies: bool) -> None:
        self._sheet = sheet
        self._items, n_sign = self._all_items(kinds, has_arrows=has_arrows, has_pies=has_pies)
        self._first_device = self._items[n_sign] if kinds else None

    def rows(self, width: float) -> list[list["_Item"]]:
        """Items row by row."""
        rows: list[list[_Item]] = [[]]
        used = 0.0
        total = sum(self._width(item) + self._sheet.px(_GAP) for item in self._items)
        for item in self._items:
            # Devices begin a row of their own unless all fits in one.
            if item is self._first_device and total > width:
                rows.append([])
                used = 0.0
            needed = self._width(item)
            if rows[-1] and used + needed > width:
                rows.append([])
                used = 0.0
            rows[-1].append(item)
            used += needed + self._sheet.px(_GAP)
        return rows

    def height(self, width: float) -> float:
        """Pixels that it needs in a picture of this width."""
        return len(self.rows(width)) * self._sheet.px(_ROW_HEIGHT)

    def draw(self, left: float, top: float, width: float) -> None:
        """Draw it once, it does not move."""
        px = self._sheet.px
        for i, row in enumerate(self.rows(width)):
            x, y = left, top + (i + 0.5) * px(_ROW_HEIGHT)
            for item in row:
                item.draw(x, y)
                self._sheet.text((x + item.sign_px + px(5), y), item.text, size=_SIZE)
                x += self._width(item) + px(_GAP)

    def _width(self, item: _Item) -> float:
        return item.sign_px + self._sheet.px(5) + self._sheet.text_width(item.text, _SIZE)

    def _all_items(self, kinds: Sequence[str], *, has_arrows: bool, has_pies: bool) -> tuple[list[_Item], int]:
        px = self._sheet.px
        items = [_Item(sign_px=px(_BAR_WIDTH + 8), text="pu", draw=self._voltage_bar)]
        if has_pies:
            items.append(_Item(sign_px=px(14), text="phases a, b, c clockwise", draw=self._pie))
        else:
            marks = ((glyphs.TOO_LOW, f"< {V_BAND_LOW_PU}", 0.93), (glyphs.TOO_HIGH, f"> {V_BAND_HIGH_PU}", 1.07))
            for path, text, v_pu in marks:
                items.append(_Item(sign_px=px(13), text=text, draw=self._mark(path, v_pu, 6.5)))
        items.append(_Item(sign_px=px(12), text="no supply", draw=self._mark(glyphs.IN_BAND, np.nan, 5.5)))
        items.append(_Item(sign_px=px(58), text="loading 0 to 100 %", draw=self._loading))
        items.append(_Item(sign_px=px(28), text="overloaded", draw=self._overload))
        items.append(_Item(sign_px=px(28), text="open", draw=self._open))
        if has_arrows:
            items.append(_Item(sign_px=px(28), text="direction of power", draw=self._arrow))
        devices = (_Item(sign_px=px(17), text=_kind_text(k), draw=self._device(k)) for k in dict.fromkeys(kinds))
        return [*items, *devices], len(items)

    def _voltage_bar(self, x: float, y: float) -> None:
        sheet, px = self._sheet, self._sheet.px
        x += px(8)
        v = np.linspace(colours.V_LOW_END_PU, colours.V_HIGH_END_PU, _BAR_PIECES + 1)
        at = x + np.linspace(0.0, px(_BAR_WIDTH - 8), _BAR_PIECES + 1)
        top, bottom = y - px(9), y - px(1)
        pieces = [rectangle(a, top, b + 0.5, bottom) for a, b in pairwise(at)]
        sheet.areas(pieces, facecolor=colours.voltage_colours((v[:-1] + v[1:]) / 2))
        sheet.areas(
            [rectangle(at[0], top, at[-1], bottom)], facecolor="none", edgecolor=colours.GREY, edge_px=px(0.7), zorder=3
        )
        for value in (colours.V_LOW_END_PU, V_BAND_LOW_PU, 1.0, V_BAND_HIGH_PU, colours.V_HIGH_END_PU):
            place = float(np.interp(value, v, at))
            sheet.lines([np.array([(place, top), (place, bottom + px(2))])], color=colours.INK, zorder=4)
            sheet.text((place, bottom + px(7)), f"{value:.2f}", size=8.0, align="center", colour=colours.GREY)

    def _mark(self, path: glyphs.Path, v_pu: float, radius: float) -> Callable[[float, float], None]:
        def draw(x: float, y: float) -> None:
            px = self._sheet.px
            edge = colours.GREY if np.isnan(v_pu) else colours.INK
            face = colours.voltage_colours(np.array([v_pu]))
            self._sheet.marks([path], [(x + px(6), y)], px(radius), edge_px=px(1.4), facecolor=face, edgecolor=edge)

        return draw

    def _pie(self, x: float, y: float) -> None:
        px = self._sheet.px
        wedges = [glyphs.wedge(phase, N_PHASE) for phase in range(N_PHASE)]
        at = [(x + px(7), y)] * N_PHASE
        faces = colours.voltage_colours(np.array([0.93, 1.0, 1.07]))
        self._sheet.marks(wedges, at, px(7.0), edge_px=px(0.8), facecolor=faces, edgecolor=colours.INK)

    def _loading(self, x: float, y: float) -> None:
        px = self._sheet.px
        at, shares = np.linspace(0.0, px(58), _BAR_PIECES + 1), np.linspace(0.0, 1.0, _BAR_PIECES + 1)
        half = colours.line_widths(shares, px(1.5), px(6.5)) / 2
        pieces = [
            np.array([(x + a, y - h), (x + b + 0.5, y - k), (x + b + 0.5, y + k), (x + a, y + h)])
            for (a, b), (h, k) in zip(pairwise(at), pairwise(half), strict=True)
        ]
        self._sheet.areas(pieces, facecolor=colours.line_colours(shares[:-1]))

    def _overload(self, x: float, y: float) -> None:
        px = self._sheet.px
        line = [np.array([(x + px(4), y), (x + px(24), y)])]
        self._sheet.lines(line, widths_px=px(11.0), color=colours.OVERLOAD, capstyle="round")
        self._sheet.lines(line, widths_px=px(5.0), color="black", capstyle="round", zorder=3)

    def _open(self, x: float, y: float) -> None:
        px = self._sheet.px
        line = [np.array([(x, y), (x + px(28), y)])]
        self._sheet.lines(line, widths_px=px(1.3), color=colours.GREY, linestyle=(0, (3.5, 2.5)))

    def _arrow(self, x: float, y: float) -> None:
        px = self._sheet.px
        self._sheet.lines([np.array([(x, y), (x + px(28), y)])], widths_px=px(2.5), color=colours.GREY)
        tip = np.array([(x + px(18), y), (x + px(11), y - px(3.6)), (x + px(11), y + px(3.6))])
        self._sheet.areas([tip], facecolor=colours.PAPER, edgecolor=colours.INK, edge_px=px(0.8), zorder=3)

    def _device(self, kind: str) -> Callable[[float, float], None]:
        return lambda x, y: draw_device(self._sheet, kind, (x + self._sheet.px(9), y), self._sheet.px(7.5))


def _kind_text(kind: str) -> str:
    return {"pv": "PV", "ev": "EV"}.get(kind, kind.replace("_", " "))
