"""The page of one or more comparisons."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from experiments import study_tables, tables
from experiments.pages import charts, shell
from experiments.pages.cells import DASH, interval_cell, number
from experiments.pages.days import day_values, section, unbroken_costs
from experiments.pages.look import Style, styles
from experiments.run import write_atomically
from experiments.stored import StoredController, StoredEntry
from experiments.study import Study, TaskResults

_HEAD = (
    "controller",
    "score",
    "return, EUR",
    "economic, EUR",
    "limits, EUR",
    "costs",
    "losses, kWh",
    "voltage, pu",
    "training",
)
_TEXTS = ("costs",)


def write(study: Study, file: Path) -> Path:
    """Write the page of a study.

    Returns:
        The file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, page(study))
    return file


def page(study: Study) -> str:
    """The page as HTML; every figure and value is inside it."""
    looks = _looks(study)
    parts = list(_overview(study, looks))
    days: list[dict[str, Any]] = []
    parts += [(task.title, _task(task, looks, days)) for task in study.tasks]
    parts.append(("Made with", _made_with(study)))
    n_task = f"{len(study.tasks)} task{'s' if len(study.tasks) > 1 else ''}"
    n_agent = f"{len(study.entries)} trained agent{'s' if len(study.entries) > 1 else ''}"
    return shell.page(
        title=f"Comparison {study.names[0]}" if len(study.names) == 1 else f"Comparisons on {n_task}",
        subtitle=f"{n_agent} on {n_task}. {_protocol(study)}",
        parts=parts,
        days=days,
    )


def _looks(study: Study) -> dict[str, Style]:
    rows = [(name, entry) for task in study.tasks for name, _, entry in task.rows()]
    references = dict.fromkeys(name for name, entry in rows if entry is None)
    agents = dict.fromkeys(name for name, entry in rows if entry is not None)
    return styles(list(references), list(agents))


def _protocol(study: Study) -> str:
    every = [task.first.evaluation for task in study.tasks]
    texts = dict.fromkeys(
        f"all {e.episodes} {e.split} {study_tables.episodes_word(e.steps_per_episode)}, hash {e.episodes_hash[:12]}"
        for e in every
    )
    return escape(f"Measured on {'; '.join(texts)}.")


def _overview(study: Study, looks: dict[str, Style]) -> Iterator[tuple[str, str]]:
    scored = {task.title: _scores(task, looks) for task in study.tasks if task.has_score}
    if scored:
        caption = (
            "Mean scores with 95 % intervals, over seeds for trained agents and over days for references. An arrow at "
            "the left edge: the score is below the figure, its number beside it."
        )
        yield "Scores", shell.figure(charts.overview(scored), "overview", caption) + _score_table(study, looks)


def _score_table(study: Study, looks: dict[str, Style]) -> str:
    names = [name for name in looks if name not in ("rule", "oracle")]
    rows = []
    for task in study.tasks:
        found = {name: controller.score_interval for name, controller, _ in task.rows()}
        cells = [found.get(name) for name in names]
        link = f'<a href="#{shell.anchor(task.title)}">{escape(task.title)}</a>'
        rows.append([link, *(DASH if cell is None else interval_cell(cell, 2) for cell in cells)])
    return shell.table(["task", *(looks[name].label for name in names)], rows, caption="Score: 0 = rule, 1 = oracle")


def _scores(task: TaskResults, looks: dict[str, Style]) -> list[charts.Point]:
    return [
        charts.Point(looks[name], controller.score_interval)
        for name, controller, _ in task.rows()
        if controller.score_interval is not None and name not in ("rule", "oracle")
    ]


