"""Texts and tables of a report, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape

from experiments.pages import shell
from experiments.pages.cells import DASH, interval_cell, number
from experiments.pages.look import Style, label
from experiments.run import Run
from experiments.statistics import Interval
from experiments.summary import ControllerSummary, Summary
from gridenv.core.units import PERCENT


def subtitle(summary: Summary) -> str:
    """What was measured."""
    seeds = f"seed{'s' if len(summary.seeds) > 1 else ''} {', '.join(map(str, summary.seeds))}"
    return f"Experiment {summary.experiment}, {seeds}, measured on all {summary.episodes} {summary.split} episodes."


def _cards(summary: Summary) -> str:
    """The headline: score, voltage violation and losses against the rule."""
    agent, rule = summary.controllers[0], summary.controller("rule")
    shown = []
    if agent.score is not None:
        shown.append(shell.card(number(agent.score.mean, 2), _score_text(agent, agent.score)))
    if rule is not None:
        for title, ours, theirs in (
            ("voltage violation against the rule", agent.cost.get("v_band"), rule.cost.get("v_band")),
            ("network losses against the rule", agent.loss_kwh, rule.loss_kwh),
        ):
            if ours is not None and theirs is not None and theirs.mean > 0:
                change = PERCENT * (ours.mean / theirs.mean - 1.0)
                shown.append(shell.card(f"{number(change, 0, signed=True)} %", title))
    return "\n".join(shown)


def _score_note(summary: Summary) -> str:
    """How to read a score."""
    if summary.controllers[0].score is None:
        return "No score: it needs the references rule and oracle."
    return (
        "Score 0 = the rule, 1 = the oracle with perfect foresight, on the penalised return (EUR earned less the "
        "weighted costs of limits broken)."
    )


def headline(summary: Summary) -> str:
    """Warnings, cards and how to read them."""
    warnings = "".join(f'<p class="warning">{escape(text)}</p>' for text in summary.warnings)
    return f'{warnings}<div class="cards">{_cards(summary)}</div><p class="quiet">{escape(_score_note(summary))}</p>'


def controller_table(summary: Summary, looks: Mapping[str, Style]) -> str:
    """Controllers with their means and intervals, and what they mean."""
    head = ("controller", "score", "return, EUR", "v_band, pu h", "outside, %", "losses, kWh", "voltage, pu")
    rows = (_controller_row(c, looks[c.name]) for c in summary.controllers)
    return f'{shell.table(head, rows)}<p class="quiet">{escape(_table_note(summary))}</p>'


def commands(text: str) -> str:
    """How to get the numbers again."""
    promise = (
        "Configuration, seed and version give the same numbers, bit for bit on the same platform with as many cores."
    )
    return f"<p>{promise}</p><pre>{escape(text)}</pre>"


def origin(runs: Sequence[Run], configuration: str, versions: str) -> str:
    """Runs, configuration and versions."""
    folded = (("Configuration", configuration), ("Versions", versions))
    details = (f"<details><summary>{n}</summary><pre>{escape(t)}</pre></details>" for n, t in folded)
    return _run_table(runs) + "".join(details)


def _table_note(summary: Summary) -> str:
    """What the numbers of the table are."""
    over = {c.confidence_over for c in summary.controllers}
    agent = summary.controllers[0]
    meaning = f"small print: 95 % bootstrap confidence, for {label(agent.name)} over {agent.confidence_over}" + (
        ", for the references over episodes" if len(over) > 1 else ""
    )
    return (
        f"Means per episode; {meaning}. v_band: voltage outside 0.95 to 1.05 pu, summed over buses and hours. "
        "Outside: share of bus-steps outside the band. Voltage: lowest to highest."
    )


def _run_table(runs: Sequence[Run]) -> str:
    """Where each number came from."""
    rows = []
    for run in runs:
        metrics, versions = run.metrics(), run.versions
        git = versions.get("git") or {}
        commit = f"{git['commit'][:10]}{' (modified)' if git.get('modified') else ''}" if git else DASH
        last = metrics[-1]
        cells = [
            run.folder.name,
            run.seed,
            f"{last['steps']:,}",
            f"{last['time_s']:,.0f}",
            commit,
            run.config_hash[:10],
        ]
        rows.append([escape(str(cell)) for cell in cells])
    return shell.table(("run", "seed", "steps", "training s", "commit", "config"), rows, text=("commit", "config"))


def _score_text(agent: ControllerSummary, interval: Interval) -> str:
    """What stands below the score: its interval and, of several seeds, each one's."""
    values = ", ".join(number(value, 3) for value in agent.score_per_seed.values())
    each = f"; by seed {values}" if len(agent.score_per_seed) > 1 else ""
    return f"score, 95 % confidence {number(interval.low, 2)} to {number(interval.high, 2)}{each}"


def _controller_row(c: ControllerSummary, look: Style) -> list[str]:
    share = Interval(*(PERCENT * x for x in (c.v_band_share.mean, c.v_band_share.low, c.v_band_share.high)))
    v_band = c.cost.get("v_band")
    return [
        shell.controller(look),
        DASH if c.score is None else interval_cell(c.score, 2),
        interval_cell(c.return_eur, 0),
        DASH if v_band is None else interval_cell(v_band, 4),
        interval_cell(share, 2),
        interval_cell(c.loss_kwh, 0),
        f"{c.v_min_pu:.3f}<small>to {c.v_max_pu:.3f}</small>",
    ]
