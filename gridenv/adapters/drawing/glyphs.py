"""Symbols of devices and markers of buses as outlines in a square from -1 to 1, upwards positive."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.path import Path

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Glyph:
    """A symbol: what is drawn as a line, and what is filled."""

    stroke: Path | None = None
    fill: Path | None = None


def _lines(*lines: Points) -> Path:
    return Path.make_compound_path(*(Path(np.array(line)) for line in lines))


def _area(points: Points) -> Path:
    return Path(np.array([*points, points[0]]), closed=True)


def _circle(radius: float, x: float = 0.0, y: float = 0.0) -> Path:
    return Path.circle((x, y), radius)


def _sun() -> Glyph:
    angles = np.arange(8) * np.pi / 4
    rays = [[(0.62 * np.cos(a), 0.62 * np.sin(a)), (0.95 * np.cos(a), 0.95 * np.sin(a))] for a in angles]
    return Glyph(stroke=_lines(*rays), fill=_circle(0.42))


def _wind() -> Glyph:
    hub = 0.25
    blades = [[(0.0, hub), (0.72 * np.cos(a), hub + 0.72 * np.sin(a))] for a in np.deg2rad([90, 210, 330])]
    return Glyph(stroke=_lines(*blades, [(0.0, hub), (0.0, -0.95)]), fill=_circle(0.16, y=hub))


def _car() -> Glyph:
    body = [(-0.95, -0.3), (-0.95, 0.1), (-0.6, 0.18), (-0.38, 0.6), (0.35, 0.6), (0.65, 0.18), (0.95, 0.08)]
    wheels = (_circle(0.24, x, -0.36) for x in (-0.5, 0.5))
    return Glyph(fill=Path.make_compound_path(_area([*body, (0.95, -0.3)]), *wheels))


def _heat() -> Glyph:
    y = np.linspace(-0.75, 0.75, 13)
    waves = [list(zip(x + 0.16 * np.sin(y / 0.75 * np.pi), y, strict=True)) for x in (-0.6, 0.0, 0.6)]
    return Glyph(stroke=_lines(*waves))


def _sine() -> Glyph:
    x = np.linspace(-0.45, 0.45, 17)
    wave = list(zip(x, 0.28 * np.sin(x / 0.45 * np.pi), strict=True))
    return Glyph(stroke=Path.make_compound_path(_circle(0.85), _lines(wave)))


def _appliance() -> Glyph:
    case: Points = [(-0.75, -0.9), (0.75, -0.9), (0.75, 0.9), (-0.75, 0.9), (-0.75, -0.9)]
    return Glyph(stroke=Path.make_compound_path(_lines(case, [(-0.75, 0.5), (0.75, 0.5)]), _circle(0.42, y=-0.2)))


def _arrow_down() -> Glyph:
    return Glyph(fill=_area([(-0.7, 0.55), (0.7, 0.55), (0.0, -0.75)]))


def _tapped() -> Glyph:
    return Glyph(stroke=Path.make_compound_path(_circle(0.6), _lines(*_TAP)))


_BOLT: Points = [(0.2, 0.9), (-0.5, -0.12), (-0.06, -0.12), (-0.2, -0.9), (0.5, 0.12), (0.06, 0.12)]
_HOUSE: Points = [(-0.7, -0.8), (-0.7, 0.1), (-0.95, 0.1), (0.0, 0.9), (0.95, 0.1), (0.7, 0.1), (0.7, -0.8)]
_TAP = [[(-0.85, -0.85), (0.85, 0.85)], [(0.35, 0.85), (0.85, 0.85), (0.85, 0.35)]]
_PLATES = [
    [(-0.95, 0.0), (-0.2, 0.0)],
    [(-0.2, -0.8), (-0.2, 0.8)],
    [(0.2, -0.8), (0.2, 0.8)],
    [(0.2, 0.0), (0.95, 0.0)],
]


@cache
def glyph(kind: str) -> Glyph:
    """Symbol of a kind of device; a dot for kinds without one."""
    symbols = {
        "pv": _sun,
        "wind": _wind,
        "battery": lambda: Glyph(fill=_area(_BOLT)),
        "ev": _car,
        "heat_pump": _heat,
        "appliance": _appliance,
        "capacitor": lambda: Glyph(stroke=_lines(*_PLATES)),
        "regulator": _tapped,
        "tap": _tapped,
        "generator": _sine,
        "load": _arrow_down,
        "curtailable": _arrow_down,
        "home": lambda: Glyph(fill=_area(_HOUSE)),
    }
    return symbols.get(kind, lambda: Glyph(fill=_circle(0.4)))()


NOTHING = Path(np.zeros((0, 2)))
IN_BAND = _circle(1.0)
TOO_LOW = _area([(-1.0, 0.7), (1.0, 0.7), (0.0, -1.0)])
TOO_HIGH = _area([(-1.0, -0.7), (1.0, -0.7), (0.0, 1.0)])
BOX = _area([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
_NUB: Points = [(0.4, 1.0), (0.4, 1.25), (-0.4, 1.25), (-0.4, 1.0)]
BATTERY = _area([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), *_NUB, (-1.0, 1.0)])
TRANSFORMER = Path.make_compound_path(_circle(0.62, x=-0.4), _circle(0.62, x=0.4))
TRANSFORMER_UPRIGHT = Path.make_compound_path(_circle(0.62, y=-0.4), _circle(0.62, y=0.4))


@cache
def wedge(number: int, of: int) -> Path:
    """One sector of a circle that is shared equally, the first one on top."""
    return Path.wedge(90.0 - 360.0 * (number + 1) / of, 90.0 - 360.0 * number / of)