def _task(task: TaskResults, looks: dict[str, Style], days: list[dict[str, Any]]) -> str:
    name, rows = shell.anchor(task.title), list(task.rows())
    warnings = dict.fromkeys(f"{e.experiment}: {w}" for e in task.entries for w in e.evaluation.warnings)
    parts = [f'<p class="warning">{escape(text)}</p>' for text in warnings]
    caption = "Means an episode; small print: 95 % bootstrap interval, over seeds for trained agents, over days else"
    parts.append(shell.table(_HEAD, (_row(looks[n], c, e) for n, c, e in rows), caption=caption, wrap=_TEXTS))
    if task.has_score:
        figure = charts.score_bars(_scores(task, looks), "score: 0 = rule, 1 = oracle")
        parts += ["<h3>Scores</h3>", shell.figure(figure, f"{name}-scores", "Score with its 95 % bootstrap interval.")]
    returns = [charts.Point(looks[n], c.return_eur) for n, c, _ in rows]
    caption = "Return less the weighted costs of limits, with its 95 % bootstrap interval."
    parts += ["<h3>Return</h3>", shell.figure(charts.value_dots(returns, "EUR an episode"), f"{name}-returns", caption)]
    parts += ["<h3>Learning</h3>", _learning(task, looks)]
    trades = [charts.Trade(looks[n], c.economic_eur, c.constraint_eur) for n, c, _ in rows]
    caption = (
        "What controllers earn and what limits they break for it. Better is up and to the left; dotted: those that "
        "no other beats in both. Bars: 95 % intervals."
    )
    parts += ["<h3>Return against limits</h3>", shell.figure(charts.pareto(trades), f"{name}-pareto", caption)]
    values = [(looks[n], c.per_episode) for n, c, _ in rows if c.per_episode is not None]
    evaluation = task.first.evaluation
    days.append(day_values(evaluation.episode_starts, evaluation.steps_per_episode, values))
    unbroken = unbroken_costs([v for _, v in values])
    parts += ["<h3>Single days</h3>", section(len(days) - 1, days[-1], unbroken)]
    return "\n".join(parts)


def _learning(task: TaskResults, looks: dict[str, Style]) -> str:
    names = [name for name, _, entry in task.rows() if entry is not None]
    learned = [
        charts.Learned(looks[name], [(c.steps, c.return_eur) for c in entry.learning.seeds.values()])
        for name, entry in zip(names, task.entries, strict=True)
    ]
    first = task.first.learning
    references = {looks[n]: value for n, value in first.references_eur.items() if n in looks}
    figure = charts.learning(learned, references, "return, EUR an episode")
    caption = (
        f"Return on the {first.split} days while training, mean over seeds and 95 % interval. Dashed: references. The "
        "first quarter of a training may leave the figure."
    )
    return shell.figure(figure, f"{shell.anchor(task.title)}-learning", caption)


def _row(style: Style, c: StoredController, entry: StoredEntry | None) -> list[str]:
    low, high = ("?" if v is None else f"{v:.3f}" for v in (c.v_min_pu, c.v_max_pu))
    return [
        shell.controller(style),
        DASH if c.score_interval is None else interval_cell(c.score_interval, 2),
        interval_cell(c.return_eur, 2),
        interval_cell(c.economic_eur, 2),
        interval_cell(c.constraint_eur, 2),
        escape(tables.costs_text(c.cost)) or "none",
        number(c.loss_kwh, 1),
        f"{low}<small>to {high}</small>",
        DASH if entry is None else _training(entry),
    ]


def _training(entry: StoredEntry) -> str:
    seeds = len(entry.evaluation.seeds)
    return (
        f"{seeds} seed{'s' if seeds > 1 else ''}<small>{entry.steps:,} steps</small>"
        f"<small>{study_tables.minutes(entry)} min</small>"
    )


def _made_with(study: Study) -> str:
    head = ("experiment", "trained (UTC)", "machine", "versions", "commit", "data")
    rows: list[Sequence[str]] = []
    for entry in study.entries:
        dates = sorted({time.partition("T")[0] for time in entry.made_with.trained_utc})
        cells = (entry.experiment, ", ".join(dates), *study_tables.made_with_cells(entry))
        rows.append([escape(text) for text in cells])
    return shell.table(head, rows, caption="Runs", text=head, wrap=("machine", "versions"))
