"""What the trials of a sweep achieved: a table, and `sweep.json`."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.run import Row, write_json
from experiments.sweep.folder import RESULTS_FILE, Ending, Job, Status, SweepFolder
from experiments.sweep.plan import Trial

_ORDER = {status: place for place, status in enumerate(get_args(Status))}
"""How far down a trial stands whose worst training has this status."""


@dataclass(frozen=True)
class JobResult:
    """One training."""

    seed: int
    ending: Ending
    folder: Path | None
    """Run folder; none if it has not begun."""
    metrics: Row
    """Newest value of every field of its metrics."""


@dataclass(frozen=True)
class TrialResult:
    """One trial."""

    trial: Trial
    runs: list[JobResult]
    value: float | None
    """Mean of the metric over the trainings that have one."""

    @property
    def status(self) -> Status:
        """That of the training which fared worst."""
        return max((run.ending.status for run in self.runs), key=_ORDER.__getitem__)


def collect(sweep: SweepFolder) -> list[TrialResult]:
    """All trials, best first; those that did not come to their end stand behind those that did."""
    config = sweep.config
    found = []
    for trial in sweep.trials:
        runs = [_job_result(sweep, Job(trial.name, seed)) for seed in config.seeds]
        values = [run.metrics[config.metric] for run in runs if config.metric in run.metrics]
        found.append(TrialResult(trial, runs, statistics.fmean(values) if values else None))
    sign = -1.0 if config.mode == "max" else 1.0
    return sorted(found, key=lambda r: (_ORDER[r.status], r.value is None, sign * (r.value or 0.0)))


def evaluations(sweep: SweepFolder, job: Job) -> list[Row]:
    """Rows of a training's metrics that have the metric of the sweep."""
    run = sweep.run(job)
    return [] if run is None else [row for row in run.metrics() if sweep.config.metric in row]


def write_results(sweep: SweepFolder, results: list[TrialResult]) -> Path:
    """Write `sweep.json`."""
    config = sweep.config
    path = sweep.folder / RESULTS_FILE
    described = config.model_dump(mode="json", include={"name", "experiment", "metric", "mode", "search", "scheduler"})
    write_json(path, {**described, "seeds": list(config.seeds), "trials": [_to_json(sweep, r) for r in results]})
    return path


def table(sweep: SweepFolder, results: list[TrialResult]) -> Table:
    """Trials, one a line, best first."""
    config = sweep.config
    seeds = f"mean over seeds {', '.join(map(str, config.seeds))}" if len(config.seeds) > 1 else "one seed"
    made = Table(
        title=f"{config.name}: {len(results)} trials of {config.experiment}, best first",
        caption=f"{config.metric} of the last evaluation, {seeds}",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
    )
    keys = list(config.spaces)
    made.add_column("trial", no_wrap=True)
    for name in (*(key.replace(".", ".\n", 1) for key in keys), config.metric.replace("/", "/\n", 1), "steps"):
        made.add_column(name, justify="right")
    made.add_column("")
    for result in results:
        made.add_row(
            result.trial.name,
            *(_shown(result.trial.parameters[key]) for key in keys),
            "-" if result.value is None else f"{result.value:,.4f}",
            f"{max(run.metrics.get('steps', 0) for run in result.runs):,}",
            result.status,
        )
    return made


def _job_result(sweep: SweepFolder, job: Job) -> JobResult:
    run = sweep.run(job)
    latest = {} if run is None else {name: value for row in run.metrics() for name, value in row.items()}
    return JobResult(job.seed, sweep.ending(job), None if run is None else run.folder, latest)


def _to_json(sweep: SweepFolder, result: TrialResult) -> dict[str, Any]:
    return {
        "name": result.trial.name,
        "parameters": result.trial.parameters,
        "overrides": list(result.trial.overrides),
        "status": result.status,
        "value": result.value,
        "runs": [
            {
                "seed": run.seed,
                "status": run.ending.status,
                "error": run.ending.error,
                "folder": None if run.folder is None else str(run.folder.relative_to(sweep.folder)),
                "metrics": run.metrics,
            }
            for run in result.runs
        ],
    }


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
