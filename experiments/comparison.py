"""Many agents on many tasks in one table: trains what is missing, scores all, and can stop and go on anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console, tables
from experiments.comparison_config import ComparisonConfig
from experiments.config import ExperimentConfig, compose
from experiments.references import reference_results
from experiments.results import evaluate_runs
from experiments.run import Run, write_json
from experiments.statistics import Interval
from experiments.summary import ControllerSummary, Summary
from experiments.train import build_split, resume, train
from gridenv.core.errors import UnfitError
from gridenv.core.units import SECONDS_PER_MINUTE

RESULTS_FILE = "comparison.json"
TABLE_FILE = "comparison.md"


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One experiment of a comparison, trained with all seeds and scored."""

    experiment: str
    agent: str
    steps: int
    """Environment steps of a training."""
    training_s: float
    """Mean time of a training, evaluations on the way included."""
    summary: Summary

    def to_json(self) -> dict[str, Any]:
        """Entry of `comparison.json`."""
        return {
            "experiment": self.experiment,
            "agent": self.agent,
            "steps": self.steps,
            "training_s": round(self.training_s, 1),
            "evaluation": self.summary.to_json(),
        }


def compare(name: str, config: ComparisonConfig, folder: Path) -> list[Entry]:
    """Train and score every experiment; what an earlier call finished is taken as it is.

    Args:
        name: of the comparison.
        config: what to compare.
        folder: where the runs and the results go, `<folder>/<experiment>/<run>`.

    Raises:
        ConfigError: for an experiment that cannot be read or built; before any training.
        TrainingStoppedError: on Ctrl-C; call it again to go on.
    """
    overrides = f"seeds=[{','.join(map(str, config.seeds))}]"
    composed = {experiment: compose([f"experiment={experiment}", overrides]) for experiment in config.experiments}
    entries = []
    for i, (experiment, one) in enumerate(composed.items(), 1):
        console.say(f"{name}: {experiment} ({i} of {len(composed)})")
        fitting = fitting_references(one, config)
        runs = trained(one, folder)
        _, summary, _ = evaluate_runs([run.folder for run in runs], config.split, fitting)
        entries.append(_entry(experiment, one, runs, summary))
        _write(name, config, entries, folder)
    return entries


def fitting_references(experiment: ExperimentConfig, config: ComparisonConfig) -> list[str]:
    """References that can work on the task of an experiment; their results are kept for its evaluation."""
    env, params = build_split(experiment, config.split)
    fitting = []
    for name in config.references:
        try:
            reference_results(experiment.task, config.split, [name], env, params)
        except UnfitError as error:
            console.say(f"left out: {error}")
        else:
            fitting.append(name)
    return fitting


def trained(config: ExperimentConfig, folder: Path) -> list[Run]:
    """The finished runs of an experiment, one for each seed: those that are there, resumed or trained where not.

    Raises:
        TrainingStoppedError: on Ctrl-C.
    """
    found = _runs(config, folder)
    begun = [run for run in found.values() if not run.is_finished]
    if begun:
        resume([run.folder for run in begun])
    missing = [seed for seed in config.seeds if seed not in found]
    if missing:
        lacking = config.model_copy(update={"run": config.run.model_copy(update={"seeds": tuple(missing)})})
        found |= {run.seed: run for run in train(lacking, folder)}
    return [found[seed] for seed in config.seeds]


def _runs(config: ExperimentConfig, folder: Path) -> dict[int, Run]:
    """Runs of exactly this configuration by seed; of several with one seed a finished one, else the newest."""
    runs: dict[int, Run] = {}
    parent = folder / config.name
    for child in sorted(parent.iterdir()) if parent.is_dir() else ():
        run = Run(child)
        if not run.is_recorded or run.config_hash != config.hash or run.seed not in config.seeds:
            continue
        if run.seed not in runs or run.is_finished or not runs[run.seed].is_finished:
            runs[run.seed] = run
    return runs


def _entry(experiment: str, config: ExperimentConfig, runs: Sequence[Run], summary: Summary) -> Entry:
    times = [run.metrics()[-1]["time_s"] for run in runs]
    steps: int = runs[0].metrics()[-1]["steps"]
    return Entry(
        experiment=experiment,
        agent=config.agent_name,
        steps=steps,
        training_s=sum(times) / len(times),
        summary=summary,
    )


def _write(name: str, config: ComparisonConfig, entries: Sequence[Entry], folder: Path) -> None:
    """`comparison.json` and `comparison.md` of what is done so far."""
    values = {
        "comparison": name,
        "settings": config.model_dump(mode="json"),
        "entries": [entry.to_json() for entry in entries],
    }
    write_json(folder / RESULTS_FILE, values)
    (folder / TABLE_FILE).write_text(markdown(entries), encoding="utf-8")


COLUMNS = ("task", "controller", "score", "return, EUR", "costs", "steps", "minutes")


def markdown(entries: Sequence[Entry]) -> str:
    """All controllers of all tasks as a table; references once a task."""
    rows = []
    for task in dict.fromkeys(entry.summary.task for entry in entries):
        of_task = [entry for entry in entries if entry.summary.task == task]
        references: Mapping[str, ControllerSummary] = {c.name: c for e in of_task for c in e.summary.controllers[1:]}
        rows += [_row(task, c.name, c, "", "") for c in references.values()]
        rows += [
            _row(task, e.agent, e.summary.controllers[0], f"{e.steps:,}", f"{e.training_s / SECONDS_PER_MINUTE:.1f}")
            for e in of_task
        ]
    return tables.markdown(COLUMNS, rows)


def _row(task: str, name: str, c: ControllerSummary, steps: str, minutes: str) -> tuple[str, ...]:
    costs = ", ".join(f"{cost} {value.mean:.3g}" for cost, value in c.cost.items() if value.mean > 0)
    return (
        task,
        name,
        "" if c.score is None else _with_interval(c.score, 3),
        _with_interval(c.return_eur, 2),
        costs,
        steps,
        minutes,
    )


def _with_interval(value: Interval, digits: int) -> str:
    shown = f"{value.mean:,.{digits}f}"
    return shown if value.low == value.high else f"{shown} ({value.low:,.{digits}f}..{value.high:,.{digits}f})"
