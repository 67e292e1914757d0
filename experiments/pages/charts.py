"""The figures of pages about many runs. Each function draws one figure from plain values and decides nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.pages.look import INK, QUIET, RULE_LINE, WIDTH_IN, Style, drawing
from experiments.statistics import Interval, mean_interval

_LOWEST_SCORE = -1.0
"""Scores below it are drawn at the edge; their numbers stand beside them."""
_WIDE = 50.0
"""A range whose largest value is so many times the smallest is drawn with a logarithmic axis."""


@dataclass(frozen=True)
class Point:
    """A controller or trial in a figure."""

    style: Style
    value: Interval


@dataclass(frozen=True)
class Trade:
    """What a controller earns and what it costs in broken limits, EUR an episode."""

    style: Style
    economic: Interval
    constraint: Interval


@dataclass(frozen=True)
class Learned:
    """Evaluations on the way of the trainings of one agent, all seeds."""

    style: Style
    curves: Sequence[tuple[Sequence[int], Sequence[float]]]
    """Environment steps and values of each seed."""
    is_faint: bool = False


def score_bars(points: Sequence[Point], xlabel: str = "score") -> Figure:
    """Bars from 0 with intervals, the number beside each."""
    low, high = _score_limits(points)
    with drawing():
        figure, axes = _rows(points)
        for at, point in enumerate(points):
            value = point.value
            shown = max(value.mean, low)
            axes.barh(at, shown, height=0.62, color=point.style.colour, alpha=0.85, zorder=2)
            if value.high > value.low and value.high > low:
                axes.plot([max(value.low, low), value.high], [at, at], color=INK, lw=1.4, zorder=3)
        for end in (0.0, 1.0):
            axes.axvline(end, color=QUIET, lw=0.9, ls="-" if end == 0.0 else "--", zorder=1)
        axes.set_xlim(low, high)
        axes.set_xlabel(xlabel)
        _numbers_beside(axes, points, 2, low)
        return figure


def value_dots(points: Sequence[Point], xlabel: str, digits: int = 1) -> Figure:
    """Marks with intervals on an axis that need not begin at 0, the number beside each."""
    with drawing():
        figure, axes = _rows(points)
        for at, point in enumerate(points):
            axes.plot([point.value.low, point.value.high], [at, at], color=point.style.colour, lw=2.2, zorder=2)
            axes.plot(point.value.mean, at, point.style.mark, color=point.style.colour, ms=7, zorder=3)
        axes.grid(axis="x", lw=0.6)
        axes.margins(x=0.06)
        axes.set_xlabel(xlabel)
        _numbers_beside(axes, points, digits)
        return figure


def overview(tasks: Mapping[str, Sequence[Point]]) -> Figure:
    """Scores of all controllers, a task a row."""
    low, high = _score_limits([point for points in tasks.values() for point in points])
    with drawing():
        figure = Figure(figsize=(WIDTH_IN, 1.1 + 0.46 * len(tasks)))
        axes = figure.subplots()
        styles = {point.style.label: point.style for points in tasks.values() for point in points}
        offsets = dict(zip(styles, np.linspace(-0.28, 0.28, len(styles)) if len(styles) > 1 else [0.0], strict=True))
        for row, points in enumerate(tasks.values()):
            axes.axhline(row + 0.5, color=RULE_LINE, lw=0.6)
            for point in points:
                _score_mark(axes, point, row + offsets[point.style.label], low)
        for end in (0.0, 1.0):
            axes.axvline(end, color=QUIET, lw=0.9, ls="-" if end == 0.0 else "--", zorder=1)
        axes.set_xlim(low, high)
        axes.set_yticks(range(len(tasks)), list(tasks))
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("score: 0 = rule, 1 = oracle")
        for style in styles.values():
            axes.plot([], [], style.mark, color=style.colour, ms=6, label=style.label)
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2, handletextpad=0.3)
        return figure


def _score_mark(axes: Axes, point: Point, at: float, low: float) -> None:
    """A score with its interval; an arrow and the number where it is below the figure."""
    value, colour = point.value, point.style.colour
    if value.mean >= low:
        axes.plot([max(value.low, low), value.high], [at, at], color=colour, lw=1.6, zorder=2)
        axes.plot(value.mean, at, point.style.mark, color=colour, ms=6, zorder=3)
        return
    axes.plot(low, at, "<", color=colour, ms=5, clip_on=False)
    text = f"{value.mean:.1f}".replace("-", "\u2212")
    axes.annotate(text, (low, at), xytext=(6, 0), textcoords="offset points", va="center", fontsize=7.5, color=colour)


def learning(learned: Sequence[Learned], references: Mapping[Style, float], ylabel: str) -> Figure:
    """Means over seeds with their intervals, over environment steps on a logarithmic axis."""
    with drawing():
        figure = Figure(figsize=(WIDTH_IN, 3.2))
        axes = figure.subplots()
        late = list(references.values())
        for one in learned:
            steps, middle, low, high = _over_seeds(one.curves)
            if not len(steps):
                continue
            late += [*middle[len(middle) // 4 :], float(max(high))]
            colour = RULE_LINE if one.is_faint else one.style.colour
            axes.fill_between(steps, low, high, color=colour, alpha=0.0 if one.is_faint else 0.2, lw=0)
            label = None if one.is_faint else one.style.label
            mark = None if one.is_faint else one.style.mark
            axes.plot(
                steps, middle, color=colour, lw=1.6, marker=mark, ms=4, label=label, zorder=1 if one.is_faint else 3
            )
        for style, value in references.items():
            axes.axhline(value, color=style.colour, lw=1.2, ls="--", label=style.label, zorder=2)
        pad = 0.08 * (max(late) - min(late)) or 1.0 if late else 1.0
        if late:
            axes.set_ylim(min(late) - pad, max(late) + pad)
        axes.set_xscale("log")
        axes.grid(axis="y", lw=0.6)
        axes.set_xlabel("environment steps")
        axes.set_ylabel(ylabel)
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, borderaxespad=0.2)
        return figure


def pareto(trades: Sequence[Trade], is_named: Sequence[bool] | None = None) -> Figure:
    """Economic return over the weighted costs of limits, and the line of those that nothing beats in both.

    Args:
        trades: what is drawn.
        is_named: which of them are in the legend; all if left out.
    """
    with drawing():
        figure = Figure(figsize=(WIDTH_IN, 3.4))
        axes = figure.subplots()
        best = pareto_front([(t.constraint.mean, t.economic.mean) for t in trades])
        front = [(trades[i].constraint.mean, trades[i].economic.mean) for i in best]
        axes.step(*zip(*front, strict=True), where="post", color=QUIET, lw=1.2, ls=":", zorder=1)
        for trade, named in zip(trades, is_named or [True] * len(trades), strict=True):
            x, y, colour = trade.constraint, trade.economic, trade.style.colour
            axes.plot([x.low, x.high], [y.mean, y.mean], color=colour, lw=1.3, zorder=2)
            axes.plot([x.mean, x.mean], [y.low, y.high], color=colour, lw=1.3, zorder=2)
            label = trade.style.label if named else None
            axes.plot(x.mean, y.mean, trade.style.mark, color=colour, ms=8, label=label, zorder=3, ls="")
        _cost_axis(axes, [t.constraint for t in trades])
        axes.grid(lw=0.6)
        axes.margins(y=0.1)
        axes.set_xlabel("weighted costs of limits broken, EUR an episode")
        axes.set_ylabel("economic return, EUR an episode")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, borderaxespad=0.2, handletextpad=0.3)
        return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points (cost, gain) that no other beats, from the lowest cost to the highest gain."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def parameters(
    values: Mapping[str, Sequence[float | str]], metric: Sequence[float], styles: Sequence[Style], ylabel: str
) -> Figure:
    """The metric over each setting of a sweep, a mark a trial."""
    with drawing():
        n_row = -(-len(values) // 2)
        figure = Figure(figsize=(WIDTH_IN, 0.3 + 2.3 * n_row))
        grid = figure.subplots(n_row, 2, sharey=True, squeeze=False)
        for axes, (name, chosen) in zip(grid.flat, values.items(), strict=False):
            _one_parameter(axes, name, chosen, metric, styles)
        for axes in list(grid.flat)[len(values) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(ylabel)
        return figure


def _one_parameter(
    axes: Axes, name: str, chosen: Sequence[float | str], metric: Sequence[float], styles: Sequence[Style]
) -> None:
    numbers = [value for value in chosen if isinstance(value, float)]
    is_numeric = len(numbers) == len(chosen)
    names = [] if is_numeric else list(dict.fromkeys(map(str, chosen)))
    for value, measured, style in zip(chosen, metric, styles, strict=True):
        at = value if is_numeric else names.index(str(value))
        axes.plot(at, measured, style.mark, color=style.colour, ms=7, ls="")
    if is_numeric and min(numbers) > 0 and max(numbers) >= 5 * min(numbers):
        axes.set_xscale("log")
    elif is_numeric:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.set_xticks(range(len(names)), names)
        axes.margins(x=0.2)
    axes.grid(lw=0.6)
    axes.set_xlabel(name)


def _over_seeds(
    curves: Sequence[tuple[Sequence[int], Sequence[float]]],
) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps at which all seeds were evaluated, means and ends of the intervals."""
    known = [dict(zip(*curve, strict=True)) for curve in curves]
    steps = sorted(set.intersection(*(set(one) for one in known))) if known else []
    found = [mean_interval([one[step] for one in known]) for step in steps]
    return steps, [f.mean for f in found], [f.low for f in found], [f.high for f in found]


