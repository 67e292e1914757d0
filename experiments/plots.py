"""The figures of a report. Each function draws one figure from plain results and decides nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from experiments.layout import Cell, Diagram
from experiments.pages.look import label
from experiments.style import BAND, FAINT, INK, WIDTH_IN, colour, styled, voltage_colours
from gridenv.core.units import HOURS_PER_DAY, PERCENT
from gridenv.exogenous.timebase import STEPS_PER_HOUR
from gridenv.tasks.terms import V_BAND_HIGH_PU, V_BAND_LOW_PU

Voltages = NDArray[np.float32]
_HOURS_BETWEEN_TICKS = 6
_MILLION = 1e6
_LABELLED_BUSES = 40
"""A one-line diagram with more buses than this shows no bus names."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Learning of one seed."""

    seed: int
    steps: Sequence[int]
    """Environment steps at every update."""
    training_eur: Sequence[float]
    """Return of the exploring policy on its training episodes, at every update."""
    validation_steps: Sequence[int]
    validation_eur: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Day:
    """An episode of one controller."""

    controller: str
    date: datetime
    v_pu: Voltages
    """[step, bus]"""
    note: str
    """What to say about it beside the date."""


def learning_curve(curves: Sequence[Curve], references_eur: Mapping[str, float], agent: str, split: str) -> Figure:
    """Return on training and validation days over environment steps, with the references as lines."""
    with styled():
        figure = Figure(figsize=(WIDTH_IN, 3.3))
        axes = figure.subplots()
        for curve in curves:
            axes.plot(curve.steps, curve.training_eur, color=FAINT, lw=0.9, zorder=1)
            axes.plot(curve.validation_steps, curve.validation_eur, color=colour(agent), lw=1.7, zorder=3)
        low, high = _learning_limits(curves, references_eur)
        for name, value in references_eur.items():
            if low <= value <= high:
                axes.axhline(value, color=colour(name), lw=1.2, ls="--", zorder=2)
                axes.annotate(
                    label(name).replace(" ", "\n", 1),
                    (1.01, value),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    color=colour(name),
                    fontsize=8.5,
                )
        axes.plot([], [], color=colour(agent), lw=1.7, label=f"{split} days, not exploring")
        axes.plot([], [], color=FAINT, lw=0.9, label="training days, exploring")
        axes.set_ylim(low, high)
        axes.set_xlim(left=0)
        axes.set_xlabel("environment steps, millions")
        axes.set_ylabel("return, EUR per episode")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / _MILLION:g}"))
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
        return figure


