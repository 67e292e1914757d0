"""Arrows that show which way power flows: enough of them to see every turn, and no more."""

from collections.abc import Sequence

import numpy as np

from gridenv.adapters.drawing.placing import Middle
from gridenv.adapters.drawing.scene import Floats

_IDLE_SHARE = 0.003
"""A branch gets no arrow where its power is a smaller share of the largest."""
_SAME_RUN_PX = 2.0
"""How far arrows of one run may be off its line."""


def arrow_spot(middle: Middle, kind: str, symbol_px: float, bus_px: float) -> Middle:
    """Where a branch has its arrow: in the middle, at a transformer between its symbol and the second bus.

    Args:
        middle: of the branch.
        kind: `line`, `transformer` or `switch`; a switch has none.
        symbol_px: half the width of the symbol in the middle.
        bus_px: radius of the buses.

    Returns:
        The place, and the length of the piece that it is on, buses included.
    """
    if kind != "transformer":
        return middle if kind == "line" else middle._replace(length_px=0.0)
    rest = middle.length_px / 2 - symbol_px
    away = symbol_px + (rest - bus_px) / 2
    x, y = middle.place
    place = float(x + away * np.cos(middle.angle_rad)), float(y + away * np.sin(middle.angle_rad))
    return Middle(place, middle.angle_rad, rest + bus_px)


def arrows_along(
    spots: Sequence[Middle], p_kw: Floats, spacing_px: float, least_px: float
) -> list[tuple[Floats, float]]:
    """Place and angle of the arrows.

    The largest powers come first; another arrow that points the same way on the same line keeps its distance.

    Args:
        spots: where each branch may have one.
        p_kw: [branch] power along the spot's angle.
        spacing_px: least distance.
        least_px: branches with less room get none.
    """
    size = np.abs(p_kw)
    least_kw = _IDLE_SHARE * float(np.max(size, initial=0.0))
    found: list[tuple[Floats, float]] = []
    for i in np.argsort(-size, kind="stable"):
        spot = spots[i]
        if size[i] <= least_kw or spot.length_px < least_px:
            continue
        place, turn = np.array(spot.place), spot.angle_rad + (0.0 if p_kw[i] > 0 else np.pi)
        if not any(_is_repeated(place, turn, other, spacing_px) for other in found):
            found.append((place, turn))
    return found


def _is_repeated(place: Floats, turn: float, other: tuple[Floats, float], spacing_px: float) -> bool:
    """Whether an arrow says what another one near it on its line says already."""
    if np.cos(turn - other[1]) < 1.0 - 1e-3:
        return False
    way = place - other[0]
    along = way @ (np.cos(turn), np.sin(turn))
    across = way @ (-np.sin(turn), np.cos(turn))
    return bool(abs(across) <= _SAME_RUN_PX and abs(along) < spacing_px)


def triangle(place: Floats, turn: float, size_px: float) -> Floats:
    """Corners [3, 2] of an arrow."""
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    back = place - 0.7 * size_px * along
    return np.array([place + size_px * along, back + 0.85 * size_px * across, back - 0.85 * size_px * across])
