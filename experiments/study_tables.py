"""Results of comparisons as markdown: one table, and a part of a document."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments import tables
from experiments.run import write_atomically
from experiments.statistics import Interval
from experiments.stored import StoredController, StoredEntry
from experiments.study import Study, TaskResults
from gridenv.core.errors import RunError
from gridenv.core.units import SECONDS_PER_MINUTE
from gridenv.exogenous.timebase import STEPS_PER_DAY

BEGIN, END = "<!-- results: written by `gridenv report`, do not edit -->", "<!-- end of results -->"
"""Between these lines a document is replaced; what is written around them stays."""
_PACKAGES = ("gridenv", "jax", "jaxlib", "numpy", "optax", "torch", "stable-baselines3", "clarabel", "highspy", "ray")
"""Those that results depend on most; the JSON files have all."""
_HASH = 12
"""Characters shown of a hash."""
_COLUMNS = (
    "task",
    "controller",
    "score",
    "return, EUR",
    "of it limits, EUR",
    "costs",
    "seeds",
    "steps",
    "training, min",
)
_NUMERIC = ("score", "return, EUR", "of it limits, EUR", "seeds", "steps", "training, min")


def table(study: Study) -> str:
    """All controllers of all tasks, references once a task."""
    return tables.markdown(_COLUMNS, [_row(task, *row) for task in study.tasks for row in task.rows()], _NUMERIC)


def write_document(study: Study, file: Path) -> None:
    """Write a document with all results, or renew them in one that has text of its own.

    Raises:
        RunError: if the file is there and has not one pair of the lines `BEGIN` and `END`.
    """
    part = f"{BEGIN}\n\n{_document(study)}\n{END}"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, f"# Benchmark\n\n{part}\n")
        return
    text = file.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise RunError(
            f"markdown '{file}': lacks the lines between which results go; allowed: one `{BEGIN}` and after it one "
            f"`{END}`; add them, or name a new file"
        )
    before, _, rest = text.partition(BEGIN)
    write_atomically(file, before + part + rest.partition(END)[2])


def _document(study: Study) -> str:
    scores = [task for task in study.tasks if task.has_score]
    parts = [_protocol(study)]
    if scores:
        parts += ["## Scores", "0 = the rule, 1 = the oracle with perfect foresight.", _scores(scores)]
    parts += ["## All numbers", _explained(study), table(study)]
    warnings = dict.fromkeys(
        f"- {t.title}, {e.experiment}: {w}" for t in study.tasks for e in t.entries for w in e.evaluation.warnings
    )
    if warnings:
        parts += ["## Warnings", "\n".join(warnings)]
    parts += ["## Made with", _made_with(study)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _protocol(study: Study) -> str:
    hashes: dict[str, list[str]] = {}
    for task in study.tasks:
        evaluation = task.first.evaluation
        days = f"all {evaluation.episodes} {evaluation.split} {episodes_word(evaluation.steps_per_episode)}"
        hashes.setdefault(f"{days} (hash `{evaluation.episodes_hash[:_HASH]}`)", []).append(task.title)
    listed = [text if len(hashes) == 1 else f"{', '.join(titles)}: {text}" for text, titles in hashes.items()]
    return f"Measured on {'; '.join(listed)}, with the last policy of each training, not exploring."


def episodes_word(steps: int) -> str:
    """What episodes of so many steps are called."""
    return "days" if steps == STEPS_PER_DAY else f"episodes of {steps} steps"


def _scores(tasks: Sequence[TaskResults]) -> str:
    names = list(dict.fromkeys(name for task in tasks for name, _, _ in task.rows() if name not in ("rule", "oracle")))
    rows = []
    for task in tasks:
        found = {name: controller.score_interval for name, controller, _ in task.rows()}
        shown = [found.get(name) for name in names]
        rows.append([task.title, *("" if value is None else f"{value.mean:.2f}" for value in shown)])
    return tables.markdown(["task", *names], rows, names)


def _explained(study: Study) -> str:
    word = "day" if all(t.first.evaluation.steps_per_episode == STEPS_PER_DAY for t in study.tasks) else "episode"
    return (
        f"Means of one {word} with 95 % bootstrap intervals: of trained agents over their seeds, of references (and of "
        f"a single seed) over the {word}s. Return: what one {word} earns (negative: costs) less the weighted costs of "
        "limits broken, which the next column shows alone. Costs: what was broken, in the units of the task. Steps and "
        "minutes: of one training, evaluations on the way included."
    )


def _row(task: TaskResults, name: str, c: StoredController, entry: StoredEntry | None) -> tuple[str, ...]:
    return (
        task.title,
        name,
        "" if c.score_interval is None else with_interval(c.score_interval, 3),
        with_interval(c.return_eur, 2),
        with_interval(c.constraint_eur, 2),
        tables.costs_text(c.cost),
        "" if entry is None else str(len(entry.evaluation.seeds)),
        "" if entry is None else f"{entry.steps:,}",
        "" if entry is None else minutes(entry),
    )


def minutes(entry: StoredEntry) -> str:
    """Time of a training."""
    together = f" ({len(entry.evaluation.seeds)} seeds side by side)" if entry.seeds_together else ""
    return f"{entry.training_s / SECONDS_PER_MINUTE:.1f}{together}"


def _made_with(study: Study) -> str:
    """Machines and versions, once for all experiments that share them."""
    alike: dict[tuple[str, ...], list[StoredEntry]] = {}
    for entry in study.entries:
        alike.setdefault(made_with_cells(entry), []).append(entry)
    rows = [
        (", ".join(e.experiment for e in entries), ", ".join(_days_of(entries)), *cells)
        for cells, entries in alike.items()
    ]
    return tables.markdown(("experiments", "trained (UTC)", "machine", "versions", "commit", "data"), rows)


def made_with_cells(entry: StoredEntry) -> tuple[str, str, str, str]:
    """Machine, versions, commit and data of an experiment as text."""
    made = entry.made_with
    versions = [f"Python {' / '.join(made.python)}"]
    versions += [f"{name} {' / '.join(made.packages[name])}" for name in _PACKAGES if name in made.packages]
    commits = (f"{c[:_HASH]}{'+' if c.endswith('+') else ''}" for c in made.commits)
    return (
        "; ".join(made.machines),
        ", ".join(versions),
        " / ".join(dict.fromkeys(commits)),
        " / ".join(h[:_HASH] for h in made.data_hash),
    )


def _days_of(entries: Iterable[StoredEntry]) -> list[str]:
    return sorted({time.partition("T")[0] for entry in entries for time in entry.made_with.trained_utc})


def with_interval(value: Interval, digits: int) -> str:
    """A mean with its interval; alone where there is none."""
    shown = f"{value.mean:,.{digits}f}"
    return shown if value.low == value.high else f"{shown} ({value.low:,.{digits}f}..{value.high:,.{digits}f})"
