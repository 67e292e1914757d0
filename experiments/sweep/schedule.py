"""The scheduler of Ray Tune that ends hopeless trainings, with a memory of what was before an interruption."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from experiments.run import Row
from experiments.sweep.config import SweepConfig
from experiments.sweep.folder import Job
from experiments.sweep.plan import grace_steps
from experiments.sweep.worker import STEPS, job_of


class RememberingAsha(ASHAScheduler):
    """Asynchronous successive halving that knows reports of an earlier part of the same sweep."""

    def __init__(self, past: Mapping[Job, Sequence[Row]], over: Sequence[Job], **options: Any) -> None:
        """A scheduler that has seen reports already.

        Args:
            past: reports of every training that has begun, in their order.
            over: trainings that have ended and will not be added.
            options: of the library's scheduler.
        """
        super().__init__(**options)
        self._past = dict(past)
        for job in over:
            self._add(None, SimpleNamespace(trial_id=str(job)), job)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take note of a training, with what it reported before the interruption."""
        self._add(tune_controller, trial, job_of(trial.config))

    def _add(self, controller: Any, trial: Any, job: Job) -> None:
        super().on_trial_add(controller, trial)
        for row in self._past.get(job, ()):
            # What followed from it was decided then.
            self.on_trial_result(controller, trial, row)


def make_scheduler(
    config: SweepConfig, longest: int, past: Mapping[Job, Sequence[Row]], over: Sequence[Job]
) -> RememberingAsha | None:
    """The scheduler of a sweep, if it has one.

    Args:
        config: sweep.
        longest: environment steps of the longest training.
        past: reports of every training that has begun.
        over: trainings that have ended.
    """
    if config.scheduler is None:
        return None
    return RememberingAsha(
        past,
        over,
        time_attr=STEPS,
        metric=config.metric,
        mode=config.mode,
        max_t=longest,
        grace_period=grace_steps(config, longest),
        reduction_factor=config.scheduler.reduction_factor,
        # A training that comes to its end writes its last checkpoint and its bundle first.
        stop_last_trials=False,
    )