def _rows(points: Sequence[Point]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, 0.75 + 0.3 * len(points)))
    axes = figure.subplots()
    axes.set_yticks(range(len(points)), [point.style.label for point in points])
    axes.set_ylim(len(points) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _numbers_beside(axes: Axes, points: Sequence[Point], digits: int, low: float = -np.inf) -> None:
    for at, point in enumerate(points):
        value = point.value
        text = f"{value.mean:,.{digits}f}"
        if value.high > value.low:
            text += f" ({value.low:,.{digits}f} to {value.high:,.{digits}f})"
        if value.mean < low:
            text = f"beyond: {text}"
        axes.annotate(
            text.replace("-", "\u2212"), (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=8.5
        )


def _score_limits(points: Sequence[Point]) -> tuple[float, float]:
    lowest = min([0.0, *(point.value.low for point in points)])
    highest = max([1.0, *(point.value.high for point in points)])
    return max(lowest - 0.05, _LOWEST_SCORE), highest + 0.05


def _cost_axis(axes: Axes, costs: Sequence[Interval]) -> None:
    """From 0; logarithmic beyond the smallest cost where the largest is far away."""
    known = [cost.mean for cost in costs if cost.mean > 0]
    if known and max(known) > _WIDE * min(known):
        axes.set_xscale("symlog", linthresh=min(known))
    axes.set_xlim(left=min([0.0, *(cost.low for cost in costs)]))
    left, right = axes.get_xlim()
    axes.set_xlim(left - (0.03 * (right - left) if axes.get_xscale() == "linear" else 0.3 * min(known)), right)
