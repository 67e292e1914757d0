"""Tables for the command line."""

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.statistics import Interval
from gridenv.core.units import PERCENT

if TYPE_CHECKING:
    from experiments.summary import ControllerSummary, Summary


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Container[str] = ()) -> str:
    """A table for documents; the columns in `numeric` are aligned to the right."""
    rule = ["---:" if column in numeric else "---" for column in columns]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, rule, *rows))


def costs_text(cost: Mapping[str, float]) -> str:
    """Costs that are not zero, with their names."""
    return ", ".join(f"{name} {value:.3g}" for name, value in cost.items() if value > 0)


def evaluation_table(summary: "Summary") -> Table:
    """Controllers of an evaluation, one a line."""
    seeds = ", ".join(map(str, summary.seeds))
    agent = summary.controllers[0]
    references = ", references over episodes" if len(summary.controllers) > 1 else ""
    table = Table(
        title=f"{summary.task}, {summary.episodes} {summary.split} episodes, {summary.agent} with seed {seeds}",
        caption=f"mean per episode; below it 95 % confidence ({agent.name} over {agent.confidence_over}{references})",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
    )
    table.add_column("controller", no_wrap=True)
    for name in ("score", "return\nEUR", "v_band\npu h", "outside\n%", "losses\nkWh", "voltage\npu"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in summary.controllers:
        table.add_row(*_cells(c))
    return table


def _cells(c: "ControllerSummary") -> tuple[str, ...]:
    v_band = c.cost.get("v_band")
    return (
        c.name,
        "-" if c.score is None else f"{c.score.mean:.3f}{_range(c.score, 2)}",
        f"{c.return_eur.mean:,.1f}{_range(c.return_eur, 0)}",
        "-" if v_band is None else f"{v_band.mean:.4f}{_range(v_band, 3)}",
        f"{PERCENT * c.v_band_share.mean:.2f}",
        f"{c.loss_kwh.mean:,.0f}",
        f"{c.v_min_pu:.3f}\n{c.v_max_pu:.3f}",
    )


def _range(interval: Interval, digits: int) -> str:
    if interval.low == interval.high:
        return ""
    return f"\n{interval.low:,.{digits}f}..{interval.high:,.{digits}f}"
