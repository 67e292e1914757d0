"""Pictures of the time of a power flow: over the size of the network, and over the batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.bench.circuit import TWIN
from experiments.bench.engines import OWN
from experiments.bench.rows import SOLVE_TIME, Row
from experiments.bench.tables import case_title, fastest
from gridenv.core.errors import ConfigError

BY_SIZE, BY_BATCH = "bench_size.png", "bench_batch.png"
_COLUMNS = 3
_PANEL_INCHES = (4.6, 3.6)
_DPI = 130
_STYLES = {"gridenv float32": ("black", "o", "-"), "gridenv float64": ("black", "s", "--")}
_MARKERS = "^vD<>PX*"
_LABEL = "µs per solve"


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw what the power-flow rows show, with the better number of threads everywhere.

    Returns:
        Files written.

    Raises:
        ConfigError: if there are no power flows among the rows.
    """
    rows = [r for r in rows if SOLVE_TIME in r and "nodes" in r and r.get("samples") == "random"]
    if not rows:
        raise ConfigError("bench plot: no rows of power flows; make some with `gridenv bench powerflow --json FILE`")
    folder.mkdir(parents=True, exist_ok=True)
    styles = _styles(rows)
    return [_by_size(rows, styles, folder / BY_SIZE), _by_batch(rows, styles, folder / BY_BATCH)]


def lines_by_size(rows: Sequence[Row]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Panel -> engine -> points (nodes, µs), each at the engine's largest batch of a case."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for case, part in _by(rows, "case", "circuit"):
        panel = "three phases (twins)" if case[1] == TWIN else "balanced"
        if case[1] != TWIN and any(r["case"] == case[0] and r["circuit"] == TWIN for r in rows):
            continue
        for engine, own in _by(part, "engine", "dtype"):
            row = fastest(own, (engine[0], engine[1]))
            panels.setdefault(panel, {}).setdefault(_name(row), []).append((row["nodes"], row[SOLVE_TIME]))
    return {panel: {name: sorted(points) for name, points in lines.items()} for panel, lines in panels.items()}


def lines_by_batch(rows: Sequence[Row]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Case -> engine -> points (batch, µs)."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _, part in _by(rows, "case", "circuit", "engine", "dtype", "batch"):
        row = min(part, key=lambda r: float(r[SOLVE_TIME]))
        lines = panels.setdefault(case_title(row), {})
        lines.setdefault(_name(row), []).append((row["batch"], row[SOLVE_TIME]))
    return {panel: {name: sorted(points) for name, points in lines.items()} for panel, lines in panels.items()}


def _by(rows: Sequence[Row], *keys: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.items())


def _name(row: Row) -> str:
    return f"{row['engine']} {row['dtype']}" if row["engine"] == OWN else str(row["engine"])


def _styles(rows: Sequence[Row]) -> dict[str, tuple[str, str, str]]:
    peers = [name for name in dict.fromkeys(map(_name, rows)) if name not in _STYLES]
    return _STYLES | {name: (f"C{i}", _MARKERS[i % len(_MARKERS)], "-") for i, name in enumerate(peers)}


def _by_size(rows: Sequence[Row], styles: dict[str, tuple[str, str, str]], path: Path) -> Path:
    return _figure(lines_by_size(rows), styles, "nodes", path)


def _by_batch(rows: Sequence[Row], styles: dict[str, tuple[str, str, str]], path: Path) -> Path:
    return _figure(lines_by_batch(rows), styles, "batch", path)


def _figure(
    panels: dict[str, dict[str, list[tuple[float, float]]]],
    styles: dict[str, tuple[str, str, str]],
    x_label: str,
    path: Path,
) -> Path:
    # Not pyplot: it would choose a window system and keep state.
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(panels))
    n_row = -(-len(panels) // columns)
    size = (_PANEL_INCHES[0] * max(columns, 2), _PANEL_INCHES[1] * n_row + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(n_row, columns, squeeze=False).ravel()
    for axes, (title, lines) in zip(grid, panels.items(), strict=False):
        for name, points in lines.items():
            colour, marker, dashes = styles[name]
            width = 2.2 if name.startswith(OWN) else 1.2
            axes.plot(*zip(*points, strict=True), dashes, color=colour, marker=marker, ms=5, lw=width, label=name)
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=_LABEL, title=title)
        axes.title.set_fontsize("small")
        axes.grid(visible=True, which="both", alpha=0.25)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles = {h.get_label(): h for axes in grid for h in axes.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=_DPI)
    return path
