"""The side panel of a picture: the episode so far, one strip a series."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection, PolyCollection

from gridenv.adapters.drawing import colours
from gridenv.adapters.drawing.placing import Box
from gridenv.adapters.drawing.scene import Floats, Scene
from gridenv.adapters.drawing.sheet import Align, Label, Sheet, rectangle
from gridenv.core.units import HOURS_PER_DAY

_LINE, _BAND = "#0072b2", "#bcd9ec"
_TITLE_SIZE, _NUMBER_SIZE = 9.5, 8.5
_NUMBERS_WIDTH = 36.0
_HOURS_BETWEEN_TICKS = 6
_MOST_TICKS = 6
_LOWEST_STRIP, _TALLEST_STRIP = 46.0, 130.0
_MOST_DECIMALS = 3
_MANY = 10.0
"""Values that span more get a decimal less."""


@dataclass(frozen=True, kw_only=True)
class _Strip:
    """One series."""

    name: str
    box: Box
    line: LineCollection
    band: PolyCollection
    limits: LineCollection
    value: Label
    top: Label
    bottom: Label


class Panel:
    """Strips below each other, the first ones where there is no room for all.

    `moving` is to be drawn in its order after every `update`.
    """

    def __init__(self, sheet: Sheet, scene: Scene, box: Box) -> None:
        self._sheet = sheet
        left, top, right, bottom = box
        px = sheet.px
        room = bottom - px(14) - top
        names = list(scene.series)[: max(1, int(room / px(_LOWEST_STRIP)))]
        pitch = min(room / max(1, len(names)), px(_TALLEST_STRIP))
        self._strips = [
            self._make(
                name, (left, top + i * pitch + px(18), right - px(_NUMBERS_WIDTH), top + (i + 1) * pitch - px(7))
            )
            for i, name in enumerate(names)
        ]
        self._draw_hours(scene)
        self.moving: list[Artist] = []
        for strip in self._strips:
            self.moving += [strip.band, strip.limits, strip.line]

    def _make(self, name: str, box: Box) -> _Strip:
        sheet = self._sheet
        left, top, right, bottom = box
        px = sheet.px
        sheet.areas([rectangle(*box)], facecolor="#f7f9fa", zorder=0.5)
        title_y = top - px(9)
        free = right + px(_NUMBERS_WIDTH) - left - sheet.text_width("0.888 … 0.888", _TITLE_SIZE, bold=True)
        sheet.text((left, title_y), sheet.fitted(name, free, _TITLE_SIZE), size=_TITLE_SIZE, colour=colours.GREY)
        value = sheet.text((right + px(_NUMBERS_WIDTH), title_y), size=_TITLE_SIZE, align="right", bold=True)
        return _Strip(
            name=name,
            box=box,
            line=sheet.lines(moving=True, widths_px=px(1.6), color=_LINE, capstyle="round", joinstyle="round"),
            band=sheet.areas(moving=True, facecolor=_BAND),
            limits=sheet.lines(moving=True, widths_px=px(0.9), color=colours.GREY, linestyle=(0, (3, 2))),
            value=value,
            top=sheet.text((right + px(4), top), baseline="top", size=_NUMBER_SIZE, colour=colours.GREY),
            bottom=sheet.text((right + px(4), bottom), baseline="bottom", size=_NUMBER_SIZE, colour=colours.GREY),
        )

    def _draw_hours(self, scene: Scene) -> None:
        """Times of day under the last strip."""
        if not self._strips or not scene.n_step or scene.start_hour is None:
            return
        hours = scene.n_step * scene.dt_h
        apart = _HOURS_BETWEEN_TICKS * max(1, int(np.ceil(hours / _HOURS_BETWEEN_TICKS / _MOST_TICKS)))
        first = np.ceil(scene.start_hour / apart) * apart
        for hour in np.arange(first, scene.start_hour + hours + 1e-6, apart):
            share = (hour - scene.start_hour) / hours
            for strip in self._strips:
                left, top, right, bottom = strip.box
                x = left + share * (right - left)
                self._sheet.lines([np.array([(x, top), (x, bottom)])], color="#e2e7ea", zorder=0.6)
            align: Align = "left" if share < 0.05 else "right" if share > 0.95 else "center"
            self._sheet.text(
                (x, bottom + self._sheet.px(9)),
                f"{int(hour) % HOURS_PER_DAY:02d}:00",
                size=_NUMBER_SIZE,
                align=align,
                colour=colours.GREY,
            )

    def update(self, scene: Scene) -> None:
        """Show the series of another scene of the same structure."""
        for strip in self._strips:
            values = np.asarray(scene.series[strip.name], float)
            values = values[:, None] if values.ndim == 1 else values
            self._show(
                strip, values, [float(limit) for limit in scene.limits.get(strip.name, ())], scene.n_step or len(values)
            )

    def _show(self, strip: _Strip, values: Floats, limits: Sequence[float], n_step: int) -> None:
        left, top, right, bottom = strip.box
        known = values[np.isfinite(values)]
        low, high, digits = _nice_range(np.array([*known, *limits]))
        y = bottom - (values - low) / (high - low) * (bottom - top)
        x = left + np.arange(1, len(values) + 1) / max(n_step, len(values), 1) * (right - left)
        ok = np.isfinite(values).all(axis=1)
        columns = [np.column_stack([x[ok], y[ok, i]]) for i in range(values.shape[1])]
        strip.line.set_segments(columns if ok.any() else [])
        is_band = values.shape[1] > 1 and ok.any()
        strip.band.set_verts([np.concatenate([columns[0], columns[1][::-1]])] if is_band else [])
        heights = [bottom - (limit - low) / (high - low) * (bottom - top) for limit in limits]
        strip.limits.set_segments([np.array([(left, h), (right, h)]) for h in heights])
        strip.top.text = _number(high, digits)
        strip.bottom.text = _number(low, digits)
        last = values[ok][-1] if ok.any() else []
        strip.value.text = " … ".join(_number(v, _digits(known)) for v in last)


def _nice_range(values: Floats) -> tuple[float, float, int]:
    """A range that holds the values and ends at round numbers, and the decimals that these need."""
    if not len(values):
        return 0.0, 1.0, 0
    low, high = float(values.min()), float(values.max())
    span = max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    power = 10.0 ** np.floor(np.log10(span / 2))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span / 2)
    bottom, top = np.floor(low / step + 1e-9) * step, np.ceil(high / step - 1e-9) * step
    if top <= bottom:
        top = bottom + step
    digits = int(max(0, -np.floor(np.log10(step) + 1e-9)))
    return float(bottom), float(top), digits


def _digits(values: Floats) -> int:
    """Decimals that tell a hundredth of the span of values apart."""
    span = max(float(np.ptp(values)), 1e-3)
    return min(_MOST_DECIMALS, max(0, 2 - int(np.floor(np.log10(span) + 1e-9)) - (span > _MANY)))


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.2g}"
    text = text if text.strip("-0.") else text.lstrip("-")
    return text.replace("-", "−")
