"""The page of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from experiments.pages import charts, shell
from experiments.pages.cells import DASH, interval_cell, number
from experiments.pages.days import day_values, section, unbroken_costs
from experiments.pages.look import Style, faint, series, styles
from experiments.results import evaluate_runs
from experiments.run import REPORT_FILE, write_atomically
from experiments.statistics import ORACLE, RULE, Interval, mean_interval
from experiments.summary import Summary
from experiments.sweep.folder import Job, SweepFolder
from experiments.sweep.results import JobResult, TrialResult, collect, evaluations

_STAND_OUT = 3
"""Best trials that have colours, and whose policies are run for the values of single days."""
_LISTED = 24
"""Best trials in the figure of values; the table has all."""


@dataclass(frozen=True)
class _Shown:
    """A trial as it is drawn."""

    result: TrialResult
    style: Style
    stands_out: bool


def write(sweep: SweepFolder) -> Path:
    """Run the best policies on the days that the sweep judges by, and write `report.html` into its folder.

    Returns:
        The file.

    Raises:
        RunError: if a checkpoint is damaged.
    """
    file = sweep.folder / REPORT_FILE
    write_atomically(file, page(sweep))
    return file


def page(sweep: SweepFolder) -> str:
    """The page as HTML; every figure and value is inside it."""
    results = collect(sweep)
    best = series({r.trial.name: r.trial.name for r in results[:_STAND_OUT] if r.value is not None})
    shown = [_Shown(r, best.get(r.trial.name, faint(r.trial.name)), r.trial.name in best) for r in results]
    known = [one for one in shown if one.result.value is not None]
    days: list[dict[str, Any]] = []
    parts = [("", _cards(sweep, results)), ("Trials", _trials(sweep, shown))]
    if known:
        parts += [
            ("Values", _values(sweep, known)),
            ("Learning", _learning(sweep, known)),
            ("Settings", _settings(sweep, known)),
            ("Return against limits", _pareto(sweep, known)),
        ]
    if finished := [one for one in known if one.stands_out and one.result.status == "finished"]:
        parts.append(("Single days", _days(sweep, finished, days)))
    config = sweep.config
    seeds = f"seed{'s' if len(config.seeds) > 1 else ''} {', '.join(map(str, config.seeds))}"
    subtitle = f"{len(results)} trials of {config.experiment}, {seeds}, judged by {config.metric} ({config.mode})."
    return shell.page(title=f"Sweep {config.name}", subtitle=escape(subtitle), parts=parts, days=days)


def _cards(sweep: SweepFolder, results: Sequence[TrialResult]) -> str:
    best = results[0]
    value = "none" if best.value is None else number(best.value, 3)
    chosen = ", ".join(f"{key} {_text(v)}" for key, v in best.trial.parameters.items())
    statuses = [result.status for result in results]
    counted = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    cards = (
        shell.card(value, f"{sweep.config.metric} of the best trial"),
        shell.card(best.trial.name, f"best trial: {chosen}"),
        shell.card(str(len(results)), f"trials: {counted}"),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _trials(sweep: SweepFolder, shown: Sequence[_Shown]) -> str:
    keys = list(sweep.config.spaces)
    rows = [
        [
            shell.controller(one.style),
            *(escape(_text(one.result.trial.parameters[key])) for key in keys),
            DASH if one.result.value is None else interval_cell(_interval(sweep, one.result), 4),
            f"{max(run.metrics.get('steps', 0) for run in one.result.runs):,}",
            _status(one.result.runs),
        ]
        for one in shown
    ]
    head = ("trial", *keys, sweep.config.metric, "steps", "status")
    best = shown[0].result.trial
    caption = (
        "Best first; small print: 95 % bootstrap interval over seeds" if len(sweep.config.seeds) > 1 else "Best first"
    )
    return (
        shell.table(head, rows, caption=caption, wrap=("status",))
        + f"<h3>Train {escape(best.name)} again</h3><pre>{escape('gridenv train ' + ' '.join(best.overrides))}</pre>"
    )


def _values(sweep: SweepFolder, shown: Sequence[_Shown]) -> str:
    listed = shown[:_LISTED]
    points = [charts.Point(one.style, _interval(sweep, one.result)) for one in listed]
    rest = f" The best {len(listed)} of {len(shown)} trials." if len(shown) > len(listed) else ""
    caption = f"{sweep.config.metric} of the last evaluation, mean over seeds with its 95 % interval.{rest}"
    return shell.figure(charts.value_dots(points, sweep.config.metric, 3), "values", caption)


def _learning(sweep: SweepFolder, shown: Sequence[_Shown]) -> str:
    metric, learned = sweep.config.metric, []
    for one in shown:
        rows = [evaluations(sweep, Job(one.result.trial.name, seed)) for seed in sweep.config.seeds]
        curves = [([r["steps"] for r in each], [r[metric] for r in each]) for each in rows if each]
        learned.append(charts.Learned(one.style, curves, not one.stands_out))
    caption = (
        f"{metric} while training, mean over seeds; shaded: 95 % interval. In colour the best trials, grey the others. "
        "The first quarter of a training may leave the figure."
    )
    return shell.figure(charts.learning(learned, {}, metric), "learning", caption)


def _settings(sweep: SweepFolder, shown: Sequence[_Shown]) -> str:
    values = {key: [_coordinate(one.result.trial.parameters[key]) for one in shown] for key in sweep.config.spaces}
    metric = [one.result.value or 0.0 for one in shown]
    drawn = charts.parameters(values, metric, [one.style for one in shown], sweep.config.metric)
    return shell.figure(drawn, "settings", f"{sweep.config.metric} over each setting, a mark a trial, mean over seeds.")


def _pareto(sweep: SweepFolder, shown: Sequence[_Shown]) -> str:
    trades = []
    for one in shown:
        split = one.result.trial.config.run.evaluation.training_split
        measured = [r.metrics for r in one.result.runs if f"{split}/return_eur" in r.metrics]
        economic = [m[f"{split}/economic_eur"] for m in measured]
        limits = [m[f"{split}/economic_eur"] - m[f"{split}/return_eur"] for m in measured]
        trades.append(charts.Trade(one.style, mean_interval(economic), mean_interval(limits)))
    labels = [one.stands_out for one in shown]
    caption = (
        "What trials earn on the days that they are judged by, and what limits they break for it. Better is up and to "
        "the left; dotted: those that no other beats in both. Bars: 95 % intervals over seeds. In colour the "
        "best trials."
    )
    return shell.figure(charts.pareto(trades, labels), "pareto", caption)


def _days(sweep: SweepFolder, shown: Sequence[_Shown], days: list[dict[str, Any]]) -> str:
    """Of trials with other settings of the task than the best there are none: their days are not the same."""
    alike = [one for one in shown if one.result.trial.config.task == shown[0].result.trial.config.task]
    summaries = [_evaluated(one.result) for one in alike]
    first = summaries[0]
    references = first.controllers[1:]
    looks = styles([c.name for c in references], [])
    values = [(looks[c.name], c.per_episode) for c in references]
    values += [(one.style, summary.controllers[0].per_episode) for one, summary in zip(alike, summaries, strict=True)]
    days.append(day_values(first.episode_starts, first.steps_per_episode, values))
    told = f"<p>The best trials that came to their end, on all {first.episodes} {first.split} episodes.</p>"
    return told + section(0, days[0], unbroken_costs([v for _, v in values]))


def _evaluated(result: TrialResult) -> Summary:
    evaluation = result.trial.config.run.evaluation
    known = [name for name in (RULE, ORACLE) if name in evaluation.against]
    folders = [run.folder for run in result.runs if run.folder is not None]
    return evaluate_runs(folders, evaluation.training_split, known)[1]


def _interval(sweep: SweepFolder, result: TrialResult) -> Interval:
    metric = sweep.config.metric
    return mean_interval([run.metrics[metric] for run in result.runs if metric in run.metrics])


def _status(runs: Sequence[JobResult]) -> str:
    same = len({run.ending.status for run in runs}) == 1
    text = runs[0].ending.status if same else ", ".join(f"seed {run.seed} {run.ending.status}" for run in runs)
    errors = dict.fromkeys(run.ending.error.strip().splitlines()[-1] for run in runs if run.ending.error.strip())
    return escape(text) + "".join(f"<small>{escape(error)}</small>" for error in errors)


def _coordinate(value: Any) -> float | str:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