def _learning_limits(curves: Sequence[Curve], references_eur: Mapping[str, float]) -> tuple[float, float]:
    """From below the rule and most of the learning to above the best; the first clumsy updates may leave the figure."""
    shown = [v for name, v in references_eur.items() if name != "none"]
    late = [v for c in curves for v in [*c.validation_eur[1:], *c.training_eur[len(c.training_eur) // 8 :]]]
    best = max([*shown, *late])
    worst = min([*shown, *late])
    pad = 0.08 * (best - worst) or 1.0
    return worst - pad, best + 1.6 * pad


def worst_days(days: Sequence[Day]) -> Figure:
    """Range of the voltages of all buses through the worst day of each controller."""
    with styled():
        n_row = -(-len(days) // 2)
        figure = Figure(figsize=(WIDTH_IN, 0.4 + 2.05 * n_row))
        grid = figure.subplots(n_row, 2, sharex=True, sharey=True, squeeze=False)
        for axes, day in zip(grid.flat, days, strict=False):
            _envelope(axes, day)
        low, high = grid[0, 0].get_ylim()
        grid[0, 0].set_ylim(min(low, V_BAND_LOW_PU - 0.01), max(high, V_BAND_HIGH_PU + 0.01))
        for axes in list(grid.flat)[len(days) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel("hour of day")
        for axes in grid[:, 0]:
            axes.set_ylabel("voltage, pu")
        return figure


def _envelope(axes: Axes, day: Day) -> None:
    hours = np.arange(len(day.v_pu)) / STEPS_PER_HOUR
    low, high = np.nanmin(day.v_pu, axis=1), np.nanmax(day.v_pu, axis=1)
    main = colour(day.controller)
    axes.axhspan(V_BAND_LOW_PU, V_BAND_HIGH_PU, color=BAND, zorder=0)
    for limit in (V_BAND_LOW_PU, V_BAND_HIGH_PU):
        axes.axhline(limit, color="#8a9aa5", lw=0.8, ls=(0, (4, 2)), zorder=1)
    axes.fill_between(hours, low, high, color=main, alpha=0.22, lw=0, zorder=2)
    axes.plot(hours, low, color=main, lw=1.3, zorder=3)
    axes.plot(hours, high, color=main, lw=1.3, zorder=3)
    axes.set_title(label(day.controller), color=main, pad=16)
    axes.text(0.0, 1.03, f"{_day_text(day.date)}, {day.note}", transform=axes.transAxes, fontsize=8.0, color="#555555")
    axes.set_xlim(0, max(hours[-1], 1))
    axes.xaxis.set_major_locator(MultipleLocator(_HOURS_BETWEEN_TICKS))


def week(panels: Mapping[str, Voltages], first: datetime, buses: Sequence[str]) -> Figure:
    """Voltage of every bus over some days, one panel a controller, one colour scale.

    Args:
        panels: controller -> [step, bus] in the order of `buses`.
        first: date of the first step.
        buses: names, drawn from top to bottom.
    """
    values = np.concatenate(list(panels.values()))
    colours, scale = voltage_colours(float(np.nanmin(values)), float(np.nanmax(values)))
    n_day = len(values) // len(panels) / (STEPS_PER_HOUR * HOURS_PER_DAY)
    with styled():
        figure = Figure(figsize=(WIDTH_IN, 0.9 + 1.7 * len(panels)))
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, v_pu) in zip(grid, panels.items(), strict=True):
            axes.imshow(
                v_pu.T,
                aspect="auto",
                cmap=colours,
                norm=scale,
                interpolation="nearest",
                extent=(0, n_day, len(buses) - 0.5, -0.5),
                rasterized=True,
            )
            axes.set_title(f"{label(name)}: {_outside_percent(v_pu):.1f} % of bus-steps outside the band")
            shown = range(0, len(buses), max(1, round(len(buses) / 8)))
            axes.set_yticks(list(shown), [buses[i] for i in shown])
            axes.set_ylabel("bus")
            for day in range(1, round(n_day)):
                axes.axvline(day, color="white", lw=0.8)
        dates = [first + timedelta(days=day) for day in range(round(n_day))]
        grid[-1].set_xticks([day + 0.5 for day in range(len(dates))], [f"{d:%a}\n{d.day} {d:%b}" for d in dates])
        grid[-1].tick_params(axis="x", length=0)
        _voltage_bar(figure, list(grid), colours, scale)
        return figure


def one_line(panels: Mapping[str, Mapping[str, float]], diagram: Diagram, sites: Sequence[str]) -> Figure:
    """The grid with the voltage of every bus at one moment, one panel a controller.

    Args:
        panels: controller -> bus -> voltage, pu; buses that lack one are not drawn.
        diagram: where to draw what.
        sites: buses with a controlled unit.
    """
    values = np.array([v for v_pu in panels.values() for v in v_pu.values()])
    colours, scale = voltage_colours(float(np.nanmin(values)), float(np.nanmax(values)))
    columns, rows = (np.array([cell[axis] for cell in diagram.place.values()]) for axis in (0, 1))
    height_in = 0.55 + 0.33 * (rows.max() - rows.min() + 1)
    with styled():
        figure = Figure(figsize=(WIDTH_IN, 0.7 + height_in * len(panels)))
        grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (name, v_pu) in zip(grid, panels.items(), strict=True):
            at = np.array(list(v_pu.values()))
            _draw_branches(axes, diagram)
            _draw_buses(axes, diagram, v_pu, sites, lambda v: colours(scale(v)))
            axes.set_title(f"{label(name)}: {np.nanmin(at):.3f} to {np.nanmax(at):.3f} pu", pad=4)
            axes.set_xlim(columns.min() - 0.7, columns.max() + 0.7)
            axes.set_ylim(rows.min() - 0.75, rows.max() + 0.6)
            axes.axis("off")
        _voltage_bar(figure, list(grid), colours, scale)
        return figure


def _draw_branches(axes: Axes, diagram: Diagram) -> None:
    corners = [(diagram.place[a], diagram.place[b]) for a, b in diagram.tree]
    paths = [[(x0, y0), (x0, y1), (x1, y1)] for (x0, y0), (x1, y1) in corners]
    axes.add_collection(LineCollection(paths, colors="#666666", linewidths=1.3, zorder=1, joinstyle="round"))
    loops = [[diagram.place[a], diagram.place[b]] for a, b in diagram.loops]
    axes.add_collection(LineCollection(loops, colors="#666666", linewidths=1.0, linestyles=":", zorder=1))


def _draw_buses(
    axes: Axes, diagram: Diagram, v_pu: Mapping[str, float], sites: Sequence[str], paint: Callable[[float], Any]
) -> None:
    named = len(diagram.place) <= _LABELLED_BUSES
    size = 95 if named else 22
    for is_site in (False, True):
        drawn = [bus for bus in v_pu if (bus in sites) is is_site]
        axes.scatter(
            [diagram.place[bus][0] for bus in drawn],
            [diagram.place[bus][1] for bus in drawn],
            s=size * (1.35 if is_site else 1.0),
            marker="D" if is_site else "o",
            zorder=3,
            color=[paint(v_pu[bus]) for bus in drawn],
            edgecolors=INK if is_site else "#777777",
            linewidths=1.6 if is_site else 0.6,
        )
        for bus in drawn if named else ():
            _name_bus(axes, bus, diagram.place[bus], is_site=is_site)
    root = diagram.tree[0][0]
    x, y = diagram.place[root]
    axes.plot([x - 0.45, x - 0.45], [y - 0.3, y + 0.3], color=INK, lw=3, zorder=2)
    axes.plot([x - 0.45, x], [y, y], color="#666666", lw=1.3, zorder=1)


def _name_bus(axes: Axes, bus: str, at: Cell, *, is_site: bool) -> None:
    axes.annotate(
        bus,
        at,
        xytext=(0, -9.5 if is_site else -8.5),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=6.5,
        fontweight="bold" if is_site else "normal",
        color=INK,
        zorder=2,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )


def _voltage_bar(figure: Figure, axes: list[Axes], colours: Colormap, scale: Normalize) -> None:
    bar = figure.colorbar(
        ScalarMappable(scale, colours), ax=axes, location="bottom", fraction=0.04, pad=0.02, aspect=45
    )
    bar.set_label("voltage, pu")
    bar.outline.set_visible(False)
    for limit in (V_BAND_LOW_PU, V_BAND_HIGH_PU):
        bar.ax.axvline(limit, color=INK, lw=1.0)


def _outside_percent(v_pu: Voltages) -> float:
    known = v_pu[np.isfinite(v_pu)]
    return float(PERCENT * np.mean((known > V_BAND_HIGH_PU) | (known < V_BAND_LOW_PU)))


def _day_text(date: datetime) -> str:
    return f"{date:%a} {date.day} {date:%b}"
