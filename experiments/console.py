"""What the command line shows while it works."""

import contextlib
from collections.abc import Iterator, Mapping
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

STATUS = Console(stderr=True, highlight=False)
"""For people: progress, hints, warnings."""
OUTPUT = Console(highlight=False)
"""For people and programs: results."""


class TrainingBar:
    """Updates done, speed, reward and score so far."""

    def __init__(self, progress: Progress, task: TaskID, split: str) -> None:
        self._progress, self._task, self._split = progress, task, split

    def show(self, update: int, latest: Mapping[str, Any]) -> None:
        """Bring the bar up to date with the newest metrics."""
        score = latest.get(f"{self._split}/score")
        value = latest.get(f"{self._split}/return_eur") if score is None else score
        shown = "-" if value is None else f"{value:,.0f} EUR" if score is None else f"{value:.3f}"
        reward = latest.get("train/reward_eur")
        self._progress.update(
            self._task,
            completed=update,
            speed=f"{latest['steps_per_s']:,.0f}" if latest else "-",
            reward="-" if reward is None else f"{reward:.2f}",
            score=shown,
        )


@contextlib.contextmanager
def training_bar(title: str, total_updates: int, split: str) -> Iterator[TrainingBar]:
    """A progress bar of a training.

    Args:
        title: what is trained.
        total_updates: length of the bar.
        split: days that the score shown comes from.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn(f"{{task.fields[speed]}} steps/s  reward {{task.fields[reward]}}  {split} {{task.fields[score]}}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=STATUS) as progress:
        task = progress.add_task(title, total=total_updates, speed="-", reward="-", score="-")
        yield TrainingBar(progress, task, split)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner for a step of unknown length; one line where there is no terminal."""
    if not STATUS.is_terminal:
        say(f"{what} ...")
        yield
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=STATUS, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


@contextlib.contextmanager
def counting() -> Iterator[Progress]:
    """A progress display whose bars count up to their totals."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STATUS) as progress:
        yield progress


def say(text: str) -> None:
    """A line about what is going on."""
    STATUS.print(text, soft_wrap=True, markup=False)
