"""Rows as tables: on the terminal and as markdown."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from experiments.bench.circuit import TWIN
from experiments.bench.engines import OWN
from experiments.bench.rows import SOLVE_TIME, STEP_RATE, Row
from experiments.console import OUTPUT

_WIDE = 160
"""Columns where the output is no terminal."""
_OWN_DTYPES = ("float32", "float64")
_SUMMARY = (
    "case",
    "peer",
    "batch, peer / ours",
    "µs/solve",
    "ours",
    "peer / float32",
    "peer / float64",
    "max dV pu, peer / ours",
    "iterations, peer / ours",
    "peak MB, peer / ours",
)


class Column(NamedTuple):
    """A column of a table."""

    title: str
    cell: Callable[[Row], str]
    is_text: bool = False


def show(rows: Sequence[Row]) -> None:
    """Print a table for each kind of benchmark and each case among the rows."""
    for part in _parts(rows):
        columns = _columns(part)
        table = Table(title=_title(part), caption=_machine(part), box=SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(
                column.title, justify="left" if column.is_text else "right", no_wrap=not column.is_text, overflow="fold"
            )
        for row, following in zip(part, [*part[1:], None], strict=True):
            ends = following is None or row["batch"] != following["batch"]
            table.add_row(*(column.cell(row) for column in columns), end_section=ends)
        console = OUTPUT if OUTPUT.is_terminal else Console(width=_WIDE, highlight=False)
        console.print(table)


def markdown(rows: Sequence[Row]) -> str:
    """A markdown table for each kind of benchmark and each case among the rows."""
    pieces = []
    for part in _parts(rows):
        columns = _columns(part)
        head = [
            "| " + " | ".join(column.title.replace("\n", " ") for column in columns) + " |",
            "|" + "|".join("---" if column.is_text else "---:" for column in columns) + "|",
        ]
        body = ["| " + " | ".join(column.cell(row) for column in columns) + " |" for row in part]
        pieces.append("\n".join([f"**{_title(part)}**", "", *head, *body, "", _machine(part)]))
    return "\n\n".join([*summary(rows), *pieces])


def summary(rows: Sequence[Row]) -> list[str]:
    """A markdown table of each peer's best beside ours, if there are power flows of both among the rows.

    Both are the rows of the largest batch that each was given, with the better number of threads.
    """
    lines = []
    for part in _parts([r for r in rows if SOLVE_TIME in r and r.get("samples") == "random"]):
        best = {engine: fastest(part, engine) for engine in dict.fromkeys((r["engine"], r["dtype"]) for r in part)}
        ours = [best.get((OWN, dtype)) for dtype in _OWN_DTYPES]
        lines += [_compared(row, ours) for (name, _), row in best.items() if name != OWN and any(ours)]
    if not lines:
        return []
    head = "| " + " | ".join(_SUMMARY) + " |\n|---|---|" + "---:|" * (len(_SUMMARY) - 2)
    return ["\n".join(["**Peers beside gridenv float32, each at its largest batch**", "", head, *lines])]


def fastest(rows: Sequence[Row], engine: tuple[str, str]) -> Row:
    """Row of an engine and type at its largest batch, with the better number of threads."""
    own = [r for r in rows if (r["engine"], r["dtype"]) == engine]
    largest = max(r["batch"] for r in own)
    return min((r for r in own if r["batch"] == largest), key=lambda r: float(r[SOLVE_TIME]))


def _compared(row: Row, ours: Sequence[Row | None]) -> str:
    single, double = ours
    own = single or double or {}
    times = [f"{row[SOLVE_TIME] / r[SOLVE_TIME]:.1f}" if r else "-" for r in (single, double)]
    pairs = [
        f"{_or_dash(row.get(key), form)} / {_or_dash(own.get(key), form)}"
        for key, form in (("max_abs_dv_pu", ".0e"), ("iterations", "d"), ("peak_mb", ".0f"))
    ]
    us = [f"{_number(r[SOLVE_TIME])}" for r in (row, own)]
    batches = f"{row['batch']:,} / {own['batch']:,}"
    return "| " + " | ".join([case_title(row), row["engine"], batches, *us, *times, *pairs]) + " |"


def ratio(row: Row, rows: Sequence[Row], dtype: str) -> float | None:
    """Time of a row over that of our own engine on the same work, with as many threads where there is such a row."""
    same = [
        r
        for r in rows
        if r["engine"] == OWN
        and r["dtype"] == dtype
        and all(r.get(key) == row.get(key) for key in ("case", "circuit", "batch", "tolerance"))
        and r.get("samples") == "random"
    ]
    if not same:
        return None
    own = min(same, key=lambda r: abs(r["threads"] - row["threads"]))
    return float(row[SOLVE_TIME] / own[SOLVE_TIME])


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    keys = dict.fromkeys((r["bench"], r["case"], r.get("circuit")) for r in rows)
    return [[r for r in rows if (r["bench"], r["case"], r.get("circuit")) == key] for key in keys]


def _title(rows: Sequence[Row]) -> str:
    row = rows[0]
    what = f"µs per solve to {row['tolerance']:g} pu" if SOLVE_TIME in row else "steps per second"
    return f"{row['bench']} {case_title(row)}: {what}, median of {row['runs']} runs"


def case_title(row: Row) -> str:
    """Name of a case, whether it is the twin, and its size."""
    twin = " (twin)" if row.get("circuit") == TWIN else ""
    return f"{row['case']}{twin}" + (f", {row['nodes']:,} nodes" if "nodes" in row else "")


def _machine(rows: Sequence[Row]) -> str:
    row = rows[0]
    return (
        f"{row.get('utc')}, {row.get('cpu')}, {row.get('cpus')} processors, load before {row.get('load_before')}, "
        f"Python {row.get('python')}, commit {row.get('commit')}"
    )


def _columns(rows: Sequence[Row]) -> list[Column]:
    is_power_flow = SOLVE_TIME in rows[0]
    quantity = SOLVE_TIME if is_power_flow else STEP_RATE
    columns = [
        Column("batch", lambda r: f"{r['batch']:,}"),
        Column("engine", _engine, True),
        *([Column("agent", lambda r: str(r["agent"]), True)] if all("agent" in r for r in rows) else []),
        Column("threads", lambda r: str(r["threads"])),
        Column("µs/solve" if is_power_flow else "steps/s", lambda r: _number(r[quantity])),
        Column("min..max", lambda r: f"{_number(r['min'])}..{_number(r['max'])}"),
    ]
    if is_power_flow:
        columns += [Column(f"x vs\ngridenv\n{dtype}", _ratio_cell(rows, dtype)) for dtype in _OWN_DTYPES]
        columns.append(Column("max dV\npu", lambda r: _or_dash(r["max_abs_dv_pu"], ".1e")))
        columns += [
            Column("iter.", lambda r: _or_dash(r.get("iterations"), "d")),
            Column("build\ns", lambda r: _or_dash(r.get("build_s"), ".2f")),
            Column("cached\ns", lambda r: _or_dash(r.get("compile_cached_s"), ".2f")),
        ]
    columns += [
        Column("first\ncall s", lambda r: f"{r['compile_s']:.2f}"),
        Column("peak\nMB", lambda r: _or_dash(r["peak_mb"], ".0f")),
    ]
    if is_power_flow:
        columns.append(Column("remarks", _remarks, True))
    elif any(r.get("seeds", 1) > 1 for r in rows):
        columns.append(Column("seeds", lambda r: str(r.get("seeds", 1))))
    if any(r.get("settings") for r in rows):
        columns.append(Column("settings", lambda r: str(r.get("settings") or "defaults"), True))
    return columns


def _engine(row: Row) -> str:
    return f"{row['engine']} {row['dtype']}" if row["engine"] == OWN and SOLVE_TIME in row else str(row["engine"])


def _ratio_cell(rows: Sequence[Row], dtype: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = ratio(row, rows, dtype)
        return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:,.1f}"

    return cell


def _remarks(row: Row) -> str:
    remarks = []
    if row.get("samples") != "random":
        slowdown = row.get("slowdown")
        remarks.append(str(row.get("samples")) + (f", x {slowdown:.2f}" if slowdown else ""))
    unexpected = row.get("failed", 0) - row.get("infeasible", 0)
    if unexpected:
        remarks.append(f"fails {unexpected} of {row['batch']}")
    return "; ".join(remarks)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
