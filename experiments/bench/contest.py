"""Contestants take turns, so that whatever else the machine does hits all of them alike."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from experiments.bench.process import FirstCall
from experiments.bench.worker import Worker, WorkerError, available_cpus
from experiments.console import STATUS

_PAUSE_S = 0.05
"""Before each turn: threads of the last contestant may still spin, waiting for work."""
_BUSY_LOAD = 0.5
"""Load average above which timings are worth less."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contestant:
    """A subject that is measured in a process of its own."""

    label: str
    target: str
    """`module:callable` that makes the subject."""
    arguments: dict[str, Any]
    threads: int
    is_peer: bool = False
    """A peer that fails is left out with a note; ours ends the benchmark."""
    about: Any = None
    """Whatever the benchmark wants to know about it again."""


@dataclass(frozen=True)
class Timing:
    """What was measured of one contestant with one set of inputs."""

    first: FirstCall
    outcome: Any
    build_s: float
    """What making the subject took, imports included."""
    seconds: list[float] = field(default_factory=list)
    """For one unit of work, one entry a round."""


class Contest:
    """Processes of all contestants; use it as a context manager."""

    def __init__(self, contestants: Sequence[Contestant], bar: "Bar") -> None:
        self._bar = bar
        self._workers: dict[Contestant, Worker] = {}
        self._build_s: dict[Contestant, float] = {}
        self._asked = contestants

    def __enter__(self) -> "Contest":
        """Start and build one after the other."""
        try:
            for one in self._asked:
                self._bar.show(f"preparing {one.label}")
                self._workers[one] = Worker(one.label, one.threads)
                self._build_s[one] = self._try(one, partial(_build, one=one))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.ask_to_end()
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def measure(
        self, inputs: Callable[[Contestant], dict[str, Any] | None], runs: int, seconds: float
    ) -> dict[Contestant, Timing]:
        """First calls one after the other, then `runs` rounds.

        Args:
            inputs: what a contestant prepares; None leaves it out.
            runs: rounds.
            seconds: how long a contestant's turn lasts at least.

        Raises:
            WorkerError: if one of ours failed.
        """
        timings = {}
        for one in list(self._workers):
            given = inputs(one)
            if given is None:
                continue
            self._bar.show(f"first call of {one.label}")
            found = self._try(one, partial(_first_call, inputs=given))
            if found is not None:
                first, outcome = found
                timings[one] = Timing(first, outcome, self._build_s[one])
        for _ in range(runs):
            for one, timing in list(timings.items()):
                self._bar.show(one.label)
                time.sleep(_PAUSE_S)
                took = self._try(one, lambda worker: worker.measure(seconds))
                self._bar.advance()
                if took is None:
                    del timings[one]
                else:
                    timing.seconds.append(took)
        return timings

    def _try(self, one: Contestant, action: Callable[[Worker], Any]) -> Any:
        try:
            return action(self._workers[one])
        except WorkerError as error:
            if not one.is_peer:
                raise
            self._bar.note(f"left out: {one.label}: {error}")
            self._workers.pop(one).close()
            return None


def _build(worker: Worker, *, one: Contestant) -> float:
    worker.begin_build(one.target, **one.arguments)
    return worker.finish_build()


def _first_call(worker: Worker, *, inputs: dict[str, Any]) -> tuple[FirstCall, Any]:
    first = worker.prepare(**inputs)
    return first, worker.outcome()


class Bar:
    """How far the benchmark is, and notes about what was left out."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._expected = 0

    def expect(self, measurements: int) -> None:
        """There are more measurements to come."""
        self._expected += measurements
        self._progress.update(self._task, total=self._expected)

    def show(self, what: str) -> None:
        """What is going on."""
        self._progress.update(self._task, what=what)

    def advance(self) -> None:
        """One measurement is done."""
        self._progress.advance(self._task)

    def note(self, text: str) -> None:
        """A line that stays."""
        self._progress.console.print(text, soft_wrap=True, markup=False)


@contextmanager
def progress_bar(title: str, measurements: int = 0) -> Iterator[Bar]:
    """A bar that counts measurements; `Bar.expect` announces more of them."""
    columns = (
        TextColumn(title),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=STATUS, transient=True) as progress:
        bar = Bar(progress, progress.add_task(title, total=measurements, what=""))
        bar.expect(measurements)
        load = os.getloadavg()[0]
        if load > _BUSY_LOAD:
            bar.note(
                f"other programs run here (load {load:.1f} on {len(available_cpus())} processors): times are too long"
            )
        yield bar
