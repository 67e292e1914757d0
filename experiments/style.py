"""How figures look: colours that colour-blind readers can tell apart, and SVG output."""

import base64
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from gridenv.tasks.terms import V_BAND_HIGH_PU, V_BAND_LOW_PU

WIDTH_IN = 5.8
"""Narrow, so that text stays readable when a phone scales the figure down."""
INK, FAINT, BAND = "#222222", "#b5b5b5", "#eef3f6"
_REFERENCE_COLOURS: Mapping[str, str] = {"none": "#7a7a7a", "rule": "#d55e00", "oracle": "#009e73"}
_AGENT_COLOUR = "#0072b2"
"""Source: M. Okabe, K. Ito, "Color universal design", 2008."""
_RC_PARAMS: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "svg.hashsalt": "gridenv",
    "figure.constrained_layout.use": True,
}


def styled() -> AbstractContextManager[None]:
    """Settings in force while a figure is drawn or written."""
    return mpl.rc_context(_RC_PARAMS)


def colour(name: str) -> str:
    """Colour of a controller in every figure."""
    return _REFERENCE_COLOURS.get(name, _AGENT_COLOUR)


def voltage_colours(lowest_pu: float, highest_pu: float) -> tuple[LinearSegmentedColormap, Normalize]:
    """Colours of voltages: pale inside the band, and a step to strong blue below or strong red above it."""
    reach = max(0.06, 1.0 - lowest_pu, highest_pu - 1.0)
    scale = Normalize(1.0 - reach, 1.0 + reach)
    low, high = float(scale(V_BAND_LOW_PU)), float(scale(V_BAND_HIGH_PU))
    stops = [
        (0.0, "#08306b"),
        (low, "#4a90c8"),
        (low, "#cfe3f1"),
        (0.5, "#fbfbf8"),
        (high, "#fbe3c8"),
        (high, "#e8743b"),
        (1.0, "#7f1d0d"),
    ]
    return LinearSegmentedColormap.from_list("voltage", stops), scale


def to_data_uri(figure: Figure) -> str:
    """The figure as SVG inside a `data:` address; the same figure gives the same text."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
