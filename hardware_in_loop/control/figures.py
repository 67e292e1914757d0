"""Figures of the report of a run."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hardware_in_loop.control.log import Log
from hardware_in_loop.control.states import State

_WIDTH_IN = 6.4
_INK, _FAINT = "#222222", "#b5b5b5"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Source: M. Okabe, K. Ito, "Color universal design", 2008."""
_STATE_COLOURS = {
    State.SHADOW: "#cfe3f1",
    State.ARMED: "#fdf0c4",
    State.ACTIVE: "#cdeadd",
    State.HOLD: "#f7d59c",
    State.FALLBACK: "#f4b8a0",
    State.ESTOP: "#d98c8c",
}
_MS_PER_S = 1e3
_MOST_POINTS = 3000
"""More cycles than this are drawn as the lowest and highest of neighbours, so that no peak is lost."""
_RC: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.hashsalt": "gridenv",
    "figure.constrained_layout.use": True,
}


def trajectories(log: Log) -> str:
    """States, voltages and set-points over time, as a `data:` address."""
    names = log.layout.setpoints
    t_s = log.column("t_s")
    voltages = [n for n in log.layout.observations if log.header["units"].get(n) == "pu"]
    rows = 1 + bool(voltages) + len(names)
    with rc_context(_RC):
        figure = Figure(figsize=(_WIDTH_IN, 0.5 + 1.25 * rows))
        axes = figure.subplots(rows, 1, sharex=True, height_ratios=[0.35] + [1.0] * (rows - 1), squeeze=False)[:, 0]
        _draw_states(axes[0], log, t_s)
        place = 1
        if voltages:
            block = np.stack([log.column(f"value.{name}") for name in voltages], axis=-1)
            # A reading that nobody believed would hide the rest.
            block[["implausible" in str(text) for text in log.column("findings")]] = np.nan
            axes[1].fill_between(t_s, block.min(axis=1), block.max(axis=1), color=_COLOURS[0], alpha=0.35, lw=0)
            axes[1].plot(t_s, np.median(block, axis=1), color=_COLOURS[0], lw=0.8)
            axes[1].set_title(f"voltages of {len(voltages)} buses: lowest to highest, median (pu)")
            place = 2
        for axis, name in zip(axes[place:], names, strict=True):
            rule, unit = log.header["setpoints"][name], log.header["units"].get(name, "")
            axis.axhline(rule["low"], color=_FAINT, lw=0.6)
            axis.axhline(rule["high"], color=_FAINT, lw=0.6)
            for part, colour, width, label in (
                ("requested", "#f0b48c", 3.0, "asked for"),
                ("limited", _COLOURS[2], 1.4, "let through"),
                ("in_force", _INK, 0.7, "read back"),
            ):
                x, y = _thinned(t_s, log.column(f"{part}.{name}"))
                axis.plot(x, y, color=colour, lw=width, label=label)
            axis.set_title(f"{name}{f' ({unit})' if unit else ''}")
        axes[place].legend(ncols=3, loc="upper right")
        axes[-1].set_xlabel("time (s)")
        return _to_uri(figure)


def jitter(log: Log) -> str:
    """Histograms of wake-up and of the end of the cycle, as a `data:` address."""
    period_ms = _MS_PER_S * float(log.header["period_s"])
    with rc_context(_RC):
        figure = Figure(figsize=(_WIDTH_IN, 2.4))
        axes = figure.subplots(1, 2)
        for axis, name, title, colour in (
            (axes[0], "wake_s", "late start of cycles (ms)", _COLOURS[0]),
            (axes[1], "total_s", "from planned start to end (ms)", _COLOURS[2]),
        ):
            values = _MS_PER_S * log.column(name)
            values = np.maximum(values[np.isfinite(values)], 1e-3)
            low, high = values.min() * 0.8, max(values.max() * 1.2, 1e-2)
            axis.hist(values, bins=np.geomspace(low, high, 50).tolist(), color=colour)
            axis.set_xscale("log")
            axis.set_yscale("log")
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                side.set_minor_formatter(NullFormatter())
            axis.set_title(title)
        axes[1].axvline(period_ms, color=_INK, lw=0.8, ls="--")
        axes[0].set_ylabel("cycles")
        return _to_uri(figure)


def _draw_states(axis: Axes, log: Log, t_s: np.ndarray) -> None:
    period_s = float(log.header["period_s"])
    starts = [i for i, state in enumerate(log.states) if i == 0 or state != log.states[i - 1]]
    shown: set[str] = set()
    for start, end in zip(starts, [*starts[1:], len(t_s)], strict=True):
        state = log.states[start]
        axis.axvspan(
            t_s[start],
            t_s[end - 1] + period_s,
            color=_STATE_COLOURS.get(State(state), "#eeeeee"),
            lw=0,
            label=None if state in shown else state,
        )
        shown.add(state)
    axis.set_yticks([])
    axis.legend(ncols=len(shown), loc="center", handlelength=1.0)
    axis.set_title("state")


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[Sequence[float], Sequence[float]]:
    if len(x) <= _MOST_POINTS:
        return x.tolist(), y.tolist()
    parts = np.array_split(np.arange(len(x)), _MOST_POINTS // 2)
    xs, ys = [], []
    for part in parts:
        values = y[part]
        finite = values[np.isfinite(values)]
        xs += [x[part[0]], x[part[-1]]]
        ys += [finite.min(), finite.max()] if len(finite) else [np.nan, np.nan]
    return xs, ys


def _to_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
