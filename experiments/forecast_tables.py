"""Results of forecasters as lines of tables, and what they say together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments import tables
from experiments.forecast_config import BASELINE
from experiments.statistics import Interval
from gridenv.core.units import PERCENT
from gridenv.exogenous.forecasts import FORECASTERS

PRICE = "price"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One series and one forecaster: a line of the table."""

    series: str
    kind: str
    """`load`, `PV`, `wind` or `price`."""
    forecaster: str
    seeds: tuple[int, ...]
    rows: int
    """Rows that were forecast and scored."""
    mae: float
    """Share of the rating, EUR/MWh for prices; mean over seeds."""
    mae_per_seed: tuple[float, ...]
    pinball: float
    """Same unit, mean over levels and seeds."""
    coverage: float
    """Share of rows between the outer quantiles."""
    to_baseline: Interval
    """MAE over that of the slot mean, the interval over runs of consecutive days."""
    mae_by_lead: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """Entry of `forecasts.json`."""
        values = {k: v for k, v in vars(self).items() if k != "to_baseline"}
        unit = "EUR/MWh" if self.kind == PRICE else "share of rating"
        return {**values, "unit": unit, "mae_to_slot_mean": self.to_baseline.to_json()}


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each learned forecaster, on how many series it beats the slot mean."""
    found = []
    for name in dict.fromkeys(row.forecaster for row in rows if FORECASTERS[row.forecaster].is_learned):
        own = [row for row in rows if row.forecaster == name]
        better = [row for row in own if row.to_baseline.mean < 1.0]
        clearly = [row for row in better if row.to_baseline.high < 1.0]
        verdict = "beats" if 2 * len(better) > len(own) else "does not beat"
        found.append(
            f"{name} {verdict} the slot mean on most series: {len(better)} of {len(own)}, {len(clearly)} of them with "
            "the whole 95 % interval below it"
        )
    return found


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: MAE of the slot mean, and of the others as a share of it."""
    names = list(dict.fromkeys(row.forecaster for row in rows))
    by_key = {(row.series, row.forecaster): row for row in rows}
    lines = []
    for series in dict.fromkeys(row.series for row in rows):
        base = by_key[series, BASELINE]
        shown = f"{base.mae:.2f} EUR/MWh" if base.kind == PRICE else f"{PERCENT * base.mae:.2f} %"
        cells = [series, shown]
        for name in names:
            row = by_key.get((series, name))
            if row is not None and name != BASELINE:
                ratio = row.to_baseline
                interval = f" ({ratio.low:.2f}..{ratio.high:.2f})" if FORECASTERS[name].is_learned else ""
                cells.append(f"{ratio.mean:.3f}{interval}")
        lines.append(cells)
    return ["series", f"{BASELINE} MAE", *(n for n in names if n != BASELINE)], lines


def _pinball_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: pinball loss of the slot mean's days, of the others as a share of it, and coverage."""
    names = list(dict.fromkeys(r.forecaster for r in rows if FORECASTERS[r.forecaster].is_learned))
    by_key = {(row.series, row.forecaster): row for row in rows}
    lines = []
    for series in dict.fromkeys(row.series for row in rows):
        base = by_key[series, BASELINE]
        shown = f"{base.pinball:.2f} EUR/MWh" if base.kind == PRICE else f"{PERCENT * base.pinball:.2f} %"
        cells = [series, f"{shown}, {PERCENT * base.coverage:.0f} %"]
        for name in names:
            row = by_key[series, name]
            cells.append(f"{row.pinball / base.pinball:.3f}, {PERCENT * row.coverage:.0f} %")
        lines.append(cells)
    return ["series", f"{BASELINE} pinball, covered", *names], lines


def markdown(rows: Sequence[Row]) -> str:
    """Both tables and the verdicts, for documents."""
    parts = []
    for header, lines in (_cells(rows), _pinball_cells(rows)):
        parts.append(tables.markdown(header, lines, header[1:]))
    return "\n".join([*parts, *verdicts(rows)]) + "\n"


def table(rows: Sequence[Row], split: str) -> Table:
    """MAE of every series, for the command line."""
    header, lines = _cells(rows)
    shown = Table(
        title=f"mean absolute error on the {split} days",
        caption=f"{BASELINE}: share of the rating; others: as a share of it, with 95 % confidence where learned",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
    )
    for i, column in enumerate(header):
        shown.add_column(column, justify="right" if i else "left")
    for line in lines:
        shown.add_row(*(cell.replace(" (", "\n(") for cell in line))
    return shown
