"""A run in numbers, and whether it speaks for going on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridenv.core.units import PERCENT
from hardware_in_loop.control.audit import audit_writes
from hardware_in_loop.control.log import Log
from hardware_in_loop.control.segments import LATENCIES
from hardware_in_loop.control.states import State, Trigger
from hardware_in_loop.control.statistics import percentiles

MOST_LATE_SHARE = 0.001
MOST_MISSED_SHARE = 0.01
"""Assumed: what a bench on a quiet local network keeps easily, and one with a bad cable does not."""
_PLANNED = (Trigger.STOP, Trigger.DISARM)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One condition of going on."""

    name: str
    is_met: bool
    detail: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """What a report says."""

    cycles: int
    duration_s: float
    state_cycles: Mapping[str, int]
    late: int
    missed: int
    times_s: Mapping[str, Mapping[str, float]]
    """p50, p99, max by step of the cycle."""
    interventions: Mapping[str, int]
    """Cycles by kind."""
    findings: Mapping[str, int]
    """Cycles by trigger."""
    criteria: Sequence[Criterion]

    @property
    def is_go(self) -> bool:
        """All conditions are met."""
        return all(criterion.is_met for criterion in self.criteria)


def summarise(log: Log) -> Summary:
    """Numbers and conditions of a run."""
    cycles = log.cycles.num_rows
    late = int(log.column("is_late").sum() + log.column("skipped").sum())
    findings = _counted(log, "findings", " ")
    missed = findings.get(Trigger.MISSED, 0)
    return Summary(
        cycles=cycles,
        duration_s=float(log.column("t_s")[-1] - log.column("t_s")[0]) + float(log.header["period_s"]),
        state_cycles=dict(Counter(log.states)),
        late=late,
        missed=missed,
        times_s={name: percentiles(log.column(f"{name}_s")) for name in LATENCIES},
        interventions=_counted(log, "interventions", ":"),
        findings=findings,
        criteria=[
            _criterion("record is complete and unchanged", log.problems),
            _criterion("limits and ramps hold on every write", audit_writes(log)),
            _end(log),
            _criterion("no unplanned fallback or stop", unplanned(log)),
            _share("deadline misses", late, cycles, MOST_LATE_SHARE),
            _share("missed exchanges", missed, cycles, MOST_MISSED_SHARE),
        ],
    )


def _counted(log: Log, column: str, end: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for text in log.column(column):
        counts.update({part.partition(end)[0] for part in str(text).split("; ") if part})
    return dict(counts.most_common())


def _criterion(name: str, problems: Sequence[str]) -> Criterion:
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return Criterion(name=name, is_met=not problems, detail=f"{problems[0]}{more}" if problems else "yes")


def _end(log: Log) -> Criterion:
    ends = log.of_kind("end")
    detail = str(ends[-1].data["safe"]) if ends else "the program died; timers of the devices were left to end control"
    is_met = bool(ends) and "NOT" not in detail and not log.of_kind("failed")
    return Criterion(name="the run ended in order", is_met=is_met, detail=detail)


def unplanned(log: Log) -> list[str]:
    """Losses of control that nobody asked for, one line each."""
    return [
        f"{e.t_s:.1f} s: {e.data['before']} to {e.data['after']}, {e.data['reason']}"
        for e in log.of_kind("state")
        if e.data["after"] in (State.FALLBACK, State.ESTOP) and e.data["trigger"] not in _PLANNED
    ]


def _share(name: str, count: int, cycles: int, most: float) -> Criterion:
    share = count / max(cycles, 1)
    detail = f"{count} of {cycles} cycles ({PERCENT * share:.2f} %); allowed {PERCENT * most:g} %"
    return Criterion(name=f"few {name}", is_met=bool(np.less_equal(share, most)), detail=detail)
