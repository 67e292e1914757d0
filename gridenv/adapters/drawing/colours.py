"""Colours and sizes of a picture, chosen so that colour-blind readers lose nothing: shape or width says it as well."""

from functools import cache

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from numpy.typing import NDArray

from gridenv.tasks.terms import V_BAND_HIGH_PU, V_BAND_LOW_PU

Floats = NDArray[np.float64]
PAPER, INK, GREY, FAINT, PALE = "#ffffff", "#1f2933", "#6b7780", "#b9c1c7", "#eef2f4"
NO_SUPPLY = "#c9ced2"
OVERLOAD = "#f2b705"
LINE_LIGHT, LINE_FULL = "#a3b0ba", "#27323b"
V_LOW_END_PU, V_HIGH_END_PU = 0.90, 1.10
"""Ends of the colour scale, the same in every picture, so that pictures can be compared."""

_KINDS = {
    "pv": "#e69f00",
    "wind": "#56b4e9",
    "battery": "#009e73",
    "ev": "#0072b2",
    "heat_pump": "#d55e00",
    "appliance": "#8c6d31",
    "capacitor": "#cc79a7",
    "regulator": "#6a3d9a",
    "tap": "#6a3d9a",
}
"""Source: M. Okabe, K. Ito, "Color universal design", 2008; the last and the brown one are darker ones beside them."""


def kind_colour(kind: str) -> str:
    """Colour of a kind of device."""
    return _KINDS.get(kind, GREY)


@cache
def voltage_map() -> tuple[LinearSegmentedColormap, Normalize]:
    """Pale inside the band, and a step to strong blue below or strong red above it."""
    scale = Normalize(V_LOW_END_PU, V_HIGH_END_PU, clip=True)
    low, high = float(scale(V_BAND_LOW_PU)), float(scale(V_BAND_HIGH_PU))
    stops = [
        (0.0, "#08306b"),
        (low, "#3f88c5"),
        (low, "#c4def0"),
        (0.5, "#fdfdf9"),
        (high, "#fbdcbb"),
        (high, "#e8743b"),
        (1.0, "#7f1d0d"),
    ]
    return LinearSegmentedColormap.from_list("voltage", stops), scale


def voltage_colours(v_pu: Floats) -> Floats:
    """Colours [n, 4] of voltages [n]; without supply grey."""
    colours, scale = voltage_map()
    known = np.isfinite(v_pu)
    rgba = np.asarray(colours(scale(np.where(known, v_pu, 1.0))), float)
    rgba[~known] = to_rgba(NO_SUPPLY)
    return rgba


def is_outside_band(v_pu: Floats) -> NDArray[np.bool_]:
    """Whether voltages are out of the allowed band; those without supply are not."""
    return (v_pu < V_BAND_LOW_PU) | (v_pu > V_BAND_HIGH_PU)


def line_colours(loading: Floats) -> Floats:
    """Colours [n, 4] of lines by loading; the darker, the more."""
    share = np.clip(np.nan_to_num(loading), 0.0, 1.0)[:, None]
    mixed: Floats = np.array(to_rgba(LINE_LIGHT)) * (1.0 - share) + np.array(to_rgba(LINE_FULL)) * share
    return mixed


def line_widths(loading: Floats, thinnest: float, thickest: float) -> Floats:
    """Widths of lines by loading, up to a loading of 1.2."""
    share = np.clip(np.nan_to_num(loading), 0.0, 1.2)
    widths: Floats = thinnest + (thickest - thinnest) * share / 1.2
    return widths
