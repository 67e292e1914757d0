"""What is shown and kept while the trials of a sweep run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.progress import Progress, TaskID

from experiments import console
from experiments.sweep.folder import Ending, Job, SweepFolder
from experiments.sweep.results import collect, write_results
from experiments.sweep.worker import job_of


class Watch(Callback):
    """Notes how trainings end, and shows how many have ended and the best so far."""

    def __init__(self, sweep: SweepFolder, bar: Progress, task: TaskID) -> None:
        self._sweep, self._bar, self._task = sweep, bar, task

    @classmethod
    @contextmanager
    def shown(cls, sweep: SweepFolder, jobs: Sequence[Job]) -> Iterator["Watch"]:
        """One with a progress bar that is there inside of the context."""
        done = len(sweep.jobs) - len(jobs)
        with console.counting() as bar:
            task = bar.add_task("trainings", total=len(sweep.jobs), completed=done)
            yield cls(sweep, bar, task)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray keeps a copy of everything for a restart of its own, which a sweep does not use."""
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A training came to its end or was ended by the scheduler."""
        job = job_of(trial.config)
        if self._sweep.ending(job).status != "finished":
            self._sweep.end(job, Ending("stopped"))
        self._show(job)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A training failed, or its process ended."""
        job = job_of(trial.config)
        if self._sweep.ending(job).status != "failed":
            last = str(trial.get_error()).strip().splitlines()[-1:]
            self._sweep.end(job, Ending("failed", f"the process of the training ended: {' '.join(last)}"))
        self._show(job)

    def _show(self, job: Job) -> None:
        results, metric = collect(self._sweep), self._sweep.config.metric
        write_results(self._sweep, results)
        ending = self._sweep.ending(job)
        latest = next(r for t in results if t.trial.name == job.trial for r in t.runs if r.seed == job.seed).metrics
        value = f"{metric} {latest[metric]:,.4f}" if metric in latest else f"no {metric}"
        console.say(f"{job} {ending.status}: {ending.error.strip().splitlines()[-1] if ending.error else value}")
        best = results[0]
        shown = "" if best.value is None else f", best {best.trial.name} with {metric} {best.value:,.4f}"
        self._bar.update(self._task, advance=1, description=f"trainings{shown}")
