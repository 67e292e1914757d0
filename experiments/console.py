"""What the command line shows: progress bars and tables."""

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

ERRORS = Console(stderr=True, highlight=False)
OUTPUT = Console(highlight=False)


class TrainingBar:
    """Updates done, speed, reward and score so far."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def show(self, update: int, latest: dict[str, Any]) -> None:
        """Bring the bar up to date with the newest metrics."""
        reward = latest.get("train/reward_eur")
        validation = next((v for k, v in latest.items() if k.endswith("/return_eur")), None)
        self._progress.update(
            self._task,
            completed=update,
            speed=f"{latest.get('steps_per_s', 0.0):,.0f}" if latest else "-",
            reward="-" if reward is None else f"{reward:.2f}",
            validation="-" if validation is None else f"{validation:,.1f}",
        )


@contextlib.contextmanager
def training_bar(title: str, total_updates: int) -> Iterator[TrainingBar]:
    """A progress bar of a training."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("updates  {task.fields[speed]} steps/s  reward {task.fields[reward]} EUR/step"),
        TextColumn("validation {task.fields[validation]} EUR/episode  left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERRORS) as progress:
        task = progress.add_task(title, total=total_updates, speed="-", reward="-", validation="-")
        yield TrainingBar(progress, task)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner for a step of unknown length."""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=ERRORS, transient=True) as progress:
        progress.add_task(what)
        yield
