"""What a run leaves behind: events and cycles, with the time since its start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hardware_in_loop.control.clock import Clock
from hardware_in_loop.control.recorder import CycleRecord, Recorder
from hardware_in_loop.control.states import State, Trigger
from hardware_in_loop.control.statistics import Statistics
from hardware_in_loop.control.watch import Finding
from hardware_in_loop.link import Snapshot

_WALL_STEP_S = 1.0
"""A difference of the two clocks that grows by more than this is a step of the clock of the computer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What there is to show of a cycle."""

    record: CycleRecord
    findings: tuple[Finding, ...]
    statistics: Statistics
    snapshot: Snapshot


class Journal:
    """Writes to the recorder of a run."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder, self._clock = recorder, clock
        self.start_s = clock.now()
        self.cycle = 0
        """Number of the present cycle."""
        self._offset_s = self._wall_offset_s()
        self._known: dict[tuple[Trigger, str], Finding] = {}

    @property
    def problem(self) -> str:
        """Why something is not in files; empty if all is."""
        return self._recorder.problem

    @property
    def findings(self) -> Sequence[Finding]:
        """Of the last cycle."""
        return list(self._known.values())

    def event(self, kind: str, **data: Any) -> None:
        """Write an event."""
        self._recorder.event(kind, self._clock.now() - self.start_s, self._clock.wall(), **data)

    def announce(self, before: State, after: State, trigger: Trigger, reason: str) -> None:
        """Write a change of state."""
        self.event("state", before=before, after=after, trigger=trigger, reason=reason, cycle=self.cycle)

    def note_findings(self, findings: Sequence[Finding]) -> None:
        """Write what is wrong since this cycle, and what is not any more."""
        now = {(f.trigger, f.subject): f for f in findings}
        for key, finding in now.items():
            if key not in self._known:
                self.event(
                    "problem",
                    problem=finding.trigger,
                    subject=finding.subject,
                    text=finding.text,
                    cycle=self.cycle,
                )
        for trigger, subject in self._known:
            if (trigger, subject) not in now:
                self.event("problem_over", problem=trigger, subject=subject, cycle=self.cycle)
        self._known = now

    def note_clock(self) -> None:
        """Write it when somebody sets the clock of the computer."""
        offset_s = self._wall_offset_s()
        if abs(offset_s - self._offset_s) > _WALL_STEP_S:
            self.event("wall_clock_step", by_s=offset_s - self._offset_s, note="the loop does not depend on it")
        self._offset_s = offset_s

    def add(self, record: CycleRecord) -> None:
        """Write a cycle."""
        self._recorder.add(record)
        self.cycle += 1

    def _wall_offset_s(self) -> float:
        return self._clock.wall().timestamp() - self._clock.now()
