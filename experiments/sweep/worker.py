"""One training of a sweep, in a process of Ray's."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import processes
from experiments.run import Row, Run
from experiments.sweep.folder import Ending, Job, SweepFolder
from experiments.train import Trainer, evaluation_fields
from gridenv.core.errors import GridEnvError, RunError

STEPS = "steps"
"""Environment steps done, in every report."""


def tune_job(parameters: dict[str, Any]) -> None:
    """What Ray Tune runs for a trial of its own; a trial of Tune's is one training.

    Args:
        parameters: of `tune_parameters`.
    """
    from ray import tune

    processes.begin(parameters["place"])
    train_job(SweepFolder(Path(parameters["folder"])), job_of(parameters), tune.report)


def tune_parameters(sweep: SweepFolder, job: Job) -> dict[str, Any]:
    """What a process of Ray's needs to know of a training."""
    return {"folder": str(sweep.folder.resolve()), "trial": job.trial, "seed": job.seed, "place": str(Path.cwd())}


def job_of(parameters: dict[str, Any]) -> Job:
    """The training that `tune_parameters` describe."""
    return Job(parameters["trial"], parameters["seed"])


def prepare(folder: str, place: str) -> list[str]:
    """Compute what trainings of one task share, so that they need not do it side by side.

    Args:
        folder: of the sweep.
        place: working directory of the driver.

    Returns:
        Fields that the evaluations of the first trial have.
    """
    processes.begin(place)
    config = SweepFolder(Path(folder)).trials[0].config
    return evaluation_fields(config, Trainer(config).env.cost_names)


def train_job(sweep: SweepFolder, job: Job, report: Callable[[Row], None]) -> None:
    """Train one trial with one seed to its end, from its newest checkpoint if it has one.

    Args:
        sweep: folder of the sweep; all machines must see it under this path.
        job: training.
        report: is given the steps done and the metric after every evaluation, the last time when all is written.

    Raises:
        RunError: if the training diverges, a checkpoint is damaged or an evaluation lacks the metric.
    """
    with sweep.training(job):
        try:
            last = _train(sweep, job, report)
        except Exception as error:
            text = str(error) if isinstance(error, GridEnvError) else traceback.format_exc()
            sweep.end(job, Ending("failed", text))
            raise
        sweep.end(job, Ending("finished"))
    report(last)


def _train(sweep: SweepFolder, job: Job, report: Callable[[Row], None]) -> Row:
    """Returns the last report, which the scheduler must not see before the training is complete."""
    run = sweep.begin_run(job)
    metric = sweep.config.metric
    with Trainer(run.config) as trainer:
        progress = trainer.begin_or_restore(run)

        def watch(_: Run, row: Row) -> None:
            if metric in row and row["update"] < trainer.total_updates:
                report(_reported(row, metric))

        trainer.train([progress], watch=watch)
    if metric not in progress.latest:
        raise RunError(
            f"run '{run}': its evaluations have no {metric}; allowed here: {', '.join(_numbers(progress.latest))}; "
            "choose another metric"
        )
    return _reported(progress.latest, metric)


def _reported(row: Row, metric: str) -> Row:
    return {STEPS: row[STEPS], metric: row[metric]}


def _numbers(row: Row) -> list[str]:
    return [name for name in row if "/" in name]
